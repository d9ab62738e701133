/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Who removes objects, and who reads and writes them meanwhile. */
#include "store_rig.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NO_LIMIT UINT64_MAX

static void test_collect_honours_keep_pins_and_grace(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct digest kept = rig_put(store, VIEW("kept")), pinned = rig_put(store, VIEW("pinned")),
                  young = rig_put(store, VIEW("young")), old = rig_put(store, VIEW("old")),
                  again = rig_put(store, VIEW("again")), absent = digest_of(VIEW("absent"));
    const struct digest *aged[] = {&kept, &pinned, &old, &again};
    for (size_t i = 0; i < ARRAY_SIZE(aged); i++) {
        CLEANUP_FREE char *path = rig_file(aged[i]);
        rig_make_old(scratch, path, 100);
    }
    store_pin(store, &pinned);
    store_pin(store, &pinned);
    store_pin(store, &absent);
    rig_put(store, VIEW("again")); /* stored once more: its age starts over */
    assert_int_equal(rig_collect(store, &kept, 60000), 1);
    assert_true(store_has(store, &kept) && store_has(store, &pinned) && store_has(store, &young) &&
                store_has(store, &again));
    assert_false(store_has(store, &old));
    store_unpin(store, &pinned);
    assert_int_equal(rig_collect(store, &kept, 60000), 0); /* pins count */
    store_unpin(store, &pinned);
    assert_int_equal(rig_collect(store, &kept, 60000), 1);
    assert_false(store_has(store, &pinned));
    rig_put(store, VIEW("absent")); /* protected since before it came */
    CLEANUP_FREE char *path = rig_file(&absent);
    rig_make_old(scratch, path, 100);
    assert_int_equal(rig_collect(store, &kept, 60000), 0);
    store_unpin(store, &absent);
    assert_int_equal(rig_collect(store, &kept, 60000), 1);
    store_unpin(store, &absent); /* one too many does no harm */
    store_close(store);
}

static void test_commit_can_pin(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct digest other = digest_of(VIEW("other")), name;
    for (int i = 0; i < 2; i++) { /* new, and there already */
        struct store_writer *writer;
        struct diag diag = DIAG_INIT;
        assert_ok(store_write_begin(store, NO_LIMIT, &writer, &diag), &diag);
        assert_ok(store_write(writer, "x", 1, &diag), &diag);
        assert_ok(store_write_commit(writer, NULL, true, &name, NULL, &diag), &diag);
    }
    CLEANUP_FREE char *path = rig_file(&name);
    rig_make_old(scratch, path, 100);
    assert_int_equal(rig_collect(store, &other, 0), 0);
    store_unpin(store, &name);
    assert_int_equal(rig_collect(store, &other, 0), 0);
    store_unpin(store, &name);
    assert_int_equal(rig_collect(store, &other, 0), 1);
    store_close(store);
}

static int count_visit(void *context, const struct digest *name, uint64_t stored_size)
{
    (void)name;
    assert_true(stored_size > 0);
    return ++*(int *)context == 3 ? FARM_E_STATE : 0;
}

static bool keep_nothing(void *context, const struct digest *name)
{
    (void)context;
    (void)name;
    return false;
}

static void test_collect_empties_damaged_in_time(void **state)
{
    struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct diag diag = DIAG_INIT;
    size_t removed = 0;
    long long now = (long long)time(NULL);
    CLEANUP_FREE char *fresh = mem_format("store/damaged/aa.%lld", now - STORE_DAMAGED_KEPT_S + 60);
    CLEANUP_FREE char *old = mem_format("store/damaged/bb.%lld", now - STORE_DAMAGED_KEPT_S - 60);
    put_file(scratch->fd, fresh, "x", 0444);
    put_file(scratch->fd, old, "x", 0444);
    put_file(scratch->fd, "store/damaged/notes", "somebody's", 0444);
    assert_ok(store_collect(store, keep_nothing, NULL, 1000, &removed, NULL, &diag), &diag);
    assert_int_equal(removed, 1);
    assert_true(exists(scratch->fd, fresh) && exists(scratch->fd, "store/damaged/notes"));
    assert_false(exists(scratch->fd, old));
    store_close(store);
}

static void test_each_can_be_ended(void **state)
{
    struct store *store = rig_open(*state);
    static const char *const texts[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        rig_put(store, view_text(texts[i]));
    int count = 0;
    struct diag diag = DIAG_INIT;
    assert_int_equal(store_each(store, count_visit, &count, &diag), FARM_E_STATE);
    assert_int_equal(count, 3);
    store_close(store);
}

/* Several threads store the same objects again and again while another collects everything that is not pinned. */
struct race {
    struct store *store;
    atomic_int failures;
    atomic_bool stop;
};

static void *race_writer(void *context)
{
    struct race *race = context;
    for (int i = 0; i < 60; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "object %d", i % 5);
        struct digest name;
        struct store_writer *writer;
        bool ok = store_write_begin(race->store, NO_LIMIT, &writer, NULL) == 0 &&
                  store_write(writer, text, (size_t)length, NULL) == 0 &&
                  store_write_commit(writer, NULL, true, &name, NULL, NULL) == 0;
        /* Pinned: whatever the collector does, it is there until we let go. */
        struct buf content = BUF_INIT;
        ok = ok && store_get(race->store, &name, 100, &content, NULL) == 0 &&
             view_equal(buf_view(&content), view_of(text, (size_t)length));
        buf_done(&content);
        if (!ok)
            race->failures++;
        else
            store_unpin(race->store, &name);
    }
    return NULL;
}

static void *race_collector(void *context)
{
    struct race *race = context;
    while (!race->stop)
        if (store_collect(race->store, keep_nothing, NULL, -60000, NULL, NULL, NULL) < 0)
            race->failures++;
    return NULL;
}

static void test_writers_against_a_collector(void **state)
{
    struct race race = {.store = rig_open(*state)};
    pthread_t writers[3], collector;
    assert_int_equal(pthread_create(&collector, NULL, race_collector, &race), 0);
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
        assert_int_equal(pthread_create(&writers[i], NULL, race_writer, &race), 0);
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
        pthread_join(writers[i], NULL);
    race.stop = true;
    pthread_join(collector, NULL);
    assert_int_equal(race.failures, 0);
    store_close(race.store);
}

static void *store_once_more(void *context)
{
    struct race *race = context;
    for (int i = 0; i < 50; i++) {
        struct store_writer *writer;
        if (store_write_begin(race->store, NO_LIMIT, &writer, NULL) < 0 ||
            store_write(writer, "again", 5, NULL) < 0 ||
            store_write_commit(writer, NULL, false, NULL, NULL, NULL) < 0)
            race->failures++;
    }
    race->stop = true;
    return NULL;
}

/* Who was told "stored" can rely on it while somebody else hands in the same bytes. */
static void test_durable_object_stays_while_it_is_stored_again(void **state)
{
    struct race race = {.store = rig_open(*state)};
    struct digest name = rig_put(race.store, VIEW("again"));
    pthread_t writer;
    int absent = 0;
    assert_int_equal(pthread_create(&writer, NULL, store_once_more, &race), 0);
    while (!race.stop)
        absent += !store_has(race.store, &name);
    pthread_join(writer, NULL);
    assert_int_equal(absent, 0);
    assert_int_equal(race.failures, 0);
    store_close(race.store);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_collect_honours_keep_pins_and_grace),
        SCRATCH(test_commit_can_pin),
        SCRATCH(test_collect_empties_damaged_in_time),
        SCRATCH(test_each_can_be_ended),
        SCRATCH(test_writers_against_a_collector),
        SCRATCH(test_durable_object_stays_while_it_is_stored_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
