/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Between the plan and the calls. Each call counts, lets the disk's model know, and does or refuses what it is asked. A file of them
 * includes this before all else: what it undefines would be too late behind a header of the system.
 */
#ifndef FARM_FAULT_CALLS_H
#define FARM_FAULT_CALLS_H

#undef _FILE_OFFSET_BITS /* else open() and open64() could not both be defined */
#undef _FORTIFY_SOURCE   /* its inline functions bear the names that are defined here */
#include "fault_private.h"

#include <dlfcn.h>
#include <limits.h>

/* Of this thread: calls that the model makes itself do not count. */
extern __thread int fault_inside;

/* The next definition: of the sanitizer or of the C library. */
#define NEXT(function)                                                                                       \
    static __typeof__(&function) next;                                                                       \
    if (next == NULL) {                                                                                      \
        fault_inside++;                                                                                      \
        next = (__typeof__(&function))dlsym(RTLD_NEXT, #function);                                           \
        fault_inside--;                                                                                      \
    }

enum fault_verdict { GO, FAIL, HALF };

/* This call may count. */
bool fault_watched(void);
/* Around a call that touches the disk: one at a time. */
void fault_enter(void);
void fault_leave(void);
/* 'class', with what is called upon what: for people. Between the two. */
enum fault_verdict fault_count(enum fault_class class, const char *call, const char *what);
/* All of it for a call that does not touch the disk: without the lock, and before anything is set up. */
bool fault_fails(enum fault_class class, const char *call, const char *what);
/* -1, with the errno that the plan has for a call that fails. */
int fault_refuse(void);
/* The plan's. */
unsigned int fault_seed(void);
bool fault_lies(void);

/* The descriptor's path; whether it is below the directory. */
bool fault_path_of(int fd, char path[static PATH_MAX]);
/* The directory that the path's last part is in, if it is one of ours. */
bool fault_find_place(int dirfd, const char *path, struct power_place *ret, char where[static PATH_MAX]);

#endif
