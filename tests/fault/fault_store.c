/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * D6, the store: objects put, received in pieces, and a store that is just being made. What was acknowledged is there with its
 * bytes, nothing under an object's name is anything else, and nothing but resumable uploads stays in incoming/.
 */
#include "fault_run.h"

#include "file.h"
#include "store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OBJECTS = 4, LARGE = 700 * 1000, PIECES = 3 };

/* Bytes that do not compress, the same each time. */
static void object_bytes(size_t number, struct buf *ret)
{
    static const size_t sizes[OBJECTS] = {0, 100, LARGE, 30 * 1000};
    uint32_t state = (uint32_t)number * 77 + 1;
    for (size_t i = 0; i < sizes[number]; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        buf_add_byte(ret, (char)state);
    }
}

static struct store *open_store(const char *name)
{
    struct diag diag = DIAG_INIT;
    struct store *store = NULL;
    FAULT_MUST(store_open(fault_dirfd, name, 1, &store, &diag), &diag);
    return store;
}

/* ---- what must hold ---- */

static int verify_one(void *context, const struct digest *name, uint64_t size)
{
    (void)size;
    struct diag diag = DIAG_INIT;
    FAULT_MUST(store_verify(context, name, &diag), &diag);
    return 0;
}

static void expect_whole(struct store *store)
{
    struct diag diag = DIAG_INIT;
    FAULT_MUST(store_each(store, verify_one, store, &diag), &diag);
}

static void expect_object(struct store *store, size_t number)
{
    CLEANUP_BUF struct buf expected = BUF_INIT, found = BUF_INIT;
    struct diag diag = DIAG_INIT;
    object_bytes(number, &expected);
    struct digest name = digest_of(buf_view(&expected));
    FAULT_EXPECT(store_has(store, &name), "object %zu was acknowledged and is gone", number);
    FAULT_MUST(store_get(store, &name, LARGE, &found, &diag), &diag);
    FAULT_EXPECT(view_equal(buf_view(&expected), buf_view(&found)), "object %zu has other bytes", number);
}

static void expect_nothing_left(void)
{
    CLEANUP_CLOSE int fd = openat(fault_dirfd, "store/incoming", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    FAULT_EXPECT(fd >= 0, "no incoming/");
    DIR *stream = fdopendir(STEAL_FD(fd));
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        FAULT_EXPECT(entry->d_name[0] == '.' || view_ends(view_text(entry->d_name), VIEW(".part")),
                     "incoming/%s was left", entry->d_name);
    closedir(stream);
}

/* ---- store put ---- */

static int put_all(struct store *store, _Atomic uint64_t *acknowledged, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < OBJECTS; i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT;
        object_bytes(i, &bytes);
        result = store_put(store, buf_view(&bytes), NULL, diag);
        if (result >= 0 && acknowledged != NULL)
            atomic_fetch_or(acknowledged, (uint64_t)1 << i);
    }
    return result;
}

static void prepare_put(void)
{
    struct diag diag = DIAG_INIT;
    struct store *store = open_store("store");
    FAULT_MUST(store_put(store, VIEW("was there before"), NULL, &diag), &diag);
    store_close(store);
}

static int run_put(struct fault_trial *trial, struct diag *diag)
{
    struct store *store = open_store("store");
    fault_arm(trial);
    return put_all(store, &trial->acknowledged, diag);
}

static void check_put(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct digest before = digest_of(VIEW("was there before"));
    struct store *store = open_store("store");
    expect_whole(store);
    expect_nothing_left();
    FAULT_EXPECT(store_has(store, &before), "what was there before is gone");
    for (size_t i = 0; i < OBJECTS; i++)
        if (atomic_load(&trial->acknowledged) >> i & 1)
            expect_object(store, i);
    FAULT_MUST(put_all(store, NULL, &diag), &diag);
    for (size_t i = 0; i < OBJECTS; i++)
        expect_object(store, i);
    store_close(store);
}

/* ---- a store that is being made ---- */

static void prepare_nothing(void)
{
}

static int run_make(struct fault_trial *trial, struct diag *diag)
{
    struct store *store = NULL;
    fault_arm(trial);
    int result = store_open(fault_dirfd, "store", 1, &store, diag);
    if (result >= 0)
        result = store_put(store, VIEW("the first"), NULL, diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    return result;
}

static void check_make(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct digest first = digest_of(VIEW("the first"));
    struct store *store = open_store("store");
    expect_whole(store);
    expect_nothing_left();
    FAULT_EXPECT(atomic_load(&trial->acknowledged) == 0 || store_has(store, &first),
                 "the first object is gone");
    FAULT_MUST(put_all(store, NULL, &diag), &diag);
    store_close(store);
}

/* ---- an upload: the compressed bytes in pieces, then the commit ---- */

static void prepare_partial(void)
{
    struct diag diag = DIAG_INIT;
    struct store *other = open_store("sender");
    FAULT_MUST(put_all(other, NULL, &diag), &diag);
    store_close(other);
    store_close(open_store("store"));
}

/* From where it stands; 'sender' is another store, as at the other end of a connection. */
static int receive(struct store *store, struct store *sender, const struct digest *name, struct diag *diag)
{
    struct store_partial *partial = NULL;
    CLEANUP_CLOSE int fd = -1;
    uint64_t size = 0;
    int result = store_open_stored(sender, name, &fd, &size, diag);
    if (result >= 0)
        result = store_partial_begin(store, "worker", name, size, &partial, diag);
    while (result >= 0 && store_partial_offset(partial) < size) {
        char piece[LARGE / PIECES];
        uint64_t offset = store_partial_offset(partial);
        ssize_t got = pread(fd, piece, sizeof piece, (off_t)offset);
        FAULT_EXPECT(got > 0, "the sender's object cannot be read");
        result = store_partial_add(partial, offset, view_of(piece, (size_t)got), diag);
    }
    if (result < 0) {
        store_partial_close(partial);
        return result;
    }
    return store_partial_commit(partial, LARGE, diag);
}

static int run_partial(struct fault_trial *trial, struct diag *diag)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    struct store *sender = open_store("sender"), *store = open_store("store");
    object_bytes(2, &bytes);
    struct digest name = digest_of(buf_view(&bytes));
    fault_arm(trial);
    int result = receive(store, sender, &name, diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    return result;
}

static void check_partial(const struct fault_trial *trial)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct store *sender = open_store("sender"), *store = open_store("store");
    object_bytes(2, &bytes);
    struct digest name = digest_of(buf_view(&bytes));
    expect_whole(store);
    expect_nothing_left();
    if (atomic_load(&trial->acknowledged) > 0)
        expect_object(store, 2);
    int result = receive(store, sender, &name, &diag);
    if (result == FARM_E_DIGEST) /* a tail that the power cut spoiled: dropped, and sent anew */
        result = receive(store, sender, &name, &diag);
    FAULT_MUST(result, &diag);
    expect_object(store, 2);
    store_close(store);
    store_close(sender);
}

int main(int argc, char **argv)
{
    enum { CLASSES = FAULT_DISK | 1 << FAULT_ALLOC };
    static const struct fault_operation operations[] = {
        {"store-put", CLASSES, prepare_put, run_put, check_put, 0},
        {"store-make", CLASSES, prepare_nothing, run_make, check_make, 0},
        {"store-receive", CLASSES, prepare_partial, run_partial, check_partial, 0},
    };
    return fault_main(argc, argv, operations, ARRAY_SIZE(operations));
}
