/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * libgit2's global state, opening and resolving.
 */
#include "gitpin_private.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <git2/sys/alloc.h>
#include <git2/sys/repository.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

/* ---- errors ---- */

int gitpin_error(struct diag *diag, int error, const char *what)
{
    const git_error *last = git_error_last();
    int result = diag_set(diag, error, "%s: %s", what,
                          last != NULL ? last->message : "libgit2 failed without a message");
    diag_plain(diag); /* a server's "ERR" is in there, as it came */
    return result;
}

int gitpin_error_of(struct diag *diag, int git_result, int error, const char *what)
{
    return gitpin_error(diag, git_result == GIT_ENOTFOUND ? (int)FARM_E_MISSING : error, what);
}

/* ---- global state: an allocator that says no (G8), and no configuration ---- */

/* libgit2 allocates what an object's header claims before it has seen a byte of it; it copes with a refusal. */
#define ALLOCATION_MAX (GITPIN_BLOB_MAX + 4096)

static void *limited(void *old, size_t count, size_t size, bool clear)
{
    size_t total;
    if (__builtin_mul_overflow(count, size, &total) || total > ALLOCATION_MAX)
        return NULL;
    return clear ? calloc(count, size) : realloc(old, total > 0 ? total : 1);
}

static void *alloc_plain(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return limited(NULL, 1, size, false);
}

static void *alloc_zero(size_t count, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return limited(NULL, count, size, true);
}

static char *alloc_substring(const char *text, size_t size, const char *file, int line)
{
    char *copy = size < ALLOCATION_MAX ? alloc_plain(size + 1, file, line) : NULL;
    if (copy == NULL)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = '\0';
    return copy;
}

static char *alloc_string(const char *text, const char *file, int line)
{
    return alloc_substring(text, strlen(text), file, line);
}

static char *alloc_string_n(const char *text, size_t size, const char *file, int line)
{
    return alloc_substring(text, strnlen(text, size), file, line);
}

static void *alloc_grow(void *old, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return limited(old, 1, size, false);
}

static void *alloc_grow_array(void *old, size_t count, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return limited(old, count, size, false);
}

static void *alloc_array(size_t count, size_t size, const char *file, int line)
{
    return alloc_grow_array(NULL, count, size, file, line);
}

static int set_options(void)
{
    static git_allocator allocator = {alloc_plain,      alloc_zero,      alloc_string,
                                      alloc_string_n,   alloc_substring, alloc_grow,
                                      alloc_grow_array, alloc_array,     free};
    static const git_config_level_t levels[] = {GIT_CONFIG_LEVEL_PROGRAMDATA, GIT_CONFIG_LEVEL_SYSTEM,
                                                GIT_CONFIG_LEVEL_XDG, GIT_CONFIG_LEVEL_GLOBAL};
    if (git_libgit2_opts(GIT_OPT_SET_ALLOCATOR, &allocator) < 0 || git_libgit2_init() < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
        if (git_libgit2_opts(GIT_OPT_SET_SEARCH_PATH, levels[i], "") < 0)
            return -1;
    if (git_libgit2_opts(GIT_OPT_SET_TEMPLATE_PATH, "") < 0 ||
        git_libgit2_opts(GIT_OPT_SET_OWNER_VALIDATION, 0) < 0 ||
        git_libgit2_opts(GIT_OPT_ENABLE_STRICT_HASH_VERIFICATION, 1) < 0)
        return -1;
    return git_libgit2_opts(GIT_OPT_SET_PACK_MAX_OBJECTS,
                            (size_t)20 * 1000 * 1000); /* on fetching; llvm-project has 6 million */
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int setup_result; /* written once, under 'once' */

static void set_once(void)
{
    setup_result = set_options();
}

void gitpin_library(struct buf *ret)
{
    int major, minor, patch;
    (void)git_libgit2_version(&major, &minor, &patch);
    buf_add_format(ret, "libgit2 %d.%d.%d", major, minor, patch);
}

int gitpin_setup(struct diag *diag)
{
    pthread_once(&once, set_once);
    return setup_result < 0 ? diag_set(diag, FARM_E_UNSUPPORTED,
                                       "libgit2 does not accept its options (1.5 or newer is "
                                       "needed)")
                            : 0;
}

/* ---- opening ---- */

int gitrepo_adopt(git_repository *repo, struct gitrepo **ret, struct diag *diag)
{
    struct gitrepo *opened = mem_zero(1, sizeof(*opened));
    git_config *nothing = NULL;
    opened->repo = repo;
    /* From here on no setting of the repository's own reaches libgit2: no filters, hooks, fsmonitor (G4, G7). */
    if (git_config_new(&nothing) < 0 || git_repository_set_config(repo, nothing) < 0 ||
        git_repository_odb(&opened->odb, repo) < 0) {
        git_config_free(nothing);
        gitrepo_close(opened);
        return gitpin_error(diag, FARM_E_FAILED, "opening the repository");
    }
    git_config_free(nothing);
    *ret = opened;
    return 0;
}

static int open_any(const char *path, git_repository **ret)
{
    struct stat status;
    CLEANUP_FREE char *inner = mem_format("%s/.git", path);
    if (lstat(inner, &status) == 0 && S_ISDIR(status.st_mode))
        return git_repository_open_bare(ret, inner); /* never reads its configuration */
    if (lstat(inner, &status) == 0)                  /* a linked work tree */
        return git_repository_open_ext(ret, path, GIT_REPOSITORY_OPEN_NO_SEARCH, NULL);
    return git_repository_open_bare(ret, path);
}

int gitrepo_open(const char *path, struct gitrepo **ret, struct diag *diag)
{
    git_repository *repo = NULL;
    int r = gitpin_setup(diag);
    if (r < 0)
        return r;
    if ((r = open_any(path, &repo)) < 0)
        return diag_wrap(diag, gitpin_error_of(diag, r, FARM_E_UNAVAILABLE, "not a git repository"), "%s",
                         path);
    return gitrepo_adopt(repo, ret, diag);
}

struct gitrepo *gitrepo_close(struct gitrepo *repo)
{
    if (repo == NULL)
        return NULL;
    git_odb_free(repo->odb);
    git_repository_free(repo->repo);
    if (repo->scratch != NULL)
        (void)!file_remove_tree(AT_FDCWD, repo->scratch, NULL); /* what stays is removed by the next one */
    free(repo->scratch);
    free(repo);
    return NULL;
}

/* ---- resolving ---- */

/* What people type is tried as it is, and as the name of a tag, a branch, and a branch of a remote. */
static int find_object(git_repository *repo, const char *revision, git_object **ret)
{
    int r = git_revparse_single(ret, repo, revision);
    if (r != GIT_ENOTFOUND)
        return r;
    CLEANUP_FREE char *name = mem_format("refs/remotes/origin/%s", revision);
    return git_revparse_single(ret, repo, name);
}

int gitrepo_resolve(struct gitrepo *repo, const char *revision, char ret_commit[65], struct diag *diag)
{
    git_object *object = NULL, *commit = NULL;
    int r = find_object(repo->repo, revision, &object);
    if (r == GIT_EAMBIGUOUS)
        return diag_set(diag, FARM_E_REFUSED,
                        "revision \"%s\" is ambiguous: give more digits of the commit id", revision);
    if (r < 0)
        return diag_set(diag, FARM_E_UNKNOWN, "revision \"%s\" is not known in this repository", revision);
    r = git_object_peel(&commit, object, GIT_OBJECT_COMMIT);
    if (r == 0)
        git_oid_tostr(ret_commit, GIT_OID_HEXSZ + 1, git_object_id(commit));
    git_object_free(object);
    git_object_free(commit);
    return r == 0 ? 0 : diag_set(diag, FARM_E_UNKNOWN, "revision \"%s\" does not name a commit", revision);
}
