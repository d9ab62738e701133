/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rootview.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int open_in(int dirfd, const char *path, uint64_t flags)
{
    const struct open_how how = {.flags = flags | O_CLOEXEC,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    int fd = (int)syscall(SYS_openat2, dirfd, path[0] != '\0' ? path : ".", &how, sizeof how);
    return fd < 0 ? -errno : fd;
}

/* The topmost entry of that real path; its last component is not followed. */
static int find_real(const struct rootview *view, struct rootview_found *found, char *link)
{
    for (size_t i = 0; i < view->count; i++) {
        /* O_PATH with O_NOFOLLOW opens a link itself, and RESOLVE_NO_SYMLINKS lets that pass. */
        int fd CLEANUP_CLOSE = open_in(view->dirs[i], found->path, O_PATH | O_NOFOLLOW);
        if (fd < 0 || fstat(fd, &found->st) < 0)
            continue; /* in this directory: absent, or something else stands in the way */
        found->dir = i;
        ssize_t size = S_ISLNK(found->st.st_mode) ? readlinkat(fd, "", link, ROOTVIEW_PATH_MAX) : 0;
        if (size < 0 || size >= ROOTVIEW_PATH_MAX)
            return -ENAMETOOLONG;
        link[size] = '\0';
        return 0;
    }
    return -ENOENT;
}

static void cut_last(char *path)
{
    char *slash = strrchr(path, '/');
    *(slash != NULL ? slash : path) = '\0';
}

static int append(char *path, const char *name, size_t size)
{
    size_t length = strlen(path);
    if (length + size + 2 > ROOTVIEW_PATH_MAX)
        return -ENAMETOOLONG;
    if (length > 0)
        path[length++] = '/';
    memcpy(path + length, name, size);
    path[length + size] = '\0';
    return 0;
}

/* Puts the link's target in front of what is still to walk. */
static int splice_link(struct rootview_found *found, char *rest, const char *link)
{
    char joined[ROOTVIEW_PATH_MAX];
    int size = snprintf(joined, sizeof joined, "%s/%s", link, rest);
    if (size < 0 || (size_t)size >= sizeof joined)
        return -ENAMETOOLONG;
    memcpy(rest, joined, (size_t)size + 1);
    if (link[0] == '/')
        found->path[0] = '\0';
    else
        cut_last(found->path);
    return 0;
}

/* One component off the front of 'rest'; its size, 0 at the end. */
static size_t take(char *rest, char *ret_name)
{
    size_t skip = strspn(rest, "/");
    size_t size = strcspn(rest + skip, "/");
    memcpy(ret_name, rest + skip, size);
    ret_name[size] = '\0';
    memmove(rest, rest + skip + size, strlen(rest + skip + size) + 1);
    return size;
}

static int walk_component(const struct rootview *view, struct rootview_found *found, char *rest,
                          const char *name, bool follow, int *links)
{
    char link[ROOTVIEW_PATH_MAX];
    if (strcmp(name, ".") == 0)
        return 0;
    if (strcmp(name, "..") == 0) {
        cut_last(found->path);
        return find_real(view, found, link);
    }
    int error = append(found->path, name, strlen(name));
    if (error >= 0)
        error = find_real(view, found, link);
    bool last = rest[strspn(rest, "/")] == '\0';
    if (error < 0 || !S_ISLNK(found->st.st_mode) || (last && !follow))
        return error < 0 ? error : last || S_ISDIR(found->st.st_mode) ? 0 : -ENOTDIR;
    if (++*links > ROOTVIEW_LINKS_MAX)
        return -ELOOP;
    return splice_link(found, rest, link);
}

int rootview_find(const struct rootview *view, const char *path, bool follow, struct rootview_found *ret)
{
    struct rootview_found found = {.path = ""};
    char rest[ROOTVIEW_PATH_MAX], name[ROOTVIEW_PATH_MAX], link[ROOTVIEW_PATH_MAX];
    int links = 0;
    if (strlen(path) >= sizeof rest)
        return -ENAMETOOLONG;
    memcpy(rest, path, strlen(path) + 1);
    int error = find_real(view, &found, link);
    while (error >= 0 && take(rest, name) > 0)
        error = walk_component(view, &found, rest, name, follow, &links);
    /* A relative link at the very end leaves us in its directory; what is found then is looked at once more. */
    if (error >= 0)
        error = find_real(view, &found, link);
    if (error >= 0)
        *ret = found;
    return error;
}

int rootview_open(const struct rootview *view, const char *path)
{
    struct rootview_found found;
    int error = rootview_find(view, path, true, &found);
    if (error < 0)
        return error;
    return S_ISREG(found.st.st_mode) ? open_in(view->dirs[found.dir], found.path, O_RDONLY) : -EINVAL;
}

int rootview_open_dir(const struct rootview *view, size_t dir, const char *path)
{
    return open_in(view->dirs[dir], path, O_RDONLY | O_DIRECTORY);
}
