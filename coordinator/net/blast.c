/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "blast.h"

#include <stdlib.h>

/* ---- one job ---- */

static const struct verdict_group *group_of(const struct verdict *verdict, const struct digest *payload)
{
    for (size_t i = 0; i < verdict->ngroups; i++)
        if (!verdict->groups[i].is_failure && digest_equal(&verdict->groups[i].payload, payload))
            return &verdict->groups[i];
    return NULL;
}

/* The answers of one round, or with 0 of all; with or without the suspect's. */
struct ballot {
    struct vote *votes;
    uint32_t *rounds;
    size_t count;
};

static struct ballot ballot_of(const struct blast_job *job, uint32_t round, bool with_suspect)
{
    struct ballot ballot = {mem_zero(job->nanswers + 1, sizeof *ballot.votes),
                            mem_zero(job->nanswers + 1, sizeof *ballot.rounds), 0};
    for (size_t i = 0; i < job->nanswers; i++) {
        const struct blast_answer *answer = &job->answers[i];
        if ((round != 0 && answer->round != round) || (answer->suspect && !with_suspect))
            continue;
        ballot.votes[ballot.count] = answer->vote;
        ballot.rounds[ballot.count++] = answer->round;
    }
    return ballot;
}

static void ballot_done(struct ballot *ballot)
{
    free(ballot->votes);
    free(ballot->rounds);
}

static struct verdict judge_round(const struct blast_job *job, uint32_t round, bool with_suspect)
{
    struct ballot ballot = ballot_of(job, round, with_suspect);
    struct verdict verdict = verdict_of(&job->rules, ballot.votes, ballot.count);
    ballot_done(&ballot);
    return verdict;
}

static struct verdict_rounds judge_all(const struct blast_job *job, bool with_suspect)
{
    struct ballot ballot = ballot_of(job, 0, with_suspect);
    struct verdict_rounds all = verdict_of_rounds(&job->rules, ballot.votes, ballot.rounds, ballot.count);
    ballot_done(&ballot);
    return all;
}

/* What a round still needs for this payload: where it leads the verdict says so, listed facts included; where a rival leads, what
 * settles a dispute, and more than any rival has. */
static uint32_t lacking_of(const struct rules *rules, const struct verdict *verdict,
                           const struct digest *payload)
{
    const struct verdict_group *own = group_of(verdict, payload);
    uint32_t have = own != NULL ? own->operators : 0, need = rules->quorum;
    if (own != NULL && own == &verdict->groups[0] && verdict->missing > 0)
        return verdict->missing;
    for (size_t i = 0; i < verdict->ngroups; i++) {
        const struct verdict_group *group = &verdict->groups[i];
        if (group == own || group->is_failure)
            continue;
        if (need < rules->quorum + rules->margin)
            need = rules->quorum + rules->margin;
        if (need <= group->operators)
            need = group->operators + 1;
    }
    return need > have ? need - have : 1;
}

static void count_builds(const struct blast_job *job, uint32_t last, struct blast_outcome *outcome)
{
    const struct rules *rules = &job->rules;
    struct verdict before = judge_round(job, last, true), after = judge_round(job, last, false);
    const struct verdict_group *own = group_of(&after, &job->payload);
    uint32_t anchors = own != NULL ? own->anchors : 0;
    outcome->builds = rules->quorum;
    outcome->builds_by_anchors = rules->anchors;
    if (verdict_is_settled(before.state) && !rules->open_votes)
        return; /* a new round */
    outcome->builds = lacking_of(rules, &after, &job->payload);
    outcome->builds_by_anchors = rules->anchors > anchors ? rules->anchors - anchors : 0;
    if (outcome->builds < outcome->builds_by_anchors)
        outcome->builds = outcome->builds_by_anchors;
}

static uint32_t last_round(const struct blast_job *job)
{
    uint32_t last = 1;
    for (size_t i = 0; i < job->nanswers; i++)
        if (job->answers[i].round > last)
            last = job->answers[i].round;
    return last;
}

static void judge_lost(const struct blast_job *job, const struct verdict_rounds *after,
                       struct blast_outcome *outcome)
{
    uint32_t last = last_round(job);
    outcome->fate = BLAST_LOST;
    outcome->turned = after->agreed;
    outcome->rival = after->payload;
    outcome->state = after->contradicted ? VERDICT_DISPUTED : judge_round(job, last, false).state;
    count_builds(job, last, outcome);
}

static struct blast_outcome judge(const struct blast_job *job)
{
    struct blast_outcome outcome = {.state = VERDICT_AGREED};
    for (size_t i = 0; i < job->nanswers; i++)
        outcome.answered = outcome.answered || job->answers[i].suspect;
    if (!outcome.answered)
        return outcome;
    struct verdict_rounds before = judge_all(job, true), after = judge_all(job, false);
    const struct verdict_group *then = group_of(&before.all, &job->payload);
    const struct verdict_group *now = group_of(&after.all, &job->payload);
    outcome.operators = now != NULL ? now->operators : 0;
    outcome.anchors = now != NULL ? now->anchors : 0;
    if (!after.agreed || !digest_equal(&after.payload, &job->payload))
        judge_lost(job, &after, &outcome);
    else if (then != NULL && then->operators > outcome.operators)
        outcome.fate = BLAST_WEAKER;
    return outcome;
}

/* ---- all of them ---- */

static void count_dependents(const struct blast_job *jobs, size_t njobs, struct blast *blast)
{
    for (size_t i = 0; i < njobs; i++) {
        for (size_t k = 0; jobs[i].agreed && k < jobs[i].nclosure; k++) {
            struct blast_outcome *below = &blast->outcomes[jobs[i].closure[k]];
            below->dependents++;
            if (below->fate == BLAST_LOST && blast->outcomes[i].fate != BLAST_LOST)
                blast->outcomes[i].at_risk = true;
        }
    }
}

static void add_cost(struct blast_cost *cost, const struct blast_job *job, uint32_t builds)
{
    cost->builds += builds;
    cost->ms += builds * job->build_ms;
    cost->unmeasured += job->build_ms == 0;
}

static void sum_up(const struct blast_job *jobs, size_t njobs, struct blast *blast)
{
    for (size_t i = 0; i < njobs; i++) {
        const struct blast_outcome *outcome = &blast->outcomes[i];
        blast->lost += outcome->fate == BLAST_LOST;
        blast->weaker += outcome->fate == BLAST_WEAKER;
        blast->at_risk += outcome->at_risk;
        if (outcome->fate == BLAST_LOST)
            add_cost(&blast->same, &jobs[i], outcome->builds);
        if (outcome->fate == BLAST_LOST || outcome->at_risk)
            add_cost(&blast->other, &jobs[i], jobs[i].rules.quorum);
    }
}

/* ---- the order ---- */

/* What nobody measured is taken for a minute, as the scheduler does. */
static int64_t weight_of(const struct blast_job *job)
{
    return job->build_ms > 0 ? job->build_ms : 60000;
}

/* Is a to be rebuilt before b, if both could be? More jobs above it for each second of building. */
static bool goes_first(const struct blast_job *jobs, const struct blast *blast, size_t a, size_t b)
{
    int64_t left = (int64_t)blast->outcomes[a].dependents * weight_of(&jobs[b]);
    int64_t right = (int64_t)blast->outcomes[b].dependents * weight_of(&jobs[a]);
    return left != right ? left > right : strcmp(jobs[a].id, jobs[b].id) < 0;
}

/* The lost jobs alone, with who stands on whom among them. */
struct lost {
    size_t count;
    size_t *jobs;          /* in the plan's order */
    size_t *place;         /* of a job among them; SIZE_MAX: it is not lost */
    size_t *waits;         /* how many lost ones each still waits for; SIZE_MAX: it is placed */
    size_t *first, *users; /* whose closure has the i-th: users[first[i]] to users[first[i + 1] - 1] */
};

static void lost_list(struct lost *lost, size_t njobs, const struct blast *blast)
{
    lost->jobs = mem_zero(blast->lost + 1, sizeof *lost->jobs);
    lost->place = mem_zero(njobs + 1, sizeof *lost->place);
    for (size_t i = 0; i < njobs; i++) {
        lost->place[i] = blast->outcomes[i].fate == BLAST_LOST ? lost->count : SIZE_MAX;
        if (lost->place[i] != SIZE_MAX)
            lost->jobs[lost->count++] = i;
    }
}

static void lost_link(struct lost *lost, const struct blast_job *jobs)
{
    lost->waits = mem_zero(lost->count + 1, sizeof *lost->waits);
    lost->first = mem_zero(lost->count + 2, sizeof *lost->first);
    for (size_t i = 0; i < lost->count; i++)
        for (size_t k = 0; k < jobs[lost->jobs[i]].nclosure; k++) {
            size_t below = lost->place[jobs[lost->jobs[i]].closure[k]];
            if (below == SIZE_MAX)
                continue;
            lost->waits[i]++;
            lost->first[below +
                        2]++; /* one further than its end, so that filling leaves the starts in place */
        }
    for (size_t i = 2; i <= lost->count; i++)
        lost->first[i + 1] += lost->first[i];
    lost->users = mem_zero(lost->first[lost->count + 1] + 1, sizeof *lost->users);
    for (size_t i = 0; i < lost->count; i++)
        for (size_t k = 0; k < jobs[lost->jobs[i]].nclosure; k++) {
            size_t below = lost->place[jobs[lost->jobs[i]].closure[k]];
            if (below != SIZE_MAX)
                lost->users[lost->first[below + 1]++] = i;
        }
}

static void lost_done(struct lost *lost)
{
    free(lost->jobs);
    free(lost->place);
    free(lost->waits);
    free(lost->first);
    free(lost->users);
}

static size_t next_of(const struct lost *lost, const struct blast_job *jobs, const struct blast *blast)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < lost->count; i++)
        if (lost->waits[i] == 0 &&
            (best == SIZE_MAX || goes_first(jobs, blast, lost->jobs[i], lost->jobs[best])))
            best = i;
    return best;
}

static void make_order(const struct blast_job *jobs, size_t njobs, struct blast *blast)
{
    struct lost lost = {0};
    lost_list(&lost, njobs, blast);
    lost_link(&lost, jobs);
    blast->order = mem_zero(lost.count + 1, sizeof *blast->order);
    for (size_t done = 0; done < lost.count; done++) {
        size_t next = next_of(&lost, jobs, blast);
        blast->order[done] = lost.jobs[next];
        lost.waits[next] = SIZE_MAX;
        for (size_t k = lost.first[next]; k < lost.first[next + 1]; k++)
            lost.waits[lost.users[k]]--;
    }
    lost_done(&lost);
}

void blast_of(const struct blast_job *jobs, size_t njobs, struct blast *ret)
{
    *ret = (struct blast){.outcomes = mem_zero(njobs + 1, sizeof *ret->outcomes)};
    for (size_t i = 0; i < njobs; i++)
        if (jobs[i].agreed)
            ret->outcomes[i] = judge(&jobs[i]);
    count_dependents(jobs, njobs, ret);
    sum_up(jobs, njobs, ret);
    make_order(jobs, njobs, ret);
}

void blast_done(struct blast *blast)
{
    free(blast->outcomes);
    free(blast->order);
    *blast = (struct blast){0};
}
