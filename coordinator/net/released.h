/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Released: which signed releases contain the artifact of a job.
 */
#ifndef FARM_RELEASED_H
#define FARM_RELEASED_H

#include "farm.h"
#include "json.h"

/* So many are read, the newest ones: each may have a megabyte, and what was released long ago is seldom installed still. */
enum { RELEASED_READ_MAX = 50 };

struct released;
int released_read(struct farm *farm, struct released **ret, struct diag *diag) MUST_USE;
/* A new array of names, by sequence; empty if there is none. */
json_t *released_with(const struct released *released, const struct digest *job);
struct released *released_free(struct released *released); /* accepts NULL, returns NULL */

#endif
