/* SPDX-License-Identifier: GPL-3.0-or-later */
/* link: honest peers, over real sockets on loopback. */
#include "link_rig.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- frames ---- */

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

/* ---- servers that go and come ---- */

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

/* ---- addresses ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(a_busy_address_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
