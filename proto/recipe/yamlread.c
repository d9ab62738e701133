/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "yamlread.h"

#include "names.h"

#include <stdio.h>
#include <stdlib.h>

void reader_problem(struct reader *reader, int line, const char *rule, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    reader->found++;
    (void)problems_add(reader->problems, reader->file, line, rule, "%s", text);
}

static const char *kind_name(enum yamlnode_kind kind)
{
    switch (kind) {
    case NODE_TEXT:
        return "a text";
    case NODE_LIST:
        return "a list";
    case NODE_MAP:
        return "a map";
    }
    return "?";
}

static bool wrong_type(struct reader *reader, const struct yamlnode *node, const char *what,
                       const char *expected)
{
    reader_problem(reader, node->line, "wrong-type", "%s is %s; it must be %s", what,
                   yamlnode_is_null(node) ? "empty" : kind_name(node->kind), expected);
    return false;
}

bool reader_map(struct reader *reader, const struct yamlnode *node, const char *what)
{
    return node->kind == NODE_MAP ? true : wrong_type(reader, node, what, "a map of \"name: value\" lines");
}

bool reader_list(struct reader *reader, const struct yamlnode *node, const char *what, size_t limit)
{
    if (yamlnode_is_null(node))
        return false;
    if (node->kind != NODE_LIST)
        return wrong_type(reader, node, what, "a list; write \"- item\" lines or [item, item]");
    if (node->count <= limit)
        return true;
    reader_problem(reader, node->line, "list-limit", "%s has %zu items, the limit is %zu", what, node->count,
                   limit);
    return false;
}

void reader_only_keys(struct reader *reader, const struct yamlnode *map, const char *what,
                      const char *const *keys)
{
    for (const struct yamlnode *node = map->first; node != NULL; node = node->next) {
        struct nearest nearest = nearest_to(node->key);
        bool known = false;
        for (const char *const *key = keys; *key != NULL && !known; key++)
            known = view_equal(view_text(*key), node->key);
        if (known)
            continue;
        for (const char *const *key = keys; *key != NULL; key++)
            nearest_offer(&nearest, *key);
        reader_problem(reader, node->key_line, "unknown-key", "%s: unknown key \"%s\"%s%s%s", what,
                       quote(node->key).text, nearest.best != NULL ? "; did you mean \"" : "; remove it",
                       nearest.best != NULL ? nearest.best : "", nearest.best != NULL ? "\"?" : "");
    }
}

bool reader_view(struct reader *reader, const struct yamlnode *node, const char *what,
                 bool (*allowed)(struct view), const char *accepted, struct view *ret)
{
    if (node->kind != NODE_TEXT || yamlnode_is_null(node))
        return wrong_type(reader, node, what, accepted != NULL ? accepted : "a text");
    if (allowed != NULL ? allowed(node->text) : line_is_plain(node->text)) {
        *ret = node->text;
        return true;
    }
    reader_problem(reader, node->line, "bad-value", "%s: \"%s\" is not %s", what, quote(node->text).text,
                   accepted != NULL ? accepted : "one line of text");
    return false;
}

bool reader_text(struct reader *reader, const struct yamlnode *node, const char *what,
                 bool (*allowed)(struct view), const char *accepted, char **ret)
{
    struct view text;
    if (!reader_view(reader, node, what, allowed, accepted, &text))
        return false;
    *ret = view_string(text);
    return true;
}

bool reader_number(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t least,
                   uint64_t greatest, uint64_t *ret)
{
    uint64_t number;
    if (node->kind != NODE_TEXT || !view_decimal(node->text, &number) || number < least ||
        number > greatest) {
        reader_problem(reader, node->line, "bad-value", "%s: \"%s\" is not a whole number from %llu to %llu",
                       what, quote(node->text).text, (unsigned long long)least, (unsigned long long)greatest);
        return false;
    }
    *ret = number;
    return true;
}

static bool equal_without_case(struct view text, const char *word)
{
    struct view other = view_text(word);
    if (text.size != other.size)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if ((text.data[i] | 0x20) != other.data[i])
            return false;
    return true;
}

bool reader_flag(struct reader *reader, const struct yamlnode *node, const char *what, bool *ret)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (size_t i = 0; node->kind == NODE_TEXT && i < ARRAY_SIZE(words); i++)
        if (equal_without_case(node->text, words[i])) {
            *ret = i % 2 == 1;
            return true;
        }
    reader_problem(reader, node->line, "bad-value", "%s must be true or false", what);
    return false;
}

/* Published digests come in both cases; ours are lower case. */
bool reader_digest(struct reader *reader, const struct yamlnode *node, const char *what, struct digest *ret)
{
    char lower[DIGEST_HEX_SIZE];
    bool good = node->kind == NODE_TEXT && node->text.size == sizeof lower;
    for (size_t i = 0; good && i < sizeof lower; i++) {
        char c = node->text.data[i];
        lower[i] = (char)(c >= 'A' && c <= 'F' ? c | 0x20 : c);
    }
    if (good && digest_parse(view_of(lower, sizeof lower), ret))
        return true;
    reader_problem(reader, node->line, "bad-value", "%s must be a SHA-256 digest, 64 hex digits", what);
    return false;
}

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* A number and one of the units, without space between. */
static bool read_unit(struct view text, const struct unit *units, size_t count, uint64_t *ret)
{
    uint64_t number;
    for (size_t i = 0; i < count; i++) {
        struct view suffix = view_text(units[i].suffix);
        if (!view_ends(text, suffix) || !view_decimal(view_of(text.data, text.size - suffix.size), &number))
            continue;
        return !__builtin_mul_overflow(number, units[i].factor, ret);
    }
    return false;
}

bool reader_bytes(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t *ret)
{
    static const struct unit units[] = {
        {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {"TiB", (uint64_t)1 << 40}};
    uint64_t bytes;
    if (node->kind == NODE_TEXT && read_unit(node->text, units, ARRAY_SIZE(units), &bytes) && bytes > 0 &&
        bytes <= (uint64_t)1 << 50) {
        *ret = bytes;
        return true;
    }
    reader_problem(reader, node->line, "bad-value",
                   "%s must be a size such as 512MiB or 4GiB (KiB, MiB, GiB, TiB)", what);
    return false;
}

bool reader_seconds(struct reader *reader, const struct yamlnode *node, const char *what, uint64_t greatest,
                    uint64_t *ret)
{
    static const struct unit units[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    uint64_t seconds;
    if (node->kind == NODE_TEXT && read_unit(node->text, units, ARRAY_SIZE(units), &seconds) && seconds > 0 &&
        seconds <= greatest) {
        *ret = seconds;
        return true;
    }
    reader_problem(reader, node->line, "bad-value",
                   "%s must be a time such as 90s, 15m or 2h, at most %llu seconds", what,
                   (unsigned long long)greatest);
    return false;
}

bool reader_texts(struct reader *reader, const struct yamlnode *node, const char *what, size_t limit,
                  bool (*allowed)(struct view), const char *accepted, struct text_list *ret)
{
    size_t before = reader->found, index = 0;
    if (!reader_list(reader, node, what, limit))
        return reader->found == before;
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next, index++) {
        char name[64];
        struct view text;
        snprintf(name, sizeof name, "%s[%zu]", what, index);
        if (reader_view(reader, item, name, allowed, accepted, &text))
            text_list_add(ret, text, item->line);
    }
    return reader->found == before;
}

void reader_version(struct reader *reader, const struct yamlnode *root)
{
    const struct yamlnode *node = yamlnode_get(root, "version");
    if (node == NULL)
        reader_problem(reader, root->line, "version", "\"version: 1\" is missing; it must be the first line");
    else if (node->kind != NODE_TEXT || !view_equal(node->text, VIEW("1")))
        reader_problem(reader, node->line, "version", "version must be 1; this program knows no other");
}
