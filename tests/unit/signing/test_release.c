/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release.json: what is written is read back the same, and nothing else is read. Numbers are those of docs/THREATS.md; what a release
 * claims is the gate's to check, and tested there.
 */
#include "release.h"

#include "farm_fixture.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct digest d(const char *text)
{
    return digest_of(view_text(text));
}

static struct release_package package(const char *tier, const char *name)
{
    struct release_package made = {.name = mem_string(name),
                                   .version = mem_string("1.0"),
                                   .release = mem_string("1"),
                                   .tier = mem_string(tier),
                                   .phase = mem_string(tier),
                                   .gpu = mem_string("none"),
                                   .job = d(name),
                                   .payload = d("payload"),
                                   .tar = d("tar"),
                                   .archive_size = 17,
                                   .archive_sha256 = d("archive")};
    made.archive = mem_format("%s-1.0.igos.tar.gz", name);
    made.operators = mem_zero(2, sizeof *made.operators);
    made.operators[made.noperators++] = mem_string("beta");
    made.operators[made.noperators++] = mem_string("alpha");
    return made;
}

static struct waiver waiver(const char *name, enum waiver_rule rule)
{
    return (struct waiver){.package = mem_string(name),
                           .version = mem_string("1.0"),
                           .reason = mem_string("the upstream bug is understood"),
                           .rule = rule,
                           .created_ms = FIXTURE_NOW,
                           .expires_ms = FIXTURE_NOW + (int64_t)86400 * 1000};
}

static void sign_waiver(struct waiver *made)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_KEYS struct key_pair *key = keys_generate();
    waiver_write(made, &text);
    CLEANUP_FREE char *armored = farm_fixture_sign(key, SSHSIG_NAMESPACE_WAIVER, buf_view(&text));
    waiver_add_signature(made, view_text(armored));
}

/* Unsorted, as a program might fill it. */
static struct release *full(void)
{
    struct release *release = release_new();
    release->name = mem_string("2026-11");
    release->sequence = 2;
    release->created_ms = FIXTURE_NOW;
    release->expires_ms = FIXTURE_EXPIRES;
    release->previous = d("previous");
    release->tree.url = mem_string("https://example.org/tree.git");
    strcpy(release->tree.commit, "0123456789abcdef0123456789abcdef01234567");
    release->tree.sha256 = d("tree");
    release->plan = d("plan");
    release->policy = d("policy");
    release->base = d("base");
    release->root = d("root");
    release->workers = d("workers");
    release->has_log = true;
    release->log = (struct checkpoint){.origin = "log.example/farm", .size = 1234, .root = d("log")};
    release->packages = mem_zero(2, sizeof *release->packages);
    release->packages[release->npackages++] = package("extra", "zlib");
    release->packages[release->npackages++] = package("ai", "rocr");
    free(release->packages[1].gpu);
    release->packages[1].gpu = mem_string("not-validated");
    release->held = mem_zero(1, sizeof *release->held);
    release->held[release->nheld++] =
        (struct release_held){mem_string("kernel"), mem_string("held by policy")};
    release->waivers = mem_zero(2, sizeof *release->waivers);
    release->waivers[release->nwaivers++] = waiver("ai/rocr", WAIVER_HOLD);
    release->waivers[release->nwaivers++] = waiver("ai/rocr", WAIVER_EVIDENCE);
    sign_waiver(&release->waivers[0]);
    sign_waiver(&release->waivers[1]);
    release->planned = 3;
    return release;
}

static void test_round_trip(void **state)
{
    (void)state;
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_RELEASE struct release *back = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct diag diag = DIAG_INIT;
    release_write(release, &text);
    if (release_parse(buf_view(&text), "release.json", &back, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_true(back->has_log);
    assert_string_equal(back->log.origin, "log.example/farm");
    assert_int_equal(back->log.size, 1234);
    struct digest root = d("log");
    assert_memory_equal(&back->log.root, &root, sizeof root);
    assert_string_equal(back->packages[0].name, "rocr");
    assert_string_equal(back->packages[0].gpu, "not-validated");
    assert_string_equal(back->packages[0].operators[0], "alpha");
    assert_int_equal(back->nwaivers, 2);
    assert_int_equal(back->waivers[0].rule, WAIVER_EVIDENCE);
    assert_int_equal(back->waivers[1].nsignatures, 1);
    assert_string_equal(back->held[0].reason, "held by policy");
    release_write(back, &again);
    assert_string_equal(text.data, again.data);
}

static void test_without_log(void **state)
{
    (void)state;
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_RELEASE struct release *back = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    release->has_log = false;
    release_write(release, &text);
    assert_non_null(strstr(text.data, "\"log\":null"));
    assert_int_equal(release_parse(buf_view(&text), "release.json", &back, NULL), 0);
    assert_false(back->has_log);
}

static char *replaced(const char *text, const char *old, const char *with)
{
    const char *at = strstr(text, old);
    if (at == NULL)
        fail_msg("the release has no %s", old);
    return mem_format("%.*s%s%s", (int)(at - text), text, with, at + strlen(old));
}

/* One change each; refused, with a message that names what. */
static const struct {
    const char *old, *with;
    int error;
    const char *says;
} refused[] = {
    {"\"log\":{\"origin\"", "\"log\":{\"more\":1,\"origin\"", FARM_E_REFUSED, "log"},
    {"\"size\":1234", "\"size\":0", FARM_E_REFUSED, "\"log\""},
    {"\"size\":1234", "\"size\":-1", FARM_E_REFUSED, "\"log\""},
    {"\"size\":1234", "\"size\":\"1234\"", FARM_E_SYNTAX, "size"},
    {"log.example/farm", "log example", FARM_E_REFUSED, "\"log\""},
    {"log.example/farm", "log+example", FARM_E_REFUSED, "\"log\""},
    {"\"log\":{", "\"log\":[{", FARM_E_SYNTAX, ""},
    {"\"log\":", "\"lag\":", FARM_E_SYNTAX, "log"},
    {"not-validated", "validated", FARM_E_UNSUPPORTED, "gpu"},
    {"\"evidence\":[]", "\"evidence\":[{}]", FARM_E_UNSUPPORTED, "evidence"},
    {"\"evidence\":[]", "\"evidence\":{}", FARM_E_REFUSED, "evidence"},
    {"\"rule\":\"hold\"", "\"rule\":\"quorum\"", 0, "quorum"}, /* S12 */
    {"\"rule\":\"hold\"", "\"rule\":\"evidence\"", 0, ""},     /* the same twice */
    {"\"waiver\":{", "\"waiver\":{\"also\":true,", 0, ""},     /* S12 */
    {"\"held\":[", "\"held\":[{\"name\":\"zz\",\"reason\":\"\"},", FARM_E_REFUSED, "held"},
    {"\"sequence\":2", "\"sequence\":1", FARM_E_REFUSED, "previous"}, /* S6 */
    {"\"sequence\":2", "\"sequence\":0", FARM_E_REFUSED, "sequence"}, /* S6 */
    {"\"planned\":3", "\"planned\":4", 0, NULL}, /* a number of its own: the gate compares */
    {"\"packages\":2,", "\"packages\":3,", FARM_E_REFUSED, "packages"}, /* S11: counts are derived */
    {"\"dissent\":0,\"held\":1", "\"dissent\":0,\"held\":0", FARM_E_REFUSED, "held"},
    {"zlib-1.0.igos", "rocr-1.0.igos", FARM_E_REFUSED, "zlib"}, /* S7: one file for two packages */
};

static void test_S6_S7_S11_S12_one_change_each(void **state)
{
    (void)state;
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_write(release, &text);
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        CLEANUP_RELEASE struct release *back = NULL;
        CLEANUP_FREE char *other = replaced(text.data, refused[i].old, refused[i].with);
        struct diag diag = DIAG_INIT;
        int result = release_parse(view_text(other), "release.json", &back, &diag);
        if (refused[i].says == NULL) {
            assert_int_equal(result, 0);
            continue;
        }
        if (result >= 0 || back != NULL || (refused[i].error != 0 && result != refused[i].error) ||
            strstr(diag.text, refused[i].says) == NULL || strstr(diag.text, "release.json") == NULL)
            fail_msg("%s: %d, %s", refused[i].with, result, diag.text);
    }
}

static void swap(void *a, void *b, size_t size)
{
    CLEANUP_FREE void *kept = mem_copy(a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

/* S8: the same things in another order are other bytes, and are refused as such. */
static void expect_order(const char *list, const char *says)
{
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_RELEASE struct release *back = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf other = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    struct diag diag = DIAG_INIT;
    release_write(release, &text);
    assert_int_equal(json_read(buf_view(&text), "release", RELEASE_SIZE_MAX, &document, NULL), 0);
    json_t *array = json_object_get(document, list);
    json_array_append(array, json_array_get(array, 0));
    json_array_remove(array, 0);
    json_write(document, &other);
    assert_true(release_parse(buf_view(&other), "release.json", &back, &diag) < 0);
    if (strstr(diag.text, says) == NULL)
        fail_msg("%s", diag.text);
}

static void test_S8_order(void **state)
{
    (void)state;
    expect_order("packages", "packages must be sorted");
    expect_order("waivers", "waivers must be sorted");
}

static void test_sorted_when_written(void **state)
{
    (void)state;
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    release_write(release, &text);
    swap(&release->waivers[0], &release->waivers[1], sizeof *release->waivers);
    swap(&release->packages[0], &release->packages[1], sizeof *release->packages);
    release_write(release, &again);
    assert_string_equal(text.data, again.data);
}

static void test_cut_and_padded(void **state)
{
    (void)state;
    CLEANUP_RELEASE struct release *release = full();
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_write(release, &text);
    for (size_t size = 0; size < text.size; size += 13) {
        CLEANUP_RELEASE struct release *back = NULL;
        assert_true(release_parse(view_of(text.data, size), "release.json", &back, NULL) < 0);
    }
    CLEANUP_RELEASE struct release *back = NULL;
    buf_add_text(&text, "{}");
    assert_true(release_parse(buf_view(&text), "release.json", &back, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_without_log),
                                       cmocka_unit_test(test_S6_S7_S11_S12_one_change_each),
                                       cmocka_unit_test(test_S8_order),
                                       cmocka_unit_test(test_sorted_when_written),
                                       cmocka_unit_test(test_cut_and_padded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
