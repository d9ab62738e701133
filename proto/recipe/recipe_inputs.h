/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inputs of a recipe: the keys that name bytes from elsewhere: source, patches, bundled_deps. Part of
 * recipe_parse; name and version are read already, since urls and file names are made from them.
 */
#ifndef FARM_RECIPE_INPUTS_H
#define FARM_RECIPE_INPUTS_H

#include "recipe.h"
#include "yamlread.h"

void recipe_read_sources(struct reader *reader, const struct yamlnode *node, struct recipe *recipe);
void recipe_read_patches(struct reader *reader, const struct yamlnode *node, struct recipe *recipe);
void recipe_read_bundles(struct reader *reader, const struct yamlnode *node, struct recipe *recipe);

#endif
