/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree digest: git's tree object id in SHA-256 object format, over raw blobs and mode bits (no filters, no
 * attributes). The second witness beside a commit id, against a SHA-1 collision. Submodules (gitlinks) and empty
 * directories are not part of it. Oracle: "git init --object-format=sha256; git add -A -f; git write-tree".
 */
#ifndef FARM_TREEDIGEST_H
#define FARM_TREEDIGEST_H

#include "buf.h"
#include "digest.h"

/* git's modes for what can be in a tree. */
enum {
    TREE_FILE = 0100644,
    TREE_EXEC = 0100755,
    TREE_LINK = 0120000,
    TREE_DIR = 040000,
    TREE_GITLINK = 0160000
};

/* SHA-256 of "blob <size>\0" and the content. */
struct digest treedigest_blob(struct view content);

/* Collects (path, mode, blob digest) in any order and computes the root tree's digest. */
struct treedigest;
struct treedigest *treedigest_new(void);
struct treedigest *treedigest_free(struct treedigest *tree);
/* The path is copied; it must be plain and not be given twice. A TREE_GITLINK is left out. */
void treedigest_add(struct treedigest *tree, struct view path, unsigned int mode, const struct digest *blob);
/* Only once. With nothing added it is the digest of the empty tree. */
struct digest treedigest_finish(struct treedigest *tree);

/* Of a directory on disk; a top-level ".git" is left out; the executable bit is the owner's. */
int treedigest_of_dir(int dirfd, struct digest *ret, struct diag *diag) MUST_USE;

#endif
