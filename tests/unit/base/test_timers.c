/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "timers.h"

enum { COUNT = 300 };

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    return *random ^= *random << 17;
}

static int64_t earliest(const struct timer *all)
{
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < COUNT; i++)
        if (timer_is_set(&all[i]) && all[i].at_ms < first)
            first = all[i].at_ms;
    return first;
}

static void test_against_a_search(void **state)
{
    (void)state;
    struct timer all[COUNT] = {{0}};
    struct timers timers = TIMERS_INIT;
    uint64_t random = 88172645463325252u;
    for (int step = 0; step < 20000; step++) {
        struct timer *timer = &all[next_random(&random) % COUNT];
        if (next_random(&random) % 3 == 0)
            timers_cancel(&timers, timer); /* set or not */
        else
            timers_set(&timers, timer, (int64_t)(next_random(&random) % 1000) - 500);
        const struct timer *first = timers_first(&timers);
        assert_int_equal(first != NULL ? first->at_ms : INT64_MAX, earliest(all));
    }
    int64_t before = INT64_MIN;
    for (struct timer *first; (first = timers_first(&timers)) != NULL;) {
        assert_true(first->at_ms >= before);
        before = first->at_ms;
        timers_cancel(&timers, first);
        assert_false(timer_is_set(first));
    }
    assert_int_equal(earliest(all), INT64_MAX);
    timers_done(&timers);
}

int base_timers_tests(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_a_search)};
    return cmocka_run_group_tests_name("timers", tests, NULL, NULL);
}
