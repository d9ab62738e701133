/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Export and hand-off: a release as a directory that anybody can check offline (docs/FORMATS.md).
 *
 * It is written under a temporary name beside the target, synced, and renamed: it appears whole or not at
 * all. A hand-off is an export that farm-verify's own library has passed, against the trust root and a
 * remembered state, before the rename; what the database says plays no part in that.
 */
#include "verbs.h"

#include "buf.h"
#include "evidence.h"
#include "farmlog.h"
#include "file.h"
#include "verify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file to write: text, or an object. */
struct export_file {
    char *path;
    struct buf text;
    struct digest object; /* used if text is empty */
    bool is_object;
};

struct export
{
    struct pool_task task;
    struct ctl_request *request;
    struct store *store;
    const char *state_path;
    int state_dirfd;
    char *to, *temp, *phase; /* phase NULL: a plain export */
    struct export_file *files;
    size_t nfiles, capacity;
    struct verify_result verified;
    struct verify_state state;
    int result;
    struct diag diag;
};

static struct export_file *add_file(struct export *export, char *path)
{
    export->files = mem_reserve(export->files, &export->capacity, export->nfiles + 1, sizeof *export->files);
    struct export_file *file = &export->files[export->nfiles++];
    *file = (struct export_file){.path = path};
    return file;
}

static void add_text(struct export *export, char *path, struct view text)
{
    buf_add_view(&add_file(export, path)->text, text);
}

static void add_object(struct export *export, char *path, const struct digest *object)
{
    struct export_file *file = add_file(export, path);
    file->object = *object;
    file->is_object = true;
}

/* ---- what belongs into it; on the loop's thread ---- */

static int add_tree_file(struct farm *farm, struct export *export, const struct farm_plan *plan,
                         const char *from, const char *to, struct diag *diag)
{
    CLEANUP_FREE char *tree = plans_tree_path(&plan->plan->tree.sha256);
    CLEANUP_FREE char *path = mem_format("%s/%s", tree, from);
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(farm->state_dirfd, path, RELEASE_SIZE_MAX, &text, diag);
    if (result >= 0)
        add_text(export, mem_string(to), buf_view(&text));
    return result;
}

static int add_state_file(struct farm *farm, struct export *export, const char *from, char *to,
                          struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = file_read(farm->state_dirfd, from, RELEASE_SIZE_MAX, &text, diag);
    if (result < 0) {
        free(to);
        return result;
    }
    add_text(export, to, buf_view(&text));
    return 0;
}

static int add_root(struct farm *farm, struct export *export, const struct digest *workers, struct diag *diag)
{
    CLEANUP_BUF struct buf sigs = BUF_INIT;
    CLEANUP_JSON json_t *array = NULL;
    json_t *item;
    size_t index;
    CLEANUP_FREE char *path = mem_format(RELEASE_ROOT_FORMAT, (long long)farm->root->version);
    int result = add_state_file(farm, export, "root.json", mem_string(path), diag);
    if (result >= 0)
        result = file_read(farm->state_dirfd, "root.json.sigs", RELEASE_SIZE_MAX, &sigs, diag);
    if (result >= 0)
        result = json_read(buf_view(&sigs), "root.json.sigs", RELEASE_SIZE_MAX, &array, diag);
    if (result < 0)
        return result;
    json_array_foreach(array, index, item)
        add_text(export, mem_format("%s.sig.d/%zu.sig", path, index), view_text(json_string_value(item)));
    add_object(export, mem_string(RELEASE_WORKERS), workers); /* as it was when the release was drafted */
    return 0;
}

static int add_inputs(struct farm *farm, struct export *export, const struct farm_plan *plan,
                      struct diag *diag)
{
    int result = add_tree_file(farm, export, plan, "farm/policy.yml", RELEASE_POLICY, diag);
    if (result >= 0)
        result = add_tree_file(farm, export, plan, "farm/farm.lock", RELEASE_LOCK, diag);
    if (result < 0)
        return result;
    add_object(export, mem_string(RELEASE_PLAN), &plan->id);
    add_object(export, mem_string(RELEASE_BASE), &plan->plan->base);
    for (size_t i = 0; i < plan->plan->nnodes; i++) {
        struct core_node_view view;
        if (core_node(farm->core, &plan->id, i, &view) && view.keyed && view.state == NODE_AGREED)
            add_object(export, mem_format(RELEASE_SPECS "/%s.json", digest_hex(&view.key).text), &view.key);
    }
    return 0;
}

static int add_package(struct farm *farm, struct export *export, const struct farm_plan *plan,
                       const struct release_package *package, struct diag *diag)
{
    CLEANUP_FREE char *id = mem_format("%s/%s", package->tier, package->name);
    size_t node = plan_find(plan->plan, view_text(id));
    if (node == SIZE_MAX)
        return diag_set(diag, FARM_E_CORRUPT, "%s is in the release, but not in its plan", id);
    add_object(export, release_path(RELEASE_ARTIFACTS, package, ".igos.tar.gz"), &package->archive_sha256);
    add_object(export, release_path(RELEASE_MANIFESTS, package, ".mtree"), &package->payload);
    struct export_file *receipt = add_file(export, release_path(RELEASE_RECEIPTS, package, ".intoto.jsonl"));
    return evidence_receipt(farm, plan, node, &receipt->text, diag);
}

static int add_signature(void *context, const char *signer, const char *signature)
{
    add_text(context, mem_format(RELEASE_SIGNATURES "/%.16s.sig", signer), view_text(signature));
    return 0;
}

static int add_all(struct farm *farm, struct export *export, const struct farm_plan *plan,
                   const struct release *release, const struct digest *digest, struct diag *diag)
{
    CLEANUP_BUF struct buf manifest = BUF_INIT;
    add_object(export, mem_string(RELEASE_FILE), digest);
    release_archive_manifest(release, digest, &manifest);
    add_text(export, mem_string(RELEASE_ARCHIVE_MANIFEST), buf_view(&manifest));
    int result = db_each_signature_of(farm->db, release->name, add_signature, export, diag);
    if (result >= 0)
        result = add_root(farm, export, &release->workers, diag);
    if (result >= 0)
        result = add_inputs(farm, export, plan, diag);
    for (size_t i = 0; result >= 0 && i < release->npackages; i++)
        result = add_package(farm, export, plan, &release->packages[i], diag);
    return result < 0 ? result : 0;
}

/* ---- writing; in the pool ---- */

static int write_one(struct export *export, int dirfd, const struct export_file *file, struct diag *diag)
{
    const char *slash = strrchr(file->path, '/');
    int result = 0;
    if (slash != NULL) {
        CLEANUP_FREE char *parent = mem_string_n(file->path, (size_t)(slash - file->path));
        result = file_make_dirs(dirfd, parent, 0755, diag);
    }
    if (result >= 0 && !file->is_object)
        return file_create(dirfd, file->path, buf_view(&file->text), 0644, diag);
    CLEANUP_CLOSE int fd =
        result < 0 ? -1 : openat(dirfd, file->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (result >= 0)
        result = fd < 0 ? diag_errno(diag, "%s", file->path)
                        : store_get_fd(export->store, &file->object, fd, diag);
    if (result >= 0)
        result = file_sync(fd, diag);
    return result;
}

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
    if (result >= 0)
        result = verify_state_write(export->state_dirfd, "gate.state", &export->verified.state, diag);
    return result;
}

static int write_handoff(struct export *export, int dirfd, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *document = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:s}", "format", "intergenos-handoff/1", "phase", export->phase, "release",
        export->verified.name, "release_sha256", digest_hex(&export->verified.release).text, "sequence",
        (json_int_t) export->verified.sequence, "verified", moment_format(moment_wall_ms()).text);
    json_write(document, &text);
    json_decref(document);
    return file_create(dirfd, "handoff.json", buf_view(&text), 0644, diag);
}

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

static int write_directory(struct export *export, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, export->temp, diag);
    int result = dirfd < 0 ? dirfd : 0;
    for (size_t i = 0; result >= 0 && i < export->nfiles; i++)
        result = write_one(export, dirfd, &export->files[i], diag);
    if (result >= 0 && export->phase != NULL)
        result = verify_it(export, dirfd, diag);
    if (result >= 0 && export->phase != NULL)
        result = write_handoff(export, dirfd, diag);
    if (result >= 0 && syncfs(dirfd) < 0)
        result = diag_errno(diag, "%s: sync", export->temp);
    if (result >= 0 && renameat2(AT_FDCWD, export->temp, AT_FDCWD, export->to, RENAME_NOREPLACE) < 0)
        result = diag_errno(diag, "%s", export->to);
    if (result >= 0)
        result = check_same(export, dirfd, diag);
    if (result >= 0)
        result = file_sync_parent(AT_FDCWD, export->to, diag);
    return result;
}

static void export_run(struct pool_task *task)
{
    struct export *export = (struct export *)task;
    if (mkdir(export->temp, 0755) < 0) {
        export->result = diag_errno(&export->diag, "%s: create directory", export->temp);
        return;
    }
    export->result = write_directory(export, &export->diag);
    if (export->result < 0)
        (void)!file_remove_tree(AT_FDCWD, export->temp, NULL);
}

static void export_free(struct export *export)
{
    for (size_t i = 0; i < export->nfiles; i++) {
        free(export->files[i].path);
        buf_done(&export->files[i].text);
    }
    free(export->files);
    free(export->to);
    free(export->temp);
    free(export->phase);
    verify_result_done(&export->verified);
    free(export);
}

static void export_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct export *export = (struct export *)task;
    farm->handing_over = farm->handing_over && export->phase == NULL;
    if (export->result < 0 && export->verified.problems.count > 0) {
        ctl_finish(export->request, FARM_EXIT_VIOLATION,
                   json_pack("{s:s, s:o}", "error", "the gate refuses this release; nothing was handed over",
                             "problems", json_problems(&export->verified.problems)));
    } else if (export->result < 0) {
        ctl_fail(export->request, export->result, &export->diag);
    } else {
        json_t *notes = json_array();
        for (size_t i = 0; i < export->verified.nnotes; i++)
            json_array_append_new(notes, json_string(export->verified.notes[i]));
        ctl_finish(export->request, FARM_EXIT_OK,
                   json_pack("{s:s, s:i, s:o, s:o}", "to", export->to, "files", (int)export->nfiles, "phase",
                             export->phase != NULL ? json_string(export->phase) : json_null(), "notes",
                             notes));
        log_info("release exported to=%s phase=%s", export->to, export->phase != NULL ? export->phase : "-");
    }
    export_free(export);
}

/* ---- the verbs ---- */

struct wanted {
    struct digest digest, plan;
    bool is_signed;
};

static int visit_release(void *context, const struct db_release *row)
{
    struct wanted *wanted = context;
    wanted->digest = row->digest;
    wanted->plan = row->plan;
    wanted->is_signed = strcmp(row->state, "signed") == 0;
    return 0;
}

static int prepare(struct farm *farm, struct export *export, const char *name, struct diag *diag)
{
    struct wanted wanted;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_RELEASE struct release *release = NULL;
    int result = db_find_release(farm->db, name, visit_release, &wanted, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_UNKNOWN, "no release \"%s\"; \"farmctl release list\" names them", name);
    if (result > 0 && export->phase != NULL && !wanted.is_signed)
        return diag_set(diag, FARM_E_REFUSED,
                        "release %s has too few signatures; \"farmctl release show %s\" counts them", name,
                        name);
    if (result >= 0)
        result = store_get(farm->store, &wanted.digest, RELEASE_SIZE_MAX, &text, diag);
    if (result >= 0)
        result = release_parse(buf_view(&text), RELEASE_FILE, &release, diag);
    struct farm_plan *plan = plans_get(farm, &wanted.plan);
    if (result >= 0 && plan == NULL)
        result = diag_set(diag, FARM_E_CORRUPT, "the release's plan is not known");
    if (result >= 0)
        result = plans_load_tree(farm, plan, diag);
    return result < 0 ? result : add_all(farm, export, plan, release, &wanted.digest, diag);
}

static int check_target(const char *to, struct diag *diag)
{
    if (to == NULL || to[0] != '/')
        return diag_set(diag, FARM_E_USAGE, "--to needs an absolute directory name");
    if (access(to, F_OK) == 0)
        return diag_set(diag, FARM_E_EXISTS, "%s exists; an export is written whole into a new directory",
                        to);
    return 0;
}

static bool phase_is_known(const char *phase)
{
    return strcmp(phase, "bootloader") == 0 || strcmp(phase, "image") == 0 ||
           strcmp(phase, "ukis-verity") == 0;
}

static void export_release(struct farm *farm, struct ctl_request *request, const char *phase)
{
    struct diag diag = DIAG_INIT;
    const char *name = ctl_text(request, "release"), *to = ctl_text(request, "to");
    struct export *export = mem_zero(1, sizeof *export);
    int result = name == NULL ? diag_set(&diag, FARM_E_USAGE, "which release?") : check_target(to, &diag);
    if (result >= 0) {
        size_t size = strlen(to);
        while (size > 1 && to[size - 1] == '/')
            size--;
        export->to = mem_string_n(to, size);
        export->temp = mem_format("%s.partial-%lld-%lld", export->to, (long long)getpid(),
                                  (long long)moment_steady_ms());
        export->phase = phase != NULL ? mem_string(phase) : NULL;
        if (phase != NULL && farm->handing_over)
            result =
                diag_set(&diag, FARM_E_STATE, "another hand-off is under way; try again when it is done");
        if (result >= 0)
            result = prepare(farm, export, name, &diag);
    }
    if (result < 0) {
        export_free(export);
        ctl_fail(request, result, &diag);
        return;
    }
    export->task.run = export_run;
    export->task.done = export_done;
    export->result = -ECANCELED;
    export->request = request;
    export->store = farm->store;
    export->state_path = farm->state_path;
    export->state_dirfd = farm->state_dirfd;
    farm->handing_over = farm->handing_over || phase != NULL;
    pool_submit(farm->pool, &export->task);
}

void verb_release_export(struct farm *farm, struct ctl_request *request)
{
    export_release(farm, request, NULL);
}

void verb_handoff(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const char *phase = ctl_text(request, "phase");
    if (phase == NULL || !phase_is_known(phase)) {
        ctl_fail(request, diag_set(&diag, FARM_E_USAGE, "--phase is bootloader, image or ukis-verity"),
                 &diag);
        return;
    }
    export_release(farm, request, phase);
}
