/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Child: starts bubblewrap, and in it farm-init, with exactly these descriptors and limits and nothing of ours besides:
 *
 *   0 /dev/null   1, 2 log pipe   3 script   4 status socket   5 seccomp filter   6 farm-init's executable
 *
 * bubblewrap reads 5; farm-init closes what is left but the log and the status.
 */
#ifndef FARM_SANDBOX_CHILD_H
#define FARM_SANDBOX_CHILD_H

#include "job.h"

#include <sys/types.h>

enum { CHILD_FD_SECCOMP = 5, CHILD_FD_INIT, CHILD_FD_END };

struct child {
    pid_t pid;  /* bubblewrap's, and of the process group that farm-init is in too */
    int log;    /* read end, does not block; owned by the caller */
    int status; /* farm-init's reports (report.h); owned by the caller */
};

/* 'argv' from ops_argv(); the script lies at LAUNCHER_FD_SCRIPT, farm-init at LAUNCHER_FD_INIT. */
int child_start(const struct job *job, char *const *argv, struct child *ret, struct diag *diag) MUST_USE;

#endif
