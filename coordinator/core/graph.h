/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Graph: plans and their nodes. Counters, not searches: a node is looked at again only when one of its counters, or
 * its job, changed, and what it then is follows from those alone (graph_judge() in graph.c is the whole table).
 *
 * Going forward, a solid node lowers 'unsettled' of its dependents. Going back (a reopened verdict), it raises it
 * again, and everything above, agreed or not, stops being solid. When it settles, each node above compares the
 * fingerprint of its closure's payloads: the same, and nothing happened; another, and it asks for a new key. A payload whose
 * bytes were lost goes the same two ways.
 */
#ifndef FARM_CORE_GRAPH_H
#define FARM_CORE_GRAPH_H

#include "state.h"

/* Copies the nodes, counts, and puts all nodes on the queue. FARM_E_LIMIT, FARM_E_SYNTAX (edges that do not point back). */
int graph_add(struct core *core, const struct core_event *event, struct plan **ret, struct diag *diag);
struct plan *graph_find(const struct core *core, const struct digest *plan);
struct plan *graph_free(struct plan *plan);
/* This node is to be looked at again before the step ends. */
void graph_queue(struct core *core, struct node *node);
void graph_queue_plan(struct core *core, struct plan *plan);
/* Its state is to be told again if it changed. */
void graph_touch_plan(struct core *core, struct plan *plan);
/* Nobody waits for its nodes any more; leases that only it wanted are withdrawn. */
void graph_cancel(struct core *core, struct plan *plan);
/* Out of all lists, and freed; its jobs may be idle then. */
void graph_forget(struct core *core, struct plan *plan);
/* Sets the plan's state and tells. */
void graph_set_plan_state(struct core *core, struct plan *plan, enum plan_state state);
/* Works the queue off: states, counters, derivations, demand. */
void graph_settle(struct core *core);
/* The node's payload is about to be another: whatever was built upon it is not settled. */
void graph_unsettle(struct core *core, struct node *node);
/* Tells of plans that are done, failed, or running again. */
void graph_tell_plans(struct core *core);
/* Closure of a node: indices, and how many. */
const uint32_t *graph_closure(const struct node *node, size_t *ret_count);
const uint32_t *graph_dependencies(const struct node *node, size_t *ret_count);
const uint32_t *graph_dependents(const struct node *node, size_t *ret_count);
/* What the node is now, by its counters and its job; pure. */
enum node_state graph_judge(const struct node *node);

#endif
