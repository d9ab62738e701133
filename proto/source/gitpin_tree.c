/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One tree object, decoded by us: libgit2 repairs or skips some of what must be refused (G5).
 *
 *     entry := mode SP name NUL id      mode in octal without leading zero, id 20 bytes
 *
 * Entries are sorted by name, directories as if they ended in '/'. A name occurs once, also as file and as directory.
 */
#include "gitpin_private.h"

#include "map.h"
#include "treedigest.h"

#include <ctype.h>
#include <stdlib.h>

/* ---- names ---- */

/* HFS+ ignores these code points in names; as UTF-8: e2 80 8c-8f, e2 80 aa-ae, e2 81 aa-af, ef bb bf. */
static size_t ignorable(struct view rest)
{
    const unsigned char *p = (const unsigned char *)rest.data;
    if (rest.size < 3)
        return 0;
    if (p[0] == 0xe2 && p[1] == 0x80 && ((p[2] >= 0x8c && p[2] <= 0x8f) || (p[2] >= 0xaa && p[2] <= 0xae)))
        return 3;
    if (p[0] == 0xe2 && p[1] == 0x81 && p[2] >= 0xaa && p[2] <= 0xaf)
        return 3;
    return p[0] == 0xef && p[1] == 0xbb && p[2] == 0xbf ? 3 : 0;
}

/* Without ignorable code points and in lower case; only the beginning matters. */
static void fold(struct view name, struct buf *ret)
{
    for (size_t i = 0; i < name.size;) {
        size_t skip = ignorable(view_of(name.data + i, name.size - i));
        if (skip == 0)
            buf_add_byte(ret, (char)tolower((unsigned char)name.data[i]));
        i += skip > 0 ? skip : 1;
    }
}

/* What NTFS drops from the end: dots, spaces, and everything from a ':' on (an alternate stream). */
static struct view trim(struct view name)
{
    const char *colon = name.size > 0 ? memchr(name.data, ':', name.size) : NULL;
    if (colon != NULL)
        name.size = (size_t)(colon - name.data);
    while (name.size > 0 && (name.data[name.size - 1] == '.' || name.data[name.size - 1] == ' '))
        name.size--;
    return name;
}

bool gitpin_name_is_dotgit(struct view name)
{
    CLEANUP_BUF struct buf folded = BUF_INIT;
    fold(name, &folded);
    struct view plain = trim(buf_view(&folded));
    if (view_equal(plain, VIEW(".git")))
        return true;
    /* The short names that Windows would give: git~1 to git~9. */
    return plain.size == 5 && view_starts(plain, VIEW("git~")) && isdigit((unsigned char)plain.data[4]);
}

static const char *name_problem(struct view name)
{
    if (name.size == 0)
        return "an empty name";
    if (name.size > 255)
        return "a name of more than 255 bytes";
    if (memchr(name.data, '/', name.size) != NULL)
        return "a name with a slash";
    if (view_equal(name, VIEW(".")) || view_equal(name, VIEW("..")))
        return "a name that leads elsewhere";
    return gitpin_name_is_dotgit(name) ? "a name that some systems take for .git" : NULL;
}

/* ---- entries ---- */

static int refuse(struct diag *diag, struct view directory, struct view name, const char *problem)
{
    return diag_set(diag, FARM_E_REFUSED, "tree entry \"%.*s%s%.*s\": %s", VIEW_ARG(directory),
                    directory.size > 0 ? "/" : "", VIEW_ARG(name), problem);
}

/* 0 for a mode that git does not write. Very old trees have 100664, which git checks out as 100644. */
static unsigned int parse_mode(struct view text)
{
    static const struct {
        const char *text;
        unsigned int mode;
    } modes[] = {{"100644", TREE_FILE}, {"100664", TREE_FILE}, {"100755", TREE_EXEC},
                 {"120000", TREE_LINK}, {"40000", TREE_DIR},   {"160000", TREE_GITLINK}};
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
        if (view_equal(text, view_text(modes[i].text)))
            return modes[i].mode;
    return 0;
}

static bool take_entry(struct view *rest, struct view *ret_mode, struct gitpin_entry *ret)
{
    const char *space = memchr(rest->data, ' ', rest->size);
    if (space == NULL)
        return false;
    size_t mode = (size_t)(space - rest->data), left = rest->size - mode - 1;
    const char *nul = memchr(space + 1, '\0', left);
    if (nul == NULL || left - (size_t)(nul - space - 1) - 1 < GIT_OID_RAWSZ)
        return false;
    *ret_mode = view_of(rest->data, mode);
    ret->name = view_of(space + 1, (size_t)(nul - space - 1));
    ret->mode = parse_mode(*ret_mode);
    git_oid_fromraw(&ret->id, (const unsigned char *)nul + 1);
    const char *next = nul + 1 + GIT_OID_RAWSZ;
    *rest = view_of(next, rest->size - (size_t)(next - rest->data));
    return true;
}

/* git's order: names compared as bytes, where a directory's name ends in '/'. */
static bool comes_before(const struct gitpin_entry *a, const struct gitpin_entry *b)
{
    size_t common = a->name.size < b->name.size ? a->name.size : b->name.size;
    int order = memcmp(a->name.data, b->name.data, common);
    if (order != 0)
        return order < 0;
    unsigned char end_a = a->name.size > common ? (unsigned char)a->name.data[common]
                          : a->mode == TREE_DIR ? '/'
                                                : 0;
    unsigned char end_b = b->name.size > common ? (unsigned char)b->name.data[common]
                          : b->mode == TREE_DIR ? '/'
                                                : 0;
    return end_a < end_b;
}

static int check_entry(const struct gitpin_entry *entry, const struct gitpin_entry *before, struct map *names,
                       struct view directory, struct diag *diag)
{
    const char *problem = name_problem(entry->name);
    if (problem != NULL)
        return refuse(diag, directory, entry->name, problem);
    if (entry->mode == 0)
        return refuse(diag, directory, entry->name, "a mode that git does not write");
    if (entry->mode == TREE_LINK && view_equal(trim(entry->name), VIEW(".gitmodules")))
        return refuse(diag, directory, entry->name, ".gitmodules is a symlink");
    if (map_set(names, entry->name, names) != NULL)
        return refuse(diag, directory, entry->name, "a duplicate name");
    if (before != NULL && !comes_before(before, entry))
        return refuse(diag, directory, entry->name, "entries are not sorted");
    return 0;
}

static int parse(struct view data, struct view directory, struct map *names, struct gitpin_entry **entries,
                 size_t *count, struct diag *diag)
{
    size_t capacity = 0;
    while (data.size > 0) {
        struct gitpin_entry entry;
        struct view mode;
        if (!take_entry(&data, &mode, &entry))
            return refuse(diag, directory, VIEW(""), "the tree object is malformed");
        int r = check_entry(&entry, *count > 0 ? &(*entries)[*count - 1] : NULL, names, directory, diag);
        if (r < 0)
            return r;
        *entries = mem_reserve(*entries, &capacity, *count + 1, sizeof(**entries));
        (*entries)[(*count)++] = entry;
    }
    return 0;
}

int gitpin_tree_parse(struct view data, struct view directory, struct gitpin_entry **ret_entries,
                      size_t *ret_count, struct diag *diag)
{
    struct gitpin_entry *entries = NULL;
    struct map *names = map_new();
    size_t count = 0;
    int r = parse(data, directory, names, &entries, &count, diag);
    map_free(names);
    if (r < 0) {
        free(entries);
        return r;
    }
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}

/* ---- .gitmodules ---- */

static struct view strip(struct view text)
{
    while (text.size > 0 && strchr(" \t\r\"\\", text.data[0]) != NULL)
        text = view_of(text.data + 1, text.size - 1);
    while (text.size > 0 && strchr(" \t\r\"", text.data[text.size - 1]) != NULL)
        text.size--;
    return text;
}

/* Values that some git once took for an option or a command (CVE-2018-17456, CVE-2018-11235, CVE-2019-19604). */
static const char *modules_problem(struct view line)
{
    struct view key, value = line;
    if (view_starts(strip(line), VIEW("[")) && memmem(line.data, line.size, "..", 2) != NULL)
        return "a submodule name with \"..\"";
    if (!view_split(&value, '=', &key) || value.size == 0)
        return NULL;
    value = strip(value);
    if (value.size > 0 && (value.data[0] == '-' || value.data[0] == '!'))
        return "a value that would be taken for an option or a command";
    return NULL;
}

int gitpin_modules_check(struct view text, struct diag *diag)
{
    struct view line;
    for (int number = 1; view_split(&text, '\n', &line); number++) {
        const char *problem = modules_problem(line);
        if (problem != NULL)
            return diag_set(diag, FARM_E_REFUSED, ".gitmodules:%d: %s", number, problem);
    }
    return 0;
}
