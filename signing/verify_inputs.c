/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What was to be built: policy, lock, base, plan, and the job specs; each by digest, and in agreement with each other. */
#include "verify_private.h"

#include "manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static bool read_policy(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct problems problems = PROBLEMS_INIT;
    if (!digest_equal(&run->release->policy, &run->root->policy))
        verify_problem(run, RELEASE_FILE, "policy-not-allowed",
                       "the release was made under policy %s, the root pins %s",
                       digest_hex(&run->release->policy).text, digest_hex(&run->root->policy).text); /* K6 */
    /* The root's policy is the one that counts, so it is the one that must be here. */
    if (!verify_read_digest(run, RELEASE_POLICY, POLICY_FILE_MAX, &run->root->policy, "the trust root",
                            &text))
        return false;
    int result = policy_parse(buf_view(&text), RELEASE_POLICY, &run->policy, &problems);
    for (size_t i = 0; i < problems.count; i++)
        verify_problem(run, RELEASE_POLICY, problems.items[i].rule, "line %d: %s", problems.items[i].line,
                       problems.items[i].text);
    problems_done(&problems);
    return result >= 0;
}

static void check_base(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(manifest_done) struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read_digest(run, RELEASE_BASE, MANIFEST_SIZE_MAX, &run->release->base, RELEASE_FILE, &text))
        return;
    int result = manifest_parse(buf_view(&text), &manifest, &diag);
    if (result < 0)
        verify_failure(run, RELEASE_BASE, "manifest", result, &diag);
}

static void check_lock(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (digest_is_zero(&run->plan->lock))
        verify_note(run,
                    "The package tree has no farm/farm.lock: its sources are pinned by the recipes alone.");
    else
        (void)verify_read_digest(run, RELEASE_LOCK, LOCK_FILE_MAX, &run->plan->lock, RELEASE_PLAN, &text);
}

static void check_plan(struct verify_run *run)
{
    const struct plan *plan = run->plan;
    const struct release *release = run->release;
    if (!digest_equal(&plan->policy, &release->policy))
        verify_problem(run, RELEASE_PLAN, "plan-policy", "planned under another policy than the release's");
    if (!digest_equal(&plan->base, &release->base))
        verify_problem(run, RELEASE_PLAN, "plan-base", "planned for another base than the release's");
    if (strcmp(plan->tree.commit, release->tree.commit) != 0 ||
        !digest_equal(&plan->tree.sha256, &release->tree.sha256))
        verify_problem(run, RELEASE_PLAN, "plan-tree", "planned from another tree than the release names");
    if (release->planned != plan->nnodes)
        verify_problem(run, RELEASE_FILE, "counts", "\"planned\" is %llu, the plan has %zu packages",
                       (unsigned long long)release->planned, plan->nnodes);
    check_lock(run);
}

static bool read_plan(struct verify_run *run)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (!verify_read_digest(run, RELEASE_PLAN, PLAN_SIZE_MAX, &run->release->plan, RELEASE_FILE, &text))
        return false;
    int result = plan_parse(buf_view(&text), &run->plan, &diag);
    if (result < 0) {
        verify_failure(run, RELEASE_PLAN, "plan-malformed", result, &diag);
        return false;
    }
    run->nodes = map_new();
    for (size_t i = 0; i < run->plan->nnodes; i++)
        map_set(run->nodes, view_text(run->plan->nodes[i].name), &run->plan->nodes[i]);
    check_plan(run);
    return true;
}

static bool node_is(const struct plan_node *node, const char *tier, const char *version, const char *release)
{
    return strcmp(node->tier, tier) == 0 && strcmp(node->version, version) == 0 &&
           strcmp(node->release, release) == 0;
}

/* The closure that the plan derived from the tree is the one that was laid into the root. */
static void check_closure(struct verify_run *run, const struct verify_job *job)
{
    const struct plan_node *node = job->node;
    bool same = node->nclosure == job->spec->ndependencies;
    for (size_t i = 0; same && i < node->nclosure; i++)
        same = strcmp(run->plan->nodes[node->closure[i]].name, job->spec->dependencies[i].name) == 0;
    if (!same)
        verify_problem(run, job->file, "spec-dependencies",
                       "%s was built with other dependencies than the plan gives it", job->spec->name);
}

static void check_spec(struct verify_run *run, struct verify_job *job)
{
    const struct spec *spec = job->spec;
    job->node = map_get(run->nodes, view_text(spec->name));
    job->rules = policy_rules(run->policy, spec->tier, spec->name, spec->kind);
    if (!digest_equal(&spec->base, &run->release->base))
        verify_problem(run, job->file, "spec-base", "%s was built on another base than the release's",
                       spec->name);
    if (strcmp(spec->kind, "package") != 0)
        verify_problem(run, job->file, "spec-kind", "kind \"%s\" is not known to this version", spec->kind);
    if (job->node != NULL && node_is(job->node, spec->tier, spec->version, spec->release)) {
        check_closure(run, job);
        return;
    }
    job->node = NULL;
    verify_problem(run, job->file, "spec-not-planned", "the plan has no %s/%s %s-%s", spec->tier, spec->name,
                   spec->version, spec->release);
}

static void add_spec(struct verify_run *run, const char *name)
{
    CLEANUP_FREE char *file = mem_format("%s/%s", RELEASE_SPECS, name);
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct digest key;
    struct spec *spec = NULL;
    struct diag diag = DIAG_INIT;
    struct view view = view_text(name);
    if (!view_ends(view, VIEW(".json")) || !digest_parse(view_of(name, view.size - strlen(".json")), &key)) {
        verify_problem(run, file, "extra-file", "only <job key>.json belongs here");
        return;
    }
    if (!verify_read_digest(run, file, SPEC_SIZE_MAX, &key, "its file name", &text))
        return;
    int result = spec_parse(buf_view(&text), &spec, &diag);
    if (result < 0) {
        verify_failure(run, file, "spec-malformed", result, &diag);
        return;
    }
    run->jobs[run->njobs++] = (struct verify_job){.spec = spec, .file = STEAL(file)};
}

static int by_key(const void *left, const void *right)
{
    return digest_compare(&((const struct verify_job *)left)->spec->key,
                          &((const struct verify_job *)right)->spec->key);
}

static int not_dots(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static bool read_specs(struct verify_run *run)
{
    struct dirent **entries = NULL;
    int found = scandirat(run->options->dirfd, RELEASE_SPECS, &entries, not_dots, alphasort);
    if (found < 0) {
        verify_problem(run, RELEASE_SPECS, "missing", "%s", strerror(errno));
        return false;
    }
    bool fits = found <= PLAN_NODES_MAX;
    if (!fits)
        verify_problem(run, RELEASE_SPECS, "limit", "more than %d job specs", PLAN_NODES_MAX);
    run->jobs = mem_zero((size_t)found + 1, sizeof *run->jobs);
    for (int i = 0; i < found; i++) {
        if (fits)
            add_spec(run, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    qsort(run->jobs, run->njobs, sizeof *run->jobs, by_key);
    for (size_t i = 0; i < run->njobs; i++)
        check_spec(run, &run->jobs[i]);
    return true;
}

static void check_package(struct verify_run *run, const struct release_package *package)
{
    const struct plan_node *node = map_get(run->nodes, view_text(package->name));
    const struct verify_job *job = verify_find_job(run, &package->job);
    if (node == NULL || !node_is(node, package->tier, package->version, package->release))
        verify_problem(run, RELEASE_FILE, "not-planned", "%s/%s %s-%s is not in the plan", package->tier,
                       package->name, package->version, package->release);
    if (job == NULL)
        verify_problem(run, RELEASE_FILE, "spec-missing", "%s: there is no %s/%s.json", package->name,
                       RELEASE_SPECS, digest_hex(&package->job).text);
    else if (strcmp(job->spec->name, package->name) != 0 ||
             strcmp(job->spec->version, package->version) != 0 ||
             strcmp(job->spec->release, package->release) != 0 || strcmp(job->spec->tier, package->tier) != 0)
        verify_problem(run, RELEASE_FILE, "spec-other", "the job of %s is one of %s/%s %s-%s", package->name,
                       job->spec->tier, job->spec->name, job->spec->version, job->spec->release);
}

/* Each package of the plan is either released or held, and says so. */
static void check_complete(struct verify_run *run)
{
    struct map *named = map_new();
    for (size_t i = 0; i < run->release->npackages; i++)
        if (map_set(named, view_text(run->release->packages[i].name), run->release) != NULL)
            verify_problem(run, RELEASE_FILE, "twice", "%s is released twice",
                           run->release->packages[i].name);
    for (size_t i = 0; i < run->release->nheld; i++) {
        const char *name = run->release->held[i].name;
        if (map_set(named, view_of(name, strlen(name)), run->release) != NULL)
            verify_problem(run, RELEASE_FILE, "held", "%s is held and released at once", name);
        if (map_get(run->nodes, view_of(name, strlen(name))) == NULL)
            verify_problem(run, RELEASE_FILE, "held", "%s is held but not planned", name);
    }
    for (size_t i = 0; i < run->plan->nnodes; i++)
        if (map_get(named, view_text(run->plan->nodes[i].name)) == NULL)
            verify_problem(run, RELEASE_FILE, "left-out", "%s is in the plan, but neither released nor held",
                           run->plan->nodes[i].id);
    map_free(named);
}

bool verify_inputs(struct verify_run *run)
{
    bool policy = read_policy(run), plan = read_plan(run);
    check_base(run);
    if (!policy || !plan || !read_specs(run))
        return false;
    for (size_t i = 0; i < run->release->npackages; i++)
        check_package(run, &run->release->packages[i]);
    check_complete(run);
    return true;
}
