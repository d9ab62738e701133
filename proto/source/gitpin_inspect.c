/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Both digests of a commit, and its files on disk.
 */
#include "gitpin_private.h"

#include "file.h"
#include "treedigest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- inspecting ---- */

struct inspection {
    struct gitrepo *repo;
    struct treedigest *tree;
    struct gitpin_info info;
};

/* A pointer file stands for content that git does not have; it is kept as it is and reported (G6). */
static bool is_lfs_pointer(struct view content)
{
    return content.size < 1024 && view_starts(content, VIEW("version https://git-lfs.github.com/spec/v"));
}

static int inspect_blob(struct inspection *inspection, const struct gitpin_visit *at, struct diag *diag)
{
    git_odb_object *object = NULL;
    int r = gitpin_blob(inspection->repo, at, &object, diag);
    if (r < 0)
        return r;
    struct digest digest = treedigest_blob(gitpin_content(object));
    treedigest_add(inspection->tree, at->path, at->mode, &digest);
    inspection->info.bytes += at->size;
    if (at->mode != TREE_LINK && is_lfs_pointer(gitpin_content(object)))
        inspection->info.lfs_pointers++;
    if (view_equal(at->path, VIEW(".gitmodules")))
        r = gitpin_modules_check(gitpin_content(object), diag);
    git_odb_object_free(object);
    return r;
}

static int inspect_step(void *context, const struct gitpin_visit *at, struct diag *diag)
{
    struct inspection *inspection = context;
    switch (at->step) {
    case STEP_ENTER:
    case STEP_LEAVE:
        return 0;
    case STEP_GITLINK:
        inspection->info.entries++;
        inspection->info.gitlinks++;
        return 0;
    case STEP_BLOB:
        inspection->info.entries++;
        return inspect_blob(inspection, at, diag);
    }
    return 0;
}

static int inspect(struct gitrepo *repo, git_commit *commit, struct gitpin_limits limits,
                   struct gitpin_info *ret, struct diag *diag)
{
    struct inspection inspection = {.repo = repo, .tree = treedigest_new()};
    int r = gitpin_walk(repo, commit, limits, inspect_step, &inspection, diag);
    if (r >= 0) {
        git_oid_tostr(inspection.info.commit, sizeof(inspection.info.commit), git_commit_id(commit));
        inspection.info.epoch = git_commit_time(commit);
        inspection.info.tree_sha256 = treedigest_finish(inspection.tree);
        *ret = inspection.info;
    }
    treedigest_free(inspection.tree);
    return r;
}

int gitrepo_inspect(struct gitrepo *repo, const char *commit, struct gitpin_limits limits,
                    struct gitpin_info *ret, struct diag *diag)
{
    git_commit *object = NULL;
    int r = gitpin_commit(repo, commit, &object, diag);
    if (r < 0)
        return r;
    r = inspect(repo, object, limits, ret, diag);
    git_commit_free(object);
    return r < 0 ? diag_wrap(diag, r, "commit %s", commit) : 0;
}

/* ---- checking out ---- */

struct checkout {
    struct gitrepo *repo;
    int dirfd;
    int64_t mtime;
};

/* The tree has no duplicate names and the directory was empty, so every directory on the way is one that we made. */
static int set_time(const struct checkout *checkout, const char *path, struct diag *diag)
{
    const struct timespec times[2] = {{.tv_sec = checkout->mtime}, {.tv_sec = checkout->mtime}};
    if (utimensat(checkout->dirfd, path, times, AT_SYMLINK_NOFOLLOW) < 0)
        return diag_errno(diag, "\"%s\": setting the time", path);
    return 0;
}

static int write_link(const struct checkout *checkout, const char *path, struct view target,
                      struct diag *diag)
{
    if (target.size == 0 || memchr(target.data, '\0', target.size) != NULL)
        return diag_set(diag, FARM_E_REFUSED, "\"%s\": a symlink to nothing, or with a NUL in its target",
                        path);
    CLEANUP_FREE char *text = view_string(target);
    if (symlinkat(text, checkout->dirfd, path) < 0)
        return diag_errno(diag, "\"%s\": making the symlink", path);
    return set_time(checkout, path, diag);
}

static int write_file(const struct checkout *checkout, const char *path, mode_t mode, struct view content,
                      struct diag *diag)
{
    CLEANUP_CLOSE int fd =
        openat(checkout->dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return diag_errno(diag, "\"%s\": creating", path);
    int r = file_write_all(fd, content.data, content.size);
    if (r < 0)
        return diag_set(diag, r, "\"%s\": writing: %s", path, strerror(-r));
    if (fchmod(fd, mode) < 0) /* over the umask */
        return diag_errno(diag, "\"%s\": setting the mode", path);
    return set_time(checkout, path, diag);
}

static int write_blob(const struct checkout *checkout, const struct gitpin_visit *at, struct diag *diag)
{
    CLEANUP_FREE char *path = view_string(at->path);
    git_odb_object *object = NULL;
    int r = gitpin_blob(checkout->repo, at, &object, diag);
    if (r < 0)
        return r;
    if (at->mode == TREE_LINK)
        r = write_link(checkout, path, gitpin_content(object), diag);
    else
        r = write_file(checkout, path, at->mode == TREE_EXEC ? 0755 : 0644, gitpin_content(object), diag);
    git_odb_object_free(object);
    return r;
}

static int make_dir(const struct checkout *checkout, struct view path, struct diag *diag)
{
    CLEANUP_FREE char *text = view_string(path);
    if (path.size == 0)
        return 0;
    if (mkdirat(checkout->dirfd, text, 0755) < 0)
        return diag_errno(diag, "\"%s\": making the directory", text);
    if (fchmodat(checkout->dirfd, text, 0755, 0) < 0)
        return diag_errno(diag, "\"%s\": setting the mode", text);
    return 0;
}

static int leave_dir(const struct checkout *checkout, struct view path, struct diag *diag)
{
    CLEANUP_FREE char *text = view_string(path);
    return set_time(checkout, path.size > 0 ? text : ".", diag);
}

static int checkout_step(void *context, const struct gitpin_visit *at, struct diag *diag)
{
    const struct checkout *checkout = context;
    int r;
    switch (at->step) {
    case STEP_ENTER:
        return make_dir(checkout, at->path, diag);
    case STEP_LEAVE:
        return leave_dir(checkout, at->path, diag);
    case STEP_GITLINK:
        r = make_dir(checkout, at->path, diag);
        return r < 0 ? r : leave_dir(checkout, at->path, diag);
    case STEP_BLOB:
        return write_blob(checkout, at, diag);
    }
    return 0;
}

static int check_empty(int dirfd, struct diag *diag)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        int r = diag_errno(diag, "the directory to check out into");
        mem_close_p(&fd);
        return r;
    }
    size_t names = 0;
    while (readdir(dir) != NULL)
        names++;
    closedir(dir);
    return names <= 2 ? 0 : diag_set(diag, FARM_E_STATE, "the directory to check out into is not empty");
}

static int checkout_verified(struct checkout *checkout, git_commit *commit, const struct digest *tree_sha256,
                             struct gitpin_limits limits, struct diag *diag)
{
    struct gitpin_info info;
    int r = inspect(checkout->repo, commit, limits, &info, diag);
    if (r < 0)
        return r;
    if (!digest_equal(&info.tree_sha256, tree_sha256))
        return diag_set(diag, FARM_E_DIGEST,
                        "the tree has SHA-256 %s, the pin says %s: check the pin, and suspect the "
                        "repository",
                        digest_hex(&info.tree_sha256).text, digest_hex(tree_sha256).text);
    return gitpin_walk(checkout->repo, commit, limits, checkout_step, checkout, diag);
}

int gitrepo_checkout(struct gitrepo *repo, const char *commit, const struct digest *tree_sha256,
                     struct gitpin_limits limits, int dirfd, int64_t mtime, struct diag *diag)
{
    struct checkout checkout = {repo, dirfd, mtime};
    git_commit *object = NULL;
    int r = check_empty(dirfd, diag);
    if (r >= 0)
        r = gitpin_commit(repo, commit, &object, diag);
    if (r < 0)
        return r;
    r = checkout_verified(&checkout, object, tree_sha256, limits, diag);
    git_commit_free(object);
    return r < 0 ? diag_wrap(diag, r, "commit %s", commit) : 0;
}
