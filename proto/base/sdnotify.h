/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Notify: what systemd is told of a service with Type=notify, as sd_notify(3) describes it, without its library: one datagram of
 * "KEY=value" lines to the socket that $NOTIFY_SOCKET names. Without that variable nothing is sent.
 */
#ifndef FARM_SDNOTIFY_H
#define FARM_SDNOTIFY_H

#include "view.h"

/* "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=text"; several with '\n' between them. Never blocks; a failure is nobody's fault. */
void sdnotify_send(const char *state);

struct sdnotify_watchdog {
    int64_t every_ms; /* 0: nobody watches */
    int64_t due_ms;   /* on the caller's clock */
};
/* From $WATCHDOG_USEC and $WATCHDOG_PID: half of the time after which systemd would end us, as sd_watchdog_enabled(3) advises. */
struct sdnotify_watchdog sdnotify_watchdog_init(int64_t now_ms);
/* Sends if it is due: call it wherever the program shows that it goes on. */
void sdnotify_watchdog_turn(struct sdnotify_watchdog *watchdog, int64_t now_ms);
/* How long a loop may wait at most so that the next one is in time; 'wait_ms' if nobody watches. */
int sdnotify_watchdog_wait(const struct sdnotify_watchdog *watchdog, int64_t now_ms, int wait_ms);

#endif
