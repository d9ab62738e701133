/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "workers.h"

#include "effects.h"
#include "intern.h"
#include "jobs.h"
#include "leases.h"
#include "ready.h"
#include "reserve.h"
#include "rounds.h"

#include <stdlib.h>

struct worker *workers_find(const struct core *core, const char *name)
{
    return name != NULL ? map_get(core->worker_names, view_text(name)) : NULL;
}

struct operator* workers_operator(const struct core *core, const char *name)
{
    return name != NULL ? map_get(core->operator_names, view_text(name)) : NULL;
}

static struct operator* operator_obtain(struct core *core, const char *name)
{
    struct operator* operator= workers_operator(core, name);
    if (operator!= NULL)
        return operator;
    operator= mem_zero(1, sizeof *operator);
    operator->name = mem_string(name);
    operator->index =(uint32_t) core->noperators;
    core->operators = mem_reserve(core->operators, &core->operator_capacity, core->noperators + 1,
                                  sizeof(struct operator*));
    core->operators[core->noperators++] = operator;
    map_set(core->operator_names, view_text(name), operator);
    return operator;
}

struct worker *workers_obtain(struct core *core, const char *name, const char *operator_name)
{
    struct worker *worker = workers_find(core, name);
    if (worker != NULL)
        return worker;
    worker = mem_zero(1, sizeof *worker);
    worker->name = mem_string(name);
    worker->operator= operator_obtain(core, operator_name);
    worker->session = (struct core_timer){.kind = TIMER_SESSION, .owner = worker};
    worker->rest = (struct core_timer){.kind = TIMER_REST, .owner = worker};
    core->workers =
        mem_reserve(core->workers, &core->worker_capacity, core->nworkers + 1, sizeof(struct worker *));
    core->workers[core->nworkers++] = worker;
    map_set(core->worker_names, view_text(name), worker);
    return worker;
}

void workers_free(struct worker *worker)
{
    for (size_t i = 0; i < FACTS; i++)
        free(worker->fact_text[i]);
    free(worker->name);
    free(worker->presented);
    free(worker);
}

void workers_free_operator(struct operator* operator)
{
    free(operator->name);
    free(operator->flag_text);
    free(operator);
}

/* --- who is free --- */

bool workers_is_available(const struct core *core, const struct worker *worker)
{
    return worker->admitted && !worker->revoked && worker->online && !worker->paused &&
           worker->resting_until_ms <= core->now_ms && !worker->operator->flagged;
}

bool workers_is_free(const struct core *core, const struct worker *worker)
{
    return workers_is_available(core, worker) && workers_taken_slots(worker) < worker->capacity.slots;
}

uint32_t workers_taken_slots(const struct worker *worker)
{
    return worker->used_slots + (uint32_t)worker->npresented;
}

bool workers_forget_presented(struct core *core, struct worker *worker, const struct core_nonce *nonce)
{
    for (size_t i = 0; i < worker->npresented; i++) {
        if (memcmp(&worker->presented[i], nonce, sizeof *nonce) != 0)
            continue;
        worker->presented[i] = worker->presented[--worker->npresented];
        workers_touch(core, worker);
        return true;
    }
    return false;
}

bool workers_fits(const struct worker *worker, const struct demand *demand)
{
    const struct core_capacity *has = &worker->capacity;
    return workers_taken_slots(worker) < has->slots &&
           worker->used_memory + demand->memory_bytes <= has->memory_bytes &&
           worker->used_disk + demand->disk_bytes <= has->disk_bytes &&
           (workers_taken_slots(worker) == 0 || worker->used_cores + demand->cores <= has->cores);
}

bool workers_could_fit(const struct worker *worker, const struct demand *demand)
{
    return worker->capacity.slots > 0 && demand->memory_bytes <= worker->capacity.memory_bytes &&
           demand->disk_bytes <= worker->capacity.disk_bytes;
}

void workers_charge(struct worker *worker, const struct demand *demand, int sign)
{
    uint64_t by = (uint64_t)(int64_t)sign; /* wraps on purpose: subtracting is adding the complement */
    worker->used_cores += by * demand->cores;
    worker->used_memory += by * demand->memory_bytes;
    worker->used_disk += by * demand->disk_bytes;
}

static void pool_add(struct pool *pool, struct worker *worker)
{
    pool->items = mem_reserve(pool->items, &pool->capacity, pool->count + 1, sizeof(struct worker *));
    pool->items[pool->count++] = worker;
    worker->pool_slot = pool->count;
}

static void pool_remove(struct pool *pool, struct worker *worker)
{
    struct worker *last = pool->items[--pool->count];
    pool->items[worker->pool_slot - 1] = last;
    last->pool_slot = worker->pool_slot;
    worker->pool_slot = 0;
}

void workers_update(struct core *core, struct worker *worker)
{
    struct pool *pool = &core->pools[worker->operator->anchor];
    bool free_now = workers_is_free(core, worker);
    if (worker->reserved_for != NULL && !workers_is_available(core, worker))
        reserve_release_worker(core, worker);
    if (free_now && worker->pool_slot == 0)
        pool_add(pool, worker);
    else if (!free_now && worker->pool_slot != 0)
        pool_remove(pool, worker);
}

void workers_touch(struct core *core, struct worker *worker)
{
    workers_update(core, worker);
    core->offer_again = true;
    if (worker->touched)
        return;
    worker->touched = true;
    core->touched =
        mem_reserve(core->touched, &core->touched_capacity, core->ntouched + 1, sizeof(struct worker *));
    core->touched[core->ntouched++] = worker;
}

/* --- operators --- */

static bool is_able(const struct operator* operator)
{
    return operator->workers> 0 && !operator->flagged;
}

/* Jobs that gave up for want of operators get another look: rare, so all jobs are walked. */
static void reconsider_exhausted(struct core *core)
{
    size_t cursor = 0;
    if (core->nexhausted == 0)
        return;
    for (struct table_link *link = table_next(&core->jobs, &cursor, NULL); link != NULL;
         link = table_next(&core->jobs, &cursor, link))
        jobs_touch(core, job_of_link(link));
}

/* There are fewer to ask: who waits may wait for nobody. As rare. */
static void reconsider_waiting(struct core *core)
{
    size_t cursor = 0;
    for (struct table_link *link = table_next(&core->jobs, &cursor, NULL); link != NULL;
         link = table_next(&core->jobs, &cursor, link))
        if (job_of_link(link)->group != NULL)
            jobs_touch(core, job_of_link(link));
}

static void count_able(struct core *core, const struct operator* operator, bool was_able, bool was_anchor)
{
    bool able = is_able(operator);
    core->able += (uint32_t)able - (uint32_t)was_able;
    core->able_anchors += (uint32_t)(able && operator->anchor) - (uint32_t)(was_able && was_anchor);
    if (able && (!was_able || (operator->anchor && !was_anchor)))
        reconsider_exhausted(core);
    if ((was_able && !able) || (able && was_anchor && !operator->anchor))
        reconsider_waiting(core);
}

static void each_worker_of(struct core *core, const struct operator* operator,
                           void (*act)(struct core *core, struct worker *worker))
{
    for (size_t i = 0; i < core->nworkers; i++)
        if (core->workers[i]->operator== operator)
            act(core, core->workers[i]);
}

void workers_flag(struct core *core, struct operator* operator, const char * text)
{
    if (operator->flagged)
        return;
    bool was_able = is_able(operator);
    operator->flagged = true;
    free(operator->flag_text);
    operator->flag_text = mem_string(text);
    count_able(core, operator, was_able, operator->anchor);
    each_worker_of(core, operator, workers_update);
    ready_worker_left(core);
}

void workers_clear(struct core *core, struct operator* operator)
{
    bool was_able = is_able(operator);
    operator->forgiven = operator->outvoted;
    operator->flagged = false;
    count_able(core, operator, was_able, operator->anchor);
    each_worker_of(core, operator, workers_touch);
}

/* --- admission --- */

static void set_operator_anchor(struct core *core, struct operator* operator, bool anchor)
{
    if (operator->anchor == anchor)
        return;
    for (size_t i = 0; i < core->nworkers; i++)
        if (core->workers[i]->operator== operator&& core->workers[i]->pool_slot != 0)
            pool_remove(&core->pools[operator->anchor], core->workers[i]);
    bool was_able = is_able(operator), was_anchor = operator->anchor;
    operator->anchor = anchor;
    count_able(core, operator, was_able, was_anchor);
    each_worker_of(core, operator, workers_touch);
}

/* Returns whether anything changed that a verdict may depend on. */
static bool set_facts(struct core *core, struct worker *worker, const struct core_worker *facts)
{
    const char *texts[FACTS] = {facts->cpu_vendor, facts->kernel, facts->site};
    bool changed = worker->operator->anchor != facts->anchor;
    for (size_t i = 0; i < FACTS; i++) {
        uint32_t value = intern_text(core, texts[i]);
        changed |= value != worker->facts.value[i];
        worker->facts.value[i] = value;
        free(worker->fact_text[i]);
        worker->fact_text[i] = texts[i] != NULL ? mem_string(texts[i]) : NULL;
    }
    set_operator_anchor(core, worker->operator, facts->anchor);
    return changed;
}

/* A changed fact changes verdicts of the past; rare, so all jobs are walked. */
static void rejudge_all(struct core *core)
{
    size_t cursor = 0;
    for (struct table_link *link = table_next(&core->jobs, &cursor, NULL); link != NULL;
         link = table_next(&core->jobs, &cursor, link)) {
        struct job *job = job_of_link(link);
        if (job->leases == NULL)
            continue;
        rounds_judge(core, job, 0);
        jobs_touch(core, job);
    }
}

int workers_admit(struct core *core, const struct core_worker *facts, struct diag *diag)
{
    struct worker *worker = workers_find(core, facts->name);
    bool is_new = worker == NULL;
    if (!is_new && strcmp(worker->operator->name, facts->operator_name) != 0)
        return diag_set(diag, FARM_E_EXISTS,
                        "worker %s belongs to operator %s, not %s; a machine that changes hands needs "
                        "a new name",
                        facts->name, worker->operator->name, facts->operator_name);
    worker = workers_obtain(core, facts->name, facts->operator_name);
    bool changed = set_facts(core, worker, facts);
    if (!worker->admitted && !worker->revoked) {
        bool was_able = is_able(worker->operator);
        worker->admitted = true;
        worker->operator->workers++;
        count_able(core, worker->operator, was_able, worker->operator->anchor);
    }
    if (!is_new && changed)
        rejudge_all(core);
    workers_touch(core, worker);
    return 0;
}

void workers_revoke(struct core *core, struct worker *worker)
{
    if (worker->revoked)
        return;
    bool was_able = is_able(worker->operator);
    worker->revoked = true;
    worker->online = false;
    if (worker->admitted)
        worker->operator->workers--;
    count_able(core, worker->operator, was_able, worker->operator->anchor);
    timers_cancel(&core->timers, &worker->session.timer);
    leases_withdraw_worker(core, worker, "its worker was revoked");
    workers_update(core, worker);
    ready_worker_left(core);
}

/* --- sessions --- */

void workers_online(struct core *core, struct worker *worker, const struct core_event *event)
{
    worker->online = true;
    worker->capacity = event->capacity;
    worker->heard_ms = core->now_ms;
    timers_set(&core->timers, &worker->session.timer, core->now_ms + core->config.session_timeout_ms);
    leases_present(core, worker, event->nonces, event->nnonces);
    workers_touch(core, worker);
}

void workers_offline(struct core *core, struct worker *worker)
{
    worker->online = false;
    workers_update(core, worker);
    if (worker->live_leases > 0)
        timers_set(&core->timers, &worker->session.timer, core->now_ms + core->config.lease_grace_ms);
    else
        timers_cancel(&core->timers, &worker->session.timer);
    ready_worker_left(core);
}

void workers_expect(struct core *core, struct worker *worker)
{
    if (!worker->online && !timer_is_set(&worker->session.timer))
        timers_set(&core->timers, &worker->session.timer, core->now_ms + core->config.lease_grace_ms);
}

void workers_pause(struct core *core, struct worker *worker, bool paused)
{
    worker->paused = paused;
    workers_touch(core, worker);
    ready_worker_left(core);
}

void workers_trouble(struct core *core, struct worker *worker)
{
    if (++worker->troubles < core->config.refusals_limit || core->config.refusals_limit == 0)
        return;
    worker->resting_until_ms = core->now_ms + core->config.rest_ms;
    timers_set(&core->timers, &worker->rest.timer, worker->resting_until_ms);
    workers_update(core, worker);
    struct core_effect *effect = effects_add(core, CORE_WORKER_RESTS);
    effect->name = mem_string(worker->name);
    effect->text =
        mem_format("%u leases in a row were refused or ended in infrastructure failure; it rests for %lld s",
                   worker->troubles, (long long)(core->config.rest_ms / 1000));
    worker->troubles = 0;
}

void workers_end_rests(struct core *core)
{
    for (size_t i = 0; i < core->nworkers; i++) {
        struct worker *worker = core->workers[i];
        if (worker->resting_until_ms <= core->now_ms)
            continue;
        worker->resting_until_ms = core->now_ms;
        timers_cancel(&core->timers, &worker->rest.timer);
        workers_touch(core, worker);
    }
}

/* The session timer is lazy: hearing from a worker only notes the time, and the timer looks at the note. */
static void on_session_timer(struct core *core, struct worker *worker)
{
    int64_t due = worker->heard_ms + core->config.session_timeout_ms;
    if (!worker->online)
        leases_lose(core, worker, "its worker has been out of reach for too long");
    else if (due > core->now_ms)
        timers_set(&core->timers, &worker->session.timer, due);
    else
        workers_offline(core, worker);
}

void workers_on_timer(struct core *core, struct worker *worker, enum timer_kind kind)
{
    if (kind == TIMER_REST)
        workers_touch(core, worker);
    else
        on_session_timer(core, worker);
}
