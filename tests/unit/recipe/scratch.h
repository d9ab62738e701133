/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A package tree in a scratch directory, for tests. */
#ifndef FARM_TEST_SCRATCH_H
#define FARM_TEST_SCRATCH_H

#include "file.h"
#include "tree.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct scratch {
    char *dir;
    int fd;
};

static inline struct scratch scratch_new(void)
{
    struct scratch scratch = {.fd = -1};
    if (file_temp_dir(AT_FDCWD, "test-tree", &scratch.dir, NULL) < 0)
        abort();
    scratch.fd = file_open_dir(AT_FDCWD, scratch.dir, NULL);
    if (scratch.fd < 0)
        abort();
    return scratch;
}

static inline void scratch_done(struct scratch *scratch)
{
    close(scratch->fd);
    if (file_remove_tree(AT_FDCWD, scratch->dir, NULL) < 0)
        abort();
    free(scratch->dir);
}

static inline void scratch_write(const struct scratch *scratch, const char *path, const char *text)
{
    CLEANUP_FREE char *parent = mem_string(path);
    *strrchr(parent, '/') = '\0';
    if (file_make_dirs(scratch->fd, parent, 0755, NULL) < 0)
        abort();
    int fd = openat(scratch->fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || file_write_all(fd, text, strlen(text)) < 0)
        abort();
    close(fd);
}

/* A recipe of tier extra; 'more' is appended. */
static inline void scratch_recipe(const struct scratch *scratch, const char *name, const char *more)
{
    CLEANUP_FREE char *path = mem_format("packages/extra/%s/package.yml", name);
    CLEANUP_FREE char *text =
        mem_format("name: %s\nversion: 1.0\nrelease: 1\ndescription: d\nlicense: MIT\ntier: extra\n"
                   "build_style: custom\n%s",
                   name, more);
    scratch_write(scratch, path, text);
}

#endif
