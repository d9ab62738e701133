/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "check.h"

#include "buf.h"
#include "elfneed.h"
#include "ldpath.h"
#include "map.h"
#include "rootview.h"
#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* One file that the loader will have work with. All owned. */
struct loadable {
    char *path, *origin;
    char *interpreter; /* NULL: a library */
    char *run;         /* RUNPATH, or RPATH where there is none; may be NULL */
    char **needed;
    size_t nneeded;
};

struct check {
    const struct check_input *input;
    struct problems *problems;
    struct rootview view;
    struct buf path; /* of the directory the walk is in; "" is the payload's root */
    struct loadable *files;
    size_t nfiles, capacity;
    size_t entries;
    struct ldpath system, brought; /* brought: what any file of the payload names */
    struct map *known;             /* library name -> whether the system's directories have it */
};

static char found_mark, missing_mark;

/* ---- looking through the payload --------------------------------------------------------------------------- */

static int check_enter(int dirfd, const char *name, const struct stat *st, void *arg)
{
    struct check *check = arg;
    (void)dirfd;
    (void)st;
    if (strcmp(name, ".") != 0)
        buf_add_format(&check->path, "/%s", name);
    return check->path.size < ROOTVIEW_PATH_MAX ? 0 : -ENAMETOOLONG;
}

static int check_leave(int dirfd, const char *name, void *arg)
{
    struct check *check = arg;
    (void)dirfd;
    if (strcmp(name, ".") != 0) {
        check->path.size -= strlen(name) + 1;
        check->path.data[check->path.size] = '\0';
    }
    return 0;
}

/* Some programs may be run and not be read (mode 4111); their owner may lend himself the right. */
static int open_file(int dirfd, const char *name, const struct stat *st)
{
    mode_t mode = st->st_mode & 07777;
    bool lend = (mode & S_IRUSR) == 0;
    if (lend && fchmodat(dirfd, name, mode | S_IRUSR, 0) < 0)
        return -errno;
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    int error = fd < 0 ? -errno : fd;
    if (lend && fchmodat(dirfd, name, mode, 0) < 0 && fd >= 0) {
        error = -errno;
        close(fd);
    }
    return error;
}

static void keep(struct check *check, const char *path, const struct elfneed *elf)
{
    check->files = mem_reserve(check->files, &check->capacity, check->nfiles + 1, sizeof *check->files);
    struct loadable *file = &check->files[check->nfiles++];
    struct view run = elf->runpath.data != NULL ? elf->runpath : elf->rpath;
    *file = (struct loadable){.path = mem_string(path), .nneeded = elf->nneeded};
    file->origin = mem_string(check->path.size > 0 ? check->path.data : "/");
    file->interpreter = elf->interpreter.size > 0 ? view_string(elf->interpreter) : NULL;
    file->run = run.size > 0 ? view_string(run) : NULL;
    file->needed = mem_zero(elf->nneeded + 1, sizeof *file->needed);
    for (size_t i = 0; i < elf->nneeded; i++)
        file->needed[i] = view_string(elf->needed[i]);
    ldpath_add_run(&check->brought, run, file->origin);
}

static void look_at(struct check *check, const char *path, struct view content)
{
    struct diag diag = DIAG_INIT;
    struct elfneed *elf CLEANUP_FREE = mem_zero(1, sizeof *elf);
    if (elfneed_read(content, elf, &diag) < 0)
        problems_add(check->problems, path, 0, "elf-damaged", "%s; the loader would refuse it", diag.text);
    else if (elf->kind == ELFNEED_DYNAMIC)
        keep(check, path, elf);
}

static int check_file(struct check *check, int dirfd, const char *name, const struct stat *st)
{
    char start[ELFNEED_HEADER];
    if ((size_t)st->st_size < sizeof start)
        return 0;
    char *path CLEANUP_FREE = mem_format("%s/%s", check->path.size > 0 ? check->path.data : "", name);
    int fd CLEANUP_CLOSE = open_file(dirfd, name, st);
    if (fd < 0 || pread(fd, start, sizeof start, 0) != (ssize_t)sizeof start) {
        problems_add(check->problems, path, 0, "unreadable", "cannot be read: %s",
                     farm_error_text(fd < 0 ? fd : -EIO));
        return 0;
    }
    if (!elfneed_is_native(view_of(start, sizeof start)))
        return 0;
    /* The build is over and nobody writes any more, so the file keeps its length while it is mapped. */
    void *map = mmap(NULL, (size_t)st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return -errno;
    look_at(check, path, view_of(map, (size_t)st->st_size));
    munmap(map, (size_t)st->st_size);
    return 0;
}

static int check_entry(int dirfd, const char *name, const struct stat *st, void *arg)
{
    struct check *check = arg;
    if (++check->entries > CHECK_FILES_MAX)
        return FARM_E_LIMIT;
    return S_ISREG(st->st_mode) ? check_file(check, dirfd, name, st) : 0;
}

static void look_through(struct check *check)
{
    const struct walk walk = {.enter = check_enter, .entry = check_entry, .leave = check_leave, .arg = check};
    int error = walk_tree(check->input->dest_dirfd, ".", &walk);
    if (error < 0)
        problems_add(check->problems, check->path.size > 0 ? check->path.data : "/", 0, "unreadable",
                     "the payload cannot be looked through here: %s", farm_error_text(error));
    else if (check->entries == 0)
        problems_add(check->problems, "/", 0, "payload-empty",
                     "the install step put nothing into $DESTDIR; see that it installs there and not into /");
}

/* ---- what must hold ---------------------------------------------------------------------------------------- */

/*
 * In the payload itself: a path that only the build root has is a promise not kept. The directories above it may be links of the
 * base (/lib -> usr/lib), so the merged view finds it, and the topmost layer must be the one that has it.
 */
static void check_paths(struct check *check)
{
    for (size_t i = 0; i < check->input->nverify_paths; i++) {
        struct rootview_found found;
        const char *path = check->input->verify_paths[i];
        int error = rootview_find(&check->view, path, false, &found);
        if (error < 0 || found.dir != 0)
            problems_add(check->problems, path, 0, "verify-path-missing",
                         "promised by verify_paths and not in the payload%s",
                         error >= 0 ? " (the build root has one, which is another package's)" : "");
    }
}

static bool is_library(struct check *check, const char *path)
{
    char start[ELFNEED_HEADER];
    int fd CLEANUP_CLOSE = rootview_open(&check->view, path);
    return fd >= 0 && pread(fd, start, sizeof start, 0) == (ssize_t)sizeof start &&
           elfneed_is_native(view_of(start, sizeof start));
}

static bool in_dirs(struct check *check, const struct ldpath *path, const char *name)
{
    for (size_t i = 0; i < path->count; i++) {
        char *file CLEANUP_FREE = mem_format("%s/%s", path->dirs[i], name);
        if (is_library(check, file))
            return true;
    }
    return false;
}

/* Nearly every file needs the same few libraries, so what the system's directories have is remembered. */
static bool in_system(struct check *check, const char *name)
{
    void *mark = map_get(check->known, view_text(name));
    if (mark == NULL) {
        mark = in_dirs(check, &check->system, name) ? &found_mark : &missing_mark;
        map_set(check->known, view_text(name), mark);
    }
    return mark == &found_mark;
}

static bool resolves(struct check *check, const struct loadable *file, const struct ldpath *own,
                     const char *name)
{
    if (strchr(name, '/') != NULL)
        return name[0] == '/' && is_library(check, name);
    return in_dirs(check, own, name) || in_system(check, name) ||
           (file->interpreter == NULL && in_dirs(check, &check->brought, name));
}

static void check_loadable(struct check *check, const struct loadable *file)
{
    struct ldpath own = {0};
    ldpath_add_run(&own, view_text(file->run), file->origin);
    if (file->interpreter != NULL && !is_library(check, file->interpreter))
        problems_add(check->problems, file->path, 0, "interpreter-missing",
                     "its loader %s is neither in the payload nor in the build root", file->interpreter);
    for (size_t i = 0; i < file->nneeded; i++)
        if (!resolves(check, file, &own, file->needed[i]))
            problems_add(check->problems, file->path, 0, "library-missing",
                         "needs %s, which the loader would not find%s%s; add the dependency, or set the "
                         "file's RUNPATH",
                         file->needed[i], file->run != NULL ? " by its RUNPATH " : "",
                         file->run != NULL ? file->run : "");
    ldpath_done(&own);
}

static void check_done(struct check *check)
{
    for (size_t i = 0; i < check->nfiles; i++) {
        struct loadable *file = &check->files[i];
        for (size_t k = 0; k < file->nneeded; k++)
            free(file->needed[k]);
        free(file->needed);
        free(file->path);
        free(file->origin);
        free(file->interpreter);
        free(file->run);
    }
    free(check->files);
    buf_done(&check->path);
    ldpath_done(&check->system);
    ldpath_done(&check->brought);
    map_free(check->known);
}

int check_payload(const struct check_input *input, struct problems *problems)
{
    struct check check = {.input = input, .problems = problems, .known = map_new()};
    size_t before = problems->count + problems->dropped;
    check.view.dirs[check.view.count++] = input->dest_dirfd;
    for (size_t i = 0; i < input->nroots && i < CHECK_ROOTS_MAX; i++)
        check.view.dirs[check.view.count++] = input->roots[i];
    ldpath_add_system(&check.system, &check.view);
    look_through(&check);
    check_paths(&check);
    for (size_t i = 0; i < check.nfiles; i++)
        check_loadable(&check, &check.files[i]);
    check_done(&check);
    problems_sort(problems);
    return problems->count + problems->dropped > before ? FARM_E_FAILED : 0;
}
