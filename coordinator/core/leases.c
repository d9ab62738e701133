/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "leases.h"

#include "answers.h"
#include "effects.h"
#include "jobs.h"
#include "workers.h"

#include <assert.h>
#include <stdlib.h>

struct lease *leases_find(const struct core *core, const struct core_nonce *nonce)
{
    return lease_of_link(table_find(&core->leases, nonce->bytes));
}

struct core_lease leases_view(const struct lease *lease)
{
    struct core_lease view = {
        .worker = lease->worker->name,
        .operator_name = lease->worker->operator->name,
        .key = digest_of_link(&lease->job->link),
        .round = lease->round,
        .state = lease->state,
        .granted_ms = lease->granted_ms,
        .deadline_ms = lease->deadline_ms,
    };
    memcpy(view.nonce.bytes, lease->link.key, sizeof view.nonce.bytes);
    const struct node *node = lease->job->lead;
    for (const struct claim *claim = &lease->job->claim; node == NULL && claim != NULL; claim = claim->next)
        node = claim->nodes;
    if (node != NULL) {
        view.plan = digest_of_link(&node->plan->link);
        view.node = node_index(node);
    }
    return view;
}

void leases_free(struct lease *lease)
{
    for (struct answer *answer = lease->answers, *next; answer != NULL; answer = next) {
        next = answer->next;
        free(answer);
    }
    free(lease->reason);
    free(lease);
}

int64_t leases_retry_delay(uint32_t troubles)
{
    uint32_t doublings = troubles > 0 ? troubles - 1 : 0;
    return (int64_t)RETRY_FIRST_MS << (doublings < RETRY_DOUBLINGS_MAX ? doublings : RETRY_DOUBLINGS_MAX);
}

/* --- what a lease occupies --- */

static void link_worker(struct lease *lease)
{
    struct worker *worker = lease->worker;
    lease->worker_next = worker->leases;
    lease->worker_prev = &worker->leases;
    if (worker->leases != NULL)
        worker->leases->worker_prev = &lease->worker_next;
    worker->leases = lease;
}

static void unlink_worker(struct lease *lease)
{
    if (lease->worker_prev == NULL)
        return;
    *lease->worker_prev = lease->worker_next;
    if (lease->worker_next != NULL)
        lease->worker_next->worker_prev = lease->worker_prev;
    lease->worker_next = NULL;
    lease->worker_prev = NULL;
}

static void occupy(struct core *core, struct lease *lease)
{
    lease->occupying = true;
    lease->worker->used_slots++;
    if (lease->charge != NULL)
        workers_charge(lease->worker, lease->charge, 1);
    workers_update(core, lease->worker);
}

static void release(struct core *core, struct lease *lease)
{
    if (!lease->occupying)
        return;
    lease->occupying = false;
    lease->worker->used_slots--;
    if (lease->charge != NULL)
        workers_charge(lease->worker, lease->charge, -1);
    workers_touch(core, lease->worker);
}

static void set_live(struct lease *lease, bool live)
{
    lease->job->live += live ? 1 : (uint32_t)-1;
    lease->worker->live_leases += live ? 1 : (uint32_t)-1;
}

/* --- beginning --- */

static struct lease *lease_new(struct core *core, struct job *job, struct worker *worker,
                               const struct core_nonce *nonce)
{
    struct lease *lease = mem_zero(1, sizeof *lease);
    memcpy(lease->link.key, nonce->bytes, sizeof lease->link.key);
    lease->job = job;
    lease->worker = worker;
    lease->job_next = job->leases;
    job->leases = lease;
    lease->timer.owner = lease;
    lease->timer.kind = TIMER_LEASE;
    table_add(&core->leases, &lease->link);
    return lease;
}

void leases_grant(struct core *core, struct job *job, struct worker *worker)
{
    struct core_nonce nonce;
    core->config.random(core->config.random_context, nonce.bytes, sizeof nonce.bytes);
    assert(leases_find(core, &nonce) == NULL);
    struct lease *lease = lease_new(core, job, worker, &nonce);
    lease->state = LEASE_LIVE;
    lease->round = job->round;
    lease->charge = job->lead->demand;
    lease->granted_ms = core->now_ms;
    lease->deadline_ms =
        core->now_ms + (int64_t)job->lead->wall_seconds * 1000 + core->config.lease_margin_ms;
    if (job->round_started_ms == 0)
        job->round_started_ms = core->now_ms;
    link_worker(lease);
    set_live(lease, true);
    occupy(core, lease);
    timers_set(&core->timers, &lease->timer.timer, lease->deadline_ms);
    effects_add(core, CORE_LEASE_GRANTED)->lease = leases_view(lease);
    jobs_touch(core, job);
}

/* --- ending --- */

void leases_set_trouble(struct core *core, struct lease *lease)
{
    if (lease->trouble)
        return;
    lease->trouble = true;
    uint32_t troubles = 0;
    for (const struct lease *other = lease->job->leases; other != NULL; other = other->job_next)
        troubles += other->trouble && !other->forgiven && other->round == lease->round &&
                    other->worker->operator== lease->worker->operator;
    lease->timer.kind = TIMER_RETRY;
    timers_set(&core->timers, &lease->timer.timer, lease->ended_ms + leases_retry_delay(troubles));
    jobs_touch(core, lease->job);
}

void leases_end(struct core *core, struct lease *lease, enum lease_state state, const char *text,
                bool trouble)
{
    assert(lease->state == LEASE_LIVE && state != LEASE_LIVE);
    lease->state = state;
    lease->ended_ms = core->now_ms;
    lease->reason = text != NULL ? mem_string(text) : NULL;
    set_live(lease, false);
    timers_cancel(&core->timers, &lease->timer.timer);
    release(core, lease);
    unlink_worker(lease);
    if (trouble)
        leases_set_trouble(core, lease);
    struct core_effect *effect = effects_add(core, CORE_LEASE_ENDED);
    effect->lease = leases_view(lease);
    effect->text = text != NULL ? mem_string(text) : NULL;
    jobs_touch(core, lease->job);
}

void leases_stop_lingering(struct core *core, struct lease *lease)
{
    if (lease->state == LEASE_LIVE || !lease->occupying)
        return;
    timers_cancel(&core->timers, &lease->timer.timer);
    release(core, lease);
    unlink_worker(lease);
    jobs_touch(core, lease->job);
}

bool leases_have_worker(const struct job *job)
{
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        if (lease->occupying)
            return true;
    return false;
}

void leases_forget(struct core *core, struct lease *lease)
{
    assert(!lease->occupying);
    timers_cancel(&core->timers, &lease->timer.timer); /* when its operator may be asked again */
    unlink_worker(
        lease); /* silent: should its worker still have it, that will name a nonce which nobody knows */
    answers_forget(core, lease);
    table_remove(&core->leases, &lease->link);
    leases_free(lease);
}

void leases_lose(struct core *core, struct worker *worker, const char *text)
{
    for (struct lease *lease = worker->leases, *next; lease != NULL; lease = next) {
        next = lease->worker_next;
        if (lease->state != LEASE_LIVE)
            continue;
        leases_end(core, lease, LEASE_EXPIRED, text, false);
        lease->silent = true;
        link_worker(lease);
    }
}

/* --- a worker that presents itself --- */

static bool is_listed(const struct lease *lease, const struct core_nonce *nonces, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(nonces[i].bytes, lease->link.key, CORE_NONCE_SIZE) == 0)
            return true;
    return false;
}

static void linger(struct core *core, struct lease *lease)
{
    lease->silent = false;
    occupy(core, lease);
    lease->timer.kind = TIMER_LEASE;
    timers_set(&core->timers, &lease->timer.timer, lease->deadline_ms);
    jobs_touch(core, lease->job);
}

static void forget(struct core *core, struct lease *lease)
{
    if (lease->state == LEASE_LIVE) {
        leases_end(core, lease, LEASE_EXPIRED, "its worker came back without it", true);
    } else if (lease->silent) {
        lease->silent = false;
        unlink_worker(lease);
        leases_set_trouble(core, lease);
    } else {
        leases_stop_lingering(core, lease);
    }
}

void leases_present(struct core *core, struct worker *worker, const struct core_nonce *nonces, size_t n)
{
    for (struct lease *lease = worker->leases, *next; lease != NULL; lease = next) {
        next = lease->worker_next;
        if (!is_listed(lease, nonces, n))
            forget(core, lease);
        else if (lease->silent && lease->deadline_ms > core->now_ms)
            linger(core, lease);
    }
    free(STEAL(worker->presented));
    worker->npresented = 0;
    for (size_t i = 0; i < n && worker->npresented < PRESENTED_MAX; i++) {
        if (leases_find(core, &nonces[i]) != NULL)
            continue;
        worker->presented = mem_grow(worker->presented, worker->npresented + 1, sizeof *worker->presented);
        worker->presented[worker->npresented++] = nonces[i];
    }
}

/* --- withdrawing --- */

void leases_withdraw_worker(struct core *core, struct worker *worker, const char *text)
{
    for (struct lease *lease = worker->leases, *next; lease != NULL; lease = next) {
        next = lease->worker_next;
        if (lease->state == LEASE_LIVE)
            leases_end(core, lease, LEASE_WITHDRAWN, text, false);
    }
}

void leases_withdraw_job(struct core *core, struct job *job, const char *text)
{
    for (struct lease *lease = job->leases; lease != NULL && job->live > 0; lease = lease->job_next)
        if (lease->state == LEASE_LIVE)
            leases_end(core, lease, LEASE_WITHDRAWN, text, false);
}

void leases_withdraw_rest(struct core *core, const struct lease *answered, const char *text)
{
    struct job *job = answered->job;
    for (struct lease *lease = job->leases; lease != NULL && job->live > 0; lease = lease->job_next)
        if (lease->state == LEASE_LIVE && lease != answered && lease->round == answered->round &&
            lease->worker->operator== answered->worker->operator)
            leases_end(core, lease, LEASE_WITHDRAWN, text, false);
}

void leases_on_timer(struct core *core, struct lease *lease, enum timer_kind kind)
{
    if (kind == TIMER_RETRY)
        jobs_touch(core, lease->job);
    else if (lease->state == LEASE_LIVE)
        leases_end(core, lease, LEASE_EXPIRED, "over its deadline without an answer", true);
    else
        leases_stop_lingering(core, lease);
}

/* --- the past --- */

static bool operator_is_live(const struct job *job, const struct lease *but)
{
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        if (lease != but && lease->state == LEASE_LIVE && lease->round == but->round &&
            lease->worker->operator== but->worker->operator)
            return true;
    return false;
}

static void restore_live(struct core *core, struct lease *lease, bool presented)
{
    struct worker *worker = lease->worker;
    link_worker(lease);
    set_live(lease, true);
    occupy(core, lease);
    if (!worker->admitted || worker->revoked)
        leases_end(core, lease, LEASE_WITHDRAWN, "its worker is not admitted any more", false);
    else if (operator_is_live(lease->job, lease))
        leases_end(core, lease, LEASE_WITHDRAWN, "its operator has another lease on the job", false);
    else if (worker->online && !presented)
        leases_end(core, lease, LEASE_EXPIRED, "its worker came back without it", true);
    else {
        int64_t again = core->now_ms + core->config.lease_grace_ms; /* we were away, not it */
        timers_set(&core->timers, &lease->timer.timer,
                   lease->deadline_ms > again ? lease->deadline_ms : again);
        workers_expect(core, worker);
    }
}

/*
 * The database has wall times, and the wall clock may have been set since. Nothing of the past lies in the future, and nobody waits longer
 * for a lease than it was granted for.
 */
static void set_past_times(const struct core *core, struct lease *lease, const struct core_past_lease *past)
{
    lease->granted_ms = past->granted_ms < core->now_ms ? past->granted_ms : core->now_ms;
    lease->deadline_ms = past->deadline_ms - past->granted_ms + lease->granted_ms;
    lease->ended_ms = core->now_ms;
}

struct lease *leases_restore(struct core *core, struct job *job, const struct core_past_lease *past)
{
    struct lease *lease = leases_find(core, &past->nonce);
    if (lease != NULL)
        return lease; /* a further answer to it */
    struct worker *worker = workers_obtain(core, past->worker, past->operator_name);
    lease = lease_new(core, job, worker, &past->nonce);
    lease->round = past->round;
    lease->state = past->state;
    set_past_times(core, lease, past);
    bool presented = workers_forget_presented(core, worker, &past->nonce);
    if (past->state == LEASE_LIVE)
        restore_live(core, lease, presented);
    else if (presented && past->state == LEASE_EXPIRED && lease->deadline_ms > core->now_ms) {
        link_worker(lease);
        linger(core, lease);
    }
    lease->trouble |= past->state == LEASE_REFUSED;
    return lease;
}

void leases_charge_past(struct job *job, const struct demand *demand)
{
    for (struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->charge != NULL)
            continue;
        lease->charge = demand;
        if (lease->occupying)
            workers_charge(lease->worker, demand, 1);
    }
}
