/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical tar, the reading half. It does not interpret headers: it knows which one must come next, makes it again
 * and compares. The only two things ever taken from the stream are the epoch, when the caller leaves it open, and
 * the size of a .PKGINFO that the caller does not know; both are put into the header that is then compared.
 */
#include "beneath.h"
#include "canontar.h"
#include "file.h"
#include "plant.h"
#include "tarhead.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024 }; /* the system call does not show, and it stays in the L2 cache */

struct reader {
    const struct canontar_read *what;
    canontar_source *source;
    void *context;
    char *chunk; /* bytes of the source not used yet: [at, size) */
    size_t at, size;
    uint64_t offset; /* in the tar, for messages */
    int64_t epoch;
    struct hasher *hasher;
    struct plant plant; /* used if what->dirfd >= 0 */
    struct diag *diag;
};

/* Up to 'size' bytes (size > 0), borrowed until the next call. */
static int take_some(struct reader *reader, uint64_t size, struct view *ret)
{
    if (reader->at == reader->size) {
        ssize_t got = reader->source(reader->context, reader->chunk, CHUNK);
        if (got < 0)
            return (int)got;
        if (got == 0)
            return diag_set(reader->diag, FARM_E_REFUSED, "tar: ends early, at byte %" PRIu64,
                            reader->offset);
        reader->at = 0;
        reader->size = (size_t)got;
    }
    size_t most = reader->size - reader->at;
    size_t taken = size < most ? (size_t)size : most;
    *ret = view_of(reader->chunk + reader->at, taken);
    reader->at += taken;
    reader->offset += taken;
    return 0;
}

static int take_exactly(struct reader *reader, char *data, size_t size)
{
    struct view piece = VIEW_NONE;
    for (size_t done = 0; done < size; done += piece.size) {
        int result = take_some(reader, size - done, &piece);
        if (result < 0)
            return result;
        memcpy(data + done, piece.data, piece.size);
    }
    return 0;
}

static int refuse(struct reader *reader, struct view path, const char *why)
{
    return diag_wrap(reader->diag, manifest_refuse(path, why, reader->diag), "tar");
}

/* Where they differ; the checksum only if nothing else does, since it says nothing by itself. Their size if nowhere. */
static size_t first_difference(const char *found, struct view expected)
{
    size_t checksum = expected.size;
    for (size_t i = 0; i < expected.size; i++) {
        if (found[i] == expected.data[i])
            continue;
        if (!tarhead_in_checksum(i % TAR_BLOCK))
            return i;
        if (checksum == expected.size)
            checksum = i;
    }
    return checksum;
}

/* Compares what comes next with 'expected'; 'have' bytes of it were taken already, into 'first'. */
static int compare_header(struct reader *reader, struct view path, struct view expected, struct view first)
{
    CLEANUP_FREE char *found = mem_alloc(expected.size);
    if (first.size > 0)
        memcpy(found, first.data, first.size);
    int result = take_exactly(reader, found + first.size, expected.size - first.size);
    if (result < 0)
        return result;
    size_t at = first_difference(found, expected);
    if (at == expected.size)
        return 0;
    size_t header =
        expected.size - TAR_BLOCK; /* where the entry's own header begins, behind the pax member */
    CLEANUP_FREE char *why = mem_format(
        "not the canonical header: the %s differs (at byte %" PRIu64 " of the tar)",
        expected.size > TAR_BLOCK && at < header ? "extended header" : tarhead_field(at % TAR_BLOCK),
        reader->offset - expected.size + at);
    return refuse(reader, path, why);
}

static int expect_padding(struct reader *reader, struct view path, uint64_t size)
{
    char padding[TAR_BLOCK];
    size_t length = tarhead_padding(size);
    int result = take_exactly(reader, padding, length);
    for (size_t i = 0; result >= 0 && i < length; i++)
        if (padding[i] != '\0')
            return refuse(reader, path, "the padding behind it is not zero");
    return result;
}

/* The content of a file: hashed, and written to fd unless that is -1. */
static int take_content(struct reader *reader, const struct entry *entry, int fd)
{
    struct view piece = VIEW_NONE;
    int result = 0;
    for (uint64_t left = entry->size; result >= 0 && left > 0; left -= piece.size) {
        result = take_some(reader, left, &piece);
        if (result < 0)
            break;
        hasher_add(reader->hasher, piece.data, piece.size);
        if (fd >= 0 && (result = file_write_all(fd, piece.data, piece.size)) < 0)
            diag_set(reader->diag, result, "./%.*s: write: %s", VIEW_ARG(entry->path), strerror(-result));
    }
    struct digest digest = hasher_finish(reader->hasher);
    if (result >= 0 && !digest_equal(&digest, &entry->sha256))
        return refuse(reader, entry->path, "its content is not the manifest's");
    return result >= 0 ? expect_padding(reader, entry->path, entry->size) : result;
}

static unsigned int mode_on_disk(const struct reader *reader, const struct entry *entry)
{
    return reader->what->strip_special ? entry->mode & 0777 : entry->mode;
}

static int in_the_way(struct reader *reader, const struct entry *entry)
{
    return refuse(reader, entry->path, "something different is in its place already");
}

/* A file of the same name is kept if it is the same file. */
static int check_existing_file(struct reader *reader, const struct entry *entry)
{
    struct stat status;
    struct digest digest;
    CLEANUP_CLOSE int fd = beneath_open_file(reader->what->dirfd, entry->path);
    if (fd < 0 || fstat(fd, &status) < 0 || (status.st_mode & 07777) != mode_on_disk(reader, entry) ||
        (uint64_t)status.st_size != entry->size)
        return in_the_way(reader, entry);
    int result = digest_of_fd(fd, &digest, reader->diag);
    if (result >= 0 && !digest_equal(&digest, &entry->sha256))
        return in_the_way(reader, entry);
    return result;
}

static int check_existing_link(struct reader *reader, const struct entry *entry)
{
    char target[MANIFEST_PATH_MAX];
    struct view base;
    CLEANUP_CLOSE int parent = beneath_open_parent(reader->what->dirfd, entry->path, &base);
    CLEANUP_FREE char *name = view_string(base);
    ssize_t size = parent >= 0 ? readlinkat(parent, name, target, sizeof target) : -1;
    if (size < 0 || !view_equal(view_of(target, (size_t)size), entry->link))
        return in_the_way(reader, entry);
    return 0;
}

static int read_file(struct reader *reader, const struct entry *entry)
{
    if (reader->what->dirfd < 0)
        return take_content(reader, entry, -1);
    int fd = -1;
    int result = plant_open_file(&reader->plant, entry->path, &fd, reader->diag);
    if (result == -EEXIST) {
        result = check_existing_file(reader, entry);
        return result >= 0 ? take_content(reader, entry, -1) : result;
    }
    if (result < 0)
        return result;
    result = take_content(reader, entry, fd);
    int closed = plant_close_file(&reader->plant, entry->path, fd, mode_on_disk(reader, entry),
                                  result >= 0 ? reader->diag : NULL);
    return result >= 0 ? closed : result;
}

static int read_entry(struct reader *reader, const struct entry *entry)
{
    bool write = reader->what->dirfd >= 0;
    int result;
    switch (entry->type) {
    case ENTRY_FILE:
        return read_file(reader, entry);
    case ENTRY_DIR:
        result =
            write ? plant_dir(&reader->plant, entry->path, mode_on_disk(reader, entry), reader->diag) : 0;
        return result == -EEXIST ? in_the_way(reader, entry) : result;
    case ENTRY_LINK:
        result = write ? plant_link(&reader->plant, entry->path, entry->link, reader->diag) : 0;
        return result == -EEXIST ? check_existing_link(reader, entry) : result;
    }
    abort();
}

/* Every member repeats the epoch, so the first block gives it, whatever it is the header of. */
static int settle_epoch(struct reader *reader, const char block[TAR_BLOCK])
{
    reader->epoch = reader->what->epoch;
    if (reader->epoch < 0 && !tarhead_read_mtime(block, &reader->epoch))
        return diag_set(reader->diag, FARM_E_REFUSED, "tar: the first header has no canonical mtime");
    reader->plant.epoch = reader->epoch;
    return 0;
}

static int expect_known_pkginfo(struct reader *reader, struct view first)
{
    struct view pkginfo = reader->what->pkginfo, piece = VIEW_NONE;
    CLEANUP_BUF struct buf head = BUF_INIT;
    tarhead_pkginfo(pkginfo.size, reader->epoch, &head);
    int result = compare_header(reader, VIEW(".PKGINFO"), buf_view(&head), first);
    for (size_t done = 0; result >= 0 && done < pkginfo.size; done += piece.size) {
        result = take_some(reader, pkginfo.size - done, &piece);
        if (result >= 0 && memcmp(piece.data, pkginfo.data + done, piece.size) != 0)
            result = refuse(reader, VIEW(".PKGINFO"), "its content is not the expected one");
    }
    return result >= 0 ? expect_padding(reader, VIEW(".PKGINFO"), pkginfo.size) : result;
}

static int expect_any_pkginfo(struct reader *reader, struct view first)
{
    uint64_t size;
    if (!tarhead_read_size(first.data, &size) || size == 0 || size > PKGINFO_SIZE_MAX)
        return refuse(reader, VIEW(".PKGINFO"), "its size is zero, malformed or over the limit");
    CLEANUP_BUF struct buf head = BUF_INIT;
    tarhead_pkginfo(size, reader->epoch, &head);
    int result = compare_header(reader, VIEW(".PKGINFO"), buf_view(&head), first);
    struct view piece = VIEW_NONE;
    for (uint64_t left = size; result >= 0 && left > 0; left -= piece.size)
        result = take_some(reader, left, &piece);
    return result >= 0 ? expect_padding(reader, VIEW(".PKGINFO"), size) : result;
}

/* The first block tells whether a .PKGINFO is there. *first becomes empty if it was used up. */
static int read_pkginfo(struct reader *reader, struct view *first)
{
    bool known = reader->what->pkginfo.data != NULL;
    if (known ? reader->what->pkginfo.size == 0 : !tarhead_is_pkginfo(first->data))
        return 0;
    struct view block = *first;
    *first = VIEW_NONE;
    return known ? expect_known_pkginfo(reader, block) : expect_any_pkginfo(reader, block);
}

static int read_entries(struct reader *reader, struct view first)
{
    const struct manifest *manifest = reader->what->manifest;
    CLEANUP_BUF struct buf head = BUF_INIT;
    for (size_t i = 1; i < manifest->count; i++) { /* [0] is the root */
        const struct entry *entry = &manifest->entries[i];
        buf_clear(&head);
        tarhead_entry(entry, reader->epoch, &head);
        int result = compare_header(reader, entry->path, buf_view(&head), first);
        first = VIEW_NONE;
        if (result >= 0)
            result = read_entry(reader, entry);
        if (result < 0)
            return result;
    }
    static const char zeros[2 * TAR_BLOCK];
    char end[2 * TAR_BLOCK];
    if (first.size > 0)
        memcpy(end, first.data, first.size);
    int result = take_exactly(reader, end + first.size, sizeof end - first.size);
    if (result >= 0 && memcmp(end, zeros, sizeof end) != 0)
        return diag_set(reader->diag, FARM_E_REFUSED,
                        "tar: at byte %" PRIu64 ", where it should end, something follows",
                        reader->offset - sizeof end);
    return result;
}

/* Also lets a source that verifies at its end do so. */
static int expect_end(struct reader *reader)
{
    ssize_t got = reader->at < reader->size ? 1 : reader->source(reader->context, reader->chunk, CHUNK);
    if (got > 0)
        return diag_set(reader->diag, FARM_E_REFUSED, "tar: bytes behind its end, at byte %" PRIu64,
                        reader->offset);
    return (int)got;
}

static int read_all(struct reader *reader)
{
    char block[TAR_BLOCK] = {0};
    struct view first = view_of(block, sizeof block);
    int result = take_exactly(reader, block, sizeof block);
    if (result >= 0 && block[0] != '\0') /* a tar without members has no header at all */
        result = settle_epoch(reader, block);
    if (result >= 0)
        result = read_pkginfo(reader, &first);
    if (result >= 0)
        result = read_entries(reader, first);
    if (result >= 0)
        result = expect_end(reader);
    if (result >= 0 && reader->what->dirfd >= 0)
        result = plant_finish(&reader->plant, reader->diag);
    return result;
}

int canontar_read(const struct canontar_read *what, canontar_source *source, void *context, struct diag *diag)
{
    if (what->epoch > CANONTAR_EPOCH_MAX)
        return diag_set(diag, FARM_E_LIMIT, "epoch %" PRId64 ": a tar holds 0 to %" PRId64, what->epoch,
                        CANONTAR_EPOCH_MAX);
    struct reader reader = {.what = what,
                            .source = source,
                            .context = context,
                            .chunk = mem_alloc(CHUNK),
                            .hasher = hasher_new(),
                            .diag = diag};
    plant_init(&reader.plant, what->dirfd, 0);
    int result = read_all(&reader);
    plant_done(&reader.plant);
    hasher_free(reader.hasher);
    free(reader.chunk);
    return result;
}
