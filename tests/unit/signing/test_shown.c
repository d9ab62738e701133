/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a terminal would obey, and what would turn a line around, is not shown as it is. */
#include "shown.h"

#include "view.h"

#include <setjmp.h>

#include <cmocka.h>

static void test_shown(void **state)
{
    (void)state;
    static const struct {
        const char *text, *shown;
    } cases[] = {{"", ""},
                 {"plain: (text) \"as\" it is\\", "plain: (text) \"as\" it is\\"},
                 {"gr\xc3\xb6\xc3\x9f"
                  "er \xe2\x82\xac \xf0\x9f\x90\xa7",
                  "gr\xc3\xb6\xc3\x9f"
                  "er \xe2\x82\xac \xf0\x9f\x90\xa7"},
                 {"a\x1b[2Jb\nc\td\x7f", "a?[2Jb?c?d?"},
                 {"a\xc2\x9b"
                  "31mb",
                  "a?31mb"}, /* C1 */
                 {"a\x9b"
                  "31mb\xff\xc3",
                  "a?31mb??"},                             /* no UTF-8 */
                 {"x\xe2\x80\xaey\xe2\x81\xa6z", "x?y?z"}, /* an override, an isolate */
                 {"x\xe2\x80\xa8y\xe2\x80\x8bz", "x?y?z"}, /* a separator of lines, no room */
                 {"\xc0\x80\xed\xa0\x80", "?????"}};       /* overlong, surrogate */
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *shown = shown_text(cases[i].text);
        assert_string_equal(shown, cases[i].shown);
        assert_true(view_is_utf8(view_text(shown)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
