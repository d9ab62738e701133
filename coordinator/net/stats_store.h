/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Counts the store's objects: a thread that walks their names every so often, so that neither the loop nor a pool thread waits for a disk
 * with a million of them. Between two walks it rests a hundred times as long as the last one took, and at least five seconds.
 */
#ifndef FARM_STATS_STORE_H
#define FARM_STATS_STORE_H

#include "store.h"

struct stats_store;

/* NULL if no thread can be had: then nothing is known, which is what the figures say. */
struct stats_store *stats_store_new(struct store *store);
/* Ends a walk that is under way. Accepts NULL, returns NULL. */
struct stats_store *stats_store_free(struct stats_store *count);
/* False before the first walk has ended. */
bool stats_store_look(struct stats_store *count, double *ret_objects, double *ret_bytes);

#endif
