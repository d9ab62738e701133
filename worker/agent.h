/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Agent: the worker's main thread. It owns the control socket, speaks for all slots, and never does anything
 * that takes long, so that heartbeats go out whatever the builds do.
 *
 *   SIGTERM, SIGINT  first: take nothing new, finish, leave. Second: stop now; leases go back.
 *   SIGUSR1          pause: take nothing new, keep what runs
 *   SIGUSR2          resume
 *   SIGRTMIN         drain: as the first SIGTERM, however often it comes
 *   SIGRTMIN+1       stop: as the second SIGTERM
 *   SIGHUP           read log_level and log_format of worker.conf again; on a terminal it ends the program, as ever
 */
#ifndef FARM_AGENT_H
#define FARM_AGENT_H

#include "workshop.h"

/* Call before any other thread exists: blocks the signals above, which the agent reads from a descriptor.
 * *ret_fd is owned. */
int agent_block_signals(int *ret_fd, struct diag *diag) MUST_USE;
/* Returns when the worker has stopped: an exit status. Signals come from 'signal_fd'. */
int agent_run(struct workshop *shop, int signal_fd, struct diag *diag) MUST_USE;

#endif
