/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "schedule.h"

#include "jobs.h"
#include "leases.h"
#include "ready.h"
#include "reserve.h"
#include "weigh.h"
#include "workers.h"

/* With one eligible worker in ten, 16 tries fail once in five draws; then a walk is cheap beside the grant itself. */
enum { DRAW_TRIES = 16 };

/* 0 <= result < n; the bias of the multiplication is n / 2^32. */
static size_t draw_number(struct core *core, size_t n)
{
    uint32_t random;
    core->config.random(core->config.random_context, &random, sizeof random);
    return (size_t)((uint64_t)random * n >> 32);
}

/* Keeps one of the eligible seen so far, each with the same chance. */
struct reservoir {
    struct worker *kept;
    size_t seen;
};

static void consider(struct core *core, const struct group *group, struct worker *worker,
                     struct reservoir *reservoir)
{
    if (!ready_is_eligible(core, group, worker))
        return;
    if (draw_number(core, ++reservoir->seen) == 0)
        reservoir->kept = worker;
}

static struct worker *draw_touched(struct core *core, const struct group *group)
{
    struct reservoir reservoir = {0};
    for (size_t i = 0; i < core->ntouched; i++)
        consider(core, group, core->touched[i], &reservoir);
    return reservoir.kept;
}

static struct worker *at(const struct core *core, size_t index)
{
    const struct pool *anchors = &core->pools[1];
    return index < anchors->count ? anchors->items[index] : core->pools[0].items[index - anchors->count];
}

static struct worker *draw_pool(struct core *core, const struct group *group)
{
    size_t n = core->pools[1].count + (group->anchors_only ? 0 : core->pools[0].count);
    for (int i = 0; i < DRAW_TRIES && n > DRAW_TRIES; i++) {
        struct worker *worker = at(core, draw_number(core, n));
        if (ready_is_eligible(core, group, worker))
            return worker;
    }
    struct reservoir reservoir = {0};
    for (size_t i = 0; i < n; i++)
        consider(core, group, at(core, i), &reservoir);
    return reservoir.kept;
}

static void place_dirty(struct core *core)
{
    while (core->ndirty_jobs > 0) {
        struct job *job = core->dirty_jobs[--core->ndirty_jobs];
        job->dirty = false;
        weigh_job(core, job);
        ready_place(core, job, false);
    }
}

/* Marks the groups that some touched worker could take from. Done once a step, unless a grant frees workers that held
 * out for the granted job. */
static void offer_touched(struct core *core)
{
    if (!core->offer_again)
        return;
    core->offer_again = false;
    for (size_t i = 0; i < core->ntouched; i++)
        for (size_t k = 0; k < core->ngroups && core->touched[i]->pool_slot != 0; k++)
            if (!core->groups[k]->offered && ready_is_eligible(core, core->groups[k], core->touched[i]))
                core->groups[k]->offered = true;
}

static struct group *most_urgent(const struct core *core)
{
    struct group *best = NULL;
    for (size_t i = 0; i < core->ngroups; i++) {
        struct group *group = core->groups[i];
        if ((group->fresh || group->offered) &&
            (best == NULL || ready_before(&group->heap[0], &best->heap[0])))
            best = group;
    }
    return best;
}

static bool anybody_differs(const struct core *core, const struct group *group)
{
    for (size_t i = 0; i < core->nworkers; i++)
        if (ready_could_be_eligible(core, group, core->workers[i]))
            return true;
    return false;
}

/*
 * The rules want votes that differ in some fact, and no worker here does (asking for differing anchors, say, where all
 * anchors are alike). Others may still bring what is missing together, so they are asked.
 */
static void relax(struct core *core, struct group *group)
{
    size_t left = group->count;
    while (left-- > 0) /* the last removal frees the group */
        ready_place(core, ready_top(group), true);
}

static void give_up(struct core *core, struct group *group)
{
    bool searched = group->fresh;
    group->fresh = group->offered = false;
    if (searched && group->distinct != 0 && !anybody_differs(core, group))
        relax(core, group);
}

static void forget_touched(struct core *core)
{
    for (size_t i = 0; i < core->ntouched; i++)
        core->touched[i]->touched = false;
    core->ntouched = 0;
}

void schedule_run(struct core *core)
{
    place_dirty(core);
    if (core->held) {
        forget_touched(core);
        return;
    }
    offer_touched(core);
    for (struct group *group = most_urgent(core); group != NULL; group = most_urgent(core)) {
        struct worker *worker = group->fresh ? draw_pool(core, group) : draw_touched(core, group);
        if (worker == NULL) {
            give_up(core, group);
            continue;
        }
        struct job *owed = reserve_owed(core, group, worker);
        if (owed != NULL) {
            reserve_make(core, worker, owed);
            continue;
        }
        struct job *job = ready_top(group);
        ready_remove(core, job);
        leases_grant(core, job, worker);
        place_dirty(core);
        offer_touched(core);
    }
    forget_touched(core);
}
