/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: what was planned and built, from which tree, upon what. The managers signed it; the inputs and the evidence say otherwise.
 * Numbers are those of docs/THREATS.md.
 */
#include "verify_expect.h"

#include "file.h"

#include <fcntl.h>

/* ---- release.json ---- */

/* What nothing shows is not said: it would keep farm-verify from saying otherwise. */
static void test_S8_claims_that_nothing_shows(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    release_fixture_replace(f, "\"verified\":false", "\"verified\":true");
    expect_refused(f, "base-verified", "release.json");
    release_fixture_write(f);
    release_fixture_replace(f, "\"gpu\":\"none\"", "\"gpu\":\"not-validated\"");
    expect_refused(f, "label", "release.json");
    release_fixture_write(f);
    release_fixture_replace(f, "\"phase\":\"extra\"", "\"phase\":\"image\"");
    expect_refused(f, "label", "release.json");
}

/* The managers signed it; the evidence says otherwise. */
static void test_signed_lies(void **state)
{
    struct release_fixture *f = *state;
    static const struct {
        const char *old, *new_text, *rule, *file;
    } cases[] = {{"\"planned\":2", "\"planned\":3", "counts", "release.json"},
                 {"\"version\":\"2.1\"", "\"version\":\"2.2\"", "release-malformed",
                  "release.json"}, /* the archive's name no longer fits */
                 {"\"operators\":[\"alpha\",\"beta\"]", "\"operators\":[\"alpha\",\"delta\"]", "support",
                  "release.json"},
                 {"\"dissent\":0,\"gpu\"", "\"dissent\":1,\"gpu\"", "release-malformed",
                  "release.json"}, /* counts are derived */
                 {"\"waivers\":[]", "\"waivers\":[{\"package\":\"appb\"}]", "release-malformed",
                  "release.json"}, /* S12 */
                 {"\"tier\":\"extra\"", "\"tier\":\"ai\"", "not-planned", "release.json"},
                 {"\"commit\":\"01", "\"commit\":\"02", "plan-tree", "plan.json"},
                 {"\"log\":{", "\"log\":{\"note\":\"\",", "release-malformed", "release.json"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        release_fixture_write(f);
        release_fixture_replace(f, cases[i].old, cases[i].new_text);
        expect_refused(f, cases[i].rule, cases[i].file);
    }
    release_fixture_write(f);
    release_fixture_replace(f, digest_hex(&f->packages[APPB].payload.tar).text,
                            digest_hex(&f->packages[LIBA].payload.tar).text);
    expect_refused(f, "tar", "release.json");
    expect_refused(f, "archive", "artifacts/appb");
}

static void refuse_replaced(struct release_fixture *f, const struct digest *old, const char *rule,
                            const char *file)
{
    struct digest other = digest_of(VIEW("something else"));
    release_fixture_write(f);
    release_fixture_replace(f, digest_hex(old).text, digest_hex(&other).text);
    expect_refused(f, rule, file);
}

/* Each digest of the release that the managers signed wrongly. */
static void test_signed_digests(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf root = BUF_INIT;
    release_fixture_write(f);
    assert_int_equal(file_read(f->release_dirfd, "root/1.root.json", 1 << 20, &root, NULL), 0);
    struct digest root_digest = digest_of(buf_view(&root));
    struct digest policy = digest_of(view_text(f->policy));
    refuse_replaced(f, &root_digest, "root-digest", "release.json");
    refuse_replaced(f, &policy, "policy-not-allowed", "release.json");
    refuse_replaced(f, &policy, "plan-policy", "plan.json");
    refuse_replaced(f, &f->base, "plan-base", "plan.json");
    refuse_replaced(f, &f->base, "spec-base", "inputs/specs/");
    refuse_replaced(f, &f->base, "digest", "base.mtree");
    refuse_replaced(f, &f->pin.sha256, "plan-tree", "plan.json");
    refuse_replaced(f, &f->packages[LIBA].job, "spec-missing", "release.json");
    refuse_replaced(f, &f->packages[LIBA].payload.manifest, "no-agreement", "release.json");
    CLEANUP_CLOSE int fd = openat(f->release_dirfd, "artifacts/liba-1.0.igos.tar.gz", O_RDONLY | O_CLOEXEC);
    struct digest archive;
    assert_int_equal(digest_of_fd(fd, &archive, NULL), 0);
    refuse_replaced(f, &archive, "digest", "artifacts/liba");
}

static void test_left_out(void **state)
{
    struct release_fixture *f = *state;
    f->leaves_out_appb = true;
    release_fixture_write(f);
    expect_refused(f, "left-out", "release.json");
}

static void test_S12_policy_holds(void **state)
{
    (void)state;
    struct release_fixture *f =
        release_fixture_new("version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  hold: [liba]\n");
    release_fixture_write(f);
    expect_refused(f, "hold", "release.json");
    release_fixture_free(f);
}

/* ---- tree and plan ---- */

/* K1: the statements name a package tree; if it is not the release's, nobody has derived the jobs from that. */
static void test_K1_evidence_of_another_tree(void **state)
{
    struct release_fixture *f = *state;
    f->attested_tree = digest_of(VIEW("a tree of somebody's own"));
    release_fixture_write(f);
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", f->path);
    struct verify_options options = {.dirfd = f->release_dirfd, .trust = trust, .now_ms = CHECK_NOW};
    assert_int_equal(verify_release(&options, &result, NULL), 0);
    assert_true(has_note(&result, "2 of 2 jobs (one is"));
    expect_pass(f); /* with the tree, the jobs were derived from it here */
}

static void test_K1_K6_tree(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    CLEANUP_CLOSE int tree = file_open_dir(f->dirfd, "tree", NULL);
    assert_int_equal(
        file_write(tree, "packages/extra/liba/build.sh", VIEW("do_install() { evil; }\n"), 0755, NULL), 0);
    expect_refused(f, "tree-digest", "release.json");
    expect_refused(f, "tree-spec", "inputs/specs");
}

/* The plan that the managers signed is not the one that the tree gives: less is asked for. */
static void test_K1_K6_plan_of_another_policy(void **state)
{
    struct release_fixture *f = *state;
    f->plan->nodes[LIBA].rules.quorum = 1;
    release_fixture_write(f);
    expect_refused(f, "tree-plan", "inputs/plan.json");
}

/* ---- dependencies ---- */

/* The first package that is built with one other, and with which something else is built. */
static size_t find_link(const struct release_fixture *f)
{
    for (size_t i = 0; i < f->npackages; i++)
        for (size_t k = 0; k < f->npackages && f->plan->nodes[i].nclosure == 1; k++)
            for (size_t d = 0; d < f->plan->nodes[k].nclosure; d++)
                if (f->plan->nodes[k].closure[d] == i)
                    return i;
    fail();
    return 0;
}

/* Everybody attests it, with its dependency in bytes that nobody agreed on. */
static void build_with(struct release_fixture *f, size_t at, struct digest payload)
{
    struct fixture_package *package = &f->packages[at];
    const struct package *recipe = tree_find(f->tree, view_text(f->plan->nodes[at].name));
    struct spec_inputs inputs = {.tree = f->tree,
                                 .package = tree_index(f->tree, recipe),
                                 .base = f->base,
                                 .payloads = &payload,
                                 .npayloads = 1};
    buf_done(&package->spec_text);
    spec_free(package->spec);
    assert_int_equal(spec_write(&inputs, &package->spec_text, &package->job, NULL), 0);
    assert_int_equal(spec_parse(buf_view(&package->spec_text), &package->spec, NULL), 0);
}

/* Not only what a package was built with, but also what that was built with, and so on, released or not. */
static void test_S15_what_a_dependency_was_built_with(void **state)
{
    (void)state;
    static char corpus[4096];
    struct release_fixture *f = release_fixture_make(
        &(struct fixture_shape){.packages = 24, .corpus = view_of(corpus, sizeof corpus)});
    size_t link = find_link(f);
    f->held = link + 1;
    release_fixture_write(f);
    expect_pass(f);
    build_with(f, link, digest_of(VIEW("a compiler of somebody's own")));
    release_fixture_write(f);
    expect_refused(f, "dependency-without-verdict", "inputs/specs/");
    release_fixture_free(f);
}

/* The plan that the managers saw has no edge from appb to liba. */
static void test_other_closure(void **state)
{
    struct release_fixture *f = *state;
    f->plan->nodes[APPB].nclosure = 0;
    f->plan->nodes[APPB].ndependencies = 0;
    release_fixture_write(f);
    expect_refused(f, "spec-dependencies", "inputs/specs/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_S8_claims_that_nothing_shows),
        CASE(test_K1_evidence_of_another_tree),
        CASE(test_S15_what_a_dependency_was_built_with),
        CASE(test_signed_lies),
        CASE(test_signed_digests),
        CASE(test_left_out),
        CASE(test_other_closure),
        cmocka_unit_test(test_S12_policy_holds),
        CASE(test_K1_K6_tree),
        CASE(test_K1_K6_plan_of_another_policy),
    };
    return cmocka_run_group_tests_name("verify_inputs", tests, NULL, NULL);
}
