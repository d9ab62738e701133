/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Manifest: the list itself, what makes it valid, and comparing two. The text form is in manifest_text.c. */
#include "manifest.h"

#include "file.h"

#include <inttypes.h>
#include <stdlib.h>

/* Strings live in chunks that never move, so that entries may point into them. */
enum { CHUNK_SIZE = 64 * 1024 };

static struct view keep_string(struct manifest *manifest, struct view text)
{
    if (text.size == 0)
        return VIEW("");
    struct buf *last = manifest->nstrings > 0 ? &manifest->strings[manifest->nstrings - 1] : NULL;
    if (last == NULL || last->capacity - last->size <= text.size) {
        manifest->strings = mem_reserve(manifest->strings, &manifest->strings_capacity,
                                        manifest->nstrings + 1, sizeof *manifest->strings);
        last = &manifest->strings[manifest->nstrings++];
        *last = (struct buf)BUF_INIT;
        buf_room(last, text.size > CHUNK_SIZE ? text.size : CHUNK_SIZE);
    }
    size_t at = last->size;
    buf_add_view(last, text); /* fits, so it does not move */
    return view_of(last->data + at, text.size);
}

void manifest_done(struct manifest *manifest)
{
    for (size_t i = 0; i < manifest->nstrings; i++)
        buf_done(&manifest->strings[i]);
    free(manifest->strings);
    free(manifest->entries);
    *manifest = (struct manifest)MANIFEST_INIT;
}

void manifest_add(struct manifest *manifest, const struct entry *entry)
{
    manifest->entries =
        mem_reserve(manifest->entries, &manifest->capacity, manifest->count + 1, sizeof *manifest->entries);
    struct entry *added = &manifest->entries[manifest->count++];
    *added = *entry;
    added->path = keep_string(manifest, entry->path);
    added->link = entry->type == ENTRY_LINK ? keep_string(manifest, entry->link) : VIEW_NONE;
}

int manifest_refuse(struct view path, const char *why, struct diag *diag)
{
    enum { SHOWN = 300 }; /* bytes of the path: the reason must fit behind it */
    CLEANUP_BUF struct buf name = BUF_INIT;
    manifest_escape(path, &name);
    return diag_set(diag, FARM_E_REFUSED, "./%.*s%s: %s", SHOWN, name.data, name.size > SHOWN ? "..." : "",
                    why);
}

static bool parent_is_directory(const struct manifest *manifest, struct view path)
{
    const char *slash = memrchr(path.data, '/', path.size);
    const struct entry *parent =
        manifest_find(manifest, slash != NULL ? view_of(path.data, (size_t)(slash - path.data)) : VIEW(""));
    return parent != NULL && parent->type == ENTRY_DIR;
}

/*
 * Counts ".." against the depth of the link's own directory. Only the text is looked at: what other links on the way do
 * is settled by the rule that nothing of ours ever follows one.
 */
static bool link_leaves_root(struct view path, struct view target)
{
    size_t depth = 0;
    for (size_t i = 0; i < path.size; i++)
        depth += path.data[i] == '/';
    if (target.data[0] == '/')
        depth = 0; /* begins at the root */
    struct view rest = target, part;
    while (view_split(&rest, '/', &part)) {
        if (view_equal(part, VIEW(".."))) {
            if (depth == 0)
                return true;
            depth--;
        } else if (part.size > 0 && !view_equal(part, VIEW("."))) {
            depth++;
        }
    }
    return false;
}

static int check_link(const struct entry *entry, struct diag *diag)
{
    if (entry->mode != 0777)
        return manifest_refuse(entry->path, "a link's mode is always 0777", diag);
    if (entry->link.size == 0 || entry->link.size >= MANIFEST_PATH_MAX ||
        memchr(entry->link.data, '\0', entry->link.size) != NULL)
        return manifest_refuse(entry->path, "its link target is empty, too long or holds a NUL", diag);
    if (link_leaves_root(entry->path, entry->link))
        return manifest_refuse(entry->path, "its link target climbs above the root", diag);
    return 0;
}

static int check_entry(const struct manifest *manifest, const struct entry *entry, struct diag *diag)
{
    if (!file_path_is_plain(entry->path) || entry->path.size >= MANIFEST_PATH_MAX)
        return manifest_refuse(entry->path, "not a plain relative path", diag);
    if (view_equal(entry->path, VIEW(".PKGINFO")))
        return manifest_refuse(entry->path, "the archive needs this name for its own metadata", diag);
    if (!parent_is_directory(manifest, entry->path))
        return manifest_refuse(entry->path, "its parent is not listed as a directory", diag);
    if (entry->mode > 07777)
        return manifest_refuse(entry->path, "mode has more than permission bits", diag);
    switch (entry->type) {
    case ENTRY_DIR:
        return 0;
    case ENTRY_FILE:
        return entry->size <= MANIFEST_FILE_MAX
                   ? 0
                   : manifest_refuse(entry->path, "file larger than the limit", diag);
    case ENTRY_LINK:
        return check_link(entry, diag);
    }
    abort();
}

static int check_root(const struct manifest *manifest, struct diag *diag)
{
    if (manifest->count > MANIFEST_ENTRIES_MAX)
        return diag_set(diag, FARM_E_REFUSED, "%zu entries, the limit is %d", manifest->count,
                        MANIFEST_ENTRIES_MAX);
    if (manifest->count == 0 || manifest->entries[0].path.size != 0)
        return diag_set(diag, FARM_E_REFUSED, ".: the root directory is not listed");
    const struct entry *root = &manifest->entries[0];
    if (root->type != ENTRY_DIR || root->mode > 07777)
        return diag_set(diag, FARM_E_REFUSED, ".: the root is not a directory with a plain mode");
    return 0;
}

static int compare_paths(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return view_compare(a->path, b->path);
}

int manifest_seal(struct manifest *manifest, struct diag *diag)
{
    if (manifest->count > 1)
        qsort(manifest->entries, manifest->count, sizeof *manifest->entries, compare_paths);
    int result = check_root(manifest, diag);
    for (size_t i = 1; result >= 0 && i < manifest->count; i++) {
        if (view_equal(manifest->entries[i - 1].path, manifest->entries[i].path))
            return manifest_refuse(manifest->entries[i].path, "listed twice", diag);
        result = check_entry(manifest, &manifest->entries[i], diag);
    }
    return result;
}

const struct entry *manifest_find(const struct manifest *manifest, struct view path)
{
    size_t low = 0, high = manifest->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = view_compare(manifest->entries[middle].path, path);
        if (order == 0)
            return &manifest->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

/* The gravest difference; false if the entries are equal. */
static bool entry_change(const struct entry *before, const struct entry *after, enum entry_change *ret)
{
    if (before->type != after->type)
        *ret = CHANGE_TYPE;
    else if (before->type == ENTRY_FILE &&
             (before->size != after->size || !digest_equal(&before->sha256, &after->sha256)))
        *ret = CHANGE_CONTENT;
    else if (before->type == ENTRY_LINK && !view_equal(before->link, after->link))
        *ret = CHANGE_LINK;
    else if (before->mode != after->mode)
        *ret = CHANGE_MODE;
    else
        return false;
    return true;
}

void manifest_compare(const struct manifest *before, const struct manifest *after,
                      void (*report)(void *context, enum entry_change change, const struct entry *before,
                                     const struct entry *after),
                      void *context)
{
    size_t b = 0, a = 0;
    while (b < before->count || a < after->count) {
        const struct entry *old = b < before->count ? &before->entries[b] : NULL;
        const struct entry *new = a < after->count ? &after->entries[a] : NULL;
        int order = old == NULL ? 1 : new == NULL ? -1 : view_compare(old->path, new->path);
        enum entry_change change;
        if (order < 0)
            report(context, CHANGE_REMOVED, old, NULL);
        else if (order > 0)
            report(context, CHANGE_ADDED, NULL, new);
        else if (entry_change(old, new, &change))
            report(context, change, old, new);
        b += order <= 0;
        a += order >= 0;
    }
}
