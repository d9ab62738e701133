/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Check: what a payload must be before it counts as built (THREATS.md R5, R6).
 *
 * Quorum does not catch what identical workers agree on; these assertions are for that: a package that installed
 * nothing, a promised file that is not there, a program or library that cannot be loaded. Everything wrong is reported
 * at once, with the file and what to do.
 *
 *   payload-empty         no file, link or anything else but directories
 *   verify-path-missing   the recipe promises a path that is not in the payload
 *   library-missing       an ELF file needs a library that is neither in the payload nor in the build root
 *   interpreter-missing   the same for a program's loader
 *   elf-damaged           a file that the loader would refuse
 *   unreadable            the payload cannot be looked through
 *
 * A library is looked for where the loader would look: the file's RPATH or RUNPATH, then the system's directories. A
 * file without a loader of its own (a library, a plugin) is opened by some program, which may bring directories
 * along; so for these the RPATHs and RUNPATHs of all files of the payload count too.
 */
#ifndef FARM_CHECK_H
#define FARM_CHECK_H

#include "problems.h"

enum { CHECK_ROOTS_MAX = 31, CHECK_FILES_MAX = 1000000 /* entries of a payload */ };

struct check_input {
    int dest_dirfd;   /* the payload */
    const int *roots; /* directories of the build root, topmost first */
    size_t nroots;
    const char *const *verify_paths; /* absolute */
    size_t nverify_paths;
};

/* 0, or FARM_E_FAILED with at least one problem; its file names are absolute paths inside. */
int check_payload(const struct check_input *input, struct problems *problems) MUST_USE;

#endif
