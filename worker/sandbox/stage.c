/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "stage.h"

#include "file.h"
#include "ops.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* mount(2) takes one page of options. */
enum { OPTIONS_MAX = 4095 };

static int write_proc(const char *path, const char *text, struct diag *diag)
{
    int fd CLEANUP_CLOSE = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        return diag_errno(diag, "cannot write \"%s\" to %s", text, path);
    return 0;
}

static int map_id(const char *path, unsigned id, struct diag *diag)
{
    char map[32];
    snprintf(map, sizeof map, "0 %u 1", id);
    return write_proc(path, map, diag);
}

static int enter_namespaces(struct diag *diag)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
        return diag_errno(diag, "cannot make a user namespace");
    int error = write_proc("/proc/self/setgroups", "deny", diag);
    if (error >= 0)
        error = map_id("/proc/self/uid_map", uid, diag);
    if (error >= 0)
        error = map_id("/proc/self/gid_map", gid, diag);
    /* Counts in this namespace and those below it; raising it again takes CAP_SYS_RESOURCE, which a build lacks. */
    if (error >= 0)
        error = write_proc("/proc/sys/user/max_user_namespaces", "0", diag);
    return error;
}

static int make_stage(struct diag *diag)
{
    static const char *const dirs[] = {OPS_STATE, OPS_ROOT, OPS_MASK};
    if (mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return diag_errno(diag, "cannot make the mounts private");
    if (mount("farm", OPS_STAGE, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755,size=4m") < 0)
        return diag_errno(diag, "cannot mount a tmpfs on %s", OPS_STAGE);
    for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
        if (mkdir(dirs[i], 0755) < 0)
            return diag_errno(diag, "cannot make %s", dirs[i]);
    return 0;
}

int stage_enter(int state_dirfd, struct diag *diag)
{
    /*
     * A descriptor keeps pointing into the old mount namespace, whose mounts cannot be bound; the working directory
     * is carried over into the new one. So the state directory is reached as ".", without walking down to it.
     */
    if (fchdir(state_dirfd) < 0)
        return diag_errno(diag, "cannot enter the state directory");
    int error = enter_namespaces(diag);
    if (error >= 0)
        error = make_stage(diag);
    if (error < 0)
        return error;
    if (mount(".", OPS_STATE, NULL, MS_BIND | MS_REC, NULL) < 0)
        return diag_errno(diag, "cannot bind the state directory");
    return chdir(OPS_STATE) < 0 ? diag_errno(diag, "cannot enter %s", OPS_STATE) : 0;
}

/* What an earlier build left must not lead a later one elsewhere. */
static int check_path(const char *path, const char *what, struct diag *diag)
{
    const struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd CLEANUP_CLOSE = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
    return fd < 0 ? diag_errno(diag, "%s %s (must exist in the state directory, without symbolic links)",
                               what, path)
                  : 0;
}

static int check_paths(const struct job *job, struct diag *diag)
{
    int error = check_path(job->work, "work directory", diag);
    for (size_t i = 0; error >= 0 && i < job->nlayers; i++)
        error = check_path(job->layers[i], "layer", diag);
    for (size_t i = 0; error >= 0 && i < job->nbinds; i++)
        error = check_path(job->binds[i].source, "bind source", diag);
    return error;
}

static void overlay_options(const struct job *job, struct buf *ret)
{
    buf_add_text(ret, "lowerdir=");
    for (size_t i = job->nlayers; i > 0; i--)
        buf_add_format(ret, "%s%s", job->layers[i - 1], i > 1 ? ":" : "");
    /* volatile: the root is thrown away, and without it every unmount would sync the whole file system. */
    buf_add_format(ret, ",upperdir=%s/upper,workdir=%s/overlay,userxattr,volatile", job->work, job->work);
}

static int make_work(const struct job *job, const char *name, struct diag *diag)
{
    char *path CLEANUP_FREE = mem_format("%s/%s", job->work, name);
    return mkdir(path, 0755) < 0 ? diag_errno(diag, "cannot make %s", path) : 0;
}

int stage_root(const struct job *job, struct diag *diag)
{
    struct buf options CLEANUP_BUF = BUF_INIT;
    int error = check_paths(job, diag);
    if (error >= 0)
        error = make_work(job, "upper", diag);
    if (error >= 0)
        error = make_work(job, "overlay", diag);
    if (error < 0)
        return error;
    overlay_options(job, &options);
    if (options.size > OPTIONS_MAX)
        return diag_set(diag, FARM_E_LIMIT, "the names of the job's %zu layers are too long for one overlay",
                        job->nlayers);
    if (mount("overlay", OPS_ROOT, "overlay", MS_NODEV, options.data) < 0)
        return diag_errno(
            diag,
            "cannot mount the root overlay with %s (Linux 5.11 or newer, and a state directory on "
            "ext4, xfs, btrfs or a recent tmpfs, are needed)",
            options.data);
    return 0;
}
