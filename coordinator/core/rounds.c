/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rounds.h"

#include "effects.h"
#include "graph.h"
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

static struct verdict judge_answers(const struct job *job, const struct rules *rules, uint32_t round,
                                    bool void_ones_too)
{
    CLEANUP_FREE struct vote *votes = NULL;
    size_t n = 0, capacity = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != round)
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
            if (!answer->counted && !(void_ones_too && answer->is_void))
                continue;
            votes = mem_reserve(votes, &capacity, n + 1, sizeof *votes);
            votes[n++] = vote_of(lease, answer);
        }
    }
    return verdict_of(rules, votes, n);
}

struct verdict rounds_verdict(const struct job *job, const struct rules *rules, uint32_t round)
{
    return judge_answers(job, rules, round, false);
}

/* --- who was outvoted --- */

void rounds_flag(struct core *core, struct operator* operator, const char * text)
{
    if (operator->flagged)
        return;
    workers_flag(core, operator, text);
    struct core_effect *effect = effects_add(core, CORE_OPERATOR_FLAGGED);
    effect->name = mem_string(operator->name);
    effect->text = mem_string(text);
}

static void set_outvoted(struct core *core, struct lease *lease, struct answer *answer)
{
    struct operator* operator= lease->worker->operator;
    answer->outvoted = true;
    operator->outvoted++;
    lease->worker->outvoted++;
    if (answer->past)
        operator->forgiven++;
    uint32_t times = operator->outvoted - operator->forgiven;
    if (answer->past || core->config.outvoted_limit == 0 || times < core->config.outvoted_limit)
        return;
    CLEANUP_FREE char *text =
        mem_format("outvoted on %u jobs; it gets no leases until an operator of the farm looked "
                   "at it and clears it",
                   times);
    rounds_flag(core, operator, text);
}

void rounds_forget_outvoted(struct lease *lease, struct answer *answer)
{
    struct operator* operator= lease->worker->operator;
    if (!answer->outvoted)
        return;
    answer->outvoted = false;
    operator->outvoted--;
    lease->worker->outvoted--;
    if (operator->outvoted<operator->forgiven)
        operator->forgiven = operator->outvoted;
}

static bool loses(const struct verdict *verdict, const struct answer *answer)
{
    if (verdict->state == VERDICT_AGREED)
        return answer->failure != FAILURE_NONE || !digest_equal(&answer->payload, &verdict->payload);
    return verdict->state == VERDICT_FAILED && answer->failure == FAILURE_NONE;
}

/* One answer an operator carries the mark; who has it keeps it, so that nobody is counted twice in between. */
static void keep_outvoted(const struct core *core, struct lease *lease, const struct verdict *verdict)
{
    for (struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
        if (!answer->outvoted)
            continue;
        if (loses(verdict, answer))
            lease->worker->operator->outvoted_stamp = core->outvoted_stamp;
        else
            rounds_forget_outvoted(lease, answer);
    }
}

static void mark_outvoted(struct core *core, struct lease *lease, const struct verdict *verdict)
{
    struct operator* operator= lease->worker->operator;
    for (struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
        if (!answer->counted || operator->outvoted_stamp == core->outvoted_stamp || !loses(verdict, answer))
            continue;
        operator->outvoted_stamp = core->outvoted_stamp;
        set_outvoted(core, lease, answer);
    }
}

static void count_outvoted(struct core *core, struct job *job, uint32_t round, const struct verdict *verdict)
{
    core->outvoted_stamp++;
    for (struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        if (lease->round == round)
            keep_outvoted(core, lease, verdict);
    for (struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        if (lease->round == round)
            mark_outvoted(core, lease, verdict);
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
    claim->missing_failures = clip(verdict->missing_failures);
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
    bool settles = verdict_is_settled(verdict.state) && !round_is_settled(job, round);
    if (settles)
        job->settled_rounds |= (uint64_t)1 << (round - 1);
    if (claim == first_followed(job))
        count_outvoted(core, job, round, &verdict);
    if (round == job->round)
        tell_it = remember(claim, &verdict);
    tell_it |= settles; /* from here on votes are open, so it must stand in the log */
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

static void judge_claims(struct core *core, struct job *job, uint32_t told_round)
{
    for (struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        if (claim->nodes !=
            NULL) /* else nobody could be told whose rules these are; judged when a node follows again */
            judge_claim(core, job, claim, told_round);
}

/*
 * The current round would be settled, had no answers been voided, and as it is it never can be: further votes would be open and do not
 * count. True of the recorded answers alone, so that a restart comes to the same.
 */
static bool is_broken_off(const struct job *job, const struct claim *claim)
{
    return claim->nodes != NULL && claim->futile && !claim->has_payload &&
           verdict_is_settled(judge_answers(job, claim->rules, job->round, true).state);
}

/* Revocation reopened it, so somebody has to be asked: in a round of its own. */
static bool needs_new_round(const struct job *job)
{
    for (const struct claim *claim = &job->claim; claim != NULL && job->round < ROUNDS_MAX;
         claim = claim->next)
        if (is_broken_off(job, claim))
            return true;
    return false;
}

void rounds_judge(struct core *core, struct job *job, uint32_t told_round)
{
    judge_claims(core, job, told_round);
    if (!needs_new_round(job))
        return;
    job->round++;
    job->round_started_ms = 0;
    judge_claims(core, job, 0);
}
