/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys and base64: RFC 8032 vectors, C2SP's edge cases (W4, E5), keyids and PEM. */
#include "base64.h"
#include "file.h"
#include "json.h"
#include "keys.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static struct public_key key_of(const char *hex)
{
    struct public_key key = {0};
    assert_true(hex_decode(view_text(hex), key.bytes, sizeof key.bytes));
    return key;
}

/* RFC 8032, 7.1, TEST 2. */
static const char *const seed_hex = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb";
static const char *const public_hex = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
static const char *const signature_hex = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                                         "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";

static void test_rfc8032(void **state)
{
    (void)state;
    unsigned char seed[KEYS_SEED_SIZE];
    struct signature signature, expected;
    assert_true(hex_decode(view_text(seed_hex), seed, sizeof seed));
    assert_true(hex_decode(view_text(signature_hex), expected.bytes, sizeof expected.bytes));
    struct key_pair *pair = keys_from_seed(seed);
    struct public_key key = key_of(public_hex);
    assert_true(keys_public_equal(keys_public(pair), &key));
    assert_int_equal(keys_sign(pair, VIEW("\x72"), &signature, NULL), 0);
    assert_memory_equal(&signature, &expected, sizeof signature);
    assert_true(keys_verify(&key, VIEW("\x72"), &signature));
    assert_false(keys_verify(&key, VIEW("\x73"), &signature));
    keys_free(pair);
}

/* E5: S + L verifies in sloppy implementations. */
static void test_E5_unreduced_s(void **state)
{
    (void)state;
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7,
                                            0xa2, 0xde, 0xf9, 0xde, 0x14, 0,    0,    0,    0,    0,    0,
                                            0,    0,    0,    0,    0,    0,    0,    0,    0,    0x10};
    struct signature signature = {0};
    struct public_key key = key_of(public_hex);
    assert_true(hex_decode(view_text(signature_hex), signature.bytes, sizeof signature.bytes));
    unsigned int carry = 0;
    for (size_t i = 0; i < 32; i++) {
        carry += signature.bytes[32 + i] + (unsigned int)order[i];
        signature.bytes[32 + i] = (unsigned char)carry;
        carry >>= 8;
    }
    assert_false(keys_verify(&key, VIEW("\x72"), &signature));
}

static bool has_flag(const json_t *entry, const char *name)
{
    const json_t *flags = json_object_get(entry, "flags");
    for (size_t i = 0; i < json_array_size(flags); i++)
        if (strcmp(json_string_value(json_array_get(flags, i)), name) == 0)
            return true;
    return false;
}

/* Only signatures without any edge count: everything flagged is a second form of something, or a forged key. */
static void test_cctv(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *vectors = NULL;
    if (file_read(AT_FDCWD, FARM_SHARED_DIR "/vectors/ed25519-cctv.json", 4 << 20, &text, NULL) < 0) {
        print_message("skipped: no ed25519-cctv.json in %s/vectors\n", FARM_SHARED_DIR);
        skip();
    }
    assert_int_equal(json_read(buf_view(&text), "cctv", 4 << 20, &vectors, NULL), 0);
    size_t accepted = 0, bad_keys = 0;
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *entry = json_array_get(vectors, i);
        struct public_key key = key_of(json_string_value(json_object_get(entry, "key")));
        struct signature signature;
        assert_true(hex_decode(view_text(json_string_value(json_object_get(entry, "sig"))), signature.bytes,
                               sizeof signature.bytes));
        bool bad_key = has_flag(entry, "low_order_A") || has_flag(entry, "low_order_component_A") ||
                       has_flag(entry, "non_canonical_A");
        bool bad = bad_key || has_flag(entry, "low_order_R") || has_flag(entry, "non_canonical_R") ||
                   has_flag(entry, "low_order_residue") || has_flag(entry, "low_order_component_R");
        assert_int_equal(keys_public_is_valid(&key), !bad_key);
        if (keys_verify(&key, view_text(json_string_value(json_object_get(entry, "msg"))), &signature) == bad)
            fail_msg("vector %zu: accepted and flagged disagree", i);
        accepted += !bad;
        bad_keys += bad_key;
    }
    assert_int_equal(json_array_size(vectors), 914);
    assert_true(accepted >= 1 && bad_keys > 800);
}

static void test_W4_points_that_no_honest_generator_makes_are_refused(void **state)
{
    (void)state;
    struct public_key key;
    assert_false(
        keys_public_parse(VIEW("0000000000000000000000000000000000000000000000000000000000000000"), &key));
    assert_false(
        keys_public_parse(VIEW("0100000000000000000000000000000000000000000000000000000000000000"), &key));
    assert_false(
        keys_public_parse(VIEW("10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f"), &key));
    assert_false(
        keys_public_parse(VIEW("3D4017C3E843895A92B70AA74D1B7EBC9C982CCF2EC4968CC0CD55F12AF4660C"), &key));
    assert_true(keys_public_parse(view_text(public_hex), &key));
}

/* keyid from the text it is defined over; PEM as "openssl pkey -pubin" reads it. */
static void test_names(void **state)
{
    (void)state;
    struct public_key key = key_of(public_hex), back;
    struct digest expected =
        digest_of(VIEW("{\"keytype\":\"ed25519\",\"keyval\":{\"public\":"
                       "\"3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\"},"
                       "\"scheme\":\"ed25519\"}"));
    struct digest id = keys_id(&key);
    assert_memory_equal(&id, &expected, sizeof id);
    CLEANUP_BUF struct buf pem = BUF_INIT;
    keys_public_write_pem(&key, &pem);
    assert_string_equal(pem.data, "-----BEGIN PUBLIC KEY-----\n"
                                  "MCowBQYDK2VwAyEAPUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw=\n"
                                  "-----END PUBLIC KEY-----\n");
    assert_int_equal(keys_public_read_pem(buf_view(&pem), &back, NULL), 0);
    assert_true(keys_public_equal(&key, &back));
    assert_int_equal(keys_public_read_pem(view_of(pem.data, pem.size - 1), &back, NULL), 0);
    assert_int_equal(keys_public_read_pem(view_of(pem.data, pem.size - 3), &back, NULL), FARM_E_SYNTAX);
    assert_int_equal(keys_public_read_pem(VIEW_NONE, &back, NULL), FARM_E_SYNTAX);
}

static void test_generated(void **state)
{
    (void)state;
    struct key_pair *one = keys_generate(), *two = keys_generate();
    struct signature signature;
    assert_true(keys_public_is_valid(keys_public(one)));
    assert_false(keys_public_equal(keys_public(one), keys_public(two)));
    assert_int_equal(keys_sign(one, VIEW_NONE, &signature, NULL), 0);
    assert_true(keys_verify(keys_public(one), VIEW_NONE, &signature));
    assert_false(keys_verify(keys_public(two), VIEW_NONE, &signature));
    keys_free(one);
    keys_free(two);
}

static void check_base64(const char *text, const char *bytes)
{
    CLEANUP_BUF struct buf buf = BUF_INIT;
    assert_int_equal(base64_decode(view_text(text), &buf), bytes != NULL);
    assert_string_equal(buf.data, bytes != NULL ? bytes : "");
}

static void test_base64(void **state)
{
    (void)state;
    check_base64("", "");
    check_base64("Zg==", "f");
    check_base64("Zg", "f"); /* URL-safe without padding */
    check_base64("Zm9vYmFy", "foobar");
    check_base64("+/+/Pj8=", "\xfb\xff\xbf>?");
    check_base64("-_-_Pj8=", "\xfb\xff\xbf>?");
    check_base64("-/+/Pj8=", NULL); /* a mixture */
    check_base64("Zh==", NULL);     /* set bits behind the end */
    check_base64("Zg=", NULL);
    check_base64("Zm9v\nYmFy", NULL);
    check_base64("Z", NULL);
    CLEANUP_BUF struct buf buf = BUF_INIT;
    base64_encode(VIEW("\xfb\xff\xbf>?"), &buf);
    assert_string_equal(buf.data, "+/+/Pj8=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_E5_unreduced_s),
        cmocka_unit_test(test_cctv),
        cmocka_unit_test(test_W4_points_that_no_honest_generator_makes_are_refused),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_base64),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
