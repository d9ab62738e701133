/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Facts: what this machine really has, coarsely: enough to place work and to tell independent machines apart,
 * not enough to track a donor. Nothing else about the machine ever leaves it.
 */
#ifndef FARM_FACTS_H
#define FARM_FACTS_H

#include "diag.h"
#include "view.h"

enum { FACTS_TEXT_MAX = 64 };

struct facts {
    char cpu_vendor[FACTS_TEXT_MAX]; /* "AuthenticAMD"; "unknown" */
    char cpu_level[FACTS_TEXT_MAX];  /* "x86-64-v3"; the machine's name elsewhere */
    char kernel[FACTS_TEXT_MAX];     /* "6.1": no more than two numbers */
    uint64_t cores;                  /* this process may use (affinity) */
    uint64_t memory_bytes;
    uint64_t disk_free_bytes; /* of the file system with the state directory */
};

/* From the text of /proc/cpuinfo and uname's strings; pure. */
void facts_cpu(struct view cpuinfo, const char *machine, struct facts *ret);
void facts_kernel(const char *release, struct facts *ret);
/* Asks this machine. */
int facts_read(int state_dirfd, struct facts *ret, struct diag *diag) MUST_USE;

#endif
