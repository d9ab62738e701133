/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Timers: a binary heap of deadlines. O(log n) to set, move and cancel; the next one is free to look at.
 *
 * A timer is embedded in the thing that waits (a lease, a session) and must stay where it is while set.
 */
#ifndef FARM_TIMERS_H
#define FARM_TIMERS_H

#include "mem.h"

#include <stdbool.h>

struct timer {
    int64_t at_ms;
    size_t slot; /* position in the heap plus one; 0: not set */
};

struct timers {
    struct timer **heap;
    size_t count, capacity;
};

#define TIMERS_INIT                                                                                          \
    {                                                                                                        \
        0                                                                                                    \
    }

void timers_done(struct timers *timers);
/* Sets, or moves if it was set. */
void timers_set(struct timers *timers, struct timer *timer, int64_t at_ms);
void timers_cancel(struct timers *timers, struct timer *timer);
/* The earliest, or NULL. Borrowed. */
struct timer *timers_first(const struct timers *timers);
static inline bool timer_is_set(const struct timer *timer)
{
    return timer->slot != 0;
}

#endif
