/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Report: what farm-init tells the launcher, one datagram each on a SOCK_SEQPACKET pair. Both are built together,
 * so a plain struct is the format.
 *
 * REPORT_HELLO comes first and carries descriptors of the build's own view, in the order of enum report_fd: through them
 * the launcher's watchdog sees exactly the build's processes and memory file systems, and no others.
 */
#ifndef FARM_REPORT_H
#define FARM_REPORT_H

#include <stdint.h>

/* Where farm-init finds its two descriptors. */
enum { INIT_FD_SCRIPT = 3, INIT_FD_STATUS = 4 };

enum report_kind { REPORT_HELLO = 1, REPORT_STEP_START, REPORT_STEP_END, REPORT_DONE, REPORT_BROKEN };

enum report_fd { REPORT_FD_PROC, REPORT_FD_TMP, REPORT_FD_SHM, REPORT_FD_SYSV, REPORT_FDS };

struct report {
    uint32_t kind;
    uint32_t step;
    int32_t status; /* STEP_END: as wait(2) gives it; BROKEN: errno */
    uint32_t reserved;
    uint64_t wall_us, user_us, system_us, peak_bytes;
    char text[64]; /* BROKEN: what could not be done */
};

#endif
