/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lograte.h"

bool lograte_pass(struct lograte *rate, int64_t now_ms, uint64_t *ret_held)
{
    if (rate->written == 0 || now_ms - rate->window_ms >= LOGRATE_WINDOW_MS) {
        rate->window_ms = now_ms;
        rate->written = 0;
    }
    if (rate->written == LOGRATE_LINES) {
        rate->held++;
        return false;
    }
    rate->written++;
    *ret_held = rate->held;
    rate->held = 0;
    return true;
}
