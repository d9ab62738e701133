/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "job.h"

#include "file.h"
#include "packet.h"

enum { JOB_MAGIC = 0x314a5346 }; /* "FSJ1" */

/* What bubblewrap and the overlay make themselves; a bind there would be hidden, or would hide it. */
static const char *const reserved[] = {"/proc", "/sys", "/dev", "/tmp"};

/* ',' ':' and '\' mean something in overlay options; nothing here needs more than these. */
static bool is_safe(const char *text)
{
    return text[strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+-@~/")] ==
           '\0';
}

static int check_host_path(const char *path, const char *what, struct diag *diag)
{
    if (path == NULL || strlen(path) > SANDBOX_PATH_MAX || !file_path_is_plain(view_text(path)) ||
        !is_safe(path))
        return diag_set(
            diag, FARM_E_REFUSED,
            "sandbox job: %s: \"%.100s\" must be a plain path below the state directory, of letters, digits "
            "and ._+-@~",
            what, path != NULL ? path : "");
    return 0;
}

static int check_inner_path(const char *path, const char *what, struct diag *diag)
{
    if (path == NULL || path[0] != '/' || strlen(path) > SANDBOX_PATH_MAX ||
        !file_path_is_plain(view_text(path + 1)))
        return diag_set(diag, FARM_E_REFUSED,
                        "sandbox job: %s: \"%.100s\" must be an absolute path without . or .. and not /",
                        what, path != NULL ? path : "");
    return 0;
}

static int check_bind(const struct sandbox_bind *bind, struct diag *diag)
{
    int error = check_host_path(bind->source, "bind source", diag);
    if (error >= 0)
        error = check_inner_path(bind->target, "bind target", diag);
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(reserved); i++) {
        size_t size = strlen(reserved[i]);
        if (strncmp(bind->target, reserved[i], size) == 0 &&
            (bind->target[size] == '/' || bind->target[size] == '\0'))
            error = diag_set(diag, FARM_E_REFUSED, "sandbox job: bind target %s: %s is the sandbox's own",
                             bind->target, reserved[i]);
    }
    return error;
}

static int check_step(const struct sandbox_step *step, struct diag *diag)
{
    size_t argc = 0;
    if (step->name == NULL || !view_is_token(view_text(step->name)))
        return diag_set(diag, FARM_E_REFUSED, "sandbox job: a step's name must be one word");
    int error = check_inner_path(step->cwd, "step's directory", diag);
    if (error < 0)
        return error;
    while (step->argv != NULL && step->argv[argc] != NULL)
        argc++;
    if (argc == 0 || argc > SANDBOX_ARGS_MAX)
        return diag_set(diag, FARM_E_LIMIT, "sandbox job: step %s has %zu arguments, 1 to %d are possible",
                        step->name, argc, SANDBOX_ARGS_MAX);
    return check_inner_path(step->argv[0], "step's program", diag);
}

static int check_env(const char *entry, struct diag *diag)
{
    const char *equals = entry != NULL ? strchr(entry, '=') : NULL;
    if (equals == NULL || equals == entry)
        return diag_set(diag, FARM_E_REFUSED, "sandbox job: environment entry \"%.60s\" is not KEY=VALUE",
                        entry != NULL ? entry : "");
    return 0;
}

static int check_limits(const struct sandbox_limits *limits, struct diag *diag)
{
    const struct {
        const char *name;
        uint64_t value;
    } needed[] = {{"cores", limits->cores},           {"memory_bytes", limits->memory_bytes},
                  {"processes", limits->processes},   {"disk_bytes", limits->disk_bytes},
                  {"file_bytes", limits->file_bytes}, {"wall_seconds", limits->wall_seconds},
                  {"log_bytes", limits->log_bytes},   {"tmp_bytes", limits->tmp_bytes},
                  {"shm_bytes", limits->shm_bytes}};
    for (size_t i = 0; i < ARRAY_SIZE(needed); i++)
        if (needed[i].value == 0)
            return diag_set(diag, FARM_E_REFUSED, "sandbox job: limit %s is 0; every limit must be set",
                            needed[i].name);
    return 0;
}

static int check_counts(const struct sandbox_job *job, struct diag *diag)
{
    const struct {
        const char *name;
        size_t count, least, most;
    } counts[] = {{"layers", job->nlayers, 1, SANDBOX_LAYERS_MAX},
                  {"binds", job->nbinds, 0, SANDBOX_BINDS_MAX},
                  {"variables", job->nenv, 0, SANDBOX_ENV_MAX},
                  {"steps", job->nsteps, 0, SANDBOX_STEPS_MAX}};
    for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
        if (counts[i].count < counts[i].least || counts[i].count > counts[i].most)
            return diag_set(diag, FARM_E_LIMIT, "sandbox job: %zu %s; %zu to %zu are possible",
                            counts[i].count, counts[i].name, counts[i].least, counts[i].most);
    return 0;
}

static int check_lists(const struct sandbox_job *job, struct diag *diag)
{
    int error = 0;
    for (size_t i = 0; error >= 0 && i < job->nlayers; i++)
        error = check_host_path(job->layers[i], "layer", diag);
    for (size_t i = 0; error >= 0 && i < job->nbinds; i++)
        error = check_bind(&job->binds[i], diag);
    for (size_t i = 0; error >= 0 && i < job->nenv; i++)
        error = check_env(job->env[i], diag);
    for (size_t i = 0; error >= 0 && i < job->nsteps; i++)
        error = check_step(&job->steps[i], diag);
    return error;
}

int job_check(const struct sandbox_job *job, struct diag *diag)
{
    int error = check_counts(job, diag);
    if (error >= 0)
        error = check_limits(&job->limits, diag);
    if (error >= 0)
        error = check_host_path(job->work, "work directory", diag);
    if (error >= 0)
        error = check_lists(job, diag);
    if (error >= 0 && job->hostname != NULL && (!is_safe(job->hostname) || strlen(job->hostname) > 63))
        error = diag_set(diag, FARM_E_REFUSED, "sandbox job: host name \"%.64s\" is not one", job->hostname);
    return error;
}

static void add_u32(struct buf *buf, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        buf_add_byte(buf, (char)(value >> 8 * i));
}

static void add_u64(struct buf *buf, uint64_t value)
{
    add_u32(buf, (uint32_t)value);
    add_u32(buf, (uint32_t)(value >> 32));
}

static void add_text(struct buf *buf, const char *text)
{
    size_t size = strlen(text);
    add_u32(buf, (uint32_t)size);
    buf_add(buf, text, size + 1);
}

static void add_limits(struct buf *buf, const struct sandbox_limits *limits)
{
    add_u32(buf, limits->cores);
    add_u32(buf, limits->first_cpu);
    add_u32(buf, limits->processes);
    add_u32(buf, limits->wall_seconds);
    add_u64(buf, limits->memory_bytes);
    add_u64(buf, limits->disk_bytes);
    add_u64(buf, limits->disk_reserve_bytes);
    add_u64(buf, limits->file_bytes);
    add_u64(buf, limits->log_bytes);
    add_u64(buf, limits->tmp_bytes);
    add_u64(buf, limits->shm_bytes);
}

static void read_limits(struct packet *packet, struct sandbox_limits *limits)
{
    limits->cores = packet_u32(packet);
    limits->first_cpu = packet_u32(packet);
    limits->processes = packet_u32(packet);
    limits->wall_seconds = packet_u32(packet);
    limits->memory_bytes = packet_u64(packet);
    limits->disk_bytes = packet_u64(packet);
    limits->disk_reserve_bytes = packet_u64(packet);
    limits->file_bytes = packet_u64(packet);
    limits->log_bytes = packet_u64(packet);
    limits->tmp_bytes = packet_u64(packet);
    limits->shm_bytes = packet_u64(packet);
}

void job_encode(const struct sandbox_job *job, struct buf *ret)
{
    add_u32(ret, JOB_MAGIC);
    add_text(ret, job->hostname != NULL ? job->hostname : "intergenos");
    add_text(ret, job->work);
    add_u32(ret, (uint32_t)job->nlayers);
    for (size_t i = 0; i < job->nlayers; i++)
        add_text(ret, job->layers[i]);
    add_u32(ret, (uint32_t)job->nbinds);
    for (size_t i = 0; i < job->nbinds; i++) {
        add_text(ret, job->binds[i].source);
        add_text(ret, job->binds[i].target);
        add_u32(ret, job->binds[i].readonly);
    }
    add_limits(ret, &job->limits);
    add_u32(ret, (uint32_t)job->nsteps);
}

void job_encode_script(const struct sandbox_job *job, struct buf *ret)
{
    add_u32(ret, PACKET_SCRIPT_MAGIC);
    add_u32(ret, (uint32_t)job->nenv);
    for (size_t i = 0; i < job->nenv; i++)
        add_text(ret, job->env[i]);
    add_u32(ret, (uint32_t)job->nsteps);
    for (size_t i = 0; i < job->nsteps; i++) {
        uint32_t argc = 0;
        while (job->steps[i].argv[argc] != NULL)
            argc++;
        add_text(ret, job->steps[i].name);
        add_text(ret, job->steps[i].cwd);
        add_u32(ret, argc);
        for (uint32_t k = 0; k < argc; k++)
            add_text(ret, job->steps[i].argv[k]);
    }
}

int job_decode(char *bytes, size_t size, struct job *ret)
{
    struct packet packet = {bytes, bytes + size, false};
    struct job job = {0};
    if (packet_u32(&packet) != JOB_MAGIC)
        packet.bad = true;
    job.hostname = packet_text(&packet);
    job.work = packet_text(&packet);
    job.nlayers = packet_count(&packet, SANDBOX_LAYERS_MAX);
    for (size_t i = 0; i < job.nlayers; i++)
        job.layers[i] = packet_text(&packet);
    job.nbinds = packet_count(&packet, SANDBOX_BINDS_MAX);
    for (size_t i = 0; i < job.nbinds; i++) {
        job.binds[i].source = packet_text(&packet);
        job.binds[i].target = packet_text(&packet);
        job.binds[i].readonly = packet_count(&packet, 1) == 1;
    }
    read_limits(&packet, &job.limits);
    job.nsteps = packet_count(&packet, SANDBOX_STEPS_MAX);
    if (packet.bad || packet.at != packet.end)
        return FARM_E_SYNTAX;
    *ret = job;
    return 0;
}
