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

int file_sync(int fd, struct diag *diag)
{
    if (fsync(fd) == 0)
        return 0;
    return diag_set(diag, FARM_E_CORRUPT, "fsync failed (%s): data may be lost, restart and check the disk",
                    strerror(errno));
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

static int put_in_place(int dirfd, const char *temp, const char *path, bool replace, struct diag *diag)
{
    unsigned int flags = replace ? 0 : RENAME_NOREPLACE;
    if (renameat2(dirfd, temp, dirfd, path, flags) < 0) {
        if (errno == EEXIST)
            return diag_set(diag, FARM_E_EXISTS, "%s: exists already and is not overwritten", path);
        return diag_errno(diag, "%s: rename", path);
    }
    return file_sync_parent(dirfd, path, diag);
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

static int remove_entries(int fd, struct diag *diag);

static int remove_one(int dirfd, const char *name, struct diag *diag)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM && errno != EACCES)
        return diag_errno(diag, "%s: remove", name);
    int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == EACCES && fchmodat(dirfd, name, 0700, 0) == 0)
        fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return diag_errno(diag, "%s: open to remove", name);
    int result = remove_entries(fd, diag); /* closes fd */
    if (result >= 0 && unlinkat(dirfd, name, AT_REMOVEDIR) < 0)
        result = diag_errno(diag, "%s: remove directory", name);
    return result;
}

static int remove_entries(int fd, struct diag *diag)
{
    fchmod(fd, 0700); /* a build may leave directories that even their owner cannot write */
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "read directory");
        close(fd);
        return error;
    }
    int result = 0;
    for (struct dirent *entry; result >= 0 && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            result = remove_one(dirfd(stream), entry->d_name, diag);
    closedir(stream);
    return result;
}

int file_remove_tree(int dirfd, const char *path, struct diag *diag)
{
    return remove_one(dirfd, path, diag);
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
        if (part.size == 0 || part.size > NAME_MAX || view_equal(part, VIEW(".")) || view_equal(part, VIEW("..")))
            return false;
    return true;
}
