/* SPDX-License-Identifier: GPL-3.0-or-later */
/* plan.json: written and read back. */
#include "plan.h"

#include "names.h"

#include <stdlib.h>

/*
 * Written by hand in json_write's form (compact, sorted keys): a plan has hundreds of thousands of small
 * numbers, and a json_t for each would take longer than all the rest of planning. Names and versions have no
 * byte that needs escaping.
 */
static void write_indexes(const char *key, const size_t *items, size_t count, struct buf *ret)
{
    buf_add_format(ret, "\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        char digits[24], *at = digits + sizeof digits;
        size_t number = items[i];
        do {
            *--at = (char)('0' + number % 10);
            number /= 10;
        } while (number > 0);
        if (i > 0)
            *--at = ',';
        buf_add(ret, at, (size_t)(digits + sizeof digits - at));
    }
    buf_add_byte(ret, ']');
}

static void write_resources(const struct resources *resources, struct buf *ret)
{
    buf_add_format(
        ret,
        "\"resources\":{\"cores\":%u,\"disk\":%llu,\"jobs\":%u,\"memory\":%llu,\"priority\":%d,\"wall\":%u}",
        resources->cores, (unsigned long long)resources->disk_bytes, resources->jobs,
        (unsigned long long)resources->memory_bytes, resources->priority, resources->wall_seconds);
}

static const char *flag(bool value)
{
    return value ? "true" : "false";
}

static void write_rules(const struct rules *rules, struct buf *ret)
{
    buf_add_format(ret,
                   "\"rules\":{\"anchors\":%u,\"distinct\":%u,\"evidence\":%s,\"hold\":%s,\"margin\":%u,"
                   "\"max_attempts\":%u,\"open_votes\":%s,\"quorum\":%u%s}",
                   rules->anchors, rules->distinct, flag(rules->evidence), flag(rules->hold), rules->margin,
                   rules->max_attempts, flag(rules->open_votes), rules->quorum,
                   rules->setuid ? ",\"setuid\":true" : ""); /* absent is false */
}

static void write_node(const struct plan_node *node, struct buf *ret)
{
    buf_add_byte(ret, '{');
    write_indexes("closure", node->closure, node->nclosure, ret);
    buf_add_byte(ret, ',');
    write_indexes("dependencies", node->dependencies, node->ndependencies, ret);
    buf_add_format(ret, ",\"name\":\"%s\",\"release\":\"%s\",", node->name, node->release);
    write_resources(&node->resources, ret);
    buf_add_byte(ret, ',');
    write_rules(&node->rules, ret);
    buf_add_format(ret, ",\"tier\":\"%s\",\"version\":\"%s\"}", node->tier, node->version);
}

/* Texts of strangers: a url, what was typed. */
static void write_text(const char *text, struct buf *ret)
{
    CLEANUP_JSON json_t *value = json_view(view_text(text));
    json_write(value, ret);
}

void plan_write(const struct plan *plan, struct buf *ret)
{
    buf_add_format(ret, "{\"base\":\"%s\",\"kind\":\"plan\",\"lock\":\"%s\",\"nodes\":[",
                   digest_hex(&plan->base).text, digest_hex(&plan->lock).text);
    for (size_t i = 0; i < plan->nnodes; i++) {
        if (i > 0)
            buf_add_byte(ret, ',');
        write_node(&plan->nodes[i], ret);
    }
    buf_add_format(ret, "],\"policy\":\"%s\",\"selection\":[", digest_hex(&plan->policy).text);
    for (size_t i = 0; i < plan->selection.count; i++) {
        if (i > 0)
            buf_add_byte(ret, ',');
        write_text(plan->selection.items[i].text, ret);
    }
    buf_add_format(ret, "],\"tree\":{\"commit\":\"%s\",\"tree_sha256\":\"%s\",\"url\":", plan->tree.commit,
                   digest_hex(&plan->tree.sha256).text);
    write_text(plan->tree.url, ret);
    buf_add_text(ret, "},\"v\":1}");
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
            return diag_set(diag, FARM_E_SYNTAX,
                            "%s: node %zu: \"%s\" must name earlier nodes in rising order", document, before,
                            key);
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
            return diag_set(diag, FARM_E_SYNTAX,
                            "%s: node %zu waits for node %zu, which is not in its closure", document, index,
                            node->dependencies[i]);
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
        (status = take_indexes(object, "dependencies", index, &node->dependencies, &node->ndependencies,
                               diag)) < 0 ||
        (status = take_indexes(object, "closure", index, &node->closure, &node->nclosure, diag)) < 0 ||
        (status = check_dependencies(node, index, diag)) < 0 ||
        (status = json_get_object(object, document, "resources", &resources, diag)) < 0 ||
        (status = json_get_object(object, document, "rules", &rules, diag)) < 0 ||
        (status = resources_from_json(resources, document, &node->resources, diag)) < 0)
        return status;
    node->id = mem_format("%s/%s", node->tier, node->name);
    return rules_from_json(rules, document, &node->rules, diag);
}

struct reading {
    struct plan *plan;
    size_t capacity;
};

static int add_node(void *context, const json_t *object, size_t index, struct diag *diag)
{
    struct reading *reading = context;
    struct plan *plan = reading->plan;
    if (index >= PLAN_NODES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%s: more than %d nodes", document, PLAN_NODES_MAX);
    plan->nodes = mem_reserve(plan->nodes, &reading->capacity, index + 1, sizeof *plan->nodes);
    struct plan_node *node = &plan->nodes[plan->nnodes++];
    *node = (struct plan_node){0};
    return take_node(object, index, node, diag);
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
            status = diag_set(diag, FARM_E_SYNTAX, "%s: two nodes are called \"%s\"", document,
                              names.items[i].text);
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

static int check_version(const json_t *object, struct diag *diag)
{
    int64_t version;
    const char *kind;
    int status;
    if (!json_is_object(object))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an object", document);
    if ((status = json_get_number(object, document, "v", &version, diag)) < 0 ||
        (status = json_get_text(object, document, "kind", &kind, diag)) < 0)
        return status;
    return version == 1 && strcmp(kind, "plan") == 0
               ? 0
               : diag_set(diag, FARM_E_UNSUPPORTED, "%s: a version or kind that this program does not know",
                          document);
}

/* All but the nodes, which have been taken. */
static int take_plan(const json_t *object, struct plan *plan, struct diag *diag)
{
    static const char *const keys[] = {"v",    "kind",      "tree",  "lock", "policy",
                                       "base", "selection", "nodes", NULL};
    json_t *nodes;
    int status;
    if ((status = check_version(object, diag)) < 0 ||
        (status = json_only_keys(object, document, keys, diag)) < 0 ||
        (status = take_tree(object, &plan->tree, diag)) < 0 ||
        (status = json_get_digest(object, document, "lock", &plan->lock, diag)) < 0 ||
        (status = json_get_digest(object, document, "policy", &plan->policy, diag)) < 0 ||
        (status = json_get_digest(object, document, "base", &plan->base, diag)) < 0 ||
        (status = take_selection(object, plan, diag)) < 0 ||
        (status = json_get_array(object, document, "nodes", &nodes, diag)) < 0)
        return status;
    if (json_array_size(nodes) > 0)
        return diag_set(diag, FARM_E_SYNTAX, "%s: \"nodes\" is written with escapes", document);
    return check_names(plan, diag);
}

static int pass_over(void *context, const json_t *item, size_t index, struct diag *diag)
{
    (void)context;
    (void)item;
    (void)index;
    (void)diag;
    return 0;
}

/* Nodes come before the version that they are of: one that is not understood may be of a later one. */
static bool is_of_another_version(struct view text, struct diag *ret_why)
{
    CLEANUP_JSON json_t *rest = NULL;
    struct diag why = DIAG_INIT;
    if (json_read_long(text, document, PLAN_SIZE_MAX, "nodes", pass_over, NULL, &rest, &why) < 0 ||
        check_version(rest, &why) != FARM_E_UNSUPPORTED)
        return false;
    if (ret_why != NULL)
        *ret_why = why;
    return true;
}

int plan_parse(struct view text, struct plan **ret, struct diag *diag)
{
    CLEANUP_JSON json_t *rest = NULL;
    struct plan *plan = mem_zero(1, sizeof *plan);
    struct reading reading = {.plan = plan};
    int status = json_read_long(text, document, PLAN_SIZE_MAX, "nodes", add_node, &reading, &rest, diag);
    if (status >= 0)
        status = take_plan(rest, plan, diag);
    else if (plan->nnodes > 0 && is_of_another_version(text, diag))
        status = FARM_E_UNSUPPORTED;
    if (status < 0) {
        plan_free(plan);
        return status;
    }
    plan->id = digest_of(text);
    *ret = plan;
    return 0;
}
