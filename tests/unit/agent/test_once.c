/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "once.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static char thing;
static atomic_int makings;

static void *maker(void *context)
{
    bool mine;
    struct once *once = context;
    struct once_entry *entry = once_enter(once, "k", &mine);
    if (mine) {
        /* The first one fails: one of those who wait has to make it. */
        if (atomic_fetch_add(&makings, 1) == 0) {
            usleep(20000);
            once_failed(once, entry);
            return NULL;
        }
        usleep(20000);
        once_made(once, entry, &thing, 7);
    }
    if (entry->value != &thing)
        return NULL;
    once_leave(once, entry);
    return &thing;
}

static void made_once(void **state)
{
    (void)state;
    enum { THREADS = 8 };
    pthread_t threads[THREADS];
    struct once *once = once_new();
    int got = 0;
    atomic_store(&makings, 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, maker, once), 0);
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        got += result == &thing;
    }
    assert_int_equal(atomic_load(&makings), 2);
    assert_int_equal(got, THREADS - 1);
    assert_int_equal(once_bytes(once), 7);
    once_free(once, NULL);
}

static void eviction(void **state)
{
    (void)state;
    bool mine;
    struct once *once = once_new();
    once_seed(once, "a", &thing, 1);
    once_seed(once, "b", &thing, 2);
    struct once_entry *a = once_enter(once, "a", &mine); /* now b is the one that was not used for longest */
    assert_false(mine);
    struct once_entry *gone = once_evict(once);
    assert_string_equal(gone->key, "b");
    assert_int_equal(once_bytes(once), 1);
    once_failed(once, gone);
    assert_null(once_evict(once)); /* a is in use */
    once_leave(once, a);
    gone = once_evict(once);
    assert_string_equal(gone->key, "a");
    once_failed(once, gone);
    struct once_entry *again = once_enter(once, "a", &mine);
    assert_true(mine);
    once_failed(once, again);
    once_free(once, NULL);
}

int suite_once(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(made_once), cmocka_unit_test(eviction)};
    return cmocka_run_group_tests_name("once", tests, NULL, NULL);
}
