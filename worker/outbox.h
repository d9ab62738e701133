/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Outbox: what other threads hand to the agent's main thread, which alone speaks on the control socket. A
 * queue under a lock, and a descriptor to poll.
 */
#ifndef FARM_OUTBOX_H
#define FARM_OUTBOX_H

#include "spool.h"
#include "trust.h"
#include "wire.h"

enum outbox_kind {
    OUTBOX_PROGRESS,  /* .frame: dropped when nobody listens */
    OUTBOX_RETURNED,  /* .nonce .reason .text: the lease goes back */
    OUTBOX_ANSWERED,  /* .entry: in the spool; its objects are not uploaded yet */
    OUTBOX_DELIVERED, /* .nonce: its objects are uploaded */
    OUTBOX_DROPPED,   /* .nonce .text: its objects were refused; it is out of the spool */
    OUTBOX_IDLE,      /* .slot waits for work */
    OUTBOX_DIRECTORY /* the worker directory was read: .listing, or .text why not and .reason: it could not be had
                         (WIRE_REFUSE_INPUT) or does not hold (WIRE_REFUSE_SPEC) */
};

struct outbox_item {
    enum outbox_kind kind;
    unsigned slot;
    struct lease_nonce nonce;
    enum wire_refuse_reason reason;
    char *text; /* owned */
    char *node; /* owned; for people */
    struct buf frame;
    struct spool_entry *entry;     /* owned */
    struct trust_listing *listing; /* owned */
    struct outbox_item *next;
};

struct outbox_item *outbox_item_new(enum outbox_kind kind, unsigned slot);
struct outbox_item *outbox_item_free(struct outbox_item *item); /* accepts NULL, returns NULL */

struct outbox;
struct outbox *outbox_new(void);
struct outbox *outbox_free(struct outbox *outbox); /* accepts NULL, returns NULL */
/* Readable when there is something. Borrowed. */
int outbox_fd(const struct outbox *outbox);
/* Takes the item. Any thread. */
void outbox_post(struct outbox *outbox, struct outbox_item *item);
/* The next one, owned, or NULL. */
struct outbox_item *outbox_take(struct outbox *outbox);

#endif
