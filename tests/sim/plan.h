/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans: a random graph of nodes, and two plans over it, with different rules. Their jobs are the same, so that what one plan's rules
 * make of an answer meets what the other's do.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include "core.h"

struct world;

enum {
    PLANS = 2,
    DEPENDENCIES_MAX = 5,
    CLOSURE_MAX = 40 /* a lease names its whole closure: more would make the run a test of memcpy */
};

struct sim_node {
    char id[32];
    size_t dependencies[DEPENDENCIES_MAX], ndependencies;
    size_t closure[CLOSURE_MAX], nclosure; /* ascending */
    struct core_needs needs;
    bool fails;  /* truly does not build */
    bool random; /* truly not reproducible */
};

struct sim_plan {
    struct digest id;
    struct rules rules;
    struct digest
        *keys; /* per node: as last derived; zero: not yet. The coordinator's memory, so lost in a crash */
    int64_t start_ms; /* true time at which somebody wants it first; INT64_MAX: nobody does */
    bool forgotten;   /* has ended, and is not in the core: memory, too */
    /* The row: */
    bool started, from_scratch;
    enum plan_state state;
    int64_t started_wall_ms;
};

struct plans {
    struct sim_node *nodes;
    size_t nnodes;
    struct sim_plan items[PLANS];
};

void plan_make(struct world *world);
void plan_done(struct world *world);
/* NULL: no such plan. */
struct sim_plan *plan_find(struct world *world, const struct digest *id);
/* The job key: a function of the node and of its closure's payloads, like a spec's digest. */
struct digest plan_key(const struct world *world, size_t node, const struct digest *payloads);
/* The core's copy; 'ret' has room for all nodes. */
void plan_core_nodes(const struct world *world, const struct sim_plan *plan, struct core_node *ret);

#endif
