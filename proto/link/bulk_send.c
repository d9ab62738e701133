/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sending objects: a Get names object, offset and credit. A second Get that continues where the credit ends adds to it;
 * one with another offset starts over from there. The file stays open between the Gets of one transfer.
 */
#include "bulk_private.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static struct bulk_send *send_free(struct bulk_send *send)
{
    mem_close_p(&send->fd);
    buf_done(&send->frame);
    free(send);
    return NULL;
}

static void remove_at(struct bulk_server *server, size_t i)
{
    send_free(server->sends[i]);
    server->sends[i] = server->sends[--server->nsends];
}

static struct bulk_send *find(struct bulk_server *server, const struct link_peer *peer,
                              const struct digest *digest, size_t *ret_of_peer)
{
    struct bulk_send *found = NULL;
    *ret_of_peer = 0;
    for (size_t i = 0; i < server->nsends; i++) {
        struct bulk_send *send = server->sends[i];
        if (send->peer.session != peer->session)
            continue;
        ++*ret_of_peer;
        if (digest_equal(&send->digest, digest))
            found = send;
    }
    return found;
}

static struct bulk_send *add_send(struct bulk_server *server, const struct link_peer *peer,
                                  const struct digest *digest)
{
    struct bulk_send *send = mem_zero(1, sizeof(*send));
    *send = (struct bulk_send){.peer = *peer, .digest = *digest, .fd = -1};
    server->sends =
        mem_reserve(server->sends, &server->sends_capacity, server->nsends + 1, sizeof(*server->sends));
    server->sends[server->nsends++] = send;
    return send;
}

static bool is_being_checked(const struct bulk_server *server, const struct digest *digest)
{
    for (size_t i = 0; i < server->nsends; i++)
        if (server->sends[i]->checking && digest_equal(&server->sends[i]->digest, digest))
            return true;
    return false;
}

static int open_send(struct bulk_server *server, const struct link_peer *peer, const struct digest *digest,
                     struct bulk_send **ret, struct diag *diag)
{
    CLEANUP_CLOSE int fd = -1;
    uint64_t size = 0;
    bool asked = is_being_checked(server, digest);
    bool check = asked || bulk_check_needed(server, digest);
    int r = check ? 0 : store_open_stored(server->options.store, digest, &fd, &size, diag);
    if (r < 0)
        return r;
    struct bulk_send *send = add_send(server, peer, digest);
    send->checking = check;
    send->fd = STEAL_FD(fd);
    send->stored_size = size;
    if (check && !asked)
        bulk_check_submit(server, digest);
    *ret = send;
    return 0;
}

static int look_up(struct bulk_server *server, const struct link_peer *peer, const struct digest *digest,
                   struct bulk_send **ret, struct diag *diag)
{
    const struct bulk_server_options *o = &server->options;
    size_t of_peer;
    if (o->may_get != NULL && !o->may_get(o->context, peer->user, digest))
        return diag_set(diag, FARM_E_REFUSED, "%s may not have object %s", peer->user,
                        digest_hex(digest).text);
    *ret = find(server, peer, digest, &of_peer);
    if (*ret != NULL)
        return 0;
    if (of_peer >= BULK_GETS_MAX)
        return diag_set(diag, FARM_E_LIMIT, "one connection fetches at most %d objects at a time",
                        BULK_GETS_MAX);
    return open_send(server, peer, digest, ret, diag);
}

static uint64_t credit_end(const struct bulk_send *send)
{
    return send->offset + (uint64_t)send->credit * WIRE_CHUNK_MAX;
}

static int check_offset(const struct bulk_send *send, uint64_t offset, struct diag *diag)
{
    if (offset < send->stored_size)
        return 0;
    return diag_set(diag, FARM_E_STATE, "object %s has only %llu stored bytes",
                    digest_hex(&send->digest).text, (unsigned long long)send->stored_size);
}

/* Somebody should know: it was promised. */
static void tell_absent(const struct bulk_server *server, const struct digest *digest, int error)
{
    const struct bulk_server_options *o = &server->options;
    if (o->absent != NULL && (error == FARM_E_MISSING || error == FARM_E_CORRUPT))
        o->absent(o->context, digest);
}

void bulk_on_get(struct bulk_server *server, const struct link_peer *peer, const Wire__Get *get,
                 int64_t now_ms)
{
    struct digest digest = wire_get_digest(&get->digest);
    struct diag diag = DIAG_INIT;
    struct bulk_send *send = NULL;
    int r = look_up(server, peer, &digest, &send, &diag);
    if (send != NULL && !send->checking)
        r = check_offset(send, get->offset, &diag);
    if (r < 0 || send == NULL) {
        tell_absent(server, &digest, r);
        bulk_reply_error(server, peer, &digest, r, diag.text);
        return;
    }
    bool continues = send->credit > 0 && get->offset == credit_end(send);
    uint32_t credit = (continues ? send->credit : 0) + get->credit;
    if (!continues) {
        send->offset = get->offset;
        buf_clear(&send->frame);
    }
    send->credit = credit < BULK_QUEUE ? credit : BULK_QUEUE;
    send->touched_ms = now_ms;
}

/* ---- sending ---- */

static int read_chunk(const struct bulk_send *send, char *data, size_t size, struct diag *diag)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = pread(send->fd, data + done, size - done, (off_t)(send->offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return diag_errno(diag, "object %s", digest_hex(&send->digest).text);
        if (n == 0)
            return diag_set(diag, FARM_E_CORRUPT, "object %s is shorter than it was",
                            digest_hex(&send->digest).text);
        done += (size_t)n;
    }
    return 0;
}

static size_t chunk_size(const struct bulk_send *send)
{
    uint64_t left = send->stored_size - send->offset;
    return left < WIRE_CHUNK_MAX ? (size_t)left : WIRE_CHUNK_MAX;
}

/* Read straight into the frame. */
static int encode_chunk(struct bulk_send *send, struct diag *diag)
{
    size_t size = chunk_size(send);
    Wire__Chunk chunk = WIRE__CHUNK__INIT;
    char *data;
    chunk.digest = wire_digest(&send->digest);
    chunk.offset = send->offset;
    chunk.stored_size = send->stored_size;
    chunk.last = send->offset + size == send->stored_size;
    int r = wire_encode_room(WIRE_CHUNK, &chunk.base, size, &send->frame, &data, diag);
    if (r >= 0)
        r = read_chunk(send, data, size, diag);
    if (r < 0)
        buf_clear(&send->frame);
    return r;
}

/* One chunk. 1: sent; -EAGAIN: the peer's queue is full; other errors end the transfer. */
static int send_chunk(struct bulk_server *server, struct bulk_send *send, int64_t now_ms, struct diag *diag)
{
    int r = send->frame.size > 0 ? 0 : encode_chunk(send, diag);
    if (r < 0)
        return r;
    size_t size = chunk_size(send);
    if (link_server_must_wait(server->link, &send->peer, WIRE_CHUNK_MAX))
        return -EAGAIN;
    if ((r = link_server_send_to(server->link, &send->peer, &send->frame, diag)) < 0)
        return r;
    atomic_fetch_add(&server->sent_bytes, size);
    send->offset += size;
    send->credit = send->offset == send->stored_size ? 0 : send->credit - 1;
    send->touched_ms = now_ms;
    return 1;
}

bool bulk_send_round(struct bulk_server *server, int64_t now_ms)
{
    bool more = false;
    for (size_t i = server->nsends; i-- > 0;) { /* backwards: an entry may be removed */
        struct bulk_send *send = server->sends[i];
        struct diag diag = DIAG_INIT;
        if (send->credit == 0 || send->checking)
            continue;
        int r = send_chunk(server, send, now_ms, &diag);
        if (r > 0 && send->credit > 0)
            more = true;
        if (r > 0 && send->offset == send->stored_size)
            remove_at(server, i);
        if (r >= 0 || r == -EAGAIN)
            continue;
        if (r != FARM_E_UNKNOWN)
            bulk_reply_error(server, &send->peer, &send->digest, r, diag.text);
        remove_at(server, i);
    }
    return more;
}

static int begin_checked(struct bulk_server *server, struct bulk_send *send, const struct bulk_check *check,
                         struct diag *diag)
{
    if (check->result < 0)
        return diag_set(diag, check->result, "%s", check->diag.text);
    int r = store_open_stored(server->options.store, &send->digest, &send->fd, &send->stored_size, diag);
    return r < 0 ? r : check_offset(send, send->offset, diag);
}

void bulk_send_checked(struct bulk_server *server, const struct bulk_check *check, int64_t now_ms)
{
    for (size_t i = server->nsends; i-- > 0;) {
        struct bulk_send *send = server->sends[i];
        struct diag diag = DIAG_INIT;
        if (!send->checking || !digest_equal(&send->digest, &check->digest))
            continue;
        send->checking = false;
        send->touched_ms = now_ms;
        int r = begin_checked(server, send, check, &diag);
        if (r >= 0)
            continue;
        tell_absent(server, &send->digest, r);
        bulk_reply_error(server, &send->peer, &send->digest, r, diag.text);
        remove_at(server, i);
    }
}

void bulk_send_expire(struct bulk_server *server, int64_t now_ms)
{
    for (size_t i = server->nsends; i-- > 0;)
        if (!server->sends[i]->checking && now_ms - server->sends[i]->touched_ms > BULK_IDLE_MS)
            remove_at(server, i);
}

void bulk_send_done(struct bulk_server *server)
{
    while (server->nsends > 0)
        remove_at(server, server->nsends - 1);
    free(server->sends);
}
