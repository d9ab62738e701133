/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames: what arrives could have been sent, and was durable before it left. */
#include "sim.h"

/* Whoever takes a frame takes what could have been sent: the encoder, which checks by itself, writes it again. */
static void check_frame(struct world *world, const struct frame *frame, const struct wire_message *message)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    if (frame->garbled && wire_encode(message->type, message->body, &again, &diag) < 0)
        world_fail(world, INVARIANT_FRAMES, "a %s is taken that nobody may send: %s",
                   wire_type_name(message->type), diag.text);
    if (!frame->garbled && world->steps % 16 == 0 &&
        (wire_encode(message->type, message->body, &again, &diag) < 0 ||
         !view_equal(buf_view(&again), buf_view(&frame->bytes))))
        world_fail(world, INVARIANT_FRAMES, "a %s is not what was sent", wire_type_name(message->type));
}

static void check_lease_sent(struct world *world, const struct frame *frame, const Wire__Lease *lease)
{
    struct core_nonce nonce;
    struct digest digest = wire_get_digest(&lease->nonce);
    memcpy(nonce.bytes, digest.bytes, sizeof nonce.bytes);
    const struct row_lease *row = db_lease(&world->db, &nonce);
    if (row == NULL || row->txn >= frame->txn)
        world_fail(world, INVARIANT_COMMIT, "%s holds a lease that was sent before it was durable",
                   world->workers[frame->worker].name);
    if (row->worker != frame->worker)
        world_fail(world, INVARIANT_HOLDER, "%s is sent the lease of %s", world->workers[frame->worker].name,
                   world->workers[row->worker].name);
}

/* The entry of the log that the acknowledgement names. */
static const struct row_answer *find_answer(struct world *world, const struct digest *nonce,
                                            uint64_t position)
{
    struct core_nonce key;
    memcpy(key.bytes, nonce->bytes, sizeof key.bytes);
    const struct row_lease *lease = db_lease(&world->db, &key);
    for (size_t i = 0; lease != NULL && i < lease->job->answers.count; i++) {
        const struct row_answer *answer = lease->job->answers.items[i];
        if (answer->lease == lease && answer->position == position)
            return answer;
    }
    return NULL;
}

static bool is_honest(const struct world *world, const struct sim_worker *worker)
{
    return (worker->behaviour == HONEST || worker->behaviour == SLOW) && !worker->revoked &&
           (world->faults & FAULT_GARBLE) == 0; /* else somebody else's word may have come in its name */
}

/* An honest answer to a lease that was granted is never refused, however late it is. */
static void check_refusal_sent(struct world *world, const struct frame *frame, const struct digest *nonce)
{
    struct core_nonce key;
    memcpy(key.bytes, nonce->bytes, sizeof key.bytes);
    const struct row_lease *lease = db_lease(&world->db, &key);
    if (is_honest(world, &world->workers[frame->worker]) && lease != NULL && lease->worker == frame->worker)
        world_fail(world, INVARIANT_DURABLE, "an honest answer of %s is refused",
                   world->workers[frame->worker].name);
}

static void check_ack_sent(struct world *world, const struct frame *frame, const Wire__ResultAck *ack)
{
    struct digest nonce = wire_get_digest(&ack->nonce);
    if (ack->code == WIRE__ACK_CODE__ACK_REFUSED)
        check_refusal_sent(world, frame, &nonce);
    if (ack->code != WIRE__ACK_CODE__ACK_ACCEPTED && ack->code != WIRE__ACK_CODE__ACK_EVIDENCE)
        return;
    const struct row_answer *answer =
        ack->log_entry > 0 ? find_answer(world, &nonce, ack->log_entry - 1) : NULL;
    if (answer == NULL || answer->txn >= frame->txn)
        world_fail(world, INVARIANT_COMMIT, "%s is told that its answer is taken, and it was not durable",
                   world->workers[frame->worker].name);
    map_set(world->judge.told, view_of(&answer->envelope, sizeof answer->envelope), world);
}

void judge_told(struct world *world, const struct frame *frame, const struct wire_message *message)
{
    check_frame(world, frame, message);
    if (world->options.verbose)
        world_trace(world, "%s %s %s%s", world->workers[frame->worker].name, frame->to_worker ? "<-" : "->",
                    wire_type_name(message->type), frame->garbled ? " (garbled)" : "");
    if (!frame->to_worker || frame->garbled)
        return;
    if (message->type == WIRE_LEASE)
        check_lease_sent(world, frame, message->lease);
    if (message->type == WIRE_RESULT_ACK)
        check_ack_sent(world, frame, message->result_ack);
}

void judge_dropped(struct world *world, const struct frame *frame, const char *why)
{
    bool may_be_bad = frame->garbled || world->workers[frame->worker].behaviour == FORGING;
    world->totals->dropped++;
    if (world->options.verbose)
        world_trace(world, "%s %s dropped: %s", world->workers[frame->worker].name,
                    frame->to_worker ? "<-" : "->", why);
    if (!may_be_bad)
        world_fail(world, INVARIANT_FRAMES, "a frame arrived as it was sent, and is dropped: %s", why);
}
