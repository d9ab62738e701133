/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading. A tile is kept with all hashes inside it (a binary tree of 8 levels), since one proof needs nearly all of them and the
 * next proof on the same tile then needs no hashing. Which size is asked for decides how wide a tile is; a file that is wider serves as
 * well, since the hashes of a tile never change: so a reader of an older size is not disturbed when a partial tile is replaced.
 */
#include "tiledir_private.h"

#include "file.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- paths --- */

/* "tile/<level>/" and the index in groups of three digits, all but the last one directories. */
static size_t write_path(int level, uint64_t index, struct tile_path *ret)
{
    char digits[32];
    size_t room = sizeof ret->text, at;
    assert(level >= TILEDIR_ENTRIES && level < TILE_LEVELS);
    if (level == TILEDIR_ENTRIES)
        at = (size_t)snprintf(ret->text, room, "tile/entries/");
    else
        at = (size_t)snprintf(ret->text, room, "tile/%d/", level);
    int count = snprintf(digits, sizeof digits, "%llu", (unsigned long long)index);
    int groups = (count + 2) / 3;
    snprintf(digits, sizeof digits, "%0*llu", 3 * groups, (unsigned long long)index);
    for (int group = 0; group < groups - 1; group++)
        at += (size_t)snprintf(ret->text + at, room - at, "x%.3s/", digits + 3 * group);
    return at + (size_t)snprintf(ret->text + at, room - at, "%.3s", digits + 3 * (groups - 1));
}

struct tile_path tiledir_path(int level, uint64_t index, unsigned int width)
{
    struct tile_path path;
    assert(width > 0 && width <= TILE_WIDTH);
    size_t at = write_path(level, index, &path);
    if (width < TILE_WIDTH)
        snprintf(path.text + at, sizeof path.text - at, ".p/%u", width);
    return path;
}

struct tile_path tiledir_partials(int level, uint64_t index)
{
    struct tile_path path;
    size_t at = write_path(level, index, &path);
    snprintf(path.text + at, sizeof path.text - at, ".p");
    return path;
}

unsigned int tile_width_at(uint64_t size, int level, uint64_t index)
{
    uint64_t hashes = size >> (level > 0 ? TILE_HEIGHT * level : 0), before = index * TILE_WIDTH;
    if (hashes <= before)
        return 0;
    return hashes - before < TILE_WIDTH ? (unsigned int)(hashes - before) : TILE_WIDTH;
}

/* --- files --- */

int tiledir_each_partial(int dirfd, int level, uint64_t index,
                         int (*visit)(void *context, unsigned int width), void *context, struct diag *diag)
{
    struct tile_path path = tiledir_partials(level, index);
    int fd = openat(dirfd, path.text, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : diag_errno(diag, "%s: open directory", path.text);
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "%s: read directory", path.text);
        close(fd);
        return error;
    }
    int result = 0;
    for (struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;) {
        uint64_t width;
        if (view_decimal(view_text(entry->d_name), &width) && width > 0 && width < TILE_WIDTH)
            result = visit(context, (unsigned int)width);
    }
    closedir(stream);
    return result;
}

struct narrowest {
    unsigned int wanted, found;
};

static int note_width(void *context, unsigned int width)
{
    struct narrowest *narrowest = context;
    if (width >= narrowest->wanted && (narrowest->found == 0 || width < narrowest->found))
        narrowest->found = width;
    return 0;
}

int tiledir_read_width(int dirfd, int level, uint64_t index, unsigned int width, struct buf *ret,
                       struct diag *diag)
{
    struct tile_path path = tiledir_path(level, index, width);
    size_t before = ret->size;
    int result = file_read(dirfd, path.text, level == TILEDIR_ENTRIES ? BUNDLE_MAX : TILE_BYTES, ret, diag);
    if (result == FARM_E_LIMIT) /* nothing that a log has written is longer */
        return diag_wrap(diag, FARM_E_CORRUPT, "this can be no tile");
    if (result >= 0 && level != TILEDIR_ENTRIES && ret->size - before != (size_t)width * DIGEST_SIZE)
        return diag_set(diag, FARM_E_CORRUPT, "%s: %zu bytes, and %u hashes have %u", path.text,
                        ret->size - before, width, width * DIGEST_SIZE);
    return result < 0 ? result : (int)width;
}

int tiledir_read(int dirfd, int level, uint64_t index, unsigned int width, struct buf *ret, struct diag *diag)
{
    struct narrowest narrowest = {width, 0};
    int result = tiledir_read_width(dirfd, level, index, width, ret, diag);
    if (result == -ENOENT && width < TILE_WIDTH)
        result = tiledir_read_width(dirfd, level, index, TILE_WIDTH, ret, diag);
    if (result == -ENOENT && width < TILE_WIDTH) {
        result = tiledir_each_partial(dirfd, level, index, note_width, &narrowest, diag);
        if (result >= 0)
            result = narrowest.found == 0
                         ? -ENOENT
                         : tiledir_read_width(dirfd, level, index, narrowest.found, ret, diag);
    }
    if (result != -ENOENT)
        return result;
    return diag_set(diag, FARM_E_MISSING, "%s is not there, and no longer one either",
                    tiledir_path(level, index, width).text);
}

/* --- bundles --- */

void bundle_done(struct bundle *bundle)
{
    buf_done(&bundle->bytes);
    bundle->count = 0;
}

void tiledir_add_to_bundle(struct view entry, struct buf *ret)
{
    assert(entry.size <= TLOG_ENTRY_MAX);
    buf_add_byte(ret, (char)(entry.size >> 8));
    buf_add_byte(ret, (char)(entry.size & 0xff));
    buf_add_view(ret, entry);
}

static size_t length_at(const struct buf *bytes, size_t at)
{
    const unsigned char *prefix = (const unsigned char *)bytes->data + at;
    return (size_t)prefix[0] << 8 | prefix[1];
}

int bundle_parse(struct buf *bytes, unsigned int count, const char *name, struct bundle *ret,
                 struct diag *diag)
{
    struct bundle bundle = {.count = count};
    size_t at = 0;
    for (unsigned int i = 0; i < count; i++) {
        bundle.starts[i] = at;
        if (bytes->size - at < 2 || bytes->size - at - 2 < length_at(bytes, at))
            return diag_set(diag, FARM_E_CORRUPT, "%s: ends within entry %u of %u", name, i, count);
        at += 2 + length_at(bytes, at);
    }
    if (at != bytes->size)
        return diag_set(diag, FARM_E_CORRUPT, "%s: %zu bytes behind the last of %u entries", name,
                        bytes->size - at, count);
    bundle.starts[count] = at;
    bundle.bytes = *bytes;
    *bytes = (struct buf)BUF_INIT;
    bundle_done(ret);
    *ret = bundle;
    return 0;
}

struct view bundle_entry(const struct bundle *bundle, unsigned int at)
{
    assert(at < bundle->count);
    size_t from = bundle->starts[at] + 2;
    return view_of(bundle->bytes.data + from, bundle->starts[at + 1] - from);
}

int tiledir_read_bundle(int dirfd, uint64_t index, unsigned int width, struct bundle *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    int found = tiledir_read(dirfd, TILEDIR_ENTRIES, index, width, &bytes, diag);
    if (found < 0)
        return found;
    struct tile_path path = tiledir_path(TILEDIR_ENTRIES, index, (unsigned int)found);
    return bundle_parse(&bytes, (unsigned int)found, path.text, ret, diag);
}

/* --- tiles in memory --- */

/* Of a height of 8: the hash of height h, number i in the tile, stands at (256 >> h) + i; 1 is the root of a full tile. */
struct tile {
    int level;
    uint64_t index;
    unsigned int width; /* 0: nothing in this slot */
    uint64_t used;      /* when last */
    struct digest nodes[2 * TILE_WIDTH];
};

/* Three levels of tiles hold 16 million entries; a proof touches one or two a level. 16 KiB each. */
enum { TILES_KEPT = 32 };

struct tiledir {
    int fd;
    uint64_t size;
    uint64_t clock;
    struct tile *tiles[TILES_KEPT]; /* made when first used */
    struct bundle bundle;           /* the last one that an entry was taken from */
    uint64_t bundle_index;
};

int tiledir_reader_open(int dirfd, uint64_t size, struct tiledir **ret, struct diag *diag)
{
    int fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return diag_errno(diag, "tile directory");
    struct tiledir *reader = mem_zero(1, sizeof *reader);
    reader->fd = fd;
    reader->size = size;
    *ret = reader;
    return 0;
}

struct tiledir *tiledir_reader_free(struct tiledir *reader)
{
    if (reader == NULL)
        return NULL;
    for (size_t i = 0; i < TILES_KEPT; i++)
        free(reader->tiles[i]);
    bundle_done(&reader->bundle);
    close(reader->fd);
    free(reader);
    return NULL;
}

static struct tile *find_tile(struct tiledir *reader, int level, uint64_t index)
{
    for (size_t i = 0; i < TILES_KEPT; i++) {
        struct tile *tile = reader->tiles[i];
        if (tile != NULL && tile->level == level && tile->index == index) {
            tile->used = ++reader->clock;
            return tile;
        }
    }
    return NULL;
}

/* An empty slot, else the one that was not used for the longest time. */
static struct tile **choose_slot(struct tiledir *reader)
{
    struct tile **oldest = &reader->tiles[0];
    for (size_t i = 0; i < TILES_KEPT && *oldest != NULL; i++)
        if (reader->tiles[i] == NULL || reader->tiles[i]->used < (*oldest)->used)
            oldest = &reader->tiles[i];
    return oldest;
}

static void keep_tile(struct tiledir *reader, struct tile *tile)
{
    struct tile **slot = choose_slot(reader);
    free(*slot);
    *slot = tile;
    tile->used = ++reader->clock;
}

static void fill_inside(struct tile *tile)
{
    for (unsigned int height = 1; height <= TILE_HEIGHT; height++)
        for (unsigned int i = 0; i < tile->width >> height; i++) {
            unsigned int at = (TILE_WIDTH >> height) + i;
            tile->nodes[at] = tlog_node(&tile->nodes[2 * at], &tile->nodes[2 * at + 1]);
        }
}

static int hash_entries(struct tiledir *reader, struct tile *tile, struct diag *diag)
{
    struct bundle bundle = BUNDLE_INIT;
    int result = tiledir_read_bundle(reader->fd, tile->index, tile->width, &bundle, diag);
    for (unsigned int i = 0; result >= 0 && i < tile->width; i++)
        tile->nodes[TILE_WIDTH + i] = tlog_leaf(bundle_entry(&bundle, i));
    bundle_done(&bundle);
    return result;
}

static int hash_tiles_below(struct tiledir *reader, struct tile *tile, struct diag *diag)
{
    int result = 0;
    for (unsigned int i = 0; result >= 0 && i < tile->width; i++)
        result = tiledir_tile_root(reader, tile->level - 1, tile->index * TILE_WIDTH + i,
                                   &tile->nodes[TILE_WIDTH + i], diag);
    return result;
}

static int fill_tile(struct tiledir *reader, struct tile *tile, struct diag *diag)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    int result = tiledir_read(reader->fd, tile->level, tile->index, tile->width, &bytes, diag);
    if (result >= 0)
        memcpy(&tile->nodes[TILE_WIDTH], bytes.data, (size_t)tile->width * DIGEST_SIZE);
    else if (result == FARM_E_MISSING) /* an export may hold the entries alone */
        result = tile->level == 0 ? hash_entries(reader, tile, diag) : hash_tiles_below(reader, tile, diag);
    if (result >= 0)
        fill_inside(tile);
    return result;
}

/* *ret is borrowed until the next call. */
static int get_tile(struct tiledir *reader, int level, uint64_t index, const struct tile **ret,
                    struct diag *diag)
{
    struct tile *tile = find_tile(reader, level, index);
    if (tile == NULL) {
        tile = mem_zero(1, sizeof *tile);
        tile->level = level;
        tile->index = index;
        tile->width = tile_width_at(reader->size, level, index);
        int result = fill_tile(reader, tile, diag);
        if (result < 0) {
            free(tile);
            return result;
        }
        keep_tile(reader, tile);
    }
    *ret = tile;
    return 0;
}

int tiledir_tile_root(struct tiledir *reader, int level, uint64_t index, struct digest *ret,
                      struct diag *diag)
{
    const struct tile *tile;
    int result = get_tile(reader, level, index, &tile, diag);
    if (result < 0)
        return result;
    assert(tile->width == TILE_WIDTH);
    *ret = tile->nodes[1];
    return 0;
}

/* --- what readers ask --- */

static int read_hash(void *context, unsigned int level, uint64_t index, struct digest *ret, struct diag *diag)
{
    struct tiledir *reader = context;
    const struct tile *tile;
    unsigned int height = level % TILE_HEIGHT;
    if (level >= TLOG_LEVELS || index >= reader->size >> level)
        return diag_set(diag, FARM_E_REFUSED, "hash %llu of level %u is not in a log of %llu entries",
                        (unsigned long long)index, level, (unsigned long long)reader->size);
    uint64_t first = index << height; /* among the hashes of the tiles' level */
    int result = get_tile(reader, (int)(level / TILE_HEIGHT), first / TILE_WIDTH, &tile, diag);
    if (result < 0)
        return result;
    *ret = tile->nodes[(TILE_WIDTH >> height) + (first % TILE_WIDTH >> height)];
    return 0;
}

struct tlog_reader tiledir_hashes(struct tiledir *reader)
{
    return (struct tlog_reader){read_hash, reader};
}

int tiledir_entry(struct tiledir *reader, uint64_t position, struct buf *ret, struct diag *diag)
{
    uint64_t index = position / TILE_WIDTH;
    if (position >= reader->size)
        return diag_set(diag, FARM_E_REFUSED, "position %llu is not in a log of %llu entries",
                        (unsigned long long)position, (unsigned long long)reader->size);
    if (reader->bundle.count == 0 || reader->bundle_index != index) {
        unsigned int width = tile_width_at(reader->size, TILEDIR_ENTRIES, index);
        int result = tiledir_read_bundle(reader->fd, index, width, &reader->bundle, diag);
        if (result < 0)
            return result;
        reader->bundle_index = index;
    }
    buf_add_view(ret, bundle_entry(&reader->bundle, (unsigned int)(position % TILE_WIDTH)));
    return 0;
}

int tiledir_each_entry(int dirfd, uint64_t size,
                       int (*visit)(void *context, uint64_t position, struct view entry), void *context,
                       struct diag *diag)
{
    struct bundle bundle = BUNDLE_INIT;
    int result = 0;
    for (uint64_t index = 0; result >= 0 && index * TILE_WIDTH < size; index++) {
        unsigned int width = tile_width_at(size, TILEDIR_ENTRIES, index);
        result = tiledir_read_bundle(dirfd, index, width, &bundle, diag);
        for (unsigned int i = 0; result >= 0 && i < width; i++)
            result = visit(context, index * TILE_WIDTH + i, bundle_entry(&bundle, i));
    }
    bundle_done(&bundle);
    return result < 0 ? result : 0;
}
