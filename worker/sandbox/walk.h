/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Walk: goes through a tree that a build wrote, of any depth, with two descriptors and no symbolic link followed.
 *
 * A build may nest directories far beyond PATH_MAX and beyond the descriptors of a process (gnulib's configure
 * does so in earnest), so the way down keeps names, not descriptors, and the way up is "..", checked against the
 * device and inode seen on the way down.
 */
#ifndef FARM_SANDBOX_WALK_H
#define FARM_SANDBOX_WALK_H

#include "mem.h"

#include <stdbool.h>
#include <sys/stat.h>

struct walk {
    /* Before a directory is opened. Negative: end the walk with that error. May be NULL. */
    int (*enter)(int dirfd, const char *name, const struct stat *st, void *arg);
    /* Anything but a directory. */
    int (*entry)(int dirfd, const char *name, const struct stat *st, void *arg);
    /* After everything in a directory, 'name' in 'dirfd'. May be NULL. */
    int (*leave)(int dirfd, const char *name, void *arg);
    void *arg;
    /* Entries that vanish, and directories that cannot be opened, are passed over: for a tree that is in use. */
    bool tolerant;
};

/* 'path' itself is a directory and is entered and left like the others. */
int walk_tree(int dirfd, const char *path, const struct walk *walk) MUST_USE;

#endif
