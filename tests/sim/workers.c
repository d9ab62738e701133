/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What workers do: see sim.h. Calm days (after sim.calm_at) have no crashes, so that everything can come to its end. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { HEARTBEAT_MS = 10000, RESEND_MS = 7000 };

static bool is_calm(const struct sim *sim)
{
    return sim->now_ms >= sim->calm_at;
}

static enum behaviour draw_behaviour(struct sim *sim)
{
    uint64_t x = sim_below(sim, 100);
    if (sim->all_honest)
        return x < 70 ? HONEST : SLOW;
    return x < 50   ? HONEST
           : x < 60 ? SLOW
           : x < 68 ? LYING
           : x < 76 ? FLAKY
           : x < 84 ? FAILING
           : x < 92 ? SILENT
                    : BROKEN_MACHINE;
}

void workers_make(struct sim *sim)
{
    static const char *const vendors[] = {"intel", "amd", "via", NULL};
    sim->nworkers = 2 + sim_below(sim, sim->options.workers);
    sim->noperators = 2 + sim_below(sim, sim->nworkers < 12 ? sim->nworkers - 1 : 11);
    sim->workers = mem_zero(sim->nworkers, sizeof *sim->workers);
    sim->operators = mem_zero(sim->noperators, sizeof *sim->operators);
    for (size_t i = 0; i < sim->noperators; i++) {
        snprintf(sim->operators[i].name, sizeof sim->operators[i].name, "op%zu", i);
        sim->operators[i].anchor = sim_chance(sim, 50);
    }
    for (size_t i = 0; i < sim->nworkers; i++) {
        struct sim_worker *worker = &sim->workers[i];
        snprintf(worker->name, sizeof worker->name, "w%zu", i);
        worker->operator_index = i < sim->noperators ? i : sim_below(sim, sim->noperators);
        snprintf(worker->border_operator, sizeof worker->border_operator, "%s",
                 sim->options.plant == PLANT_COUNT_WORKERS ? worker->name
                                                           : sim->operators[worker->operator_index].name);
        worker->behaviour = draw_behaviour(sim);
        worker->cpu_vendor = vendors[sim_below(sim, ARRAY_SIZE(vendors))];
        worker->capacity = (struct core_capacity){.slots = 1 + (uint32_t)sim_below(sim, 4),
                                                  .cores = 8,
                                                  .memory_bytes = (uint64_t)(3 + sim_below(sim, 6)) << 30,
                                                  .disk_bytes = (uint64_t)100 << 30};
        worker->comes_back_at = sim->now_ms + (int64_t)sim_below(sim, 20000);
    }
}

void workers_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->nworkers; i++)
        free(sim->workers[i].held);
    free(sim->workers);
    free(sim->operators);
}

/* --- what it says --- */

static struct digest payload_of(struct sim *sim, const struct sim_worker *worker, const struct sim_held *held)
{
    uint64_t salt = 0;
    const struct sim_node *node = &sim->nodes[held->node];
    if (worker->behaviour == LYING)
        salt = 1 + worker->operator_index;
    if ((worker->behaviour == FLAKY && sim_chance(sim, 40)) || (node->random && !sim->all_honest))
        salt = 1000 + sim_below(sim, 3);
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, &held->key, sizeof held->key);
    hasher_add(hasher, &salt, sizeof salt);
    struct digest payload = hasher_finish(hasher);
    hasher_free(hasher);
    return payload;
}

static enum failure_kind failure_of(struct sim *sim, const struct sim_worker *worker,
                                    const struct sim_held *held)
{
    if (worker->behaviour == BROKEN_MACHINE && sim_chance(sim, 70))
        return FAILURE_INFRASTRUCTURE;
    if (!is_calm(sim) && sim_chance(sim, 3))
        return FAILURE_INFRASTRUCTURE;
    if (worker->behaviour == FAILING)
        return FAILURE_BUILD;
    return sim->nodes[held->node].fails ? FAILURE_ASSERTION : FAILURE_NONE;
}

static void make_answer(struct sim *sim, struct sim_worker *worker, struct sim_held *held)
{
    uint64_t envelope[2] = {sim->options.seed, ++sim->envelopes};
    struct core_answer *answer = &held->answer;
    memset(answer, 0, sizeof *answer);
    answer->nonce = held->nonce;
    answer->envelope = digest_of(view_of(envelope, sizeof envelope));
    answer->failure = failure_of(sim, worker, held);
    if (answer->failure == FAILURE_NONE)
        answer->payload = payload_of(sim, worker, held);
    held->has_answer = true;
}

static int64_t build_time(struct sim *sim, const struct sim_worker *worker, size_t node)
{
    int64_t ms = (int64_t)sim->nodes[node].needs.estimate_seconds * 1000;
    ms = ms / 2 + (int64_t)sim_below(sim, (uint64_t)ms);
    if (worker->behaviour == SLOW || (!is_calm(sim) && sim_chance(sim, 3)))
        ms *= 1 + (int64_t)sim_below(sim, 20); /* sometimes over the deadline */
    return ms;
}

void workers_take(struct sim *sim, const struct core_lease *lease)
{
    const struct model_lease *recorded = model_lease(sim, &lease->nonce);
    struct sim_worker *worker = &sim->workers[recorded->worker];
    if (!worker->connected)
        return; /* sent into the void; it will come back without it */
    worker->held = mem_reserve(worker->held, &worker->held_capacity, worker->nheld + 1, sizeof *worker->held);
    struct sim_held *held = &worker->held[worker->nheld++];
    memset(held, 0, sizeof *held);
    held->nonce = lease->nonce;
    held->key = lease->key;
    held->node = lease->node;
    held->finish_at = sim->now_ms + build_time(sim, worker, lease->node);
    held->send_at = held->finish_at;
    held->sends_left = 1 + (uint32_t)sim_below(sim, 2);
}

static struct sim_held *find_held(struct sim_worker *worker, const struct core_nonce *nonce)
{
    for (size_t i = 0; i < worker->nheld; i++)
        if (memcmp(&worker->held[i].nonce, nonce, sizeof *nonce) == 0)
            return &worker->held[i];
    return NULL;
}

bool workers_holds(const struct sim_worker *worker, const struct core_nonce *nonce)
{
    for (size_t i = 0; i < worker->nheld; i++)
        if (memcmp(&worker->held[i].nonce, nonce, sizeof *nonce) == 0)
            return true;
    return false;
}

static void drop_held(struct sim_worker *worker, struct sim_held *held)
{
    *held = worker->held[--worker->nheld];
}

/* Half of them stop; the others finish, and answer late. */
void workers_told_end(struct sim *sim, const struct core_lease *lease)
{
    const struct model_lease *recorded = model_lease(sim, &lease->nonce);
    struct sim_worker *worker = &sim->workers[recorded->worker];
    struct sim_held *held = find_held(worker, &lease->nonce);
    if (worker->connected && held != NULL && !held->has_answer && sim_chance(sim, 50))
        drop_held(worker, held);
}

/* Acknowledged: forgotten, but for a flaky one, which sometimes has second thoughts, and one that repeats itself. */
void workers_told_answered(struct sim *sim, const struct core_effect *effect)
{
    for (size_t i = 0; i < sim->nworkers; i++) {
        struct sim_worker *worker = &sim->workers[i];
        struct sim_held *held = find_held(worker, &effect->answer.nonce);
        if (effect->name == NULL || strcmp(worker->name, effect->name) != 0 || held == NULL ||
            !worker->connected || sim_chance(sim, 5))
            continue;
        if (worker->behaviour == FLAKY && !is_calm(sim) && sim_chance(sim, 20)) {
            make_answer(sim, worker, held);
            held->send_at = sim->now_ms + 1000;
        } else if (--held->sends_left == 0 || is_calm(sim)) {
            drop_held(worker, held);
        } else {
            held->send_at = sim->now_ms + 1000;
        }
    }
}

/* --- what it does --- */

static void connect(struct sim *sim, struct sim_worker *worker)
{
    CLEANUP_FREE struct core_nonce *nonces = mem_alloc(worker->nheld * sizeof *nonces);
    for (size_t i = 0; i < worker->nheld; i++)
        nonces[i] = worker->held[i].nonce;
    struct core_event event = {.type = CORE_WORKER_ONLINE,
                               .name = worker->name,
                               .capacity = worker->capacity,
                               .nonces = nonces,
                               .nnonces = worker->nheld};
    worker->up = worker->connected = true;
    worker->comes_back_at = 0;
    worker->next_heartbeat = sim->now_ms + HEARTBEAT_MS;
    world_step(sim, &event);
}

/* The machine dies, or the network; what it held is gone or not. */
static void crash(struct sim *sim, struct sim_worker *worker)
{
    struct core_event event = {.type = CORE_WORKER_OFFLINE, .name = worker->name};
    worker->connected = false;
    worker->comes_back_at = sim->now_ms + 1000 + (int64_t)sim_below(sim, 200000);
    if (sim_chance(sim, 50))
        worker->nheld = 0;
    if (sim_chance(sim, 50))
        world_step(sim, &event);
}

static void send(struct sim *sim, struct sim_worker *worker, const struct core_answer *answer)
{
    struct core_event event = {.type = CORE_ANSWER, .name = worker->name, .answer = *answer};
    struct core_lease known;
    if (!core_lease_find(sim->core, &answer->nonce, &known)) {
        const struct model_lease *recorded = model_lease(sim, &answer->nonce);
        if (recorded != NULL && !model_feed(sim, &recorded->key))
            return;
    }
    if (sim->options.plant == PLANT_FORGET_HOLDER) { /* the core must never learn who really sent it */
        const struct model_lease *recorded = model_lease(sim, &answer->nonce);
        event.name = recorded != NULL ? sim->workers[recorded->worker].name : event.name;
        event.text = worker->name;
    }
    world_step(sim, &event);
}

void workers_answer_something(struct sim *sim, struct sim_worker *worker)
{
    if (worker->nheld == 0)
        return;
    struct sim_held held = worker->held[sim_below(sim, worker->nheld)];
    if (!held.has_answer)
        make_answer(sim, worker, &held);
    send(sim, worker, &held.answer);
}

/* Somebody else's lease, with an answer of one's own: must be rejected (W6). */
static void forge(struct sim *sim, struct sim_worker *worker)
{
    struct sim_worker *victim = &sim->workers[sim_below(sim, sim->nworkers)];
    if (victim == worker || victim->nheld == 0)
        return;
    struct sim_held stolen = victim->held[sim_below(sim, victim->nheld)];
    make_answer(sim, worker, &stolen);
    sim->forgeries++;
    send(sim, worker, &stolen.answer);
}

static void act_on(struct sim *sim, struct sim_worker *worker, struct sim_held *held)
{
    if (worker->behaviour == SILENT && !is_calm(sim)) {
        held->send_at = sim->now_ms + RESEND_MS * 10;
        return;
    }
    if (!held->has_answer && !is_calm(sim) && sim_chance(sim, 2)) {
        struct core_event event = {
            .type = CORE_LEASE_REFUSED, .name = worker->name, .text = "no room after all"};
        event.answer.nonce = held->nonce;
        drop_held(worker, held);
        world_step(sim, &event);
        return;
    }
    if (!held->has_answer)
        make_answer(sim, worker, held);
    held->send_at = sim->now_ms + RESEND_MS;
    struct core_answer answer = held->answer; /* the step may move what is held */
    sim->answers++;
    send(sim, worker, &answer);
}

static struct sim_held *due(struct sim *sim, struct sim_worker *worker)
{
    for (size_t i = 0; i < worker->nheld; i++)
        if (worker->held[i].send_at <= sim->now_ms)
            return &worker->held[i];
    return NULL;
}

static void act_worker(struct sim *sim, struct sim_worker *worker)
{
    if (worker->comes_back_at != 0) {
        if (worker->comes_back_at <= sim->now_ms)
            connect(sim, worker);
        return;
    }
    struct sim_held *held = due(sim, worker);
    if (held != NULL) {
        act_on(sim, worker, held);
    } else if (worker->next_heartbeat <= sim->now_ms) {
        struct core_event event = {.type = CORE_WORKER_HEARD, .name = worker->name};
        worker->next_heartbeat = sim->now_ms + HEARTBEAT_MS;
        world_step(sim, &event);
        if (!is_calm(sim) && worker->behaviour != HONEST && sim_chance(sim, 3))
            forge(sim, worker);
        if (!is_calm(sim) && worker->connected && sim_chance(sim, 2))
            crash(sim, worker);
    }
}

static int64_t next_of(const struct sim_worker *worker)
{
    if (worker->revoked)
        return INT64_MAX;
    if (worker->comes_back_at != 0)
        return worker->comes_back_at;
    int64_t next = worker->next_heartbeat;
    for (size_t i = 0; i < worker->nheld; i++)
        if (worker->held[i].send_at < next)
            next = worker->held[i].send_at;
    return next;
}

int64_t workers_next(const struct sim *sim)
{
    int64_t next = INT64_MAX;
    for (size_t i = 0; i < sim->nworkers; i++) {
        int64_t at = next_of(&sim->workers[i]);
        next = at < next ? at : next;
    }
    return next;
}

void workers_act(struct sim *sim)
{
    for (size_t i = 0; i < sim->nworkers; i++)
        if (next_of(&sim->workers[i]) <= sim->now_ms) {
            act_worker(sim, &sim->workers[i]);
            return; /* one thing at a time: the step may have changed everything */
        }
}

/* Sessions break; builds go on. */
void workers_coordinator_gone(struct sim *sim)
{
    for (size_t i = 0; i < sim->nworkers; i++) {
        struct sim_worker *worker = &sim->workers[i];
        if (worker->revoked || !worker->connected)
            continue;
        worker->connected = false;
        worker->comes_back_at = sim->now_ms + 100 + (int64_t)sim_below(sim, 90000);
    }
}
