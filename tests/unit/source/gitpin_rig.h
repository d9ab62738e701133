/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of gitpin share: a bare repository in a directory of its own, objects written into it that no honest git would write,
 * and a tree with all that an honest one may have. Failures end the test.
 */
#ifndef FARM_GITPIN_RIG_H
#define FARM_GITPIN_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gitpin_private.h"

struct place {
    char *directory, *path; /* scratch, and a bare repository in it */
    git_repository *raw;    /* for writing what libgit2's own checks would not */
    git_odb *odb;
};

/* *state is a struct place. */
int rig_setup(void **state);
int rig_teardown(void **state);
#define TEST(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

void must(int r, const struct diag *diag);

/* Objects, as they are told, well-formed or not. */
git_oid put_blob(struct place *place, struct view content);
void add_entry(struct buf *tree, const char *mode, const char *name, const git_oid *id);
git_oid put_tree(struct place *place, const struct buf *tree);
/* The commit's id, in *ret. */
void put_commit(struct place *place, const git_oid *tree, char ret[65]);
/* A commit whose root holds one entry. */
void commit_of_entry(struct place *place, const char *mode, const char *name, struct view content,
                     char ret[65]);
/* A tree with all that an honest one may have. */
void honest_commit(struct place *place, char ret[65]);

/* The repository, as the product sees it. */
struct gitrepo *opened(const struct place *place);
int inspect(const struct place *place, const char *commit, struct gitpin_info *ret, struct diag *diag);
/* Inspecting it is refused, in words with this one among them. */
void expect_refused(struct place *place, const char *commit, const char *word);
/* An empty directory below the place's own; its descriptor. */
int new_dir(const struct place *place, const char *name);
/* Into a new directory of this name; if it is refused, nothing was written. */
int checkout_with(struct place *place, const char *commit, const struct digest *digest, const char *name,
                  struct diag *diag);
/* A pack of the commit; its path, the caller's. */
char *pack_of(struct place *place, const char *commit, const char *name);
int fetch(const char *url, const char *ref, const char *commit, const char *path, bool allow_file,
          struct diag *diag);
/* Runs git(1) without anybody's configuration; the first line of its output. */
bool run_git(const char *script, char *ret_line, size_t size);

#endif
