/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "graph.h"

#include "effects.h"
#include "jobs.h"
#include "leases.h"
#include "lost.h"

#include <stdlib.h>

/* --- what a node is --- */

static bool waits_for_fresh_round(const struct node *node)
{
    /* That round, or one that another plan opened since. */
    return node->fresh_round > 0 && node->job->settled_rounds >> (node->fresh_round - 1) == 0;
}

static enum node_state judge_keyed(const struct node *node)
{
    const struct claim *claim = node->claim;
    bool running = node->job->live > 0;
    bool is_here = claim->has_payload && !lost_is(node->job, claim);
    if (node->unsettled > 0)
        return is_here && claim->told != VERDICT_DISPUTED ? NODE_AGREED : NODE_WAITING;
    if (claim->contradicted || claim->told == VERDICT_DISPUTED)
        return NODE_DISPUTED;
    if (claim->told == VERDICT_FAILED)
        return NODE_FAILED;
    if (is_here && !waits_for_fresh_round(node))
        return NODE_AGREED;
    if ((claim->exhausted || claim->futile) && !running)
        return NODE_HALTED;
    return running ? NODE_RUNNING : NODE_READY;
}

enum node_state graph_judge(const struct node *node)
{
    if (node->broken > 0)
        return NODE_BLOCKED;
    if (node->refusal != NULL)
        return NODE_HALTED;
    if (node->job != NULL)
        return judge_keyed(node);
    return node->unsettled == 0 && node->deriving > 0 ? NODE_DERIVING : NODE_WAITING;
}

/* A halted repetition does not take back what an earlier round agreed on; but nothing is built upon bytes that nobody has. */
static bool judge_solid(const struct node *node)
{
    return node->job != NULL && node->unsettled == 0 && node->broken == 0 && node->refusal == NULL &&
           !node->shaken && node->claim->has_payload && !lost_is(node->job, node->claim);
}

static bool judge_bad(const struct node *node)
{
    switch (node->state) {
    case NODE_FAILED:
    case NODE_BLOCKED:
        return true;
    case NODE_HALTED:
        return !node->solid;
    case NODE_WAITING:
    case NODE_DERIVING:
    case NODE_READY:
    case NODE_RUNNING:
    case NODE_AGREED:
    case NODE_DISPUTED:
        return false;
    }
    return false;
}

/* --- edges --- */

static const uint32_t *span(const struct node *node, const uint32_t *first, size_t *ret_count)
{
    size_t index = node_index(node);
    *ret_count = first[index + 1] - first[index];
    return node->plan->edges + first[index];
}

const uint32_t *graph_closure(const struct node *node, size_t *ret_count)
{
    return span(node, node->plan->first_closure, ret_count);
}

const uint32_t *graph_dependencies(const struct node *node, size_t *ret_count)
{
    return span(node, node->plan->first_dependency, ret_count);
}

const uint32_t *graph_dependents(const struct node *node, size_t *ret_count)
{
    return span(node, node->plan->first_dependent, ret_count);
}

/* --- the queue --- */

void graph_queue(struct core *core, struct node *node)
{
    if (node->queued)
        return;
    node->queued = true;
    core->queue = mem_reserve(core->queue, &core->queue_capacity, core->nqueue + 1, sizeof *core->queue);
    core->queue[core->nqueue++] = node;
}

void graph_queue_plan(struct core *core, struct plan *plan)
{
    for (uint32_t i = plan->nnodes; i > 0; i--) /* a stack: the first comes off first */
        graph_queue(core, &plan->nodes[i - 1]);
}

void graph_touch_plan(struct core *core, struct plan *plan)
{
    if (plan->dirty)
        return;
    plan->dirty = true;
    core->dirty_plans = mem_reserve(core->dirty_plans, &core->dirty_plan_capacity, core->ndirty_plans + 1,
                                    sizeof *core->dirty_plans);
    core->dirty_plans[core->ndirty_plans++] = plan;
}

/* Something below was taken back: its key may be stale, and a refusal may have been about the old payloads. */
static void shake(struct node *node)
{
    node->shaken |= node->job != NULL || node->deriving > 0;
    free(STEAL(node->refusal));
}

static void set_solid(struct core *core, struct node *node, bool solid)
{
    if (node->solid == solid)
        return;
    node->solid = solid;
    node->plan->nsolid += solid ? 1 : (uint32_t)-1;
    graph_touch_plan(core, node->plan);
    size_t n;
    const uint32_t *dependents = graph_dependents(node, &n);
    for (size_t i = 0; i < n; i++) {
        struct node *dependent = &node->plan->nodes[dependents[i]];
        dependent->unsettled += solid ? (uint32_t)-1 : 1;
        if (!solid)
            shake(dependent);
        if (solid ? dependent->unsettled == 0 : dependent->unsettled == 1)
            graph_queue(core, dependent);
    }
}

static void set_bad(struct core *core, struct node *node, bool bad)
{
    if (node->bad == bad)
        return;
    node->bad = bad;
    size_t n;
    const uint32_t *dependents = graph_dependents(node, &n);
    for (size_t i = 0; i < n; i++) {
        struct node *dependent = &node->plan->nodes[dependents[i]];
        dependent->broken += bad ? 1 : (uint32_t)-1;
        if (dependent->broken == (bad ? 1 : 0))
            graph_queue(core, dependent);
    }
}

static void set_state(struct core *core, struct node *node, enum node_state state)
{
    if (node->state == state)
        return;
    node->plan->count[node->state]--;
    node->plan->count[state]++;
    node->state = state;
    node->since_ms = core->now_ms;
    graph_touch_plan(core, node->plan);
    struct core_effect *effect = effects_add(core, CORE_NODE_STATE);
    effect->plan = digest_of_link(&node->plan->link);
    effect->node = node_index(node);
    effect->state = state;
}

/* --- deriving --- */

static struct digest *closure_payloads(const struct node *node, size_t *ret_count)
{
    const uint32_t *closure = graph_closure(node, ret_count);
    struct digest *payloads = mem_alloc(*ret_count * sizeof *payloads);
    for (size_t i = 0; i < *ret_count; i++)
        payloads[i] = node->plan->nodes[closure[i]].claim->payload;
    return payloads;
}

/* A closure that is not reachable through the dependencies would let a node start too early. */
static bool closure_is_solid(struct node *node)
{
    size_t n;
    const uint32_t *closure = graph_closure(node, &n);
    for (size_t i = 0; i < n; i++)
        if (!node->plan->nodes[closure[i]].solid) {
            node->refusal =
                mem_format("the plan is wrong: %s is in its closure, but cannot be reached through its "
                           "dependencies; report this, and plan again",
                           node->plan->nodes[closure[i]].id);
            return false;
        }
    return true;
}

static void derive(struct core *core, struct node *node, struct digest *payloads, size_t n,
                   struct digest fingerprint)
{
    node->fingerprint = fingerprint;
    node->deriving++;
    struct core_effect *effect = effects_add(core, CORE_DERIVE);
    effect->plan = digest_of_link(&node->plan->link);
    effect->node = node_index(node);
    effect->payloads = payloads;
    effect->npayloads = n;
}

/* All it needs is there: ask for its key, unless the key it has (or waits for) was made of the very same payloads. */
static void derive_if_needed(struct core *core, struct node *node)
{
    bool had_key = node->job != NULL || node->deriving > 0;
    if (had_key && !node->shaken)
        return;
    node->shaken = false;
    if (!closure_is_solid(node))
        return;
    size_t n;
    struct digest *payloads = closure_payloads(node, &n);
    struct digest fingerprint = digest_of(view_of(payloads, n * sizeof *payloads));
    if (had_key && digest_equal(&fingerprint, &node->fingerprint)) {
        free(payloads);
        return;
    }
    if (node->job != NULL)
        jobs_detach(core, node);
    derive(core, node, payloads, n, fingerprint);
}

static void look_at(struct core *core, struct node *node)
{
    bool cancelled = node->plan->state == PLAN_CANCELLED;
    if (node->unsettled == 0 && node->refusal == NULL && !cancelled)
        derive_if_needed(core, node);
    bool demanding = node->job != NULL && node->unsettled == 0 && node->broken == 0 &&
                     node->refusal == NULL && !node->shaken && !cancelled;
    jobs_demand(core, node, demanding);
    set_solid(core, node, judge_solid(node));
    set_state(core, node, graph_judge(node));
    set_bad(core, node, judge_bad(node));
}

void graph_settle(struct core *core)
{
    while (core->nqueue > 0) {
        struct node *node = core->queue[--core->nqueue];
        node->queued = false;
        look_at(core, node);
    }
}

void graph_unsettle(struct core *core, struct node *node)
{
    set_solid(core, node, false);
    graph_queue(core, node);
}

/* --- plans --- */

static enum plan_state judge_plan(const struct plan *plan)
{
    if (plan->state == PLAN_CANCELLED)
        return PLAN_CANCELLED;
    uint32_t agreed = plan->count[NODE_AGREED];
    uint32_t bad = plan->count[NODE_FAILED] + plan->count[NODE_HALTED] + plan->count[NODE_BLOCKED];
    if (agreed == plan->nnodes && plan->nsolid == plan->nnodes)
        return PLAN_DONE;
    return bad > 0 && agreed + bad == plan->nnodes ? PLAN_FAILED : PLAN_RUNNING;
}

void graph_set_plan_state(struct core *core, struct plan *plan, enum plan_state state)
{
    plan->state = state;
    struct core_effect *effect = effects_add(core, CORE_PLAN_STATE);
    effect->plan = digest_of_link(&plan->link);
    effect->plan_state = state;
}

static void tell_plan(struct core *core, struct plan *plan)
{
    enum plan_state state = judge_plan(plan);
    plan->dirty = false;
    if (state != plan->state)
        graph_set_plan_state(core, plan, state);
}

void graph_tell_plans(struct core *core)
{
    for (size_t i = 0; i < core->ndirty_plans; i++)
        tell_plan(core, core->dirty_plans[i]);
    core->ndirty_plans = 0;
}

void graph_cancel(struct core *core, struct plan *plan)
{
    graph_set_plan_state(core, plan, PLAN_CANCELLED);
    for (uint32_t i = 0; i < plan->nnodes; i++) {
        struct node *node = &plan->nodes[i];
        if (!node->demanding)
            continue;
        jobs_demand(core, node, false);
        if (jobs_demanding(node->job) == 0)
            leases_withdraw_job(core, node->job, "the plan was cancelled");
    }
}

static void unqueue_plan(struct core *core, const struct plan *plan)
{
    size_t kept = 0;
    for (size_t i = 0; i < core->nqueue; i++)
        if (core->queue[i]->plan != plan)
            core->queue[kept++] = core->queue[i];
    core->nqueue = kept;
    kept = 0;
    for (size_t i = 0; i < core->ndirty_plans; i++)
        if (core->dirty_plans[i] != plan)
            core->dirty_plans[kept++] = core->dirty_plans[i];
    core->ndirty_plans = kept;
}

static void unlist_plan(struct core *core, const struct plan *plan)
{
    size_t at = 0;
    while (core->plan_list[at] != plan)
        at++;
    core->nplans--;
    memmove(&core->plan_list[at], &core->plan_list[at + 1], (core->nplans - at) * sizeof(struct plan *));
}

void graph_forget(struct core *core, struct plan *plan)
{
    for (uint32_t i = 0; i < plan->nnodes; i++)
        if (plan->nodes[i].job != NULL)
            jobs_detach(core, &plan->nodes[i]);
    unqueue_plan(core, plan); /* last: each of them queued those that share its job */
    unlist_plan(core, plan);
    table_remove(&core->plans, &plan->link);
    graph_free(plan);
}

struct plan *graph_find(const struct core *core, const struct digest *plan)
{
    return plan_of_link(table_find(&core->plans, plan->bytes));
}

struct plan *graph_free(struct plan *plan)
{
    if (plan == NULL)
        return NULL;
    for (uint32_t i = 0; i < plan->nnodes; i++)
        free(plan->nodes[i].refusal);
    free(plan->nodes);
    free(plan->edges);
    free(plan->first_dependency);
    free(plan->first_dependent);
    free(plan->first_closure);
    free(plan->names);
    free(plan);
    return NULL;
}
