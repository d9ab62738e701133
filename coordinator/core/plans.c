/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans: from the nodes of a CORE_PLAN_START to the core's own copy. Edges become 32-bit indices in one array (a node is
 * a few hundred bytes, whatever its fan-in), and the longest path to the end is computed once, backwards.
 */
#include "graph.h"
#include "intern.h"

#include <stdlib.h>

/* 64 Mi edges are 256 MiB: no real plan comes near, and 32-bit positions stay far from overflow. */
enum { PLAN_EDGES_MAX = 1 << 26 };

static int check_edges(const struct core_node *node, size_t index, const size_t *edges, size_t n,
                       struct diag *diag)
{
    for (size_t i = 0; i < n; i++)
        if (edges[i] >= index)
            return diag_set(diag, FARM_E_SYNTAX,
                            "plan: node %zu (%s) needs node %zu, which does not come before it", index,
                            node->id, edges[i]);
    return 0;
}

static int check_nodes(const struct core_node *nodes, size_t n, size_t *ret_edges, struct diag *diag)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        int r = check_edges(&nodes[i], i, nodes[i].dependencies, nodes[i].ndependencies, diag);
        if (r >= 0)
            r = check_edges(&nodes[i], i, nodes[i].closure, nodes[i].nclosure, diag);
        if (r < 0)
            return r;
        if (nodes[i].rules.quorum < 1 || nodes[i].rules.quorum > RULES_QUORUM_MAX)
            return diag_set(diag, FARM_E_LIMIT, "plan: %s asks for a quorum of %u; 1 to %d are possible",
                            nodes[i].id, nodes[i].rules.quorum, RULES_QUORUM_MAX);
        total += 2 * nodes[i].ndependencies + nodes[i].nclosure;
        if (total > PLAN_EDGES_MAX)
            return diag_set(diag, FARM_E_LIMIT, "plan: more than %d edges", PLAN_EDGES_MAX);
    }
    *ret_edges = total;
    return 0;
}

static uint32_t put_edges(uint32_t *edges, uint32_t at, const size_t *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        edges[at++] = (uint32_t)from[i];
    return at;
}

/* Dependents: count, sum up, fill; then shift the starts back to where they were. */
static uint32_t put_dependents(struct plan *plan, uint32_t at, const struct core_node *nodes)
{
    uint32_t *first = plan->first_dependent, n = plan->nnodes;
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i].ndependencies; k++)
            first[nodes[i].dependencies[k] + 1]++;
    first[0] = at;
    for (uint32_t i = 0; i < n; i++)
        first[i + 1] += first[i];
    uint32_t end = first[n];
    for (uint32_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i].ndependencies; k++)
            plan->edges[first[nodes[i].dependencies[k]]++] = i;
    for (uint32_t i = n; i > 0; i--)
        first[i] = first[i - 1];
    first[0] = at;
    return end;
}

static void copy_edges(struct plan *plan, const struct core_node *nodes, size_t nedges)
{
    uint32_t n = plan->nnodes, at = 0;
    plan->edges = mem_alloc(nedges * sizeof *plan->edges);
    plan->first_dependency = mem_zero(n + 1, sizeof *plan->first_dependency);
    plan->first_dependent = mem_zero(n + 1, sizeof *plan->first_dependent);
    plan->first_closure = mem_zero(n + 1, sizeof *plan->first_closure);
    for (uint32_t i = 0; i < n; i++) {
        plan->first_dependency[i] = at;
        at = put_edges(plan->edges, at, nodes[i].dependencies, nodes[i].ndependencies);
    }
    plan->first_dependency[n] = at;
    at = put_dependents(plan, at, nodes);
    for (uint32_t i = 0; i < n; i++) {
        plan->first_closure[i] = at;
        at = put_edges(plan->edges, at, nodes[i].closure, nodes[i].nclosure);
    }
    plan->first_closure[n] = at;
}

static void copy_names(struct plan *plan, const struct core_node *nodes)
{
    size_t size = 0;
    for (uint32_t i = 0; i < plan->nnodes; i++)
        size += strlen(nodes[i].id) + 1;
    char *at = plan->names = mem_alloc(size);
    for (uint32_t i = 0; i < plan->nnodes; i++) {
        size_t length = strlen(nodes[i].id) + 1;
        plan->nodes[i].id = memcpy(at, nodes[i].id, length);
        at += length;
    }
}

static void copy_node(struct core *core, struct plan *plan, uint32_t i, const struct core_node *from)
{
    struct node *node = &plan->nodes[i];
    node->plan = plan;
    node->rules = intern_rules(core, &from->rules);
    node->demand = intern_demand(core, &from->needs);
    node->wall_seconds = from->needs.wall_seconds;
    node->priority = from->needs.priority;
    node->since_ms = core->now_ms;
    node->unsettled = (uint32_t)from->ndependencies;
    node->state = NODE_WAITING;
}

/* Longest path from each node to the end, in estimated seconds: once, from the last to the first. */
static void measure_paths(struct plan *plan, const struct core_node *nodes)
{
    for (uint32_t i = plan->nnodes; i > 0; i--) {
        struct node *node = &plan->nodes[i - 1];
        uint32_t beyond = node->remaining_seconds, own = nodes[i - 1].needs.estimate_seconds;
        node->remaining_seconds = own > UINT32_MAX - beyond ? UINT32_MAX : own + beyond;
        for (size_t k = 0; k < nodes[i - 1].ndependencies; k++) {
            struct node *dependency = &plan->nodes[nodes[i - 1].dependencies[k]];
            if (dependency->remaining_seconds < node->remaining_seconds)
                dependency->remaining_seconds = node->remaining_seconds;
        }
    }
}

int graph_add(struct core *core, const struct core_event *event, struct plan **ret, struct diag *diag)
{
    size_t nedges = 0;
    if (event->nnodes == 0 || event->nnodes > PLAN_NODES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "plan: %zu nodes; 1 to %d are possible", event->nnodes,
                        PLAN_NODES_MAX);
    int r = check_nodes(event->nodes, event->nnodes, &nedges, diag);
    if (r < 0)
        return r;
    struct plan *plan = mem_zero(1, sizeof *plan);
    memcpy(plan->link.key, event->plan.bytes, sizeof plan->link.key);
    plan->sequence = core->sequence++;
    plan->nnodes = (uint32_t)event->nnodes;
    plan->nodes = mem_zero(plan->nnodes, sizeof *plan->nodes);
    plan->count[NODE_WAITING] = plan->nnodes;
    copy_edges(plan, event->nodes, nedges);
    copy_names(plan, event->nodes);
    for (uint32_t i = 0; i < plan->nnodes; i++)
        copy_node(core, plan, i, &event->nodes[i]);
    measure_paths(plan, event->nodes);
    table_add(&core->plans, &plan->link);
    core->plan_list =
        mem_reserve(core->plan_list, &core->plan_capacity, core->nplans + 1, sizeof(struct plan *));
    core->plan_list[core->nplans++] = plan;
    graph_set_plan_state(core, plan, PLAN_RUNNING);
    graph_queue_plan(core, plan);
    *ret = plan;
    return 0;
}
