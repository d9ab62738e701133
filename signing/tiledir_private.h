/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside the tile directory: tiles as files, bundles as lists, and the right edge of a tree that grows. */
#ifndef FARM_TILEDIR_PRIVATE_H
#define FARM_TILEDIR_PRIVATE_H

#include "tiledir.h"

enum {
    TILE_LEVELS = TLOG_LEVELS / TILE_HEIGHT,
    TILE_BYTES = TILE_WIDTH * DIGEST_SIZE,
    BUNDLE_MAX = TILE_WIDTH * (2 + TLOG_ENTRY_MAX)
};

/* --- the right edge: the tile of each level that is not full yet --- */

struct tile_edge {
    struct tlog_tree tree;
    struct digest hashes[TILE_LEVELS][TILE_WIDTH];
    unsigned int width[TILE_LEVELS];
};
/* How many hashes (or, at level TILEDIR_ENTRIES, entries) the tile holds in a tree of 'size'; 0: there is no such tile. */
unsigned int tile_width_at(uint64_t size, int level, uint64_t index);
/* 'full' (may be NULL) gets each tile that becomes full. */
void tile_edge_append(struct tile_edge *edge, const struct digest *leaf,
                      void (*full)(void *context, int level, uint64_t index, const struct digest *hashes),
                      void *context);

/* --- files --- */

/* The entries of a bundle, in the order of their positions. */
struct bundle {
    struct buf bytes;
    size_t starts[TILE_WIDTH + 1]; /* where each begins, with its length in front; the last is the end */
    unsigned int count;
};
#define BUNDLE_INIT                                                                                          \
    {                                                                                                        \
        .bytes = BUF_INIT                                                                                    \
    }
void bundle_done(struct bundle *bundle);
/* Takes over the bytes; they must be 'count' entries and no more. */
int bundle_parse(struct buf *bytes, unsigned int count, const char *name, struct bundle *ret,
                 struct diag *diag) MUST_USE;
struct view bundle_entry(const struct bundle *bundle, unsigned int at);

/*
 * The bytes of a tile or bundle of at least 'width', from the file of exactly that width, else from a longer one, whose width is
 * returned. FARM_E_MISSING if there is none.
 */
int tiledir_read(int dirfd, int level, uint64_t index, unsigned int width, struct buf *ret,
                 struct diag *diag) MUST_USE;
/* The file of exactly this width, with its size checked. Returns the width; -ENOENT if there is no such file. */
int tiledir_read_width(int dirfd, int level, uint64_t index, unsigned int width, struct buf *ret,
                       struct diag *diag) MUST_USE;
int tiledir_read_bundle(int dirfd, uint64_t index, unsigned int width, struct bundle *ret,
                        struct diag *diag) MUST_USE;
/* Calls 'visit' with each width for which a partial tile or bundle is there; none if there is no such directory. */
int tiledir_each_partial(int dirfd, int level, uint64_t index,
                         int (*visit)(void *context, unsigned int width), void *context,
                         struct diag *diag) MUST_USE;
/* Name of the directory of partial ones: the path of the whole with ".p" behind it. */
struct tile_path tiledir_partials(int level, uint64_t index);

/* The root of a full tile, computed from its hashes: what must stand in the level above. */
int tiledir_tile_root(struct tiledir *reader, int level, uint64_t index, struct digest *ret,
                      struct diag *diag) MUST_USE;

#endif
