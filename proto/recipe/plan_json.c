/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan.json: written and read back. */
#include "plan.h"

#include "names.h"

#include <stdlib.h>

static json_t *index_array(const size_t *items, size_t count)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer((json_int_t)items[i]));
    return array;
}

static json_t *node_object(const struct plan_node *node)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(node->name));
    json_object_set_new(object, "tier", json_string(node->tier));
    json_object_set_new(object, "version", json_string(node->version));
    json_object_set_new(object, "release", json_string(node->release));
    json_object_set_new(object, "dependencies", index_array(node->dependencies, node->ndependencies));
    json_object_set_new(object, "closure", index_array(node->closure, node->nclosure));
    json_object_set_new(object, "resources", resources_to_json(&node->resources));
    json_object_set_new(object, "rules", rules_to_json(&node->rules));
    return object;
}

static json_t *tree_object(const struct tree_pin *pin)
{
    json_t *object = json_object();
    json_object_set_new(object, "url", json_view(view_text(pin->url)));
    json_object_set_new(object, "commit", json_string(pin->commit));
    json_object_set_new(object, "tree_sha256", json_digest(&pin->sha256));
    return object;
}

void plan_write(const struct plan *plan, struct buf *ret)
{
    CLEANUP_JSON json_t *object = json_object();
    json_t *nodes = json_array(), *selection = json_array();
    for (size_t i = 0; i < plan->nnodes; i++)
        json_array_append_new(nodes, node_object(&plan->nodes[i]));
    for (size_t i = 0; i < plan->selection.count; i++)
        json_array_append_new(selection, json_view(view_text(plan->selection.items[i].text)));
    json_object_set_new(object, "v", json_integer(1));
    json_object_set_new(object, "kind", json_string("plan"));
    json_object_set_new(object, "tree", tree_object(&plan->tree));
    json_object_set_new(object, "lock", json_digest(&plan->lock));
    json_object_set_new(object, "policy", json_digest(&plan->policy));
    json_object_set_new(object, "base", json_digest(&plan->base));
    json_object_set_new(object, "selection", selection);
    json_object_set_new(object, "nodes", nodes);
    json_write(object, ret);
}

static const char document[] = "plan";

static int take_text(const json_t *object, const char *key, bool (*allowed)(struct view), char **ret,
                     struct diag *diag)
{
    const char *text;
    int status = json_get_text(object, document, key, &text, diag);
    if (status < 0)
        return status;
    if (!allowed(view_text(text)))
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" has a value that is not allowed", document, key);
    *ret = mem_string(text);
    return 0;
}

static bool is_release(struct view text)
{
    uint64_t number;
    return view_decimal(text, &number);
}

/* Indexes of earlier nodes, rising. */
static int take_indexes(const json_t *object, const char *key, size_t before, size_t **ret, size_t *ret_count,
                        struct diag *diag)
{
    json_t *array;
    int status = json_get_array(object, document, key, &array, diag);
    if (status < 0)
        return status;
    *ret = mem_zero(json_array_size(array), sizeof **ret);
    *ret_count = json_array_size(array);
    for (size_t i = 0; i < *ret_count; i++) {
        const json_t *item = json_array_get(array, i);
        json_int_t index = json_is_integer(item) ? json_integer_value(item) : -1;
        if (index < 0 || (size_t)index >= before || (i > 0 && (size_t)index <= (*ret)[i - 1]))
            return diag_set(diag, FARM_E_SYNTAX, "%s: node %zu: \"%s\" must name earlier nodes in rising order",
                            document, before, key);
        (*ret)[i] = (size_t)index;
    }
    return 0;
}

/* What a node waits for must be part of its closure, or the closure is not what the spec will be made of. */
static int check_dependencies(const struct plan_node *node, size_t index, struct diag *diag)
{
    size_t k = 0;
    for (size_t i = 0; i < node->ndependencies; i++) {
        while (k < node->nclosure && node->closure[k] < node->dependencies[i])
            k++;
        if (k == node->nclosure || node->closure[k] != node->dependencies[i])
            return diag_set(diag, FARM_E_SYNTAX, "%s: node %zu waits for node %zu, which is not in its closure",
                            document, index, node->dependencies[i]);
    }
    return 0;
}

static int take_node(const json_t *object, size_t index, struct plan_node *node, struct diag *diag)
{
    static const char *const keys[] = {"name",    "tier",      "version", "release", "dependencies",
                                       "closure", "resources", "rules",   NULL};
    json_t *resources, *rules;
    int status;
    if (!json_is_object(object))
        return diag_set(diag, FARM_E_SYNTAX, "%s: node %zu is no object", document, index);
    if ((status = json_only_keys(object, document, keys, diag)) < 0 ||
        (status = take_text(object, "name", name_is_plain, &node->name, diag)) < 0 ||
        (status = take_text(object, "tier", name_is_plain, &node->tier, diag)) < 0 ||
        (status = take_text(object, "version", version_is_plain, &node->version, diag)) < 0 ||
        (status = take_text(object, "release", is_release, &node->release, diag)) < 0 ||
        (status = take_indexes(object, "dependencies", index, &node->dependencies, &node->ndependencies, diag)) < 0 ||
        (status = take_indexes(object, "closure", index, &node->closure, &node->nclosure, diag)) < 0 ||
        (status = check_dependencies(node, index, diag)) < 0 ||
        (status = json_get_object(object, document, "resources", &resources, diag)) < 0 ||
        (status = json_get_object(object, document, "rules", &rules, diag)) < 0 ||
        (status = resources_from_json(resources, document, &node->resources, diag)) < 0)
        return status;
    node->id = mem_format("%s/%s", node->tier, node->name);
    return rules_from_json(rules, document, &node->rules, diag);
}

static int take_nodes(const json_t *object, struct plan *plan, struct diag *diag)
{
    json_t *nodes;
    int status = json_get_array(object, document, "nodes", &nodes, diag);
    if (status < 0)
        return status;
    if (json_array_size(nodes) > PLAN_NODES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: %zu nodes, the limit is %d", document, json_array_size(nodes),
                        PLAN_NODES_MAX);
    plan->nodes = mem_zero(json_array_size(nodes), sizeof *plan->nodes);
    for (size_t i = 0; status >= 0 && i < json_array_size(nodes); i++) {
        plan->nnodes++;
        status = take_node(json_array_get(nodes, i), i, &plan->nodes[i], diag);
    }
    return status;
}

/* A name may stand once: commands and receipts go by it. */
static int check_names(const struct plan *plan, struct diag *diag)
{
    struct text_list names = {0};
    int status = 0;
    for (size_t i = 0; i < plan->nnodes; i++)
        text_list_add(&names, view_text(plan->nodes[i].name), 0);
    text_list_sort(&names);
    for (size_t i = 1; status >= 0 && i < names.count; i++)
        if (strcmp(names.items[i - 1].text, names.items[i].text) == 0)
            status = diag_set(diag, FARM_E_SYNTAX, "%s: two nodes are called \"%s\"", document, names.items[i].text);
    text_list_done(&names);
    return status;
}

static int take_tree(const json_t *object, struct tree_pin *pin, struct diag *diag)
{
    static const char *const keys[] = {"url", "commit", "tree_sha256", NULL};
    CLEANUP_FREE char *commit = NULL;
    json_t *tree;
    int status;
    if ((status = json_get_object(object, document, "tree", &tree, diag)) < 0 ||
        (status = json_only_keys(tree, document, keys, diag)) < 0 ||
        (status = take_text(tree, "url", line_is_plain, &pin->url, diag)) < 0 ||
        (status = take_text(tree, "commit", commit_is_plain, &commit, diag)) < 0)
        return status;
    memcpy(pin->commit, commit, strlen(commit) + 1);
    return json_get_digest(tree, document, "tree_sha256", &pin->sha256, diag);
}

static int take_selection(const json_t *object, struct plan *plan, struct diag *diag)
{
    json_t *array;
    int status = json_get_array(object, document, "selection", &array, diag);
    for (size_t i = 0; status >= 0 && i < json_array_size(array); i++) {
        const json_t *item = json_array_get(array, i);
        struct view text = view_of(json_string_value(item), json_string_length(item));
        if (!json_is_string(item) || !line_is_plain(text))
            return diag_set(diag, FARM_E_SYNTAX, "%s: \"selection\" must hold texts", document);
        text_list_add(&plan->selection, text, 0);
    }
    return status;
}

static int take_plan(const json_t *object, struct plan *plan, struct diag *diag)
{
    static const char *const keys[] = {"v", "kind", "tree", "lock", "policy", "base", "selection", "nodes", NULL};
    int64_t version;
    const char *kind;
    int status;
    if (!json_is_object(object))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an object", document);
    if ((status = json_only_keys(object, document, keys, diag)) < 0 ||
        (status = json_get_number(object, document, "v", &version, diag)) < 0 ||
        (status = json_get_text(object, document, "kind", &kind, diag)) < 0)
        return status;
    if (version != 1 || strcmp(kind, "plan") != 0)
        return diag_set(diag, FARM_E_UNSUPPORTED, "%s: a version or kind that this program does not know", document);
    if ((status = take_tree(object, &plan->tree, diag)) < 0 ||
        (status = json_get_digest(object, document, "lock", &plan->lock, diag)) < 0 ||
        (status = json_get_digest(object, document, "policy", &plan->policy, diag)) < 0 ||
        (status = json_get_digest(object, document, "base", &plan->base, diag)) < 0 ||
        (status = take_selection(object, plan, diag)) < 0 || (status = take_nodes(object, plan, diag)) < 0)
        return status;
    return check_names(plan, diag);
}

int plan_parse(struct view text, struct plan **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *object = NULL;
    int status = json_read(text, document, PLAN_SIZE_MAX, &object, diag);
    if (status < 0)
        return status;
    struct plan *plan = mem_zero(1, sizeof *plan);
    status = take_plan(object, plan, diag);
    if (status < 0) {
        plan_free(plan);
        return status;
    }
    plan->id = digest_of(text);
    *ret = plan;
    return 0;
}
