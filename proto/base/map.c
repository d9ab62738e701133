/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "map.h"

#include <stdlib.h>
#include <sys/random.h>

struct entry {
    char *key; /* NULL: removed */
    size_t size;
    uint64_t hash;
    void *value;
};

/* 'index' holds positions in 'entries' plus one; 0 is an empty cell. It is rebuilt when entries are half gaps. */
struct map {
    struct entry *entries;
    size_t used, capacity; /* of entries, gaps included */
    size_t live;
    uint32_t *index;
    size_t cells; /* a power of two, at least twice 'used' */
    uint64_t seed[2];
};

enum { FIRST_CELLS = 16 };

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

/* SipHash-1-3 (Aumasson and Bernstein, 2012; the variant used by several language runtimes for their tables). */
static uint64_t hash_key(const uint64_t seed[2], struct view key)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du,
                     seed[0] ^ 0x6c7967656e657261u, seed[1] ^ 0x7465646279746573u};
    size_t whole = key.size & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, key.data + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)key.size << 56;
    for (size_t i = whole; i < key.size; i++)
        last |= (uint64_t)(unsigned char)key.data[i] << 8 * (i - whole);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

struct map *map_new(void)
{
    struct map *map = mem_zero(1, sizeof *map);
    if (getrandom(map->seed, sizeof map->seed, 0) != (ssize_t)sizeof map->seed)
        abort();
    map->cells = FIRST_CELLS;
    map->index = mem_zero(map->cells, sizeof *map->index);
    return map;
}

struct map *map_free(struct map *map)
{
    if (map == NULL)
        return NULL;
    for (size_t i = 0; i < map->used; i++)
        free(map->entries[i].key);
    free(map->entries);
    free(map->index);
    free(map);
    return NULL;
}

size_t map_count(const struct map *map)
{
    return map->live;
}

/* The cell that holds the key, or the empty one where it would go. */
static size_t find_cell(const struct map *map, struct view key, uint64_t hash)
{
    size_t cell = hash & (map->cells - 1);
    while (map->index[cell] != 0) {
        const struct entry *entry = &map->entries[map->index[cell] - 1];
        if (entry->key != NULL && entry->hash == hash && view_equal(view_of(entry->key, entry->size), key))
            return cell;
        cell = (cell + 1) & (map->cells - 1);
    }
    return cell;
}

static void rebuild(struct map *map)
{
    size_t kept = 0;
    for (size_t i = 0; i < map->used; i++)
        if (map->entries[i].key != NULL)
            map->entries[kept++] = map->entries[i];
    map->used = kept;
    while (map->cells < 4 * (kept + 1))
        map->cells *= 2;
    free(map->index);
    map->index = mem_zero(map->cells, sizeof *map->index);
    for (size_t i = 0; i < kept; i++) {
        size_t cell = map->entries[i].hash & (map->cells - 1);
        while (map->index[cell] != 0)
            cell = (cell + 1) & (map->cells - 1);
        map->index[cell] = (uint32_t)i + 1;
    }
}

void *map_get(const struct map *map, struct view key)
{
    size_t cell = find_cell(map, key, hash_key(map->seed, key));
    return map->index[cell] != 0 ? map->entries[map->index[cell] - 1].value : NULL;
}

void *map_set(struct map *map, struct view key, void *value)
{
    uint64_t hash = hash_key(map->seed, key);
    size_t cell = find_cell(map, key, hash);
    if (map->index[cell] != 0) {
        struct entry *entry = &map->entries[map->index[cell] - 1];
        void *before = entry->value;
        entry->value = value;
        return before;
    }
    if (2 * (map->used + 1) > map->cells) {
        rebuild(map);
        cell = find_cell(map, key, hash);
    }
    map->entries = mem_reserve(map->entries, &map->capacity, map->used + 1, sizeof *map->entries);
    map->entries[map->used++] = (struct entry){
        .key = mem_string_n(key.data, key.size), .size = key.size, .hash = hash, .value = value};
    map->index[cell] = (uint32_t)map->used;
    map->live++;
    return NULL;
}

void *map_remove(struct map *map, struct view key)
{
    size_t cell = find_cell(map, key, hash_key(map->seed, key));
    if (map->index[cell] == 0)
        return NULL;
    struct entry *entry = &map->entries[map->index[cell] - 1];
    free(entry->key);
    entry->key = NULL; /* the cell stays taken, so that probing goes on past it, until the next rebuild */
    map->live--;
    return entry->value;
}

bool map_next(const struct map *map, size_t *cursor, struct view *ret_key, void **ret_value)
{
    while (*cursor < map->used && map->entries[*cursor].key == NULL)
        ++*cursor;
    if (*cursor >= map->used)
        return false;
    const struct entry *entry = &map->entries[(*cursor)++];
    *ret_key = view_of(entry->key, entry->size);
    *ret_value = entry->value;
    return true;
}
