/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fetch: the objects that one lease needs, brought into the store over the slot's bulk connection and pinned
 * there until the lease is done, so that no cleaning takes them away in between.
 */
#ifndef FARM_FETCH_H
#define FARM_FETCH_H

#include "bulk.h"
#include "store.h"

struct fetch {
    struct bulk_client *bulk; /* borrowed; NULL: only what the store has */
    struct store *store;      /* borrowed */
    struct digest *pinned;
    size_t npinned, capacity;
};

void fetch_init(struct fetch *fetch, struct bulk_client *bulk, struct store *store);
/* Unpins. */
void fetch_done(struct fetch *fetch);
/* 'what' is for the message: "the base's manifest". Returns bulk_get's errors, but FARM_E_MISSING where the coordinator refuses it. */
int fetch_object(struct fetch *fetch, const struct digest *name, uint64_t limit, const char *what,
                 struct diag *diag) MUST_USE;
/* Fetches and writes it to a new file (mode 0600) below dirfd; not synced. */
int fetch_file(struct fetch *fetch, const struct digest *name, uint64_t limit, const char *what, int dirfd,
               const char *path, struct diag *diag) MUST_USE;

#endif
