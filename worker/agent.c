/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "agent_private.h"

#include "farmlog.h"
#include "moment.h"
#include "sdnotify.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* ---- modes ---- */

size_t agent_free_slots(const struct agent *agent)
{
    size_t count = 0;
    for (size_t i = 0; i < agent->nslots; i++)
        count += agent->idle[i];
    return count;
}

bool agent_is_paused(const struct agent *agent)
{
    return agent->paused_by_owner || agent->paused_by_farm || agent->hindrance[0] != '\0';
}

void agent_mode_changed(struct agent *agent, const char *text)
{
    agent->status_changed = true;
    if (agent->welcomed)
        agent_say_status(agent, text);
}

static void stop_or_drain(struct agent *agent)
{
    if (agent->draining)
        agent->stopping = true;
    agent->draining = true;
    agent_return_waiting(agent, "this worker finishes what it has and leaves");
    size_t busy = agent->nslots - agent_free_slots(agent);
    if (agent->stopping)
        log_event(LOG_LEVEL_INFO, "stopping now; leases go back", log_number(FIELD_COUNT, (int64_t)busy));
    else if (busy > 0)
        log_event(LOG_LEVEL_INFO, "finishing running leases, then leaving (once more to stop now)",
                  log_number(FIELD_COUNT, (int64_t)busy));
    agent_mode_changed(agent, "the owner stops this worker");
}

/* The rest of worker.conf holds from the next start on: what was told to the coordinator shall not change under its leases. */
static void reread(const struct agent *agent)
{
    struct worker_conf conf = {0};
    struct diag why = DIAG_INIT;
    int error = workshop_read_conf(agent->shop->state_dirfd, &conf, &why);
    if (error < 0) {
        log_event(LOG_LEVEL_ERROR, "configuration not taken over",
                  log_text(FIELD_REASON, diag_text(&why, error)));
        return;
    }
    worker_conf_apply_log(&conf);
    log_event(LOG_LEVEL_INFO, "configuration read again", log_text(FIELD_LEVEL, conf.log_level));
    worker_conf_done(&conf);
}

static void on_signal(struct agent *agent, int number)
{
    if (number == SIGTERM || number == SIGINT) {
        stop_or_drain(agent);
    } else if (number == SIGHUP) {
        reread(agent);
    } else if (number == SIGUSR1) {
        agent->paused_by_owner = true;
        log_info("paused: no new leases are taken, running ones go on");
        agent_mode_changed(agent, "paused by the owner");
    } else if (number == SIGUSR2) {
        agent->paused_by_owner = false;
        log_info("resumed");
        agent_mode_changed(agent, "resumed by the owner");
    } else if (number == SIGRTMIN + 1) {
        agent->draining = true;
        stop_or_drain(agent);
    } else if (!agent->draining) {
        stop_or_drain(agent);
    }
}

int agent_block_signals(int *ret_fd, struct diag *diag)
{
    sigset_t set;
    sigemptyset(&set);
    const int numbers[] = {SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN + 1};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        sigaddset(&set, numbers[i]);
    if (isatty(STDERR_FILENO) == 0)
        sigaddset(&set, SIGHUP);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL) != 0)
        return diag_set(diag, -EINVAL, "cannot block signals");
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        return diag_errno(diag, "signalfd");
    *ret_fd = fd;
    return 0;
}

static void take_signals(struct agent *agent)
{
    struct signalfd_siginfo info;
    while (read(agent->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        on_signal(agent, (int)info.ssi_signo);
}

/* ---- status.json ---- */

static const char *mode_name(const struct agent *agent)
{
    if (agent->stopping)
        return "stopping";
    if (agent->draining)
        return "draining";
    if (alarm_is_set(&agent->alarm))
        return "alarm";
    if (agent->hindrance[0] != '\0')
        return "taking no leases";
    return agent_is_paused(agent) ? "paused" : "running";
}

static void write_status(struct agent *agent, const char *mode)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag why = DIAG_INIT;
    int64_t now = moment_steady_ms();
    struct slot_view *views = mem_zero(agent->nslots, sizeof *views);
    struct nonce_text *nonces = mem_zero(agent->nslots, sizeof *nonces);
    struct tally_slot *slots = mem_zero(agent->nslots, sizeof *slots);
    for (size_t i = 0; i < agent->nslots; i++) {
        views[i] = slot_look(agent->slots[i]);
        nonces[i] = spool_nonce_text(&views[i].nonce);
        slots[i] = (struct tally_slot){slot_state_name(views[i].state), views[i].node, nonces[i].text,
                                       now - views[i].since_ms};
    }
    CLEANUP_BUF struct buf trust = BUF_INIT, log = BUF_INIT;
    trust_describe(agent->shop->trust, &trust);
    witness_describe(&agent->log.witness, &log);
    const struct tally_now shown = {.worker = agent->shop->conf.name,
                                    .operator_name = agent->shop->conf.operator_name,
                                    .coordinator = agent->shop->conf.coordinator,
                                    .mode = mode,
                                    .connection = agent->connection,
                                    .hindrance = agent->hindrance,
                                    .trust = trust.data,
                                    .log = log.data,
                                    .written_ms = moment_wall_ms(),
                                    .spooled = agent->answers.count,
                                    .slots = slots,
                                    .nslots = agent->nslots};
    tally_write(&agent->tally, &shown, &text);
    if (tally_save(agent->shop->state_dirfd, buf_view(&text), &why) < 0)
        log_warning("%s", why.text);
    free(views);
    free(nonces);
    free(slots);
}

/* ---- the loop ---- */

static void on_down(struct agent *agent, const char *text)
{
    if (strcmp(agent->connection, text) != 0)
        log_event(LOG_LEVEL_WARNING, "not connected, trying again from time to time",
                  log_text(FIELD_REASON, text));
    snprintf(agent->connection, sizeof agent->connection, "%s", text);
    agent->welcomed = false;
    agent->status_changed = true;
    agent_log_down(agent);
    agent_trust_down(agent);
}

static void on_up(struct agent *agent)
{
    agent_say_hello(agent);
}

/* Bounded, so that a talkative coordinator cannot keep us from heartbeats and signals. */
static int take_link(struct agent *agent, struct diag *diag)
{
    enum { MESSAGES = 64 };
    CLEANUP_BUF struct buf frame = BUF_INIT;
    for (int i = 0; i < MESSAGES; i++) {
        struct diag why = DIAG_INIT;
        int event = link_client_next(agent->link, &frame, &why);
        if (event < 0)
            return diag_set(diag, event, "control connection: %s", diag_text(&why, event));
        if (event == LINK_NOTHING)
            return 0;
        if (event == LINK_UP)
            on_up(agent);
        else if (event == LINK_FRAME)
            agent_on_frame(agent, buf_view(&frame));
        else if (event == LINK_DOWN)
            on_down(agent, why.text);
        else
            agent_warn(agent, "it has a wrong shape");
    }
    return 0;
}

static void take_items(struct agent *agent)
{
    for (struct outbox_item *item; (item = outbox_take(agent->outbox)) != NULL;)
        agent_on_item(agent, item);
}

static void do_due(struct agent *agent, int64_t now)
{
    if (agent->let_go_ms != 0 && now >= agent->let_go_ms)
        agent_let_go(agent);
    agent_look_for_clearance(agent, now);
    agent_trust_turn(agent, now);
    agent_log_turn(agent, now);
    if (agent->welcomed && now >= agent->heartbeat_due_ms) {
        agent_judge(agent, now); /* things expire */
        agent_say_heartbeat(agent);
        agent->heartbeat_due_ms = now + agent->heartbeat_ms;
        answers_resend_older(&agent->answers, now - AGENT_RESEND_MS);
        agent_move_answers(agent, now);
    }
    if (agent->hello_due_ms != 0 && now >= agent->hello_due_ms) {
        agent->hello_due_ms = 0;
        if (link_client_is_up(agent->link) && !agent->welcomed)
            agent_say_hello(agent);
    }
    bool busy = agent_free_slots(agent) < agent->nslots;
    if ((agent->status_changed || busy) && now >= agent->status_due_ms) {
        write_status(agent, mode_name(agent));
        agent->status_changed = false;
        agent->status_due_ms = now + AGENT_STATUS_MS;
    }
}

static int timeout_of(const struct agent *agent, int64_t now)
{
    int64_t due = now + AGENT_HEARTBEAT_MAX_MS;
    bool busy = agent_free_slots(agent) < agent->nslots;
    if (agent->welcomed && agent->heartbeat_due_ms < due)
        due = agent->heartbeat_due_ms;
    if ((agent->status_changed || busy) && agent->status_due_ms < due)
        due = agent->status_due_ms;
    if (agent->hello_due_ms != 0 && agent->hello_due_ms < due)
        due = agent->hello_due_ms;
    if ((agent->draining || alarm_is_set(&agent->alarm)) && now + AGENT_STATUS_MS < due)
        due = now + AGENT_STATUS_MS;
    if (agent->let_go_ms != 0 && agent->let_go_ms < due)
        due = agent->let_go_ms;
    due = agent_log_due(agent, agent_trust_due(agent, due));
    return due > now ? (int)(due - now) : 0;
}

/* A drained worker leaves when its last results are acknowledged, or cannot be for now: they are in the
 * spool. */
static bool may_leave(struct agent *agent, int64_t now)
{
    if (agent->stopping)
        return true;
    if (!agent->draining || agent_free_slots(agent) < agent->nslots)
        return false;
    if (agent->drained_ms == 0)
        agent->drained_ms = now;
    return agent->answers.count == 0 || !agent->welcomed || now - agent->drained_ms >= AGENT_FAREWELL_MS;
}

static int loop(struct agent *agent, struct diag *diag)
{
    struct sdnotify_watchdog watchdog = sdnotify_watchdog_init(moment_steady_ms());
    while (!may_leave(agent, moment_steady_ms())) {
        int64_t now = moment_steady_ms();
        sdnotify_watchdog_turn(&watchdog, now);
        struct link_poll_item items[] = {LINK_POLL_CLIENT(agent->link),
                                         LINK_POLL_FD(outbox_fd(agent->outbox), POLLIN),
                                         LINK_POLL_FD(agent->signal_fd, POLLIN)};
        int error = link_poll(items, ARRAY_SIZE(items),
                              sdnotify_watchdog_wait(&watchdog, now, timeout_of(agent, now)), diag);
        if (error >= 0)
            error = take_link(agent, diag);
        if (error < 0)
            return error;
        take_items(agent);
        take_signals(agent);
        do_due(agent, moment_steady_ms());
    }
    return 0;
}

/* ---- the end ---- */

/* Leases that will have no answer from us go back at once, so that nobody waits for a deadline. */
static void give_back_leases(struct agent *agent)
{
    agent_return_waiting(agent, "this worker stops");
    for (size_t i = 0; i < agent->nslots; i++) {
        struct slot_view view = slot_look(agent->slots[i]);
        bool answered = answers_find(&agent->answers, &view.nonce) != NULL;
        if (!agent->idle[i] && view.state != SLOT_IDLE && view.state != SLOT_REPORT && !answered &&
            agent->welcomed)
            agent_refuse(agent, &view.nonce, WIRE_REFUSE_PAUSED, "this worker stops");
    }
}

static void stop_slots(struct agent *agent)
{
    for (size_t i = 0; i < agent->nslots; i++)
        if (agent->slots[i] != NULL)
            slot_stop(agent->slots[i]);
    for (size_t i = 0; i < agent->nslots; i++)
        agent->slots[i] = slot_free(agent->slots[i]);
}

/* libzmq drops what it has not sent when the socket is closed. */
static void flush(struct agent *agent)
{
    enum { FLUSH_MS = 300 };
    struct link_poll_item item = LINK_POLL_CLIENT(agent->link);
    struct diag ignored;
    int64_t end = moment_steady_ms() + FLUSH_MS;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    for (int64_t now; link_client_is_up(agent->link) && (now = moment_steady_ms()) < end;)
        if (link_poll(&item, 1, (int)(end - now), &ignored) < 0 ||
            link_client_next(agent->link, &frame, &ignored) < 0)
            return;
}

static void leave(struct agent *agent)
{
    sdnotify_send("STOPPING=1\nSTATUS=giving leases back");
    agent_let_go(agent);
    give_back_leases(agent);
    if (agent->welcomed) {
        agent_say_goodbye(agent, agent->stopping ? "stopped by its owner" : "drained");
        flush(agent);
    }
    write_status(agent, "stopped");
    if (agent->answers.count > 0)
        log_event(LOG_LEVEL_WARNING,
                  "results are not acknowledged yet; they are kept and sent after the next start",
                  log_number(FIELD_COUNT, (int64_t)agent->answers.count));
    log_info("the worker has stopped");
}

/* ---- the start ---- */

static int start_slots(struct agent *agent, struct diag *diag)
{
    const struct slot_host host = {agent->shop, agent->outbox};
    agent->slots = mem_zero(agent->nslots, sizeof(struct slot *));
    agent->idle = mem_zero(agent->nslots, sizeof *agent->idle);
    agent->waiting = mem_zero(agent->nslots, sizeof(struct lease *));
    for (size_t i = 0; i < agent->nslots; i++) {
        int error = slot_new(&host, (unsigned)i, &agent->slots[i], diag);
        if (error < 0)
            return error;
        agent->idle[i] = true;
    }
    return 0;
}

static int load_answers(struct agent *agent, struct diag *diag)
{
    struct spool_entry **entries = NULL;
    size_t count = 0;
    int error = spool_load(agent->shop->state_dirfd, &entries, &count, diag);
    for (size_t i = 0; i < count; i++)
        answers_add(&agent->answers, entries[i], ANSWER_KEPT);
    free(entries);
    if (count > 0)
        log_event(LOG_LEVEL_INFO, "results of before are still to be acknowledged",
                  log_number(FIELD_COUNT, (int64_t)count));
    return error;
}

static int connect_link(struct agent *agent, struct diag *diag)
{
    CLEANUP_FREE char *endpoint = mem_format("tcp://%s", agent->shop->conf.coordinator);
    const struct link_client_options options = {
        .endpoint = endpoint,
        .server_key = agent->shop->conf.server_key,
        .secret_key = identity_curve_secret(agent->shop->identity),
        .frame_max = WIRE_CONTROL_MAX,
    };
    snprintf(agent->connection, sizeof agent->connection, "connecting");
    return link_client_new(&options, &agent->link, diag);
}

static void agent_done(struct agent *agent)
{
    stop_slots(agent);
    agent_errand_end(agent->trust.errand);
    for (size_t i = 0; i < agent->nwaiting; i++)
        lease_free(agent->waiting[i], agent->shop);
    free(agent->waiting);
    free(agent->slots);
    free(agent->idle);
    outbox_free(agent->outbox);
    link_client_free(agent->link);
    answers_done(&agent->answers);
    witness_done(&agent->log.witness);
    alarm_done(&agent->alarm);
    free(agent->bulk_endpoint);
}

int agent_run(struct workshop *shop, int signal_fd, struct diag *diag)
{
    struct agent agent = {.shop = shop,
                          .signal_fd = signal_fd,
                          .nslots = shop->conf.slots,
                          .outbox = outbox_new(),
                          .heartbeat_ms = AGENT_HEARTBEAT_MS,
                          .status_changed = true,
                          .tally = tally_load(shop->state_dirfd, moment_wall_ms())};
    int error = start_slots(&agent, diag);
    if (error >= 0)
        error = agent_guard_load(&agent, diag);
    if (error >= 0)
        error = load_answers(&agent, diag);
    if (error >= 0)
        error = connect_link(&agent, diag);
    sdnotify_send(error >= 0 ? "READY=1\nSTATUS=running" : "STOPPING=1");
    if (error >= 0)
        error = loop(&agent, diag);
    if (error >= 0)
        leave(&agent);
    agent_done(&agent);
    return error < 0 ? error : agent.exit_status;
}
