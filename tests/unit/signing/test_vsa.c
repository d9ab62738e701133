/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The two summaries of a package: exactly the members that SLSA's specification names, and nothing else passes the check. */
#include "vsa.h"

#include "json.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define CREATED ((int64_t)1795366000000)

struct fixture {
    struct release *release;
    struct release_package *package;
    struct digest envelopes[2];
    struct key_pair *key;
    struct vsa_inputs inputs;
};

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.release = release_new(), .key = keys_generate()};
    f.release->tree.url = mem_string("https://example.org/a tree.git");
    strcpy(f.release->tree.commit, "0123456789abcdef0123456789abcdef01234567");
    f.release->policy = digest_of(VIEW("policy"));
    f.package = f.release->packages = mem_zero(1, sizeof *f.package);
    f.release->npackages = 1;
    *f.package = (struct release_package){.name = mem_string("libstdc++"),
                                          .version = mem_string("1:2.0~rc1"),
                                          .release = mem_string("3"),
                                          .tier = mem_string("extra"),
                                          .payload = digest_of(VIEW("payload")),
                                          .tar = digest_of(VIEW("tar")),
                                          .archive = mem_string("libstdc++-1:2.0~rc1.igos.tar.gz"),
                                          .archive_sha256 = digest_of(VIEW("archive"))};
    f.package->operators = mem_zero(3, sizeof *f.package->operators);
    for (; f.package->noperators < 3; f.package->noperators++)
        f.package->operators[f.package->noperators] = mem_format("op-%zu", f.package->noperators);
    f.envelopes[0] = digest_of(VIEW("one"));
    f.envelopes[1] = digest_of(VIEW("two"));
    f.inputs = (struct vsa_inputs){.release = f.release,
                                   .package = f.package,
                                   .verifier = "log.example/farm 1",
                                   .verified_ms = CREATED,
                                   .envelopes = f.envelopes,
                                   .nenvelopes = 2};
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    release_free(f->release);
    keys_free(f->key);
    return 0;
}

static json_t *statement_of(const struct vsa_inputs *inputs)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *value = NULL;
    vsa_write(inputs, &text);
    assert_int_equal(json_read(buf_view(&text), "vsa", 1 << 20, &value, NULL), 0);
    return value;
}

static const char *at(const json_t *value, const char *path)
{
    CLEANUP_FREE char *copy = mem_string(path);
    for (char *rest = copy, *key; (key = strsep(&rest, ".")) != NULL;)
        value = json_is_array(value) ? json_array_get(value, (size_t)atoi(key)) : json_object_get(value, key);
    if (!json_is_string(value))
        fail_msg("no string at %s", path);
    return json_string_value(value);
}

/* https://slsa.dev/spec/v1.1/verification_summary: names, types and what is required. */
static void test_members(void **state)
{
    struct fixture *f = *state;
    CLEANUP_JSON json_t *vsa = statement_of(&f->inputs);
    static const char *const members[] = {
        "verifier",          "timeVerified",       "resourceUri",    "policy",
        "inputAttestations", "verificationResult", "verifiedLevels", NULL};
    static const char *const statement[] = {"_type", "subject", "predicateType", "predicate", NULL};
    json_t *predicate = json_object_get(vsa, "predicate");
    assert_int_equal(json_only_keys(vsa, "statement", statement, NULL), 0);
    assert_int_equal(json_object_size(vsa), ARRAY_SIZE(statement) - 1);
    assert_int_equal(json_only_keys(predicate, "predicate", members, NULL), 0);
    assert_int_equal(json_object_size(predicate), ARRAY_SIZE(members) - 1);
    assert_string_equal(at(vsa, "_type"), "https://in-toto.io/Statement/v1");
    assert_string_equal(at(vsa, "predicateType"), "https://slsa.dev/verification_summary/v1");
    assert_string_equal(at(predicate, "verifier.id"), "urn:intergenos:farm:coordinator:log.example/farm%201");
    assert_string_equal(at(predicate, "timeVerified"), "2026-11-22T16:46:40Z");
    assert_string_equal(at(predicate, "resourceUri"),
                        "pkg:generic/intergenos/extra/libstdc%2B%2B@1%3A2.0~rc1-3");
    assert_string_equal(at(predicate, "policy.uri"),
                        "git+https://example.org/a%20tree.git@0123456789abcdef0123456789abcdef01234567"
                        "#farm/policy.yml");
    assert_string_equal(at(predicate, "policy.digest.sha256"), digest_hex(&f->release->policy).text);
    assert_string_equal(at(predicate, "verificationResult"), "PASSED");
    assert_string_equal(at(predicate, "inputAttestations.1.digest.sha256"),
                        digest_hex(&f->envelopes[1]).text);
    assert_string_equal(at(predicate, "inputAttestations.0.uri"),
                        "receipts/libstdc%2B%2B-1%3A2.0~rc1.intoto.jsonl");
    assert_int_equal(json_array_size(json_object_get(predicate, "inputAttestations")), 2);
}

static void test_subjects(void **state)
{
    struct fixture *f = *state;
    CLEANUP_JSON json_t *vsa = statement_of(&f->inputs);
    assert_int_equal(json_array_size(json_object_get(vsa, "subject")), 3);
    assert_string_equal(at(vsa, "subject.0.name"), "libstdc++-1:2.0~rc1.mtree");
    assert_string_equal(at(vsa, "subject.0.digest.sha256"), digest_hex(&f->package->payload).text);
    assert_string_equal(at(vsa, "subject.1.name"), "libstdc++-1:2.0~rc1.tar");
    assert_string_equal(at(vsa, "subject.1.digest.sha256"), digest_hex(&f->package->tar).text);
    assert_string_equal(at(vsa, "subject.2.name"), f->package->archive);
    assert_string_equal(at(vsa, "subject.2.digest.sha256"), digest_hex(&f->package->archive_sha256).text);
}

/* slsa-verifier rejects a summary that mixes them; levels of our own never begin with SLSA_. */
static void test_levels(void **state)
{
    struct fixture *f = *state;
    CLEANUP_JSON json_t *level = statement_of(&f->inputs);
    json_t *levels = json_object_get(json_object_get(level, "predicate"), "verifiedLevels");
    assert_int_equal(json_array_size(levels), 2);
    assert_string_equal(at(levels, "0"), "SLSA_BUILD_LEVEL_1");
    assert_string_equal(at(levels, "1"), "INTERGENOS_QUORUM_3");
    f->inputs.reproduced = true;
    CLEANUP_JSON json_t *reproduced = statement_of(&f->inputs);
    levels = json_object_get(json_object_get(reproduced, "predicate"), "verifiedLevels");
    assert_int_equal(json_array_size(levels), 1);
    assert_string_equal(at(levels, "0"), "SLSA_BUILD_REPRODUCED");
}

static void test_local_tree(void **state)
{
    struct fixture *f = *state;
    free(f->release->tree.url);
    f->release->tree.url = mem_string("/srv/tree");
    CLEANUP_JSON json_t *vsa = statement_of(&f->inputs);
    assert_non_null(strstr(at(vsa, "predicate.policy.uri"), "git+file:///srv/tree@0123"));
}

static int check(const struct fixture *f, struct view file, struct diag *diag)
{
    return vsa_check(file, "summaries/x", &f->inputs, keys_public(f->key), diag);
}

static void test_sign_and_check(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf file = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_int_equal(vsa_sign(&f->inputs, f->key, &file, &diag), 0);
    if (check(f, buf_view(&file), &diag) < 0)
        fail_msg("%s", diag.text);
    f->inputs.reproduced = true; /* which line is which is not the caller's to say here */
    assert_int_equal(vsa_sign(&f->inputs, f->key, &again, NULL), 0);
    assert_string_equal(file.data, again.data);
    assert_int_equal(check(f, buf_view(&file), NULL), 0);
}

static void expect_refused(const struct fixture *f, struct view file, int error, const char *says)
{
    struct diag diag = DIAG_INIT;
    int result = check(f, file, &diag);
    if (result != error || strstr(diag.text, says) == NULL)
        fail_msg("expected %d (%s), got %d: %s", error, says, result, diag.text);
}

static void test_other_files(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf file = BUF_INIT;
    assert_int_equal(vsa_sign(&f->inputs, f->key, &file, NULL), 0);
    size_t first = (size_t)(strchr(file.data, '\n') - file.data) + 1;
    struct view line1 = view_of(file.data, first), line2 = view_of(file.data + first, file.size - first);
    CLEANUP_FREE char *swapped = mem_format("%.*s%.*s", VIEW_ARG(line2), VIEW_ARG(line1));
    CLEANUP_FREE char *three = mem_format("%s%.*s", file.data, VIEW_ARG(line1));
    CLEANUP_FREE char *blank = mem_format(" %s", file.data);
    expect_refused(f, view_text(swapped), FARM_E_REFUSED, "summaries/x:1");
    expect_refused(f, view_text(three), FARM_E_REFUSED, "more than 2");
    expect_refused(f, line1, FARM_E_REFUSED, "here is 1");
    expect_refused(f, view_text(blank), FARM_E_REFUSED, "one form");
    expect_refused(f, VIEW_NONE, FARM_E_SYNTAX, "empty");
    expect_refused(f, view_of(file.data, file.size - 1), FARM_E_SYNTAX, "cut off");
    expect_refused(f, VIEW("\n\n"), FARM_E_SYNTAX, "summaries/x:1");
}

static void test_one_bit(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf file = BUF_INIT;
    assert_int_equal(vsa_sign(&f->inputs, f->key, &file, NULL), 0);
    for (size_t i = 0; i < file.size; i += 7) {
        file.data[i] ^= 1;
        assert_true(check(f, buf_view(&file), NULL) < 0);
        file.data[i] ^= 1;
    }
}

static void test_S7_other_words(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf file = BUF_INIT;
    CLEANUP_KEYS struct key_pair *other = keys_generate();
    assert_int_equal(vsa_sign(&f->inputs, f->key, &file, NULL), 0);
    assert_int_equal(vsa_check(buf_view(&file), "x", &f->inputs, keys_public(other), NULL), FARM_E_SIGNATURE);
    f->inputs.nenvelopes = 1; /* an envelope that did not exist, or one that is hidden */
    expect_refused(f, buf_view(&file), FARM_E_REFUSED, "follows");
    f->inputs.nenvelopes = 2;
    f->package->noperators--; /* more operators than voted */
    expect_refused(f, buf_view(&file), FARM_E_REFUSED, "follows");
    f->package->noperators++;
    f->package->archive_sha256 = digest_of(VIEW("swapped")); /* S7 */
    expect_refused(f, buf_view(&file), FARM_E_REFUSED, "follows");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(test_members, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_subjects, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_levels, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_local_tree, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_sign_and_check, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_other_files, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_one_bit, setup, teardown),
                                       cmocka_unit_test_setup_teardown(test_S7_other_words, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
