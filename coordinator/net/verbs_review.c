/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release.review: a release against another one, for those who are about to sign it. By default against the last signed one before
 * it. What cannot be compared any more (a tree or directory that is not here) is listed under "unchecked", in words.
 *
 *     {"release", "state", "sequence", "sha256", "against": {"release", "sequence", "sha256"} | null,
 *      "header": [{"what", "before", "after"}], "added": [...], "removed": [...], "changed": [{..., "aspects": [...]}],
 *      "unchanged", "dissent": [...], "weakest": [{"package", "link", "operators", "anchors", "dissent"}],
 *      "held": {"came": [...], "went": [...]}, "operators": {"came": [...], "went": [...]},
 *      "findings": [{"file", "line", "rule", "text"}], "dropped", "unchecked": [...]}
 */
#include "verbs.h"

#include "buf.h"
#include "release.h"
#include "review.h"
#include "treereview.h"

#include <assert.h>
#include <stdlib.h>

struct review {
    struct farm *farm;
    struct release *before, *after; /* before: NULL for the first one */
    char state[16];
    struct farm_plan *plan_before, *plan_after; /* NULL: not here any more */
    struct problems findings;
    json_t *unchecked, *came, *went;
    struct diag *diag;
};

/* ---- which two ---- */

struct chosen {
    char name[IDENTITY_NAME_MAX + 1], state[16];
    int64_t sequence;
    struct digest digest;
    int64_t below; /* looking for the last signed one before this sequence */
    bool found;
};

static int visit_chosen(void *context, const struct db_release *row)
{
    struct chosen *chosen = context;
    snprintf(chosen->name, sizeof chosen->name, "%s", row->name);
    snprintf(chosen->state, sizeof chosen->state, "%s", row->state);
    chosen->sequence = row->sequence;
    chosen->digest = row->digest;
    chosen->found = true;
    return 0;
}

static int visit_signed(void *context, const struct db_release *row)
{
    const struct chosen *chosen = context;
    bool later = !chosen->found || row->sequence > chosen->sequence;
    return strcmp(row->state, "signed") == 0 && row->sequence < chosen->below && later
               ? visit_chosen(context, row)
               : 0;
}

static int load_release(struct review *review, const char *name, struct chosen *chosen, struct release **ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = 0;
    if (name != NULL)
        result = db_find_release(review->farm->db, name, visit_chosen, chosen, review->diag);
    if (result >= 0 && !chosen->found)
        return diag_set(review->diag, FARM_E_UNKNOWN,
                        "no release \"%s\"; \"farmctl release list\" names them", name != NULL ? name : "");
    if (result >= 0)
        result = store_get(review->farm->store, &chosen->digest, RELEASE_SIZE_MAX, &text, review->diag);
    if (result >= 0)
        result = release_parse(buf_view(&text), chosen->name, ret, review->diag);
    return result < 0 ? result : 0;
}

static int load_both(struct review *review, const char *name, const char *against)
{
    struct chosen after = {.found = false}, before = {.found = false};
    if (name == NULL)
        return diag_set(review->diag, FARM_E_USAGE, "which release?");
    int result = load_release(review, name, &after, &review->after);
    if (result < 0)
        return result;
    snprintf(review->state, sizeof review->state, "%s", after.state);
    before.below = after.sequence;
    if (against == NULL)
        result = db_each_release(review->farm->db, visit_signed, &before, review->diag);
    if (result < 0 || (against == NULL && !before.found))
        return result < 0 ? result : 0;
    return load_release(review, against, &before, &review->before);
}

/* ---- what was not compared ---- */

static void not_checked(struct review *review, const char *what, int error, const struct diag *why)
{
    json_array_append_new(review->unchecked, json_sprintf("%s: %s", what, diag_text(why, error)));
}

/* ---- trees and rules ---- */

static struct farm_plan *plan_of(struct review *review, const struct release *release)
{
    struct diag why = DIAG_INIT;
    struct farm_plan *plan = plans_get(review->farm, &release->plan);
    int error = plan == NULL ? diag_set(&why, FARM_E_MISSING, "its plan is not here") : 0;
    if (error >= 0)
        error = plans_recall(review->farm, plan, &why);
    if (error >= 0)
        error = plans_load_tree(review->farm, plan, &why);
    if (error >= 0)
        return plan;
    CLEANUP_FREE char *what = mem_format("the package tree of %s", release->name);
    not_checked(review, what, error, &why);
    return NULL;
}

static void compare_rules(struct review *review)
{
    const struct plan *before = review->plan_before->plan, *after = review->plan_after->plan;
    for (size_t i = 0; i < after->nnodes; i++) {
        size_t then = plan_find(before, view_text(after->nodes[i].name));
        if (then != SIZE_MAX)
            review_rules(after->nodes[i].name, &before->nodes[then].rules, &after->nodes[i].rules,
                         &review->findings);
    }
}

static void compare_trees(struct review *review)
{
    review->plan_after = plan_of(review, review->after);
    if (review->before == NULL)
        return;
    review->plan_before = plan_of(review, review->before);
    if (review->plan_before == NULL || review->plan_after == NULL)
        return;
    (void)treereview_compare(review->plan_before->tree->tree, review->plan_after->tree->tree,
                             &review->findings);
    compare_rules(review);
}

/* ---- trust root and directory ---- */

/* Roots are kept by version; a release names one by digest. */
static int find_root(struct review *review, const struct digest *wanted, struct root **ret, struct diag *why)
{
    struct farm *farm = review->farm;
    for (int64_t version = farm->root != NULL ? farm->root->version : 0; version > 0; version--) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        char **signatures = NULL;
        size_t count = 0;
        int error = trust_chain_get(farm, version, &text, &signatures, &count, why);
        for (size_t i = 0; i < count; i++)
            free(signatures[i]);
        free(signatures);
        if (error < 0)
            return error;
        struct digest digest = digest_of(buf_view(&text));
        if (digest_equal(&digest, wanted))
            return root_parse(buf_view(&text), "root.json", ret, why);
    }
    return diag_set(why, FARM_E_MISSING, "it was never installed here");
}

static void compare_roots(struct review *review)
{
    CLEANUP_ROOT struct root *before = NULL;
    CLEANUP_ROOT struct root *after = NULL;
    struct diag why = DIAG_INIT;
    if (digest_equal(&review->before->root, &review->after->root))
        return;
    int error = find_root(review, &review->before->root, &before, &why);
    if (error >= 0)
        error = find_root(review, &review->after->root, &after, &why);
    if (error < 0)
        not_checked(review, "the trust roots", error, &why);
    else
        review_root(before, after, &review->findings);
}

static int read_directory(struct review *review, const struct digest *digest, struct directory **ret,
                          struct diag *why)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int error = store_get(review->farm->store, digest, DIRECTORY_SIZE_MAX, &text, why);
    return error < 0 ? error : directory_parse(buf_view(&text), "workers.json", ret, why);
}

static void add_names(json_t *list, struct review_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        json_array_append_new(list, json_string(names->items[i]));
    review_names_done(names);
}

static void compare_directories(struct review *review)
{
    struct directory *before = NULL, *after = NULL;
    struct review_names came = {0}, went = {0};
    struct diag why = DIAG_INIT;
    if (digest_equal(&review->before->workers, &review->after->workers))
        return;
    int error = read_directory(review, &review->before->workers, &before, &why);
    if (error >= 0)
        error = read_directory(review, &review->after->workers, &after, &why);
    if (error < 0)
        not_checked(review, "the worker directories", error, &why);
    else
        review_directory(before, after, &came, &went, &review->findings);
    add_names(review->came, &came);
    add_names(review->went, &went);
    directory_free(before);
    directory_free(after);
}

/* ---- packages, as JSON ---- */

static uint32_t anchors_among(const struct review *review, const struct release_package *package)
{
    const struct root *root = review->farm->root;
    uint32_t count = 0;
    for (size_t i = 0; i < package->noperators; i++)
        for (size_t k = 0; root != NULL && k < root->nanchors; k++)
            count += strcmp(root->anchors[k].operator_name, package->operators[i]) == 0;
    return count;
}

static json_t *side_json(const struct review *review, const struct release_package *package)
{
    json_t *operators = json_array();
    for (size_t i = 0; i < package->noperators; i++)
        json_array_append_new(operators, json_string(package->operators[i]));
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:i}", "version", package->version, "release",
                     package->release, "tier", package->tier, "job", json_digest(&package->job), "payload",
                     json_digest(&package->payload), "operators", operators, "anchors",
                     (int)anchors_among(review, package), "dissent", (int)package->dissent);
}

static json_t *aspects_json(const struct review_change *change)
{
    static const struct {
        enum review_aspect aspect;
        const char *name;
    } table[] = {{REVIEW_VERSION, "version"}, {REVIEW_TIER, "tier"}, {REVIEW_INPUTS, "inputs"},
                 {REVIEW_PAYLOAD, "payload"}, {REVIEW_GPU, "gpu"},   {REVIEW_OPERATORS, "operators"},
                 {REVIEW_DISSENT, "dissent"}};
    json_t *list = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if ((change->aspects & (unsigned int)table[i].aspect) != 0)
            json_array_append_new(list, json_string(table[i].name));
    return list;
}

static bool same_pins(const struct package *a, const struct package *b)
{
    if (a->npins != b->npins)
        return false;
    for (size_t i = 0; i < a->npins; i++)
        if (!digest_equal(&a->pins[i].digest, &b->pins[i].digest))
            return false;
    return true;
}

/* Which of a job's inputs differ. What is left is what it was built with: its dependencies' payloads. */
static json_t *inputs_json(const struct review *review, const struct review_change *change)
{
    json_t *list = json_array();
    const struct package *then, *now;
    if ((change->aspects & REVIEW_INPUTS) == 0 || review->plan_before == NULL || review->plan_after == NULL)
        return list;
    const struct tree *before = review->plan_before->tree->tree, *after = review->plan_after->tree->tree;
    then = tree_find(before, view_text(change->before->name));
    now = tree_find(after, view_text(change->after->name));
    if (then == NULL || now == NULL)
        return list;
    if (!digest_equal(&then->recipe_digest, &now->recipe_digest))
        json_array_append_new(list, json_string("recipe"));
    if (!same_pins(then, now))
        json_array_append_new(list, json_string("sources"));
    if (!digest_equal(&before->scripts_digest, &after->scripts_digest))
        json_array_append_new(list, json_string("scripts"));
    if (!digest_equal(&review->before->base, &review->after->base))
        json_array_append_new(list, json_string("base"));
    if (json_array_size(list) == 0)
        json_array_append_new(list, json_string("dependencies"));
    return list;
}

static json_t *change_json(const struct review *review, const struct review_change *change)
{
    const struct release_package *named = change->after != NULL ? change->after : change->before;
    assert(named != NULL);
    json_t *json = json_pack("{s:s}", "package", named->name);
    if (change->before != NULL)
        json_object_set_new(json, "before", side_json(review, change->before));
    if (change->after != NULL)
        json_object_set_new(json, "after", side_json(review, change->after));
    if (change->before != NULL && change->after != NULL) {
        json_object_set_new(json, "aspects", aspects_json(change));
        json_object_set_new(json, "inputs", inputs_json(review, change));
    }
    return json;
}

static void add_packages(const struct review *review, json_t *body)
{
    json_t *added = json_array(), *removed = json_array(), *changed = json_array();
    struct review_change *changes = NULL;
    size_t count = 0;
    if (review->before != NULL)
        review_packages(review->before, review->after, &changes, &count);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(changes[i].before == NULL  ? added
                              : changes[i].after == NULL ? removed
                                                         : changed,
                              change_json(review, &changes[i]));
    free(changes);
    size_t still = review->after->npackages - json_array_size(added) - json_array_size(changed);
    json_object_set_new(body, "unchanged", json_integer(review->before != NULL ? (json_int_t)still : 0));
    json_object_set_new(body, "added", added);
    json_object_set_new(body, "removed", removed);
    json_object_set_new(body, "changed", changed);
}

static json_t *dissent_json(const struct review *review)
{
    json_t *list = json_array();
    for (size_t i = 0; i < review->after->npackages; i++) {
        const struct release_package *package = &review->after->packages[i];
        if (package->dissent > 0)
            json_array_append_new(
                list, json_pack("{s:s, s:i}", "package", package->name, "dissent", (int)package->dissent));
    }
    return list;
}

/* ---- chains, as JSON ---- */

/* From the release, or for what it leaves out (held by the policy, but built upon) from the coordinator's own verdict. */
static struct review_link link_of(const struct review *review, const struct map *packages, size_t node)
{
    const struct plan_node *row = &review->plan_after->plan->nodes[node];
    const struct release_package *package = map_get(packages, view_text(row->id));
    struct review_link link = {.id = row->id, .closure = row->closure, .nclosure = row->nclosure};
    struct core_node_view view;
    if (package != NULL) {
        link.known = true;
        link.operators = (uint32_t)package->noperators;
        link.anchors = anchors_among(review, package);
        link.dissent = package->dissent;
    } else if (core_node(review->farm->core, &review->plan_after->id, node, &view) &&
               view.state == NODE_AGREED) {
        link.known = true;
        link.operators = view.verdict.operators;
        link.anchors = view.verdict.anchors;
        link.dissent = view.verdict.dissent;
    }
    return link;
}

static struct map *packages_by_node(const struct release *release)
{
    struct map *map = map_new();
    for (size_t i = 0; i < release->npackages; i++) {
        CLEANUP_FREE char *id = mem_format("%s/%s", release->packages[i].tier, release->packages[i].name);
        map_set(map, view_text(id), &release->packages[i]);
    }
    return map;
}

static json_t *weakest_json(const struct review *review)
{
    json_t *list = json_array();
    if (review->plan_after == NULL)
        return list;
    struct map *packages = packages_by_node(review->after);
    size_t count = review->plan_after->plan->nnodes;
    struct review_link *links = mem_zero(count + 1, sizeof *links);
    for (size_t i = 0; i < count; i++)
        links[i] = link_of(review, packages, i);
    for (size_t i = 0; i < count; i++) {
        const struct review_link *weakest = &links[review_weakest(links, i)];
        if (map_get(packages, view_text(links[i].id)) == NULL)
            continue;
        json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:i, s:i, s:i}", "package", links[i].id,
                                              "link", weakest->id, "known", (int)weakest->known, "operators",
                                              (int)weakest->operators, "anchors", (int)weakest->anchors,
                                              "dissent", (int)weakest->dissent));
    }
    free(links);
    map_free(packages);
    return list;
}

/* ---- the rest of the document ---- */

static void add_text(json_t *list, const char *what, const char *before, const char *after)
{
    if (strcmp(before, after) != 0)
        json_array_append_new(list,
                              json_pack("{s:s, s:s, s:s}", "what", what, "before", before, "after", after));
}

static void add_digest(json_t *list, const char *what, const struct digest *before,
                       const struct digest *after)
{
    add_text(list, what, digest_hex(before).text, digest_hex(after).text);
}

static json_t *header_json(const struct review *review)
{
    const struct release *before = review->before, *after = review->after;
    json_t *list = json_array();
    if (before == NULL)
        return list;
    add_text(list, "tree url", before->tree.url, after->tree.url);
    add_text(list, "tree commit", before->tree.commit, after->tree.commit);
    add_digest(list, "policy", &before->policy, &after->policy);
    add_digest(list, "base", &before->base, &after->base);
    add_text(list, "base built by quorum", before->base_verified ? "yes" : "no",
             after->base_verified ? "yes" : "no");
    add_digest(list, "trust root", &before->root, &after->root);
    add_digest(list, "worker directory", &before->workers, &after->workers);
    add_text(list, "log", before->has_log ? before->log.origin : "none",
             after->has_log ? after->log.origin : "none");
    return list;
}

static bool is_held(const struct release *release, const char *name)
{
    for (size_t i = 0; i < release->nheld; i++)
        if (strcmp(release->held[i].name, name) == 0)
            return true;
    return false;
}

/* Held here and not there. */
static json_t *held_json(const struct release *here, const struct release *there)
{
    json_t *list = json_array();
    for (size_t i = 0; i < here->nheld; i++)
        if (there == NULL || !is_held(there, here->held[i].name))
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "package", here->held[i].name, "reason", here->held[i].reason));
    return list;
}

static json_t *waivers_json(const struct release *release)
{
    json_t *list = json_array();
    for (size_t i = 0; i < release->nwaivers; i++) {
        const struct waiver *waiver = &release->waivers[i];
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s}", "package", waiver->package, "rule",
                                              waiver_rule_name(waiver->rule), "reason", waiver->reason,
                                              "expires", moment_format(waiver->expires_ms).text));
    }
    return list;
}

static json_t *against_json(const struct release *before)
{
    if (before == NULL)
        return json_null();
    return json_pack("{s:s, s:I, s:o}", "release", before->name, "sequence", (json_int_t)before->sequence,
                     "sha256", json_digest(&before->digest));
}

static json_t *review_json(struct review *review)
{
    const struct release *before = review->before, *after = review->after;
    json_t *body = json_pack(
        "{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:{s:o, s:o}, s:{s:O, s:O}, s:o, s:o, s:I, s:O}", "release",
        after->name, "state", review->state, "sequence", (json_int_t)after->sequence, "sha256",
        json_digest(&after->digest), "against", against_json(before), "header", header_json(review),
        "dissent", dissent_json(review), "weakest", weakest_json(review), "held", "came",
        held_json(after, before), "went", before != NULL ? held_json(before, after) : json_array(),
        "operators", "came", review->came, "went", review->went, "waivers", waivers_json(after), "findings",
        json_problems(&review->findings), "dropped", (json_int_t)review->findings.dropped, "unchecked",
        review->unchecked);
    add_packages(review, body);
    return body;
}

/* ---- the verb ---- */

void verb_release_review(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    struct review review = {.farm = farm,
                            .findings = PROBLEMS_INIT,
                            .unchecked = json_array(),
                            .came = json_array(),
                            .went = json_array(),
                            .diag = &diag};
    int result = load_both(&review, ctl_text(request, "release"), ctl_text(request, "against"));
    if (result >= 0)
        compare_trees(&review);
    if (result >= 0 && review.before != NULL) {
        compare_roots(&review);
        compare_directories(&review);
    }
    problems_sort(&review.findings);
    if (result >= 0)
        ctl_finish(request, review.findings.count > 0 ? FARM_EXIT_VIOLATION : FARM_EXIT_OK,
                   review_json(&review));
    else
        ctl_fail(request, result, &diag);
    problems_done(&review.findings);
    json_decref(review.unchecked);
    json_decref(review.came);
    json_decref(review.went);
    release_free(review.before);
    release_free(review.after);
}
