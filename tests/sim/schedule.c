/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "schedule.h"

#include "mem.h"

#include <stdlib.h>

static bool before(const struct happening *a, const struct happening *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(struct happening *a, struct happening *b)
{
    struct happening kept = *a;
    *a = *b;
    *b = kept;
}

void schedule_add(struct schedule *schedule, int64_t at_ms, enum happening_kind kind, size_t who, void *what)
{
    schedule->heap =
        mem_reserve(schedule->heap, &schedule->capacity, schedule->count + 1, sizeof *schedule->heap);
    size_t at = schedule->count++;
    schedule->heap[at] = (struct happening){at_ms, schedule->order++, kind, who, what};
    for (; at > 0 && before(&schedule->heap[at], &schedule->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap(&schedule->heap[at], &schedule->heap[(at - 1) / 2]);
}

bool schedule_take(struct schedule *schedule, struct happening *ret)
{
    struct happening *heap = schedule->heap;
    if (schedule->count == 0)
        return false;
    *ret = heap[0];
    size_t n = --schedule->count;
    heap[0] = heap[n];
    for (size_t at = 0, child = 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && before(&heap[child + 1], &heap[child]))
            child++;
        if (!before(&heap[child], &heap[at]))
            break;
        swap(&heap[child], &heap[at]);
        at = child;
    }
    return true;
}

void schedule_done(struct schedule *schedule)
{
    free(schedule->heap);
}
