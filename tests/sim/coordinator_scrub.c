/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the store lost: see net/scrub.c and net/lost.c. The real one goes by objects, this one by the payloads that need them. */
#include "sim.h"

#include <stdlib.h>

struct loss {
    struct digest job, payload;
};

static struct loss loss_of(const struct row_answer *answer)
{
    return (struct loss){answer->lease->job->key, answer->answer.payload};
}

static bool is_listed(const struct world *world, const struct row_answer *answer)
{
    struct loss loss = loss_of(answer);
    return map_get(world->coordinator.lost, view_of(&loss, sizeof loss)) != NULL;
}

static void list(struct world *world, const struct row_answer *answer, bool lost)
{
    struct loss loss = loss_of(answer);
    struct view key = view_of(&loss, sizeof loss);
    if (lost)
        map_set(world->coordinator.lost, key, world);
    else
        (void)map_remove(world->coordinator.lost, key);
}

static bool is_missing(const struct world *world, const struct row_answer *answer)
{
    return !objects_has(&world->objects, &answer->answer.payload) ||
           !objects_has(&world->objects, &answer->answer.tar);
}

/* Those whose objects are not here, or were not when it last looked. */
static size_t collect(const struct world *world, struct row_answer ***ret)
{
    struct row_answer **found = NULL;
    size_t n = 0, capacity = 0;
    struct view key;
    void *value;
    for (size_t cursor = 0; map_next(world->db.answers, &cursor, &key, &value);) {
        struct row_answer *answer = value;
        if (answer->answer.failure != FAILURE_NONE ||
            (!is_missing(world, answer) && !is_listed(world, answer)))
            continue;
        found = mem_reserve(found, &capacity, n + 1, sizeof(struct row_answer *));
        found[n++] = answer;
    }
    *ret = found;
    return n;
}

static void feed(struct world *world, enum core_event_type type, const struct row_answer *answer)
{
    struct core_event event = {.type = type, .key = answer->lease->job->key};
    event.answer.payload = answer->answer.payload;
    (void)coordinator_feed(world, &event, NULL);
}

/* A plan that has left memory comes back for it, unless one is there that has the job. */
static void recall(struct world *world, const struct row_job *job)
{
    size_t found = PLANS;
    for (size_t p = 0; p < PLANS; p++) {
        const struct sim_plan *plan = &world->plans.items[p];
        if (!job->of_plan[p] || !plan->started || plan->state == PLAN_CANCELLED)
            continue;
        if (!plan->forgotten)
            return;
        found = p;
    }
    if (found < PLANS)
        coordinator_start_plan(world, found, world->plans.items[found].from_scratch,
                               world->plans.items[found].started_wall_ms);
}

static void look_at(struct world *world, const struct row_answer *answer)
{
    if (is_missing(world, answer)) {
        list(world, answer, true);
        recall(world, answer->lease->job);
        feed(world, CORE_PAYLOAD_LOST, answer);
    } else if (is_listed(world, answer)) { /* as before the answer next to it brought it back */
        list(world, answer, false);
        feed(world, CORE_PAYLOAD_BACK, answer);
    }
}

void coordinator_scrub(struct world *world)
{
    CLEANUP_FREE struct row_answer **answers = NULL;
    size_t n = (world->faults & FAULT_ROT) != 0 ? collect(world, &answers) : 0;
    for (size_t i = 0; i < n && !world->coordinator.dying; i++)
        look_at(world, answers[i]);
}

void coordinator_find_lost(struct world *world)
{
    CLEANUP_FREE struct row_answer **answers = NULL;
    size_t n = (world->faults & FAULT_ROT) != 0 ? collect(world, &answers) : 0;
    for (size_t i = 0; i < n; i++)
        list(world, answers[i], true);
}

void coordinator_tell_lost(struct world *world, const struct row_job *job)
{
    for (size_t i = 0; i < job->answers.count && map_count(world->coordinator.lost) > 0; i++) {
        const struct row_answer *answer = job->answers.items[i];
        if (answer->answer.failure == FAILURE_NONE && is_listed(world, answer))
            feed(world, CORE_PAYLOAD_LOST, answer);
    }
}
