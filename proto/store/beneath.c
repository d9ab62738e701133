/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int beneath_open(int dirfd, struct view path, int flags, mode_t mode)
{
    CLEANUP_FREE char *name = path.size > 0 ? view_string(path) : mem_string(".");
    struct open_how how = {
        .flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
        .mode = (flags & O_CREAT) != 0 ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd;
    do /* -EAGAIN: a rename happened elsewhere while the kernel resolved a ".." or checked the bounds */
        fd = syscall(SYS_openat2, dirfd, name, &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd >= 0 ? (int)fd : -errno;
}

struct view beneath_parent(struct view path, struct view *ret_name)
{
    const char *slash = path.size > 0 ? memrchr(path.data, '/', path.size) : NULL;
    size_t before = slash != NULL ? (size_t)(slash - path.data) : 0;
    size_t skip = slash != NULL ? before + 1 : 0;
    *ret_name = view_of(path.data + skip, path.size - skip);
    return view_of(path.data, before);
}

int beneath_open_parent(int dirfd, struct view path, struct view *ret_name)
{
    return beneath_open(dirfd, beneath_parent(path, ret_name), O_RDONLY | O_DIRECTORY, 0);
}

/* chmod(2) has no way to name an O_PATH descriptor but /proc; the name was just seen to be a regular file of ours. */
static int open_unreadable(int dirfd, struct view path, int flags)
{
    struct view base;
    CLEANUP_CLOSE int parent = beneath_open_parent(dirfd, path, &base);
    if (parent < 0)
        return parent;
    CLEANUP_FREE char *name = view_string(base);
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_uid != geteuid())
        return -EACCES;
    if (fchmodat(parent, name, (status.st_mode & 07777) | S_IRUSR, 0) < 0)
        return -errno;
    int fd = openat(parent, name, flags | O_CLOEXEC | O_NOFOLLOW);
    int error = -errno;
    int restored = fchmodat(parent, name, status.st_mode & 07777, 0);
    if (fd >= 0 && restored < 0) {
        error = -errno;
        close(fd);
        fd = -1;
    }
    return fd >= 0 ? fd : error;
}

int beneath_open_file(int dirfd, struct view path)
{
    enum { FLAGS = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY }; /* a FIFO in its place must not hold us */
    int fd = beneath_open(dirfd, path, FLAGS, 0);
    if (fd == -EACCES)
        fd = open_unreadable(dirfd, path, FLAGS);
    struct stat status;
    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -EINVAL;
    }
    return fd;
}
