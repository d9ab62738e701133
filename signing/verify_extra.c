/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is checked only when asked for: --tree derives plan and specs again from a checkout, --root compares an installed root with the
 * base and the payloads, in both directions.
 */
#include "verify_private.h"

#include "file.h"
#include "manifest.h"
#include "treedigest.h"

#include <fcntl.h>
#include <stdlib.h>

/* --- the tree --- */

static void derive_spec(struct verify_run *run, const struct tree *tree, const struct verify_job *job)
{
    const struct spec *spec = job->spec;
    const struct package *package = tree_find(tree, view_text(spec->name));
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE struct digest *payloads = mem_zero(spec->ndependencies + 1, sizeof *payloads);
    struct digest key;
    struct diag diag = DIAG_INIT;
    if (package == NULL) {
        verify_problem(run, job->file, "tree-package", "the tree has no package %s", spec->name);
        return;
    }
    for (size_t i = 0; i < spec->ndependencies; i++)
        payloads[i] = spec->dependencies[i].payload;
    struct spec_inputs inputs = {.tree = tree,
                                 .package = tree_index(tree, package),
                                 .base = spec->base,
                                 .payloads = payloads,
                                 .npayloads = spec->ndependencies,
                                 .epoch = spec->epoch};
    int result = spec_write(&inputs, &text, &key, &diag);
    if (result < 0)
        verify_failure(run, job->file, "tree-spec", result, &diag);
    else if (!digest_equal(&key, &spec->key))
        verify_problem(run, job->file, "tree-spec", "the tree gives %s the job key %s", spec->name,
                       digest_hex(&key).text);
}

/* K1, K6: order, closures, resources and rules too must be what the tree says, for the selection that the plan names. */
static void derive_plan(struct verify_run *run, const struct tree *tree)
{
    const struct text_list *selection = &run->plan->selection;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct plan *plan = NULL;
    struct diag diag = DIAG_INIT;
    int result = plan_make(tree, &run->plan->tree, &run->plan->base, (const char *const *)selection->items,
                           selection->count, &plan, &diag);
    if (result < 0) {
        verify_failure(run, RELEASE_PLAN, "tree-plan", result, &diag);
        return;
    }
    plan_write(plan, &text);
    struct digest digest = digest_of(buf_view(&text));
    if (!digest_equal(&digest, &run->release->plan))
        verify_problem(run, RELEASE_PLAN, "tree-plan",
                       "the tree gives another plan for this selection: one with SHA-256 %s",
                       digest_hex(&digest).text);
    plan_free(plan);
}

static int check_tree(struct verify_run *run, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, run->options->tree, diag);
    struct digest digest;
    struct tree *tree = NULL;
    struct problems problems = PROBLEMS_INIT;
    int result;
    if (dirfd < 0 || (result = treedigest_of_dir(dirfd, &digest, diag)) < 0)
        return dirfd < 0 ? dirfd : result;
    if (!digest_equal(&digest, &run->release->tree.sha256))
        verify_problem(run, RELEASE_FILE, "tree-digest",
                       "the checkout %s has tree digest %s, the release was made from %s", run->options->tree,
                       digest_hex(&digest).text, digest_hex(&run->release->tree.sha256).text);
    result = tree_load(dirfd, &tree, &problems, diag);
    for (size_t i = 0; i < problems.count; i++)
        verify_problem(run, problems.items[i].file, problems.items[i].rule, "tree: line %d: %s",
                       problems.items[i].line, problems.items[i].text);
    problems_done(&problems);
    if (result < 0)
        return result == FARM_E_REFUSED ? 0 : result;
    derive_plan(run, tree);
    for (size_t i = 0; i < run->njobs; i++)
        derive_spec(run, tree, &run->jobs[i]);
    tree_free(tree);
    return 0;
}

/* --- the root --- */

static void report_change(void *context, enum entry_change change, const struct entry *before,
                          const struct entry *after)
{
    struct verify_run *run = context;
    static const char *const words[] = {
        [CHANGE_ADDED] = "is in the chroot alone", [CHANGE_REMOVED] = "is missing in the chroot",
        [CHANGE_TYPE] = "is of another type",      [CHANGE_MODE] = "has another mode",
        [CHANGE_CONTENT] = "has other content",    [CHANGE_LINK] = "points elsewhere"};
    struct view path = before != NULL ? before->path : after->path;
    CLEANUP_FREE char *shown = mem_format("%s/%.*s", run->options->root, VIEW_ARG(path));
    verify_problem(run, shown, "root-entry", "%s", words[change]); /* S13 */
}

/* Later layers replace what lies below, but for the root directory itself, which is the base's. */
static void lay(struct map *places, const struct manifest *layer)
{
    for (size_t i = 0; i < layer->count; i++) {
        struct entry *entry = &layer->entries[i];
        if (entry->path.size > 0 || map_get(places, VIEW_NONE) == NULL)
            map_set(places, entry->path, entry);
    }
}

static int read_layer(struct verify_run *run, const char *file, struct manifest *ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (!verify_read(run, file, MANIFEST_SIZE_MAX, &text))
        return FARM_E_MISSING;
    return manifest_parse(buf_view(&text), ret, NULL);
}

static void collect(const struct map *places, struct manifest *ret)
{
    size_t cursor = 0;
    struct view path;
    void *entry;
    while (map_next(places, &cursor, &path, &entry))
        manifest_add(ret, entry);
}

static int expected_root(struct verify_run *run, struct manifest *ret, struct diag *diag)
{
    size_t count = run->plan->nnodes, used = 0;
    CLEANUP_FREE struct manifest *layers = mem_zero(count + 2, sizeof *layers);
    struct map *places = map_new(), *released = map_new();
    int result = read_layer(run, RELEASE_BASE, &layers[used++]);
    if (result >= 0)
        lay(places, &layers[0]);
    for (size_t i = 0; i < run->release->npackages; i++)
        map_set(released, view_text(run->release->packages[i].name), &run->release->packages[i]);
    for (size_t i = 0; i < count && result >= 0;
         i++) { /* the plan's order: a package stands behind what it depends on */
        const struct release_package *package = map_get(released, view_text(run->plan->nodes[i].name));
        if (package == NULL)
            continue;
        CLEANUP_FREE char *file = release_path(RELEASE_MANIFESTS, package, ".mtree");
        if ((result = read_layer(run, file, &layers[used++])) >= 0)
            lay(places, &layers[used - 1]);
    }
    if (result >= 0) {
        collect(places, ret);
        result = manifest_seal(ret, diag);
    }
    map_free(places);
    map_free(released);
    for (size_t i = 0; i < used; i++)
        manifest_done(&layers[i]);
    return result;
}

static int check_root(struct verify_run *run, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, run->options->root, diag);
    CLEANUP(manifest_done) struct manifest expected = MANIFEST_INIT;
    CLEANUP(manifest_done) struct manifest found = MANIFEST_INIT;
    struct diag detail = DIAG_INIT;
    int result;
    if (dirfd < 0)
        return dirfd;
    if ((result = expected_root(run, &expected, &detail)) < 0)
        verify_failure(run, RELEASE_MANIFESTS, "root-layers", result, &detail);
    else if ((result = manifest_scan(dirfd, &found, &detail)) < 0)
        verify_failure(run, run->options->root, "root-scan", result, &detail);
    else
        manifest_compare(&expected, &found, report_change, run);
    verify_note(run, "The chroot was compared with base and payloads: what post_install steps change shows "
                     "as a difference, because "
                     "this release has no agreed root manifest.");
    return 0;
}

int verify_extra(struct verify_run *run, struct diag *diag)
{
    int result = 0;
    if (run->options->tree != NULL)
        result = check_tree(run, diag);
    else
        verify_note(run, "Plan and specs were not derived again from the package tree (--tree).");
    if (result >= 0 && run->options->root != NULL)
        result = check_root(run, diag);
    return result;
}
