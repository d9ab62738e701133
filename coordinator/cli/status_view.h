/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The answer of "status" for people; used by status, watch and build --wait. */
#ifndef FARM_STATUS_VIEW_H
#define FARM_STATUS_VIEW_H

#include "cli.h"

void status_view_print(struct cli *cli, const json_t *body);
/* "agreed 5 of 12, 2 running, 1 disputed (2 min 05 s)" for one plan. Appends. */
void status_view_summary(const json_t *plan, struct buf *ret);
/* The plan of that id; NULL if there is none. Borrowed. */
const json_t *status_view_find_plan(const json_t *body, const char *id);

#endif
