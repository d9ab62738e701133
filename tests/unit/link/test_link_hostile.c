/* SPDX-License-Identifier: GPL-3.0-or-later */
/* link: peers that send what no worker sends (N4, N5, N8), and floods of connections (N3). */
#include "link_rig.h"

#include "moment.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- messages ---- */

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

/* ---- connections ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(n4_a_message_over_the_cap_cuts_the_peer),
        TEST(n5_a_chosen_routing_id_gives_nothing),
        TEST(n8_several_frames_are_dropped_and_counted),
        TEST(n8_the_client_drops_several_frames),
        TEST(n3_honest_workers_proceed_in_a_flood_of_idle_connections),
        TEST(n3_descriptors_come_back_after_the_handshake_interval),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
