/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Memory: plans that ended leave the core a while after their end, and trees that no plan in the core has leave with them. A coordinator
 * that runs for a year has thousands of plans, and a few that anybody looks at.
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

static void forget(struct farm *farm, struct farm_plan *plan, bool cancelled)
{
    struct core_event event = {.type = CORE_PLAN_FORGET, .plan = plan->id};
    struct farm_tree *tree = plan->tree;
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
    free(STEAL(plan->tars));
    if (tree != NULL && !is_needed(farm, tree))
        drop_tree(farm, tree);
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
    bool ended = strcmp(row->state, plan_state_name(PLAN_DONE)) == 0 ||
                 strcmp(row->state, plan_state_name(PLAN_FAILED)) == 0;
    return ended && row->finished_ms > 0 && moment_wall_ms() - row->finished_ms >= memory_ms(farm);
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

int plans_recall(struct farm *farm, struct farm_plan *plan, struct diag *diag)
{
    struct request request = {0};
    plans_use(plan);
    if (!plan->forgotten)
        return 0;
    int result = db_find_plan(farm->db, &plan->id, visit_plan, &request, diag);
    if (result >= 0)
        result = plans_start(farm, plan, request.from_scratch, request.started_ms, diag);
    return result < 0 ? diag_wrap(diag, result, "plan %.12s, which ended a while ago, cannot be brought back",
                                  digest_hex(&plan->id).text)
                      : 0;
}
