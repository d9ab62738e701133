/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * State directory: everything a worker keeps, mode 0700.
 *
 *     worker.key    its keys (0600)            worker.conf   what it is and may use
 *     request.json  its enrolment request      root.json     the farm's trust root, if the owner gave it
 *     agent.pid     pid of the running worker; locked while it runs, so that there is one at a time
 *     status.json   what it does and did, for "farm-worker status"
 *     trust.json    the newest trust root and worker directory that it saw (trust.h)
 *     witness.json  what it saw of the transparency log (witness.h)
 *     cosigned      the newest checkpoint that it cosigned: a signed note, to be handed to whoever asks (0600)
 *     alarm.json    why it stopped believing its farm (alarm.h); alarm-<time>.json: what its owner cleared
 *     store/        objects                    trees/        checked-out package trees
 *     roots/        unpacked bases, closures   builds/       one directory per running lease
 *     spool/        answers not acknowledged yet
 *
 * A worker that is started as root becomes a user of its own; the directory is handed to that user first. All
 * paths inside are relative to the directory's descriptor, because that user may be unable to walk to it from
 * "/".
 */
#ifndef FARM_STATEDIR_H
#define FARM_STATEDIR_H

#include "diag.h"

#include <stdbool.h>
#include <sys/types.h>

#define STATEDIR_KEY      "worker.key"
#define STATEDIR_CONF     "worker.conf"
#define STATEDIR_REQUEST  "request.json"
#define STATEDIR_ROOT     "root.json"
#define STATEDIR_PID      "agent.pid"
#define STATEDIR_STATUS   "status.json"
#define STATEDIR_TRUST    "trust.json"
#define STATEDIR_WITNESS  "witness.json"
#define STATEDIR_COSIGNED "cosigned"
#define STATEDIR_ALARM    "alarm.json"
#define STATEDIR_STORE    "store"
#define STATEDIR_TREES    "trees"
#define STATEDIR_ROOTS    "roots"
#define STATEDIR_BUILDS   "builds"
#define STATEDIR_SPOOL    "spool"

/* Makes it (and its parents) if it is not there; checks mode and owner. *ret_fd is owned. */
int statedir_create(const char *path, int *ret_fd, struct diag *diag) MUST_USE;
/* FARM_E_MISSING if there is none, saying to run init; -EACCES, saying whose it is, when it is another user's. */
int statedir_open(const char *path, int *ret_fd, struct diag *diag) MUST_USE;
/* When root: gives root's directory and everything in it to the build user, unless that has happened. Otherwise
 * nothing. 'whole': also when the directory itself is the build user's already (a package made it), since what root
 * has just put into it is not. FARM_E_CONFIG if it is somebody else's, who would be locked out. */
int statedir_hand_over(int fd, bool whole, struct diag *diag) MUST_USE;
/* Takes the lock and writes our pid: *ret_lock (owned) holds it until it is closed. FARM_E_STATE: a worker
 * runs there. */
int statedir_lock(int fd, int *ret_lock, struct diag *diag) MUST_USE;
/* The pid of the worker that runs there; FARM_E_STATE if none does. */
int statedir_running(int fd, pid_t *ret, struct diag *diag) MUST_USE;
/* Makes the directories that are missing. */
int statedir_fill(int fd, struct diag *diag) MUST_USE;

#endif
