/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One job after a turn: what its rows say, counted anew, against what is recorded and what the core makes of it. */
#include "count.h"
#include "sim.h"

/* The answer that stands for an operator: built before failed, blind before open, early before late. NULL: none, or two digests. */
static const struct row_answer *vote_of(const struct row_answer *const *said, size_t n)
{
    const struct row_answer *best = NULL;
    bool best_open = false;
    for (size_t i = 0; i < n; i++) {
        const struct row_answer *answer = said[i];
        bool built = answer->answer.failure == FAILURE_NONE;
        bool open = db_is_open(answer->lease->job, answer->lease->round, answer->position);
        bool best_built = best != NULL && best->answer.failure == FAILURE_NONE;
        if (built && best_built && !digest_equal(&answer->answer.payload, &best->answer.payload))
            return NULL;
        if (best != NULL && (built < best_built || (built == best_built && (open || !best_open))))
            continue;
        best = answer;
        best_open = open;
    }
    return best;
}

static void check_vote(struct world *world, const struct row_job *job, const struct row_vote *row)
{
    enum { SAID_MAX = 256 };
    const struct row_answer *said[SAID_MAX];
    size_t n = count_said(world, job, row->round, row->operator_index, said, SAID_MAX);
    const struct row_answer *vote = vote_of(said, n);
    bool same = vote == NULL ? digest_is_zero(&row->envelope)
                             : digest_equal(&row->envelope, &vote->envelope) &&
                                   row->open == db_is_open(job, row->round, vote->position);
    if (!same)
        world_fail(world, INVARIANT_ONE_VOTE, "the recorded vote of operator %s is not what its answers say",
                   world->operators[row->operator_index].name);
}

/* Whoever said something that counts has a row. */
static void check_has_row(struct world *world, const struct row_job *job, const struct row_answer *answer)
{
    size_t operator_index = world->workers[answer->lease->worker].operator_index;
    for (size_t i = 0; i < job->votes.count; i++) {
        const struct row_vote *row = job->votes.items[i];
        if (row->operator_index == operator_index && row->round == answer->lease->round)
            return;
    }
    world_fail(world, INVARIANT_ONE_VOTE, "operator %s answered and has no vote",
               world->operators[operator_index].name);
}

/* The core has the same payload, or none, for each plan that follows the job. */
static void check_view(struct world *world, struct row_job *job, size_t p, enum invariant invariant)
{
    const struct sim_plan *plan = &world->plans.items[p];
    struct core_node_view view;
    struct digest payload;
    if (!core_node(world->coordinator.core, &plan->id, job->node, &view) || !view.keyed ||
        !digest_equal(&view.key, &job->key))
        return;
    bool agreed = count_agreed(world, job, p, &payload);
    if (agreed != view.has_payload || (agreed && !digest_equal(&payload, &view.payload)))
        world_fail(world, invariant, "%s: for the core it is %s, and the recorded answers say %s", view.id,
                   view.has_payload ? "agreed" : "not agreed",
                   agreed ? "agreed, or another payload" : "it is not");
}

void judge_job(struct world *world, struct row_job *job, enum invariant invariant)
{
    for (size_t p = 0; p < PLANS; p++)
        check_view(world, job, p, invariant);
    for (size_t i = 0; i < job->votes.count; i++)
        check_vote(world, job, job->votes.items[i]);
    for (size_t i = 0; i < job->answers.count; i++)
        if (count_counts(job->answers.items[i]))
            check_has_row(world, job, job->answers.items[i]);
}
