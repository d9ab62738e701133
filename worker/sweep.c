/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sweep.h"

#include "file.h"
#include "sandbox.h"

#include <dirent.h>
#include <string.h>
#include <unistd.h>

static int sweep(int state_dirfd, const char *directory, const char *pattern, struct diag *diag)
{
    int fd = file_open_dir(state_dirfd, directory, diag);
    if (fd < 0)
        return fd;
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        close(fd);
        return diag_errno(diag, "%s: read directory", directory);
    }
    int error = 0;
    for (struct dirent *entry; error >= 0 && (entry = readdir(stream)) != NULL;)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
            strstr(entry->d_name, pattern) != NULL)
            error = entry->d_type == DT_DIR ? sandbox_remove_tree(fd, entry->d_name, diag)
                                            : file_remove_tree(fd, entry->d_name, diag);
    closedir(stream);
    return error;
}

int sweep_temporary(int state_dirfd, const char *directory, struct diag *diag)
{
    return sweep(state_dirfd, directory, ".tmp-", diag);
}

int sweep_all(int state_dirfd, const char *directory, struct diag *diag)
{
    return sweep(state_dirfd, directory, "", diag);
}
