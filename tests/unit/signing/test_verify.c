/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: a good release passes; one bit, one file more or less is refused and named; so is what was installed otherwise, and a phase
 * whose turn it is not. Numbers are those of docs/THREATS.md.
 */
#include "verify_expect.h"

#include "file.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* ---- its files ---- */

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

/* ---- behind it: what was installed, which phase comes next ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_good),
        CASE(test_S7_S8_one_bit),
        CASE(test_S15_missing_files),
        CASE(test_S11_extra_files),
        CASE(test_handoff),
        CASE(test_S13_chroot),
        CASE(test_S16_phases),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
