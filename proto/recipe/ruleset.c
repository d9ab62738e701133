/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ruleset.h"

#include "names.h"

void match_done(struct match *match)
{
    text_list_done(&match->tiers);
    text_list_done(&match->packages);
    text_list_done(&match->kinds);
}

/* One name or a list of names. */
static void read_names(struct reader *reader, const struct yamlnode *node, const char *what,
                       struct text_list *ret)
{
    struct view text;
    if (node == NULL)
        return;
    if (node->kind == NODE_LIST)
        reader_texts(reader, node, what, RULESET_MAX, name_is_plain, "a name", ret);
    else if (reader_view(reader, node, what, name_is_plain, "a name", &text))
        text_list_add(ret, text, node->line);
    if (node->kind == NODE_LIST && node->count == 0)
        reader_problem(reader, node->line, "bad-value", "%s is an empty list and would match nothing", what);
}

void match_read(struct reader *reader, const struct yamlnode *node, bool kinds, struct match *ret,
                struct text_list *packages)
{
    static const char *const with_kind[] = {"tier", "package", "kind", NULL};
    static const char *const without_kind[] = {"tier", "package", NULL};
    if (!reader_map(reader, node, "match"))
        return;
    reader_only_keys(reader, node, "match", kinds ? with_kind : without_kind);
    read_names(reader, yamlnode_get(node, "tier"), "match.tier", &ret->tiers);
    read_names(reader, yamlnode_get(node, "package"), "match.package", &ret->packages);
    if (kinds)
        read_names(reader, yamlnode_get(node, "kind"), "match.kind", &ret->kinds);
    if (node->count == 0)
        reader_problem(reader, node->line, "bad-value",
                       "match is empty; what holds for all belongs under defaults");
    text_list_copy(packages, &ret->packages);
}

static bool allows(const struct text_list *list, const char *name)
{
    return list->count == 0 || text_list_has(list, view_text(name));
}

bool match_holds(const struct match *match, const char *tier, const char *package, const char *kind)
{
    return allows(&match->tiers, tier) && allows(&match->packages, package) && allows(&match->kinds, kind);
}
