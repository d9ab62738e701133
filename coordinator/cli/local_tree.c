/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local_tree.h"

#include "file.h"
#include "gitpin.h"
#include "treedigest.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_url(const char *text)
{
    return strstr(text, "://") != NULL;
}

int local_tree_split(const char *text, char **ret_tree, char **ret_revision, struct diag *diag)
{
    const char *at = strrchr(text, '@');
    CLEANUP_FREE char *tree = mem_string_n(text, at != NULL ? (size_t)(at - text) : strlen(text));
    if (tree[0] == '\0' || (at != NULL && at[1] == '\0'))
        return diag_set(diag, FARM_E_USAGE, "\"%s\": expected TREE@REV", text);
    if (!is_url(tree)) {
        char *real = realpath(tree, NULL);
        if (real == NULL)
            return diag_errno(diag, "%s", tree);
        free(tree);
        tree = real;
    }
    *ret_revision = at != NULL ? mem_string(at + 1) : NULL;
    *ret_tree = STEAL(tree);
    return 0;
}

static int load_directory(const char *path, struct tree **ret_tree, struct tree_pin *ret_pin,
                          struct problems *problems, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, path, diag);
    if (dirfd < 0)
        return dirfd;
    struct digest digest;
    int result = treedigest_of_dir(dirfd, &digest, diag);
    if (result >= 0)
        result = tree_load(dirfd, ret_tree, problems, diag);
    if (result >= 0) {
        ret_pin->url = mem_format("file://%s", path);
        memset(ret_pin->commit, '0', 40);
        ret_pin->commit[40] = '\0';
        ret_pin->sha256 = digest;
    }
    return result;
}

static int open_repository(const char *tree, const char *revision, const char *scratch, struct gitrepo **ret,
                           struct diag *diag)
{
    if (!is_url(tree))
        return gitrepo_open(tree, ret, diag);
    CLEANUP_FREE char *path = mem_format("%s/git", scratch);
    const struct gitfetch what = {.url = tree, .ref = revision, .commit = revision, .path = path};
    int result = gitrepo_fetch(&what, diag);
    return result < 0 ? result : gitrepo_open(path, ret, diag);
}

static int load_commit(struct gitrepo *repo, const char *url, const char *revision, const char *scratch,
                       struct tree **ret_tree, struct tree_pin *ret_pin, struct problems *problems,
                       struct diag *diag)
{
    struct gitpin_info info;
    struct tree_pin pin = {0};
    CLEANUP_FREE char *path = mem_format("%s/tree", scratch);
    int result = gitrepo_resolve(repo, revision, pin.commit, diag);
    if (result >= 0)
        result = gitrepo_inspect(repo, pin.commit, GITPIN_LIMITS, &info, diag);
    if (result >= 0)
        result = file_make_dirs(AT_FDCWD, path, 0700, diag);
    CLEANUP_CLOSE int dirfd = result >= 0 ? file_open_dir(AT_FDCWD, path, diag) : -1;
    if (result >= 0)
        result = dirfd < 0
                     ? dirfd
                     : gitrepo_checkout(repo, pin.commit, &info.tree_sha256, GITPIN_LIMITS, dirfd, 0, diag);
    if (result >= 0)
        result = tree_load(dirfd, ret_tree, problems, diag);
    if (result >= 0) {
        pin.url = is_url(url) ? mem_string(url) : mem_format("file://%s", url);
        pin.sha256 = info.tree_sha256;
        *ret_pin = pin;
    }
    return result;
}

int local_tree_load(const char *tree, const char *revision, struct tree **ret_tree, struct tree_pin *ret_pin,
                    struct problems *problems, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    const char *tmp = getenv("TMPDIR");
    CLEANUP_FREE char *scratch = NULL;
    if (revision == NULL)
        return load_directory(tree, ret_tree, ret_pin, problems, diag);
    CLEANUP_FREE char *prefix = mem_format("%s/farmctl", tmp != NULL ? tmp : "/var/tmp");
    int result = gitpin_setup(diag);
    if (result >= 0)
        result = file_temp_dir(AT_FDCWD, prefix, &scratch, diag);
    if (result >= 0)
        result = open_repository(tree, revision, scratch, &repo, diag);
    if (result >= 0)
        result = load_commit(repo, tree, revision, scratch, ret_tree, ret_pin, problems, diag);
    gitrepo_close(repo);
    if (scratch != NULL)
        (void)!file_remove_tree(AT_FDCWD, scratch, NULL);
    return result;
}
