/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log's files: made from entries, read for proofs, made again when they are not what the entries give.
 *
 * Nothing in here knows the farm, so it runs on a pool thread; one piece of work at a time (journal_private.h). A publication is
 * append, flush, sign, write, in this order: whatever was shown is on the disk, and what is on the disk was committed before.
 */
#include "journal_private.h"

#include "farmlog.h"
#include "file.h"

#include <fcntl.h>

static struct view take_entry(struct view *rest)
{
    const unsigned char *at = (const unsigned char *)rest->data;
    size_t size = (size_t)at[0] << 8 | at[1]; /* our own bundle: whole by construction */
    struct view entry = view_of(rest->data + 2, size);
    *rest = view_of(rest->data + 2 + size, rest->size - 2 - size);
    return entry;
}

static void append(struct journal_tiles *tiles, struct view entry)
{
    struct digest leaf = tlog_leaf(entry);
    tiledir_append(tiles->writer, entry);
    tlog_append(&tiles->tree, &leaf, NULL, NULL);
}

int journal_tiles_append(struct journal_tiles *tiles, struct view entries, struct diag *diag)
{
    while (entries.size > 0)
        append(tiles, take_entry(&entries));
    if (tiledir_size(tiles->writer) != tiles->tree.size)
        return diag_set(diag, FARM_E_CORRUPT, "log: %llu entries are in the files, %llu in the tree",
                        (unsigned long long)tiledir_size(tiles->writer),
                        (unsigned long long)tiles->tree.size);
    return 0;
}

static struct checkpoint checkpoint_of(const struct journal_tiles *tiles)
{
    struct checkpoint checkpoint = {.size = tiles->tree.size, .root = tlog_root(&tiles->tree)};
    memcpy(checkpoint.origin, tiles->origin, sizeof checkpoint.origin);
    return checkpoint;
}

int journal_tiles_publish(struct journal_tiles *tiles, struct view entries, enum journal_step last,
                          struct checkpoint *ret, struct buf *ret_note, struct diag *diag)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    int result = journal_tiles_append(tiles, entries, diag);
    struct checkpoint checkpoint = checkpoint_of(tiles);
    if (result >= 0 && last >= JOURNAL_FLUSHED)
        result = tiledir_flush(tiles->writer, diag);
    if (result >= 0 && last >= JOURNAL_SIGNED)
        result = note_sign_checkpoint(&checkpoint, tiles->keys, &note, diag);
    if (result >= 0 && last >= JOURNAL_WRITTEN)
        result = file_write(tiles->dirfd, TILEDIR_CHECKPOINT, buf_view(&note), 0644, diag);
    if (result < 0)
        return result;
    *ret = checkpoint;
    buf_add_view(ret_note, buf_view(&note));
    return 0;
}

/* ---- proofs ---- */

static int answer_position(struct tiledir *reader, const struct tlog_reader *hashes, uint64_t size,
                           uint64_t position, struct journal_inclusion *ret, struct diag *diag)
{
    ret->position = position;
    int result = tiledir_entry(reader, position, &ret->entry, diag);
    return result < 0 ? result : tlog_prove_inclusion(hashes, size, position, &ret->path, diag);
}

/* A position that the tree does not have yet is left out: it is asked for again. */
static int answer_one(struct tiledir *reader, uint64_t size, const struct journal_ask *ask,
                      struct journal_proofs *ret)
{
    struct tlog_reader hashes = tiledir_hashes(reader);
    int result = 0;
    if (ask->known_size > 0 && ask->known_size <= size)
        result = tlog_prove_consistency(&hashes, ask->known_size, size, &ret->consistency, &ret->diag);
    for (size_t i = 0; result >= 0 && i < ask->npositions; i++)
        if (ask->positions[i] < size)
            result = answer_position(reader, &hashes, size, ask->positions[i],
                                     &ret->inclusions[ret->ninclusions++], &ret->diag);
    return result;
}

void journal_tiles_answer(const struct journal_tiles *tiles, const struct checkpoint *shown,
                          struct journal_ask *const *asks, size_t count)
{
    struct tiledir *reader = NULL;
    struct diag diag = DIAG_INIT;
    int opened = 0;
    if (count > 0 && shown->size > 0)
        opened = tiledir_reader_open(tiles->dirfd, shown->size, &reader, &diag);
    for (size_t i = 0; i < count; i++) {
        asks[i]->proofs = mem_zero(1, sizeof *asks[i]->proofs);
        asks[i]->proofs->diag = diag;
        asks[i]->result = opened;
        if (reader != NULL)
            asks[i]->result = answer_one(reader, shown->size, asks[i], asks[i]->proofs);
    }
    tiledir_reader_free(reader);
}

/* ---- at start ---- */

/* Every hash of the files is computed anew; they were on a disk while nobody looked (L7). */
static int check_files(struct journal_tiles *tiles, const struct checkpoint *known, struct diag *diag)
{
    struct digest root;
    int result = tiledir_verify(tiles->dirfd, known->size, &root, diag);
    if (result >= 0 && !digest_equal(&root, &known->root))
        result = diag_set(diag, FARM_E_CORRUPT, "the files give another root than the checkpoint has");
    return result < 0 ? result : tiledir_open(tiles->dirfd, known->size, &tiles->writer, diag);
}

static int start_over(struct journal_tiles *tiles, struct diag *diag)
{
    int result = file_remove_tree(tiles->dirfd, "tile", diag);
    return result < 0 ? result : tiledir_open(tiles->dirfd, 0, &tiles->writer, diag);
}

static int append_row(void *context, uint64_t position, struct view entry)
{
    struct tiledir_writer *writer = context;
    (void)position;
    tiledir_append(writer, entry);
    return 0;
}

int journal_tiles_recover(struct journal_tiles *tiles, const struct journal_entries *entries,
                          const struct checkpoint *known, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    int found = known->size > 0 ? check_files(tiles, known, &why) : -1;
    if (found < 0 && known->size > 0)
        log_warning("log: %s; its files are made again from the database", diag_text(&why, found));
    int result = found >= 0 ? 0 : start_over(tiles, diag);
    if (result >= 0)
        result =
            entries->each(entries->context, found >= 0 ? known->size : 0, append_row, tiles->writer, diag);
    if (result >= 0 && found < 0) /* also when there is nothing new to publish */
        result = tiledir_flush(tiles->writer, diag);
    return result < 0 ? result : 0;
}

struct difference {
    struct tiledir *reader;
    uint64_t size, at;
};

static int compare_row(void *context, uint64_t position, struct view entry)
{
    struct difference *difference = context;
    CLEANUP_BUF struct buf shown = BUF_INIT;
    if (position >= difference->size || tiledir_entry(difference->reader, position, &shown, NULL) < 0)
        return FARM_E_STATE; /* ends the walk */
    if (view_equal(entry, buf_view(&shown)))
        return 0;
    difference->at = position;
    return FARM_E_STATE;
}

uint64_t journal_tiles_differ(const struct journal_tiles *tiles, const struct journal_entries *entries,
                              uint64_t size)
{
    struct difference difference = {NULL, size, UINT64_MAX};
    if (tiledir_reader_open(tiles->dirfd, size, &difference.reader, NULL) >= 0)
        (void)!entries->each(entries->context, 0, compare_row, &difference, NULL);
    tiledir_reader_free(difference.reader);
    return difference.at;
}

void journal_tiles_done(struct journal_tiles *tiles)
{
    tiles->writer = tiledir_close(tiles->writer);
    mem_close_p(&tiles->dirfd);
}
