/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fetching one object. The first Get asks for one chunk and tells the stored size; from then on the partial file's
 * length is where to continue, and credit is asked for ahead of what arrived.
 */
#include "bulk_private.h"

#include <errno.h>
#include <inttypes.h>

enum {
    CREDIT = WIRE_CREDIT_MAX / 2, /* chunks asked for at a time; twice as many may be under way */
    STEPS =
        4 /* of unpacking, after each chunk, while libzmq's thread takes the next; what unpacks to more is left for the end */
};

struct get {
    struct store *store;
    const struct digest *digest;
    uint64_t limit;
    struct store_partial *partial; /* NULL until the size is known */
    uint64_t size, offset;
    uint64_t asked; /* credit was asked for up to here */
    bool resumed;   /* older bytes are in it */
};

static int ask(struct bulk_call *call, uint64_t offset, uint32_t credit, struct diag *diag)
{
    struct get *get = call->state;
    Wire__Get request = WIRE__GET__INIT;
    request.digest = wire_digest(get->digest);
    request.offset = offset;
    request.credit = credit;
    int r = bulk_request(call->client, WIRE_GET, &request.base, diag);
    if (r >= 0)
        get->asked = offset + (uint64_t)credit * WIRE_CHUNK_MAX;
    return r;
}

static int begin(struct bulk_call *call, struct diag *diag)
{
    struct get *get = call->state;
    return get->partial == NULL ? ask(call, 0, 1, diag) : ask(call, get->offset, CREDIT, diag);
}

static int open_partial(struct bulk_call *call, uint64_t size, struct diag *diag)
{
    struct get *get = call->state;
    if (size >
        get->limit + get->limit / 128 + 4096) /* zstd grows what it cannot compress by less than this */
        return diag_set(diag, FARM_E_LIMIT, "%" PRIu64 " stored bytes, the limit is %" PRIu64, size,
                        get->limit);
    int r = store_partial_begin(get->store, call->client->owner, get->digest, size, &get->partial, diag);
    if (r < 0)
        return r;
    get->size = size;
    get->offset = store_partial_offset(get->partial);
    get->resumed = get->offset > 0;
    return 0;
}

static int finish(struct get *get, struct diag *diag)
{
    struct store_partial *partial = STEAL(get->partial);
    int r = store_partial_commit(partial, get->limit, diag);
    return r < 0 ? r : 1;
}

/* Keeps credit ahead of what arrived. */
static int top_up(struct bulk_call *call, struct diag *diag)
{
    struct get *get = call->state;
    if (get->asked < get->offset)
        get->asked = get->offset;
    if (get->asked >= get->size || get->asked - get->offset > (uint64_t)CREDIT * WIRE_CHUNK_MAX)
        return 0;
    int r = ask(call, get->asked, CREDIT, diag);
    return r == -EAGAIN ? 0 : r; /* the queue holds requests that will bring more */
}

static int add_chunk(struct bulk_call *call, const Wire__Chunk *chunk, struct diag *diag)
{
    struct get *get = call->state;
    uint64_t left = get->size - get->offset;
    if (chunk->offset != get->offset)
        return 0; /* from before a restart */
    if (chunk->stored_size != get->size || chunk->data.len != (left < WIRE_CHUNK_MAX ? left : WIRE_CHUNK_MAX))
        return diag_set(diag, FARM_E_SYNTAX,
                        "a chunk of %zu bytes at %" PRIu64 " of %" PRIu64 " does not fit", chunk->data.len,
                        chunk->offset, chunk->stored_size);
    int r = store_partial_add(get->partial, get->offset, wire_view(&chunk->data), diag);
    if (r < 0)
        return r;
    get->offset += chunk->data.len;
    for (int i = 0; i < STEPS && store_partial_follow(get->partial, get->limit); i++)
        ;
    bulk_progress(call->client, get->digest, get->offset, get->size);
    return get->offset == get->size ? finish(get, diag) : top_up(call, diag);
}

static int on_chunk(struct bulk_call *call, const Wire__Chunk *chunk, struct diag *diag)
{
    struct get *get = call->state;
    if (!bulk_about(&chunk->digest, get->digest))
        return 0;
    if (get->partial != NULL)
        return add_chunk(call, chunk, diag);
    int r = open_partial(call, chunk->stored_size, diag);
    if (r < 0)
        return r;
    if (get->offset == get->size)
        return finish(get, diag);
    return get->offset == 0 ? add_chunk(call, chunk, diag) : ask(call, get->offset, CREDIT, diag);
}

static int on_error(const struct get *get, const Wire__BulkError *error, struct diag *diag)
{
    return error->digest.len == 0 || bulk_about(&error->digest, get->digest) ? bulk_error(error, diag) : 0;
}

static int answer(struct bulk_call *call, const struct wire_message *message, struct diag *diag)
{
    switch ((enum wire_bulk_reply)message->type) {
    case WIRE_CHUNK:
        return on_chunk(call, message->chunk, diag);
    case WIRE_BULK_ERROR:
        return on_error(call->state, message->bulk_error, diag);
    case WIRE_MISSING:
    case WIRE_PUT_READY:
    case WIRE_STORED:
        return 0;
    }
    return 0;
}

static int fetch(struct bulk_client *client, struct store *store, const struct digest *digest, uint64_t limit,
                 bool *ret_resumed, struct diag *diag)
{
    struct get get = {.store = store, .digest = digest, .limit = limit};
    struct bulk_call call = {.client = client, .begin = begin, .answer = answer, .state = &get};
    int r = bulk_run(&call, diag);
    store_partial_close(get.partial);
    *ret_resumed = get.resumed;
    return r < 0 ? diag_wrap(diag, r, "fetching object %s", digest_hex(digest).text) : 0;
}

int bulk_get(struct bulk_client *client, struct store *store, const struct digest *digest, uint64_t limit,
             struct diag *diag)
{
    bool resumed = false;
    if (store_has(store, digest))
        return 0;
    int r = fetch(client, store, digest, limit, &resumed, diag);
    /* The older half may have been torn by a crash; it is gone now, so the whole gets one more chance. */
    if (r == FARM_E_DIGEST && resumed)
        r = fetch(client, store, digest, limit, &resumed, diag);
    return r;
}
