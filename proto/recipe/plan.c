/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "plan.h"

#include "names.h"

#include <stdlib.h>

struct plan *plan_free(struct plan *plan)
{
    if (plan == NULL)
        return NULL;
    for (size_t i = 0; i < plan->nnodes; i++) {
        struct plan_node *node = &plan->nodes[i];
        free(node->id);
        free(node->name);
        free(node->tier);
        free(node->version);
        free(node->release);
        free(node->dependencies);
        free(node->closure);
    }
    free(plan->nodes);
    free(plan->tree.url);
    text_list_done(&plan->selection);
    free(plan);
    return NULL;
}

/* Packages picked by selectors, each once. */
struct picked {
    const struct tree *tree;
    bool *taken;
    size_t *packages;
    size_t count;
};

static void pick(struct picked *picked, size_t package)
{
    if (picked->taken[package] || picked->tree->packages[package].in_base)
        return;
    picked->taken[package] = true;
    picked->packages[picked->count++] = package;
}

static int unknown_tier(const struct tree *tree, const char *selector, struct view tier, struct diag *diag)
{
    const struct text_list *tiers = resources_tiers(tree->resources);
    struct nearest nearest = nearest_to(tier);
    for (size_t i = 0; i < tiers->count; i++)
        nearest_offer(&nearest, tiers->items[i].text);
    return diag_set(diag, FARM_E_UNKNOWN,
                    "selector \"%s\": no package of this tree is in tier \"%.*s\"%s%s%s", selector,
                    VIEW_ARG(tier), nearest.best != NULL ? "; did you mean \"" : "",
                    nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
}

static int pick_tier(struct picked *picked, const char *selector, struct view tier, struct diag *diag)
{
    const struct tree *tree = picked->tree;
    bool found = false;
    if (text_list_has(resources_base_tiers(tree->resources), tier))
        return diag_set(diag, FARM_E_REFUSED,
                        "selector \"%s\": tier \"%.*s\" is the base and is not built by the farm", selector,
                        VIEW_ARG(tier));
    for (size_t i = 0; i < tree->npackages; i++)
        if (view_equal(view_text(tree->packages[i].recipe->tier), tier)) {
            pick(picked, i);
            found = true;
        }
    return found ? 0 : unknown_tier(tree, selector, tier, diag);
}

static int pick_package(struct picked *picked, const char *selector, struct diag *diag)
{
    const struct tree *tree = picked->tree;
    const struct package *package = tree_find(tree, view_text(selector));
    if (package == NULL) {
        struct nearest nearest = nearest_to(view_text(selector));
        for (size_t i = 0; i < tree->npackages; i++)
            nearest_offer(&nearest, tree->packages[i].recipe->name);
        return diag_set(diag, FARM_E_UNKNOWN, "selector \"%s\": no such package%s%s%s", selector,
                        nearest.best != NULL ? "; did you mean \"" : "",
                        nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
    }
    if (package->in_base)
        return diag_set(diag, FARM_E_REFUSED,
                        "selector \"%s\": it belongs to the base (tier %s) and is not built by the farm",
                        selector, package->recipe->tier);
    pick(picked, tree_index(tree, package));
    return 0;
}

static int pick_selector(struct picked *picked, const char *selector, struct diag *diag)
{
    struct view text = view_text(selector);
    if (view_equal(text, VIEW("all"))) {
        for (size_t i = 0; i < picked->tree->npackages; i++)
            pick(picked, i);
        return 0;
    }
    if (view_starts(text, VIEW("tier:")))
        return pick_tier(picked, selector, view_of(text.data + 5, text.size - 5), diag);
    if (view_starts(text, VIEW("phase:")))
        return pick_tier(picked, selector, view_of(text.data + 6, text.size - 6), diag);
    return pick_package(picked, selector, diag);
}

static int pick_all(struct picked *picked, const char *const *selectors, size_t nselectors, struct diag *diag)
{
    int status = nselectors == 0 ? pick_selector(picked, "all", diag) : 0;
    for (size_t i = 0; status >= 0 && i < nselectors; i++)
        status = pick_selector(picked, selectors[i], diag);
    if (status >= 0 && picked->count == 0)
        return diag_set(diag, FARM_E_MISSING,
                        "nothing to build: the selection holds no package outside of the base");
    return status;
}

/* Sorted, each once: the same selection typed in another order is the same plan. */
static void note_selection(struct plan *plan, const char *const *selectors, size_t nselectors)
{
    struct text_list sorted = {0};
    for (size_t i = 0; i < nselectors; i++)
        text_list_add(&sorted, view_text(selectors[i]), 0);
    if (nselectors == 0)
        text_list_add(&sorted, VIEW("all"), 0);
    text_list_sort(&sorted);
    for (size_t i = 0; i < sorted.count; i++)
        if (i == 0 || strcmp(sorted.items[i].text, sorted.items[i - 1].text) != 0)
            text_list_add(&plan->selection, view_text(sorted.items[i].text), 0);
    text_list_done(&sorted);
}

static void fill_node(struct plan_node *node, const struct package *package)
{
    const struct recipe *recipe = package->recipe;
    *node = (struct plan_node){.id = mem_format("%s/%s", recipe->tier, recipe->name),
                               .name = mem_string(recipe->name),
                               .tier = mem_string(recipe->tier),
                               .version = mem_string(recipe->version),
                               .release = mem_string(recipe->release),
                               .resources = package->resources,
                               .rules = package->rules};
}

/*
 * From the last member of the closure to the first: who is not covered yet is waited for, and covers its own
 * closure. 'covered' is scratch of one flag a node, clear before and after.
 */
static void reduce(struct plan *plan, size_t index, bool *covered)
{
    struct plan_node *node = &plan->nodes[index];
    node->dependencies = mem_zero(node->nclosure, sizeof *node->dependencies);
    for (size_t i = node->nclosure; i-- > 0;) {
        const struct plan_node *member = &plan->nodes[node->closure[i]];
        if (covered[node->closure[i]])
            continue;
        node->dependencies[node->ndependencies++] = node->closure[i];
        for (size_t k = 0; k < member->nclosure; k++)
            covered[member->closure[k]] = true;
    }
    for (size_t i = 0; i < node->nclosure; i++)
        covered[node->closure[i]] = false;
    for (size_t i = 0, k = node->ndependencies; i + 1 < k; i++) { /* found backwards */
        size_t swap = node->dependencies[i];
        node->dependencies[i] = node->dependencies[--k];
        node->dependencies[k] = swap;
    }
}

/*
 * Closures of all nodes in one pass: a row of bits for each node says what it brings along into the root of
 * whoever needs it: itself, and the rows of all its edges. Nodes stand behind what they depend on, so the
 * rows below are complete, and bits come out in the order of tree_closure.
 */
struct rows {
    const struct tree *tree;
    const size_t *places; /* of packages among the nodes */
    uint64_t *bits;
    size_t words; /* of one row */
};

static void add_rows(const struct rows *rows, const size_t *edges, size_t count, uint64_t *row)
{
    for (size_t i = 0; i < count; i++) {
        if (rows->tree->packages[edges[i]].in_base)
            continue;
        const uint64_t *other = rows->bits + rows->places[edges[i]] * rows->words;
        for (size_t k = 0; k < rows->words; k++)
            row[k] |= other[k];
    }
}

static void take_bits(const struct rows *rows, const uint64_t *row, struct plan_node *node)
{
    size_t count = 0;
    for (size_t k = 0; k < rows->words; k++)
        count += (size_t)__builtin_popcountll(row[k]);
    node->closure = mem_zero(count, sizeof *node->closure);
    for (size_t k = 0; k < rows->words; k++)
        for (uint64_t left = row[k]; left != 0; left &= left - 1)
            node->closure[node->nclosure++] = k * 64 + (size_t)__builtin_ctzll(left);
}

static void fill_nodes(struct plan *plan, const struct tree *tree, const size_t *packages)
{
    size_t words = (plan->nnodes + 63) / 64;
    CLEANUP_FREE size_t *places = mem_zero(tree->npackages, sizeof *places);
    CLEANUP_FREE bool *covered = mem_zero(plan->nnodes, sizeof *covered);
    CLEANUP_FREE uint64_t *bits = mem_zero(plan->nnodes, words * sizeof *bits);
    struct rows rows = {tree, places, bits, words};
    for (size_t i = 0; i < plan->nnodes; i++)
        places[packages[i]] = i;
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct package *package = &tree->packages[packages[i]];
        uint64_t *row = bits + i * words;
        fill_node(&plan->nodes[i], package);
        add_rows(&rows, package->build_deps, package->nbuild_deps, row);
        take_bits(&rows, row, &plan->nodes[i]);
        add_rows(&rows, package->runtime_deps, package->nruntime_deps, row);
        row[i / 64] |= (uint64_t)1 << i % 64;
        reduce(plan, i, covered);
    }
}

static struct digest plan_digest(const struct plan *plan)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    plan_write(plan, &text);
    return digest_of(buf_view(&text));
}

int plan_make(const struct tree *tree, const struct tree_pin *pin, const struct digest *base,
              const char *const *selectors, size_t nselectors, struct plan **ret, struct diag *diag)
{
    CLEANUP_FREE bool *taken = mem_zero(tree->npackages, sizeof *taken);
    CLEANUP_FREE size_t *roots = mem_zero(tree->npackages, sizeof *roots);
    CLEANUP_FREE size_t *packages = NULL;
    struct picked picked = {.tree = tree, .taken = taken, .packages = roots};
    int status = pick_all(&picked, selectors, nselectors, diag);
    if (status < 0)
        return status;
    struct plan *plan = mem_zero(1, sizeof *plan);
    plan->tree = *pin;
    plan->tree.url = mem_string(pin->url != NULL ? pin->url : "");
    plan->lock = tree->lock_digest;
    plan->policy = tree->policy_digest;
    plan->base = *base;
    note_selection(plan, selectors, nselectors);
    tree_reach(tree, picked.packages, picked.count, &packages, &plan->nnodes);
    plan->nodes = mem_zero(plan->nnodes, sizeof *plan->nodes);
    fill_nodes(plan, tree, packages);
    plan->id = plan_digest(plan);
    *ret = plan;
    return 0;
}

int plan_check(const struct plan *plan, const struct tree *tree, struct problems *problems)
{
    int status = 0;
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct package *package = tree_find(tree, view_text(plan->nodes[i].name));
        if (package != NULL && package->epoch < 0)
            status =
                problems_add(problems, package->recipe->file, package->recipe->line_name, "epoch-missing",
                             "%s: farm/farm.lock gives no epoch for source[0]; \"farmctl pin %s\" writes it",
                             plan->nodes[i].name, plan->nodes[i].name);
    }
    return status;
}

size_t plan_find(const struct plan *plan, struct view name)
{
    for (size_t i = 0; i < plan->nnodes; i++)
        if (view_equal(name, view_text(plan->nodes[i].name)) ||
            view_equal(name, view_text(plan->nodes[i].id)))
            return i;
    return SIZE_MAX;
}
