/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Slot: a thread that works on one lease at a time, with a bulk connection of its own that stays open between
 * leases. What it has to say goes to the outbox; the main thread never waits for it.
 */
#ifndef FARM_SLOT_H
#define FARM_SLOT_H

#include "lease.h"
#include "outbox.h"
#include "slot_table.h"

struct slot;

/* What all slots share; borrowed for as long as they live. */
struct slot_host {
    struct workshop *shop;
    struct outbox *outbox;
};

/* The thread runs, idle, when this returns. */
int slot_new(const struct slot_host *host, unsigned index, struct slot **ret, struct diag *diag) MUST_USE;
/* Ends the thread: what it works on is abandoned; answers in the spool stay there. Accepts NULL, returns
 * NULL. */
struct slot *slot_free(struct slot *slot);
/* Asks for the end without waiting, so that several slots end at the same time. */
void slot_stop(struct slot *slot);

/* A snapshot for listings and messages. */
struct slot_view {
    enum slot_state state;
    struct lease_nonce nonce; /* when not idle */
    struct digest key;
    char node[WIRE_NODE_MAX + 1];
    int64_t since_ms; /* steady clock: when it left idle */
    uint64_t illegal;
};
struct slot_view slot_look(struct slot *slot);

/* All for an idle slot, else FARM_E_STATE. 'bulk_endpoint': "tcp://host:port". Takes the lease in every case.
 */
int slot_assign(struct slot *slot, struct lease *lease, const char *bulk_endpoint,
                struct diag *diag) MUST_USE;
/* Uploads the objects of an answer of before; 'entry' is copied as far as needed. */
int slot_replay(struct slot *slot, const struct spool_entry *entry, const char *bulk_endpoint,
                struct diag *diag) MUST_USE;
/* Ends the build of this lease, if the slot is at it: then true. What is built already is answered, as an observation. */
bool slot_cancel(struct slot *slot, const struct lease_nonce *nonce);

#endif
