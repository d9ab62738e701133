/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Variables of a recipe: ${name} ${version} ${version_major} ${version_major_minor} ${version_patch}, as the
 * tree's own parser expands them: parts of the version between dots, the whole version where there is only
 * one part, and "0" for a missing patch level. Anything else in ${...} is a problem; a lone '$' is text.
 */
#ifndef FARM_RECIPE_EXPAND_H
#define FARM_RECIPE_EXPAND_H

#include "recipe.h"
#include "yamlread.h"

/* Appends to *ret. */
bool recipe_expand(struct reader *reader, const struct yamlnode *node, const char *what,
                   const struct recipe *recipe, struct view text, struct buf *ret);

#endif
