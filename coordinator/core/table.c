/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "table.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_CELLS = 64 };

static size_t cell_of(const struct table *table, const unsigned char *key)
{
    uint64_t hash;
    memcpy(&hash, key, sizeof hash);
    return (size_t)hash & (table->ncells - 1);
}

void table_done(struct table *table)
{
    free(table->cells);
    *table = (struct table)TABLE_INIT;
}

struct table_link *table_find(const struct table *table, const void *key)
{
    if (table->ncells == 0)
        return NULL;
    struct table_link *link = table->cells[cell_of(table, key)];
    while (link != NULL && memcmp(link->key, key, TABLE_KEY_SIZE) != 0)
        link = link->next;
    return link;
}

static void put(struct table *table, struct table_link *link)
{
    struct table_link **cell = &table->cells[cell_of(table, link->key)];
    link->next = *cell;
    *cell = link;
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->ncells = old.ncells > 0 ? old.ncells * 2 : FIRST_CELLS;
    table->cells = mem_zero(table->ncells, sizeof(struct table_link *));
    for (size_t i = 0; i < old.ncells; i++)
        for (struct table_link *link = old.cells[i], *next; link != NULL; link = next) {
            next = link->next;
            put(table, link);
        }
    free(old.cells);
}

void table_add(struct table *table, struct table_link *link)
{
    if (table->count >= table->ncells)
        grow(table);
    put(table, link);
    table->count++;
}

void table_remove(struct table *table, struct table_link *link)
{
    struct table_link **at = &table->cells[cell_of(table, link->key)];
    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link->next = NULL;
    table->count--;
}

struct table_link *table_next(const struct table *table, size_t *cursor, struct table_link *link)
{
    if (link != NULL && link->next != NULL)
        return link->next;
    while (*cursor < table->ncells) {
        link = table->cells[(*cursor)++];
        if (link != NULL)
            return link;
    }
    return NULL;
}
