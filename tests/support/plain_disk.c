/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A coordinator for which everything below $FARM_TEST_DISK lies on a file system that can rename, and nothing more: what renameat2(2) does with
 * flags is refused, as NFS and others refuse it.
 */
#include "view.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int __real_renameat2(int from_dirfd, const char *from, int dirfd, const char *to, unsigned int flags);
int __wrap_renameat2(int from_dirfd, const char *from, int dirfd, const char *to, unsigned int flags);

static bool begins_with(const char *path, const char *prefix)
{
    return strncmp(path, prefix, strlen(prefix)) == 0;
}

static bool is_there(int dirfd, const char *path)
{
    const char *disk = getenv("FARM_TEST_DISK");
    char link[64], directory[PATH_MAX] = "";
    if (disk == NULL)
        abort();
    if (dirfd == AT_FDCWD || path[0] == '/')
        return begins_with(path, disk);
    snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
    if (readlink(link, directory, sizeof directory - 1) < 0)
        abort();
    return begins_with(directory, disk);
}

int __wrap_renameat2(int from_dirfd, const char *from, int dirfd, const char *to, unsigned int flags)
{
    if (flags == 0 || !is_there(dirfd, to))
        return __real_renameat2(from_dirfd, from, dirfd, to, flags);
    errno = EINVAL;
    return -1;
}
