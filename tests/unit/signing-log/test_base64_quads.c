/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Base64: our table against libsodium's decoder and encoder. They must agree on every text, or one envelope has two readings (E2). */
#include "base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* The standard form is what is read, and written again to the same text. */
static bool read_by_the_other(struct view text, struct buf *ret)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    if (!base64_decode(text, ret))
        return false;
    base64_encode(buf_view(ret), &again);
    return view_equal(buf_view(&again), text);
}

static bool check(struct view text)
{
    CLEANUP_BUF struct buf ours = BUF_INIT, theirs = BUF_INIT;
    buf_add_text(&ours, "kept");
    buf_add_text(&theirs, "");
    bool accepted = base64_decode_standard(text, &ours);
    if (accepted != read_by_the_other(text, &theirs))
        fail_msg("\"%.*s\": %s", VIEW_ARG(text), accepted ? "accepted by us alone" : "refused by us alone");
    assert_int_equal(ours.size, 4 + (accepted ? theirs.size : 0));
    assert_memory_equal(ours.data, "kept", 4);
    if (accepted)
        assert_memory_equal(ours.data + 4, theirs.data, theirs.size);
    return accepted;
}

/* All quads of letters from both ends of the alphabet's parts, with what stands beside them in ASCII, alone and between others. */
static void test_E2_every_quad_has_one_reading(void **state)
{
    static const char letters[] = "AZaz09+/=@[`{:-_ \n\0\x80Qg";
    enum { COUNT = sizeof letters - 1 };
    size_t accepted = 0;
    (void)state;
    for (size_t i = 0; i < COUNT * COUNT * COUNT * COUNT; i++) {
        char text[13] = "TWFuTWFuTWFu";
        for (size_t j = 0, rest = i; j < 4; j++, rest /= COUNT)
            text[4 + j] = letters[rest % COUNT];
        accepted += check(view_of(text + 4, 4));
        check(view_of(text, 8));
        if (i % 7 == 0)
            check(view_of(text, 12));
    }
    assert_true(accepted > 10000);
}

static void test_E2_every_byte_in_every_place(void **state)
{
    (void)state;
    for (unsigned int byte = 0; byte < 256; byte++)
        for (size_t at = 0; at < 8; at++) {
            char text[9] = "TWFuTWE=";
            text[at] = (char)byte;
            check(view_of(text, 8));
        }
}

static void test_lengths(void **state)
{
    (void)state;
    assert_true(check(view_of("", 0)));
    for (size_t size = 0; size <= 12; size++)
        assert_int_equal(check(view_of("TWFuTWFuTWFu", size)), size % 4 == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_E2_every_quad_has_one_reading),
        cmocka_unit_test(test_E2_every_byte_in_every_place),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
