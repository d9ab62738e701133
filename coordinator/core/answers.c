/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "answers.h"

#include "effects.h"
#include "jobs.h"
#include "leases.h"
#include "lost.h"
#include "rounds.h"
#include "workers.h"

#include <assert.h>
#include <stdlib.h>

bool answers_same(const struct answer *a, enum failure_kind failure, const struct digest *payload)
{
    if (a->failure != FAILURE_NONE || failure != FAILURE_NONE)
        return a->failure != FAILURE_NONE && failure != FAILURE_NONE;
    return digest_equal(&a->payload, payload);
}

static bool is_of(const struct lease *lease, uint32_t round, const struct operator* operator)
{
    return lease->round == round && lease->worker->operator== operator;
}

bool answers_is_first(const struct lease *lease, const struct answer *answer)
{
    for (const struct lease *other = lease->job->leases; other != NULL; other = other->job_next) {
        if (!is_of(other, lease->round, lease->worker->operator))
            continue;
        for (const struct answer *a = other->answers; a != NULL; a = a->next)
            if (a->counted && a->sequence < answer->sequence &&
                answers_same(a, answer->failure, &answer->payload))
                return false;
    }
    return true;
}

/* --- the vote of one operator in one round --- */

struct ballot {
    const struct lease *lease;
    const struct answer *answer;
};
/* Its answers that count, in order of arrival. */
struct ballots {
    struct ballot *items;
    size_t count, capacity;
};

static void add_ballot(struct ballots *ballots, const struct lease *lease, const struct answer *answer)
{
    ballots->items =
        mem_reserve(ballots->items, &ballots->capacity, ballots->count + 1, sizeof *ballots->items);
    size_t at = ballots->count++;
    for (; at > 0 && ballots->items[at - 1].answer->sequence > answer->sequence; at--)
        ballots->items[at] = ballots->items[at - 1];
    ballots->items[at] = (struct ballot){lease, answer};
}

static struct ballots ballots_of(const struct job *job, uint32_t round, const struct operator* operator)
{
    struct ballots ballots = {0};
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (!is_of(lease, round, operator))
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
            if (answer->counted)
                add_ballot(&ballots, lease, answer);
    }
    return ballots;
}

/* {NULL, NULL}: none, or two digests. */
static struct ballot vote_among(const struct ballots *ballots)
{
    CLEANUP_FREE struct vote *votes = mem_zero(ballots->count + 1, sizeof *votes);
    for (size_t i = 0; i < ballots->count; i++)
        votes[i] = (struct vote){.open = ballots->items[i].answer->open,
                                 .failure = ballots->items[i].answer->failure,
                                 .payload = ballots->items[i].answer->payload};
    size_t at = verdict_vote_of(votes, ballots->count);
    if (at == SIZE_MAX)
        return (struct ballot){0};
    assert(ballots->items != NULL && at < ballots->count);
    return ballots->items[at];
}

static struct ballot find_vote(const struct lease *lease)
{
    struct ballots ballots = ballots_of(lease->job, lease->round, lease->worker->operator);
    struct ballot vote = vote_among(&ballots);
    free(ballots.items);
    return vote;
}

/* 'lease' is any lease of the operator in the round. */
static void tell_vote(struct core *core, const struct lease *lease, const struct answer *before)
{
    struct ballot vote = find_vote(lease);
    if (vote.answer == before)
        return;
    struct core_effect *effect = effects_add(core, CORE_VOTE);
    effect->key = digest_of_link(&lease->job->link);
    effect->round = lease->round;
    effect->name = mem_string(lease->worker->operator->name);
    if (vote.answer == NULL)
        return;
    effect->open = vote.answer->open;
    effect->answer.envelope = vote.answer->envelope;
    memcpy(effect->answer.nonce.bytes, vote.lease->link.key, sizeof effect->answer.nonce.bytes);
}

/* --- what becomes of an answer --- */

static struct answer *find_known(const struct lease *lease, const struct digest *envelope)
{
    for (struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        if (digest_equal(&answer->envelope, envelope))
            return answer;
    return NULL;
}

static size_t count_answers(const struct lease *lease)
{
    size_t n = 0;
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
        n++;
    return n;
}

/* Beside what its operator said before in this round. */
static enum answer_fate compare(const struct ballots *before, const struct core_answer *answer, bool settled)
{
    bool digests = false;
    for (size_t i = 0; i < before->count; i++) {
        const struct answer *other = before->items[i].answer;
        digests |= other->failure == FAILURE_NONE;
        if (answers_same(other, answer->failure, &answer->payload))
            return ANSWER_EXTRA;
    }
    if (!digests)
        return settled ? ANSWER_OPEN : ANSWER_COUNTED;
    return answer->failure != FAILURE_NONE ? ANSWER_EXTRA : ANSWER_EQUIVOCAL;
}

static enum answer_fate decide(const struct lease *lease, const struct core_answer *answer)
{
    if (answer->failure == FAILURE_INFRASTRUCTURE)
        return ANSWER_RETRIED;
    if (lease->worker->revoked)
        return ANSWER_EXTRA;
    struct ballots before = ballots_of(lease->job, lease->round, lease->worker->operator);
    enum answer_fate fate = compare(&before, answer, round_is_settled(lease->job, lease->round));
    free(before.items);
    return fate;
}

static struct answer *answer_new(struct core *core, struct lease *lease, const struct core_answer *from)
{
    struct answer *answer = mem_zero(1, sizeof *answer);
    answer->envelope = from->envelope;
    answer->payload = from->payload;
    answer->failure = from->failure;
    answer->sequence = core->answer_sequence++;
    answer->next = lease->answers;
    lease->answers = answer;
    return answer;
}

/* 'answer': as recorded; NULL if it was not. */
static void emit_answered(struct core *core, const struct worker *worker, const struct lease *lease,
                          const struct core_answer *from, const struct answer *answer, enum answer_fate fate,
                          const char *text)
{
    struct core_effect *effect = effects_add(core, CORE_ANSWERED);
    if (lease != NULL)
        effect->lease = leases_view(lease);
    else
        effect->lease.nonce = from->nonce;
    if (lease != NULL && lease->state == LEASE_LIVE && fate != ANSWER_DUPLICATE)
        effect->lease.state = LEASE_ANSWERED; /* it is about to end; CORE_LEASE_ENDED follows */
    effect->answer = *from;
    effect->fate = fate;
    effect->open = answer != NULL && answer->open;
    effect->name = worker != NULL ? mem_string(worker->name) : NULL;
    effect->text = text != NULL ? mem_string(text) : NULL;
}

static void flag_equivocation(struct core *core, const struct lease *lease)
{
    struct digest key = digest_of_link(&lease->job->link);
    CLEANUP_FREE char *text = mem_format("gave two different answers for job %.16s in round %u; it gets no "
                                         "leases until an operator of the farm "
                                         "looked at it and clears it",
                                         digest_hex(&key).text, lease->round);
    rounds_flag(core, lease->worker->operator, text);
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

/* What answers of revoked workers say is void from the beginning; somebody may have stolen the key. */
static void set_weight(const struct lease *lease, struct answer *answer)
{
    answer->is_void = lease->worker->revoked;
    answer->counted = answer->failure != FAILURE_INFRASTRUCTURE && !answer->is_void;
    answer->open = round_is_settled(lease->job, lease->round);
}

static void take(struct core *core, struct lease *lease, const struct core_answer *from)
{
    enum answer_fate fate = decide(lease, from);
    const struct answer *vote = find_vote(lease).answer;
    struct answer *answer = answer_new(core, lease, from);
    set_weight(lease, answer);
    lease->worker->answers++;
    if (fate == ANSWER_RETRIED)
        workers_trouble(core, lease->worker);
    else
        lease->worker->troubles = 0;
    emit_answered(core, lease->worker, lease, from, answer, fate, NULL);
    end_lease(core, lease, fate);
    if (answer->failure ==
        FAILURE_NONE) /* void or not: whoever signed it, the bytes are what they are called */
        lost_remove(core, lease->job, &answer->payload);
    if (answer->counted) {
        tell_vote(core, lease, vote);
        leases_withdraw_rest(core, lease, "its operator has answered");
        rounds_judge(core, lease->job, lease->round);
    }
    if (fate == ANSWER_EQUIVOCAL)
        flag_equivocation(core, lease);
    jobs_touch(core, lease->job);
}

void answers_take(struct core *core, struct worker *worker, const struct core_answer *answer)
{
    struct lease *lease = leases_find(core, &answer->nonce);
    const char *why = NULL;
    if (lease == NULL)
        why = "no lease was granted under this nonce";
    else if (lease->worker != worker)
        why = "the lease was granted to another worker";
    else if (find_known(lease, &answer->envelope) != NULL) {
        emit_answered(core, worker, lease, answer, NULL, ANSWER_DUPLICATE, NULL);
        return;
    } else if (count_answers(lease) >= LEASE_ANSWERS_MAX)
        why = "too many answers to one lease";
    workers_forget_presented(core, worker, &answer->nonce);
    if (why != NULL)
        emit_answered(core, worker, NULL, answer, NULL, ANSWER_REJECTED, why);
    else
        take(core, lease, answer);
}

static struct view envelope_view(const struct answer *answer)
{
    return view_of(answer->envelope.bytes, sizeof answer->envelope.bytes);
}

void answers_forget(struct core *core, struct lease *lease)
{
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
        lease->worker->answers--;
        if (answer->outvoted)
            map_set(core->outvoted, envelope_view(answer), core);
    }
}

/* It may be one that this process saw before, and counted. */
static void recall_outvoted(struct core *core, struct lease *lease, struct answer *answer)
{
    answer->outvoted = map_remove(core->outvoted, envelope_view(answer)) != NULL;
    if (!answer->counted)
        rounds_forget_outvoted(lease, answer);
}

void answers_restore(struct core *core, struct lease *lease, const struct core_past_lease *past)
{
    if (find_known(lease, &past->answer.envelope) != NULL)
        return;
    struct answer *answer = answer_new(core, lease, &past->answer);
    bool is_vote = past->answer.failure != FAILURE_INFRASTRUCTURE;
    answer->counted = past->counted && is_vote;
    answer->is_void = !past->counted && is_vote;
    answer->open = past->open;
    answer->past = true;
    recall_outvoted(core, lease, answer);
    lease->worker->answers++;
    if (past->answer.failure == FAILURE_INFRASTRUCTURE)
        lease->trouble = true;
}

void answers_void(struct core *core, const struct core_nonce *nonce, const struct digest *envelope)
{
    struct lease *lease = leases_find(core, nonce);
    struct answer *answer = lease != NULL ? find_known(lease, envelope) : NULL;
    if (answer == NULL || answer->is_void)
        return;
    const struct answer *vote = find_vote(lease).answer;
    rounds_forget_outvoted(lease, answer);
    answer->is_void = true;
    answer->counted = false;
    tell_vote(core, lease, vote);
    rounds_judge(core, lease->job, lease->round);
    jobs_touch(core, lease->job);
}
