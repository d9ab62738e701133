/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bulk: moving objects between stores, over a link of its own.
 *
 * What travels are the stored (compressed) bytes, in chunks of 1 MiB. Nothing is pushed: a Get asks for up to
 * WIRE_CREDIT_MAX chunks, an uploader may have as many under way as the server granted, so both sides hold a few
 * MiB per transfer however slow the other one is. Both directions continue where they stopped, also after either side
 * restarted, because the receiver's partial file in the store is the only state; and an object appears in the receiving store
 * whole and verified, or not at all (N9).
 *
 * The server has its own thread and socket; other threads decompress and verify uploads, while they arrive and afterwards, and store
 * several at a time, so that one large object does not stall everybody. Authorisation and quotas are the owner's: two callbacks and three numbers.
 */
#ifndef FARM_BULK_H
#define FARM_BULK_H

#include "link.h"
#include "store.h"

/* ---- server ---- */

struct bulk_server;

struct bulk_server_options {
    struct link_server_options link; /* frame_max, queue_max are set by the bulk server */
    struct store *store;             /* borrowed */
    /*
     * Called on the server's threads; NULL allows everything. Must not block. What a user may not get does not exist for it:
     * Get is refused before looking, Have lists it as missing, and Put takes the bytes although they are here.
     * So nobody learns from this socket that somebody else gave the same answer (votes are blind).
     */
    bool (*may_get)(void *context, const char *user, const struct digest *digest);
    bool (*may_put)(void *context, const char *user, const struct digest *digest, uint64_t stored_size);
    /* Asked before each chunk: else the sender hears "unavailable", and comes again. */
    bool (*has_room)(void *context);
    /* The user is about to be told that we have this object: it sent it just now, which took so many bytes on the disk, or (0) asked for it
     * with Have or Put. Pin it if it has to stay. May be NULL. */
    void (*present)(void *context, const char *user, const struct digest *digest, uint64_t sent);
    /* Bytes on the disk that count against the user's quota beside its unfinished uploads. May be NULL: none. */
    uint64_t (*held)(void *context, const char *user);
    /* The user may get it, and it is not here, or was found damaged just now. May be NULL. */
    void (*absent)(void *context, const struct digest *digest);
    void *context;
    uint64_t object_max;     /* most uncompressed bytes of one upload; 0: STORE_OBJECT_MAX */
    uint64_t user_bytes_max; /* stored bytes of one user's unfinished uploads, abandoned ones of the last hour
                                included, with what 'held' says; 0: 64 GiB */
    uint32_t user_puts_max;  /* uploads of one user at a time; 0: 16 */
};

int bulk_server_new(const struct bulk_server_options *options, struct bulk_server **ret,
                    struct diag *diag) MUST_USE;
/* Ends the threads. Accepts NULL, returns NULL. */
struct bulk_server *bulk_server_free(struct bulk_server *server);
const char *bulk_server_endpoint(const struct bulk_server *server);

struct bulk_server_stats {
    uint64_t sent_bytes, received_bytes;
    uint64_t stored, refused; /* uploads */
    uint64_t bad_frames;      /* did not decode (N8) */
    struct link_server_stats link;
};
/* Thread-safe. */
struct bulk_server_stats bulk_server_stats(struct bulk_server *server);

/* ---- client: blocking calls for worker threads; one thread at a time per client ---- */

struct bulk_client;

struct bulk_client_options {
    const char *endpoint;
    const unsigned char *server_key, *secret_key;
    const char
        *owner; /* names partial files in the store, so that a later client of this name continues them; one
                          client per name at a time. NULL: "bulk" */
    int timeout_ms; /* a call fails after this long without progress (reconnecting included); 0: 60000 */
    /* Asked about every 100 ms while waiting: true ends the call with -ECANCELED. May be NULL. */
    bool (*cancelled)(void *context);
    void (*progress)(void *context, const struct digest *digest, uint64_t stored_bytes, uint64_t stored_size);
    void *context;
};

/* Does not connect yet: the first call does. */
int bulk_client_new(const struct bulk_client_options *options, struct bulk_client **ret,
                    struct diag *diag) MUST_USE;
struct bulk_client *bulk_client_free(struct bulk_client *client); /* accepts NULL, returns NULL */
/* Closes the connection until the next call: idle donors cost the coordinator nothing. */
void bulk_client_rest(struct bulk_client *client);

/*
 * Fetches the object into the store unless it is there; verified. 'limit': most uncompressed bytes. FARM_E_MISSING: the
 * server does not have it; FARM_E_REFUSED: may not have it; FARM_E_DIGEST: wrong bytes; FARM_E_LIMIT; FARM_E_TIMEOUT.
 */
int bulk_get(struct bulk_client *client, struct store *store, const struct digest *digest, uint64_t limit,
             struct diag *diag) MUST_USE;
/* Sends the object unless the server has it. Returns once the server has stored it durably. */
int bulk_put(struct bulk_client *client, struct store *store, const struct digest *digest,
             struct diag *diag) MUST_USE;
/* As bulk_put for each; small ones go together, without waiting for one another. One may be named twice. */
int bulk_put_all(struct bulk_client *client, struct store *store, const struct digest *digests, size_t count,
                 struct diag *diag) MUST_USE;
/* Which of these does the server lack? Writes their indexes' flags: ret_missing[i]. Any count. */
int bulk_missing(struct bulk_client *client, const struct digest *digests, size_t count, bool *ret_missing,
                 struct diag *diag) MUST_USE;

#endif
