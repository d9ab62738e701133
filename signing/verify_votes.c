/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One job: which envelopes are votes, and what they amount to.
 *
 * An envelope is read only once the key of a worker of the directory verified it. It must name that worker, the nonce of a lease that this
 * worker held for the job, and exactly this spec. Each round is judged by itself, under the root's policy; the job is
 * agreed if some round agreed and no round contradicts it.
 *
 * Where there is a log, it says when: an answer is open if it was logged behind the first verdict that settled the round, and one of a
 * compromised worker counts if it was logged before the position that the directory names. Without one the receipt's word stands for
 * the first, and nothing for the second.
 */
#include "verify_private.h"

#include "dsse.h"
#include "json.h"

#include <inttypes.h>
#include <stdlib.h>

struct cast_vote {
    struct vote vote;
    uint32_t round;
    struct digest tar;
    bool here; /* derived from the release's package tree */
};

/* An answer that is genuine and does not count. */
struct set_aside {
    const char *worker; /* the directory's */
    enum failure_kind failure;
    struct digest payload;
};

struct ballot_box {
    struct verify_run *run;
    struct verify_job *job;
    struct cast_vote *votes;
    size_t nvotes;
    struct set_aside *aside;
    size_t naside;
    bool *answered;                         /* per lease */
    const struct directory_entry **workers; /* per lease; NULL: does not count */
    struct statement **statements;          /* kept: votes borrow their names */
    size_t nstatements;
};

/* W11. 'position' is that of the answer in the log; UINT64_MAX: there is none. */
static bool was_compromised(struct verify_run *run, const struct verify_job *job,
                            const struct directory_entry *entry, uint64_t position)
{
    if (entry->compromised_from < 0 || position < (uint64_t)entry->compromised_from)
        return false;
    if (position == UINT64_MAX)
        verify_note(
            (struct verify_run *)run,
            "%s: %s is marked compromised, and without a log nothing shows what it signed before; its "
            "answer does not count.",
            job->spec->name, entry->worker);
    else
        verify_note(run,
                    "%s: %s is marked compromised from log entry %" PRId64
                    " on, and its answer is entry %" PRIu64 ": it does not count.",
                    job->spec->name, entry->worker, entry->compromised_from, position);
    return true;
}

static bool counts(struct verify_run *run, const struct verify_job *job, const struct receipt_lease *lease,
                   const struct directory_entry *entry, const struct logged_lease *logged, uint64_t position)
{
    int64_t granted_ms = logged != NULL ? logged->granted_ms : lease->granted_ms;
    if (strcmp(entry->operator_name, lease->operator_name) != 0)
        verify_problem(run, job->receipt, "lease-operator",
                       "%s: the lease says that %s belongs to %s, the directory says %s", job->spec->name,
                       lease->worker, lease->operator_name, entry->operator_name);
    else if (granted_ms < entry->admitted_ms || granted_ms >= entry->expires_ms)
        verify_note(run, "%s: %s was not admitted when it got its lease; its answer does not count.",
                    job->spec->name, lease->worker);
    else
        return !was_compromised(run, job, entry, position);
    return false;
}

static void find_workers(struct ballot_box *box)
{
    for (size_t i = 0; i < box->job->evidence.nleases; i++) {
        const struct receipt_lease *lease = &box->job->evidence.leases[i];
        const struct directory_entry *entry = directory_find(box->run->directory, lease->worker);
        if (entry == NULL)
            verify_note(
                box->run,
                "%s: %s is not in the worker directory; its answer does not count, and cannot be read.",
                box->job->spec->name, lease->worker);
        box->workers[i] = entry;
    }
}

/*
 * Who of the directory says that it signed this. The keyid is a hint and not believed; but an answer has one form, so bytes in which it is
 * another one are not those that its signer looks for in the log. One look-up, one signature: a receipt may hold 100,000 leases of a job,
 * and as many envelopes.
 */
static const struct directory_entry *find_signer(const struct verify_run *run, struct view envelope)
{
    CLEANUP_JSON json_t *document = NULL;
    struct digest id;
    if (json_read(envelope, "envelope", DSSE_ENVELOPE_MAX, &document, NULL) < 0 ||
        json_get_digest(json_array_get(json_object_get(document, "signatures"), 0), "envelope", "keyid", &id,
                        NULL) < 0)
        return NULL;
    return map_get(run->signers, view_of(id.bytes, sizeof id.bytes));
}

/* Evidence is sorted by nonce. SIZE_MAX: none. */
static size_t find_lease(const struct verify_job *job, const struct lease_nonce *nonce)
{
    size_t low = 0, high = job->evidence.nleases;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(job->evidence.leases[middle].nonce.bytes, nonce->bytes, STATEMENT_NONCE_SIZE);
        if (order == 0)
            return middle;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return SIZE_MAX;
}

/* The statement and the lease it answers; NULL if nobody of the directory signed it, or, said in *diag, not for a lease of its own. */
static struct statement *open_envelope(struct ballot_box *box, const struct receipt_envelope *envelope,
                                       size_t *ret_lease, struct diag *diag)
{
    CLEANUP_STATEMENT struct statement *statement = NULL;
    struct view bytes = view_of(envelope->bytes, envelope->size);
    struct diag trial = DIAG_INIT;
    const struct directory_entry *signer = find_signer(box->run, bytes);
    int result =
        signer != NULL ? statement_open(bytes, &signer->ed25519, &statement, &trial) : FARM_E_SIGNATURE;
    if (result < 0) {
        if (result != FARM_E_SIGNATURE) /* signed by it, and malformed */
            *diag = trial;
        return NULL;
    }
    size_t lease = find_lease(box->job, &statement->nonce);
    if (lease == SIZE_MAX || box->workers[lease] != signer) {
        diag_set(diag, FARM_E_REFUSED, "signed by %s, but for the nonce of none of its leases here",
                 signer->worker); /* K2, W6, W7 */
        return NULL;
    }
    *ret_lease = lease;
    return STEAL(statement);
}

static int check_statement(const struct ballot_box *box, const struct statement *statement, size_t lease,
                           struct diag *diag)
{
    const struct directory_entry *entry = box->workers[lease];
    enum lease_outcome outcome = box->job->evidence.leases[lease].outcome;
    if (strcmp(statement->worker, entry->worker) != 0 ||
        strcmp(statement->operator_name, entry->operator_name) != 0)
        return diag_set(diag, FARM_E_REFUSED, "%s signed in the name of %s:%s", entry->worker,
                        statement->operator_name, statement->worker);
    if (outcome != OUTCOME_ANSWERED && outcome != OUTCOME_LATE)
        return diag_set(diag, FARM_E_REFUSED, "the lease of %s is listed as %s, yet here is an answer",
                        entry->worker, lease_outcome_name(outcome));
    return statement_check_spec(statement, box->job->spec, diag);
}

static void add_vote(struct ballot_box *box, const struct statement *statement,
                     const struct receipt_envelope *envelope, size_t at)
{
    const struct receipt_lease *lease = &box->job->evidence.leases[at];
    const struct directory_entry *entry = box->workers[at];
    const struct logged_lease *logged =
        box->run->replayed ? verify_logged_lease(box->job, &lease->nonce) : NULL;
    uint64_t position = verify_answer_position(logged, &envelope->digest);
    if (box->run->replayed && position == UINT64_MAX) {
        verify_problem(box->run, box->job->receipt, "answer-lease",
                       "%s: the log does not show the answer %s for the lease of %s that it names",
                       box->job->spec->name, digest_hex(&envelope->digest).text, lease->worker);
        return;
    }
    if (!counts(box->run, box->job, lease, entry, logged, position)) {
        box->aside[box->naside++] = (struct set_aside){entry->worker, statement->failure, statement->payload};
        return;
    }
    box->votes[box->nvotes++] = (struct cast_vote){
        .vote = {.operator_name = entry->operator_name,
                 .anchor = directory_entry_is_anchor(entry, box->run->root),
                 .open = logged != NULL ? verify_came_open(box->job, logged->round, position) : lease->open,
                 .failure = statement->failure,
                 .payload = statement->payload,
                 .cpu_vendor = entry->cpu_vendor,
                 .kernel = entry->kernel,
                 .site = entry->site},
        .round = logged != NULL ? logged->round : lease->round,
        .tar = statement->tar,
        .here = digest_equal(&statement->tree_sha256, &box->run->release->tree.sha256)};
}

/* Whether it came from a worker that the directory does not know: then nothing can be said about it. */
static bool has_unknown_worker(const struct ballot_box *box)
{
    for (size_t i = 0; i < box->job->evidence.nleases; i++)
        if (box->workers[i] == NULL)
            return true;
    return false;
}

static void read_envelope(struct ballot_box *box, const struct receipt_envelope *envelope)
{
    struct diag diag = DIAG_INIT;
    size_t lease = 0;
    struct statement *statement = open_envelope(box, envelope, &lease, &diag);
    if (statement == NULL) {
        bool known_signer = diag.error != 0;
        if (known_signer || !has_unknown_worker(box))
            verify_problem(box->run, box->job->receipt, "envelope", "%s: envelope %s: %s",
                           box->job->spec->name, digest_hex(&envelope->digest).text,
                           known_signer ? diag.text : "no worker of the directory signed it");
        return;
    }
    box->statements[box->nstatements++] = statement;
    box->answered[lease] = true;
    int result = check_statement(box, statement, lease, &diag);
    if (result < 0)
        verify_problem(box->run, box->job->receipt, "envelope", "%s: envelope %s: %s", box->job->spec->name,
                       digest_hex(&envelope->digest).text, diag_text(&diag, result));
    else
        add_vote(box, statement, envelope, lease);
}

/* Absence is never assent: a lease that was answered has its answer here. */
static void check_answers(const struct ballot_box *box)
{
    for (size_t i = 0; i < box->job->evidence.nleases; i++) {
        const struct receipt_lease *lease = &box->job->evidence.leases[i];
        bool expected = lease->outcome == OUTCOME_ANSWERED || lease->outcome == OUTCOME_LATE;
        if (expected && !box->answered[i] && box->workers[i] != NULL)
            verify_problem(box->run, box->job->receipt, "answer-missing",
                           "%s: %s answered its lease %.16s..., but the answer is "
                           "not in the receipt",
                           box->job->spec->name, lease->worker,
                           digest_hex((const struct digest *)&lease->nonce).text); /* K2 */
    }
}

static void take_agreement(struct ballot_box *box, const struct verdict *verdict, const struct vote *votes,
                           size_t n)
{
    struct verify_job *job = box->job;
    const char *names[RELEASE_OPERATORS_MAX];
    size_t count = verdict_supporters(&job->rules, votes, n, &verdict->payload, names, ARRAY_SIZE(names));
    count = count < ARRAY_SIZE(names) ? count : ARRAY_SIZE(names);
    for (size_t i = 0; i < job->noperators; i++)
        free(job->operators[i]);
    free(job->operators);
    job->operators = mem_zero(count + 1, sizeof *job->operators);
    for (size_t i = 0; i < count; i++)
        job->operators[i] = mem_string(names[i]);
    job->noperators = count;
    job->payload = verdict->payload;
    job->verdict = *verdict;
    job->agreed = true;
}

static void refuse_verdict(const struct ballot_box *box, uint32_t round, const struct verdict *verdict,
                           const char *why)
{
    verify_problem(box->run, box->job->receipt, "verdict",
                   "%s: round %u is %s (%u operators, %u anchors, %u dissent; needed are "
                   "%u operators, %u anchors): %s",
                   box->job->spec->name, round, verdict_state_name(verdict->state), verdict->operators,
                   verdict->anchors, verdict->dissent, box->job->rules.quorum, box->job->rules.anchors, why);
}

/* Why it is not agreed, in terms of the round that came nearest: the last one. */
static void refuse_rounds(const struct ballot_box *box, const struct verdict_rounds *rounds, uint32_t last)
{
    switch (rounds->all.state) {
    case VERDICT_AGREED:
        refuse_verdict(box, last, &rounds->all,
                       rounds->contradicted ? "a later round says that it does not build"
                                            : "no round has enough answers of its own");
        break;
    case VERDICT_PENDING:
        refuse_verdict(box, last, &rounds->all, "not enough answers");
        break;
    case VERDICT_DISPUTED:
        refuse_verdict(box, last, &rounds->all, "two answers, and neither has won");
        break;
    case VERDICT_FAILED:
        refuse_verdict(box, last, &rounds->all, "it does not build");
        break;
    }
}

/* Who agrees on the manifest must have made the same tar of it: the one is a function of the other. */
static void check_tars(struct ballot_box *box)
{
    struct verify_job *job = box->job;
    for (size_t i = 0, first = SIZE_MAX; i < box->nvotes; i++) {
        const struct cast_vote *cast = &box->votes[i];
        if (!job->agreed || cast->vote.failure != FAILURE_NONE ||
            !digest_equal(&cast->vote.payload, &job->payload))
            continue;
        if (first == SIZE_MAX) {
            first = i;
            job->tar = cast->tar;
        } else if (!digest_equal(&cast->tar, &job->tar)) {
            verify_problem(box->run, job->receipt, "tar-differs",
                           "%s: %s attested the agreed payload with another tar", job->spec->name,
                           cast->vote.operator_name);
        }
    }
}

/* The tree that workers derived the job from; a vote's operator is looked at once. */
static void check_trees(struct ballot_box *box)
{
    struct verify_job *job = box->job;
    uint32_t here = 0;
    for (size_t k = 0; k < job->noperators; k++)
        for (size_t i = 0; i < box->nvotes; i++)
            if (box->votes[i].here && strcmp(box->votes[i].vote.operator_name, job->operators[k]) == 0) {
                here++;
                break;
            }
    job->elsewhere = job->agreed && here < job->rules.quorum;
}

static void check_claim(const struct ballot_box *box)
{
    const struct verify_job *job = box->job;
    const struct receipt_verdict *claimed = job->evidence.nverdicts > 0 ? &job->evidence.verdicts[0] : NULL;
    if (claimed == NULL)
        verify_problem(box->run, job->receipt, "verdict-missing", "%s: the receipt claims no verdict",
                       job->spec->name);
    else if (job->agreed &&
             (claimed->state != VERDICT_AGREED || !digest_equal(&claimed->payload, &job->payload) ||
              claimed->operators != job->verdict.operators || claimed->dissent != job->verdict.dissent))
        verify_problem(box->run, job->receipt, "verdict-claim",
                       "%s: the receipt claims %s by %u with %u dissent, the votes give %s by "
                       "%u with %u dissent",
                       job->spec->name, verdict_state_name(claimed->state), claimed->operators,
                       claimed->dissent, verdict_state_name(job->verdict.state), job->verdict.operators,
                       job->verdict.dissent);
}

static uint32_t last_round(const struct ballot_box *box)
{
    uint32_t last = 0;
    for (size_t i = 0; i < box->nvotes; i++)
        if (box->votes[i].round > last)
            last = box->votes[i].round;
    return last;
}

/*
 * When somebody was admitted and when a lease was granted is what directory and coordinator say, so that an answer does not count is no
 * reason to be silent about a dissent.
 */
static void say_aside(const struct ballot_box *box)
{
    const struct verify_job *job = box->job;
    for (size_t i = 0; i < box->naside; i++) {
        const struct set_aside *aside = &box->aside[i];
        if (job->agreed && aside->failure != FAILURE_NONE)
            verify_note(box->run,
                        "%s: IT DIFFERS: the answer of %s that does not count says that it fails (%s).",
                        job->spec->name, aside->worker, failure_kind_name(aside->failure));
        else if (job->agreed && !digest_equal(&aside->payload, &job->payload))
            verify_note(box->run, "%s: IT DIFFERS: the answer of %s that does not count is %s, agreed is %s.",
                        job->spec->name, aside->worker, digest_hex(&aside->payload).text,
                        digest_hex(&job->payload).text);
    }
}

static void judge_rounds(struct ballot_box *box)
{
    CLEANUP_FREE struct vote *votes = mem_zero(box->nvotes + 1, sizeof *votes);
    CLEANUP_FREE uint32_t *numbers = mem_zero(box->nvotes + 1, sizeof *numbers);
    for (size_t i = 0; i < box->nvotes; i++) {
        votes[i] = box->votes[i].vote;
        numbers[i] = box->votes[i].round;
    }
    struct verdict_rounds rounds = verdict_of_rounds(&box->job->rules, votes, numbers, box->nvotes);
    if (rounds.agreed)
        take_agreement(box, &rounds.all, votes, box->nvotes);
    else if (box->nvotes == 0)
        verify_problem(box->run, box->job->receipt, "verdict", "%s: nobody's answer counts",
                       box->job->spec->name);
    else
        refuse_rounds(box, &rounds, last_round(box));
    check_tars(box);
    check_trees(box);
    check_claim(box);
    say_aside(box);
}

void verify_job_votes(struct verify_run *run, struct verify_job *job)
{
    struct ballot_box box = {.run = run, .job = job};
    box.votes = mem_zero(job->evidence.nenvelopes + 1, sizeof *box.votes);
    box.aside = mem_zero(job->evidence.nenvelopes + 1, sizeof *box.aside);
    box.statements = mem_zero(job->evidence.nenvelopes + 1, sizeof *box.statements);
    box.answered = mem_zero(job->evidence.nleases + 1, sizeof *box.answered);
    box.workers = mem_zero(job->evidence.nleases + 1, sizeof *box.workers);
    find_workers(&box);
    for (size_t i = 0; i < job->evidence.nenvelopes; i++)
        read_envelope(&box, &job->evidence.envelopes[i]);
    check_answers(&box);
    judge_rounds(&box);
    for (size_t i = 0; i < box.nstatements; i++)
        statement_free(box.statements[i]);
    free(box.votes);
    free(box.aside);
    free(box.statements);
    free(box.answered);
    free(box.workers);
}
