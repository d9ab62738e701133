/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Network: frames under way between workers and coordinator, as bytes. A connection has a number on both ends; what was sent on one
 * that broke does not arrive.
 */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "buf.h"
#include "wire.h"

struct world;

struct frame {
    size_t worker;
    bool to_worker;
    bool garbled;
    unsigned session, life; /* the worker's connection, and the coordinator's life, when it was sent */
    uint64_t txn;           /* the coordinator's open transaction, when it was sent */
    struct buf bytes;
};

/* Encoded by the real codec. Who sends what the catalogue forbids is wrong. */
void network_say(struct world *world, size_t worker, bool to_worker, int type, const ProtobufCMessage *body);
/* The bytes are taken over. */
void network_send(struct world *world, size_t worker, bool to_worker, struct buf *bytes);
/* Whether the connection that it was sent on still stands. */
bool network_arrives(const struct world *world, const struct frame *frame);
void frame_free(struct frame *frame);

#endif
