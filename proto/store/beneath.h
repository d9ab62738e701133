/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Beneath: opening files below a directory without ever leaving it or following a symlink.
 *
 * One place for openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS (Linux 5.6), so that no walk of components
 * by hand is needed and a tree that somebody else wrote cannot lead us out of it. Internal to the store.
 */
#ifndef FARM_BENEATH_H
#define FARM_BENEATH_H

#include "view.h"

#include <sys/types.h>

/* A descriptor (always CLOEXEC), or -errno: -ELOOP for a symlink on the way, -EXDEV for a way out. "" is dirfd itself. */
int beneath_open(int dirfd, struct view path, int flags, mode_t mode) MUST_USE;
/* The directory that holds 'path', and the last component (borrowed from path). */
int beneath_open_parent(int dirfd, struct view path, struct view *ret_name) MUST_USE;
/*
 * A regular file for reading, or -errno. One that its owner may not read (mode 0000, 4111) is made readable for the
 * moment of opening, so that a build gives the same manifest to a rootless worker as to root.
 */
int beneath_open_file(int dirfd, struct view path) MUST_USE;

/* The part before and after the last '/'. */
struct view beneath_parent(struct view path, struct view *ret_name);

#endif
