/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "treepins.h"

#include "names.h"

#include <stdlib.h>

static const char lock_file[] = "farm/farm.lock";

static void pin_from_recipe(struct pin *ret, const struct recipe_source *source, bool first)
{
    *ret = (struct pin){.kind = PIN_ARCHIVE,
                        .url = mem_string(source->url),
                        .filename = mem_string(source->filename),
                        .digest = source->sha256,
                        .epoch = -1,
                        .into = first ? mem_string(".") : NULL};
}

/* The lock and the recipe may both name an archive's digest; then it must be the same one. */
static void check_agreement(const struct recipe *recipe, size_t index, const struct pin *pin,
                            struct problems *problems)
{
    const struct recipe_source *source = &recipe->sources[index];
    if (pin->kind == PIN_ARCHIVE && source->has_sha256 && !digest_equal(&pin->digest, &source->sha256))
        (void)problems_add(
            problems, lock_file, pin->line, "pin-conflict",
            "%s[%zu].sha256 differs from source[%zu].sha256 in %s:%d; find out which bytes are meant "
            "and correct the other",
            recipe->name, index, index, recipe->file, source->line);
}

static void missing_pin(const struct recipe *recipe, int line, struct problems *problems, const char *field,
                        const char *remedy)
{
    (void)problems_add(problems, recipe->file, line, "pin-missing", "%s: %s is not pinned; %s", recipe->name,
                       field, remedy);
}

static void take_source(struct package *package, const struct lock_entry *entry, size_t index,
                        struct problems *problems)
{
    const struct recipe *recipe = package->recipe;
    bool locked = entry != NULL && index < entry->npins;
    const struct recipe_source *source = index < recipe->nsources ? &recipe->sources[index] : NULL;
    if (locked) {
        pin_copy(&package->pins[package->npins++], &entry->pins[index]);
        if (source != NULL)
            check_agreement(recipe, index, &entry->pins[index], problems);
    } else if (source != NULL && entry != NULL) {
        CLEANUP_FREE char *field = mem_format("source[%zu]", index);
        missing_pin(
            recipe, source->line, problems, field,
            "its entry in farm/farm.lock lists fewer sources than the recipe; an entry lists all of them");
    } else if (source != NULL && source->has_sha256) {
        pin_from_recipe(&package->pins[package->npins++], source, index == 0);
    } else if (source != NULL) {
        CLEANUP_FREE char *field = mem_format("source[%zu].sha256", index);
        missing_pin(recipe, source->line, problems, field,
                    "give the archive's sha256 here, or run \"farmctl pin\" to write it to farm/farm.lock");
    }
}

/* A build style with nothing to build, and no script that could know better. */
static void check_nothing(const struct package *package, struct problems *problems)
{
    const struct recipe *recipe = package->recipe;
    if (package->npins == 0 && recipe->nsources == 0 && recipe->style != STYLE_CUSTOM &&
        !recipe->has_build_sh)
        missing_pin(recipe, recipe->line_name, problems, "source[0]",
                    "the recipe names no source and has no build.sh; pin a commit in farm/farm.lock with "
                    "\"farmctl pin\"");
}

static void take_package(const struct tree *tree, struct package *package, struct problems *problems)
{
    const struct recipe *recipe = package->recipe;
    const struct lock_entry *entry = lock_find(tree->lock, recipe->name);
    size_t locked = entry != NULL ? entry->npins : 0;
    size_t count = locked > recipe->nsources ? locked : recipe->nsources;
    package->pins = mem_zero(count, sizeof *package->pins);
    for (size_t i = 0; i < count; i++)
        take_source(package, entry, i, problems);
    check_nothing(package, problems);
    package->epoch = package->npins > 0 ? package->pins[0].epoch : TREE_EPOCH_NOTHING;
}

static void check_known(const struct tree *tree, const char *name, int line, const char *file,
                        const char *rule, struct problems *problems)
{
    if (tree_find(tree, view_text(name)) != NULL)
        return;
    struct nearest nearest = nearest_to(view_text(name));
    for (size_t i = 0; i < tree->npackages; i++)
        nearest_offer(&nearest, tree->packages[i].recipe->name);
    (void)problems_add(problems, file, line, rule, "\"%s\" is no package of this tree%s%s%s", name,
                       nearest.best != NULL ? "; did you mean \"" : "; remove the entry",
                       nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
}

void treepins_build(struct tree *tree, struct problems *problems)
{
    for (size_t i = 0; i < tree->npackages; i++)
        if (!tree->packages[i].in_base)
            take_package(tree, &tree->packages[i], problems);
    for (size_t i = 0; tree->lock != NULL && i < tree->lock->count; i++)
        check_known(tree, tree->lock->entries[i].package, tree->lock->entries[i].line, lock_file,
                    "lock-unknown-package", problems);
    const struct text_list *named = tree->policy != NULL ? policy_packages(tree->policy) : NULL;
    for (size_t i = 0; named != NULL && i < named->count; i++)
        check_known(tree, named->items[i].text, named->items[i].line, "farm/policy.yml",
                    "policy-unknown-package", problems);
    named = resources_packages(tree->resources);
    for (size_t i = 0; i < named->count; i++)
        check_known(tree, named->items[i].text, named->items[i].line, "farm/resources.yml",
                    "resources-unknown-package", problems);
}
