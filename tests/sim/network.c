/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "network.h"

#include "sim.h"

#include <stdlib.h>

static uint64_t below(struct world *world, uint64_t n)
{
    return world_below(world, DICE_NETWORK, n);
}

static bool happens(struct world *world, enum fault fault, unsigned int permille)
{
    return world_has(world, fault) && world_chance(world, DICE_NETWORK, permille);
}

static int64_t draw_delay(struct world *world)
{
    int64_t ms = 1 + (int64_t)below(world, 40);
    if (happens(world, FAULT_DELAY, 200))
        ms += (int64_t)below(world, 2000);
    if (happens(world, FAULT_DELAY, 10))
        ms += (int64_t)below(world, 60000);
    return ms;
}

/* Some bytes change, or the end is missing, or somebody else's is behind it. */
static void garble(struct world *world, struct frame *frame)
{
    struct buf *bytes = &frame->bytes;
    uint64_t kind = below(world, 10);
    frame->garbled = true;
    if (bytes->size == 0) /* a forger's: nothing to change in it */
        return;
    if (kind == 0)
        bytes->size = below(world, bytes->size);
    else if (kind == 1)
        buf_add(bytes, "\x12\x00", 2);
    for (uint64_t changes = kind > 1 ? 1 + below(world, 3) : 0; changes > 0; changes--)
        bytes->data[below(world, bytes->size)] = (char)below(world, 256);
}

static void put_under_way(struct world *world, const struct frame *from)
{
    struct frame *frame = mem_copy(from, sizeof *from);
    frame->bytes = (struct buf)BUF_INIT;
    buf_add_view(&frame->bytes, buf_view(&from->bytes));
    if (happens(world, FAULT_GARBLE, 10))
        garble(world, frame);
    schedule_add(&world->schedule, world->now_ms + draw_delay(world), HAPPENS_FRAME, frame->worker, frame);
}

void network_send(struct world *world, size_t worker, bool to_worker, struct buf *bytes)
{
    struct frame frame = {
        .worker = worker,
        .to_worker = to_worker,
        .session = world->workers[worker].session,
        .life = world->coordinator.life,
        .txn = world->db.txn,
        .bytes = *bytes,
    };
    *bytes = (struct buf)BUF_INIT;
    world->totals->frames++;
    if (!happens(world, FAULT_LOSS, 15))
        put_under_way(world, &frame);
    if (happens(world, FAULT_TWICE, 30))
        put_under_way(world, &frame);
    buf_done(&frame.bytes);
}

void network_say(struct world *world, size_t worker, bool to_worker, int type, const ProtobufCMessage *body)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    if (wire_encode(type, body, &bytes, &diag) < 0)
        world_fail(world, INVARIANT_FRAMES, "%s cannot be written: %s", wire_type_name(type), diag.text);
    network_send(world, worker, to_worker, &bytes);
}

bool network_arrives(const struct world *world, const struct frame *frame)
{
    return world->coordinator.up && frame->life == world->coordinator.life &&
           frame->session == world->workers[frame->worker].session && world->workers[frame->worker].linked;
}

void frame_free(struct frame *frame)
{
    buf_done(&frame->bytes);
    free(frame);
}
