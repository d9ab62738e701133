/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing. Everything that a flush writes goes to temporary names first, is synced, renamed, and the directories are synced:
 * so a file of a tile is whole or absent. Nothing is forgotten before all of it succeeded; a flush that failed for want of room
 * can be tried again. Files never change: what a crash makes us write twice has the same bytes.
 *
 * A flush of a few entries touches two or three files and syncs each. One of many (a directory made anew from the database)
 * would wait for thousands of syncs, and asks the file system to sync itself instead.
 */
#include "tiledir_private.h"

#include "file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* From here on one syncfs is cheaper than so many fsyncs, also when others write on the same disk. */
enum { SYNC_EACH_MAX = 16 };
#define TEMP_SUFFIX ".tmp" /* there is one writer, and it overwrites what a crash left */

/* One file to be written. */
struct output {
    int level;
    uint64_t index;
    unsigned int width;
    struct buf content;
};
struct outputs {
    struct output *items;
    size_t count, capacity;
};

struct tiledir_writer {
    int fd;
    bool complete; /* everything up to the present size is in files */
    struct tile_edge edge;
    struct buf bundle;                         /* of the entries behind the last full one */
    unsigned int partial_written[TILE_LEVELS]; /* width of each level's partial tile in the directory */
    struct outputs outputs;                    /* what became full and is not written yet */
};

/* --- the right edge --- */

struct collecting {
    struct tile_edge *edge;
    void (*full)(void *context, int level, uint64_t index, const struct digest *hashes);
    void *context;
};

static void collect(void *context, unsigned int level, uint64_t index, const struct digest *hash)
{
    const struct collecting *collecting = context;
    if (level % TILE_HEIGHT != 0)
        return;
    level /= TILE_HEIGHT;
    struct tile_edge *edge = collecting->edge;
    edge->hashes[level][edge->width[level]++] = *hash;
    if (edge->width[level] < TILE_WIDTH)
        return;
    edge->width[level] = 0;
    if (collecting->full != NULL)
        collecting->full(collecting->context, (int)level, index / TILE_WIDTH, edge->hashes[level]);
}

void tile_edge_append(struct tile_edge *edge, const struct digest *leaf,
                      void (*full)(void *context, int level, uint64_t index, const struct digest *hashes),
                      void *context)
{
    struct collecting collecting = {edge, full, context};
    tlog_append(&edge->tree, leaf, collect, &collecting);
}

/* --- opening --- */

static int differs(const char *what, uint64_t number, struct diag *diag)
{
    return diag_set(diag, FARM_E_CORRUPT, "%s %llu is not what the files below it give", what,
                    (unsigned long long)number);
}

/* The entries behind the last full bundle, and whether their hashes are those of the tile. */
static int load_bundle(struct tiledir_writer *writer, struct diag *diag)
{
    struct bundle bundle = BUNDLE_INIT;
    const struct tile_edge *edge = &writer->edge;
    unsigned int width = edge->width[0];
    if (width == 0)
        return 0;
    int result = tiledir_read_bundle(writer->fd, edge->tree.size / TILE_WIDTH, width, &bundle, diag);
    for (unsigned int i = 0; result >= 0 && i < width; i++) {
        struct digest leaf = tlog_leaf(bundle_entry(&bundle, i));
        if (!digest_equal(&leaf, &edge->hashes[0][i]))
            result = differs("the hash of entry", edge->tree.size / TILE_WIDTH * TILE_WIDTH + i, diag);
    }
    if (result >= 0)
        buf_add(&writer->bundle, bundle.bytes.data, bundle.starts[width]);
    bundle_done(&bundle);
    return result;
}

/* The hashes of one level that stand in no full tile, and whether the last of them is that of the tile below. */
static int load_level(struct tiledir *reader, struct tile_edge *edge, unsigned int level, struct diag *diag)
{
    struct tlog_reader hashes = tiledir_hashes(reader);
    uint64_t count = edge->tree.size >> (TILE_HEIGHT * level), first = count / TILE_WIDTH * TILE_WIDTH;
    struct digest below;
    int result = 0;
    for (uint64_t i = first; result >= 0 && i < count; i++)
        result = hashes.read(hashes.context, TILE_HEIGHT * level, i,
                             &edge->hashes[level][edge->width[level]++], diag);
    if (result < 0 || level == 0 || count == 0)
        return result;
    result = tiledir_tile_root(reader, (int)level - 1, count - 1, &below, diag);
    if (result >= 0 && edge->width[level] > 0 &&
        !digest_equal(&below, &edge->hashes[level][edge->width[level] - 1]))
        result = differs("the hash of tile", count - 1, diag);
    return result;
}

static int load_edge(struct tiledir_writer *writer, uint64_t size, struct diag *diag)
{
    struct tiledir *reader;
    int result = tiledir_reader_open(writer->fd, size, &reader, diag);
    if (result < 0)
        return result;
    struct tlog_reader hashes = tiledir_hashes(reader);
    result = tlog_tree_at(&hashes, size, &writer->edge.tree, diag);
    for (unsigned int level = 0; result >= 0 && level < TILE_LEVELS; level++)
        result = load_level(reader, &writer->edge, level, diag);
    tiledir_reader_free(reader);
    return result < 0 ? result : load_bundle(writer, diag);
}

int tiledir_open(int dirfd, uint64_t size, struct tiledir_writer **ret, struct diag *diag)
{
    int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return diag_errno(diag, "tile directory");
    struct tiledir_writer *writer = mem_zero(1, sizeof *writer);
    writer->fd = fd;
    writer->complete = size == 0;
    int result = load_edge(writer, size, diag);
    if (result == FARM_E_MISSING || result == FARM_E_CORRUPT)
        result = diag_wrap(diag, FARM_E_CORRUPT, "the tile directory does not hold the log's %llu entries",
                           (unsigned long long)size);
    if (result < 0)
        writer = tiledir_close(writer);
    else
        *ret = writer;
    return result;
}

static void forget_outputs(struct outputs *outputs, size_t from)
{
    while (outputs->count > from)
        buf_done(&outputs->items[--outputs->count].content);
}

struct tiledir_writer *tiledir_close(struct tiledir_writer *writer)
{
    if (writer == NULL)
        return NULL;
    forget_outputs(&writer->outputs, 0);
    free(writer->outputs.items);
    buf_done(&writer->bundle);
    close(writer->fd);
    free(writer);
    return NULL;
}

/* --- appending --- */

static struct buf *add_output(struct outputs *outputs, int level, uint64_t index, unsigned int width)
{
    outputs->items =
        mem_reserve(outputs->items, &outputs->capacity, outputs->count + 1, sizeof *outputs->items);
    struct output *output = &outputs->items[outputs->count++];
    *output = (struct output){level, index, width, BUF_INIT};
    return &output->content;
}

static void add_full_tile(void *context, int level, uint64_t index, const struct digest *hashes)
{
    struct tiledir_writer *writer = context;
    buf_add(add_output(&writer->outputs, level, index, TILE_WIDTH), hashes, TILE_BYTES);
    writer->partial_written[level] = 0;
}

void tiledir_append(struct tiledir_writer *writer, struct view entry)
{
    struct digest leaf = tlog_leaf(entry);
    uint64_t index = tiledir_size(writer) / TILE_WIDTH;
    tiledir_add_to_bundle(entry, &writer->bundle);
    tile_edge_append(&writer->edge, &leaf, add_full_tile, writer);
    writer->complete = false;
    if (tiledir_size(writer) % TILE_WIDTH != 0)
        return;
    *add_output(&writer->outputs, TILEDIR_ENTRIES, index, TILE_WIDTH) = writer->bundle;
    writer->bundle = (struct buf)BUF_INIT;
}

uint64_t tiledir_size(const struct tiledir_writer *writer)
{
    return writer->edge.tree.size;
}

/* --- flushing --- */

static void add_partials(struct tiledir_writer *writer)
{
    const struct tile_edge *edge = &writer->edge;
    for (int level = 0; level < TILE_LEVELS; level++) {
        unsigned int width = edge->width[level];
        if (width == 0 || width == writer->partial_written[level])
            continue;
        uint64_t index = edge->tree.size >> (TILE_HEIGHT * level) >> TILE_HEIGHT;
        buf_add(add_output(&writer->outputs, level, index, width), edge->hashes[level], width * DIGEST_SIZE);
        if (level == 0)
            buf_add_view(add_output(&writer->outputs, TILEDIR_ENTRIES, index, width),
                         buf_view(&writer->bundle));
    }
}

/* As file_make_dirs for all but the last component; a new directory is synced into the one that holds it. */
static int make_parents(int fd, const char *path, bool sync, struct diag *diag)
{
    CLEANUP_FREE char *partial = mem_string(path);
    for (char *slash = strchr(partial, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int result = mkdirat(fd, partial, 0755);
        if (result < 0 && errno != EEXIST)
            return diag_errno(diag, "%s: create directory", partial);
        if (result == 0 && sync && (result = file_sync_parent(fd, partial, diag)) < 0)
            return result;
        *slash = '/';
    }
    return 0;
}

static char *temp_name(const struct output *output)
{
    return mem_format("%s" TEMP_SUFFIX, tiledir_path(output->level, output->index, output->width).text);
}

static int write_temp(int dirfd, const struct output *output, bool sync, struct diag *diag)
{
    enum { FLAGS = O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, MODE = 0644 };
    CLEANUP_FREE char *temp = temp_name(output);
    CLEANUP_CLOSE int fd = openat(dirfd, temp, FLAGS, MODE);
    if (fd < 0 && errno == ENOENT) {
        int result = make_parents(dirfd, temp, sync, diag);
        if (result < 0)
            return result;
        fd = openat(dirfd, temp, FLAGS, MODE);
    }
    if (fd < 0)
        return diag_errno(diag, "%s: create", temp);
    int result = file_write_all(fd, output->content.data, output->content.size);
    if (result < 0)
        return diag_set(diag, result, "%s: write: %s", temp, strerror(-result));
    if (fchmod(fd, MODE) < 0) /* whatever the umask: a mirror serves them */
        return diag_errno(diag, "%s: chmod", temp);
    return sync ? file_sync(fd, diag) : 0;
}

static int rename_temp(int dirfd, const struct output *output, struct diag *diag)
{
    CLEANUP_FREE char *temp = temp_name(output);
    struct tile_path path = tiledir_path(output->level, output->index, output->width);
    return renameat(dirfd, temp, dirfd, path.text) == 0 ? 0 : diag_errno(diag, "%s: rename", path.text);
}

/* Ends as file_sync does: what was not written may be gone from memory, too. */
static void sync_file_system(int fd)
{
    if (syncfs(fd) < 0)
        file_sync_lost("syncfs");
}

static int write_outputs(int fd, const struct outputs *outputs, struct diag *diag)
{
    bool each = outputs->count <= SYNC_EACH_MAX;
    int result = 0;
    for (size_t i = 0; result >= 0 && i < outputs->count; i++)
        result = write_temp(fd, &outputs->items[i], each, diag);
    if (result >= 0 && !each)
        sync_file_system(fd);
    for (size_t i = 0; result >= 0 && i < outputs->count; i++)
        result = rename_temp(fd, &outputs->items[i], diag);
    if (result >= 0 && !each)
        sync_file_system(fd);
    for (size_t i = 0; result >= 0 && each && i < outputs->count; i++) {
        const struct output *output = &outputs->items[i];
        result = file_sync_parent(fd, tiledir_path(output->level, output->index, output->width).text, diag);
    }
    return result;
}

/* Gives back the room on the disk. */
static void remove_temps(int fd, const struct outputs *outputs)
{
    for (size_t i = 0; i < outputs->count; i++) {
        CLEANUP_FREE char *temp = temp_name(&outputs->items[i]);
        unlinkat(fd, temp, 0);
    }
}

/* The whole tile is there, so nobody needs its beginnings. Whether this succeeds does not matter, nor whether it lasts. */
static void remove_replaced(const struct tiledir_writer *writer)
{
    for (size_t i = 0; i < writer->outputs.count; i++) {
        const struct output *output = &writer->outputs.items[i];
        if (output->width < TILE_WIDTH)
            continue;
        int result = file_remove_tree(writer->fd, tiledir_partials(output->level, output->index).text, NULL);
        (void)result;
    }
}

int tiledir_flush(struct tiledir_writer *writer, struct diag *diag)
{
    size_t full = writer->outputs.count;
    if (writer->complete)
        return 0;
    add_partials(writer);
    int result = write_outputs(writer->fd, &writer->outputs, diag);
    if (result < 0) {
        remove_temps(writer->fd, &writer->outputs);
        forget_outputs(&writer->outputs, full);
        return result;
    }
    remove_replaced(writer);
    forget_outputs(&writer->outputs, 0);
    memcpy(writer->partial_written, writer->edge.width, sizeof writer->partial_written);
    writer->complete = true;
    return 0;
}
