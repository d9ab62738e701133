/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "map.h"
#include "plan.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

/* ---- the 813 recipes of the public tree, against the figures of their README ---- */

struct real {
    struct tree *tree;
};

static int load_real(void **state)
{
    struct real *real = mem_zero(1, sizeof *real);
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    int fd = open(FARM_SHARED_DIR "/data/intergenos", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = real;
    if (fd < 0)
        return 0;
    int status = tree_load(fd, &real->tree, &problems, &diag);
    problems_print(&problems, stderr);
    problems_done(&problems);
    close(fd);
    return status < 0 ? -1 : 0;
}

static int free_real(void **state)
{
    struct real *real = *state;
    tree_free(real->tree);
    free(real);
    return 0;
}

static const struct tree *real_tree(void **state)
{
    const struct real *real = *state;
    if (real->tree == NULL)
        skip();
    return real->tree;
}

static size_t count_tier(const struct tree *tree, const char *tier)
{
    size_t count = 0;
    for (size_t i = 0; i < tree->npackages; i++)
        count += strcmp(tree->packages[i].recipe->tier, tier) == 0;
    return count;
}

static size_t count_style(const struct tree *tree, enum build_style style)
{
    size_t count = 0;
    for (size_t i = 0; i < tree->npackages; i++)
        count += tree->packages[i].recipe->style == style;
    return count;
}

static void test_real_counts(void **state)
{
    const struct tree *tree = real_tree(state);
    size_t sources[6] = {0}, total = 0, files = 0, https = 0, http = 0, verified = 0, paths = 0,
           superseding = 0;
    assert_int_equal(tree->npackages, 813);
    assert_int_equal(count_tier(tree, "toolchain"), 28);
    assert_int_equal(count_tier(tree, "core"), 251);
    assert_int_equal(count_tier(tree, "base"), 19);
    assert_int_equal(count_tier(tree, "desktop"), 410);
    assert_int_equal(count_tier(tree, "ai"), 2);
    assert_int_equal(count_tier(tree, "extra"), 103);
    assert_int_equal(count_style(tree, STYLE_CUSTOM), 443);
    assert_int_equal(count_style(tree, STYLE_AUTOTOOLS), 236);
    assert_int_equal(count_style(tree, STYLE_MESON), 103);
    assert_int_equal(count_style(tree, STYLE_CMAKE), 22);
    assert_int_equal(count_style(tree, STYLE_MAKE), 9);
    for (size_t i = 0; i < tree->npackages; i++) {
        const struct recipe *recipe = tree->packages[i].recipe;
        assert_true(recipe->nsources < ARRAY_SIZE(sources));
        sources[recipe->nsources]++;
        total += recipe->nsources;
        verified += recipe->verify_paths.count > 0;
        paths += recipe->verify_paths.count;
        superseding += recipe->supersedes.count > 0;
        for (size_t k = 0; k < recipe->nsources; k++) {
            struct view url = view_text(recipe->sources[k].url);
            files += view_starts(url, VIEW("file://"));
            https += view_starts(url, VIEW("https://"));
            http += view_starts(url, VIEW("http://"));
        }
    }
    assert_int_equal(total, 833);
    assert_int_equal(sources[0], 18);
    assert_int_equal(sources[1], 770);
    assert_int_equal(sources[2], 19);
    assert_int_equal(sources[3], 1);
    assert_int_equal(sources[4], 3);
    assert_int_equal(sources[5], 2);
    assert_int_equal(https, 801);
    assert_int_equal(files, 26);
    assert_int_equal(http, 6);
    assert_int_equal(verified, 784);
    assert_int_equal(paths, 1465);
    assert_int_equal(superseding, 11);
}

/* Edges of the first 'kinds' kinds as the README counts them: each (package, name) once, unknown names
 * included. */
struct facts {
    size_t edges, unknown, longest, greatest_users;
};

static size_t names_of(const struct recipe *recipe, int kinds, const char **ret)
{
    const struct text_list *lists[] = {&recipe->build, &recipe->host, &recipe->runtime};
    size_t count = 0;
    for (int k = 0; k < kinds; k++)
        for (size_t i = 0; i < lists[k]->count; i++) {
            const char *name = lists[k]->items[i].text;
            size_t seen = 0;
            while (seen < count && strcmp(ret[seen], name) != 0)
                seen++;
            if (seen == count)
                ret[count++] = name;
        }
    return count;
}

static size_t chain_length(const struct tree *tree, size_t index, int kinds, size_t *lengths)
{
    const char *names[512];
    size_t longest = 0;
    if (lengths[index] != 0)
        return lengths[index];
    size_t count = names_of(tree->packages[index].recipe, kinds, names);
    for (size_t i = 0; i < count; i++) {
        const struct package *dependency = tree_find(tree, view_text(names[i]));
        size_t length =
            dependency != NULL ? chain_length(tree, tree_index(tree, dependency), kinds, lengths) : 0;
        longest = length > longest ? length : longest;
    }
    return lengths[index] = longest + 1;
}

static struct facts facts_of(const struct tree *tree, int kinds)
{
    struct facts facts = {0};
    CLEANUP_FREE size_t *lengths = mem_zero(tree->npackages, sizeof *lengths);
    for (size_t i = 0; i < tree->npackages; i++) {
        const char *names[512];
        size_t count = names_of(tree->packages[i].recipe, kinds, names);
        for (size_t k = 0; k < count; k++)
            facts.unknown += tree_find(tree, view_text(names[k])) == NULL;
        facts.edges += count;
        size_t length = chain_length(tree, i, kinds, lengths);
        facts.longest = length > facts.longest ? length : facts.longest;
    }
    return facts;
}

static void test_real_edges(void **state)
{
    const struct tree *tree = real_tree(state);
    static const struct facts expected[] = {{2640, 0, 33, 0}, {2788, 4, 40, 0}, {2887, 5, 42, 0}};
    for (int kinds = 1; kinds <= 3; kinds++) {
        struct facts facts = facts_of(tree, kinds);
        assert_int_equal(facts.edges, expected[kinds - 1].edges);
        assert_int_equal(facts.unknown, expected[kinds - 1].unknown);
        assert_int_equal(facts.longest, expected[kinds - 1].longest);
    }
}

static size_t users_of(const struct tree *tree, const char *name)
{
    size_t index = tree_index(tree, tree_find(tree, view_text(name))), count = 0;
    for (size_t i = 0; i < tree->npackages; i++)
        for (size_t k = 0; k < tree->packages[i].nbuild_deps; k++)
            count += tree->packages[i].build_deps[k] == index;
    return count;
}

static void test_real_users(void **state)
{
    const struct tree *tree = real_tree(state);
    assert_int_equal(users_of(tree, "glib2"), 152);
    assert_int_equal(users_of(tree, "cmake"), 58);
    assert_int_equal(users_of(tree, "libX11"), 53);
    assert_int_equal(users_of(tree, "xorgproto"), 51);
}

static void test_real_aliases(void **state)
{
    const struct tree *tree = real_tree(state);
    static const char *const expected[][3] = {
        {"ffmpeg-nonfree-helper", "make", "make-core"},
        {"intergenos-default-settings", "coreutils", "coreutils-core"},
        {"intergenos-firewall-defaults", "coreutils", "coreutils-core"},
        {"intergenos-helper-lib", "coreutils", "coreutils-core"},
        {"intergenos-keyring", "gnupg", "gnupg2"},
    };
    assert_int_equal(tree->naliases, ARRAY_SIZE(expected));
    for (size_t i = 0; i < tree->naliases; i++) {
        assert_string_equal(tree->aliases[i].package, expected[i][0]);
        assert_string_equal(tree->aliases[i].wanted, expected[i][1]);
        assert_string_equal(tree->aliases[i].resolved, expected[i][2]);
    }
}

static void test_real_direct_install(void **state)
{
    const struct tree *tree = real_tree(state);
    static const char *const expected[] = {"dbus-pass2",         "gdk-pixbuf-pass2", "gobject-introspection",
                                           "linux-kernel-pass2", "pyyaml-pass2",     "systemd-pass2"};
    size_t found = 0;
    for (size_t i = 0; i < tree->npackages; i++)
        if (tree->packages[i].recipe->direct_install) {
            assert_true(found < ARRAY_SIZE(expected));
            assert_string_equal(tree->packages[i].recipe->name, expected[found++]);
        }
    assert_int_equal(found, ARRAY_SIZE(expected));
}

static bool holds(const size_t *items, size_t count, size_t item)
{
    for (size_t i = 0; i < count; i++)
        if (items[i] == item)
            return true;
    return false;
}

/* What the farm builds of it, and that each closure is complete and in order. */
static void test_real_closures(void **state)
{
    const struct tree *tree = real_tree(state);
    for (size_t i = 0; i < tree->npackages; i++) {
        if (tree->packages[i].in_base)
            continue;
        CLEANUP_FREE size_t *closure = NULL;
        size_t count = 0;
        tree_closure(tree, i, &closure, &count);
        for (size_t k = 0; k < count; k++) {
            const struct package *member = &tree->packages[closure[k]];
            assert_false(member->in_base);
            assert_int_not_equal(closure[k], i);
            for (size_t e = 0; e < member->nbuild_deps; e++)
                assert_true(tree->packages[member->build_deps[e]].in_base ||
                            holds(closure, k, member->build_deps[e]));
            for (size_t e = 0; e < member->nruntime_deps; e++)
                assert_true(tree->packages[member->runtime_deps[e]].in_base ||
                            holds(closure, k, member->runtime_deps[e]));
        }
        for (size_t e = 0; e < tree->packages[i].nbuild_deps; e++)
            assert_true(tree->packages[tree->packages[i].build_deps[e]].in_base ||
                        holds(closure, count, tree->packages[i].build_deps[e]));
    }
}

static void test_real_plan(void **state)
{
    const struct tree *tree = real_tree(state);
    struct tree_pin pin = {.url = (char *)"https://example.invalid/tree",
                           .commit = "91d65db000000000000000000000000000000000"};
    struct digest base = digest_of(VIEW("base"));
    struct diag diag = DIAG_INIT;
    struct plan *plan = NULL;
    static const char *const all[] = {"all"};
    assert_int_equal(plan_make(tree, &pin, &base, all, 1, &plan, &diag), 0);
    assert_int_equal(plan->nnodes, 410 + 2 + 103);
    /* The plan's closures are tree_closure's, in the same order. */
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct plan_node *node = &plan->nodes[i];
        CLEANUP_FREE size_t *closure = NULL;
        size_t count = 0;
        tree_closure(tree, tree_index(tree, tree_find(tree, view_text(node->name))), &closure, &count);
        assert_int_equal(node->nclosure, count);
        for (size_t k = 0; k < count; k++)
            assert_string_equal(plan->nodes[node->closure[k]].name, tree->packages[closure[k]].recipe->name);
    }
    /* Whatever a node waits for, with all that these wait for in turn, is its whole closure. */
    for (size_t i = 0; i < plan->nnodes; i++) {
        const struct plan_node *node = &plan->nodes[i];
        CLEANUP_FREE bool *ready = mem_zero(plan->nnodes, sizeof *ready);
        for (size_t k = 0; k < node->ndependencies; k++) {
            const struct plan_node *dependency = &plan->nodes[node->dependencies[k]];
            ready[node->dependencies[k]] = true;
            for (size_t c = 0; c < dependency->nclosure; c++)
                ready[dependency->closure[c]] = true;
        }
        for (size_t k = 0; k < node->nclosure; k++)
            assert_true(ready[node->closure[k]]);
    }
    plan_free(plan);
}

/* ---- small trees ---- */

/* The rules of all problems of a tree, separated by spaces. */
static char *rules_found(const struct scratch *scratch)
{
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    struct tree *tree = NULL;
    CLEANUP_BUF struct buf text = BUF_INIT;
    int status = tree_load(scratch->fd, &tree, &problems, &diag);
    for (size_t i = 0; i < problems.count; i++)
        buf_add_format(&text, "%s%s:%d:%s", i > 0 ? " " : "", problems.items[i].file, problems.items[i].line,
                       problems.items[i].rule);
    assert_int_equal(status, problems.count > 0 ? FARM_E_REFUSED : 0);
    assert_true(status < 0 || tree != NULL);
    tree_free(tree);
    problems_done(&problems);
    return buf_steal(&text);
}

static void test_symlinks_are_not_followed(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    scratch_recipe(&scratch, "real", "source: []\n");
    scratch_write(&scratch, "packages/extra/linked/build.sh", "");
    scratch_write(&scratch, "outside/extra/x/package.yml", "name: x\n");
    assert_int_equal(symlinkat("../real/package.yml", scratch.fd, "packages/extra/linked/package.yml"), 0);
    assert_int_equal(symlinkat("real", scratch.fd, "packages/extra/other"), 0);
    assert_int_equal(symlinkat("../outside/extra", scratch.fd, "packages/desktop"), 0);
    assert_int_equal(symlinkat("/dev/zero", scratch.fd, "farm"), 0);
    CLEANUP_FREE char *rules = rules_found(&scratch);
    assert_string_equal(rules, "farm:0:symlink packages/desktop:0:symlink "
                               "packages/extra/linked/package.yml:0:symlink packages/extra/other:0:symlink");
    scratch_done(&scratch);
}

/* A FIFO must not hold the program, and 100 MB must be refused without being read. */
static void test_odd_files(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    scratch_write(&scratch, "packages/extra/fifo/build.sh", "");
    scratch_write(&scratch, "packages/extra/large/package.yml", "name: large\n");
    scratch_write(&scratch, "packages/extra/largest/package.yml", "name: largest\n");
    scratch_write(&scratch, "farm/policy.yml", "version: 1\n");
    assert_int_equal(mkfifoat(scratch.fd, "packages/extra/fifo/package.yml", 0644), 0);
    static const struct {
        const char *path;
        off_t size;
    } files[] = {
        {"packages/extra/large/package.yml", RECIPE_FILE_MAX + 1},
        {"packages/extra/largest/package.yml", (off_t)100 << 30}, /* sparse; reading it would take minutes */
        {"farm/policy.yml", 100000000}};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        int fd = openat(scratch.fd, files[i].path, O_WRONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(ftruncate(fd, files[i].size), 0);
        close(fd);
    }
    CLEANUP_FREE char *rules = rules_found(&scratch);
    assert_string_equal(rules, "farm/policy.yml:0:file-limit packages/extra/fifo/package.yml:0:unreadable "
                               "packages/extra/large/package.yml:0:file-limit "
                               "packages/extra/largest/package.yml:0:file-limit");
    scratch_done(&scratch);
}

/* The digest of the recipe's directory covers every file in it, and the executable bit. */
static void test_recipe_digest(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    struct digest digests[4];
    scratch_recipe(&scratch, "a", "source: []\n");
    for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
        struct tree *tree = NULL;
        if (i == 1)
            scratch_write(&scratch, "packages/extra/a/build.sh", "true\n");
        if (i == 2)
            scratch_write(&scratch, "packages/extra/a/files/unit.service", "[Unit]\n");
        if (i == 3)
            assert_int_equal(fchmodat(scratch.fd, "packages/extra/a/build.sh", 0755, 0), 0);
        assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
        digests[i] = tree->packages[0].recipe_digest;
        assert_int_equal(tree->packages[0].recipe->has_build_sh, i > 0);
        assert_true(digest_is_zero(&tree->scripts_digest));
        for (size_t k = 0; k < i; k++)
            assert_false(digest_equal(&digests[i], &digests[k]));
        tree_free(tree);
    }
    scratch_done(&scratch);
}

static void test_sidecar_digests(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    struct tree *tree = NULL;
    scratch_recipe(&scratch, "a", "source: []\n");
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
    assert_false(tree->has_lock || tree->has_policy);
    assert_true(digest_is_zero(&tree->lock_digest) && digest_is_zero(&tree->policy_digest));
    assert_int_equal(tree->packages[0].rules.quorum, 2);
    assert_int_equal(tree->packages[0].resources.jobs, 2);
    tree_free(tree);
    scratch_write(&scratch, "farm/policy.yml", "version: 1\n# a comment is part of it\n");
    scratch_write(&scratch, "farm/farm.lock", "version: 1\n");
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
    struct digest policy = digest_of(VIEW("version: 1\n# a comment is part of it\n"));
    struct digest lock = digest_of(VIEW("version: 1\n"));
    assert_true(digest_equal(&tree->policy_digest, &policy));
    assert_true(digest_equal(&tree->lock_digest, &lock));
    tree_free(tree);
    scratch_done(&scratch);
}

static void test_find(void **state)
{
    (void)state;
    struct scratch scratch = scratch_new();
    struct tree *tree = NULL;
    scratch_recipe(&scratch, "one", "source: []\n");
    scratch_recipe(&scratch, "two", "source: []\n");
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
    assert_string_equal(tree_find(tree, VIEW("one"))->recipe->name, "one");
    assert_string_equal(tree_find(tree, VIEW("extra/two"))->recipe->name, "two");
    assert_null(tree_find(tree, VIEW("core/two")));
    assert_null(tree_find(tree, VIEW("extra/")));
    assert_null(tree_find(tree, VIEW("on")));
    assert_null(tree_find(tree, VIEW("")));
    tree_free(tree);
    scratch_done(&scratch);
}

/* A long chain is no recursion, and a large cycle is one problem. */
static void test_long_chain(void **state)
{
    (void)state;
    enum { LENGTH = 600 };
    struct scratch scratch = scratch_new();
    for (int i = 0; i < LENGTH; i++) {
        CLEANUP_FREE char *name = mem_format("p%04d", i);
        CLEANUP_FREE char *more = mem_format("source: []\ndependencies: {build: [%s%04d]}\n", "p", i + 1);
        scratch_recipe(&scratch, name, i + 1 < LENGTH ? more : "source: []\n");
    }
    struct tree *tree = NULL;
    assert_int_equal(tree_load(scratch.fd, &tree, NULL, NULL), 0);
    assert_int_equal(tree->packages[0].depth, LENGTH);
    assert_int_equal(tree->packages[0].rank, LENGTH - 1);
    tree_free(tree);
    CLEANUP_FREE char *last = mem_format("p%04d", LENGTH - 1);
    scratch_recipe(&scratch, last, "source: []\ndependencies: {build: [p0000]}\n");
    CLEANUP_FREE char *rules = rules_found(&scratch);
    assert_string_equal(rules, "packages/extra/p0000/package.yml:9:dependency-cycle");
    scratch_done(&scratch);
}

int main(void)
{
    const struct CMUnitTest real[] = {
        cmocka_unit_test(test_real_counts),         cmocka_unit_test(test_real_edges),
        cmocka_unit_test(test_real_users),          cmocka_unit_test(test_real_aliases),
        cmocka_unit_test(test_real_direct_install), cmocka_unit_test(test_real_closures),
        cmocka_unit_test(test_real_plan),
    };
    const struct CMUnitTest small[] = {
        cmocka_unit_test(test_symlinks_are_not_followed),
        cmocka_unit_test(test_odd_files),
        cmocka_unit_test(test_recipe_digest),
        cmocka_unit_test(test_sidecar_digests),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_long_chain),
    };
    int failed = cmocka_run_group_tests(small, NULL, NULL);
    return failed + cmocka_run_group_tests(real, load_real, free_real);
}
