/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owner: what the owner of a machine asks and says beside running the worker: status, alarm, cosigned. Works on the state directory
 * alone, also when no worker runs.
 */
#ifndef FARM_OWNER_H
#define FARM_OWNER_H

#include "diag.h"

#include <stdbool.h>
#include <stdio.h>

/* All return an exit status, or an error. 'state' is the path of the state directory. */

/* An alarm is its first line. */
int owner_status(const char *state, FILE *out, struct diag *diag) MUST_USE;
/* FARM_EXIT_VIOLATION if an alarm stands. */
int owner_alarm_show(const char *state, FILE *out, struct diag *diag) MUST_USE;
/*
 * Says what the alarm is about, and puts it aside. 'forget': also what the worker had seen of log, root and directory, so that it begins
 * again from what the join string pinned; the worker must not run then.
 */
int owner_alarm_clear(const char *state, bool forget, FILE *out, struct diag *diag) MUST_USE;
/* The newest cosigned checkpoint, as a signed note. FARM_E_MISSING: nothing was cosigned yet. */
int owner_cosigned(const char *state, FILE *out, struct diag *diag) MUST_USE;

#endif
