/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store, reading: everything that leaves is hashed on its way, and what is not its name is moved aside. */
#include "buf.h"
#include "file.h"
#include "frame.h"
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct store_reader {
    struct store *store;
    struct digest name;
    int fd;
    struct frame_decoder *decoder;
    struct hasher *hasher;
    bool ended;
    int error; /* sticks */
};

int store_read_begin(struct store *store, const struct digest *name, struct store_reader **ret,
                     struct diag *diag)
{
    int fd = store_open_object(store, name, diag);
    if (fd < 0)
        return fd;
    struct store_reader *reader = mem_zero(1, sizeof *reader);
    *reader = (struct store_reader){.store = store,
                                    .name = *name,
                                    .fd = fd,
                                    .decoder = frame_decoder_new(store->spares, fd),
                                    .hasher = hasher_new()};
    *ret = reader;
    return 0;
}

struct store_reader *store_read_end(struct store_reader *reader)
{
    if (reader == NULL)
        return NULL;
    frame_decoder_free(reader->decoder);
    hasher_free(reader->hasher);
    close(reader->fd);
    free(reader);
    return NULL;
}

static int damaged(struct store_reader *reader, const char *why, struct diag *diag)
{
    reader->error = store_move_aside(reader->store, &reader->name, reader->fd, why, diag);
    return reader->error;
}

/* A disk that cannot read a sector (EIO) is bit rot too. Out of descriptors or the like is not. */
static int decode_failed(struct store_reader *reader, int error, const struct diag *why, struct diag *diag)
{
    if (error == FARM_E_SYNTAX || error == -EIO)
        return damaged(reader, why->text, diag);
    reader->error = error;
    return diag_set(diag, error, "object %s: %s", digest_hex(&reader->name).text, why->text);
}

int store_read_size(struct store_reader *reader, uint64_t *ret, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    int result = frame_decoder_content_size(reader->decoder, ret, &why);
    return result < 0 ? decode_failed(reader, result, &why, diag) : 0;
}

/* The file was sound just now: it need not be read again before it is served. */
static void remember_verified(struct store_reader *reader)
{
    struct stat status;
    if (fstat(reader->fd, &status) < 0)
        return;
    struct verified *entry = mem_zero(1, sizeof *entry);
    *entry = (struct verified){status.st_ino, status.st_ctim};
    pthread_mutex_lock(&reader->store->lock);
    free(map_set(reader->store->verified, store_key(&reader->name), entry));
    pthread_mutex_unlock(&reader->store->lock);
}

ssize_t store_read(struct store_reader *reader, void *ret_data, size_t size, struct diag *diag)
{
    if (reader->error < 0)
        return diag_set(diag, reader->error, "object %s: an earlier read failed",
                        digest_hex(&reader->name).text);
    if (reader->ended || size == 0)
        return 0;
    struct diag why = DIAG_INIT;
    ssize_t got = frame_decode(reader->decoder, ret_data, size, &why);
    if (got < 0)
        return decode_failed(reader, (int)got, &why, diag);
    if (got > 0) {
        hasher_add(reader->hasher, ret_data, (size_t)got);
        return got;
    }
    struct digest found = hasher_finish(reader->hasher);
    if (!digest_equal(&found, &reader->name))
        return damaged(reader, "its content has another digest", diag);
    reader->ended = true;
    remember_verified(reader);
    return 0;
}

enum { CHUNK = 256 * 1024 }; /* two zstd blocks; stays in the L2 cache */

/* 'size' is what the header says, and no more than the limit: with a byte to spare the first read gets all of a small object. */
static int read_whole(struct store_reader *reader, uint64_t size, size_t limit, struct buf *content,
                      struct diag *diag)
{
    size_t chunk = size < CHUNK ? (size_t)size + 1 : CHUNK;
    for (;;) {
        ssize_t got = store_read(reader, buf_room(content, chunk), chunk, diag);
        if (got <= 0)
            return (int)got;
        content->size += (size_t)got;
        if (content->size > limit) /* only if the size in its header was wrong as well */
            return diag_set(diag, FARM_E_LIMIT, "object %s: longer than the limit of %zu bytes",
                            digest_hex(&reader->name).text, limit);
    }
}

int store_get(struct store *store, const struct digest *name, size_t limit, struct buf *ret,
              struct diag *diag)
{
    struct store_reader *reader;
    int result = store_read_begin(store, name, &reader, diag);
    if (result < 0)
        return result;
    uint64_t size = CHUNK;
    CLEANUP_BUF struct buf content = BUF_INIT;
    if (frame_decoder_content_size(reader->decoder, &size, NULL) >= 0 && size > limit)
        result = diag_set(diag, FARM_E_LIMIT, "object %s: %" PRIu64 " bytes, the limit is %zu",
                          digest_hex(name).text, size, limit);
    else
        result = read_whole(reader, size, limit, &content, diag);
    store_read_end(reader);
    if (result >= 0)
        buf_add(ret, content.data, content.size);
    return result;
}

static int copy_out(struct store_reader *reader, int fd, struct diag *diag)
{
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    for (;;) {
        ssize_t got = store_read(reader, chunk, CHUNK, diag);
        if (got <= 0)
            return (int)got;
        int result = fd >= 0 ? file_write_all(fd, chunk, (size_t)got) : 0;
        if (result < 0)
            return diag_set(diag, result, "object %s: write a copy: %s", digest_hex(&reader->name).text,
                            strerror(-result));
    }
}

int store_get_fd(struct store *store, const struct digest *name, int fd, struct diag *diag)
{
    struct store_reader *reader;
    int result = store_read_begin(store, name, &reader, diag);
    if (result < 0)
        return result;
    result = copy_out(reader, fd, diag);
    store_read_end(reader);
    return result;
}

int store_verify(struct store *store, const struct digest *name, struct diag *diag)
{
    return store_get_fd(store, name, -1, diag);
}

int store_size(struct store *store, const struct digest *name, uint64_t *ret, struct diag *diag)
{
    CLEANUP_CLOSE int fd = store_open_object(store, name, diag);
    if (fd < 0)
        return fd;
    struct diag why = DIAG_INIT;
    int result = frame_content_size(fd, ret, &why);
    if (result == FARM_E_SYNTAX || result == -EIO)
        return store_move_aside(store, name, fd, why.text, diag);
    return result < 0 ? diag_set(diag, result, "object %s: %s", digest_hex(name).text, why.text) : 0;
}

static bool is_verified(struct store *store, const struct digest *name, const struct stat *status)
{
    pthread_mutex_lock(&store->lock);
    const struct verified *entry = map_get(store->verified, store_key(name));
    bool same = entry != NULL && store_is_same_file(entry, status);
    pthread_mutex_unlock(&store->lock);
    return same;
}

bool store_is_verified(struct store *store, const struct digest *name)
{
    struct stat status;
    return fstatat(store->objects, store_object_path(name).text, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           is_verified(store, name, &status);
}

int store_open_stored(struct store *store, const struct digest *name, int *ret_fd, uint64_t *ret_size,
                      struct diag *diag)
{
    CLEANUP_CLOSE int fd = store_open_object(store, name, diag);
    if (fd < 0)
        return fd;
    struct stat status;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "object %s: stat", digest_hex(name).text);
    int result = is_verified(store, name, &status) ? 0 : store_verify(store, name, diag);
    if (result < 0)
        return result;
    *ret_fd = STEAL_FD(fd);
    *ret_size = (uint64_t)status.st_size;
    return 0;
}
