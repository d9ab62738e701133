/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree hash: SHA-256 of many files below a directory, on more than one core when there is enough to do.
 * Internal to the store.
 */
#ifndef FARM_TREEHASH_H
#define FARM_TREEHASH_H

#include "digest.h"

struct treehash_job {
    struct view path; /* below the directory; borrowed */
    uint64_t size;    /* as stat said; a file that has another size by now is an error */
    struct digest ret;
};

/* With 'blob' the content is preceded by git's "blob <size>\0". FARM_E_STATE if a file changed meanwhile. */
int treehash(int dirfd, struct treehash_job *jobs, size_t count, bool blob, struct diag *diag) MUST_USE;

#endif
