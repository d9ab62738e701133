/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The launcher: one process per build, a program of its own (kit.h). It makes the stage, starts bubblewrap, and
 * then watches: the log pipe, farm-init's reports, the clock, the limits, and the worker's lifeline. It is
 * single-threaded, so bubblewrap's --die-with-parent, which follows the creating thread, is safe here.
 *
 * It is the build's subreaper: when it has no child left, every process of the build is gone, and only then
 * does it end. That is what makes "the build has ended" true for whoever polls sandbox_fd().
 */
#include "child.h"
#include "file.h"
#include "job.h"
#include "mask.h"
#include "ops.h"
#include "record.h"
#include "report.h"
#include "stage.h"
#include "tail.h"
#include "watch.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    DISK_FULL =
        16 << 20,    /* with less space than this a failing step is the machine's fault, not the build's */
    OOM_SCORE = 800, /* the kernel shall take a build before it takes a worker */
    CHUNK = 64 << 10,
};

enum poll_slot { POLL_LOG, POLL_STATUS, POLL_LIFELINE, POLL_SIGNAL, POLL_SLOTS };

struct launcher {
    struct job job;
    struct record record;
    struct watch watch;
    uint64_t start_us, next_look_us;
    int log_pipe; /* read end */
    int status;   /* farm-init's reports; -1 once it hung up or was cut */
    int signals;
    int last_status; /* of the last step that ended, as wait(2) gives it */
    pid_t group;     /* of bubblewrap and farm-init */
    bool hello, done, judged;
    uint64_t host_oom; /* the kernel's count of out-of-memory kills at the start */
    struct tail tail;  /* for the message when the set-up fails */
};

static uint64_t now_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void publish(struct launcher *launcher)
{
    launcher->record.magic = RECORD_MAGIC;
    if (pwrite(LAUNCHER_FD_RESULT, &launcher->record, sizeof launcher->record, 0) !=
        (ssize_t)sizeof launcher->record)
        launcher->record.finished = 0; /* the worker then finds no result, and says so */
}

/* The first judgement stands: what follows from killing a build is not its result. */
static void judge(struct launcher *launcher, enum sandbox_outcome outcome, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void judge(struct launcher *launcher, enum sandbox_outcome outcome, const char *format, ...)
{
    va_list args;
    if (launcher->judged)
        return;
    launcher->judged = true;
    launcher->record.result.outcome = outcome;
    va_start(args, format);
    vsnprintf(launcher->record.result.text, sizeof launcher->record.result.text, format, args);
    va_end(args);
}

/*
 * bubblewrap and farm-init are one process group; farm-init's death is the namespace's. Killing bubblewrap alone would not do:
 * for a moment after its clone() the new process 1 waits for a word of its parent and does not follow it into death yet. The
 * group's number stays taken for as long as we have a child to wait for. The hang-up is the second string.
 */
static void stop(struct launcher *launcher)
{
    if (launcher->group > 0)
        kill(-launcher->group, SIGKILL);
    mem_close_p(&launcher->status);
}

/* ---- what comes in ---------------------------------------------------------------------------------------- */

static void write_log(struct launcher *launcher, const char *data, size_t size)
{
    uint64_t room = launcher->job.limits.log_bytes - launcher->record.result.log_bytes;
    size_t take = size < room ? size : (size_t)room;
    int error = file_write_all(LAUNCHER_FD_LOG, data, take);
    tail_add(&launcher->tail, data, take);
    launcher->record.result.log_bytes += take;
    if (error < 0)
        judge(launcher, SANDBOX_INFRASTRUCTURE, "cannot write the build's log: %s", farm_error_text(error));
    else if (take < size)
        judge(launcher, SANDBOX_BUILD, "the log is longer than its limit of %" PRIu64 " bytes",
              launcher->job.limits.log_bytes);
    else
        return;
    stop(launcher);
}

/* False when there is nothing to read now. */
static bool read_log(struct launcher *launcher)
{
    char chunk[CHUNK];
    ssize_t got = launcher->log_pipe >= 0 ? read(launcher->log_pipe, chunk, sizeof chunk) : -1;
    if (got == 0)
        mem_close_p(&launcher->log_pipe);
    if (got <= 0)
        return false;
    if (launcher->record.result.log_bytes < launcher->job.limits.log_bytes || !launcher->judged)
        write_log(launcher, chunk, (size_t)got);
    return true;
}

static void attach(struct launcher *launcher, struct msghdr *message)
{
    struct diag diag = DIAG_INIT;
    struct cmsghdr *header = CMSG_FIRSTHDR(message);
    int fds[REPORT_FDS];
    if (header == NULL || header->cmsg_type != SCM_RIGHTS || header->cmsg_len != CMSG_LEN(sizeof fds) ||
        launcher->hello) {
        judge(launcher, SANDBOX_INFRASTRUCTURE, "farm-init greeted without its descriptors");
        stop(launcher);
        return;
    }
    memcpy(fds, CMSG_DATA(header), sizeof fds);
    launcher->hello = true;
    if (watch_attach(&launcher->watch, fds, &diag) < 0) {
        judge(launcher, SANDBOX_INFRASTRUCTURE, "%s", diag.text);
        stop(launcher);
    }
    launcher->next_look_us =
        now_us() + 1000 * (uint64_t)watch_interval(&launcher->job.limits, &(struct watch_sample){0});
}

static void step_ended(struct launcher *launcher, const struct report *report)
{
    struct sandbox_result *result = &launcher->record.result;
    if (report->step >= SANDBOX_STEPS_MAX)
        return;
    result->nsteps = report->step + 1;
    result->steps[report->step] = (struct sandbox_usage){.wall_us = report->wall_us,
                                                         .user_us = report->user_us,
                                                         .system_us = report->system_us,
                                                         .peak_bytes = report->peak_bytes};
    launcher->last_status = report->status;
    launcher->record.step = -1;
}

static void take_report(struct launcher *launcher, const struct report *report, struct msghdr *message)
{
    switch ((enum report_kind)report->kind) {
    case REPORT_HELLO:
        attach(launcher, message);
        break;
    case REPORT_STEP_START:
        launcher->record.step = (int32_t)report->step;
        launcher->last_status = -1;
        break;
    case REPORT_STEP_END:
        step_ended(launcher, report);
        break;
    case REPORT_DONE:
        launcher->done = true;
        break;
    case REPORT_BROKEN:
        judge(launcher, SANDBOX_INFRASTRUCTURE, "farm-init: %.*s: %s", (int)sizeof report->text, report->text,
              strerror(report->status));
        break;
    }
    publish(launcher);
}

/* False when there is nothing to read now. */
static bool read_status(struct launcher *launcher)
{
    struct report report;
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * REPORT_FDS)];
    } control;
    struct iovec iov = {&report, sizeof report};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    if (launcher->status < 0)
        return false;
    ssize_t got = recvmsg(launcher->status, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got == (ssize_t)sizeof report) {
        take_report(launcher, &report, &message);
        return true;
    }
    if (got >= 0 || (errno != EAGAIN && errno != EINTR))
        mem_close_p(&launcher->status);
    return false;
}

/* ---- limits ----------------------------------------------------------------------------------------------- */

static void breach(struct launcher *launcher, enum watch_breach breach, const struct watch_sample *sample)
{
    const struct sandbox_limits *limits = &launcher->job.limits;
    switch (breach) {
    case WATCH_NONE:
        return;
    case WATCH_MEMORY:
        judge(launcher, SANDBOX_OUT_OF_MEMORY,
              "the build used %" PRIu64 " MiB of memory; its limit is %" PRIu64 " MiB",
              sample->memory_bytes >> 20, limits->memory_bytes >> 20);
        break;
    case WATCH_PROCESSES:
        judge(launcher, SANDBOX_BUILD, "the build ran %u processes and threads at once, which is its limit",
              limits->processes);
        break;
    case WATCH_DISK:
        judge(launcher, SANDBOX_BUILD,
              "the build wrote %" PRIu64 " MiB to disk; its limit is %" PRIu64 " MiB",
              sample->disk_bytes >> 20, limits->disk_bytes >> 20);
        break;
    case WATCH_RESERVE:
        judge(launcher, SANDBOX_INFRASTRUCTURE,
              "this machine's disk has %" PRIu64 " MiB left, and %" PRIu64 " MiB are to stay free",
              sample->free_bytes >> 20, limits->disk_reserve_bytes >> 20);
        break;
    }
    stop(launcher);
}

static uint64_t deadline(const struct launcher *launcher)
{
    return launcher->start_us + (uint64_t)launcher->job.limits.wall_seconds * 1000000;
}

static void look(struct launcher *launcher, uint64_t now)
{
    struct watch_sample sample;
    if (now >= deadline(launcher)) {
        judge(launcher, SANDBOX_TIMEOUT, "the build took longer than its limit of %u seconds",
              launcher->job.limits.wall_seconds);
        stop(launcher);
    }
    if (!launcher->hello || launcher->judged || now < launcher->next_look_us)
        return;
    enum watch_breach over = watch_look(&launcher->watch, now, &sample);
    launcher->record.memory_bytes = sample.memory_bytes;
    launcher->next_look_us = now + 1000 * (uint64_t)watch_interval(&launcher->job.limits, &sample);
    publish(launcher);
    breach(launcher, over, &sample);
}

/* Milliseconds, rounded up. Once a build is judged only its end is of interest. */
static int poll_timeout(const struct launcher *launcher, uint64_t now)
{
    uint64_t next = deadline(launcher);
    if (launcher->judged)
        return -1;
    if (launcher->hello && launcher->next_look_us < next)
        next = launcher->next_look_us;
    if (next <= now)
        return 0;
    uint64_t ms = (next - now + 999) / 1000;
    return ms > 60000 ? 60000 : (int)ms;
}

/* ---- the loop --------------------------------------------------------------------------------------------- */

/* False when no child is left: then nothing of the build runs any more. */
static bool reap(struct launcher *launcher)
{
    struct signalfd_siginfo info;
    pid_t pid;
    if (read(launcher->signals, &info, sizeof info) < 0 && errno != EAGAIN)
        return false;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        ;
    return pid == 0;
}

static void supervise(struct launcher *launcher)
{
    bool running = true;
    while (running) {
        struct pollfd fds[POLL_SLOTS] = {
            [POLL_LOG] = {launcher->log_pipe, POLLIN, 0},
            [POLL_STATUS] = {launcher->status, POLLIN, 0},
            [POLL_LIFELINE] = {launcher->judged ? -1 : LAUNCHER_FD_LIFELINE, POLLIN, 0},
            [POLL_SIGNAL] = {launcher->signals, POLLIN, 0}};
        if (poll(fds, POLL_SLOTS, poll_timeout(launcher, now_us())) < 0 && errno != EINTR)
            abort(); /* EFAULT, EINVAL or ENOMEM: our death takes the build along */
        if (fds[POLL_LIFELINE].revents != 0) {
            judge(launcher, SANDBOX_CANCELLED, "the worker ended the build");
            stop(launcher);
        }
        if (fds[POLL_LOG].revents != 0)
            read_log(launcher);
        if (fds[POLL_STATUS].revents != 0)
            read_status(launcher);
        if (fds[POLL_SIGNAL].revents != 0)
            running = reap(launcher);
        look(launcher, now_us());
    }
    while (read_status(launcher))
        ;
    while (read_log(launcher))
        ;
}

static int prepare_signals(struct launcher *launcher, struct diag *diag)
{
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &child, NULL) < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return diag_errno(diag, "cannot prepare for children");
    launcher->signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    return launcher->signals < 0 ? diag_errno(diag, "cannot make a signal descriptor") : 0;
}

static void raise_oom_score(void)
{
    int fd CLEANUP_CLOSE = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        dprintf(fd, "%d\n", OOM_SCORE); /* may be refused; then the kernel chooses as it always does */
}

static int build_argv(const struct job *job, struct argv *ret, struct diag *diag)
{
    struct buf cpus CLEANUP_BUF = BUF_INIT;
    struct ops ops = {.count = 0};
    ops_build(job, &ops);
    int error = ops_validate(&ops, diag);
    if (error >= 0)
        error = mask_choose(job->limits.cores, job->limits.first_cpu, &cpus, diag);
    if (error >= 0)
        ops_argv(&ops, FARM_BWRAP, job->hostname, CHILD_FD_SECCOMP, CHILD_FD_INIT, cpus.data, ret);
    ops_done(&ops);
    return error;
}

static int watch_trees(struct launcher *launcher, struct diag *diag)
{
    const struct job *job = &launcher->job;
    int dir = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return diag_errno(diag, "cannot open the state directory");
    int error = watch_init(&launcher->watch, &job->limits, dir, diag);
    launcher->watch.trees[launcher->watch.ntrees++] = mem_format("%s/upper", job->work);
    for (size_t i = 0; i < job->nbinds; i++)
        if (!job->binds[i].readonly)
            launcher->watch.trees[launcher->watch.ntrees++] = job->binds[i].source;
    return error;
}

static int prepare(struct launcher *launcher, struct argv *argv, struct diag *diag)
{
    int error = prepare_signals(launcher, diag);
    if (error >= 0)
        error = build_argv(&launcher->job, argv, diag);
    if (error >= 0)
        error = stage_enter(LAUNCHER_FD_STATE, diag);
    if (error >= 0)
        error = stage_root(&launcher->job, diag);
    if (error >= 0)
        error = mask_write(OPS_MASK, launcher->job.limits.cores, diag);
    if (error >= 0)
        error = watch_trees(launcher, diag);
    return error;
}

/* "Our machine broke" and "your build differs" must not be mixed up. */
static bool machine_failed(struct launcher *launcher)
{
    uint64_t least = launcher->job.limits.disk_reserve_bytes, left = watch_free(&launcher->watch);
    if (left < (least > DISK_FULL ? least : DISK_FULL))
        judge(launcher, SANDBOX_INFRASTRUCTURE,
              "a step failed while this machine's disk had %" PRIu64 " MiB left", left >> 20);
    else if (watch_host_oom_kills() > launcher->host_oom)
        judge(launcher, SANDBOX_OUT_OF_MEMORY,
              "the kernel ran out of memory and ended processes while this step ran");
    return launcher->judged;
}

static void fail_step(struct launcher *launcher)
{
    struct sandbox_result *result = &launcher->record.result;
    int status = launcher->last_status;
    if (result->nsteps == 0 || status == 0)
        return;
    result->failed_step = (int)result->nsteps - 1;
    result->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    result->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    if (machine_failed(launcher))
        return;
    if (result->signal == SIGXFSZ)
        judge(launcher, SANDBOX_BUILD, "a file grew beyond the limit of %" PRIu64 " bytes",
              launcher->job.limits.file_bytes);
    else if (result->signal != 0)
        judge(launcher, SANDBOX_BUILD, "ended by signal %d (%s)", result->signal, strsignal(result->signal));
    else
        judge(launcher, SANDBOX_BUILD, "exited with status %d", result->exit_status);
}

static void add_total(struct sandbox_result *result, const struct sandbox_usage *step)
{
    result->total.user_us += step->user_us;
    result->total.system_us += step->system_us;
    if (step->peak_bytes > result->total.peak_bytes)
        result->total.peak_bytes = step->peak_bytes;
}

static void conclude(struct launcher *launcher)
{
    struct sandbox_result *result = &launcher->record.result;
    if (launcher->judged && launcher->record.step >= 0)
        result->failed_step = launcher->record.step; /* it was running when the build was ended */
    else if (launcher->done)
        fail_step(launcher);
    if (!launcher->judged && !launcher->done)
        judge(launcher, SANDBOX_INFRASTRUCTURE, "%s: %s",
              launcher->hello ? "process 1 of the build died" : "the sandbox could not be set up",
              tail_text(&launcher->tail));
    result->total.peak_bytes = launcher->watch.memory_peak;
    result->disk_peak_bytes = launcher->watch.disk_peak;
    for (size_t i = 0; i < result->nsteps; i++)
        add_total(result, &result->steps[i]);
}

static void run(struct launcher *launcher)
{
    struct diag diag = DIAG_INIT;
    struct argv argv = {0};
    struct child child = {.pid = -1, .log = -1, .status = -1};
    int error = prepare(launcher, &argv, &diag);
    launcher->host_oom = watch_host_oom_kills();
    if (error >= 0)
        error = child_start(&launcher->job, argv.items, &child, &diag);
    if (error >= 0) {
        launcher->group = child.pid;
        launcher->log_pipe = child.log;
        launcher->status = child.status;
        supervise(launcher);
    } else {
        judge(launcher, SANDBOX_INFRASTRUCTURE, "%s", diag_text(&diag, error));
    }
    argv_done(&argv);
    conclude(launcher);
    launcher->record.result.total.wall_us = now_us() - launcher->start_us;
    launcher->record.finished = 1;
    publish(launcher);
}

static int read_job(struct job *ret)
{
    struct buf bytes = BUF_INIT; /* the job points into it until the process ends */
    int error = file_read_fd(LAUNCHER_FD_JOB, "job", SANDBOX_SCRIPT_MAX, &bytes, NULL);
    return error < 0 ? error : job_decode(bytes.data, bytes.size, ret);
}

int main(void)
{
    static struct launcher launcher = {.log_pipe = -1, .status = -1, .signals = -1}; /* large for a stack */
    launcher.start_us = now_us();
    launcher.record.step = -1;
    launcher.record.result.failed_step = -1;
    launcher.record.result.exit_status = -1;
    close_range(LAUNCHER_FD_END, ~0U, 0);
    setsid();
    umask(022);
    prctl(PR_SET_DUMPABLE,
          1); /* /proc/self must be ours for the id maps; there are no secrets in this process */
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    raise_oom_score();
    if (read_job(&launcher.job) < 0) {
        judge(&launcher, SANDBOX_INFRASTRUCTURE, "the launcher cannot read its job");
        launcher.record.finished = 1;
        publish(&launcher);
        _exit(FARM_EXIT_CANNOT_RUN);
    }
    run(&launcher);
    _exit(FARM_EXIT_OK); /* no leak check: what is left is the kernel's to free */
}
