/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate and the transparency log: what is hidden or invented, and what is judged by position. */
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

/* The worker finds its answer in the log; its lease was never logged. */
static void log_answer_alone(struct release_fixture *f, enum fixture_stage stage)
{
    if (stage == LOG_EVIDENCE)
        release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
}

static void test_K2_answer_without_a_lease(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_answer_alone;
    release_fixture_write(f);
    expect_refused_saying(f, "log-lease-missing", "log", "a lease that the log does not show");
}

/* The worker finds its dissent in the log; its lease was logged in the name of one that never was. */
static void test_K2_lease_of_nobody(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_add_vote(
        f, (struct fixture_vote){.package = LIBA, .operator_index = 2, .answer = ANSWER_OTHER, .round = 1});
    f->leased_to_nobody = f->nvotes;
    release_fixture_write(f);
    expect_refused_saying(f, "envelope", "receipts/", "signed by gamma-1");
}

/* Rounds are walked from the first to the last: the last must not be what a coordinator likes. */
static void test_K2_rounds_without_end(void **state)
{
    struct release_fixture *f = *state;
    f->logged_round = UINT32_MAX;
    release_fixture_write(f);
    expect_refused_saying(f, "limit", "log", "a round that no job can have");
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
        release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
        f->packages[LIBA].job = job;
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

/* The dissenter's lease is logged for a job that nobody looks at; its answer says which job it was about. */
static void log_lease_elsewhere(struct release_fixture *f, enum fixture_stage stage)
{
    struct digest job = f->packages[LIBA].job;
    if (stage != LOG_EVIDENCE)
        return;
    f->packages[LIBA].job = digest_of(VIEW("another job"));
    release_fixture_log_lease(f, LIBA, 2, 1);
    f->packages[LIBA].job = job;
    release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
}

/* And the other way round: the entry of the answer is put under another job. */
static void log_answer_elsewhere(struct release_fixture *f, enum fixture_stage stage)
{
    struct digest job = f->packages[LIBA].job;
    if (stage != LOG_EVIDENCE)
        return;
    release_fixture_log_lease(f, LIBA, 2, 1);
    f->packages[LIBA].job = digest_of(VIEW("another job"));
    release_fixture_log_event(f, LOG_ENVELOPE, 1, "answer");
    f->packages[LIBA].job = job;
}

static void test_K2_a_dissent_put_under_another_job(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_lease_elsewhere;
    release_fixture_write(f);
    expect_refused(f, "answer-hidden", "log");
    f->log_hook = log_answer_elsewhere;
    release_fixture_write(f);
    expect_refused(f, "answer-lease", "log");
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

/* The entry with this digest is changed, and all that follows from it. */
static void expect_unlogged(struct release_fixture *f, const struct digest *logged, const char *file)
{
    struct digest other = digest_of(VIEW("other"));
    for (size_t i = 0; i < f->log->nentries; i++) {
        char *at = strstr(f->log->entries[i].data, digest_hex(logged).text);
        if (at != NULL)
            memcpy(at, digest_hex(&other).text, DIGEST_HEX_SIZE);
    }
    struct checkpoint changed = log_fixture_checkpoint(f->log, f->log->nentries);
    log_fixture_write(f->log, f->release_dirfd, f->log->nentries);
    release_fixture_put_checkpoint(f, "release/log/checkpoint", f->log->nentries, f->cosigners);
    release_fixture_replace(f, digest_hex(&f->checkpoint.root).text, digest_hex(&changed.root).text);
    expect_refused(f, "not-logged", file);
}

static void test_K4_unlogged_documents(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf workers = BUF_INIT;
    CLEANUP_BUF struct buf root = BUF_INIT;
    directory_write(f->farm->directory, &workers);
    struct digest workers_digest = digest_of(buf_view(&workers));
    release_fixture_write(f);
    expect_unlogged(f, &workers_digest, "root/workers.json");
    release_fixture_write(f);
    root_write(f->farm->root, &root);
    struct digest root_digest = digest_of(buf_view(&root));
    expect_unlogged(f, &root_digest, "root/1.root.json");
}

/* ---- W10, W11: by position ---- */

static void sign_entry(struct release_fixture *f, size_t i)
{
    farm_fixture_sign_entry(&f->farm->directory->entries[i], f->farm->operators[i]);
    farm_fixture_sign_entry(&f->farm->directory->entries[i], f->farm->enrolment);
}

/* delta is asked too, so that its vote can be lost without harm, or not. */
static void log_revocation(struct release_fixture *f, enum fixture_stage stage)
{
    struct logentry entry = {.kind = LOG_REVOKE, .at_ms = FIXTURE_NOW, .version = 1, .worker = "beta-1"};
    if (stage == LOG_EVIDENCE)
        log_fixture_add(f->log, &entry);
}

/* Entries have no version: a newer directory can carry an older one of a worker, signed as well. The log knows better. */
static void test_W11_a_revocation_that_the_directory_hides(void **state)
{
    struct release_fixture *f = *state;
    f->log_hook = log_revocation;
    release_fixture_write(f);
    expect_refused(f, "revocation-hidden", "root/workers.json");
    f->farm->directory->entries[1].compromised_from = 2; /* later than the log says */
    sign_entry(f, 1);
    release_fixture_write(f);
    expect_refused(f, "revocation-hidden", "root/workers.json");
    f->farm->directory->entries[1].compromised_from = 1;
    sign_entry(f, 1);
    release_fixture_write(f);
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    assert_int_equal(release_fixture_verify(f, NULL, CHECK_NOW, &result),
                     FARM_E_REFUSED); /* no quorum without beta */
    assert_null(find_problem(&result, "revocation-hidden", "root/"));
}

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

/* Who was admitted when it answered is the coordinator's word: it gives the time of a lease. A dissent is named all the same. */
static void test_K2_dissent_that_does_not_count(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_add_vote(
        f, (struct fixture_vote){.package = LIBA, .operator_index = 2, .answer = ANSWER_OTHER, .round = 1});
    f->farm->directory->entries[2].admitted_ms = FIXTURE_NOW;
    sign_entry(f, 2);
    release_fixture_write(f);
    expect_pass_with_note(f, NULL, "liba: gamma-1 was not admitted when it got its lease");
    expect_pass_with_note(f, NULL, "liba: IT DIFFERS: the answer of gamma-1 that does not count is");
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
        CASE(test_K2_lease_of_nobody),
        CASE(test_K2_dissent_that_does_not_count),
        CASE(test_K2_rounds_without_end),
        CASE(test_K2_order),
        CASE(test_K2_answer_without_a_lease),
        CASE(test_K2_a_dissent_put_under_another_job),
        CASE(test_K2_what_is_no_part_of_it),
        CASE(test_K2_malformed_entry),
        CASE(test_K6_logged_verdict_is_not_believed),
        CASE(test_K4_newer_documents_are_named),
        CASE(test_K4_unlogged_documents),
        CASE(test_W11_a_revocation_that_the_directory_hides),
        CASE(test_W11_compromised_from),
        CASE(test_W11_expired_entry),
        CASE(test_W10_open_votes_by_position),
        CASE(test_weakest_link),
    };
    return cmocka_run_group_tests_name("verify_log", tests, NULL, NULL);
}
