/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "startup_progress.h"

#include "farmlog.h"
#include "mem.h"
#include "sdnotify.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TELL_MS = 1000, LOG_MS = 10 * 1000, PATIENCE_S = 300 };

struct startup_progress startup_progress_begin(const char *what, uint64_t entries, int64_t now_ms)
{
    return (struct startup_progress){
        .what = what, .entries = entries, .tell_ms = now_ms + TELL_MS, .log_ms = now_ms + LOG_MS};
}

void startup_progress_at(struct startup_progress *progress, uint64_t position, int64_t now_ms)
{
    if (now_ms < progress->tell_ms)
        return;
    CLEANUP_FREE char *state = mem_format("EXTEND_TIMEOUT_USEC=%d000000\nSTATUS=verifying %s: entry %" PRIu64
                                          " of %" PRIu64 " of the log",
                                          PATIENCE_S, progress->what, position, progress->entries);
    sdnotify_send(state);
    progress->tell_ms = now_ms + TELL_MS;
    if (now_ms < progress->log_ms)
        return;
    log_event(LOG_LEVEL_INFO, "verifying before the start", log_text(FIELD_KIND, progress->what),
              log_number(FIELD_POSITION, (int64_t)position),
              log_number(FIELD_ENTRIES, (int64_t)progress->entries));
    progress->log_ms = now_ms + LOG_MS;
}
