/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Pool: threads for work that would hold up the loop: hashing, signature checks, imports, fetches, planning.
 *
 * A task gets its input by value, shares nothing with the loop while it runs, and is finished on the loop's
 * thread: pool_finish() calls each task's done(). Tasks start in the order of submission, but for the few that go first.
 *
 * A thread cannot be ended from outside. So a task that may take long asks pool_check() between two objects, or from a transfer's callback, and
 * ends when it says so; then the pool can be freed within the time of one object.
 */
#ifndef FARM_POOL_H
#define FARM_POOL_H

#include "diag.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Embedded as the first member of whatever the task needs; owned by the submitter until done() has been called.
 * When the pool is freed, done() is called for tasks that never ran: a task's result starts as -ECANCELED.
 */
struct pool;
struct pool_task {
    void (*run)(struct pool_task *task);                 /* on a pool thread */
    void (*done)(struct pool_task *task, void *context); /* on the loop's thread; frees the task */
    bool background;   /* nobody is sorry if it ends as soon as the coordinator leaves */
    struct pool *pool; /* the pool's, as what follows */
    struct pool_task *next;
    int64_t submitted_us; /* monotonic clock */
};

int pool_new(unsigned int threads, void *done_context, struct pool **ret, struct diag *diag) MUST_USE;
/* From now on pool_check() tells background tasks to end; others may take the time that is left until the pool is freed. */
void pool_leave(struct pool *pool);
/* In a task that runs: -ECANCELED if it is to end now. The task is the context, so that this is a callback of transfers, too. */
int pool_check(void *task, struct diag *diag) MUST_USE;
/* Tells all running tasks to end, and waits for them; those not started are finished without having run. Accepts NULL, returns NULL. */
struct pool *pool_free(struct pool *pool);
void pool_submit(struct pool *pool, struct pool_task *task);
/* Before all that wait: for what is short, and what everybody waits for. */
void pool_submit_first(struct pool *pool, struct pool_task *task);
/* Becomes readable when tasks are finished. Borrowed. */
int pool_fd(const struct pool *pool);
/* Calls done() for all finished tasks; returns how many. */
size_t pool_finish(struct pool *pool);
struct pool_stats {
    size_t waiting;     /* no thread has taken them yet */
    uint64_t started;   /* since the pool was made */
    uint64_t waited_us; /* all of those together, before they were taken */
};
struct pool_stats pool_stats(struct pool *pool);
/* Tasks submitted and not yet done. */
size_t pool_pending(const struct pool *pool);

#endif
