/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fetching into a bare repository of our own. libgit2 1.5 can neither fetch a bare object id nor limit the depth, so a ref is
 * asked for, and if that does not bring the commit, everything.
 */
#include "gitpin_private.h"

#include "address.h"
#include "file.h"
#include "githttp.h"

#include <assert.h>
#include <fcntl.h>
#include <git2/sys/repository.h>
#include <stdlib.h>
#include <sys/stat.h>

/* One history: llvm-project's is 3 GB. */
#define RECEIVED_MAX ((uint64_t)16 << 30)

struct fetch {
    const struct gitfetch *what;
    struct githttp http;
    int error; /* of 'check', or the limit */
    struct diag diag;
};

/* ---- where it may go (G9) ---- */

static int check_url(const char *url, bool allow_file, struct diag *diag)
{
    struct view scheme, host;
    if (allow_file && (url[0] == '/' || strncmp(url, "file:///", 8) == 0))
        return 0;
    int r = address_split_url(url, &scheme, &host, diag);
    if (r < 0)
        return r;
    if (!view_equal(scheme, VIEW("https")) || host.size == 0)
        return diag_set(diag, FARM_E_REFUSED, "URL \"%.200s\": only https is allowed for git%s", url,
                        allow_file ? ", or a local path" : "; local repositories have to be configured");
    if (allow_file)
        return 0;
    bool bracketed = host.data[0] == '[';
    CLEANUP_FREE char *name = view_string(bracketed ? view_of(host.data + 1, host.size - 2) : host);
    return address_check_host(name, diag);
}

/* ---- what is there ---- */

static bool is_full_id(const char *text)
{
    unsigned char bytes[GIT_OID_RAWSZ];
    return text != NULL && hex_decode(view_text(text), bytes, sizeof(bytes));
}

static bool has_commit(struct gitrepo *repo, const char *commit)
{
    git_oid id;
    git_object_t type;
    size_t size;
    return git_oid_fromstr(&id, commit) == 0 && git_odb_read_header(&size, &type, repo->odb, &id) == 0 &&
           type == GIT_OBJECT_COMMIT;
}

/* After fetching: is what was asked for there? */
static bool is_satisfied(struct gitrepo *repo, const struct gitfetch *fetch)
{
    char found[65];
    if (is_full_id(fetch->commit))
        return has_commit(repo, fetch->commit);
    const char *revision = fetch->commit != NULL ? fetch->commit : fetch->ref;
    return revision == NULL || gitrepo_resolve(repo, revision, found, NULL) >= 0;
}

static int open_target(const char *path, struct gitrepo **ret, struct diag *diag)
{
    struct stat status;
    CLEANUP_FREE char *head = mem_format("%s/HEAD", path);
    if (stat(head, &status) == 0)
        return gitrepo_open(path, ret, diag);
    git_repository_init_options options;
    git_repository *repo = NULL;
    git_repository_init_options_init(&options, GIT_REPOSITORY_INIT_OPTIONS_VERSION);
    options.flags = GIT_REPOSITORY_INIT_BARE | GIT_REPOSITORY_INIT_MKPATH;
    if (git_repository_init_ext(&repo, path, &options) < 0)
        return diag_wrap(diag, gitpin_error(diag, FARM_E_FAILED, "cannot be made a repository"), "%s", path);
    git_repository_free(repo);
    return gitrepo_open(path, ret, diag);
}

/* ---- the transfer ---- */

static int on_progress(const git_indexer_progress *stats, void *context)
{
    struct fetch *fetch = context;
    const struct gitfetch *what = fetch->what;
    if (stats->received_bytes > fetch->http.bytes_max)
        fetch->error = diag_set(&fetch->diag, FARM_E_LIMIT, "more than %llu bytes",
                                (unsigned long long)fetch->http.bytes_max);
    else if (what->check != NULL)
        fetch->error = what->check(what->context, &fetch->diag);
    return fetch->error < 0 ? -1 : 0;
}

static int new_transport(git_transport **ret, git_remote *remote, void *context)
{
    struct fetch *fetch = context;
    return githttp_transport(ret, remote, &fetch->http);
}

static git_fetch_options fetch_options(struct fetch *fetch)
{
    git_fetch_options options;
    git_fetch_options_init(&options, GIT_FETCH_OPTIONS_VERSION);
    options.callbacks.transfer_progress = on_progress;
    if (strncmp(fetch->what->url, "https:", 6) == 0)
        options.callbacks.transport = new_transport;
    options.callbacks.payload = fetch;
    options.update_fetchhead = 0;
    options.download_tags = GIT_REMOTE_DOWNLOAD_TAGS_NONE;
    options.follow_redirects = GIT_REMOTE_REDIRECT_NONE; /* none to another host */
    return options;
}

static int fetch_failed(const struct fetch *fetch, struct diag *diag)
{
    const char *url = fetch->what->url;
    if (fetch->error < 0)
        return diag_set(diag, fetch->error, "%s: %s", url, diag_text(&fetch->diag, fetch->error));
    if (fetch->http.peer.error < 0)
        return diag_set(diag, fetch->http.peer.error, "%s: %s", url,
                        diag_text(&fetch->http.peer.diag, fetch->http.peer.error));
    return diag_wrap(diag, gitpin_error(diag, FARM_E_UNAVAILABLE, "fetching"), "%s", url);
}

static int fetch_specs(struct gitrepo *repo, struct fetch *fetch, char **specs, size_t count,
                       struct diag *diag)
{
    const git_strarray list = {specs, count};
    const git_fetch_options options = fetch_options(fetch);
    git_remote *remote = NULL;
    int r = git_remote_create_anonymous(&remote, repo->repo, fetch->what->url);
    if (r >= 0)
        r = git_remote_fetch(remote, &list, &options, NULL);
    git_remote_free(remote);
    return r < 0 ? fetch_failed(fetch, diag) : 0;
}

/* A short name may be a tag or a branch. A ref that is not there is no error: then everything is asked for. */
static int fetch_ref(struct gitrepo *repo, struct fetch *fetch, struct diag *diag)
{
    if (strncmp(fetch->what->ref, "refs/", 5) == 0) {
        CLEANUP_FREE char *spec = mem_format("+%s:%s", fetch->what->ref, fetch->what->ref);
        return git_reference_is_valid_name(fetch->what->ref) ? fetch_specs(repo, fetch, &spec, 1, diag) : 0;
    }
    for (size_t i = 0; i < 2 && !is_full_id(fetch->what->ref); i++) {
        CLEANUP_FREE char *name = mem_format(i == 0 ? "refs/tags/%s" : "refs/heads/%s", fetch->what->ref);
        CLEANUP_FREE char *spec = mem_format("+%s:%s", name, name);
        int r = git_reference_is_valid_name(name) ? fetch_specs(repo, fetch, &spec, 1, diag) : 0;
        if (r < 0 || is_satisfied(repo, fetch->what))
            return r;
    }
    return 0;
}

static int fetch_all(struct gitrepo *repo, struct fetch *fetch, struct diag *diag)
{
    char heads[] = "+refs/heads/*:refs/heads/*", tags[] = "+refs/tags/*:refs/tags/*";
    char *specs[] = {heads, tags};
    return fetch_specs(repo, fetch, specs, ARRAY_SIZE(specs), diag);
}

static int run(struct gitrepo *repo, struct fetch *fetch, struct diag *diag)
{
    int r = 0;
    if (is_full_id(fetch->what->commit) && has_commit(repo, fetch->what->commit))
        return 0;
    if (fetch->what->ref != NULL)
        r = fetch_ref(repo, fetch, diag);
    if (r < 0 || (fetch->what->ref != NULL && is_satisfied(repo, fetch->what)))
        return r;
    if ((r = fetch_all(repo, fetch, diag)) < 0)
        return r;
    if (is_satisfied(repo, fetch->what))
        return 0;
    return diag_set(diag, FARM_E_MISSING,
                    "%s: \"%s\" is on no branch or tag there: was the ref moved or the history "
                    "rewritten?",
                    fetch->what->url, fetch->what->commit != NULL ? fetch->what->commit : fetch->what->ref);
}

int gitrepo_fetch(const struct gitfetch *what, struct diag *diag)
{
    struct fetch fetch = {.what = what,
                          .http = {.bytes_max = what->bytes_max > 0 ? what->bytes_max : RECEIVED_MAX,
                                   .check = what->check,
                                   .context = what->context,
                                   .peer = {.allow_private = what->allow_file}}};
    struct gitrepo *repo = NULL;
    int r = gitpin_setup(diag);
    if (r >= 0)
        r = check_url(what->url, what->allow_file, diag);
    if (r >= 0)
        r = open_target(what->path, &repo, diag);
    assert(r < 0 || repo != NULL);
    if (r >= 0)
        r = run(repo, &fetch, diag);
    gitrepo_close(repo);
    return r;
}
