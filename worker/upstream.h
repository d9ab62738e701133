/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Upstream: a package tree from the URL that the lease says it is from ([allow] verify_upstream). Without it the worker knows that what
 * it builds has the commit and digest of the lease; with it also that this commit stands at that URL, so that a coordinator cannot
 * pass off another tree under a name that the owner trusts.
 *
 * The URL must be on the owner's lists. https goes to public addresses only, which are looked at when the connection is made (K8),
 * follows no redirect, and ends at UPSTREAM_BYTES_MAX and UPSTREAM_TIME_MAX_MS. A file:// URL or path, which only 'trees' can
 * allow, is opened in place. All heads and tags are fetched, since libgit2 1.5 cannot ask for a commit; nothing of them is kept.
 */
#ifndef FARM_UPSTREAM_H
#define FARM_UPSTREAM_H

#include "lease.h"

/* A package tree is text; its history of years has some hundred MiB. */
#define UPSTREAM_BYTES_MAX   ((uint64_t)1 << 30)
#define UPSTREAM_TIME_MAX_MS ((int64_t)15 * 60 * 1000)

/*
 * Writes the pack of the pinned tree to 'pack' below the state directory, which is the working directory; 'scratch' is a directory of
 * the caller's alone. FARM_E_REFUSED: not allowed, or the commit is not there; FARM_E_DIGEST: the commit there has another tree;
 * FARM_E_UNAVAILABLE, FARM_E_TIMEOUT, FARM_E_LIMIT; -ECANCELED.
 */
int upstream_fetch(const struct worker_conf *conf, const struct tree_pin *pin, int state_dirfd,
                   const char *scratch, const char *pack, const struct lease_watch *watch,
                   struct diag *diag) MUST_USE;

#endif
