/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Root view: several directories looked at as the one root that they make when laid over each other, the first on top.
 *
 * Symbolic links are resolved in the merged view, component by component, as they would be inside: a payload's
 * usr/lib/x behind the base's lib -> usr/lib is found as /lib/x. No path ever leaves the directories.
 */
#ifndef FARM_ROOTVIEW_H
#define FARM_ROOTVIEW_H

#include "diag.h"

#include <stdbool.h>
#include <sys/stat.h>

enum { ROOTVIEW_DIRS_MAX = 32, ROOTVIEW_PATH_MAX = 4096, ROOTVIEW_LINKS_MAX = 40 /* as in the kernel */ };

struct rootview {
    int dirs[ROOTVIEW_DIRS_MAX]; /* borrowed, topmost first */
    size_t count;
};

struct rootview_found {
    char path[ROOTVIEW_PATH_MAX]; /* real, relative to the root; "" is the root itself */
    size_t dir;                   /* which of the directories */
    struct stat st;
};

/*
 * 'path' is taken from the root, with or without a leading slash. With follow, a link at the end is resolved too. -ENOENT,
 * -ELOOP, -ENAMETOOLONG, -ENOTDIR.
 */
int rootview_find(const struct rootview *view, const char *path, bool follow,
                  struct rootview_found *ret) MUST_USE;
/* Opens a regular file for reading; -EINVAL if it is none. Owned. */
int rootview_open(const struct rootview *view, const char *path) MUST_USE;
/* Opens a directory of one of the layers; for listing. Owned. */
int rootview_open_dir(const struct rootview *view, size_t dir, const char *path) MUST_USE;

#endif
