/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Area: room for a whole artifact. libdeflate, several times faster than zlib, has no streaming interface; so what it works
 * on is mapped: in memory up to AREA_MEMORY_MAX, in an unlinked file beyond. Internal to the store.
 */
#ifndef FARM_AREA_H
#define FARM_AREA_H

#include "diag.h"

#include <stdbool.h>
#include <stdint.h>

struct area {
    char *data;
    size_t size;
};

#define AREA_INIT                                                                                            \
    {                                                                                                        \
        0                                                                                                    \
    }
#define CLEANUP_AREA __attribute__((cleanup(area_done)))

/* Two of these may be needed at once, by each of a few threads, on a machine of 4 GiB. */
#define AREA_MEMORY_MAX ((uint64_t)512 << 20)

/* Of at least one byte. Its content is undefined. Errors: no space in TMPDIR (default /var/tmp). */
int area_open(struct area *ret, uint64_t size, struct diag *diag) MUST_USE;
void area_done(struct area *area);

#endif
