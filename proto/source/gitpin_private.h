/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of gitpin share. git2.h appears here and nowhere else in the product.
 */
#ifndef FARM_GITPIN_PRIVATE_H
#define FARM_GITPIN_PRIVATE_H

#include "gitpin.h"

#include "buf.h"

#include <git2.h>

struct gitrepo {
    git_repository *repo;
    git_odb *odb;
    char *scratch; /* of an indexed pack: removed on close; else NULL */
};

/* libgit2's last message behind 'what'; the code is chosen by the caller. */
int gitpin_error(struct diag *diag, int error, const char *what);
/* FARM_E_MISSING for GIT_ENOTFOUND, else 'error'. */
int gitpin_error_of(struct diag *diag, int git_result, int error, const char *what);
/* Gives the repository a configuration without any file behind it, and takes its object database. */
int gitrepo_adopt(git_repository *repo, struct gitrepo **ret, struct diag *diag) MUST_USE;

/* ---- gitpin_tree.c: the raw tree object, as data ---- */

struct gitpin_entry {
    unsigned int mode; /* enum TREE_* of treedigest.h */
    struct view name;
    git_oid id;
};

/*
 * The entries of one tree object, all checked; *ret_entries is owned, the names are borrowed from 'data'. 'directory' is for
 * the message.
 */
int gitpin_tree_parse(struct view data, struct view directory, struct gitpin_entry **ret_entries,
                      size_t *ret_count, struct diag *diag) MUST_USE;
/* Would some file system take this name for ".git"? */
bool gitpin_name_is_dotgit(struct view name);
/* The text of a .gitmodules: FARM_E_REFUSED with the line. */
int gitpin_modules_check(struct view text, struct diag *diag) MUST_USE;

/* ---- gitpin_walk.c ---- */

enum gitpin_step { STEP_ENTER, STEP_LEAVE, STEP_BLOB, STEP_GITLINK };

/* One step of a walk in tree order. The root has an empty path. 'size' is a blob's. */
struct gitpin_visit {
    enum gitpin_step step;
    struct view path;
    unsigned int mode;
    const git_oid *id;
    uint64_t size;
};
typedef int gitpin_visitor(void *context, const struct gitpin_visit *visit, struct diag *diag);

/* Looks the commit up; FARM_E_SYNTAX for what is no full id. *ret is owned (git_commit_free). */
int gitpin_commit(struct gitrepo *repo, const char *commit, git_commit **ret, struct diag *diag) MUST_USE;
/* Visits everything below the commit's tree, within the limits. */
int gitpin_walk(struct gitrepo *repo, const git_commit *commit, struct gitpin_limits limits,
                gitpin_visitor *visit, void *context, struct diag *diag) MUST_USE;
/* Reads a blob that the walk visited; *ret is owned (git_odb_object_free). */
int gitpin_blob(struct gitrepo *repo, const struct gitpin_visit *visit, git_odb_object **ret,
                struct diag *diag) MUST_USE;
static inline struct view gitpin_content(git_odb_object *object)
{
    return view_of(git_odb_object_data(object), git_odb_object_size(object));
}

#endif
