/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bulk server's thread: requests in, a chunk for everybody in turn, sweeping up. It blocks nowhere but in link_poll, and
 * for the milliseconds that a hand takes to lay an upload down.
 */
#include "bulk_private.h"

#include "farmlog.h"
#include "moment.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    REQUESTS_PER_TURN = 64, /* so that a flood of requests does not stop the sending */
    SWEEP_MS = 1000,
    STUCK_WAIT_MS = 10 /* every peer's queue is full: look again after this */
};

/* ---- answers ---- */

void bulk_reply(struct bulk_server *server, const struct link_peer *peer, int type,
                const ProtobufCMessage *body)
{
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int r = wire_encode(type, body, &frame, &diag);
    if (r >= 0)
        r = link_server_send_to(server->link, peer, &frame, &diag);
    if (r < 0 && r != FARM_E_UNKNOWN)
        log_event(LOG_LEVEL_DEBUG, "bulk: message not sent", log_text(FIELD_WORKER, peer->user),
                  log_text(FIELD_TYPE, wire_type_name(type)), log_text(FIELD_REASON, diag_text(&diag, r)));
    buf_done(&frame);
}

/* Our own codes travel as they are; the system's as "unavailable" with the text. */
static uint32_t code_of(int error)
{
    bool own = error >= FARM_E_USAGE && error < FARM_E_LAST;
    return (uint32_t) - (own ? error : (int)FARM_E_UNAVAILABLE);
}

void bulk_reply_error(struct bulk_server *server, const struct link_peer *peer, const struct digest *digest,
                      int error, const char *text)
{
    Wire__BulkError body = WIRE__BULK_ERROR__INIT;
    body.digest = wire_digest(digest);
    body.code = code_of(error);
    body.text = wire_text(text);
    bulk_reply(server, peer, WIRE_BULK_ERROR, &body.base);
}

bool bulk_visible(struct bulk_server *server, const char *user, const struct digest *digest)
{
    const struct bulk_server_options *o = &server->options;
    if (o->may_get != NULL && !o->may_get(o->context, user, digest))
        return false;
    if (!store_has(o->store, digest))
        return false;
    if (o->present == NULL)
        return true;
    o->present(o->context, user, digest, 0);
    return store_has(o->store, digest); /* a collection may have been faster than the pin */
}

/* ---- requests ---- */

static void on_have(struct bulk_server *server, const struct link_peer *peer, const Wire__Have *have)
{
    Wire__Missing missing = WIRE__MISSING__INIT;
    CLEANUP_FREE ProtobufCBinaryData *list = mem_zero(have->n_digests + 1, sizeof(*list));
    missing.digests = list;
    for (size_t i = 0; i < have->n_digests; i++) {
        struct digest digest = wire_get_digest(&have->digests[i]);
        if (!bulk_visible(server, peer->user, &digest))
            list[missing.n_digests++] = have->digests[i];
    }
    bulk_reply(server, peer, WIRE_MISSING, &missing.base);
}

static void dispatch(struct bulk_server *server, const struct link_peer *peer,
                     const struct wire_message *message)
{
    int64_t now = moment_steady_ms();
    switch ((enum wire_bulk_request)message->type) {
    case WIRE_GET:
        bulk_on_get(server, peer, message->get, now);
        return;
    case WIRE_HAVE:
        on_have(server, peer, message->have);
        return;
    case WIRE_PUT:
        bulk_on_put(server, peer, message->put, now);
        return;
    case WIRE_PUT_DATA:
        bulk_on_put_data(server, peer, message->put_data, now);
        return;
    case WIRE_PUT_DONE:
        bulk_on_put_done(server, peer, message->put_done, now);
        return;
    }
}

/* True if there was a request. */
static bool take_request(struct bulk_server *server)
{
    struct view frame;
    struct link_peer peer;
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    int r = link_server_receive_view(server->link, &peer, &frame, &diag);
    if (r < 0)
        log_warning("bulk: %s", diag_text(&diag, r));
    if (r <= 0)
        return false;
    r = wire_decode_over(WIRE_BULK_REQUEST, frame, &message, &diag);
    if (r < 0) {
        atomic_fetch_add(&server->bad_frames, 1);
        log_event(LOG_LEVEL_DEBUG, "bulk: what came is no request", log_text(FIELD_WORKER, peer.user),
                  log_text(FIELD_ADDRESS, peer.address), log_text(FIELD_REASON, diag_text(&diag, r)));
    } else {
        dispatch(server, &peer, message);
    }
    wire_free(message);
    return true;
}

/* ---- the thread ---- */

static void sweep(struct bulk_server *server, int64_t now_ms)
{
    bulk_send_expire(server, now_ms);
    bulk_take_expire(server, now_ms);
    struct link_server_stats stats = link_server_stats(server->link);
    pthread_mutex_lock(&server->stats_mutex);
    server->link_stats = stats;
    pthread_mutex_unlock(&server->stats_mutex);
}

static bool has_pending_sends(const struct bulk_server *server)
{
    for (size_t i = 0; i < server->nsends; i++)
        if (server->sends[i]->credit > 0 && !server->sends[i]->checking)
            return true;
    return false;
}

/* False when it is time to stop. */
static bool turn(struct bulk_server *server, int timeout_ms)
{
    struct link_poll_item items[] = {LINK_POLL_SERVER(server->link), LINK_POLL_FD(server->stop_fd, POLLIN),
                                     LINK_POLL_FD(server->done_fd, POLLIN)};
    struct diag diag = DIAG_INIT;
    int r = link_poll(items, ARRAY_SIZE(items), timeout_ms, &diag);
    if (r < 0) {
        log_error("bulk: %s", diag_text(&diag, r));
        return false;
    }
    if (items[1].readable)
        return false;
    if (items[2].readable) {
        bulk_on_committed(server);
        bulk_on_checked(server, moment_steady_ms());
    }
    for (int i = 0; i < REQUESTS_PER_TURN && take_request(server); i++)
        ;
    return true;
}

static void *run(void *argument)
{
    struct bulk_server *server = argument;
    int64_t sweep_at = moment_steady_ms() + SWEEP_MS;
    int timeout = SWEEP_MS;
    while (turn(server, timeout)) {
        int64_t now = moment_steady_ms();
        bool more = bulk_send_round(server, now);
        timeout = more ? 0 : has_pending_sends(server) ? STUCK_WAIT_MS : SWEEP_MS;
        if (now < sweep_at)
            continue;
        sweep(server, now);
        sweep_at = now + SWEEP_MS;
    }
    return NULL;
}

/* ---- life ---- */

static void set_defaults(struct bulk_server_options *o)
{
    o->link.frame_max = WIRE_BULK_MAX;
    o->link.queue_max = BULK_QUEUE;
    o->link.many = true;
    if (o->object_max == 0)
        o->object_max = STORE_OBJECT_MAX;
    if (o->user_bytes_max == 0)
        o->user_bytes_max = (uint64_t)64 << 30;
    if (o->user_puts_max == 0)
        o->user_puts_max = 16;
}

/* The hands and the checking thread. */
static void stop_helpers(struct bulk_server *server)
{
    pthread_mutex_lock(&server->mutex);
    server->stopping = true;
    pthread_cond_broadcast(&server->wake);
    pthread_cond_broadcast(&server->work);
    pthread_mutex_unlock(&server->mutex);
}

/* 'count' of the hands, and the checking thread if there is one. */
static void join_helpers(struct bulk_server *server, size_t count, bool checker)
{
    stop_helpers(server);
    for (size_t i = 0; i < count; i++)
        pthread_join(server->hands[i], NULL);
    if (checker)
        pthread_join(server->checker, NULL);
}

static int start_threads(struct bulk_server *server, struct diag *diag)
{
    size_t hands = 0;
    int error = 0;
    while (hands < BULK_HANDS && error == 0) {
        error = pthread_create(&server->hands[hands], NULL, bulk_hands_run, server);
        hands += error == 0;
    }
    bool checker =
        error == 0 && (error = pthread_create(&server->checker, NULL, bulk_check_run, server)) == 0;
    if (checker)
        error = pthread_create(&server->thread, NULL, run, server);
    if (error == 0)
        return 0;
    join_helpers(server, hands, checker);
    return diag_set(diag, -error, "bulk server: cannot start a thread: %s", strerror(error));
}

static struct bulk_server *discard(struct bulk_server *server)
{
    bulk_send_done(server);
    bulk_hands_done(server);
    bulk_take_done(server);
    bulk_check_done(server);
    link_server_free(server->link);
    mem_close_p(&server->stop_fd);
    mem_close_p(&server->done_fd);
    pthread_mutex_destroy(&server->mutex);
    pthread_mutex_destroy(&server->stats_mutex);
    pthread_cond_destroy(&server->wake);
    pthread_cond_destroy(&server->work);
    pthread_cond_destroy(&server->rested);
    free(server);
    return NULL;
}

static int start(struct bulk_server *server, struct diag *diag)
{
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0 || server->done_fd < 0)
        return diag_errno(diag, "bulk server: eventfd");
    int r = link_server_new(&server->options.link, &server->link, diag);
    return r < 0 ? r : start_threads(server, diag);
}

int bulk_server_new(const struct bulk_server_options *options, struct bulk_server **ret, struct diag *diag)
{
    struct bulk_server *server = mem_zero(1, sizeof(*server));
    server->options = *options;
    set_defaults(&server->options);
    server->stop_fd = server->done_fd = -1;
    server->to_commit.last = &server->to_commit.first;
    server->committed.last = &server->committed.first;
    pthread_mutex_init(&server->mutex, NULL);
    pthread_mutex_init(&server->stats_mutex, NULL);
    pthread_cond_init(&server->wake, NULL);
    pthread_cond_init(&server->work, NULL);
    pthread_cond_init(&server->rested, NULL);
    int r = start(server, diag);
    if (r < 0) {
        discard(server);
        return r;
    }
    *ret = server;
    return 0;
}

struct bulk_server *bulk_server_free(struct bulk_server *server)
{
    if (server == NULL)
        return NULL;
    (void)!eventfd_write(server->stop_fd, 1);
    pthread_join(server->thread, NULL);
    join_helpers(server, BULK_HANDS, true);
    return discard(server);
}

const char *bulk_server_endpoint(const struct bulk_server *server)
{
    return link_server_endpoint(server->link);
}

struct bulk_server_stats bulk_server_stats(struct bulk_server *server)
{
    struct bulk_server_stats stats = {
        .sent_bytes = atomic_load(&server->sent_bytes),
        .received_bytes = atomic_load(&server->received_bytes),
        .stored = atomic_load(&server->stored),
        .refused = atomic_load(&server->refused),
        .bad_frames = atomic_load(&server->bad_frames),
    };
    pthread_mutex_lock(&server->stats_mutex);
    stats.link = server->link_stats;
    pthread_mutex_unlock(&server->stats_mutex);
    return stats;
}
