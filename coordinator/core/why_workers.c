/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Who is not asked, and why: each worker has its first obstacle, in the order in which the scheduler would meet them, and
 * workers with the same obstacle are named together. Walks all workers: for people, not for the loop.
 */
#include "why_workers.h"

#include "ready.h"
#include "workers.h"

enum obstacle {
    OBSTACLE_VOTED,
    OBSTACLE_AT_IT,
    OBSTACLE_USED_UP,
    OBSTACLE_RESTS_FROM_IT,
    OBSTACLE_FLAGGED,
    OBSTACLE_NOT_ANCHOR,
    OBSTACLE_ALIKE,
    OBSTACLE_OFFLINE,
    OBSTACLE_PAUSED,
    OBSTACLE_RESTING,
    OBSTACLE_MEMORY,
    OBSTACLE_DISK,
    OBSTACLE_BUSY,
    OBSTACLE_NONE,
    OBSTACLE_LAST
};

/* Names listed of each kind. */
enum { LISTED_MAX = 6 };

static const char *const sentences[OBSTACLE_LAST] = {
    [OBSTACLE_VOTED] = "their operator has answered already",
    [OBSTACLE_AT_IT] = "their operator is at work on it",
    [OBSTACLE_USED_UP] = "their operator failed it too often for reasons of its own",
    [OBSTACLE_RESTS_FROM_IT] = "their operator just failed it for reasons of its own; others come first",
    [OBSTACLE_FLAGGED] =
        "their operator is flagged and gets no leases (farmctl worker list says why; clear it there)",
    [OBSTACLE_NOT_ANCHOR] = "not anchors, and the places that are left are for anchors",
    [OBSTACLE_ALIKE] = "not different enough from those that answered or are at work, as the policy asks",
    [OBSTACLE_OFFLINE] = "offline",
    [OBSTACLE_PAUSED] = "paused",
    [OBSTACLE_RESTING] = "resting after failing several leases in a row",
    [OBSTACLE_MEMORY] = "too little memory for it",
    [OBSTACLE_DISK] = "too little disk space for it",
    [OBSTACLE_BUSY] = "busy; it is asked when there is room",
    [OBSTACLE_NONE] = "free, and asked next",
};

/* The operator's part in this round, without the scratch fields: explaining changes nothing. */
static enum obstacle operator_obstacle(const struct job *job, const struct operator* operator, int64_t now_ms)
{
    uint32_t troubles = 0, limit = job->lead->rules->max_attempts;
    bool rests = false;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        if (lease->round != job->round || lease->worker->operator!= operator)
            continue;
        for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next)
            if (answer->counted)
                return OBSTACLE_VOTED;
        if (lease->occupying)
            return OBSTACLE_AT_IT;
        troubles += lease->trouble && !lease->forgiven;
        rests |= lease->trouble && !lease->forgiven && lease->timer.kind == TIMER_RETRY &&
                 timer_is_set(&lease->timer.timer) && lease->timer.timer.at_ms > now_ms;
    }
    if (troubles >= limit)
        return OBSTACLE_USED_UP;
    return rests ? OBSTACLE_RESTS_FROM_IT : OBSTACLE_NONE;
}

static enum obstacle machine_obstacle(const struct core *core, const struct job *job,
                                      const struct worker *worker)
{
    const struct demand *demand = job->lead->demand;
    if (!worker->online)
        return OBSTACLE_OFFLINE;
    if (worker->paused)
        return OBSTACLE_PAUSED;
    if (worker->resting_until_ms > core->now_ms)
        return OBSTACLE_RESTING;
    if (demand->memory_bytes > worker->capacity.memory_bytes)
        return OBSTACLE_MEMORY;
    if (demand->disk_bytes > worker->capacity.disk_bytes)
        return OBSTACLE_DISK;
    return workers_is_free(core, worker) && workers_fits(worker, demand) ? OBSTACLE_NONE : OBSTACLE_BUSY;
}

static enum obstacle obstacle_of(const struct core *core, const struct job *job, const struct worker *worker,
                                 int64_t now_ms)
{
    enum obstacle obstacle = operator_obstacle(job, worker->operator, now_ms);
    if (obstacle != OBSTACLE_NONE)
        return obstacle;
    if (worker->operator->flagged)
        return OBSTACLE_FLAGGED;
    if (job->want_others == 0 && !worker->operator->anchor)
        return OBSTACLE_NOT_ANCHOR;
    obstacle = machine_obstacle(core, job, worker);
    bool alike = job->group != NULL && job->group->distinct != 0 && workers_is_available(core, worker) &&
                 !ready_could_be_eligible(core, job->group, worker);
    return alike && (obstacle == OBSTACLE_NONE || obstacle == OBSTACLE_BUSY) ? OBSTACLE_ALIKE : obstacle;
}

static void say_size(const struct job *job, struct buf *ret)
{
    const struct demand *demand = job->lead->demand;
    buf_add_format(ret, "It asks a worker for %u core%s, %.1f GiB of memory and %.1f GiB of disk.\n",
                   demand->cores, demand->cores == 1 ? "" : "s", (double)demand->memory_bytes / (1 << 30),
                   (double)demand->disk_bytes / (1 << 30));
}

static void say_kind(const struct core *core, const struct job *job, enum obstacle kind, int64_t now_ms,
                     struct buf *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < core->nworkers; i++) {
        const struct worker *worker = core->workers[i];
        if (!worker->admitted || worker->revoked || obstacle_of(core, job, worker, now_ms) != kind)
            continue;
        if (n++ < LISTED_MAX)
            buf_add_format(ret, "%s%s of %s", n == 1 ? "  " : ", ", worker->name, worker->operator->name);
    }
    if (n > LISTED_MAX)
        buf_add_format(ret, " and %zu more", n - LISTED_MAX);
    if (n > 0)
        buf_add_format(ret, ": %s.\n", sentences[kind]);
}

/* Operators that could still give an answer some day. */
static size_t count_hopes(const struct core *core, const struct job *job, int64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < core->noperators; i++) {
        const struct operator* operator= core->operators[i];
        enum obstacle obstacle = operator_obstacle(job, operator, now_ms);
        n += operator->workers> 0 && !operator->flagged &&(obstacle == OBSTACLE_NONE ||
                                                           obstacle == OBSTACLE_RESTS_FROM_IT) &&
             (operator->anchor || job->want_others> 0);
    }
    return n;
}

void why_workers(const struct core *core, const struct job *job, int64_t now_ms, struct buf *ret)
{
    bool anchors_only = job->want_others == 0;
    buf_add_format(ret, "It wants %u more %s%s asked. The workers:\n", job->want,
                   anchors_only ? "anchor operator" : "operator", job->want == 1 ? "" : "s");
    for (int kind = 0; kind < OBSTACLE_LAST; kind++)
        say_kind(core, job, (enum obstacle)kind, now_ms, ret);
    if (core->nworkers == 0)
        buf_add_text(ret, "  none is admitted\n");
    say_size(job, ret);
    size_t hopes = count_hopes(core, job, now_ms);
    if (hopes == 0)
        buf_add_text(ret, "No operator is left that could answer: admit workers of further operators.\n");
    else if (hopes < job->want)
        buf_add_format(ret, "Only %zu %s left that could ever answer: admit workers of further %s.\n", hopes,
                       hopes == 1 ? "operator is" : "operators are",
                       anchors_only ? "anchor operators" : "operators");
}
