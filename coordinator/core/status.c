/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Status: reading the core. Nothing here changes anything.
 */
#include "status.h"

#include "graph.h"
#include "leases.h"
#include "lost.h"
#include "rounds.h"
#include "workers.h"

const char *lease_state_name(enum lease_state state)
{
    switch (state) {
    case LEASE_LIVE:
        return "live";
    case LEASE_ANSWERED:
        return "answered";
    case LEASE_REFUSED:
        return "refused";
    case LEASE_EXPIRED:
        return "expired";
    case LEASE_WITHDRAWN:
        return "withdrawn";
    }
    return NULL;
}

const char *answer_fate_name(enum answer_fate fate)
{
    switch (fate) {
    case ANSWER_COUNTED:
        return "counted";
    case ANSWER_OPEN:
        return "open";
    case ANSWER_EXTRA:
        return "extra";
    case ANSWER_EQUIVOCAL:
        return "equivocal";
    case ANSWER_DUPLICATE:
        return "duplicate";
    case ANSWER_RETRIED:
        return "retried";
    case ANSWER_REJECTED:
        return "rejected";
    }
    return NULL;
}

const char *node_state_name(enum node_state state)
{
    switch (state) {
    case NODE_WAITING:
        return "waiting";
    case NODE_DERIVING:
        return "deriving";
    case NODE_READY:
        return "ready";
    case NODE_RUNNING:
        return "running";
    case NODE_AGREED:
        return "agreed";
    case NODE_DISPUTED:
        return "disputed";
    case NODE_FAILED:
        return "failed";
    case NODE_HALTED:
        return "halted";
    case NODE_BLOCKED:
        return "blocked";
    }
    return NULL;
}

const char *plan_state_name(enum plan_state state)
{
    switch (state) {
    case PLAN_RUNNING:
        return "running";
    case PLAN_DONE:
        return "done";
    case PLAN_FAILED:
        return "failed";
    case PLAN_CANCELLED:
        return "cancelled";
    }
    return NULL;
}

size_t core_plan_count(const struct core *core)
{
    return core->nplans;
}

bool core_plan_at(const struct core *core, size_t index, struct digest *ret_plan, enum plan_state *ret_state,
                  size_t *ret_nodes)
{
    if (index >= core->nplans)
        return false;
    *ret_plan = digest_of_link(&core->plan_list[index]->link);
    *ret_state = core->plan_list[index]->state;
    *ret_nodes = core->plan_list[index]->nnodes;
    return true;
}

void status_count_leases(const struct job *job, uint32_t *ret_attempts, uint32_t *ret_troubles)
{
    *ret_attempts = *ret_troubles = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != job->round)
            continue;
        ++*ret_attempts;
        *ret_troubles += lease->trouble && !lease->forgiven;
    }
}

bool core_node(const struct core *core, const struct digest *plan_id, size_t index,
               struct core_node_view *ret)
{
    const struct plan *plan = graph_find(core, plan_id);
    if (plan == NULL || index >= plan->nnodes)
        return false;
    const struct node *node = &plan->nodes[index];
    *ret = (struct core_node_view){
        .id = node->id,
        .state = node->state,
        .since_ms = node->since_ms,
        .remaining_seconds = node->remaining_seconds,
    };
    if (node->job == NULL)
        return true;
    ret->keyed = true;
    ret->key = digest_of_link(&node->job->link);
    ret->round = node->job->round;
    ret->verdict = node->state == NODE_AGREED && node->job->round > 1
                       ? rounds_verdict_of_all(node->job, node->rules).all
                       : rounds_verdict(node->job, node->rules, node->job->round);
    ret->has_payload = node->claim->has_payload;
    ret->lost = lost_is(node->job, node->claim);
    if (ret->has_payload)
        ret->payload = node->claim->payload;
    ret->live_leases = node->job->live;
    status_count_leases(node->job, &ret->attempts, &ret->infrastructure_failures);
    return true;
}

bool core_lease_find(const struct core *core, const struct core_nonce *nonce, struct core_lease *ret)
{
    const struct lease *lease = leases_find(core, nonce);
    if (lease == NULL)
        return false;
    *ret = leases_view(lease);
    return true;
}

static void each_lease_of(const struct worker *worker,
                          void (*visit)(void *context, const struct core_lease *lease), void *context)
{
    for (const struct lease *lease = worker->leases; lease != NULL; lease = lease->worker_next) {
        if (lease->state != LEASE_LIVE)
            continue;
        struct core_lease view = leases_view(lease);
        visit(context, &view);
    }
}

void core_each_lease(const struct core *core, const char *name,
                     void (*visit)(void *context, const struct core_lease *lease), void *context)
{
    const struct worker *only = workers_find(core, name);
    if (only != NULL)
        each_lease_of(only, visit, context);
    for (size_t i = 0; name == NULL && i < core->nworkers; i++)
        each_lease_of(core->workers[i], visit, context);
}

struct core_worker_view status_worker(const struct core *core, const struct worker *worker)
{
    return (struct core_worker_view){
        .name = worker->name,
        .operator_name = worker->operator->name,
        .anchor = worker->operator->anchor,
        .online = worker->online,
        .paused = worker->paused,
        .revoked = worker->revoked,
        .operator_flagged = worker->operator->flagged,
        .resting = worker->resting_until_ms > core->now_ms,
        .capacity = worker->capacity,
        .live_leases = worker->live_leases,
        .answers = worker->answers,
        .outvoted = worker->outvoted,
        .heard_ms = worker->heard_ms,
    };
}

void core_each_worker(const struct core *core,
                      void (*visit)(void *context, const struct core_worker_view *view), void *context)
{
    for (size_t i = 0; i < core->nworkers; i++) {
        struct core_worker_view view = status_worker(core, core->workers[i]);
        visit(context, &view);
    }
}

static void count_worker(const struct core *core, const struct worker *worker, struct core_counts *counts)
{
    struct core_worker_view view = status_worker(core, worker);
    if (!worker->admitted && !worker->revoked) /* the past names it */
        return;
    counts->live_leases += worker->live_leases;
    counts->revoked += view.revoked;
    if (view.revoked)
        return;
    counts->workers++;
    counts->online += view.online;
    counts->paused += view.paused;
    counts->resting += view.resting;
}

void core_count(const struct core *core, struct core_counts *ret)
{
    struct core_counts counts = {
        .operators = core->noperators, .lost = lost_count(core), .illegal_events = core->illegal_events};
    for (size_t i = 0; i < core->nplans; i++) {
        const struct plan *plan = core->plan_list[i];
        counts.plans[plan->state]++;
        for (size_t state = 0; state <= NODE_BLOCKED; state++)
            counts.nodes[state] += plan->count[state];
    }
    for (size_t i = 0; i < core->nworkers; i++)
        count_worker(core, core->workers[i], &counts);
    for (size_t i = 0; i < core->noperators; i++)
        counts.flagged += core->operators[i]->flagged;
    *ret = counts;
}
