/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "upstream.h"

#include "file.h"
#include "gitpin.h"
#include "moment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

struct errand {
    const struct lease_watch *watch;
    int64_t deadline_ms; /* steady clock */
};

static int check(void *context, struct diag *diag)
{
    const struct errand *errand = context;
    if (lease_is_cancelled(errand->watch))
        return diag_set(diag, -ECANCELED, "the lease was withdrawn");
    if (moment_steady_ms() >= errand->deadline_ms)
        return diag_set(diag, FARM_E_TIMEOUT, "not done after %lld minutes",
                        (long long)(UPSTREAM_TIME_MAX_MS / 60000));
    return 0;
}

static const char *local_path(const char *url)
{
    if (strncmp(url, "file:///", 8) == 0)
        return url + strlen("file://");
    return url[0] == '/' ? url : NULL;
}

static int fetch_repository(const struct tree_pin *pin, const char *path, const struct lease_watch *watch,
                            struct diag *diag)
{
    struct errand errand = {watch, moment_steady_ms() + UPSTREAM_TIME_MAX_MS};
    const struct gitfetch what = {.url = pin->url,
                                  .commit = pin->commit,
                                  .path = path,
                                  .bytes_max = UPSTREAM_BYTES_MAX,
                                  .check = check,
                                  .context = &errand};
    return gitrepo_fetch(&what, diag);
}

/* FARM_E_MISSING in any part of it means that the URL does not have this commit whole. */
static int inspect(const char *repository, const struct tree_pin *pin, struct gitrepo **ret,
                   struct diag *diag)
{
    struct gitpin_info info;
    struct gitrepo *repo = NULL;
    int error = gitrepo_open(repository, &repo, diag);
    if (error >= 0)
        error = gitrepo_inspect(repo, pin->commit, GITPIN_LIMITS, &info, diag);
    if (error >= 0 && !digest_equal(&info.tree_sha256, &pin->sha256))
        error =
            diag_set(diag, FARM_E_DIGEST, "the commit there has the tree digest %s, and the lease says %s",
                     digest_hex(&info.tree_sha256).text, digest_hex(&pin->sha256).text);
    if (error < 0)
        gitrepo_close(repo);
    else
        *ret = repo;
    return error;
}

static int write_pack(struct gitrepo *repo, const struct tree_pin *pin, int state_dirfd, const char *pack,
                      struct diag *diag)
{
    CLEANUP_CLOSE int fd =
        openat(state_dirfd, pack, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return fd < 0 ? diag_errno(diag, "%s: create", pack) : gitrepo_pack(repo, pin->commit, fd, diag);
}

static int fetch(const struct tree_pin *pin, int state_dirfd, const char *fetched, const char *pack,
                 const struct lease_watch *watch, struct diag *diag)
{
    const char *local = local_path(pin->url);
    struct gitrepo *repo = NULL;
    int error = local == NULL ? fetch_repository(pin, fetched, watch, diag) : 0;
    if (error >= 0)
        error = inspect(local != NULL ? local : fetched, pin, &repo, diag);
    if (error == FARM_E_MISSING)
        error =
            diag_set(diag, FARM_E_REFUSED, "the commit %s is not there, on any branch or tag", pin->commit);
    if (error >= 0)
        error = write_pack(repo, pin, state_dirfd, pack, diag);
    gitrepo_close(repo);
    return error;
}

int upstream_fetch(const struct worker_conf *conf, const struct tree_pin *pin, int state_dirfd,
                   const char *scratch, const char *pack, const struct lease_watch *watch, struct diag *diag)
{
    CLEANUP_FREE char *fetched = mem_format("%s/upstream.git", scratch);
    int error = worker_conf_check_tree(conf, view_text(pin->url), diag);
    if (error >= 0)
        error = fetch(pin, state_dirfd, fetched, pack, watch, diag);
    int removed = file_remove_tree(state_dirfd, fetched, error < 0 ? NULL : diag);
    if (error >= 0)
        error = removed;
    return error < 0 ? diag_wrap(diag, error, "fetched from its URL") : 0;
}
