/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of link share. zmq.h appears here and nowhere else outside this directory.
 */
#ifndef FARM_LINK_PRIVATE_H
#define FARM_LINK_PRIVATE_H

#include "link.h"

#include <stdatomic.h>
#include <zmq.h>

/*
 * Refuse handshakes when the ZAP domain is empty or no handler is bound, instead of admitting everybody (N2). Implemented by
 * every libzmq since 4.3.0, but its name stands only in the draft part of zmq.h.
 */
#ifndef ZMQ_ZAP_ENFORCE_DOMAIN
#define ZMQ_ZAP_ENFORCE_DOMAIN 93
#endif

enum {
    LINK_Z85_SIZE = 41,  /* a key in Z85, with its NUL */
    LINK_ROUTE_SIZE = 5, /* a routing id that libzmq made: a zero byte and a counter */
    LINK_QUEUE_DEFAULT = 64,
    LINK_HANDSHAKE_DEFAULT_MS = 5000,
    LINK_HEARTBEAT_DEFAULT_MS = 10000,
    /* What CURVE adds to a frame (command name 8, nonce 8, authenticator 16, flags 1): MAXMSGSIZE counts it too. */
    LINK_CURVE_OVERHEAD = 33,
    LINK_WAITING_DEFAULT = 256 * 1024 * 1024, /* a sixteenth of the MemoryMax that the unit sets */
    LINK_HEARTBEATS_LOST = 3,                 /* a peer that was silent for so many is gone */
    /* "serial:user", what the ZAP handler binds to a connection. */
    LINK_USER_ID_MAX = 20 + 1 + LINK_USER_MAX + 1
};

#define LINK_ZAP_DOMAIN "farm"

/* ---- link_gate.c ---- */

/* A handshake: false if the key is unknown; else the User-Id for this connection. */
bool link_gate_handshake(struct link_gate *gate, const unsigned char *key, size_t size,
                         char ret_user_id[LINK_USER_ID_MAX]);
/* Is this user admitted, and was it when this connection was made? */
bool link_gate_holds(struct link_gate *gate, const char *user, uint64_t session);

/* ---- link_zap.c ---- */

struct link_zap;

/* Binds the handler in this context and starts its thread. */
int link_zap_new(void *context, struct link_gate *gate, struct link_zap **ret, struct diag *diag) MUST_USE;
struct link_zap *link_zap_free(struct link_zap *zap); /* ends the thread; accepts NULL, returns NULL */
void link_zap_count(struct link_zap *zap, uint64_t *ret_admitted, uint64_t *ret_refused);

/* ---- link_guard.c ---- */

struct link_guard;

/* Watches the server's connections from a thread of its own. 'queue': messages of frame_max that one connection may have waiting;
 * 'budget': bytes that all may have waiting together. */
int link_guard_new(const char *endpoint, size_t frame_max, int queue, uint64_t budget,
                   struct link_guard **ret, struct diag *diag) MUST_USE;
struct link_guard *link_guard_free(struct link_guard *guard); /* accepts NULL, returns NULL */
/* A good message of this size came from the peer; only those count, so who sends nothing else ends some day. */
void link_guard_heard(struct link_guard *guard, const struct link_peer *peer, size_t size);
/* A message of this size was queued for the peer. */
void link_guard_sent(struct link_guard *guard, const struct link_peer *peer, size_t size);
/* Half of the budget is used, and this peer has more than 'size' bytes to read already: others first. */
bool link_guard_must_wait(struct link_guard *guard, const struct link_peer *peer, size_t size);
/* Connections that it ended. */
uint64_t link_guard_count(struct link_guard *guard);

/* ---- shared helpers (link_socket.c) ---- */

/* What a frame takes on the wire: ZMTP's flags and length, and what CURVE adds. */
size_t link_wire_size(size_t frame);

/* diag_errno with libzmq's own numbers and texts. */
int link_error(struct diag *diag, const char *what);
int link_set_number(void *socket, int option, int value, const char *name, struct diag *diag) MUST_USE;
int link_set_bytes(void *socket, int option, const void *data, size_t size, const char *name,
                   struct diag *diag) MUST_USE;
/* Limits, the kernel's watch over silent connections, and queue lengths that both ends set alike. */
int link_set_common(void *socket, size_t frame_max, int queue_max, int heartbeat_ms,
                    struct diag *diag) MUST_USE;
/* Heartbeats of ZMTP, which also find a server that hangs. For clients alone: with them libzmq keeps timers for each connection, and
 * looks through all of them whenever one is cancelled, which is quadratic in the connections of a server. */
int link_set_heartbeat(void *socket, int heartbeat_ms, struct diag *diag) MUST_USE;
/* Drops the remaining frames of the message being received; returns how many there were. */
size_t link_skip_frames(void *socket);
/* The message's bytes, where they are. */
struct view link_message_view(zmq_msg_t *message);
/* Replaces the buffer's content. */
void link_message_copy(zmq_msg_t *message, struct buf *ret);
/* A message over the buffer's own memory; the buffer is empty afterwards. */
void link_message_from(zmq_msg_t *message, struct buf *frame);
/* Gives the memory back to the buffer after a send that did not happen. */
void link_message_return(zmq_msg_t *message, struct buf *frame);

/* ---- for link_poll.c ---- */

void *link_server_socket(struct link_server *server);
/* NULL while it waits to connect again. */
void *link_client_socket(struct link_client *client);
void *link_client_monitor(struct link_client *client);
/* Milliseconds until it wants to connect again or to give an attempt up; -1: it waits for nothing but messages. */
int link_client_wait_ms(const struct link_client *client, int64_t now_ms);
/* The last attempt ended because the server's gate said no. */
bool link_client_was_refused(const struct link_client *client);

/* ---- link_check.c ---- */

/* Connects with a key nobody knows: 0 if that is refused. */
int link_check_refuses_strangers(const char *endpoint, const unsigned char *server_key,
                                 struct diag *diag) MUST_USE;

#endif
