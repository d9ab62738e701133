/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Workshop: what all leases of one worker share: its configuration, keys, store and caches. Opened once by
 * the program; read by slot threads; each part is thread-safe or read-only.
 */
#ifndef FARM_WORKSHOP_H
#define FARM_WORKSHOP_H

#include "facts.h"
#include "identity.h"
#include "ledger.h"
#include "places.h"
#include "roots.h"
#include "trees.h"
#include "trust.h"
#include "worker_conf.h"

#include <stdatomic.h>

/* All owned, but the descriptor. */
struct workshop {
    int state_dirfd;
    struct worker_conf conf;
    struct identity *identity;
    struct trust *trust; /* the newest trust root, and what else was seen; see there who may ask */
    struct facts facts;
    struct store *store;
    struct trees *trees;
    struct roots *roots;
    struct ledger *ledger;
    struct places *places;
    struct sandbox_kit *kit;
    atomic_llong tidy_at_ms; /* steady clock: not before */
};

/*
 * Reads worker.conf, worker.key, and what is known of the trust root (trust.h), opens
 * store and caches, and removes what a killed worker left. The working directory must be the state directory,
 * which must be locked.
 */
int workshop_open(int state_dirfd, struct workshop *ret, struct diag *diag) MUST_USE;
void workshop_close(struct workshop *shop);

/* Reads worker.conf alone. */
int workshop_read_conf(int state_dirfd, struct worker_conf *ret, struct diag *diag) MUST_USE;
/* Who this worker is; borrows from the shop. */
struct trust_self workshop_self(const struct workshop *shop);

/*
 * Keeps the caches below the owner's limit: half for unpacked roots, half for the store, where objects that
 * answers in the spool name are kept. Any thread, as often as it likes: it walks the store's directory once a
 * minute at most.
 */
int workshop_tidy(struct workshop *shop, int64_t now_ms, struct diag *diag) MUST_USE;

#endif
