/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Configuration of the coordinator: the [coordinator] section of farm.conf. The keys, their defaults, units
 * and ranges are one table (config.c); farm.conf.example says the same in words, and a test compares the two.
 */
#ifndef FARM_CONFIG_H
#define FARM_CONFIG_H

#include "conf.h"

struct coordinator_config {
    char *path; /* where it was read; not a key */
    const char *
        forced_log_format; /* the command line's, or NULL: log_format does not count then; borrowed; not a key */
    char *state_dir;
    char *control_listen, *bulk_listen; /* "host:port" to bind */
    char *advertise;                    /* host that workers dial; in the join string */
    char *control_socket;               /* farmctl's Unix socket; "" means STATE/control.sock */
    char *local_repositories;           /* list of path prefixes that may be opened as git repositories */
    char *log_level, *log_format;
    char *log_origin; /* name of the transparency log; "" means one made of the coordinator's key */
    uint64_t pool_threads;
    uint64_t session_timeout, lease_grace, lease_margin, heartbeat; /* seconds */
    uint64_t outvoted_limit, refusals_limit, rest;
    uint64_t download_limit; /* bytes of one archive */
    uint64_t upload_limit;   /* bytes of one object from a worker, uncompressed */
    uint64_t plan_memory; /* seconds that a plan stays in memory after its end, or after somebody named it */
    uint64_t keep_finished;  /* seconds after its end until a plan may be dropped; 0: never */
    uint64_t collect_grace;  /* seconds an unreferenced object is kept */
    uint64_t reserve;        /* bytes of free disk below which no new work is taken */
    uint64_t scrub_interval; /* seconds in which every object is read once; 0: never by itself */
    char *web_listen;        /* [web] listen; "": no web server */
    bool allow_http, allow_private_addresses;
};

extern const struct conf_key coordinator_keys[];
extern const size_t coordinator_nkeys;

int config_read(const char *path, struct coordinator_config *ret, struct diag *diag) MUST_USE;
/*
 * Reads the file again, for a coordinator that runs: takes over log_level and log_format, and appends the names of the other keys
 * whose value is not what it was ("a, b"): they need a restart. On failure nothing has changed.
 */
int config_reread(struct coordinator_config *config, struct buf *ret_later, struct diag *diag) MUST_USE;
/* Level and format, as it says, are the log's from now on. */
void config_apply_log(const struct coordinator_config *config);
void config_done(struct coordinator_config *config);

#endif
