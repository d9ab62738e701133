/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The clock, the driver, crashes: see sim.h. */
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* A run ends after this much virtual time, whatever happens; the second half is calm. */
enum { DAY_MS = 6 * 3600 * 1000, CRASHES_MAX = 4, STEPS_MAX = 400000, QUIET_MS = 1800 * 1000 };

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    fprintf(stderr, "sim_core: seed %llu, step %zu, %lld ms: ", (unsigned long long)sim->options.seed,
            sim->steps, (long long)sim->now_ms);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "\nreplay: sim_core --seed %llu --jobs %u --workers %u --plant %d --verbose\n",
            (unsigned long long)sim->options.seed, sim->options.jobs, sim->options.workers,
            (int)sim->options.plant);
    exit(1);
}

/* splitmix64 (Steele, Lea and Flood, 2014). */
static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t sim_random(struct sim *sim)
{
    return next_random(&sim->random);
}

uint64_t sim_below(struct sim *sim, uint64_t n)
{
    return sim_random(sim) % n;
}

bool sim_chance(struct sim *sim, unsigned int percent)
{
    return sim_below(sim, 100) < percent;
}

static void core_random(void *context, void *ret, size_t size)
{
    for (unsigned char *at = ret; size > 0;) {
        uint64_t word = next_random(context);
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, n);
        at += n;
        size -= n;
    }
}

/* --- the coordinator's life --- */

static void open_core(struct sim *sim)
{
    struct core_config config = {
        .session_timeout_ms = 30000,
        .lease_grace_ms = 60000,
        .lease_margin_ms = 60000,
        .outvoted_limit = 3,
        .refusals_limit = 5,
        .rest_ms = 60000,
        .random = core_random,
        .random_context = &sim->core_random,
    };
    sim->core = core_new(&config);
}

static void tell_workers(struct sim *sim)
{
    size_t life = sim->crashes;
    for (size_t i = 0; i < sim->nworkers && life == sim->crashes; i++) {
        struct sim_worker *worker = &sim->workers[i];
        struct core_event event = {
            .type = CORE_WORKER_ADMITTED,
            .name = worker->name,
            .worker = {.name = worker->name,
                       .operator_name = worker->border_operator,
                       .anchor = sim->operators[worker->operator_index].anchor,
                       .cpu_vendor = worker->cpu_vendor},
        };
        world_step(sim, &event);
        event = (struct core_event){.type = CORE_WORKER_REVOKED, .name = worker->name};
        if (worker->revoked && life == sim->crashes)
            world_step(sim, &event);
        event = (struct core_event){.type = CORE_WORKER_PAUSE, .name = worker->name, .flag = worker->paused};
        if (worker->paused && life == sim->crashes)
            world_step(sim, &event);
    }
    for (size_t i = 0; i < sim->noperators && life == sim->crashes; i++) {
        struct core_event event = {
            .type = CORE_OPERATOR_FLAG, .name = sim->operators[i].name, .text = "flagged before"};
        if (sim->operators[i].flagged)
            world_step(sim, &event);
    }
    if (life == sim->crashes)
        revoke_go_on(sim);
}

static void forget_tasks(struct sim *sim)
{
    for (size_t i = 0; i < sim->ntasks; i++)
        free(sim->tasks[i].payloads);
    sim->ntasks = 0;
}

/* It may die again in the middle: then the inner restart did all that is left to do. */
static void restart(struct sim *sim)
{
    size_t life = ++sim->crashes;
    core_free(sim->core);
    forget_tasks(sim);
    workers_coordinator_gone(sim);
    sim->now_ms += (int64_t)sim_below(sim, 60000);
    open_core(sim);
    tell_workers(sim);
    for (size_t p = 0; p < PLANS && life == sim->crashes; p++) {
        struct sim_plan *plan = &sim->plans[p];
        memset(plan->deriving, 0, sim->nnodes * sizeof *plan->deriving);
        memset(plan->derived, 0, sim->nnodes * sizeof *plan->derived);
        if (plan->wanted && plan->state != PLAN_CANCELLED) {
            plan->state = PLAN_RUNNING;
            plan_start(sim, p, plan->from_scratch);
        }
    }
}

/* --- the driver --- */

static void start_task(struct sim *sim, const struct core_effect *effect)
{
    struct sim_task task = {.at = sim->now_ms + (int64_t)sim_below(sim, 50), .node = effect->node};
    while (!digest_equal(&sim->plans[task.plan].id, &effect->plan))
        task.plan++;

    task.npayloads = effect->npayloads;
    task.payloads = mem_copy(effect->payloads, effect->npayloads * sizeof *task.payloads);
    task.key = plan_key(sim, task.node, task.payloads, task.npayloads);
    if (sim->ntasks > 0 && sim->tasks[sim->ntasks - 1].at > task.at)
        task.at = sim->tasks[sim->ntasks - 1].at; /* answered in order */
    sim->tasks = mem_reserve(sim->tasks, &sim->task_capacity, sim->ntasks + 1, sizeof *sim->tasks);
    sim->tasks[sim->ntasks++] = task;
    sim->plans[task.plan].deriving[task.node]++;
}

static void run_task(struct sim *sim)
{
    struct sim_task task = sim->tasks[0];
    memmove(sim->tasks, sim->tasks + 1, --sim->ntasks * sizeof *sim->tasks);
    struct sim_plan *plan = &sim->plans[task.plan];
    if (!model_feed(sim, &task.key)) {
        free(task.payloads);
        return; /* the coordinator died meanwhile */
    }
    if (--plan->deriving[task.node] == 0) {
        free(plan->payloads[task.node]);
        plan->payloads[task.node] = task.payloads;
        plan->keys[task.node] = task.key;
        plan->derived[task.node] = true;
    } else {
        free(task.payloads);
    }
    struct core_event event = {.type = CORE_NODE_KEYED, .plan = plan->id, .node = task.node, .key = task.key};
    world_step(sim, &event);
}

static void show(struct sim *sim, const struct core_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        const struct core_effect *effect = &effects->items[i];
        switch (effect->type) {
        case CORE_DERIVE:
            start_task(sim, effect);
            break;
        case CORE_LEASE_GRANTED:
            workers_take(sim, &effect->lease);
            break;
        case CORE_LEASE_ENDED:
            workers_told_end(sim, &effect->lease);
            break;
        case CORE_ANSWERED:
            workers_told_answered(sim, effect);
            break;
        case CORE_VOTE:
        case CORE_VERDICT:
        case CORE_NODE_STATE:
        case CORE_PLAN_STATE:
        case CORE_OPERATOR_FLAGGED:
        case CORE_WORKER_RESTS:
            break;
        }
    }
}

static bool dies(struct sim *sim)
{
    return sim->now_ms < sim->calm_at && sim->crashes < CRASHES_MAX && sim_below(sim, 2000) == 0;
}

static void log_event(const struct sim *sim, const struct core_event *event,
                      const struct core_effects *effects)
{
    if (!sim->options.verbose)
        return;
    fprintf(stderr, "%lld event %d %s %s:", (long long)sim->now_ms, (int)event->type,
            event->name != NULL ? event->name : "", event->text != NULL ? event->text : "");
    for (size_t i = 0; i < effects->count; i++) {
        const struct core_effect *e = &effects->items[i];
        fprintf(stderr, " [%d n%zu %s]", (int)e->type,
                e->type == CORE_LEASE_GRANTED || e->type == CORE_LEASE_ENDED || e->type == CORE_ANSWERED
                    ? e->lease.node
                    : e->node,
                e->type == CORE_ANSWERED     ? answer_fate_name(e->fate)
                : e->type == CORE_NODE_STATE ? node_state_name(e->state)
                : e->type == CORE_PLAN_STATE ? plan_state_name(e->plan_state)
                : e->type == CORE_VERDICT    ? verdict_state_name(e->verdict->state)
                : e->type == CORE_LEASE_GRANTED || e->type == CORE_LEASE_ENDED ? e->lease.worker
                                                                               : "");
    }
    fputc('\n', stderr);
}

bool world_step(struct sim *sim, const struct core_event *event)
{
    struct core_effects effects = CORE_EFFECTS_INIT;
    struct diag diag = DIAG_INIT;
    size_t crashes = sim->crashes;
    sim->steps++;
    int r = core_step(sim->core, sim->now_ms, event, &effects, &diag);
    log_event(sim, event, &effects);
    if (core_check(sim->core, &diag) < 0)
        sim_fail(sim, "core_check: %s", diag.text);
    if (r < 0 && event->type != CORE_WORKER_HEARD && event->type != CORE_LEASE_REFUSED &&
        event->type != CORE_WORKER_OFFLINE && event->type != CORE_WORKER_ONLINE &&
        event->type != CORE_PLAN_CANCEL && event->type != CORE_OPERATOR_FLAG)
        sim_fail(sim, "event %d is refused: %s", (int)event->type, diag.text);
    if (dies(sim)) {
        core_effects_done(&effects);
        restart(sim); /* before anything was recorded */
        return false;
    }
    model_record(sim, event, &effects);
    if (effects.count > 0)
        sim->last_effect_at = sim->now_ms;
    if (dies(sim))
        restart(sim); /* recorded, and nothing sent */
    else
        show(sim, &effects);
    core_effects_clear(&effects);
    core_effects_done(&effects);
    return sim->crashes == crashes;
}

/* --- what the farm's people do --- */

static void clear_operator(struct sim *sim, struct sim_operator *operator)
{
    struct core_event event = {.type = CORE_OPERATOR_CLEAR, .name = operator->name };
    operator->flagged = false;
    if (sim->options.plant != PLANT_COUNT_WORKERS)
        world_step(sim, &event);
}

static void pause_worker(struct sim *sim, struct sim_worker *worker)
{
    if (worker->revoked)
        return;
    worker->paused = !worker->paused && sim->now_ms < sim->calm_at;
    struct core_event event = {.type = CORE_WORKER_PAUSE, .name = worker->name, .flag = worker->paused};
    world_step(sim, &event);
}

static void act_people(struct sim *sim)
{
    uint64_t x = sim_below(sim, 100);
    struct sim_plan *plan = &sim->plans[sim_below(sim, PLANS)];
    size_t p = (size_t)(plan - sim->plans);
    sim->last_action_at = sim->now_ms;
    if (x < 10)
        clear_operator(sim, &sim->operators[sim_below(sim, sim->noperators)]);
    else if (x < 20)
        pause_worker(sim, &sim->workers[sim_below(sim, sim->nworkers)]);
    else if (x < 22)
        revoke_worker(sim, &sim->workers[sim_below(sim, sim->nworkers)]);
    else if (x < 24 && plan->wanted && plan->state != PLAN_RUNNING)
        plan_start(sim, p, plan->state == PLAN_DONE);
    else if (x < 25 && plan->wanted && plan->state == PLAN_RUNNING) {
        struct core_event event = {.type = CORE_PLAN_CANCEL, .plan = plan->id};
        world_step(sim, &event);
    }
}

/* In the second half, everything that a person can do for the plans is done. */
static void calm_down(struct sim *sim)
{
    for (size_t i = 0; i < sim->nworkers; i++) {
        sim->workers[i].paused = true;
        pause_worker(sim, &sim->workers[i]);
    }
    for (size_t i = 0; i < sim->noperators; i++)
        clear_operator(sim, &sim->operators[i]);
    for (size_t p = 0; p < PLANS; p++)
        if (sim->plans[p].wanted &&
            (sim->plans[p].state == PLAN_FAILED || sim->plans[p].state == PLAN_CANCELLED))
            plan_start(sim, p, false);
}

/* --- the run --- */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_time(const struct sim *sim)
{
    int64_t next = least(sim->horizon_ms, least(workers_next(sim), core_next_tick(sim->core)));
    if (sim->ntasks > 0)
        next = least(next, sim->tasks[0].at);
    for (size_t p = 0; p < PLANS; p++)
        if (!sim->plans[p].wanted)
            next = least(next, sim->plans[p].start_at);
    return next > sim->now_ms ? next : sim->now_ms;
}

static bool all_ended(const struct sim *sim)
{
    for (size_t p = 0; p < PLANS; p++)
        if ((sim->plans[p].wanted && sim->plans[p].state == PLAN_RUNNING) ||
            (!sim->plans[p].wanted && sim->plans[p].start_at != INT64_MAX))
            return false;
    return true;
}

static void act(struct sim *sim)
{
    struct core_event tick = {.type = CORE_TICK};
    for (size_t p = 0; p < PLANS; p++)
        if (!sim->plans[p].wanted && sim->plans[p].start_at <= sim->now_ms) {
            plan_start(sim, p, false);
            return;
        }
    if (sim->ntasks > 0 && sim->tasks[0].at <= sim->now_ms)
        run_task(sim);
    else if (core_next_tick(sim->core) <= sim->now_ms)
        world_step(sim, &tick);
    else if (sim->now_ms < sim->calm_at && sim->now_ms - sim->last_action_at > 20000)
        act_people(sim);
    else
        workers_act(sim);
}

/* Where nobody lies and every machine works in the end, everything ends. Only rules that these operators could never
 * satisfy may leave something waiting. */
static bool could_satisfy(const struct sim *sim, const struct rules *rules)
{
    uint32_t operators = 0, anchors = 0;
    bool seen[64] = {false};
    for (size_t i = 0; i < sim->nworkers; i++) {
        const struct sim_worker *worker = &sim->workers[i];
        if (seen[worker->operator_index] || worker->revoked)
            continue;
        seen[worker->operator_index] = true;
        operators++;
        anchors += sim->operators[worker->operator_index].anchor;
    }
    return operators >= rules->quorum && anchors >= rules->anchors && rules->distinct == 0;
}

static void check_end(struct sim *sim)
{
    model_finish(sim);
    for (size_t p = 0; p < PLANS; p++) {
        const struct sim_plan *plan = &sim->plans[p];
        bool quiet = sim->now_ms - sim->last_effect_at > QUIET_MS; /* else its slow workers are still at it */
        if (sim->all_honest && quiet && plan->wanted && plan->state == PLAN_RUNNING &&
            could_satisfy(sim, &plan->rules))
            sim_fail(sim, "everybody is honest and there are enough of them, and plan %zu did not end", p);
    }
}

void world_run(const struct sim_options *options, struct sim *ret_totals)
{
    struct sim sim = {.options = *options, .random = options->seed, .core_random = options->seed ^ 0x5eed};
    sim.now_ms = 1000000;
    sim.calm_at = sim.now_ms + DAY_MS / 8;
    sim.horizon_ms = sim.now_ms + DAY_MS;
    sim.all_honest = sim_chance(&sim, 25);
    model_open(&sim);
    workers_make(&sim);
    plan_make(&sim);
    open_core(&sim);
    tell_workers(&sim);
    bool calm = false;
    while (sim.now_ms < sim.horizon_ms && sim.steps < STEPS_MAX &&
           !(calm && (all_ended(&sim) || sim.now_ms - sim.last_effect_at > QUIET_MS))) {
        sim.now_ms = next_time(&sim);
        if (!calm && sim.now_ms >= sim.calm_at) {
            calm = true;
            calm_down(&sim);
        }
        act(&sim);
    }
    check_end(&sim);
    ret_totals->steps += sim.steps;
    ret_totals->crashes += sim.crashes;
    ret_totals->answers += sim.answers;
    ret_totals->late += sim.late;
    ret_totals->verdicts += sim.verdicts;
    ret_totals->disputes += sim.disputes;
    ret_totals->forgeries += sim.forgeries;
    ret_totals->voided += sim.voided;
    ret_totals->reopened += sim.reopened;
    core_free(sim.core);
    forget_tasks(&sim);
    free(sim.tasks);
    plan_done(&sim);
    workers_done(&sim);
    model_close(&sim);
}
