/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "area.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The blocks are allocated before the first use: writing to a mapping of a full disk would be a SIGBUS. */
static int open_file(uint64_t size, struct diag *diag)
{
    const char *directory = getenv("TMPDIR");
    if (directory == NULL || directory[0] != '/')
        directory = "/var/tmp";
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_errno(diag, "%s: create temporary file", directory);
    int error = posix_fallocate(fd, 0, (off_t)size);
    if (error != 0) {
        close(fd);
        return diag_set(diag, -error,
                        "%s: %" PRIu64 " bytes for unpacking: %s (set TMPDIR to a larger directory)",
                        directory, size, strerror(error));
    }
    return fd;
}

int area_open(struct area *ret, uint64_t size, struct diag *diag)
{
    if (size == 0)
        size = 1;
    bool in_memory = size <= AREA_MEMORY_MAX;
    CLEANUP_CLOSE int fd = in_memory ? -1 : open_file(size, diag);
    if (!in_memory && fd < 0)
        return fd;
    int flags = in_memory ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *data = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (data == MAP_FAILED)
        return diag_errno(diag, "room for %" PRIu64 " bytes", size);
    madvise(data, (size_t)size, MADV_HUGEPAGE); /* a hint: saves most of the page faults */
    *ret = (struct area){data, (size_t)size};
    return 0;
}

void area_done(struct area *area)
{
    if (area->data != NULL)
        munmap(area->data, area->size);
    *area = (struct area)AREA_INIT;
}
