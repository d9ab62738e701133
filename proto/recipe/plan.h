/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plan: the immutable graph of jobs for one tree, base and selection, named by the SHA-256 of its text. Node
 * identity is "tier/name"; a job key exists once all payloads of its closure are agreed.
 */
#ifndef FARM_PLAN_H
#define FARM_PLAN_H

#include "spec.h"

enum { PLAN_SIZE_MAX = 64 * 1024 * 1024, PLAN_NODES_MAX = 200000 };

struct plan_node {
    char *id; /* "tier/name" */
    char *name, *tier, *version, *release;
    size_t *dependencies; /* nodes that must be agreed before this one starts, as indexes, each smaller than
                             this node's own: the closure without what another member's own closure already
                             holds. Once these are agreed, the whole closure is. Sorted. */
    size_t ndependencies;
    size_t *closure; /* tree_closure, as indexes into nodes: the order of the payloads in the spec */
    size_t nclosure;
    struct resources resources;
    struct rules rules;
};
struct plan {
    struct tree_pin tree;
    struct digest lock, policy, base; /* lock and policy are zero if the tree has none */
    struct text_list selection;       /* as typed, sorted */
    struct plan_node *nodes;          /* topological order, ties by name */
    size_t nnodes;
    struct digest id;
};

/*
 * plan.json:
 *
 *     v 1, kind "plan"
 *     tree{url, commit, tree_sha256} lock policy base selection[]
 *     nodes[{name, tier, version, release, dependencies[index], closure[index],
 *            resources{jobs, cores, memory, disk, wall, priority},
 *            rules{quorum, anchors, distinct, margin, max_attempts, open_votes, hold, evidence, setuid?}}]
 *
 * Selectors: package names, "tier:ai", "phase:ai" (the phase of the same name as the tier), "all" (as no
 * selector is); the closure follows (runtime edges of selected packages too). Unknown selectors are
 * FARM_E_UNKNOWN with the nearest name.
 */
int plan_make(const struct tree *tree, const struct tree_pin *pin, const struct digest *base,
              const char *const *selectors, size_t nselectors, struct plan **ret, struct diag *diag) MUST_USE;
/* One problem for each package whose epoch nobody knows yet ("epoch-missing"): no spec can be made of it. */
int plan_check(const struct plan *plan, const struct tree *tree, struct problems *problems) MUST_USE;
/* Appends plan.json. */
void plan_write(const struct plan *plan, struct buf *ret);
int plan_parse(struct view text, struct plan **ret, struct diag *diag) MUST_USE;
struct plan *plan_free(struct plan *plan);
/* By "name", "tier/name"; SIZE_MAX if absent. */
size_t plan_find(const struct plan *plan, struct view name);

#endif
