/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ready.h"

#include "jobs.h"
#include "reserve.h"
#include "rounds.h"
#include "weigh.h"
#include "workers.h"

#include <stdlib.h>

/* --- the heap of one group --- */

enum { CHILDREN = 4 }; /* half the levels of a binary heap, and siblings share cache lines */

/* The order of jobs_node_before() as two numbers. */
struct waiting ready_order(struct job *job)
{
    const struct node *lead = job->lead;
    uint32_t priority = (uint32_t)lead->priority ^ (uint32_t)1 << 31; /* signed to unsigned, order kept */
    return (struct waiting){
        .urgency = ~((uint64_t)priority << 32 | lead->remaining_seconds),
        .place = lead->plan->sequence << 32 | node_index(lead),
        .job = job,
    };
}

bool ready_before(const struct waiting *a, const struct waiting *b)
{
    return a->urgency != b->urgency ? a->urgency < b->urgency : a->place < b->place;
}

static void put(struct group *group, size_t slot, const struct waiting *entry)
{
    group->heap[slot] = *entry;
    entry->job->group_slot = (uint32_t)slot;
}

static size_t sift_up(struct group *group, size_t slot, const struct waiting *entry)
{
    while (slot > 0 && ready_before(entry, &group->heap[(slot - 1) / CHILDREN])) {
        put(group, slot, &group->heap[(slot - 1) / CHILDREN]);
        slot = (slot - 1) / CHILDREN;
    }
    return slot;
}

static size_t first_child(const struct group *group, size_t slot)
{
    size_t first = CHILDREN * slot + 1, best = first;
    for (size_t child = first + 1; child < first + CHILDREN && child < group->count; child++)
        if (ready_before(&group->heap[child], &group->heap[best]))
            best = child;
    return best;
}

static size_t sift_down(struct group *group, size_t slot, const struct waiting *entry)
{
    while (CHILDREN * slot + 1 < group->count) {
        size_t child = first_child(group, slot);
        if (!ready_before(&group->heap[child], entry))
            break;
        put(group, slot, &group->heap[child]);
        slot = child;
    }
    return slot;
}

static void heap_add(struct group *group, struct job *job)
{
    struct waiting entry = ready_order(job);
    group->heap = mem_reserve(group->heap, &group->capacity, group->count + 1, sizeof *group->heap);
    size_t slot = group->count++;
    put(group, sift_up(group, slot, &entry), &entry);
    job->group = group;
}

static void heap_remove(struct group *group, struct job *job)
{
    struct waiting last = group->heap[--group->count];
    size_t slot = job->group_slot;
    job->group = NULL;
    if (last.job != job)
        put(group, sift_down(group, sift_up(group, slot, &last), &last), &last);
}

struct job *ready_top(const struct group *group)
{
    return group->count > 0 ? group->heap[0].job : NULL;
}

/* --- groups by key --- */

static struct group *group_new(struct core *core, struct group *draft)
{
    struct group *group = mem_copy(draft, sizeof *draft);
    group->fresh = true;
    group->slot = core->ngroups;
    core->groups =
        mem_reserve(core->groups, &core->group_capacity, core->ngroups + 1, sizeof(struct group *));
    core->groups[core->ngroups++] = group;
    map_set(core->groups_by_key, view_of(group->key, group->key_size), group);
    return group;
}

static void group_release(struct group *group)
{
    free(group->taken);
    free(group->excluded);
    free(group->heap);
    free(group->key);
}

static void group_drop(struct core *core, struct group *group)
{
    map_remove(core->groups_by_key, view_of(group->key, group->key_size));
    struct group *last = core->groups[--core->ngroups];
    core->groups[group->slot] = last;
    last->slot = group->slot;
    group_release(group);
    free(group);
}

void ready_remove(struct core *core, struct job *job)
{
    struct group *group = job->group;
    if (group == NULL)
        return;
    reserve_release_job(core, job);
    heap_remove(group, job);
    if (group->count == 0)
        group_drop(core, group);
}

void ready_done(struct core *core)
{
    for (size_t i = 0; i < core->ngroups; i++) {
        group_release(core->groups[i]);
        free(core->groups[i]);
    }
    free(core->groups);
}

/* --- what a job asks of a worker --- */

static int by_number(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

static void draft_excluded(const struct core *core, const struct job *job, struct group *draft)
{
    draft->excluded = mem_alloc(core->nasked * sizeof *draft->excluded);
    for (size_t i = 0; i < core->nasked; i++) {
        const struct operator* operator= core->asked[i];
        if (weigh_is_excluded(job, operator) && (operator->anchor || !draft->anchors_only))
            draft->excluded[draft->nexcluded++] = operator->index;
    }
    qsort(draft->excluded, draft->nexcluded, sizeof *draft->excluded, by_number);
}

static int by_facts(const void *left, const void *right)
{
    return memcmp(left, right, sizeof(struct facts));
}

/* Facts of the votes for the leading answer, and of those that are at it: a further worker must differ from each. */
static void draft_taken(const struct job *job, struct group *draft)
{
    struct verdict verdict = rounds_verdict(job, job->lead->rules, job->round);
    size_t capacity = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        bool taken = lease->round == job->round && lease->state == LEASE_LIVE;
        for (const struct answer *a = lease->answers; a != NULL && lease->round == job->round; a = a->next)
            taken |= a->counted && a->failure == FAILURE_NONE && verdict.ngroups > 0 &&
                     digest_equal(&a->payload, &verdict.groups[0].payload);
        if (!taken)
            continue;
        draft->taken = mem_reserve(draft->taken, &capacity, draft->ntaken + 1, sizeof *draft->taken);
        draft->taken[draft->ntaken++] = lease->worker->facts;
    }
    if (draft->ntaken > 0)
        qsort(draft->taken, draft->ntaken, sizeof *draft->taken, by_facts);
}

static void draft_key(struct group *draft)
{
    size_t taken = draft->ntaken * sizeof *draft->taken,
           excluded = draft->nexcluded * sizeof *draft->excluded;
    uint32_t head[4] = {draft->demand->index, (uint32_t)draft->anchors_only | (uint32_t)draft->relaxed << 1,
                        draft->distinct, (uint32_t)draft->ntaken};
    draft->key_size = sizeof head + taken + excluded;
    char *at = draft->key = mem_alloc(draft->key_size);
    memcpy(at, head, sizeof head);
    if (taken > 0)
        memcpy(at + sizeof head, draft->taken, taken);
    if (excluded > 0)
        memcpy(at + sizeof head + taken, draft->excluded, excluded);
}

static struct group draft_group(const struct core *core, const struct job *job, bool relaxed)
{
    struct group draft = {
        .demand = job->lead->demand,
        .anchors_only = job->want_others == 0,
        .relaxed = relaxed,
        .distinct = relaxed ? 0 : job->lead->rules->distinct,
    };
    draft_excluded(core, job, &draft);
    if (draft.distinct != 0)
        draft_taken(job, &draft);
    draft_key(&draft);
    return draft;
}

void ready_place(struct core *core, struct job *job, bool relaxed)
{
    if (job->want == 0 || job->lead == NULL) {
        ready_remove(core, job);
        return;
    }
    weigh_collect(core, job);
    struct group draft = draft_group(core, job, relaxed);
    struct group *group = map_get(core->groups_by_key, view_of(draft.key, draft.key_size));
    if (group != NULL && group == job->group) {
        group_release(&draft);
        return;
    }
    ready_remove(core, job);
    if (group != NULL)
        group_release(&draft);
    else
        group = group_new(core, &draft);
    heap_add(group, job);
    /* Workers that hold out for something else may take what is more urgent. */
    group->fresh |= core->nreserved > 0 && ready_top(group) == job;
}

void ready_worker_left(struct core *core)
{
    for (size_t i = 0; i < core->ngroups; i++)
        core->groups[i]->fresh |= core->groups[i]->distinct != 0;
}

/* --- who may take it --- */

static bool is_excluded(const struct group *group, uint32_t operator_index)
{
    size_t low = 0, high = group->nexcluded;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (group->excluded[middle] == operator_index)
            return true;
        if (group->excluded[middle] < operator_index)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static bool differs(const struct group *group, const struct facts *facts)
{
    static const uint32_t bit[FACTS] = {DISTINCT_CPU_VENDOR, DISTINCT_KERNEL, DISTINCT_SITE};
    for (size_t f = 0; f < FACTS; f++) {
        if ((group->distinct & bit[f]) == 0)
            continue;
        if (facts->value[f] == 0)
            return false; /* unknown is distinct from nothing */
        for (size_t i = 0; i < group->ntaken; i++)
            if (group->taken[i].value[f] == facts->value[f])
                return false;
    }
    return true;
}

static bool may_take(const struct group *group, const struct worker *worker)
{
    return (worker->operator->anchor || !group->anchors_only) &&
           !is_excluded(group, worker->operator->index) &&
           (group->distinct == 0 || differs(group, &worker->facts));
}

bool ready_is_eligible(const struct core *core, const struct group *group, const struct worker *worker)
{
    return workers_is_free(core, worker) && workers_fits(worker, group->demand) && may_take(group, worker) &&
           reserve_allows(group, worker);
}

bool ready_could_be_eligible(const struct core *core, const struct group *group, const struct worker *worker)
{
    return workers_is_available(core, worker) && workers_could_fit(worker, group->demand) &&
           may_take(group, worker);
}
