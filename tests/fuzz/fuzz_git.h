/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Git objects from a stranger's list. Each object is a byte (0 blob, 1 tree, 2 commit, of three) and a chunk. An object names earlier ones by
 * their place in the list (one byte), since nobody can guess an id: a tree's entries are "<mode> <name>", NUL, place; a commit's first byte is
 * the place of its tree, and what follows is the text behind "tree <id>\n".
 */
#ifndef FARM_FUZZ_GIT_H
#define FARM_FUZZ_GIT_H

#include "buf.h"
#include "gitpin_private.h"

enum { FUZZ_GIT_OBJECTS_MAX = 64 };

/* A repository in memory with these objects, and the last commit's id ("" if there is none). *ret is closed by the caller. */
void fuzz_git_make(struct view list, struct gitrepo **ret, char ret_commit[65]);
/* A list with one of everything. Appends. */
void fuzz_git_example(struct buf *ret);
/* The pack of the list's last commit, without its trailing SHA-1. Appends. */
void fuzz_git_pack(struct view list, struct buf *ret);

#endif
