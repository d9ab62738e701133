/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "moment.h"

static void test_rfc_3339(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {0, "1970-01-01T00:00:00Z"},
        {1763823600999, "2025-11-22T15:00:00Z"},
        {951782400000, "2000-02-29T00:00:00Z"},
        {253402300799000, "9999-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int64_t back = 0;
        assert_string_equal(moment_format(cases[i].ms).text, cases[i].text);
        assert_true(moment_parse(view_text(cases[i].text), &back));
        assert_int_equal(back, cases[i].ms / 1000 * 1000);
    }
    static const char *const bad[] = {"",
                                      "2025-11-22T15:00:00",
                                      "2025-11-22T15:00:00z",
                                      "2025-11-22 15:00:00Z",
                                      "2025-02-29T00:00:00Z",
                                      "2025-13-01T00:00:00Z",
                                      "2025-11-22T24:00:00Z",
                                      "2025-11-22T23:59:60Z",
                                      "2025-11-22T15:00:00ZZ",
                                      "2025-1-022T15:00:00Z",
                                      "2025-11-22T15:00: 0Z",
                                      "+025-11-22T15:00:00Z"};
    int64_t untouched = 42;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(moment_parse(view_text(bad[i]), &untouched));
    assert_int_equal(untouched, 42);
    int64_t extreme[] = {INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < ARRAY_SIZE(extreme); i++)
        assert_true(strlen(moment_format(extreme[i]).text) > 0);
}

static void test_durations(void **state)
{
    (void)state;
    assert_string_equal(moment_duration(850).text, "850 ms");
    assert_string_equal(moment_duration(12399).text, "12.3 s");
    assert_string_equal(moment_duration(245000).text, "4 min 05 s");
    assert_string_equal(moment_duration(11520000).text, "3 h 12 min");
    assert_string_equal(moment_duration(59999).text, "59.9 s");
}

static void test_clocks_go_forward(void **state)
{
    (void)state;
    int64_t steady = moment_steady_ms();
    assert_true(moment_steady_ms() >= steady && steady > 0);
    assert_true(moment_wall_ms() > 1700000000000);
}

int base_moment_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc_3339),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_clocks_go_forward),
    };
    return cmocka_run_group_tests_name("moment", tests, NULL, NULL);
}
