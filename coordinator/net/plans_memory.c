/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory: plans that ended leave the core a while after their end, with their text, and trees that no plan in the core has leave with them;
 * so does the text of a plan that nobody started. A coordinator that runs for a year has thousands of plans, and a few that anybody looks at.
 *
 * Forgotten is not gone: rows, log and objects have everything, and whoever names the plan has it recalled, which does for one
 * plan what a restart does for all: the core derives its keys, is fed the past of each, and comes to the same end. A recalled plan is
 * forgotten again after as long as one that has just ended.
 *
 * Who keeps a plan over several turns of the loop (fetches for a build, a draft that waits for the log) holds it meanwhile.
 */
#include "farm.h"

#include "farmlog.h"

#include <stdlib.h>

enum {
    FORGET_A_TURN = 1, /* a large plan takes milliseconds, and answers wait */
    LOOK_MS = 1000     /* so often is looked whose time has come */
};

static int64_t memory_ms(const struct farm *farm)
{
    return (int64_t)farm->config.plan_memory * 1000;
}

void plans_use(struct farm_plan *plan)
{
    plan->used_ms = farm_core_now();
}

void plans_hold(struct farm_plan *plan)
{
    plan->holders++;
}

void plans_release(struct farm_plan *plan)
{
    plan->holders--;
    plans_use(plan);
}

/* ---- trees ---- */

static bool needs_tree(const struct farm_plan *plan)
{
    return plan->active || plan->holders > 0;
}

static bool is_needed(const struct farm *farm, const struct farm_tree *tree)
{
    size_t cursor = 0;
    struct view key;
    for (void *plan; map_next(farm->plans, &cursor, &key, &plan);)
        if (((struct farm_plan *)plan)->tree == tree && needs_tree(plan))
            return true;
    return false;
}

void plans_free_tree(struct farm_tree *tree)
{
    tree_free(tree->tree);
    free(tree->commit);
    free(tree->url);
    free(tree);
}

/* plans_load_tree() brings it back. */
static void drop_tree(struct farm *farm, struct farm_tree *tree)
{
    size_t cursor = 0;
    struct view key;
    for (void *value; map_next(farm->plans, &cursor, &key, &value);) {
        struct farm_plan *plan = value;
        if (plan->tree == tree)
            plan->tree = NULL;
    }
    (void)map_remove(farm->trees, view_of(tree->sha256.bytes, DIGEST_SIZE));
    plans_free_tree(tree);
}

/* ---- forgetting ---- */

/* It is not in the core, and nobody holds it. */
static void unload(struct farm *farm, struct farm_plan *plan)
{
    struct farm_tree *tree = plan->tree;
    plan->plan = plan_free(plan->plan);
    free(STEAL(plan->tars));
    if (tree != NULL && !is_needed(farm, tree))
        drop_tree(farm, tree);
}

/* What becomes of its nodes is told by their names, also of a plan that was cancelled. */
static bool is_in_core(const struct farm *farm, const struct farm_plan *plan)
{
    struct core_node_view view;
    return core_node(farm->core, &plan->id, 0, &view);
}

/* Those that were never started, or were not given to the core again by the start. */
static void unload_planned(struct farm *farm, int64_t now)
{
    size_t cursor = 0;
    struct view key;
    for (void *value; map_next(farm->plans, &cursor, &key, &value);) {
        struct farm_plan *plan = value;
        if (plan->plan != NULL && !plan->active && plan->holders == 0 &&
            now - plan->used_ms >= memory_ms(farm) && !is_in_core(farm, plan))
            unload(farm, plan);
    }
}

static void forget(struct farm *farm, struct farm_plan *plan, bool cancelled)
{
    struct core_event event = {.type = CORE_PLAN_FORGET, .plan = plan->id};
    struct diag diag = DIAG_INIT;
    int result = farm_feed(farm, &event, &diag);
    if (result < 0) {
        log_event(LOG_LEVEL_ERROR, "a plan cannot be forgotten", log_digest(FIELD_PLAN, &plan->id),
                  log_text(FIELD_REASON, diag_text(&diag, result)));
        plans_use(plan);
        return;
    }
    plan->active = false;
    plan->forgotten = !cancelled; /* as after a restart, which does not start it again */
    unload(farm, plan);
    log_event(LOG_LEVEL_DEBUG, "plan forgotten", log_digest(FIELD_PLAN, &plan->id));
}

void plans_forget_turn(struct farm *farm)
{
    struct digest id;
    enum plan_state state;
    size_t nodes;
    int64_t now = farm_core_now();
    int left = FORGET_A_TURN;
    if (now < farm->forget_due_ms)
        return;
    farm->forget_due_ms = now + LOOK_MS;
    unload_planned(farm, now);
    for (size_t i = 0; left > 0 && core_plan_at(farm->core, i, &id, &state, &nodes); i++) {
        struct farm_plan *plan = plans_get(farm, &id);
        if (state == PLAN_RUNNING || plan == NULL || plan->holders > 0 ||
            now - plan->used_ms < memory_ms(farm))
            continue;
        forget(farm, plan, state == PLAN_CANCELLED);
        left--;
        farm->forget_due_ms = now; /* there may be more */
    }
}

/* ---- recalling ---- */

bool plans_is_old(const struct farm *farm, const struct db_plan *row)
{
    bool running = strcmp(row->state, plan_state_name(PLAN_RUNNING)) == 0;
    int64_t last_ms = row->finished_ms > 0 ? row->finished_ms : row->created_ms;
    return !running && moment_wall_ms() - last_ms >= memory_ms(farm);
}

struct request {
    bool from_scratch;
    int64_t started_ms;
};

static int visit_plan(void *context, const struct db_plan *row)
{
    *(struct request *)context = (struct request){row->from_scratch, row->started_ms};
    return 0;
}

int plans_load_text(struct farm *farm, struct farm_plan *plan, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    plans_use(plan);
    if (plan->plan != NULL)
        return 0;
    int result = store_get(farm->store, &plan->id, PLAN_SIZE_MAX, &text, diag);
    return result < 0 ? result : plan_parse(buf_view(&text), &plan->plan, diag);
}

int plans_recall(struct farm *farm, struct farm_plan *plan, struct diag *diag)
{
    struct request request = {0};
    int result = plans_load_text(farm, plan, diag);
    if (result >= 0 && !plan->forgotten)
        return 0;
    if (result >= 0)
        result = db_find_plan(farm->db, &plan->id, visit_plan, &request, diag);
    if (result >= 0)
        result = plans_start(farm, plan, request.from_scratch, request.started_ms, diag);
    return result < 0 ? diag_wrap(diag, result, "plan %.12s, which ended a while ago, cannot be brought back",
                                  digest_hex(&plan->id).text)
                      : 0;
}
