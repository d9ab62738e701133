/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree walk: visits everything below a directory, never following a symlink. Internal to the store.
 *
 * One directory is open at a time, whatever the depth: each is opened again by its path from the root, so a hostile
 * tree cannot exhaust descriptors or the stack. The order is the file system's: callers sort.
 */
#ifndef FARM_TREEWALK_H
#define FARM_TREEWALK_H

#include "diag.h"
#include "view.h"

#include <sys/stat.h>

struct treewalk_entry {
    struct view path; /* from the root, without "./"; borrowed for the call */
    const char *name; /* the last component */
    int parent_fd;    /* the directory that holds it */
    const struct stat *status;
};

enum { TREEWALK_GO_ON, TREEWALK_SKIP /* do not descend into this directory */ };
/* Returns one of the above, or an error that ends the walk. */
typedef int treewalk_visit(void *context, const struct treewalk_entry *entry, struct diag *diag);

/* The root itself is not visited. */
int treewalk(int dirfd, treewalk_visit *visit, void *context, struct diag *diag) MUST_USE;

/* The target of a symlink just visited; owned. */
int treewalk_read_link(const struct treewalk_entry *entry, char **ret, struct diag *diag) MUST_USE;
/* "device", "socket", ...: for messages. */
const char *treewalk_type(mode_t mode);

#endif
