/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "restored.h"

#include "farm.h"
#include "farmlog.h"
#include "file.h"
#include "journal.h"
#include "json.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum { RESTORED_FILE_MAX = 4096 };
#define LOG_BEFORE JOURNAL_DIR ".before"

void restored_write(const char *origin, uint64_t log_size, int64_t taken_ms, struct buf *ret)
{
    json_t *document = json_pack("{s:s, s:I, s:s}", "origin", origin, "log_size", (json_int_t)log_size,
                                 "taken", moment_format(taken_ms).text);
    json_write(document, ret);
    json_decref(document);
}

void restored_done(struct restored *restored)
{
    map_free(restored->confirmed);
    restored->confirmed = NULL;
}

/* ---- the file ---- */

static int forget(struct farm *farm, struct diag *diag)
{
    if (unlinkat(farm->state_dirfd, RESTORED_FILE, 0) < 0)
        return diag_errno(diag, "%s/" RESTORED_FILE, farm->state_path);
    return file_sync_parent(farm->state_dirfd, RESTORED_FILE, diag);
}

/* The old log's files do not hinder the next one, and are kept: they are signed evidence of where it stood. */
static int begin_next_log(struct farm *farm, const char *before, struct diag *diag)
{
    const struct note_key ours = journal_key(farm);
    int result = 0;
    /* Should it exist, a crash came in between, and log/ is the next one's already: a restore begins with an empty directory. */
    if (renameat2(farm->state_dirfd, JOURNAL_DIR, farm->state_dirfd, LOG_BEFORE, RENAME_NOREPLACE) < 0 &&
        errno != ENOENT && errno != EEXIST)
        result = diag_errno(diag, "%s/" JOURNAL_DIR ": rename", farm->state_path);
    if (result >= 0)
        log_warning(
            "log_origin is %s, and the restored state is of %s: this is the beginning of the next log; what "
            "the backup had of the old one is in %s/" LOG_BEFORE,
            ours.name, before, farm->state_path);
    farm->restored.next_log = result >= 0;
    return result;
}

int restored_open(struct farm *farm, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *document = NULL;
    const struct note_key ours = journal_key(farm);
    const char *origin = NULL;
    int64_t size = 0;
    int result = file_read(farm->state_dirfd, RESTORED_FILE, RESTORED_FILE_MAX, &text, diag);
    if (result == -ENOENT)
        return 0;
    if (result >= 0)
        result = json_read(buf_view(&text), RESTORED_FILE, RESTORED_FILE_MAX, &document, diag);
    if (result >= 0)
        result = json_get_text(document, RESTORED_FILE, "origin", &origin, diag);
    if (result >= 0)
        result = json_get_number(document, RESTORED_FILE, "log_size", &size, diag);
    if (result < 0)
        return diag_wrap(diag, result, "%s", farm->state_path);
    farm->restored.log_size = (uint64_t)size;
    if (strcmp(origin, ours.name) != 0)
        return begin_next_log(farm, origin, diag);
    farm->restored.waits = true;
    return 0;
}

/* ---- waiting ---- */

static void set_text(struct farm *farm, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void set_text(struct farm *farm, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(farm->restored.text, sizeof farm->restored.text, format, args);
    va_end(args);
    farm_tell_hold(farm);
}

/* Without witnesses nobody could tell, now or later. */
static bool has_witnesses(const struct farm *farm)
{
    return farm->root != NULL && farm->root->log.present && farm->root->log.nwitnesses > 0;
}

static void go_on(struct farm *farm, const char *why)
{
    struct diag diag = DIAG_INIT;
    int result = forget(farm, &diag);
    if (result < 0) { /* it will ask again after the next start; that is no harm */
        log_warning("%s", diag_text(&diag, result));
    }
    farm->restored.waits = false;
    log_info("restored state: %s; work goes on", why);
    farm_tell_hold(farm);
}

static void tell_progress(struct farm *farm)
{
    const struct restored *restored = &farm->restored;
    CLEANUP_FREE char *unproven =
        restored->unproven[0] == '\0'
            ? mem_string("")
            : mem_format(
                  "; worker %s says that it has seen more and has not proved it, which is not believed "
                  "(why, says this coordinator's log): ask its owner",
                  restored->unproven);
    size_t confirmed = restored->confirmed != NULL ? map_count(restored->confirmed) : 0;
    set_text(
        farm,
        "the state was restored from a backup with %llu entries of the log, and whether anybody has seen "
        "more is not known yet: %zu of %u listed witnesses said that they have not; their workers have "
        "to connect%s",
        (unsigned long long)restored->log_size, confirmed, farm->root->log.threshold, unproven);
}

int restored_begin(struct farm *farm, struct diag *diag)
{
    int result = 0;
    if (farm->restored.next_log && farm->directory->version > 0) {
        farm->directory->version += RESTORED_DIRECTORY_JUMP;
        result = trust_publish_directory(farm, diag);
    }
    if (farm->restored.next_log)
        return result < 0 ? result : forget(farm, diag);
    if (!farm->restored.waits)
        return 0;
    if (farm->restored.log_size >
        journal_size(farm)) /* nobody could have seen more than that: every witness would agree */
        return diag_set(diag, FARM_E_CORRUPT,
                        "%s/" RESTORED_FILE
                        " speaks of a log of %llu entries, and the database has %llu: the "
                        "backup was altered, or farm.db since; restore another one",
                        farm->state_path, (unsigned long long)farm->restored.log_size,
                        (unsigned long long)journal_size(farm));
    if (!has_witnesses(farm))
        go_on(farm, "the trust root lists no witnesses of the log");
    else
        tell_progress(farm);
    return 0;
}

bool restored_may_publish(const struct farm *farm, uint64_t size)
{
    return !farm->restored.waits || size <= farm->restored.log_size;
}

/* The operator, if it is one that the root lists. */
static const char *listed_operator(const struct farm *farm, const char *worker)
{
    const struct directory_entry *entry = sessions_entry(farm, worker);
    bool listed = sessions_entry_is_valid(entry) && root_is_witness(farm->root, entry->operator_name) &&
                  directory_entry_is_anchor(entry, farm->root);
    return listed ? entry->operator_name : NULL;
}

/*
 * What was shown of this log beyond the backup, signed by its own key: nobody but the lost coordinator can have made it, so that it does
 * not matter who brings it, nor which number came with it.
 */
static int read_proof(const struct farm *farm, struct view note, struct checkpoint *ret, struct diag *diag)
{
    const struct note_key ours = journal_key(farm);
    struct checkpoint checkpoint;
    if (note.size == 0)
        return diag_set(diag, FARM_E_MISSING,
                        "it shows no checkpoint; a farm-worker of this version or later does");
    int result = note_open_checkpoint(note, &ours, &checkpoint, diag);
    if (result < 0)
        return result;
    if (checkpoint.size <= farm->restored.log_size)
        return diag_set(diag, FARM_E_REFUSED, "the checkpoint that it shows is of %llu entries",
                        (unsigned long long)checkpoint.size);
    *ret = checkpoint;
    return 0;
}

static void end_log(struct farm *farm, const char *worker, const struct checkpoint *proof)
{
    farm->restored.is_over = true;
    set_text(
        farm,
        "the state was restored from a backup with %llu entries of the log, and worker %s has shown a "
        "checkpoint of %llu that this log signed: this log is over. Stop the coordinator, set another "
        "log_origin in its configuration, start it, and let the root managers make the next root "
        "(\"farm-sign root set ... log ... --previous\"); OPERATORS.md, \"Backup and restore\", has each "
        "step",
        (unsigned long long)farm->restored.log_size, worker, (unsigned long long)proof->size);
    log_error("%s", farm->restored.text);
}

/* It may be a lie, or a worker too old to show what it saw: people decide which, nothing is done meanwhile. */
static void not_believed(struct farm *farm, const char *worker, uint64_t known_size, const char *why)
{
    struct restored *restored = &farm->restored;
    sessions_warn(farm, worker, "restored state: it says that it has seen more of the log; not believed",
                  log_number(FIELD_POSITION, (int64_t)known_size),
                  log_number(FIELD_ENTRIES, (int64_t)restored->log_size), log_text(FIELD_REASON, why));
    if (listed_operator(farm, worker) == NULL)
        return;
    snprintf(restored->unproven, sizeof restored->unproven, "%s", worker);
    tell_progress(farm);
}

static void says_more(struct farm *farm, const char *worker, uint64_t known_size, struct view note)
{
    struct checkpoint proof = {0};
    struct diag diag = DIAG_INIT;
    if (farm->restored.is_over)
        return;
    int result = read_proof(farm, note, &proof, &diag);
    if (result >= 0)
        end_log(farm, worker, &proof);
    else
        not_believed(farm, worker, known_size, diag_text(&diag, result));
}

static void saw_no_more(struct farm *farm, const char *worker)
{
    struct restored *restored = &farm->restored;
    const char *operator_name = listed_operator(farm, worker);
    if (operator_name == NULL || restored->is_over)
        return;
    if (strcmp(restored->unproven, worker) == 0) /* it was repaired, or another program runs there now */
        restored->unproven[0] = '\0';
    if (restored->confirmed == NULL)
        restored->confirmed = map_new();
    map_set(restored->confirmed, view_text(operator_name), restored);
    if (map_count(restored->confirmed) >= farm->root->log.threshold)
        go_on(farm, "enough listed witnesses have seen no more of the log than the backup has");
    else
        tell_progress(farm);
}

bool restored_on_ask(struct farm *farm, const char *worker, uint64_t known_size, struct view note)
{
    if (!farm->restored.waits || farm->root == NULL)
        return true;
    if (known_size > farm->restored.log_size) {
        says_more(farm, worker, known_size, note);
        return false;
    }
    saw_no_more(farm, worker);
    return true;
}
