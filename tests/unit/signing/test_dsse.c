/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DSSE: the project's vectors (E1-E3), and what must be refused (E4, E5). */
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

static void test_malformed(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf bomb = BUF_INIT;
    check_refused("", FARM_E_SYNTAX);
    check_refused("[]", FARM_E_SYNTAX);
    check_refused("{\"payload\":\"e30=\",\"payload\":\"e30=\",\"payloadType\":\"" DSSE_TYPE_INTOTO
                  "\",\"signatures\":[]}",
                  FARM_E_SYNTAX); /* E4 */
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
        cmocka_unit_test(test_vectors), cmocka_unit_test(test_pae),       cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_flipped), cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests_name("dsse", tests, NULL, NULL);
}
