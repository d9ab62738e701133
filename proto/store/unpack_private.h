/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Unpack, as payload.c uses it for base root filesystems. */
#ifndef FARM_UNPACK_PRIVATE_H
#define FARM_UNPACK_PRIVATE_H

#include "unpack.h"

struct unpack_job {
    int dirfd;
    unsigned int strip;
    struct unpack_limits limits;
    int64_t epoch;
    /* A root filesystem: exact modes with setuid and sticky bits, the root's own included; devices, sockets and
     * FIFOs are left out instead of refused; tar only. */
    bool base;
};

int unpack_run(int archive_fd, const struct unpack_job *job, int64_t *ret_newest, struct diag *diag) MUST_USE;

#endif
