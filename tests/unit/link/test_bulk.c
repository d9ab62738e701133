/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bulk: objects move between two stores, alone and several together, for those who may; and several clients share one server.
 */
#include "bulk_rig.h"

#include "file.h"
#include "moment.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- the plain case ---- */

static void objects_go_down_and_up(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest down = put_noise(farm->there, BIG, 1), up = put_noise(farm->here, BIG, 2);
    must(bulk_get(farm->client, farm->here, &down, BIG, &diag), &diag);
    assert_whole(farm->here, &down);
    must(bulk_put(farm->client, farm->here, &up, &diag), &diag);
    assert_whole(farm->there, &up);
    assert_string_equal(farm->rules.present_user, "alice");
    struct bulk_server_stats stats = bulk_server_stats(farm->server);
    assert_int_equal(stats.stored, 1);
    assert_true(stats.sent_bytes >= BIG && stats.sent_bytes < BIG + MEBI);
    /* What is there already is not sent again. */
    must(bulk_get(farm->client, farm->here, &down, BIG, &diag), &diag);
    must(bulk_put(farm->client, farm->here, &up, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).received_bytes, stats.received_bytes);
}

static void small_objects_and_rests_between(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    for (uint64_t i = 1; i <= 5; i++) {
        struct digest digest = put_noise(farm->here, (size_t)i, i);
        must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
        assert_whole(farm->there, &digest);
        bulk_client_rest(farm->client);
    }
}

/* Small ones go with their Put, larger ones in chunks; what is there already is not sent again. */
static void several_objects_go_together(void **state)
{
    enum { COUNT = 9 };
    static const size_t sizes[COUNT] = {1, 1000, 60 * 1024, 0, 3 * MEBI, 70 * 1024, 17, 40 * 1024, MEBI};
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digests[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        digests[i] = put_noise(farm->here, sizes[i], i + 1);
    must(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), &diag);
    for (size_t i = 0; i < COUNT; i++)
        assert_whole(farm->there, &digests[i]);
    struct bulk_server_stats stats = bulk_server_stats(farm->server);
    assert_int_equal(stats.stored, COUNT);
    must(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).stored, COUNT);
    must(bulk_put_all(farm->client, farm->here, digests, 0, &diag), &diag);
    /* An answer may name one object as two things. */
    struct digest one = put_noise(farm->here, 100, COUNT + 1), twice[] = {one, digests[0], one};
    must(bulk_put_all(farm->client, farm->here, twice, ARRAY_SIZE(twice), &diag), &diag);
    assert_whole(farm->there, &one);
    /* One that is here nowhere says which. */
    digests[2] = digest_of(VIEW("nowhere"));
    assert_int_equal(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, digest_hex(&digests[2]).text));
}

static void missing_objects_are_listed(void **state)
{
    enum { COUNT = 2500 }; /* more than one question */
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE struct digest *digests = mem_zero(COUNT, sizeof(*digests));
    CLEANUP_FREE bool *missing = mem_zero(COUNT, sizeof(*missing));
    for (size_t i = 0; i < COUNT; i++)
        digests[i] = digest_of(view_of(&i, sizeof(i)));
    digests[0] = put_noise(farm->there, 100, 1);
    digests[1100] = put_noise(farm->there, 100, 2);
    must(bulk_missing(farm->client, digests, COUNT, missing, &diag), &diag);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(missing[i], i != 0 && i != 1100);
    assert_int_equal(farm->rules.present, 2);
}

static void an_absent_object_is_missing(void **state)
{
    struct farm *farm = *state;
    struct digest digest = digest_of(VIEW("nowhere"));
    struct diag diag = DIAG_INIT;
    assert_int_equal(bulk_get(farm->client, farm->here, &digest, BIG, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, digest_hex(&digest).text));
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void waiting_can_be_cancelled(void **state)
{
    struct farm *farm = *state;
    struct digest digest = digest_of(VIEW("x"));
    struct bulk_client *client = NULL;
    struct diag diag = DIAG_INIT;
    /* Port 9 of loopback: nobody answers there. */
    const struct bulk_client_options options = {.endpoint = "tcp://127.0.0.1:9",
                                                .server_key = farm->server_open,
                                                .secret_key = farm->secret,
                                                .cancelled = always};
    must(bulk_client_new(&options, &client, &diag), &diag);
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), -ECANCELED);
    bulk_client_free(client);
}

/* ---- authorisation ---- */

static void callbacks_decide_and_hide(void **state)
{
    struct farm *farm = *state;
    struct digest both = put_noise(farm->there, 1000, 7);
    struct diag diag = DIAG_INIT;
    bool missing = false;
    assert_true(both.bytes[0] == put_noise(farm->here, 1000, 7).bytes[0]);
    atomic_store(&farm->rules.deny_get, true);
    struct digest other = put_noise(farm->there, 1000, 8);
    assert_int_equal(bulk_get(farm->client, farm->here, &other, BIG, &diag), FARM_E_REFUSED);
    /* Somebody else's equal answer does not show: it is "missing", and the upload is taken in full. */
    must(bulk_missing(farm->client, &both, 1, &missing, &diag), &diag);
    assert_true(missing);
    must(bulk_put(farm->client, farm->here, &both, &diag), &diag);
    assert_true(bulk_server_stats(farm->server).received_bytes >= 1000);
    atomic_store(&farm->rules.deny_put, true);
    struct digest mine = put_noise(farm->here, 1000, 9);
    assert_int_equal(bulk_put(farm->client, farm->here, &mine, &diag), FARM_E_REFUSED);
    assert_int_equal(bulk_put_all(farm->client, farm->here, &mine, 1, &diag), FARM_E_REFUSED);
    assert_false(store_has(farm->there, &mine));
}

static void a_revoked_worker_gets_nothing(void **state)
{
    struct farm *farm = *state;
    struct digest digest = put_noise(farm->there, 1000, 7);
    struct diag diag = DIAG_INIT;
    struct bulk_client *client = client_to(farm, bulk_server_endpoint(farm->server), 1000);
    bool missing;
    must(bulk_missing(client, &digest, 1, &missing, &diag), &diag); /* connected */
    assert_true(link_gate_revoke(farm->gate, "alice"));
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), FARM_E_TIMEOUT);
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), FARM_E_TIMEOUT);
    assert_non_null(strstr(diag.text, "does not admit our key"));
    bulk_client_free(client);
}

/* ---- several at a time ---- */

/* Two slots of one worker upload the same log: the first is still waiting when the second asks. */
static void all_who_wait_for_an_upload_hear_its_end(void **state)
{
    struct farm *farm = *state;
    struct link_client *first = raw_client(farm), *second = raw_client(farm);
    struct digest digest = put_noise(farm->here, WIRE_CHUNK_MAX - 4096, 1);
    struct buf content = BUF_INIT;
    Wire__Put put = WIRE__PUT__INIT;
    struct digest_hex hex = digest_hex(&digest);
    CLEANUP_FREE char *path = mem_format("%s/here/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    assert_int_equal(file_read(AT_FDCWD, path, 2 * MEBI, &content, NULL), 0);
    put.digest = wire_digest(&digest);
    put.stored_size = content.size;
    raw_put(first, &digest, buf_view(&content));
    /* Its last sign of the bytes: what follows is the commit, which takes a sync of the disk. */
    for (int i = 0; i < 2; i++)
        wire_free(raw_expect(first, WIRE_PUT_READY));
    raw_send(second, WIRE_PUT, &put.base);
    wire_free(raw_expect(second, WIRE_STORED));
    wire_free(raw_expect(first, WIRE_STORED));
    buf_done(&content);
    link_client_free(first);
    link_client_free(second);
}

/* D8 without a stall: after a restart a large object is read through first, and meanwhile others are answered. */
static void checking_a_large_object_does_not_stall_others(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest big = put_noise(farm->there, 96 * MEBI, 1), small = put_noise(farm->there, 1000, 2);
    struct digest_hex hex = digest_hex(&big);
    CLEANUP_FREE char *path = mem_format("%s/there/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    Wire__Get get = WIRE__GET__INIT;
    get.digest = wire_digest(&big);
    get.credit = 1;
    struct link_client *raw = raw_client(farm);
    must(bulk_get(farm->client, farm->here, &small, BIG, &diag), &diag); /* connected */
    assert_int_equal(chmod(path, 0444), 0); /* changed: it has to be read again */
    assert_false(store_is_verified(farm->there, &big));
    bool missing;
    int64_t asked = moment_steady_ms();
    raw_send(raw, WIRE_GET, &get.base);
    usleep(5000); /* so that it is served first */
    must(bulk_missing(farm->client, &small, 1, &missing, &diag), &diag);
    int64_t answered = moment_steady_ms();
    wire_free(raw_expect(raw, WIRE_CHUNK));
    int64_t checked = moment_steady_ms();
    assert_true(store_is_verified(farm->there, &big));
    assert_true(checked - asked > 2 * (answered - asked));
    link_client_free(raw);
}

/* Several slots of one worker at a time, each with a client of its own. */
struct slot {
    struct farm *farm;
    struct digest digest;
    char owner[16];
    pthread_t thread;
    int result;
};

static void *slot_run(void *argument)
{
    struct slot *slot = argument;
    struct bulk_client *client = NULL;
    const struct bulk_client_options options = {.endpoint = bulk_server_endpoint(slot->farm->server),
                                                .server_key = slot->farm->server_open,
                                                .owner = slot->owner,
                                                .secret_key = slot->farm->secret,
                                                .timeout_ms = PATIENCE_MS};
    slot->result = bulk_client_new(&options, &client, NULL);
    if (slot->result >= 0)
        slot->result = bulk_get(client, slot->farm->here, &slot->digest, BIG, NULL);
    bulk_client_free(client);
    return NULL;
}

static void slots_of_one_worker_share_the_server(void **state)
{
    enum { SLOTS = 4 };
    struct farm *farm = *state;
    struct slot slots[SLOTS];
    for (int i = 0; i < SLOTS; i++) { /* two of them want the same object */
        slots[i] =
            (struct slot){.farm = farm, .digest = put_noise(farm->there, 5 * MEBI, (uint64_t)(i / 2 + 1))};
        snprintf(slots[i].owner, sizeof(slots[i].owner), "slot-%d", i);
        assert_int_equal(pthread_create(&slots[i].thread, NULL, slot_run, &slots[i]), 0);
    }
    for (int i = 0; i < SLOTS; i++) {
        pthread_join(slots[i].thread, NULL);
        assert_int_equal(slots[i].result, 0);
        assert_whole(farm->here, &slots[i].digest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_go_down_and_up),
        TEST(small_objects_and_rests_between),
        TEST(several_objects_go_together),
        TEST(missing_objects_are_listed),
        TEST(an_absent_object_is_missing),
        TEST(callbacks_decide_and_hide),
        TEST(a_revoked_worker_gets_nothing),
        TEST(waiting_can_be_cancelled),
        TEST(all_who_wait_for_an_upload_hear_its_end),
        TEST(checking_a_large_object_does_not_stall_others),
        TEST(slots_of_one_worker_share_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
