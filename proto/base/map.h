/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Map: a hash table from byte strings to pointers. Keys are copied; values are borrowed.
 *
 * Open addressing with SipHash-like keyed mixing, so that names chosen by strangers cannot degrade it. The order of
 * iteration is the order of insertion (removed entries leave a gap), which keeps everything derived from a
 * map deterministic.
 */
#ifndef FARM_MAP_H
#define FARM_MAP_H

#include "view.h"

struct map;

struct map *map_new(void);
struct map *map_free(struct map *map); /* accepts NULL, returns NULL; the values are the caller's */
size_t map_count(const struct map *map);
/* NULL if absent. */
void *map_get(const struct map *map, struct view key);
/* Inserts or replaces; returns the value that was there before, or NULL. 'value' is not NULL. */
void *map_set(struct map *map, struct view key, void *value);
/* Returns the value that was there, or NULL. */
void *map_remove(struct map *map, struct view key);
/* Iteration: start with *cursor = 0; false at the end. Removing the entry just returned is allowed. */
bool map_next(const struct map *map, size_t *cursor, struct view *ret_key, void **ret_value);

#endif
