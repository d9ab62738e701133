/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Progress of a start: to verify what years have left takes minutes. Each second systemd hears how far it is, and waits longer for
 * READY (EXTEND_TIMEOUT_USEC, sd_notify(3)); every ten seconds the log does. A start that takes less than a second says nothing.
 */
#ifndef FARM_STARTUP_PROGRESS_H
#define FARM_STARTUP_PROGRESS_H

#include <stdint.h>

struct startup_progress {
    const char *what; /* "the answers"; borrowed */
    uint64_t entries; /* of the log, over all of which it goes */
    int64_t tell_ms, log_ms;
};

/* Times are steady (moment.h), as in all that follows. */
struct startup_progress startup_progress_begin(const char *what, uint64_t entries, int64_t now_ms);
/* All that the log has below 'position' is done. Cheap: call it for each. */
void startup_progress_at(struct startup_progress *progress, uint64_t position, int64_t now_ms);

#endif
