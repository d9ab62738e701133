/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A package tree on this machine, without a coordinator: for "tree check" and "plan --dry-run". */
#ifndef FARM_LOCAL_TREE_H
#define FARM_LOCAL_TREE_H

#include "cli.h"
#include "tree.h"

/* Splits "TREE@REV" at the last '@'; without one *ret_revision is NULL. Both owned. A local path is made
 * absolute. */
int local_tree_split(const char *text, char **ret_tree, char **ret_revision, struct diag *diag) MUST_USE;
/*
 * Loads a directory as it is (revision NULL), or a commit of a repository. The pin's digests are filled in
 * either way; a directory has no commit. Problems are listed; *ret_tree is owned, and the pin's url too.
 */
int local_tree_load(const char *tree, const char *revision, struct tree **ret_tree, struct tree_pin *ret_pin,
                    struct problems *problems, struct diag *diag) MUST_USE;

#endif
