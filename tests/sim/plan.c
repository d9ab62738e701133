/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random plans: layered, with a few nodes that everything needs, some that truly fail, a few that are not reproducible. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static void add_dependency(struct sim_node *node, size_t need)
{
    for (size_t i = 0; i < node->ndependencies; i++)
        if (node->dependencies[i] == need)
            return;
    node->dependencies[node->ndependencies++] = need;
}

static void make_node(struct sim *sim, size_t i)
{
    struct sim_node *node = &sim->nodes[i];
    snprintf(node->id, sizeof node->id, "base/n%zu", i);
    size_t wanted = i > 0 ? sim_below(sim, i < 5 ? i + 1 : 5) : 0;
    for (size_t k = 0; k < wanted; k++)
        add_dependency(node, sim_chance(sim, 50) && i > 4 ? i - 1 - sim_below(sim, 4) : sim_below(sim, i));
    node->needs = (struct core_needs){
        .cores = 1 + (uint32_t)sim_below(sim, 4),
        .memory_bytes = (uint64_t)(1 + sim_below(sim, 3)) << 30,
        .disk_bytes = (uint64_t)1 << 30,
        .wall_seconds = 600,
        .priority = (int32_t)sim_below(sim, 3),
        .estimate_seconds = 5 + (uint32_t)sim_below(sim, 100),
    };
    node->fails = sim_chance(sim, 2);
    node->random = sim_chance(sim, 2);
}

static void close_node(struct sim *sim, size_t i, bool *reach)
{
    struct sim_node *node = &sim->nodes[i];
    memset(reach, 0, sim->nnodes * sizeof *reach);
    for (size_t k = 0; k < node->ndependencies; k++) {
        const struct sim_node *below = &sim->nodes[node->dependencies[k]];
        reach[node->dependencies[k]] = true;
        for (size_t j = 0; j < below->nclosure; j++)
            reach[below->closure[j]] = true;
    }
    node->closure = mem_alloc(i * sizeof *node->closure);
    for (size_t j = 0; j < i; j++)
        if (reach[j])
            node->closure[node->nclosure++] = j;
}

static void make_plan(struct sim *sim, size_t p)
{
    struct sim_plan *plan = &sim->plans[p];
    uint64_t name[2] = {sim->options.seed, p};
    uint32_t most = (uint32_t)sim->noperators;
    plan->id = digest_of(view_of(name, sizeof name));
    plan->rules = (struct rules){
        .quorum = 1 + (uint32_t)sim_below(sim, most < 3 ? most : 3),
        .margin = (uint32_t)sim_below(sim, 2),
        .max_attempts = 2 + (uint32_t)sim_below(sim, 3),
        .open_votes = sim_chance(sim, 70),
    };
    plan->rules.anchors = (uint32_t)sim_below(sim, plan->rules.quorum + 1);
    if (sim_chance(sim, 20))
        plan->rules.distinct = DISTINCT_CPU_VENDOR;
    plan->keys = mem_zero(sim->nnodes, sizeof *plan->keys);
    plan->payloads = mem_zero(sim->nnodes, sizeof *plan->payloads);
    plan->derived = mem_zero(sim->nnodes, sizeof *plan->derived);
    plan->states = mem_zero(sim->nnodes, sizeof *plan->states);
    plan->deriving = mem_zero(sim->nnodes, sizeof *plan->deriving);
    plan->start_at = p == 0 || sim_chance(sim, 50)
                         ? sim->now_ms + (int64_t)sim_below(sim, 300000) * (int64_t)p
                         : INT64_MAX;
}

void plan_make(struct sim *sim)
{
    sim->nnodes = 3 + sim_below(sim, sim->options.jobs);
    sim->nodes = mem_zero(sim->nnodes, sizeof *sim->nodes);
    CLEANUP_FREE bool *reach = mem_alloc(sim->nnodes);
    for (size_t i = 0; i < sim->nnodes; i++) {
        make_node(sim, i);
        close_node(sim, i, reach);
    }
    for (size_t p = 0; p < PLANS; p++)
        make_plan(sim, p);
}

/* The core's copy. Under PLANT_EARLY_LEASE it never hears of some edges. */
static void copy_node(struct sim *sim, const struct sim_plan *plan, size_t i, struct core_node *ret)
{
    const struct sim_node *node = &sim->nodes[i];
    bool blind = sim->options.plant == PLANT_EARLY_LEASE && i % 3 == 2;
    *ret = (struct core_node){
        .id = node->id,
        .dependencies = node->dependencies,
        .ndependencies = blind ? 0 : node->ndependencies,
        .closure = node->closure,
        .nclosure = blind ? 0 : node->nclosure,
        .needs = node->needs,
        .rules = plan->rules,
    };
}

void plan_start(struct sim *sim, size_t p, bool from_scratch)
{
    struct sim_plan *plan = &sim->plans[p];
    CLEANUP_FREE struct core_node *nodes = mem_zero(sim->nnodes, sizeof *nodes);
    for (size_t i = 0; i < sim->nnodes; i++)
        copy_node(sim, plan, i, &nodes[i]);
    if (from_scratch && !plan->from_scratch)
        plan->fresh_since = sim->now_ms;
    plan->from_scratch |= from_scratch;
    plan->wanted = true;
    struct core_event event = {
        .type = CORE_PLAN_START,
        .plan = plan->id,
        .nodes = nodes,
        .nnodes = sim->nnodes,
        .flag = plan->from_scratch,
        .since_ms = plan->from_scratch ? plan->fresh_since : 0,
    };
    world_step(sim, &event);
}

struct digest plan_key(const struct sim *sim, size_t node, const struct digest *payloads, size_t n)
{
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, &sim->options.seed, sizeof sim->options.seed);
    hasher_add(hasher, &node, sizeof node);
    hasher_add(hasher, payloads, n * sizeof *payloads);
    struct digest key = hasher_finish(hasher);
    hasher_free(hasher);
    return key;
}

void plan_done(struct sim *sim)
{
    for (size_t i = 0; i < sim->nnodes; i++)
        free(sim->nodes[i].closure);
    for (size_t p = 0; p < PLANS; p++) {
        struct sim_plan *plan = &sim->plans[p];
        for (size_t i = 0; i < sim->nnodes; i++)
            free(plan->payloads[i]);
        free(plan->keys);
        free(plan->payloads);
        free(plan->derived);
        free(plan->states);
        free(plan->deriving);
    }
    free(sim->nodes);
}
