/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loop: wait, take a bounded number of messages, decide, commit, send. The only thread that touches the farm.
 */
#include "ctl.h"
#include "farm.h"
#include "farmlog.h"
#include "journal.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* One commit carries many answers, but nobody waits for more than these. */
enum { MESSAGES_A_TURN = 256 };

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

void farm_block_signals(void)
{
    sigset_t set = stop_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int open_signals(struct diag *diag)
{
    sigset_t set = stop_signals();
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd >= 0 ? fd : diag_errno(diag, "signalfd");
}

static int timeout_of(struct farm *farm)
{
    enum { LONGEST_MS = 5000 };
    int64_t due[] = {core_next_tick(farm->core), watch_due(farm->ctl), journal_due(farm)};
    int64_t first = due[0];
    for (size_t i = 1; i < ARRAY_SIZE(due); i++)
        first = due[i] < first ? due[i] : first;
    int64_t wait = first - farm_core_now();
    if (farm->nunsent > 0)
        wait = 0;
    if (wait > LONGEST_MS)
        wait = LONGEST_MS;
    return wait < 0 ? 0 : (int)wait;
}

static int take_messages(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct link_peer peer;
    for (int i = 0; i < MESSAGES_A_TURN; i++) {
        int result = link_server_receive(farm->control, &peer, &frame, diag);
        if (result <= 0)
            return result;
        sessions_receive(farm, &peer, buf_view(&frame));
    }
    return 0;
}

static void tick(struct farm *farm)
{
    struct core_event event = {.type = CORE_TICK};
    if (core_next_tick(farm->core) <= farm_core_now())
        (void)farm_feed(farm, &event, NULL);
    sessions_expire(farm);
    disk_turn(farm);
}

/* A second signal kills, as it would any program: what runs in the pool may take long to end, and may be killed. */
static void stop(struct farm *farm, int signal_fd)
{
    struct signalfd_siginfo info;
    sigset_t set = stop_signals();
    (void)!read(signal_fd, &info, sizeof info);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    log_info("stopping tasks=%zu", pool_pending(farm->pool));
    farm->stopping = true;
}

static int turn(struct farm *farm, int signal_fd, struct diag *diag)
{
    enum { FIXED = 3 };
    struct link_poll_item items[FIXED + CTL_CLIENTS_MAX + 1];
    items[0] = LINK_POLL_SERVER(farm->control);
    items[1] = LINK_POLL_FD(pool_fd(farm->pool), POLLIN);
    items[2] = LINK_POLL_FD(signal_fd, POLLIN);
    size_t clients = ctl_poll_items(farm->ctl, items + FIXED);
    int result = link_poll(items, FIXED + clients, timeout_of(farm), diag);
    if (result < 0)
        return result;
    if (items[2].readable)
        stop(farm, signal_fd);
    result = take_messages(farm, diag);
    if (result < 0)
        return result;
    farm_take_back(farm);
    pool_finish(farm->pool);
    tick(farm);
    ctl_handle(farm, farm->ctl, items + FIXED, clients);
    watch_poll_all(farm);
    result = farm_flush(farm, diag);
    return result < 0 ? result : journal_turn(farm, diag);
}

int farm_run(struct farm *farm, struct diag *diag)
{
    CLEANUP_CLOSE int signal_fd = open_signals(diag);
    if (signal_fd < 0)
        return signal_fd;
    int result = 0;
    while (result >= 0 && !farm->stopping)
        result = turn(farm, signal_fd, diag);
    return result;
}
