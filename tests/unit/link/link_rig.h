/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of link share: a server on loopback, whose gate admits alice and bob, clients of it, and hostile peers that speak libzmq
 * themselves. Failures end the test.
 */
#ifndef FARM_LINK_RIG_H
#define FARM_LINK_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link_private.h"

enum { PATIENCE_MS = 10000, FRAME_MAX = 64 * 1024 };

struct keys {
    unsigned char open[LINK_KEY_SIZE], secret[LINK_KEY_SIZE];
};

struct farm {
    struct link_gate *gate;
    struct link_server *server;
    struct keys server_keys, alice, bob;
};

/* *state is a struct farm. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

void make_keys(struct keys *keys);
/* Those of the rig's own server; another one takes them with changes. */
struct link_server_options server_options(struct farm *farm);

struct link_client *client_with(struct farm *farm, const struct keys *keys, const unsigned char *server_key);
struct link_client *client_of(struct farm *farm, const struct keys *keys);
/* The same, and it is up. */
struct link_client *connected(struct farm *farm, const struct keys *keys);
void say(struct link_client *client, const char *text);
/* The client's next event that is not "nothing", within PATIENCE_MS. */
int next_event(struct link_client *client, struct buf *frame, struct diag *diag);
void expect_event(struct link_client *client, enum link_event event);

bool receive_within(struct link_server *server, int ms, struct link_peer *from, struct buf *frame);
void expect_frame(struct link_server *server, const char *user, const char *text);
void expect_silence(struct link_server *server);
/* An honest worker gets through, whatever else is going on. */
void expect_honest_service(struct farm *farm);

/* A hostile peer: a socket of libzmq's. */
struct raw {
    void *context, *socket;
};

struct raw raw_open(int type);
void raw_curve(struct raw *raw, struct farm *farm, const struct keys *keys);
void raw_connect(struct raw *raw, struct farm *farm);
void raw_close(struct raw *raw);

#endif
