/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Store: objects named by the SHA-256 of their content, kept as zstd files.
 *
 *     objects/ab/cdef...      one zstd frame each, name = SHA-256 of the uncompressed bytes, mode 0444
 *     incoming/...            being written; thrown away at start, but for resumable uploads (*.part)
 *     damaged/...             objects that were found not to be what they are called, "<digest>.<when, in seconds>"; for a
 *                             person to look at, until a collection finds them STORE_DAMAGED_KEPT_S later
 *     lock                    flock: shared while open; whoever gets it alone cleans incoming/
 *
 * Each frame says its uncompressed size in its header, and nothing follows it.
 *
 * An object appears whole or not at all: it is written to incoming/, synced, and linked in; "exists already" is
 * success. Reading verifies: the reader reports FARM_E_CORRUPT at the end of an object whose bytes are not its
 * name, and callers must not act on data before that. The damaged file is moved aside to damaged/, so that the object can
 * be fetched again.
 *
 * Collection never takes an object that is pinned in this process, newer than the grace period, or named by the
 * caller's "keep" set. A pin is taken before the answer "we have it" is given.
 *
 * Thread-safe: any thread may use the same store.
 */
#ifndef FARM_STORE_H
#define FARM_STORE_H

#include "buf.h"
#include "digest.h"

/* Larger objects are refused: the largest ROCm artifact is below 8 GiB. */
#define STORE_OBJECT_MAX ((uint64_t)16 << 30)

/* Long enough for somebody to look at them and at the disk, short enough not to fill it. */
enum { STORE_DAMAGED_KEPT_S = 30 * 24 * 3600 };

struct store;
struct store_writer;
struct store_reader;

/* zstd levels whose window a reader will accept (8 MiB). */
enum { STORE_LEVEL_MIN = 1, STORE_LEVEL_MAX = 19 };

/*
 * Opens or creates below dirfd. 'level' is the zstd level for new objects (1 is right for build results);
 * FARM_E_CONFIG if it is out of range. Several processes may have a store open; pins are known to their own only.
 */
int store_open(int dirfd, const char *path, int level, struct store **ret, struct diag *diag) MUST_USE;
struct store *store_close(struct store *store); /* accepts NULL, returns NULL */

/* Streams a new object in. 'limit': most uncompressed bytes. */
int store_write_begin(struct store *store, uint64_t limit, struct store_writer **ret,
                      struct diag *diag) MUST_USE;
int store_write(struct store_writer *writer, const void *data, size_t size, struct diag *diag) MUST_USE;
/*
 * Syncs and links in. If 'expected' is not NULL and differs: FARM_E_DIGEST, nothing is stored. The writer is
 * consumed in every case. With pin true the object is returned pinned (store_unpin).
 */
int store_write_commit(struct store_writer *writer, const struct digest *expected, bool pin,
                       struct digest *ret, uint64_t *ret_size, struct diag *diag) MUST_USE;
struct store_writer *store_write_abort(struct store_writer *writer); /* accepts NULL, returns NULL */

/* Whole-object helpers. */
int store_put(struct store *store, struct view data, struct digest *ret, struct diag *diag) MUST_USE;
/*
 * For what can be made again from what is durable, and is: nothing is synced, so a power failure may take it, or leave other bytes under its
 * name. So what is there is read once after each opening of the store, and replaced if it is damaged. To put the same bytes durably
 * does not make them so.
 */
int store_put_derived(struct store *store, struct view data, struct digest *ret, struct diag *diag) MUST_USE;
int store_put_fd(struct store *store, int fd, uint64_t limit, const struct digest *expected,
                 struct digest *ret, uint64_t *ret_size, struct diag *diag) MUST_USE;
/* FARM_E_MISSING if absent; FARM_E_LIMIT if longer than limit; verified before it returns. */
int store_get(struct store *store, const struct digest *name, size_t limit, struct buf *ret,
              struct diag *diag) MUST_USE;
/* Verified copy into a file descriptor, from its current offset. */
int store_get_fd(struct store *store, const struct digest *name, int fd, struct diag *diag) MUST_USE;

/* Whole and durable: an object that is just being linked in is not there yet. Its bytes are not looked at. */
bool store_has(struct store *store, const struct digest *name);
/* Reads the whole object: FARM_E_MISSING, or FARM_E_CORRUPT after moving it aside. For a scrub. */
int store_verify(struct store *store, const struct digest *name, struct diag *diag) MUST_USE;
/* Uncompressed size from the frame header; FARM_E_MISSING. */
int store_size(struct store *store, const struct digest *name, uint64_t *ret, struct diag *diag) MUST_USE;

/* Streams out, verifying. store_read returns bytes read, 0 at a verified end. */
int store_read_begin(struct store *store, const struct digest *name, struct store_reader **ret,
                     struct diag *diag) MUST_USE;
ssize_t store_read(struct store_reader *reader, void *ret_data, size_t size, struct diag *diag) MUST_USE;
/* The size that its header states, to which reading holds it. Before the first read. */
int store_read_size(struct store_reader *reader, uint64_t *ret, struct diag *diag) MUST_USE;
struct store_reader *store_read_end(struct store_reader *reader); /* accepts NULL, returns NULL */

/* Pins count; a pin of an absent object is allowed (it protects it from the moment it arrives). */
void store_pin(struct store *store, const struct digest *name);
void store_unpin(struct store *store, const struct digest *name);

/*
 * Transfer: the stored (compressed) bytes, from any offset. The sender opens and preads; the receiver appends to a
 * partial file named by digest, stored size and 'owner', which survives restarts, and commits when it is whole.
 *
 * store_open_stored verifies the object before it is first served (and after its file changed), so that bit rot
 * is found here and not by everybody who fetches it; that takes 1 to 2 s per GiB, so large ones belong in a
 * pool's thread. One owner can have a given partial open once: FARM_E_STATE for the second.
 */
struct store_partial;
/* Would store_open_stored serve it without reading it first? */
bool store_is_verified(struct store *store, const struct digest *name);
int store_open_stored(struct store *store, const struct digest *name, int *ret_fd, uint64_t *ret_size,
                      struct diag *diag) MUST_USE;
int store_partial_begin(struct store *store, const char *owner, const struct digest *name,
                        uint64_t stored_size, struct store_partial **ret, struct diag *diag) MUST_USE;
/* How much is there already: where the sender continues. */
uint64_t store_partial_offset(const struct store_partial *partial);
/* 'offset' must be the current one: FARM_E_STATE otherwise. */
int store_partial_add(struct store_partial *partial, uint64_t offset, struct view data,
                      struct diag *diag) MUST_USE;
/*
 * Unpacks and hashes a piece of what has arrived, so that little is left for the commit: true if it may go on at once. At most one
 * thread at a time, but it may be another than the one that adds. Says nothing of what it finds: the commit does. Costs the memory
 * of a decoder until the partial is closed.
 */
bool store_partial_follow(struct store_partial *partial, uint64_t limit);
/*
 * Decompresses, verifies against the name, links in. FARM_E_DIGEST drops the partial. 'limit' bounds the
 * uncompressed size: FARM_E_LIMIT drops it too, before a byte is unpacked, since the frame says its size and is held to
 * it. FARM_E_STATE if it is not whole yet (it is kept). Consumes the partial in every case. To keep the object from a
 * collection, pin it before.
 */
int store_partial_commit(struct store_partial *partial, uint64_t limit, struct diag *diag) MUST_USE;
/* Closes; keeps the bytes for a later try. Accepts NULL, returns NULL. */
struct store_partial *store_partial_close(struct store_partial *partial);
/* Removes what store_partial_close left of this one; nothing there is fine. */
void store_partial_forget(struct store *store, const char *owner, const struct digest *name,
                          uint64_t stored_size);

/* Is this file, wherever it lies, the stored form of the object? Reads it whole; FARM_E_DIGEST if not. */
int store_check_stored(int fd, const struct digest *name, struct diag *diag) MUST_USE;
/* What store_copy_stored did. */
struct store_copied {
    uint64_t bytes; /* copied; 0 if it was linked */
    bool earlier;   /* the earlier file was taken */
    bool read;      /* that was read before */
    bool rotten;    /* the earlier file was read, and had other bytes: the store's was taken instead */
};
/*
 * The stored file, verified, as the new file 'path' below dirfd: a hard link if both are on one file system (objects never change),
 * else a copy. 'earlier_dirfd' (-1: none): if 'path' below that is such a file already, of this object's inode or of another file system than
 * the store's, it is linked as it is; without being read, but for 'read_earlier'. Not synced: the caller does that once, for all.
 * FARM_E_MISSING, FARM_E_CORRUPT: the store does not have it, and the earlier file was not taken.
 */
int store_copy_stored(struct store *store, const struct digest *name, int earlier_dirfd, bool read_earlier,
                      int dirfd, const char *path, struct store_copied *ret, struct diag *diag) MUST_USE;

/*
 * Removes objects for which keep() is false, that are unpinned and older than grace_ms; also partials older than that, and
 * what was moved to damaged/ STORE_DAMAGED_KEPT_S ago.
 * keep() is called without locks held. The age counts from when an object was last stored, also if it was there
 * already.
 */
int store_collect(struct store *store, bool (*keep)(void *context, const struct digest *name), void *context,
                  int64_t grace_ms, size_t *ret_removed, uint64_t *ret_bytes, struct diag *diag) MUST_USE;
/* Walks all objects, in no particular order; an error of visit() ends it. For listings and scrubs. */
int store_each(struct store *store,
               int (*visit)(void *context, const struct digest *name, uint64_t stored_size), void *context,
               struct diag *diag) MUST_USE;
/* Bytes of compressed objects (a walk). */
int store_usage(struct store *store, uint64_t *ret_bytes, size_t *ret_objects, struct diag *diag) MUST_USE;

#endif
