/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plant: creates directories, files and links below a directory, never through a symlink and never over something
 * that is there. What archives are unpacked with. Internal to the store.
 *
 * Directories are made 0700 and get their mode and time in plant_finish, so that one without write permission can
 * be filled by somebody who is not root.
 */
#ifndef FARM_PLANT_H
#define FARM_PLANT_H

#include "diag.h"
#include "map.h"

#include <sys/types.h>

struct plant {
    int dirfd;        /* borrowed */
    int64_t epoch;    /* the mtime of everything, in seconds */
    int parent_fd;    /* the directory used last, owned; -1: none */
    char *parent;     /* its path, owned */
    struct map *made; /* path -> struct planted_dir, in the order of creation */
};

void plant_init(struct plant *plant, int dirfd, int64_t epoch);
void plant_done(struct plant *plant);

/* In these, -EEXIST means that something has this name already; the diag is set for every other error. A symlink on
 * the way, or a parent that is no directory, is FARM_E_REFUSED. */

/* A directory that exists is kept; if we made it, it gets this mode. */
int plant_dir(struct plant *plant, struct view path, unsigned int mode, struct diag *diag) MUST_USE;
/* Makes the directories above 'path' that do not exist, with mode 0755. */
int plant_parents(struct plant *plant, struct view path, struct diag *diag) MUST_USE;
/* Opens a new file for writing; plant_close_file sets mode and time and closes it (also on failure). */
int plant_open_file(struct plant *plant, struct view path, int *ret_fd, struct diag *diag) MUST_USE;
int plant_close_file(struct plant *plant, struct view path, int fd, unsigned int mode,
                     struct diag *diag) MUST_USE;
int plant_link(struct plant *plant, struct view path, struct view target, struct diag *diag) MUST_USE;
/* A second name for a regular file that was planted before. */
int plant_hardlink(struct plant *plant, struct view path, struct view existing, struct diag *diag) MUST_USE;
/* Modes and times of the directories made. */
int plant_finish(struct plant *plant, struct diag *diag) MUST_USE;

#endif
