/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One directory on the way from the top to where we are. */
struct level {
    dev_t dev;
    ino_t ino;
    char *name;   /* in its parent; owned */
    char **names; /* its subdirectories still to do; owned */
    size_t count, capacity;
};

struct state {
    const struct walk *walk;
    struct level *levels;
    size_t depth, capacity;
    int fd; /* the directory of the last level; or the caller's, borrowed, at depth 0 */
};

static void level_done(struct level *level)
{
    for (size_t i = 0; i < level->count; i++)
        free(level->names[i]);
    free(level->names);
    free(level->name);
}

static int visit(struct state *state, struct level *level, int fd, const char *name)
{
    struct stat st;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return state->walk->tolerant ? 0 : -errno;
    if (!S_ISDIR(st.st_mode))
        return state->walk->entry(fd, name, &st, state->walk->arg);
    level->names = mem_reserve(level->names, &level->capacity, level->count + 1, sizeof *level->names);
    level->names[level->count++] = mem_string(name);
    return 0;
}

static int list(struct state *state, struct level *level, int fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    DIR *dir = copy >= 0 ? fdopendir(copy) : NULL;
    if (dir == NULL) {
        if (copy >= 0)
            close(copy);
        return -errno;
    }
    int error = 0;
    struct dirent *entry;
    while (error >= 0 && (entry = readdir(dir)) != NULL)
        error = visit(state, level, fd, entry->d_name);
    closedir(dir);
    return error;
}

static void move_to(struct state *state, int fd)
{
    if (state->depth > 0)
        close(state->fd);
    state->fd = fd;
}

/* 1 if entered, 0 if passed over. */
static int descend(struct state *state, const char *name)
{
    struct stat st;
    int error = fstatat(state->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    if (error >= 0 && state->walk->enter != NULL)
        error = state->walk->enter(state->fd, name, &st, state->walk->arg);
    if (error < 0)
        return state->walk->tolerant ? 0 : error;
    int fd = openat(state->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        error = -errno;
        if (fd >= 0)
            close(fd);
        return state->walk->tolerant ? 0 : error;
    }
    state->levels = mem_reserve(state->levels, &state->capacity, state->depth + 1, sizeof *state->levels);
    state->levels[state->depth] =
        (struct level){.dev = st.st_dev, .ino = st.st_ino, .name = mem_string(name)};
    move_to(state, fd);
    state->depth++;
    error = list(state, &state->levels[state->depth - 1], fd);
    return error < 0 ? error : 1;
}

static int ascend(struct state *state, int top)
{
    struct level *level = &state->levels[state->depth - 1];
    int error = 0;
    int up = top;
    if (state->depth > 1) {
        struct stat st;
        const struct level *parent = &state->levels[state->depth - 2];
        up = openat(state->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (up < 0)
            return -errno;
        if (fstat(up, &st) < 0 || st.st_dev != parent->dev || st.st_ino != parent->ino) {
            close(up);
            return -ESTALE; /* moved while we looked; a tolerant caller measures again later */
        }
    }
    move_to(state, up);
    state->depth--;
    if (state->walk->leave != NULL)
        error = state->walk->leave(state->fd, level->name, state->walk->arg);
    level_done(level);
    return error;
}

static int step(struct state *state, int top)
{
    struct level *level = &state->levels[state->depth - 1];
    if (level->count == 0)
        return ascend(state, top);
    char *name CLEANUP_FREE = level->names[--level->count];
    return descend(state, name);
}

int walk_tree(int dirfd, const char *path, const struct walk *walk)
{
    struct state state = {.walk = walk, .fd = dirfd};
    int error = descend(&state, path);
    while (error >= 0 && state.depth > 0)
        error = step(&state, dirfd);
    if (state.depth > 0)
        close(state.fd);
    while (state.depth > 0)
        level_done(&state.levels[--state.depth]);
    free(state.levels);
    return error < 0 ? error : 0;
}
