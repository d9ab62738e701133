/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A backup being made: one task that goes through the pool again and again, each time for a short piece of work, so that publications
 * and answers get their turn with the smallest pool as well. In between, on the loop's thread, it says how far it is.
 */
#ifndef FARM_BACKUP_WORK_H
#define FARM_BACKUP_WORK_H

#include "backup.h"
#include "ctl.h"

enum backup_step { BACKUP_DATABASE, BACKUP_SMALL, BACKUP_COPY, BACKUP_APPEAR, BACKUP_CLEAN, BACKUP_DONE };

/* Read on the loop's thread, where no other turn can change one of them. */
struct backup_small {
    char *path;
    struct buf content;
};

struct backup_work {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;             /* borrowed, as all that is const */
    const struct identity *identity; /* for coordinator.key */
    const char *state_path;
    int64_t started_ms; /* of this process, wall */
    char *to, *temp;
    enum backup_step step;
    struct backup_list list;
    struct backup_small *small;
    size_t nsmall, capacity;
    struct digest *objects;
    size_t nobjects, objects_capacity, next;
    uint64_t copied_bytes;
    size_t nlinked, nread; /* from the earlier backup; so many of these were read before */
    size_t nrotten;        /* that were damaged there, and were taken from the store anew */
    struct digest *rotten; /* the first BACKUP_MISSING_MAX of them */
    size_t rotten_capacity;
    size_t nmissing;          /* list.missing names no more than BACKUP_MISSING_MAX of them */
    int dirfd, earlier_dirfd; /* of 'temp'; of the backup that 'to' is now, -1: none */
    int result;
    struct diag diag;
};

/* The next step, or a piece of it; sets .step to what comes after it. On a pool thread. */
void backup_run(struct pool_task *task);
/* What is unfinished stays, when the coordinator stops: the next backup removes it. */
void backup_work_free(struct backup_work *work);

#endif
