/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "names.h"
#include "recipe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define HEAD "name: demo\nversion: \"1.2.3\"\nrelease: 1\ndescription: d\nlicense: MIT\nbuild_style: custom\n"

static struct recipe *good(const char *text)
{
    struct problems problems = PROBLEMS_INIT;
    struct recipe *recipe = NULL;
    int status = recipe_parse(view_text(text), "packages/core/demo", &recipe, &problems);
    for (size_t i = 0; i < problems.count; i++)
        print_message("%d: %s\n", problems.items[i].line, problems.items[i].text);
    assert_int_equal(status, 0);
    assert_int_equal(problems.count, 0);
    problems_done(&problems);
    return recipe;
}

static void test_defaults(void **state)
{
    (void)state;
    struct recipe *recipe = good(HEAD "source:\n");
    assert_string_equal(recipe->tier, "core");
    assert_true(recipe->tests_enabled);
    assert_null(recipe->install_func);
    assert_null(recipe->target_triple);
    assert_false(recipe->direct_install);
    assert_int_equal(recipe->nsources, 0);
    assert_string_equal(recipe->file, "packages/core/demo/package.yml");
    recipe_free(recipe);
}

/* Each version with the four variables that are made from it. */
static void test_variables(void **state)
{
    (void)state;
    static const struct {
        const char *version, *expanded;
    } cases[] = {
        {"1.2.3", "1.2.3/1/1.2/3/demo"},
        {"1.2", "1.2/1/1.2/0/demo"},
        {"12", "12/12/12/0/demo"},
        {"1.2.3.4", "1.2.3.4/1/1.2/3/demo"},
        {"7.1.2-13", "7.1.2-13/7/7.1/2-13/demo"},
        {"2026-01-02", "2026-01-02/2026-01-02/2026-01-02/0/demo"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *text = mem_format(
            "name: demo\nversion: \"%s\"\nrelease: 1\ndescription: d\nlicense: MIT\nbuild_style: "
            "custom\nsource:\n"
            "- url: \"${version}/${version_major}/${version_major_minor}/${version_patch}/${name}\"\n",
            cases[i].version);
        struct recipe *recipe = good(text);
        assert_string_equal(recipe->sources[0].url, cases[i].expanded);
        assert_string_equal(recipe->sources[0].filename, "demo");
        recipe_free(recipe);
    }
}

static void test_lone_dollars(void **state)
{
    (void)state;
    struct recipe *recipe =
        good(HEAD "source:\n- url: http://h/$x${}$${a-b}${version}$\n  filename: ${name}.tgz\n");
    assert_string_equal(recipe->sources[0].url, "http://h/$x${}$${a-b}1.2.3$");
    assert_string_equal(recipe->sources[0].filename, "demo.tgz");
    recipe_free(recipe);
}

/* Keys that this program does not interpret, of both generations of the tree, and of source[]. */
static void test_known_keys_pass(void **state)
{
    (void)state;
    struct recipe *recipe = good(HEAD "source:\n"
                                      "- url: https://h/x.tgz\n"
                                      "  sha256: ''\n"
                                      "  extract: no\n"
                                      "  whatever: {a: [b]}\n"
                                      "iso_include: true\n"
                                      "pass_number: 2\n"
                                      "payload_license: MIT\n"
                                      "build_artifacts: [{name: a, generated_by: b}]\n"
                                      "source_tree: src\n"
                                      "elf_class: 32\n"
                                      "gpu_targets: [gfx1100]\n"
                                      "ships_as: demo2\n"
                                      "homepage: ~\n"
                                      "dependencies:\n");
    assert_int_equal(recipe->gpu_targets.count, 1);
    assert_string_equal(recipe->ships_as.items[0].text, "demo2");
    assert_null(recipe->homepage);
    recipe_free(recipe);
}

static void test_flags(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool value;
    } cases[] = {{"true", true},   {"True", true}, {"YES", true}, {"on", true},
                 {"false", false}, {"No", false},  {"off", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *text = mem_format(HEAD "source: []\ndirect_install: %s\n", cases[i].text);
        struct recipe *recipe = good(text);
        assert_int_equal(recipe->direct_install, cases[i].value);
        recipe_free(recipe);
    }
}

static void test_names(void **state)
{
    (void)state;
    assert_true(name_is_plain(VIEW("gtk+-3.0_x")));
    assert_false(name_is_plain(VIEW("")));
    assert_false(name_is_plain(VIEW("..")));
    assert_false(name_is_plain(VIEW("-rf")));
    assert_false(name_is_plain(VIEW("a/b")));
    assert_false(name_is_plain(VIEW("a\0b")));
    assert_false(name_is_plain(VIEW("\xc3\xa4")));
    char longest[NAME_MAX_BYTES + 1];
    memset(longest, 'a', sizeof longest);
    assert_true(name_is_plain(view_of(longest, NAME_MAX_BYTES)));
    assert_false(name_is_plain(view_of(longest, NAME_MAX_BYTES + 1)));
    assert_true(path_is_installed(VIEW("/usr/share/a b")));
    assert_false(path_is_installed(VIEW("/")));
    assert_false(path_is_installed(VIEW("/usr//bin")));
    assert_false(path_is_installed(VIEW("/usr/bin/")));
    assert_false(filename_is_plain(VIEW("..")));
    assert_false(filename_is_plain(VIEW("a b")));
    assert_true(filename_is_plain(VIEW("a.tar.gz")));
    assert_false(commit_is_plain(VIEW("DBC2F403D7A212FAB737A3F7E1775BD9608D5496")));
    assert_true(commit_is_plain(VIEW("dbc2f403d7a212fab737a3f7e1775bd9608d5496")));
}

static void test_nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"zlib", "zstd", "libdrm", "libffi"};
    static const struct {
        struct view wanted;
        const char *best;
    } cases[] = {
        {VIEW("zlb"), "zlib"}, {VIEW("libdmr"), "libdrm"}, {VIEW("zlib"), NULL}, {VIEW("webkitgtk"), NULL}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct nearest nearest = nearest_to(cases[i].wanted);
        for (size_t k = 0; k < ARRAY_SIZE(names); k++)
            nearest_offer(&nearest, names[k]);
        if (cases[i].best == NULL)
            assert_null(nearest.best);
        else
            assert_string_equal(nearest.best, cases[i].best);
    }
}

/* A message quotes strangers; terminals shall not obey them. */
static void test_messages_are_tame(void **state)
{
    (void)state;
    struct problems problems = PROBLEMS_INIT;
    struct recipe *recipe = NULL;
    assert_int_equal(
        recipe_parse(VIEW("name: \"\\e[2Jowned\"\n\"\\e[31mkey\": 1\n"), "p", &recipe, &problems),
        FARM_E_REFUSED);
    assert_null(recipe);
    for (size_t i = 0; i < problems.count; i++)
        assert_true(line_is_plain(view_text(problems.items[i].text)));
    problems_done(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),     cmocka_unit_test(test_variables),
        cmocka_unit_test(test_lone_dollars), cmocka_unit_test(test_known_keys_pass),
        cmocka_unit_test(test_flags),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_nearest),      cmocka_unit_test(test_messages_are_tame),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
