/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker's side of a build: starts the launcher, and reads its result.
 */
#include "sandbox.h"

#include "file.h"
#include "job.h"
#include "kit.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct sandbox {
    pid_t pid; /* the launcher; not reaped before sandbox_wait(), so the number stays ours */
    int pidfd;
    int lifeline; /* write end; closing it ends the build */
    int result_fd;
    bool reaped;
    int status;
};

const char *sandbox_outcome_name(enum sandbox_outcome outcome)
{
    switch (outcome) {
    case SANDBOX_OK:
        return "ok";
    case SANDBOX_BUILD:
        return "build";
    case SANDBOX_TIMEOUT:
        return "timeout";
    case SANDBOX_OUT_OF_MEMORY:
        return "out-of-memory";
    case SANDBOX_INFRASTRUCTURE:
        return "infrastructure";
    case SANDBOX_CANCELLED:
        return "cancelled";
    }
    return "unknown";
}

static int text_file(const char *name, const struct buf *content)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd < 0 || file_write_all(fd, content->data, content->size) < 0 || lseek(fd, 0, SEEK_SET) < 0) {
        int error = -errno;
        mem_close_p(&fd);
        return error;
    }
    return fd;
}

/*
 * posix_spawn, since this process may have threads and much memory. The sources are moved out of the way of the
 * targets first, and so is the program, which is found by its descriptor; whatever another thread opens meanwhile is
 * close-on-exec.
 */
static int spawn(int launcher, const int *fds, pid_t *ret_pid, struct diag *diag)
{
    enum { COUNT = LAUNCHER_FD_END - LAUNCHER_FD_JOB, OUT_OF_THE_WAY = 64 };
    char name[] = LAUNCHER_NAME;
    char path[40];
    char *argv[] = {name, NULL};
    char *environment[] = {NULL};
    int high[COUNT];
    int program CLEANUP_CLOSE = fcntl(launcher, F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
    posix_spawn_file_actions_t actions;
    int error = posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < COUNT; i++) {
        high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, OUT_OF_THE_WAY);
        if ((high[i] < 0 || program < 0) && error == 0)
            error = errno;
        if (error == 0)
            error = posix_spawn_file_actions_adddup2(&actions, high[i], LAUNCHER_FD_JOB + i);
    }
    snprintf(path, sizeof path, "/proc/self/fd/%d", program);
    if (error == 0)
        error = posix_spawn(ret_pid, path, &actions, NULL, argv, environment);
    for (int i = 0; i < COUNT; i++)
        mem_close_p(&high[i]);
    posix_spawn_file_actions_destroy(&actions);
    return error == 0
               ? 0
               : diag_set(diag, -error, "cannot start the sandbox launcher: %s", farm_error_text(-error));
}

static int start(const struct sandbox_job *job, const struct sandbox_kit *kit, int job_fd, int script_fd,
                 struct sandbox *sandbox, struct diag *diag)
{
    int lifeline[2];
    sandbox->result_fd = memfd_create("farm-result", MFD_CLOEXEC);
    if (sandbox->result_fd < 0 || job_fd < 0 || script_fd < 0)
        return diag_errno(diag, "cannot make the files of a sandbox job");
    if (pipe2(lifeline, O_CLOEXEC) < 0)
        return diag_errno(diag, "cannot make the lifeline of a sandbox");
    sandbox->lifeline = lifeline[1];
    const int fds[] = {job_fd,      script_fd,        sandbox->result_fd, lifeline[0],
                       job->log_fd, job->state_dirfd, kit->init};
    int error = spawn(kit->launcher, fds, &sandbox->pid, diag);
    close(lifeline[0]);
    if (error < 0)
        return error;
    sandbox->reaped = false;
    sandbox->pidfd = (int)syscall(SYS_pidfd_open, sandbox->pid, 0);
    return sandbox->pidfd < 0 ? diag_errno(diag, "cannot watch the sandbox launcher") : 0;
}

int sandbox_start(const struct sandbox_job *job, struct sandbox **ret, struct diag *diag)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    struct buf script CLEANUP_BUF = BUF_INIT;
    int error = job_check(job, diag);
    if (error < 0)
        return error;
    job_encode(job, &bytes);
    job_encode_script(job, &script);
    if (script.size > SANDBOX_SCRIPT_MAX)
        return diag_set(diag, FARM_E_LIMIT, "environment and steps take %zu bytes, %d are possible",
                        script.size, SANDBOX_SCRIPT_MAX);
    struct sandbox_kit *own = NULL;
    const struct sandbox_kit *kit = job->kit;
    if (kit == NULL) {
        error = sandbox_kit_open(&own, diag);
        if (error < 0)
            return error;
        kit = own;
    }
    int job_fd CLEANUP_CLOSE = text_file("farm-job", &bytes);
    int script_fd CLEANUP_CLOSE = text_file("farm-script", &script);
    struct sandbox *sandbox = mem_zero(1, sizeof *sandbox);
    *sandbox = (struct sandbox){.pid = -1, .pidfd = -1, .lifeline = -1, .result_fd = -1, .reaped = true};
    error = start(job, kit, job_fd, script_fd, sandbox, diag);
    sandbox_kit_close(own);
    if (error < 0) {
        sandbox_free(sandbox);
        return error;
    }
    *ret = sandbox;
    return 0;
}

int sandbox_fd(const struct sandbox *sandbox)
{
    return sandbox->pidfd;
}

static bool read_record(const struct sandbox *sandbox, struct record *ret)
{
    struct record record;
    if (pread(sandbox->result_fd, &record, sizeof record, 0) != (ssize_t)sizeof record ||
        record.magic != RECORD_MAGIC || record.result.nsteps > SANDBOX_STEPS_MAX)
        return false;
    record.result.text[SANDBOX_TEXT_MAX - 1] = '\0';
    *ret = record;
    return true;
}

void sandbox_progress(const struct sandbox *sandbox, int *ret_step, uint64_t *ret_memory_bytes)
{
    struct record record;
    bool known = read_record(sandbox, &record);
    *ret_step = known ? record.step : -1;
    *ret_memory_bytes = known ? record.memory_bytes : 0;
}

static int reap(struct sandbox *sandbox, struct diag *diag)
{
    while (!sandbox->reaped) {
        if (waitpid(sandbox->pid, &sandbox->status, 0) == sandbox->pid)
            sandbox->reaped = true;
        else if (errno != EINTR)
            return diag_errno(diag, "cannot wait for the sandbox launcher");
    }
    return 0;
}

int sandbox_wait(struct sandbox *sandbox, struct sandbox_result *ret, struct diag *diag)
{
    struct record record;
    int error = reap(sandbox, diag);
    if (error < 0)
        return error;
    if (read_record(sandbox, &record) && record.finished == 1) {
        *ret = record.result;
        return 0;
    }
    *ret = (struct sandbox_result){.outcome = SANDBOX_INFRASTRUCTURE, .failed_step = -1, .exit_status = -1};
    snprintf(ret->text, sizeof ret->text, "the sandbox launcher died (wait status %#x)",
             (unsigned)sandbox->status);
    return 0;
}

void sandbox_kill(struct sandbox *sandbox)
{
    mem_close_p(&sandbox->lifeline);
}

struct sandbox *sandbox_free(struct sandbox *sandbox)
{
    if (sandbox == NULL)
        return NULL;
    sandbox_kill(sandbox);
    if (reap(sandbox, NULL) < 0)
        sandbox->reaped = true; /* somebody else waited for it: nothing is left to do */
    mem_close_p(&sandbox->pidfd);
    mem_close_p(&sandbox->result_fd);
    free(sandbox);
    return NULL;
}
