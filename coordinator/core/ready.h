/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Ready: the jobs that want a worker, in groups.
 *
 * A group holds the jobs that exactly the same workers could take: equal demand on the machine, equally open to all or to
 * anchors alone, the same operators excluded (they voted, are at it, or rest from it). So what is true of one is
 * true of all: if a search of the pool found nobody for a group, it is *barren*, and nobody searches again
 * until a worker may take more than before; and then only that worker is looked at. That is what keeps the cost of an
 * event apart from how many jobs wait and how many workers there are. There are few groups: as many as there are
 * resource classes, times the handful of jobs that are half staffed at any time.
 *
 * Within a group, a heap with four children per entry: priority, then the longest way to the end, then the order of plans.
 */
#ifndef FARM_CORE_READY_H
#define FARM_CORE_READY_H

#include "state.h"

/* A waiting job with its place in the order (smaller is earlier), beside it so that comparing touches nothing else. */
struct waiting {
    uint64_t urgency, place;
    struct job *job;
};

struct group {
    const struct demand *demand;
    bool anchors_only;
    bool relaxed;      /* nobody at all could differ as the rules ask: asked regardless */
    bool fresh;        /* the pool was not searched yet */
    bool offered;      /* a touched worker could take its jobs */
    uint32_t distinct; /* rules.distinct; then 'taken' are facts that a worker must differ from */
    struct facts *taken;
    size_t ntaken;
    uint32_t *excluded; /* operator indices, ascending */
    size_t nexcluded;
    struct waiting *heap;
    size_t count, capacity;
    size_t slot; /* in core.groups */
    void *key;   /* all of the above as bytes */
    size_t key_size;
};

/* Puts the job where its wants say (after weigh_job()), or nowhere if it wants nobody. */
void ready_place(struct core *core, struct job *job, bool relaxed);
void ready_remove(struct core *core, struct job *job);
/* Where the job stands in the order; false if 'b' comes first. */
struct waiting ready_order(struct job *job);
bool ready_before(const struct waiting *a, const struct waiting *b);
/* The most urgent job of the group. */
struct job *ready_top(const struct group *group);
/* Whether the worker may take the group's jobs, now. */
bool ready_is_eligible(const struct core *core, const struct group *group, const struct worker *worker);
/* The same, whatever the worker is doing now. */
bool ready_could_be_eligible(const struct core *core, const struct group *group, const struct worker *worker);
/* Fewer workers than before: groups that wait for particular ones are searched again. */
void ready_worker_left(struct core *core);
void ready_done(struct core *core);

#endif
