/* SPDX-License-Identifier: GPL-3.0-or-later */
/* link: what waits in here is bounded, for each peer and for all of them together (N3, N4), and nothing else is cut. */
#include "link_rig.h"

#include "moment.h"

#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First, while the process is small: the guard looks when its memory grows. */
        TEST(n4_an_endless_message_ends_the_connection),
        TEST(many_messages_wait_and_are_not_cut),
        TEST(n3_a_crowd_of_slow_readers_is_bounded_together),
        TEST(a_full_queue_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
