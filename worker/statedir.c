/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "statedir.h"

#include "file.h"
#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int check_closed(int fd, const char *path, struct diag *diag)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "%s: stat", path);
    if ((status.st_mode & 077) == 0)
        return 0;
    return diag_set(
        diag, FARM_E_CONFIG,
        "%s: the state directory holds secret keys and is open to other users; close it with: chmod 700 %s",
        path, path);
}

int statedir_create(const char *path, int *ret_fd, struct diag *diag)
{
    CLEANUP_FREE char *parent = mem_string(path);
    char *slash = strrchr(parent, '/');
    if (slash != NULL && slash != parent && slash[1] != '\0') {
        *slash = '\0';
        int error = file_make_dirs(AT_FDCWD, parent, 0755, diag);
        if (error < 0)
            return error;
    }
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return diag_errno(diag, "%s: create the state directory", path);
    CLEANUP_CLOSE int fd = file_open_dir(AT_FDCWD, path, diag);
    if (fd < 0)
        return fd;
    int error = check_closed(fd, path, diag);
    if (error >= 0) /* also of one that an interrupted init made: the keys go with its name */
        error = file_sync_parent(AT_FDCWD, path, diag);
    if (error < 0)
        return error;
    *ret_fd = STEAL_FD(fd);
    return 0;
}

/* A worker that root started runs as a user of its own, and its directory is that user's. */
static int no_access(const char *path, struct diag *diag)
{
    struct stat status;
    if (stat(path, &status) < 0)
        return diag_set(diag, -EACCES, "%s: no access to the state directory or to one above it", path);
    return diag_set(
        diag, -EACCES,
        "%s: the state directory belongs to uid %u, and this is uid %u: start the worker the way it was "
        "started first (as that user, or as root), or give the directory away with: sudo chown -R %u %s",
        path, (unsigned)status.st_uid, (unsigned)geteuid(), (unsigned)geteuid(), path);
}

int statedir_open(const char *path, int *ret_fd, struct diag *diag)
{
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return diag_set(diag, FARM_E_MISSING,
                        "%s: there is no worker; make one with: farm-worker init --join STRING --operator "
                        "NAME --state %s",
                        path, path);
    if (fd < 0 && errno == EACCES)
        return no_access(path, diag);
    if (fd < 0)
        return diag_errno(diag, "%s: open the state directory", path);
    int error = check_closed(fd, path, diag);
    if (error < 0)
        return error;
    if (faccessat(fd, STATEDIR_CONF, F_OK, AT_EACCESS) < 0)
        return diag_set(diag, FARM_E_MISSING,
                        "%s: no " STATEDIR_CONF
                        " in there; make a worker with: farm-worker init --join STRING --operator "
                        "NAME --state %s",
                        path, path);
    *ret_fd = STEAL_FD(fd);
    return 0;
}

static int give_below(int fd, uid_t uid, gid_t gid, struct diag *diag);

static int give_one(int dirfd, const char *name, uid_t uid, gid_t gid, struct diag *diag)
{
    if (fchownat(dirfd, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : diag_errno(diag, "%s: hand over to the build user", name);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    return fd < 0 ? 0 : give_below(fd, uid, gid, diag); /* anything but a directory */
}

/* Closes fd. */
static int give_below(int fd, uid_t uid, gid_t gid, struct diag *diag)
{
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "read the state directory");
        close(fd);
        return error;
    }
    int error = 0;
    for (struct dirent *entry; error >= 0 && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            error = give_one(dirfd(stream), entry->d_name, uid, gid, diag);
    closedir(stream);
    return error;
}

/* An editor that root used leaves a new file of root's. */
static int give_edited(int fd, uid_t uid, gid_t gid, struct diag *diag)
{
    static const char *const names[] = {STATEDIR_CONF,  STATEDIR_ROOT,    STATEDIR_KEY,  STATEDIR_REQUEST,
                                        STATEDIR_TRUST, STATEDIR_WITNESS, STATEDIR_ALARM};
    int error = 0;
    for (size_t i = 0; error >= 0 && i < ARRAY_SIZE(names); i++)
        error = give_one(fd, names[i], uid, gid, diag);
    return error;
}

/* The top directory is handed over last, so that its owner says whether everything below was. */
int statedir_hand_over(int fd, bool whole, struct diag *diag)
{
    unsigned uid, gid;
    struct stat status;
    if (geteuid() != 0)
        return 0;
    int error = sandbox_build_ids(NULL, &uid, &gid, diag);
    if (error < 0)
        return error;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "stat of the state directory");
    if (status.st_uid == uid && status.st_gid == gid && !whole)
        return give_edited(fd, uid, gid, diag);
    if (status.st_uid != 0 && status.st_uid != uid)
        return diag_set(
            diag, FARM_E_CONFIG,
            "the state directory belongs to uid %u: start the worker as that user, or make it root's first "
            "(chown -R 0); root's worker runs as uid %u and would lock its owner out",
            (unsigned)status.st_uid, uid);
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0)
        return diag_errno(diag, "open the state directory");
    error = give_below(copy, uid, gid, diag);
    if (error >= 0 && fchown(fd, uid, gid) < 0)
        error = diag_errno(diag, "hand the state directory over to the build user");
    return error;
}

/* A flock belongs to the open file, ends with the process, and needs no stale file's removal. */
int statedir_lock(int fd, int *ret_lock, struct diag *diag)
{
    CLEANUP_CLOSE int lock = openat(fd, STATEDIR_PID, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock < 0)
        return diag_errno(diag, STATEDIR_PID);
    if (flock(lock, LOCK_EX | LOCK_NB) < 0)
        return diag_set(diag, FARM_E_STATE,
                        "a worker already runs in this state directory; a second one needs a --state of "
                        "its own");
    CLEANUP_FREE char *text = mem_format("%ld\n", (long)getpid());
    if (ftruncate(lock, 0) < 0 || pwrite(lock, text, strlen(text), 0) != (ssize_t)strlen(text))
        return diag_errno(diag, STATEDIR_PID ": write");
    *ret_lock = STEAL_FD(lock);
    return 0;
}

int statedir_running(int fd, pid_t *ret, struct diag *diag)
{
    CLEANUP_CLOSE int lock = openat(fd, STATEDIR_PID, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (lock < 0 || flock(lock, LOCK_SH | LOCK_NB) == 0)
        return diag_set(diag, FARM_E_STATE, "no worker runs in this state directory");
    char text[32];
    ssize_t size = pread(lock, text, sizeof text - 1, 0);
    uint64_t pid;
    if (size < 1 || !view_decimal(view_of(text, (size_t)size - 1), &pid) || pid < 2 || pid > INT32_MAX)
        return diag_set(diag, FARM_E_STATE,
                        STATEDIR_PID " is locked and holds no pid: the worker is just starting; try again");
    *ret = (pid_t)pid;
    return 0;
}

int statedir_fill(int fd, struct diag *diag)
{
    static const char *const names[] = {STATEDIR_TREES, STATEDIR_ROOTS, STATEDIR_BUILDS, STATEDIR_SPOOL};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (mkdirat(fd, names[i], 0700) < 0 && errno != EEXIST)
            return diag_errno(diag, "%s: create directory", names[i]);
    return file_sync(fd, diag);
}
