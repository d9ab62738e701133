/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Standing: which nodes of all plans are agreed, and what became of them since. For those who did something (revoked a worker, say)
 * and want to see what it means.
 */
#ifndef FARM_STANDING_H
#define FARM_STANDING_H

#include "farm.h"
#include "json.h"

struct standing;

struct standing *standing_take(const struct farm *farm);
/*
 * A new reference: {"reopened":[{"plan","node","key","state","round","missing"}], "upon":[{"plan","node","key"}]}
 * 'reopened' was agreed and is not any more: it is built again. 'upon' is agreed and has something reopened in its closure: it stands
 * if that comes out as before, and is built again if not. Both in the order of the plan.
 */
json_t *standing_compare(const struct farm *farm, const struct standing *standing);
struct standing *standing_free(struct standing *standing); /* accepts NULL, returns NULL */

#endif
