/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Schedule: what happens next. A heap by time; at the same time, what was put in first. Nothing is ever taken out before its time: who
 * changed their mind ignores the happening when it comes.
 */
#ifndef SIM_SCHEDULE_H
#define SIM_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum happening_kind {
    HAPPENS_FRAME,       /* .what: a struct frame arrives */
    HAPPENS_COORDINATOR, /* a turn of its loop, or its start after a crash */
    HAPPENS_INTAKE,      /* .what: an answer was checked in the pool */
    HAPPENS_WORKER,      /* .who */
    HAPPENS_PEOPLE
};

struct happening {
    int64_t at_ms;
    uint64_t order;
    enum happening_kind kind;
    size_t who;
    void *what;
};

struct schedule {
    struct happening *heap;
    size_t count, capacity;
    uint64_t order;
};

void schedule_add(struct schedule *schedule, int64_t at_ms, enum happening_kind kind, size_t who, void *what);
/* The first; false: nothing is left. */
bool schedule_take(struct schedule *schedule, struct happening *ret);
void schedule_done(struct schedule *schedule);

#endif
