/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate and the log's witnesses: forked, shrunken, altered logs; who cosigned, and what is remembered. */
#include "verify_expect.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The log has grown since the release was made. */
static void log_growth(struct release_fixture *f, enum fixture_stage stage)
{
    for (uint32_t i = 0; i < 5 && stage == LOG_LATER; i++)
        log_fixture_add(f->log, &(struct logentry){.kind = LOG_PLAN,
                                                   .at_ms = FIXTURE_NOW,
                                                   .sha256 = digest_of(view_of(&i, sizeof i))});
}

/* ---- L1, L2, L7: another history ---- */

static void test_L1_forked_log(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    struct verify_state seen = {.log = f->checkpoint};
    expect_pass_with_note(f, &seen, "");
    seen.log.root = digest_of(VIEW("another history"));
    expect_refused_at(f, &seen, CHECK_NOW, "log-fork", "log/checkpoint");
    seen.log.size--; /* a beginning that differs */
    expect_refused_at(f, &seen, CHECK_NOW, "log-fork", "log/checkpoint");
    seen.log = log_fixture_checkpoint(f->log, f->checkpoint.size - 2);
    expect_pass_with_note(f, &seen, "");
    /* The managers signed one tree, the export has another. */
    struct digest other = digest_of(VIEW("another history"));
    release_fixture_replace(f, digest_hex(&f->checkpoint.root).text, digest_hex(&other).text);
    expect_refused(f, "log-root", "release.json");
}

static void test_L1_forked_checkpoint(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf note = BUF_INIT;
    release_fixture_write(f);
    struct checkpoint lie = f->checkpoint;
    lie.root = digest_of(VIEW("another history"));
    log_fixture_sign(f->log, &lie, &note);
    for (size_t i = 0; i < 2; i++)
        log_fixture_cosign(&lie, fixture_operators[i], f->farm->workers[i], 1, &note);
    assert_int_equal(file_write(f->release_dirfd, "log/checkpoint", buf_view(&note), 0644, NULL), 0);
    expect_refused(f, "log-root", "log/checkpoint");
}

static void test_L2_shrunken_log(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_write(f);
    struct verify_state seen = {.log = f->checkpoint};
    seen.log.size += 100;
    expect_refused_at(f, &seen, CHECK_NOW, "log-shrunk", "log/checkpoint");
    /* An earlier export of what was accepted before: its own tree was compared then. */
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), 0);
    seen.release = result.release;
    seen.sequence = 1;
    expect_pass_with_note(f, &seen, "earlier export of the release that was accepted before");
    verify_result_done(&result);
    assert_int_equal(release_fixture_verify(f, &seen, CHECK_NOW, &result), 0);
    assert_int_equal(result.state.log.size, seen.log.size); /* what is remembered never shrinks */
    /* The checkpoint ends before the release does. */
    release_fixture_put_checkpoint(f, "release/log/checkpoint", f->log_size - 1, 3);
    expect_refused(f, "log-short", "log/checkpoint");
}

static void expect_log_problem(struct release_fixture *f)
{
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), FARM_E_REFUSED);
    size_t i = 0;
    while (i < result.problems.count && strncmp(result.problems.items[i].rule, "log-", 4) != 0)
        i++;
    assert_true(i < result.problems.count);
}

static void test_L7_altered_entries(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    CLEANUP_FREE char *bundle =
        mem_format("log/%s", tiledir_path(TILEDIR_ENTRIES, 0, (unsigned int)f->log->nentries).text);
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, bundle, 1 << 20, &bytes, NULL), 0);
    for (size_t i = 0; i < bytes.size; i += 97) { /* lengths, digests, words */
        bytes.data[i] ^= 1;
        assert_int_equal(file_write(f->release_dirfd, bundle, buf_view(&bytes), 0644, NULL), 0);
        expect_log_problem(f);
        bytes.data[i] ^= 1;
    }
    assert_int_equal(file_write(f->release_dirfd, bundle, view_of(bytes.data, bytes.size - 1), 0644, NULL),
                     0);
    expect_refused(f, "log-entries", "log");
    assert_int_equal(unlinkat(f->release_dirfd, bundle, 0), 0);
    expect_refused(f, "log-entries", "log");
}

static void log_many(struct release_fixture *f, enum fixture_stage stage)
{
    for (uint32_t i = 0; i < 600 && stage == LOG_EVIDENCE; i++)
        log_fixture_add(f->log, &(struct logentry){.kind = LOG_PLAN,
                                                   .at_ms = FIXTURE_NOW,
                                                   .sha256 = digest_of(view_of(&i, sizeof i))});
}

/* Full bundles, not only the last. */
static void test_L7_altered_full_bundle(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_many;
    release_fixture_write(f);
    expect_pass(f);
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    assert_int_equal(file_read(f->release_dirfd, "log/tile/entries/001", 1 << 20, &bytes, NULL), 0);
    bytes.data[bytes.size / 2] ^= 1;
    assert_int_equal(file_write(f->release_dirfd, "log/tile/entries/001", buf_view(&bytes), 0644, NULL), 0);
    expect_log_problem(f);
    release_fixture_write(f);
    assert_int_equal(unlinkat(f->release_dirfd, "log/tile/entries/000", 0), 0);
    expect_refused(f, "log-entries", "log");
}

/* ---- L4, L8: witnesses ---- */

static int verify_with_notes(struct release_fixture *f, const char *const *names, size_t count,
                             struct verify_result *ret)
{
    CLEANUP_FREE char *trust = mem_format("%s/trust.json", f->path);
    char *paths[4];
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < count; i++)
        paths[i] = mem_format("%s/%s", f->path, names[i]);
    struct verify_options options = {.dirfd = f->release_dirfd,
                                     .trust = trust,
                                     .now_ms = CHECK_NOW,
                                     .cosignatures = (const char *const *)paths,
                                     .ncosignatures = count};
    int result = verify_release(&options, ret, &diag);
    for (size_t i = 0; i < count; i++)
        free(paths[i]);
    return result;
}

static void test_L8_too_few_witnesses(void **state)
{
    struct release_fixture *f = *state;
    static const struct {
        unsigned int cosigners;
        const char *missing;
    } cases[] = {{0, "missing: alpha, beta"},
                 {1, "missing: beta"},
                 {2, "missing: alpha"},
                 {1 | 4 | 8, "missing: beta"}}; /* gamma and delta are no witnesses */
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        f->cosigners = cases[i].cosigners;
        release_fixture_write(f);
        expect_refused_saying(f, "cosignatures", "log/checkpoint", cases[i].missing);
    }
}

/* Directory entries that may not witness: compromised, expired, not admitted yet. */
static void test_L8_whose_cosignature_counts(void **state)
{
    struct release_fixture *f = *state;
    struct directory_entry *beta = &f->farm->directory->entries[1];
    static const struct {
        int64_t admitted, expires, compromised;
    } cases[] = {{FIXTURE_NOW - 86400000, FIXTURE_EXPIRES, 1000},
                 {FIXTURE_NOW - 86400000, FIXTURE_NOW + 1000, -1},
                 {FIXTURE_NOW + 2 * LATER, FIXTURE_EXPIRES, -1}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        beta->admitted_ms = cases[i].admitted;
        beta->expires_ms = cases[i].expires;
        beta->compromised_from = cases[i].compromised;
        farm_fixture_sign_entry(beta, f->farm->operators[1]);
        farm_fixture_sign_entry(beta, f->farm->enrolment);
        release_fixture_write(f);
        expect_refused_saying(f, "cosignatures", "log/checkpoint", "missing: beta");
    }
}

static void test_L8_notes_passed_by_hand(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    static const char *const names[] = {"beta.note", "more.note"};
    f->cosigners = 1;
    f->log_hook = log_growth;
    release_fixture_write(f);
    release_fixture_put_checkpoint(f, "beta.note", f->log_size + 1,
                                   2); /* of another size than the export's */
    assert_int_equal(verify_with_notes(f, names, 1, &result), 0);
    assert_int_equal(result.witnesses, 2);
    assert_int_equal(result.state.log.size, f->log_size + 1); /* as far as both have seen */
    struct checkpoint smaller = log_fixture_checkpoint(f->log, f->log_size + 1);
    assert_true(digest_equal(&result.state.log.root, &smaller.root));
    verify_result_done(&result);
    release_fixture_put_checkpoint(f, "more.note", f->log_size - 1, 2); /* before the release */
    assert_int_equal(verify_with_notes(f, names, 2, &result), FARM_E_REFUSED);
    assert_non_null(find_problem(&result, "cosignature", "more.note"));
    verify_result_done(&result);
    assert_int_equal(verify_with_notes(f, (const char *const[]){"absent.note"}, 1, &result), -ENOENT);
    verify_result_done(&result);
}

/* A note of a tree that the entries do not give, of another log, with a signature that fails (L4). */
static void test_L4_L8_bad_notes(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    static const char *const names[] = {"bad.note"};
    f->cosigners = 1;
    release_fixture_write(f);
    struct checkpoint lie = f->checkpoint;
    lie.root = digest_of(VIEW("another history"));
    for (int i = 0; i < 3; i++) {
        CLEANUP_BUF struct buf note = BUF_INIT;
        struct log_fixture *other = log_fixture_new(FIXTURE_ORIGIN);
        log_fixture_sign(i == 1 ? other : f->log, i == 0 ? &lie : &f->checkpoint, &note);
        log_fixture_cosign(i == 0 ? &lie : &f->checkpoint, "beta", f->farm->workers[1], 1, &note);
        log_fixture_free(other);
        if (i == 2) { /* the last characters of the base64 are "=", "\n" */
            char *at = note.data + note.size - 10;
            *at = *at == 'A' ? 'B' : 'A';
        }
        assert_int_equal(file_write(f->dirfd, "bad.note", buf_view(&note), 0644, NULL), 0);
        assert_int_equal(verify_with_notes(f, names, 1, &result), FARM_E_REFUSED);
        assert_non_null(find_problem(&result, "cosignature", "bad.note"));
        verify_result_done(&result);
    }
}

static void test_L4_known_key_that_fails(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf note = BUF_INIT;
    release_fixture_write(f);
    struct checkpoint other = log_fixture_checkpoint(f->log, f->log_size - 1);
    log_fixture_sign(f->log, &f->checkpoint, &note);
    log_fixture_cosign(&f->checkpoint, "alpha", f->farm->workers[0], 1, &note);
    log_fixture_cosign(&f->checkpoint, "beta", f->farm->workers[1], 1, &note);
    log_fixture_cosign(&other, "gamma", f->farm->workers[2], 1, &note); /* no witness: ignored */
    assert_int_equal(file_write(f->release_dirfd, "log/checkpoint", buf_view(&note), 0644, NULL), 0);
    expect_pass(f);
    log_fixture_cosign(&other, "alpha", f->farm->workers[0], 2, &note); /* a known key, over something else */
    assert_int_equal(file_write(f->release_dirfd, "log/checkpoint", buf_view(&note), 0644, NULL), 0);
    expect_refused(f, "cosignature", "log/checkpoint");
}

/* Only what enough operators have seen is remembered. */
static void test_K4_what_is_remembered(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    struct verify_state fresh = {0};
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, &fresh, CHECK_NOW, &result), 0);
    assert_string_equal(result.state.log.origin, FIXTURE_ORIGIN);
    assert_int_equal(result.state.log.size, f->checkpoint.size);
    assert_true(digest_equal(&result.state.log.root, &f->checkpoint.root));
    struct verify_state seen = result.state;
    verify_result_done(&result);
    f->log_hook = log_growth; /* the log has grown, and the export with it */
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, &seen, CHECK_NOW, &result), 0);
    assert_true(result.state.log.size > seen.log.size);
}

/* ---- whether there is a log, and which ---- */

static void test_log_is_the_roots(void **state)
{
    struct release_fixture *f = *state;
    f->release_without_log = true;
    release_fixture_write(f);
    expect_refused(f, "log-missing", "release.json");
    f->release_without_log = false;
    release_fixture_write(f);
    release_fixture_replace(f, "\"origin\":\"" FIXTURE_ORIGIN, "\"origin\":\"other/log");
    expect_refused(f, "log-origin", "release.json");
    f->without_log = true;
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "NO TRANSPARENCY LOG");
    release_fixture_replace(
        f, "\"log\":null",
        "\"log\":{\"origin\":\"x\",\"root\":"
        "\"00000000000000000000000000000000000000000000000000000000000000aa\",\"size\":1}");
    expect_refused(f, "log-not-allowed", "release.json");
}

/* After a loss the root names another log, and where the old one ended. */
static void test_K4_log_that_follows_another(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    struct verify_state seen = {.log = {.origin = "old/log", .size = 50, .root = digest_of(VIEW("old"))}};
    expect_refused_at(f, &seen, CHECK_NOW, "log-origin", "log/checkpoint");
    f->farm->root->log.previous = seen.log;
    f->farm->root->log.previous.size = 60;
    release_fixture_write(f);
    expect_pass_with_note(f, &seen, "The log old/log was given up at 60 entries");
    seen.log.size = 60; /* exactly its end */
    expect_pass_with_note(f, &seen, "The log old/log was given up at 60 entries");
    seen.log.root = digest_of(VIEW("older"));
    expect_refused_at(f, &seen, CHECK_NOW, "log-fork", "root");
    seen.log.size = 61; /* more was seen than the root admits */
    expect_refused_at(f, &seen, CHECK_NOW, "log-fork", "root");
}

/* ---- C2: witnesses' clocks ---- */

static void test_C2_clock_set_back(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    f->cosigned_ms = FIXTURE_EXPIRES + 1000; /* two operators have seen that time */
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), FARM_E_REFUSED);
    assert_non_null(find_problem(&result, "expired", "release.json"));
    assert_true(has_note(&result, "The clock of this machine is behind"));
    assert_int_equal(result.state.time_ms, CHECK_NOW); /* for this run alone */
    f->cosigners = 1;                                  /* one clock moves nothing */
    f->cosigned_ms = FIXTURE_EXPIRES + 1000;
    release_fixture_write(f);
    f->cosigned_ms = FIXTURE_NOW + 1000;
    release_fixture_put_checkpoint(f, "beta.note", f->log->nentries, 2);
    verify_result_done(&result);
    assert_int_equal(verify_with_notes(f, (const char *const[]){"beta.note"}, 1, &result), 0);
    struct root_log *log = &f->farm->root->log;
    free(log->witnesses[1]);
    log->nwitnesses = log->threshold = 1; /* where one is enough, its clock is no argument at all */
    f->cosigned_ms = FIXTURE_EXPIRES + 1000;
    release_fixture_write(f);
    expect_pass(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_L1_forked_log),
        CASE(test_L1_forked_checkpoint),
        CASE(test_L2_shrunken_log),
        CASE(test_L7_altered_entries),
        CASE(test_L7_altered_full_bundle),
        CASE(test_L8_too_few_witnesses),
        CASE(test_L8_whose_cosignature_counts),
        CASE(test_L8_notes_passed_by_hand),
        CASE(test_L4_L8_bad_notes),
        CASE(test_L4_known_key_that_fails),
        CASE(test_K4_what_is_remembered),
        CASE(test_log_is_the_roots),
        CASE(test_K4_log_that_follows_another),
        CASE(test_C2_clock_set_back),
    };
    return cmocka_run_group_tests_name("verify_witness", tests, NULL, NULL);
}
