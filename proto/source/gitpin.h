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

#include "buf.h"
#include "diag.h"
#include "digest.h"
#include "view.h"

struct gitpin_limits {
    uint64_t bytes; /* of all blobs of one tree */
    uint64_t entries;
};
/* llvm-project is 1.6 GB in 140 k files. */
#define GITPIN_LIMITS ((struct gitpin_limits){(uint64_t)8 << 30, 1000000})

/* One blob is read into memory whole; so is what a delta unpacks to. The largest file in ROCm's repositories is a
 * kernel database of 200 MB. */
#define GITPIN_BLOB_MAX ((uint64_t)1 << 30)

/* What one commit holds, as far as pins care. */
struct gitpin_info {
    char commit[65];
    struct digest tree_sha256;
    int64_t epoch; /* committer time, seconds */
    uint64_t entries, bytes;
    uint64_t gitlinks, lfs_pointers; /* reported, never followed */
};

/*
 * Sets what is global in libgit2: no configuration files, no owner check, no single allocation above what one blob needs. Called
 * by every function below when it is needed; a program may call it early. Thread-safe.
 */
int gitpin_setup(struct diag *diag) MUST_USE;
/* Appends the name and version of the library in use, "libgit2 1.5.1": for people who look for a known fault. */
void gitpin_library(struct buf *ret);

struct gitrepo;
/* Opens a bare or other repository on disk. */
int gitrepo_open(const char *path, struct gitrepo **ret, struct diag *diag) MUST_USE;
struct gitrepo *gitrepo_close(struct gitrepo *repo);
/* A full or abbreviated commit id, or a ref name ("refs/tags/x", "x"): for people at planning time only. FARM_E_UNKNOWN. */
int gitrepo_resolve(struct gitrepo *repo, const char *revision, char ret_commit[65],
                    struct diag *diag) MUST_USE;
/*
 * Walks the commit's tree and computes both digests: libgit2 recomputes the SHA-1 of every object it reads, and we the SHA-256
 * of every blob. FARM_E_MISSING if the commit or one of its objects is absent; FARM_E_REFUSED, naming the path, for
 * what no honest tree holds (G5): ".", "..", names with '/', ".git" and everything that some file system takes for it,
 * duplicate or unsorted entries, unknown modes, a .gitmodules that is a symlink or holds options in disguise.
 */
int gitrepo_inspect(struct gitrepo *repo, const char *commit, struct gitpin_limits limits,
                    struct gitpin_info *ret, struct diag *diag) MUST_USE;
/*
 * Writes the tree's files below dirfd, which must be an empty directory: raw blobs, modes 0644 and 0755 whatever the
 * umask, symlinks as they are, submodules as empty directories, every time set to mtime (seconds). Inspects first and compares with
 * tree_sha256: FARM_E_DIGEST (G2, G3), nothing written.
 */
int gitrepo_checkout(struct gitrepo *repo, const char *commit, const struct digest *tree_sha256,
                     struct gitpin_limits limits, int dirfd, int64_t mtime, struct diag *diag) MUST_USE;
/* The pack with exactly the objects of this commit (no parents), appended to a file. Inspects first, with GITPIN_LIMITS. The same
 * libgit2 writes the same bytes, but nothing relies on that: a pack's own digest means nothing. */
int gitrepo_pack(struct gitrepo *repo, const char *commit, int out_fd, struct diag *diag) MUST_USE;
/*
 * Opens a received pack as a repository inside the scratch directory (created by the callee, whatever was there before is
 * removed; removed on close). Every object id is recomputed while indexing. FARM_E_SYNTAX for what is no whole pack, FARM_E_LIMIT for
 * a bomb (G8): more objects than twice GITPIN_LIMITS.entries, more bytes than .bytes, an object over GITPIN_BLOB_MAX.
 */
int gitrepo_open_pack(const char *pack_path, const char *scratch_dir, struct gitrepo **ret,
                      struct diag *diag) MUST_USE;
struct gitfetch {
    const char *url;
    const char *ref;    /* a hint; may be NULL */
    const char *commit; /* or a revision, or NULL: then the ref has to be found, and is asked for anew */
    const char *path;   /* of a bare repository; created if absent, with its parents */
    bool allow_file;    /* for what the owner configured: "file://" and paths too, and private addresses */
    uint64_t bytes_max; /* that may be received; 0: one large history (llvm-project's is 3 GB) */
    /* Asked a few times a second; a negative value ends the fetch with that error. May be NULL. */
    int (*check)(void *context, struct diag *diag);
    void *context;
};
/*
 * Asks for the ref, else for all heads and tags, until the commit is there; without network if it is there already. Only https,
 * to public addresses (looked at when the connection is made, K8), unless 'allow_file'. Redirects are refused (G9). A server that
 * says nothing for a minute has failed. FARM_E_UNAVAILABLE: not reachable; FARM_E_MISSING: no such commit there; FARM_E_REFUSED: the URL;
 * FARM_E_LIMIT.
 */
int gitrepo_fetch(const struct gitfetch *what, struct diag *diag) MUST_USE;

#endif
