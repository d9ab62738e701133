/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "lograte.h"

static void test_a_flood_is_ten_lines(void **state)
{
    (void)state;
    struct lograte rate = {0};
    uint64_t held = 99;
    int64_t now = 5;
    for (int i = 0; i < LOGRATE_LINES; i++) {
        assert_true(lograte_pass(&rate, now, &held));
        assert_int_equal(held, 0);
    }
    for (int i = 0; i < 1000; i++)
        assert_false(lograte_pass(&rate, now + i, &held));
    now += LOGRATE_WINDOW_MS;
    assert_true(lograte_pass(&rate, now, &held));
    assert_int_equal(held, 1000);
    assert_true(lograte_pass(&rate, now, &held));
    assert_int_equal(held, 0);
}

/* Whoever speaks seldom is always heard. */
static void test_single_lines_pass(void **state)
{
    (void)state;
    struct lograte rate = {0};
    for (int64_t i = 0; i < 100; i++) {
        uint64_t held = 99;
        assert_true(lograte_pass(&rate, i * LOGRATE_WINDOW_MS / LOGRATE_LINES, &held));
        assert_int_equal(held, 0);
    }
}

int base_lograte_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flood_is_ten_lines),
        cmocka_unit_test(test_single_lines_pass),
    };
    return cmocka_run_group_tests_name("lograte", tests, NULL, NULL);
}
