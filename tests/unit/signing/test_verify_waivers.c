/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate and waivers (S12), and what lies in a release for other people's tools. */
#include "verify_expect.h"

#include "file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY ((int64_t)24 * 3600 * 1000)

static const char *const holding_policy =
    "version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  hold: [liba]\n";
static const char *const evidence_policy = "version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\nrules:\n  - "
                                           "match: {package: liba}\n    set: {evidence: "
                                           "hardware}\n";

static struct waiver waiver_of(enum waiver_rule rule)
{
    return (struct waiver){.package = mem_string("extra/liba"),
                           .version = mem_string("1.0"),
                           .reason = mem_string("seen to work on the only machine there is"),
                           .rule = rule,
                           .created_ms = FIXTURE_NOW,
                           .expires_ms = FIXTURE_NOW + 30 * DAY};
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = mem_string(value);
}

static void test_S12_waived_hold(void **state)
{
    (void)state;
    struct release_fixture *f = release_fixture_new(holding_policy);
    release_fixture_write(f);
    expect_refused(f, "hold", "release.json");
    release_fixture_add_waiver(f, waiver_of(WAIVER_HOLD), 2);
    release_fixture_write(f);
    expect_pass_with_note(f, NULL,
                          "\"hold\" for extra/liba 1.0. Reason: seen to work on the only machine there is");
    expect_refused_at(f, NULL, FIXTURE_NOW + 31 * DAY, "waiver", "release.json"); /* it expired */
    expect_refused_at(f, NULL, FIXTURE_NOW + 31 * DAY, "hold", "release.json");
    struct verify_state seen = {.time_ms = FIXTURE_NOW + 31 * DAY}; /* C2: by the highest time known */
    expect_refused_at(f, &seen, CHECK_NOW, "waiver", "release.json");
    release_fixture_free(f);
}

static void test_S12_waived_evidence(void **state)
{
    (void)state;
    struct release_fixture *f = release_fixture_new(evidence_policy);
    release_fixture_write(f);
    expect_refused(f, "evidence", "release.json");
    release_fixture_add_waiver(f, waiver_of(WAIVER_EVIDENCE), 2);
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "WAIVED until");
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_replace(f, "\"gpu\":\"none\"", "\"gpu\":\"not-validated\""); /* no silent degradation */
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), FARM_E_REFUSED); /* another text */
    assert_true(has_note(&result, "its GPU path is not-validated"));
    release_fixture_replace(f, "\"gpu\":\"not-validated\"",
                            "\"gpu\":\"validated\""); /* a word is no evidence */
    expect_refused(f, "release-malformed", "release.json");
    release_fixture_free(f);
}

/* Each wrong in one way; the hold stands in spite of it. */
static void test_S12_bad_waivers(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        struct release_fixture *f = release_fixture_new(holding_policy);
        struct waiver waiver = waiver_of(i == 0 ? WAIVER_EVIDENCE : WAIVER_HOLD);
        if (i == 1)
            set_text(&waiver.version, "1.1");
        if (i == 2)
            set_text(&waiver.package, "extra/appb");
        if (i == 3)
            set_text(&waiver.package, "extra/libz");
        release_fixture_add_waiver(f, waiver, i == 4 ? 1 : i == 5 ? 0 : 2);
        release_fixture_write(f);
        expect_refused(f, "waiver", "release.json");
        expect_refused(f, "hold", "release.json");
        release_fixture_free(f);
    }
}

static void test_S12_unneeded_waiver(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_add_waiver(f, waiver_of(WAIVER_HOLD), 2);
    release_fixture_write(f);
    expect_refused_saying(f, "waiver", "release.json", "is not needed");
}

/* Signed by all, and about what no waiver can touch. */
static void test_S12_no_waiver_of_bytes(void **state)
{
    (void)state;
    struct release_fixture *f = release_fixture_new(holding_policy);
    release_fixture_add_waiver(f, waiver_of(WAIVER_HOLD), 3);
    static const char *const rules[] = {"quorum", "dissent", "digest", "log"};
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        CLEANUP_FREE char *rule = mem_format("\"rule\":\"%s\"", rules[i]);
        release_fixture_write(f);
        release_fixture_replace(f, "\"rule\":\"hold\"", rule);
        expect_refused(f, "release-malformed", "release.json");
    }
    release_fixture_free(f);
}

/* ---- summaries and keys ---- */

static void test_summaries_must_follow(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf other = BUF_INIT;
    release_fixture_write(f);
    assert_int_equal(file_read(f->release_dirfd, "summaries/appb-2.1.vsa.jsonl", 1 << 20, &other, NULL), 0);
    assert_int_equal(
        file_write(f->release_dirfd, "summaries/liba-1.0.vsa.jsonl", buf_view(&other), 0644, NULL), 0);
    expect_refused(f, "summary", "summaries/liba"); /* well signed, of another package */
    release_fixture_write(f);
    assert_int_equal(file_remove_tree(f->release_dirfd, "summaries", NULL), 0);
    expect_pass_with_note(f, NULL, "no summaries for other tools");
    assert_int_equal(file_remove_tree(f->release_dirfd, "keys", NULL), 0);
    expect_pass(f);
}

static void write_pem(struct release_fixture *f, const char *file, const struct public_key *key)
{
    CLEANUP_BUF struct buf pem = BUF_INIT;
    keys_public_write_pem(key, &pem);
    assert_int_equal(file_write(f->release_dirfd, file, buf_view(&pem), 0644, NULL), 0);
}

static void test_keys_must_be_the_directorys(void **state)
{
    struct release_fixture *f = *state;
    const struct public_key *beta = keys_public(identity_keys(f->farm->workers[1]));
    release_fixture_write(f);
    write_pem(f, "keys/alpha-1.pem", beta);
    expect_refused_saying(f, "key", "keys/alpha-1.pem", "worker directory");
    release_fixture_write(f);
    write_pem(f, "keys/coordinator.pem", beta);
    expect_refused_saying(f, "key", "keys/coordinator.pem", "trust root");
    release_fixture_write(f);
    assert_int_equal(file_write(f->release_dirfd, "keys/coordinator.pem", VIEW("not a key"), 0644, NULL), 0);
    expect_refused(f, "key", "keys/coordinator.pem");
}

/* Without a log the root does not know the coordinator's key; its summaries are then nobody's. */
static void test_summaries_without_a_log(void **state)
{
    struct release_fixture *f = *state;
    f->without_log = true;
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "a key that the trust root does not name");
    write_pem(f, "keys/coordinator.pem", keys_public(identity_keys(f->farm->workers[1])));
    expect_refused(f, "summary", "summaries/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S12_waived_hold),        cmocka_unit_test(test_S12_waived_evidence),
        cmocka_unit_test(test_S12_bad_waivers),        CASE(test_S12_unneeded_waiver),
        cmocka_unit_test(test_S12_no_waiver_of_bytes), CASE(test_summaries_must_follow),
        CASE(test_keys_must_be_the_directorys),        CASE(test_summaries_without_a_log),
    };
    return cmocka_run_group_tests_name("verify_waivers", tests, NULL, NULL);
}
