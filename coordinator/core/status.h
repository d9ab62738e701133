/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef FARM_CORE_STATUS_H
#define FARM_CORE_STATUS_H

#include "state.h"

struct core_worker_view status_worker(const struct core *core, const struct worker *worker);
/* Leases of the job's current round, and how many of them were trouble. */
void status_count_leases(const struct job *job, uint32_t *ret_attempts, uint32_t *ret_troubles);

#endif
