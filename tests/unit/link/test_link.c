/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * link: real sockets on loopback, honest peers and hostile ones (N1 to N5, N7, N8 of the hostile cases).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "link_private.h"
#include "moment.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 10000, FRAME_MAX = 64 * 1024 };

struct keys {
    unsigned char open[LINK_KEY_SIZE], secret[LINK_KEY_SIZE];
};

struct farm {
    struct link_gate *gate;
    struct link_server *server;
    struct keys server_keys, alice, bob;
};

static void make_keys(struct keys *keys)
{
    assert_int_equal(link_keypair(keys->open, keys->secret, NULL), 0);
}

static struct link_server_options server_options(struct farm *farm)
{
    return (struct link_server_options){.endpoint = "tcp://127.0.0.1:*",
                                        .secret_key = farm->server_keys.secret,
                                        .gate = farm->gate,
                                        .frame_max = FRAME_MAX,
                                        .handshake_ms = 1000};
}

static int setup(void **state)
{
    struct farm *farm = mem_zero(1, sizeof(*farm));
    struct diag diag = DIAG_INIT;
    farm->gate = link_gate_new();
    make_keys(&farm->server_keys);
    make_keys(&farm->alice);
    make_keys(&farm->bob);
    assert_int_equal(link_gate_admit(farm->gate, farm->alice.open, "alice", NULL), 0);
    assert_int_equal(link_gate_admit(farm->gate, farm->bob.open, "bob", NULL), 0);
    struct link_server_options options = server_options(farm);
    if (link_server_new(&options, &farm->server, &diag) < 0)
        fail_msg("%s", diag.text);
    *state = farm;
    return 0;
}

static int teardown(void **state)
{
    struct farm *farm = *state;
    link_server_free(farm->server);
    link_gate_free(farm->gate);
    free(farm);
    return 0;
}

static struct link_client *client_with(struct farm *farm, const struct keys *keys,
                                       const unsigned char *server_key)
{
    struct link_client *client = NULL;
    const struct link_client_options options = {.endpoint = link_server_endpoint(farm->server),
                                                .server_key = server_key,
                                                .secret_key = keys->secret,
                                                .frame_max = FRAME_MAX,
                                                .retry_ms = 50,
                                                .retry_max_ms = 200};
    assert_int_equal(link_client_new(&options, &client, NULL), 0);
    return client;
}

static struct link_client *client_of(struct farm *farm, const struct keys *keys)
{
    return client_with(farm, keys, farm->server_keys.open);
}

/* The client's next event that is not "nothing", within PATIENCE_MS. */
static int next_event(struct link_client *client, struct buf *frame, struct diag *diag)
{
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (moment_steady_ms() < end) {
        struct link_poll_item item = LINK_POLL_CLIENT(client);
        assert_true(link_poll(&item, 1, 100, NULL) >= 0);
        int event = link_client_next(client, frame, diag);
        if (event != LINK_NOTHING)
            return event;
    }
    return LINK_NOTHING;
}

static void expect_event(struct link_client *client, enum link_event event)
{
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int got = next_event(client, &frame, &diag);
    if (got != (int)event)
        fail_msg("event %d instead of %d: %s", got, (int)event, diag.text);
    buf_done(&frame);
}

static bool receive_within(struct link_server *server, int ms, struct link_peer *from, struct buf *frame)
{
    int64_t end = moment_steady_ms() + ms;
    do {
        struct link_poll_item item = LINK_POLL_SERVER(server);
        assert_true(link_poll(&item, 1, 50, NULL) >= 0);
        int r = link_server_receive(server, from, frame, NULL);
        assert_true(r >= 0);
        if (r == 1)
            return true;
    } while (moment_steady_ms() < end);
    return false;
}

static void expect_frame(struct link_server *server, const char *user, const char *text)
{
    struct link_peer from;
    struct buf frame = BUF_INIT;
    assert_true(receive_within(server, PATIENCE_MS, &from, &frame));
    assert_string_equal(from.user, user);
    assert_string_equal(frame.data, text);
    buf_done(&frame);
}

static void expect_silence(struct link_server *server)
{
    struct link_peer from;
    struct buf frame = BUF_INIT;
    assert_false(receive_within(server, 300, &from, &frame));
    buf_done(&frame);
}

static void say(struct link_client *client, const char *text)
{
    assert_int_equal(link_client_send(client, view_text(text), NULL), 0);
}

static struct link_client *connected(struct farm *farm, const struct keys *keys)
{
    struct link_client *client = client_of(farm, keys);
    expect_event(client, LINK_UP);
    return client;
}

/* ---- honest peers ---- */

static void keys_are_raw_and_agree(void **state)
{
    struct keys keys;
    unsigned char derived[LINK_KEY_SIZE];
    (void)state;
    make_keys(&keys);
    assert_int_equal(link_public_key(keys.secret, derived, NULL), 0);
    assert_memory_equal(derived, keys.open, LINK_KEY_SIZE);
}

static void frames_go_both_ways(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = connected(farm, &farm->alice);
    struct buf frame = BUF_INIT;
    say(client, "hello");
    expect_frame(farm->server, "alice", "hello");
    assert_int_equal(link_server_send(farm->server, "alice", VIEW("welcome"), NULL), 0);
    assert_int_equal(next_event(client, &frame, NULL), LINK_FRAME);
    assert_string_equal(frame.data, "welcome");
    buf_done(&frame);
    link_client_free(client);
}

static void who_is_not_connected_is_reported(void **state)
{
    struct farm *farm = *state;
    assert_int_equal(link_server_send(farm->server, "bob", VIEW("x"), NULL), FARM_E_UNKNOWN);
    struct link_client *client = connected(farm, &farm->bob);
    say(client, "here");
    expect_frame(farm->server, "bob", "here");
    link_client_free(client);
    int r = 0;
    for (int i = 0; i < 200 && r == 0; i++, usleep(10000))
        r = link_server_send(farm->server, "bob", VIEW("x"), NULL);
    assert_int_equal(r, FARM_E_UNKNOWN);
}

static void a_client_comes_back_after_the_server_was_reset(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = connected(farm, &farm->alice);
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int event;
    if (link_server_reset(farm->server, &diag) < 0)
        fail_msg("%s", diag.text);
    expect_event(client, LINK_DOWN);
    assert_int_equal(link_client_send(client, VIEW("x"), NULL), FARM_E_UNAVAILABLE);
    while ((event = next_event(client, &frame, &diag)) == LINK_DOWN)
        ;
    assert_int_equal(event, LINK_UP);
    say(client, "again");
    expect_frame(farm->server, "alice", "again");
    buf_done(&frame);
    link_client_free(client);
}

static void a_client_waits_for_a_server_that_is_not_there(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = client_of(farm, &farm->alice);
    char endpoint[256];
    snprintf(endpoint, sizeof(endpoint), "%s", link_server_endpoint(farm->server));
    farm->server = link_server_free(farm->server);
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int event = next_event(client, &frame, &diag);
    if (event == LINK_UP) /* it was faster than the end of the server */
        event = next_event(client, &frame, &diag);
    assert_int_equal(event, LINK_DOWN);
    struct link_server_options options = server_options(farm);
    options.endpoint = endpoint;
    int r = -1;
    for (int i = 0; i < 100 && r < 0; i++, usleep(20000))
        r = link_server_new(&options, &farm->server, &diag);
    assert_int_equal(r, 0);
    while ((r = next_event(client, &frame, &diag)) == LINK_DOWN)
        ;
    assert_int_equal(r, LINK_UP);
    buf_done(&frame);
    link_client_free(client);
}

static void expect_reachable(struct farm *farm, const char *bind_to, const char *host)
{
    struct link_server *server = NULL;
    struct link_client *client = NULL;
    struct buf frame = BUF_INIT;
    char endpoint[64];
    int event;
    struct link_server_options options = server_options(farm);
    options.endpoint = bind_to;
    assert_int_equal(link_server_new(&options, &server, NULL), 0);
    snprintf(endpoint, sizeof(endpoint), "tcp://%s%s", host, strrchr(link_server_endpoint(server), ':'));
    const struct link_client_options to = {.endpoint = endpoint,
                                           .server_key = farm->server_keys.open,
                                           .secret_key = farm->alice.secret,
                                           .frame_max = FRAME_MAX,
                                           .retry_ms = 10};
    assert_int_equal(link_client_new(&to, &client, NULL), 0);
    while ((event = next_event(client, &frame, NULL)) == LINK_DOWN)
        ;
    assert_int_equal(event, LINK_UP);
    link_client_free(client);
    link_server_free(server);
    buf_done(&frame);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    mem_close_p(&fd);
    return has;
}

static void names_and_both_families_work(void **state)
{
    struct farm *farm = *state;
    expect_reachable(farm, "tcp://127.0.0.1:*", "localhost");
    expect_reachable(farm, "tcp://0.0.0.0:*", "localhost");
    if (!has_ipv6())
        return;
    expect_reachable(farm, "tcp://[::1]:*", "[::1]");
    expect_reachable(farm, "tcp://*:*", "127.0.0.1");
    expect_reachable(farm, "tcp://*:*", "[::1]");
}

/* libzmq says nothing about a name that cannot be resolved. */
static void an_unknown_name_is_reported(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = NULL;
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    const struct link_client_options to = {.endpoint = "tcp://farm.invalid:7710",
                                           .server_key = farm->server_keys.open,
                                           .secret_key = farm->alice.secret,
                                           .frame_max = FRAME_MAX,
                                           .connect_ms = 300};
    assert_int_equal(link_client_new(&to, &client, NULL), 0);
    assert_int_equal(next_event(client, &frame, &diag), LINK_DOWN);
    assert_non_null(strstr(diag.text, "farm.invalid"));
    assert_non_null(strstr(diag.text, "is the name right"));
    link_client_free(client);
    buf_done(&frame);
}

static void a_newer_connection_replaces_the_older(void **state)
{
    struct farm *farm = *state;
    struct link_client *old = connected(farm, &farm->alice);
    say(old, "first");
    expect_frame(farm->server, "alice", "first");
    struct link_client *new = connected(farm, &farm->alice);
    say(new, "second");
    expect_frame(farm->server, "alice", "second");
    say(old, "stale");
    expect_silence(farm->server);
    assert_int_equal(link_server_stats(farm->server).dropped_stale, 1);
    struct buf frame = BUF_INIT;
    assert_int_equal(link_server_send(farm->server, "alice", VIEW("to the new one"), NULL), 0);
    assert_int_equal(next_event(new, &frame, NULL), LINK_FRAME);
    buf_done(&frame);
    link_client_free(old);
    link_client_free(new);
}

/* A bulk socket: one user, several connections, each answered over its own. */
static void many_connections_are_told_apart(void **state)
{
    struct farm *farm = *state;
    struct link_server_options options = server_options(farm);
    struct link_peer peers[2];
    struct buf frame = BUF_INIT;
    options.many = true;
    link_server_free(farm->server);
    assert_int_equal(link_server_new(&options, &farm->server, NULL), 0);
    struct link_client *clients[] = {connected(farm, &farm->alice), connected(farm, &farm->alice)};
    for (int i = 0; i < 2; i++) {
        say(clients[i], i == 0 ? "one" : "two");
        assert_true(receive_within(farm->server, PATIENCE_MS, &peers[i], &frame));
    }
    for (int i = 0; i < 2; i++) {
        buf_clear(&frame);
        buf_add_text(&frame, i == 0 ? "for one" : "for two");
        assert_int_equal(link_server_send_to(farm->server, &peers[i], &frame, NULL), 0);
        assert_int_equal(next_event(clients[i], &frame, NULL), LINK_FRAME);
        assert_string_equal(frame.data, i == 0 ? "for one" : "for two");
        link_client_free(clients[i]);
    }
    buf_done(&frame);
}

static void polling_mixes_sockets_and_descriptors(void **state)
{
    struct farm *farm = *state;
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    struct link_poll_item items[] = {LINK_POLL_SERVER(farm->server), LINK_POLL_FD(fds[0], POLLIN),
                                     LINK_POLL_FD(fds[1], POLLOUT)};
    assert_int_equal(link_poll(items, 2, 0, NULL), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(link_poll(items, 3, 1000, NULL), 2);
    assert_false(items[0].readable);
    assert_true(items[1].readable);
    assert_true(items[2].writable);
    close(fds[0]);
    close(fds[1]);
}

/* ---- the gate ---- */

static void n1_an_unknown_key_is_refused_in_words(void **state)
{
    struct farm *farm = *state;
    struct keys stranger;
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    make_keys(&stranger);
    struct link_client *client = client_of(farm, &stranger);
    assert_int_equal(next_event(client, &frame, &diag), LINK_DOWN);
    assert_non_null(strstr(diag.text, "does not admit our key"));
    assert_int_equal(link_client_send(client, VIEW("x"), NULL), FARM_E_UNAVAILABLE);
    assert_true(link_server_stats(farm->server).refused >= 1);
    /* Admitted meanwhile, it gets in without being started again. */
    assert_int_equal(link_gate_admit(farm->gate, stranger.open, "carol", NULL), 0);
    int event;
    while ((event = next_event(client, &frame, &diag)) == LINK_DOWN)
        ;
    assert_int_equal(event, LINK_UP);
    buf_done(&frame);
    link_client_free(client);
}

/* A refused attempt must leave nothing behind that hinders the next one: each of them ends by the gate's word, and not by its time-out. */
static void n1_many_refusals_block_nothing(void **state)
{
    enum { TIMES = 500 };
    struct farm *farm = *state;
    struct keys stranger;
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    make_keys(&stranger);
    struct link_client *client = NULL;
    const struct link_client_options options = {.endpoint = link_server_endpoint(farm->server),
                                                .server_key = farm->server_keys.open,
                                                .secret_key = stranger.secret,
                                                .frame_max = FRAME_MAX,
                                                .retry_ms = 1,
                                                .retry_max_ms = 1};
    assert_int_equal(link_client_new(&options, &client, NULL), 0);
    for (int i = 0; i < TIMES; i++) {
        assert_int_equal(next_event(client, &frame, &diag), LINK_DOWN);
        if (strstr(diag.text, "does not admit our key") == NULL)
            fail_msg("attempt %d: %s", i, diag.text);
    }
    buf_done(&frame);
    link_client_free(client);
}

static void a_wrong_server_key_is_named(void **state)
{
    struct farm *farm = *state;
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct link_client *client = client_with(farm, &farm->alice, farm->bob.open);
    assert_int_equal(next_event(client, &frame, &diag), LINK_DOWN);
    assert_non_null(strstr(diag.text, "server's key"));
    buf_done(&frame);
    link_client_free(client);
}

static void one_key_has_one_user(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    assert_int_equal(link_gate_admit(farm->gate, farm->alice.open, "mallory", &diag), FARM_E_EXISTS);
    assert_non_null(strstr(diag.text, "alice"));
    assert_int_equal(link_gate_admit(farm->gate, farm->alice.open, "alice", NULL), 0);
    assert_int_equal(link_gate_admit(farm->gate, farm->alice.open, "two words", NULL), FARM_E_SYNTAX);
    assert_int_equal(link_gate_count(farm->gate), 2);
}

static void revoking_ends_the_session_for_good(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = connected(farm, &farm->alice);
    say(client, "before");
    expect_frame(farm->server, "alice", "before");
    assert_true(link_gate_revoke(farm->gate, "alice"));
    assert_false(link_gate_revoke(farm->gate, "alice"));
    say(client, "after");
    expect_silence(farm->server);
    assert_int_equal(link_server_send(farm->server, "alice", VIEW("x"), NULL), FARM_E_UNKNOWN);
    assert_int_equal(link_server_stats(farm->server).dropped_revoked, 1);
    /* Admitted again: the old connection stays dead, a new one lives. */
    assert_int_equal(link_gate_admit(farm->gate, farm->alice.open, "alice", NULL), 0);
    say(client, "still here");
    expect_silence(farm->server);
    struct link_client *new = connected(farm, &farm->alice);
    say(new, "new");
    expect_frame(farm->server, "alice", "new");
    link_client_free(client);
    link_client_free(new);
}

/* ---- hostile peers, speaking libzmq themselves ---- */

struct raw {
    void *context, *socket;
};

static struct raw raw_open(int type)
{
    struct raw raw = {zmq_ctx_new(), NULL};
    int zero = 0;
    raw.socket = zmq_socket(raw.context, type);
    assert_non_null(raw.socket);
    zmq_setsockopt(raw.socket, ZMQ_LINGER, &zero, sizeof(zero));
    return raw;
}

static void raw_curve(struct raw *raw, struct farm *farm, const struct keys *keys)
{
    zmq_setsockopt(raw->socket, ZMQ_CURVE_SERVERKEY, farm->server_keys.open, LINK_KEY_SIZE);
    zmq_setsockopt(raw->socket, ZMQ_CURVE_PUBLICKEY, keys->open, LINK_KEY_SIZE);
    zmq_setsockopt(raw->socket, ZMQ_CURVE_SECRETKEY, keys->secret, LINK_KEY_SIZE);
}

static void raw_connect(struct raw *raw, struct farm *farm)
{
    assert_int_equal(zmq_connect(raw->socket, link_server_endpoint(farm->server)), 0);
}

static void raw_close(struct raw *raw)
{
    zmq_close(raw->socket);
    zmq_ctx_term(raw->context);
}

/* An honest worker gets through, whatever else is going on. */
static void expect_honest_service(struct farm *farm)
{
    struct link_client *client = connected(farm, &farm->bob);
    say(client, "honest");
    expect_frame(farm->server, "bob", "honest");
    link_client_free(client);
}

static void n7_null_and_plain_are_refused(void **state)
{
    struct farm *farm = *state;
    struct raw null = raw_open(ZMQ_DEALER), plain = raw_open(ZMQ_DEALER);
    zmq_setsockopt(plain.socket, ZMQ_PLAIN_USERNAME, "alice", 5);
    zmq_setsockopt(plain.socket, ZMQ_PLAIN_PASSWORD, "x", 1);
    raw_connect(&null, farm);
    raw_connect(&plain, farm);
    (void)!zmq_send(null.socket, "x", 1, ZMQ_DONTWAIT);
    (void)!zmq_send(plain.socket, "x", 1, ZMQ_DONTWAIT);
    expect_silence(farm->server);
    assert_int_equal(link_server_stats(farm->server).frames, 0);
    expect_honest_service(farm);
    raw_close(&null);
    raw_close(&plain);
}

static void n4_a_message_over_the_cap_cuts_the_peer(void **state)
{
    struct farm *farm = *state;
    struct link_client *client = connected(farm, &farm->alice);
    CLEANUP_FREE char *big = mem_zero(1, FRAME_MAX + 1);
    assert_int_equal(link_client_send(client, view_of(big, FRAME_MAX), NULL), 0);
    struct link_peer from;
    struct buf frame = BUF_INIT;
    assert_true(receive_within(farm->server, PATIENCE_MS, &from, &frame));
    assert_int_equal(frame.size, FRAME_MAX);
    assert_int_equal(link_client_send(client, view_of(big, FRAME_MAX + 1), NULL), 0);
    expect_silence(farm->server);
    expect_event(client, LINK_DOWN);
    expect_honest_service(farm);
    buf_done(&frame);
    link_client_free(client);
}

static void n5_a_chosen_routing_id_gives_nothing(void **state)
{
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_DEALER);
    struct link_client *honest = connected(farm, &farm->bob);
    say(honest, "here");
    expect_frame(farm->server, "bob", "here");
    raw_curve(&raw, farm, &farm->alice);
    assert_int_equal(zmq_setsockopt(raw.socket, ZMQ_ROUTING_ID, "bob", 3), 0);
    raw_connect(&raw, farm);
    assert_int_equal(zmq_send(raw.socket, "i am bob", 8, 0), 8);
    expect_silence(farm->server);
    assert_int_equal(link_server_stats(farm->server).dropped_shape, 1);
    raw_close(&raw);
    link_client_free(honest);
}

static void n8_several_frames_are_dropped_and_counted(void **state)
{
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_DEALER);
    raw_curve(&raw, farm, &farm->alice);
    raw_connect(&raw, farm);
    for (int i = 0; i < 100; i++)
        assert_int_equal(zmq_send(raw.socket, "part", 4, ZMQ_SNDMORE), 4);
    assert_int_equal(zmq_send(raw.socket, "end", 3, 0), 3);
    assert_int_equal(zmq_send(raw.socket, "alone", 5, 0), 5);
    expect_frame(farm->server, "alice", "alone");
    assert_int_equal(link_server_stats(farm->server).dropped_shape, 1);
    raw_close(&raw);
}

/* A server that floods its client with parts is survived as well. */
static void n8_the_client_drops_several_frames(void **state)
{
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_ROUTER);
    int one = 1;
    char endpoint[256];
    size_t size = sizeof(endpoint);
    zmq_setsockopt(raw.socket, ZMQ_CURVE_SERVER, &one, sizeof(one));
    zmq_setsockopt(raw.socket, ZMQ_CURVE_SECRETKEY, farm->server_keys.secret, LINK_KEY_SIZE);
    assert_int_equal(zmq_bind(raw.socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(raw.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    struct link_client *client = NULL;
    const struct link_client_options options = {.endpoint = endpoint,
                                                .server_key = farm->server_keys.open,
                                                .secret_key = farm->alice.secret,
                                                .frame_max = FRAME_MAX};
    assert_int_equal(link_client_new(&options, &client, NULL), 0);
    expect_event(client, LINK_UP);
    say(client, "x");
    char route[16], text[4];
    int n = zmq_recv(raw.socket, route, sizeof(route), 0);
    assert_true(n > 0);
    assert_int_equal(zmq_recv(raw.socket, text, sizeof(text), 0), 1);
    zmq_send(raw.socket, route, (size_t)n, ZMQ_SNDMORE);
    zmq_send(raw.socket, "a", 1, ZMQ_SNDMORE);
    zmq_send(raw.socket, "b", 1, 0);
    expect_event(client, LINK_DROPPED);
    link_client_free(client);
    raw_close(&raw);
}

/* Opens idle TCP connections until 'count' stand or the descriptors are used up. */
static size_t idle_connections(const char *endpoint, int *fds, size_t count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)atoi(strrchr(endpoint, ':') + 1));
    size_t n = 0;
    for (; n < count; n++) {
        fds[n] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fds[n] < 0 || connect(fds[n], (struct sockaddr *)&address, sizeof(address)) < 0)
            break;
        if (n % 3 == 1) /* half-open in the protocol: a greeting and nothing more */
            (void)!write(fds[n], "\xff\0\0\0\0\0\0\0\1\x7f\3", 11);
    }
    return n;
}

static void n3_honest_workers_proceed_in_a_flood_of_idle_connections(void **state)
{
    enum { FLOOD = 300 };
    struct farm *farm = *state;
    int fds[FLOOD];
    size_t n = idle_connections(link_server_endpoint(farm->server), fds, FLOOD);
    assert_int_equal(n, FLOOD);
    int64_t start = moment_steady_ms();
    expect_honest_service(farm);
    assert_true(moment_steady_ms() - start < 5000);
    for (size_t i = 0; i < n; i++)
        close(fds[i]);
}

/* A process that holds idle connections until it is killed. */
static pid_t flood_from_outside(const char *endpoint, int *fds, size_t count)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    idle_connections(endpoint, fds, count);
    for (;;)
        pause();
}

static size_t open_descriptors(void)
{
    size_t count = 0;
    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* More idle connections than descriptors: after the handshake interval they are gone, and the honest worker gets in. */
static void n3_descriptors_come_back_after_the_handshake_interval(void **state)
{
    enum { FLOOD = 200, SPARE = 60 };
    struct farm *farm = *state;
    int fds[FLOOD];
    struct rlimit old, low;
    struct link_client *client = NULL;
    const struct link_client_options options = {.endpoint = link_server_endpoint(farm->server),
                                                .server_key = farm->server_keys.open,
                                                .secret_key = farm->bob.secret,
                                                .frame_max = FRAME_MAX,
                                                .retry_ms = 50,
                                                .retry_max_ms = 200};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    low = (struct rlimit){open_descriptors() + SPARE, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    pid_t child = flood_from_outside(link_server_endpoint(farm->server), fds, FLOOD);
    usleep(200 * 1000);
    /* The worker lives in our process, so it needs descriptors of the same limit: a sign that they came back. */
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (link_client_new(&options, &client, NULL) < 0 && moment_steady_ms() < end)
        usleep(50 * 1000);
    assert_non_null(client);
    struct buf frame = BUF_INIT;
    while (next_event(client, &frame, NULL) == LINK_DOWN)
        ;
    say(client, "honest");
    expect_frame(farm->server, "bob", "honest");
    buf_done(&frame);
    link_client_free(client);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
}

/* ---- N2: no authentication, no server ---- */

static void n2_an_open_door_fails_the_self_test(void **state)
{
    struct farm *farm = *state;
    struct raw open = raw_open(ZMQ_ROUTER);
    struct diag diag = DIAG_INIT;
    char endpoint[256];
    size_t size = sizeof(endpoint);
    int one = 1;
    zmq_setsockopt(open.socket, ZMQ_CURVE_SERVER, &one, sizeof(one));
    zmq_setsockopt(open.socket, ZMQ_CURVE_SECRETKEY, farm->server_keys.secret, LINK_KEY_SIZE);
    assert_int_equal(zmq_bind(open.socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(open.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    assert_int_equal(link_check_refuses_strangers(endpoint, farm->server_keys.open, &diag), FARM_E_REFUSED);
    assert_non_null(strstr(diag.text, "unknown key"));
    raw_close(&open);
}

/* The same open socket, with the enforcement that every server of ours sets: libzmq refuses by itself. */
static void n2_without_a_handler_nobody_is_admitted(void **state)
{
    struct farm *farm = *state;
    struct raw shut = raw_open(ZMQ_ROUTER);
    struct buf frame = BUF_INIT;
    char endpoint[256];
    size_t size = sizeof(endpoint);
    int one = 1;
    zmq_setsockopt(shut.socket, ZMQ_CURVE_SERVER, &one, sizeof(one));
    zmq_setsockopt(shut.socket, ZMQ_CURVE_SECRETKEY, farm->server_keys.secret, LINK_KEY_SIZE);
    zmq_setsockopt(shut.socket, ZMQ_ZAP_DOMAIN, LINK_ZAP_DOMAIN, strlen(LINK_ZAP_DOMAIN));
    assert_int_equal(zmq_setsockopt(shut.socket, ZMQ_ZAP_ENFORCE_DOMAIN, &one, sizeof(one)), 0);
    assert_int_equal(zmq_bind(shut.socket, "tcp://127.0.0.1:*"), 0);
    assert_int_equal(zmq_getsockopt(shut.socket, ZMQ_LAST_ENDPOINT, endpoint, &size), 0);
    struct link_client *client = NULL;
    const struct link_client_options options = {.endpoint = endpoint,
                                                .server_key = farm->server_keys.open,
                                                .secret_key = farm->alice.secret,
                                                .frame_max = FRAME_MAX};
    assert_int_equal(link_client_new(&options, &client, NULL), 0);
    int event = next_event(client, &frame, NULL);
    assert_int_not_equal(event, LINK_UP);
    buf_done(&frame);
    link_client_free(client);
    raw_close(&shut);
}

static void a_busy_address_is_named(void **state)
{
    struct farm *farm = *state;
    struct link_server_options options = server_options(farm);
    struct link_server *second = NULL;
    struct diag diag = DIAG_INIT;
    options.endpoint = link_server_endpoint(farm->server);
    assert_true(link_server_new(&options, &second, &diag) < 0);
    assert_non_null(strstr(diag.text, options.endpoint));
    assert_null(second);
}

/* A peer that never reads fills its own queue and nobody else's. */
static void a_full_queue_is_reported(void **state)
{
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_DEALER);
    CLEANUP_FREE char *block = mem_zero(1, FRAME_MAX);
    int one = 1, r = 0;
    raw_curve(&raw, farm, &farm->alice);
    zmq_setsockopt(raw.socket, ZMQ_RCVHWM, &one, sizeof(one));
    raw_connect(&raw, farm);
    assert_int_equal(zmq_send(raw.socket, "x", 1, 0), 1);
    expect_frame(farm->server, "alice", "x");
    for (int i = 0; i < 5000 && r == 0; i++)
        r = link_server_send(farm->server, "alice", view_of(block, FRAME_MAX), NULL);
    assert_int_equal(r, -EAGAIN);
    expect_honest_service(farm);
    raw_close(&raw);
}

/* ---- what waits in here ---- */

/* Until the guard has ended this many connections. */
static void expect_cut(struct farm *farm, uint64_t count)
{
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (link_server_stats(farm->server).cut < count && moment_steady_ms() < end)
        usleep(10 * 1000);
    assert_int_equal(link_server_stats(farm->server).cut, count);
}

/*
 * libzmq counts messages when they are whole, and this one is not for a long time: 256 MiB, of which the sender holds one frame,
 * again and again. Nobody receives meanwhile, as in a long turn of the loop.
 */
static void n4_an_endless_message_ends_the_connection(void **state)
{
    enum { FRAMES = 4096 };
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_DEALER);
    static char block[FRAME_MAX]; /* outlives libzmq's use of it */
    raw_curve(&raw, farm, &farm->alice);
    raw_connect(&raw, farm);
    for (int i = 0; i < FRAMES; i++) {
        zmq_msg_t part;
        assert_int_equal(zmq_msg_init_data(&part, block, FRAME_MAX, NULL, NULL), 0);
        assert_int_equal(zmq_msg_send(&part, raw.socket, i < FRAMES - 1 ? ZMQ_SNDMORE : 0), FRAME_MAX);
    }
    expect_cut(farm, 1);
    expect_honest_service(farm);
    raw_close(&raw);
}

/* Full queues are no endless message: who sends a lot while nobody receives is slowed down, and nothing is lost. */
static void many_messages_wait_and_are_not_cut(void **state)
{
    enum { MESSAGES = 300 };
    struct farm *farm = *state;
    struct raw raw = raw_open(ZMQ_DEALER);
    CLEANUP_FREE char *block = mem_zero(1, FRAME_MAX);
    int unlimited = 0;
    struct link_peer from;
    struct buf frame = BUF_INIT;
    zmq_setsockopt(raw.socket, ZMQ_SNDHWM, &unlimited, sizeof(unlimited));
    raw_curve(&raw, farm, &farm->alice);
    raw_connect(&raw, farm);
    memset(block, 1, FRAME_MAX);
    assert_int_equal(zmq_send(raw.socket, "first", 5, 0), 5);
    expect_frame(farm->server, "alice", "first");
    for (int i = 0; i < MESSAGES; i++)
        assert_int_equal(zmq_send(raw.socket, block, FRAME_MAX, 0), FRAME_MAX);
    usleep(500 * 1000); /* several looks of the guard */
    for (int i = 0; i < MESSAGES; i++)
        assert_true(receive_within(farm->server, PATIENCE_MS, &from, &frame));
    assert_int_equal(link_server_stats(farm->server).cut, 0);
    buf_done(&frame);
    raw_close(&raw);
}

/* Fills the connection's queue with what its peer does not read, until nothing has moved for a while. */
static void fill(struct farm *farm, const struct link_peer *peer)
{
    enum { TRIES = 10 };
    struct buf frame = BUF_INIT;
    for (int tries = 0; tries < TRIES; tries++) {
        buf_clear(&frame);
        memset(buf_room(&frame, FRAME_MAX), 1, FRAME_MAX);
        frame.size = FRAME_MAX;
        int r = link_server_send_to(farm->server, peer, &frame, NULL);
        assert_true(r == 0 || r == -EAGAIN);
        if (r == 0)
            tries = 0;
        else
            usleep(10 * 1000);
    }
    buf_done(&frame);
}

/* Each queue is within its limits, all of them together are not: whoever has most goes, and the others stay. */
static void n3_a_crowd_of_slow_readers_is_bounded_together(void **state)
{
    enum { CROWD = 4, BUDGET = 10 * 1024 * 1024 };
    struct farm *farm = *state;
    struct link_server_options options = server_options(farm);
    struct raw raw[CROWD], slow = raw_open(ZMQ_DEALER);
    struct link_peer peer;
    struct buf frame = BUF_INIT;
    int one = 1;
    options.many = true;
    options.waiting_max = BUDGET;
    link_server_free(farm->server);
    assert_int_equal(link_server_new(&options, &farm->server, NULL), 0);
    zmq_setsockopt(slow.socket, ZMQ_RCVHWM, &one, sizeof(one));
    raw_curve(&slow, farm, &farm->bob);
    raw_connect(&slow, farm);
    assert_int_equal(zmq_send(slow.socket, "x", 1, 0), 1);
    assert_true(receive_within(farm->server, PATIENCE_MS, &peer, &frame));
    fill(farm, &peer);
    for (int i = 0; i < CROWD; i++) {
        raw[i] = raw_open(ZMQ_DEALER);
        zmq_setsockopt(raw[i].socket, ZMQ_RCVHWM, &one, sizeof(one));
        raw_curve(&raw[i], farm, &farm->alice);
        raw_connect(&raw[i], farm);
        assert_int_equal(zmq_send(raw[i].socket, "x", 1, 0), 1);
        assert_true(receive_within(farm->server, PATIENCE_MS, &peer, &frame));
        if (link_server_stats(farm->server).cut == 0)
            fill(farm, &peer);
    }
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (link_server_stats(farm->server).cut == 0 && moment_steady_ms() < end)
        usleep(10 * 1000);
    assert_in_range(link_server_stats(farm->server).cut, 1, CROWD);
    /* Bob's connection stands: what he was sent is there to be read, and he may speak. */
    assert_int_equal(zmq_send(slow.socket, "still here", 10, 0), 10);
    expect_frame(farm->server, "bob", "still here");
    for (int i = 0; i < CROWD; i++)
        raw_close(&raw[i]);
    raw_close(&slow);
    buf_done(&frame);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, while the process is small: the guard looks when its memory grows. */
        TEST(n4_an_endless_message_ends_the_connection),
        TEST(many_messages_wait_and_are_not_cut),
        TEST(n3_a_crowd_of_slow_readers_is_bounded_together),
        cmocka_unit_test(keys_are_raw_and_agree),
        TEST(frames_go_both_ways),
        TEST(who_is_not_connected_is_reported),
        TEST(a_client_comes_back_after_the_server_was_reset),
        TEST(a_client_waits_for_a_server_that_is_not_there),
        TEST(names_and_both_families_work),
        TEST(an_unknown_name_is_reported),
        TEST(a_newer_connection_replaces_the_older),
        TEST(many_connections_are_told_apart),
        TEST(polling_mixes_sockets_and_descriptors),
        TEST(n1_an_unknown_key_is_refused_in_words),
        TEST(n1_many_refusals_block_nothing),
        TEST(a_wrong_server_key_is_named),
        TEST(one_key_has_one_user),
        TEST(revoking_ends_the_session_for_good),
        TEST(n7_null_and_plain_are_refused),
        TEST(n4_a_message_over_the_cap_cuts_the_peer),
        TEST(n5_a_chosen_routing_id_gives_nothing),
        TEST(n8_several_frames_are_dropped_and_counted),
        TEST(n8_the_client_drops_several_frames),
        TEST(n3_honest_workers_proceed_in_a_flood_of_idle_connections),
        TEST(n3_descriptors_come_back_after_the_handshake_interval),
        TEST(n2_an_open_door_fails_the_self_test),
        TEST(n2_without_a_handler_nobody_is_admitted),
        TEST(a_busy_address_is_named),
        TEST(a_full_queue_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
