/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The worker's statement: golden bytes, the way back, and everything that must be refused (W8, W12, E1, E4, E6, E7). */
#include "statement_match.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct digest sha(const char *text)
{
    return digest_of(view_text(text));
}

static struct statement_source sources[2];
static struct statement_dependency dependencies[2];
static struct statement_fact facts[2];

static struct statement example(void)
{
    sources[0] = (struct statement_source){.name = "zlib-1.3.1.tar.gz", .digest = sha("archive")};
    sources[1] = (struct statement_source){.git = true,
                                           .name = "contrib",
                                           .commit = "dbc2f403d7a212fab737a3f7e1775bd9608d5496",
                                           .digest = sha("git")};
    dependencies[0] = (struct statement_dependency){"lz4", sha("lz4")};
    dependencies[1] = (struct statement_dependency){"libffi", sha("libffi")};
    facts[0] = (struct statement_fact){"cpu", "x86-64-v3"};
    facts[1] = (struct statement_fact){"kernel", "6.1"};
    struct statement s = {
        .package = "zlib",
        .version = "1.3.1",
        .release = "1",
        .tier = "core",
        .kind = "package",
        .job = sha("job"),
        .base = sha("base"),
        .tree_url = "https://example.org/tree.git",
        .tree_commit = "0123456789abcdef0123456789abcdef01234567",
        .tree_sha256 = sha("tree"),
        .payload = sha("payload"),
        .tar = sha("tar"),
        .sources = sources,
        .nsources = 2,
        .dependencies = dependencies,
        .ndependencies = 2,
        .worker = "alpha-1",
        .operator_name = "alpha",
        .started_ms = 1795366000000,
        .finished_ms = 1795366065000,
        .log = sha("log"),
        .facts = facts,
        .nfacts = 2,
    };
    memset(s.nonce.bytes, 0xa5, sizeof s.nonce.bytes);
    return s;
}

static void check_same(const struct statement *a, const struct statement *b)
{
    CLEANUP_BUF struct buf one = BUF_INIT;
    CLEANUP_BUF struct buf two = BUF_INIT;
    statement_write(a, &one);
    statement_write(b, &two);
    assert_string_equal(one.data, two.data);
}

static void test_round_trip(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_STATEMENT struct statement *back = NULL;
    struct statement s = example();
    statement_write(&s, &text);
    assert_int_equal(statement_parse(buf_view(&text), &back, NULL), 0);
    check_same(&s, back);
    assert_string_equal(back->operator_name, "alpha");
    assert_string_equal(back->worker, "alpha-1");
    assert_int_equal(back->nsources, 2);
    assert_true(back->sources[1].git);
    assert_int_equal(back->ndependencies, 2);
    assert_string_equal(back->dependencies[1].name, "libffi");
    assert_true(lease_nonce_equal(&back->nonce, &s.nonce));
    assert_int_equal(back->finished_ms, s.finished_ms);
    assert_int_equal(back->failure, FAILURE_NONE);
}

static void test_failures(void **state)
{
    (void)state;
    for (int kind = FAILURE_BUILD; kind <= FAILURE_INFRASTRUCTURE; kind++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_STATEMENT struct statement *back = NULL;
        struct statement s = example();
        s.failure = (enum failure_kind)kind;
        s.payload = s.tar = (struct digest){{0}};
        statement_write(&s, &text);
        assert_non_null(strstr(text.data, "\"result\":\"FAILED\""));
        assert_int_equal(statement_parse(buf_view(&text), &back, NULL), 0);
        assert_int_equal(back->failure, kind);
        check_same(&s, back);
    }
}

/* The bytes that others will read for years: a change here is a new version of the format. */
static void test_golden(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct statement s = example();
    s.nsources = 1;
    s.ndependencies = 1;
    s.nfacts = 1;
    statement_write(&s, &text);
    static const char *const expected =
        "{\"_type\":\"https://in-toto.io/Statement/v1\",\"predicate\":{\"buildDefinition\":{"
        "\"buildType\":\"urn:intergenos:farm:package-build:1\",\"externalParameters\":{"
        "\"package\":{\"kind\":\"package\",\"name\":\"zlib\",\"release\":\"1\",\"tier\":\"core\",\"version\":"
        "\"1.3.1\"},"
        "\"tree\":{\"commit\":\"0123456789abcdef0123456789abcdef01234567\",\"tree_sha256\":\"%s\","
        "\"url\":\"https://example.org/tree.git\"}},\"internalParameters\":{\"base\":\"%s\",\"job\":\"%s\"},"
        "\"resolvedDependencies\":[{\"annotations\":{\"kind\":\"source\"},\"digest\":{\"sha256\":\"%s\"},"
        "\"name\":\"zlib-1.3.1.tar.gz\"},{\"annotations\":{\"kind\":\"dependency\"},\"digest\":{\"sha256\":"
        "\"%s\"},"
        "\"name\":\"lz4\"}]},\"runDetails\":{\"builder\":{\"id\":\"urn:intergenos:farm:worker:alpha:alpha-"
        "1\"},"
        "\"byproducts\":[{\"digest\":{\"sha256\":\"%s\"},\"name\":\"log\"},{\"annotations\":{\"cpu\":\"x86-"
        "64-v3\"},"
        "\"name\":\"environment\",\"uri\":\"urn:intergenos:farm:environment:1\"}],\"metadata\":{"
        "\"finishedOn\":\"2026-11-22T16:47:45Z\",\"invocationId\":"
        "\"a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5\",\"startedOn\":\"2026-11-22T16:"
        "46:40Z\"}}},"
        "\"predicateType\":\"https://slsa.dev/provenance/v1\",\"subject\":[{\"digest\":{\"sha256\":\"%s\"},"
        "\"name\":\"zlib-1.3.1.mtree\"},{\"digest\":{\"sha256\":\"%s\"},\"name\":\"zlib-1.3.1.tar\"}]}";
    struct digest tree = sha("tree"), base = sha("base"), job = sha("job"), archive = sha("archive"),
                  lz4 = sha("lz4"), log = sha("log"), payload = sha("payload"), tar = sha("tar");
    CLEANUP_BUF struct buf wanted = BUF_INIT;
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    buf_add_format(&wanted, expected, digest_hex(&tree).text, digest_hex(&base).text, digest_hex(&job).text,
                   digest_hex(&archive).text, digest_hex(&lz4).text, digest_hex(&log).text,
                   digest_hex(&payload).text, digest_hex(&tar).text);
    assert_string_equal(text.data, wanted.data);
}

/* Replaces the first 'old' by 'new' and expects a refusal. */
static void refuse_changed(const char *old, const char *new_text)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    CLEANUP_STATEMENT struct statement *back = NULL;
    struct diag diag = DIAG_INIT;
    struct statement s = example();
    statement_write(&s, &text);
    const char *at = strstr(text.data, old);
    if (at == NULL)
        fail_msg("the example has no %s", old);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    if (statement_parse(buf_view(&changed), &back, &diag) >= 0)
        fail_msg("accepted: %s -> %s", old, new_text);
    assert_true(diag.text[0] != '\0');
}

static void test_E6_the_right_digest_under_a_wrong_name_is_refused(void **state)
{
    (void)state;
    refuse_changed("zlib-1.3.1.mtree", "zlib-1.3.2.mtree");
    refuse_changed("\"name\":\"zlib-1.3.1.tar\"", "\"name\":\"zlib-1.3.1.tgz\"");
}

static void test_E7_only_sha256_names_a_subject(void **state)
{
    (void)state;
    refuse_changed("\"subject\":[{\"digest\":{\"sha256\"", "\"subject\":[{\"digest\":{\"sha1\"");
    refuse_changed("\"subject\":[{\"digest\":{", "\"subject\":[{\"digest\":{\"sha1\":\"00\",");
}

static void test_W8_altered_parameters_are_refused(void **state)
{
    (void)state;
    refuse_changed("\"internalParameters\":{", "\"internalParameters\":{\"extra\":1,");
    refuse_changed("\"kind\":\"package\",", "");
    refuse_changed("\"version\":\"1.3.1\"}", "\"version\":\"1.3.1\",\"open\":false}");
    refuse_changed("package-build:1", "package-build:2");
    refuse_changed("\"tier\":\"core\"", "\"tier\":\"co/re\"");
}

static void test_other_forms_are_refused(void **state)
{
    (void)state;
    refuse_changed("\"_type\":\"https://in-toto.io/Statement/v1\"",
                   "\"_type\":\"https://in-toto.io/Statement/v0.1\"");
    refuse_changed("provenance/v1", "provenance/v2");
    refuse_changed("\"kind\":\"source\"", "\"kind\":\"dependency\"");
    refuse_changed("\"gitTree\"", "\"gitBlob\"");
    refuse_changed("urn:intergenos:farm:worker:alpha:alpha-1", "urn:intergenos:farm:worker:alpha");
    refuse_changed("urn:intergenos:farm:worker:alpha:alpha-1", "urn:intergenos:farm:worker:alpha:../x");
    refuse_changed("a5a5a5a5", "A5A5A5A5");
    refuse_changed("2026-11-22T16:47:45Z", "2026-11-22T16:46:39Z"); /* ends before it began */
    refuse_changed("2026-11-22T16:47:45Z", "2026-11-22 16:47:45");
    refuse_changed("\"annotations\":{\"cpu\"",
                   "\"annotations\":{\"cpu\":\"a\",\"cpu\""); /* E4 inside the payload */
}

/* W12: extra and doubled here, a missing one below. */
static void test_W12_extra_or_doubled_subjects_are_refused(void **state)
{
    (void)state;
    refuse_changed("\"name\":\"zlib-1.3.1.tar\"", "\"name\":\"zlib-1.3.1.mtree\"");
    refuse_changed("\"subject\":[", "\"subject\":[{\"digest\":{\"sha256\":\"00\"},\"name\":\"x\"},");
}

static void test_W12_a_missing_subject_is_refused(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_STATEMENT struct statement *back = NULL;
    struct statement s = example();
    statement_write(&s, &text);
    char *subject = strstr(text.data, "\"subject\":[");
    char *comma = strstr(subject, "},{");
    strcpy(comma, "}]}");
    assert_true(statement_parse(view_text(text.data), &back, NULL) < 0);
    assert_true(statement_parse(view_text("{}"), &back, NULL) < 0);
    assert_true(statement_parse(view_text("[]"), &back, NULL) < 0);
    assert_true(statement_parse(VIEW_NONE, &back, NULL) < 0);
}

/* Cutting and flipping: no crash, and nothing but the same statement is accepted. */
static void test_damaged(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct statement s = example();
    statement_write(&s, &text);
    for (size_t size = 0; size < text.size; size += 7) {
        CLEANUP_STATEMENT struct statement *back = NULL;
        assert_true(statement_parse(view_of(text.data, size), &back, NULL) < 0);
    }
    for (size_t i = 0; i < text.size; i++) {
        CLEANUP_STATEMENT struct statement *back = NULL;
        text.data[i] ^= 4;
        if (statement_parse(buf_view(&text), &back, NULL) >= 0) {
            CLEANUP_BUF struct buf again = BUF_INIT;
            statement_write(back, &again);
            assert_string_equal(again.data, text.data); /* another value of a free field, read as it stands */
        }
        text.data[i] ^= 4;
    }
}

/* ---- the two readers: what the quick one takes has the bytes of its own reading, and is what the other one reads ---- */

static bool match_and_check(struct view text)
{
    struct statement_match match = {NULL};
    struct statement found;
    bool matches = statement_match(text, &match, &found) && statement_check(&found, NULL) >= 0;
    if (matches) {
        CLEANUP_BUF struct buf again = BUF_INIT;
        statement_write(&found, &again);
        assert_true(view_equal(buf_view(&again), text));
    }
    statement_match_done(&match);
    return matches;
}

static void test_builds_are_matched(void **state)
{
    (void)state;
    for (unsigned int shape = 0; shape < 27; shape++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        struct statement s = example();
        s.nsources = shape % 3;
        s.ndependencies = shape / 3 % 3;
        s.nfacts = shape / 9;
        statement_write(&s, &text);
        assert_true(match_and_check(buf_view(&text)));
    }
}

/* They are read nevertheless, from JSON. */
static void test_what_is_escaped_or_failed_is_not_matched(void **state)
{
    (void)state;
    static const char *const urls[] = {"https://example.org/\303\244", "file:///a\"b", "a\\b", "a\177b",
                                       "a\tb"};
    for (size_t i = 0; i <= ARRAY_SIZE(urls); i++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_STATEMENT struct statement *back = NULL;
        struct statement s = example();
        if (i < ARRAY_SIZE(urls))
            s.tree_url = urls[i];
        else
            s.failure = FAILURE_BUILD;
        statement_write(&s, &text);
        assert_false(match_and_check(buf_view(&text)));
        assert_int_equal(statement_parse(buf_view(&text), &back, NULL), 0);
        check_same(&s, back);
    }
}

/* Each byte replaced by each of those that mean something in JSON, left out, and doubled: match_and_check() compares what matches. */
static void test_W8_no_other_bytes_are_matched(void **state)
{
    (void)state;
    static const char bytes[] = "\"\\{}[],:0aA /";
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct statement s = example();
    size_t values = 0;
    statement_write(&s, &text);
    for (size_t i = 0; i < text.size; i++) {
        CLEANUP_BUF struct buf other = BUF_INIT;
        char was = text.data[i];
        for (const char *byte = bytes; *byte != '\0'; byte++) {
            text.data[i] = *byte;
            values += match_and_check(buf_view(&text)); /* other values of free fields */
        }
        text.data[i] = was;
        buf_add(&other, text.data, i + 1);
        buf_add(&other, text.data + i, text.size - i);
        match_and_check(buf_view(&other));
        buf_clear(&other);
        buf_add(&other, text.data, i);
        buf_add(&other, text.data + i + 1, text.size - i - 1);
        match_and_check(buf_view(&other));
        assert_false(match_and_check(view_of(text.data, i)));
    }
    assert_true(values > 500);
}

static void test_W12_facts_stand_once_and_in_order(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct statement s = example();
    facts[1].name = "cpu";
    statement_write(&s, &text); /* which writes the last of them only */
    assert_true(match_and_check(buf_view(&text)));
    refuse_changed("\"cpu\":\"x86-64-v3\"", "\"cpu\":\"x86-64-v3\",\"cpu\":\"x86-64-v3\"");
    buf_clear(&text);
    s = example();
    statement_write(&s, &text);
    memcpy(strstr(text.data, "\"cpu\""), "\"zpu\"", 5);
    assert_false(match_and_check(buf_view(&text)));
}

static void test_signed(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP_KEYS struct key_pair *other = keys_generate();
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_STATEMENT struct statement *back = NULL;
    struct statement s = example();
    assert_int_equal(statement_sign(&s, pair, &envelope, NULL), 0);
    assert_int_equal(statement_open(buf_view(&envelope), keys_public(other), &back, NULL), FARM_E_SIGNATURE);
    buf_add_byte(&envelope, ' ');
    assert_int_equal(statement_open(buf_view(&envelope), keys_public(pair), &back, NULL), FARM_E_REFUSED);
    envelope.size--;
    assert_int_equal(statement_open(buf_view(&envelope), keys_public(pair), &back, NULL), 0);
    check_same(&s, back);
    s.worker = "../alpha";
    assert_int_equal(statement_sign(&s, pair, &envelope, NULL), FARM_E_REFUSED);
}

/* A spec owns its strings; these are not freed. */
#define TEXT(literal) ((char *)(literal))

static void test_W8_what_differs_from_the_spec_is_refused(void **state)
{
    (void)state;
    struct statement s = example();
    struct spec_source wanted_sources[2] = {
        {.kind = PIN_ARCHIVE, .digest = sha("archive"), .filename = TEXT("zlib-1.3.1.tar.gz")},
        {.kind = PIN_GIT, .digest = sha("git"), .into = TEXT("contrib")}};
    strcpy(wanted_sources[1].commit, "dbc2f403d7a212fab737a3f7e1775bd9608d5496");
    struct spec_dependency wanted[2] = {{TEXT("lz4"), sha("lz4")}, {TEXT("libffi"), sha("libffi")}};
    struct spec spec = {.kind = TEXT("package"),
                        .name = TEXT("zlib"),
                        .version = TEXT("1.3.1"),
                        .release = TEXT("1"),
                        .tier = TEXT("core"),
                        .base = sha("base"),
                        .sources = wanted_sources,
                        .nsources = 2,
                        .dependencies = wanted,
                        .ndependencies = 2,
                        .key = sha("job")};
    assert_int_equal(statement_check_spec(&s, &spec, NULL), 0);
    s.job = sha("another job");
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
    s = example();
    s.base = sha("another base");
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
    s = example();
    dependencies[1].payload = sha("poisoned");
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
    s = example();
    s.ndependencies = 1;
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
    s = example();
    sources[1].commit = "0000000000000000000000000000000000000000";
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
    s = example();
    s.version = "1.3.2";
    assert_int_equal(statement_check_spec(&s, &spec, NULL), FARM_E_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_builds_are_matched),
        cmocka_unit_test(test_what_is_escaped_or_failed_is_not_matched),
        cmocka_unit_test(test_W8_no_other_bytes_are_matched),
        cmocka_unit_test(test_W12_facts_stand_once_and_in_order),
        cmocka_unit_test(test_other_forms_are_refused),
        cmocka_unit_test(test_E6_the_right_digest_under_a_wrong_name_is_refused),
        cmocka_unit_test(test_E7_only_sha256_names_a_subject),
        cmocka_unit_test(test_W8_altered_parameters_are_refused),
        cmocka_unit_test(test_W12_extra_or_doubled_subjects_are_refused),
        cmocka_unit_test(test_W12_a_missing_subject_is_refused),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_signed),
        cmocka_unit_test(test_W8_what_differs_from_the_spec_is_refused),
    };
    return cmocka_run_group_tests_name("statement", tests, NULL, NULL);
}
