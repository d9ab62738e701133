/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "treegraph.h"

#include "map.h"
#include "names.h"

#include <stdlib.h>

static int find_compare(const void *key, const void *member)
{
    const struct view *name = key;
    return view_compare(*name, view_text(((const struct package *)member)->recipe->name));
}

static size_t find_name(const struct tree *tree, struct view name)
{
    const struct package *found = tree->npackages > 0 ? bsearch(&name, tree->packages, tree->npackages,
                                                                sizeof *tree->packages, find_compare)
                                                      : NULL;
    return found != NULL ? tree_index(tree, found) : SIZE_MAX;
}

/* The only recipe that says it ships under this name. */
static size_t find_shipped(const struct tree *tree, struct view name)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < tree->npackages; i++) {
        if (!text_list_has(&tree->packages[i].recipe->ships_as, name))
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX; /* two say so: nobody guesses which */
        found = i;
    }
    return found;
}

static size_t find_core(const struct tree *tree, struct view name)
{
    CLEANUP_FREE char *core = mem_format("%.*s-core", VIEW_ARG(name));
    return find_name(tree, view_text(core));
}

/* The only recipe called "<name><digits>". */
static size_t find_numbered(const struct tree *tree, struct view name)
{
    size_t found = SIZE_MAX;
    for (size_t i = 0; i < tree->npackages; i++) {
        struct view other = view_text(tree->packages[i].recipe->name);
        uint64_t number;
        if (!view_starts(other, name) ||
            !view_decimal(view_of(other.data + name.size, other.size - name.size), &number))
            continue;
        if (found != SIZE_MAX)
            return SIZE_MAX;
        found = i;
    }
    return found;
}

size_t tree_resolve(const struct tree *tree, struct view name, bool for_base, bool *ret_alias)
{
    size_t index = find_name(tree, name);
    *ret_alias = index == SIZE_MAX;
    if (index == SIZE_MAX)
        index = find_shipped(tree, name);
    if (index == SIZE_MAX)
        index = find_core(tree, name);
    if (index == SIZE_MAX && for_base)
        index = find_numbered(tree, name);
    return index;
}

const struct package *tree_find(const struct tree *tree, struct view name)
{
    const char *slash = name.size > 0 ? memchr(name.data, '/', name.size) : NULL;
    size_t skipped = slash != NULL ? (size_t)(slash - name.data) + 1 : 0;
    size_t index = find_name(tree, view_of(name.data + skipped, name.size - skipped));
    if (index == SIZE_MAX)
        return NULL;
    const struct package *package = &tree->packages[index];
    if (slash != NULL && !view_equal(view_of(name.data, skipped - 1), view_text(package->recipe->tier)))
        return NULL;
    return package;
}

static void unknown_dependency(const struct tree *tree, const struct package *package,
                               const struct located *wanted, struct problems *problems)
{
    struct nearest nearest = nearest_to(view_text(wanted->text));
    bool kept = problems != NULL && problems->count < PROBLEMS_MAX;
    for (size_t i = 0; kept && i < tree->npackages; i++)
        nearest_offer(&nearest, tree->packages[i].recipe->name);
    (void)problems_add(
        problems, package->recipe->file, wanted->line, "unknown-dependency",
        "%s depends on \"%s\", which no recipe builds%s%s%s", package->recipe->name, wanted->text,
        nearest.best != NULL ? "; did you mean \"" : "; add its recipe or remove the dependency",
        nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
}

static void note_alias(struct tree *tree, size_t *capacity, const struct package *package, const char *wanted,
                       size_t resolved)
{
    for (size_t i = tree->naliases; i-- > 0;)
        if (strcmp(tree->aliases[i].package, package->recipe->name) != 0)
            break;
        else if (strcmp(tree->aliases[i].wanted, wanted) == 0)
            return; /* the same name among build and host */
    tree->aliases = mem_reserve(tree->aliases, capacity, tree->naliases + 1, sizeof *tree->aliases);
    tree->aliases[tree->naliases++] = (struct alias_used){
        .wanted = mem_string(wanted),
        .resolved = mem_string(tree->packages[resolved].recipe->name),
        .package = mem_string(package->recipe->name),
    };
}

static int index_compare(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    return (a > b) - (a < b);
}

/* Packages are sorted by name, so sorting indexes sorts names. */
static size_t sort_unique(size_t *items, size_t count)
{
    if (count == 0)
        return 0;
    qsort(items, count, sizeof *items, index_compare);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (items[i] != items[kept - 1])
            items[kept++] = items[i];
    return kept;
}

struct resolver {
    struct tree *tree;
    size_t aliases_capacity;
    const struct map *broken;
    struct problems *problems;
};

static size_t resolve_list(struct resolver *resolver, const struct package *package,
                           const struct text_list *names, size_t *ret)
{
    size_t count = 0;
    for (size_t i = 0; i < names->count; i++) {
        bool alias;
        struct view name = view_text(names->items[i].text);
        size_t index = tree_resolve(resolver->tree, name, package->in_base, &alias);
        if (index != SIZE_MAX) {
            ret[count++] = index;
            if (alias)
                note_alias(resolver->tree, &resolver->aliases_capacity, package, names->items[i].text, index);
        } else if (map_get(resolver->broken, name) == NULL) {
            unknown_dependency(resolver->tree, package, &names->items[i], resolver->problems);
        }
    }
    return count;
}

static void resolve_package(struct resolver *resolver, struct package *package)
{
    const struct recipe *recipe = package->recipe;
    package->build_deps = mem_zero(recipe->build.count + recipe->host.count, sizeof *package->build_deps);
    size_t count = resolve_list(resolver, package, &recipe->build, package->build_deps);
    count += resolve_list(resolver, package, &recipe->host, package->build_deps + count);
    package->nbuild_deps = sort_unique(package->build_deps, count);
    package->runtime_deps = mem_zero(recipe->runtime.count, sizeof *package->runtime_deps);
    count = resolve_list(resolver, package, &recipe->runtime, package->runtime_deps);
    package->nruntime_deps = sort_unique(package->runtime_deps, count);
}

/* Both lists of a package's edges as one. */
static size_t edge_count(const struct package *package)
{
    return package->nbuild_deps + package->nruntime_deps;
}

static size_t edge_at(const struct package *package, size_t i)
{
    return i < package->nbuild_deps ? package->build_deps[i]
                                    : package->runtime_deps[i - package->nbuild_deps];
}

/*
 * Kahn's order over all edges. 'left' counts what each package still waits for; users[first[i] .. first[i +
 * 1]) are the packages that wait for i.
 */
struct peeling {
    struct tree *tree;
    size_t *left, *first, *users, *queue;
    bool *done;
    size_t queued;
};

static void peeling_done(struct peeling *peeling)
{
    free(peeling->left);
    free(peeling->first);
    free(peeling->users);
    free(peeling->queue);
    free(peeling->done);
}

static void peeling_init(struct peeling *peeling, struct tree *tree)
{
    size_t n = tree->npackages;
    *peeling = (struct peeling){.tree = tree,
                                .left = mem_zero(n, sizeof(size_t)),
                                .first = mem_zero(n + 2, sizeof(size_t)),
                                .queue = mem_zero(n, sizeof(size_t)),
                                .done = mem_zero(n, sizeof(bool))};
    for (size_t i = 0; i < n; i++) {
        peeling->left[i] = edge_count(&tree->packages[i]);
        for (size_t k = 0; k < peeling->left[i]; k++)
            peeling->first[edge_at(&tree->packages[i], k) + 2]++;
    }
    for (size_t i = 2; i < n + 2; i++)
        peeling->first[i] += peeling->first[i - 1];
    peeling->users = mem_zero(peeling->first[n + 1], sizeof(size_t));
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < edge_count(&tree->packages[i]); k++)
            peeling->users[peeling->first[edge_at(&tree->packages[i], k) + 1]++] = i;
}

/* Depth counts what the farm builds; what lies in the base, or behind it, is no part of any chain. */
static void raise_depth(struct tree *tree, size_t user, size_t dependency)
{
    struct package *package = &tree->packages[user];
    const struct package *below = &tree->packages[dependency];
    if (!package->in_base && !below->in_base && below->depth + 1 > package->depth)
        package->depth = below->depth + 1;
}

static void peel(struct peeling *peeling, size_t index)
{
    peeling->done[index] = true;
    for (size_t k = peeling->first[index]; k < peeling->first[index + 1]; k++) {
        size_t user = peeling->users[k];
        raise_depth(peeling->tree, user, index);
        if (--peeling->left[user] == 0 && !peeling->done[user])
            peeling->queue[peeling->queued++] = user;
    }
}

/* The line on which 'package' names the dependency 'index'. */
static int edge_line(const struct tree *tree, const struct package *package, size_t index)
{
    const struct text_list *lists[] = {&package->recipe->build, &package->recipe->host,
                                       &package->recipe->runtime};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        for (size_t k = 0; k < lists[i]->count; k++) {
            bool alias;
            if (tree_resolve(tree, view_text(lists[i]->items[k].text), package->in_base, &alias) == index)
                return lists[i]->items[k].line;
        }
    return 0;
}

/* Follows the first edge that is still in the way until a package comes back; 'seen' holds steps plus one. */
static size_t walk_cycle(const struct peeling *peeling, size_t start, size_t *path, size_t *seen)
{
    size_t steps = 0;
    for (size_t at = start; seen[at] == 0;) {
        const struct package *package = &peeling->tree->packages[at];
        path[steps++] = at;
        seen[at] = steps;
        for (size_t k = 0; k < edge_count(package); k++)
            if (!peeling->done[edge_at(package, k)]) {
                at = edge_at(package, k);
                break;
            }
        path[steps] = at;
    }
    return steps;
}

static void report_cycle(struct peeling *peeling, size_t start, struct problems *problems)
{
    struct tree *tree = peeling->tree;
    CLEANUP_FREE size_t *path = mem_zero(tree->npackages + 1, sizeof *path);
    CLEANUP_FREE size_t *seen = mem_zero(tree->npackages, sizeof *seen);
    size_t steps = walk_cycle(peeling, start, path, seen);
    size_t begin = seen[path[steps]] - 1, least = begin;
    for (size_t i = begin; i < steps; i++)
        if (path[i] < path[least])
            least = i;
    CLEANUP_BUF struct buf text = BUF_INIT;
    size_t length = steps - begin;
    for (size_t i = 0; i <= length; i++)
        buf_add_format(&text, "%s%s", i > 0 ? " -> " : "",
                       tree->packages[path[begin + (least - begin + i) % length]].recipe->name);
    const struct package *package = &tree->packages[path[least]];
    size_t next = path[begin + (least - begin + 1) % length];
    (void)problems_add(problems, package->recipe->file, edge_line(tree, package, next), "dependency-cycle",
                       "a cycle of dependencies: %s; remove one of them, or split a package into two passes",
                       text.data);
    for (size_t i = begin; i < steps; i++)
        peel(peeling, path[i]);
}

static void drain(struct peeling *peeling, size_t *next)
{
    while (*next < peeling->queued) {
        size_t index = peeling->queue[(*next)++];
        if (!peeling->done[index])
            peel(peeling, index);
    }
}

/* Every package is peeled in the end; what does not peel by itself waits for a cycle, or lies on one. */
static void find_depths(struct tree *tree, struct problems *problems)
{
    struct peeling peeling;
    size_t next = 0;
    peeling_init(&peeling, tree);
    for (size_t i = 0; i < tree->npackages; i++) {
        tree->packages[i].depth = tree->packages[i].in_base ? 0 : 1;
        if (peeling.left[i] == 0)
            peeling.queue[peeling.queued++] = i;
    }
    drain(&peeling, &next);
    for (size_t i = 0; i < tree->npackages; i++)
        while (!peeling.done[i]) {
            report_cycle(&peeling, i, problems);
            drain(&peeling, &next);
        }
    peeling_done(&peeling);
}

struct ranked {
    uint32_t depth;
    size_t index;
};

static int ranked_compare(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->depth != b->depth)
        return a->depth < b->depth ? -1 : 1;
    return (a->index > b->index) - (a->index < b->index);
}

static void find_ranks(struct tree *tree)
{
    CLEANUP_FREE struct ranked *order = mem_zero(tree->npackages, sizeof *order);
    for (size_t i = 0; i < tree->npackages; i++)
        order[i] = (struct ranked){.depth = tree->packages[i].depth, .index = i};
    if (tree->npackages > 1)
        qsort(order, tree->npackages, sizeof *order, ranked_compare);
    for (size_t i = 0; i < tree->npackages; i++)
        tree->packages[order[i].index].rank = (uint32_t)i;
}

void treegraph_build(struct tree *tree, const struct map *broken, struct problems *problems)
{
    struct resolver resolver = {.tree = tree, .broken = broken, .problems = problems};
    for (size_t i = 0; i < tree->npackages; i++)
        resolve_package(&resolver, &tree->packages[i]);
    find_depths(tree, problems);
    find_ranks(tree);
}
