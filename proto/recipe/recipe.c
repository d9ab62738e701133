/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "recipe.h"

#include "file.h"
#include "names.h"
#include "recipe_expand.h"
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
    size_t skipped = slash != NULL ? (size_t)(slash - url.data) + 1 : 0;
    return view_of(url.data + skipped, url.size - skipped);
}

/* What is accepted, in the words of the messages. */
static const char text_names[] = "a name (letters, digits and +._-, at most 128)";
static const char text_versions[] = "a version (letters, digits and +._-~, at most 64)";
static const char text_files[] = "a plain file name";
static const char text_urls[] = "a URL without spaces";

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

static bool is_patch_file(struct view text)
{
    return view_is_token(text) && file_path_is_plain(text);
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
    if (reader_view(reader, node, "build_style", NULL, NULL, &text) && !build_style_parse(text, &recipe->style))
        reader_problem(reader, node->line, "bad-value",
                       "build_style \"%.*s\" must be one of autotools, cmake, meson, make, custom", VIEW_ARG(text));
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

/* The tree marks a digest that is not known yet as "placeholder..."; that is the same as none. */
static void read_sha256(struct reader *reader, const struct yamlnode *node, const char *what, struct digest *ret,
                        bool *ret_has)
{
    if (yamlnode_is_null(node) ||
        (node->kind == NODE_TEXT && (node->text.size == 0 || view_starts(node->text, VIEW("placeholder")))))
        return;
    *ret_has = reader_digest(reader, node, what, ret);
}

/* An expanded text; a problem if a variable is unknown or what comes out is not allowed. */
static bool read_expanded(struct reader *reader, const struct yamlnode *node, const char *what,
                          const struct recipe *recipe, bool (*allowed)(struct view), const char *accepted, char **ret)
{
    struct view raw;
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (!reader_view(reader, node, what, NULL, NULL, &raw) || !recipe_expand(reader, node, what, recipe, raw, &text))
        return false;
    if (!allowed(buf_view(&text))) {
        reader_problem(reader, node->line, "bad-value", "%s: \"%s\" is not %s", what, text.data, accepted);
        return false;
    }
    *ret = buf_steal(&text);
    return true;
}

static void read_filename(struct reader *reader, const struct yamlnode *node, const char *what,
                          const struct recipe *recipe, struct recipe_source *source)
{
    char name[64];
    snprintf(name, sizeof name, "%s.filename", what);
    const struct yamlnode *given = yamlnode_get(node, "filename");
    if (!yamlnode_is_null(given)) {
        read_expanded(reader, given, name, recipe, filename_is_plain, text_files, &source->filename);
        return;
    }
    struct view last = url_basename(view_text(source->url));
    if (filename_is_plain(last))
        source->filename = view_string(last);
    else
        reader_problem(reader, node->line, "source-filename",
                       "%s: the url does not end in a file name; add a \"filename:\"", what);
}

static void read_one_source(struct reader *reader, const struct yamlnode *node, size_t index, struct recipe *recipe)
{
    char what[32], name[64];
    snprintf(what, sizeof what, "source[%zu]", index);
    struct recipe_source *source = &recipe->sources[recipe->nsources++];
    source->line = node->line;
    if (!reader_map(reader, node, what))
        return;
    const struct yamlnode *url = yamlnode_get(node, "url"), *sha256 = yamlnode_get(node, "sha256");
    if (yamlnode_is_null(url)) {
        reader_problem(reader, node->line, "missing-key", "%s has no \"url\"", what);
        return;
    }
    snprintf(name, sizeof name, "%s.url", what);
    if (read_expanded(reader, url, name, recipe, view_is_token, text_urls, &source->url))
        read_filename(reader, node, what, recipe, source);
    snprintf(name, sizeof name, "%s.sha256", what);
    read_sha256(reader, sha256, name, &source->sha256, &source->has_sha256);
}

static void read_sources(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "source", RECIPE_LIST_MAX))
        return;
    recipe->sources = mem_zero(node->count, sizeof *recipe->sources);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_source(reader, item, recipe->nsources, recipe);
    for (size_t i = 0; i < recipe->nsources; i++)
        for (size_t k = 0; k < i; k++)
            if (recipe->sources[i].filename != NULL && recipe->sources[k].filename != NULL &&
                strcmp(recipe->sources[i].filename, recipe->sources[k].filename) == 0)
                reader_problem(reader, recipe->sources[i].line, "duplicate-filename",
                               "source[%zu] and source[%zu] are both called %s in /sources; give one a \"filename:\"",
                               k, i, recipe->sources[i].filename);
}

static void read_one_patch(struct reader *reader, const struct yamlnode *node, size_t index, struct recipe *recipe)
{
    char what[48];
    struct recipe_patch *patch = &recipe->patches[recipe->npatches++];
    patch->line = node->line;
    snprintf(what, sizeof what, "patches[%zu]", index);
    const struct yamlnode *file = node, *sha256 = NULL;
    if (node->kind == NODE_MAP) {
        file = yamlnode_get(node, "file");
        sha256 = yamlnode_get(node, "sha256");
    }
    if (yamlnode_is_null(file)) {
        reader_problem(reader, node->line, "missing-key", "%s has no \"file\"", what);
        return;
    }
    reader_text(reader, file, what, is_patch_file, "a plain relative path", &patch->file);
    snprintf(what, sizeof what, "patches[%zu].sha256", index);
    read_sha256(reader, sha256, what, &patch->sha256, &patch->has_sha256);
}

static void read_patches(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "patches", RECIPE_LIST_MAX))
        return;
    recipe->patches = mem_zero(node->count, sizeof *recipe->patches);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_patch(reader, item, recipe->npatches, recipe);
}

static void read_one_bundle(struct reader *reader, const struct yamlnode *node, size_t index, struct recipe *recipe)
{
    char what[48];
    struct view text;
    CLEANUP_BUF struct buf expanded = BUF_INIT;
    struct recipe_bundle *bundle = &recipe->bundles[recipe->nbundles++];
    bundle->line = node->line;
    snprintf(what, sizeof what, "bundled_deps[%zu]", index);
    if (!reader_view(reader, node, what, NULL, NULL, &text) ||
        !recipe_expand(reader, node, what, recipe, text, &expanded))
        return;
    const char *arrow = strstr(expanded.data, " -> ");
    struct view dest = arrow != NULL ? view_text(arrow + 4) : VIEW_NONE;
    if (arrow == NULL || arrow == expanded.data || !view_is_token(dest) || !file_path_is_plain(dest)) {
        reader_problem(reader, node->line, "bad-value",
                       "%s: write \"name -> destination\", with a plain relative path as destination", what);
        return;
    }
    bundle->name = view_string(view_of(expanded.data, (size_t)(arrow - expanded.data)));
    bundle->dest = view_string(dest);
}

static void read_bundles(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "bundled_deps", RECIPE_LIST_MAX))
        return;
    recipe->bundles = mem_zero(node->count, sizeof *recipe->bundles);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_bundle(reader, item, recipe->nbundles, recipe);
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
    else if (!yamlnode_is_null(node) && reader_view(reader, node, "ships_as", name_is_plain, text_names, &text))
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
        reader_text(reader, policy, "tests.failure_policy", name_is_plain, text_names, &recipe->tests_failure_policy);
}

typedef void key_reader(struct reader *reader, const struct yamlnode *node, struct recipe *recipe);

/*
 * Every key that the tree knows, in the order of reading (variables need name and version first). Keys without a reader
 * change nothing here: they speak to the tree's own tools, or to build.sh, and are covered by the recipe's digest.
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
    {"source", read_sources, true},
    {"dependencies", read_dependencies, false},
    {"patches", read_patches, false},
    {"bundled_deps", read_bundles, false},
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
    /* Two slips of the public tree's snappy recipe; its parser of that time ignored them, and so does its build. */
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
            reader_problem(reader, root->line, "missing-key", "the required key \"%s\" is missing", keys[i].name);
        else if (node != NULL && keys[i].read != NULL)
            keys[i].read(reader, node, recipe);
    }
    if (recipe->direct_install && recipe->skip_tracking)
        reader_problem(reader, root->line, "untracked-install",
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
    char *texts[] = {recipe->name,     recipe->version,     recipe->release,
                     recipe->license,  recipe->description, recipe->tier,
                     recipe->homepage, recipe->path,        recipe->tests_failure_policy,
                     recipe->file,     recipe->install_func, recipe->target_triple};
    struct text_list *lists[] = {&recipe->build,        &recipe->host,     &recipe->runtime, &recipe->configure_flags,
                                 &recipe->supersedes,   &recipe->ships_as, &recipe->verify_paths,
                                 &recipe->gpu_targets};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        free(texts[i]);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        text_list_done(lists[i]);
    free_arrays(recipe);
    free(recipe);
    return NULL;
}
