/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: a good release passes; each way of tampering is refused and named. Numbers are those of docs/THREATS.md.
 */
#include "verify_expect.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void test_good(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_write(f);
    expect_pass(f);
    assert_int_equal(release_fixture_verify(f, NULL, FIXTURE_NOW + LATER, &result), 0);
    assert_string_equal(result.name, "test-1");
    assert_int_equal(result.npackages, 2);
    assert_int_equal(result.jobs, 2);
    assert_int_equal(result.envelopes, 4);
    assert_int_equal(result.signers, 2);
    assert_string_equal(result.packages[0].id, "extra/appb");
    assert_int_equal(result.packages[0].operators, 2);
    assert_int_equal(result.packages[0].anchors, 2);
    assert_true(result.packages[0].passed && result.packages[1].passed);
    assert_int_equal(result.state.sequence, 1);
    assert_true(has_note(&result, "Freshness not checked"));
    assert_int_equal(result.log_entries, f->log->nentries);
    assert_int_equal(result.witnesses, 2);
    assert_int_equal(result.leases.granted, 4);
    assert_int_equal(result.leases.answered, 4);
    assert_string_equal(result.packages[0].weakest, "extra/appb");
    assert_int_equal(result.packages[0].weakest_operators, 2);
}

/* Flips one bit in the middle of every file, one after the other: each must be refused. */
static void flip_below(struct release_fixture *f, const char *path, size_t *count)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    if (file_read(f->release_dirfd, path, 1 << 20, &text, NULL) < 0)
        fail_msg("no %s", path);
    text.data[text.size / 2] ^= 1;
    assert_int_equal(file_write(f->release_dirfd, path, buf_view(&text), 0644, NULL), 0);
    if (release_fixture_verify(f, NULL, FIXTURE_NOW + LATER, &result) != FARM_E_REFUSED)
        fail_msg("one bit changed in %s, and nobody noticed", path);
    text.data[text.size / 2] ^= 1;
    assert_int_equal(file_write(f->release_dirfd, path, buf_view(&text), 0644, NULL), 0);
    (*count)++;
}

static void test_S7_S8_one_bit(void **state)
{
    struct release_fixture *f = *state;
    size_t count = 0;
    release_fixture_write(f);
    static const char *const files[] = {"release.json",
                                        "release.json.sig.d/ann.sig",
                                        "root/1.root.json",
                                        "root/1.root.json.sig.d/ben.sig",
                                        "root/workers.json",
                                        "inputs/policy.yml",
                                        "inputs/plan.json",
                                        "inputs/base.mtree",
                                        "artifacts/liba-1.0.igos.tar.gz",
                                        "artifacts/appb-2.1.igos.tar.gz",
                                        "manifests/liba-1.0.mtree",
                                        "manifests/appb-2.1.mtree",
                                        "receipts/liba-1.0.intoto.jsonl",
                                        "receipts/appb-2.1.intoto.jsonl",
                                        "intergenos-archive-manifest.txt",
                                        "log/checkpoint",
                                        "summaries/liba-1.0.vsa.jsonl",
                                        "keys/coordinator.pem",
                                        "keys/alpha-1.pem"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++)
        flip_below(f, files[i], &count);
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++) {
        CLEANUP_FREE char *spec = mem_format("inputs/specs/%s.json", digest_hex(&f->packages[i].job).text);
        flip_below(f, spec, &count);
    }
    CLEANUP_FREE char *bundle =
        mem_format("log/%s", tiledir_path(TILEDIR_ENTRIES, 0, (unsigned int)f->log->nentries).text);
    flip_below(f, bundle, &count);
    assert_int_equal(count, 22);
    expect_pass(f);
}

static void test_S15_missing_files(void **state)
{
    struct release_fixture *f = *state;
    static const struct {
        const char *file, *rule;
    } cases[] = {{"receipts/liba-1.0.intoto.jsonl", "missing"},
                 {"manifests/appb-2.1.mtree", "missing"},
                 {"artifacts/appb-2.1.igos.tar.gz", "missing"},
                 {"inputs/policy.yml", "missing"},
                 {"inputs/base.mtree", "missing"},
                 {"inputs/plan.json", "missing"},
                 {"root/workers.json", "missing"},
                 {"root/1.root.json", "missing"},
                 {"log/checkpoint", "missing"},
                 {"summaries/appb-2.1.vsa.jsonl", "missing"},
                 {"keys/beta-1.pem", "missing"},
                 {"keys/coordinator.pem", "missing"},
                 {"intergenos-archive-manifest.txt", "missing"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        release_fixture_write(f);
        assert_int_equal(unlinkat(f->release_dirfd, cases[i].file, 0), 0);
        expect_refused(f, cases[i].rule, cases[i].file);
    }
    release_fixture_write(f);
    CLEANUP_FREE char *spec = mem_format("inputs/specs/%s.json", digest_hex(&f->packages[LIBA].job).text);
    assert_int_equal(unlinkat(f->release_dirfd, spec, 0), 0);
    expect_refused(f, "spec-missing", "release.json"); /* S15 */
    expect_refused(f, "dependency-without-verdict", "receipts/appb");
}

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

/* S11 */
static void test_S11_extra_files(void **state)
{
    struct release_fixture *f = *state;
    static const char *const files[] = {"artifacts/evil-1.igos.tar.gz",
                                        "README",
                                        "inputs/specs/x.json",
                                        "seal.json",
                                        "root/2.root.json.sig.d/ann.sig",
                                        "receipts/.hidden",
                                        "root/x.sig",
                                        "manifests/liba-1.0.mtree.sig.d/x.sig",
                                        "log/tile/entries/000.p/1",
                                        "log/checkpoint.old",
                                        "keys/gamma-1.pem",
                                        "summaries/evil-1.vsa.jsonl"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        release_fixture_write(f);
        if (strstr(files[i], "2.root.json") != NULL)
            assert_int_equal(file_make_dirs(f->release_dirfd, "root/2.root.json.sig.d", 0755, NULL), 0);
        if (strstr(files[i], ".mtree.sig.d") != NULL)
            assert_int_equal(file_make_dirs(f->release_dirfd, "manifests/liba-1.0.mtree.sig.d", 0755, NULL),
                             0);
        assert_int_equal(file_write(f->release_dirfd, files[i], VIEW("x"), 0644, NULL), 0);
        expect_refused(f, "extra-file", files[i]);
    }
    release_fixture_write(f);
    assert_int_equal(symlinkat("../tree", f->release_dirfd, "more"), 0);
    expect_refused(f, "not-a-file", "more");
}

static void test_S1_S3_signatures(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    release_fixture_sign(f, 1, SSHSIG_NAMESPACE_RELEASE); /* S1 */
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 3, SSHSIG_NAMESPACE_ROOT); /* S3 */
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 0, SSHSIG_NAMESPACE_RELEASE);
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 3, SSHSIG_NAMESPACE_RELEASE);
    expect_pass(f);
}

/* S5, C2 */
static void test_S5_C2_expiry(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    expect_refused_at(f, NULL, FIXTURE_EXPIRES, "expired", "release.json");
    struct verify_state seen = {.time_ms = FIXTURE_EXPIRES + 1};
    expect_refused_at(f, &seen, FIXTURE_NOW, "expired", "1.root.json"); /* the clock was set back */
}

/* S6, K4 */
static void test_S6_K4_rollback(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result first = VERIFY_RESULT_INIT;
    CLEANUP(verify_result_done) struct verify_result second = VERIFY_RESULT_INIT;
    struct verify_state fresh = {0};
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, &fresh, FIXTURE_NOW + LATER, &first), 0);
    assert_int_equal(release_fixture_verify(f, &first.state, FIXTURE_NOW + LATER, &second),
                     0); /* the same again */
    f->sequence = 2;
    f->previous = digest_of(VIEW("something else"));
    release_fixture_write(f);
    expect_refused_at(f, &first.state, FIXTURE_NOW + LATER, "previous", "release.json");
    f->previous = first.state.release;
    release_fixture_write(f);
    verify_result_done(&second);
    assert_int_equal(release_fixture_verify(f, &first.state, FIXTURE_NOW + LATER, &second), 0);
    assert_int_equal(second.state.sequence, 2);
    f->sequence = 1;
    f->previous = (struct digest){{0}};
    release_fixture_write(f);
    expect_refused_at(f, &second.state, FIXTURE_NOW + LATER, "rollback", "release.json");
    struct verify_state newer_root = first.state, newer_directory = first.state;
    newer_root.root_version = 2;
    expect_refused_at(f, &newer_root, FIXTURE_NOW + LATER, "rollback", "1.root.json");
    newer_directory.directory_version = 2;
    expect_refused_at(f, &newer_directory, FIXTURE_NOW + LATER, "rollback", "workers.json");
}

static void test_W1_K5_quorum(void **state)
{
    struct release_fixture *f = *state;
    f->votes[1].answer = ANSWER_NONE;
    f->votes[1].outcome = OUTCOME_EXPIRED;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/"); /* one answer */
    expect_refused(f, "no-agreement", "release.json");
    f->votes[1].answer = ANSWER_OTHER;
    f->votes[1].outcome = OUTCOME_ANSWERED;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/"); /* W1 */
    f->votes[0].operator_index = 2;            /* gamma and delta: a quorum without anchors (K5, W18) */
    f->votes[1].operator_index = 3;
    f->votes[1].answer = ANSWER_GOOD;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
}

static void test_K2_dissent(void **state)
{
    struct release_fixture *f = *state;
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++)
        release_fixture_add_vote(
            f, (struct fixture_vote){.package = i, .operator_index = 2, .answer = ANSWER_OTHER, .round = 1});
    release_fixture_write(f);
    expect_refused(f, "support", "release.json"); /* the dissent is not listed */
    expect_refused(f, "verdict-claim", "receipts/");
    f->claimed_dissent = 1;
    release_fixture_write(f);
    expect_pass(f);
    f->receipt_leaves_out = 5; /* K2: the lease is there, its answer is not */
    release_fixture_write(f);
    expect_refused(f, "answer-missing", "receipts/");
}

static void test_K2_S15_evidence_differs(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_fixture_add_vote(f, (struct fixture_vote){.package = LIBA,
                                                      .operator_index = 2,
                                                      .answer = ANSWER_NONE,
                                                      .outcome = OUTCOME_EXPIRED,
                                                      .round = 1});
    release_fixture_write(f);
    assert_int_equal(file_read(f->release_dirfd, "receipts/liba-1.0.intoto.jsonl", 1 << 20, &text, NULL), 0);
    f->nvotes--;
    release_fixture_write(f); /* without the third lease */
    expect_pass(f);
    assert_int_equal(
        file_write(f->release_dirfd, "receipts/liba-1.0.intoto.jsonl", buf_view(&text), 0644, NULL), 0);
    expect_refused(f, "evidence-differs", "receipts/");
    release_fixture_write(f); /* a receipt that speaks of more than its package was built with */
    CLEANUP_BUF struct buf more = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, "receipts/appb-2.1.intoto.jsonl", 1 << 20, &more, NULL), 0);
    assert_int_equal(
        file_write(f->release_dirfd, "receipts/liba-1.0.intoto.jsonl", buf_view(&more), 0644, NULL), 0);
    expect_refused(f, "receipt-extent", "receipts/liba");
    f->appb_receipt_alone = true; /* S15 */
    release_fixture_write(f);
    expect_refused(f, "dependency-without-receipt", "receipts/appb");
}

/* W2, W3, W9: two answers of one operator are no vote, and dissent. */
static void test_W2_W3_W9_equivocation(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_add_vote(
        f, (struct fixture_vote){.package = LIBA, .operator_index = 1, .answer = ANSWER_OTHER, .round = 1});
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
    f->votes[f->nvotes - 1].answer = ANSWER_GOOD; /* the same twice is one vote */
    release_fixture_write(f);
    expect_pass(f);
    f->votes[1].answer = ANSWER_NONE;
    f->votes[1].outcome = OUTCOME_EXPIRED;
    f->votes[f->nvotes - 1].operator_index = 0;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
}

static void test_rounds(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_add_vote(
        f, (struct fixture_vote){.package = LIBA, .operator_index = 2, .answer = ANSWER_GOOD, .round = 2});
    f->packages[LIBA].more_operators = 1; /* who confirms it stands behind it */
    release_fixture_write(f);
    expect_pass(f); /* a comparison that is not finished and agrees so far */
    f->votes[f->nvotes - 1].answer = ANSWER_OTHER;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
    f->votes[f->nvotes - 1].answer = ANSWER_FAILED; /* one failure settles nothing and contradicts nothing */
    f->packages[LIBA].more_operators = 0;
    f->packages[LIBA].more_dissent = 1;
    release_fixture_write(f);
    expect_pass(f);
}

/* W6, W7, outcomes that do not fit. */
static void test_W6_W7_lease_binding(void **state)
{
    struct release_fixture *f = *state;
    f->votes[0].outcome = OUTCOME_REFUSED;
    release_fixture_write(f);
    expect_refused(f, "envelope", "receipts/");
    f->votes[0].outcome = OUTCOME_LATE;
    release_fixture_write(f);
    expect_pass(f);
    f->votes[0].open = true; /* open votes do not make a quorum */
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
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

/* W8: a genuine signature over a build of something else. */
static void test_W8_other_build(void **state)
{
    struct release_fixture *f = *state;
    f->votes[0].answer = ANSWER_OTHER_BASE;
    release_fixture_write(f);
    expect_refused(f, "envelope", "receipts/");
}

static void test_left_out(void **state)
{
    struct release_fixture *f = *state;
    f->leaves_out_appb = true;
    release_fixture_write(f);
    expect_refused(f, "left-out", "release.json");
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

/* K6, K7 */
static void test_K6_K7_other_policy_and_base(void **state)
{
    struct release_fixture *f = *state;
    f->farm->root->policy = digest_of(VIEW("a stricter policy"));
    release_fixture_write(f);
    expect_refused(f, "policy-not-allowed", "release.json");
    f->farm->root->policy = digest_of(view_text(f->policy));
    f->farm->root->bases[0] = digest_of(VIEW("another base"));
    release_fixture_write(f);
    expect_refused(f, "base-not-allowed", "release.json");
}

static void test_K4_other_root(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_fixture_write(f);
    f->farm->root->expires_ms += 1000;
    root_write(f->farm->root, &text);
    assert_int_equal(file_write(f->dirfd, "trust.json", buf_view(&text), 0644, NULL), 0);
    expect_refused(f, "root-untrusted", "1.root.json");
    f->farm->root->version = 2; /* we already trust the next */
    buf_clear(&text);
    root_write(f->farm->root, &text);
    assert_int_equal(file_write(f->dirfd, "trust.json", buf_view(&text), 0644, NULL), 0);
    expect_refused(f, "root-old", "root");
}

static void put_second_root(struct release_fixture *f, int64_t version, size_t people)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_fixture_write(f);
    f->farm->root->version = version;
    root_write(f->farm->root, &text);
    f->farm->root->version = 1;
    assert_int_equal(file_write(f->release_dirfd, "root/2.root.json", buf_view(&text), 0644, NULL), 0);
    assert_int_equal(file_make_dirs(f->release_dirfd, "root/2.root.json.sig.d", 0755, NULL), 0);
    for (size_t i = 0; i < people; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(f->farm->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("root/2.root.json.sig.d/%zu.sig", i);
        assert_int_equal(file_write(f->release_dirfd, path, view_text(armored), 0644, NULL), 0);
    }
}

static void test_S9_root_chain(void **state)
{
    struct release_fixture *f = *state;
    put_second_root(f, 2, 2); /* a good link, though not the release's own root */
    expect_refused(f, "root-digest", "release.json");
    put_second_root(f, 2, 1);
    expect_refused(f, "root-signature", "root/2.root.json");
    put_second_root(f, 3, 2);
    expect_refused_saying(f, "root-signature", "root/2.root.json", "cannot follow version 1");
}

static void test_W11_directory(void **state)
{
    struct release_fixture *f = *state;
    struct directory_entry *alpha = &f->farm->directory->entries[0];
    alpha->expires_ms = FIXTURE_NOW - 5000; /* before the lease; and no longer what was signed */
    release_fixture_write(f);
    expect_refused(f, "entry-signature", "workers.json");
    farm_fixture_sign_entry(alpha, f->farm->operators[0]);
    farm_fixture_sign_entry(alpha, f->farm->enrolment);
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
    alpha->expires_ms = FIXTURE_EXPIRES;
    alpha->compromised_from = 1000; /* far behind; but without a log nothing shows that */
    f->without_log = true;
    farm_fixture_sign_entry(alpha, f->farm->operators[0]);
    farm_fixture_sign_entry(alpha, f->farm->enrolment);
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
}

/* W11: a worker that left the directory has no vote any more; the others decide. */
static void test_W11_worker_removed(void **state)
{
    struct release_fixture *f = *state;
    struct directory *directory = f->farm->directory;
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++)
        release_fixture_add_vote(f, (struct fixture_vote){.package = i, .operator_index = 3, .round = 1});
    directory_entry_done(&directory->entries[--directory->nentries]); /* delta */
    release_fixture_write(f);
    expect_pass(f);
    directory_entry_done(&directory->entries[--directory->nentries]); /* gamma never voted */
    directory_entry_done(&directory->entries[--directory->nentries]); /* beta did */
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
}

static void put_handoff(struct release_fixture *f, const char *phase, int64_t sequence)
{
    CLEANUP_BUF struct buf release = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, "release.json", 1 << 20, &release, NULL), 0);
    struct digest digest = digest_of(buf_view(&release));
    CLEANUP_FREE char *text =
        mem_format("{\"format\":\"intergenos-handoff/1\",\"phase\":\"%s\",\"release\":\"test-1\","
                   "\"release_sha256\":\"%s\",\"sequence\":%lld,\"verified\":\"2026-11-22T17:00:00Z\"}",
                   phase, digest_hex(&digest).text, (long long)sequence);
    assert_int_equal(file_write(f->release_dirfd, "handoff.json", view_text(text), 0644, NULL), 0);
}

static void test_handoff(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    put_handoff(f, "image", 1);
    expect_pass(f);
    put_handoff(f, "image", 2);
    expect_refused(f, "handoff", "handoff.json");
    assert_int_equal(file_write(f->release_dirfd, "handoff.json", VIEW("x"), 0644, NULL), 0);
    expect_refused(f, "handoff", "handoff.json");
}

static void test_quorum_of_one(void **state)
{
    (void)state;
    struct release_fixture *f = release_fixture_new("version: 1\ndefaults:\n  quorum: 1\n  anchors: 1\n");
    release_fixture_write(f);
    expect_refused(f, "unverified", "release.json");
    static const char *const names[] = {"liba", "appb"};
    f->farm->root->unverified = mem_zero(2, sizeof(char *));
    for (size_t i = 0; i < 2; i++)
        f->farm->root->unverified[f->farm->root->nunverified++] = mem_string(names[i]);
    release_fixture_write(f);
    expect_pass(f);
    f->held = LIBA + 1; /* not released, and still built upon */
    release_fixture_write(f);
    expect_pass(f);
    strcpy(f->farm->root->unverified[0], "libx");
    release_fixture_write(f);
    expect_refused(f, "unverified", "inputs/specs/");
    release_fixture_free(f);
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

static int verify_root(struct release_fixture *f, struct verify_result *ret, const char *phase,
                       const struct verify_state *state)
{
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", f->path);
    CLEANUP_FREE char *root = mem_format("%s/chroot", f->path);
    struct verify_options options = {.dirfd = f->release_dirfd,
                                     .trust = trust,
                                     .now_ms = FIXTURE_NOW + LATER,
                                     .root = root,
                                     .phase = phase,
                                     .state = state};
    return verify_release(&options, ret, NULL);
}

/* S13 */
static void test_S13_chroot(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_write(f);
    assert_int_equal(file_make_dirs(f->dirfd, "chroot/usr", 0755, NULL), 0);
    assert_int_equal(file_make_dirs(f->dirfd, "chroot/etc", 0755, NULL), 0);
    assert_int_equal(fchmodat(f->dirfd, "chroot", 0755, 0), 0);
    assert_int_equal(file_write(f->dirfd, "chroot/usr/liba", VIEW("liba"), 0644, NULL), 0);
    assert_int_equal(file_write(f->dirfd, "chroot/usr/appb", VIEW("appb"), 0644, NULL), 0);
    if (verify_root(f, &result, NULL, NULL) != 0) {
        problems_print(&result.problems, stderr);
        fail_msg("refused");
    }
    static const struct {
        const char *path, *text, *words;
        mode_t mode;
    } changes[] = {{"chroot/usr/liba", "LIBA", "other content", 0644},
                   {"chroot/etc/passwd", "x", "alone", 0644},
                   {"chroot/usr/appb", "appb", "another mode", 04755}};
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        assert_int_equal(
            file_write(f->dirfd, changes[i].path, view_text(changes[i].text), changes[i].mode, NULL), 0);
        verify_result_done(&result);
        assert_int_equal(verify_root(f, &result, NULL, NULL), FARM_E_REFUSED);
        assert_int_equal(result.problems.count, i + 1);
    }
    assert_int_equal(unlinkat(f->dirfd, "chroot/usr/liba", 0), 0);
    verify_result_done(&result);
    assert_int_equal(verify_root(f, &result, NULL, NULL), FARM_E_REFUSED);
    assert_non_null(find_problem(&result, "root-entry", ""));
}

static void test_S16_phases(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", f->path);
    struct verify_state fresh = {0};
    release_fixture_write(f);
    struct verify_options options = {
        .dirfd = f->release_dirfd, .trust = trust, .now_ms = FIXTURE_NOW + LATER, .phase = "image"};
    assert_int_equal(verify_release(&options, &result, NULL), FARM_E_USAGE); /* no state */
    options.state = &fresh;
    assert_int_equal(verify_release(&options, &result, NULL), 0);
    verify_result_done(&result);
    options.phase = "ukis-verity";
    assert_int_equal(verify_release(&options, &result, NULL), FARM_E_REFUSED); /* S16 */
    assert_non_null(find_problem(&result, "seal-missing", "seal.json"));
    verify_result_done(&result);
    options.phase = "imgae";
    assert_int_equal(verify_release(&options, &result, NULL), FARM_E_USAGE);
    options.phase = NULL;
    options.trust = "/nonexistent";
    assert_true(verify_release(&options, &result, NULL) < 0);
    verify_result_done(&result);
}

static void test_state_file(void **state)
{
    struct release_fixture *f = *state;
    struct verify_state one = {.root_version = 1,
                               .root = digest_of(VIEW("r")),
                               .directory_version = 3,
                               .sequence = 7,
                               .release = digest_of(VIEW("x")),
                               .time_ms = FIXTURE_NOW},
                        back;
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0); /* absent is fresh */
    assert_int_equal(back.sequence, 0);
    assert_int_equal(verify_state_write(f->dirfd, "state", &one, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_memory_equal(&one, &back, sizeof one);
    one.log = (struct checkpoint){.origin = "a/log", .size = 1234, .root = digest_of(VIEW("l"))};
    assert_int_equal(verify_state_write(f->dirfd, "state", &one, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_int_equal(back.log.size, 1234);
    assert_string_equal(back.log.origin, "a/log");
    assert_true(digest_equal(&back.log.root, &one.log.root));
    static const char old[] = /* as an earlier version wrote it */
        "{\"directory\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"directory_"
        "version\":3,"
        "\"format\":\"intergenos-verify-state/1\","
        "\"release\":\"00000000000000000000000000000000000000000000000000000000000000aa\","
        "\"root\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"root_version\":2,"
        "\"sequence\":7,"
        "\"time\":\"2026-11-22T16:45:38Z\"}\n";
    assert_int_equal(file_write(f->dirfd, "state", view_text(old), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_int_equal(back.sequence, 7);
    assert_int_equal(back.log.size, 0);
    assert_int_equal(file_write(f->dirfd, "state", VIEW("{}"), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), FARM_E_CONFIG);
    assert_int_equal(file_write(f->dirfd, "state", VIEW(""), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), FARM_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_good),
        CASE(test_S7_S8_one_bit),
        CASE(test_S15_missing_files),
        CASE(test_S8_claims_that_nothing_shows),
        CASE(test_K1_evidence_of_another_tree),
        CASE(test_S15_what_a_dependency_was_built_with),
        CASE(test_S11_extra_files),
        CASE(test_S1_S3_signatures),
        CASE(test_S5_C2_expiry),
        CASE(test_S6_K4_rollback),
        CASE(test_W1_K5_quorum),
        CASE(test_K2_dissent),
        CASE(test_K2_S15_evidence_differs),
        CASE(test_W2_W3_W9_equivocation),
        CASE(test_rounds),
        CASE(test_W6_W7_lease_binding),
        CASE(test_signed_lies),
        CASE(test_K6_K7_other_policy_and_base),
        CASE(test_K4_other_root),
        CASE(test_S9_root_chain),
        CASE(test_W11_directory),
        CASE(test_signed_digests),
        CASE(test_W8_other_build),
        CASE(test_left_out),
        CASE(test_other_closure),
        CASE(test_W11_worker_removed),
        CASE(test_handoff),
        cmocka_unit_test(test_quorum_of_one),
        cmocka_unit_test(test_S12_policy_holds),
        CASE(test_K1_K6_tree),
        CASE(test_K1_K6_plan_of_another_policy),
        CASE(test_S13_chroot),
        CASE(test_S16_phases),
        CASE(test_state_file),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
