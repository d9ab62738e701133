/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Commands go down a pair of sockets, and reports come up it: one when a command is done, and one a few times a second while
 * messages come. Between commands a crowd hears what the coordinator says.
 */
#include "bench_crowds.h"

#include "bench.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { REPORT_MS = 20, PATIENCE_MS = 60000 };

enum task { TASK_JOIN, TASK_HEARTBEATS, TASK_WORK, TASK_REST };

struct command {
    enum task task;
    size_t count;
};

struct report {
    bool done; /* with the last command */
    size_t leases, accepted, others;
};

struct child {
    pid_t pid;
    int fd;
    size_t workers;
    bool busy;
    struct report last;
};

struct bench_crowds {
    struct child *children;
    size_t count;
};

static void must(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(FARM_EXIT_CANNOT_RUN);
}

/* ---- a child ---- */

static void obey(struct bench_crowd *crowd, const struct command *command)
{
    switch (command->task) {
    case TASK_JOIN:
        bench_crowd_join(crowd, command->count);
        break;
    case TASK_HEARTBEATS:
        bench_crowd_heartbeats(crowd, command->count);
        break;
    case TASK_WORK:
    case TASK_REST:
        bench_crowd_set_working(crowd, command->task == TASK_WORK);
        break;
    }
}

static void report(struct bench_crowd *crowd, int fd, bool done)
{
    struct bench_crowd_counts counts = bench_crowd_counts(crowd);
    struct report report = {done, counts.leases, counts.accepted, counts.others};
    if (send(fd, &report, sizeof report, MSG_NOSIGNAL) < 0)
        _exit(FARM_EXIT_OK); /* nobody listens any more */
}

/* Until the parent closes its end. */
static _Noreturn void child_run(struct bench_crowd *crowd, int fd)
{
    bool news = false;
    for (double reported_s = 0;;) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        struct command command;
        bool heard = bench_crowd_hear(crowd) > 0;
        news = news || heard;
        if (news && bench_wall() - reported_s >= REPORT_MS / 1e3) {
            report(crowd, fd, false);
            reported_s = bench_wall();
            news = false;
        }
        if (poll(&poll_fd, 1, heard ? 0 : 1) <= 0)
            continue;
        if (recv(fd, &command, sizeof command, 0) != sizeof command)
            _exit(FARM_EXIT_OK);
        obey(crowd, &command);
        report(crowd, fd, true);
    }
}

static void child_start(struct bench_crowds *crowds, struct child *child, struct bench_farm *farm,
                        size_t first, const struct bench_crowd_options *options)
{
    int pair[2];
    must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0, "socketpair");
    child->pid = fork();
    must(child->pid >= 0, "fork");
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        for (struct child *other = crowds->children; other != child; other++)
            close(other->fd);
        child_run(bench_crowd_new_part(farm, options, first, child->workers), pair[1]);
    }
    close(pair[1]);
    child->fd = pair[0];
}

/* ---- all of them ---- */

struct bench_crowds *bench_crowds_new(struct bench_farm *farm, const struct bench_crowd_options *options,
                                      size_t processes)
{
    struct bench_crowds *crowds = mem_zero(1, sizeof *crowds);
    crowds->children = mem_zero(processes, sizeof *crowds->children);
    crowds->count = processes;
    for (size_t i = 0, first = 0; i < processes; first += crowds->children[i++].workers) {
        crowds->children[i].workers = (farm->options.workers - first) / (processes - i);
        child_start(crowds, &crowds->children[i], farm, first, options);
    }
    return crowds;
}

struct bench_crowds *bench_crowds_free(struct bench_crowds *crowds)
{
    for (size_t i = 0; i < crowds->count; i++) {
        close(crowds->children[i].fd);
        must(waitpid(crowds->children[i].pid, NULL, 0) >= 0, "waitpid");
    }
    free(crowds->children);
    free(crowds);
    return NULL;
}

/* Waits for a report of any of them. */
static void listen_to(struct bench_crowds *crowds, const char *what)
{
    CLEANUP_FREE struct pollfd *fds = mem_zero(crowds->count, sizeof *fds);
    for (size_t i = 0; i < crowds->count; i++)
        fds[i] = (struct pollfd){.fd = crowds->children[i].fd, .events = POLLIN};
    int ready = poll(fds, crowds->count, PATIENCE_MS);
    errno = ready == 0 ? ETIMEDOUT : errno;
    must(ready > 0, what);
    for (size_t i = 0; i < crowds->count; i++) {
        struct child *child = &crowds->children[i];
        if (fds[i].revents == 0)
            continue;
        must(recv(child->fd, &child->last, sizeof child->last, 0) == sizeof child->last, what);
        child->busy = child->busy && !child->last.done;
    }
}

static bool is_busy(const struct bench_crowds *crowds)
{
    bool busy = false;
    for (size_t i = 0; i < crowds->count; i++)
        busy = busy || crowds->children[i].busy;
    return busy;
}

static void tell(struct child *child, enum task task, size_t count)
{
    struct command command = {task, count};
    must(send(child->fd, &command, sizeof command, MSG_NOSIGNAL) == sizeof command, "a crowd's process");
    child->busy = true;
}

static void tell_all(struct bench_crowds *crowds, enum task task, size_t count)
{
    for (size_t i = 0; i < crowds->count; i++)
        tell(&crowds->children[i], task, count);
    while (is_busy(crowds))
        listen_to(crowds, "a crowd's process");
}

/* One after the other: a coordinator gives each handshake five seconds. */
void bench_crowds_join(struct bench_crowds *crowds)
{
    for (size_t i = 0; i < crowds->count; i++) {
        tell(&crowds->children[i], TASK_JOIN, crowds->children[i].workers);
        while (is_busy(crowds))
            listen_to(crowds, "a crowd's process");
    }
}

void bench_crowds_heartbeats(struct bench_crowds *crowds, size_t count)
{
    tell_all(crowds, TASK_HEARTBEATS, count);
}

void bench_crowds_set_working(struct bench_crowds *crowds, bool working)
{
    tell_all(crowds, working ? TASK_WORK : TASK_REST, 0);
}

static struct report sum(const struct bench_crowds *crowds)
{
    struct report sum = {0};
    for (size_t i = 0; i < crowds->count; i++) {
        sum.leases += crowds->children[i].last.leases;
        sum.accepted += crowds->children[i].last.accepted;
        sum.others += crowds->children[i].last.others;
    }
    return sum;
}

void bench_crowds_until_leased(struct bench_crowds *crowds, size_t leases)
{
    while (sum(crowds).leases < leases)
        listen_to(crowds, "leases");
}

void bench_crowds_until_accepted(struct bench_crowds *crowds, size_t accepted)
{
    while (sum(crowds).accepted < accepted)
        listen_to(crowds, "results accepted");
}

size_t bench_crowds_others(const struct bench_crowds *crowds)
{
    return sum(crowds).others;
}
