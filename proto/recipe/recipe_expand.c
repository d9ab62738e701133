/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "recipe_expand.h"

#include "names.h"

/* The first 'count' parts of a version between dots, or all of it. */
static struct view version_head(struct view version, size_t count)
{
    for (size_t i = 0; i < version.size; i++)
        if (version.data[i] == '.' && --count == 0)
            return view_of(version.data, i);
    return version;
}

static struct view version_patch(struct view version)
{
    struct view rest = version, part = VIEW("0");
    for (int i = 0; i < 3; i++)
        if (!view_split(&rest, '.', &part))
            return VIEW("0");
    return part;
}

static bool lookup(const struct recipe *recipe, struct view variable, struct view *ret)
{
    struct view version = view_text(recipe->version);
    if (view_equal(variable, VIEW("name")))
        *ret = view_text(recipe->name);
    else if (view_equal(variable, VIEW("version")))
        *ret = version;
    else if (view_equal(variable, VIEW("version_major")))
        *ret = version_head(version, 1);
    else if (view_equal(variable, VIEW("version_major_minor")))
        *ret = version_head(version, 2);
    else if (view_equal(variable, VIEW("version_patch")))
        *ret = version_patch(version);
    else
        return false;
    return true;
}

/* The variable at the start of "${...}"; an empty view if what stands there is only text. */
static struct view variable_at(struct view text)
{
    const char *end = text.size > 3 && text.data[1] == '{' ? memchr(text.data, '}', text.size) : NULL;
    struct view name = end != NULL ? view_of(text.data + 2, (size_t)(end - text.data) - 2) : VIEW_NONE;
    for (size_t i = 0; i < name.size; i++)
        if (!function_is_plain(view_of(&name.data[i], 1)) && !(name.data[i] >= '0' && name.data[i] <= '9'))
            return VIEW_NONE;
    return name;
}

bool recipe_expand(struct reader *reader, const struct yamlnode *node, const char *what,
                   const struct recipe *recipe, struct view text, struct buf *ret)
{
    if (recipe->name == NULL || recipe->version == NULL)
        return false; /* reported already; nothing can be expanded */
    while (text.size > 0) {
        const char *dollar = memchr(text.data, '$', text.size);
        size_t before = dollar != NULL ? (size_t)(dollar - text.data) : text.size;
        buf_add(ret, text.data, before);
        text = view_of(text.data + before, text.size - before);
        if (text.size == 0)
            break;
        struct view name = variable_at(text), value = VIEW("$");
        if (name.size > 0 && !lookup(recipe, name, &value)) {
            reader_problem(reader, node->line, "unknown-variable",
                           "%s: unknown variable ${%s}; there are ${name} ${version} ${version_major} "
                           "${version_major_minor} ${version_patch}",
                           what, quote(name).text);
            return false;
        }
        buf_add_view(ret, value);
        size_t taken = name.size > 0 ? name.size + 3 : 1;
        text = view_of(text.data + taken, text.size - taken);
    }
    return true;
}
