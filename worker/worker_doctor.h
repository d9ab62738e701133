/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Doctor of a worker, "farm-worker doctor": looks at configuration, keys, disk, clock, trust and network, and runs a build that does nothing in a
 * real sandbox, since that is the surest way to know whether builds can run here. The worker may be running meanwhile, or not. Nothing is
 * changed but that the probe's directory comes and goes. Started as root, it becomes the build user before the probe, as the worker does.
 */
#ifndef FARM_WORKER_DOCTOR_H
#define FARM_WORKER_DOCTOR_H

#include "diag.h"

#include <stdbool.h>
#include <stdio.h>

/* An exit status (0 all is well or there are warnings, 1 something failed), or an error. */
int worker_doctor(const char *state, bool as_json, FILE *out, struct diag *diag) MUST_USE;

#endif
