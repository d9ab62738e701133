/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Link: encrypted sockets; the only user of zmq.h. Frames go in and come out as bytes; what they mean is wire's.
 *
 * Three things:
 *
 *   gate     who may talk to us: CURVE public key -> user (a worker's name). May be changed at any time, by any thread.
 *   server   a CURVE ROUTER socket behind a gate. A ZAP handler of its own answers each handshake from the gate; it is
 *            bound before the socket exists, libzmq is told to refuse whoever has no handler to ask, and before the
 *            server is handed out it has been seen to refuse an unknown key.
 *   client   a CURVE DEALER with a pinned server key, which reconnects by itself and says in words why it cannot.
 *
 * Identity is the user that the ZAP handler bound to the handshake, never a routing id. Every message is checked against the
 * gate again, so that a revoked user's messages stop at once although its connection may still stand. Each
 * handshake has a serial number; a user's newer connection replaces the older one, whose later messages are dropped.
 *
 * One message is one frame. Everything else (several frames, over-long ones, other mechanisms, unknown keys) is dropped and
 * counted, or cut by libzmq. What libzmq does not bound (one message of endlessly many frames, a queue in each of very many
 * connections) a guard does: see link_guard.c. Whom it cuts comes back by itself, if honest.
 *
 * Sockets are not thread-safe: one thread per server or client. The gate is.
 */
#ifndef FARM_LINK_H
#define FARM_LINK_H

#include "buf.h"
#include "diag.h"
#include "view.h"

enum {
    LINK_KEY_SIZE = 32,  /* Curve25519, the format of libsodium's crypto_box */
    LINK_USER_MAX = 128, /* bytes of a user's name; a token */
    LINK_ADDRESS_MAX = 64
};

/*
 * Fixes malloc's thresholds, so that a peak of bulk traffic does not make the heap grow and shrink with every chunk. It was made
 * for chunks of 64 KiB. With today's 1 MiB it gains nothing: one bulk_get of 256 MiB over loopback and CURVE, verified and
 * synced, five runs each: 356 to 412 MB/s with it, 398 to 472 MB/s without.
 */
void link_tune_memory(void);
/* Appends the name and version of the library in use, "libzmq 4.3.4": for people who look for a known fault. */
void link_library(struct buf *ret);

/* A new CURVE key pair. */
int link_keypair(unsigned char ret_public[LINK_KEY_SIZE], unsigned char ret_secret[LINK_KEY_SIZE],
                 struct diag *diag) MUST_USE;
/* The public key of a secret one. */
int link_public_key(const unsigned char secret[LINK_KEY_SIZE], unsigned char ret_public[LINK_KEY_SIZE],
                    struct diag *diag) MUST_USE;

/* ---- gate ---- */

struct link_gate;

struct link_gate *link_gate_new(void);
/* Accepts NULL, returns NULL. After the servers that use it. */
struct link_gate *link_gate_free(struct link_gate *gate);
/*
 * Admits the key as this user. A user has one key: admitting it again with another one ends the sessions of the old key.
 * FARM_E_EXISTS if the key belongs to another user (W5), FARM_E_SYNTAX if the name is not a token of LINK_USER_MAX.
 */
int link_gate_admit(struct link_gate *gate, const unsigned char key[LINK_KEY_SIZE], const char *user,
                    struct diag *diag) MUST_USE;
/* False if there was no such user. From here on its messages are dropped and its handshakes refused. */
bool link_gate_revoke(struct link_gate *gate, const char *user);
size_t link_gate_count(struct link_gate *gate);
/* Whether the user is admitted with exactly this key. */
bool link_gate_knows(struct link_gate *gate, const unsigned char key[LINK_KEY_SIZE], const char *user);

/* ---- server ---- */

struct link_server;

struct link_server_options {
    // "tcp://0.0.0.0:7710", "tcp://[::1]:7710", "tcp://*:7710" for both families; port "*" picks a free one
    const char *endpoint;
    const unsigned char *secret_key;
    struct link_gate *gate; /* borrowed; may serve several servers */
    size_t frame_max;       /* bytes; a peer that sends more is cut (N4) */
    int queue_max;          /* messages queued per peer and direction; 0: 64 */
    int handshake_ms; /* 0: 5000. Idle connections beyond the descriptor limit spin a core until they end (N3) */
    int heartbeat_ms;     /* 0: 10000. A peer whose kernel was silent for three is gone */
    uint64_t waiting_max; /* bytes that all connections together may have waiting in here; 0: 256 MiB */
    bool many;            /* a user may have several connections at a time (bulk): answer with send_to */
};

/* Who sent a message, over which connection. */
struct link_peer {
    char user[LINK_USER_MAX + 1];
    char address[LINK_ADDRESS_MAX]; /* as libzmq reports it; may be empty */
    uint64_t session;               /* grows with each handshake: a change means that the user reconnected */
    unsigned char route[5];         /* libzmq's name for the connection; never used as an identity */
    int fd;                         /* libzmq's, for the guard; may be another connection's by now */
};

struct link_server_stats {
    uint64_t handshakes;      /* admitted by the gate */
    uint64_t refused;         /* handshakes with an unknown key or another mechanism or domain */
    uint64_t frames;          /* delivered */
    uint64_t dropped_shape;   /* not exactly one frame (N8), or no user */
    uint64_t dropped_revoked; /* from a user that is no longer admitted */
    uint64_t dropped_stale;   /* from a connection that a newer one replaced */
    uint64_t cut;             /* connections that had too much waiting in here */
};

/* The server is running, and known to refuse strangers, when this returns. FARM_E_UNAVAILABLE: cannot listen;
 * FARM_E_REFUSED: the self-test found an open door. */
int link_server_new(const struct link_server_options *options, struct link_server **ret,
                    struct diag *diag) MUST_USE;
struct link_server *link_server_free(struct link_server *server); /* accepts NULL, returns NULL */
/* The address it listens on, with the real port. Borrowed. */
const char *link_server_endpoint(const struct link_server *server);
/*
 * The next message: 1, and *ret_frame (replaced) and *ret_from are set; 0 if there is none. Never blocks, and returns 0
 * after a bounded number of dropped messages, so a flood cannot hold the caller.
 */
int link_server_receive(struct link_server *server, struct link_peer *ret_from, struct buf *ret_frame,
                        struct diag *diag) MUST_USE;
/* As link_server_receive, without a copy: the frame is there until the next call for this server. */
int link_server_receive_view(struct link_server *server, struct link_peer *ret_from, struct view *ret_frame,
                             struct diag *diag) MUST_USE;
/*
 * To the user's newest connection that has spoken. Never blocks. FARM_E_UNKNOWN: not connected (nothing was sent), -EAGAIN: its
 * queue is full. Success means queued, not received.
 */
int link_server_send(struct link_server *server, const char *user, struct view frame,
                     struct diag *diag) MUST_USE;
/* To exactly this connection, if its user is still admitted. Takes the buffer's bytes without copying them: the buffer is
 * empty afterwards, but for -EAGAIN, when it is as before. Errors as link_server_send. */
int link_server_send_to(struct link_server *server, const struct link_peer *peer, struct buf *frame,
                        struct diag *diag) MUST_USE;
/* Much waits for slow readers, and this peer has 'size' bytes to read already: others first. */
bool link_server_must_wait(const struct link_server *server, const struct link_peer *peer, size_t size);
/* Forgets the user's connection: its messages are dropped until it reconnects. For a peer that broke the protocol. */
void link_server_drop(struct link_server *server, const char *user);
/* Drops every connection and listens again on the same endpoint. */
int link_server_reset(struct link_server *server, struct diag *diag) MUST_USE;
struct link_server_stats link_server_stats(const struct link_server *server);

/* ---- client ---- */

struct link_client;

struct link_client_options {
    const char *endpoint;            /* "tcp://host:port" */
    const unsigned char *server_key; /* pinned public key */
    const unsigned char *secret_key; /* our own */
    size_t frame_max;
    int queue_max;  /* 0: 64 */
    int connect_ms; /* for resolving, connecting and the handshake together; 0: 10000 */
    int retry_ms;   /* first wait before connecting again; 0: 200. Doubles up to retry_max_ms (0: 15000) */
    int retry_max_ms;
    int heartbeat_ms; /* 0: 10000. A server that was silent for three is gone */
};

enum link_event {
    LINK_NOTHING, /* nothing now */
    LINK_UP,      /* connected and authenticated, also after each reconnection: say Hello */
    LINK_FRAME,   /* a message */
    LINK_DOWN,    /* the connection is gone or could not be made; the diag says why. It will be tried again */
    LINK_DROPPED  /* a message of a wrong shape was dropped */
};

int link_client_new(const struct link_client_options *options, struct link_client **ret,
                    struct diag *diag) MUST_USE;
struct link_client *link_client_free(struct link_client *client); /* accepts NULL, returns NULL */
/* What happened: an enum link_event, or a negative error. Never blocks. With LINK_FRAME, *ret_frame is replaced. */
int link_client_next(struct link_client *client, struct buf *ret_frame, struct diag *diag) MUST_USE;
/* As link_client_next, without a copy: the frame is there until the next call for this client. */
int link_client_next_view(struct link_client *client, struct view *ret_frame, struct diag *diag) MUST_USE;
bool link_client_is_up(const struct link_client *client);
/* Never blocks. FARM_E_UNAVAILABLE: not connected; -EAGAIN: the queue is full. */
int link_client_send(struct link_client *client, struct view frame, struct diag *diag) MUST_USE;
/* Without a copy; the buffer is empty afterwards, but for -EAGAIN. */
int link_client_send_buf(struct link_client *client, struct buf *frame, struct diag *diag) MUST_USE;

/* ---- waiting ---- */

/* One of server, client and fd; the others NULL and -1 (a NULL server and client with fd -1 is skipped). */
struct link_poll_item {
    struct link_server *server;
    struct link_client *client;
    int fd;
    short events; /* of the fd: POLLIN, POLLOUT */
    bool
        readable; /* result: the server or client may have something, or the fd has POLLIN, POLLHUP or POLLERR */
    bool writable; /* result: the fd has POLLOUT */
};

#define LINK_POLL_SERVER(s) ((struct link_poll_item){.server = (s), .fd = -1})
#define LINK_POLL_CLIENT(c) ((struct link_poll_item){.client = (c), .fd = -1})
#define LINK_POLL_FD(f, e)  ((struct link_poll_item){.fd = (f), .events = (e)})

/*
 * Waits until something happens or timeout_ms (-1: for ever) has passed; returns the number of items with a result,
 * which may be zero early (a client that is due to reconnect). A signal is a return of 0.
 */
int link_poll(struct link_poll_item *items, size_t count, int timeout_ms, struct diag *diag) MUST_USE;

#endif
