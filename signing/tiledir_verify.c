/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Checking a whole directory: the entries are the truth (their root is compared with a signed one by the caller), and every file
 * that says something about them must agree: hash tiles of all levels, and all partial tiles and bundles that are still there.
 */
#include "tiledir_private.h"

#include <errno.h>

/* What a tile or bundle holds, by the entries. */
struct expected {
    int level;
    uint64_t index;
    unsigned int width;
    struct view bytes;
    const size_t *starts; /* of a bundle: where the entries begin */
};
struct checking {
    int dirfd;
    const struct expected *expected;
    struct diag *diag;
};

static size_t size_of_first(const struct expected *expected, unsigned int count)
{
    return expected->starts != NULL ? expected->starts[count] : (size_t)count * DIGEST_SIZE;
}

/* What a wider file says about later entries is not this tree's. */
static bool agrees(const struct expected *expected, const struct buf *found, unsigned int width)
{
    unsigned int common = width < expected->width ? width : expected->width;
    size_t size = size_of_first(expected, common);
    return found->size >= size && (width > common || found->size == size) &&
           memcmp(found->data, expected->bytes.data, size) == 0;
}

/* Of one width; -ENOENT if there is no such file. */
static int check_width(void *context, unsigned int width)
{
    const struct checking *checking = context;
    const struct expected *expected = checking->expected;
    CLEANUP_BUF struct buf found = BUF_INIT;
    int result =
        tiledir_read_width(checking->dirfd, expected->level, expected->index, width, &found, checking->diag);
    if (result < 0 || agrees(expected, &found, width))
        return result;
    return diag_set(checking->diag, FARM_E_CORRUPT, "%s is not what the log's entries give: it was altered",
                    tiledir_path(expected->level, expected->index, width).text);
}

/* All files of one tile or bundle. */
static int check_files(int dirfd, const struct expected *expected, struct diag *diag)
{
    struct checking checking = {dirfd, expected, diag};
    CLEANUP_BUF struct buf found = BUF_INIT;
    int result = tiledir_read(dirfd, expected->level, expected->index, expected->width, &found, diag);
    if (result >= 0)
        result = check_width(&checking, (unsigned int)result);
    if (result >= 0)
        result = tiledir_each_partial(dirfd, expected->level, expected->index, check_width, &checking, diag);
    if (result < 0 || expected->width == TILE_WIDTH)
        return result;
    result = check_width(&checking, TILE_WIDTH); /* it may have grown since */
    return result == -ENOENT ? 0 : result;
}

struct walk {
    int dirfd;
    struct tile_edge edge;
    int result;
    struct diag *diag;
};

static int check_tile(struct walk *walk, int level, uint64_t index, const struct digest *hashes,
                      unsigned int width)
{
    struct expected expected = {level, index, width, view_of(hashes, (size_t)width * DIGEST_SIZE), NULL};
    return check_files(walk->dirfd, &expected, walk->diag);
}

static void check_full_tile(void *context, int level, uint64_t index, const struct digest *hashes)
{
    struct walk *walk = context;
    if (walk->result >= 0)
        walk->result = check_tile(walk, level, index, hashes, TILE_WIDTH);
}

static int check_bundle(struct walk *walk, uint64_t index, unsigned int width)
{
    struct bundle bundle = BUNDLE_INIT;
    int result = tiledir_read_bundle(walk->dirfd, index, width, &bundle, walk->diag);
    if (result >= 0) {
        struct expected expected = {TILEDIR_ENTRIES, index, width,
                                    view_of(bundle.bytes.data, bundle.starts[width]), bundle.starts};
        result = check_files(walk->dirfd, &expected, walk->diag);
    }
    for (unsigned int i = 0; result >= 0 && i < width; i++) {
        struct digest leaf = tlog_leaf(bundle_entry(&bundle, i));
        tile_edge_append(&walk->edge, &leaf, check_full_tile, walk);
        result = walk->result;
    }
    bundle_done(&bundle);
    return result;
}

static int check_right_edge(struct walk *walk)
{
    int result = 0;
    for (int level = 0; result >= 0 && level < TILE_LEVELS; level++)
        if (walk->edge.width[level] > 0)
            result = check_tile(walk, level, walk->edge.tree.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT,
                                walk->edge.hashes[level], walk->edge.width[level]);
    return result;
}

int tiledir_verify(int dirfd, uint64_t size, struct digest *ret_root, struct diag *diag)
{
    CLEANUP_FREE struct walk *walk = mem_zero(1, sizeof *walk);
    walk->dirfd = dirfd;
    walk->diag = diag;
    int result = 0;
    for (uint64_t index = 0; result >= 0 && index * TILE_WIDTH < size; index++)
        result = check_bundle(walk, index, tile_width_at(size, TILEDIR_ENTRIES, index));
    if (result >= 0)
        result = check_right_edge(walk);
    if (result < 0)
        return result;
    *ret_root = tlog_root(&walk->edge.tree);
    return 0;
}
