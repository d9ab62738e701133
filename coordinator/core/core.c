/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The step: timers that are due, the event, what follows in the graph, and who gets what. See core.h for the contract and
 * state.h for the data.
 */
#include "core.h"

#include "answers.h"
#include "effects.h"
#include "graph.h"
#include "intern.h"
#include "jobs.h"
#include "leases.h"
#include "lost.h"
#include "ready.h"
#include "rounds.h"
#include "schedule.h"
#include "workers.h"

#include <assert.h>
#include <stdlib.h>

struct core *core_new(const struct core_config *config)
{
    assert(config->random != NULL);
    struct core *core = mem_zero(1, sizeof *core);
    core->config = *config;
    core->worker_names = map_new();
    core->operator_names = map_new();
    core->texts = map_new();
    core->rules = map_new();
    core->demands = map_new();
    core->groups_by_key = map_new();
    core->outvoted = map_new();
    return core;
}

static void free_jobs(struct core *core)
{
    size_t cursor = 0;
    for (struct table_link *link = table_next(&core->jobs, &cursor, NULL), *next; link != NULL; link = next) {
        next = table_next(&core->jobs, &cursor, link);
        jobs_free(job_of_link(link));
    }
    cursor = 0;
    for (struct table_link *link = table_next(&core->leases, &cursor, NULL), *next; link != NULL;
         link = next) {
        next = table_next(&core->leases, &cursor, link);
        leases_free(lease_of_link(link));
    }
    table_done(&core->jobs);
    table_done(&core->leases);
    table_done(&core->plans);
}

static void free_lists(struct core *core)
{
    free(core->plan_list);
    free(core->workers);
    free(core->operators);
    free(core->pools[0].items);
    free(core->pools[1].items);
    free(core->queue);
    free(core->dirty_jobs);
    free(core->idle_jobs);
    free(core->dirty_plans);
    free(core->touched);
    free(core->asked);
    free(core->reserved);
}

struct core *core_free(struct core *core)
{
    if (core == NULL)
        return NULL;
    ready_done(core);
    for (size_t i = 0; i < core->nplans; i++)
        graph_free(core->plan_list[i]);
    free_jobs(core);
    for (size_t i = 0; i < core->nworkers; i++)
        workers_free(core->workers[i]);
    for (size_t i = 0; i < core->noperators; i++)
        workers_free_operator(core->operators[i]);
    intern_done(core);
    map_free(core->worker_names);
    map_free(core->operator_names);
    map_free(core->groups_by_key);
    map_free(core->outvoted);
    timers_done(&core->timers);
    free_lists(core);
    free(core->held_text);
    free(core);
    return NULL;
}

/* --- finding what an event is about --- */

static int need_worker(struct core *core, const struct core_event *event, struct worker **ret,
                       struct diag *diag)
{
    struct worker *worker = workers_find(core, event->name);
    if (worker == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no worker is called %s",
                        event->name != NULL ? event->name : "(nothing)");
    *ret = worker;
    return 0;
}

static int need_session(struct core *core, const struct core_event *event, struct worker **ret,
                        struct diag *diag)
{
    int r = need_worker(core, event, ret, diag);
    if (r < 0)
        return r;
    if ((*ret)->revoked || !(*ret)->admitted)
        return diag_set(diag, FARM_E_STATE, "worker %s is %s", event->name,
                        (*ret)->revoked ? "revoked" : "not admitted");
    return 0;
}

static int need_node(struct core *core, const struct core_event *event, struct node **ret, struct diag *diag)
{
    struct plan *plan = graph_find(core, &event->plan);
    if (plan == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no plan %s", digest_hex(&event->plan).text);
    if (event->node >= plan->nnodes)
        return diag_set(diag, FARM_E_UNKNOWN, "plan %s has %u nodes, not %zu", digest_hex(&event->plan).text,
                        plan->nnodes, event->node + 1);
    *ret = &plan->nodes[event->node];
    return 0;
}

/* --- workers --- */

static int on_tick(struct core *core, const struct core_event *event, struct diag *diag)
{
    (void)core;
    (void)event;
    (void)diag;
    return 0;
}

static int on_worker_admitted(struct core *core, const struct core_event *event, struct diag *diag)
{
    return workers_admit(core, &event->worker, diag);
}

static int on_worker_revoked(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_worker(core, event, &worker, diag);
    if (r >= 0)
        workers_revoke(core, worker);
    return r;
}

static int on_worker_online(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_session(core, event, &worker, diag);
    if (r >= 0)
        workers_online(core, worker, event);
    return r;
}

static int on_worker_offline(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_session(core, event, &worker, diag);
    if (r >= 0 && worker != NULL && worker->online)
        workers_offline(core, worker);
    return r;
}

static int on_worker_heard(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_session(core, event, &worker, diag);
    if (r < 0 || worker == NULL)
        return r;
    if (!worker->online)
        return diag_set(diag, FARM_E_STATE, "worker %s is offline; it must say hello first", event->name);
    worker->heard_ms = core->now_ms;
    return 0;
}

static int on_worker_pause(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_worker(core, event, &worker, diag);
    if (worker != NULL && worker->paused != event->flag)
        workers_pause(core, worker, event->flag);
    return r;
}

static int on_operator_clear(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct operator* operator= workers_operator(core, event->name);
    if (operator== NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no operator is called %s",
                        event->name != NULL ? event->name : "(nothing)");
    workers_clear(core, operator);
    return 0;
}

static int on_operator_flag(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct operator* operator= workers_operator(core, event->name);
    if (operator== NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no operator is called %s",
                        event->name != NULL ? event->name : "(nothing)");
    workers_flag(core, operator, event->text != NULL ? event->text : "flagged before");
    return 0;
}

/* Released, everybody is offered work again: what was placed meanwhile was offered to nobody. */
static int on_hold(struct core *core, const struct core_event *event, struct diag *diag)
{
    (void)diag;
    free(core->held_text);
    core->held = event->flag;
    core->held_text = event->flag ? mem_string(event->text != NULL ? event->text : "held") : NULL;
    for (size_t i = 0; !core->held && i < core->nworkers; i++)
        workers_touch(core, core->workers[i]);
    return 0;
}

/* --- plans --- */

/* A second chance for what halted; failures that quorum operators reported stay. */
static void forgive(struct core *core, struct plan *plan)
{
    for (uint32_t i = 0; i < plan->nnodes; i++) {
        struct node *node = &plan->nodes[i];
        free(STEAL(node->refusal));
        if (node->state != NODE_HALTED || node->job == NULL)
            continue;
        for (struct lease *lease = node->job->leases; lease != NULL; lease = lease->job_next)
            lease->forgiven = lease->trouble;
        jobs_touch(core, node->job);
    }
}

static void repeat(struct core *core, struct plan *plan)
{
    for (uint32_t i = 0; i < plan->nnodes; i++) {
        struct node *node = &plan->nodes[i];
        if (node->job == NULL)
            continue;
        jobs_refresh_round(core, node);
        rounds_judge(core, node->job, 0);
        jobs_touch(core, node->job);
    }
}

static void set_from_scratch(struct core *core, struct plan *plan, const struct core_event *event)
{
    plan->from_scratch = true;
    int64_t since_ms =
        event->since_ms != 0 ? event->since_ms : core->now_ms + 1; /* also what began just now */
    /* The wall clock may have been set back since it was asked for: nobody asked in the future. */
    plan->fresh_since_ms = since_ms < core->now_ms + 1 ? since_ms : core->now_ms + 1;
}

static void resume(struct core *core, struct plan *plan)
{
    graph_set_plan_state(core, plan, PLAN_RUNNING);
    forgive(core, plan);
    graph_queue_plan(core, plan);
    graph_touch_plan(core, plan);
}

static int on_plan_start(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct plan *plan = graph_find(core, &event->plan);
    workers_end_rests(core); /* whoever asks for a build has repaired what there was to repair */
    if (plan == NULL) {
        int r = graph_add(core, event, &plan, diag);
        if (r >= 0 && event->flag)
            set_from_scratch(core, plan, event);
        return r;
    }
    if (plan->state == PLAN_RUNNING)
        return !event->flag ? 0
                            : diag_set(diag, FARM_E_STATE,
                                       "plan %.16s is still running; wait for it or cancel it, "
                                       "then build it from scratch",
                                       digest_hex(&event->plan).text);
    if (plan->state == PLAN_DONE && !event->flag)
        return 0;
    resume(core, plan);
    if (event->flag) {
        set_from_scratch(core, plan, event);
        repeat(core, plan);
    }
    return 0;
}

static int on_plan_cancel(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct plan *plan = graph_find(core, &event->plan);
    if (plan == NULL)
        return diag_set(diag, FARM_E_UNKNOWN, "no plan %s", digest_hex(&event->plan).text);
    if (plan->state != PLAN_RUNNING)
        return diag_set(diag, FARM_E_STATE, "plan %.16s is %s; only a running plan can be cancelled",
                        digest_hex(&event->plan).text, plan_state_name(plan->state));
    graph_cancel(core, plan);
    return 0;
}

static int on_plan_forget(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct plan *plan = graph_find(core, &event->plan);
    if (plan == NULL)
        return 0;
    if (plan->state == PLAN_RUNNING)
        return diag_set(diag, FARM_E_STATE,
                        "plan %.16s is running; only a plan that has ended can be forgotten",
                        digest_hex(&event->plan).text);
    graph_forget(core, plan);
    return 0;
}

static int on_job_history(struct core *core, const struct core_event *event, struct diag *diag)
{
    return jobs_history(core, event, diag);
}

/* Of several derivations under way only the last counts: the payloads changed meanwhile. */
static int take_derivation(struct core *core, const struct core_event *event, struct node **ret,
                           struct diag *diag)
{
    int r = need_node(core, event, ret, diag);
    if (r < 0)
        return r;
    if ((*ret)->deriving == 0)
        return diag_set(diag, FARM_E_STATE, "nobody asked for the key of %s", (*ret)->id);
    (*ret)->deriving--;
    graph_queue(core, *ret);
    return 0;
}

static int on_node_keyed(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct node *node = NULL;
    int r = take_derivation(core, event, &node, diag);
    if (r >= 0 && node->deriving == 0)
        jobs_attach(core, node, jobs_obtain(core, &event->key));
    return r;
}

static int on_node_refused(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct node *node = NULL;
    int r = take_derivation(core, event, &node, diag);
    if (r < 0 || node->deriving > 0)
        return r;
    free(node->refusal);
    node->refusal = mem_string(event->text != NULL ? event->text : "no reason given");
    return 0;
}

/* --- leases --- */

static int on_answer(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_worker(core, event, &worker, diag);
    if (r >= 0)
        answers_take(core, worker, &event->answer);
    return r;
}

static int on_vote_void(struct core *core, const struct core_event *event, struct diag *diag)
{
    (void)diag;
    answers_void(core, &event->answer.nonce, &event->answer.envelope);
    return 0;
}

static int on_payload_lost(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct job *job = jobs_find(core, &event->key);
    (void)diag;
    if (job != NULL)
        lost_add(core, job, &event->answer.payload);
    return 0;
}

static int on_payload_back(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct job *job = jobs_find(core, &event->key);
    (void)diag;
    if (job != NULL)
        lost_remove(core, job, &event->answer.payload);
    return 0;
}

static int on_lease_refused(struct core *core, const struct core_event *event, struct diag *diag)
{
    struct worker *worker = NULL;
    int r = need_worker(core, event, &worker, diag);
    if (r < 0)
        return r;
    struct lease *lease = leases_find(core, &event->answer.nonce);
    workers_forget_presented(core, worker, &event->answer.nonce);
    if (lease == NULL || lease->worker != worker)
        return diag_set(diag, FARM_E_UNKNOWN, "worker %s refuses a lease that it was not granted",
                        event->name);
    if (lease->state == LEASE_LIVE) {
        leases_end(core, lease, LEASE_REFUSED, event->text, true);
        workers_trouble(core, worker);
        return 0;
    }
    if (!lease->occupying)
        return diag_set(diag, FARM_E_STATE, "worker %s refuses a lease that is %s already", event->name,
                        lease_state_name(lease->state));
    leases_stop_lingering(core, lease);
    return 0;
}

typedef int event_handler(struct core *core, const struct core_event *event, struct diag *diag);

static event_handler *const handlers[] = {
    [CORE_TICK] = on_tick,
    [CORE_WORKER_ADMITTED] = on_worker_admitted,
    [CORE_WORKER_REVOKED] = on_worker_revoked,
    [CORE_VOTE_VOID] = on_vote_void,
    [CORE_WORKER_ONLINE] = on_worker_online,
    [CORE_WORKER_OFFLINE] = on_worker_offline,
    [CORE_WORKER_HEARD] = on_worker_heard,
    [CORE_WORKER_PAUSE] = on_worker_pause,
    [CORE_OPERATOR_CLEAR] = on_operator_clear,
    [CORE_PLAN_START] = on_plan_start,
    [CORE_PLAN_CANCEL] = on_plan_cancel,
    [CORE_PLAN_FORGET] = on_plan_forget,
    [CORE_JOB_HISTORY] = on_job_history,
    [CORE_NODE_KEYED] = on_node_keyed,
    [CORE_NODE_REFUSED] = on_node_refused,
    [CORE_ANSWER] = on_answer,
    [CORE_LEASE_REFUSED] = on_lease_refused,
    [CORE_OPERATOR_FLAG] = on_operator_flag,
    [CORE_HOLD] = on_hold,
    [CORE_PAYLOAD_LOST] = on_payload_lost,
    [CORE_PAYLOAD_BACK] = on_payload_back,
};

/* --- the step --- */

static void run_timers(struct core *core)
{
    for (struct timer *first = timers_first(&core->timers); first != NULL && first->at_ms <= core->now_ms;
         first = timers_first(&core->timers)) {
        struct core_timer *timer = (struct core_timer *)first; /* its first member */
        timers_cancel(&core->timers, first);
        switch (timer->kind) {
        case TIMER_SESSION:
        case TIMER_REST:
            workers_on_timer(core, timer->owner, timer->kind);
            break;
        case TIMER_LEASE:
        case TIMER_RETRY:
            leases_on_timer(core, timer->owner, timer->kind);
            break;
        }
    }
}

static void settle(struct core *core)
{
    do {
        graph_settle(core);
        schedule_run(core);
    } while (core->nqueue > 0 || core->ndirty_jobs > 0 || core->ntouched > 0);
    graph_tell_plans(core);
}

int core_step(struct core *core, int64_t now_ms, const struct core_event *event, struct core_effects *ret,
              struct diag *diag)
{
    assert(now_ms >= core->now_ms && (size_t)event->type < ARRAY_SIZE(handlers));
    core->now_ms = now_ms;
    core->effects = ret;
    run_timers(core);
    int r = handlers[event->type](core, event, diag);
    if (r < 0)
        core->illegal_events++;
    settle(core);
    if (event->type == CORE_TICK || event->type == CORE_PLAN_FORGET)
        jobs_sweep(core);
    core->effects = NULL;
    return r;
}

int64_t core_next_tick(const struct core *core)
{
    const struct timer *first = timers_first(&core->timers);
    return first != NULL ? first->at_ms : INT64_MAX;
}
