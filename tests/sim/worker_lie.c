/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a hostile worker sends: none of it may ever count. Others' nonces are hard to come by in the real world; here a forger reads
 * them off the others' desks.
 */
#include "sim.h"

static size_t below(struct world *world, size_t n)
{
    return (size_t)world_below(world, DICE_WORKERS, n);
}

/* Somebody's build; false: that one has none. */
static bool steal(struct world *world, size_t index, struct sim_build *ret)
{
    const struct sim_worker *victim = &world->workers[below(world, world->nworkers)];
    if (victim == &world->workers[index] || victim->nbuilds == 0)
        return false;
    *ret = victim->builds[below(world, victim->nbuilds)];
    return true;
}

static void upload(struct world *world, const struct statement *statement)
{
    (void)objects_upload(world, &statement->log);
    (void)objects_upload(world, &statement->payload);
    (void)objects_upload(world, &statement->tar);
}

/* Its own word about somebody else's lease. */
static void answer_for_another(struct world *world, size_t index)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    struct sim_build stolen;
    if (!steal(world, index, &stolen))
        return;
    struct statement statement = worker_state(world, index, &stolen);
    worker_sign(world, index, &statement, &envelope);
    upload(world, &statement);
    worker_send_result(world, index, &stolen.nonce, &statement, buf_view(&envelope));
}

/* An answer that was true once, for another lease of its own: no building needed. */
static void play_again(struct world *world, size_t index)
{
    const struct sim_worker *worker = &world->workers[index];
    struct statement old;
    if (worker->nbuilds == 0 || statement_open(buf_view(&worker->last_envelope), &worker->secret, &old) < 0)
        return;
    const struct core_nonce nonce = worker->builds[below(world, worker->nbuilds)].nonce;
    upload(world, &old);
    worker_send_result(world, index, &nonce, &old, buf_view(&worker->last_envelope));
}

/* Somebody else's envelope under its own lease. */
static void copy_another(struct world *world, size_t index)
{
    const struct sim_worker *worker = &world->workers[index],
                            *victim = &world->workers[below(world, world->nworkers)];
    if (worker->nbuilds == 0 || victim->nspool == 0)
        return;
    const struct sim_answer *answer = &victim->spool[below(world, victim->nspool)];
    worker_send_result(world, index, &worker->builds[0].nonce, &answer->statement,
                       buf_view(&answer->envelope));
}

/* The message names other outputs than the statement. */
static void swap_outputs(struct world *world, size_t index)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    const struct sim_worker *worker = &world->workers[index];
    if (worker->nbuilds == 0)
        return;
    struct statement statement = worker_state(world, index, &worker->builds[0]), shown = statement;
    worker_sign(world, index, &statement, &envelope);
    upload(world, &statement);
    shown.tar = statement.log;
    worker_send_result(world, index, &statement.nonce, &shown, buf_view(&envelope));
}

static void refuse_for_another(struct world *world, size_t index)
{
    Wire__LeaseRefuse message = WIRE__LEASE_REFUSE__INIT;
    struct sim_build stolen;
    if (!steal(world, index, &stolen))
        return;
    message.nonce = wire_bytes(view_of(stolen.nonce.bytes, sizeof stolen.nonce.bytes));
    message.text = wire_text("on behalf of a friend");
    network_say(world, index, false, WIRE_LEASE_REFUSE, &message.base);
}

/* A frame of the other direction: it acknowledges its own answer. */
static void speak_as_coordinator(struct world *world, size_t index)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    struct digest nonce = {{0}};
    ack.nonce = wire_digest(&nonce);
    ack.code = WIRE__ACK_CODE__ACK_ACCEPTED;
    network_say(world, index, false, WIRE_RESULT_ACK, &ack.base);
}

static void send_noise(struct world *world, size_t index)
{
    CLEANUP_BUF struct buf noise = BUF_INIT;
    for (size_t n = below(world, 200); n > 0; n--)
        buf_add_byte(&noise, (char)below(world, 256));
    network_send(world, index, false, &noise);
}

void worker_forge(struct world *world, size_t index)
{
    static void (*const tricks[])(struct world * world, size_t index) = {
        answer_for_another, play_again,           copy_another, swap_outputs,
        refuse_for_another, speak_as_coordinator, send_noise,
    };
    tricks[below(world, ARRAY_SIZE(tricks))](world, index);
}
