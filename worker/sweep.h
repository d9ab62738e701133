/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sweep: removes what a worker that was killed left in its directories.
 */
#ifndef FARM_SWEEP_H
#define FARM_SWEEP_H

#include "diag.h"

/* Everything in the directory whose name holds ".tmp-" (file_temp_dir, file_write). */
int sweep_temporary(int state_dirfd, const char *directory, struct diag *diag) MUST_USE;
/* Everything in it. */
int sweep_all(int state_dirfd, const char *directory, struct diag *diag) MUST_USE;

#endif
