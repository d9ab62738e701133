/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Weighing: how many operators a job still has to ask, and when to give up asking.
 *
 * Wanted is what the verdict function says is missing, less the live leases of operators that have no vote yet. Places
 * that anchors must fill are counted apart, so that the last ones are never handed to others; where plans with different
 * rules share the job, others are asked as long as one of the plans has a place for them.
 *
 * A job is *exhausted* (and halts once its last lease has ended) when max_attempts distinct operators had trouble with it
 * and none of them voted since, or when operators that used up their own max_attempts are all that is left to ask.
 * Each operator counts once, so that one operator's word never halts a job that others could build.
 */
#ifndef FARM_CORE_WEIGH_H
#define FARM_CORE_WEIGH_H

#include "state.h"

/* Fills core.asked with the operators of the job's current round, and their scratch fields. */
void weigh_collect(struct core *core, const struct job *job);
/* Sets want, want_others and the claims' exhausted; queues the job's nodes if the latter changed. */
void weigh_job(struct core *core, struct job *job);
/* The operator must not be asked now: it voted, is at it, rests from it, or used up its tries. After weigh_collect(). */
bool weigh_is_excluded(const struct job *job, const struct operator* operator);

#endif
