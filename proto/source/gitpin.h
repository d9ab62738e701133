/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Git pins: the only user of libgit2. A pin is a commit id and the tree's SHA-256 digest; both must match.
 *
 * A repository is opened in place, without owner check and without any configuration, hooks, filters or attributes;
 * nothing of its work tree is read. What the farm keeps and hands to workers is one pack file with the commit, its trees and
 * its blobs; the receiver indexes it (libgit2 recomputes every object id), walks it and compares both digests.
 */
#ifndef FARM_GITPIN_H
#define FARM_GITPIN_H

#include "diag.h"
#include "digest.h"
#include "view.h"

struct gitpin_limits {
    uint64_t bytes;   /* of all blobs of one tree */
    uint64_t entries;
};
#define GITPIN_LIMITS ((struct gitpin_limits){(uint64_t)8 << 30, 1000000})

/* What one commit holds, as far as pins care. */
struct gitpin_info {
    char commit[65];
    struct digest tree_sha256;
    int64_t epoch;        /* committer time, seconds */
    uint64_t entries, bytes;
    uint64_t gitlinks, lfs_pointers; /* reported, never followed */
};

/* Call once per process (sets options that are global in libgit2: no configuration, no owner check). */
int gitpin_setup(struct diag *diag) MUST_USE;

struct gitrepo;
/* Opens a bare or other repository on disk. */
int gitrepo_open(const char *path, struct gitrepo **ret, struct diag *diag) MUST_USE;
struct gitrepo *gitrepo_close(struct gitrepo *repo);
/* A full or abbreviated commit id, or a ref name ("refs/tags/x", "x"): for people at planning time only. */
int gitrepo_resolve(struct gitrepo *repo, const char *revision, char ret_commit[65], struct diag *diag) MUST_USE;
/* Walks the commit's tree and computes both digests. Refuses hostile names (G5). FARM_E_MISSING if the commit is absent. */
int gitrepo_inspect(struct gitrepo *repo, const char *commit, struct gitpin_limits limits, struct gitpin_info *ret,
                    struct diag *diag) MUST_USE;
/* Writes the tree's files below dirfd: raw blobs, modes 0644, 0755, symlinks. Inspects first; compares with tree_sha256. */
int gitrepo_checkout(struct gitrepo *repo, const char *commit, const struct digest *tree_sha256,
                     struct gitpin_limits limits, int dirfd, int64_t mtime, struct diag *diag) MUST_USE;
/* The pack with exactly the objects of this commit (no parents), appended to a file. */
int gitrepo_pack(struct gitrepo *repo, const char *commit, int out_fd, struct diag *diag) MUST_USE;
/* Opens a received pack as a repository inside the scratch directory (created by the callee, removed on close). */
int gitrepo_open_pack(const char *pack_path, const char *scratch_dir, struct gitrepo **ret, struct diag *diag) MUST_USE;
/*
 * Fetches from a URL into a bare repository at 'path' (created if absent): the ref as a hint, else all heads and tags, until the
 * commit is there. Only https unless 'allow_file'. Redirects to other hosts or schemes are refused. 'progress' may be NULL.
 */
int gitrepo_fetch(const char *url, const char *ref, const char *commit, const char *path, bool allow_file,
                  void (*progress)(void *context, uint64_t received, uint64_t total, uint64_t bytes), void *context,
                  struct diag *diag) MUST_USE;

#endif
