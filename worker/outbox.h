/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Outbox: what slot threads hand to the agent's main thread, which alone speaks on the control socket. A
 * queue under a lock, and a descriptor to poll.
 */
#ifndef FARM_OUTBOX_H
#define FARM_OUTBOX_H

#include "spool.h"
#include "wire.h"

enum note_kind {
    NOTE_PROGRESS,  /* .frame: dropped when nobody listens */
    NOTE_RETURNED,  /* .nonce .reason .text: the lease goes back */
    NOTE_ANSWERED,  /* .entry: in the spool; its objects are not uploaded yet */
    NOTE_DELIVERED, /* .nonce: its objects are uploaded */
    NOTE_DROPPED,   /* .nonce .text: its objects were refused; it is out of the spool */
    NOTE_IDLE       /* .slot waits for work */
};

struct note {
    enum note_kind kind;
    unsigned slot;
    struct lease_nonce nonce;
    enum wire_refuse_reason reason;
    char *text; /* owned */
    char *node; /* owned; for people */
    struct buf frame;
    struct spool_entry *entry; /* owned */
    struct note *next;
};

struct note *note_new(enum note_kind kind, unsigned slot);
struct note *note_free(struct note *note); /* accepts NULL, returns NULL */

struct outbox;
struct outbox *outbox_new(void);
struct outbox *outbox_free(struct outbox *outbox); /* accepts NULL, returns NULL */
/* Readable when there is something. Borrowed. */
int outbox_fd(const struct outbox *outbox);
/* Takes the note. Any thread. */
void outbox_post(struct outbox *outbox, struct note *note);
/* The next one, owned, or NULL. */
struct note *outbox_take(struct outbox *outbox);

#endif
