/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of bulk share: a worker's store and a coordinator's with a server and a client between them, over real sockets. What the
 * server asks is answered by rules that a test changes. Failures end the test.
 */
#ifndef FARM_BULK_RIG_H
#define FARM_BULK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bulk.h"
#include "wire.h"

#include <stdatomic.h>

enum { MEBI = 1024 * 1024, BIG = 12 * MEBI + 12345, PATIENCE_MS = 20000 };

struct rules {
    atomic_bool deny_get, deny_put;
    atomic_int chunks; /* that there is room for; negative: any number */
    atomic_int present, absent;
    atomic_uint_fast64_t held; /* bytes that were sent; no row ever names any */
    char present_user[LINK_USER_MAX + 1];
};

struct farm {
    char *directory;
    struct store *here, *there; /* the worker's and the coordinator's */
    struct link_gate *gate;
    struct bulk_server *server;
    struct bulk_client *client;
    struct rules rules;
    unsigned char server_open[LINK_KEY_SIZE], server_secret[LINK_KEY_SIZE], open[LINK_KEY_SIZE],
        secret[LINK_KEY_SIZE];
};

/* *state is a struct farm. The small one takes objects of 4 MiB, and 2 MiB of one user. */
int rig_setup(void **state);
int rig_setup_small(void **state);
int rig_teardown(void **state);
#define TEST(f)       cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#define TEST_SMALL(f) cmocka_unit_test_setup_teardown(f, rig_setup_small, rig_teardown)

void must(int r, const struct diag *diag);
/* 0: the server's own limits. */
void start_server(struct farm *farm, const char *endpoint, uint64_t object_max, uint64_t user_bytes_max);
struct bulk_client *client_to(struct farm *farm, const char *endpoint, int timeout_ms);
/* Bytes that zstd cannot shorten. */
struct digest put_noise(struct store *store, size_t size, uint64_t seed);
void assert_whole(struct store *store, const struct digest *digest);

/* A peer that speaks the catalogue itself. */
struct link_client *raw_client(struct farm *farm);
void raw_send(struct link_client *raw, int type, const ProtobufCMessage *body);
/* The next answer of this type; the caller's. */
struct wire_message *raw_expect(struct link_client *raw, int type);
/* An upload in three messages, and one with its Put alone. */
void raw_put(struct link_client *raw, const struct digest *digest, struct view bytes);
void raw_put_whole(struct link_client *raw, const struct digest *digest, uint64_t size, struct view bytes);
/* The error that the server answers. */
int raw_error(struct link_client *raw);

#endif
