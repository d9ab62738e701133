/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ledger.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct ledger {
    pthread_mutex_t lock;
    struct ledger_share limits, taken;
};

struct ledger *ledger_new(struct ledger_share limits)
{
    struct ledger *ledger = mem_zero(1, sizeof *ledger);
    pthread_mutex_init(&ledger->lock, NULL);
    ledger->limits = limits;
    return ledger;
}

struct ledger *ledger_free(struct ledger *ledger)
{
    if (ledger != NULL) {
        pthread_mutex_destroy(&ledger->lock);
        free(ledger);
    }
    return NULL;
}

/* Both summands come from limited fields (resources.yml, worker.conf), but a wrapped sum would allow
 * everything. */
static bool fits(uint64_t taken, uint64_t wanted, uint64_t limit)
{
    return taken <= limit && wanted <= limit - taken;
}

static int check(const struct ledger *ledger, struct ledger_share share, struct diag *diag)
{
    enum { MIB = 20 };
    const struct ledger_share *limits = &ledger->limits, *taken = &ledger->taken;
    if (!fits(taken->cores, share.cores, limits->cores))
        return diag_set(diag, FARM_E_LIMIT,
                        "the job wants %llu cores; the owner allows %llu, of which %llu are in use",
                        (unsigned long long)share.cores, (unsigned long long)limits->cores,
                        (unsigned long long)taken->cores);
    if (!fits(taken->memory_bytes, share.memory_bytes, limits->memory_bytes))
        return diag_set(diag, FARM_E_LIMIT,
                        "the job wants %llu MiB of memory; the owner allows %llu, of which %llu are "
                        "promised",
                        (unsigned long long)(share.memory_bytes >> MIB),
                        (unsigned long long)(limits->memory_bytes >> MIB),
                        (unsigned long long)(taken->memory_bytes >> MIB));
    if (!fits(taken->disk_bytes, share.disk_bytes, limits->disk_bytes))
        return diag_set(diag, FARM_E_LIMIT,
                        "the job wants %llu MiB of disk; the owner allows %llu, of which %llu are "
                        "promised",
                        (unsigned long long)(share.disk_bytes >> MIB),
                        (unsigned long long)(limits->disk_bytes >> MIB),
                        (unsigned long long)(taken->disk_bytes >> MIB));
    return 0;
}

int ledger_take(struct ledger *ledger, struct ledger_share share, struct diag *diag)
{
    pthread_mutex_lock(&ledger->lock);
    int error = check(ledger, share, diag);
    if (error >= 0) {
        ledger->taken.cores += share.cores;
        ledger->taken.memory_bytes += share.memory_bytes;
        ledger->taken.disk_bytes += share.disk_bytes;
    }
    pthread_mutex_unlock(&ledger->lock);
    return error;
}

void ledger_give(struct ledger *ledger, struct ledger_share share)
{
    pthread_mutex_lock(&ledger->lock);
    assert(ledger->taken.cores >= share.cores && ledger->taken.memory_bytes >= share.memory_bytes &&
           ledger->taken.disk_bytes >= share.disk_bytes);
    ledger->taken.cores -= share.cores;
    ledger->taken.memory_bytes -= share.memory_bytes;
    ledger->taken.disk_bytes -= share.disk_bytes;
    pthread_mutex_unlock(&ledger->lock);
}
