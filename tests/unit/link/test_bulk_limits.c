/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulk: sizes, quotas (W14), bombs, and room that others need (D7). */
#include "bulk_rig.h"

#include <dirent.h>

static void quotas_and_sizes_are_enforced(void **state)
{
    struct farm *farm = *state;
    struct digest big = put_noise(farm->here, BIG, 1), medium = put_noise(farm->here, 3 * MEBI, 2);
    struct digest small = put_noise(farm->here, MEBI, 3);
    struct diag diag = DIAG_INIT;
    assert_int_equal(bulk_put(farm->client, farm->here, &big, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "one upload"));
    assert_int_equal(bulk_put(farm->client, farm->here, &medium, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "quota"));
    must(bulk_put(farm->client, farm->here, &small, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).refused, 2);
}

static void a_bomb_stops_at_the_limit(void **state)
{
    struct farm *farm = *state;
    CLEANUP_FREE char *zeros = mem_zero(1, 16 * MEBI);
    struct digest bomb;
    struct diag diag = DIAG_INIT;
    must(store_put(farm->here, view_of(zeros, 16 * MEBI), &bomb, &diag), &diag);
    assert_int_equal(bulk_put(farm->client, farm->here, &bomb, &diag), FARM_E_LIMIT);
    assert_false(store_has(farm->there, &bomb));
    must(store_put(farm->there, view_of(zeros, 15 * MEBI), &bomb, &diag), &diag);
    assert_int_equal(bulk_get(farm->client, farm->here, &bomb, 4 * MEBI, &diag), FARM_E_LIMIT);
    assert_false(store_has(farm->here, &bomb));
}

/* Who uploads cannot take the last room of those who have to write as well; with room again it goes on where it stopped. */
static void d7_uploads_wait_for_room(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digest = put_noise(farm->here, BIG, 21);
    atomic_store(&farm->rules.chunks, 6); /* the first is asked about with Put */
    assert_int_equal(bulk_put(farm->client, farm->here, &digest, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "no room for uploads"));
    uint64_t received = bulk_server_stats(farm->server).received_bytes;
    assert_int_equal(received, 5 * MEBI);
    atomic_store(&farm->rules.chunks, 0);
    assert_int_equal(bulk_put(farm->client, farm->here, &digest, &diag), FARM_E_UNAVAILABLE);
    atomic_store(&farm->rules.chunks, -1);
    must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
    assert_true(store_has(farm->there, &digest));
    assert_true(bulk_server_stats(farm->server).received_bytes < received + BIG);
}

/* ---- what is on a user's account ---- */

static size_t files_incoming(const struct farm *farm)
{
    CLEANUP_FREE char *path = mem_format("%s/there/incoming", farm->directory);
    DIR *stream = opendir(path);
    size_t count = 0;
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void raw_put_begin(struct link_client *raw, const struct digest *digest, uint64_t size)
{
    Wire__Put put = WIRE__PUT__INIT;
    put.digest = wire_digest(digest);
    put.stored_size = size;
    raw_send(raw, WIRE_PUT, &put.base);
    wire_free(raw_expect(raw, WIRE_PUT_READY));
}

/* What a refused upload leaves on the disk is on its user's account (the quota here is 2 MiB). */
static void w14_beginnings_stay_within_the_quota(void **state)
{
    struct farm *farm = *state;
    struct link_client *raw = raw_client(farm);
    struct digest digest = digest_of(VIEW("x")), other = digest_of(VIEW("y"));
    Wire__Put put = WIRE__PUT__INIT;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    done.digest = wire_digest(&digest);
    raw_put_begin(raw, &digest, 1000 * 1000);
    raw_send(raw, WIRE_PUT_DONE, &done.base); /* too early: refused, and kept for another try */
    assert_int_equal(raw_error(raw), FARM_E_STATE);
    put.digest = wire_digest(&other);
    put.stored_size = 1500 * 1000;
    raw_send(raw, WIRE_PUT, &put.base);
    assert_int_equal(raw_error(raw), FARM_E_UNAVAILABLE);
    assert_int_equal(files_incoming(farm), 1);
    /* The same object with another size takes the earlier one's place, and so does one that comes with its Put. */
    raw_put_begin(raw, &digest, 1000);
    raw_put_begin(raw, &digest, 1001);
    assert_int_equal(files_incoming(farm), 1);
    raw_put_whole(raw, &digest, 22, VIEW("this is no zstd frame."));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    assert_int_equal(files_incoming(farm), 0);
    link_client_free(raw);
}

/* So is what it sent to its end and no answer has named yet. */
static void w14_finished_uploads_stay_within_the_quota(void **state)
{
    struct farm *farm = *state;
    struct digest first = put_noise(farm->here, MEBI, 11), second = put_noise(farm->here, MEBI, 12);
    struct diag diag = DIAG_INIT;
    must(bulk_put(farm->client, farm->here, &first, &diag), &diag);
    assert_in_range(atomic_load(&farm->rules.held), MEBI, MEBI + MEBI / 8);
    assert_int_equal(bulk_put(farm->client, farm->here, &second, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "no answer names"));
    atomic_store(&farm->rules.held, 0); /* a row names it now */
    must(bulk_put(farm->client, farm->here, &second, &diag), &diag);
}

/* Beginnings of next to no size do not pile up either, as files or in memory. */
static void w14_beginnings_are_counted(void **state)
{
    enum { TRIES = 80, KEPT = 64 };
    struct farm *farm = *state;
    struct digest last = digest_of(VIEW("last"));
    struct link_client *raw = raw_client(farm);
    for (int i = 0; i < TRIES; i++) {
        CLEANUP_FREE char *name = mem_format("beginning %d", i);
        struct digest digest = digest_of(view_text(name));
        Wire__PutDone done = WIRE__PUT_DONE__INIT;
        done.digest = wire_digest(&digest);
        raw_put_begin(raw, &digest, 10);
        raw_send(raw, WIRE_PUT_DONE, &done.base);
        assert_int_equal(raw_error(raw), FARM_E_STATE);
    }
    raw_put_begin(raw, &last, 10); /* answered when the one before is done with */
    assert_int_equal(files_incoming(farm), KEPT + 1);
    link_client_free(raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(d7_uploads_wait_for_room),
        TEST_SMALL(quotas_and_sizes_are_enforced),
        TEST_SMALL(w14_beginnings_stay_within_the_quota),
        TEST_SMALL(w14_finished_uploads_stay_within_the_quota),
        TEST_SMALL(w14_beginnings_are_counted),
        TEST_SMALL(a_bomb_stops_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
