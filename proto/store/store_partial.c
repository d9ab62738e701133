/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store, receiving: the compressed bytes of an object arrive in pieces, over several connections and restarts if need
 * be, in incoming/<digest>.<stored size>.<owner>.part. Two owners never share one, so nobody can spoil another's
 * transfer; the owner's name is hashed, since it comes from outside and this is a file name.
 */
#include "file.h"
#include "frame.h"
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* zstd adds less than this to what it cannot compress. */
#define STORED_MAX (STORE_OBJECT_MAX + STORE_OBJECT_MAX / 128)

struct store_partial {
    struct store *store;
    struct digest name;
    char *file; /* in incoming/; owned */
    int fd;
    uint64_t offset, stored_size;
};

static char *partial_file(const char *owner, const struct digest *name, uint64_t stored_size)
{
    struct digest hashed = digest_of(view_text(owner));
    return mem_format("%s.%" PRIu64 ".%.16s.part", digest_hex(name).text, stored_size,
                      digest_hex(&hashed).text);
}

/* A crash between chmod and rename in store_publish() leaves a whole partial that not even its owner may write (mode 0444). */
static int make_writable(struct store *store, const char *file, struct diag *diag)
{
    CLEANUP_CLOSE int fd = openat(store->incoming, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return diag_errno(diag, "store: incoming/%s: open", file);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) /* it is being published right now */
        return diag_set(diag, FARM_E_STATE, "this object is being received from the same owner already");
    return fchmod(fd, 0600) == 0 ? 0 : diag_errno(diag, "store: incoming/%s: chmod", file);
}

/* The lock keeps two connections of one owner apart, and a collection away. -EAGAIN: try again. */
static int open_locked(struct store *store, const char *file, int *ret_fd, struct stat *ret_status,
                       struct diag *diag)
{
    CLEANUP_CLOSE int fd = openat(store->incoming, file, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EACCES && faccessat(store->incoming, file, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        int result = make_writable(store, file, diag);
        return result < 0 ? result : -EAGAIN;
    }
    if (fd < 0)
        return diag_errno(diag, "store: incoming/%s: create", file);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno == EWOULDBLOCK)
            return diag_set(diag, FARM_E_STATE, "this object is being received from the same owner already");
        return diag_errno(diag, "store: incoming/%s: lock", file);
    }
    if (fstat(fd, ret_status) < 0)
        return diag_errno(diag, "store: incoming/%s: stat", file);
    if (ret_status->st_nlink == 0)
        return -EAGAIN;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

int store_partial_begin(struct store *store, const char *owner, const struct digest *name,
                        uint64_t stored_size, struct store_partial **ret, struct diag *diag)
{
    if (stored_size == 0 || stored_size > STORED_MAX)
        return diag_set(diag, FARM_E_LIMIT, "stored size of %" PRIu64 " bytes, the limit is %" PRIu64,
                        stored_size, STORED_MAX);
    CLEANUP_FREE char *file = partial_file(owner, name, stored_size);
    struct stat status = {0};
    int fd = -1, result;
    do
        result = open_locked(store, file, &fd, &status, diag);
    while (result == -EAGAIN);
    if (result < 0)
        return result;
    uint64_t have = (uint64_t)status.st_size;
    if (have > stored_size) { /* cannot be by our own doing */
        have = 0;
        if (ftruncate(fd, 0) < 0) {
            result = diag_errno(diag, "store: incoming/%s: truncate", file);
            close(fd);
            return result;
        }
    }
    struct store_partial *partial = mem_zero(1, sizeof *partial);
    *partial = (struct store_partial){.store = store,
                                      .name = *name,
                                      .file = STEAL(file),
                                      .fd = fd,
                                      .offset = have,
                                      .stored_size = stored_size};
    *ret = partial;
    return 0;
}

uint64_t store_partial_offset(const struct store_partial *partial)
{
    return partial->offset;
}

int store_partial_add(struct store_partial *partial, uint64_t offset, struct view data, struct diag *diag)
{
    if (offset != partial->offset)
        return diag_set(diag, FARM_E_STATE, "piece at offset %" PRIu64 ", expected %" PRIu64, offset,
                        partial->offset);
    if (data.size > partial->stored_size - partial->offset)
        return diag_set(diag, FARM_E_LIMIT, "more bytes than the %" PRIu64 " announced",
                        partial->stored_size);
    for (size_t done = 0; done < data.size;) {
        ssize_t put = pwrite(partial->fd, data.data + done, data.size - done, (off_t)(offset + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) /* what was written of it lies behind the offset and is written again */
            return diag_errno(diag, "store: incoming/%s: write", partial->file);
        done += (size_t)put;
    }
    partial->offset += data.size;
    return 0;
}

struct store_partial *store_partial_close(struct store_partial *partial)
{
    if (partial == NULL)
        return NULL;
    close(partial->fd);
    free(partial->file);
    free(partial);
    return NULL;
}

void store_partial_forget(struct store *store, const char *owner, const struct digest *name,
                          uint64_t stored_size)
{
    CLEANUP_FREE char *file = partial_file(owner, name, stored_size);
    unlinkat(store->incoming, file, 0); /* what cannot be removed goes with a collection */
}

static int hash_frame(struct frame_spares *spares, int fd, uint64_t limit, struct hasher *hasher,
                      struct diag *diag)
{
    enum { CHUNK = 256 * 1024 }; /* two zstd blocks; stays in the L2 cache */
    uint64_t size, done = 0;
    int result = frame_content_size(fd, &size, diag);
    if (result < 0)
        return result;
    if (size > limit)
        return diag_set(diag, FARM_E_LIMIT, "unpacks to %" PRIu64 " bytes, the limit is %" PRIu64, size,
                        limit);
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    struct frame_decoder *decoder = frame_decoder_new(spares, fd);
    ssize_t got;
    while ((got = frame_decode(decoder, chunk, CHUNK, diag)) > 0) {
        hasher_add(hasher, chunk, (size_t)got);
        done += (uint64_t)got;
        if (done > limit) { /* the decoder holds the frame to its size; this does not rely on it */
            got = diag_set(diag, FARM_E_LIMIT, "unpacks to more than the limit of %" PRIu64 " bytes", limit);
            break;
        }
    }
    frame_decoder_free(decoder);
    return (int)got;
}

/* FARM_E_DIGEST for anything that is not the object. */
static int verify(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    struct hasher *hasher = hasher_new();
    struct diag why = DIAG_INIT;
    int result = hash_frame(partial->store->spares, partial->fd, limit, hasher, &why);
    struct digest found = hasher_finish(hasher);
    hasher_free(hasher);
    struct digest_hex hex = digest_hex(&partial->name);
    if (result == FARM_E_SYNTAX)
        return diag_set(diag, FARM_E_DIGEST, "received object %s: %s", hex.text, why.text);
    if (result < 0)
        return diag_set(diag, result, "received object %s: %s", hex.text, why.text);
    if (!digest_equal(&found, &partial->name))
        return diag_set(diag, FARM_E_DIGEST, "received object %s: its content has digest %s", hex.text,
                        digest_hex(&found).text);
    return 0;
}

static int commit(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    if (partial->offset != partial->stored_size)
        return diag_set(diag, FARM_E_STATE, "object %s: only %" PRIu64 " of %" PRIu64 " bytes received",
                        digest_hex(&partial->name).text, partial->offset, partial->stored_size);
    int result = verify(partial, limit < STORE_OBJECT_MAX ? limit : STORE_OBJECT_MAX, diag);
    if (result == FARM_E_DIGEST || result == FARM_E_LIMIT)
        unlinkat(partial->store->incoming, partial->file, 0);
    if (result < 0)
        return result;
    return store_publish(partial->store, partial->file, partial->fd, &partial->name, false, diag);
}

int store_partial_commit(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    int result = commit(partial, limit, diag);
    store_partial_close(partial);
    return result;
}
