/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "source_fetch.h"

#include "download.h"
#include "repository.h"

#include <errno.h>
#include <stdlib.h>

static int fetch_archive(struct source_fetch *fetch, struct diag *diag)
{
    struct download what = {.url = fetch->url,
                            .sha256 = &fetch->pin,
                            .size_limit = fetch->limit,
                            .allow_http = fetch->allow_http,
                            .allow_private = fetch->allow_private,
                            .timeout_ms = 20000,
                            .check = pool_check,
                            .context = &fetch->task};
    fetch->object = fetch->pin;
    if (store_has(fetch->store, &fetch->pin))
        return 0;
    return download_archive(fetch->store, &what, diag);
}

static int fetch_git(struct source_fetch *fetch, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    int result = repository_open(fetch->state_path, fetch->url, fetch->commit, fetch->local_repositories,
                                 &fetch->task, &repo, diag);
    if (result >= 0)
        result = gitrepo_inspect(repo, fetch->commit, GITPIN_LIMITS, &info, diag);
    if (result >= 0 && !digest_equal(&info.tree_sha256, &fetch->pin))
        result =
            diag_set(diag, FARM_E_DIGEST,
                     "commit %.12s has tree_sha256 %s, the pin says %s: one of the two witnesses is wrong",
                     fetch->commit, digest_hex(&info.tree_sha256).text, digest_hex(&fetch->pin).text);
    if (result >= 0)
        result = repository_pack(repo, fetch->commit, fetch->state_dirfd, fetch->store, &fetch->object, diag);
    if (result >= 0)
        result = store_size(fetch->store, &fetch->object, &fetch->size, diag);
    gitrepo_close(repo);
    return result;
}

static void fetch_run(struct pool_task *task)
{
    struct source_fetch *fetch = (struct source_fetch *)task;
    fetch->result = fetch->is_git ? fetch_git(fetch, &fetch->diag) : fetch_archive(fetch, &fetch->diag);
}

void source_fetch_init(const struct farm *farm, struct source_fetch *fetch)
{
    *fetch = (struct source_fetch){.task.run = fetch_run,
                                   .result = -ECANCELED,
                                   .store = farm->store,
                                   .state_path = farm->state_path,
                                   .local_repositories = farm->config.local_repositories,
                                   .state_dirfd = farm->state_dirfd,
                                   .allow_http = farm->config.allow_http,
                                   .allow_private = farm->config.allow_private_addresses,
                                   .limit = farm->config.download_limit};
}

void source_fetch_record(struct farm *farm, const struct source_fetch *fetch)
{
    CLEANUP_FREE char *holder = mem_format("source:%s", digest_hex(&fetch->pin).text);
    struct db_source row = {.pin = fetch->pin,
                            .object = fetch->object,
                            .commit = fetch->commit,
                            .size = fetch->size,
                            .origin = fetch->url,
                            .added_ms = moment_wall_ms()};
    db_put_source(farm_write(farm), &row);
    db_put_reference(farm->db, &row.object, holder);
}

void source_fetch_done(struct source_fetch *fetch)
{
    free(STEAL(fetch->url));
}
