/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repository.h"

#include "file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

static bool is_local(const char *location)
{
    return location[0] == '/' || strncmp(location, "file://", 7) == 0;
}

/* A prefix allows itself and what lies below it. */
static bool prefix_allows(struct view prefix, const char *path)
{
    return prefix.size > 0 && strncmp(path, prefix.data, prefix.size) == 0 &&
           (path[prefix.size] == '\0' || path[prefix.size] == '/' || prefix.data[prefix.size - 1] == '/');
}

/* Prefixes are made real as well: what decides is where things are, not what they are called. */
static bool list_allows(const char *list, const char *real)
{
    struct view rest = view_text(list), prefix;
    while (view_split(&rest, ',', &prefix)) {
        if (view_starts(prefix, VIEW("file://")))
            prefix = view_of(prefix.data + 7, prefix.size - 7);
        CLEANUP_FREE char *text = view_string(prefix);
        CLEANUP_FREE char *allowed = realpath(text, NULL);
        if (allowed != NULL && prefix_allows(view_text(allowed), real))
            return true;
    }
    return false;
}

static int open_local(const char *location, const char *local, struct gitrepo **ret, struct diag *diag)
{
    const char *path = strncmp(location, "file://", 7) == 0 ? location + 7 : location;
    CLEANUP_FREE char *real = realpath(path, NULL);
    if (real == NULL)
        return diag_errno(diag, "%s", path);
    if (!list_allows(local, real))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: local repositories are opened only below local_repositories in farm.conf", path);
    return gitrepo_open(real, ret, diag);
}

int repository_open(const char *state_path, const char *location, const char *revision, const char *local,
                    struct pool_task *task, struct gitrepo **ret, struct diag *diag)
{
    if (is_local(location))
        return open_local(location, local, ret, diag);
    struct digest name = digest_of(view_text(location));
    CLEANUP_FREE char *path = mem_format("%s/git/%s", state_path, digest_hex(&name).text);
    CLEANUP_FREE char *lock_path = mem_format("%s.lock", path);
    /* Pins of one repository are fetched by several threads, and it takes one writer at a time. */
    CLEANUP_CLOSE int lock = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) < 0)
        return diag_errno(diag, "%s", lock_path);
    const struct gitfetch what = {.url = location,
                                  .ref = revision,
                                  .commit = revision,
                                  .path = path,
                                  .check = task != NULL ? pool_check : NULL,
                                  .context = task};
    int result = gitrepo_fetch(&what, diag);
    return result < 0 ? result : gitrepo_open(path, ret, diag);
}

int repository_pack(struct gitrepo *repo, const char *commit, int state_dirfd, struct store *store,
                    struct digest *ret, struct diag *diag)
{
    /* Unnamed: gone when it is closed, whatever happens. */
    CLEANUP_CLOSE int fd = openat(state_dirfd, "scratch", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return diag_errno(diag, "scratch file");
    uint64_t size;
    int result = gitrepo_pack(repo, commit, fd, diag);
    if (result >= 0 && lseek(fd, 0, SEEK_SET) < 0)
        result = diag_errno(diag, "scratch file");
    if (result >= 0)
        result = store_put_fd(store, fd, STORE_OBJECT_MAX, NULL, ret, &size, diag);
    return result;
}
