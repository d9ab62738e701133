/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker that lies (case W1): it builds honestly, then adds one byte to the first regular file of the
 * result, and signs that with its valid key. $FARM_TEST_LIE is the byte, so that two such workers can agree
 * or differ.
 */
#include "lease.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int __real_lease_collect(struct lease *lease, struct workshop *shop, struct diag *diag);
int __wrap_lease_collect(struct lease *lease, struct workshop *shop, struct diag *diag);

/* True once a file was changed; closes dirfd. */
static bool spoil(int dirfd)
{
    DIR *stream = fdopendir(dirfd);
    const char *byte = getenv("FARM_TEST_LIE");
    bool done = false;
    for (struct dirent *entry; !done && stream != NULL && (entry = readdir(stream)) != NULL;) {
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            done = spoil(openat(dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        int fd = entry->d_type == DT_REG ? openat(dirfd, entry->d_name, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
        done = done || (fd >= 0 && write(fd, byte != NULL ? byte : "x", 1) == 1);
        if (fd >= 0)
            close(fd);
    }
    if (stream != NULL)
        closedir(stream);
    return done;
}

int __wrap_lease_collect(struct lease *lease, struct workshop *shop, struct diag *diag)
{
    CLEANUP_FREE char *dest = mem_format("%s/work/dest", lease->dir);
    int dirfd = openat(shop->state_dirfd, dest, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lease->failure == FAILURE_NONE && (dirfd < 0 || !spoil(dirfd)))
        abort(); /* a lie that does not happen would pass the test for nothing */
    return __real_lease_collect(lease, shop, diag);
}
