/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Taking uploads: Put opens (or reopens) the user's partial file, PutData appends to it, PutDone gives it to the
 * hands. An upload whose sender fell silent is closed, and its bytes stay for a later Put; it counts against its user
 * for another hour, so that nobody fills the disk with beginnings.
 */
#include "bulk_private.h"

#include <stdlib.h>
#include <sys/eventfd.h>

/* ---- the list ---- */

static struct bulk_take *find(struct bulk_server *server, const char *user, const struct digest *digest)
{
    for (size_t i = 0; i < server->ntakes; i++)
        if (digest_equal(&server->takes[i]->digest, digest) && strcmp(server->takes[i]->peer.user, user) == 0)
            return server->takes[i];
    return NULL;
}

static void close_partial(struct bulk_server *server, struct bulk_take *take)
{
    bulk_follow_end(server, take);
    take->partial = store_partial_close(take->partial);
}

static void remove_take(struct bulk_server *server, struct bulk_take *take)
{
    for (size_t i = 0; i < server->ntakes; i++)
        if (server->takes[i] == take) {
            server->takes[i] = server->takes[--server->ntakes];
            break;
        }
    close_partial(server, take);
    free(take->waiting);
    free(take);
}

/* Another connection of the same sender asks while it is being committed: the earlier one still wants to hear the end. */
static void keep_waiting(struct bulk_take *take, const struct link_peer *newer)
{
    if (take->peer.session == newer->session || take->nwaiting == BULK_WAITING_MAX)
        return;
    if (take->waiting == NULL)
        take->waiting = mem_zero(BULK_WAITING_MAX, sizeof(*take->waiting));
    take->waiting[take->nwaiting++] = take->peer;
}

static struct bulk_take *add_take(struct bulk_server *server, const struct link_peer *peer,
                                  const struct digest *digest)
{
    struct bulk_take *take = mem_zero(1, sizeof(*take));
    take->peer = *peer;
    take->digest = *digest;
    take->state = TAKE_ABANDONED;
    server->takes =
        mem_reserve(server->takes, &server->takes_capacity, server->ntakes + 1, sizeof(*server->takes));
    server->takes[server->ntakes++] = take;
    return take;
}

static void forget(struct bulk_server *server, struct bulk_take *take)
{
    store_partial_forget(server->options.store, take->peer.user, &take->digest, take->stored_size);
    remove_take(server, take);
}

static struct bulk_take *oldest_abandoned(const struct bulk_server *server, const char *user,
                                          size_t *ret_count)
{
    struct bulk_take *oldest = NULL;
    *ret_count = 0;
    for (size_t i = 0; i < server->ntakes; i++) {
        struct bulk_take *take = server->takes[i];
        if (take->state != TAKE_ABANDONED || strcmp(take->peer.user, user) != 0)
            continue;
        (*ret_count)++;
        if (oldest == NULL || take->touched_ms < oldest->touched_ms)
            oldest = take;
    }
    return oldest;
}

/* What arrived of it stays on the disk for another try, and goes on counting against its user. */
static void abandon(struct bulk_server *server, struct bulk_take *take)
{
    size_t count;
    close_partial(server, take);
    take->nwaiting = 0;
    take->state = TAKE_ABANDONED;
    struct bulk_take *oldest = oldest_abandoned(server, take->peer.user, &count);
    if (count > BULK_ABANDONED_MAX)
        forget(server, oldest);
}

/* ---- Put ---- */

/* Would this user's uploads stay within its quota with 'size' bytes more (beside 'except', which is replaced)? */
static int check_quota(struct bulk_server *server, const char *user, const struct bulk_take *except,
                       uint64_t size, bool whole, struct diag *diag)
{
    const struct bulk_server_options *o = &server->options;
    uint32_t most = whole ? BULK_WHOLES_MAX : o->user_puts_max;
    uint64_t bytes = size + (o->held != NULL ? o->held(o->context, user) : 0);
    uint32_t count = 1;
    for (size_t i = 0; i < server->ntakes; i++) {
        const struct bulk_take *take = server->takes[i];
        if (take == except || strcmp(take->peer.user, user) != 0)
            continue;
        bytes += take->stored_size;
        count += take->state != TAKE_ABANDONED && take->whole == whole;
    }
    /* For ever, or for now? Who hears "limit" gives up; who hears "unavailable" comes again. */
    if (size > o->user_bytes_max || bytes > o->user_bytes_max)
        return diag_set(
            diag, size > o->user_bytes_max ? FARM_E_LIMIT : FARM_E_UNAVAILABLE,
            "uploads of %s that are unfinished, or that no answer names, would take %llu bytes; the "
            "quota is %llu",
            user, (unsigned long long)bytes, (unsigned long long)o->user_bytes_max);
    if (count > most)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s has %u uploads under way already", user, most);
    return 0;
}

static int admit(struct bulk_server *server, const char *user, const struct bulk_take *take,
                 const struct digest *digest, uint64_t size, bool whole, struct diag *diag)
{
    const struct bulk_server_options *o = &server->options;
    if (o->may_put != NULL && !o->may_put(o->context, user, digest, size))
        return diag_set(diag, FARM_E_REFUSED, "%s has no lease that gives object %s", user,
                        digest_hex(digest).text);
    /* zstd grows what it cannot compress by less than this. */
    if (size == 0 || size > o->object_max + o->object_max / 128 + 4096)
        return diag_set(diag, FARM_E_LIMIT, "object %s: %llu bytes; the limit for one upload is %llu",
                        digest_hex(digest).text, (unsigned long long)size, (unsigned long long)o->object_max);
    return check_quota(server, user, take, size, whole, diag);
}

static void reply_ready(struct bulk_server *server, const struct bulk_take *take, uint64_t offset)
{
    Wire__PutReady ready = WIRE__PUT_READY__INIT;
    ready.digest = wire_digest(&take->digest);
    ready.offset = offset;
    ready.credit = WIRE_CREDIT_MAX;
    bulk_reply(server, &take->peer, WIRE_PUT_READY, &ready.base);
    for (size_t i = 0; i < take->nwaiting; i++)
        bulk_reply(server, &take->waiting[i], WIRE_PUT_READY, &ready.base);
}

static void reply_stored(struct bulk_server *server, const struct link_peer *peer,
                         const struct digest *digest)
{
    Wire__Stored stored = WIRE__STORED__INIT;
    stored.digest = wire_digest(digest);
    bulk_reply(server, peer, WIRE_STORED, &stored.base);
}

static int open_take(struct bulk_server *server, struct bulk_take *take, uint64_t size, struct diag *diag)
{
    close_partial(server, take);
    take->state = TAKE_ABANDONED;
    int r = store_partial_begin(server->options.store, take->peer.user, &take->digest, size, &take->partial,
                                diag);
    if (r < 0)
        return r;
    take->stored_size = size;
    take->state = TAKE_RECEIVING;
    bulk_follow_begin(server, take);
    return 0;
}

static int check_room(const struct bulk_server *server, struct diag *diag)
{
    const struct bulk_server_options *o = &server->options;
    return o->has_room == NULL || o->has_room(o->context)
               ? 0
               : diag_set(diag, FARM_E_UNAVAILABLE, "the coordinator's disk has no room for uploads now");
}

/* 'whole': the bytes, if they came with Put. */
static void submit(struct bulk_server *server, struct bulk_take *take, struct view whole)
{
    struct bulk_commit *commit = mem_zero(1, sizeof(*commit));
    bulk_follow_end(server, take);
    commit->take = take;
    commit->partial = STEAL(take->partial);
    commit->digest = take->digest;
    commit->owner = mem_string(take->peer.user);
    buf_add_view(&commit->whole, whole);
    take->state = TAKE_COMMITTING;
    bulk_hands_submit(server, commit);
}

/* Are there so many bytes in memory already that these are to come in chunks? */
static bool wholes_are_full(const struct bulk_server *server)
{
    size_t count = 0;
    for (size_t i = 0; i < server->ntakes; i++)
        count += server->takes[i]->whole && server->takes[i]->state == TAKE_COMMITTING;
    return count >= BULK_WHOLES_ALL;
}

/* The same object in another stored size is another file: the earlier one would stay, and nobody would count it. */
static void drop_other_size(struct bulk_server *server, struct bulk_take *take, uint64_t size)
{
    if (take->stored_size == size || take->stored_size == 0)
        return;
    close_partial(server, take);
    take->state = TAKE_ABANDONED;
    store_partial_forget(server->options.store, take->peer.user, &take->digest, take->stored_size);
}

/* No answer before the end: there is nothing to wait for on the other side. */
static void take_whole(struct bulk_server *server, struct bulk_take *take, struct view data)
{
    close_partial(server, take);
    take->stored_size = data.size;
    take->whole = true;
    atomic_fetch_add(&server->received_bytes, data.size);
    submit(server, take, data);
}

static int begin(struct bulk_server *server, const struct link_peer *peer, const struct digest *digest,
                 const Wire__Put *put, int64_t now_ms, struct diag *diag)
{
    struct bulk_take *take = find(server, peer->user, digest);
    uint64_t size = put->stored_size;
    bool whole = put->data.len > 0;
    if (whole && put->data.len != size)
        return diag_set(diag, FARM_E_SYNTAX, "Put says %llu bytes and carries %zu", (unsigned long long)size,
                        put->data.len);
    whole = whole && !wholes_are_full(server);
    int r = admit(server, peer->user, take, digest, size, whole, diag);
    if (r >= 0)
        r = check_room(server, diag);
    if (r < 0)
        return r;
    if (take == NULL)
        take = add_take(server, peer, digest);
    if (take->state == TAKE_COMMITTING)
        keep_waiting(take, peer);
    take->peer = *peer; /* the newest connection hears about it */
    take->touched_ms = now_ms;
    if (take->state == TAKE_COMMITTING) {
        reply_ready(server, take, take->stored_size);
        return 0;
    }
    drop_other_size(server, take, size);
    if (whole) {
        take_whole(server, take, wire_view(&put->data));
        return 0;
    }
    take->whole = false;
    if ((r = open_take(server, take, size, diag)) < 0) {
        remove_take(server, take);
        return r;
    }
    reply_ready(server, take, store_partial_offset(take->partial));
    return 0;
}

void bulk_on_put(struct bulk_server *server, const struct link_peer *peer, const Wire__Put *put,
                 int64_t now_ms)
{
    struct digest digest = wire_get_digest(&put->digest);
    struct diag diag = DIAG_INIT;
    if (bulk_visible(server, peer->user, &digest)) {
        reply_stored(server, peer, &digest);
        return;
    }
    int r = begin(server, peer, &digest, put, now_ms, &diag);
    if (r < 0) {
        atomic_fetch_add(&server->refused, 1);
        bulk_reply_error(server, peer, &digest, r, diag.text);
    }
}

/* ---- PutData and PutDone ---- */

/* The upload that this connection has open; an error is sent if there is none. */
static struct bulk_take *receiving(struct bulk_server *server, const struct link_peer *peer,
                                   const struct digest *digest)
{
    struct bulk_take *take = find(server, peer->user, digest);
    if (take != NULL && take->state == TAKE_RECEIVING && take->peer.session == peer->session)
        return take;
    if (take == NULL || take->state != TAKE_COMMITTING)
        bulk_reply_error(server, peer, digest, FARM_E_STATE,
                         "no upload of this object is open: begin with Put");
    return NULL;
}

static void give_up(struct bulk_server *server, struct bulk_take *take, int error, const char *text)
{
    atomic_fetch_add(&server->refused, 1);
    bulk_reply_error(server, &take->peer, &take->digest, error, text);
    for (size_t i = 0; i < take->nwaiting; i++)
        bulk_reply_error(server, &take->waiting[i], &take->digest, error, text);
    if (take->state == TAKE_RECEIVING)
        abandon(server, take);
    else
        remove_take(server, take);
}

void bulk_on_put_data(struct bulk_server *server, const struct link_peer *peer, const Wire__PutData *data,
                      int64_t now_ms)
{
    struct digest digest = wire_get_digest(&data->digest);
    struct diag diag = DIAG_INIT;
    struct bulk_take *take = receiving(server, peer, &digest);
    if (take == NULL)
        return;
    int r = check_room(server, &diag);
    if (r >= 0)
        r = store_partial_add(take->partial, data->offset, wire_view(&data->data), &diag);
    if (r < 0) {
        give_up(server, take, r, diag.text);
        return;
    }
    atomic_fetch_add(&server->received_bytes, data->data.len);
    take->touched_ms = now_ms;
    bulk_follow(server, take);
    reply_ready(server, take, store_partial_offset(take->partial));
}

void bulk_on_put_done(struct bulk_server *server, const struct link_peer *peer, const Wire__PutDone *done,
                      int64_t now_ms)
{
    struct digest digest = wire_get_digest(&done->digest);
    struct bulk_take *take = receiving(server, peer, &digest);
    if (take == NULL)
        return;
    if (store_partial_offset(take->partial) != take->stored_size) {
        give_up(server, take, FARM_E_STATE, "PutDone before all bytes had arrived");
        return;
    }
    take->touched_ms = now_ms;
    submit(server, take, VIEW_NONE);
}

/* ---- committing ---- */

static void finish(struct bulk_server *server, struct bulk_commit *commit)
{
    const struct bulk_server_options *o = &server->options;
    struct bulk_take *take = commit->take;
    if (commit->result < 0) {
        give_up(server, take, commit->result, diag_text(&commit->diag, commit->result));
        return;
    }
    atomic_fetch_add(&server->stored, 1);
    if (o->present != NULL)
        o->present(o->context, take->peer.user, &take->digest, take->stored_size);
    reply_stored(server, &take->peer, &take->digest);
    for (size_t i = 0; i < take->nwaiting; i++)
        reply_stored(server, &take->waiting[i], &take->digest);
    remove_take(server, take);
}

void bulk_on_committed(struct bulk_server *server)
{
    eventfd_t ignored;
    (void)!eventfd_read(server->done_fd, &ignored);
    for (struct bulk_commit *commit; (commit = bulk_hands_result(server)) != NULL;) {
        finish(server, commit);
        bulk_commit_free(commit);
    }
}

/* ---- sweeping ---- */

static void sweep_one(struct bulk_server *server, struct bulk_take *take, int64_t now_ms)
{
    int64_t silent = now_ms - take->touched_ms;
    switch (take->state) {
    case TAKE_RECEIVING:
        if (silent <= BULK_IDLE_MS)
            return;
        abandon(server, take);
        return;
    case TAKE_COMMITTING:
        if (silent <= BULK_SIGN_OF_LIFE_MS)
            return;
        take->touched_ms = now_ms;
        reply_ready(server, take, take->stored_size);
        return;
    case TAKE_ABANDONED:
        if (silent > BULK_ABANDONED_MS)
            remove_take(server, take);
        return;
    }
}

void bulk_take_expire(struct bulk_server *server, int64_t now_ms)
{
    for (size_t i = server->ntakes; i-- > 0;)
        sweep_one(server, server->takes[i], now_ms);
}

void bulk_take_done(struct bulk_server *server)
{
    while (server->ntakes > 0)
        remove_take(server, server->takes[0]);
    free(server->takes);
}
