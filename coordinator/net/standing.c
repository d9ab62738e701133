/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "standing.h"

#include <stdlib.h>

/* One plan's nodes, and whether each was agreed. */
struct plan_standing {
    const struct farm_plan *plan;
    bool *agreed;
};
struct standing {
    struct plan_standing *plans;
    size_t nplans;
};

static bool is_agreed(const struct farm *farm, const struct farm_plan *plan, size_t node,
                      struct core_node_view *ret)
{
    return core_node(farm->core, &plan->id, node, ret) && ret->state == NODE_AGREED;
}

static void take_plan(const struct farm *farm, const struct farm_plan *plan, struct plan_standing *ret)
{
    struct core_node_view view;
    ret->plan = plan;
    ret->agreed = mem_zero(plan->plan->nnodes, sizeof *ret->agreed);
    for (size_t i = 0; i < plan->plan->nnodes; i++)
        ret->agreed[i] = is_agreed(farm, plan, i, &view);
}

struct standing *standing_take(const struct farm *farm)
{
    struct standing *standing = mem_zero(1, sizeof *standing);
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(farm->plans, &cursor, &key, &value)) {
        const struct farm_plan *plan = value;
        if (!plan->active)
            continue;
        standing->plans = mem_grow(standing->plans, standing->nplans + 1, sizeof *standing->plans);
        take_plan(farm, plan, &standing->plans[standing->nplans++]);
    }
    return standing;
}

struct standing *standing_free(struct standing *standing)
{
    if (standing == NULL)
        return NULL;
    for (size_t i = 0; i < standing->nplans; i++)
        free(standing->plans[i].agreed);
    free(standing->plans);
    free(standing);
    return NULL;
}

static json_t *name_node(const struct farm_plan *plan, size_t node, const struct core_node_view *view)
{
    return json_pack("{s:s, s:s, s:o}", "plan", digest_hex(&plan->id).text, "node",
                     plan->plan->nodes[node].id, "key", view->keyed ? json_digest(&view->key) : json_null());
}

static void add_reopened(json_t *list, const struct farm_plan *plan, size_t node,
                         const struct core_node_view *view)
{
    json_t *row = name_node(plan, node, view);
    json_object_set_new(row, "state", json_string(node_state_name(view->state)));
    json_object_set_new(row, "round", json_integer((json_int_t)view->round));
    json_object_set_new(row, "missing", json_integer((json_int_t)view->verdict.missing));
    json_array_append_new(list, row);
}

static bool stands_on(const struct plan_node *node, const bool *reopened)
{
    for (size_t i = 0; i < node->nclosure; i++)
        if (reopened[node->closure[i]])
            return true;
    return false;
}

static void compare_plan(const struct farm *farm, const struct plan_standing *before, json_t *list,
                         json_t *upon)
{
    const struct plan *plan = before->plan->plan;
    struct core_node_view view;
    CLEANUP_FREE bool *reopened = mem_zero(plan->nnodes, sizeof *reopened);
    for (size_t i = 0; i < plan->nnodes; i++) {
        if (!before->agreed[i])
            continue;
        if (!is_agreed(farm, before->plan, i, &view)) {
            reopened[i] = true;
            add_reopened(list, before->plan, i, &view);
        } else if (stands_on(&plan->nodes[i], reopened)) {
            json_array_append_new(upon, name_node(before->plan, i, &view));
        }
    }
}

json_t *standing_compare(const struct farm *farm, const struct standing *standing)
{
    json_t *reopened = json_array(), *upon = json_array();
    for (size_t i = 0; i < standing->nplans; i++)
        compare_plan(farm, &standing->plans[i], reopened, upon);
    return json_pack("{s:o, s:o}", "reopened", reopened, "upon", upon);
}
