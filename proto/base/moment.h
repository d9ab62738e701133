/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Time: milliseconds. Decisions take the time as an argument; only programs' outer loops ask the clock.
 */
#ifndef FARM_MOMENT_H
#define FARM_MOMENT_H

#include "view.h"

/* CLOCK_REALTIME in milliseconds since 1970: for what people read and what is signed. */
int64_t moment_wall_ms(void);
/* CLOCK_BOOTTIME in milliseconds: for deadlines; does not jump when the clock is set. */
int64_t moment_steady_ms(void);

struct moment_text {
    char text[32];
};

/* RFC 3339 in UTC with seconds: "2026-11-22T16:45:38Z". */
struct moment_text moment_format(int64_t wall_ms);
/* Exactly that form. */
bool moment_parse(struct view text, int64_t *ret_wall_ms);
/* For people: "850 ms", "12.3 s", "4 min 05 s", "3 h 12 min". */
struct moment_text moment_duration(int64_t ms);

#endif
