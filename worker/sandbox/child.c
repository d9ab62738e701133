/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "child.h"

#include "file.h"
#include "filter.h"
#include "ops.h"
#include "record.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    OWN_PROCESSES = 3, /* launcher, bubblewrap and farm-init count against RLIMIT_NPROC too */
    OPEN_FILES = 4096, /* the same everywhere: some configure scripts look at it */
    OPEN_FILES_SOFT = 1024,
    STACK_BYTES = 8 << 20,
    CHILD_STACK = 64 * 1024, /* of a child until it execs; a diag takes 2 KiB */
    OUT_OF_THE_WAY = 32,     /* descriptors from here on are not among those to be placed */
};

static int filter_file(void)
{
    struct buf filter CLEANUP_BUF = BUF_INIT;
    filter_build(&filter);
    int fd = memfd_create("farm-filter", MFD_CLOEXEC);
    if (fd < 0 || file_write_all(fd, filter.data, filter.size) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        mem_close_p(&fd);
        return -errno;
    }
    return fd;
}

/*
 * Outside its capability sets a root process has one more: what an exec would give it, the bounding set. Were it
 * larger than what bubblewrap leaves permitted, then every exec in the build would count as gaining privilege, and the
 * kernel would clear the personality (and with it "ASLR off") each time, although no_new_privs takes the
 * capabilities away again. So the bounding set is what a build may have; bubblewrap gets what it needs for the set-up
 * through the inheritable set, which it replaces.
 */
static int bound_capabilities(struct diag *diag)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (syscall(SYS_capget, &header, data) < 0)
        return diag_errno(diag, "cannot read the capabilities");
    for (size_t i = 0; i < ARRAY_SIZE(data); i++)
        data[i].inheritable = data[i].permitted;
    if (syscall(SYS_capset, &header, data) < 0)
        return diag_errno(diag, "cannot set the capabilities");
    for (unsigned cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if ((OPS_CAPABILITIES & UINT64_C(1) << cap) == 0 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0)
            return diag_errno(diag, "cannot bound capability %u", cap);
    return 0;
}

/* What a build can notice is the same everywhere; what only protects the machine may be lower where its owner says so. */
struct limit {
    int resource;
    const char *name;
    uint64_t soft, hard;
    bool lower_is_fine;
};

static int set_limit(const struct limit *limit, struct diag *diag)
{
    struct rlimit now, want = {limit->soft, limit->hard};
    if (getrlimit((__rlimit_resource_t)limit->resource, &now) < 0)
        return diag_errno(diag, "cannot read the limit of %s", limit->name);
    if (limit->lower_is_fine && now.rlim_max < want.rlim_max)
        want.rlim_cur = want.rlim_max = now.rlim_max;
    if (setrlimit((__rlimit_resource_t)limit->resource, &want) < 0)
        return diag_errno(
            diag, "cannot set the limit of %s to %" PRIu64 " (the worker's own hard limit is %" PRIu64 ")",
            limit->name, limit->hard, (uint64_t)now.rlim_max);
    return 0;
}

static int set_limits(const struct sandbox_limits *limits, struct diag *diag)
{
    const uint64_t processes = limits->processes + OWN_PROCESSES;
    const struct limit table[] = {
        {RLIMIT_CORE, "core size", 0, 0, true},
        {RLIMIT_FSIZE, "file size", limits->file_bytes, limits->file_bytes, true},
        {RLIMIT_NPROC, "processes", processes, processes, true},
        {RLIMIT_NOFILE, "open files", OPEN_FILES_SOFT, OPEN_FILES, false},
        {RLIMIT_STACK, "stack size", STACK_BYTES, STACK_BYTES, false},
    };
    int error = 0;
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(table); i++)
        error = set_limit(&table[i], diag);
    return error;
}

/* Puts descriptors where bubblewrap and farm-init look for them; the sources are all out of the way. */
static int place(const int *fds, struct diag *diag)
{
    for (int i = 0; i < CHILD_FD_END; i++)
        if (dup2(fds[i], i) < 0)
            return diag_errno(diag, "cannot place descriptor %d", i);
    return close_range(CHILD_FD_END, ~0U, CLOSE_RANGE_CLOEXEC) < 0
               ? diag_errno(diag, "cannot close descriptors")
               : 0;
}

struct start {
    const struct job *job;
    char *const *argv;
    const int *fds;
};

/* In the parent's memory; on failure its words end up in the log pipe, whose tail becomes the message. */
static int run_bwrap(void *argument)
{
    const struct start *start = argument;
    const struct job *job = start->job;
    char *const *argv = start->argv;
    struct diag diag = DIAG_INIT;
    sigset_t none;
    sigemptyset(&none);
    int error = setpgid(0, 0) < 0 ? diag_errno(&diag, "cannot make a process group") : 0;
    if (error >= 0)
        error = place(start->fds, &diag);
    if (error >= 0)
        error = sigprocmask(SIG_SETMASK, &none, NULL) < 0 ? -errno : 0;
    if (error >= 0)
        error = set_limits(&job->limits, &diag);
    if (error >= 0)
        error = bound_capabilities(&diag);
    if (error >= 0) {
        char *const environment[] = {NULL};
        execve(argv[0], argv, environment);
        error = diag_errno(&diag, "cannot run %s (install bubblewrap)", argv[0]);
    }
    dprintf(STDERR_FILENO, "farm-sandbox: %s\n", diag_text(&diag, error));
    _exit(126);
}

/*
 * As posix_spawn() does it: the child has a stack of its own and the parent's memory, and the parent waits until it is bubblewrap or gone, which
 * spares copying page tables and then, one fault after the other, pages. From then on the child is the group's leader.
 */
static pid_t start_bwrap(const struct job *job, char *const *argv, const int *fds)
{
    static _Alignas(16) char stack[CHILD_STACK];
    struct start start = {job, argv, fds};
    return clone(run_bwrap, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
}

static int spawn_bwrap(const struct job *job, char *const *argv, int log_write, int status_write, pid_t *ret,
                       struct diag *diag)
{
    int fds[CHILD_FD_END] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
                             log_write,
                             log_write,
                             LAUNCHER_FD_SCRIPT,
                             status_write,
                             filter_file(),
                             LAUNCHER_FD_INIT};
    int high[CHILD_FD_END];
    int error = 0;
    for (int i = 0; i < CHILD_FD_END; i++) {
        high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        if (high[i] < 0)
            error = diag_errno(diag, "cannot prepare descriptor %d of the build", i);
    }
    pid_t pid = error < 0 ? -1 : start_bwrap(job, argv, high);
    if (error >= 0 && pid < 0)
        error = diag_errno(diag, "cannot fork");
    for (int i = 0; i < CHILD_FD_END; i++) {
        mem_close_p(&high[i]);
        if (i == STDIN_FILENO || i == CHILD_FD_SECCOMP)
            mem_close_p(&fds[i]);
    }
    if (error >= 0)
        *ret = pid;
    return error;
}

int child_start(const struct job *job, char *const *argv, struct child *ret, struct diag *diag)
{
    int log[2], status[2];
    if (pipe2(log, O_CLOEXEC) < 0)
        return diag_errno(diag, "cannot make the log pipe");
    int log_read CLEANUP_CLOSE = log[0];
    int log_write CLEANUP_CLOSE = log[1];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
        return diag_errno(diag, "cannot make the status socket");
    int status_read CLEANUP_CLOSE = status[0];
    int status_write CLEANUP_CLOSE = status[1];
    int error = fcntl(log_read, F_SETFL, O_NONBLOCK) < 0 ? diag_errno(diag, "cannot set up the log pipe") : 0;
    if (error >= 0)
        error = spawn_bwrap(job, argv, log_write, status_write, &ret->pid, diag);
    if (error < 0)
        return error;
    ret->log = STEAL_FD(log_read);
    ret->status = STEAL_FD(status_read);
    return 0;
}
