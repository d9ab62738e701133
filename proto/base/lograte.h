/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log rate: how many lines of the log one peer may cause. What strangers send is worth a line; a million of it would fill the
 * disk and hide what matters. Per peer, LOGRATE_LINES in LOGRATE_WINDOW_MS; how many were held back is told with the next line that
 * is written.
 */
#ifndef FARM_LOGRATE_H
#define FARM_LOGRATE_H

#include <stdbool.h>
#include <stdint.h>

enum { LOGRATE_LINES = 10, LOGRATE_WINDOW_MS = 60 * 1000 };

/* Begins as all zeros. */
struct lograte {
    int64_t window_ms; /* when it began; steady clock */
    uint32_t written;  /* in it */
    uint64_t held;     /* since the last line that was written */
};

/* May another line be written? Then *ret_held says how many were not, before it. */
bool lograte_pass(struct lograte *rate, int64_t now_ms, uint64_t *ret_held);

#endif
