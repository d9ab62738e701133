/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Missing: the objects that rows name and the store does not have, since they were damaged or somebody removed them (D8).
 *
 * Four find them: the start, which looks up the names of all; the scrub, which reads all; the bulk server, when a worker asks for what it was
 * promised; and whoever checks an answer, if its job's spec is gone. From then on an object is listed until it is there again, however it came back, and is never served:
 *
 *   source            fetched again from where it came, at once and once an hour; one source at a time
 *   manifest or tar   the core is told that the job's payload is lost (CORE_PAYLOAD_LOST): nothing is built upon it, and workers are asked to
 *                     build it again, if it was agreed on; a plan that has left memory is brought back for it, at once and once an hour
 *   spec              derived again from its plan, if a node of that has it as its job: at once, once an hour, and as soon as what it is made of
 *                     is agreed on
 *   anything else     waits for a person; the listing says what to do
 *
 * The list is in memory alone. It is found again at each start before the plans are given to the core, so that a payload which was lost before is
 * lost before anything is granted; but for specs.
 */
#ifndef FARM_MISSING_H
#define FARM_MISSING_H

#include "diag.h"
#include "digest.h"
#include "json.h"

struct farm;
struct missing;

/* At start: before the core is told of any job. */
int missing_open(struct farm *farm, struct diag *diag) MUST_USE;
/* Then, when the plans were given to the core: a power failure may take specs, and those of its plans were made again just now. */
void missing_open_specs(struct farm *farm);
struct missing *missing_free(struct missing *missing); /* accepts NULL, returns NULL */
/* The object was found damaged or absent; again: nothing happens. */
void missing_add(struct farm *farm, const struct digest *object);
/* The core was just told of the job's past: which of its payloads are lost. */
void missing_tell(struct farm *farm, const struct digest *job);
/*
 * Somebody says that the object's loss is accepted: no row refers to it any more, and it is not listed again; what was signed names it still.
 * FARM_E_UNKNOWN: it is not missing. FARM_E_REFUSED: something needs it, or it comes back by itself.
 */
int missing_accept(struct farm *farm, const struct digest *object, struct diag *diag) MUST_USE;
/* In each turn: what came back, and what is to be tried again. */
void missing_turn(struct farm *farm);
/* With the next turn, instead of in a while. */
void missing_hurry(struct farm *farm);
size_t missing_count(const struct farm *farm);

/*
 * missing_say.c: [{"object", "holders", "found", "node": whose payload it is, or null, "by_itself": it comes back without anybody's help, "do"}], a
 * thousand of them at most; a new reference.
 */
json_t *missing_report(struct farm *farm);

#endif
