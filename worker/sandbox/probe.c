/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The probe: the surest way to know whether builds can run here is to run one that does nothing. It makes an empty root
 * and sends it through every part of the machinery; what fails carries its remedy in its message.
 */
#include "sandbox.h"

#include "file.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PROBE_LAYER "root"
#define PROBE_WORK  "work"
#define PROBE_LOG   "log"

/* What the kernel or bubblewrap says, and what that means for the owner of the machine. */
static const struct {
    const char *sign, *remedy;
} remedies[] = {
    {"user namespace",
     "allow them: sysctl user.max_user_namespaces=15000, kernel.unprivileged_userns_clone=1 (Debian), "
     "kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu)"},
    {"uid_map", "the worker's binary must be readable, and its user's id known in this namespace"},
    {"max_user_namespaces",
     "/proc/sys is read only here: run the worker outside of a container, or give it a writable one"},
    {"mount proc",
     "something covers parts of /proc: run the worker outside of a container, or with an unmasked /proc"},
    {"bwrap", "apt-get install bubblewrap (0.5 or newer)"},
};

static const char *remedy_of(const char *text)
{
    for (size_t i = 0; i < ARRAY_SIZE(remedies); i++)
        if (strstr(text, remedies[i].sign) != NULL)
            return remedies[i].remedy;
    return "see the message";
}

/* Without user attributes an overlay mounts, and then directories that a build replaced fail to be read. */
static int probe_attributes(int dirfd, struct diag *diag)
{
    int fd CLEANUP_CLOSE = openat(dirfd, PROBE_LAYER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsetxattr(fd, "user.farm.probe", "1", 1, 0) < 0)
        return diag_errno(
            diag,
            "the state directory's file system keeps no user attributes, which overlays need; put it on "
            "ext4, xfs or btrfs");
    return 0;
}

static int probe_run(int state_dirfd, const char *dir, int log_fd, struct sandbox_result *ret,
                     struct diag *diag)
{
    char *layer CLEANUP_FREE = mem_format("%s/" PROBE_LAYER, dir);
    char *work CLEANUP_FREE = mem_format("%s/" PROBE_WORK, dir);
    const char *const layers[] = {layer};
    struct sandbox *sandbox = NULL;
    struct sandbox_job job = {
        .state_dirfd = state_dirfd,
        .layers = layers,
        .nlayers = 1,
        .work = work,
        .log_fd = log_fd,
        .limits = {.cores = 1,
                   .memory_bytes = 64 << 20,
                   .processes = 16,
                   .disk_bytes = 16 << 20,
                   .file_bytes = 1 << 20,
                   .wall_seconds = 30,
                   .log_bytes = 64 << 10,
                   .tmp_bytes = 1 << 20,
                   .shm_bytes = 1 << 20},
    };
    int error = sandbox_start(&job, &sandbox, diag);
    if (error >= 0)
        error = sandbox_wait(sandbox, ret, diag);
    sandbox_free(sandbox);
    return error;
}

static int probe_in(int state_dirfd, const char *dir, struct diag *diag)
{
    struct sandbox_result result;
    int dirfd CLEANUP_CLOSE = file_open_dir(state_dirfd, dir, diag);
    if (dirfd < 0)
        return dirfd;
    int log_fd CLEANUP_CLOSE = openat(dirfd, PROBE_LOG, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (log_fd < 0 || mkdirat(dirfd, PROBE_LAYER, 0755) < 0 || mkdirat(dirfd, PROBE_WORK, 0755) < 0)
        return diag_errno(diag, "cannot write below the state directory");
    int error = probe_attributes(dirfd, diag);
    if (error >= 0)
        error = probe_run(state_dirfd, dir, log_fd, &result, diag);
    if (error >= 0 && result.outcome != SANDBOX_OK)
        error = diag_set(diag, FARM_E_UNAVAILABLE, "this machine cannot run builds: %s. What to do: %s",
                         result.text, remedy_of(result.text));
    return error;
}

int sandbox_probe(int state_dirfd, struct diag *diag)
{
    char *dir CLEANUP_FREE = NULL;
    int error = file_temp_dir(state_dirfd, "probe", &dir, diag);
    if (error < 0)
        return error;
    error = probe_in(state_dirfd, dir, diag);
    int removed = sandbox_remove_tree(state_dirfd, dir, error < 0 ? NULL : diag);
    return error < 0 ? error : removed;
}
