/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "timers.h"

#include <stdlib.h>

static void place(struct timers *timers, size_t slot, struct timer *timer)
{
    timers->heap[slot] = timer;
    timer->slot = slot + 1;
}

static size_t sift_up(struct timers *timers, size_t slot, struct timer *timer)
{
    while (slot > 0 && timers->heap[(slot - 1) / 2]->at_ms > timer->at_ms) {
        place(timers, slot, timers->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    return slot;
}

static size_t sift_down(struct timers *timers, size_t slot, struct timer *timer)
{
    for (;;) {
        size_t child = 2 * slot + 1;
        if (child >= timers->count)
            return slot;
        if (child + 1 < timers->count && timers->heap[child + 1]->at_ms < timers->heap[child]->at_ms)
            child++;
        if (timers->heap[child]->at_ms >= timer->at_ms)
            return slot;
        place(timers, slot, timers->heap[child]);
        slot = child;
    }
}

static void settle(struct timers *timers, size_t slot, struct timer *timer)
{
    slot = sift_up(timers, slot, timer);
    slot = sift_down(timers, slot, timer);
    place(timers, slot, timer);
}

void timers_done(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers)TIMERS_INIT;
}

void timers_set(struct timers *timers, struct timer *timer, int64_t at_ms)
{
    timer->at_ms = at_ms;
    if (timer->slot == 0) {
        timers->heap = mem_reserve(timers->heap, &timers->capacity, timers->count + 1, sizeof *timers->heap);
        timers->count++;
        settle(timers, timers->count - 1, timer);
    } else {
        settle(timers, timer->slot - 1, timer);
    }
}

void timers_cancel(struct timers *timers, struct timer *timer)
{
    if (timer->slot == 0)
        return;
    size_t slot = timer->slot - 1;
    timer->slot = 0;
    struct timer *last = timers->heap[--timers->count];
    if (last != timer)
        settle(timers, slot, last);
}

struct timer *timers_first(const struct timers *timers)
{
    return timers->count > 0 ? timers->heap[0] : NULL;
}
