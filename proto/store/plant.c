/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plant.h"

#include "beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct planted_dir {
    char *path; /* owned */
    unsigned int mode;
};

void plant_init(struct plant *plant, int dirfd, int64_t epoch)
{
    *plant = (struct plant){.dirfd = dirfd, .epoch = epoch, .parent_fd = -1, .made = map_new()};
}

static void forget_parent(struct plant *plant)
{
    mem_close_p(&plant->parent_fd);
    mem_free_p(&plant->parent);
}

void plant_done(struct plant *plant)
{
    forget_parent(plant);
    size_t cursor = 0;
    struct view path;
    void *value;
    while (map_next(plant->made, &cursor, &path, &value)) {
        struct planted_dir *dir = value;
        free(dir->path);
        free(dir);
    }
    plant->made = map_free(plant->made);
}

static int report(struct view path, int error, const char *what, struct diag *diag)
{
    if (error == -EEXIST)
        return error;
    if (error == -ELOOP || error == -ENOTDIR || error == -EXDEV)
        return diag_set(diag, FARM_E_REFUSED, "%.*s: %s would pass through something that is not a directory",
                        VIEW_ARG(path), what);
    return diag_set(diag, error, "%.*s: %s: %s", VIEW_ARG(path), what, strerror(-error));
}

/* Most entries lie in the directory of the one before: one open serves them all. Borrowed descriptor. */
static int open_parent(struct plant *plant, struct view path, struct view *ret_name)
{
    struct view parent = beneath_parent(path, ret_name);
    if (plant->parent != NULL && view_equal(view_text(plant->parent), parent))
        return plant->parent_fd;
    forget_parent(plant);
    int fd = beneath_open(plant->dirfd, parent, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    plant->parent_fd = fd;
    plant->parent = view_string(parent);
    return fd;
}

static void remember_dir(struct plant *plant, struct view path, unsigned int mode)
{
    struct planted_dir *dir = mem_alloc(sizeof *dir);
    *dir = (struct planted_dir){view_string(path), mode};
    map_set(plant->made, path, dir);
}

int plant_dir(struct plant *plant, struct view path, unsigned int mode, struct diag *diag)
{
    struct view base;
    int parent = open_parent(plant, path, &base);
    if (parent < 0)
        return report(path, parent, "creating it", diag);
    CLEANUP_FREE char *name = view_string(base);
    if (mkdirat(parent, name, 0700) == 0) {
        remember_dir(plant, path, mode);
        return 0;
    }
    if (errno != EEXIST)
        return report(path, -errno, "create directory", diag);
    struct stat status;
    if (fstatat(parent, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return report(path, -errno, "stat", diag);
    if (!S_ISDIR(status.st_mode))
        return -EEXIST;
    struct planted_dir *ours = map_get(plant->made, path);
    if (ours != NULL)
        ours->mode = mode;
    return 0;
}

int plant_parents(struct plant *plant, struct view path, struct diag *diag)
{
    struct view name;
    if (open_parent(plant, path, &name) >= 0)
        return 0;
    for (size_t i = 0; i < path.size; i++) {
        struct view above = view_of(path.data, i);
        if (path.data[i] != '/' || map_get(plant->made, above) != NULL)
            continue;
        int result = plant_dir(plant, above, 0755, diag);
        if (result == -EEXIST)
            return report(path, -ENOTDIR, "creating it", diag);
        if (result < 0)
            return result;
    }
    return 0;
}

int plant_open_file(struct plant *plant, struct view path, int *ret_fd, struct diag *diag)
{
    struct view base;
    int parent = open_parent(plant, path, &base);
    if (parent < 0)
        return report(path, parent, "creating it", diag);
    CLEANUP_FREE char *name = view_string(base);
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return report(path, -errno, "create", diag);
    *ret_fd = fd;
    return 0;
}

int plant_close_file(struct plant *plant, struct view path, int fd, unsigned int mode, struct diag *diag)
{
    const struct timespec times[2] = {{.tv_sec = plant->epoch}, {.tv_sec = plant->epoch}};
    CLEANUP_CLOSE int owned = fd;
    if (fchmod(owned, mode) < 0)
        return report(path, -errno, "chmod", diag);
    return futimens(owned, times) == 0 ? 0 : report(path, -errno, "set time", diag);
}

int plant_link(struct plant *plant, struct view path, struct view target, struct diag *diag)
{
    struct view base;
    int parent = open_parent(plant, path, &base);
    if (parent < 0)
        return report(path, parent, "creating it", diag);
    CLEANUP_FREE char *name = view_string(base), *text = view_string(target);
    if (symlinkat(text, parent, name) < 0)
        return report(path, -errno, "create link", diag);
    const struct timespec times[2] = {{.tv_sec = plant->epoch}, {.tv_sec = plant->epoch}};
    return utimensat(parent, name, times, AT_SYMLINK_NOFOLLOW) == 0 ? 0
                                                                    : report(path, -errno, "set time", diag);
}

int plant_hardlink(struct plant *plant, struct view path, struct view existing, struct diag *diag)
{
    struct view base, old_base;
    CLEANUP_CLOSE int old_parent = beneath_open_parent(plant->dirfd, existing, &old_base);
    if (old_parent < 0 && old_parent != -ENOENT)
        return report(path, old_parent, "its hard link", diag);
    int parent = open_parent(plant, path, &base);
    if (parent < 0)
        return report(path, parent, "creating it", diag);
    CLEANUP_FREE char *name = view_string(base), *old_name = view_string(old_base);
    struct stat status;
    if (old_parent < 0 || fstatat(old_parent, old_name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return diag_set(diag, FARM_E_REFUSED, "%.*s: hard link to something that did not come before it",
                        VIEW_ARG(path));
    if (!S_ISREG(status.st_mode))
        return diag_set(diag, FARM_E_REFUSED, "%.*s: hard link to something that is not a regular file",
                        VIEW_ARG(path));
    return linkat(old_parent, old_name, parent, name, 0) == 0
               ? 0
               : report(path, -errno, "create hard link", diag);
}

static int finish_dir(const struct plant *plant, const struct planted_dir *dir, struct diag *diag)
{
    struct view path = view_text(dir->path);
    CLEANUP_CLOSE int fd = beneath_open(plant->dirfd, path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return report(path, fd, "open directory", diag);
    const struct timespec times[2] = {{.tv_sec = plant->epoch}, {.tv_sec = plant->epoch}};
    if (futimens(fd, times) < 0)
        return report(path, -errno, "set time", diag);
    return fchmod(fd, dir->mode) == 0 ? 0 : report(path, -errno, "chmod", diag);
}

int plant_finish(struct plant *plant, struct diag *diag)
{
    CLEANUP_FREE struct planted_dir **dirs = mem_zero(map_count(plant->made), sizeof *dirs);
    size_t cursor = 0, count = 0;
    struct view path;
    void *value;
    while (map_next(plant->made, &cursor, &path, &value))
        dirs[count++] = value;
    int result = 0;
    while (result >= 0 && count > 0) /* the innermost first: an outer one may lose its search permission */
        result = finish_dir(plant, dirs[--count], diag);
    return result;
}
