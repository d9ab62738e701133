/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log_test.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void log_entry(uint64_t position, struct buf *ret)
{
    buf_add_format(ret, "{\"position\":%llu,\"text\":\"", (unsigned long long)position);
    for (uint64_t i = 0; i < position % 37; i++)
        buf_add_byte(ret, (char)('a' + (position + i) % 26));
    buf_add_text(ret, "\"}");
}

struct digest log_leaf(uint64_t position)
{
    CLEANUP_BUF struct buf entry = BUF_INIT;
    log_entry(position, &entry);
    return tlog_leaf(buf_view(&entry));
}

static struct digest node(struct digest left, struct digest right)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_byte(&text, 1);
    buf_add(&text, left.bytes, DIGEST_SIZE);
    buf_add(&text, right.bytes, DIGEST_SIZE);
    return digest_of(buf_view(&text));
}

static uint64_t split(uint64_t n)
{
    uint64_t k = 1;
    while (k * 2 < n)
        k *= 2;
    return k;
}

struct digest model_root(const struct digest *leaves, uint64_t from, uint64_t to)
{
    if (from == to)
        return digest_of(VIEW_NONE);
    if (to - from == 1)
        return leaves[from];
    uint64_t k = split(to - from);
    return node(model_root(leaves, from, from + k), model_root(leaves, from + k, to));
}

void model_inclusion(const struct digest *leaves, uint64_t from, uint64_t to, uint64_t position,
                     struct tlog_proof *ret)
{
    if (to - from == 1)
        return;
    uint64_t middle = from + split(to - from);
    if (position < middle) {
        model_inclusion(leaves, from, middle, position, ret);
        ret->hashes[ret->count++] = model_root(leaves, middle, to);
    } else {
        model_inclusion(leaves, middle, to, position, ret);
        ret->hashes[ret->count++] = model_root(leaves, from, middle);
    }
}

/* SUBPROOF(m, D[from:to], b) */
static void subproof(const struct digest *leaves, uint64_t m, uint64_t from, uint64_t to, bool b,
                     struct tlog_proof *ret)
{
    if (m == to - from) {
        if (!b)
            ret->hashes[ret->count++] = model_root(leaves, from, to);
        return;
    }
    uint64_t k = split(to - from);
    if (m <= k) {
        subproof(leaves, m, from, from + k, b, ret);
        ret->hashes[ret->count++] = model_root(leaves, from + k, to);
    } else {
        subproof(leaves, m - k, from + k, to, false, ret);
        ret->hashes[ret->count++] = model_root(leaves, from, from + k);
    }
}

void model_consistency(const struct digest *leaves, uint64_t old_size, uint64_t size, struct tlog_proof *ret)
{
    subproof(leaves, old_size, 0, size, true, ret);
}

static int model_read(void *context, unsigned int level, uint64_t index, struct digest *ret,
                      struct diag *diag)
{
    struct model *model = context;
    (void)diag;
    model->reads++;
    assert_true(index << level >> level == index);
    assert_true((index + 1) << level <= model->size); /* only what is complete is ever stored */
    *ret = model_root(model->leaves, index << level, (index + 1) << level);
    return 0;
}

struct tlog_reader model_reader(struct model *model)
{
    return (struct tlog_reader){model_read, model};
}

uint64_t log_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int make_place(void **state)
{
    struct place *place = mem_zero(1, sizeof *place);
    snprintf(place->path, sizeof place->path, "%s/log-XXXXXX", FARM_BINARY_DIR);
    if (mkdtemp(place->path) == NULL)
        return -1;
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return place->fd < 0;
}

int remove_place(void **state)
{
    struct place *place = *state;
    close(place->fd);
    int result = file_remove_tree(AT_FDCWD, place->path, NULL);
    free(place);
    return result;
}
