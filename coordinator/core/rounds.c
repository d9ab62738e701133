/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rounds.h"

#include "effects.h"
#include "graph.h"
#include "jobs.h"
#include "leases.h"
#include "workers.h"

#include <stdlib.h>

/* --- votes --- */

static struct vote vote_of(const struct lease *lease, const struct answer *answer)
{
    const struct worker *worker = lease->worker;
    return (struct vote){
        .operator_name = worker->operator->name,
        .anchor = worker->operator->anchor,
        .open = answer->open,
        .failure = answer->failure,
        .payload = answer->payload,
        .cpu_vendor = worker->fact_text[FACT_CPU_VENDOR],
        .kernel = worker->fact_text[FACT_KERNEL],
        .site = worker->fact_text[FACT_SITE],
    };
}

static size_t collect_votes(const struct job *job, uint32_t round, struct vote **ret)
{
    size_t n = 0, capacity = 0;
    *ret = NULL;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != round)
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
            if (!answer->counted)
                continue;
            *ret = mem_reserve(*ret, &capacity, n + 1, sizeof **ret);
            (*ret)[n++] = vote_of(lease, answer);
        }
    }
    return n;
}

struct verdict rounds_verdict(const struct job *job, const struct rules *rules, uint32_t round)
{
    CLEANUP_FREE struct vote *votes;
    size_t n = collect_votes(job, round, &votes);
    return verdict_of(rules, votes, n);
}

bool rounds_same_answer(const struct answer *a, enum failure_kind failure, const struct digest *payload)
{
    if (a->failure != FAILURE_NONE || failure != FAILURE_NONE)
        return a->failure != FAILURE_NONE && failure != FAILURE_NONE;
    return digest_equal(&a->payload, payload);
}

const struct answer *rounds_vote(const struct job *job, uint32_t round, const struct operator* operator)
{
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != round || lease->worker->operator!= operator)
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
            if (answer->counted)
                return answer;
    }
    return NULL;
}

/* --- who was outvoted --- */

static void flag(struct core *core, struct operator* operator, const char * text)
{
    if (operator->flagged)
        return;
    workers_flag(core, operator, text);
    struct core_effect *effect = effects_add(core, CORE_OPERATOR_FLAGGED);
    effect->name = mem_string(operator->name);
    effect->text = mem_string(text);
}

static void set_outvoted(struct core *core, struct lease *lease, struct answer *answer, bool outvoted)
{
    struct operator* operator= lease->worker->operator;
    if (answer->outvoted == outvoted)
        return;
    answer->outvoted = outvoted;
    operator->outvoted += outvoted ? 1 : (uint32_t)-1;
    lease->worker->outvoted += outvoted ? 1 : (uint64_t)-1;
    if (outvoted && answer->past)
        operator->forgiven++;
    if (operator->outvoted<operator->forgiven)
        operator->forgiven = operator->outvoted;
    uint32_t times = operator->outvoted - operator->forgiven;
    if (!outvoted || answer->past || core->config.outvoted_limit == 0 || times < core->config.outvoted_limit)
        return;
    CLEANUP_FREE char *text =
        mem_format("outvoted on %u jobs; it gets no leases until an operator of the farm looked "
                   "at it and clears it",
                   times);
    flag(core, operator, text);
}

static bool loses(const struct verdict *verdict, const struct answer *answer)
{
    if (verdict->state == VERDICT_AGREED)
        return answer->failure != FAILURE_NONE || !digest_equal(&answer->payload, &verdict->payload);
    return verdict->state == VERDICT_FAILED && answer->failure == FAILURE_NONE;
}

static void count_outvoted(struct core *core, struct job *job, uint32_t round, const struct verdict *verdict)
{
    for (struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != round)
            continue;
        for (struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
            if (answer->counted)
                set_outvoted(core, lease, answer, loses(verdict, answer));
    }
}

/* --- verdicts --- */

/* What the rounds agreed on, and how often. */
struct tally {
    struct digest payload[ROUNDS_MAX];
    uint32_t rounds[ROUNDS_MAX];
    size_t n;
    bool standing;  /* the last word was an agreement */
    bool withdrawn; /* agreed once, and a later round failed */
};

static void tally_agreed(struct tally *tally, const struct digest *payload)
{
    size_t i = 0;
    while (i < tally->n && !digest_equal(&tally->payload[i], payload))
        i++;
    if (i == tally->n) {
        tally->payload[i] = *payload;
        tally->rounds[i] = 0;
        tally->n++;
    }
    tally->rounds[i]++;
}

static void tally_round(struct tally *tally, const struct verdict *verdict)
{
    switch (verdict->state) {
    case VERDICT_AGREED:
        tally_agreed(tally, &verdict->payload);
        tally->standing = true;
        tally->withdrawn = false;
        break;
    case VERDICT_FAILED:
        tally->withdrawn = tally->n > 0;
        tally->standing = false;
        break;
    case VERDICT_DISPUTED:
        tally->standing = false;
        break;
    case VERDICT_PENDING:
        break;
    }
}

/* The payload with more rounds than any other, or NULL. */
static const struct digest *tally_winner(const struct tally *tally)
{
    size_t best = 0;
    bool tied = false;
    for (size_t i = 1; i < tally->n; i++) {
        tied = tally->rounds[i] == tally->rounds[best] || (tied && tally->rounds[i] < tally->rounds[best]);
        if (tally->rounds[i] > tally->rounds[best])
            best = i;
    }
    return tally->n > 0 && !tied ? &tally->payload[best] : NULL;
}

static void set_payload(struct core *core, struct claim *claim, const struct digest *payload)
{
    bool other = payload != NULL && claim->has_payload && !digest_equal(payload, &claim->payload);
    for (struct node *node = claim->nodes; other && node != NULL; node = node->claim_next)
        graph_unsettle(core, node);
    claim->has_payload = payload != NULL;
    if (payload != NULL)
        claim->payload = *payload;
}

static void tell(struct core *core, const struct job *job, const struct claim *claim, uint32_t round,
                 const struct verdict *verdict)
{
    struct core_effect *effect = effects_add(core, CORE_VERDICT);
    effect->key = digest_of_link(&job->link);
    effect->round = round;
    effect->verdict = mem_copy(verdict, sizeof *verdict);
    effect->plan = digest_of_link(&claim->nodes->plan->link);
    effect->node = node_index(claim->nodes);
}

static uint16_t clip(uint32_t n)
{
    return n < UINT16_MAX ? (uint16_t)n : UINT16_MAX;
}

/* Keeps the current round's verdict in short; true if there is something to tell. */
static bool remember(struct claim *claim, const struct verdict *verdict)
{
    struct claim before = *claim;
    claim->told = verdict->state;
    claim->told_payload = verdict->payload;
    claim->told_operators = clip(verdict->operators);
    claim->told_anchors = clip(verdict->anchors);
    claim->told_dissent = clip(verdict->dissent);
    claim->told_equivocators = clip(verdict->equivocators);
    claim->missing = clip(verdict->missing);
    claim->missing_anchors = clip(verdict->missing_anchors);
    claim->failures = 0;
    for (size_t i = 0; i < verdict->ngroups; i++)
        if (verdict->groups[i].is_failure)
            claim->failures = clip(verdict->groups[i].operators);
    return before.told != claim->told || !digest_equal(&before.told_payload, &claim->told_payload) ||
           before.told_operators != claim->told_operators || before.told_anchors != claim->told_anchors ||
           before.told_dissent != claim->told_dissent || before.told_equivocators != claim->told_equivocators;
}

/* Who was outvoted is counted once, under the rules of the first claim that anybody follows. */
static const struct claim *first_followed(const struct job *job)
{
    const struct claim *claim = &job->claim;
    while (claim != NULL && claim->nodes == NULL)
        claim = claim->next;
    return claim;
}

static void judge_round(struct core *core, struct job *job, struct claim *claim, uint32_t round, bool tell_it,
                        struct tally *tally)
{
    struct verdict verdict = rounds_verdict(job, claim->rules, round);
    if (verdict.state == VERDICT_AGREED || verdict.state == VERDICT_FAILED)
        job->settled_rounds |= (uint64_t)1 << (round - 1);
    if (claim == first_followed(job))
        count_outvoted(core, job, round, &verdict);
    if (round == job->round)
        tell_it = remember(claim, &verdict);
    if (tell_it)
        tell(core, job, claim, round, &verdict);
    tally_round(tally, &verdict);
}

static void judge_claim(struct core *core, struct job *job, struct claim *claim, uint32_t told_round)
{
    struct tally tally;
    tally.n = 0;
    tally.standing = tally.withdrawn = false;
    for (uint32_t round = 1; round <= job->round; round++)
        judge_round(core, job, claim, round, round == told_round, &tally);
    const struct digest *winner = tally_winner(&tally);
    claim->contradicted = tally.withdrawn || (tally.standing && winner == NULL);
    claim->futile = claim->missing > 0 && !claim->rules->open_votes && round_is_settled(job, job->round);
    set_payload(core, claim, tally.standing && !claim->contradicted ? winner : NULL);
}

void rounds_judge(struct core *core, struct job *job, uint32_t told_round)
{
    for (struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        if (claim->nodes !=
            NULL) /* else nobody could be told whose rules these are; judged when a node follows again */
            judge_claim(core, job, claim, told_round);
}

/* --- answers --- */

static struct answer *answer_new(struct lease *lease, const struct core_answer *from)
{
    struct answer *answer = mem_zero(1, sizeof *answer);
    answer->envelope = from->envelope;
    answer->payload = from->payload;
    answer->failure = from->failure;
    answer->next = lease->answers;
    lease->answers = answer;
    return answer;
}

static bool answer_is_known(const struct lease *lease, const struct digest *envelope)
{
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        if (digest_equal(&answer->envelope, envelope))
            return true;
    return false;
}

static size_t count_answers(const struct lease *lease)
{
    size_t n = 0;
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        n++;
    return n;
}

static void emit_answered(struct core *core, const struct worker *worker, const struct lease *lease,
                          const struct core_answer *answer, enum answer_fate fate, const char *text)
{
    struct core_effect *effect = effects_add(core, CORE_ANSWERED);
    if (lease != NULL)
        effect->lease = leases_view(lease);
    else
        effect->lease.nonce = answer->nonce;
    if (lease != NULL && lease->state == LEASE_LIVE && fate != ANSWER_DUPLICATE)
        effect->lease.state = LEASE_ANSWERED; /* it is about to end; CORE_LEASE_ENDED follows */
    effect->answer = *answer;
    effect->fate = fate;
    effect->name = worker != NULL ? mem_string(worker->name) : NULL;
    effect->text = text != NULL ? mem_string(text) : NULL;
}

/* Whether the operator already gave this very answer in the round, by any lease. */
static bool has_given(const struct lease *lease, const struct core_answer *given)
{
    for (const struct lease *other = lease->job->leases; other != NULL; other = other->job_next) {
        if (other->round != lease->round || other->worker->operator!= lease->worker->operator)
            continue;
        for (const struct answer *answer = other->answers; answer != NULL; answer = answer->next)
            if (answer->counted && rounds_same_answer(answer, given->failure, &given->payload))
                return true;
    }
    return false;
}

static enum answer_fate decide(const struct lease *lease, const struct core_answer *answer)
{
    if (answer->failure == FAILURE_INFRASTRUCTURE)
        return ANSWER_RETRIED;
    if (lease->worker->revoked)
        return ANSWER_EXTRA;
    if (rounds_vote(lease->job, lease->round, lease->worker->operator) == NULL)
        return round_is_settled(lease->job, lease->round) ? ANSWER_OPEN : ANSWER_COUNTED;
    return has_given(lease, answer) ? ANSWER_EXTRA : ANSWER_EQUIVOCAL;
}

static void flag_equivocation(struct core *core, const struct lease *lease)
{
    struct digest key = digest_of_link(&lease->job->link);
    CLEANUP_FREE char *text = mem_format("gave two different answers for job %.16s in round %u; it gets no "
                                         "leases until an operator of the farm "
                                         "looked at it and clears it",
                                         digest_hex(&key).text, lease->round);
    flag(core, lease->worker->operator, text);
}

static void end_lease(struct core *core, struct lease *lease, enum answer_fate fate)
{
    bool trouble = fate == ANSWER_RETRIED;
    if (lease->state == LEASE_LIVE) {
        leases_end(core, lease, LEASE_ANSWERED, NULL, trouble);
        return;
    }
    leases_stop_lingering(core, lease);
    if (trouble)
        leases_set_trouble(core, lease);
}

static void take(struct core *core, struct lease *lease, const struct core_answer *from)
{
    enum answer_fate fate = decide(lease, from);
    struct answer *answer = answer_new(lease, from);
    answer->counted = fate == ANSWER_COUNTED || fate == ANSWER_OPEN || fate == ANSWER_EQUIVOCAL;
    answer->open = answer->counted && round_is_settled(lease->job, lease->round);
    lease->worker->answers++;
    if (fate == ANSWER_RETRIED)
        workers_trouble(core, lease->worker);
    else
        lease->worker->troubles = 0;
    emit_answered(core, lease->worker, lease, from, fate, NULL);
    end_lease(core, lease, fate);
    if (answer->counted) {
        leases_withdraw_rest(core, lease, "its operator has answered");
        rounds_judge(core, lease->job, lease->round);
    }
    if (fate == ANSWER_EQUIVOCAL)
        flag_equivocation(core, lease);
    jobs_touch(core, lease->job);
}

void rounds_answer(struct core *core, struct worker *worker, const struct core_answer *answer)
{
    struct lease *lease = leases_find(core, &answer->nonce);
    const char *why = NULL;
    if (lease == NULL)
        why = "no lease was granted under this nonce";
    else if (lease->worker != worker)
        why = "the lease was granted to another worker";
    else if (answer_is_known(lease, &answer->envelope)) {
        emit_answered(core, worker, lease, answer, ANSWER_DUPLICATE, NULL);
        return;
    } else if (count_answers(lease) >= LEASE_ANSWERS_MAX)
        why = "too many answers to one lease";
    workers_forget_presented(core, worker, &answer->nonce);
    if (why != NULL)
        emit_answered(core, worker, NULL, answer, ANSWER_REJECTED, why);
    else
        take(core, lease, answer);
}

void rounds_restore(struct lease *lease, const struct core_past_lease *past)
{
    if (answer_is_known(lease, &past->answer.envelope))
        return;
    struct answer *answer = answer_new(lease, &past->answer);
    answer->counted = past->counted && past->answer.failure != FAILURE_INFRASTRUCTURE;
    answer->open = past->open;
    answer->past = true;
    lease->worker->answers++;
    if (past->answer.failure == FAILURE_INFRASTRUCTURE)
        lease->trouble = true;
    if (past->open)
        lease->job->settled_rounds |= (uint64_t)1 << (lease->round - 1);
}
