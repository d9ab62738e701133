/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "treewalk.h"

#include "beneath.h"
#include "buf.h"
#include "manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* Directories still to be read: a stack of owned paths. */
struct pending {
    char **paths;
    size_t count, capacity;
};

static void pending_push(struct pending *pending, struct view path)
{
    pending->paths =
        mem_reserve(pending->paths, &pending->capacity, pending->count + 1, sizeof *pending->paths);
    pending->paths[pending->count++] = view_string(path);
}

static void pending_done(struct pending *pending)
{
    while (pending->count > 0)
        free(pending->paths[--pending->count]);
    free(pending->paths);
}

static int visit_one(DIR *stream, const char *directory, const char *name, treewalk_visit *visit,
                     void *context, struct pending *pending, struct diag *diag)
{
    CLEANUP_BUF struct buf path = BUF_INIT;
    buf_add_text(&path, directory);
    if (path.size > 0)
        buf_add_byte(&path, '/');
    buf_add_text(&path, name);
    if (path.size >= MANIFEST_PATH_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%.100s...: path longer than %d bytes", path.data,
                        MANIFEST_PATH_MAX - 1);
    struct stat status;
    if (fstatat(dirfd(stream), name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return diag_errno(diag, "%s: stat", path.data);
    const struct treewalk_entry entry = {buf_view(&path), name, dirfd(stream), &status};
    int answer = visit(context, &entry, diag);
    if (answer == TREEWALK_GO_ON && S_ISDIR(status.st_mode))
        pending_push(pending, buf_view(&path));
    return answer < 0 ? answer : 0;
}

static int read_directory(DIR *stream, const char *directory, treewalk_visit *visit, void *context,
                          struct pending *pending, struct diag *diag)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (entry == NULL)
            return errno == 0 ? 0 : diag_errno(diag, "%s: read directory", directory);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        int result = visit_one(stream, directory, entry->d_name, visit, context, pending, diag);
        if (result < 0)
            return result;
    }
}

static int walk_directory(int root, const char *directory, treewalk_visit *visit, void *context,
                          struct pending *pending, struct diag *diag)
{
    int fd = beneath_open(root, view_text(directory), O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return diag_set(diag, fd, "%s: open directory: %s (its owner must be able to read and search it)",
                        directory, strerror(-fd));
    DIR *stream = fdopendir(fd);
    if (stream == NULL) {
        int error = diag_errno(diag, "%s: read directory", directory);
        close(fd);
        return error;
    }
    int result = read_directory(stream, directory, visit, context, pending, diag);
    closedir(stream);
    return result;
}

int treewalk(int root, treewalk_visit *visit, void *context, struct diag *diag)
{
    struct pending pending = {0};
    pending_push(&pending, VIEW(""));
    int result = 0;
    while (result >= 0 && pending.count > 0) {
        CLEANUP_FREE char *directory = pending.paths[--pending.count];
        result = walk_directory(root, directory, visit, context, &pending, diag);
    }
    pending_done(&pending);
    return result;
}

int treewalk_read_link(const struct treewalk_entry *entry, char **ret, struct diag *diag)
{
    char target[PATH_MAX];
    ssize_t size = readlinkat(entry->parent_fd, entry->name, target, sizeof target);
    if (size < 0)
        return diag_errno(diag, "%.*s: read link", VIEW_ARG(entry->path));
    if (size == (ssize_t)sizeof target)
        return diag_set(diag, FARM_E_LIMIT, "%.*s: link target too long", VIEW_ARG(entry->path));
    *ret = mem_string_n(target, (size_t)size);
    return 0;
}

const char *treewalk_type(mode_t mode)
{
    static const struct {
        mode_t type;
        const char *name;
    } names[] = {{S_IFREG, "file"},   {S_IFDIR, "directory"},        {S_IFLNK, "symbolic link"},
                 {S_IFIFO, "FIFO"},   {S_IFCHR, "character device"}, {S_IFBLK, "block device"},
                 {S_IFSOCK, "socket"}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if ((mode & S_IFMT) == names[i].type)
            return names[i].name;
    return "unknown type";
}
