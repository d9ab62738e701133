/* SPDX-License-Identifier: GPL-3.0-or-later */
/* backup, see backup.h. Also what is remembered of the last one, so that status and doctor can say how old it is. */
#include "verbs.h"

#include "backup_work.h"
#include "farmlog.h"
#include "file.h"
#include "journal.h"
#include "partial.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The largest of them is the worker directory. */
enum { SMALL_MAX = 64 * 1024 * 1024 };

static int read_small(struct backup_work *work, int dirfd, const char *path, const char *name,
                      struct diag *diag)
{
    struct backup_small small = {.content = BUF_INIT};
    int result = file_read(dirfd, path, SMALL_MAX, &small.content, diag);
    if (result == -ENOENT)
        return 0; /* none was made yet */
    if (result < 0)
        return result;
    small.path = mem_string(name);
    work->small = mem_reserve(work->small, &work->capacity, work->nsmall + 1, sizeof *work->small);
    work->small[work->nsmall++] = small;
    return 0;
}

/* What was shown of the log, before the database is copied: so the copy has at least that. */
static int read_shown(const struct farm *farm, struct backup_work *work, struct diag *diag)
{
    static const char *const names[] = {JOURNAL_DIR "/checkpoint", JOURNAL_COSIGNED};
    int result = 0;
    for (size_t i = 0; result >= 0 && i < ARRAY_SIZE(names); i++)
        result = read_small(work, farm->state_dirfd, names[i], names[i], diag);
    return result;
}

/* After it: these may be newer than their rows, but not older. */
static int read_trust(const struct farm *farm, struct backup_work *work, struct diag *diag)
{
    static const char *const names[] = {"root.json", "root.json.sigs", "workers.json", "gate.state"};
    int result = 0;
    for (size_t i = 0; result >= 0 && i < ARRAY_SIZE(names); i++)
        result = read_small(work, farm->state_dirfd, names[i], names[i], diag);
    for (int64_t version = 1; result >= 0 && farm->root != NULL && version <= farm->root->version;
         version++) {
        CLEANUP_FREE char *name = mem_format("roots/%lld.json", (long long)version);
        result = read_small(work, farm->state_dirfd, name, name, diag);
    }
    if (result >= 0 && farm->config.path != NULL)
        result = read_small(work, AT_FDCWD, farm->config.path, "farm.conf", diag);
    return result;
}

/* ---- the end ---- */

static json_t *answer(const struct backup_work *work)
{
    json_t *missing = json_array(), *rotten = json_array();
    for (size_t i = 0; i < work->list.nmissing; i++)
        json_array_append_new(missing, json_digest(&work->list.missing[i]));
    for (size_t i = 0; i < work->nrotten && i < BACKUP_MISSING_MAX; i++)
        json_array_append_new(rotten, json_digest(&work->rotten[i]));
    return json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:o, s:{s:s, s:I}, s:s}", "to",
                     work->to, "taken", moment_format(work->list.taken_ms).text, "store",
                     (int)work->list.has_store, "objects", (json_int_t)work->nobjects, "copied_bytes",
                     (json_int_t)work->copied_bytes, "linked", (json_int_t)work->nlinked, "read",
                     (json_int_t)work->nread, "rotten_count", (json_int_t)work->nrotten, "rotten", rotten,
                     "missing_count", (json_int_t)work->nmissing, "missing", missing, "log", "origin",
                     work->list.origin, "size", (json_int_t)work->list.log_size, "secret", "coordinator.key");
}

/* For people who ask how old the last one is; nothing depends on it. */
static void remember(const struct farm *farm, const struct backup_work *work)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag why = DIAG_INIT;
    json_t *document =
        json_pack("{s:s, s:s}", "taken", moment_format(work->list.taken_ms).text, "to", work->to);
    json_write(document, &text);
    json_decref(document);
    int result = file_write(farm->state_dirfd, BACKUP_LAST, buf_view(&text), 0600, &why);
    if (result < 0)
        log_warning("%s: %s", BACKUP_LAST, diag_text(&why, result));
}

static void finish(struct farm *farm, struct backup_work *work)
{
    farm->backing_up = false;
    if (work->result < 0) {
        log_event(LOG_LEVEL_WARNING, "backup failed", log_text(FIELD_PATH, work->to),
                  log_text(FIELD_REASON, diag_text(&work->diag, work->result)));
        ctl_fail(work->request, work->result, &work->diag);
    } else {
        log_event(LOG_LEVEL_INFO, "backup made", log_text(FIELD_PATH, work->to),
                  log_number(FIELD_COUNT, (int64_t)work->nobjects),
                  log_number(FIELD_ENTRIES, (int64_t)work->list.log_size));
        if (work->nrotten > 0)
            log_event(LOG_LEVEL_WARNING,
                      "backup: objects had rotted in the earlier one, and were copied anew",
                      log_text(FIELD_PATH, work->to), log_number(FIELD_COUNT, (int64_t)work->nrotten));
        remember(farm, work);
        ctl_finish(work->request, work->nmissing + work->nrotten > 0 ? FARM_EXIT_VIOLATION : FARM_EXIT_OK,
                   answer(work));
    }
    backup_work_free(work);
}

static void submit(struct farm *farm, struct backup_work *work)
{
    work->result = -ECANCELED;
    pool_submit(farm->pool, &work->task);
}

static const char *step_name(enum backup_step step)
{
    switch (step) {
    case BACKUP_DATABASE:
        return "database";
    case BACKUP_SMALL:
        return "files";
    case BACKUP_COPY:
        return "objects";
    case BACKUP_APPEAR:
    case BACKUP_CLEAN:
    case BACKUP_DONE:
        break;
    }
    return "sync";
}

static void step_done(struct pool_task *task, void *context)
{
    struct farm *farm = context;
    struct backup_work *work = (struct backup_work *)task;
    if (work->result >= 0 && work->step == BACKUP_SMALL &&
        (work->result = read_trust(farm, work, &work->diag)) < 0)
        (void)!file_remove_tree(AT_FDCWD, work->temp, NULL); /* the database and nothing else, so far */
    if (work->result >= 0 && work->step != BACKUP_DONE &&
        (farm->stopping || (farm->leaving && work->step < BACKUP_APPEAR)))
        work->result = -ECANCELED;
    if (work->result == -ECANCELED)
        diag_set(&work->diag, -ECANCELED, "the coordinator stops; no backup was made");
    if (work->result < 0 || work->step == BACKUP_DONE) {
        finish(farm, work);
        return;
    }
    ctl_progress(work->request, json_pack("{s:s, s:I, s:I}", "step", step_name(work->step), "done",
                                          (json_int_t)work->next, "of", (json_int_t)work->nobjects));
    submit(farm, work);
}

/* ---- the beginning ---- */

/* There already: good if it is an earlier backup of this farm. */
static int open_earlier(struct backup_work *work, struct diag *diag)
{
    CLEANUP(backup_list_done) struct backup_list earlier = BACKUP_LIST_INIT;
    struct diag why = DIAG_INIT;
    CLEANUP_CLOSE int fd = open(work->to, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return diag_errno(diag, "%s", work->to);
    int result = backup_list_read(fd, &earlier, &why);
    if (result < 0)
        return diag_set(
            diag, FARM_E_EXISTS,
            "%s exists and is no backup (%s); name a new directory, or an earlier backup of this farm",
            work->to, diag_text(&why, result));
    if (!digest_equal(&earlier.coordinator, &work->list.coordinator))
        return diag_set(diag, FARM_E_EXISTS,
                        "%s is the backup of another coordinator; name another directory", work->to);
    work->list.share = (earlier.share + 1) % BACKUP_SHARES;
    work->earlier_dirfd = STEAL_FD(fd);
    return 0;
}

static int check_target(const struct farm *farm, const char *to, struct diag *diag)
{
    size_t size = strlen(farm->state_path);
    if (to == NULL || to[0] != '/' || strlen(to) < 2)
        return diag_set(diag, FARM_E_USAGE, "a backup needs an absolute directory name");
    if (strncmp(to, farm->state_path, size) == 0 && (to[size] == '/' || to[size] == '\0'))
        return diag_set(diag, FARM_E_REFUSED, "%s lies in the state directory, and would be lost with it",
                        to);
    if (farm->backing_up)
        return diag_set(diag, FARM_E_STATE, "another backup is under way; try again when it is done");
    return 0;
}

static struct backup_work *work_new(const struct farm *farm, struct ctl_request *request)
{
    struct backup_work *work = mem_zero(1, sizeof *work);
    const struct note_key key = journal_key(farm);
    work->task.run = backup_run;
    work->task.done = step_done;
    work->task.background = true;
    work->request = request;
    work->store = farm->store;
    work->identity = farm->identity;
    work->state_path = farm->state_path;
    work->started_ms = farm->started_ms;
    work->dirfd = work->earlier_dirfd = -1;
    work->list.coordinator = keys_id(&key.key);
    work->list.origin = mem_string(key.name);
    work->list.software = mem_string(FARM_VERSION);
    work->list.taken_ms = moment_wall_ms();
    work->list.has_store = !ctl_flag(request, "no_store");
    partial_name(ctl_text(request, "to"), &work->to, &work->temp);
    return work;
}

void verb_backup(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    int result = check_target(farm, ctl_text(request, "to"), &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    struct backup_work *work = work_new(farm, request);
    result = open_earlier(work, &diag);
    if (result >= 0)
        result = read_shown(farm, work, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        backup_work_free(work);
        return;
    }
    farm->backing_up = true;
    submit(farm, work);
}
