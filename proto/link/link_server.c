/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The server: a context of its own (the ZAP handler's address is per context, so each server asks its own gate), the ZAP
 * handler, the ROUTER socket, and a table of each user's current connection.
 *
 * A ROUTER message arrives as [routing id][frame]. The routing id is libzmq's: a zero byte and a counter. Peers may ask for ids of their
 * own choice, which never begin with zero; such connections are ignored (N5), so nobody can take a name or a route.
 */
#include "link_private.h"

#include "map.h"
#include "moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ENDPOINT_MAX = 256,
    BACKLOG =
        4096, /* the kernel's queue of connections: a flood of idle ones shall not keep workers out (N3) */
    DROPS_PER_CALL = 64, /* bad messages skipped before the caller gets its turn */
    REBIND_TRIES = 100,  /* of 20 ms: libzmq closes a listening socket in the background */
    REBIND_WAIT_US = 20000
};

/* A user's current connection. */
struct session {
    uint64_t serial;
    struct link_peer peer; /* of its newest message */
    bool dropped;          /* by link_server_drop: silent until a newer one */
};

struct link_server {
    struct link_server_options options;
    unsigned char secret_key[LINK_KEY_SIZE];
    char endpoint[ENDPOINT_MAX];
    void *context, *socket;
    struct link_zap *zap;
    struct link_guard *guard;
    struct map *sessions; /* user -> struct session; unused when options.many */
    struct link_server_stats stats;
    zmq_msg_t held; /* what link_server_receive_view gave out */
};

/* ---- starting ---- */

static int set_curve(struct link_server *server, struct diag *diag)
{
    int r = link_set_number(server->socket, ZMQ_CURVE_SERVER, 1, "ZMQ_CURVE_SERVER", diag);
    if (r >= 0)
        r = link_set_bytes(server->socket, ZMQ_CURVE_SECRETKEY, server->secret_key, LINK_KEY_SIZE,
                           "ZMQ_CURVE_SECRETKEY", diag);
    if (r >= 0)
        r = link_set_bytes(server->socket, ZMQ_ZAP_DOMAIN, LINK_ZAP_DOMAIN, strlen(LINK_ZAP_DOMAIN),
                           "ZMQ_ZAP_DOMAIN", diag);
    if (r >= 0)
        r = link_set_number(server->socket, ZMQ_ZAP_ENFORCE_DOMAIN, 1, "ZMQ_ZAP_ENFORCE_DOMAIN", diag);
    return r;
}

static int set_router(struct link_server *server, struct diag *diag)
{
    const struct link_server_options *o = &server->options;
    int handshake = o->handshake_ms > 0 ? o->handshake_ms : LINK_HANDSHAKE_DEFAULT_MS;
    int r = link_set_common(server->socket, o->frame_max, o->queue_max, o->heartbeat_ms, diag);
    if (r >= 0)
        r = link_set_number(server->socket, ZMQ_ROUTER_MANDATORY, 1, "ZMQ_ROUTER_MANDATORY", diag);
    if (r >= 0)
        r = link_set_number(server->socket, ZMQ_HANDSHAKE_IVL, handshake, "ZMQ_HANDSHAKE_IVL", diag);
    if (r >= 0)
        r = link_set_number(server->socket, ZMQ_BACKLOG, BACKLOG, "ZMQ_BACKLOG", diag);
    return r;
}

static int bind_socket(struct link_server *server, const char *endpoint, struct diag *diag)
{
    size_t size = sizeof(server->endpoint);
    if (zmq_bind(server->socket, endpoint) < 0) {
        int r = link_error(diag, endpoint);
        return diag_wrap(diag, r == -EADDRINUSE ? -EADDRINUSE : FARM_E_UNAVAILABLE, "cannot listen");
    }
    if (zmq_getsockopt(server->socket, ZMQ_LAST_ENDPOINT, server->endpoint, &size) < 0)
        return link_error(diag, "ZMQ_LAST_ENDPOINT");
    return 0;
}

static int open_socket(struct link_server *server, const char *endpoint, struct diag *diag)
{
    server->socket = zmq_socket(server->context, ZMQ_ROUTER);
    if (server->socket == NULL)
        return link_error(diag, "server socket");
    int r = set_curve(server, diag);
    if (r >= 0)
        r = set_router(server, diag);
    /* Only where it is asked for: a plain IPv4 address would be reported in its IPv6 form. "*" is both. */
    bool six = strchr(endpoint, '[') != NULL || strstr(endpoint, "://*:") != NULL;
    if (r >= 0)
        r = link_set_number(server->socket, ZMQ_IPV6, six, "ZMQ_IPV6", diag);
    return r < 0 ? r : bind_socket(server, endpoint, diag);
}

static int check(struct link_server *server, struct diag *diag)
{
    unsigned char public_key[LINK_KEY_SIZE];
    int r = link_public_key(server->secret_key, public_key, diag);
    return r < 0 ? r : link_check_refuses_strangers(server->endpoint, public_key, diag);
}

static int open_guard(struct link_server *server, struct diag *diag)
{
    const struct link_server_options *o = &server->options;
    return link_guard_new(server->endpoint, o->frame_max,
                          o->queue_max > 0 ? o->queue_max : LINK_QUEUE_DEFAULT,
                          o->waiting_max > 0 ? o->waiting_max : LINK_WAITING_DEFAULT, &server->guard, diag);
}

static int start(struct link_server *server, struct diag *diag)
{
    server->context = zmq_ctx_new();
    if (server->context == NULL)
        return link_error(diag, "libzmq");
    /* The handler first: a socket that exists before it would be guarded by nothing but ENFORCE_DOMAIN. */
    int r = link_zap_new(server->context, server->options.gate, &server->zap, diag);
    if (r >= 0)
        r = open_socket(server, server->options.endpoint, diag);
    if (r >= 0)
        r = open_guard(server, diag);
    return r < 0 ? r : check(server, diag);
}

int link_server_new(const struct link_server_options *options, struct link_server **ret, struct diag *diag)
{
    struct link_server *server = mem_zero(1, sizeof(*server));
    server->options = *options;
    zmq_msg_init(&server->held);
    memcpy(server->secret_key, options->secret_key, LINK_KEY_SIZE);
    server->sessions = map_new();
    int r = start(server, diag);
    if (r < 0) {
        link_server_free(server);
        return r;
    }
    server->options.endpoint = NULL; /* the caller's; server->endpoint is what counts from here on */
    server->options.secret_key = NULL;
    *ret = server;
    return 0;
}

static void forget_sessions(struct link_server *server)
{
    struct view user;
    void *session;
    size_t cursor = 0;
    while (map_next(server->sessions, &cursor, &user, &session))
        free(map_remove(server->sessions, user));
}

struct link_server *link_server_free(struct link_server *server)
{
    if (server == NULL)
        return NULL;
    link_guard_free(server->guard);
    zmq_msg_close(&server->held);
    if (server->socket != NULL)
        zmq_close(server->socket);
    link_zap_free(server->zap);
    if (server->context != NULL)
        zmq_ctx_term(server->context);
    forget_sessions(server);
    map_free(server->sessions);
    explicit_bzero(server->secret_key, sizeof(server->secret_key));
    free(server);
    return NULL;
}

int link_server_reset(struct link_server *server, struct diag *diag)
{
    char endpoint[ENDPOINT_MAX];
    int r = -EADDRINUSE;
    memcpy(endpoint, server->endpoint, sizeof(endpoint));
    forget_sessions(server);
    for (int i = 0; i < REBIND_TRIES && r == -EADDRINUSE; i++) {
        if (server->socket != NULL)
            zmq_close(server->socket);
        if (i > 0)
            usleep(REBIND_WAIT_US);
        r = open_socket(server, endpoint, diag);
    }
    return r;
}

const char *link_server_endpoint(const struct link_server *server)
{
    return server->endpoint;
}

void *link_server_socket(struct link_server *server)
{
    return server->socket;
}

struct link_server_stats link_server_stats(const struct link_server *server)
{
    struct link_server_stats stats = server->stats;
    link_zap_count(server->zap, &stats.handshakes, &stats.refused);
    stats.cut = link_guard_count(server->guard);
    return stats;
}

/* ---- receiving ---- */

/* "serial:user" into its halves. It is our own handler's text. */
static bool parse_user_id(const char *text, struct link_peer *peer)
{
    char *colon;
    if (text == NULL)
        return false;
    peer->session = strtoull(text, &colon, 10);
    size_t size = strlen(colon);
    if (*colon != ':' || size < 2 || size > sizeof(peer->user))
        return false;
    memcpy(peer->user, colon + 1, size);
    return true;
}

static void set_address(zmq_msg_t *message, struct link_peer *peer)
{
    const char *address = zmq_msg_gets(message, "Peer-Address");
    snprintf(peer->address, sizeof(peer->address), "%s", address != NULL ? address : "");
}

static bool is_own_route(zmq_msg_t *route)
{
    return zmq_msg_size(route) == LINK_ROUTE_SIZE && *(const char *)zmq_msg_data(route) == '\0';
}

/* Is this the user's current connection, or a newer one, which then becomes it? */
static bool is_current(struct link_server *server, const struct link_peer *peer)
{
    struct session *session = map_get(server->sessions, view_text(peer->user));
    if (session != NULL &&
        (peer->session < session->serial || (peer->session == session->serial && session->dropped)))
        return false;
    if (session != NULL && peer->session == session->serial)
        return true;
    if (session == NULL) {
        session = mem_zero(1, sizeof(*session));
        map_set(server->sessions, view_text(peer->user), session);
    }
    session->serial = peer->session;
    session->dropped = false;
    session->peer = *peer;
    return true;
}

/* May this message pass? Counts the reason if not. */
static bool judge(struct link_server *server, zmq_msg_t *route, zmq_msg_t *frame, struct link_peer *peer)
{
    if (!is_own_route(route) || !parse_user_id(zmq_msg_gets(frame, "User-Id"), peer)) {
        server->stats.dropped_shape++;
        return false;
    }
    memcpy(peer->route, zmq_msg_data(route), LINK_ROUTE_SIZE);
    peer->fd = zmq_msg_get(frame, ZMQ_SRCFD);
    set_address(frame, peer);
    if (!link_gate_holds(server->options.gate, peer->user, peer->session)) {
        server->stats.dropped_revoked++;
        return false;
    }
    if (!server->options.many && !is_current(server, peer)) {
        server->stats.dropped_stale++;
        return false;
    }
    return true;
}

static int receive_one(struct link_server *server, zmq_msg_t *route, zmq_msg_t *frame, struct diag *diag)
{
    if (zmq_msg_recv(route, server->socket, ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() == EAGAIN || zmq_errno() == EINTR)
            return 0;
        return link_error(diag, "receiving");
    }
    if (!zmq_msg_more(route) || zmq_msg_recv(frame, server->socket, ZMQ_DONTWAIT) < 0)
        return -EBADMSG;
    return link_skip_frames(server->socket) > 0 ? -EBADMSG : 1;
}

/* 1: server->held is a message; 0: nothing there; -EBADMSG: one was dropped. */
static int receive(struct link_server *server, struct link_peer *ret_from, struct diag *diag)
{
    zmq_msg_t route;
    struct link_peer peer = {0};
    zmq_msg_init(&route);
    int r = receive_one(server, &route, &server->held, diag);
    if (r == -EBADMSG)
        server->stats.dropped_shape++;
    if (r == 1 && !judge(server, &route, &server->held, &peer))
        r = -EBADMSG;
    if (r == 1) {
        link_guard_heard(server->guard, &peer, zmq_msg_size(&server->held));
        *ret_from = peer;
        server->stats.frames++;
    }
    zmq_msg_close(&route);
    return r;
}

/* libzmq's message becomes an empty one. */
static void let_go(struct link_server *server)
{
    zmq_msg_close(&server->held);
    zmq_msg_init(&server->held);
}

int link_server_receive_view(struct link_server *server, struct link_peer *ret_from, struct view *ret_frame,
                             struct diag *diag)
{
    int r = -EBADMSG;
    for (int i = 0; i < DROPS_PER_CALL && r == -EBADMSG; i++) {
        let_go(server);
        r = receive(server, ret_from, diag);
    }
    if (r == 1)
        *ret_frame = link_message_view(&server->held);
    else
        let_go(server);
    return r == -EBADMSG ? 0 : r;
}

int link_server_receive(struct link_server *server, struct link_peer *ret_from, struct buf *ret_frame,
                        struct diag *diag)
{
    struct view frame;
    int r = link_server_receive_view(server, ret_from, &frame, diag);
    if (r == 1)
        link_message_copy(&server->held, ret_frame);
    let_go(server);
    return r;
}

/* ---- sending ---- */

static int not_connected(struct diag *diag, const char *user)
{
    return diag_set(diag, FARM_E_UNKNOWN, "%s is not connected", user);
}

/* The message is consumed on success only. */
static int send_message(struct link_server *server, const struct link_peer *peer, zmq_msg_t *message,
                        struct diag *diag)
{
    size_t size = zmq_msg_size(message);
    /* With ROUTER_MANDATORY this call is where a missing peer or a full queue shows. */
    if (zmq_send(server->socket, peer->route, LINK_ROUTE_SIZE, ZMQ_DONTWAIT | ZMQ_SNDMORE) < 0) {
        int error = zmq_errno();
        if (error == EHOSTUNREACH)
            return not_connected(diag, peer->user);
        return diag_set(diag, error == EINTR ? -EAGAIN : -error, "sending to %s: %s", peer->user,
                        zmq_strerror(error));
    }
    if (zmq_msg_send(message, server->socket, ZMQ_DONTWAIT) < 0)
        return link_error(diag, "sending");
    link_guard_sent(server->guard, peer, size);
    return 0;
}

int link_server_send(struct link_server *server, const char *user, struct view frame, struct diag *diag)
{
    struct session *session = map_get(server->sessions, view_text(user));
    zmq_msg_t message;
    if (session == NULL || session->dropped || !link_gate_holds(server->options.gate, user, session->serial))
        return not_connected(diag, user);
    if (zmq_msg_init_size(&message, frame.size) < 0)
        abort(); /* out of memory */
    if (frame.size > 0)
        memcpy(zmq_msg_data(&message), frame.data, frame.size);
    int r = send_message(server, &session->peer, &message, diag);
    if (r < 0)
        zmq_msg_close(&message);
    if (r == FARM_E_UNKNOWN)
        session->dropped = true; /* gone; a newer connection will replace it */
    return r;
}

int link_server_send_to(struct link_server *server, const struct link_peer *peer, struct buf *frame,
                        struct diag *diag)
{
    zmq_msg_t message;
    if (!link_gate_holds(server->options.gate, peer->user, peer->session)) {
        buf_clear(frame);
        return not_connected(diag, peer->user);
    }
    link_message_from(&message, frame);
    int r = send_message(server, peer, &message, diag);
    if (r == -EAGAIN)
        link_message_return(&message, frame);
    else if (r < 0)
        zmq_msg_close(&message);
    return r;
}

bool link_server_must_wait(const struct link_server *server, const struct link_peer *peer, size_t size)
{
    return link_guard_must_wait(server->guard, peer, size);
}

void link_server_drop(struct link_server *server, const char *user)
{
    struct session *session = map_get(server->sessions, view_text(user));
    if (session != NULL)
        session->dropped = true;
}
