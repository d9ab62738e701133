/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Evidence: what the log says of leases and answers, and what the answers below one size of it amount to. The log here is a list of
 * entries written in a test; numbers are those of docs/THREATS.md.
 */
#include "evidence.h"

#include "../signing/farm_fixture.h"
#include "logentry.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

enum { LEASES = 8 };

struct fixture {
    struct farm_fixture *farm;
    struct evidence evidence;
    struct evidence_job *job;
    struct evidence_index *index;
    uint64_t position; /* of the next entry */
};

static struct digest d(const char *text)
{
    return digest_of(view_text(text));
}

static struct lease_nonce nonce_of(size_t at)
{
    return (struct lease_nonce){{(unsigned char)at, 9}};
}

static int setup(void **state)
{
    static struct fixture f;
    f = (struct fixture){.farm = farm_fixture_new(), .position = 100};
    f.evidence.jobs = mem_zero(2, sizeof *f.evidence.jobs);
    f.evidence.njobs = 1;
    f.job = &f.evidence.jobs[0];
    f.job->id = mem_string("extra/zlib");
    f.job->name = mem_string("zlib");
    f.job->version = mem_string("1.3");
    f.job->release = mem_string("1");
    f.job->tier = mem_string("extra");
    f.job->keyed = true;
    f.job->key = d("job");
    f.job->rules = (struct rules){.quorum = 2, .anchors = 1, .max_attempts = 3};
    f.job->leases = mem_zero(LEASES, sizeof *f.job->leases);
    f.job->answers = mem_zero(LEASES, sizeof *f.job->answers);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    evidence_index_free(f->index);
    evidence_done(&f->evidence);
    farm_fixture_free(f->farm);
    return 0;
}

static struct evidence_lease *lease(struct fixture *f, size_t operator_index, uint32_t round)
{
    struct evidence_lease *made = &f->job->leases[f->job->nleases];
    *made = (struct evidence_lease){.nonce = nonce_of(f->job->nleases),
                                    .worker = mem_string(fixture_workers[operator_index]),
                                    .operator_name = mem_string(fixture_operators[operator_index]),
                                    .round = round,
                                    .granted_ms = FIXTURE_NOW,
                                    .answered = EVIDENCE_NOWHERE,
                                    .refused = EVIDENCE_NOWHERE,
                                    .ended = EVIDENCE_NOWHERE};
    f->job->nleases++;
    return made;
}

static void envelope_at(struct fixture *f, struct evidence_lease *of, const char *payload,
                        enum failure_kind failure, uint64_t position)
{
    struct evidence_answer *made = &f->job->answers[f->job->nanswers++];
    *made = (struct evidence_answer){
        .nonce = of->nonce, .failure = failure, .position = position, .digest = d(payload)};
    made->digest.bytes[0] = (unsigned char)f->job->nanswers;
    if (failure == FAILURE_NONE) {
        made->payload = d(payload);
        made->tar = d("tar");
    }
    buf_add_format(&made->envelope,
                   "{\"payload\":\"\",\"payloadType\":\"application/vnd.in-toto+json\",\"signatures\":["
                   "{\"keyid\":\"%zu\",\"sig\":\"\"}]}",
                   f->job->nanswers);
    if (position < of->answered)
        of->answered = position;
}

/* The next entry is this answer. */
static void answer(struct fixture *f, struct evidence_lease *of, const char *payload)
{
    envelope_at(f, of, payload, FAILURE_NONE, f->position++);
}

static void failure(struct fixture *f, struct evidence_lease *of, enum failure_kind kind)
{
    envelope_at(f, of, "", kind, f->position++);
}

static void entry(struct fixture *f, const struct logentry *what)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (f->index == NULL)
        f->index = evidence_index_new(&f->evidence);
    logentry_write(what, &text);
    if (evidence_take_entry(f->index, f->position++, buf_view(&text), &diag) < 0)
        fail_msg("%s", diag.text);
}

static void ends(struct fixture *f, const struct evidence_lease *of, const char *as)
{
    entry(f,
          &(struct logentry){.kind = LOG_LEASE_END, .at_ms = FIXTURE_NOW, .nonce = of->nonce, .state = as});
}

static void verdict(struct fixture *f, uint32_t round, enum verdict_state state)
{
    entry(f, &(struct logentry){.kind = LOG_VERDICT,
                                .at_ms = FIXTURE_NOW,
                                .job = f->job->key,
                                .round = round,
                                .operators = 2,
                                .payload = state == VERDICT_AGREED ? d("good") : (struct digest){{0}},
                                .verdict = state});
}

static void judge(struct fixture *f)
{
    evidence_judge(&f->evidence, f->farm->directory, f->farm->root);
}

/* ---- what the log says of leases ---- */

static void test_W7_outcomes(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *answered = lease(f, 0, 1), *late = lease(f, 1, 1), *expired = lease(f, 2, 1),
                          *refused = lease(f, 3, 1), *returned = lease(f, 0, 1), *withdrawn = lease(f, 1, 1),
                          *live = lease(f, 2, 1), *both = lease(f, 3, 1);
    answer(f, answered, "good");
    ends(f, answered, "answered");
    ends(f, late, "expired");
    answer(f, late, "good");
    ends(f, expired, "expired");
    refused->refused = f->position++;
    ends(f, refused, "refused");
    ends(f, returned, "refused");
    ends(f, withdrawn, "withdrawn");
    both->refused = f->position++;
    ends(f, both, "refused");
    answer(f, both, "good");
    assert_int_equal(evidence_outcome(answered), OUTCOME_ANSWERED);
    assert_int_equal(evidence_outcome(late), OUTCOME_LATE); /* W7 */
    assert_int_equal(evidence_outcome(expired), OUTCOME_EXPIRED);
    assert_int_equal(evidence_outcome(refused), OUTCOME_REFUSED);
    assert_int_equal(evidence_outcome(returned), OUTCOME_RETURNED);
    assert_int_equal(evidence_outcome(withdrawn), OUTCOME_RETURNED);
    assert_int_equal(evidence_outcome(live), OUTCOME_EXPIRED);
    assert_int_equal(evidence_outcome(both), OUTCOME_LATE);
}

static void test_W2_first_end_counts(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *of = lease(f, 0, 1);
    answer(f, of, "good");
    ends(f, of, "answered");
    answer(f, of, "good"); /* W2: the same lease again; it was answered in time */
    ends(f, of, "withdrawn");
    assert_int_equal(evidence_outcome(of), OUTCOME_ANSWERED);
    assert_int_equal(of->ended_as, LEASE_ANSWERED);
}

static void test_grant_is_the_logs(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *of = lease(f, 0, 1);
    of->granted_ms = FIXTURE_NOW + 999;
    entry(f, &(struct logentry){.kind = LOG_LEASE,
                                .at_ms = FIXTURE_NOW + 1000,
                                .job = f->job->key,
                                .nonce = of->nonce,
                                .worker = of->worker,
                                .operator_name = of->operator_name,
                                .round = 1});
    assert_true(of->granted_ms == FIXTURE_NOW + 1000);
}

static void test_others_entries(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *of = lease(f, 0, 1), other = {.nonce = nonce_of(77)};
    struct logentry elsewhere = {.kind = LOG_VERDICT,
                                 .at_ms = FIXTURE_NOW,
                                 .job = d("another job"),
                                 .round = 1,
                                 .verdict = VERDICT_FAILED};
    answer(f, of, "good");
    ends(f, &other, "expired");
    entry(f, &elsewhere);
    assert_int_equal(evidence_outcome(of), OUTCOME_ANSWERED);
    assert_int_equal(f->job->nrounds, 0);
}

static void test_malformed_entry(void **state)
{
    struct fixture *f = *state;
    struct diag diag = DIAG_INIT;
    struct evidence_lease *of = lease(f, 0, 1);
    f->index = evidence_index_new(&f->evidence);
    CLEANUP_FREE char *cut =
        mem_format("{\"kind\":\"lease-end\",\"nonce\":\"%s\"", digest_hex((struct digest *)&of->nonce).text);
    assert_true(evidence_take_entry(f->index, 7, view_text(cut), &diag) < 0);
    assert_non_null(strstr(diag.text, "log entry 7"));
    /* Of a newer program, or about others: nothing that is said of our leases. */
    assert_int_equal(evidence_take_entry(f->index, 8, VIEW("{\"kind\":\"of the future\"}"), NULL), 0);
    assert_int_equal(
        evidence_take_entry(f->index, 9, VIEW("{\"kind\":\"lease-end\",\"nonce\":\"12\"}"), NULL), 0);
    assert_int_equal(evidence_take_entry(f->index, 10, VIEW_NONE, NULL), 0);
}

/* ---- open votes (W10) ---- */

static void test_W10_open_after_settled(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *first = lease(f, 0, 1), *second = lease(f, 1, 1), *third = lease(f, 2, 1);
    answer(f, first, "good");
    verdict(f, 1, VERDICT_PENDING);
    answer(f, second, "good");
    verdict(f, 1, VERDICT_AGREED);
    answer(f, third, "good");
    assert_false(evidence_is_open(f->job, 1, first->answered));
    assert_false(evidence_is_open(f->job, 1, second->answered));
    assert_true(evidence_is_open(f->job, 1, third->answered));
    assert_false(evidence_is_open(f->job, 2, third->answered));
    assert_false(evidence_is_open(f->job, 1, EVIDENCE_NOWHERE));
    judge(f);
    assert_true(f->job->agreed);
    assert_int_equal(f->job->noperators, 2);
    assert_string_equal(f->job->operators[0], "alpha");
    assert_string_equal(f->job->operators[1], "beta");
}

/* A dispute shows its answers to nobody: those who settle it vote as blindly as the first. */
static void test_W1_dispute_opens_nothing(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *first = lease(f, 0, 1), *second = lease(f, 1, 1), *third = lease(f, 2, 1);
    answer(f, first, "good");
    answer(f, second, "bad"); /* W1 */
    verdict(f, 1, VERDICT_DISPUTED);
    answer(f, third, "good");
    verdict(f, 1, VERDICT_AGREED);
    assert_false(evidence_is_open(f->job, 1, third->answered));
    judge(f);
    assert_true(f->job->agreed);
    assert_int_equal(f->job->support, 2);
    assert_int_equal(f->job->dissent, 1);
}

/* ---- who counts ---- */

static void test_W2_W3_quorum(void **state)
{
    struct fixture *f = *state;
    answer(f, lease(f, 0, 1), "good");
    judge(f);
    assert_false(f->job->agreed);
    assert_int_equal(f->job->verdict, VERDICT_PENDING);
    answer(f, lease(f, 0, 1), "good"); /* W2, W3: one operator is one vote */
    judge(f);
    assert_false(f->job->agreed);
    answer(f, lease(f, 2, 1), "good");
    judge(f);
    assert_true(f->job->agreed);
    struct digest good = d("good"), tar = d("tar");
    assert_memory_equal(&f->job->payload, &good, sizeof good);
    assert_memory_equal(&f->job->tar, &tar, sizeof tar);
}

static void test_K5_W18_anchor_needed(void **state)
{
    struct fixture *f = *state;
    answer(f, lease(f, 2, 1), "good"); /* K5, W18: admitted, and in no root */
    answer(f, lease(f, 3, 1), "good");
    judge(f);
    assert_false(f->job->agreed);
}

static void test_failures(void **state)
{
    struct fixture *f = *state;
    answer(f, lease(f, 0, 1), "good");
    failure(f, lease(f, 1, 1), FAILURE_INFRASTRUCTURE);
    judge(f);
    assert_int_equal(f->job->verdict, VERDICT_PENDING);
    failure(f, lease(f, 2, 1), FAILURE_BUILD);
    failure(f, lease(f, 3, 1), FAILURE_TIMEOUT);
    judge(f);
    assert_false(f->job->agreed);
    assert_int_equal(f->job->verdict, VERDICT_FAILED);
}

static struct directory_entry *entry_of(struct fixture *f, size_t operator_index)
{
    return (struct directory_entry *)directory_find(f->farm->directory, fixture_workers[operator_index]);
}

/* W11: from the compromise on nothing counts, and before it everything does. */
static void test_W11_compromised(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *second = lease(f, 1, 1);
    answer(f, lease(f, 0, 1), "good");
    answer(f, second, "good");
    entry_of(f, 1)->compromised_from = (int64_t)second->answered;
    judge(f);
    assert_false(f->job->agreed);
    assert_int_equal(f->job->noperators, 0);
    entry_of(f, 1)->compromised_from = (int64_t)second->answered + 1;
    judge(f);
    assert_true(f->job->agreed);
}

static void test_W11_not_admitted(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *second = lease(f, 1, 1);
    answer(f, lease(f, 0, 1), "good");
    answer(f, second, "good");
    int64_t admitted = entry_of(f, 1)->admitted_ms, expires = entry_of(f, 1)->expires_ms;
    entry_of(f, 1)->admitted_ms = second->granted_ms + 1;
    judge(f);
    assert_false(f->job->agreed);
    entry_of(f, 1)->admitted_ms = admitted;
    entry_of(f, 1)->expires_ms = second->granted_ms;
    judge(f);
    assert_false(f->job->agreed);
    entry_of(f, 1)->expires_ms = expires;
    free(second->operator_name);
    second->operator_name = mem_string("alpha"); /* the lease says other than the directory */
    judge(f);
    assert_false(f->job->agreed);
    free(second->worker);
    second->worker = mem_string("nobody-1"); /* taken out of the directory */
    judge(f);
    assert_false(f->job->agreed);
}

/* ---- contradictions ---- */

static void test_rounds(void **state)
{
    struct fixture *f = *state;
    answer(f, lease(f, 0, 1), "good");
    answer(f, lease(f, 1, 1), "good");
    answer(f, lease(f, 0, 2), "good");
    judge(f);
    assert_true(f->job->agreed); /* the second round is not finished, and says the same */
    answer(f, lease(f, 2, 2), "other");
    judge(f);
    assert_false(f->job->agreed);
    assert_int_equal(f->job->verdict, VERDICT_DISPUTED);
    assert_int_equal(f->job->support, 0);
}

static void test_other_tar(void **state)
{
    struct fixture *f = *state;
    answer(f, lease(f, 0, 1), "good");
    answer(f, lease(f, 1, 1), "good");
    f->job->answers[1].tar = d("another tar");
    judge(f);
    assert_false(f->job->agreed);
}

static void test_W9_equivocation(void **state)
{
    struct fixture *f = *state;
    struct evidence_lease *first = lease(f, 0, 1);
    answer(f, first, "good");
    answer(f, lease(f, 1, 1), "good");
    answer(f, first, "other"); /* W9 */
    judge(f);
    assert_false(f->job->agreed);
    answer(f, lease(f, 2, 1), "good");
    judge(f);
    assert_true(f->job->agreed);
    assert_int_equal(f->job->dissent, 1);
}

/* ---- documents ---- */

static void test_receipt(void **state)
{
    struct fixture *f = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    struct diag diag = DIAG_INIT;
    struct evidence_lease *late = lease(f, 2, 1);
    answer(f, lease(f, 0, 1), "good");
    answer(f, lease(f, 1, 1), "good");
    verdict(f, 1, VERDICT_AGREED);
    ends(f, late, "expired");
    answer(f, late, "bad");
    judge(f);
    assert_int_equal(evidence_receipt(&f->evidence, 0, &text, &diag), 0);
    if (receipt_parse(buf_view(&text), "receipt", &receipt, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(receipt.nleases, 3);
    assert_int_equal(receipt.nenvelopes, 3);
    assert_int_equal(receipt.nverdicts, 1);
    assert_int_equal(receipt.verdicts[0].operators, 2);
    assert_int_equal(receipt.verdicts[0].dissent, 1);
    for (size_t i = 0; i < receipt.nleases; i++) {
        bool is_late = strcmp(receipt.leases[i].worker, "gamma-1") == 0;
        assert_int_equal(receipt.leases[i].outcome, is_late ? OUTCOME_LATE : OUTCOME_ANSWERED);
        assert_int_equal(receipt.leases[i].open, is_late);
    }
    size_t count;
    CLEANUP_FREE struct digest *envelopes = evidence_envelopes(f->job, &count);
    assert_int_equal(count, 3);
    assert_true(digest_compare(&envelopes[0], &envelopes[1]) < 0 &&
                digest_compare(&envelopes[1], &envelopes[2]) < 0);
}

static void test_package(void **state)
{
    struct fixture *f = *state;
    struct release *release = release_new();
    release->packages = mem_zero(1, sizeof *release->packages);
    release->npackages = 1;
    answer(f, lease(f, 1, 1), "good");
    answer(f, lease(f, 0, 1), "good");
    f->job->rules.evidence = true;
    judge(f);
    evidence_package(f->job, &release->packages[0]);
    assert_string_equal(release->packages[0].archive, "zlib-1.3.igos.tar.gz");
    assert_string_equal(release->packages[0].gpu,
                        "not-validated"); /* never silently: nobody has seen it run */
    assert_string_equal(release->packages[0].operators[0], "alpha");
    assert_int_equal(release->packages[0].noperators, 2);
    release_free(release);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_W7_outcomes),
                                       CASE(test_W2_first_end_counts),
                                       CASE(test_grant_is_the_logs),
                                       CASE(test_others_entries),
                                       CASE(test_malformed_entry),
                                       CASE(test_W10_open_after_settled),
                                       CASE(test_W1_dispute_opens_nothing),
                                       CASE(test_W2_W3_quorum),
                                       CASE(test_K5_W18_anchor_needed),
                                       CASE(test_failures),
                                       CASE(test_W11_compromised),
                                       CASE(test_W11_not_admitted),
                                       CASE(test_rounds),
                                       CASE(test_other_tar),
                                       CASE(test_W9_equivocation),
                                       CASE(test_receipt),
                                       CASE(test_package)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
