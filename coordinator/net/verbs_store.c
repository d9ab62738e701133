/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the farm holds: bases, sources, trees; and what it may throw away. */
#include "verbs.h"

#include "buf.h"
#include "file.h"
#include "payload.h"
#include "scrub.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

/* ---- base import ---- */

struct base_task {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    int state_dirfd; /* borrowed */
    int fd;
    char *name;
    struct payload payload;
    int result;
    struct diag diag;
};

static void base_run(struct pool_task *task)
{
    struct base_task *base = (struct base_task *)task;
    CLEANUP_FREE char *scratch = NULL;
    int result = file_temp_dir(base->state_dirfd, "scratch/base", &scratch, &base->diag);
    CLEANUP_CLOSE int dirfd = result >= 0 ? file_open_dir(base->state_dirfd, scratch, &base->diag) : -1;
    if (result >= 0)
        result = dirfd < 0 ? dirfd
                           : payload_import_base(base->store, base->fd, dirfd, &base->payload, &base->diag);
    if (scratch != NULL)
        (void)!file_remove_tree(base->state_dirfd, scratch, NULL);
    base->result = result;
}

static void base_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct base_task *base = (struct base_task *)task;
    if (base->result < 0) {
        ctl_fail(base->request, base->result, &base->diag);
    } else {
        CLEANUP_FREE char *holder = mem_format("base:%s", digest_hex(&base->payload.manifest).text);
        struct db_base row = {.manifest = base->payload.manifest,
                              .tar = base->payload.tar,
                              .tar_size = base->payload.tar_size,
                              .name = base->name,
                              .imported_ms = moment_wall_ms()};
        db_put_base(farm_write(farm), &row);
        db_put_reference(farm->db, &row.manifest, holder);
        db_put_reference(farm->db, &row.tar, holder);
        ctl_finish(base->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s, s:s, s:I}", "name", base->name, "base",
                             digest_hex(&base->payload.manifest).text, "tar",
                             digest_hex(&base->payload.tar).text, "size",
                             (json_int_t)base->payload.tar_size));
    }
    mem_close_p(&base->fd);
    free(base->name);
    free(base);
}

void verb_base_import(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "name");
    int fd = ctl_take_fd(request);
    if (fd < 0 || name == NULL) {
        mem_close_p(&fd);
        ctl_fail(request, diag_set(&diag, FARM_E_USAGE, "a base needs a file and a name"), &diag);
        return;
    }
    if (disk_check(farm, &diag) < 0) {
        mem_close_p(&fd);
        ctl_fail(request, diag.error, &diag);
        return;
    }
    struct base_task *base = mem_zero(1, sizeof *base);
    base->task.run = base_run;
    base->task.done = base_done;
    base->result = -ECANCELED;
    base->request = request;
    base->store = farm->store;
    base->state_dirfd = farm->state_dirfd;
    base->fd = fd;
    base->name = mem_string(name);
    pool_submit(farm->pool, &base->task);
}

static int list_base(void *list, const struct db_base *row)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:s}", "name", row->name, "base",
                                          digest_hex(&row->manifest).text, "tar", digest_hex(&row->tar).text,
                                          "size", (json_int_t)row->tar_size, "imported",
                                          moment_format(row->imported_ms).text));
    return 0;
}

/* Every listing of rows ends in the same way. */
static void finish_list(struct ctl_request *request, int result, const char *key, json_t *list,
                        struct diag *diag)
{
    if (result < 0) {
        json_decref(list);
        ctl_fail(request, result, diag);
        return;
    }
    ctl_finish(request, FARM_EXIT_OK, json_pack("{s:o}", key, list));
}

void verb_base_list(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    json_t *list = json_array();
    finish_list(request, db_each_base(farm->db, list_base, list, &diag), "bases", list, &diag);
}

/* ---- sources ---- */

struct source_task {
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    int fd;
    char *name;
    uint64_t limit;
    struct digest digest;
    uint64_t size;
    int result;
    struct diag diag;
};

static void source_run(struct pool_task *task)
{
    struct source_task *source = (struct source_task *)task;
    source->result = store_put_fd(source->store, source->fd, source->limit, NULL, &source->digest,
                                  &source->size, &source->diag);
}

/* Which packages of known trees pin these bytes? For people; nothing depends on it. */
static json_t *wanted_by(struct farm *farm, const struct digest *digest)
{
    json_t *list = json_array();
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(farm->trees, &cursor, &key, &value)) {
        const struct tree *tree = ((struct farm_tree *)value)->tree;
        for (size_t i = 0; i < tree->npackages; i++)
            for (size_t k = 0; k < tree->packages[i].npins; k++)
                if (digest_equal(&tree->packages[i].pins[k].digest, digest))
                    json_array_append_new(list, json_string(tree->packages[i].recipe->name));
    }
    return list;
}

static void source_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct source_task *source = (struct source_task *)task;
    if (source->result < 0) {
        ctl_fail(source->request, source->result, &source->diag);
    } else {
        CLEANUP_FREE char *holder = mem_format("source:%s", digest_hex(&source->digest).text);
        CLEANUP_FREE char *origin = mem_format("added: %s", source->name);
        struct db_source row = {.pin = source->digest,
                                .object = source->digest,
                                .commit = "",
                                .size = source->size,
                                .origin = origin,
                                .added_ms = moment_wall_ms()};
        db_put_source(farm_write(farm), &row);
        db_put_reference(farm->db, &row.object, holder);
        ctl_finish(source->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:s, s:I, s:o}", "file", source->name, "sha256",
                             digest_hex(&source->digest).text, "size", (json_int_t)source->size, "packages",
                             wanted_by(farm, &source->digest)));
    }
    mem_close_p(&source->fd);
    free(source->name);
    free(source);
}

void verb_source_add(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "name");
    int fd = ctl_take_fd(request);
    if (fd < 0 || name == NULL) {
        mem_close_p(&fd);
        ctl_fail(request, diag_set(&diag, FARM_E_USAGE, "a source needs a file"), &diag);
        return;
    }
    if (disk_check(farm, &diag) < 0) {
        mem_close_p(&fd);
        ctl_fail(request, diag.error, &diag);
        return;
    }
    struct source_task *source = mem_zero(1, sizeof *source);
    source->task.run = source_run;
    source->task.done = source_done;
    source->result = -ECANCELED;
    source->request = request;
    source->store = farm->store;
    source->fd = fd;
    source->name = mem_string(name);
    source->limit = farm->config.download_limit;
    pool_submit(farm->pool, &source->task);
}

static int list_source(void *list, const struct db_source *row)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:I, s:s, s:s}", "pin", digest_hex(&row->pin).text,
                                          "commit", row->commit, "object", digest_hex(&row->object).text,
                                          "size", (json_int_t)row->size, "origin", row->origin, "added",
                                          moment_format(row->added_ms).text));
    return 0;
}

void verb_source_list(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    json_t *list = json_array();
    finish_list(request, db_each_source(farm->db, list_source, list, &diag), "sources", list, &diag);
}

static int list_tree(void *list, const struct db_tree *row)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "commit", row->commit, "tree_sha256",
                                          digest_hex(&row->tree_sha256).text, "url", row->url));
    return 0;
}

void verb_tree_list(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    json_t *list = json_array();
    finish_list(request, db_each_tree(farm->db, list_tree, list, &diag), "trees", list, &diag);
}

/* ---- collection ---- */

static bool keep(void *context, const struct digest *name)
{
    struct farm *farm = context;
    return db_is_referenced(farm->db, name);
}

static bool is_loaded(const struct farm *farm, const char *name)
{
    size_t cursor = 0;
    struct view key;
    for (void *tree; map_next(farm->trees, &cursor, &key, &tree);)
        if (strcmp(digest_hex(&((struct farm_tree *)tree)->sha256).text, name) == 0)
            return true;
    return false;
}

/* Checked-out package trees of plans that left memory: their packs are in the store, and plans_load_tree() makes them again. */
static int remove_trees(struct farm *farm, size_t *ret_removed, struct diag *diag)
{
    int result = 0;
    int fd = file_open_dir(farm->state_dirfd, "trees", diag);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        mem_close_p(&fd);
        return diag_errno(diag, "trees/");
    }
    for (struct dirent *entry; result >= 0 && (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.' || is_loaded(farm, entry->d_name))
            continue;
        result = file_remove_tree(dirfd(dir), entry->d_name, diag);
        *ret_removed += result >= 0;
    }
    closedir(dir);
    return result;
}

/* On the loop's thread: it is the database's only user. A look-up takes microseconds, and collecting is rare.
 */
void verb_collect(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    size_t removed = 0, trees = 0, plans = 0;
    uint64_t bytes = 0;
    access_unpin(farm->access, moment_steady_ms() - PRESENT_KEEP_MS);
    size_t tasks = pool_pending(farm->pool) - (scrub_is_working(farm) ? 1 : 0);
    if (tasks > 0) { /* what a running task stores is named by no row before it is done */
        ctl_fail(request,
                 diag_set(&diag, FARM_E_STATE,
                          "%zu tasks (imports, fetches, exports) are running; collect when they are done",
                          tasks),
                 &diag);
        return;
    }
    int result = plans_drop_old(farm, &plans, &diag);
    if (result >= 0)
        result = store_collect(farm->store, keep, farm, (int64_t)farm->config.collect_grace * 1000, &removed,
                               &bytes, &diag);
    if (result >= 0)
        result = remove_trees(farm, &trees, &diag);
    if (result < 0)
        ctl_fail(request, result, &diag);
    else
        ctl_finish(request, FARM_EXIT_OK,
                   json_pack("{s:I, s:I, s:I, s:I}", "removed", (json_int_t)removed, "bytes",
                             (json_int_t)bytes, "trees", (json_int_t)trees, "plans", (json_int_t)plans));
}
