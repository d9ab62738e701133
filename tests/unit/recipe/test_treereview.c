/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"
#include "treereview.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct tree *load(const struct scratch *scratch)
{
    struct tree *tree = NULL;
    struct problems problems = PROBLEMS_INIT;
    int status = tree_load(scratch->fd, &tree, &problems, NULL);
    problems_print(&problems, stderr);
    problems_done(&problems);
    assert_int_equal(status, 0);
    return tree;
}

static const char before_text[] = "source: []\n"
                                  "configure_flags: [--disable-static, -DA=ON]\n"
                                  "verify_paths: [/usr/bin/a, /usr/lib/liba.so]\n"
                                  "validation: [{type: t, script: s}]\n";

static void test_R3_each_weakening(void **state)
{
    (void)state;
    static const struct {
        const char *text, *rule; /* NULL: no finding */
        int line;
    } cases[] = {
        {before_text, NULL, 0},
        {"source: []\nconfigure_flags: [--disable-static, -DA=ON, --enable-more]\n"
         "verify_paths: [/usr/lib/liba.so, /usr/bin/a, /usr/bin/b]\nvalidation: [{type: t}, {type: u}]\n",
         NULL, 0},
        {"source: []\nconfigure_flags: [--disable-static, -DA=OFF]\nverify_paths: [/usr/bin/a, "
         "/usr/lib/liba.so]\n"
         "validation: [{type: t}]\n",
         "feature-disabled", 9},
        {"source: []\nconfigure_flags:\n- --without-ssl\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\n"
         "validation: [{type: t}]\n",
         "feature-disabled", 10},
        {"source: []\nverify_paths: [/usr/bin/a]\nvalidation: [{type: t}]\n", "verify-path-lost", 1},
        {"source: []\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\n", "validation-lost", 1},
        {"source: []\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\nvalidation: [{type: t}]\ntests: "
         "{enabled: no}\n",
         "tests-disabled", 1},
        {"source: []\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\nvalidation: [{type: t}]\n"
         "tests: {enabled: yes, failure_policy: known_failures}\n",
         "tests-tolerated", 1},
        {"source: []\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\nvalidation: [{type: t}]\ndirect_install: "
         "yes\n",
         "direct-install-gained", 1},
        {"source: []\nverify_paths: [/usr/bin/a, /usr/lib/liba.so]\nvalidation: [{type: t}]\nskip_tracking: "
         "yes\n",
         "tracking-lost", 1},
    };
    struct scratch scratch = scratch_new();
    scratch_recipe(&scratch, "a", before_text);
    struct tree *before = load(&scratch);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct problems findings = PROBLEMS_INIT;
        scratch_recipe(&scratch, "a", cases[i].text);
        struct tree *after = load(&scratch);
        assert_int_equal(treereview_compare(before, after, &findings), cases[i].rule != NULL);
        if (cases[i].rule != NULL) {
            assert_string_equal(findings.items[0].rule, cases[i].rule);
            assert_int_equal(findings.items[0].line, cases[i].line);
        }
        problems_done(&findings);
        tree_free(after);
    }
    tree_free(before);
    scratch_done(&scratch);
}

static void test_R3_moved_and_removed(void **state)
{
    (void)state;
    struct scratch old = scratch_new(), new = scratch_new();
    struct problems findings = PROBLEMS_INIT;
    scratch_recipe(&old, "moved", "source: []\n");
    scratch_recipe(&old, "removed", "source: []\n");
    scratch_write(&new, "packages/desktop/moved/package.yml",
                  "name: moved\nversion: 2\nrelease: 1\ndescription: d\nlicense: MIT\ntier: desktop\n"
                  "build_style: custom\nsource: []\n");
    scratch_recipe(&new, "added", "source: []\n");
    struct tree *before = load(&old), *after = load(&new);
    assert_int_equal(treereview_compare(before, after, &findings), 2);
    assert_string_equal(findings.items[0].rule, "tier-moved");
    assert_string_equal(findings.items[0].file, "packages/desktop/moved/package.yml");
    assert_int_equal(findings.items[0].line, 6);
    assert_string_equal(findings.items[1].rule, "package-removed");
    problems_done(&findings);
    tree_free(before);
    tree_free(after);
    scratch_done(&old);
    scratch_done(&new);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_R3_each_weakening),
        cmocka_unit_test(test_R3_moved_and_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
