/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate and the transparency log: what is hidden, invented, forked, too little witnessed, or judged by position. */
#include "verify_expect.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- K2: accounting ---- */

/* gamma dissents about both packages; the release admits it. */
static void add_dissent(struct release_fixture *f)
{
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++)
        release_fixture_add_vote(
            f, (struct fixture_vote){.package = i, .operator_index = 2, .answer = ANSWER_OTHER, .round = 1});
    f->claimed_dissent = 1;
}

static void test_K2_hidden_lease(void **state)
{
    struct release_fixture *f = *state;
    add_dissent(f);
    release_fixture_write(f);
    expect_pass(f);
    f->receipt_hides = 5; /* the lease, its dissent, and the claim are gone without a trace in the receipts */
    f->claimed_dissent = 0;
    f->packages[APPB].more_dissent = 1;
    release_fixture_write(f);
    expect_refused_saying(f, "lease-hidden", "receipts/", "gamma-1");
    expect_refused_saying(f, "answer-hidden", "receipts/", "gamma-1");
    f->without_log = true; /* what nobody could have noticed */
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "NO TRANSPARENCY LOG");
}

static void test_K2_hidden_answer(void **state)
{
    struct release_fixture *f = *state;
    add_dissent(f);
    f->receipt_expires = 5; /* "it never answered" */
    f->claimed_dissent = 0;
    f->packages[APPB].more_dissent = 1;
    release_fixture_write(f);
    expect_refused_saying(f, "answer-hidden", "receipts/", "gamma-1");
    expect_refused_saying(f, "lease-outcome", "receipts/", "is answered, the receipt says expired");
    f->without_log = true; /* what nobody could have noticed */
    release_fixture_write(f);
    expect_pass(f);
}

/* An answer that was refused on arrival is no evidence, and no secret. */
static void test_K2_hidden_refusal(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_add_vote(f, (struct fixture_vote){.package = LIBA,
                                                      .operator_index = 2,
                                                      .answer = ANSWER_NONE,
                                                      .outcome = OUTCOME_REFUSED,
                                                      .round = 1});
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), 0);
    assert_int_equal(result.leases.refused, 1);
    assert_int_equal(result.leases.granted, 5);
    assert_true(has_note(&result, "liba: 1 answers of gamma-1 were refused"));
    replace_in_receipts(f, "\"outcome\":\"refused\"", "\"outcome\":\"expired\"");
    expect_refused_saying(f, "lease-outcome", "receipts/", "is refused, the receipt says expired");
}

static void test_K2_invented_lease(void **state)
{
    struct release_fixture *f = *state;
    f->votes[1].answer = ANSWER_NONE; /* beta never answered liba, and */
    f->votes[1].outcome = OUTCOME_EXPIRED;
    release_fixture_add_vote(f, (struct fixture_vote){.package = LIBA, .operator_index = 1, .round = 1});
    f->log_hides = f->nvotes; /* an answer of it appears later */
    release_fixture_write(f);
    expect_refused_saying(f, "lease-invented", "receipts/", "beta-1");
    expect_refused(f, "answer-invented", "receipts/");
    expect_refused(f, "verdict", "receipts/"); /* and it does not count */
}

static void test_K2_lease_differs(void **state)
{
    struct release_fixture *f = *state;
    static const struct {
        const char *old, *new_text;
    } cases[] = {{"\"round\":1", "\"round\":2"},
                 {"\"worker\":\"beta-1\"", "\"worker\":\"gamma-1\""},
                 {"\"operator\":\"beta\"", "\"operator\":\"gamma\""},
                 {"\"granted\":\"2026", "\"granted\":\"2027"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        release_fixture_write(f);
        replace_in_receipts(f, cases[i].old, cases[i].new_text);
        expect_refused(f, "lease-differs", "receipts/");
    }
    release_fixture_write(f);
    replace_in_receipts(f, "\"open\":false", "\"open\":true");
    expect_refused(f, "lease-open", "receipts/");
}

/* To hide an answer, it is logged before the lease that it answers, or the lease is logged twice. */
static void log_out_of_order(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage != LOG_EVIDENCE)
        return;
    release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
    release_fixture_log_lease(f, LIBA, 2, 1);
}

static void log_lease_twice(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage != LOG_EVIDENCE)
        return;
    release_fixture_log_lease(f, LIBA, 2, 1);
    release_fixture_log_event(f, LOG_LEASE_END, 1, "expired");
    release_fixture_log_lease(f, APPB, 2, 1);
    release_fixture_log_event(f, LOG_LEASE_END, 1, "withdrawn");
}

static void test_K2_order(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_out_of_order;
    release_fixture_write(f);
    expect_refused_saying(f, "log-order", "log", "granted later");
    expect_refused(f, "lease-hidden", "receipts/");
    f->log_hook = log_lease_twice;
    release_fixture_write(f);
    expect_refused_saying(f, "log-order", "log", "granted before");
    expect_refused_saying(f, "log-order", "log", "had ended before");
}

/* Other jobs are nobody's business here; what came behind the checkpoint is the next release's. */
static void log_other_things(struct release_fixture *f, enum fixture_stage stage)
{
    struct digest job = f->packages[LIBA].job, other = digest_of(VIEW("another job"));
    if (stage == LOG_EVIDENCE) {
        f->packages[LIBA].job = other;
        release_fixture_log_lease(f, LIBA, 2, 1);
        f->packages[LIBA].job = job;
        release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
        log_fixture_add_text(f->log, VIEW("{\"at\":\"2026-11-22T16:45:38Z\",\"kind\":\"news\",\"x\":[1]}"));
        return;
    }
    release_fixture_log_lease(f, LIBA, 2, 2);
    release_fixture_log_event(f, LOG_ENVELOPE, 2, "late");
    log_fixture_add(f->log, &(struct logentry){.kind = LOG_ENVELOPE,
                                               .at_ms = FIXTURE_NOW,
                                               .nonce = {{0, 0, 0, 7}}, /* of the first vote */
                                               .sha256 = digest_of(VIEW("second thoughts"))});
    log_fixture_add(f->log, &(struct logentry){.kind = LOG_VERDICT,
                                               .at_ms = FIXTURE_NOW,
                                               .job = job,
                                               .round = 1,
                                               .verdict = VERDICT_DISPUTED,
                                               .operators = 2,
                                               .dissent = 1});
}

static void test_K2_what_is_no_part_of_it(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_other_things;
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "1 entries of the log are of kinds");
    expect_pass_with_note(f, NULL, "1 answers to leases of this release came after it was made");
    expect_pass_with_note(f, NULL, "liba: SINCE this release was made the log has another verdict, disputed");
}

static void log_nonsense(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage == LOG_EVIDENCE)
        log_fixture_add_text(f->log, VIEW("{\"at\":\"2026-11-22T16:45:38Z\",\"kind\":\"verdict\"}"));
}

/* An answer to a lease of this release, in a form that is none. */
static void log_odd_answer(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage == LOG_EVIDENCE)
        log_fixture_add_text(
            f->log,
            VIEW("{\"at\":\"2026-11-22T16:45:38Z\",\"kind\":\"envelope\",\"nonce\":"
                 "\"0000000700000000000000000000000000000000000000000000000000000000\",\"sha257\":\"\"}"));
}

static void test_K2_malformed_entry(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_nonsense;
    release_fixture_write(f);
    expect_refused(f, "log-entry", "log");
    f->log_hook = log_odd_answer;
    release_fixture_write(f);
    expect_refused(f, "log-entry", "log");
}

/* A verdict in the log is what the coordinator says; the votes are counted here (K6). */
static void log_lying_verdict(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage == LOG_EVIDENCE)
        log_fixture_add(f->log, &(struct logentry){.kind = LOG_VERDICT,
                                                   .at_ms = FIXTURE_NOW,
                                                   .job = f->packages[LIBA].job,
                                                   .round = 1,
                                                   .verdict = VERDICT_AGREED,
                                                   .payload = f->packages[LIBA].payload.manifest,
                                                   .operators = 2});
}

static void test_K6_logged_verdict_is_not_believed(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_lying_verdict;
    f->votes[1].answer = ANSWER_NONE;
    f->votes[1].outcome = OUTCOME_EXPIRED;
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
}

/* ---- K4: what should be in it ---- */

static void log_newer(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage != LOG_LATER)
        return;
    struct logentry entry = {
        .kind = LOG_DIRECTORY, .at_ms = FIXTURE_NOW, .version = 2, .sha256 = digest_of(VIEW("d"))};
    log_fixture_add(f->log, &entry);
    entry.kind = LOG_ROOT;
    log_fixture_add(f->log, &entry);
    entry = (struct logentry){.kind = LOG_RELEASE, .at_ms = FIXTURE_NOW, .version = 5, .name = "test-5"};
    log_fixture_add(f->log, &entry);
    entry.version = 1;
    entry.name = "test-1b";
    log_fixture_add(f->log, &entry);
    entry = (struct logentry){.kind = LOG_REVOKE, .at_ms = FIXTURE_NOW, .version = -1, .worker = "beta-1"};
    log_fixture_add(f->log, &entry);
}

static void test_K4_newer_documents_are_named(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_newer;
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "A NEWER WORKER DIRECTORY EXISTS: version 2");
    expect_pass_with_note(f, NULL, "A NEWER TRUST ROOT EXISTS: version 2");
    expect_pass_with_note(f, NULL, "A NEWER RELEASE EXISTS: sequence 5");
    expect_pass_with_note(f, NULL, "ANOTHER RELEASE of sequence 1");
    expect_pass_with_note(f, NULL, "beta-1 was revoked since");
}

static void test_K4_unlogged_documents(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f); /* then the entry is changed, and all that follows from it */
    CLEANUP_BUF struct buf text = BUF_INIT;
    directory_write(f->farm->directory, &text);
    struct digest logged = digest_of(buf_view(&text)), other = digest_of(VIEW("other"));
    struct log_fixture *log = f->log;
    for (size_t i = 0; i < log->nentries; i++) {
        char *at = strstr(log->entries[i].data, digest_hex(&logged).text);
        if (at != NULL)
            memcpy(at, digest_hex(&other).text, DIGEST_HEX_SIZE);
    }
    struct checkpoint changed = log_fixture_checkpoint(log, log->nentries);
    struct checkpoint before = f->checkpoint;
    log_fixture_write(log, f->release_dirfd, log->nentries);
    release_fixture_put_checkpoint(f, "release/log/checkpoint", log->nentries, f->cosigners);
    release_fixture_replace(f, digest_hex(&before.root).text, digest_hex(&changed.root).text);
    expect_refused(f, "not-logged", "root/workers.json");
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
    f->log_hook = log_newer;
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
    f->log_hook = log_newer; /* the log has grown, and the export with it */
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

/* ---- W10, W11: by position ---- */

static void sign_entry(struct release_fixture *f, size_t i)
{
    farm_fixture_sign_entry(&f->farm->directory->entries[i], f->farm->operators[i]);
    farm_fixture_sign_entry(&f->farm->directory->entries[i], f->farm->enrolment);
}

/* delta is asked too, so that its vote can be lost without harm, or not. */
static void test_W11_compromised_from(void **state)
{
    struct release_fixture *f = *state;
    struct directory_entry *gamma = &f->farm->directory->entries[2];
    for (size_t i = 0; i < RELEASE_FIXTURE_PACKAGES; i++) { /* alpha and gamma agree; beta never answered */
        f->votes[2 * i + 1].answer = ANSWER_NONE;
        f->votes[2 * i + 1].outcome = OUTCOME_EXPIRED;
        release_fixture_add_vote(f, (struct fixture_vote){.package = i, .operator_index = 2, .round = 1});
    }
    f->claimed_operators = 1;
    f->packages[LIBA].more_operators = f->packages[APPB].more_operators = 0;
    release_fixture_write(f);
    uint64_t last = f->votes[5].position;
    assert_true(f->votes[4].position < last);
    gamma->compromised_from = (int64_t)last + 1; /* after both answers: they stand */
    sign_entry(f, 2);
    release_fixture_write(f);
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), FARM_E_REFUSED);
    assert_null(
        find_problem(&result, "verdict", "receipts/")); /* only the names of the operators are wrong here */
    assert_int_equal(result.packages[0].operators, 2);
    gamma->compromised_from = (int64_t)last; /* the second answer is that entry: it is void */
    sign_entry(f, 2);
    release_fixture_write(f);
    verify_result_done(&result);
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), FARM_E_REFUSED);
    assert_non_null(find_problem(&result, "verdict", "receipts/"));
    assert_true(has_note(&result, "gamma-1 is marked compromised from log entry"));
    size_t agreed = 0;
    for (size_t i = 0; i < result.npackages; i++)
        agreed += result.packages[i].operators == 2;
    assert_int_equal(agreed, 1);
}

/* Who left in good standing keeps what it said. */
static void test_W11_expired_entry(void **state)
{
    struct release_fixture *f = *state;
    struct root_log *log = &f->farm->root->log;
    free(log->witnesses[0]); /* beta alone witnesses: alpha's cosignature would not count any more */
    log->witnesses[0] = log->witnesses[1];
    log->nwitnesses = log->threshold = 1;
    f->farm->directory->entries[0].expires_ms = FIXTURE_NOW + 1000;
    sign_entry(f, 0);
    release_fixture_write(f);
    expect_pass(f);
}

static void test_W10_open_votes_by_position(void **state)
{
    struct release_fixture *f = *state;
    f->votes[1].open = true; /* beta answered liba after its verdict was logged */
    release_fixture_write(f);
    expect_refused(f, "verdict", "receipts/");
    replace_in_receipts(f, "\"open\":true", "\"open\":false"); /* "it came before" */
    expect_refused_saying(f, "lease-open", "receipts/", "came after its round was settled");
    expect_refused(f, "verdict", "receipts/");
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

/* ---- the weakest link ---- */

static void test_weakest_link(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    release_fixture_add_vote(f, (struct fixture_vote){.package = APPB, .operator_index = 2, .round = 1});
    f->packages[APPB].more_operators = 1;
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), 0);
    assert_string_equal(result.packages[0].id, "extra/appb");
    assert_int_equal(result.packages[0].operators, 3);
    assert_string_equal(result.packages[0].weakest, "extra/liba");
    assert_int_equal(result.packages[0].weakest_operators, 2);
    assert_string_equal(result.packages[1].weakest, "extra/liba");
    release_fixture_add_vote(
        f, (struct fixture_vote){.package = LIBA, .operator_index = 2, .answer = ANSWER_OTHER, .round = 1});
    f->votes[f->nvotes - 2] = f->votes[f->nvotes - 1]; /* now both have two, and liba a dissent */
    f->nvotes--;
    f->packages[APPB].more_operators = 0;
    f->packages[LIBA].more_dissent = 1;
    release_fixture_write(f);
    verify_result_done(&result);
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result), 0);
    assert_string_equal(result.packages[0].weakest, "extra/liba");
    assert_int_equal(result.packages[0].weakest_dissent, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_K2_hidden_lease),
        CASE(test_K2_hidden_answer),
        CASE(test_K2_hidden_refusal),
        CASE(test_K2_invented_lease),
        CASE(test_K2_lease_differs),
        CASE(test_K2_order),
        CASE(test_K2_what_is_no_part_of_it),
        CASE(test_K2_malformed_entry),
        CASE(test_K6_logged_verdict_is_not_believed),
        CASE(test_K4_newer_documents_are_named),
        CASE(test_K4_unlogged_documents),
        CASE(test_L1_forked_log),
        CASE(test_L1_forked_checkpoint),
        CASE(test_L2_shrunken_log),
        CASE(test_L7_altered_entries),
        CASE(test_L8_too_few_witnesses),
        CASE(test_L8_whose_cosignature_counts),
        CASE(test_L8_notes_passed_by_hand),
        CASE(test_L4_L8_bad_notes),
        CASE(test_L4_known_key_that_fails),
        CASE(test_K4_what_is_remembered),
        CASE(test_log_is_the_roots),
        CASE(test_K4_log_that_follows_another),
        CASE(test_W11_compromised_from),
        CASE(test_W11_expired_entry),
        CASE(test_W10_open_votes_by_position),
        CASE(test_C2_clock_set_back),
        CASE(test_weakest_link),
    };
    return cmocka_run_group_tests_name("verify_log", tests, NULL, NULL);
}
