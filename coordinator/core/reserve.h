/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reserving: how a job that needs much of a machine ever gets one.
 *
 * Where machines run several builds, small jobs would fill every gap and a large one, however urgent, would wait for an
 * idle machine that never comes. So a worker that is about to pass over a more urgent job, for which it has too little
 * room only because of what it does now, takes nothing less urgent from then on, until that job is placed, here or
 * elsewhere. A job reserves as many workers as it wants operators. What is idle meanwhile is the price.
 */
#ifndef FARM_CORE_RESERVE_H
#define FARM_CORE_RESERVE_H

#include "ready.h"

/* The job that the worker would pass over by taking the group's first; NULL: none. */
struct job *reserve_owed(const struct core *core, const struct group *group, const struct worker *worker);
void reserve_make(struct core *core, struct worker *worker, struct job *job);
/* The job waits no longer, or for others: its workers are free of it. */
void reserve_release_job(struct core *core, struct job *job);
/* The worker is gone: the job may reserve another. */
void reserve_release_worker(struct core *core, struct worker *worker);
/* Whether the worker's reservation, if any, lets it take the group's first job. */
bool reserve_allows(const struct group *group, const struct worker *worker);

#endif
