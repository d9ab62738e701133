/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read_fd(int fd, const char *name, size_t limit, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf content = BUF_INIT;
    for (;;) {
        enum { CHUNK = 64 * 1024 }; /* one read for nearly every configuration or document */
        ssize_t got = read(fd, buf_room(&content, CHUNK), CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "%s: read", name);
        if (got == 0)
            break;
        content.size += (size_t)got;
        if (content.size > limit)
            return diag_set(diag, FARM_E_LIMIT, "%s: longer than the limit of %zu bytes", name, limit);
    }
    buf_add(ret, content.data, content.size);
    return 0;
}

int file_read(int dirfd, const char *path, size_t limit, struct buf *ret, struct diag *diag)
{
    /* O_NONBLOCK: a FIFO put there by somebody else must not hold us. */
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return diag_errno(diag, "%s", path);
    struct stat status;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "%s: stat", path);
    if (!S_ISREG(status.st_mode))
        return diag_set(diag, FARM_E_REFUSED, "%s: not a regular file", path);
    return file_read_fd(fd, path, limit, ret, diag);
}

int file_write_all(int fd, const void *data, size_t size)
{
    const char *rest = data;
    while (size > 0) {
        ssize_t put = write(fd, rest, size);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return -errno;
        rest += put;
        size -= (size_t)put;
    }
    return 0;
}

/* As mem.h ends: not by the log, which not every program of ours has. _exit: whatever runs at exit could still build on what is lost. */
void file_sync_lost(const char *call)
{
    dprintf(STDERR_FILENO,
            "farm: %s failed (%s): what was written may be lost; ending. Check the disk, then start again: "
            "what was "
            "acknowledged before is there\n",
            call, strerror(errno));
    _exit(FARM_EXIT_CANNOT_RUN);
}

int file_sync(int fd, struct diag *diag)
{
    int result;
    while ((result = fsync(fd)) < 0 && errno == EINTR)
        ;
    if (result == 0)
        return 0;
    if (errno == EINVAL || errno == EROFS) /* nothing that could be synced, so nothing was lost */
        return diag_errno(diag, "fsync");
    file_sync_lost("fsync");
}

int file_sync_parent(int dirfd, const char *path, struct diag *diag)
{
    const char *slash = strrchr(path, '/');
    CLEANUP_FREE char *parent = slash == NULL   ? mem_string(".")
                                : slash == path ? mem_string("/")
                                                : mem_string_n(path, (size_t)(slash - path));
    CLEANUP_CLOSE int fd = file_open_dir(dirfd, parent, diag);
    return fd < 0 ? fd : file_sync(fd, diag);
}

/* The random part keeps writers of the same file apart; O_EXCL refuses a symlink laid in the way. */
static char *temp_name(const char *path)
{
    uint64_t number;
    if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
        abort();
    return mem_format("%s.tmp-%016llx", path, (unsigned long long)number);
}

static int write_temp(int dirfd, const char *temp, struct view content, mode_t mode, struct diag *diag)
{
    CLEANUP_CLOSE int fd = openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0)
        return diag_errno(diag, "%s: create", temp);
    int result = file_write_all(fd, content.data, content.size);
    if (result < 0)
        return diag_set(diag, result, "%s: write: %s", temp, strerror(-result));
    if (fchmod(fd, mode) < 0) /* whatever the umask was */
        return diag_errno(diag, "%s: chmod", temp);
    return file_sync(fd, diag);
}

/* link(2) never replaces; and rename(2) replaces a directory by another one only if it is empty. */
static int rename_without_flags(int dirfd, const char *from, const char *to)
{
    struct stat status;
    if (fstatat(dirfd, from, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return renameat(dirfd, from, dirfd, to) < 0 ? -errno : 0;
    if (linkat(dirfd, from, dirfd, to, 0) < 0)
        return -errno;
    (void)!unlinkat(dirfd, from, 0);
    return 0;
}

int file_rename_new(int dirfd, const char *from, const char *to, struct diag *diag)
{
    int result = renameat2(dirfd, from, dirfd, to, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (result == -EINVAL)
        result = rename_without_flags(dirfd, from, to);
    if (result == -EEXIST || result == -ENOTEMPTY)
        return diag_set(diag, FARM_E_EXISTS, "%s: exists already and is not overwritten", to);
    return result < 0 ? diag_set(diag, result, "%s: rename: %s", to, farm_error_text(result)) : 0;
}

static int put_in_place(int dirfd, const char *temp, const char *path, bool replace, struct diag *diag)
{
    int result = 0;
    if (!replace)
        result = file_rename_new(dirfd, temp, path, diag);
    else if (renameat(dirfd, temp, dirfd, path) < 0)
        result = diag_errno(diag, "%s: rename", path);
    return result < 0 ? result : file_sync_parent(dirfd, path, diag);
}

static int write_durably(int dirfd, const char *path, struct view content, mode_t mode, bool replace,
                         struct diag *diag)
{
    CLEANUP_FREE char *temp = temp_name(path);
    int result = write_temp(dirfd, temp, content, mode, diag);
    if (result >= 0)
        result = put_in_place(dirfd, temp, path, replace, diag);
    if (result < 0)
        unlinkat(dirfd, temp, 0);
    return result;
}

int file_write(int dirfd, const char *path, struct view content, mode_t mode, struct diag *diag)
{
    return write_durably(dirfd, path, content, mode, true, diag);
}

int file_create(int dirfd, const char *path, struct view content, mode_t mode, struct diag *diag)
{
    return write_durably(dirfd, path, content, mode, false, diag);
}

int file_make_dirs(int dirfd, const char *path, mode_t mode, struct diag *diag)
{
    CLEANUP_FREE char *partial = mem_string(path);
    for (char *at = partial + 1;; at++) {
        if (*at != '/' && *at != '\0')
            continue;
        char kept = *at;
        *at = '\0';
        if (mkdirat(dirfd, partial, mode) < 0 && errno != EEXIST)
            return diag_errno(diag, "%s: create directory", partial);
        if (kept == '\0')
            break;
        *at = kept;
    }
    CLEANUP_CLOSE int fd = file_open_dir(dirfd, path, diag);
    return fd < 0 ? fd : 0;
}

int file_open_dir(int dirfd, const char *path, struct diag *diag)
{
    int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : diag_errno(diag, "%s: open directory", path);
}

/*
 * Removing a tree that a build left: it may be deeper than there are descriptors, or than a path can name, on purpose. So
 * there is no recursion. A directory in a directory is first renamed up to the top of the tree, where its turn
 * comes later; at most two are open at any time, and each is moved once.
 */
struct removal {
    int top;
    uint64_t next; /* for the names that directories get when they are moved up */
};

/* -1 with errno. The mode may be one that even its owner cannot enter. */
static int open_to_clear(int dirfd, const char *name)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    int fd = openat(dirfd, name, FLAGS);
    if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
        fd = openat(dirfd, name, FLAGS);
    if (fd >= 0)
        fchmod(fd, 0700);
    return fd;
}

static int move_up(struct removal *removal, int dirfd, const char *name, struct diag *diag)
{
    CLEANUP_CLOSE int fd = open_to_clear(dirfd, name); /* moving a directory needs write permission on it */
    (void)fd;                                          /* only closed */
    for (;;) {
        CLEANUP_FREE char *fresh = mem_format(".removed-%llu", (unsigned long long)removal->next++);
        if (renameat2(dirfd, name, removal->top, fresh, RENAME_NOREPLACE) == 0)
            return 0;
        if (errno != EEXIST)
            return diag_errno(diag, "%s: remove", name);
    }
}

/* Anything but a directory, or an empty one. 1: it is a directory with something in it. */
static int remove_simple(int dirfd, const char *name, struct diag *diag)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    int why = errno;
    if (why != EISDIR && why != EPERM && why != EACCES)
        return diag_errno(diag, "%s: remove", name);
    if (unlinkat(dirfd, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno == ENOTEMPTY || errno == EEXIST)
        return 1;
    if (errno == ENOTDIR)
        errno = why; /* what was wrong with removing the file */
    return diag_errno(diag, "%s: remove", name);
}

typedef int remove_full(struct removal *removal, int dirfd, const char *name, struct diag *diag);

/* Removes what is in 'fd', which it closes; hands directories that are not empty to 'full'. */
static int clear_directory(struct removal *removal, int fd, remove_full *full, struct diag *diag)
{
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "read directory");
        close(fd);
        return error;
    }
    int result = 0;
    for (struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        result = remove_simple(dirfd(stream), entry->d_name, diag);
        if (result == 1)
            result = full(removal, dirfd(stream), entry->d_name, diag);
    }
    closedir(stream);
    return result;
}

/* One in the top: what it holds is removed or moved up beside it; then it is empty. */
static int remove_in_top(struct removal *removal, int dirfd, const char *name, struct diag *diag)
{
    int fd = open_to_clear(dirfd, name);
    if (fd < 0)
        return diag_errno(diag, "%s: open to remove", name);
    int result = clear_directory(removal, fd, move_up, diag);
    if (result >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0 &&
        errno != ENOTEMPTY) /* somebody adds: next round */
        result = diag_errno(diag, "%s: remove directory", name);
    return result;
}

int file_remove_tree(int dirfd, const char *path, struct diag *diag)
{
    int result;
    while ((result = remove_simple(dirfd, path, diag)) ==
           1) { /* each round goes one level deeper everywhere */
        CLEANUP_CLOSE int top = open_to_clear(dirfd, path);
        if (top < 0)
            return diag_errno(diag, "%s: open to remove", path);
        struct removal removal = {.top = top};
        int fd = open_to_clear(top, ".");
        if (fd < 0)
            return diag_errno(diag, "%s: open to remove", path);
        result = clear_directory(&removal, fd, remove_in_top, diag);
        if (result < 0)
            return result;
    }
    return result;
}

int file_temp_dir(int dirfd, const char *prefix, char **ret_name, struct diag *diag)
{
    CLEANUP_FREE char *name = temp_name(prefix);
    if (mkdirat(dirfd, name, 0700) < 0)
        return diag_errno(diag, "%s: create directory", name);
    *ret_name = STEAL(name);
    return 0;
}

bool file_path_is_plain(struct view path)
{
    struct view rest = path, part;
    if (path.size == 0 || path.size >= PATH_MAX || memchr(path.data, '\0', path.size) != NULL)
        return false;
    while (view_split(&rest, '/', &part))
        if (part.size == 0 || part.size > NAME_MAX || view_equal(part, VIEW(".")) ||
            view_equal(part, VIEW("..")))
            return false;
    return true;
}
