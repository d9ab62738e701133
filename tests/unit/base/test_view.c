/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "view.h"

static void test_compare_is_by_unsigned_bytes(void **state)
{
    (void)state;
    assert_true(view_compare(VIEW("a"), VIEW("b")) < 0);
    assert_true(view_compare(VIEW("\xff"), VIEW("a")) > 0);
    assert_true(view_compare(VIEW("a"), VIEW("ab")) < 0);
    assert_true(view_compare(VIEW("a\0b"), VIEW("a\0c")) < 0);
    assert_int_equal(view_compare(VIEW_NONE, VIEW("")), 0);
    assert_true(view_equal(VIEW_NONE, VIEW("")));
    assert_false(view_equal(VIEW("a"), VIEW("A")));
}

static void test_starts_and_ends(void **state)
{
    (void)state;
    assert_true(view_starts(VIEW("abc"), VIEW("ab")) && view_starts(VIEW("abc"), VIEW("")) &&
                view_starts(VIEW_NONE, VIEW("")));
    assert_false(view_starts(VIEW("ab"), VIEW("abc")));
    assert_true(view_ends(VIEW("abc"), VIEW("bc")) && view_ends(VIEW_NONE, VIEW_NONE));
    assert_false(view_ends(VIEW("abc"), VIEW("ab")));
}

static void assert_split(const char *text, const char *const *fields, size_t count)
{
    struct view rest = view_text(text), field;
    for (size_t i = 0; i < count; i++) {
        assert_true(view_split(&rest, ',', &field));
        assert_true(view_equal(field, view_text(fields[i])));
    }
    assert_false(view_split(&rest, ',', &field));
}

static void test_split_keeps_empty_fields(void **state)
{
    (void)state;
    assert_split("a,b", (const char *const[]){"a", "b"}, 2);
    assert_split(",a,,", (const char *const[]){"", "a", "", ""}, 4);
    assert_split("", (const char *const[]){""}, 1);
    struct view none = VIEW_NONE, field;
    assert_false(view_split(&none, ',', &field));
}

static void test_decimal(void **state)
{
    (void)state;
    uint64_t number = 7;
    static const char *const bad[] = {
        "", "-1", "+1", "01", "00", " 1", "1 ", "1a", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(view_decimal(view_text(bad[i]), &number));
    assert_int_equal(number, 7); /* untouched */
    assert_true(view_decimal(VIEW("0"), &number) && number == 0);
    assert_true(view_decimal(VIEW("18446744073709551615"), &number) && number == UINT64_MAX);
}

static void test_token(void **state)
{
    (void)state;
    assert_true(view_is_token(VIEW("a!~")));
    static const struct view bad[] = {VIEW(""),    VIEW("a b"),  VIEW("a\n"),
                                      VIEW("a\0"), VIEW("\x7f"), VIEW("\xc3\xa9")};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(view_is_token(bad[i]));
}

static void test_utf8(void **state)
{
    (void)state;
    static const struct view good[] = {VIEW(""),
                                       VIEW("a"),
                                       VIEW("\xc3\xa9"),
                                       VIEW("\xe2\x82\xac"),
                                       VIEW("\xf0\x9f\x98\x80"),
                                       VIEW("\xf4\x8f\xbf\xbf"),
                                       VIEW("\xed\x9f\xbf"),
                                       VIEW("\xee\x80\x80")};
    static const struct view bad[] = {
        VIEW("a\0b"),
        VIEW("\x80"),
        VIEW("\xc0\x80"),
        VIEW("\xc1\xbf"),
        VIEW("\xe0\x9f\xbf"),
        VIEW("\xf0\x8f\xbf\xbf"),
        VIEW("\xed\xa0\x80"),
        VIEW("\xed\xbf\xbf"),
        VIEW("\xf4\x90\x80\x80"),
        VIEW("\xf5\x80\x80\x80"),
        VIEW("\xff"),
        VIEW("\xc3"),
        VIEW("\xe2\x82"),
        VIEW("\xf0\x9f\x98"),
        VIEW("\xc3\x28"),
        VIEW("\xe2\x28\xa1"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(view_is_utf8(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(view_is_utf8(bad[i]));
}

int base_view_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compare_is_by_unsigned_bytes),
        cmocka_unit_test(test_starts_and_ends),
        cmocka_unit_test(test_split_keeps_empty_fields),
        cmocka_unit_test(test_decimal),
        cmocka_unit_test(test_token),
        cmocka_unit_test(test_utf8),
    };
    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
