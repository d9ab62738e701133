/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "recipe.h"

#include "names.h"
#include "recipe_inputs.h"
#include "yamlread.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const style_names[] = {
    [STYLE_AUTOTOOLS] = "autotools", [STYLE_CMAKE] = "cmake",   [STYLE_MESON] = "meson",
    [STYLE_MAKE] = "make",           [STYLE_CUSTOM] = "custom",
};

const char *build_style_name(enum build_style style)
{
    return style_names[style];
}

bool build_style_parse(struct view text, enum build_style *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(style_names); i++)
        if (view_equal(text, view_text(style_names[i]))) {
            *ret = (enum build_style)i;
            return true;
        }
    return false;
}

struct view url_basename(struct view url)
{
    const char *slash = url.size > 0 ? memrchr(url.data, '/', url.size) : NULL;
    if (slash == NULL)
        return url;
    size_t skipped = (size_t)(slash - url.data) + 1;
    return view_of(slash + 1, url.size - skipped);
}

/* What is accepted, in the words of the messages. */
static const char text_names[] = "a name (letters, digits and +._-, at most 128)";
static const char text_versions[] = "a version (letters, digits and +._-~, at most 64)";

static bool is_description(struct view text)
{
    for (size_t i = 0; i < text.size; i++)
        if ((unsigned char)text.data[i] < 0x20 && text.data[i] != '\n')
            return false;
    return text.size > 0;
}

static bool is_release(struct view text)
{
    uint64_t number;
    return view_decimal(text, &number) && number <= 1000000;
}

static bool is_script(struct view text)
{
    return memchr(text.data, '\0', text.size) == NULL;
}

static void read_name(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    recipe->line_name = node->line;
    reader_text(reader, node, "name", name_is_plain, text_names, &recipe->name);
}

static void read_version(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    recipe->line_version = node->line;
    reader_text(reader, node, "version", version_is_plain, text_versions, &recipe->version);
}

static void read_release(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_text(reader, node, "release", is_release, "a whole number", &recipe->release);
}

static void read_description(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_text(reader, node, "description", is_description, "a description", &recipe->description);
}

static void read_license(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_text(reader, node, "license", NULL, NULL, &recipe->license);
}

static void read_tier(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    recipe->line_tier = node->line;
    reader_text(reader, node, "tier", name_is_plain, text_names, &recipe->tier);
}

static void read_homepage(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!yamlnode_is_null(node))
        reader_text(reader, node, "homepage", NULL, NULL, &recipe->homepage);
}

static void read_style(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    struct view text;
    if (reader_view(reader, node, "build_style", NULL, NULL, &text) &&
        !build_style_parse(text, &recipe->style))
        reader_problem(reader, node->line, "bad-value",
                       "build_style \"%s\" must be one of autotools, cmake, meson, make, custom",
                       quote(text).text);
}

static void read_dependencies(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    static const char *const keys[] = {"build", "host", "runtime", NULL};
    struct text_list *lists[] = {&recipe->build, &recipe->host, &recipe->runtime};
    if (yamlnode_is_null(node) || !reader_map(reader, node, "dependencies"))
        return;
    reader_only_keys(reader, node, "dependencies", keys);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct yamlnode *list = yamlnode_get(node, keys[i]);
        if (list != NULL)
            reader_texts(reader, list, keys[i], RECIPE_LIST_MAX, name_is_plain, text_names, lists[i]);
    }
}

static void read_one_validation(struct reader *reader, const struct yamlnode *node, size_t index,
                                struct recipe *recipe)
{
    char what[48];
    struct recipe_validation *check = &recipe->validations[recipe->nvalidations++];
    *check = (struct recipe_validation){.fatal = true, .line = node->line};
    snprintf(what, sizeof what, "validation[%zu]", index);
    if (!reader_map(reader, node, what))
        return;
    const struct yamlnode *type = yamlnode_get(node, "type"), *fatal = yamlnode_get(node, "fatal");
    if (yamlnode_is_null(type))
        reader_problem(reader, node->line, "missing-key", "%s has no \"type\"", what);
    else
        reader_text(reader, type, what, name_is_plain, text_names, &check->type);
    static const char *const keys[] = {"description", "script", "expect_contains"};
    char **texts[] = {&check->description, &check->script, &check->expect_contains};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        const struct yamlnode *text = yamlnode_get(node, keys[i]);
        if (!yamlnode_is_null(text))
            reader_text(reader, text, what, is_script, "a text", texts[i]);
    }
    snprintf(what, sizeof what, "validation[%zu].fatal", index);
    if (fatal != NULL)
        reader_flag(reader, fatal, what, &check->fatal);
}

static void read_validation(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "validation", RECIPE_LIST_MAX))
        return;
    recipe->validations = mem_zero(node->count, sizeof *recipe->validations);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_validation(reader, item, recipe->nvalidations, recipe);
}

static void read_configure_flags(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_texts(reader, node, "configure_flags", RECIPE_LIST_MAX, NULL, NULL, &recipe->configure_flags);
}

static void read_supersedes(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_texts(reader, node, "supersedes", RECIPE_LIST_MAX, name_is_plain, text_names, &recipe->supersedes);
    for (size_t i = 0; recipe->name != NULL && i < recipe->supersedes.count; i++)
        if (strcmp(recipe->supersedes.items[i].text, recipe->name) == 0)
            reader_problem(reader, recipe->supersedes.items[i].line, "supersedes-itself",
                           "supersedes names %s itself; remove it", recipe->name);
}

static void read_verify_paths(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_texts(reader, node, "verify_paths", RECIPE_LIST_MAX, path_is_installed,
                 "an absolute path without \"..\"", &recipe->verify_paths);
}

/* One name, or a list of them. */
static void read_ships_as(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    struct view text;
    if (node->kind != NODE_TEXT)
        reader_texts(reader, node, "ships_as", RECIPE_LIST_MAX, name_is_plain, text_names, &recipe->ships_as);
    else if (!yamlnode_is_null(node) &&
             reader_view(reader, node, "ships_as", name_is_plain, text_names, &text))
        text_list_add(&recipe->ships_as, text, node->line);
}

static void read_gpu_targets(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_texts(reader, node, "gpu_targets", RECIPE_LIST_MAX, name_is_plain, "a GPU target such as gfx1100",
                 &recipe->gpu_targets);
}

static void read_direct_install(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_flag(reader, node, "direct_install", &recipe->direct_install);
}

static void read_skip_tracking(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    reader_flag(reader, node, "skip_tracking", &recipe->skip_tracking);
}

static void read_target_triple(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!yamlnode_is_null(node))
        reader_text(reader, node, "target_triple", name_is_plain, text_names, &recipe->target_triple);
}

static void read_install_func(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!yamlnode_is_null(node))
        reader_text(reader, node, "install_func", function_is_plain, "the name of a shell function",
                    &recipe->install_func);
}

static void read_tests(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (yamlnode_is_null(node) || !reader_map(reader, node, "tests"))
        return;
    const struct yamlnode *enabled = yamlnode_get(node, "enabled");
    const struct yamlnode *policy = yamlnode_get(node, "failure_policy");
    if (enabled != NULL)
        reader_flag(reader, enabled, "tests.enabled", &recipe->tests_enabled);
    if (!yamlnode_is_null(policy))
        reader_text(reader, policy, "tests.failure_policy", name_is_plain, text_names,
                    &recipe->tests_failure_policy);
}

typedef void key_reader(struct reader *reader, const struct yamlnode *node, struct recipe *recipe);

/*
 * Every key that the tree knows, in the order of reading (variables need name and version first). Keys
 * without a reader change nothing here: they speak to the tree's own tools, or to build.sh, and are covered
 * by the recipe's digest.
 */
static const struct key {
    const char *name;
    key_reader *read;
    bool required;
} keys[] = {
    {"name", read_name, true},
    {"version", read_version, true},
    {"release", read_release, true},
    {"description", read_description, true},
    {"license", read_license, true},
    {"tier", read_tier, false},
    {"build_style", read_style, true},
    {"homepage", read_homepage, false},
    {"source", recipe_read_sources, true},
    {"dependencies", read_dependencies, false},
    {"patches", recipe_read_patches, false},
    {"bundled_deps", recipe_read_bundles, false},
    {"configure_flags", read_configure_flags, false},
    {"supersedes", read_supersedes, false},
    {"verify_paths", read_verify_paths, false},
    {"tests", read_tests, false},
    {"validation", read_validation, false},
    {"direct_install", read_direct_install, false},
    {"skip_tracking", read_skip_tracking, false},
    {"target_triple", read_target_triple, false},
    {"install_func", read_install_func, false},
    {"ships_as", read_ships_as, false},
    {"gpu_targets", read_gpu_targets, false},
    {"iso_include", NULL, false},
    {"pass_number", NULL, false},
    {"build_artifacts", NULL, false},
    {"payload_license", NULL, false},
    {"source_tree", NULL, false},
    {"elf_class", NULL, false},
    /* Two slips of the public tree's snappy recipe; its parser of that time ignored them, and so does its
       build. */
    {"configure()", NULL, false},
    {"working_dir", NULL, false},
};

static void check_keys(struct reader *reader, const struct yamlnode *root)
{
    const char *names[ARRAY_SIZE(keys) + 1];
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        names[i] = keys[i].name;
    names[ARRAY_SIZE(keys)] = NULL;
    reader_only_keys(reader, root, "recipe", names);
}

static void read_recipe(struct reader *reader, const struct yamlnode *root, struct recipe *recipe)
{
    check_keys(reader, root);
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        const struct yamlnode *node = yamlnode_get(root, keys[i].name);
        if (node == NULL && keys[i].required)
            reader_problem(reader, root->line, "missing-key", "the required key \"%s\" is missing",
                           keys[i].name);
        else if (node != NULL && keys[i].read != NULL)
            keys[i].read(reader, node, recipe);
    }
    if (recipe->direct_install && recipe->skip_tracking)
        reader_problem(
            reader, root->line, "untracked-install",
            "direct_install and skip_tracking together write to the root without a record; drop one");
    if (recipe->tier == NULL)
        recipe->tier = mem_string("core");
}

int recipe_parse(struct view text, const char *path, struct recipe **ret, struct problems *problems)
{
    struct yamldoc *doc = NULL;
    CLEANUP_FREE char *file = mem_format("%s/package.yml", path);
    struct yamlnode_limits limits = {RECIPE_FILE_MAX, RECIPE_NODES_MAX, RECIPE_DEPTH_MAX, RECIPE_TEXT_MAX};
    int status = yamldoc_read(text, file, limits, &doc, problems);
    if (status < 0)
        return status;
    struct reader reader = {.file = file, .problems = problems};
    struct recipe *recipe = mem_zero(1, sizeof *recipe);
    recipe->path = mem_string(path);
    recipe->file = mem_string(file);
    recipe->tests_enabled = true;
    if (reader_map(&reader, yamldoc_root(doc), "the recipe"))
        read_recipe(&reader, yamldoc_root(doc), recipe);
    yamldoc_free(doc);
    if (reader.found > 0) {
        recipe_free(recipe);
        return FARM_E_REFUSED;
    }
    *ret = recipe;
    return 0;
}

static void free_arrays(struct recipe *recipe)
{
    for (size_t i = 0; i < recipe->nsources; i++) {
        free(recipe->sources[i].url);
        free(recipe->sources[i].filename);
    }
    for (size_t i = 0; i < recipe->npatches; i++)
        free(recipe->patches[i].file);
    for (size_t i = 0; i < recipe->nbundles; i++) {
        free(recipe->bundles[i].name);
        free(recipe->bundles[i].dest);
    }
    for (size_t i = 0; i < recipe->nvalidations; i++) {
        free(recipe->validations[i].type);
        free(recipe->validations[i].description);
        free(recipe->validations[i].script);
        free(recipe->validations[i].expect_contains);
    }
    free(recipe->sources);
    free(recipe->patches);
    free(recipe->bundles);
    free(recipe->validations);
}

struct recipe *recipe_free(struct recipe *recipe)
{
    if (recipe == NULL)
        return NULL;
    char *texts[] = {recipe->name,     recipe->version,      recipe->release,
                     recipe->license,  recipe->description,  recipe->tier,
                     recipe->homepage, recipe->path,         recipe->tests_failure_policy,
                     recipe->file,     recipe->install_func, recipe->target_triple};
    struct text_list *lists[] = {&recipe->build,           &recipe->host,       &recipe->runtime,
                                 &recipe->configure_flags, &recipe->supersedes, &recipe->ships_as,
                                 &recipe->verify_paths,    &recipe->gpu_targets};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        text_list_done(lists[i]);
    free_arrays(recipe);
    free(recipe);
    return NULL;
}
