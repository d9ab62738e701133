/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

/* Nodes of a large graph need what is near them, so that closures stay small. */
enum { NEAR = 12 };

static uint64_t below(struct world *world, uint64_t n)
{
    return world_below(world, DICE_SHAPE, n);
}

static bool contains(const size_t *items, size_t n, size_t item)
{
    for (size_t i = 0; i < n; i++)
        if (items[i] == item)
            return true;
    return false;
}

static int by_number(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    return a < b ? -1 : a > b;
}

/* Adds it, and what it needs itself, unless that would be too much. */
static void add_dependency(struct world *world, struct sim_node *node, size_t need)
{
    const struct sim_node *below_it = &world->plans.nodes[need];
    size_t closure[2 * CLOSURE_MAX + 1], n = node->nclosure;
    if (contains(node->dependencies, node->ndependencies, need))
        return;
    memcpy(closure, node->closure, n * sizeof *closure);
    for (size_t i = 0; i < below_it->nclosure; i++)
        if (!contains(node->closure, node->nclosure, below_it->closure[i]))
            closure[n++] = below_it->closure[i];
    if (!contains(node->closure, node->nclosure, need))
        closure[n++] = need;
    if (n > CLOSURE_MAX)
        return;
    qsort(closure, n, sizeof *closure, by_number);
    memcpy(node->closure, closure, n * sizeof *closure);
    node->nclosure = n;
    node->dependencies[node->ndependencies++] = need;
}

/* Two in a hundred, but only a few in all: they hold up everything above them. */
static bool is_odd_one(struct world *world)
{
    enum { FEW = 4 };
    size_t n = world->plans.nnodes;
    return below(world, n > 50 * FEW ? n : 50 * FEW) < FEW;
}

static void make_node(struct world *world, size_t i)
{
    struct sim_node *node = &world->plans.nodes[i];
    size_t wanted = i > 0 ? below(world, i < DEPENDENCIES_MAX ? i + 1 : DEPENDENCIES_MAX) : 0;
    size_t reach = i < NEAR || below(world, 10) == 0 ? i : NEAR;
    snprintf(node->id, sizeof node->id, "base/n%zu", i);
    for (size_t k = 0; k < wanted; k++)
        add_dependency(world, node, i - 1 - below(world, reach));
    node->needs = (struct core_needs){
        .cores = 1 + (uint32_t)below(world, 4),
        .memory_bytes = (1 + below(world, 3)) << 30,
        .disk_bytes = (uint64_t)1 << 30,
        .wall_seconds = 600,
        .priority = (int32_t)below(world, 3),
        .estimate_seconds = 5 + (uint32_t)below(world, 100),
    };
    node->fails = is_odd_one(world);
    node->random = is_odd_one(world) && world_has(world, FAULT_LIARS);
}

static struct rules draw_rules(struct world *world)
{
    size_t most = world->noperators < 3 ? world->noperators : 3;
    struct rules rules = {
        .quorum = 1 + (uint32_t)below(world, most),
        .margin = (uint32_t)below(world, 2),
        .max_attempts = 2 + (uint32_t)below(world, 3),
        .open_votes = below(world, 10) < 7,
    };
    rules.anchors = (uint32_t)below(world, rules.quorum + 1);
    if (below(world, 10) < 2)
        rules.distinct = 1 + (uint32_t)below(world, 3);
    return rules;
}

static void make_plan(struct world *world, size_t p)
{
    struct sim_plan *plan = &world->plans.items[p];
    uint64_t name[2] = {world->options.seed, p};
    plan->id = digest_of(view_of(name, sizeof name));
    plan->rules = draw_rules(world);
    plan->keys = mem_zero(world->plans.nnodes, sizeof *plan->keys);
    plan->start_ms = INT64_MAX;
    if (p == 0 || below(world, 2) == 0)
        plan->start_ms = world->now_ms + (int64_t)(below(world, 300000) * p);
}

/* Most runs are small, where rare orders of events are common; a few have the size of a real farm. */
static size_t draw_size(struct world *world)
{
    uint64_t x = below(world, 100);
    return world->options.jobs > 0 ? world->options.jobs
           : x == 0                ? 600 + below(world, 401)
           : x < 10                ? 60 + below(world, 240)
                                   : 3 + below(world, 30);
}

void plan_make(struct world *world)
{
    world->plans.nnodes = draw_size(world);
    world->plans.nodes = mem_zero(world->plans.nnodes, sizeof *world->plans.nodes);
    for (size_t i = 0; i < world->plans.nnodes; i++)
        make_node(world, i);
    for (size_t p = 0; p < PLANS; p++)
        make_plan(world, p);
}

void plan_done(struct world *world)
{
    for (size_t p = 0; p < PLANS; p++)
        free(world->plans.items[p].keys);
    free(world->plans.nodes);
}

struct sim_plan *plan_find(struct world *world, const struct digest *id)
{
    for (size_t p = 0; p < PLANS; p++)
        if (digest_equal(&world->plans.items[p].id, id))
            return &world->plans.items[p];
    return NULL;
}

struct digest plan_key(const struct world *world, size_t node, const struct digest *payloads)
{
    unsigned char text[sizeof world->options.seed + sizeof node + CLOSURE_MAX * DIGEST_SIZE];
    size_t n = world->plans.nodes[node].nclosure * DIGEST_SIZE,
           head = sizeof world->options.seed + sizeof node;
    memcpy(text, &world->options.seed, sizeof world->options.seed);
    memcpy(text + sizeof world->options.seed, &node, sizeof node);
    if (n > 0)
        memcpy(text + head, payloads, n);
    return digest_of(view_of(text, head + n));
}

void plan_core_nodes(const struct world *world, const struct sim_plan *plan, struct core_node *ret)
{
    for (size_t i = 0; i < world->plans.nnodes; i++) {
        const struct sim_node *node = &world->plans.nodes[i];
        ret[i] = (struct core_node){
            .id = node->id,
            .dependencies = node->dependencies,
            .ndependencies = node->ndependencies,
            .closure = node->closure,
            .nclosure = node->nclosure,
            .needs = node->needs,
            .rules = plan->rules,
        };
    }
}
