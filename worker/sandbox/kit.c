/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "kit.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

/* Put into this library when it is built (images.S). */
extern const unsigned char farm_init_image[], farm_init_image_end[];
extern const unsigned char farm_launcher_image[], farm_launcher_image_end[];

static int fill(int fd, const unsigned char *begin, const unsigned char *end)
{
    int error = file_write_all(fd, begin, (size_t)(end - begin));
    if (error >= 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        error = -errno;
    return error;
}

/* A file that somebody may write cannot be run, so it is opened again for reading only. */
static int image_file(const char *name, const unsigned char *begin, const unsigned char *end, int *ret,
                      struct diag *diag)
{
    char path[40];
    int fd CLEANUP_CLOSE = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
    if (fd < 0) /* before Linux 6.3 every memfd can be run */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int error = fd < 0 ? -errno : fill(fd, begin, end);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int readonly = error >= 0 ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (error >= 0 && readonly < 0)
        error = -errno;
    if (error < 0)
        return diag_set(diag, error, "cannot keep %s in memory: %s", name, farm_error_text(error));
    *ret = readonly;
    return 0;
}

int sandbox_kit_open(struct sandbox_kit **ret, struct diag *diag)
{
    struct sandbox_kit *kit = mem_alloc(sizeof *kit);
    *kit = (struct sandbox_kit){-1, -1};
    int error =
        image_file("farm-launcher", farm_launcher_image, farm_launcher_image_end, &kit->launcher, diag);
    if (error >= 0)
        error = image_file("farm-init", farm_init_image, farm_init_image_end, &kit->init, diag);
    if (error < 0) {
        sandbox_kit_close(kit);
        return error;
    }
    *ret = kit;
    return 0;
}

struct sandbox_kit *sandbox_kit_close(struct sandbox_kit *kit)
{
    if (kit != NULL) {
        mem_close_p(&kit->launcher);
        mem_close_p(&kit->init);
        free(kit);
    }
    return NULL;
}
