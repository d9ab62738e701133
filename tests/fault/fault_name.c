/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Names: what makes, moves and removes them. */
#include "fault_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- files ---- */

/* A file that is opened for the first time is a new name; one that is cut off loses pages. */
static int open_with(const char *call, int dirfd, const char *path, int flags, mode_t mode)
{
    NEXT(openat)
    struct power_place place;
    char where[PATH_MAX];
    struct stat status;
    if (!fault_watched() || (flags & (O_CREAT | O_TRUNC)) == 0 || (flags & O_TMPFILE) == O_TMPFILE)
        return next(dirfd, path, flags, mode);
    fault_enter();
    int fd = -1;
    if (!fault_find_place(dirfd, path, &place, where)) {
        fd = next(dirfd, path, flags, mode);
    } else {
        bool present = fstatat(place.dirfd, place.name, &status, AT_SYMLINK_NOFOLLOW) == 0;
        bool made = !present && (flags & O_CREAT) != 0;
        if (made && fault_count(FAULT_NAME, call, where) == FAIL) {
            fault_refuse();
        } else if (present && (flags & O_TRUNC) != 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
            int old = next(dirfd, path, O_RDWR | O_CLOEXEC, 0);
            if (old >= 0) {
                power_keep(old, 0, UINT64_MAX);
                close(old);
            }
            fd = next(dirfd, path, flags, mode);
        } else {
            fd = next(dirfd, path, flags, mode);
        }
        if (made && fd >= 0)
            power_made(place, false);
        else
            close(place.dirfd);
    }
    fault_leave();
    return fd;
}

#define TAKE_MODE(flags)                                                                                     \
    mode_t mode = 0;                                                                                         \
    if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                                            \
        va_list list;                                                                                        \
        va_start(list, flags);                                                                               \
        mode = va_arg(list, mode_t);                                                                         \
        va_end(list);                                                                                        \
    }

int open(const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("open", AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("open", AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("openat", dirfd, path, flags, mode);
}

int openat64(int dirfd, const char *path, int flags, ...)
{
    TAKE_MODE(flags)
    return open_with("openat", dirfd, path, flags, mode);
}

/* ---- what makes a name ---- */

/* The rest of a call that makes a name: 'made' is the call. */
#define MAKE_NAME(what, is_directory, dirfd, path, made)                                                     \
    struct power_place place;                                                                                \
    char where[PATH_MAX];                                                                                    \
    if (!fault_watched())                                                                                    \
        return made;                                                                                         \
    fault_enter();                                                                                           \
    int result = -1;                                                                                         \
    bool is_ours = fault_find_place(dirfd, path, &place, where);                                             \
    if (is_ours && fault_count(FAULT_NAME, what, where) == FAIL)                                             \
        fault_refuse();                                                                                      \
    else                                                                                                     \
        result = made;                                                                                       \
    if (is_ours && result == 0)                                                                              \
        power_made(place, is_directory);                                                                     \
    else if (is_ours)                                                                                        \
        close(place.dirfd);                                                                                  \
    fault_leave();                                                                                           \
    return result;

int mkdirat(int dirfd, const char *path, mode_t mode)
{
    NEXT(mkdirat)
    MAKE_NAME("mkdir", true, dirfd, path, next(dirfd, path, mode))
}

int mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int symlinkat(const char *target, int dirfd, const char *path)
{
    NEXT(symlinkat)
    MAKE_NAME("symlink", false, dirfd, path, next(target, dirfd, path))
}

int symlink(const char *target, const char *path)
{
    return symlinkat(target, AT_FDCWD, path);
}

int linkat(int olddirfd, const char *old, int dirfd, const char *path, int flags)
{
    NEXT(linkat)
    MAKE_NAME("link", false, dirfd, path, next(olddirfd, old, dirfd, path, flags))
}

int link(const char *old, const char *path)
{
    return linkat(AT_FDCWD, old, AT_FDCWD, path, 0);
}

/* ---- what takes one away ---- */

int unlinkat(int dirfd, const char *path, int flags)
{
    NEXT(unlinkat)
    struct power_place place;
    char where[PATH_MAX];
    if (!fault_watched())
        return next(dirfd, path, flags);
    fault_enter();
    int result = -1;
    if (!fault_find_place(dirfd, path, &place, where)) {
        result = next(dirfd, path, flags);
    } else {
        power_removing(&place);
        if (fault_count(FAULT_NAME, "unlink", where) == FAIL)
            errno = EIO;
        else
            result = next(dirfd, path, flags);
        int error = errno;
        power_removed(place, (flags & AT_REMOVEDIR) != 0, result == 0);
        errno = error;
    }
    fault_leave();
    return result;
}

int unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int renameat2(int olddirfd, const char *old, int dirfd, const char *path, unsigned int flags)
{
    NEXT(renameat2)
    struct power_place from, to;
    char where[PATH_MAX];
    if (!fault_watched())
        return next(olddirfd, old, dirfd, path, flags);
    fault_enter();
    int result = -1;
    if (!fault_find_place(olddirfd, old, &from, where)) {
        result = next(olddirfd, old, dirfd, path, flags);
    } else if (!fault_find_place(dirfd, path, &to, where)) {
        close(from.dirfd);
        result = next(olddirfd, old, dirfd, path, flags);
    } else {
        power_removing(&to);
        if (fault_count(FAULT_NAME, "rename", where) == FAIL)
            fault_refuse();
        else
            result = next(olddirfd, old, dirfd, path, flags);
        int error = errno;
        power_renamed(from, to, result == 0);
        errno = error;
    }
    fault_leave();
    return result;
}

int renameat(int olddirfd, const char *old, int dirfd, const char *path)
{
    return renameat2(olddirfd, old, dirfd, path, 0);
}

int rename(const char *old, const char *path)
{
    return renameat2(AT_FDCWD, old, AT_FDCWD, path, 0);
}
