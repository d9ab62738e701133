/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A sandbox driven by hand: for experiments, measurements and the proof that root and user build the same bytes.
 *
 *   try_sandbox STATE [user=NAME] [layer=PATH]... [work=PATH] [bind=SOURCE:TARGET[:ro]]... [env=K=V]... [cores=N] [cpu=N]
 *               [memory=MIB] [processes=N] [disk=MIB] [wall=S] [repeat=N] [step=SCRIPT]... [run=PROGRAM]...
 *
 * A step is run by /bin/bash -e; run= names a program without arguments. Prints outcome and usage; exit status 0 if
 * ok. With repeat=N the job runs N times (work is made and removed each time) and the rate is printed.
 */
#include "sandbox.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct options {
    const char *user, *work;
    const char *layers[SANDBOX_LAYERS_MAX];
    struct sandbox_bind binds[SANDBOX_BINDS_MAX];
    const char *env[SANDBOX_ENV_MAX];
    struct sandbox_step steps[SANDBOX_STEPS_MAX];
    const char *argv[SANDBOX_STEPS_MAX][6];
    size_t nlayers, nbinds, nenv, nsteps;
    struct sandbox_limits limits;
    unsigned repeat;
};

static void add_bind(struct options *options, char *text)
{
    struct sandbox_bind *bind = &options->binds[options->nbinds++];
    char *target = strchr(text, ':');
    char *mode = target != NULL ? strchr(target + 1, ':') : NULL;
    if (target == NULL)
        exit(FARM_EXIT_CANNOT_RUN);
    *target = '\0';
    if (mode != NULL)
        *mode = '\0';
    *bind = (struct sandbox_bind){text, target + 1, mode != NULL};
}

static void add_step(struct options *options, char *text, bool script)
{
    size_t n = options->nsteps++;
    const char **argv = options->argv[n];
    size_t argc = 0;
    if (script) {
        argv[argc++] = "/bin/bash";
        argv[argc++] = "-e";
        argv[argc++] = "-c";
    }
    argv[argc] = text;
    options->steps[n] = (struct sandbox_step){script ? "script" : "run", argv, "/tmp"};
}

static bool option(struct options *o, char *arg)
{
    char *value = strchr(arg, '=');
    if (value == NULL)
        return false;
    *value++ = '\0';
    unsigned long long number = strtoull(value, NULL, 10);
    const struct {
        const char *name;
        uint64_t *u64;
        unsigned *u32;
        uint64_t unit;
    } numbers[] = {{"cores", NULL, &o->limits.cores, 1},
                   {"cpu", NULL, &o->limits.first_cpu, 1},
                   {"memory", &o->limits.memory_bytes, NULL, 1 << 20},
                   {"processes", NULL, &o->limits.processes, 1},
                   {"disk", &o->limits.disk_bytes, NULL, 1 << 20},
                   {"wall", NULL, &o->limits.wall_seconds, 1},
                   {"repeat", NULL, &o->repeat, 1}};
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        if (strcmp(arg, numbers[i].name) == 0) {
            if (numbers[i].u64 != NULL)
                *numbers[i].u64 = number * numbers[i].unit;
            else
                *numbers[i].u32 = (unsigned)number;
            return true;
        }
    if (strcmp(arg, "user") == 0)
        o->user = value;
    else if (strcmp(arg, "work") == 0)
        o->work = value;
    else if (strcmp(arg, "layer") == 0)
        o->layers[o->nlayers++] = value;
    else if (strcmp(arg, "env") == 0)
        o->env[o->nenv++] = value;
    else if (strcmp(arg, "bind") == 0)
        add_bind(o, value);
    else if (strcmp(arg, "step") == 0 || strcmp(arg, "run") == 0)
        add_step(o, value, arg[0] == 's');
    else
        return false;
    return true;
}

static int run_once(const struct sandbox_job *job, struct sandbox_result *ret, struct diag *diag)
{
    struct sandbox *sandbox = NULL;
    int error = sandbox_start(job, &sandbox, diag);
    if (error >= 0)
        error = sandbox_wait(sandbox, ret, diag);
    sandbox_free(sandbox);
    return error;
}

static int run_many(const struct sandbox_job *job, unsigned repeat, struct sandbox_result *ret,
                    struct diag *diag)
{
    struct timespec from, to;
    int error = 0;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (unsigned i = 0; error >= 0 && i < repeat; i++) {
        error = file_make_dirs(job->state_dirfd, job->work, 0700, diag);
        if (error >= 0)
            error = run_once(job, ret, diag);
        if (error >= 0 && repeat > 1)
            error = sandbox_remove_tree(job->state_dirfd, job->work, diag);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
    if (repeat > 1)
        printf("%u jobs in %.3f s: %.1f/s\n", repeat, seconds, repeat / seconds);
    return error;
}

static void print_result(const struct sandbox_result *result)
{
    printf("outcome %s, step %d, status %d, signal %d: %s\n", sandbox_outcome_name(result->outcome),
           result->failed_step, result->exit_status, result->signal, result->text);
    for (size_t i = 0; i < result->nsteps; i++)
        printf("  step %zu: wall %.3f user %.3f system %.3f s, peak %.1f MiB\n", i,
               (double)result->steps[i].wall_us / 1e6, (double)result->steps[i].user_us / 1e6,
               (double)result->steps[i].system_us / 1e6, (double)result->steps[i].peak_bytes / 1048576);
    printf("  total: wall %.4f s, peak %.1f MiB, disk %.1f MiB, log %llu bytes\n",
           (double)result->total.wall_us / 1e6, (double)result->total.peak_bytes / 1048576,
           (double)result->disk_peak_bytes / 1048576, (unsigned long long)result->log_bytes);
}

int main(int argc, char **argv)
{
    static struct options o = {.work = "work",
                               .repeat = 1,
                               .limits = {.cores = 1,
                                          .memory_bytes = UINT64_C(2) << 30,
                                          .processes = 512,
                                          .disk_bytes = UINT64_C(4) << 30,
                                          .file_bytes = UINT64_C(4) << 30,
                                          .wall_seconds = 600,
                                          .log_bytes = 64 << 20,
                                          .tmp_bytes = 256 << 20,
                                          .shm_bytes = 64 << 20}};
    struct diag diag = DIAG_INIT;
    struct sandbox_result result = {.nsteps = 0};
    int state = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    for (int i = 2; i < argc; i++)
        if (!option(&o, argv[i])) {
            fprintf(stderr, "unknown argument %s\n", argv[i]);
            return FARM_EXIT_CANNOT_RUN;
        }
    int error = state < 0 ? diag_errno(&diag, "state directory") : sandbox_drop_root(o.user, state, &diag);
    if (error >= 0)
        error = sandbox_probe(state, &diag);
    int log_fd =
        error < 0 ? -1 : openat(state, "log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    struct sandbox_job job = {.state_dirfd = state,
                              .layers = o.layers,
                              .nlayers = o.nlayers,
                              .work = o.work,
                              .binds = o.binds,
                              .nbinds = o.nbinds,
                              .env = o.env,
                              .nenv = o.nenv,
                              .steps = o.steps,
                              .nsteps = o.nsteps,
                              .limits = o.limits,
                              .log_fd = log_fd};
    if (error >= 0)
        error = run_many(&job, o.repeat, &result, &diag);
    if (error < 0) {
        fprintf(stderr, "try_sandbox: %s\n", diag_text(&diag, error));
        return FARM_EXIT_CANNOT_RUN;
    }
    print_result(&result);
    return result.outcome == SANDBOX_OK ? FARM_EXIT_OK : FARM_EXIT_VIOLATION;
}
