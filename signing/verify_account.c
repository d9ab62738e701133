/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A receipt against the log (K2): each lease and each answer that the log shows below the release's checkpoint for a job stands in
 * its receipt, and nothing else does. So neither a dissent nor the lease that it answered can be left out, and none can be invented.
 *
 * What a receipt says of a lease (whose, which round, what became of it) must be what the log says. An answer that was refused on
 * arrival is no evidence and stands in no receipt; the log has its digest, and the notes say how many there are, so that a
 * coordinator cannot refuse an inconvenient one in secret.
 */
#include "verify_private.h"

#include <inttypes.h>
#include <stdlib.h>

struct logged_lease *verify_logged_lease(const struct verify_job *job, const struct lease_nonce *nonce)
{
    size_t low = 0, high = job->nlogged;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(job->logged[middle]->nonce.bytes, nonce->bytes, STATEMENT_NONCE_SIZE);
        if (order == 0)
            return job->logged[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

const struct logged_lease *verify_logged_answer(const struct verify_job *job, const struct digest *envelope)
{
    size_t low = 0, high = job->nanswers;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = digest_compare(&job->answers[middle].sha256, envelope);
        if (order == 0)
            return job->answers[middle].lease;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint64_t verify_answer_position(const struct logged_lease *lease, const struct digest *envelope)
{
    for (size_t i = 0; lease != NULL && i < lease->nanswers; i++)
        if (digest_equal(&lease->answers[i].sha256, envelope))
            return lease->answers[i].position;
    return UINT64_MAX;
}

bool verify_came_open(const struct verify_job *job, uint32_t round, uint64_t position)
{
    for (size_t i = 0; i < job->nverdicts; i++)
        if (job->verdicts[i].round == round)
            return position > job->verdicts[i].position;
    return false;
}

static struct digest_hex nonce_hex(const struct lease_nonce *nonce)
{
    struct digest_hex hex = {{0}};
    hex_encode(nonce->bytes, STATEMENT_NONCE_SIZE, hex.text);
    return hex;
}

/* One that was still open at the release's checkpoint had come to nothing by then. */
static enum lease_outcome outcome_of(const struct logged_lease *lease)
{
    if (lease->nanswers > 0)
        return lease->answers[0].position > lease->end_position ? OUTCOME_LATE : OUTCOME_ANSWERED;
    if (lease->refusals > 0)
        return OUTCOME_REFUSED;
    return lease->end == LOGGED_REFUSED || lease->end == LOGGED_WITHDRAWN ? OUTCOME_RETURNED
                                                                          : OUTCOME_EXPIRED;
}

/* ---- leases ---- */

static void check_lease(struct verify_run *run, const struct verify_job *job,
                        const struct receipt_lease *claimed)
{
    const struct logged_lease *lease = verify_logged_lease(job, &claimed->nonce);
    const char *name = job->spec->name;
    if (lease == NULL) {
        verify_problem(run, job->receipt, "lease-invented",
                       "%s: the log shows no lease %.16s... of %s before the release", name,
                       nonce_hex(&claimed->nonce).text, claimed->worker);
        return;
    }
    if (strcmp(lease->worker, claimed->worker) != 0 ||
        strcmp(lease->operator_name, claimed->operator_name) != 0 || lease->round != claimed->round ||
        lease->granted_ms != claimed->granted_ms)
        verify_problem(
            run, job->receipt, "lease-differs",
            "%s: the log says of the lease %.16s... that it was granted to %s of %s in round %u (entry "
            "%" PRIu64 "), the receipt says otherwise",
            name, nonce_hex(&claimed->nonce).text, lease->worker, lease->operator_name, lease->round,
            lease->position);
    if (outcome_of(lease) != claimed->outcome)
        verify_problem(run, job->receipt, "lease-outcome",
                       "%s: by the log the lease %.16s... of %s is %s, the receipt says %s", name,
                       nonce_hex(&claimed->nonce).text, lease->worker, lease_outcome_name(outcome_of(lease)),
                       lease_outcome_name(claimed->outcome));
    bool open = lease->nanswers > 0 && verify_came_open(job, lease->round, lease->answers[0].position);
    if (open != claimed->open)
        verify_problem(
            run, job->receipt, "lease-open",
            "%s: by the log the answer of %s came %s its round was settled, the receipt says otherwise", name,
            lease->worker, open ? "after" : "before");
}

/* Both are sorted by nonce. */
static void check_hidden_leases(struct verify_run *run, const struct verify_job *job)
{
    const struct receipt *receipt = &job->evidence;
    for (size_t i = 0, k = 0; i < job->nlogged; i++) {
        const struct logged_lease *lease = job->logged[i];
        while (k < receipt->nleases &&
               memcmp(receipt->leases[k].nonce.bytes, lease->nonce.bytes, STATEMENT_NONCE_SIZE) < 0)
            k++;
        if (k == receipt->nleases || !lease_nonce_equal(&receipt->leases[k].nonce, &lease->nonce))
            verify_problem(run, job->receipt, "lease-hidden",
                           "%s: the log shows a lease %.16s... of %s in round %u (entry %" PRIu64
                           "), the receipt does not",
                           job->spec->name, nonce_hex(&lease->nonce).text, lease->worker, lease->round,
                           lease->position);
    }
}

/* ---- answers ---- */

static bool in_receipt(const struct verify_job *job, const struct digest *envelope)
{
    size_t low = 0, high = job->evidence.nenvelopes;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = digest_compare(&job->evidence.envelopes[middle].digest, envelope);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static void check_hidden_answers(struct verify_run *run, const struct verify_job *job,
                                 const struct logged_lease *lease)
{
    for (size_t i = 0; i < lease->nanswers; i++)
        if (!in_receipt(job, &lease->answers[i].sha256))
            verify_problem(run, job->receipt, "answer-hidden",
                           "%s: the log shows an answer of %s (entry %" PRIu64
                           ", SHA-256 %s), the receipt does not have it",
                           job->spec->name, lease->worker, lease->answers[i].position,
                           digest_hex(&lease->answers[i].sha256).text);
}

static void check_invented_answers(struct verify_run *run, const struct verify_job *job)
{
    for (size_t i = 0; i < job->evidence.nenvelopes; i++)
        if (verify_logged_answer(job, &job->evidence.envelopes[i].digest) == NULL)
            verify_problem(run, job->receipt, "answer-invented",
                           "%s: the log shows no answer with SHA-256 %s before the release", job->spec->name,
                           digest_hex(&job->evidence.envelopes[i].digest).text);
}

void verify_account(struct verify_run *run, struct verify_job *job)
{
    for (size_t i = 0; i < job->evidence.nleases; i++)
        check_lease(run, job, &job->evidence.leases[i]);
    check_hidden_leases(run, job);
    for (size_t i = 0; i < job->nlogged; i++)
        check_hidden_answers(run, job, job->logged[i]);
    check_invented_answers(run, job);
}

/* ---- what people should know ---- */

static void count_lease(struct verify_run *run, enum lease_outcome outcome)
{
    struct verify_result *result = run->result;
    result->leases.granted++;
    switch (outcome) {
    case OUTCOME_ANSWERED:
        result->leases.answered++;
        break;
    case OUTCOME_LATE:
        result->leases.late++;
        break;
    case OUTCOME_EXPIRED:
        result->leases.expired++;
        break;
    case OUTCOME_RETURNED:
        result->leases.returned++;
        break;
    case OUTCOME_REFUSED:
        result->leases.refused++;
        break;
    case OUTCOME_REVOKED:
        result->leases.revoked++;
        break;
    }
}

static void count_leases(struct verify_run *run, const struct verify_job *job)
{
    for (size_t i = 0; i < job->evidence.nleases; i++) {
        const struct receipt_lease *lease = &job->evidence.leases[i];
        const struct logged_lease *logged = run->replayed ? verify_logged_lease(job, &lease->nonce) : NULL;
        count_lease(run, logged != NULL ? outcome_of(logged) : lease->outcome);
    }
}

static void name_refusals(struct verify_run *run, const struct verify_job *job)
{
    for (size_t i = 0; i < job->nlogged; i++)
        if (job->logged[i]->refusals > 0)
            verify_note(
                run,
                "%s: %zu answers of %s were refused when they came and are no evidence; the log has their "
                "digests.",
                job->spec->name, job->logged[i]->refusals, job->logged[i]->worker);
}

static bool contradicts(const struct verify_job *job, const struct logged_state *state)
{
    return state->known && job->agreed &&
           (state->state != VERDICT_AGREED || !digest_equal(&state->payload, &job->payload));
}

static void compare_states(struct verify_run *run, const struct verify_job *job)
{
    if (contradicts(job, &job->before))
        verify_note(run,
                    "%s: the last verdict in the log before the release was another one, %s (entry %" PRIu64
                    "); the votes were counted again here, and are agreed.",
                    job->spec->name, verdict_state_name(job->before.state), job->before.position);
    if (contradicts(job, &job->after))
        verify_note(run,
                    "%s: SINCE this release was made the log has another verdict, %s (entry %" PRIu64
                    "). Ask for a newer release.",
                    job->spec->name, verdict_state_name(job->after.state), job->after.position);
}

void verify_account_notes(struct verify_run *run)
{
    for (size_t i = 0; i < run->njobs; i++) {
        const struct verify_job *job = &run->jobs[i];
        count_leases(run, job);
        name_refusals(run, job);
        compare_states(run, job);
    }
}
