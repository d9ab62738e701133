/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Trees: package trees, checked out as trees/<commit>-<tree_sha256>/ and loaded into memory once for each commit, not
 * for each lease; shared by all slots.
 *
 * A tree gets in only if commit id and SHA-256 tree digest are those of the pin; it is made under another
 * name and renamed. What a worker that ran before left on disk is removed at the start: it would have to be hashed before it is believed,
 * and trees that nobody asks for again would stay for ever.
 */
#ifndef FARM_TREES_H
#define FARM_TREES_H

#include "tree.h"

enum { TREES_KEPT = 8 }; /* a farm builds one or two at a time; older ones come again when asked for */

/*
 * Every file of a checked-out tree, recipe and git source alike, has this time unless the spec names one: it
 * may depend on nothing that differs between two commits of the same recipe. 1 January 2000: after 1980,
 * which zip cannot go behind.
 */
enum { TREES_MTIME = 946684800 };

struct trees;
struct once_entry;

/* Removes what is there. The working directory must be the state directory. */
int trees_open(int state_dirfd, struct trees **ret, struct diag *diag) MUST_USE;
struct trees *trees_close(struct trees *trees); /* accepts NULL, returns NULL */

/* One tree in use. */
struct trees_use {
    struct once_entry *entry;
    const struct tree *tree; /* read-only, shared */
    const char *path;        /* "trees/<commit>-<sha256>", below the state directory */
};
/* Brings the pack; gives the path of a file with it, which it removes again itself. */
typedef int trees_fetch(void *context, char **ret_path, struct diag *diag);

/*
 * 'by_url': what 'fetch' brings comes from the pin's own URL. Such trees are kept apart, by URL, as trees/<commit>-<tree_sha256>-<SHA-256
 * of the URL>/: that a tree is here says then that this URL had it, and what the coordinator brought never stands in for it.
 *
 * FARM_E_DIGEST: the pack holds another commit or another tree; FARM_E_REFUSED: the tree has problems (the
 * first is in the diag); else what the fetch said. 'scratch': a directory below the state directory that is
 * the caller's alone.
 */
int trees_get(struct trees *trees, const struct tree_pin *pin, bool by_url, const char *scratch,
              trees_fetch *fetch, void *context, struct trees_use *ret, struct diag *diag) MUST_USE;
void trees_leave(struct trees *trees, struct trees_use *use); /* accepts an empty one */

#endif
