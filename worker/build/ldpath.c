/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ldpath.h"

#include "file.h"

#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <unistd.h>

/* glibc's, and what Debian's glibc adds for its multiarch directories (its base is one that builds start from). */
static const char *const builtin[] = {
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
#if defined(__x86_64__)
    "/lib/x86_64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
#elif defined(__aarch64__)
    "/lib/aarch64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
#endif
};

void ldpath_done(struct ldpath *path)
{
    for (size_t i = 0; i < path->count; i++)
        free(path->dirs[i]);
    free(path->dirs);
    *path = (struct ldpath){0};
}

void ldpath_add(struct ldpath *path, struct view dir)
{
    for (size_t i = 0; i < path->count; i++)
        if (view_equal(view_text(path->dirs[i]), dir))
            return;
    if (path->count == LDPATH_DIRS_MAX)
        return;
    path->dirs = mem_reserve(path->dirs, &path->capacity, path->count + 1, sizeof *path->dirs);
    path->dirs[path->count++] = view_string(dir);
}

static bool take(struct view *rest, struct view prefix)
{
    if (!view_starts(*rest, prefix))
        return false;
    *rest = view_of(rest->data + prefix.size, rest->size - prefix.size);
    return true;
}

static void expand(struct view entry, const char *origin, struct buf *ret)
{
    while (entry.size > 0) {
        if (take(&entry, VIEW("${ORIGIN}")) || take(&entry, VIEW("$ORIGIN"))) {
            buf_add_text(ret, origin);
        } else if (take(&entry, VIEW("${LIB}")) || take(&entry, VIEW("$LIB"))) {
            buf_add_text(ret, "lib");
        } else {
            buf_add_byte(ret, entry.data[0]);
            entry = view_of(entry.data + 1, entry.size - 1);
        }
    }
}

void ldpath_add_run(struct ldpath *path, struct view run, const char *origin)
{
    struct view entry;
    while (run.size > 0 && view_split(&run, ':', &entry)) {
        struct buf dir CLEANUP_BUF = BUF_INIT;
        expand(entry, origin, &dir);
        if (dir.size > 0 && dir.data[0] == '/')
            ldpath_add(path, buf_view(&dir));
    }
}

static struct view trim(struct view text)
{
    while (text.size > 0 && strchr(" \t\r", text.data[0]) != NULL)
        text = view_of(text.data + 1, text.size - 1);
    while (text.size > 0 && strchr(" \t\r", text.data[text.size - 1]) != NULL)
        text.size--;
    return text;
}

static void read_conf(struct ldpath *path, const struct rootview *view, const char *file, int depth);

/* "include PATTERN": only the last component may be a pattern, which is all that anybody writes. */
static void include(struct ldpath *path, const struct rootview *view, struct view pattern, int depth)
{
    char *text CLEANUP_FREE = view_string(pattern);
    char *slash = strrchr(text, '/');
    struct rootview_found found;
    if (slash == NULL)
        return;
    *slash = '\0';
    for (size_t i = 0; i < view->count; i++) {
        int fd = rootview_find(view, text, true, &found) < 0 ? -1 : rootview_open_dir(view, i, found.path);
        DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
        for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
            char *file CLEANUP_FREE = mem_format("%s/%s", text, entry->d_name);
            if (fnmatch(slash + 1, entry->d_name, FNM_PERIOD) == 0)
                read_conf(path, view, file, depth + 1);
        }
        if (dir != NULL)
            closedir(dir);
    }
}

static void read_line(struct ldpath *path, const struct rootview *view, struct view line, int depth)
{
    const char *comment = line.size > 0 ? memchr(line.data, '#', line.size) : NULL;
    if (comment != NULL)
        line.size = (size_t)(comment - line.data);
    line = trim(line);
    if (take(&line, VIEW("include ")) || take(&line, VIEW("include\t")))
        include(path, view, trim(line), depth);
    else if (line.size > 0 && line.data[0] == '/')
        ldpath_add(path, line);
}

static void read_conf(struct ldpath *path, const struct rootview *view, const char *file, int depth)
{
    struct buf text CLEANUP_BUF = BUF_INIT;
    struct view line;
    int fd CLEANUP_CLOSE = depth > 4 ? -1 : rootview_open(view, file);
    if (fd < 0 || file_read_fd(fd, file, LDPATH_CONF_MAX, &text, NULL) < 0)
        return; /* without it the loader has its built-in directories, and so have we */
    struct view rest = buf_view(&text);
    while (rest.size > 0 && view_split(&rest, '\n', &line))
        read_line(path, view, line, depth);
}

void ldpath_add_system(struct ldpath *path, const struct rootview *view)
{
    for (size_t i = 0; i < ARRAY_SIZE(builtin); i++)
        ldpath_add(path, view_text(builtin[i]));
    read_conf(path, view, "/etc/ld.so.conf", 0);
}
