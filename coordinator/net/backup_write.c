/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The steps of a backup, in the pool. Everything is written under a temporary name beside the target; the objects are synced all at once
 * before the rename. If the target is an earlier backup of this farm, its objects are linked, and the two change places in one rename:
 * so at any instant the target is a whole backup.
 */
#include "backup_work.h"

#include "db.h"
#include "file.h"
#include "identity.h"
#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A piece of work: about half a second of verifying and copying, then somebody else has the thread. */
enum { PIECE_OBJECTS = 512, PIECE_MS = 500 };
#define PIECE_BYTES ((uint64_t)128 << 20)

#define KEY_FILE "coordinator.key"

void backup_work_free(struct backup_work *work)
{
    mem_close_p(&work->dirfd);
    mem_close_p(&work->earlier_dirfd);
    for (size_t i = 0; i < work->nsmall; i++) {
        free(work->small[i].path);
        buf_done(&work->small[i].content);
    }
    backup_list_done(&work->list);
    free(work->small);
    free(work->objects);
    free(work->rotten);
    free(work->to);
    free(work->temp);
    free(work);
}

/* ---- the database ---- */

static int take_object(void *context, const struct digest *object)
{
    struct backup_work *work = context;
    work->objects =
        mem_reserve(work->objects, &work->objects_capacity, work->nobjects + 1, sizeof *work->objects);
    work->objects[work->nobjects++] = *object;
    return 0;
}

/* From the copy, so that both speak of the same moment. Opening it also checks that it is sound. */
static int look_into(struct backup_work *work, const char *path, struct diag *diag)
{
    static const struct digest first;
    struct db *db = NULL;
    int result = db_open(path, &db, diag);
    int64_t size = result >= 0 ? db_log_size(db, diag) : result;
    if (size >= 0)
        result = db_each_object(db, &first, -1, take_object, work, diag);
    db_close(db);
    work->list.log_size = size > 0 ? (uint64_t)size : 0;
    work->list.schema = db_schema_newest();
    work->list.nobjects = work->nobjects;
    return size < 0 ? (int)size : result;
}

static int add_file(struct backup_work *work, const char *path, struct diag *diag)
{
    struct stat status;
    struct digest digest;
    CLEANUP_CLOSE int fd = openat(work->dirfd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) < 0)
        return diag_errno(diag, "%s", path);
    int result = digest_of_fd(fd, &digest, diag);
    if (result >= 0)
        backup_list_add(&work->list, path, (uint64_t)status.st_size, &digest);
    return result;
}

/* Now, and not after everything was copied: the last step will do the same with the two backups. */
static int try_exchange(const struct backup_work *work, struct diag *diag)
{
    static const char *const names[] = {"exchange-1", "exchange-2"};
    if (work->earlier_dirfd < 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (mkdirat(work->dirfd, names[i], 0700) < 0)
            return diag_errno(diag, "%s/%s: create directory", work->temp, names[i]);
    int result = renameat2(work->dirfd, names[0], work->dirfd, names[1], RENAME_EXCHANGE) < 0 ? -errno : 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        (void)!unlinkat(work->dirfd, names[i], AT_REMOVEDIR);
    if (result == -EINVAL || result == -ENOSYS || result == -EOPNOTSUPP)
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "%s: its file system cannot put a new backup in the place of an earlier one in one "
                        "step (RENAME_EXCHANGE); name a directory that does not exist each time, or keep "
                        "backups on ext4, xfs, btrfs or tmpfs",
                        work->to);
    return result < 0 ? diag_set(diag, result, "%s: %s", work->temp, farm_error_text(result)) : 0;
}

static int copy_database(struct backup_work *work, struct diag *diag)
{
    CLEANUP_FREE char *from = mem_format("%s/" BACKUP_DB, work->state_path);
    CLEANUP_FREE char *to = mem_format("%s/" BACKUP_DB, work->temp);
    partial_sweep(work->to, work->started_ms);
    if (mkdir(work->temp, 0700) < 0)
        return diag_errno(diag, "%s: create directory", work->temp);
    work->step = BACKUP_SMALL;
    work->dirfd = file_open_dir(AT_FDCWD, work->temp, diag);
    int result = work->dirfd < 0 ? work->dirfd : try_exchange(work, diag);
    if (result >= 0)
        result = db_snapshot(from, to, diag);
    if (result >= 0)
        result = look_into(work, to, diag);
    return result < 0 ? result : add_file(work, BACKUP_DB, diag);
}

/* ---- files ---- */

static int write_one(struct backup_work *work, const struct backup_small *small, struct diag *diag)
{
    struct digest digest = digest_of(buf_view(&small->content));
    int result = file_create(work->dirfd, small->path, buf_view(&small->content), 0600, diag);
    if (result >= 0)
        backup_list_add(&work->list, small->path, small->content.size, &digest);
    return result;
}

static int write_object_names(struct backup_work *work, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    for (size_t i = 0; i < work->nobjects; i++)
        buf_add_format(&text, "%s\n", digest_hex(&work->objects[i]).text);
    if (text.size > BACKUP_OBJECTS_MAX) /* a restore would refuse to read it */
        return diag_set(
            diag, FARM_E_LIMIT,
            "%zu objects are more than a backup may list; make it with --no-store, and copy store/",
            work->nobjects);
    int result = file_create(work->dirfd, BACKUP_OBJECTS, buf_view(&text), 0600, diag);
    return result < 0 ? result : add_file(work, BACKUP_OBJECTS, diag);
}

static int make_fanout(const struct backup_work *work, struct diag *diag)
{
    char path[sizeof BACKUP_STORE + 4];
    int result = 0;
    for (unsigned int i = 0; result >= 0 && i < 256; i++) {
        snprintf(path, sizeof path, BACKUP_STORE "/%02x", i);
        result = file_make_dirs(work->dirfd, path, 0700, diag);
    }
    return result;
}

static int write_small(struct backup_work *work, struct diag *diag)
{
    int result = file_make_dirs(work->dirfd, "log", 0700, diag);
    if (result >= 0)
        result = file_make_dirs(work->dirfd, "roots", 0700, diag);
    for (size_t i = 0; result >= 0 && i < work->nsmall; i++)
        result = write_one(work, &work->small[i], diag);
    if (result >= 0)
        result = identity_write(work->identity, work->dirfd, KEY_FILE, diag);
    if (result >= 0)
        result = add_file(work, KEY_FILE, diag);
    if (result >= 0 && work->list.has_store)
        result = write_object_names(work, diag);
    if (result >= 0 && work->list.has_store)
        result = make_fanout(work, diag);
    work->step = work->list.has_store ? BACKUP_COPY : BACKUP_APPEAR;
    return result;
}

/* ---- objects ---- */

static void note_missing(struct backup_work *work, const struct digest *object)
{
    struct backup_list *list = &work->list;
    work->nmissing++;
    if (list->nmissing >= BACKUP_MISSING_MAX)
        return;
    list->missing =
        mem_reserve(list->missing, &list->missing_capacity, list->nmissing + 1, sizeof *list->missing);
    list->missing[list->nmissing++] = *object;
}

/* It is whole in the new backup; but the disk of the earlier one loses what it holds. */
static void note_rotten(struct backup_work *work, const struct digest *object)
{
    if (work->nrotten < BACKUP_MISSING_MAX) {
        work->rotten =
            mem_reserve(work->rotten, &work->rotten_capacity, work->nrotten + 1, sizeof *work->rotten);
        work->rotten[work->nrotten] = *object;
    }
    work->nrotten++;
}

/* Names are digests, so any byte of them shares objects out evenly. */
static bool is_of_share(const struct backup_work *work, const struct digest *object)
{
    return object->bytes[DIGEST_SIZE - 1] % BACKUP_SHARES == work->list.share;
}

static int copy_object(struct backup_work *work, const struct digest *object, uint64_t *ret_bytes,
                       struct diag *diag)
{
    struct store_copied copied;
    int result = store_copy_stored(work->store, object, work->earlier_dirfd, is_of_share(work, object),
                                   work->dirfd, backup_object_path(object).text, &copied, diag);
    *ret_bytes = copied.bytes;
    work->nlinked += copied.earlier;
    work->nread += copied.read;
    if (result == FARM_E_MISSING || result == FARM_E_CORRUPT) {
        note_missing(work, object); /* a backup without it is better than none; the answer names it */
        return 0;
    }
    if (result >= 0 && copied.rotten)
        note_rotten(work, object);
    return result;
}

static int copy_objects(struct backup_work *work, struct diag *diag)
{
    uint64_t bytes = 0;
    int64_t began_ms = moment_steady_ms();
    for (int i = 0; i < PIECE_OBJECTS && bytes < PIECE_BYTES && work->next < work->nobjects &&
                    moment_steady_ms() - began_ms < PIECE_MS;
         i++) {
        uint64_t copied = 0;
        int result = pool_check(&work->task, diag);
        if (result >= 0)
            result = copy_object(work, &work->objects[work->next++], &copied, diag);
        if (result < 0)
            return result;
        bytes += copied;
    }
    work->copied_bytes += bytes;
    if (work->next == work->nobjects)
        work->step = BACKUP_APPEAR;
    return 0;
}

/* ---- the name ---- */

static int take_name(const struct backup_work *work, struct diag *diag)
{
    if (work->earlier_dirfd < 0)
        return file_rename_new(AT_FDCWD, work->temp, work->to, diag);
    if (renameat2(AT_FDCWD, work->temp, AT_FDCWD, work->to, RENAME_EXCHANGE) < 0)
        return diag_errno(diag, "%s: rename to %s", work->temp, work->to);
    return 0;
}

static int appear(struct backup_work *work, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    backup_list_write(&work->list, &text);
    int result = file_create(work->dirfd, BACKUP_FILE, buf_view(&text), 0600, diag);
    if (result < 0)
        return result;
    if (syncfs(work->dirfd) < 0)
        return diag_errno(diag, "%s: sync", work->temp);
    result = take_name(work, diag);
    if (result < 0)
        return result;
    work->step = BACKUP_CLEAN;
    return file_sync_parent(AT_FDCWD, work->to, diag);
}

/* 'temp' is the earlier one now, or nothing. */
static int clean(struct backup_work *work, struct diag *diag)
{
    work->step = BACKUP_DONE;
    return file_remove_tree(AT_FDCWD, work->temp, diag);
}

static int run_step(struct backup_work *work, struct diag *diag)
{
    switch (work->step) {
    case BACKUP_DATABASE:
        return copy_database(work, diag);
    case BACKUP_SMALL:
        return write_small(work, diag);
    case BACKUP_COPY:
        return copy_objects(work, diag);
    case BACKUP_APPEAR:
        return appear(work, diag);
    case BACKUP_CLEAN:
        return clean(work, diag);
    case BACKUP_DONE:
        break;
    }
    return 0;
}

void backup_run(struct pool_task *task)
{
    struct backup_work *work = (struct backup_work *)task;
    enum backup_step step = work->step;
    work->result = run_step(work, &work->diag);
    if (work->result < 0 && step < BACKUP_CLEAN) /* it may be many files: not on the loop's thread */
        (void)!file_remove_tree(AT_FDCWD, work->temp, NULL);
}
