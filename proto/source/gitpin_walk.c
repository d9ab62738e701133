/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Walking a commit's tree, depth first in git's order, counting entries and bytes before anything is read.
 */
#include "gitpin_private.h"

#include "treedigest.h"

#include <stdlib.h>

enum {
    DEPTH_MAX = 128,                  /* the deepest directory in the repositories of ROCm is 17 */
    PATH_SIZE_MAX = 4000,             /* what the kernel takes, with room in front */
    TREE_SIZE_MAX = 32 * 1024 * 1024, /* one directory of 500,000 names */
    LINK_SIZE_MAX = 4095
};

struct walk {
    struct gitrepo *repo;
    struct gitpin_limits limits;
    gitpin_visitor *visit;
    void *context;
    struct buf path;
    uint64_t entries, bytes;
    int depth;
};

int gitpin_commit(struct gitrepo *repo, const char *commit, git_commit **ret, struct diag *diag)
{
    git_oid id;
    if (strlen(commit) != GIT_OID_HEXSZ || git_oid_fromstr(&id, commit) < 0)
        return diag_set(diag, FARM_E_SYNTAX, "\"%s\" is not a full commit id of %d hex digits", commit,
                        GIT_OID_HEXSZ);
    int r = git_commit_lookup(ret, repo->repo, &id);
    return r < 0 ? diag_wrap(diag, gitpin_error_of(diag, r, FARM_E_CORRUPT, "cannot be read"), "commit %s",
                             commit)
                 : 0;
}

static int over(const struct walk *walk, struct diag *diag, const char *what, uint64_t limit)
{
    return diag_set(diag, FARM_E_LIMIT, "\"%.*s\": the tree has more than %llu %s", VIEW_ARG(walk->path),
                    (unsigned long long)limit, what);
}

static int read_object(struct walk *walk, const git_oid *id, git_object_t type, git_odb_object **ret,
                       struct diag *diag)
{
    int r = git_odb_read(ret, walk->repo->odb, id);
    if (r < 0)
        return diag_wrap(diag, gitpin_error_of(diag, r, FARM_E_CORRUPT, "cannot be read"), "\"%.*s\"",
                         VIEW_ARG(walk->path));
    if (git_odb_object_type(*ret) == type)
        return 0;
    git_odb_object_free(*ret);
    *ret = NULL;
    return diag_set(diag, FARM_E_REFUSED, "\"%.*s\": the object has another type than its entry says",
                    VIEW_ARG(walk->path));
}

/* Type and size, from the object's header: before anything of that size is allocated. */
static int look_at(struct walk *walk, const git_oid *id, git_object_t type, uint64_t max, uint64_t *ret_size,
                   struct diag *diag)
{
    git_object_t found;
    size_t size;
    int r = git_odb_read_header(&size, &found, walk->repo->odb, id);
    if (r < 0)
        return diag_wrap(diag, gitpin_error_of(diag, r, FARM_E_CORRUPT, "cannot be read"), "\"%.*s\"",
                         VIEW_ARG(walk->path));
    if (found != type)
        return diag_set(diag, FARM_E_REFUSED, "\"%.*s\": the object has another type than its entry says",
                        VIEW_ARG(walk->path));
    if (size > max)
        return diag_set(diag, FARM_E_LIMIT, "\"%.*s\": %zu bytes, the limit is %llu", VIEW_ARG(walk->path),
                        size, (unsigned long long)max);
    *ret_size = size;
    return 0;
}

static int visit(struct walk *walk, enum gitpin_step step, const struct gitpin_entry *entry, uint64_t size,
                 struct diag *diag)
{
    const struct gitpin_visit at = {step, buf_view(&walk->path), entry->mode, &entry->id, size};
    return walk->visit(walk->context, &at, diag);
}

static int walk_tree(struct walk *walk, const struct gitpin_entry *tree, struct diag *diag);

static int walk_blob(struct walk *walk, const struct gitpin_entry *entry, struct diag *diag)
{
    uint64_t size = 0, max = entry->mode == TREE_LINK ? LINK_SIZE_MAX : GITPIN_BLOB_MAX;
    int r = look_at(walk, &entry->id, GIT_OBJECT_BLOB, max, &size, diag);
    if (r < 0)
        return r;
    if (size > walk->limits.bytes - walk->bytes)
        return over(walk, diag, "bytes", walk->limits.bytes);
    walk->bytes += size;
    return visit(walk, STEP_BLOB, entry, size, diag);
}

static int walk_entry(struct walk *walk, const struct gitpin_entry *entry, struct diag *diag)
{
    if (walk->entries++ >= walk->limits.entries)
        return over(walk, diag, "entries", walk->limits.entries);
    if (walk->path.size > PATH_SIZE_MAX)
        return over(walk, diag, "bytes in a path", PATH_SIZE_MAX);
    if (entry->mode == TREE_DIR)
        return walk_tree(walk, entry, diag);
    return entry->mode == TREE_GITLINK ? visit(walk, STEP_GITLINK, entry, 0, diag)
                                       : walk_blob(walk, entry, diag);
}

static int walk_entries(struct walk *walk, const struct gitpin_entry *entries, size_t count,
                        struct diag *diag)
{
    size_t base = walk->path.size;
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++) {
        if (base > 0)
            buf_add_byte(&walk->path, '/');
        buf_add_view(&walk->path, entries[i].name);
        r = walk_entry(walk, &entries[i], diag);
        walk->path.size = base;
        walk->path.data[base] = '\0';
    }
    return r;
}

static int walk_tree(struct walk *walk, const struct gitpin_entry *tree, struct diag *diag)
{
    git_odb_object *object = NULL;
    struct gitpin_entry *entries = NULL;
    size_t count = 0;
    uint64_t size;
    if (walk->depth >= DEPTH_MAX)
        return over(walk, diag, "directories inside one another", DEPTH_MAX);
    int r = look_at(walk, &tree->id, GIT_OBJECT_TREE, TREE_SIZE_MAX, &size, diag);
    if (r >= 0)
        r = read_object(walk, &tree->id, GIT_OBJECT_TREE, &object, diag);
    if (r >= 0)
        r = gitpin_tree_parse(gitpin_content(object), buf_view(&walk->path), &entries, &count, diag);
    walk->depth++;
    if (r >= 0)
        r = visit(walk, STEP_ENTER, tree, 0, diag);
    if (r >= 0)
        r = walk_entries(walk, entries, count, diag);
    if (r >= 0)
        r = visit(walk, STEP_LEAVE, tree, 0, diag);
    walk->depth--;
    free(entries);
    git_odb_object_free(object);
    return r;
}

int gitpin_walk(struct gitrepo *repo, const git_commit *commit, struct gitpin_limits limits,
                gitpin_visitor *visitor, void *context, struct diag *diag)
{
    struct walk walk = {
        .repo = repo, .limits = limits, .visit = visitor, .context = context, .path = BUF_INIT};
    struct gitpin_entry root = {.mode = TREE_DIR, .id = *git_commit_tree_id(commit)};
    buf_add_text(&walk.path, ""); /* NUL-terminated from the start */
    int r = walk_tree(&walk, &root, diag);
    buf_done(&walk.path);
    return r;
}

int gitpin_blob(struct gitrepo *repo, const struct gitpin_visit *at, git_odb_object **ret, struct diag *diag)
{
    int r = git_odb_read(ret, repo->odb, at->id);
    if (r < 0)
        return diag_wrap(diag, gitpin_error_of(diag, r, FARM_E_CORRUPT, "cannot be read"), "\"%.*s\"",
                         VIEW_ARG(at->path));
    if (git_odb_object_type(*ret) == GIT_OBJECT_BLOB && git_odb_object_size(*ret) == at->size)
        return 0;
    git_odb_object_free(*ret);
    *ret = NULL;
    return diag_set(diag, FARM_E_CORRUPT, "\"%.*s\": the object differs from its header", VIEW_ARG(at->path));
}
