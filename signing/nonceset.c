/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "nonceset.h"

#include <sodium.h>
#include <stdlib.h>

struct nonceset {
    unsigned char key[crypto_shorthash_KEYBYTES];
    uint64_t *marks; /* sorted once sealed */
    size_t count, capacity;
};

struct nonceset *nonceset_new(void)
{
    struct nonceset *set = mem_zero(1, sizeof *set);
    randombytes_buf(set->key, sizeof set->key);
    return set;
}

struct nonceset *nonceset_free(struct nonceset *set)
{
    if (set != NULL)
        free(set->marks);
    free(set);
    return NULL;
}

static uint64_t mark_of(const struct nonceset *set, const struct lease_nonce *nonce)
{
    uint64_t mark;
    _Static_assert(sizeof mark == crypto_shorthash_BYTES, "one mark is one hash");
    crypto_shorthash((unsigned char *)&mark, nonce->bytes, sizeof nonce->bytes, set->key);
    return mark;
}

void nonceset_add(struct nonceset *set, const struct lease_nonce *nonce)
{
    set->marks = mem_reserve(set->marks, &set->capacity, set->count + 1, sizeof *set->marks);
    set->marks[set->count++] = mark_of(set, nonce);
}

static int by_number(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b ? 1 : 0;
}

void nonceset_seal(struct nonceset *set)
{
    if (set->count > 0)
        qsort(set->marks, set->count, sizeof *set->marks, by_number);
}

bool nonceset_has(const struct nonceset *set, const struct lease_nonce *nonce)
{
    uint64_t mark = mark_of(set, nonce);
    return set->count > 0 && bsearch(&mark, set->marks, set->count, sizeof mark, by_number) != NULL;
}
