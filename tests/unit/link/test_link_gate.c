/* SPDX-License-Identifier: GPL-3.0-or-later */
/* link: who gets in, and who does no longer (N1, N2, N7; W5). */
#include "link_rig.h"

/* ---- keys ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(n1_an_unknown_key_is_refused_in_words), TEST(n1_many_refusals_block_nothing),
        TEST(a_wrong_server_key_is_named),           TEST(one_key_has_one_user),
        TEST(revoking_ends_the_session_for_good),    TEST(n7_null_and_plain_are_refused),
        TEST(n2_an_open_door_fails_the_self_test),   TEST(n2_without_a_handler_nobody_is_admitted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
