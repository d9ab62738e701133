/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ops.h"

#include "file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* OPS_CAPABILITIES by name. */
static const char *const capabilities[] = {"CAP_CHOWN",  "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
                                           "CAP_SETUID", "CAP_SETGID",       "CAP_KILL"};

void ops_done(struct ops *ops)
{
    for (size_t i = 0; i < ops->count; i++) {
        free(ops->items[i].source);
        free(ops->items[i].target);
    }
    ops->count = 0;
}

static void add(struct ops *ops, enum op_kind kind, char *source, const char *target, uint64_t size,
                unsigned mode)
{
    ops->items[ops->count++] = (struct op){kind, source, mem_string(target), size, mode};
}

void ops_build(const struct job *job, struct ops *ret)
{
    ret->count = 0;
    add(ret, OP_BIND, mem_string(OPS_ROOT), "/", 0, 0);
    add(ret, OP_PROC, NULL, "/proc", 0, 0);
    add(ret, OP_BIND_READONLY, mem_string(OPS_MASK "/cpuinfo"), "/proc/cpuinfo", 0, 0);
    add(ret, OP_DEV, NULL, "/dev", 0, 0);
    /* bubblewrap's /dev is a tmpfs without a size: read only, or it is a hole in the memory limit. */
    add(ret, OP_REMOUNT_READONLY, NULL, "/dev", 0, 0);
    add(ret, OP_TMPFS, NULL, "/dev/shm", job->limits.shm_bytes, 01777);
    add(ret, OP_TMPFS, NULL, "/tmp", job->limits.tmp_bytes, 01777);
    add(ret, OP_BIND_READONLY, mem_string(OPS_MASK "/sys"), "/sys", 0, 0);
    for (size_t i = 0; i < job->nbinds; i++)
        add(ret, job->binds[i].readonly ? OP_BIND_READONLY : OP_BIND,
            mem_format(OPS_STATE "/%s", job->binds[i].source), job->binds[i].target, 0, 0);
}

static bool is_below(const char *path, const char *top)
{
    size_t size = strlen(top);
    return strncmp(path, top, size) == 0 && (path[size] == '/' || path[size] == '\0');
}

static int check_source(const struct op *op, struct diag *diag)
{
    bool bind = op->kind == OP_BIND || op->kind == OP_BIND_READONLY;
    if (bind != (op->source != NULL))
        return diag_set(diag, FARM_E_REFUSED, "sandbox operation on %s: a source belongs to binds alone",
                        op->target);
    if (bind && (!is_below(op->source, OPS_STAGE) || !file_path_is_plain(view_text(op->source + 1))))
        return diag_set(diag, FARM_E_REFUSED, "sandbox operation on %s: source %s is not below the stage",
                        op->target, op->source);
    return 0;
}

static int check_op(const struct ops *ops, size_t index, struct diag *diag)
{
    const struct op *op = &ops->items[index];
    if (index == 0)
        return strcmp(op->target, "/") == 0 && op->kind == OP_BIND
                   ? 0
                   : diag_set(diag, FARM_E_REFUSED, "sandbox operations: the first must bind the root");
    if (op->target[0] != '/' || !file_path_is_plain(view_text(op->target + 1)))
        return diag_set(diag, FARM_E_REFUSED, "sandbox operation on %s: not a plain absolute path",
                        op->target);
    if ((op->kind == OP_TMPFS) != (op->size != 0))
        return diag_set(diag, FARM_E_REFUSED,
                        "sandbox operation on %s: a size belongs to tmpfs, and must be set", op->target);
    for (size_t i = 1; op->kind != OP_REMOUNT_READONLY && i < index; i++)
        if (is_below(ops->items[i].target, op->target))
            return diag_set(diag, FARM_E_REFUSED, "sandbox operation on %s would hide %s", op->target,
                            ops->items[i].target);
    return 0;
}

int ops_validate(const struct ops *ops, struct diag *diag)
{
    int error = ops->count > 0 ? 0 : diag_set(diag, FARM_E_REFUSED, "sandbox operations: none");
    for (size_t i = 0; error >= 0 && i < ops->count; i++) {
        error = check_source(&ops->items[i], diag);
        if (error >= 0)
            error = check_op(ops, i, diag);
    }
    return error;
}

void argv_done(struct argv *argv)
{
    for (size_t i = 0; i < argv->count; i++)
        free(argv->items[i]);
    free(argv->items);
    *argv = (struct argv){0};
}

static void push(struct argv *argv, const char *text)
{
    argv->items = mem_reserve(argv->items, &argv->capacity, argv->count + 2, sizeof *argv->items);
    argv->items[argv->count++] = mem_string(text);
    argv->items[argv->count] = NULL;
}

static void push_number(struct argv *argv, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, number);
    push(argv, text);
}

static void push_mode(struct argv *argv, unsigned mode)
{
    char text[16];
    snprintf(text, sizeof text, "%04o", mode);
    push(argv, text);
}

static void push_op(struct argv *argv, const struct op *op)
{
    switch (op->kind) {
    case OP_BIND:
    case OP_BIND_READONLY:
        push(argv, op->kind == OP_BIND ? "--bind" : "--ro-bind");
        push(argv, op->source);
        break;
    case OP_PROC:
        push(argv, "--proc");
        break;
    case OP_DEV:
        push(argv, "--dev");
        break;
    case OP_REMOUNT_READONLY:
        push(argv, "--remount-ro");
        break;
    case OP_TMPFS:
        push(argv, "--perms");
        push_mode(argv, op->mode);
        push(argv, "--size");
        push_number(argv, op->size);
        push(argv, "--tmpfs");
        break;
    }
    push(argv, op->target);
}

void ops_argv(const struct ops *ops, const char *bwrap, const char *hostname, int seccomp_fd, int init_fd,
              const char *cpus, struct argv *ret)
{
    static const char *const fixed[] = {
        "--unshare-pid",     "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup",
        "--die-with-parent", "--as-pid-1",    "--clearenv",    "--cap-drop",    "ALL"};
    char init[32];
    push(ret, bwrap);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++)
        push(ret, fixed[i]);
    for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++) {
        push(ret, "--cap-add");
        push(ret, capabilities[i]);
    }
    push(ret, "--hostname");
    push(ret, hostname);
    for (size_t i = 0; i < ops->count; i++)
        push_op(ret, &ops->items[i]);
    push(ret, "--chdir");
    push(ret, "/");
    push(ret, "--seccomp");
    push_number(ret, (uint64_t)seccomp_fd);
    push(ret, "--");
    snprintf(init, sizeof init, "/proc/self/fd/%d", init_fd);
    push(ret, init);
    push(ret, cpus);
}
