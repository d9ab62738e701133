/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "workshop.h"

#include "farmlog.h"
#include "file.h"
#include "gitpin.h"
#include "map.h"
#include "sandbox.h"
#include "spool.h"
#include "statedir.h"
#include "sweep.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* zstd's fastest: most objects of a worker are written once and read once. */
enum { STORE_LEVEL = 1 };

int workshop_read_conf(int state_dirfd, struct worker_conf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = file_read(state_dirfd, STATEDIR_CONF, WORKER_CONF_MAX, &text, diag);
    return error < 0 ? error : worker_conf_parse(buf_view(&text), STATEDIR_CONF, ret, diag);
}

struct trust_self workshop_self(const struct workshop *shop)
{
    return (struct trust_self){.worker = shop->conf.name,
                               .operator_name = shop->conf.operator_name,
                               .ed25519 = *keys_public(identity_keys(shop->identity)),
                               .curve = identity_curve_public(shop->identity),
                               .pinned = shop->conf.root};
}

static int open_trust(struct workshop *shop, struct diag *diag)
{
    const struct trust_self self = workshop_self(shop);
    return trust_open(shop->state_dirfd, &self, &shop->trust, diag);
}

static int read_all(struct workshop *shop, struct diag *diag)
{
    int error = workshop_read_conf(shop->state_dirfd, &shop->conf, diag);
    if (error >= 0)
        error = identity_read(shop->state_dirfd, STATEDIR_KEY, &shop->identity, diag);
    if (error >= 0 && identity_curve_secret(shop->identity) == NULL)
        error = diag_set(diag, FARM_E_CONFIG,
                         STATEDIR_KEY ": has no curve-secret line, so this worker cannot connect");
    if (error >= 0)
        error = open_trust(shop, diag);
    return error >= 0 ? facts_read(shop->state_dirfd, &shop->facts, diag) : error;
}

/* The builds of a worker that was killed end when they notice; until then they may put new files where we
 * remove. */
static int sweep_builds(const struct workshop *shop, struct diag *diag)
{
    enum { TRIES = 50, WAIT_US = 100 * 1000 };
    int error = sweep_all(shop->state_dirfd, STATEDIR_BUILDS, diag);
    for (int i = 0; error < 0 && i < TRIES; i++) {
        usleep(WAIT_US);
        error = sweep_all(shop->state_dirfd, STATEDIR_BUILDS, diag);
    }
    return error;
}

static int open_all(struct workshop *shop, struct diag *diag)
{
    int error = statedir_fill(shop->state_dirfd, diag);
    if (error >= 0)
        error = sweep_builds(shop, diag);
    if (error >= 0)
        error = store_open(shop->state_dirfd, STATEDIR_STORE, STORE_LEVEL, &shop->store, diag);
    if (error >= 0)
        error = trees_open(shop->state_dirfd, &shop->trees, diag);
    if (error >= 0)
        error = roots_open(shop->state_dirfd, shop->store, &shop->roots, diag);
    if (error >= 0)
        error = sandbox_kit_open(&shop->kit, diag);
    return error >= 0 ? gitpin_setup(diag) : error;
}

int workshop_open(int state_dirfd, struct workshop *ret, struct diag *diag)
{
    struct workshop shop = {.state_dirfd = state_dirfd};
    int error = read_all(&shop, diag);
    if (error >= 0)
        error = open_all(&shop, diag);
    if (error < 0) {
        workshop_close(&shop);
        return error;
    }
    shop.ledger =
        ledger_new((struct ledger_share){shop.conf.cores, shop.conf.memory_bytes, shop.conf.disk_bytes});
    shop.places = places_new((unsigned)(shop.conf.cores / (shop.conf.slots > 0 ? shop.conf.slots : 1)));
    *ret = shop;
    return 0;
}

void workshop_close(struct workshop *shop)
{
    ledger_free(shop->ledger);
    places_free(shop->places);
    sandbox_kit_close(shop->kit);
    roots_close(shop->roots);
    trees_close(shop->trees);
    store_close(shop->store);
    trust_close(shop->trust);
    identity_free(shop->identity);
    worker_conf_done(&shop->conf);
    *shop = (struct workshop){.state_dirfd = -1};
}

/* ---- tidying ---- */

/* Objects that must stay, by their raw digests. */
static bool is_kept(void *context, const struct digest *name)
{
    return map_get(context, view_of(name->bytes, sizeof name->bytes)) != NULL;
}

static int list_kept(const struct workshop *shop, struct map *kept, struct diag *diag)
{
    static char present;
    struct spool_entry **entries = NULL;
    size_t count = 0;
    int error = spool_load(shop->state_dirfd, &entries, &count, diag);
    for (size_t i = 0; i < count; i++) {
        const struct digest *const names[] = {&entries[i]->manifest, &entries[i]->tar, &entries[i]->log};
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            map_set(kept, view_of(names[k]->bytes, sizeof names[k]->bytes), &present);
        spool_entry_free(entries[i]);
    }
    free(entries);
    return error;
}

static int tidy_store(struct workshop *shop, uint64_t limit, struct diag *diag)
{
    /* Whoever just made an object has this long to name it in the spool or to pin it. */
    enum { GRACE_MS = 10 * 60 * 1000 };
    uint64_t bytes, freed = 0;
    size_t objects, removed = 0;
    int error = store_usage(shop->store, &bytes, &objects, diag);
    if (error < 0 || bytes <= limit)
        return error;
    struct map *kept = map_new();
    error = list_kept(shop, kept, diag);
    if (error >= 0)
        error = store_collect(shop->store, is_kept, kept, GRACE_MS, &removed, &freed, diag);
    map_free(kept);
    if (error >= 0 && removed > 0)
        log_event(LOG_LEVEL_INFO, "removed cached objects to stay below the cache limit",
                  log_number(FIELD_COUNT, (int64_t)removed), log_number(FIELD_BYTES, (int64_t)freed));
    return error;
}

int workshop_tidy(struct workshop *shop, int64_t now_ms, struct diag *diag)
{
    enum { INTERVAL_MS = 60 * 1000 };
    uint64_t half = shop->conf.cache_bytes / 2;
    long long due = atomic_load(&shop->tidy_at_ms);
    int error = roots_trim(shop->roots, half, diag);
    /* One thread wins the exchange and does it. */
    if (error < 0 || now_ms < due ||
        !atomic_compare_exchange_strong(&shop->tidy_at_ms, &due, now_ms + INTERVAL_MS))
        return error;
    return tidy_store(shop, half, diag);
}
