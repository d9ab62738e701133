/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Doctor of a coordinator: what "farmctl doctor" looks at, as one table (doctor.c). Everything but the last rows is seen from outside, in
 * configuration and state directory, and so works when the coordinator does not run, or will not start; nothing is changed.
 */
#ifndef FARM_DOCTOR_H
#define FARM_DOCTOR_H

#include "cli.h"
#include "config.h"
#include "health.h"

struct doctor {
    const char *config_path; /* NULL: none was found */
    struct coordinator_config config;
    int config_error; /* of reading it */
    struct diag config_diag;
    int state_dirfd; /* -1: cannot be opened */
    int state_error; /* why, as errno */
    json_t *status;  /* what a running coordinator answers; NULL: none answers */
    int64_t now_ms;
};

extern const struct health_check doctor_checks[];
extern const size_t doctor_nchecks;

#endif
