/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * plan: from a repository and a revision to a plan.
 *
 * In the pool: open (or fetch) the repository, resolve the revision, compute both digests, check the tree out
 * below trees/, make its pack, load and check it, make the plan. Everything that is wrong with the tree is
 * reported at once.
 */
#include "verbs.h"

#include "buf.h"
#include "file.h"
#include "gitpin.h"
#include "journal.h"
#include "repository.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { SELECTORS_MAX = 4096 };

struct plan_task {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    const char *state_path; /* borrowed; constant while the farm lives */
    int state_dirfd;
    char *repository, *url, *revision;
    char *local_repositories;
    char **selectors;
    size_t nselectors;
    struct digest base, base_tar;
    /* results */
    struct tree_pin pin;
    struct digest pack;
    struct tree *tree;
    struct plan *plan;
    struct problems problems;
    int result;
    struct diag diag;
};

static int checkout(struct plan_task *job, struct gitrepo *repo, const char *path, struct diag *diag)
{
    CLEANUP_FREE char *scratch = NULL;
    if (faccessat(job->state_dirfd, path, F_OK, 0) == 0)
        return 0;
    int result = file_temp_dir(job->state_dirfd, "scratch/tree", &scratch, diag);
    CLEANUP_CLOSE int dirfd = result >= 0 ? file_open_dir(job->state_dirfd, scratch, diag) : -1;
    if (result >= 0)
        result = dirfd < 0 ? dirfd
                           : gitrepo_checkout(repo, job->pin.commit, &job->pin.sha256, GITPIN_LIMITS, dirfd,
                                              0, diag);
    if (result >= 0 &&
        syncfs(dirfd) < 0) /* a half-written tree would be believed later: it is checked once */
        result = diag_errno(diag, "%s: sync", scratch);
    if (result >= 0 && renameat(job->state_dirfd, scratch, job->state_dirfd, path) < 0 && errno != EEXIST &&
        errno != ENOTEMPTY)
        result = diag_errno(diag, "%s: rename", path);
    if (scratch != NULL)
        (void)!file_remove_tree(job->state_dirfd, scratch, NULL);
    return result;
}

static int load(struct plan_task *job, const char *path, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(job->state_dirfd, path, diag);
    return dirfd < 0 ? dirfd : tree_load(dirfd, &job->tree, &job->problems, diag);
}

static int store_plan(struct plan_task *job, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest stored;
    plan_write(job->plan, &text);
    int result = store_put(job->store, buf_view(&text), &stored, diag);
    if (result >= 0 && !digest_equal(&stored, &job->plan->id))
        return diag_set(diag, FARM_E_CORRUPT, "the plan's id is not its digest"); /* plan.c promises it is */
    return result;
}

static int make(struct plan_task *job, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    int result = repository_open(job->state_path, job->repository, job->revision, job->local_repositories,
                                 &job->task, &repo, diag);
    if (result >= 0)
        result = gitrepo_resolve(repo, job->revision, job->pin.commit, diag);
    if (result >= 0)
        result = gitrepo_inspect(repo, job->pin.commit, GITPIN_LIMITS, &info, diag);
    if (result < 0) {
        gitrepo_close(repo);
        return result;
    }
    job->pin.url = mem_string(job->url);
    job->pin.sha256 = info.tree_sha256;
    CLEANUP_FREE char *path = plans_tree_path(&job->pin.sha256);
    result = checkout(job, repo, path, diag);
    if (result >= 0)
        result = load(job, path, diag);
    if (result >= 0)
        result = repository_pack(repo, job->pin.commit, job->state_dirfd, job->store, &job->pack, diag);
    gitrepo_close(repo);
    if (result >= 0)
        result = plan_make(job->tree, &job->pin, &job->base, (const char *const *)job->selectors,
                           job->nselectors, &job->plan, diag);
    return result < 0 ? result : store_plan(job, diag);
}

static void plan_run(struct pool_task *task)
{
    struct plan_task *job = (struct plan_task *)task;
    job->result = make(job, &job->diag);
}

static json_t *aliases_json(const struct tree *tree)
{
    json_t *list = json_array();
    for (size_t i = 0; i < tree->naliases; i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "wanted", tree->aliases[i].wanted, "resolved",
                                        tree->aliases[i].resolved, "package", tree->aliases[i].package));
    return list;
}

static json_t *nodes_json(const struct plan *plan)
{
    json_t *list = json_array();
    for (size_t i = 0; i < plan->nnodes; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "node", plan->nodes[i].id, "version",
                                              plan->nodes[i].version, "needs", (int)plan->nodes[i].nclosure));
    return list;
}

static void record(struct farm *farm, const struct plan_task *job)
{
    CLEANUP_FREE char *holder = mem_format("plan:%s", digest_hex(&job->plan->id).text);
    struct db_tree tree = {
        .commit = job->pin.commit, .url = job->pin.url, .tree_sha256 = job->pin.sha256, .pack = job->pack};
    struct db_plan plan = {.id = job->plan->id,
                           .commit = job->pin.commit,
                           .tree_sha256 = job->pin.sha256,
                           .base = job->base,
                           .state = "planned",
                           .created_ms = moment_wall_ms()};
    db_put_tree(farm_write(farm), &tree);
    db_put_plan(farm->db, &plan);
    db_put_reference(farm->db, &job->plan->id, holder);
    db_put_reference(farm->db, &job->pack, holder);
    struct logentry entry = {.kind = LOG_PLAN, .sha256 = job->plan->id};
    if (plans_get(farm, &job->plan->id) == NULL) /* the same plan again is no news */
        journal_add(farm, &entry);
}

static void plan_task_free(struct plan_task *job)
{
    for (size_t i = 0; i < job->nselectors; i++)
        free(job->selectors[i]);
    free(job->selectors);
    free(job->repository);
    free(job->url);
    free(job->revision);
    free(job->local_repositories);
    free(job->pin.url);
    problems_done(&job->problems);
    free(job);
}

static void answer_problems(const struct plan_task *job)
{
    ctl_finish(job->request, FARM_EXIT_VIOLATION,
               json_pack("{s:s, s:o, s:o}", "tree", job->repository, "error",
                         json_view(view_text(diag_text(&job->diag, job->result))), "problems",
                         json_problems(&job->problems)));
}

static void plan_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct plan_task *job = (struct plan_task *)task;
    if (job->result < 0) {
        if (job->problems.count > 0)
            answer_problems(job);
        else
            ctl_fail(job->request, job->result, &job->diag);
        tree_free(job->tree);
        plan_free(job->plan);
        plan_task_free(job);
        return;
    }
    json_t *answer = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "plan", digest_hex(&job->plan->id).text,
                               "commit", job->pin.commit, "tree_sha256", digest_hex(&job->pin.sha256).text,
                               "base", digest_hex(&job->base).text, "nodes", nodes_json(job->plan), "aliases",
                               aliases_json(job->tree));
    record(farm, job);
    struct farm_tree *tree = plans_add_tree(farm, job->tree, &job->pin, &job->pack);
    plans_add(farm, job->plan, &job->base_tar)->tree = tree;
    ctl_finish(job->request, FARM_EXIT_OK, answer);
    plan_task_free(job);
}

/* ---- which base ---- */

struct base_choice {
    const char *wanted; /* name or digest prefix; NULL: the newest */
    struct digest manifest, tar;
    size_t found;
};

static int visit_base(void *context, const struct db_base *row)
{
    struct base_choice *choice = context;
    if (choice->wanted != NULL && strcmp(choice->wanted, row->name) != 0 &&
        strcmp(choice->wanted, digest_hex(&row->manifest).text) != 0)
        return 0;
    choice->manifest = row->manifest; /* rows come oldest first */
    choice->tar = row->tar;
    choice->found++;
    return 0;
}

static int choose_base(struct farm *farm, struct ctl_request *request, struct base_choice *choice,
                       struct diag *diag)
{
    choice->wanted = ctl_text(request, "base");
    int result = db_each_base(farm->db, visit_base, choice, diag);
    if (result >= 0 && choice->found == 0)
        result = choice->wanted != NULL
                     ? diag_set(diag, FARM_E_UNKNOWN, "no base \"%s\"; \"farmctl base list\" names them",
                                choice->wanted)
                     : diag_set(diag, FARM_E_STATE,
                                "there is no base yet; \"farmctl base import FILE\" brings one");
    return result;
}

static void take_selectors(struct plan_task *job, const json_t *array)
{
    size_t index;
    json_t *item;
    job->selectors = mem_zero(json_array_size(array), sizeof *job->selectors);
    json_array_foreach(array, index, item) if (json_is_string(item) && job->nselectors < SELECTORS_MAX)
        job->selectors[job->nselectors++] = mem_string(json_string_value(item));
}

void verb_plan(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct base_choice base = {0};
    const char *repository = ctl_text(request, "tree"), *revision = ctl_text(request, "revision");
    int result = disk_check(farm, &diag);
    if (result >= 0)
        result = choose_base(farm, request, &base, &diag);
    if (result >= 0 && (repository == NULL || revision == NULL))
        result = diag_set(&diag, FARM_E_USAGE, "a plan needs TREE@REV");
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    struct plan_task *job = mem_zero(1, sizeof *job);
    job->task.run = plan_run;
    job->task.done = plan_done;
    job->result = -ECANCELED;
    job->request = request;
    job->store = farm->store;
    job->state_path = farm->state_path;
    job->state_dirfd = farm->state_dirfd;
    job->repository = mem_string(repository);
    job->url = repository[0] == '/' ? mem_format("file://%s", repository) : mem_string(repository);
    job->revision = mem_string(revision);
    /* What the operator typed on this machine is allowed; what a lock file says must be configured. */
    job->local_repositories = mem_string(repository);
    job->base = base.manifest;
    job->base_tar = base.tar;
    take_selectors(job, json_object_get(ctl_params(request), "selectors"));
    pool_submit(farm->pool, &job->task);
}
