/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rounds.h"

#include "effects.h"
#include "graph.h"
#include "lost.h"
#include "workers.h"

#include <assert.h>
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

/* Of one round, or of all (0). */
struct votes {
    struct vote *items;
    uint32_t *rounds;
    size_t count, capacity, rounds_capacity;
};

static struct votes collect(const struct job *job, uint32_t round, bool void_ones_too)
{
    struct votes votes = {0};
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (round != 0 && lease->round != round)
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
            if (!answer->counted && !(void_ones_too && answer->is_void))
                continue;
            votes.items = mem_reserve(votes.items, &votes.capacity, votes.count + 1, sizeof *votes.items);
            votes.rounds =
                mem_reserve(votes.rounds, &votes.rounds_capacity, votes.count + 1, sizeof *votes.rounds);
            votes.items[votes.count] = vote_of(lease, answer);
            votes.rounds[votes.count++] = lease->round;
        }
    }
    return votes;
}

static void votes_done(struct votes *votes)
{
    free(votes->items);
    free(votes->rounds);
}

static struct verdict judge_answers(const struct job *job, const struct rules *rules, uint32_t round,
                                    bool void_ones_too)
{
    CLEANUP(votes_done) struct votes votes = collect(job, round, void_ones_too);
    return verdict_of(rules, votes.items, votes.count);
}

struct verdict rounds_verdict(const struct job *job, const struct rules *rules, uint32_t round)
{
    return judge_answers(job, rules, round, false);
}

struct verdict_rounds rounds_verdict_of_all(const struct job *job, const struct rules *rules)
{
    CLEANUP(votes_done) struct votes votes = collect(job, 0, false);
    return verdict_of_rounds(rules, votes.items, votes.rounds, votes.count);
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

static struct verdict judge_round(struct core *core, struct job *job, struct claim *claim, uint32_t round,
                                  bool tell_it)
{
    assert(round > 0);
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
    return verdict;
}

static void judge_claim(struct core *core, struct job *job, struct claim *claim, uint32_t told_round)
{
    for (uint32_t round = 1; round < job->round; round++)
        (void)judge_round(core, job, claim, round, round == told_round);
    struct verdict verdict = judge_round(core, job, claim, job->round, false);
    bool agreed = verdict.state == VERDICT_AGREED;
    const struct digest *payload = &verdict.payload;
    struct verdict_rounds all = {0};
    if (job->round > 1) { /* nearly always there is one */
        all = rounds_verdict_of_all(job, claim->rules);
        agreed = all.agreed;
        payload = &all.payload;
    }
    claim->contradicted = all.contradicted;
    claim->futile = claim->missing > 0 && !claim->rules->open_votes && round_is_settled(job, job->round);
    set_payload(core, claim, agreed ? payload : NULL);
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

static bool is_said(const struct job *job, uint32_t round, const struct digest *payload)
{
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next)
        for (const struct answer *a = lease->answers; a != NULL && lease->round == round; a = a->next)
            if (a->counted && a->failure == FAILURE_NONE && digest_equal(&a->payload, payload))
                return true;
    return false;
}

/*
 * Its payload's bytes were lost, and the current round does not bring them back: it is over, or who said so has said so. A round in which nobody
 * said so yet goes on, however it was begun, so that a restart opens no further one, and a loss is no way to ask until the
 * answer pleases.
 */
static bool is_to_be_repeated(const struct job *job, const struct claim *claim)
{
    return claim->nodes != NULL && lost_is(job, claim) &&
           (round_is_settled(job, job->round) || is_said(job, job->round, &claim->payload));
}

/* Revocation reopened it, or its bytes are gone, so somebody has to be asked: in a round of its own. */
static bool needs_new_round(const struct job *job)
{
    for (const struct claim *claim = &job->claim; claim != NULL && job->round < ROUNDS_MAX;
         claim = claim->next)
        if (is_broken_off(job, claim) || is_to_be_repeated(job, claim))
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
