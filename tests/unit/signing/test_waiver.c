/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waivers: S12 (expired, unsigned, or of a rule that nobody can waive), and their strict form. */
#include "farm_fixture.h"
#include "waiver.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { DAY_MS = 24 * 3600 * 1000 };

static int setup(void **state)
{
    *state = farm_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    farm_fixture_free(*state);
    return 0;
}

static struct waiver example(void)
{
    return (struct waiver){.package = mem_string("core/zlib"),
                           .version = mem_string("1.3.1"),
                           .reason = mem_string("the hold is for 1.3.0"),
                           .rule = WAIVER_HOLD,
                           .created_ms = FIXTURE_NOW,
                           .expires_ms = FIXTURE_NOW + 30 * (int64_t)DAY_MS};
}

static void sign(struct waiver *waiver, const struct key_pair *pair, const char *name_space)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    waiver_write(waiver, &text);
    CLEANUP_FREE char *armored = farm_fixture_sign(pair, name_space, buf_view(&text));
    waiver_add_signature(waiver, view_text(armored));
}

static struct waiver signed_example(const struct farm_fixture *farm)
{
    struct waiver waiver = example();
    sign(&waiver, farm->people[0], SSHSIG_NAMESPACE_WAIVER);
    sign(&waiver, farm->people[1], SSHSIG_NAMESPACE_WAIVER);
    return waiver;
}

static void expect(const struct waiver *waiver, const struct root *root, int64_t now_ms, int result,
                   const char *why)
{
    struct diag diag = DIAG_INIT;
    assert_int_equal(waiver_check(waiver, root, now_ms, &diag), result);
    if (why != NULL && strstr(diag.text, why) == NULL)
        fail_msg("no \"%s\" in: %s", why, diag.text);
}

static void test_round_trip(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = signed_example(farm);
    CLEANUP(waiver_done) struct waiver back = {0};
    CLEANUP(waiver_done) struct waiver body = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *json = waiver_json(&waiver);
    assert_int_equal(waiver_from_json(json, "waiver", &back, NULL), 0);
    assert_int_equal(back.nsignatures, 2);
    assert_string_equal(back.reason, waiver.reason);
    expect(&back, farm->root, FIXTURE_NOW, 0, NULL);
    sign(&back, farm->people[0], SSHSIG_NAMESPACE_WAIVER); /* Ed25519 signs the same way twice */
    assert_int_equal(back.nsignatures, 2);
    waiver_write(&waiver, &text);
    assert_int_equal(waiver_parse(buf_view(&text), "waiver", &body, NULL), 0);
    assert_string_equal(body.package, "core/zlib");
    assert_int_equal(body.nsignatures, 0);
}

static void test_S12_an_expired_waiver_is_refused(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = signed_example(farm);
    expect(&waiver, farm->root, waiver.expires_ms - 1000, 0, NULL);
    expect(&waiver, farm->root, waiver.expires_ms, FARM_E_STALE, "expired");
}

/* A date ahead would let a waiver live for years. */
static void test_S12_a_waiver_cannot_be_made_in_advance(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = signed_example(farm);
    expect(&waiver, farm->root, FIXTURE_NOW - DAY_MS, 0, NULL);
    expect(&waiver, farm->root, FIXTURE_NOW - 2 * (int64_t)DAY_MS, FARM_E_REFUSED, "in advance");
}

static void test_S12_unsigned_and_too_few(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = example();
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_SIGNATURE, "0 of 2");
    sign(&waiver, farm->people[0], SSHSIG_NAMESPACE_WAIVER);
    sign(&waiver, farm->enrolment, SSHSIG_NAMESPACE_WAIVER); /* another role */
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_SIGNATURE, "1 of 2");
    sign(&waiver, farm->people[2], SSHSIG_NAMESPACE_RELEASE); /* S3 */
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_SIGNATURE, "1 of 2");
    sign(&waiver, farm->people[2], SSHSIG_NAMESPACE_WAIVER);
    expect(&waiver, farm->root, FIXTURE_NOW, 0, NULL);
}

static void test_S12_a_changed_waiver_is_unsigned(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = signed_example(farm);
    waiver.rule = WAIVER_EVIDENCE;
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_SIGNATURE, "other bytes");
    waiver.rule = WAIVER_HOLD;
    waiver.expires_ms += 1000;
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_SIGNATURE, "other bytes");
}

static int parse_changed(const char *old, const char *new_text, struct diag *diag)
{
    CLEANUP(waiver_done) struct waiver waiver = example();
    CLEANUP(waiver_done) struct waiver back = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    waiver_write(&waiver, &text);
    const char *at = strstr(text.data, old);
    assert_non_null(at);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    return waiver_parse(buf_view(&changed), "waiver", &back, diag);
}

static void test_S12_what_cannot_be_waived(void **state)
{
    (void)state;
    static const char *const rules[] = {"quorum", "anchors", "dissent",   "distinct", "digest", "bytes",
                                        "log",    "payload", "signature", "expired",  "Hold",   ""};
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        CLEANUP_FREE char *rule = mem_format("\"rule\":\"%s\"", rules[i]);
        struct diag diag = DIAG_INIT;
        assert_int_equal(parse_changed("\"rule\":\"hold\"", rule, &diag), FARM_E_REFUSED);
        if (strstr(diag.text, rules[i]) == NULL || strstr(diag.text, "cannot be waived") == NULL)
            fail_msg("%s", diag.text);
    }
    assert_int_equal(parse_changed("\"rule\":\"hold\"", "\"rule\":\"evidence\"", NULL), 0);
}

static void test_S12_at_most_180_days(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(waiver_done) struct waiver waiver = example();
    waiver.expires_ms = waiver.created_ms + WAIVER_LIFETIME_MAX_MS;
    sign(&waiver, farm->people[0], SSHSIG_NAMESPACE_WAIVER);
    sign(&waiver, farm->people[1], SSHSIG_NAMESPACE_WAIVER);
    expect(&waiver, farm->root, FIXTURE_NOW, 0, NULL);
    waiver.expires_ms += 1000;
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_REFUSED, "180 days");
    waiver.expires_ms = waiver.created_ms;
    expect(&waiver, farm->root, FIXTURE_NOW, FARM_E_REFUSED, "after it was made");
}

static void refuse(const char *old, const char *new_text)
{
    if (parse_changed(old, new_text, NULL) >= 0)
        fail_msg("accepted: %s -> %s", old, new_text);
}

static void test_strict(void **state)
{
    (void)state;
    refuse("core/zlib", "zlib");
    refuse("core/zlib", "core/zlib/x");
    refuse("core/zlib", "core/");
    refuse("core/zlib", "/zlib");
    refuse("core/zlib", "core/z lib");
    refuse("\"1.3.1\"", "\"\"");
    refuse("\"1.3.1\"", "1.3");
    refuse("the hold is for 1.3.0", "");
    refuse("the hold is for 1.3.0", "two\\nlines");
    refuse("the hold is for 1.3.0", "\\u001b[2J");
    refuse("waiver/1", "waiver/2");
    refuse("\"package\"", "\"all\":true,\"package\"");
    refuse("Z\"", "\"");
}

static void test_strict_outside(void **state)
{
    (void)state;
    static const char *const documents[] = {"{}", "[]", "{\"signatures\":[],\"waiver\":{}}",
                                            "{\"signatures\":[]}", "{\"signatures\":{},\"waiver\":{}}"};
    for (size_t i = 0; i < ARRAY_SIZE(documents); i++) {
        CLEANUP(waiver_done) struct waiver waiver = {0};
        CLEANUP_JSON json_t *json = NULL;
        assert_int_equal(json_read(view_text(documents[i]), "x", 1000, &json, NULL), 0);
        assert_true(waiver_from_json(json, "x", &waiver, NULL) < 0);
    }
    CLEANUP(waiver_done) struct waiver waiver = example();
    CLEANUP(waiver_done) struct waiver back = {0};
    CLEANUP_JSON json_t *json = waiver_json(&waiver);
    json_object_set_new(json, "more", json_true());
    assert_int_equal(waiver_from_json(json, "x", &back, NULL), FARM_E_REFUSED);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_S12_an_expired_waiver_is_refused),
        CASE(test_S12_a_waiver_cannot_be_made_in_advance),
        CASE(test_S12_unsigned_and_too_few),
        CASE(test_S12_a_changed_waiver_is_unsigned),
        CASE(test_S12_what_cannot_be_waived),
        CASE(test_S12_at_most_180_days),
        cmocka_unit_test(test_strict),
        cmocka_unit_test(test_strict_outside),
    };
    return cmocka_run_group_tests_name("waiver", tests, NULL, NULL);
}
