/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Watch: what a running build uses, sampled, and which limit it is over.
 *
 * Best effort by nature; what it can and cannot see:
 * - memory: first the sum of all resident sets, which is cheap and never too low, with System V segments and what
 *   lies in /tmp and /dev/shm. Only when that is over the limit, the exact figure decides: each process's
 *   proportional share of anonymous and shared pages. The next look comes sooner the nearer the limit is. A
 *   build can overshoot by what it allocates between two looks (WATCH_GROWTH assumes 4 GiB/s).
 * - processes: counted through the task directories. The rlimit of the build's own user namespace is what stops
 *   a fork bomb; this only tells why the build failed.
 * - disk: free space of the file system tells cheaply when a closer look is due; then the trees are
 *   measured, and files that are deleted but still open.
 *
 * Reads through descriptors that farm-init handed over, so it sees the build's processes and no others.
 */
#ifndef FARM_SANDBOX_WATCH_H
#define FARM_SANDBOX_WATCH_H

#include "report.h"
#include "sandbox.h"

#include <dirent.h>

enum watch_breach { WATCH_NONE, WATCH_MEMORY, WATCH_PROCESSES, WATCH_DISK, WATCH_RESERVE };

struct watch_sample {
    uint64_t memory_bytes;
    unsigned tasks; /* without farm-init */
    uint64_t disk_bytes;
    uint64_t free_bytes; /* of the file system */
};

struct watch {
    struct sandbox_limits limits;
    DIR *proc; /* the build's /proc; NULL until farm-init said hello */
    int tmp_fd, shm_fd, sysv_fd;
    int disk_dirfd;                           /* the file system that is watched; borrowed */
    const char *trees[SANDBOX_BINDS_MAX + 1]; /* below disk_dirfd; borrowed */
    size_t ntrees;
    uint64_t disk_measured; /* bytes in the trees when they were last measured */
    uint64_t free_measured; /* free space at that time */
    uint64_t next_measure_us;
    uint64_t memory_peak, disk_peak;
};

/* Remembers the free space to compare with. */
int watch_init(struct watch *watch, const struct sandbox_limits *limits, int disk_dirfd,
               struct diag *diag) MUST_USE;
/* Takes the descriptors (enum report_fd) over. */
int watch_attach(struct watch *watch, int fds[REPORT_FDS], struct diag *diag) MUST_USE;
void watch_done(struct watch *watch);
/* Looks once. 'now' is monotonic, in microseconds. */
enum watch_breach watch_look(struct watch *watch, uint64_t now, struct watch_sample *ret);
/* Free space now. */
uint64_t watch_free(const struct watch *watch);
/* Pure: the first limit that the sample is over. */
enum watch_breach watch_judge(const struct sandbox_limits *limits, const struct watch_sample *sample);
/* Pure: milliseconds until the next look. */
int watch_interval(const struct sandbox_limits *limits, const struct watch_sample *sample);

/* The kernel's count of processes that it ended for want of memory, on the whole machine. */
uint64_t watch_host_oom_kills(void);

#endif
