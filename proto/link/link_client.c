/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The client: a DEALER socket, its monitor, and our own reconnecting.
 *
 * libzmq would reconnect by itself, but it says nothing about why it failed, and after some refusals it stops for good. So
 * each attempt is a fresh socket that never reconnects; the monitor's events drive four states, and the next attempt
 * waits with a doubling delay. An attempt has a deadline of its own, because libzmq reports nothing at all when a name
 * cannot be resolved. Attempts alternate between IPv4 and IPv6: libzmq takes one address of a name only, and
 * a server that listens on 0.0.0.0 is not found at the ::1 of "localhost".
 */
#include "link_private.h"

#include "moment.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    ENDPOINT_MAX = 256,
    CONNECT_DEFAULT_MS = 10000,
    RETRY_DEFAULT_MS = 200,
    RETRY_MAX_DEFAULT_MS = 15000,
    MONITOR_FRAME_MAX = 256
};

enum state {
    WAITING,    /* no socket; until due_ms */
    CONNECTING, /* TCP; at most until due_ms */
    SHAKING,    /* TCP stands; CURVE and the server's gate decide; at most until due_ms */
    UP
};

struct link_client {
    struct link_client_options options;
    char endpoint[ENDPOINT_MAX];
    unsigned char server_key[LINK_KEY_SIZE], secret_key[LINK_KEY_SIZE], public_key[LINK_KEY_SIZE];
    void *context, *socket, *monitor;
    zmq_msg_t held; /* what link_client_next_view gave out */
    enum state state;
    bool refused; /* the last attempt, by the server's gate */
    int64_t due_ms;
    int delay_ms;      /* of the next wait */
    uint64_t attempts; /* also names the monitor's address */
};

/* ---- one attempt ---- */

/*
 * Monitoring ends first. Closing is asynchronous: libzmq's thread may still have an event to tell (after a refused handshake it always
 * has), and telling it to a pair whose other end is closed can block that thread, and with it every later attempt.
 */
static void close_sockets(struct link_client *client)
{
    if (client->socket != NULL && client->monitor != NULL)
        (void)zmq_socket_monitor(client->socket, NULL, 0);
    if (client->socket != NULL)
        zmq_close(client->socket);
    if (client->monitor != NULL)
        zmq_close(client->monitor);
    client->socket = client->monitor = NULL;
}

static int set_options(struct link_client *client, struct diag *diag)
{
    const struct link_client_options *o = &client->options;
    void *socket = client->socket;
    int r = link_set_common(socket, o->frame_max, o->queue_max, o->heartbeat_ms, diag);
    if (r >= 0)
        r = link_set_heartbeat(socket, o->heartbeat_ms, diag);
    if (r >= 0)
        r = link_set_bytes(socket, ZMQ_CURVE_SERVERKEY, client->server_key, LINK_KEY_SIZE,
                           "ZMQ_CURVE_SERVERKEY", diag);
    if (r >= 0)
        r = link_set_bytes(socket, ZMQ_CURVE_PUBLICKEY, client->public_key, LINK_KEY_SIZE,
                           "ZMQ_CURVE_PUBLICKEY", diag);
    if (r >= 0)
        r = link_set_bytes(socket, ZMQ_CURVE_SECRETKEY, client->secret_key, LINK_KEY_SIZE,
                           "ZMQ_CURVE_SECRETKEY", diag);
    if (r >= 0)
        r = link_set_number(socket, ZMQ_RECONNECT_IVL, -1, "ZMQ_RECONNECT_IVL", diag);
    if (r >= 0)
        r = link_set_number(socket, ZMQ_CONNECT_TIMEOUT, o->connect_ms, "ZMQ_CONNECT_TIMEOUT", diag);
    if (r >= 0)
        r = link_set_number(socket, ZMQ_HANDSHAKE_IVL, o->connect_ms, "ZMQ_HANDSHAKE_IVL", diag);
    bool six = strchr(client->endpoint, '[') != NULL || client->attempts % 2 == 0;
    return r < 0 ? r : link_set_number(socket, ZMQ_IPV6, six, "ZMQ_IPV6", diag);
}

static int open_monitor(struct link_client *client, struct diag *diag)
{
    char address[64];
    int events = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_DISCONNECTED |
                 ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                 ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    snprintf(address, sizeof(address), "inproc://monitor-%" PRIu64, client->attempts);
    if (zmq_socket_monitor(client->socket, address, events) < 0)
        return link_error(diag, "monitor");
    client->monitor = zmq_socket(client->context, ZMQ_PAIR);
    if (client->monitor == NULL)
        return link_error(diag, "monitor socket");
    int r = link_set_number(client->monitor, ZMQ_LINGER, 0, "ZMQ_LINGER", diag);
    if (r >= 0 && zmq_connect(client->monitor, address) < 0)
        r = link_error(diag, "monitor");
    return r;
}

static int open_sockets(struct link_client *client, struct diag *diag)
{
    client->attempts++;
    client->socket = zmq_socket(client->context, ZMQ_DEALER);
    if (client->socket == NULL)
        return link_error(diag, "client socket");
    int r = set_options(client, diag);
    if (r >= 0)
        r = open_monitor(client, diag);
    if (r >= 0 && zmq_connect(client->socket, client->endpoint) < 0)
        r = diag_wrap(diag, link_error(diag, client->endpoint), "cannot connect (expected tcp://host:port)");
    if (r < 0) {
        close_sockets(client);
        return r;
    }
    client->state = CONNECTING;
    client->due_ms = moment_steady_ms() + client->options.connect_ms;
    return 0;
}

/* ---- life ---- */

static int start(struct link_client *client, struct diag *diag)
{
    int r = link_public_key(client->secret_key, client->public_key, diag);
    if (r < 0)
        return r;
    client->context = zmq_ctx_new();
    return client->context != NULL ? open_sockets(client, diag) : link_error(diag, "libzmq");
}

static void set_defaults(struct link_client *client)
{
    struct link_client_options *o = &client->options;
    if (o->connect_ms <= 0)
        o->connect_ms = CONNECT_DEFAULT_MS;
    if (o->retry_ms <= 0)
        o->retry_ms = RETRY_DEFAULT_MS;
    if (o->retry_max_ms <= 0)
        o->retry_max_ms = RETRY_MAX_DEFAULT_MS;
    client->delay_ms = o->retry_ms;
}

int link_client_new(const struct link_client_options *options, struct link_client **ret, struct diag *diag)
{
    struct link_client *client = mem_zero(1, sizeof(*client));
    client->options = *options;
    zmq_msg_init(&client->held);
    set_defaults(client);
    snprintf(client->endpoint, sizeof(client->endpoint), "%s", options->endpoint);
    memcpy(client->server_key, options->server_key, LINK_KEY_SIZE);
    memcpy(client->secret_key, options->secret_key, LINK_KEY_SIZE);
    client->options.endpoint = NULL; /* the caller's */
    client->options.server_key = client->options.secret_key = NULL;
    int r = start(client, diag);
    if (r < 0) {
        link_client_free(client);
        return r;
    }
    *ret = client;
    return 0;
}

struct link_client *link_client_free(struct link_client *client)
{
    if (client == NULL)
        return NULL;
    close_sockets(client);
    zmq_msg_close(&client->held);
    if (client->context != NULL)
        zmq_ctx_term(client->context);
    explicit_bzero(client->secret_key, sizeof(client->secret_key));
    free(client);
    return NULL;
}

bool link_client_is_up(const struct link_client *client)
{
    return client->state == UP;
}

bool link_client_was_refused(const struct link_client *client)
{
    return client->refused;
}

void *link_client_socket(struct link_client *client)
{
    return client->socket;
}

void *link_client_monitor(struct link_client *client)
{
    return client->monitor;
}

int link_client_wait_ms(const struct link_client *client, int64_t now_ms)
{
    if (client->state == UP)
        return -1;
    return client->due_ms > now_ms ? (int)(client->due_ms - now_ms) : 0;
}

/* ---- what the monitor says ---- */

/* The event's number and value; false if there is none. */
static bool take_event(struct link_client *client, uint16_t *ret_event, uint32_t *ret_value)
{
    unsigned char frame[MONITOR_FRAME_MAX];
    int n = zmq_recv(client->monitor, frame, sizeof(frame), ZMQ_DONTWAIT);
    if (n < 0)
        return false;
    link_skip_frames(client->monitor); /* the address */
    if (n < 6)
        return false;
    memcpy(ret_event, frame, sizeof(*ret_event));
    memcpy(ret_value, frame + 2, sizeof(*ret_value));
    return true;
}

static const char *reason_of(enum state state, uint16_t event)
{
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
        return "the coordinator does not admit our key (not admitted yet, or revoked): ask its operator to "
               "admit this "
               "worker";
    if (event == ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL)
        return "what answers there speaks another protocol or mechanism: check the address in the join "
               "string";
    if (state == SHAKING)
        return "the encrypted handshake failed: the server's key is not the one in the join string, or it is "
               "no farm "
               "coordinator";
    return state == UP
               ? "the connection was lost"
               : "nobody answers there: is the name right, and the coordinator running and reachable?";
}

static int go_down(struct link_client *client, uint16_t event, struct diag *diag)
{
    diag_set(diag, FARM_E_UNAVAILABLE, "%s: %s", client->endpoint, reason_of(client->state, event));
    client->refused = event == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (client->state == UP)
        client->delay_ms = client->options.retry_ms;
    close_sockets(client);
    client->state = WAITING;
    client->due_ms = moment_steady_ms() + client->delay_ms;
    client->delay_ms = client->delay_ms < client->options.retry_max_ms / 2 ? client->delay_ms * 2
                                                                           : client->options.retry_max_ms;
    return LINK_DOWN;
}

static int on_event(struct link_client *client, uint16_t event, struct diag *diag)
{
    switch (event) {
    case ZMQ_EVENT_CONNECTED:
        client->state = SHAKING;
        return LINK_NOTHING;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        client->state = UP;
        return LINK_UP;
    default: /* all others that we asked for are ends */
        return go_down(client, event, diag);
    }
}

/* ---- the caller's side ---- */

static void let_go(struct link_client *client)
{
    zmq_msg_close(&client->held);
    zmq_msg_init(&client->held);
}

static int receive(struct link_client *client, struct diag *diag)
{
    if (zmq_msg_recv(&client->held, client->socket, ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() != EAGAIN && zmq_errno() != EINTR)
            return link_error(diag, "receiving");
        return LINK_NOTHING;
    }
    return link_skip_frames(client->socket) > 0 ? LINK_DROPPED : LINK_FRAME;
}

/* A wait or an attempt is over. */
static int on_due(struct link_client *client, struct diag *diag)
{
    if (client->state != WAITING)
        return go_down(client, 0, diag);
    int r = open_sockets(client, diag);
    return r < 0 ? r : LINK_NOTHING;
}

int link_client_next_view(struct link_client *client, struct view *ret_frame, struct diag *diag)
{
    uint16_t event;
    uint32_t value;
    let_go(client);
    /* What was received before the connection ended is delivered before its end is. */
    int r = client->state == UP ? receive(client, diag) : LINK_NOTHING;
    if (r == LINK_FRAME)
        *ret_frame = link_message_view(&client->held);
    while (r == LINK_NOTHING && client->socket != NULL && take_event(client, &event, &value))
        r = on_event(client, event, diag);
    if (r == LINK_NOTHING && link_client_wait_ms(client, moment_steady_ms()) == 0)
        r = on_due(client, diag);
    return r;
}

int link_client_next(struct link_client *client, struct buf *ret_frame, struct diag *diag)
{
    struct view frame;
    int r = link_client_next_view(client, &frame, diag);
    if (r == LINK_FRAME)
        link_message_copy(&client->held, ret_frame);
    let_go(client);
    return r;
}

static int send_message(struct link_client *client, zmq_msg_t *message, struct diag *diag)
{
    if (client->state != UP)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s: not connected", client->endpoint);
    if (zmq_msg_send(message, client->socket, ZMQ_DONTWAIT) >= 0)
        return 0;
    return zmq_errno() == EINTR ? -EAGAIN : link_error(diag, "sending");
}

int link_client_send(struct link_client *client, struct view frame, struct diag *diag)
{
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, frame.size) < 0)
        abort(); /* out of memory */
    if (frame.size > 0)
        memcpy(zmq_msg_data(&message), frame.data, frame.size);
    int r = send_message(client, &message, diag);
    if (r < 0)
        zmq_msg_close(&message);
    return r;
}

int link_client_send_buf(struct link_client *client, struct buf *frame, struct diag *diag)
{
    zmq_msg_t message;
    link_message_from(&message, frame);
    int r = send_message(client, &message, diag);
    if (r == -EAGAIN)
        link_message_return(&message, frame);
    else if (r < 0)
        zmq_msg_close(&message);
    return r;
}
