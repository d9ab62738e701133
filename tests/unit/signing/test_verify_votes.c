/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate: whose answers count, and whether they make a quorum. Numbers are those of docs/THREATS.md. */
#include "verify_expect.h"

#include "file.h"

#include <string.h>

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

/* W8: a genuine signature over a build of something else. */
static void test_W8_other_build(void **state)
{
    struct release_fixture *f = *state;
    f->votes[0].answer = ANSWER_OTHER_BASE;
    release_fixture_write(f);
    expect_refused(f, "envelope", "receipts/");
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

/* ---- receipts ---- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_W1_K5_quorum),
        CASE(test_K2_dissent),
        CASE(test_K2_S15_evidence_differs),
        CASE(test_W2_W3_W9_equivocation),
        CASE(test_rounds),
        CASE(test_W6_W7_lease_binding),
        CASE(test_W11_directory),
        CASE(test_W8_other_build),
        CASE(test_W11_worker_removed),
        cmocka_unit_test(test_quorum_of_one),
    };
    return cmocka_run_group_tests_name("verify_votes", tests, NULL, NULL);
}
