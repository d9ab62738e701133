/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "reserve.h"

#include "workers.h"

struct job *reserve_owed(const struct core *core, const struct group *group, const struct worker *worker)
{
    const struct waiting *best = &group->heap[0];
    struct job *owed = NULL;
    for (size_t i = 0; i < core->ngroups; i++) {
        const struct group *other = core->groups[i];
        const struct waiting *first = &other->heap[0];
        if (other != group && ready_before(first, best) && first->job->reserved < first->job->want &&
            first->job != worker->reserved_for && !workers_fits(worker, other->demand) &&
            ready_could_be_eligible(core, other, worker)) {
            best = first;
            owed = first->job;
        }
    }
    return owed;
}

static void drop(struct core *core, size_t index)
{
    struct worker *worker = core->reserved[index];
    worker->reserved_for->reserved--;
    worker->reserved_for = NULL;
    core->reserved[index] = core->reserved[--core->nreserved];
}

void reserve_make(struct core *core, struct worker *worker, struct job *job)
{
    reserve_release_worker(core, worker); /* it held out for something less urgent */
    core->reserved =
        mem_reserve(core->reserved, &core->reserved_capacity, core->nreserved + 1, sizeof(struct worker *));
    core->reserved[core->nreserved++] = worker;
    worker->reserved_for = job;
    job->reserved++;
}

void reserve_release_job(struct core *core, struct job *job)
{
    for (size_t i = core->nreserved; i > 0 && job->reserved > 0; i--) {
        struct worker *worker = core->reserved[i - 1];
        if (worker->reserved_for != job)
            continue;
        drop(core, i - 1);
        workers_touch(core, worker);
    }
}

void reserve_release_worker(struct core *core, struct worker *worker)
{
    for (size_t i = 0; i < core->nreserved && worker->reserved_for != NULL; i++)
        if (core->reserved[i] == worker)
            drop(core, i);
}

bool reserve_allows(const struct group *group, const struct worker *worker)
{
    if (worker->reserved_for == NULL || worker->reserved_for == group->heap[0].job)
        return true;
    struct waiting held = ready_order(worker->reserved_for);
    return ready_before(&group->heap[0], &held);
}
