/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "recipe_inputs.h"

#include "file.h"
#include "names.h"
#include "recipe_expand.h"

#include <stdio.h>
#include <string.h>

static bool is_patch_file(struct view text)
{
    return view_is_token(text) && file_path_is_plain(text);
}

/* The tree marks a digest that is not known yet as "placeholder..."; that is the same as none. */
static void read_sha256(struct reader *reader, const struct yamlnode *node, const char *what,
                        struct digest *ret, bool *ret_has)
{
    if (node == NULL || yamlnode_is_null(node) ||
        (node->kind == NODE_TEXT && (node->text.size == 0 || view_starts(node->text, VIEW("placeholder")))))
        return;
    *ret_has = reader_digest(reader, node, what, ret);
}

/* An expanded text; a problem if a variable is unknown or what comes out is not allowed. */
static bool read_expanded(struct reader *reader, const struct yamlnode *node, const char *what,
                          const struct recipe *recipe, bool (*allowed)(struct view), const char *accepted,
                          char **ret)
{
    struct view raw;
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (!reader_view(reader, node, what, NULL, NULL, &raw) ||
        !recipe_expand(reader, node, what, recipe, raw, &text))
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
        read_expanded(reader, given, name, recipe, filename_is_plain, "a plain file name", &source->filename);
        return;
    }
    struct view last = url_basename(view_text(source->url));
    if (filename_is_plain(last))
        source->filename = view_string(last);
    else
        reader_problem(reader, node->line, "source-filename",
                       "%s: the url does not end in a file name; add a \"filename:\"", what);
}

static void read_one_source(struct reader *reader, const struct yamlnode *node, size_t index,
                            struct recipe *recipe)
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
    if (read_expanded(reader, url, name, recipe, view_is_token, "a URL without spaces", &source->url))
        read_filename(reader, node, what, recipe, source);
    snprintf(name, sizeof name, "%s.sha256", what);
    read_sha256(reader, sha256, name, &source->sha256, &source->has_sha256);
}

void recipe_read_sources(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
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
                reader_problem(
                    reader, recipe->sources[i].line, "duplicate-filename",
                    "source[%zu] and source[%zu] are both called %s in /sources; give one a \"filename:\"", k,
                    i, recipe->sources[i].filename);
}

static void read_one_patch(struct reader *reader, const struct yamlnode *node, size_t index,
                           struct recipe *recipe)
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

void recipe_read_patches(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "patches", RECIPE_LIST_MAX))
        return;
    recipe->patches = mem_zero(node->count, sizeof *recipe->patches);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_patch(reader, item, recipe->npatches, recipe);
}

static void read_one_bundle(struct reader *reader, const struct yamlnode *node, size_t index,
                            struct recipe *recipe)
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

void recipe_read_bundles(struct reader *reader, const struct yamlnode *node, struct recipe *recipe)
{
    if (!reader_list(reader, node, "bundled_deps", RECIPE_LIST_MAX))
        return;
    recipe->bundles = mem_zero(node->count, sizeof *recipe->bundles);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_one_bundle(reader, item, recipe->nbundles, recipe);
}
