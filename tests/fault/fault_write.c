/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bytes on their way to the disk: what writes them, and what waits until they are there. */
#include "fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- writing ---- */

static ssize_t put(int fd, const void *data, size_t size, off_t offset)
{
    NEXT(pwrite)
    return next(fd, data, size, offset);
}

/* Where the next write() goes. */
static uint64_t position_of(int fd)
{
    struct stat status;
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_APPEND) != 0 && fstat(fd, &status) == 0)
        return (uint64_t)status.st_size;
    off_t at = lseek(fd, 0, SEEK_CUR);
    return at < 0 ? 0 : (uint64_t)at;
}

static bool is_ours(int fd, char path[static PATH_MAX])
{
    struct stat status;
    return fault_path_of(fd, path) && fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

/* How much of it may be written; -1 with errno: nothing. */
static ssize_t before_write(int fd, const char *call, uint64_t offset, size_t size)
{
    char path[PATH_MAX];
    if (!is_ours(fd, path))
        return (ssize_t)size;
    enum fault_verdict verdict = fault_count(FAULT_WRITE, call, path);
    if (verdict == FAIL)
        return fault_refuse();
    if (verdict == HALF && size > 1)
        size /= 2;
    power_keep(fd, offset, size);
    return (ssize_t)size;
}

ssize_t write(int fd, const void *data, size_t size)
{
    NEXT(write)
    if (!fault_watched())
        return next(fd, data, size);
    fault_enter();
    ssize_t done = before_write(fd, "write", position_of(fd), size);
    if (done >= 0)
        done = next(fd, data, (size_t)done);
    fault_leave();
    return done;
}

static ssize_t write_at(int fd, const void *data, size_t size, off_t offset)
{
    if (!fault_watched())
        return put(fd, data, size, offset);
    fault_enter();
    ssize_t done = before_write(fd, "pwrite", (uint64_t)offset, size);
    if (done >= 0)
        done = put(fd, data, (size_t)done, offset);
    fault_leave();
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return write_at(fd, data, size, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return write_at(fd, data, size, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int nparts)
{
    NEXT(writev)
    if (!fault_watched())
        return next(fd, parts, nparts);
    fault_enter();
    size_t size = 0;
    for (int i = 0; i < nparts; i++)
        size += parts[i].iov_len;
    ssize_t done = before_write(fd, "writev", position_of(fd), size);
    if (done >= 0 && (size_t)done < size && nparts > 0) {
        struct iovec first = parts[0];
        first.iov_len = first.iov_len < (size_t)done ? first.iov_len : (size_t)done;
        done = next(fd, &first, 1);
    } else if (done >= 0) {
        done = next(fd, parts, nparts);
    }
    fault_leave();
    return done;
}

static int cut_at(int fd, off_t size)
{
    NEXT(ftruncate)
    char path[PATH_MAX];
    if (!fault_watched())
        return next(fd, size);
    fault_enter();
    int result = 0;
    if (is_ours(fd, path)) {
        result = fault_count(FAULT_WRITE, "ftruncate", path) == FAIL ? fault_refuse() : 0;
        if (result == 0)
            power_keep(fd, (uint64_t)size, UINT64_MAX);
    }
    if (result == 0)
        result = next(fd, size);
    fault_leave();
    return result;
}

int ftruncate(int fd, off_t size)
{
    return cut_at(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return cut_at(fd, size);
}

static int reserve(int fd, int mode, off_t offset, off_t size)
{
    NEXT(fallocate)
    char path[PATH_MAX];
    if (!fault_watched())
        return next(fd, mode, offset, size);
    fault_enter();
    int result = 0;
    if (is_ours(fd, path)) {
        result = fault_count(FAULT_WRITE, "fallocate", path) == FAIL ? fault_refuse() : 0;
        if (result == 0)
            power_keep(fd, (uint64_t)offset, (uint64_t)size);
    }
    if (result == 0)
        result = next(fd, mode, offset, size);
    fault_leave();
    return result;
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return reserve(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return reserve(fd, mode, offset, size);
}

ssize_t copy_file_range(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t size,
                        unsigned int flags)
{
    NEXT(copy_file_range)
    if (!fault_watched())
        return next(from, from_offset, to, to_offset, size, flags);
    fault_enter();
    ssize_t done =
        before_write(to, "copy_file_range", to_offset != NULL ? (uint64_t)*to_offset : position_of(to), size);
    if (done >= 0)
        done = next(from, from_offset, to, to_offset, (size_t)done, flags);
    fault_leave();
    return done;
}

/* ---- syncing ---- */

typedef int sync_call(int fd);

static int sync_with(sync_call *next, const char *call, int fd, bool all)
{
    char path[PATH_MAX];
    if (!fault_watched())
        return next(fd);
    fault_enter();
    int result = 0;
    if (fault_path_of(fd, path)) {
        bool failed = fault_count(FAULT_SYNC, call, path) == FAIL;
        if (failed) {
            errno = EIO;
            result = -1;
        }
        if (failed || !fault_lies())
            all ? power_synced_all(failed) : power_synced(fd, failed);
    } else {
        result = next(fd);
    }
    fault_leave();
    return result;
}

int fsync(int fd)
{
    NEXT(fsync)
    return sync_with(next, "fsync", fd, false);
}

int fdatasync(int fd)
{
    NEXT(fdatasync)
    return sync_with(next, "fdatasync", fd, false);
}

int syncfs(int fd)
{
    NEXT(syncfs)
    return sync_with(next, "syncfs", fd, true);
}
