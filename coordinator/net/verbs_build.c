/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * build: first every source of the plan is brought into the farm, and only when all are there and have the
 * pinned digests the plan starts; what cannot be had is listed at once, with the line of the pin, and nothing
 * starts.
 */
#include "verbs.h"

#include "buf.h"
#include "download.h"
#include "farmlog.h"
#include "repository.h"

#include <errno.h>
#include <stdlib.h>

/* One build request: waits for its sources, then for the plan if it was asked to. */
struct build {
    struct ctl_request *request;
    struct farm_plan *plan;
    size_t missing; /* fetches under way */
    struct problems problems;
    bool from_scratch, wait;
};

struct fetch {
    struct pool_task task;
    struct build *build;
    struct store *store;
    const char *state_path;
    int state_dirfd;
    const char *local_repositories; /* borrowed from the configuration */
    struct pin pin;                 /* its strings are borrowed from the tree, which outlives the build */
    const char *package;
    bool allow_http, allow_private;
    uint64_t limit;
    struct digest object;
    uint64_t size;
    int result;
    struct diag diag;
};

static int fetch_archive(struct fetch *fetch, struct diag *diag)
{
    struct download what = {.url = fetch->pin.url,
                            .sha256 = &fetch->pin.digest,
                            .size_limit = fetch->pin.size > 0 ? fetch->pin.size : fetch->limit,
                            .allow_http = fetch->allow_http,
                            .allow_private = fetch->allow_private,
                            .timeout_ms = 20000};
    fetch->object = fetch->pin.digest;
    fetch->size = fetch->pin.size;
    if (store_has(fetch->store, &fetch->pin.digest))
        return 0;
    return download_archive(fetch->store, &what, diag);
}

static int fetch_git(struct fetch *fetch, struct diag *diag)
{
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    int result = repository_open(fetch->state_path, fetch->pin.url, fetch->pin.commit,
                                 fetch->local_repositories, &repo, diag);
    if (result >= 0)
        result = gitrepo_inspect(repo, fetch->pin.commit, GITPIN_LIMITS, &info, diag);
    if (result >= 0 && !digest_equal(&info.tree_sha256, &fetch->pin.digest))
        result = diag_set(
            diag, FARM_E_DIGEST,
            "commit %.12s has tree_sha256 %s, the pin says %s: one of the two witnesses is wrong",
            fetch->pin.commit, digest_hex(&info.tree_sha256).text, digest_hex(&fetch->pin.digest).text);
    if (result >= 0)
        result =
            repository_pack(repo, fetch->pin.commit, fetch->state_dirfd, fetch->store, &fetch->object, diag);
    if (result >= 0)
        result = store_size(fetch->store, &fetch->object, &fetch->size, diag);
    gitrepo_close(repo);
    return result;
}

static void fetch_run(struct pool_task *task)
{
    struct fetch *fetch = (struct fetch *)task;
    fetch->result =
        fetch->pin.kind == PIN_GIT ? fetch_git(fetch, &fetch->diag) : fetch_archive(fetch, &fetch->diag);
}

/* ---- waiting for the plan ---- */

struct wait_state {
    struct farm_plan *plan;
    struct digest last;
};

/* False if the core does not know it. */
static bool find_state(struct farm *farm, const struct digest *id, enum plan_state *ret)
{
    struct digest plan;
    size_t nodes;
    for (size_t i = 0; i < core_plan_count(farm->core); i++)
        if (core_plan_at(farm->core, i, &plan, ret, &nodes) && digest_equal(&plan, id))
            return true;
    return false;
}

static bool poll_wait(struct farm *farm, struct ctl_request *request, void *context)
{
    struct wait_state *state = context;
    CLEANUP_BUF struct buf text = BUF_INIT;
    enum plan_state plan_state;
    json_t *report = status_report(farm);
    if (find_state(farm, &state->plan->id, &plan_state) && plan_state != PLAN_RUNNING) {
        ctl_finish(request, plan_state == PLAN_DONE ? FARM_EXIT_OK : FARM_EXIT_VIOLATION, report);
        return false;
    }
    json_write(report, &text);
    struct digest now = digest_of(buf_view(&text));
    if (!digest_equal(&now, &state->last))
        ctl_progress(request, json_incref(report));
    json_decref(report);
    state->last = now;
    return true;
}

/* ---- start ---- */

static void build_free(struct build *build)
{
    problems_done(&build->problems);
    free(build);
}

/* A plan that runs, or is done and shall not be repeated, is left as it is; so are the times in its row. */
static int start_plan(struct farm *farm, const struct build *build, enum plan_state *ret_state,
                      struct diag *diag)
{
    const struct digest *id = &build->plan->id;
    int64_t now_ms = moment_wall_ms();
    bool known = find_state(farm, id, ret_state);
    if (known && *ret_state == PLAN_RUNNING && build->from_scratch)
        return diag_set(
            diag, FARM_E_STATE,
            "the plan is running already; start it from scratch when it has ended, or cancel it first");
    if (known && (*ret_state == PLAN_RUNNING || (*ret_state == PLAN_DONE && !build->from_scratch)))
        return 0;
    *ret_state = PLAN_RUNNING;
    db_start_plan(farm_write(farm), id, build->from_scratch, now_ms);
    int result = plans_start(farm, build->plan, build->from_scratch, now_ms, diag);
    if (result < 0) /* or each restart would try it again, and refuse to start */
        db_finish_plan(farm_write(farm), id, plan_state_name(PLAN_CANCELLED), now_ms);
    return result;
}

static void start(struct farm *farm, struct build *build)
{
    struct diag diag = DIAG_INIT;
    enum plan_state state;
    int result = start_plan(farm, build, &state, &diag);
    if (result < 0) {
        ctl_fail(build->request, result, &diag);
    } else if (build->wait) {
        struct wait_state *wait = mem_zero(1, sizeof *wait);
        wait->plan = build->plan;
        watch_add(farm, build->request, poll_wait, wait, free);
    } else {
        ctl_finish(build->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s}", "plan", digest_hex(&build->plan->id).text, "state",
                             plan_state_name(state)));
    }
    build_free(build);
}

/* All sources have been asked for: start, or list what is missing. */
static void sources_settled(struct farm *farm, struct build *build)
{
    if (build->problems.count == 0 && !farm->stopping) {
        start(farm, build);
        return;
    }
    problems_sort(&build->problems);
    ctl_finish(build->request, FARM_EXIT_VIOLATION,
               json_pack("{s:s, s:s, s:o}", "plan", digest_hex(&build->plan->id).text, "error",
                         "sources are missing; nothing was started", "problems",
                         json_problems(&build->problems)));
    build_free(build);
}

static void record_source(struct farm *farm, const struct fetch *fetch)
{
    CLEANUP_FREE char *holder = mem_format("source:%s", digest_hex(&fetch->pin.digest).text);
    struct db_source row = {.pin = fetch->pin.digest,
                            .object = fetch->object,
                            .commit = fetch->pin.commit,
                            .size = fetch->size,
                            .origin = fetch->pin.url,
                            .added_ms = moment_wall_ms()};
    db_put_source(farm_write(farm), &row);
    db_put_reference(farm->db, &row.object, holder);
}

static void fetch_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct fetch *fetch = (struct fetch *)task;
    struct build *build = fetch->build;
    if (fetch->result < 0) {
        bool differs = fetch->result == FARM_E_DIGEST || fetch->result == FARM_E_LIMIT;
        problems_add(&build->problems, "farm/farm.lock", fetch->pin.line,
                     differs ? "source-digest" : "source-missing", "%s: %s%s", fetch->package,
                     diag_text(&fetch->diag, fetch->result),
                     differs ? "" : "; \"farmctl source add FILE\" takes the bytes from anywhere");
    } else {
        record_source(farm, fetch);
        ctl_progress(build->request,
                     json_pack("{s:s, s:s}", "source", fetch->package, "from", fetch->pin.url));
    }
    free(fetch);
    if (--build->missing == 0)
        sources_settled(farm, build);
}

static int visit_found(void *context, const struct db_source *row)
{
    *(struct digest *)context = row->object;
    return 0;
}

static bool is_here(struct farm *farm, const struct pin *pin)
{
    struct digest object;
    return db_find_source(farm->db, &pin->digest, pin->commit, visit_found, &object, NULL) > 0 &&
           store_has(farm->store, &object);
}

static void fetch_one(struct farm *farm, struct build *build, const struct package *package,
                      const struct pin *pin)
{
    struct fetch *fetch = mem_zero(1, sizeof *fetch);
    fetch->task.run = fetch_run;
    fetch->task.done = fetch_done;
    fetch->result = -ECANCELED;
    fetch->build = build;
    fetch->store = farm->store;
    fetch->state_path = farm->state_path;
    fetch->state_dirfd = farm->state_dirfd;
    fetch->local_repositories = farm->config.local_repositories;
    fetch->pin = *pin;
    fetch->package = package->recipe->name;
    fetch->allow_http = farm->config.allow_http;
    fetch->allow_private = farm->config.allow_private_addresses;
    fetch->limit = farm->config.download_limit;
    build->missing++;
    pool_submit(farm->pool, &fetch->task);
}

/* Several packages may have one source: it is fetched once. */
static bool is_first(struct map *asked, const struct pin *pin)
{
    CLEANUP_BUF struct buf key = BUF_INIT;
    buf_add(&key, pin->digest.bytes, DIGEST_SIZE);
    buf_add_text(&key, pin->commit);
    return map_set(asked, buf_view(&key), asked) == NULL;
}

static void gather_sources(struct farm *farm, struct build *build)
{
    const struct plan *plan = build->plan->plan;
    struct map *asked = map_new();
    build->missing = 1; /* holds it open until all have been submitted */
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct package *package = tree_find(build->plan->tree->tree, view_text(plan->nodes[i].id));
        for (size_t k = 0; package != NULL && k < package->npins; k++)
            if (is_first(asked, &package->pins[k]) && !is_here(farm, &package->pins[k]))
                fetch_one(farm, build, package, &package->pins[k]);
    }
    map_free(asked);
    if (--build->missing == 0)
        sources_settled(farm, build);
}

void verb_build(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan = plans_find(farm, ctl_text(request, "plan"), &diag);
    int result = plan == NULL ? FARM_E_UNKNOWN : plans_load_tree(farm, plan, &diag);
    if (result >= 0)
        result = disk_check(farm, &diag);
    if (result >= 0)
        result = trust_check_root(farm, &diag);
    if (result >= 0 && !root_allows_base(farm->root, &plan->plan->base))
        result = diag_set(&diag, FARM_E_REFUSED, "the trust root does not allow base %s",
                          digest_hex(&plan->plan->base).text);
    if (result >= 0 && !digest_equal(&farm->root->policy, &plan->plan->policy))
        result =
            diag_set(&diag, FARM_E_REFUSED, "the tree's policy.yml has digest %s, the trust root allows %s",
                     digest_hex(&plan->plan->policy).text, digest_hex(&farm->root->policy).text);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    struct build *build = mem_zero(1, sizeof *build);
    build->request = request;
    build->plan = plan;
    build->from_scratch = ctl_flag(request, "from_scratch");
    build->wait = ctl_flag(request, "wait");
    gather_sources(farm, build);
}

void verb_cancel(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan = plans_find(farm, ctl_text(request, "plan"), &diag);
    struct core_event event = {.type = CORE_PLAN_CANCEL};
    enum plan_state state;
    int result = plan == NULL ? FARM_E_UNKNOWN : 0;
    if (plan != NULL && !find_state(farm, &plan->id, &state))
        result = diag_set(&diag, FARM_E_STATE, "the plan was not started, so there is nothing to cancel");
    if (result >= 0) {
        event.plan = plan->id;
        result = farm_feed(farm, &event, &diag);
    }
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s}", "plan", digest_hex(&plan->id).text, "state", "cancelled"));
}
