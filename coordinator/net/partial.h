/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Partial: directories that appear whole or not at all (exports, backups). They are written beside their target as
 * "<target>.partial-<pid>-<ms>", made durable, and renamed; what a crash left there, the next one beside it removes.
 */
#ifndef FARM_PARTIAL_H
#define FARM_PARTIAL_H

#include <stdint.h>

/* The target without slashes at its end, and the name under which it is written. Both owned. */
void partial_name(const char *target, char **ret_target, char **ret_partial);
/* Removes what processes that died left beside the target. 'started_ms': when this process began, wall. */
void partial_sweep(const char *target, int64_t started_ms);

#endif
