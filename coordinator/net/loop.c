/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Loop: wait, take a bounded number of messages, decide, commit, send. The only thread that touches the farm.
 */
#include "ctl.h"
#include "farm.h"
#include "farmlog.h"
#include "journal.h"
#include "missing.h"
#include "scrub.h"
#include "sdnotify.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* One commit carries many answers, but nobody waits for more than these. */
enum { MESSAGES_A_TURN = 256 };

/* With a terminal, its end ends the program, as it would any other. */
static bool hears_hangup(void)
{
    return isatty(STDERR_FILENO) == 0;
}

static sigset_t stop_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    return set;
}

static sigset_t taken_signals(void)
{
    sigset_t set = stop_signals();
    if (hears_hangup())
        sigaddset(&set, SIGHUP);
    return set;
}

void farm_block_signals(void)
{
    sigset_t set = taken_signals();
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static int open_signals(struct diag *diag)
{
    sigset_t set = taken_signals();
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
    if (farm->leaving && farm->leave_by_ms - moment_steady_ms() < wait)
        wait = farm->leave_by_ms - moment_steady_ms();
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
    plans_forget_turn(farm);
    sessions_expire(farm);
    disk_turn(farm);
    missing_turn(farm);
    scrub_turn(farm);
}

static void on_flushed(struct farm *farm, void *context, int result)
{
    (void)context;
    (void)result; /* if its files are behind, the next start brings them up */
    farm->log_flushed = true;
}

/*
 * No lease is granted from now on; answers are still taken, tasks of the pool end, the log is published. LEAVE_MS bounds that: whatever is
 * not done then is told to end, and asked again after the next start; a scrub and a backup are told at once. A second signal kills, as it would
 * any program: a task that is in the middle of one large object ends after it, and may be killed.
 */
static void stop(struct farm *farm)
{
    enum { LEAVE_MS = 10 * 1000 };
    struct core_event hold = {.type = CORE_HOLD, .flag = true, .text = "the coordinator is being stopped"};
    sigset_t set = stop_signals();
    farm->leaving = true;
    pool_leave(farm->pool);
    farm->leave_by_ms = moment_steady_ms() + LEAVE_MS;
    (void)farm_feed(farm, &hold, NULL);
    journal_publish(farm, on_flushed, NULL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    log_event(LOG_LEVEL_INFO, "stopping", log_number(FIELD_COUNT, (int64_t)pool_pending(farm->pool)));
    sdnotify_send("STOPPING=1\nSTATUS=stopping");
}

static void leave_if_done(struct farm *farm)
{
    bool done = pool_pending(farm->pool) == 0 && farm->log_flushed;
    if (farm->leaving && (done || moment_steady_ms() >= farm->leave_by_ms))
        farm->stopping = true;
}

/* SIGHUP: what of the configuration can change under way. A file that is wrong changes nothing. */
static void reread(struct farm *farm)
{
    CLEANUP_BUF struct buf later = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = config_reread(&farm->config, &later, &diag);
    if (result < 0) {
        log_event(LOG_LEVEL_ERROR, "configuration not taken over",
                  log_text(FIELD_REASON, diag_text(&diag, result)));
        return;
    }
    config_apply_log(&farm->config);
    log_event(LOG_LEVEL_INFO, "configuration read again", log_text(FIELD_LEVEL, farm->config.log_level));
    if (later.size > 0)
        log_event(LOG_LEVEL_WARNING, "changed keys need a restart", log_text(FIELD_REASON, later.data));
}

static void take_signals(struct farm *farm, int signal_fd)
{
    struct signalfd_siginfo info;
    while (read(signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            reread(farm);
        else if (!farm->leaving)
            stop(farm);
    }
}

static int turn(struct farm *farm, int signal_fd, int wait_ms, struct diag *diag)
{
    enum { FIXED = 3 };
    struct link_poll_item items[FIXED + CTL_CLIENTS_MAX + 1];
    items[0] = LINK_POLL_SERVER(farm->control);
    items[1] = LINK_POLL_FD(pool_fd(farm->pool), POLLIN);
    items[2] = LINK_POLL_FD(signal_fd, POLLIN);
    size_t clients = ctl_poll_items(farm->ctl, items + FIXED);
    int result = link_poll(items, FIXED + clients, wait_ms, diag);
    if (result < 0)
        return result;
    double began = stats_clock();
    if (items[2].readable)
        take_signals(farm, signal_fd);
    result = take_messages(farm, diag);
    if (result < 0)
        return result;
    farm_take_back(farm);
    pool_finish(farm->pool);
    tick(farm);
    ctl_handle(farm, farm->ctl, items + FIXED, clients);
    watch_poll_all(farm);
    result = farm_flush(farm, diag);
    if (result >= 0)
        result = journal_turn(farm, diag);
    metrics_observe(&farm->stats.turn, stats_clock() - began);
    stats_turn(farm);
    leave_if_done(farm);
    return result;
}

int farm_run(struct farm *farm, struct diag *diag)
{
    CLEANUP_CLOSE int signal_fd = open_signals(diag);
    if (signal_fd < 0)
        return signal_fd;
    struct sdnotify_watchdog watchdog = sdnotify_watchdog_init(moment_steady_ms());
    int result = 0;
    stats_turn(farm); /* so that there is something from the first moment on */
    while (result >= 0 && !farm->stopping) {
        int64_t now = moment_steady_ms();
        sdnotify_watchdog_turn(&watchdog, now);
        result = turn(farm, signal_fd, sdnotify_watchdog_wait(&watchdog, now, timeout_of(farm)), diag);
    }
    return result;
}
