/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Jobs: one per key, with its claims (verdicts under one set of rules) and the nodes that follow them.
 *
 * A job that no node follows any more is *idle*. It stays while a worker is at it; then it is forgotten, by the next tick or
 * CORE_PLAN_FORGET and by no other event, so that what was fed of a job's past is still there for the event that it was fed for. The database
 * has all of it: whatever comes back later (a plan with its key, a late answer, a void vote) is preceded by the job's history, as after a
 * restart.
 */
#ifndef FARM_CORE_JOBS_H
#define FARM_CORE_JOBS_H

#include "state.h"

struct job *jobs_find(const struct core *core, const struct digest *key);
struct job *jobs_obtain(struct core *core, const struct digest *key);
void jobs_free(struct job *job);
/* Forgets the idle jobs that no worker is at. Between steps' works: nothing may be queued or dirty. */
void jobs_sweep(struct core *core);
/* The node has this key now; 'fresh': it wants a round that started after plan.fresh_since_ms. */
void jobs_attach(struct core *core, struct node *node, struct job *job);
void jobs_detach(struct core *core, struct node *node);
/* Opens a new round for the node's job if its current one is older than the plan's from-scratch start. */
void jobs_refresh_round(struct core *core, struct node *node);
/* Whether the node wants it built now. */
void jobs_demand(struct core *core, struct node *node, bool demanding);
/* Its wants are to be weighed again before the step ends, and its nodes looked at. */
void jobs_touch(struct core *core, struct job *job);
/* Nodes that want it built now, over all claims. */
uint32_t jobs_demanding(const struct job *job);
/* The order of work: priority, then the longest way to the end, then the order of plans. */
bool jobs_node_before(const struct node *a, const struct node *b);
/* What happened before this process: see core.h. */
int jobs_history(struct core *core, const struct core_event *event, struct diag *diag);

#endif
