/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loader paths: where the dynamic loader of a root looks for libraries (ld.so(8)), as lists of directories.
 */
#ifndef FARM_LDPATH_H
#define FARM_LDPATH_H

#include "rootview.h"
#include "view.h"

enum {
    LDPATH_DIRS_MAX =
        4096, /* directories in one list; more are not kept, and what lies there counts as missing */
    LDPATH_CONF_MAX = 64 << 10, /* bytes of one ld.so.conf file */
};

struct ldpath {
    char **dirs; /* absolute; owned */
    size_t count, capacity;
};

void ldpath_done(struct ldpath *path);
/* Adds once. */
void ldpath_add(struct ldpath *path, struct view dir);
/*
 * Adds the entries of an RPATH or RUNPATH of the file in directory 'origin' (absolute): $ORIGIN and $LIB are expanded;
 * empty and relative entries are left out, since they depend on the caller's directory.
 */
void ldpath_add_run(struct ldpath *path, struct view run, const char *origin);
/* Adds the built-in directories and what /etc/ld.so.conf and the files it includes name. */
void ldpath_add_system(struct ldpath *path, const struct rootview *view);

#endif
