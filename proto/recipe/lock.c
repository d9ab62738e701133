/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lock.h"

#include "file.h"
#include "names.h"
#include "yamlread.h"

#include <stdio.h>
#include <stdlib.h>

void pin_done(struct pin *pin)
{
    free(pin->url);
    free(pin->filename);
    free(pin->ref);
    free(pin->into);
    free(pin->witness_git);
    text_list_done(&pin->absent);
    *pin = (struct pin){0};
}

static char *copy_text(const char *text)
{
    return text != NULL ? mem_string(text) : NULL;
}

void pin_copy(struct pin *ret, const struct pin *from)
{
    *ret = *from;
    ret->url = copy_text(from->url);
    ret->filename = copy_text(from->filename);
    ret->ref = copy_text(from->ref);
    ret->into = copy_text(from->into);
    ret->witness_git = copy_text(from->witness_git);
    ret->absent = (struct text_list){0};
    text_list_copy(&ret->absent, &from->absent);
}

struct lock *lock_free(struct lock *lock)
{
    if (lock == NULL)
        return NULL;
    for (size_t i = 0; i < lock->count; i++) {
        for (size_t k = 0; k < lock->entries[i].npins; k++)
            pin_done(&lock->entries[i].pins[k]);
        free(lock->entries[i].pins);
        free(lock->entries[i].package);
    }
    free(lock->entries);
    free(lock);
    return NULL;
}

static int find_compare(const void *name, const void *entry)
{
    return strcmp(name, ((const struct lock_entry *)entry)->package);
}

const struct lock_entry *lock_find(const struct lock *lock, const char *package)
{
    if (lock == NULL || lock->count == 0)
        return NULL;
    return bsearch(package, lock->entries, lock->count, sizeof *lock->entries, find_compare);
}

static bool is_into(struct view text)
{
    return view_equal(text, VIEW(".")) || (view_is_token(text) && file_path_is_plain(text));
}

static bool is_submodule(struct view text)
{
    return line_is_plain(text) && file_path_is_plain(text);
}

/* One pin while it is read: its name for messages, "zlib[0]". */
struct pin_reader {
    struct reader *reader;
    const struct yamlnode *node;
    const char *what;
};

/* "zlib[0].sha256" */
struct field_name {
    char text[192];
};

static struct field_name field(const struct pin_reader *pin, const char *key)
{
    struct field_name name;
    snprintf(name.text, sizeof name.text, "%s.%s", pin->what, key);
    return name;
}

static const struct yamlnode *member(const struct pin_reader *pin, const char *key)
{
    const struct yamlnode *node = yamlnode_get(pin->node, key);
    return yamlnode_is_null(node) ? NULL : node;
}

/* A partial pin is an error that names the package and the field. */
static const struct yamlnode *required(const struct pin_reader *pin, const char *key)
{
    const struct yamlnode *node = member(pin, key);
    if (node == NULL)
        reader_problem(pin->reader, pin->node->line, "pin-partial",
                       "%s is missing; \"farmctl pin\" writes complete entries", field(pin, key).text);
    return node;
}

static void read_commit(const struct pin_reader *source, struct pin *pin)
{
    struct view text;
    const struct yamlnode *node = required(source, "commit");
    if (node != NULL && reader_view(source->reader, node, field(source, "commit").text, commit_is_plain,
                                    "a full commit id, 40 or 64 lower-case hex digits", &text))
        memcpy(pin->commit, text.data, text.size + 1);
}

static void read_required_digest(const struct pin_reader *source, const char *key, struct digest *ret)
{
    const struct yamlnode *node = required(source, key);
    if (node != NULL)
        reader_digest(source->reader, node, field(source, key).text, ret);
}

static void read_epoch(const struct pin_reader *source, const struct yamlnode *node, struct pin *pin)
{
    uint64_t seconds;
    /* Until the year 9999; zero would put files before 1980, which zip cannot store, but is what some trees
     * carry. */
    if (node != NULL &&
        reader_number(source->reader, node, field(source, "epoch").text, 0, 253402300799, &seconds))
        pin->epoch = (int64_t)seconds;
}

static void read_optional(const struct pin_reader *source, const char *key, bool (*allowed)(struct view),
                          const char *accepted, char **ret)
{
    const struct yamlnode *node = member(source, key);
    if (node != NULL)
        reader_text(source->reader, node, field(source, key).text, allowed, accepted, ret);
}

static void read_git(const struct pin_reader *source, struct pin *pin)
{
    static const char *const keys[] = {"git",   "ref",  "commit", "tree_sha256",
                                       "epoch", "into", "absent", NULL};
    reader_only_keys(source->reader, source->node, source->what, keys);
    pin->kind = PIN_GIT;
    reader_text(source->reader, member(source, "git"), field(source, "git").text, view_is_token,
                "a repository URL", &pin->url);
    read_optional(source, "ref", view_is_token, "a ref name", &pin->ref);
    read_commit(source, pin);
    read_required_digest(source, "tree_sha256", &pin->digest);
    read_epoch(source, required(source, "epoch"), pin);
    const struct yamlnode *absent = member(source, "absent");
    if (absent != NULL)
        reader_texts(source->reader, absent, "absent", RECIPE_LIST_MAX, is_submodule, "a submodule's path",
                     &pin->absent);
}

static void read_witness(const struct pin_reader *source, struct pin *pin)
{
    if (member(source, "git") == NULL) {
        if (member(source, "commit") != NULL || member(source, "tree_sha256") != NULL)
            reader_problem(source->reader, source->node->line, "pin-partial",
                           "%s: commit and tree_sha256 need the repository, \"git:\"", source->what);
        return;
    }
    reader_text(source->reader, member(source, "git"), field(source, "git").text, view_is_token,
                "a repository URL", &pin->witness_git);
    read_commit(source, pin);
    read_required_digest(source, "tree_sha256", &pin->witness_tree);
}

static void read_archive(const struct pin_reader *source, struct pin *pin)
{
    static const char *const keys[] = {"url", "filename", "sha256", "size",        "epoch", "into",
                                       "git", "ref",      "commit", "tree_sha256", NULL};
    uint64_t size;
    reader_only_keys(source->reader, source->node, source->what, keys);
    pin->kind = PIN_ARCHIVE;
    reader_text(source->reader, member(source, "url"), field(source, "url").text, view_is_token, "a URL",
                &pin->url);
    read_optional(source, "filename", filename_is_plain, "a plain file name", &pin->filename);
    read_optional(source, "ref", view_is_token, "a ref name", &pin->ref);
    struct view last = url_basename(view_text(pin->url));
    if (pin->filename == NULL && filename_is_plain(last))
        pin->filename = view_string(last);
    else if (pin->filename == NULL)
        reader_problem(source->reader, source->node->line, "pin-partial",
                       "%s: the url does not end in a file name; add \"filename:\"", source->what);
    read_required_digest(source, "sha256", &pin->digest);
    const struct yamlnode *given = required(source, "size");
    if (given != NULL &&
        reader_number(source->reader, given, field(source, "size").text, 1, (uint64_t)1 << 40, &size))
        pin->size = size;
    read_epoch(source, member(source, "epoch"), pin);
    read_witness(source, pin);
}

static void read_pin(struct reader *reader, const struct yamlnode *node, struct lock_entry *entry)
{
    CLEANUP_FREE char *what = mem_format("%s[%zu]", entry->package, entry->npins);
    struct pin_reader source = {reader, node, what};
    bool first = entry->npins == 0;
    struct pin *pin = &entry->pins[entry->npins++];
    *pin = (struct pin){.epoch = -1, .line = node->line};
    if (!reader_map(reader, node, what))
        return;
    if (member(&source, "url") != NULL)
        read_archive(&source, pin);
    else if (member(&source, "git") != NULL)
        read_git(&source, pin);
    else
        reader_problem(reader, node->line, "pin-partial",
                       "%s: neither \"git\" nor \"url\"; \"farmctl pin\" writes complete entries", what);
    read_optional(&source, "into", is_into, "\".\" or a plain relative path", &pin->into);
    if (pin->into == NULL && first)
        pin->into = mem_string(".");
    if (pin->into == NULL && pin->kind == PIN_GIT && pin->url != NULL)
        reader_problem(reader, node->line, "pin-partial",
                       "%s: a further git source needs \"into:\", its place", what);
}

static void check_filenames(struct reader *reader, const struct lock_entry *entry)
{
    for (size_t i = 0; i < entry->npins; i++)
        for (size_t k = 0; k < i; k++)
            if (entry->pins[i].filename != NULL && entry->pins[k].filename != NULL &&
                strcmp(entry->pins[i].filename, entry->pins[k].filename) == 0)
                reader_problem(reader, entry->pins[i].line, "duplicate-filename",
                               "%s: two sources are called %s in /sources; give one a \"filename:\"",
                               entry->package, entry->pins[i].filename);
}

static void read_entry(struct reader *reader, const struct yamlnode *node, struct lock *lock)
{
    if (!name_is_plain(node->key)) {
        reader_problem(reader, node->key_line, "bad-value", "\"%s\" is not a package name",
                       quote(node->key).text);
        return;
    }
    struct lock_entry *entry = &lock->entries[lock->count++];
    *entry = (struct lock_entry){.package = view_string(node->key), .line = node->key_line};
    if (!reader_list(reader, node, entry->package, LOCK_PINS_MAX))
        return;
    entry->pins = mem_zero(node->count, sizeof *entry->pins);
    for (const struct yamlnode *item = node->first; item != NULL; item = item->next)
        read_pin(reader, item, entry);
    check_filenames(reader, entry);
}

static int entry_compare(const void *left, const void *right)
{
    return strcmp(((const struct lock_entry *)left)->package, ((const struct lock_entry *)right)->package);
}

static void read_lock(struct reader *reader, const struct yamlnode *root, struct lock *lock)
{
    static const char *const keys[] = {"version", "sources", NULL};
    reader_only_keys(reader, root, "farm.lock", keys);
    reader_version(reader, root);
    const struct yamlnode *sources = yamlnode_get(root, "sources");
    if (yamlnode_is_null(sources) || !reader_map(reader, sources, "sources"))
        return;
    lock->entries = mem_zero(sources->count, sizeof *lock->entries);
    for (const struct yamlnode *node = sources->first; node != NULL; node = node->next)
        read_entry(reader, node, lock);
    if (lock->count > 1)
        qsort(lock->entries, lock->count, sizeof *lock->entries, entry_compare);
}

int lock_parse(struct view text, const char *file, struct lock **ret, struct problems *problems)
{
    struct yamldoc *doc = NULL;
    /* Every pin takes at least 20 bytes a node. */
    struct yamlnode_limits limits = {LOCK_FILE_MAX, LOCK_FILE_MAX / 16, RECIPE_DEPTH_MAX, RECIPE_TEXT_MAX};
    int status = yamldoc_read(text, file, limits, &doc, problems);
    if (status < 0)
        return status;
    struct reader reader = {.file = file, .problems = problems};
    struct lock *lock = mem_zero(1, sizeof *lock);
    if (reader_map(&reader, yamldoc_root(doc), "the lock"))
        read_lock(&reader, yamldoc_root(doc), lock);
    yamldoc_free(doc);
    if (reader.found > 0) {
        lock_free(lock);
        return FARM_E_REFUSED;
    }
    *ret = lock;
    return 0;
}
