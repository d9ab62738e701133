/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The directory, in the pool. Nothing is synced one by one: syncfs() before the rename makes all of it durable at once, and until then
 * nobody sees the name. A crash leaves a directory "<target>.partial-<pid>-<ms>", which the next export beside it removes.
 */
#include "export.h"

#include "file.h"
#include "map.h"
#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct directory_writer {
    struct export *export;
    int dirfd;
    struct map *made; /* directories that are there already */
};

/* ---- files ---- */

static int make_parent(struct directory_writer *writer, const char *path, struct diag *diag)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return 0;
    struct view name = view_of(path, (size_t)(slash - path));
    if (map_get(writer->made, name) != NULL)
        return 0;
    CLEANUP_FREE char *parent = view_string(name);
    int result = file_make_dirs(writer->dirfd, parent, 0755, diag);
    if (result >= 0)
        map_set(writer->made, name, writer);
    return result;
}

static int create(struct directory_writer *writer, const char *path, struct diag *diag)
{
    int result = make_parent(writer, path, diag);
    if (result < 0)
        return result;
    int fd = openat(writer->dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return diag_errno(diag, "%s", path);
    writer->export->written++;
    return fd;
}

static int write_text(void *context, const char *path, struct view text, struct diag *diag)
{
    CLEANUP_CLOSE int fd = create(context, path, diag);
    if (fd < 0)
        return fd;
    int result = file_write_all(fd, text.data, text.size);
    return result < 0 ? diag_set(diag, result, "%s: cannot be written", path) : 0;
}

static int write_object(void *context, const char *path, const struct digest *object, struct diag *diag)
{
    struct directory_writer *writer = context;
    int result = pool_check(&writer->export->task, diag);
    if (result < 0)
        return result;
    CLEANUP_CLOSE int fd = create(writer, path, diag);
    if (fd < 0)
        return fd;
    result = store_get_fd(writer->export->store, object, fd, diag);
    return result < 0 ? diag_wrap(diag, result, "%s", path) : 0;
}

static int write_files(struct directory_writer *writer, struct diag *diag)
{
    struct export *export = writer->export;
    struct export_writer output = {write_text, write_object, writer};
    int result = 0;
    for (size_t i = 0; result >= 0 && i < export->nfiles; i++) {
        const struct export_file *file = &export->files[i];
        result = file->is_object ? write_object(writer, file->path, &file->object, diag)
                                 : write_text(writer, file->path, buf_view(&file->text), diag);
    }
    if (result >= 0)
        result = export_write_evidence(export, &output, diag);
    return result < 0 ? result : export_write_log(export, &output, diag);
}

/* ---- the gate ---- */

static int verify_it(struct export *export, int dirfd, struct diag *diag)
{
    CLEANUP_FREE char *trust = mem_format("%s/root.json", export->state_path);
    struct verify_options options = {.dirfd = dirfd,
                                     .trust = trust,
                                     .state = &export->state,
                                     .now_ms = moment_wall_ms(),
                                     .phase = export->phase};
    int result = verify_state_read(export->state_dirfd, "gate.state", &export->state, diag);
    if (result >= 0)
        result = verify_release(&options, &export->verified, diag);
    for (size_t i = 0; i < export->verified.nnotes; i++)
        export_note(export, "%s", export->verified.notes[i]);
    if (result >= 0)
        result = verify_state_write(export->state_dirfd, "gate.state", &export->verified.state, diag);
    return result;
}

static int write_handoff(struct directory_writer *writer, struct diag *diag)
{
    const struct export *export = writer->export;
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:s}", "format", RELEASE_HANDOFF_FORMAT, "phase", export->phase, "release",
        export->verified.name, "release_sha256", digest_hex(&export->verified.release).text, "sequence",
        (json_int_t) export->verified.sequence, "verified", moment_format(moment_wall_ms()).text);
    json_write(document, &text);
    json_decref(document);
    return write_text(writer, RELEASE_HANDOFF, buf_view(&text), diag);
}

/* ---- the whole ---- */

/* What has the target's name now must be what was written: the parent directory may be others' as well. */
static int check_same(const struct export *export, int dirfd, struct diag *diag)
{
    struct stat made, there;
    if (fstat(dirfd, &made) < 0 || fstatat(AT_FDCWD, export->to, &there, AT_SYMLINK_NOFOLLOW) < 0)
        return diag_errno(diag, "%s", export->to);
    if (made.st_dev != there.st_dev || made.st_ino != there.st_ino)
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s: somebody put another directory there; choose a place that is not others' to write",
            export->to);
    return 0;
}

static int appear(const struct export *export, int dirfd, struct diag *diag)
{
    int result = 0;
    if (syncfs(dirfd) < 0)
        return diag_errno(diag, "%s: sync", export->temp);
    result = file_rename_new(AT_FDCWD, export->temp, export->to, diag);
    if (result >= 0)
        result = check_same(export, dirfd, diag);
    return result < 0 ? result : file_sync_parent(AT_FDCWD, export->to, diag);
}

static int write_directory(struct export *export, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, export->temp, diag);
    if (dirfd < 0)
        return dirfd;
    struct directory_writer writer = {export, dirfd, map_new()};
    int result = write_files(&writer, diag);
    if (result >= 0 && export->phase != NULL)
        result = verify_it(export, dirfd, diag);
    if (result >= 0 && export->phase != NULL)
        result = write_handoff(&writer, diag);
    map_free(writer.made);
    return result < 0 ? result : appear(export, dirfd, diag);
}

void export_run(struct pool_task *task)
{
    struct export *export = (struct export *)task;
    partial_sweep(export->to, export->started_ms);
    if (mkdir(export->temp, 0755) < 0) {
        export->result = diag_errno(&export->diag, "%s: create directory", export->temp);
        return;
    }
    export->result = write_directory(export, &export->diag);
    if (export->result < 0)
        (void)!file_remove_tree(AT_FDCWD, export->temp, NULL);
}
