/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "fuzz_canon.h"

#include "file.h"
#include "fuzz.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(int dirfd, const char *path, struct view content, mode_t mode)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FUZZ_CHECK(fd >= 0 && file_write_all(fd, content.data, content.size) >= 0 && fchmod(fd, mode) == 0);
}

static void put_long_names(int dirfd)
{
    char name[160];
    memset(name, 'n', sizeof name);
    memcpy(name, "usr/", 4);
    name[sizeof name - 1] = '\0';
    put(dirfd, name, VIEW("long"), 0644);
    memset(name, 'l', 150);
    FUZZ_CHECK(symlinkat(name, dirfd, "usr/link") == 0);
}

static void put_tree(int dirfd, unsigned int number)
{
    FUZZ_CHECK(mkdirat(dirfd, "usr", 0755) == 0);
    put(dirfd, "usr/tool", VIEW("#!/bin/sh\nexit 0\n"), 0755);
    put(dirfd, "usr/empty", VIEW_NONE, 04755);
    FUZZ_CHECK(symlinkat("tool", dirfd, "usr/other") == 0);
    if (number == 1)
        put_long_names(dirfd);
}

static int take(void *context, const void *data, size_t size)
{
    buf_add(context, data, size);
    return 0;
}

static void make(struct canon *canon, unsigned int number)
{
    struct diag diag = DIAG_INIT;
    int dirfd = fuzz_scratch();
    FUZZ_CHECK(fchmod(dirfd, 0755) == 0);
    put_tree(dirfd, number);
    canon->pkginfo = number == 2 ? VIEW_NONE : VIEW("pkgname=a\npkgver=1\n");
    FUZZ_OK(manifest_scan(dirfd, &canon->manifest, &diag), &diag);
    FUZZ_OK(canontar_write(&canon->manifest, canon->pkginfo, CANON_EPOCH, dirfd, take, &canon->tar, &diag),
            &diag);
}

const struct canon *canon_payload(unsigned int number)
{
    static struct canon payloads[CANON_PAYLOADS];
    struct canon *canon = &payloads[number % CANON_PAYLOADS];
    if (canon->tar.size == 0)
        make(canon, number % CANON_PAYLOADS);
    return canon;
}
