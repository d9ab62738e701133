/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "link_rig.h"

#include "moment.h"

#include <stdlib.h>

void make_keys(struct keys *keys)
{
    assert_int_equal(link_keypair(keys->open, keys->secret, NULL), 0);
}

struct link_server_options server_options(struct farm *farm)
{
    return (struct link_server_options){.endpoint = "tcp://127.0.0.1:*",
                                        .secret_key = farm->server_keys.secret,
                                        .gate = farm->gate,
                                        .frame_max = FRAME_MAX,
                                        .handshake_ms = 1000};
}

int rig_setup(void **state)
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

int rig_teardown(void **state)
{
    struct farm *farm = *state;
    link_server_free(farm->server);
    link_gate_free(farm->gate);
    free(farm);
    return 0;
}

struct link_client *client_with(struct farm *farm, const struct keys *keys, const unsigned char *server_key)
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

struct link_client *client_of(struct farm *farm, const struct keys *keys)
{
    return client_with(farm, keys, farm->server_keys.open);
}

struct link_client *connected(struct farm *farm, const struct keys *keys)
{
    struct link_client *client = client_of(farm, keys);
    expect_event(client, LINK_UP);
    return client;
}

void say(struct link_client *client, const char *text)
{
    assert_int_equal(link_client_send(client, view_text(text), NULL), 0);
}

int next_event(struct link_client *client, struct buf *frame, struct diag *diag)
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

void expect_event(struct link_client *client, enum link_event event)
{
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int got = next_event(client, &frame, &diag);
    if (got != (int)event)
        fail_msg("event %d instead of %d: %s", got, (int)event, diag.text);
    buf_done(&frame);
}

bool receive_within(struct link_server *server, int ms, struct link_peer *from, struct buf *frame)
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

void expect_frame(struct link_server *server, const char *user, const char *text)
{
    struct link_peer from;
    struct buf frame = BUF_INIT;
    assert_true(receive_within(server, PATIENCE_MS, &from, &frame));
    assert_string_equal(from.user, user);
    assert_string_equal(frame.data, text);
    buf_done(&frame);
}

void expect_silence(struct link_server *server)
{
    struct link_peer from;
    struct buf frame = BUF_INIT;
    assert_false(receive_within(server, 300, &from, &frame));
    buf_done(&frame);
}

void expect_honest_service(struct farm *farm)
{
    struct link_client *client = connected(farm, &farm->bob);
    say(client, "honest");
    expect_frame(farm->server, "bob", "honest");
    link_client_free(client);
}

struct raw raw_open(int type)
{
    struct raw raw = {zmq_ctx_new(), NULL};
    int zero = 0;
    raw.socket = zmq_socket(raw.context, type);
    assert_non_null(raw.socket);
    zmq_setsockopt(raw.socket, ZMQ_LINGER, &zero, sizeof(zero));
    return raw;
}

void raw_curve(struct raw *raw, struct farm *farm, const struct keys *keys)
{
    zmq_setsockopt(raw->socket, ZMQ_CURVE_SERVERKEY, farm->server_keys.open, LINK_KEY_SIZE);
    zmq_setsockopt(raw->socket, ZMQ_CURVE_PUBLICKEY, keys->open, LINK_KEY_SIZE);
    zmq_setsockopt(raw->socket, ZMQ_CURVE_SECRETKEY, keys->secret, LINK_KEY_SIZE);
}

void raw_connect(struct raw *raw, struct farm *farm)
{
    assert_int_equal(zmq_connect(raw->socket, link_server_endpoint(farm->server)), 0);
}

void raw_close(struct raw *raw)
{
    zmq_close(raw->socket);
    zmq_ctx_term(raw->context);
}
