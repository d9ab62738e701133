/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leases: who gets one, for what, built from what; and that they end. */
#include "count.h"
#include "sim.h"

static void check_operator(struct world *world, const struct row_job *job, const struct core_lease *lease,
                           size_t worker)
{
    const struct row_answer *said[1];
    size_t operator_index = world->workers[worker].operator_index;
    const char *name = world->operators[operator_index].name;
    for (size_t i = 0; i < job->leases.count; i++) {
        const struct row_lease *other = job->leases.items[i];
        if (other->state == LEASE_LIVE && other->round == lease->round &&
            world->workers[other->worker].operator_index == operator_index)
            world_fail(world, INVARIANT_LEASES, "operator %s gets a second live lease on one job", name);
    }
    if (count_said(world, job, lease->round, operator_index, said, 1) > 0)
        world_fail(world, INVARIANT_LEASES, "operator %s has voted and is asked again", name);
}

static void check_eligible(struct world *world, size_t index)
{
    const struct sim_worker *worker = &world->workers[index];
    const struct rows *leases = &world->db.of_worker[index];
    const char *what = worker->revoked                                    ? "is revoked"
                       : world->coordinator.paused[index]                 ? "is paused"
                       : world->operators[worker->operator_index].flagged ? "is of a flagged operator"
                                                                          : NULL;
    uint32_t live = 0;
    for (size_t i = 0; i < leases->count; i++) {
        const struct row_lease *lease = leases->items[i];
        live += lease->state == LEASE_LIVE && lease->life == world->coordinator.life;
    }
    if (what != NULL)
        world_fail(world, INVARIANT_ELIGIBLE, "worker %s %s and gets a lease", worker->name, what);
    if (live >= world->coordinator.slots[index])
        world_fail(world, INVARIANT_ELIGIBLE, "worker %s has %u slots and gets a lease more", worker->name,
                   live);
    if (world->coordinator.held)
        world_fail(world, INVARIANT_ELIGIBLE, "worker %s gets a lease while the farm is held", worker->name);
}

/* What the closure is agreed on, by the count; fails where it is not. */
static void agreed_payloads(struct world *world, size_t p, size_t node, size_t about, struct digest *ret)
{
    const struct sim_plan *plan = &world->plans.items[p];
    const struct sim_node *n = &world->plans.nodes[node];
    for (size_t i = 0; i < n->nclosure; i++) {
        struct row_job *job = db_job(&world->db, &plan->keys[n->closure[i]]);
        if (job == NULL || !count_agreed(world, job, p, &ret[i]))
            world_fail(world, INVARIANT_INPUTS, "%s is leased, and its input %s is not agreed",
                       world->plans.nodes[about].id, world->plans.nodes[n->closure[i]].id);
        if (judge_is_lost(world, job, &ret[i]))
            world_fail(world, INVARIANT_LOST, "%s is leased, and the payload of its input %s is lost",
                       world->plans.nodes[about].id, world->plans.nodes[n->closure[i]].id);
    }
}

static void check_inputs(struct world *world, const struct core_lease *lease)
{
    struct digest payloads[CLOSURE_MAX];
    const struct sim_plan *plan = plan_find(world, &lease->plan);
    size_t p = (size_t)(plan - world->plans.items);
    const struct sim_node *node = &world->plans.nodes[lease->node];
    agreed_payloads(world, p, lease->node, lease->node, payloads);
    struct digest key = plan_key(world, lease->node, payloads);
    if (!digest_equal(&key, &lease->key))
        world_fail(world, INVARIANT_INPUTS,
                   "%s is leased under a key that is not derived from its agreed inputs", node->id);
    for (size_t i = 0; i < node->nclosure && world->steps % 8 == 0; i++) {
        size_t below = node->closure[i];
        agreed_payloads(world, p, below, lease->node, payloads);
        key = plan_key(world, below, payloads);
        if (!digest_equal(&key, &plan->keys[below]))
            world_fail(world, INVARIANT_INPUTS,
                       "%s is leased, and its input %s was built from what is not agreed any more", node->id,
                       world->plans.nodes[below].id);
    }
}

static void check_round(struct world *world, const struct row_job *job, uint32_t round)
{
    bool wanted = round == 1 || world->judge.asked[0] || world->judge.asked[1] ||
                  map_get(world->judge.repeated, view_of(&job->key, sizeof job->key)) != NULL;
    for (size_t i = 0; i < job->leases.count; i++)
        wanted |= ((const struct row_lease *)job->leases.items[i])->round == round;
    for (size_t i = 0; i < job->answers.count; i++) {
        const struct row_answer *answer = job->answers.items[i];
        wanted |= answer->is_void && answer->lease->round + 1 == round;
    }
    if (!wanted)
        world_fail(world, INVARIANT_ROUNDS, "round %u of %s began by itself", round,
                   world->plans.nodes[job->node].id);
}

void judge_granted(struct world *world, const struct core_lease *lease)
{
    const struct row_job *job = db_job(&world->db, &lease->key);
    size_t worker = coordinator_worker(world, lease->worker);
    if (job == NULL || db_lease(&world->db, &lease->nonce) != NULL)
        world_fail(world, INVARIANT_LEASES, "a lease of an unknown job, or a nonce used twice");
    check_eligible(world, worker);
    check_operator(world, job, lease, worker);
    check_round(world, job, lease->round);
    check_inputs(world, lease);
}

void judge_ended(struct world *world, const struct core_lease *lease)
{
    const struct row_lease *row = db_lease(&world->db, &lease->nonce);
    bool answered = row != NULL && row->state == LEASE_ANSWERED && lease->state == LEASE_ANSWERED;
    if (row == NULL || lease->state == LEASE_LIVE || (row->state != LEASE_LIVE && !answered))
        world_fail(world, INVARIANT_LEASES, "a lease ends that is not live");
}
