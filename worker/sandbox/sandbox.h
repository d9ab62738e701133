/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sandbox: runs the steps of one build in a sealed root, and says exactly how it ended.
 *
 *   worker process --spawn--> launcher (a small static program of its own, kept in memory: kit.h)
 *       launcher: user namespace (one id: uid 0 inside is the worker's uid outside) and mount namespace,
 *                 overlay root, masked CPU facts, limits, watchdog, log pipe
 *       launcher --fork--> bubblewrap --> farm-init (process 1 in there, static) --> one process per step
 *
 * Inside: capabilities CHOWN DAC_OVERRIDE FOWNER FSETID SETUID SETGID KILL and no others, no network, own
 * pid/ipc/uts/cgroup namespaces, no further user namespaces, a seccomp filter, ASLR off, umask 022, stdin
 * /dev/null, the environment of the job and nothing else. Nothing of the host is visible but the job's layers
 * and binds. When the worker dies, however it dies, the launcher sees its lifeline pipe close and ends the
 * build; when the launcher dies, bubblewrap and farm-init follow.
 *
 * All paths on the host side are plain relative paths below the state directory's descriptor and never cross
 * a symbolic link: a worker that started as root and dropped to a user that cannot traverse the directories
 * above its state directory works all the same.
 *
 * Limits are best effort where no cgroup v2 is delegated (docs: watch.h): process count and file size are
 * exact (rlimits of the build's own user namespace), memory and disk are sampled by a watchdog.
 *
 * What is not promised: that a build cannot read CPUID, the kernel's version or the clock.
 */
#ifndef FARM_SANDBOX_H
#define FARM_SANDBOX_H

#include "diag.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SANDBOX_STEPS_MAX = 32,  /* a recipe has some ten phases */
    SANDBOX_ENV_MAX = 256,   /* variables; the build contract names about twenty */
    SANDBOX_ARGS_MAX = 64,   /* arguments of a step */
    SANDBOX_LAYERS_MAX = 16, /* overlay options share one page; lookups slow down with depth */
    SANDBOX_BINDS_MAX = 64,
    SANDBOX_SCRIPT_MAX = 4 << 20, /* bytes of environment and steps together */
    SANDBOX_PATH_MAX = 512,       /* bytes of one path of a job */
    SANDBOX_TEXT_MAX = 1024,      /* bytes of the explaining sentence */
};

struct sandbox_bind {
    const char *source; /* below the state directory; a file or a directory */
    const char *target; /* absolute, inside; made if missing */
    bool readonly;
};

/* 0 is refused everywhere but where a field says what it means. */
struct sandbox_limits {
    unsigned cores;        /* CPUs the build sees; the spec's jobs */
    unsigned first_cpu;    /* rotates which CPUs are taken, so that neighbours do not share; any value */
    uint64_t memory_bytes; /* anonymous and shared memory, and tmpfs contents, of all processes together */
    unsigned processes;    /* processes and threads */
    uint64_t disk_bytes;   /* growth of the root and of the writable binds */
    uint64_t disk_reserve_bytes; /* the build stops when the file system has less than this left; may be 0 */
    uint64_t file_bytes;         /* one file */
    unsigned wall_seconds;
    uint64_t log_bytes;
    uint64_t tmp_bytes, shm_bytes; /* sizes of /tmp and /dev/shm */
};

struct sandbox_step {
    const char *name;        /* for the log and the result */
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path inside */
    const char *cwd;         /* absolute, inside; must exist when the step starts */
};

struct sandbox_kit;

struct sandbox_job {
    const struct sandbox_kit *kit; /* borrowed; NULL: made for this job alone */
    int state_dirfd;
    const char *const *layers; /* directories, lowest first; read only */
    size_t nlayers;
    const char *work; /* an existing directory; "upper" and "overlay" are made in it */
    const struct sandbox_bind *binds;
    size_t nbinds;
    const char *const *env; /* KEY=VALUE */
    size_t nenv;
    const struct sandbox_step *steps; /* none: sets the root up and ends; what the probe does */
    size_t nsteps;
    struct sandbox_limits limits;
    const char *hostname; /* NULL: "intergenos" */
    int log_fd; /* stdout and stderr of all steps are appended; a regular file (writes may not block) */
};

enum sandbox_outcome {
    SANDBOX_OK,
    SANDBOX_BUILD, /* a step failed, or the build went over its disk, process, file or log limit */
    SANDBOX_TIMEOUT,
    SANDBOX_OUT_OF_MEMORY,
    SANDBOX_INFRASTRUCTURE, /* the sandbox could not be set up or broke: says nothing about the build */
    SANDBOX_CANCELLED,      /* sandbox_kill() */
};
const char *sandbox_outcome_name(enum sandbox_outcome outcome);

struct sandbox_usage {
    uint64_t wall_us, user_us, system_us;
    uint64_t peak_bytes; /* largest resident set of one process of the step */
};

struct sandbox_result {
    enum sandbox_outcome outcome;
    int failed_step; /* index, -1 if none */
    int exit_status; /* of the failed step; -1 if it did not exit */
    int signal;      /* that ended the failed step; 0 if none */
    size_t nsteps;   /* steps that have usage figures */
    struct sandbox_usage steps[SANDBOX_STEPS_MAX];
    struct sandbox_usage
        total; /* wall from the launcher's start; peak of the sum over all processes, as sampled */
    uint64_t disk_peak_bytes; /* as sampled */
    uint64_t log_bytes;
    char text[SANDBOX_TEXT_MAX]; /* a sentence for people; empty if ok */
};

struct sandbox;

/*
 * Checks the job and starts it. The job is copied; descriptors in it stay the caller's. *ret is owned
 * (sandbox_free). Safe in a process with threads.
 */
int sandbox_start(const struct sandbox_job *job, struct sandbox **ret, struct diag *diag) MUST_USE;
/* Becomes readable when the build has ended and sandbox_wait() will not block. Borrowed. */
int sandbox_fd(const struct sandbox *sandbox);
/* The step that runs now (-1 before the first) and the memory in use as last sampled. */
void sandbox_progress(const struct sandbox *sandbox, int *ret_step, uint64_t *ret_memory_bytes);
/* Waits for the end. 0, also when the build failed: the outcome says so. May be called again. */
int sandbox_wait(struct sandbox *sandbox, struct sandbox_result *ret, struct diag *diag) MUST_USE;
/* Asks for the end; the build's processes are gone when sandbox_fd() is readable. */
void sandbox_kill(struct sandbox *sandbox);
/* Kills and waits if it still runs. Accepts NULL, returns NULL. */
struct sandbox *sandbox_free(struct sandbox *sandbox);

/* What is the same for all jobs of a process, made once. Any number of threads may use it. */
int sandbox_kit_open(struct sandbox_kit **ret, struct diag *diag) MUST_USE;
struct sandbox_kit *sandbox_kit_close(struct sandbox_kit *kit); /* accepts NULL, returns NULL */

/*
 * For a worker started as root: becomes 'user' for good (NULL: "farm-worker" if there is such a user, else
 * SANDBOX_FALLBACK_ID). The state directory must belong to that user already; nothing is chowned here. Without
 * root: checks the state directory's owner and does nothing else. To call before any thread exists.
 */
enum { SANDBOX_FALLBACK_ID = 64923 };
int sandbox_drop_root(const char *user, int state_dirfd, struct diag *diag) MUST_USE;
/* The ids that sandbox_drop_root() would take, so that the caller can chown a new state directory. */
int sandbox_build_ids(const char *user, unsigned *ret_uid, unsigned *ret_gid, struct diag *diag) MUST_USE;

/*
 * Can this machine run builds? Runs an empty job in a directory of its own below the state directory.
 * FARM_E_UNAVAILABLE with what is missing and what to do about it.
 */
int sandbox_probe(int state_dirfd, struct diag *diag) MUST_USE;

/*
 * Removes what a build left, whatever modes its directories have; does not follow symbolic links. Absent is success.
 * All of it belongs to the caller's own uid (single-id map), so lending itself search permission is enough and
 * no namespace is needed. Call it when the build has ended.
 */
int sandbox_remove_tree(int dirfd, const char *path, struct diag *diag) MUST_USE;

#endif
