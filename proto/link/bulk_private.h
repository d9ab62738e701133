/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of bulk share. The server's thread owns 'sends' and 'takes'; the hands, some threads, get finished uploads
 * and hand them back, and unpack what has arrived of others meanwhile; the checking thread gets names of objects to read through before
 * they are served.
 */
#ifndef FARM_BULK_PRIVATE_H
#define FARM_BULK_PRIVATE_H

#include "bulk.h"
#include "wire.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    BULK_QUEUE = 4 * WIRE_CREDIT_MAX, /* libzmq's queue per connection, in chunks */
    BULK_GETS_MAX = 4,                /* objects that one connection may be fetching at a time */
    BULK_WHOLES_MAX = 128, /* uploads of one user that came with their Put and are not stored yet: 8 MiB */
    BULK_WHOLES_ALL = 512, /* of all users: 32 MiB; who comes on top sends chunks, which go to the disk */
    /* Threads that store uploads. Mostly they wait for the disk, and what several of them wait for is one commit of its journal. */
    BULK_HANDS = 6,
    /* Uploads that are unpacked and hashed while they arrive; the others are afterwards. Each may cost what the longest window
     * of zstd takes that the store accepts, 8 MiB. */
    BULK_FOLLOWED_MAX = 8,
    BULK_WAITING_MAX = 16,           /* other connections of its sender that hear how an upload ended */
    BULK_IDLE_MS = 60 * 1000,        /* a transfer that nobody continues is closed */
    BULK_ABANDONED_MAX = 64,         /* unfinished uploads of one user that are kept; then the oldest goes */
    BULK_ABANDONED_MS = 3600 * 1000, /* how long an unfinished upload counts against its user */
    BULK_SIGN_OF_LIFE_MS = 5000      /* while a large upload is verified, its sender hears from us */
};

/* ---- server ---- */

/* One object on its way to one connection. */
struct bulk_send {
    struct link_peer peer;
    struct digest digest;
    bool checking; /* by the checking thread: fd and stored_size come afterwards */
    int fd;
    uint64_t offset, stored_size;
    uint32_t credit; /* chunks asked for and not sent */
    int64_t touched_ms;
    struct buf frame; /* encoded, and not accepted by the socket yet */
};

enum bulk_take_state { TAKE_RECEIVING, TAKE_COMMITTING, TAKE_ABANDONED };

/* Who is at an upload that is unpacked while it arrives. */
enum bulk_following {
    FOLLOW_NEVER,   /* it is not */
    FOLLOW_RESTING, /* all that came was looked at */
    FOLLOW_WAITING, /* for a hand */
    FOLLOW_RUNNING, /* a hand is at it */
    FOLLOW_AGAIN,   /* and more has come meanwhile */
    FOLLOW_ENDING   /* and the server's thread waits for the end of its step */
};

/* One upload. */
struct bulk_take {
    struct link_peer peer; /* who hears about it: the user's newest connection that asked */
    struct link_peer
        *waiting; /* who asked before, when it was being committed already: they hear how it ended */
    size_t nwaiting;
    struct digest digest;
    uint64_t stored_size;
    enum bulk_take_state state;
    bool whole;                    /* came with its Put; then it is being committed, or abandoned */
    struct store_partial *partial; /* NULL unless receiving */
    int64_t touched_ms;
    enum bulk_following following; /* these two: under the mutex */
    struct bulk_take *next_followed;
};

/* A finished upload on its way through a hand. */
struct bulk_commit {
    struct bulk_commit *next;
    struct bulk_take *take;
    struct store_partial *partial; /* NULL: it came whole, and is written by the hand */
    struct digest digest;
    struct buf whole;
    char *owner;
    int result;
    struct diag diag;
};

struct bulk_queue {
    struct bulk_commit *first, **last;
};

/* An object on its way through the checking thread. */
struct bulk_check {
    struct bulk_check *next;
    struct digest digest;
    int result;
    struct diag diag;
};

struct bulk_server {
    struct bulk_server_options options;
    struct link_server *link;
    pthread_t thread, hands[BULK_HANDS], checker;
    int stop_fd, done_fd; /* eventfds towards the server's thread */

    struct bulk_send **sends;
    size_t nsends, sends_capacity;
    struct bulk_take **takes;
    size_t ntakes, takes_capacity;
    size_t nfollowed; /* of the takes */

    pthread_mutex_t mutex; /* of the queues and of 'stopping' */
    pthread_cond_t wake;   /* the checking thread */
    pthread_cond_t work;   /* the hands */
    pthread_cond_t rested; /* the server's thread: a hand has ended a step */
    struct bulk_queue to_commit, committed;
    struct bulk_take *to_follow; /* the newest first: its bytes are still in the processor's cache */
    struct bulk_check *to_check, *checked; /* newest first: the order does not matter */
    bool stopping;

    atomic_uint_fast64_t sent_bytes, received_bytes, stored, refused, bad_frames;
    pthread_mutex_t stats_mutex;
    struct link_server_stats link_stats; /* a copy that other threads may read */
};

/* bulk_server.c: answers. A peer that is gone or does not read loses the answer, and asks again. */
void bulk_reply(struct bulk_server *server, const struct link_peer *peer, int type,
                const ProtobufCMessage *body);
void bulk_reply_error(struct bulk_server *server, const struct link_peer *peer, const struct digest *digest,
                      int error, const char *text);
bool bulk_visible(struct bulk_server *server, const char *user, const struct digest *digest);

/* bulk_send.c */
void bulk_on_get(struct bulk_server *server, const struct link_peer *peer, const Wire__Get *get,
                 int64_t now_ms);
/* One chunk for each transfer that has credit; true if more could be sent at once. */
bool bulk_send_round(struct bulk_server *server, int64_t now_ms);
/* What the checking thread found to be sound (result >= 0) is opened for those who wait for it; the others are told. */
void bulk_send_checked(struct bulk_server *server, const struct bulk_check *check, int64_t now_ms);
void bulk_send_expire(struct bulk_server *server, int64_t now_ms);
void bulk_send_done(struct bulk_server *server);

/* bulk_check.c */
/* Must this object be read through before it is served, in the thread for that? Small ones are read on the spot. */
bool bulk_check_needed(struct bulk_server *server, const struct digest *digest);
void bulk_check_submit(struct bulk_server *server, const struct digest *digest);
/* Hands the results to bulk_send_checked. */
void bulk_on_checked(struct bulk_server *server, int64_t now_ms);
void bulk_check_done(struct bulk_server *server);
/* The checking thread's function. */
void *bulk_check_run(void *server);

/* bulk_take.c */
void bulk_on_put(struct bulk_server *server, const struct link_peer *peer, const Wire__Put *put,
                 int64_t now_ms);
void bulk_on_put_data(struct bulk_server *server, const struct link_peer *peer, const Wire__PutData *data,
                      int64_t now_ms);
void bulk_on_put_done(struct bulk_server *server, const struct link_peer *peer, const Wire__PutDone *done,
                      int64_t now_ms);
/* Answers for what the hands finished. */
void bulk_on_committed(struct bulk_server *server);
void bulk_take_expire(struct bulk_server *server, int64_t now_ms);
void bulk_take_done(struct bulk_server *server);

/* bulk_hands.c */
/* The upload's bytes are all here, as a partial file or in 'whole'. It comes back by bulk_hands_result, and done_fd says so. */
void bulk_hands_submit(struct bulk_server *server, struct bulk_commit *commit);
struct bulk_commit *bulk_hands_result(struct bulk_server *server); /* NULL: none */
struct bulk_commit *bulk_commit_free(struct bulk_commit *commit);
/* This one is being received: from here on bulk_follow may be said of it. */
void bulk_follow_begin(struct bulk_server *server, struct bulk_take *take);
/* More of it has arrived. */
void bulk_follow(struct bulk_server *server, struct bulk_take *take);
/* Its partial file is about to be given away or closed: returns when no hand is at it, which takes some milliseconds at most. */
void bulk_follow_end(struct bulk_server *server, struct bulk_take *take);
/* A hand's function. */
void *bulk_hands_run(void *server);
void bulk_hands_done(struct bulk_server *server);

/* ---- client ---- */

struct bulk_client {
    struct bulk_client_options options;
    char *endpoint, *owner;
    unsigned char server_key[LINK_KEY_SIZE], secret_key[LINK_KEY_SIZE];
    struct link_client *link; /* NULL while resting */
};

/*
 * A call: what to say on each new connection, what to do with each answer, and what to send while there is room. The
 * callbacks return 1 when the call is done, 0 to go on, or an error, which ends it.
 */
struct bulk_call {
    struct bulk_client *client;
    int (*begin)(struct bulk_call *call, struct diag *diag);
    int (*answer)(struct bulk_call *call, const struct wire_message *message, struct diag *diag);
    int (*pump)(struct bulk_call *call, struct diag *diag); /* may be NULL */
    void *state;
};

/* Runs it to its end, over lost connections. On failure the connection is closed, so that no late answer meets another call. */
int bulk_run(struct bulk_call *call, struct diag *diag) MUST_USE;
/* Sends a request; -EAGAIN when the queue is full; 0 too when not connected (begin() comes again then). */
int bulk_request(struct bulk_client *client, int type, const ProtobufCMessage *body,
                 struct diag *diag) MUST_USE;
/* The server's error as ours. */
int bulk_error(const Wire__BulkError *error, struct diag *diag);
/* Is this answer about this object? */
bool bulk_about(const ProtobufCBinaryData *field, const struct digest *digest);
void bulk_progress(struct bulk_client *client, const struct digest *digest, uint64_t done, uint64_t size);

#endif
