/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * build: first every source of the plan is brought into the farm, and only when all are there and have the
 * pinned digests the plan starts; what cannot be had is listed at once, with the line of the pin, and nothing
 * starts.
 */
#include "verbs.h"

#include "buf.h"
#include "farmlog.h"
#include "source_fetch.h"

#include <stdio.h>
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
    struct source_fetch source;
    struct build *build;
    const char *package; /* borrowed from the tree, which outlives the build */
    int line;            /* of the pin in the lock */
};

/* ---- waiting for the plan ---- */

struct wait_state {
    struct farm_plan *plan;
    struct digest last;
};

static void wait_free(void *context)
{
    struct wait_state *state = context;
    plans_release(state->plan);
    free(state);
}

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
    json_t *report = status_report(farm, STATUS_PLANS);
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
    plans_release(build->plan);
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
    int result = plans_start(farm, build->plan, build->from_scratch, 0, diag);
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
        plans_hold(wait->plan);
        watch_add(farm, build->request, poll_wait, wait, wait_free);
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

static void fetch_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct fetch *fetch = (struct fetch *)task;
    struct build *build = fetch->build;
    int result = fetch->source.result;
    if (result < 0) {
        bool differs = result == FARM_E_DIGEST || result == FARM_E_LIMIT;
        problems_add(&build->problems, "farm/farm.lock", fetch->line,
                     differs ? "source-digest" : "source-missing", "%s: %s%s", fetch->package,
                     diag_text(&fetch->source.diag, result),
                     differs ? "" : "; \"farmctl source add FILE\" takes the bytes from anywhere");
    } else {
        source_fetch_record(farm, &fetch->source);
        ctl_progress(build->request,
                     json_pack("{s:s, s:s}", "source", fetch->package, "from", fetch->source.url));
    }
    source_fetch_done(&fetch->source);
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
    struct source_fetch *source = &fetch->source;
    source_fetch_init(farm, source);
    source->task.done = fetch_done;
    source->is_git = pin->kind == PIN_GIT;
    source->url = mem_string(pin->url);
    snprintf(source->commit, sizeof source->commit, "%s", pin->commit);
    source->pin = pin->digest;
    source->size = pin->size;
    source->limit = pin->size > 0 ? pin->size : source->limit;
    fetch->build = build;
    fetch->package = package->recipe->name;
    fetch->line = pin->line;
    build->missing++;
    pool_submit(farm->pool, &source->task);
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
    plans_hold(plan);
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
