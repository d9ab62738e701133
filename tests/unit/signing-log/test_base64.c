/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One text has one meaning: the vectors of RFC 4648, and each byte in each place. */
#include "base64.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void test_vectors(void **state)
{
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT, back = BUF_INIT;
        base64_encode(view_text(plain[i]), &text);
        assert_string_equal(text.data, coded[i]);
        assert_true(base64_decode_standard(buf_view(&text), &back));
        assert_true(view_equal(buf_view(&back), view_text(plain[i])));
        assert_true(base64_decode(buf_view(&text), &back)); /* appends */
        assert_int_equal(back.size, 2 * strlen(plain[i]));
    }
}

/* All 256 bytes in each of four places; the standard reader takes the alphabet's 64 and no other. */
static void test_each_byte(void **state)
{
    (void)state;
    for (int place = 0; place < 4; place++)
        for (int byte = 0; byte < 256; byte++) {
            CLEANUP_BUF struct buf back = BUF_INIT, again = BUF_INIT;
            char text[] = "AAAA";
            text[place] = (char)byte;
            bool letter = byte != 0 && strchr(alphabet, byte) != NULL;
            bool padding = byte == '=' && place == 3;
            bool url = byte == '-' || byte == '_';
            assert_int_equal(base64_decode_standard(view_of(text, 4), &back), letter || padding);
            assert_int_equal(back.size, letter ? 3 : padding ? 2 : 0);
            if (letter || padding) {
                base64_encode(buf_view(&back), &again);
                assert_string_equal(again.data, text);
            }
            buf_clear(&back);
            assert_int_equal(base64_decode(view_of(text, 4), &back), letter || padding || url);
        }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "A",    "AA",    "AAA",   "AAAAA", "A===",   "====",   "AA=",  "AAA==",    "AA==A",           "AB==",
        "AAB=", " AAAA", "AAAA ", "AA AA", "AAAA\n", "AAA=\n", "AA=A", "Zg==Zg==", "\xb7\xb7\xb7\xb7"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        CLEANUP_BUF struct buf back = BUF_INIT;
        buf_add_text(&back, "kept");
        assert_false(base64_decode_standard(view_text(bad[i]), &back));
        assert_string_equal(back.data, "kept");
    }
    CLEANUP_BUF struct buf back = BUF_INIT;
    assert_true(base64_decode(VIEW("_-Q"), &back)); /* DSSE's other form: URL-safe without padding */
    assert_false(base64_decode(VIEW("_+Q="), &back));
    assert_false(base64_decode_standard(VIEW("_-Q="), &back));
    assert_false(base64_decode_standard(VIEW("AA\0A"), &back));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
