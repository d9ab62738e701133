/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tile directory: a log as static files (C2SP tlog-tiles), written by the coordinator, read by whoever checks.
 *
 *     checkpoint                       the newest signed note
 *     tile/<L>/<N>[.p/<W>]             hashes: 256 of level 8*L, or W at the right edge
 *     tile/entries/<N>[.p/<W>]         256 entries, or W, each behind its length as a big-endian uint16
 *
 * N is written in groups of three digits: 1234067 is x001/x234/067. Derived data: everything here can be made again from the
 * entries. Files are written durably before the checkpoint that covers them; a partial tile that a longer one replaces may be removed.
 */
#ifndef FARM_TILEDIR_H
#define FARM_TILEDIR_H

#include "buf.h"
#include "tlog.h"

#define TILEDIR_CHECKPOINT "checkpoint"

enum { TILE_WIDTH = 256, TILE_HEIGHT = 8, TILEDIR_ENTRIES = -1, TILEDIR_PATH_MAX = 96 };

struct tile_path {
    char text[TILEDIR_PATH_MAX];
};
/* level TILEDIR_ENTRIES: an entry bundle. width TILE_WIDTH: the whole tile. */
struct tile_path tiledir_path(int level, uint64_t index, unsigned int width);

/*
 * Writer. It holds the right edge of each level in memory. tiledir_open() on an empty directory starts at size 0; on another one it
 * reads the tree of 'size' (what the database or the last checkpoint says) from the files, FARM_E_CORRUPT if they do not give it.
 */
struct tiledir_writer;
int tiledir_open(int dirfd, uint64_t size, struct tiledir_writer **ret, struct diag *diag) MUST_USE;
struct tiledir_writer *tiledir_close(struct tiledir_writer *writer); /* accepts NULL, returns NULL */
/* Takes an entry and writes nothing yet: who adds very many flushes now and then, or they all stay in memory. */
void tiledir_append(struct tiledir_writer *writer, struct view entry);
uint64_t tiledir_size(const struct tiledir_writer *writer);
/*
 * Writes and syncs what is new: full tiles, and the partial ones of the present size. After it a checkpoint of this size may be shown.
 * After a failure everything is still held: flush again, and append nothing twice. A sync that fails ends the process (file.h).
 */
int tiledir_flush(struct tiledir_writer *writer, struct diag *diag) MUST_USE;

/* Reader of a directory at one size; hashes come from hash tiles if they are there, else from entry bundles. Keeps few tiles in memory. */
struct tiledir;
int tiledir_reader_open(int dirfd, uint64_t size, struct tiledir **ret, struct diag *diag) MUST_USE;
struct tiledir *tiledir_reader_free(struct tiledir *reader); /* accepts NULL, returns NULL */
struct tlog_reader tiledir_hashes(struct tiledir *reader);   /* borrowed */
int tiledir_entry(struct tiledir *reader, uint64_t position, struct buf *ret, struct diag *diag) MUST_USE;
/* All entries from 0 on, in order, from the bundles alone. A negative value of 'visit' ends the walk with it. */
int tiledir_each_entry(int dirfd, uint64_t size,
                       int (*visit)(void *context, uint64_t position, struct view entry), void *context,
                       struct diag *diag) MUST_USE;
/*
 * Recomputes every hash tile of the tree from the entries and compares all files of each that are there, partial ones of older sizes
 * and whole ones of later sizes, too (L7): FARM_E_CORRUPT or FARM_E_MISSING naming the file. The caller compares *ret_root with
 * what the log signed, since an altered entry with everything made from it shows nowhere else.
 */
int tiledir_verify(int dirfd, uint64_t size, struct digest *ret_root, struct diag *diag) MUST_USE;

/* An entry bundle's bytes, as above. Appends. */
void tiledir_add_to_bundle(struct view entry, struct buf *ret);

#endif
