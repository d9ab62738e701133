/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Store, writing: content is hashed here while zstd compresses it on other cores. */
#include "frame.h"
#include "store_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct store_writer {
    struct store *store;
    char *file; /* in incoming/; owned */
    int fd;
    struct frame_encoder *encoder;
    struct hasher *hasher;
    uint64_t size, limit;
    int error;    /* of the first write that failed; sticks */
    bool derived; /* it need not outlive a power failure */
};

int store_write_begin(struct store *store, uint64_t limit, struct store_writer **ret, struct diag *diag)
{
    struct store_writer *writer = mem_zero(1, sizeof *writer);
    writer->store = store;
    writer->limit = limit < STORE_OBJECT_MAX ? limit : STORE_OBJECT_MAX;
    int result = store_new_file(store, &writer->file, &writer->fd, diag);
    if (result < 0) {
        free(writer);
        return result;
    }
    writer->encoder = frame_encoder_new(writer->fd, store->level);
    writer->hasher = hasher_new();
    *ret = writer;
    return 0;
}

int store_write(struct store_writer *writer, const void *data, size_t size, struct diag *diag)
{
    if (writer->error < 0)
        return diag_set(diag, writer->error, "store: an earlier write of this object failed");
    if (size > writer->limit - writer->size) {
        writer->error = FARM_E_LIMIT;
        return diag_set(diag, FARM_E_LIMIT, "store: object longer than the limit of %" PRIu64 " bytes",
                        writer->limit);
    }
    writer->size += size;
    hasher_add(writer->hasher, data, size);
    writer->error = frame_encode(writer->encoder, data, size, diag);
    return writer->error < 0 ? diag_wrap(diag, writer->error, "store: incoming/%s", writer->file) : 0;
}

/* 'published': the file has its name and is no longer ours. */
static void writer_free(struct store_writer *writer, bool published)
{
    frame_encoder_free(writer->encoder);
    hasher_free(writer->hasher);
    if (!published)
        unlinkat(writer->store->incoming, writer->file, 0);
    close(writer->fd);
    free(writer->file);
    free(writer);
}

static int finish(struct store_writer *writer, const struct digest *expected, bool pin, struct digest *ret,
                  struct diag *diag)
{
    if (writer->error < 0)
        return diag_set(diag, writer->error, "store: a write of this object failed");
    struct digest found = hasher_finish(writer->hasher);
    if (expected != NULL && !digest_equal(&found, expected))
        return diag_set(diag, FARM_E_DIGEST, "content has digest %s, expected %s", digest_hex(&found).text,
                        digest_hex(expected).text);
    int result = frame_encode_end(writer->encoder, diag);
    if (result >= 0)
        result = store_publish(writer->store, writer->file, writer->fd, &found, !writer->derived, pin, diag);
    if (result >= 0)
        *ret = found;
    return result;
}

int store_write_commit(struct store_writer *writer, const struct digest *expected, bool pin,
                       struct digest *ret, uint64_t *ret_size, struct diag *diag)
{
    struct digest found;
    int result = finish(writer, expected, pin, &found, diag);
    if (result >= 0 && ret != NULL)
        *ret = found;
    if (result >= 0 && ret_size != NULL)
        *ret_size = writer->size;
    writer_free(writer, result >= 0);
    return result < 0 ? result : 0;
}

struct store_writer *store_write_abort(struct store_writer *writer)
{
    if (writer != NULL)
        writer_free(writer, false);
    return NULL;
}

static int put(struct store *store, struct view data, const struct digest *name, bool derived,
               struct diag *diag)
{
    struct store_writer *writer;
    int result = store_write_begin(store, data.size, &writer, diag);
    if (result < 0)
        return result;
    writer->derived = derived;
    result = data.size > 0 ? store_write(writer, data.data, data.size, diag) : 0;
    if (result < 0) {
        store_write_abort(writer);
        return result;
    }
    return store_write_commit(writer, name, false, NULL, NULL, diag);
}

int store_put(struct store *store, struct view data, struct digest *ret, struct diag *diag)
{
    struct digest name = digest_of(data);
    if (ret != NULL)
        *ret = name;
    return store_refresh(store, &name) ? 0 : put(store, data, &name, false, diag);
}

/* What was written since the store was opened is in the kernel's memory, whole. */
static bool is_sound(struct store *store, const struct digest *name)
{
    return store_is_verified(store, name) || store_verify(store, name, NULL) >= 0;
}

int store_put_derived(struct store *store, struct view data, struct digest *ret, struct diag *diag)
{
    struct digest name = digest_of(data);
    if (ret != NULL)
        *ret = name;
    return store_refresh(store, &name) && is_sound(store, &name) ? 0 : put(store, data, &name, true, diag);
}

static int write_from(struct store_writer *writer, int fd, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 }; /* the system call does not show, and it stays in the L2 cache */
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    for (;;) {
        ssize_t got = read(fd, chunk, CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "store: read the new object");
        if (got == 0)
            return 0;
        int result = store_write(writer, chunk, (size_t)got, diag);
        if (result < 0)
            return result;
    }
}

int store_put_fd(struct store *store, int fd, uint64_t limit, const struct digest *expected,
                 struct digest *ret, uint64_t *ret_size, struct diag *diag)
{
    struct store_writer *writer;
    int result = store_write_begin(store, limit, &writer, diag);
    if (result < 0)
        return result;
    result = write_from(writer, fd, diag);
    if (result < 0) {
        store_write_abort(writer);
        return result;
    }
    return store_write_commit(writer, expected, false, ret, ret_size, diag);
}
