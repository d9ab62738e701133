/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "treereview.h"

struct review {
    const struct recipe *before, *after;
    struct problems *findings;
};

static void find(const struct review *review, int line, const char *rule, const char *what,
                 const char *detail)
{
    (void)problems_add(review->findings, review->after->file, line, rule, "%s: %s%s; since version %s-%s",
                       review->after->name, what, detail, review->before->version, review->before->release);
}

/* Build systems say "no" in few ways. */
static bool disables(struct view flag)
{
    static const char *const starts[] = {"--disable-", "--without-", "--no-"};
    static const char *const ends[] = {"=OFF", "=off", "=disabled", "=false", "=FALSE", "=no", "=NO", "=0"};
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++)
        if (view_starts(flag, view_text(starts[i])))
            return true;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (view_ends(flag, view_text(ends[i])))
            return true;
    return false;
}

static void review_flags(const struct review *review)
{
    const struct text_list *flags = &review->after->configure_flags;
    for (size_t i = 0; i < flags->count; i++) {
        struct view flag = view_text(flags->items[i].text);
        if (disables(flag) && !text_list_has(&review->before->configure_flags, flag))
            find(review, flags->items[i].line, "feature-disabled", "gained the flag ", flags->items[i].text);
    }
}

static void review_paths(const struct review *review)
{
    const struct text_list *paths = &review->before->verify_paths;
    for (size_t i = 0; i < paths->count; i++)
        if (!text_list_has(&review->after->verify_paths, view_text(paths->items[i].text)))
            find(review, review->after->line_name, "verify-path-lost", "no longer promises ",
                 paths->items[i].text);
}

static void review_recipe(const struct review *review)
{
    const struct recipe *before = review->before, *after = review->after;
    if (strcmp(before->tier, after->tier) != 0)
        find(review, after->line_tier, "tier-moved", "moved here from tier ", before->tier);
    if (before->tests_enabled && !after->tests_enabled)
        find(review, after->line_name, "tests-disabled", "its tests are no longer run", "");
    if (before->tests_failure_policy == NULL && after->tests_failure_policy != NULL)
        find(review, after->line_name, "tests-tolerated",
             "its tests may fail now: ", after->tests_failure_policy);
    if (after->nvalidations < before->nvalidations)
        find(review, after->line_name, "validation-lost", "has fewer validation steps", "");
    if (!before->direct_install && after->direct_install)
        find(review, after->line_name, "direct-install-gained", "now writes into the live root", "");
    if (!before->skip_tracking && after->skip_tracking)
        find(review, after->line_name, "tracking-lost", "is no longer tracked", "");
    review_paths(review);
    review_flags(review);
}

size_t treereview_compare(const struct tree *before, const struct tree *after, struct problems *findings)
{
    size_t known = findings->count + findings->dropped;
    for (size_t i = 0; i < before->npackages; i++) {
        const struct recipe *recipe = before->packages[i].recipe;
        const struct package *now = tree_find(after, view_text(recipe->name));
        struct review review = {recipe, now != NULL ? now->recipe : NULL, findings};
        if (now != NULL)
            review_recipe(&review);
        else
            (void)problems_add(findings, recipe->file, 0, "package-removed", "%s is gone from the tree",
                               recipe->name);
    }
    size_t count = findings->count + findings->dropped - known;
    problems_sort(findings);
    return count;
}
