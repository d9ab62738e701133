/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bench_derive: what it costs a worker to believe nobody (K1): it takes the package tree by its pin and derives the spec of each
 * lease itself. Against the coordinator's time for the same tree, in the same run.
 *
 *   derive_coordinator_plan  the coordinator: open the repository, compute both digests, check out, pack, load, plan (verbs_plan.c)
 *   derive_worker_first      a worker's first lease of a commit: index the pack, check it out, compare both digests, load, one spec;
 *                            ratio to derive_coordinator_plan
 *   derive_worker_restart    its first lease after a restart: hash what is on the disk, load, one spec; the same ratio
 *   derive_worker_plan       loading and planning alone, as farm-verify --tree does; ratio to the coordinator's loading and planning
 *   derive_worker_lease      every further lease: the tree is in memory, one spec; ratio to the coordinator's spec_write
 *
 * The tree is the 813 recipes of FARM_SHARED_DIR/data/intergenos under a git commit of our own. Medians of several runs. JSON lines (bench.h). Without the data or git it is skipped, by name.
 */
#include "bench.h"
#include "file.h"
#include "gitpin.h"
#include "moment.h"
#include "plan.h"
#include "statedir.h"
#include "treedigest.h"
#include "trees.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ROUNDS = 7, LEASES = 200 };

static void must(int error, const struct diag *diag)
{
    if (error >= 0)
        return;
    fprintf(stderr, "bench_derive: %s\n", diag_text(diag, error));
    exit(2);
}

struct place {
    char *top, *repository;
    int state_dirfd; /* also the working directory */
    struct tree_pin pin;
    char *pack; /* path of the pack that the coordinator serves */
};

/* ---- set-up ---- */

static bool make_repository(struct place *place)
{
    CLEANUP_FREE char *command = mem_format("set -e; export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1; cp -r "
                                            "'%s/data/intergenos' '%s'; cd '%s'; chmod -R u+w .\n"
                                            "git init -q .; git -c core.autocrlf=false add -A -f\n"
                                            "git -c user.name=t -c user.email=t@localhost commit -q -m tree",
                                            FARM_SHARED_DIR, place->repository, place->repository);
    return system(command) == 0;
}

static bool set_up(struct place *place)
{
    char template[] = "/var/tmp/farm-bench-derive.XXXXXX";
    struct diag diag = DIAG_INIT;
    if (access(FARM_SHARED_DIR "/data/intergenos/packages", F_OK) != 0 ||
        system("git --version >/dev/null 2>&1") != 0)
        return false;
    if (mkdtemp(template) == NULL)
        must(diag_errno(&diag, "scratch directory"), &diag);
    place->top = mem_string(template);
    place->repository = mem_format("%s/repository", template);
    place->pack = mem_format("%s/pack", template);
    CLEANUP_FREE char *state = mem_format("%s/state", template);
    if (mkdir(state, 0700) < 0 || chdir(state) < 0 || mkdir(STATEDIR_TREES, 0700) < 0 ||
        mkdir("lease", 0700) < 0 || !make_repository(place))
        must(diag_errno(&diag, "%s", state), &diag);
    place->state_dirfd = file_open_dir(AT_FDCWD, state, &diag);
    must(place->state_dirfd, &diag);
    return true;
}

static void tear_down(struct place *place)
{
    (void)!chdir("/");
    (void)!file_remove_tree(AT_FDCWD, place->top, NULL);
    close(place->state_dirfd);
    free(place->pin.url);
    free(place->top);
    free(place->repository);
    free(place->pack);
}

/* ---- the coordinator ---- */

static struct tree *load_dir(int dirfd)
{
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    struct tree *tree = NULL;
    must(tree_load(dirfd, &tree, &problems, &diag), &diag);
    problems_done(&problems);
    return tree;
}

static size_t plan_of(const struct tree *tree, const struct tree_pin *pin)
{
    static const struct digest base = {{1}};
    struct diag diag = DIAG_INIT;
    struct plan *plan = NULL;
    must(plan_make(tree, pin, &base, NULL, 0, &plan, &diag), &diag);
    size_t nodes = plan->nnodes;
    plan_free(plan);
    return nodes;
}

/* One plan as verbs_plan.c makes it; the pack stays for the workers. Gives the part that is loading and planning. */
static double coordinate(struct place *place, size_t *ret_nodes)
{
    struct diag diag = DIAG_INIT;
    struct gitrepo *repo = NULL;
    struct gitpin_info info;
    must(gitrepo_open(place->repository, &repo, &diag), &diag);
    must(gitrepo_resolve(repo, "HEAD", place->pin.commit, &diag), &diag);
    must(gitrepo_inspect(repo, place->pin.commit, GITPIN_LIMITS, &info, &diag), &diag);
    place->pin.sha256 = info.tree_sha256;
    must(file_make_dirs(place->state_dirfd, "coordinator", 0700, &diag), &diag);
    CLEANUP_CLOSE int dirfd = file_open_dir(place->state_dirfd, "coordinator", &diag);
    CLEANUP_CLOSE int pack = open(place->pack, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    must(gitrepo_checkout(repo, place->pin.commit, &info.tree_sha256, GITPIN_LIMITS, dirfd, 0, &diag), &diag);
    must(gitrepo_pack(repo, place->pin.commit, pack, &diag), &diag);
    gitrepo_close(repo);
    double before = 1e3 * bench_wall();
    struct tree *tree = load_dir(dirfd);
    *ret_nodes = plan_of(tree, &place->pin);
    double planned = 1e3 * bench_wall() - before;
    tree_free(tree);
    return planned;
}

/* ---- the worker ---- */

static int copy_pack(void *context, char **ret_path, struct diag *diag)
{
    const struct place *place = context;
    CLEANUP_FREE char *path = mem_string("lease/tree.pack");
    if (link(place->pack, path) < 0)
        return diag_errno(diag, "%s", path);
    *ret_path = STEAL(path);
    return 0;
}

/* The package whose closure is longest: the dearest spec. */
static size_t choose(const struct tree *tree)
{
    size_t chosen = SIZE_MAX, longest = 0;
    for (size_t i = 0; i < tree->npackages; i++) {
        size_t *closure, count;
        if (tree->packages[i].in_base)
            continue;
        tree_closure(tree, i, &closure, &count);
        if (chosen == SIZE_MAX || count > longest) {
            longest = count;
            chosen = i;
        }
        free(closure);
    }
    return chosen;
}

static size_t write_spec(const struct tree *tree, size_t package)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    struct digest key;
    size_t *closure, count;
    tree_closure(tree, package, &closure, &count);
    CLEANUP_FREE struct digest *payloads = mem_zero(count + 1, sizeof *payloads);
    const struct spec_inputs inputs = {tree, package, {{1}}, payloads, count, 1000000000};
    must(spec_write(&inputs, &text, &key, &diag), &diag);
    free(closure);
    return count;
}

static void lease(struct place *place, struct trees *trees, size_t *package)
{
    struct trees_use use = {0};
    struct diag diag = DIAG_INIT;
    must(trees_get(trees, &place->pin, false, "lease", copy_pack, place, &use, &diag), &diag);
    if (*package == SIZE_MAX)
        *package = choose(use.tree);
    (void)write_spec(use.tree, *package);
    trees_leave(trees, &use);
}

static struct trees *open_trees(const struct place *place)
{
    struct diag diag = DIAG_INIT;
    struct trees *trees = NULL;
    must(trees_open(place->state_dirfd, &trees, &diag), &diag);
    return trees;
}

static void forget(const struct place *place, const char *directory)
{
    struct diag diag = DIAG_INIT;
    must(file_remove_tree(place->state_dirfd, directory, &diag), &diag);
}

/* ---- figures ---- */

struct figures {
    double plan[ROUNDS], loading[ROUNDS], first[ROUNDS], restart[ROUNDS], worker_plan[ROUNDS], lease[ROUNDS],
        spec[ROUNDS];
};

static double worker_plan(const struct place *place)
{
    CLEANUP_FREE char *path =
        mem_format(STATEDIR_TREES "/%s-%s", place->pin.commit, digest_hex(&place->pin.sha256).text);
    struct diag diag = DIAG_INIT;
    CLEANUP_CLOSE int dirfd = file_open_dir(place->state_dirfd, path, &diag);
    must(dirfd, &diag);
    double before = 1e3 * bench_wall();
    struct tree *tree = load_dir(dirfd);
    (void)plan_of(tree, &place->pin);
    double spent = 1e3 * bench_wall() - before;
    tree_free(tree);
    return spent;
}

static void one_round(struct place *place, struct figures *figures, int round, size_t *package,
                      size_t *ret_nodes)
{
    struct diag diag = DIAG_INIT;
    forget(place, "coordinator");
    forget(place, STATEDIR_TREES);
    must(file_make_dirs(place->state_dirfd, STATEDIR_TREES, 0700, &diag), &diag);
    double before = 1e3 * bench_wall();
    figures->loading[round] = coordinate(place, ret_nodes);
    figures->plan[round] = 1e3 * bench_wall() - before;
    struct trees *trees = open_trees(place);
    before = 1e3 * bench_wall();
    lease(place, trees, package);
    figures->first[round] = 1e3 * bench_wall() - before;
    trees_close(trees);
    trees = open_trees(place);
    before = 1e3 * bench_wall();
    lease(place, trees, package);
    figures->restart[round] = 1e3 * bench_wall() - before;
    before = 1e3 * bench_wall();
    for (int i = 0; i < LEASES; i++)
        lease(place, trees, package);
    figures->lease[round] = (1e3 * bench_wall() - before) / LEASES;
    struct trees_use use = {0};
    must(trees_get(trees, &place->pin, false, "lease", copy_pack, place, &use, &diag), &diag);
    before = 1e3 * bench_wall();
    for (int i = 0; i < LEASES; i++)
        (void)write_spec(use.tree, *package);
    figures->spec[round] = (1e3 * bench_wall() - before) / LEASES;
    trees_leave(trees, &use);
    trees_close(trees);
    figures->worker_plan[round] = worker_plan(place);
}

int main(void)
{
    struct place place = {.pin = {.url = mem_string("https://example.org/tree")}};
    struct figures figures;
    size_t package = SIZE_MAX, nodes = 0;
    if (!set_up(&place)) {
        printf("{\"name\": \"derive\", \"skipped\": \"no " FARM_SHARED_DIR
               "/data/intergenos, or no git\"}\n");
        free(place.pin.url);
        return 77;
    }
    size_t warm_up = SIZE_MAX;
    one_round(&place, &figures, 0, &warm_up, &nodes);
    package = warm_up; /* chosen outside of what is measured */
    for (int round = 0; round < ROUNDS; round++)
        one_round(&place, &figures, round, &package, &nodes);
    double plan = bench_percentile(figures.plan, ROUNDS, 50),
           loading = bench_percentile(figures.loading, ROUNDS, 50);
    double first = bench_percentile(figures.first, ROUNDS, 50),
           restart = bench_percentile(figures.restart, ROUNDS, 50);
    double own_plan = bench_percentile(figures.worker_plan, ROUNDS, 50),
           one = bench_percentile(figures.lease, ROUNDS, 50);
    double spec = bench_percentile(figures.spec, ROUNDS, 50);
    bench_print("derive_nodes", (double)nodes, "jobs", 0, NULL);
    bench_print("derive_coordinator_plan", plan, "ms", 0, NULL);
    bench_print("derive_worker_first", first, "ms", first / plan, "derive_coordinator_plan");
    bench_print("derive_worker_restart", restart, "ms", restart / plan, "derive_coordinator_plan");
    bench_print("derive_coordinator_load_and_plan", loading, "ms", 0, NULL);
    bench_print("derive_worker_plan", own_plan, "ms", own_plan / loading, "derive_coordinator_load_and_plan");
    bench_print("derive_coordinator_spec", spec, "ms", 0, NULL);
    bench_print("derive_worker_lease", one, "ms", one / spec, "derive_coordinator_spec");
    tear_down(&place);
    return 0;
}
