/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Restart from the rows, and revocation: see net/startup.c, net/admission.c and net/revocation.c. */
#include "sim.h"

#include <stdlib.h>

/* --- revocation --- */

/* The answers of the worker at or behind the position that still count. */
static size_t collect(struct world *world, size_t worker, struct row_answer ***ret)
{
    struct row_answer **doomed = NULL;
    size_t n = 0, capacity = 0, cursor = 0;
    struct view key;
    for (void *value; map_next(world->db.answers, &cursor, &key, &value);) {
        struct row_answer *answer = value;
        if (answer->lease->worker != worker || answer->is_void ||
            answer->position < world->workers[worker].void_from)
            continue;
        doomed = mem_reserve(doomed, &capacity, n + 1, sizeof(struct row_answer *));
        doomed[n++] = answer;
    }
    *ret = doomed;
    return n;
}

/* While it still counts, so that the core sees what its loss changes. */
static void acquaint(struct world *world, const struct row_answer *answer)
{
    struct core_lease known;
    if (!world->coordinator.dying && !core_lease_find(world->coordinator.core, &answer->answer.nonce, &known))
        coordinator_feed_history(world, answer->lease->job);
}

static void void_one(struct world *world, struct row_answer *answer)
{
    struct core_event event = {.type = CORE_VOTE_VOID};
    event.answer.nonce = answer->answer.nonce;
    event.answer.envelope = answer->envelope;
    db_void(&world->db, answer);
    world->totals->voided++;
    (void)coordinator_feed(world, &event, NULL);
}

/* All of it in one transaction: a crash leaves all of it to the next start. */
void coordinator_revoke(struct world *world, size_t worker)
{
    CLEANUP_FREE struct row_answer **doomed = NULL;
    struct core_event event = {.type = CORE_WORKER_REVOKED, .name = world->workers[worker].name};
    (void)coordinator_feed(world, &event, NULL);
    size_t n = collect(world, worker, &doomed);
    if (n > 0)
        (void)db_log(&world->db);
    for (size_t i = 0; i < n; i++)
        acquaint(world, doomed[i]);
    for (size_t i = 0; i < n && !world->coordinator.dying; i++)
        void_one(world, doomed[i]);
}

/* --- start --- */

static void admit(struct world *world, size_t i)
{
    const struct sim_worker *worker = &world->workers[i];
    const struct sim_operator *operator_ = &world->operators[worker->operator_index];
    struct core_event event = {
        .type = CORE_WORKER_ADMITTED,
        .name = worker->name,
        .worker = {.name = worker->name,
                   .operator_name = operator_->name,
                   .anchor = operator_->anchor,
                   .cpu_vendor = worker->cpu_vendor,
                   .kernel = worker->kernel},
    };
    (void)coordinator_feed(world, &event, NULL);
}

/* The root is installed first; then each worker is admitted once more, and the past is judged by the new root. */
void coordinator_change_anchor(struct world *world, size_t operator_index)
{
    struct view key;
    void *job;
    world->operators[operator_index].anchor = !world->operators[operator_index].anchor;
    for (size_t cursor = 0; map_next(world->db.jobs, &cursor, &key, &job);)
        db_mark(&world->db, job);
    for (size_t i = 0; i < world->nworkers;
         i++) /* compromised ones too: what they said before counts, as an anchor's or not */
        admit(world, i);
}

static void restore_flag(struct world *world, const struct sim_operator *operator_)
{
    struct core_event event = {.type = CORE_OPERATOR_FLAG, .name = operator_->name, .text = "flagged before"};
    if (operator_->flagged)
        (void)coordinator_feed(world, &event, NULL);
}

/* One that ended a while ago is left where it is. */
static bool is_old(struct world *world, const struct sim_plan *plan)
{
    return plan->state != PLAN_RUNNING && world_has(world, FAULT_FORGET) &&
           world_chance(world, DICE_FORGET, 500);
}

static void restore_plan(struct world *world, size_t p)
{
    struct sim_plan *plan = &world->plans.items[p];
    if (!plan->started)
        return;
    plan->forgotten = is_old(world, plan);
    if (!plan->forgotten && plan->state != PLAN_CANCELLED)
        coordinator_start_plan(world, p, plan->from_scratch, plan->started_wall_ms);
}

void coordinator_restore(struct world *world)
{
    coordinator_find_lost(world);
    for (size_t i = 0; i < world->nworkers; i++)
        admit(world, i);
    for (size_t i = 0; i < world->nworkers; i++)
        if (world->workers[i].revoked)
            coordinator_revoke(world, i);
    for (size_t i = 0; i < world->noperators; i++)
        restore_flag(world, &world->operators[i]);
    for (size_t p = 0; p < PLANS; p++)
        restore_plan(world, p);
}
