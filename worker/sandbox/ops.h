/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Operations: what bubblewrap shall do, as data. A job becomes a list; the list is validated as a whole; only
 * then does it become an argument vector. Nothing here touches the system.
 *
 * Order matters and is checked: the root first, then what lies on it, so that no operation hides an earlier one.
 */
#ifndef FARM_SANDBOX_OPS_H
#define FARM_SANDBOX_OPS_H

#include "job.h"

#include <linux/capability.h>

enum op_kind { OP_BIND, OP_BIND_READONLY, OP_PROC, OP_DEV, OP_REMOUNT_READONLY, OP_TMPFS };

struct op {
    enum op_kind kind;
    char *source; /* binds: absolute, in the launcher's mount namespace; owned */
    char *target; /* absolute, in the new root; owned */
    uint64_t size;
    unsigned mode; /* tmpfs */
};

enum { OPS_MAX = SANDBOX_BINDS_MAX + 16 };

struct ops {
    struct op items[OPS_MAX];
    size_t count;
};

/* DESIGN: exactly these; a bit for each. */
#define OPS_CAPABILITIES                                                                                     \
    (UINT64_C(1) << CAP_CHOWN | UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_FOWNER |                \
     UINT64_C(1) << CAP_FSETID | UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID |                     \
     UINT64_C(1) << CAP_KILL)

/* Where the launcher puts things in its own mount namespace; OPS_STAGE is a tmpfs of its own. */
#define OPS_STAGE "/tmp"
#define OPS_STATE OPS_STAGE "/state"
#define OPS_ROOT  OPS_STAGE "/root"
#define OPS_MASK  OPS_STAGE "/mask"

void ops_done(struct ops *ops);
void ops_build(const struct job *job, struct ops *ret);
/* Sources below the stage, targets plain and not hiding one another, sizes set. FARM_E_REFUSED. */
int ops_validate(const struct ops *ops, struct diag *diag) MUST_USE;

/* A NULL-terminated vector; owned, with its strings (argv_free). */
struct argv {
    char **items;
    size_t count, capacity;
};
void argv_done(struct argv *argv);
/* 'cpus': farm-init's argument (mask_choose). */
void ops_argv(const struct ops *ops, const char *bwrap, const char *hostname, int seccomp_fd, int init_fd,
              const char *cpus, struct argv *ret);

#endif
