/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Running a prepared lease: from spec and tree to a sandbox job, and watching it. Nothing about this machine
 * goes in but the choice of processors: limits that a build can see (sizes of /tmp, number of processors)
 * come from the pinned tree.
 */
#include "lease.h"

#include "build.h"
#include "moment.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Processes and threads of one build: far above ninja -j64 with its compilers, far below what hurts a
 * machine. */
enum { BUILD_PROCESSES = 8192 };

static enum build_system system_of(enum build_style style)
{
    switch (style) {
    case STYLE_AUTOTOOLS:
        return BUILD_AUTOTOOLS;
    case STYLE_CMAKE:
        return BUILD_CMAKE;
    case STYLE_MESON:
        return BUILD_MESON;
    case STYLE_MAKE:
        return BUILD_MAKE;
    case STYLE_CUSTOM:
        return BUILD_CUSTOM;
    }
    return BUILD_CUSTOM;
}

/* ---- the job ---- */

/* Everything that one sandbox job borrows. */
struct setup {
    const struct lease *lease;
    const char **flags, **patches, **environment;
    struct build_validation *validations;
    size_t nvalidations;
    char *recipe_path, *scripts_path, *sources_path;
    struct build_steps *steps;
    const char *layers[2];
    struct sandbox_job job;
};

static void setup_done(struct setup *setup)
{
    build_steps_free(setup->steps);
    free(setup->flags);
    free(setup->patches);
    free(setup->environment);
    free(setup->validations);
    free(setup->recipe_path);
    free(setup->scripts_path);
    free(setup->sources_path);
}

static const char **texts_of(const struct text_list *list)
{
    const char **texts = mem_zero(list->count + 1, sizeof(char *));
    for (size_t i = 0; i < list->count; i++)
        texts[i] = list->items[i].text;
    return texts;
}

static void take_patches(struct setup *setup, const struct spec *spec)
{
    setup->patches = mem_zero(spec->npatches + 1, sizeof(char *));
    for (size_t i = 0; i < spec->npatches; i++) {
        const char *slash = strrchr(spec->patches[i].file, '/');
        setup->patches[i] = slash != NULL ? slash + 1 : spec->patches[i].file;
    }
}

static void take_validations(struct setup *setup, const struct spec *spec)
{
    setup->validations = mem_zero(spec->nvalidations + 1, sizeof *setup->validations);
    for (size_t i = 0; i < spec->nvalidations; i++)
        if (spec->validations[i].script != NULL)
            setup->validations[setup->nvalidations++] =
                (struct build_validation){spec->validations[i].description, spec->validations[i].script,
                                          spec->validations[i].expect_contains, spec->validations[i].fatal};
}

/* Recipe and scripts are bound from the shared tree, patches from among the sources: nothing is copied per
 * lease. */
static void point_binds(struct setup *setup)
{
    const struct lease *lease = setup->lease;
    setup->recipe_path = mem_format("%s/%s", lease->tree.path, lease->package->recipe->path);
    setup->scripts_path = mem_format("%s/scripts", lease->tree.path);
    setup->sources_path = mem_format("%s/" BUILD_HOST_SOURCES, lease->dir);
    for (size_t i = 0; i < setup->steps->nbinds; i++) {
        struct sandbox_bind *bind = &setup->steps->binds[i];
        if (view_starts(view_text(bind->target), VIEW(BUILD_PACKAGES_DIR "/")))
            bind->source = setup->recipe_path;
        else if (strcmp(bind->target, BUILD_SCRIPTS_DIR) == 0)
            bind->source = setup->scripts_path;
        else if (strcmp(bind->target, BUILD_PATCHES_DIR) == 0)
            bind->source = setup->sources_path;
    }
}

static int make_steps(struct setup *setup, struct diag *diag)
{
    const struct lease *lease = setup->lease;
    const struct spec *spec = lease->spec;
    setup->flags = texts_of(&spec->configure_flags);
    setup->environment = texts_of(&spec->environment);
    take_patches(setup, spec);
    take_validations(setup, spec);
    const struct build_plan plan = {
        .name = spec->name,
        .tier = spec->tier,
        .system = system_of(spec->style),
        .has_build_sh = spec->build_sh,
        .has_scripts = !digest_is_zero(&spec->scripts),
        .flags = setup->flags,
        .nflags = spec->configure_flags.count,
        .patches = setup->patches,
        .npatches = spec->npatches,
        .install_func = spec->install_func,
        .tests_enabled = spec->tests_enabled,
        .tests_may_fail =
            spec->tests_failure_policy != NULL && strcmp(spec->tests_failure_policy, "known_failures") == 0,
        .validations = setup->validations,
        .nvalidations = setup->nvalidations,
    };
    int error = build_steps_make(&plan, lease->dir, &setup->steps, diag);
    if (error >= 0)
        point_binds(setup);
    return error;
}

static struct sandbox_limits limits_of(const struct lease *lease, const struct workshop *shop)
{
    const struct resources *needs = &lease->package->resources;
    return (struct sandbox_limits){
        .cores = lease->spec->jobs,
        .first_cpu = lease->first_cpu,
        .memory_bytes = needs->memory_bytes,
        .processes = BUILD_PROCESSES,
        .disk_bytes = needs->disk_bytes,
        .disk_reserve_bytes = shop->conf.reserve_bytes,
        .file_bytes = needs->disk_bytes,
        .wall_seconds = needs->wall_seconds,
        .log_bytes = LEASE_LOG_MAX,
        .tmp_bytes = needs->memory_bytes / 2,
        .shm_bytes = needs->memory_bytes / 4,
    };
}

static int make_job(struct setup *setup, const struct workshop *shop, struct diag *diag)
{
    const struct lease *lease = setup->lease;
    int error = make_steps(setup, diag);
    if (error < 0)
        return error;
    setup->layers[0] = lease->base_root.path;
    setup->layers[1] = lease->closure_root.path;
    setup->job = (struct sandbox_job){
        .kit = shop->kit,
        .state_dirfd = shop->state_dirfd,
        .layers = setup->layers,
        .nlayers = lease->closure_root.path != NULL ? 2 : 1,
        .work = setup->steps->layer_work,
        .binds = setup->steps->binds,
        .nbinds = setup->steps->nbinds,
        .env = setup->environment,
        .nenv = lease->spec->environment.count,
        .steps = setup->steps->steps,
        .nsteps = setup->steps->nsteps,
        .limits = limits_of(lease, shop),
        .log_fd = lease->log_fd,
    };
    return 0;
}

/* ---- watching ---- */

static enum wire_phase phase_of(const char *step)
{
    static const struct {
        const char *name;
        enum wire_phase phase;
    } phases[] = {{"patch", WIRE_PHASE_UNPACK},
                  {"configure", WIRE_PHASE_CONFIGURE},
                  {"build", WIRE_PHASE_BUILD},
                  {"check", WIRE_PHASE_CHECK},
                  {"install", WIRE_PHASE_INSTALL}};
    for (size_t i = 0; i < ARRAY_SIZE(phases); i++)
        if (strcmp(step, phases[i].name) == 0)
            return phases[i].phase;
    return WIRE_PHASE_CHECK; /* validate-N */
}

struct watching {
    const struct lease *lease;
    const struct setup *setup;
    const struct lease_watch *watch;
    struct sandbox *sandbox;
    uint64_t offset; /* of the log, as far as it was told */
    enum wire_phase phase;
    int64_t told_ms;
};

/* The newest piece of the log that fits one message; a follower gets the whole log when the build has ended.
 */
static void tell(struct watching *watching, enum wire_phase phase)
{
    char tail[WIRE_LOG_TAIL_MAX];
    struct stat status;
    if (fstat(watching->lease->log_fd, &status) < 0)
        return;
    uint64_t size = (uint64_t)status.st_size;
    uint64_t from = size - watching->offset > sizeof tail ? size - sizeof tail : watching->offset;
    ssize_t got = pread(watching->lease->log_fd, tail, sizeof tail, (off_t)from);
    if (got < 0 || (got == 0 && phase == watching->phase))
        return;
    watching->watch->progress(watching->watch->context, phase, from, view_of(tail, (size_t)got));
    watching->offset = from + (uint64_t)got;
    watching->phase = phase;
}

static void look(struct watching *watching)
{
    int step = -1;
    uint64_t memory;
    int64_t now = moment_steady_ms();
    int interval = watching->lease->log_live ? LEASE_PROGRESS_MS : LEASE_PROGRESS_QUIET_MS;
    sandbox_progress(watching->sandbox, &step, &memory);
    if (watching->watch->progress == NULL || step < 0 || now - watching->told_ms < interval)
        return;
    watching->told_ms = now;
    tell(watching, phase_of(watching->setup->steps->steps[step].name));
}

/*
 * Returns when the build has ended, however. A build that has ended by itself is looked at before a cancellation: what came
 * out of it is an observation, also when nobody waits for it any more.
 */
static void watch_build(struct watching *watching)
{
    struct pollfd fds[] = {{.fd = sandbox_fd(watching->sandbox), .events = POLLIN},
                           {.fd = watching->watch->wake_fd, .events = POLLIN}};
    uint64_t count;
    for (bool killed = false;;) {
        if (poll(fds, ARRAY_SIZE(fds), LEASE_PROGRESS_MS) < 0)
            continue; /* EINTR */
        if (fds[0].revents != 0)
            return;
        if (!killed && lease_is_cancelled(watching->watch)) {
            sandbox_kill(watching->sandbox);
            killed = true;
            fds[1].fd = -1;
        }
        if (fds[1].revents != 0)
            (void)!read(watching->watch->wake_fd, &count, sizeof count);
        if (!killed)
            look(watching);
    }
}

/* ---- the end ---- */

static enum failure_kind failure_of(enum sandbox_outcome outcome)
{
    switch (outcome) {
    case SANDBOX_OK:
        return FAILURE_NONE;
    case SANDBOX_BUILD:
        return FAILURE_BUILD;
    case SANDBOX_TIMEOUT:
        return FAILURE_TIMEOUT;
    case SANDBOX_OUT_OF_MEMORY:
        return FAILURE_MEMORY;
    case SANDBOX_INFRASTRUCTURE:
    case SANDBOX_CANCELLED:
        return FAILURE_INFRASTRUCTURE;
    }
    return FAILURE_INFRASTRUCTURE;
}

static enum lease_fate conclude(struct lease *lease, const struct setup *setup)
{
    const struct sandbox_result *result = &lease->result;
    if (result->outcome == SANDBOX_CANCELLED)
        return LEASE_ABANDONED;
    lease->failure = failure_of(result->outcome);
    if (lease->failure == FAILURE_NONE)
        return LEASE_ENDED;
    const char *step = result->failed_step >= 0 && (size_t)result->failed_step < setup->steps->nsteps
                           ? setup->steps->steps[result->failed_step].name
                           : "the sandbox";
    lease_note(lease, "%s failed (%s): %s", step, failure_kind_name(lease->failure), result->text);
    return LEASE_ENDED;
}

/* A recipe that cannot be built at all fails alike everywhere; a sandbox that does not start is this
 * machine's trouble. */
static enum lease_fate fail(struct lease *lease, enum failure_kind kind, int error, const struct diag *diag)
{
    lease->failure = kind;
    snprintf(lease->result.text, sizeof lease->result.text, "%s", diag_text(diag, error));
    lease_note(lease, "%s", diag_text(diag, error));
    return LEASE_ENDED;
}

static enum lease_fate run(struct lease *lease, const struct setup *setup, const struct lease_watch *watch,
                           struct diag *diag)
{
    struct watching watching = {
        .lease = lease, .setup = setup, .watch = watch, .told_ms = moment_steady_ms()};
    int error = sandbox_start(&setup->job, &watching.sandbox, diag);
    if (error < 0)
        return fail(lease, FAILURE_INFRASTRUCTURE, error, diag);
    watch_build(&watching);
    error = sandbox_wait(watching.sandbox, &lease->result, diag);
    sandbox_free(watching.sandbox);
    return error < 0 ? fail(lease, FAILURE_INFRASTRUCTURE, error, diag) : conclude(lease, setup);
}

enum lease_fate lease_build(struct lease *lease, struct workshop *shop, const struct lease_watch *watch,
                            struct diag *diag)
{
    struct setup setup = {.lease = lease};
    lease->first_cpu = places_take(shop->places);
    int error = make_job(&setup, shop, diag);
    enum lease_fate fate =
        error < 0 ? fail(lease, FAILURE_BUILD, error, diag) : run(lease, &setup, watch, diag);
    places_give(shop->places, lease->first_cpu);
    setup_done(&setup);
    return fate;
}
