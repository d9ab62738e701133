/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "review.h"

#include "map.h"

#include <stdlib.h>

/* ---- packages ---- */

static bool same_operators(const struct release_package *a, const struct release_package *b)
{
    if (a->noperators != b->noperators)
        return false;
    for (size_t i = 0; i < a->noperators; i++) /* sorted */
        if (strcmp(a->operators[i], b->operators[i]) != 0)
            return false;
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

static unsigned int aspects_of(const struct release_package *before, const struct release_package *after)
{
    unsigned int aspects = 0;
    if (!same_text(before->version, after->version) || !same_text(before->release, after->release))
        aspects |= REVIEW_VERSION;
    if (!same_text(before->tier, after->tier) || !same_text(before->phase, after->phase))
        aspects |= REVIEW_TIER;
    if (!digest_equal(&before->job, &after->job))
        aspects |= REVIEW_INPUTS;
    if (!digest_equal(&before->payload, &after->payload))
        aspects |= REVIEW_PAYLOAD;
    if (!same_operators(before, after))
        aspects |= REVIEW_OPERATORS;
    if (before->dissent != after->dissent)
        aspects |= REVIEW_DISSENT;
    if (!same_text(before->gpu, after->gpu))
        aspects |= REVIEW_GPU;
    return aspects;
}

struct changes {
    struct review_change *items;
    size_t count, capacity;
};

static void add_change(struct changes *changes, const struct release_package *before,
                       const struct release_package *after, unsigned int aspects)
{
    changes->items =
        mem_reserve(changes->items, &changes->capacity, changes->count + 1, sizeof *changes->items);
    changes->items[changes->count++] = (struct review_change){before, after, aspects};
}

/* A package is its name: it keeps it when it moves to another tier. */
static struct map *by_name(const struct release *release)
{
    struct map *map = map_new();
    for (size_t i = 0; i < release->npackages; i++)
        map_set(map, view_text(release->packages[i].name), &release->packages[i]);
    return map;
}

void review_packages(const struct release *before, const struct release *after, struct review_change **ret,
                     size_t *ret_count)
{
    struct changes changes = {0};
    struct map *old = by_name(before), *new = by_name(after);
    for (size_t i = 0; i < after->npackages; i++) {
        const struct release_package *package = &after->packages[i];
        const struct release_package *then = map_get(old, view_text(package->name));
        unsigned int aspects = then != NULL ? aspects_of(then, package) : 0;
        if (then == NULL || aspects != 0)
            add_change(&changes, then, package, aspects);
    }
    for (size_t i = 0; i < before->npackages; i++)
        if (map_get(new, view_text(before->packages[i].name)) == NULL)
            add_change(&changes, &before->packages[i], NULL, 0);
    map_free(old);
    map_free(new);
    *ret = changes.items;
    *ret_count = changes.count;
}

/* ---- chains ---- */

/* Fewer operators, then fewer anchors, then more dissent; what is not known is weakest. */
static int compare_strength(const struct review_link *a, const struct review_link *b)
{
    if (a->known != b->known)
        return a->known ? 1 : -1;
    if (a->operators != b->operators)
        return a->operators < b->operators ? -1 : 1;
    if (a->anchors != b->anchors)
        return a->anchors < b->anchors ? -1 : 1;
    if (a->dissent != b->dissent)
        return a->dissent > b->dissent ? -1 : 1;
    return 0;
}

size_t review_weakest(const struct review_link *links, size_t link)
{
    size_t weakest = link;
    for (size_t i = 0; i < links[link].nclosure; i++) {
        size_t other = links[link].closure[i];
        int order = compare_strength(&links[other], &links[weakest]);
        if (order < 0 || (order == 0 && weakest != link && strcmp(links[other].id, links[weakest].id) < 0))
            weakest = other;
    }
    return weakest;
}
