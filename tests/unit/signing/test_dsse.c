/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DSSE: the project's vectors, and the hostile envelopes E1 to E5. */
#include "base64.h"
#include "dsse.h"
#include "file.h"
#include "json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>

#include <cmocka.h>

static bool any_type_accepts(const json_t *vector, const json_t *keys)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    json_write(json_object_get(vector, "envelope"), &envelope);
    const json_t *names = json_object_get(vector, "trustedKeys"),
                 *types = json_object_get(vector, "supportedPayloadTypes");
    struct public_key trusted[4];
    size_t ntrusted = json_array_size(names);
    assert_true(ntrusted <= ARRAY_SIZE(trusted));
    for (size_t i = 0; i < ntrusted; i++)
        assert_true(keys_public_parse(
            view_text(json_string_value(json_object_get(keys, json_string_value(json_array_get(names, i))))),
            &trusted[i]));
    bool accepted = false;
    for (size_t i = 0; i < json_array_size(types); i++) {
        CLEANUP_BUF struct buf payload = BUF_INIT;
        accepted |=
            dsse_verify(buf_view(&envelope), json_string_value(json_array_get(types, i)), trusted, ntrusted,
                        (unsigned int)json_integer_value(json_object_get(vector, "threshold")), &payload,
                        NULL) == 0;
    }
    return accepted;
}

static void test_vectors(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    if (file_read(AT_FDCWD, FARM_SHARED_DIR "/vectors/dsse.json", 1 << 20, &text, NULL) < 0) {
        print_message("skipped: no dsse.json in %s/vectors\n", FARM_SHARED_DIR);
        skip();
    }
    assert_int_equal(json_read(buf_view(&text), "dsse.json", 1 << 20, &document, NULL), 0);
    const json_t *vectors = json_object_get(document, "vectors");
    assert_true(json_array_size(vectors) >= 9);
    for (size_t i = 0; i < json_array_size(vectors); i++) {
        const json_t *vector = json_array_get(vectors, i);
        bool expected = strcmp(json_string_value(json_object_get(vector, "expect")), "accept") == 0;
        if (any_type_accepts(vector, json_object_get(document, "keys")) != expected)
            fail_msg("%s: expected %s", json_string_value(json_object_get(vector, "id")),
                     expected ? "accept" : "reject");
    }
}

static void test_pae(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf pae = BUF_INIT;
    dsse_pae(VIEW("http://example.com/HelloWorld"), VIEW("hello world"),
             &pae); /* the specification's own example */
    assert_string_equal(pae.data, "DSSEv1 29 http://example.com/HelloWorld 11 hello world");
}

static void test_round_trip(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *one = keys_generate();
    CLEANUP_KEYS struct key_pair *two = keys_generate();
    const struct key_pair *pairs[] = {one, two};
    struct public_key trusted[] = {*keys_public(two), *keys_public(one), *keys_public(one)};
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_BUF struct buf payload = BUF_INIT;
    assert_int_equal(dsse_sign(DSSE_TYPE_INTOTO, VIEW("{}"), pairs, 2, &envelope, NULL), 0);
    assert_true(dsse_is_canonical(buf_view(&envelope)));
    assert_int_equal(dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, trusted, 3, 2, &payload, NULL), 0);
    assert_string_equal(payload.data, "{}");
    assert_int_equal(dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, trusted, 3, 3, &payload, NULL),
                     FARM_E_SIGNATURE);
    assert_int_equal(dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, trusted + 1, 2, 2, &payload, NULL),
                     FARM_E_SIGNATURE);
    assert_int_equal(dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, trusted, 3, 0, &payload, NULL),
                     FARM_E_REFUSED);
    assert_int_equal(dsse_verify(buf_view(&envelope), "text/plain", trusted, 3, 1, &payload, NULL),
                     FARM_E_REFUSED);
    assert_string_equal(payload.data, "{}"); /* untouched by failures */
}

/* Every single byte flipped: refused, or (white space, keyid, unused bits) the same payload. */
static void test_flipped(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    const struct key_pair *const pairs[] = {pair};
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    assert_int_equal(dsse_sign(DSSE_TYPE_INTOTO, VIEW("{\"a\":1}"), pairs, 1, &envelope, NULL), 0);
    for (size_t i = 0; i < envelope.size; i++) {
        CLEANUP_BUF struct buf payload = BUF_INIT;
        envelope.data[i] ^= 1;
        if (dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, keys_public(pair), 1, 1, &payload, NULL) == 0)
            assert_string_equal(payload.data, "{\"a\":1}");
        envelope.data[i] ^= 1;
    }
}

static void check_refused(const char *text, int error)
{
    struct public_key key = {{1}};
    CLEANUP_BUF struct buf payload = BUF_INIT;
    int found = dsse_verify(view_text(text), DSSE_TYPE_INTOTO, &key, 1, 1, &payload, NULL);
    if (found != error)
        fail_msg("%s: %s", text, farm_error_name(found));
}

/* ---- hostile envelopes ---- */

/* Two signatures over {}, as a document that a test may change. */
static json_t *signed_twice(struct key_pair *const pairs[2])
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    const struct key_pair *const signers[] = {pairs[0], pairs[1]};
    json_t *document = NULL;
    assert_int_equal(dsse_sign(DSSE_TYPE_INTOTO, VIEW("{}"), signers, 2, &envelope, NULL), 0);
    assert_int_equal(json_read(buf_view(&envelope), "envelope", 1 << 20, &document, NULL), 0);
    return document;
}

static int verify_both(const json_t *document, struct key_pair *const pairs[2])
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf payload = BUF_INIT;
    const struct public_key trusted[] = {*keys_public(pairs[0]), *keys_public(pairs[1])};
    json_write(document, &text);
    return dsse_verify(buf_view(&text), DSSE_TYPE_INTOTO, trusted, 2, 2, &payload, NULL);
}

static void test_E1_another_payload_type_is_refused(void **state)
{
    (void)state;
    struct key_pair *const pairs[] = {keys_generate(), keys_generate()};
    CLEANUP_JSON json_t *document = signed_twice(pairs);
    assert_int_equal(verify_both(document, pairs), 0);
    json_object_set_new(document, "payloadType", json_string("application/vnd.in-toto+JSON"));
    assert_true(verify_both(document, pairs) < 0);
    json_object_set_new(document, "payloadType", json_string("text/plain"));
    assert_true(verify_both(document, pairs) < 0);
    keys_free(pairs[0]);
    keys_free(pairs[1]);
}

/* "-_" for "+/", with and without padding. */
static void make_url_safe(json_t *object, const char *name)
{
    char *text = mem_string(json_string_value(json_object_get(object, name)));
    for (char *c = text; *c != '\0'; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    json_object_set_new(object, name, json_string(text));
    free(text);
}

static void test_E2_url_safe_base64_is_read(void **state)
{
    (void)state;
    for (int i = 0; i < 8; i++) { /* fresh keys: both characters come up in some signature */
        struct key_pair *const pairs[] = {keys_generate(), keys_generate()};
        CLEANUP_JSON json_t *document = signed_twice(pairs);
        json_t *signatures = json_object_get(document, "signatures");
        make_url_safe(json_array_get(signatures, 0), "sig");
        make_url_safe(json_array_get(signatures, 1), "sig");
        assert_int_equal(verify_both(document, pairs), 0);
        keys_free(pairs[0]);
        keys_free(pairs[1]);
    }
}

/* From a worker there is one form, and who passes it on cannot make a second one with another digest. */
static void test_E2_an_answer_has_one_form(void **state)
{
    (void)state;
    static const char standard[] = "\"payload\":\"//8=\"", url_safe[] = "\"payload\":\"__8=\"";
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    const struct key_pair *const pairs[] = {pair};
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    assert_int_equal(dsse_sign(DSSE_TYPE_INTOTO, view_of("\xff\xff", 2), pairs, 1, &envelope, NULL), 0);
    assert_int_equal(dsse_open(buf_view(&envelope), DSSE_TYPE_INTOTO, keys_public(pair), &changed, NULL), 0);
    char *at = strstr(envelope.data, standard);
    assert_non_null(at);
    memcpy(at, url_safe, strlen(url_safe));
    assert_int_equal(
        dsse_verify(buf_view(&envelope), DSSE_TYPE_INTOTO, keys_public(pair), 1, 1, &changed, NULL), 0);
    assert_int_equal(dsse_open(buf_view(&envelope), DSSE_TYPE_INTOTO, keys_public(pair), &changed, NULL),
                     FARM_E_REFUSED);
    memcpy(at, standard, strlen(standard));
    char *keyid = strstr(envelope.data, "\"keyid\":\"") + strlen("\"keyid\":\"");
    *keyid = *keyid == 'f' ? '0' : 'f';
    assert_int_equal(dsse_open(buf_view(&envelope), DSSE_TYPE_INTOTO, keys_public(pair), &changed, NULL),
                     FARM_E_REFUSED);
}

static void test_E3_keyids_are_neither_needed_nor_believed(void **state)
{
    (void)state;
    struct key_pair *const pairs[] = {keys_generate(), keys_generate()};
    CLEANUP_JSON json_t *document = signed_twice(pairs);
    json_t *signatures = json_object_get(document, "signatures");
    json_object_set_new(json_array_get(signatures, 0), "keyid", json_string("00"));
    json_object_set_new(json_array_get(signatures, 1), "keyid", json_string("00"));
    assert_int_equal(verify_both(document, pairs), 0);
    json_object_del(json_array_get(signatures, 0), "keyid");
    json_object_del(json_array_get(signatures, 1), "keyid");
    assert_int_equal(verify_both(document, pairs), 0);
    json_array_append(signatures, json_array_get(signatures, 0)); /* one key three times is one */
    json_array_remove(signatures, 1);
    assert_int_equal(verify_both(document, pairs), FARM_E_SIGNATURE);
    keys_free(pairs[0]);
    keys_free(pairs[1]);
}

/* S + L verifies under careless implementations, and would give one answer two digests. */
static void test_E5_a_signature_that_is_not_reduced_is_refused(void **state)
{
    (void)state;
    static const unsigned char order[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58,       0xd6,
                                            0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, [31] = 0x10};
    struct key_pair *const pairs[] = {keys_generate(), keys_generate()};
    CLEANUP_JSON json_t *document = signed_twice(pairs);
    json_t *signature = json_array_get(json_object_get(document, "signatures"), 0);
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_true(base64_decode(view_text(json_string_value(json_object_get(signature, "sig"))), &bytes));
    assert_int_equal(bytes.size, 64);
    unsigned int carry = 0;
    for (size_t i = 0; i < sizeof order; i++) {
        carry += (unsigned char)bytes.data[32 + i] + (unsigned int)order[i];
        bytes.data[32 + i] = (char)carry;
        carry >>= 8;
    }
    base64_encode(buf_view(&bytes), &text);
    json_object_set_new(signature, "sig", json_string(text.data));
    assert_int_equal(verify_both(document, pairs), FARM_E_SIGNATURE);
    keys_free(pairs[0]);
    keys_free(pairs[1]);
}

static void test_E4_duplicates_trailing_bytes_and_depth_are_refused(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf bomb = BUF_INIT;
    check_refused("", FARM_E_SYNTAX);
    check_refused("[]", FARM_E_SYNTAX);
    check_refused("{\"payload\":\"e30=\",\"payload\":\"e30=\",\"payloadType\":\"" DSSE_TYPE_INTOTO
                  "\",\"signatures\":[]}",
                  FARM_E_SYNTAX);
    check_refused("{\"payload\":\"e30=\",\"payloadType\":\"" DSSE_TYPE_INTOTO "\",\"signatures\":[]}{}",
                  FARM_E_SYNTAX);
    check_refused("{\"payload\":\"e30=\",\"payloadType\":\"" DSSE_TYPE_INTOTO "\",\"signatures\":[]}",
                  FARM_E_SIGNATURE);
    check_refused("{\"payload\":\"e30=\",\"payloadType\":\"" DSSE_TYPE_INTOTO
                  "\",\"signatures\":[{\"sig\":\"AA==\"}]}",
                  FARM_E_SYNTAX);
    check_refused("{\"payload\":7,\"payloadType\":\"" DSSE_TYPE_INTOTO "\",\"signatures\":[]}",
                  FARM_E_SYNTAX);
    for (int i = 0; i < 100000; i++)
        buf_add_byte(&bomb, '[');
    check_refused(bomb.data, FARM_E_LIMIT);
    assert_false(dsse_is_canonical(VIEW("{ \"payload\":\"e30=\",\"payloadType\":\"t\",\"signatures\":[]}")));
    assert_false(dsse_is_canonical(
        VIEW("{\"extra\":1,\"payload\":\"e30=\",\"payloadType\":\"t\",\"signatures\":[]}")));
    assert_true(dsse_is_canonical(VIEW("{\"payload\":\"e30=\",\"payloadType\":\"t\",\"signatures\":[]}")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_pae),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_flipped),
        cmocka_unit_test(test_E1_another_payload_type_is_refused),
        cmocka_unit_test(test_E2_url_safe_base64_is_read),
        cmocka_unit_test(test_E2_an_answer_has_one_form),
        cmocka_unit_test(test_E3_keyids_are_neither_needed_nor_believed),
        cmocka_unit_test(test_E4_duplicates_trailing_bytes_and_depth_are_refused),
        cmocka_unit_test(test_E5_a_signature_that_is_not_reduced_is_refused),
    };
    return cmocka_run_group_tests_name("dsse", tests, NULL, NULL);
}
