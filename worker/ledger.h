/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ledger: what running builds have been promised of the owner's limits. A lease that does not fit beside them
 * goes back, whatever the coordinator thinks of this machine. Thread-safe.
 */
#ifndef FARM_LEDGER_H
#define FARM_LEDGER_H

#include "diag.h"

#include <stdbool.h>

struct ledger_share {
    uint64_t cores, memory_bytes, disk_bytes;
};
struct ledger;

struct ledger *ledger_new(struct ledger_share limits);
struct ledger *ledger_free(struct ledger *ledger); /* accepts NULL, returns NULL */
/* FARM_E_LIMIT naming what is short. */
int ledger_take(struct ledger *ledger, struct ledger_share share, struct diag *diag) MUST_USE;
void ledger_give(struct ledger *ledger, struct ledger_share share);

#endif
