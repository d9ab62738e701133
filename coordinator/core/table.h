/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Table: an intrusive hash table by 32-byte names (job keys, nonces, plan digests).
 *
 * The names are SHA-256 digests or our own random numbers, so their first bytes are the hash. The link is
 * embedded in what it finds: 40 bytes and no allocation per entry, where a general map needs thrice that; there are
 * hundreds of thousands of leases.
 */
#ifndef FARM_CORE_TABLE_H
#define FARM_CORE_TABLE_H

#include "mem.h"

enum { TABLE_KEY_SIZE = 32 };

struct table_link {
    struct table_link *next;
    unsigned char key[TABLE_KEY_SIZE];
};

struct table {
    struct table_link **cells;
    size_t ncells, count;
};

#define TABLE_INIT                                                                                           \
    {                                                                                                        \
        0                                                                                                    \
    }

/* Frees the cells; the entries are the caller's. */
void table_done(struct table *table);
/* NULL if absent. */
struct table_link *table_find(const struct table *table, const void *key);
/* 'link->key' is set and not in the table yet. */
void table_add(struct table *table, struct table_link *link);
/* 'link' is in the table. The entry is the caller's again. */
void table_remove(struct table *table, struct table_link *link);
/* Visits all in no useful order: start with *cursor = 0 and link = NULL; NULL at the end. */
struct table_link *table_next(const struct table *table, size_t *cursor, struct table_link *link);

#endif
