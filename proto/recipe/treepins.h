/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree pins: which bytes each source of each package is, from the lock, else from the recipe's url and
 * sha256. Part of tree_load. Nothing is filled in by guess: what is missing or contradictory is a problem
 * that names package and field.
 */
#ifndef FARM_TREEPINS_H
#define FARM_TREEPINS_H

#include "tree.h"

/* Fills pins and epoch of every package that the farm builds; the sidecar files may name no others. */
void treepins_build(struct tree *tree, struct problems *problems);

#endif
