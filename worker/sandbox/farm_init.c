/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-init: process 1 of a build.
 *
 * Runs the steps one after the other, reaps whatever is orphaned to it, ends every process that a step leaves
 * behind before the next one begins, and reports times, memory and exit on a socket that no step inherits. Linked
 * statically, because the C library inside is not the one outside, and with libc alone.
 *
 * A build runs under the same uid and the same capabilities. What protects this process from it: signals from
 * inside do not reach process 1 unless it asks for them, and it is not dumpable, so that nothing without
 * CAP_SYS_PTRACE can trace it or look through its descriptors.
 *
 * It never judges: limits are the launcher's, who ends the whole namespace. When the launcher goes, the socket
 * hangs up and this process ends, and with it the namespace.
 */
#include "packet.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEPS_MAX = 32, ENV_MAX = 256, ARGS_MAX = 64 }; /* as in sandbox.h, checked there too */
enum { CHILD_STACK = 64 * 1024 };                      /* of a child until it execs */

struct step {
    char *name, *cwd;
    char *argv[ARGS_MAX + 1];
};

struct script {
    char *env[ENV_MAX + 1];
    struct step steps[STEPS_MAX];
    uint32_t nsteps;
};

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static uint64_t timeval_us(struct timeval tv)
{
    return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec;
}

/* The launcher is gone if this fails; nobody is left to work for. */
static void report_send(const struct report *report)
{
    if (send(INIT_FD_STATUS, report, sizeof *report, MSG_NOSIGNAL) != (ssize_t)sizeof *report)
        _exit(1);
}

static void broken(const char *what)
{
    struct report report = {.kind = REPORT_BROKEN, .status = errno};
    snprintf(report.text, sizeof report.text, "%s", what);
    report_send(&report);
    _exit(1);
}

static int open_view(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        broken(path);
    return fd;
}

static void say_hello(void)
{
    int fds[REPORT_FDS] = {[REPORT_FD_PROC] = open_view("/proc"),
                           [REPORT_FD_TMP] = open_view("/tmp"),
                           [REPORT_FD_SHM] = open_view("/dev/shm"),
                           [REPORT_FD_SYSV] = open("/proc/sysvipc/shm", O_RDONLY | O_CLOEXEC)};
    /* A kernel without System V shared memory has no such file; any descriptor keeps the order. */
    if (fds[REPORT_FD_SYSV] < 0)
        fds[REPORT_FD_SYSV] = open_view("/dev/null");
    struct report report = {.kind = REPORT_HELLO};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof fds)];
    } control = {0};
    struct iovec iov = {&report, sizeof report};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fds);
    memcpy(CMSG_DATA(header), fds, sizeof fds);
    if (sendmsg(INIT_FD_STATUS, &message, MSG_NOSIGNAL) != (ssize_t)sizeof report)
        _exit(1);
    for (size_t i = 0; i < REPORT_FDS; i++)
        close(fds[i]);
}

static void read_step(struct packet *packet, struct step *step)
{
    step->name = packet_text(packet);
    step->cwd = packet_text(packet);
    uint32_t argc = packet_count(packet, ARGS_MAX);
    for (uint32_t i = 0; i < argc; i++)
        step->argv[i] = packet_text(packet);
    if (argc == 0)
        packet->bad = true;
}

static void read_script(struct script *script)
{
    struct stat st;
    if (fstat(INIT_FD_SCRIPT, &st) < 0 || st.st_size <= 0)
        broken("script");
    char *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, INIT_FD_SCRIPT, 0);
    if (bytes == MAP_FAILED)
        broken("script: mmap");
    close(INIT_FD_SCRIPT);
    struct packet packet = {bytes, bytes + st.st_size, false};
    if (packet_u32(&packet) != PACKET_SCRIPT_MAGIC)
        packet.bad = true;
    uint32_t nenv = packet_count(&packet, ENV_MAX);
    for (uint32_t i = 0; i < nenv; i++)
        script->env[i] = packet_text(&packet);
    script->nsteps = packet_count(&packet, STEPS_MAX);
    for (uint32_t i = 0; i < script->nsteps; i++)
        read_step(&packet, &script->steps[i]);
    errno = EBADMSG;
    if (packet.bad || packet.at != packet.end)
        broken("script");
}

/*
 * Ignored signals survive exec. The launcher ignores SIGPIPE, a worker may ignore others; a build shall not. Process 1 itself ignores what
 * it does not ask for, whatever stands there.
 */
static void forget_ignored(void)
{
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
}

struct child {
    const struct script *script;
    const struct step *step;
};

/* In the parent's memory, so nothing is changed there, and it ends by exec or _exit. */
static int run_child(void *argument)
{
    const struct child *child = argument;
    const struct script *script = child->script;
    const struct step *step = child->step;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    if (chdir(step->cwd) < 0) {
        dprintf(STDERR_FILENO, "farm: cannot enter %s: %s\n", step->cwd, strerror(errno));
        _exit(127);
    }
    execve(step->argv[0], step->argv, script->env);
    dprintf(STDERR_FILENO, "farm: cannot run %s: %s\n", step->argv[0], strerror(errno));
    _exit(127);
}

/*
 * As posix_spawn() does it: the child has a stack of its own and the parent's memory, and the parent waits until it has exec'd or is
 * gone. Half the price of fork() for a process that is only to exec.
 */
static pid_t start_child(const struct script *script, const struct step *step)
{
    static _Alignas(16) char stack[CHILD_STACK];
    struct child child = {script, step};
    return clone(run_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &child);
}

static void add_usage(struct report *report, const struct rusage *usage)
{
    report->user_us += timeval_us(usage->ru_utime);
    report->system_us += timeval_us(usage->ru_stime);
    uint64_t peak = (uint64_t)usage->ru_maxrss * 1024;
    if (peak > report->peak_bytes)
        report->peak_bytes = peak;
}

/* Reaps what is there to reap; true once the step's own process was among it. */
static bool reap(pid_t child, struct report *report, int flags)
{
    bool ended = false;
    struct rusage usage;
    int status;
    pid_t pid;
    while ((pid = wait4(-1, &status, flags, &usage)) > 0) {
        add_usage(report, &usage);
        if (pid == child) {
            report->status = status;
            ended = true;
        }
    }
    return ended;
}

static void wait_step(pid_t child, int signals, struct report *report)
{
    struct pollfd fds[2] = {{.fd = signals, .events = POLLIN}, {.fd = INIT_FD_STATUS}};
    while (!reap(child, report, WNOHANG)) {
        struct signalfd_siginfo info;
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            broken("poll");
        if (fds[1].revents & (POLLHUP | POLLERR))
            _exit(1);
        if (fds[0].revents & POLLIN && read(signals, &info, sizeof info) < 0 && errno != EAGAIN)
            broken("signalfd");
    }
}

/* True if the next step may run. */
static bool run_step(const struct script *script, uint32_t index, int signals)
{
    const struct step *step = &script->steps[index];
    struct report report = {.kind = REPORT_STEP_START, .step = index};
    report_send(&report);
    dprintf(STDOUT_FILENO, "==> %s\n", step->name);
    uint64_t start = now_us();
    pid_t child = start_child(script, step);
    if (child < 0)
        broken("clone");
    wait_step(child, signals, &report);
    /* A daemon that outlived its step must not write into what is hashed later, nor see the next step. */
    kill(-1, SIGKILL);
    int status = report.status;
    reap(child, &report, 0);
    report.kind = REPORT_STEP_END;
    report.status = status;
    report.wall_us = now_us() - start;
    report_send(&report);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* "4,5,0", as the launcher chose. */
static void bind_cpus(const char *list)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    while (*list != '\0') {
        char *end;
        unsigned long cpu = strtoul(list, &end, 10);
        errno = EINVAL;
        if (end == list || cpu >= CPU_SETSIZE)
            broken("CPU list");
        CPU_SET(cpu, &cpus);
        list = *end == ',' ? end + 1 : end;
    }
    if (sched_setaffinity(0, sizeof cpus, &cpus) < 0)
        broken("affinity");
}

int main(int argc, char **argv)
{
    static struct script script; /* too large for a stack */
    sigset_t child_signal;
    prctl(PR_SET_DUMPABLE, 0);
    fcntl(INIT_FD_SCRIPT, F_SETFD, FD_CLOEXEC);
    fcntl(INIT_FD_STATUS, F_SETFD, FD_CLOEXEC);
    close_range(INIT_FD_STATUS + 1, ~0U, 0);
    sigemptyset(&child_signal);
    sigaddset(&child_signal, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child_signal, NULL);
    int signals = signalfd(-1, &child_signal, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        broken("signalfd");
    if (personality(ADDR_NO_RANDOMIZE) < 0)
        broken("personality");
    forget_ignored();
    umask(022);
    bind_cpus(argc > 1 ? argv[1] : "");
    read_script(&script);
    say_hello();
    uint32_t index = 0;
    while (index < script.nsteps && run_step(&script, index, signals))
        index++;
    struct report done = {.kind = REPORT_DONE, .step = index};
    report_send(&done);
    return 0;
}
