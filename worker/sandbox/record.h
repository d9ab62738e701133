/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Record: what the launcher leaves in the result file that the worker gave it: live figures while it runs, the
 * result at the end. Both are the same binary, so the struct is the format; magic and size are checked. And the
 * descriptors that the launcher finds open.
 */
#ifndef FARM_SANDBOX_RECORD_H
#define FARM_SANDBOX_RECORD_H

#include "sandbox.h"

enum { RECORD_MAGIC = 0x31525346 }; /* "FSR1" */

struct record {
    uint32_t magic;
    uint32_t finished;
    int32_t step;
    uint64_t memory_bytes;
    struct sandbox_result result;
};

enum {
    LAUNCHER_FD_JOB = 3,
    LAUNCHER_FD_SCRIPT,
    LAUNCHER_FD_RESULT,
    LAUNCHER_FD_LIFELINE, /* hangs up when the worker dies or wants the build to end */
    LAUNCHER_FD_LOG,
    LAUNCHER_FD_STATE,
    LAUNCHER_FD_INIT, /* farm-init's executable */
    LAUNCHER_FD_END
};

#define LAUNCHER_NAME "farm-sandbox"

#endif
