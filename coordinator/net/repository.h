/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repository: a git repository by path or URL, for planning and for git pins. Local paths are opened in place
 * if a configured prefix allows them; URLs are fetched into git/<digest of the URL> below the state
 * directory. For pool threads.
 */
#ifndef FARM_REPOSITORY_H
#define FARM_REPOSITORY_H

#include "gitpin.h"
#include "pool.h"
#include "store.h"

/* 'revision' is a commit id or a ref, used as the hint of what to fetch. 'local' is a list "a,b" of allowed
 * prefixes. 'task' runs, and is told when to end (pool_check); NULL: nobody tells. */
int repository_open(const char *state_path, const char *location, const char *revision, const char *local,
                    struct pool_task *task, struct gitrepo **ret, struct diag *diag) MUST_USE;
/* Stores the pack of one commit. */
int repository_pack(struct gitrepo *repo, const char *commit, int state_dirfd, struct store *store,
                    struct digest *ret, struct diag *diag) MUST_USE;

#endif
