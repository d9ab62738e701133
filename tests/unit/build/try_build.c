/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A package built by hand, from a job directory that is laid out as build.h says:
 *
 *   try_build STATE JOB_DIR NAME TIER STYLE LAYER...
 *
 * STYLE: autotools, cmake, meson, make or custom (with recipe/build.sh). LAYER: directories below STATE, lowest first. Prints
 * the outcome, what the assertions found and where the payload is; the log is STATE/log.
 */
#include "build.h"
#include "check.h"
#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum build_system style_of(const char *text)
{
    static const char *const names[] = {"autotools", "cmake", "meson", "make", "custom"};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (strcmp(text, names[i]) == 0)
            return (enum build_system)i;
    return BUILD_CUSTOM;
}

static int run(struct sandbox_job *job, struct diag *diag)
{
    struct sandbox *sandbox = NULL;
    struct sandbox_result result;
    int error = sandbox_start(job, &sandbox, diag);
    if (error >= 0)
        error = sandbox_wait(sandbox, &result, diag);
    sandbox_free(sandbox);
    if (error < 0)
        return error;
    printf("outcome %s, step %d: %s\n", sandbox_outcome_name(result.outcome), result.failed_step,
           result.text);
    for (size_t i = 0; i < result.nsteps; i++)
        printf("  %-12s wall %.2f s, cpu %.2f s, peak %.1f MiB\n", job->steps[i].name,
               (double)result.steps[i].wall_us / 1e6,
               (double)(result.steps[i].user_us + result.steps[i].system_us) / 1e6,
               (double)result.steps[i].peak_bytes / 1048576);
    printf("  total        wall %.2f s, peak of all %.1f MiB\n", (double)result.total.wall_us / 1e6,
           (double)result.total.peak_bytes / 1048576);
    return result.outcome == SANDBOX_OK ? 0 : diag_set(diag, FARM_E_FAILED, "the build failed");
}

static int check(int state, const char *job_dir, char **layers, size_t nlayers, struct diag *diag)
{
    struct problems problems = PROBLEMS_INIT;
    int roots[CHECK_ROOTS_MAX];
    char *dest CLEANUP_FREE = mem_format("%s/" BUILD_HOST_DEST, job_dir);
    int dest_fd CLEANUP_CLOSE = file_open_dir(state, dest, diag);
    for (size_t i = 0; i < nlayers; i++)
        roots[i] = file_open_dir(state, layers[nlayers - 1 - i], diag);
    int error =
        dest_fd < 0
            ? dest_fd
            : check_payload(&(struct check_input){.dest_dirfd = dest_fd, .roots = roots, .nroots = nlayers},
                            &problems);
    problems_print(&problems, stdout);
    problems_done(&problems);
    for (size_t i = 0; i < nlayers; i++)
        close(roots[i]);
    return error < 0 ? diag_set(diag, error, "the payload does not hold what it must") : 0;
}

int main(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    struct build_steps *steps = NULL;
    if (argc < 7)
        return FARM_EXIT_CANNOT_RUN;
    char *destdir = mem_format("DESTDIR=" BUILD_WORK_DIR "/%s/dest", argv[3]);
    const char *const env[] = {"PATH=/usr/bin:/usr/sbin:/bin:/sbin",
                               "HOME=/root",
                               "LC_ALL=POSIX",
                               "TZ=UTC",
                               destdir,
                               "IGOS_JOBS=2",
                               "MAKEFLAGS=-j2",
                               "SOURCE_DATE_EPOCH=1665705600",
                               "CFLAGS=-march=x86-64-v2 -mtune=generic -O2 -pipe",
                               "IGOS_SOURCES=/sources"};
    const struct build_plan plan = {.name = argv[3],
                                    .tier = argv[4],
                                    .system = style_of(argv[5]),
                                    .has_build_sh = style_of(argv[5]) == BUILD_CUSTOM,
                                    .has_scripts = true};
    int state = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = state < 0 ? diag_errno(&diag, "state") : sandbox_drop_root(NULL, state, &diag);
    if (error >= 0)
        error = build_steps_make(&plan, argv[2], &steps, &diag);
    if (error >= 0)
        error = file_make_dirs(state, steps->layer_work, 0700, &diag);
    if (error >= 0) {
        struct sandbox_job job = {
            .state_dirfd = state,
            .layers = (const char *const *)&argv[6],
            .nlayers = (size_t)argc - 6,
            .work = steps->layer_work,
            .binds = steps->binds,
            .nbinds = steps->nbinds,
            .env = env,
            .nenv = ARRAY_SIZE(env),
            .steps = steps->steps,
            .nsteps = steps->nsteps,
            .log_fd = openat(state, "log", O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600),
            .limits = {.cores = 2,
                       .memory_bytes = UINT64_C(4) << 30,
                       .processes = 1024,
                       .disk_bytes = UINT64_C(8) << 30,
                       .file_bytes = UINT64_C(4) << 30,
                       .wall_seconds = 1200,
                       .log_bytes = 64 << 20,
                       .tmp_bytes = 1 << 30,
                       .shm_bytes = 256 << 20}};
        error = run(&job, &diag);
    }
    if (error >= 0)
        error = check(state, argv[2], &argv[6], (size_t)argc - 6, &diag);
    build_steps_free(steps);
    if (error < 0)
        fprintf(stderr, "try_build: %s\n", diag_text(&diag, error));
    return error < 0 ? farm_error_exit(error) : FARM_EXIT_OK;
}
