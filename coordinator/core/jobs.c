/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "jobs.h"

#include "answers.h"
#include "graph.h"
#include "leases.h"
#include "lost.h"
#include "ready.h"
#include "rounds.h"

#include <assert.h>
#include <stdlib.h>

struct job *jobs_find(const struct core *core, const struct digest *key)
{
    return job_of_link(table_find(&core->jobs, key->bytes));
}

struct job *jobs_obtain(struct core *core, const struct digest *key)
{
    struct job *job = jobs_find(core, key);
    if (job != NULL)
        return job;
    job = mem_zero(1, sizeof *job);
    memcpy(job->link.key, key->bytes, sizeof job->link.key);
    job->round = 1;
    table_add(&core->jobs, &job->link);
    return job;
}

void jobs_free(struct job *job)
{
    for (struct claim *claim = job->claim.next, *next; claim != NULL; claim = next) {
        next = claim->next;
        free(claim);
    }
    free(job->lost);
    free(job);
}

/* --- forgetting --- */

static bool is_followed(const struct job *job)
{
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        if (claim->nodes != NULL)
            return true;
    return false;
}

static void note_idle(struct core *core, struct job *job)
{
    if (job->idle || is_followed(job))
        return;
    job->idle = true;
    core->idle_jobs =
        mem_reserve(core->idle_jobs, &core->idle_capacity, core->nidle_jobs + 1, sizeof *core->idle_jobs);
    core->idle_jobs[core->nidle_jobs++] = job;
}

static void forget(struct core *core, struct job *job)
{
    assert(job->lead == NULL && job->group == NULL && job->reserved == 0 && !job->dirty);
    for (struct lease *lease = job->leases, *next; lease != NULL; lease = next) {
        next = lease->job_next;
        leases_forget(core, lease);
    }
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        core->nexhausted -= claim->exhausted;
    lost_forget(core, job);
    table_remove(&core->jobs, &job->link);
    jobs_free(job);
}

void jobs_sweep(struct core *core)
{
    size_t kept = 0;
    for (size_t i = 0; i < core->nidle_jobs; i++) {
        struct job *job = core->idle_jobs[i];
        job->idle = !is_followed(job);
        if (job->idle && leases_have_worker(job))
            core->idle_jobs[kept++] = job;
        else if (job->idle)
            forget(core, job);
    }
    core->nidle_jobs = kept;
}

void jobs_touch(struct core *core, struct job *job)
{
    for (struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        for (struct node *node = claim->nodes; node != NULL; node = node->claim_next)
            graph_queue(core, node);
    if (job->dirty)
        return;
    job->dirty = true;
    core->dirty_jobs =
        mem_reserve(core->dirty_jobs, &core->dirty_capacity, core->ndirty_jobs + 1, sizeof *core->dirty_jobs);
    core->dirty_jobs[core->ndirty_jobs++] = job;
}

/* --- claims --- */

static struct claim *claim_obtain(struct job *job, const struct rules *rules)
{
    if (job->claim.rules == NULL)
        job->claim.rules = rules;
    struct claim *claim = &job->claim;
    while (claim->rules != rules && claim->next != NULL)
        claim = claim->next;
    if (claim->rules != rules) {
        claim->next = mem_zero(1, sizeof *claim);
        claim = claim->next;
        claim->rules = rules;
    }
    return claim;
}

void jobs_attach(struct core *core, struct node *node, struct job *job)
{
    struct claim *claim = claim_obtain(job, node->rules);
    node->job = job;
    node->claim = claim;
    node->claim_next = claim->nodes;
    claim->nodes = node;
    leases_charge_past(job, node->demand);
    jobs_refresh_round(core, node);
    rounds_judge(core, job, 0);
    jobs_touch(core, job);
}

void jobs_detach(struct core *core, struct node *node)
{
    jobs_demand(core, node, false);
    struct node **at = &node->claim->nodes;
    while (*at != node)
        at = &(*at)->claim_next;
    *at = node->claim_next;
    jobs_touch(core, node->job);
    note_idle(core, node->job);
    node->job = NULL;
    node->claim = NULL;
    node->claim_next = NULL;
    node->fresh_round = 0;
}

void jobs_refresh_round(struct core *core, struct node *node)
{
    struct job *job = node->job;
    if (!node->plan->from_scratch)
        return;
    bool old = job->round_started_ms != 0 && job->round_started_ms < node->plan->fresh_since_ms;
    if (old && job->round < ROUNDS_MAX) {
        job->round++;
        job->round_started_ms =
            core->now_ms > node->plan->fresh_since_ms ? core->now_ms : node->plan->fresh_since_ms;
    }
    node->fresh_round = job->round;
}

/* --- demand and order --- */

bool jobs_node_before(const struct node *a, const struct node *b)
{
    if (a->priority != b->priority)
        return a->priority > b->priority;
    if (a->remaining_seconds != b->remaining_seconds)
        return a->remaining_seconds > b->remaining_seconds;
    if (a->plan != b->plan)
        return a->plan->sequence < b->plan->sequence;
    return a < b;
}

uint32_t jobs_demanding(const struct job *job)
{
    uint32_t n = 0;
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        n += claim->demanding;
    return n;
}

static struct node *most_urgent(const struct job *job)
{
    struct node *best = NULL;
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        for (struct node *node = claim->nodes; node != NULL; node = node->claim_next)
            if (node->demanding && (best == NULL || jobs_node_before(node, best)))
                best = node;
    return best;
}

void jobs_demand(struct core *core, struct node *node, bool demanding)
{
    struct job *job = node->job;
    if (node->demanding == demanding)
        return;
    node->demanding = demanding;
    node->claim->demanding += demanding ? 1 : (uint32_t)-1;
    ready_remove(core, job); /* its order may change, which its heap must not see */
    if (!demanding && job->lead == node)
        job->lead = most_urgent(job);
    else if (demanding && (job->lead == NULL || jobs_node_before(node, job->lead)))
        job->lead = node;
    jobs_touch(core, job);
}

/* --- the past --- */

static void replay(struct core *core, struct job *job, const struct core_past_lease *past)
{
    struct lease *lease = leases_restore(core, job, past);
    if (past->has_answer)
        answers_restore(core, lease, past);
    if (past->round > job->round) {
        job->round = past->round;
        job->round_started_ms = 0;
    }
    if (past->round == job->round &&
        (job->round_started_ms == 0 || lease->granted_ms < job->round_started_ms))
        job->round_started_ms = lease->granted_ms;
}

int jobs_history(struct core *core, const struct core_event *event, struct diag *diag)
{
    if (jobs_find(core, &event->key) != NULL)
        return 0;
    for (size_t i = 0; i < event->npast; i++)
        if (event->past[i].round < 1 || event->past[i].round > ROUNDS_MAX)
            return diag_set(diag, FARM_E_CORRUPT, "job %s: recorded round %u; 1 to %d are possible",
                            digest_hex(&event->key).text, event->past[i].round, ROUNDS_MAX);
    struct job *job = jobs_obtain(core, &event->key);
    for (size_t i = 0; i < event->npast; i++)
        replay(core, job, &event->past[i]);
    job->settled_rounds |= event->settled_rounds;
    rounds_judge(core, job, 0);
    jobs_touch(core, job);
    note_idle(core, job); /* until the node that it is fed for follows it, if it is fed for one */
    return 0;
}
