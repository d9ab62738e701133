/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Check: every invariant of core.h and of the data, the slow way round: recounted from what the counters are about.
 * For tests and the simulator, which call it after every step.
 */
#include "graph.h"
#include "jobs.h"
#include "lost.h"
#include "ready.h"
#include "rounds.h"
#include "workers.h"

#include <stdlib.h>

#define WRONG(diag, ...) diag_set(diag, FARM_E_CORRUPT, __VA_ARGS__)

/* --- plans --- */

static int check_counters(const struct node *node, struct diag *diag)
{
    size_t n;
    uint32_t unsettled = 0, broken = 0;
    const uint32_t *dependencies = graph_dependencies(node, &n);
    for (size_t i = 0; i < n; i++) {
        unsettled += !node->plan->nodes[dependencies[i]].solid;
        broken += node->plan->nodes[dependencies[i]].bad;
    }
    if (unsettled != node->unsettled || broken != node->broken)
        return WRONG(diag, "%s: counts %u unsettled and %u broken dependencies, has %u and %u", node->id,
                     node->unsettled, node->broken, unsettled, broken);
    return 0;
}

/* What stands on agreed payloads was derived from those very payloads. */
static int check_derivation(const struct node *node, struct diag *diag)
{
    size_t n;
    const uint32_t *closure = graph_closure(node, &n);
    CLEANUP_FREE struct digest *payloads = mem_alloc(n * sizeof *payloads);
    for (size_t i = 0; i < n; i++) {
        const struct node *below = &node->plan->nodes[closure[i]];
        if (!below->solid)
            return WRONG(diag, "%s is %s, but %s of its closure is not settled", node->id,
                         node_state_name(node->state), below->id);
        payloads[i] = below->claim->payload;
    }
    struct digest fingerprint = digest_of(view_of(payloads, n * sizeof *payloads));
    if (!digest_equal(&fingerprint, &node->fingerprint))
        return WRONG(diag, "%s was derived from other payloads than its closure has now", node->id);
    return 0;
}

static int check_node(const struct node *node, struct diag *diag)
{
    bool keyed = node->job != NULL;
    bool demanding = keyed && node->unsettled == 0 && node->broken == 0 && node->refusal == NULL &&
                     !node->shaken && node->plan->state != PLAN_CANCELLED;
    int r = check_counters(node, diag);
    if (r < 0)
        return r;
    if (node->state != graph_judge(node))
        return WRONG(diag, "%s is %s and should be %s", node->id, node_state_name(node->state),
                     node_state_name(graph_judge(node)));
    if (node->queued)
        return WRONG(diag, "%s was left on the queue", node->id);
    if (node->demanding != demanding)
        return WRONG(diag, "%s: demand is not what it should be", node->id);
    if (node->solid && (!keyed || node->unsettled > 0 || !node->claim->has_payload))
        return WRONG(diag, "%s is solid without cause", node->id);
    if (keyed && lost_is(node->job, node->claim) && (node->solid || node->state == NODE_AGREED))
        return WRONG(diag, "%s is built upon, and its payload's bytes are lost", node->id);
    if (node->state == NODE_WAITING && node->unsettled == 0 && node->plan->state != PLAN_CANCELLED)
        return WRONG(diag, "%s waits for nothing", node->id);
    if (node->state == NODE_DERIVING && keyed)
        return WRONG(diag, "%s has a key and is being derived", node->id);
    return node->solid || node->demanding ? check_derivation(node, diag) : 0;
}

static int check_plan(const struct plan *plan, struct diag *diag)
{
    uint32_t count[NODE_BLOCKED + 1] = {0}, solid = 0;
    for (uint32_t i = 0; i < plan->nnodes; i++) {
        int r = check_node(&plan->nodes[i], diag);
        if (r < 0)
            return r;
        count[plan->nodes[i].state]++;
        solid += plan->nodes[i].solid;
    }
    if (memcmp(count, plan->count, sizeof count) != 0 || solid != plan->nsolid)
        return WRONG(diag, "a plan's counts of its nodes are wrong");
    bool done = count[NODE_AGREED] == plan->nnodes && solid == plan->nnodes;
    if (plan->state != PLAN_CANCELLED && done != (plan->state == PLAN_DONE))
        return WRONG(diag, "a plan is %s, and %u of %u nodes are agreed", plan_state_name(plan->state),
                     count[NODE_AGREED], plan->nnodes);
    return 0;
}

/* --- jobs --- */

static int check_pair(const struct lease *a, const struct lease *b, struct diag *diag)
{
    if (a == b || a->round != b->round || a->worker->operator!= b->worker->operator)
        return 0;
    if (a->state == LEASE_LIVE && b->state == LEASE_LIVE)
        return WRONG(diag, "operator %s has two live leases on one job", a->worker->operator->name);
    for (const struct answer *x = a->answers; x != NULL; x = x->next)
        for (const struct answer *y = b->answers; y != NULL; y = y->next)
            if (x->outvoted && y->outvoted)
                return WRONG(diag, "operator %s is outvoted twice on one job", a->worker->operator->name);
    return 0;
}

static int check_answers(const struct lease *lease, struct diag *diag)
{
    for (const struct answer *answer = lease->answers; answer != NULL; answer = answer->next) {
        bool infrastructure = answer->failure == FAILURE_INFRASTRUCTURE;
        if (answer->counted != (!infrastructure && !answer->is_void))
            return WRONG(diag, "an answer of %s %s", lease->worker->name,
                         answer->counted ? "is void and counts" : "does not count, and nobody voided it");
        if (answer->outvoted && !answer->counted)
            return WRONG(diag, "%s is outvoted by an answer that does not count", lease->worker->name);
    }
    return 0;
}

static int check_leases(const struct job *job, struct diag *diag)
{
    uint32_t live = 0;
    for (const struct lease *lease = job->leases; lease != NULL; lease = lease->job_next) {
        live += lease->state == LEASE_LIVE;
        if (lease->state == LEASE_LIVE && (!lease->occupying || !timer_is_set(&lease->timer.timer)))
            return WRONG(diag, "a live lease of %s cannot end by itself", lease->worker->name);
        int r = check_answers(lease, diag);
        for (const struct lease *other = lease; other != NULL && r >= 0; other = other->job_next)
            r = check_pair(lease, other, diag);
        if (r < 0)
            return r;
    }
    return live == job->live ? 0 : WRONG(diag, "a job counts %u live leases and has %u", job->live, live);
}

/* No verdict but what the function says; no payload that no round agreed on. */
static int check_claim(const struct job *job, const struct claim *claim, struct diag *diag)
{
    struct verdict verdict = rounds_verdict(job, claim->rules, job->round);
    uint32_t demanding = 0;
    if (claim->told != verdict.state || !digest_equal(&claim->told_payload, &verdict.payload) ||
        claim->missing != verdict.missing)
        return WRONG(diag, "a verdict is %s, and the votes say %s", verdict_state_name(claim->told),
                     verdict_state_name(verdict.state));
    struct verdict_rounds all = rounds_verdict_of_all(job, claim->rules);
    if (claim->has_payload != all.agreed || (all.agreed && !digest_equal(&claim->payload, &all.payload)))
        return WRONG(diag, "a job's payload is not what its rounds agreed on");
    for (const struct node *node = claim->nodes; node != NULL; node = node->claim_next) {
        demanding += node->demanding;
        if (node->job != job || node->claim != claim || node->rules != claim->rules)
            return WRONG(diag, "%s follows the wrong claim", node->id);
    }
    return demanding == claim->demanding ? 0 : WRONG(diag, "a claim miscounts the nodes that want it");
}

static int check_job(const struct job *job, struct diag *diag)
{
    int r = check_leases(job, diag);
    for (const struct claim *claim = &job->claim; claim != NULL && r >= 0; claim = claim->next)
        if (claim->nodes != NULL)
            r = check_claim(job, claim, diag);
    if (r < 0)
        return r;
    bool followed = false;
    for (const struct claim *claim = &job->claim; claim != NULL; claim = claim->next)
        followed |= claim->nodes != NULL;
    if (!followed && !job->idle)
        return WRONG(diag, "a job that nobody follows would be remembered for ever");
    if (job->dirty)
        return WRONG(diag, "a job was left unweighed");
    if ((job->lead != NULL) != (jobs_demanding(job) > 0))
        return WRONG(diag, "a job is led by nobody, or by one that does not want it");
    if ((job->group != NULL) != (job->want > 0 && job->lead != NULL))
        return WRONG(diag, "a job wants %u operators and %s in the ready queue", job->want,
                     job->group != NULL ? "is" : "is not");
    return 0;
}

static int check_jobs(const struct core *core, struct diag *diag)
{
    size_t cursor = 0, leases = 0, lost = 0;
    for (struct table_link *link = table_next(&core->jobs, &cursor, NULL); link != NULL;
         link = table_next(&core->jobs, &cursor, link)) {
        int r = check_job(job_of_link(link), diag);
        if (r < 0)
            return r;
        lost += job_of_link(link)->nlost;
        for (const struct lease *lease = job_of_link(link)->leases; lease != NULL; lease = lease->job_next)
            leases++;
    }
    if (lost != core->nlost)
        return WRONG(diag, "jobs have %zu lost payloads, and %u are counted", lost, core->nlost);
    return leases == core->leases.count
               ? 0
               : WRONG(diag, "jobs have %zu leases, and %zu are known", leases, core->leases.count);
}

/* --- workers --- */

static int check_worker(const struct core *core, const struct worker *worker, struct diag *diag)
{
    struct worker sum = {0};
    for (const struct lease *lease = worker->leases; lease != NULL; lease = lease->worker_next) {
        sum.used_slots += lease->occupying;
        sum.live_leases += lease->state == LEASE_LIVE;
        if (lease->occupying && lease->charge != NULL)
            workers_charge(&sum, lease->charge, 1);
    }
    if (sum.used_slots != worker->used_slots || sum.live_leases != worker->live_leases ||
        sum.used_cores != worker->used_cores || sum.used_memory != worker->used_memory ||
        sum.used_disk != worker->used_disk)
        return WRONG(diag, "worker %s: what it uses is not what its leases need", worker->name);
    if ((worker->pool_slot != 0) != workers_is_free(core, worker))
        return WRONG(diag, "worker %s is %s and %s in the pool", worker->name,
                     workers_is_free(core, worker) ? "free" : "not free",
                     worker->pool_slot != 0 ? "is" : "is not");
    if (worker->pool_slot != 0 &&
        core->pools[worker->operator->anchor].items[worker->pool_slot - 1] != worker)
        return WRONG(diag, "worker %s has another's place in the pool", worker->name);
    return 0;
}

static int check_workers(const struct core *core, struct diag *diag)
{
    uint32_t able = 0;
    for (size_t i = 0; i < core->nworkers; i++) {
        int r = check_worker(core, core->workers[i], diag);
        if (r < 0)
            return r;
    }
    for (size_t i = 0; i < core->noperators; i++)
        able += core->operators[i]->workers > 0 && !core->operators[i]->flagged;
    return able == core->able ? 0
                              : WRONG(diag, "%u operators could be asked, %u are counted", able, core->able);
}

/* --- the ready queue: ordered, and nobody idle who could take something --- */

static int check_group(const struct core *core, const struct group *group, struct diag *diag)
{
    for (size_t i = 0; i < group->count; i++) {
        const struct job *job = group->heap[i].job;
        if (job->group != group || job->group_slot != i)
            return WRONG(diag, "a waiting job is not where it thinks");
        if (i > 0 && jobs_node_before(job->lead, group->heap[(i - 1) / 4].job->lead))
            return WRONG(diag, "the ready queue is out of order at %s", job->lead->id);
    }
    for (size_t i = 0; i < core->nworkers && !core->held; i++)
        if (ready_is_eligible(core, group, core->workers[i]))
            return WRONG(diag, "worker %s is free and could take %s", core->workers[i]->name,
                         group->heap[0].job->lead->id);
    return 0;
}

int core_check(const struct core *core, struct diag *diag)
{
    int r = 0;
    for (size_t i = 0; i < core->nplans && r >= 0; i++)
        r = check_plan(core->plan_list[i], diag);
    if (r >= 0)
        r = check_jobs(core, diag);
    if (r >= 0)
        r = check_workers(core, diag);
    for (size_t i = 0; i < core->ngroups && r >= 0; i++)
        r = check_group(core, core->groups[i], diag);
    return r;
}
