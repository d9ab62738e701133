/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "closure.h"

#include "map.h"

#include <stdlib.h>

/* Who laid a path last. */
struct owner {
    const struct closure_layer *layer;
    const struct entry *entry;
};

struct check {
    const struct manifest *base;
    struct map *owners; /* path -> struct owner, in 'all' */
    struct owner **all;
    size_t count, capacity;
    struct closure_removals removals;
};

static const char *type_name(enum entry_type type)
{
    switch (type) {
    case ENTRY_DIR:
        return "directory";
    case ENTRY_FILE:
        return "file";
    case ENTRY_LINK:
        return "link";
    }
    return "?";
}

static int refuse_types(const struct closure_layer *layer, const struct entry *entry, const char *whose,
                        enum entry_type below, struct diag *diag)
{
    return diag_set(diag, FARM_E_REFUSED,
                    "%s brings the %s ./%.*s, which is a %s in %s: laying one over the other would hide what "
                    "is there; install "
                    "it elsewhere (./usr/lib instead of ./lib)",
                    layer->package, type_name(entry->type), VIEW_ARG(entry->path), type_name(below), whose);
}

static bool same_entry(const struct entry *a, const struct entry *b)
{
    if (a->type != b->type || a->mode != b->mode)
        return false;
    return a->type == ENTRY_LINK ? view_equal(a->link, b->link)
                                 : a->size == b->size && digest_equal(&a->sha256, &b->sha256);
}

static bool supersedes(const struct closure_layer *layer, const char *package)
{
    for (size_t i = 0; i < layer->nsupersedes; i++)
        if (strcmp(layer->supersedes[i], package) == 0)
            return true;
    return false;
}

static void add_removal(struct closure_removals *list, size_t layer, struct view path)
{
    list->items = mem_reserve(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = (struct closure_removal){layer, path};
}

static int check_base(const struct check *check, const struct closure_layer *layer, const struct entry *entry,
                      struct diag *diag)
{
    const struct entry *below = manifest_find(check->base, entry->path);
    if (below == NULL || (below->type == ENTRY_DIR) == (entry->type == ENTRY_DIR))
        return 0;
    return refuse_types(layer, entry, "the base", below->type, diag);
}

static int check_owner(struct check *check, const struct closure_layer *layer, size_t index,
                       const struct entry *entry, const struct owner *owner, struct diag *diag)
{
    if ((owner->entry->type == ENTRY_DIR) != (entry->type == ENTRY_DIR))
        return refuse_types(layer, entry, owner->layer->package, owner->entry->type, diag);
    if (entry->type == ENTRY_DIR || same_entry(owner->entry, entry))
        return 0;
    if (!supersedes(layer, owner->layer->package))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s and %s both bring ./%.*s, and not the same one; if %s is meant to replace it, "
                        "its recipe must list "
                        "%s under \"supersedes\"",
                        owner->layer->package, layer->package, VIEW_ARG(entry->path), layer->package,
                        owner->layer->package);
    add_removal(&check->removals, index, entry->path);
    return 0;
}

static void take_over(struct check *check, struct owner *owner, const struct closure_layer *layer,
                      const struct entry *entry)
{
    if (owner == NULL) {
        owner = mem_alloc(sizeof *owner);
        check->all = mem_reserve(check->all, &check->capacity, check->count + 1, sizeof(struct owner *));
        check->all[check->count++] = owner;
        map_set(check->owners, entry->path, owner);
    }
    *owner = (struct owner){layer, entry};
}

static int check_layer(struct check *check, const struct closure_layer *layer, size_t index,
                       struct diag *diag)
{
    for (size_t i = 0; i < layer->manifest->count; i++) {
        const struct entry *entry = &layer->manifest->entries[i];
        struct owner *owner = map_get(check->owners, entry->path);
        int error = check_base(check, layer, entry, diag);
        if (error >= 0 && owner != NULL)
            error = check_owner(check, layer, index, entry, owner, diag);
        if (error < 0)
            return error;
        take_over(check, owner, layer, entry);
    }
    return 0;
}

int closure_check(const struct manifest *base, const struct closure_layer *layers, size_t nlayers,
                  struct closure_removals *ret, struct diag *diag)
{
    struct check check = {.base = base, .owners = map_new()};
    int error = 0;
    for (size_t i = 0; error >= 0 && i < nlayers; i++)
        error = check_layer(&check, &layers[i], i, diag);
    for (size_t i = 0; i < check.count; i++)
        free(check.all[i]);
    free(check.all);
    map_free(check.owners);
    if (error < 0)
        closure_removals_done(&check.removals);
    else
        *ret = check.removals;
    return error;
}

void closure_removals_done(struct closure_removals *removals)
{
    free(removals->items);
    *removals = (struct closure_removals){0};
}
