/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "digest.h"

#include <unistd.h>

static void assert_digest(struct view text, const char *hex)
{
    struct digest digest = digest_of(text);
    assert_string_equal(digest_hex(&digest).text, hex);
}

static void test_fips_180_vectors(void **state)
{
    (void)state;
    assert_digest(VIEW(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(VIEW_NONE, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_digest(VIEW("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_digest(VIEW("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
                  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_a_hasher_serves_again(void **state)
{
    (void)state;
    struct hasher *hasher = hasher_new();
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 1000; i++)
            hasher_add(hasher, "aaaaaaaaaa", 10);
        hasher_add(hasher, "", 0);
        struct digest digest = hasher_finish(hasher);
        assert_string_equal(digest_hex(&digest).text,
                            "27dd1f61b867b6a0f6e9d8a41c43231de52107e53ae424de8f847b821db4b711");
    }
    struct digest empty = hasher_finish(hasher), expected = digest_of(VIEW(""));
    assert_true(digest_equal(&empty, &expected));
    hasher_free(hasher);
    hasher_free(NULL);
}

static void test_of_a_descriptor(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "abc", 3), 3);
    close(ends[1]);
    struct digest digest, expected = digest_of(VIEW("abc"));
    struct diag diag = DIAG_INIT;
    assert_int_equal(digest_of_fd(ends[0], &digest, &diag), 0);
    assert_true(digest_equal(&digest, &expected));
    close(ends[0]);
    assert_true(digest_of_fd(-1, &digest, &diag) < 0);
    assert_non_null(strstr(diag.text, "read"));
}

static void test_hex(void **state)
{
    (void)state;
    struct digest digest = digest_of(VIEW("abc")), parsed;
    struct digest_hex hex = digest_hex(&digest);
    assert_true(digest_parse(view_text(hex.text), &parsed) && digest_equal(&digest, &parsed));
    assert_int_equal(digest_compare(&digest, &parsed), 0);
    assert_false(digest_is_zero(&digest));
    assert_false(digest_parse(view_of(hex.text, 63), &parsed));
    hex.text[0] = 'B';
    assert_false(digest_parse(view_text(hex.text), &parsed));
    assert_true(digest_equal(&digest, &parsed)); /* untouched */
    char bytes[2] = "x", text[5];
    assert_false(hex_decode(VIEW("12g4"), bytes, 2));
    assert_int_equal(bytes[0], 'x');
    assert_true(hex_decode(VIEW("0fA0") /* capitals are not ours */, bytes, 2) == false);
    assert_true(hex_decode(VIEW("0fa0"), bytes, 2));
    hex_encode(bytes, 2, text);
    assert_string_equal(text, "0fa0");
}

int base_digest_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fips_180_vectors),
        cmocka_unit_test(test_a_hasher_serves_again),
        cmocka_unit_test(test_of_a_descriptor),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
