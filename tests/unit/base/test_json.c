/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "json.h"

static int read_text(struct view text, struct diag *diag)
{
    CLEANUP_JSON json_t *value = NULL;
    *diag = (struct diag)DIAG_INIT;
    return json_read(text, "doc", 1000, &value, diag);
}

static void test_E4_what_is_refused(void **state)
{
    (void)state;
    static const struct view bad[] = {
        VIEW(""),
        VIEW("{"),
        VIEW("{\"a\":1,\"a\":2}"),
        VIEW("{} {}"),
        VIEW("{}x"),
        VIEW("[1,]"),
        VIEW("{'a':1}"),
        VIEW("[\"\xff\"]"),
        VIEW("[\"a\0b\"]"),
        VIEW("[NaN]"),
        VIEW("[01]"),
        VIEW("[\"\\ud800\"]"),
        VIEW("{\"a\":{\"b\":1,\"b\":1}}"),
    };
    struct diag diag;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(read_text(bad[i], &diag), FARM_E_SYNTAX);
        assert_non_null(strstr(diag.text, "doc:1:"));
    }
    char deep[2 * (JSON_DEPTH_MAX + 1)];
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    assert_int_equal(read_text(view_of(deep, sizeof deep), &diag), FARM_E_LIMIT);
    assert_int_equal(read_text(view_of(deep + 1, sizeof deep - 2), &diag), 0);
    assert_int_equal(read_text(VIEW("[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[\"]"), &diag),
                     0); /* in a string */
    char large[1001];
    memset(large, ' ', sizeof large);
    large[0] = large[1] = '1';
    assert_int_equal(read_text(view_of(large, 1001), &diag), FARM_E_LIMIT);
}

static int append_item(void *context, const json_t *item, size_t index, struct diag *diag)
{
    json_t *items = context;
    assert_int_equal(index, json_array_size(items));
    if (json_is_string(item) && strcmp(json_string_value(item), "stop") == 0)
        return diag_set(diag, FARM_E_REFUSED, "stopped");
    return json_array_append(items, (json_t *)item);
}

/* The document put together again; NULL if it was refused. */
static json_t *read_long(struct view text, size_t *ret_items)
{
    CLEANUP_JSON json_t *items = json_array(), *rest = NULL;
    struct diag diag = DIAG_INIT;
    int status = json_read_long(text, "doc", 1000, "long", append_item, items, &rest, &diag);
    *ret_items = json_array_size(items);
    if (status < 0) {
        assert_null(rest);
        assert_true(diag.text[0] != '\0');
        return NULL;
    }
    if (*ret_items > 0)
        json_object_set(rest, "long", items);
    return STEAL(rest);
}

static void check_same_reading(struct view text)
{
    CLEANUP_JSON json_t *whole = NULL, *pieces = NULL;
    struct diag diag = DIAG_INIT;
    size_t items;
    int status = json_read(text, "doc", 1000, &whole, &diag);
    pieces = read_long(text, &items);
    if ((status >= 0) != (pieces != NULL))
        fail_msg("read as a whole: %d, in pieces: %d: %.*s", status >= 0, pieces != NULL, VIEW_ARG(text));
    if (pieces != NULL && !json_equal(whole, pieces))
        fail_msg("read as something else in pieces: %.*s", VIEW_ARG(text));
}

static void test_long_array(void **state)
{
    (void)state;
    static const struct view texts[] = {
        VIEW(
            "{\"a\":\"long\",\"long\":[{\"x\":[1,2],\"y\":\"],\\\"[\"},[],{},7,\"s\"],\"b\":{\"long\":[1]}}"),
        VIEW(" { \"long\" : [ 1 , [ 2 , 3 ] ] , \"z\" : null } "),
        VIEW("{\"b\":{\"long\":[1]},\"long\":[]}"),
        VIEW("[\"long\",[1,2]]"),
        VIEW("{\"long\":{\"long\":[1]}}"),
    };
    static const char edits[] = "[]{},:\"\\ 1x\n\xff";
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        check_same_reading(texts[i]);
        CLEANUP_FREE char *edited = view_string(texts[i]);
        for (size_t at = 0; at < texts[i].size; at++) {
            check_same_reading(view_of(edited, at));
            for (size_t k = 0; k < sizeof edits; k++) { /* and NUL */
                edited[at] = edits[k];
                check_same_reading(view_of(edited, texts[i].size));
            }
            edited[at] = texts[i].data[at];
        }
    }
}

static void test_E4_long_array_refusals(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *items = json_array(), *rest = NULL;
    struct diag diag = DIAG_INIT;
    struct view twice = VIEW("{\"long\":[1],\"long\":[2]}");
    assert_int_equal(json_read_long(twice, "doc", 1000, "long", append_item, items, &rest, &diag),
                     FARM_E_SYNTAX);
    struct view bad = VIEW("{\"long\":[1,{\"a\":1,\"a\":2}]}");
    json_array_clear(items);
    assert_int_equal(json_read_long(bad, "doc", 1000, "long", append_item, items, &rest, &diag),
                     FARM_E_SYNTAX);
    assert_non_null(strstr(diag.text, "doc: long[1]:1:"));
    struct view stops = VIEW("{\"long\":[1,\"stop\",3]}");
    json_array_clear(items);
    assert_int_equal(json_read_long(stops, "doc", 1000, "long", append_item, items, &rest, &diag),
                     FARM_E_REFUSED);
    assert_int_equal(json_array_size(items), 1);
    assert_int_equal(json_read_long(stops, "doc", 10, "long", append_item, items, &rest, &diag),
                     FARM_E_LIMIT);
    assert_null(rest);
    /* Written with escapes it is not taken for that key, and stays. */
    struct view escaped = VIEW("{\"l\\u006fng\":[1]}");
    json_array_clear(items);
    assert_int_equal(json_read_long(escaped, "doc", 1000, "long", append_item, items, &rest, &diag), 0);
    assert_int_equal(json_array_size(items), 0);
    assert_int_equal(json_array_size(json_object_get(rest, "long")), 1);
}

static void test_written_form_is_canonical(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *value = NULL;
    struct diag diag = DIAG_INIT;
    struct view text = VIEW(" { \"b\" : [ true , null, -5 ], \"a\" : \"\xc3\xa9\\u0001/\" } ");
    assert_int_equal(json_read(text, "doc", 1000, &value, &diag), 0);
    CLEANUP_BUF struct buf out = BUF_INIT;
    json_write(value, &out);
    assert_string_equal(out.data, "{\"a\":\"\\u00E9\\u0001/\",\"b\":[true,null,-5]}");
}

static void test_typed_access(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *object = NULL;
    struct diag diag = DIAG_INIT;
    struct digest digest, expected = digest_of(VIEW("abc"));
    struct view text = VIEW("{\"t\":\"x\",\"n\":5,\"b\":true,\"o\":{},\"a\":[],\"z\":\"a\\u0000b\",\"r\":1.5,"
                            "\"d\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}");
    const char *string;
    int64_t number;
    bool flag;
    json_t *member;
    if (json_read(text, "doc", 1000, &object, &diag) < 0) {
        /* jansson refuses NUL in strings unless asked to allow it */
        text = VIEW("{\"t\":\"x\",\"n\":5,\"b\":true,\"o\":{},\"a\":[],\"r\":1.5,"
                    "\"d\":\"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\"}");
        assert_int_equal(json_read(text, "doc", 1000, &object, &diag), 0);
    }
    assert_int_equal(json_get_text(object, "doc", "t", &string, &diag), 0);
    assert_string_equal(string, "x");
    assert_int_equal(json_get_number(object, "doc", "n", &number, &diag), 0);
    assert_int_equal(number, 5);
    assert_int_equal(json_get_bool(object, "doc", "b", &flag, &diag), 0);
    assert_true(flag);
    assert_int_equal(json_get_object(object, "doc", "o", &member, &diag), 0);
    assert_int_equal(json_get_array(object, "doc", "a", &member, &diag), 0);
    assert_int_equal(json_get_digest(object, "doc", "d", &digest, &diag), 0);
    assert_true(digest_equal(&digest, &expected));
    assert_int_equal(json_get_text(object, "doc", "n", &string, &diag), FARM_E_SYNTAX);
    assert_non_null(strstr(diag.text, "doc: \"n\": wrong type, expected a string"));
    assert_int_equal(json_get_number(object, "doc", "r", &number, &diag), FARM_E_SYNTAX);
    assert_int_equal(json_get_number(object, "doc", "q", &number, &diag), FARM_E_SYNTAX);
    assert_non_null(strstr(diag.text, "missing"));
    assert_int_equal(json_get_digest(object, "doc", "t", &digest, &diag), FARM_E_SYNTAX);
    assert_int_equal(json_get_bool(object, "doc", "n", &flag, &diag), FARM_E_SYNTAX);
    assert_int_equal(json_get_text(object, "doc", "z", &string, &diag), FARM_E_SYNTAX);
    static const char *const some[] = {"t", "n", NULL};
    assert_int_equal(json_only_keys(object, "doc", some, &diag), FARM_E_SYNTAX);
    assert_non_null(strstr(diag.text, "unknown key"));
}

static void test_strings_from_bytes(void **state)
{
    (void)state;
    CLEANUP_JSON json_t *good = json_view(VIEW("\xc3\xa9"));
    CLEANUP_JSON json_t *bad = json_view(VIEW("a\xff\0b"));
    CLEANUP_JSON json_t *none = json_view(VIEW_NONE);
    assert_string_equal(json_string_value(good), "\xc3\xa9");
    assert_string_equal(json_string_value(bad), "a??b");
    assert_string_equal(json_string_value(none), "");
}

int base_json_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_E4_what_is_refused),     cmocka_unit_test(test_long_array),
        cmocka_unit_test(test_E4_long_array_refusals), cmocka_unit_test(test_written_form_is_canonical),
        cmocka_unit_test(test_typed_access),           cmocka_unit_test(test_strings_from_bytes),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
