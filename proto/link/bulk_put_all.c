/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sending several objects: the small ones each with its Put, all at once; then those that are larger, or that the server wants in
 * chunks, one after the other, after asking which of them are missing.
 */
#include "bulk_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct item {
    const struct digest *digest;
    struct buf bytes; /* empty: it goes alone */
    bool sent;        /* on this connection */
    bool stored;
};

struct puts {
    struct item *items;
    size_t count;
};

/* ---- together ---- */

static int begin(struct bulk_call *call, struct diag *diag)
{
    struct puts *puts = call->state;
    (void)diag;
    for (size_t i = 0; i < puts->count; i++)
        puts->items[i].sent = false;
    return 0;
}

static int pump(struct bulk_call *call, struct diag *diag)
{
    struct puts *puts = call->state;
    int r = 0;
    for (size_t i = 0; r >= 0 && i < puts->count; i++) {
        struct item *item = &puts->items[i];
        Wire__Put put = WIRE__PUT__INIT;
        if (item->bytes.size == 0 || item->sent || item->stored)
            continue;
        put.digest = wire_digest(item->digest);
        put.stored_size = item->bytes.size;
        put.data = wire_bytes(buf_view(&item->bytes));
        r = bulk_request(call->client, WIRE_PUT, &put.base, diag);
        item->sent = r >= 0;
    }
    return r;
}

static struct item *find(struct puts *puts, const ProtobufCBinaryData *field)
{
    for (size_t i = 0; i < puts->count; i++)
        if (bulk_about(field, puts->items[i].digest))
            return &puts->items[i];
    return NULL;
}

/* 1 when there is nothing more to wait for. */
static int settled(const struct puts *puts)
{
    for (size_t i = 0; i < puts->count; i++)
        if (puts->items[i].bytes.size > 0 && !puts->items[i].stored)
            return 0;
    return 1;
}

/* It is being verified; or the server took no notice of the bytes and wants them in chunks. */
static void on_ready(struct item *item, const Wire__PutReady *ready)
{
    if (ready->offset < item->bytes.size)
        buf_clear(&item->bytes);
}

static int answer(struct bulk_call *call, const struct wire_message *message, struct diag *diag)
{
    struct puts *puts = call->state;
    struct item *item;
    switch ((enum wire_bulk_reply)message->type) {
    case WIRE_PUT_READY:
        if ((item = find(puts, &message->put_ready->digest)) != NULL)
            on_ready(item, message->put_ready);
        return settled(puts);
    case WIRE_STORED:
        if ((item = find(puts, &message->stored->digest)) != NULL)
            item->stored = true;
        return settled(puts);
    case WIRE_BULK_ERROR:
        return find(puts, &message->bulk_error->digest) != NULL ? bulk_error(message->bulk_error, diag) : 0;
    case WIRE_CHUNK:
    case WIRE_MISSING:
        return 0;
    }
    return 0;
}

/* ---- one after the other ---- */

static int put_alone(struct bulk_client *client, struct store *store, const struct puts *puts,
                     struct diag *diag)
{
    CLEANUP_FREE struct digest *digests = mem_zero(puts->count + 1, sizeof(*digests));
    CLEANUP_FREE bool *missing = mem_zero(puts->count + 1, sizeof(*missing));
    size_t count = 0;
    for (size_t i = 0; i < puts->count; i++)
        if (!puts->items[i].stored)
            digests[count++] = *puts->items[i].digest;
    int r = count > 0 ? bulk_missing(client, digests, count, missing, diag) : 0;
    for (size_t i = 0; r >= 0 && i < count; i++)
        if (missing[i])
            r = bulk_put(client, store, &digests[i], diag);
    return r;
}

/* ---- all ---- */

static int read_whole(int fd, uint64_t size, struct buf *ret, struct diag *diag)
{
    ssize_t got = pread(fd, buf_room(ret, (size_t)size), (size_t)size, 0);
    if (got < 0)
        return diag_errno(diag, "reading the stored object");
    ret->size =
        (size_t)got == (size_t)size ? (size_t)got : 0; /* cut short: whoever sends it alone finds out */
    return 0;
}

/* What cannot be opened goes alone too: the server may have it already, or else that says what is wrong. */
static int load(struct store *store, struct item *item, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    uint64_t size;
    struct diag ignored;
    if (store_open_stored(store, item->digest, &fd, &size, &ignored) < 0 || size > WIRE_WHOLE_MAX)
        return 0;
    return read_whole(fd, size, &item->bytes, diag);
}

/* What is named twice is one item: the server says once that it has it. */
static bool is_among(const struct puts *puts, const struct digest *digest)
{
    for (size_t i = 0; i < puts->count; i++)
        if (digest_equal(puts->items[i].digest, digest))
            return true;
    return false;
}

int bulk_put_all(struct bulk_client *client, struct store *store, const struct digest *digests, size_t count,
                 struct diag *diag)
{
    struct puts puts = {mem_zero(count + 1, sizeof(struct item)), 0};
    struct bulk_call call = {
        .client = client, .begin = begin, .answer = answer, .pump = pump, .state = &puts};
    int r = 0;
    for (size_t i = 0; r >= 0 && i < count; i++) {
        if (is_among(&puts, &digests[i]))
            continue;
        struct item *item = &puts.items[puts.count++];
        item->digest = &digests[i];
        r = load(store, item, diag);
    }
    if (r >= 0 && settled(&puts) == 0)
        r = bulk_run(&call, diag);
    if (r >= 0)
        r = put_alone(client, store, &puts, diag);
    for (size_t i = 0; i < puts.count; i++)
        buf_done(&puts.items[i].bytes);
    free(puts.items);
    return r;
}
