/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sending one object, and asking which ones the server lacks.
 */
#include "bulk_private.h"
#include "farmlog.h"

#include <errno.h>
#include <unistd.h>

struct put {
    const struct digest *digest;
    int fd;
    uint64_t size;
    bool ready; /* the server said where to continue, on this connection */
    bool done_sent;
    uint64_t sent, kept; /* offsets: sent up to here; kept by the server up to here */
    uint32_t credit;
    struct buf frame;   /* encoded and not accepted by the socket yet */
    size_t frame_bytes; /* object bytes in it */
};

/* ---- one object ---- */

static int begin(struct bulk_call *call, struct diag *diag)
{
    struct put *put = call->state;
    Wire__Put request = WIRE__PUT__INIT;
    put->ready = put->done_sent = false;
    buf_clear(&put->frame);
    request.digest = wire_digest(put->digest);
    request.stored_size = put->size;
    return bulk_request(call->client, WIRE_PUT, &request.base, diag);
}

static int read_chunk(const struct put *put, char *data, size_t size, struct diag *diag)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(put->fd, data + done, size - done, (off_t)(put->sent + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return diag_errno(diag, "reading the stored object");
        if (n == 0)
            return diag_set(diag, FARM_E_CORRUPT, "the stored object is shorter than it was");
        done += (size_t)n;
    }
    return 0;
}

/* Read straight into the frame. */
static int encode_chunk(struct put *put, struct diag *diag)
{
    uint64_t left = put->size - put->sent;
    size_t size = left < WIRE_CHUNK_MAX ? (size_t)left : WIRE_CHUNK_MAX;
    Wire__PutData body = WIRE__PUT_DATA__INIT;
    char *data;
    body.digest = wire_digest(put->digest);
    body.offset = put->sent;
    put->frame_bytes = size;
    int r = wire_encode_room(WIRE_PUT_DATA, &body.base, size, &put->frame, &data, diag);
    if (r >= 0)
        r = read_chunk(put, data, size, diag);
    if (r < 0)
        buf_clear(&put->frame);
    return r;
}

static int send_chunk(struct bulk_call *call, struct diag *diag)
{
    struct put *put = call->state;
    int r = put->frame.size > 0 ? 0 : encode_chunk(put, diag);
    if (r >= 0)
        r = link_client_send_buf(call->client->link, &put->frame, diag);
    if (r >= 0)
        put->sent += put->frame_bytes;
    return r;
}

static int send_done(struct bulk_call *call, struct diag *diag)
{
    struct put *put = call->state;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    done.digest = wire_digest(put->digest);
    int r = bulk_request(call->client, WIRE_PUT_DONE, &done.base, diag);
    if (r >= 0)
        put->done_sent = true;
    return r;
}

static int pump(struct bulk_call *call, struct diag *diag)
{
    struct put *put = call->state;
    int r = 0;
    if (!put->ready || put->done_sent)
        return 0;
    while (r >= 0 && put->sent < put->size && put->sent - put->kept < (uint64_t)put->credit * WIRE_CHUNK_MAX)
        r = send_chunk(call, diag);
    if (r >= 0 && put->sent == put->size)
        r = send_done(call, diag);
    return r == FARM_E_UNAVAILABLE ? 0 : r; /* the connection ended; begin() comes again */
}

static int on_ready(struct bulk_call *call, const Wire__PutReady *ready, struct diag *diag)
{
    struct put *put = call->state;
    if (ready->offset > put->size || (put->ready && ready->offset > put->sent))
        return diag_set(diag, FARM_E_SYNTAX,
                        "the coordinator claims to have more of the object than was sent");
    put->kept = ready->offset;
    put->credit = ready->credit;
    if (!put->ready) {
        put->sent = ready->offset;
        if (ready->offset > 0)
            log_event(LOG_LEVEL_INFO, "upload goes on", log_digest(FIELD_OBJECT, put->digest),
                      log_number(FIELD_BYTES, (int64_t)ready->offset));
    }
    put->ready = true;
    bulk_progress(call->client, put->digest, put->kept, put->size);
    return 0;
}

static int answer(struct bulk_call *call, const struct wire_message *message, struct diag *diag)
{
    struct put *put = call->state;
    switch ((enum wire_bulk_reply)message->type) {
    case WIRE_PUT_READY:
        return bulk_about(&message->put_ready->digest, put->digest) ? on_ready(call, message->put_ready, diag)
                                                                    : 0;
    case WIRE_STORED:
        return bulk_about(&message->stored->digest, put->digest) ? 1 : 0;
    case WIRE_BULK_ERROR:
        return bulk_about(&message->bulk_error->digest, put->digest) ? bulk_error(message->bulk_error, diag)
                                                                     : 0;
    case WIRE_CHUNK:
    case WIRE_MISSING:
        return 0;
    }
    return 0;
}

int bulk_put(struct bulk_client *client, struct store *store, const struct digest *digest, struct diag *diag)
{
    struct put put = {.digest = digest, .fd = -1, .frame = BUF_INIT};
    struct bulk_call call = {.client = client, .begin = begin, .answer = answer, .pump = pump, .state = &put};
    int r = store_open_stored(store, digest, &put.fd, &put.size, diag);
    if (r >= 0)
        r = bulk_run(&call, diag);
    mem_close_p(&put.fd);
    buf_done(&put.frame);
    return r < 0 ? diag_wrap(diag, r, "sending object %s", digest_hex(digest).text) : 0;
}

/* ---- which are missing ---- */

struct ask {
    const struct digest *digests;
    size_t count;
    bool *ret_missing;
};

static int ask_begin(struct bulk_call *call, struct diag *diag)
{
    struct ask *ask = call->state;
    ProtobufCBinaryData list[WIRE_DIGESTS_MAX];
    Wire__Have have = WIRE__HAVE__INIT;
    for (size_t i = 0; i < ask->count; i++)
        list[i] = wire_digest(&ask->digests[i]);
    have.digests = list;
    have.n_digests = ask->count;
    return bulk_request(call->client, WIRE_HAVE, &have.base, diag);
}

/* The answer keeps the order of the question. */
static int mark(struct ask *ask, const Wire__Missing *missing, struct diag *diag)
{
    size_t next = 0;
    for (size_t i = 0; i < ask->count; i++) {
        ask->ret_missing[i] =
            next < missing->n_digests && bulk_about(&missing->digests[next], &ask->digests[i]);
        next += ask->ret_missing[i];
    }
    return next == missing->n_digests
               ? 1
               : diag_set(diag, FARM_E_SYNTAX, "the coordinator misses what nobody asked for");
}

static int ask_answer(struct bulk_call *call, const struct wire_message *message, struct diag *diag)
{
    if (message->type == WIRE_MISSING)
        return mark(call->state, message->missing, diag);
    return message->type == WIRE_BULK_ERROR ? bulk_error(message->bulk_error, diag) : 0;
}

int bulk_missing(struct bulk_client *client, const struct digest *digests, size_t count, bool *ret_missing,
                 struct diag *diag)
{
    CLEANUP_FREE bool *missing = mem_zero(count > 0 ? count : 1, sizeof(*missing));
    for (size_t at = 0; at < count; at += WIRE_DIGESTS_MAX) {
        size_t n = count - at < WIRE_DIGESTS_MAX ? count - at : WIRE_DIGESTS_MAX;
        struct ask ask = {.digests = digests + at, .count = n, .ret_missing = missing + at};
        struct bulk_call call = {.client = client, .begin = ask_begin, .answer = ask_answer, .state = &ask};
        int r = bulk_run(&call, diag);
        if (r < 0)
            return diag_wrap(diag, r, "asking which objects are missing");
    }
    memcpy(ret_missing, missing, count * sizeof(*missing));
    return 0;
}
