/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree graph: the edges of a package tree: names to indexes, cycles, depth. Part of tree_load; recipes are
 * read already and sorted by name.
 */
#ifndef FARM_TREEGRAPH_H
#define FARM_TREEGRAPH_H

#include "tree.h"

struct map;

/*
 * Fills build_deps, runtime_deps, depth, rank and the tree's aliases. Problems: unknown dependencies, cycles.
 * 'broken' holds the names of recipes that could not be read: depending on one of them is no further problem.
 */
void treegraph_build(struct tree *tree, const struct map *broken, struct problems *problems);

#endif
