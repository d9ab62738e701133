/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a package needs, in the order that tree.h promises. */
#include "tree.h"

#include <stdlib.h>

struct walk {
    const struct tree *tree;
    bool *seen;
    size_t *found;
    size_t count;
};

/* Base packages are satisfied by the base, and what lies behind them is the base's affair. */
static void visit(struct walk *walk, const size_t *edges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!walk->seen[edges[i]] && !walk->tree->packages[edges[i]].in_base) {
            walk->seen[edges[i]] = true;
            walk->found[walk->count++] = edges[i];
        }
}

/* 'found' is its own queue. */
static void spread(struct walk *walk)
{
    for (size_t i = 0; i < walk->count; i++) {
        const struct package *package = &walk->tree->packages[walk->found[i]];
        visit(walk, package->build_deps, package->nbuild_deps);
        visit(walk, package->runtime_deps, package->nruntime_deps);
    }
}

struct ranked {
    uint32_t rank;
    size_t index;
};

static int rank_compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    return (a->rank > b->rank) - (a->rank < b->rank);
}

static void finish(struct walk *walk, size_t **ret, size_t *ret_count)
{
    CLEANUP_FREE struct ranked *order = mem_zero(walk->count, sizeof *order);
    for (size_t i = 0; i < walk->count; i++)
        order[i] = (struct ranked){walk->tree->packages[walk->found[i]].rank, walk->found[i]};
    if (walk->count > 1)
        qsort(order, walk->count, sizeof *order, rank_compare);
    for (size_t i = 0; i < walk->count; i++)
        walk->found[i] = order[i].index;
    free(walk->seen);
    *ret = walk->found;
    *ret_count = walk->count;
}

static struct walk walk_new(const struct tree *tree)
{
    return (struct walk){.tree = tree,
                         .seen = mem_zero(tree->npackages, sizeof(bool)),
                         .found = mem_zero(tree->npackages, sizeof(size_t))};
}

void tree_closure(const struct tree *tree, size_t package, size_t **ret, size_t *ret_count)
{
    struct walk walk = walk_new(tree);
    visit(&walk, tree->packages[package].build_deps, tree->packages[package].nbuild_deps);
    spread(&walk);
    finish(&walk, ret, ret_count);
}

void tree_reach(const struct tree *tree, const size_t *packages, size_t count, size_t **ret,
                size_t *ret_count)
{
    struct walk walk = walk_new(tree);
    visit(&walk, packages, count);
    spread(&walk);
    finish(&walk, ret, ret_count);
}
