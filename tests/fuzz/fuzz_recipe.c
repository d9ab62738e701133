/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A recipe: read twice it is the same or has the same problems. What is accepted has names that may become file names, arguments and
 * lines, and makes a build environment whose entries are entries.
 */
#include "fuzz.h"

#include "buildenv.h"
#include "fuzz_yaml.h"
#include "names.h"

static void check_environment(const struct recipe *recipe)
{
    struct text_list environment = {0};
    buildenv_make(recipe, 2, 1656438637, &environment);
    FUZZ_CHECK(environment.count > 0);
    for (size_t i = 0; i < environment.count; i++) {
        FUZZ_CHECK(buildenv_is_entry(view_text(environment.items[i].text)));
        FUZZ_CHECK(i == 0 || strcmp(environment.items[i - 1].text, environment.items[i].text) < 0);
    }
    text_list_done(&environment);
}

static void check_recipe(const struct recipe *recipe)
{
    FUZZ_CHECK(name_is_plain(view_text(recipe->name)) && version_is_plain(view_text(recipe->version)));
    FUZZ_CHECK(name_is_plain(view_text(recipe->tier)));
    FUZZ_CHECK(strpbrk(recipe->description, "\t\r\033") == NULL); /* it may run over lines */
    FUZZ_CHECK(recipe->install_func == NULL || function_is_plain(view_text(recipe->install_func)));
    for (size_t i = 0; i < recipe->nsources; i++)
        FUZZ_CHECK(filename_is_plain(view_text(recipe->sources[i].filename)));
    for (size_t i = 0; i < recipe->nbundles; i++)
        FUZZ_CHECK(recipe->bundles[i].dest[0] != '/');
    for (size_t i = 0; i < recipe->verify_paths.count; i++)
        FUZZ_CHECK(path_is_installed(view_text(recipe->verify_paths.items[i].text)));
    check_environment(recipe);
}

static void run(struct view input)
{
    struct problems problems = PROBLEMS_INIT, second = PROBLEMS_INIT;
    struct recipe *recipe = NULL, *again = NULL;
    int result = recipe_parse(input, "packages/base/a", &recipe, &problems);
    FUZZ_CHECK(recipe_parse(input, "packages/base/a", &again, &second) == result);
    fuzz_check_problems(result, &problems, &second);
    FUZZ_CHECK((recipe != NULL) == (result >= 0));
    if (result >= 0)
        check_recipe(recipe);
    recipe_free(recipe);
    recipe_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 2 << 20, .heap_factor = 4096};
