/* SPDX-License-Identifier: GPL-3.0-or-later */
/* People: what operators of the farm, owners of machines and the world around them do, from time to time. */
#ifndef SIM_PEOPLE_H
#define SIM_PEOPLE_H

struct world;

void people_begin(struct world *world);
void people_act(struct world *world);
/* From now on nothing goes wrong: what people can mend is mended, and what they want is asked for once more. */
void people_calm(struct world *world);

#endif
