/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What comes out of a lease: bytes, failures, second thoughts; and the spool. */
#include "sim.h"

static bool chance(struct world *world, unsigned int permille)
{
    return world_chance(world, DICE_WORKERS, permille);
}

static int64_t soon(struct world *world, int64_t within_ms)
{
    return world->now_ms + 1 + (int64_t)world_below(world, DICE_WORKERS, (uint64_t)within_ms);
}

static struct digest mix(const struct digest *digest, uint64_t salt)
{
    unsigned char text[DIGEST_SIZE + sizeof salt];
    memcpy(text, digest, DIGEST_SIZE);
    memcpy(text + DIGEST_SIZE, &salt, sizeof salt);
    return digest_of(view_of(text, sizeof text));
}

/* What comes out is a function of the job, where machine and people are honest. */
static uint64_t salt_of(struct world *world, const struct sim_worker *worker, size_t node)
{
    if (world->operators[worker->operator_index].colludes || worker->behaviour == LYING)
        return 1 + worker->operator_index;
    if (world->plans.nodes[node].random || (worker->behaviour == FLAKY && chance(world, 400)))
        return 1000 + world_below(world, DICE_WORKERS, 3);
    return 0;
}

static enum failure_kind failure_of(struct world *world, const struct sim_worker *worker, size_t node)
{
    if ((worker->behaviour == BROKEN && chance(world, 700)) ||
        (world_has(world, FAULT_MACHINES) && chance(world, 30)))
        return FAILURE_INFRASTRUCTURE;
    if (worker->behaviour == FAILING)
        return FAILURE_BUILD;
    return world->plans.nodes[node].fails ? FAILURE_ASSERTION : FAILURE_NONE;
}

struct statement worker_state(struct world *world, size_t index, const struct sim_build *build)
{
    const struct sim_worker *worker = &world->workers[index];
    struct statement statement = {.worker = index, .nonce = build->nonce, .key = build->key};
    statement.salt = world_random(world, DICE_WORKERS);
    statement.failure = failure_of(world, worker, build->node);
    statement.log = mix(&build->key, statement.salt);
    if (statement.failure == FAILURE_NONE) {
        statement.payload = mix(&build->key, salt_of(world, worker, build->node));
        statement.tar = mix(&statement.payload, 1);
    }
    return statement;
}

void worker_sign(struct world *world, size_t index, const struct statement *statement, struct buf *ret)
{
    statement_sign(statement, &world->workers[index].secret, ret);
    judge_signed(world, statement, buf_view(ret));
}

/* Durable before anything is sent. */
void worker_spool(struct world *world, size_t index, const struct sim_build *build)
{
    struct sim_worker *worker = &world->workers[index];
    worker->spool =
        mem_reserve(worker->spool, &worker->spool_capacity, worker->nspool + 1, sizeof *worker->spool);
    struct sim_answer *answer = &worker->spool[worker->nspool++];
    *answer = (struct sim_answer){.statement = worker_state(world, index, build), .due_ms = soon(world, 500)};
    answer->uploaded = worker->behaviour == LAZY; /* so it says */
    worker_sign(world, index, &answer->statement, &answer->envelope);
}

void worker_drop_build(struct sim_worker *worker, size_t i)
{
    worker->builds[i] = worker->builds[--worker->nbuilds];
}

void worker_drop_answer(struct sim_worker *worker, size_t i)
{
    buf_clear(&worker->last_envelope);
    buf_add_view(&worker->last_envelope, buf_view(&worker->spool[i].envelope));
    buf_done(&worker->spool[i].envelope);
    worker->spool[i] = worker->spool[--worker->nspool];
}

int64_t worker_build_time(struct world *world, const struct sim_worker *worker, size_t node)
{
    int64_t ms = (int64_t)world->plans.nodes[node].needs.estimate_seconds * 1000;
    ms = ms / 2 + (int64_t)world_below(world, DICE_WORKERS, (uint64_t)ms);
    if (worker->behaviour == STUCK && !world->calm && chance(world, 300))
        return INT64_MAX;
    if (worker->behaviour == SLOW || (world_has(world, FAULT_MACHINES) && chance(world, 30)))
        ms *= 1 + (int64_t)world_below(world, DICE_WORKERS, 8);
    return ms;
}

/* Second thoughts: the same lease, another answer. */
void worker_answer_otherwise(struct world *world, size_t index, struct sim_answer *answer)
{
    struct statement *statement = &answer->statement;
    statement->salt = world_random(world, DICE_WORKERS);
    statement->failure = FAILURE_NONE;
    statement->payload = mix(&statement->key, 2000 + world_below(world, DICE_WORKERS, 2));
    statement->tar = mix(&statement->payload, 1);
    buf_clear(&answer->envelope);
    worker_sign(world, index, statement, &answer->envelope);
    answer->uploaded = false;
    answer->due_ms = soon(world, 5000);
}
