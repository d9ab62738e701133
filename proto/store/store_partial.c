/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store, receiving: the compressed bytes of an object arrive in pieces, over several connections and restarts if need
 * be, in incoming/<digest>.<stored size>.<owner>.part. Two owners never share one, so nobody can spoil another's
 * transfer; the owner's name is hashed, since it comes from outside and this is a file name.
 *
 * An object is unpacked and hashed before it gets its name. store_partial_follow does that behind the writing, from the file (where
 * it was just written, so from memory; and a resumed upload's older half needs no way of its own); the commit does what is left.
 */
#include "file.h"
#include "frame.h"
#include "store_private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

/* zstd adds less than this to what it cannot compress. */
#define STORED_MAX (STORE_OBJECT_MAX + STORE_OBJECT_MAX / 128)

enum {
    CHUNK = 256 * 1024,         /* two zstd blocks; stays in the L2 cache */
    STEP_IN = 1024 * 1024,      /* of one store_partial_follow: a chunk as it travels, */
    STEP_OUT = 4 * 1024 * 1024, /* and what it unpacks to; some milliseconds */
    WRITEBACK =
        8 * 1024 *
        1024 /* the disk starts on this much while more arrives, so that the fsync at the end is short */
};

/* How far the file is unpacked and hashed. */
struct following {
    struct frame_decoder *decoder; /* NULL: not begun */
    struct hasher *hasher;
    char *chunk;      /* unpacked bytes */
    uint64_t done;    /* unpacked so far */
    uint64_t reach;   /* stored bytes that the decoder may have */
    bool dry;         /* it has used them up */
    uint64_t flushed; /* stored bytes given to the disk */
    bool given_up;    /* something is wrong: the commit looks at all of it and says what */
};

struct store_partial {
    struct store *store;
    struct digest name;
    char *file; /* in incoming/; owned */
    int fd;
    _Atomic uint64_t offset; /* written by the thread that adds, when the bytes are in the file */
    uint64_t stored_size;
    struct following following;
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
    *partial = (struct store_partial){
        .store = store, .name = *name, .file = STEAL(file), .fd = fd, .stored_size = stored_size};
    atomic_init(&partial->offset, have);
    *ret = partial;
    return 0;
}

uint64_t store_partial_offset(const struct store_partial *partial)
{
    return atomic_load(&partial->offset);
}

int store_partial_add(struct store_partial *partial, uint64_t offset, struct view data, struct diag *diag)
{
    uint64_t have = atomic_load(&partial->offset);
    if (offset != have)
        return diag_set(diag, FARM_E_STATE, "piece at offset %" PRIu64 ", expected %" PRIu64, offset, have);
    if (data.size > partial->stored_size - have)
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
    atomic_store(&partial->offset, have + data.size);
    return 0;
}

/* ---- unpacking and hashing ---- */

static void following_end(struct store_partial *partial)
{
    struct following *following = &partial->following;
    frame_decoder_free(following->decoder);
    hasher_free(following->hasher);
    free(following->chunk);
    *following = (struct following){.given_up = true};
}

static void following_begin(struct store_partial *partial)
{
    partial->following = (struct following){.decoder = frame_decoder_new(partial->store->spares, partial->fd),
                                            .hasher = hasher_new(),
                                            .chunk = mem_alloc(CHUNK),
                                            .dry = true};
}

/* FARM_E_LIMIT before a byte is unpacked: the decoder holds the frame to the size that it states. */
static int check_size(const struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    uint64_t size;
    int result = frame_content_size(partial->fd, &size, diag);
    if (result < 0 || size <= limit)
        return result;
    return diag_set(diag, FARM_E_LIMIT, "unpacks to %" PRIu64 " bytes, the limit is %" PRIu64, size, limit);
}

/* Unpacks a chunk: frame_decode()'s results. */
static ssize_t unpack_some(struct following *following, uint64_t limit, struct diag *diag)
{
    ssize_t got = frame_decode(following->decoder, following->chunk, CHUNK, diag);
    if (got <= 0)
        return got;
    hasher_add(following->hasher, following->chunk, (size_t)got);
    following->done += (uint64_t)got;
    if (following->done > limit) /* this does not rely on the decoder */
        return diag_set(diag, FARM_E_LIMIT, "unpacks to more than the limit of %" PRIu64 " bytes", limit);
    return got;
}

/* A hint: fsync is what counts. */
static void start_writing(struct store_partial *partial, uint64_t arrived)
{
    struct following *following = &partial->following;
    if (arrived - following->flushed < WRITEBACK)
        return;
    sync_file_range(partial->fd, (off_t)following->flushed, (off_t)(arrived - following->flushed),
                    SYNC_FILE_RANGE_WRITE);
    following->flushed = arrived;
}

/* False: not yet, or never. */
static bool can_follow(struct store_partial *partial, uint64_t arrived, uint64_t limit)
{
    if (partial->following.given_up || (arrived < FRAME_HEADER_MAX && arrived < partial->stored_size))
        return false;
    if (partial->following.decoder != NULL)
        return true;
    if (check_size(partial, limit, NULL) < 0)
        following_end(partial);
    else
        following_begin(partial);
    return partial->following.decoder != NULL;
}

bool store_partial_follow(struct store_partial *partial, uint64_t limit)
{
    struct following *following = &partial->following;
    uint64_t arrived = atomic_load(&partial->offset);
    if (!can_follow(partial, arrived, limit) || (following->dry && arrived == following->reach))
        return false;
    start_writing(partial, arrived);
    if (following->dry)
        following->reach += arrived - following->reach < STEP_IN ? arrived - following->reach : STEP_IN;
    frame_decoder_reach(following->decoder, following->reach);
    uint64_t until = following->done + STEP_OUT;
    ssize_t got = 1;
    while (got > 0 && following->done < until)
        got = unpack_some(following, limit, NULL);
    following->dry = got == -EAGAIN;
    if (got <= 0 && !following->dry)
        following_end(partial);
    return got > 0 || (following->dry && following->reach < arrived);
}

/* The rest, to the end of the file. */
static int hash_frame(struct store_partial *partial, uint64_t limit, struct digest *ret, struct diag *diag)
{
    struct following *following = &partial->following;
    int result = check_size(partial, limit, diag);
    if (result < 0)
        return result;
    if (following->decoder == NULL)
        following_begin(partial);
    frame_decoder_reach_end(following->decoder);
    ssize_t got;
    while ((got = unpack_some(following, limit, diag)) > 0)
        ;
    *ret = hasher_finish(following->hasher);
    following_end(partial);
    return (int)got;
}

/* FARM_E_DIGEST for anything that is not the object. */
static int verify(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    struct digest found;
    int result = hash_frame(partial, limit, &found, &why);
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

struct store_partial *store_partial_close(struct store_partial *partial)
{
    if (partial == NULL)
        return NULL;
    following_end(partial);
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

/* ---- the end ---- */

static int commit(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    uint64_t have = store_partial_offset(partial);
    if (have != partial->stored_size)
        return diag_set(diag, FARM_E_STATE, "object %s: only %" PRIu64 " of %" PRIu64 " bytes received",
                        digest_hex(&partial->name).text, have, partial->stored_size);
    int result = verify(partial, limit < STORE_OBJECT_MAX ? limit : STORE_OBJECT_MAX, diag);
    if (result == FARM_E_DIGEST || result == FARM_E_LIMIT)
        unlinkat(partial->store->incoming, partial->file, 0);
    if (result < 0)
        return result;
    return store_publish(partial->store, partial->file, partial->fd, &partial->name, true, false, diag);
}

int store_partial_commit(struct store_partial *partial, uint64_t limit, struct diag *diag)
{
    int result = commit(partial, limit, diag);
    store_partial_close(partial);
    return result;
}
