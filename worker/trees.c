/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "trees.h"

#include "file.h"
#include "gitpin.h"
#include "once.h"
#include "statedir.h"
#include "sweep.h"
#include "treedigest.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct trees {
    int state_dirfd; /* borrowed */
    struct once *once;
    atomic_uint loaded;
};

struct loaded {
    struct tree *tree;
    char *path;
};

static void loaded_drop(void *value)
{
    struct loaded *loaded = value;
    tree_free(loaded->tree);
    free(loaded->path);
    free(loaded);
}

int trees_open(int state_dirfd, struct trees **ret, struct diag *diag)
{
    int error = sweep_all(state_dirfd, STATEDIR_TREES, diag);
    if (error < 0)
        return error;
    struct trees *trees = mem_zero(1, sizeof *trees);
    trees->state_dirfd = state_dirfd;
    trees->once = once_new();
    *ret = trees;
    return 0;
}

struct trees *trees_close(struct trees *trees)
{
    if (trees != NULL) {
        once_free(trees->once, loaded_drop);
        free(trees);
    }
    return NULL;
}

static int check_out(const struct trees *trees, const char *pack, const char *scratch,
                     const struct tree_pin *pin, const char *into, struct diag *diag)
{
    CLEANUP_FREE char *git = mem_format("%s/tree.git", scratch);
    struct gitrepo *repo = NULL;
    CLEANUP_CLOSE int fd = file_open_dir(trees->state_dirfd, into, diag);
    if (fd < 0)
        return fd;
    int error = gitrepo_open_pack(pack, git, &repo, diag);
    if (error >= 0)
        error = gitrepo_checkout(repo, pin->commit, &pin->sha256, GITPIN_LIMITS, fd, TREES_MTIME, diag);
    gitrepo_close(repo);
    return error;
}

/* Not synced: the next start removes it. */
static int make_directory(const struct trees *trees, const struct tree_pin *pin, const char *path,
                          const char *scratch, trees_fetch *fetch, void *context, struct diag *diag)
{
    CLEANUP_FREE char *pack = NULL;
    CLEANUP_FREE char *temp = NULL;
    int error = fetch(context, &pack, diag);
    if (error >= 0)
        error = file_temp_dir(trees->state_dirfd, STATEDIR_TREES "/new", &temp, diag);
    if (error < 0)
        return error;
    error = check_out(trees, pack, scratch, pin, temp, diag);
    unlinkat(trees->state_dirfd, pack, 0);
    if (error >= 0 && renameat(trees->state_dirfd, temp, trees->state_dirfd, path) < 0)
        error = diag_errno(diag, "%s: rename", path);
    if (error < 0 && file_remove_tree(trees->state_dirfd, temp, NULL) < 0)
        return error; /* the next start sweeps it */
    return error;
}

/* 1: it is there and is what its name says; 0: it is not there (any more). */
static int is_there(const struct trees *trees, const struct tree_pin *pin, const char *path,
                    struct diag *diag)
{
    CLEANUP_CLOSE int fd = file_open_dir(trees->state_dirfd, path, NULL);
    struct digest found;
    if (fd < 0)
        return 0;
    if (treedigest_of_dir(fd, &found, NULL) >= 0 && digest_equal(&found, &pin->sha256))
        return 1;
    return file_remove_tree(trees->state_dirfd, path, diag);
}

static int load(const struct trees *trees, const char *path, struct tree **ret, struct diag *diag)
{
    struct problems problems = PROBLEMS_INIT;
    CLEANUP_CLOSE int fd = file_open_dir(trees->state_dirfd, path, diag);
    if (fd < 0)
        return fd;
    int error = tree_load(fd, ret, &problems, diag);
    if (error < 0 && problems.count > 0) {
        problems_sort(&problems);
        diag_set(diag, error, "the package tree has %zu problems, the first: %s:%d: %s",
                 problems.count + problems.dropped, problems.items[0].file, problems.items[0].line,
                 problems.items[0].text);
    }
    problems_done(&problems);
    return error;
}

static void drop_oldest(struct trees *trees)
{
    struct once_entry *oldest = once_evict(trees->once);
    if (oldest == NULL)
        return;
    struct loaded *loaded = oldest->value;
    struct diag ignored;
    if (file_remove_tree(trees->state_dirfd, loaded->path, &ignored) >= 0)
        atomic_fetch_sub(&trees->loaded, 1);
    loaded_drop(loaded);
    once_failed(trees->once, oldest);
}

static int make(struct trees *trees, const struct tree_pin *pin, const char *key, const char *scratch,
                trees_fetch *fetch, void *context, struct loaded **ret, struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format(STATEDIR_TREES "/%s", key);
    struct tree *tree = NULL;
    int there = is_there(trees, pin, path, diag);
    int error = there == 0 ? make_directory(trees, pin, path, scratch, fetch, context, diag) : there;
    if (error >= 0)
        error = load(trees, path, &tree, diag);
    if (error < 0)
        return error;
    struct loaded *loaded = mem_zero(1, sizeof *loaded);
    loaded->tree = tree;
    loaded->path = STEAL(path);
    *ret = loaded;
    return 0;
}

static char *key_of(const struct tree_pin *pin, bool by_url)
{
    struct digest url = digest_of(view_text(pin->url));
    return mem_format("%s-%s%s%s", pin->commit, digest_hex(&pin->sha256).text, by_url ? "-" : "",
                      by_url ? digest_hex(&url).text : "");
}

int trees_get(struct trees *trees, const struct tree_pin *pin, bool by_url, const char *scratch,
              trees_fetch *fetch, void *context, struct trees_use *ret, struct diag *diag)
{
    CLEANUP_FREE char *key = key_of(pin, by_url);
    bool mine;
    struct once_entry *entry = once_enter(trees->once, key, &mine);
    if (mine) {
        struct loaded *loaded;
        int error = make(trees, pin, key, scratch, fetch, context, &loaded, diag);
        if (error < 0) {
            once_failed(trees->once, entry);
            return error;
        }
        once_made(trees->once, entry, loaded, 0);
        if (atomic_fetch_add(&trees->loaded, 1) >= TREES_KEPT)
            drop_oldest(trees);
    }
    const struct loaded *loaded = entry->value;
    *ret = (struct trees_use){entry, loaded->tree, loaded->path};
    return 0;
}

void trees_leave(struct trees *trees, struct trees_use *use)
{
    once_leave(trees->once, use->entry);
    *use = (struct trees_use){0};
}
