/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log in an export: all entries below one checkpoint, and that checkpoint with its cosignatures. The newest that enough listed operators
 * cosigned if it covers the release, else the newest there is: cosignatures may then be passed by hand.
 */
#include "export.h"

#include "file.h"
#include "journal.h"
#include "tiledir.h"

#include <errno.h>
#include <stdlib.h>

/* ---- who has cosigned ---- */

/* An operator's word counts by any worker of an anchor's that is admitted, not expired and not compromised. */
static bool may_witness(const struct farm *farm, const struct directory_entry *entry,
                        const char *operator_name)
{
    return strcmp(entry->operator_name, operator_name) == 0 && entry->compromised_from < 0 &&
           entry->expires_ms > moment_wall_ms() && directory_entry_is_anchor(entry, farm->root);
}

static bool has_cosigned(const struct note *note, const struct directory_entry *entry)
{
    struct note_key key = {.type = NOTE_COSIGNATURE, .key = entry->ed25519};
    snprintf(key.name, sizeof key.name, "%s/%s", entry->operator_name, entry->worker);
    return note_check(note, &key, NULL, NULL) > 0;
}

static void report_operator(const struct farm *farm, const struct note *note, const char *operator_name,
                            json_t *cosigned, json_t *missing)
{
    json_t *workers = json_array();
    bool signed_it = false;
    for (size_t i = 0; i < farm->directory->nentries; i++) {
        const struct directory_entry *entry = &farm->directory->entries[i];
        if (!may_witness(farm, entry, operator_name))
            continue;
        signed_it = signed_it || has_cosigned(note, entry);
        json_array_append_new(workers, json_string(entry->worker));
    }
    if (signed_it)
        json_array_append_new(cosigned, json_string(operator_name));
    else
        json_array_append_new(missing,
                              json_pack("{s:s, s:O}", "operator", operator_name, "workers", workers));
    json_decref(workers);
}

static void report_witnesses(const struct farm *farm, json_t *report)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(note_done) struct note note = NOTE_INIT;
    struct checkpoint newest;
    json_t *cosigned = json_array(), *missing = json_array();
    if (journal_checkpoint(farm, &newest)) {
        journal_note(farm, &text);
        (void)!note_parse(buf_view(&text), &note, NULL); /* without it nobody has cosigned */
        json_object_set_new(report, "checkpoint",
                            json_pack("{s:I, s:O}", "size", (json_int_t)newest.size, "cosigned", cosigned));
    }
    for (size_t i = 0; farm->root != NULL && i < farm->root->log.nwitnesses; i++)
        report_operator(farm, &note, farm->root->log.witnesses[i], cosigned, missing);
    json_object_set_new(report, "missing", missing);
    json_decref(cosigned);
}

bool export_log_is_covered(const struct farm *farm, const struct release *release)
{
    struct checkpoint cosigned;
    struct view note;
    if (!release->has_log || farm->root == NULL || !farm->root->log.present)
        return true;
    return journal_cosigned(farm, &cosigned, &note) && cosigned.size >= release->log.size &&
           strcmp(cosigned.origin, release->log.origin) == 0;
}

json_t *export_log_report(const struct farm *farm, const struct release *release)
{
    if (!release->has_log)
        return json_null();
    json_t *report = json_pack(
        "{s:s, s:I, s:o, s:b, s:i}", "origin", release->log.origin, "size", (json_int_t)release->log.size,
        "root", json_digest(&release->log.root), "covered", (int)export_log_is_covered(farm, release),
        "threshold", farm->root != NULL && farm->root->log.present ? (int)farm->root->log.threshold : 0);
    report_witnesses(farm, report);
    return report;
}

void export_log_missing(const json_t *report, struct buf *ret)
{
    size_t index, k;
    json_t *row, *worker;
    json_array_foreach(json_object_get(report, "missing"), index, row)
    {
        const json_t *workers = json_object_get(row, "workers");
        buf_add_format(ret, "%s%s (", index > 0 ? ", " : "",
                       json_string_value(json_object_get(row, "operator")));
        json_array_foreach(workers, k, worker)
            buf_add_format(ret, "%s%s", k > 0 ? ", " : "", json_string_value(worker));
        buf_add_text(ret, json_array_size(workers) > 0 ? ")" : "no worker admitted)");
    }
}

/* ---- which checkpoint, which entries ---- */

static int choose_checkpoint(struct farm *farm, const struct release *release, struct checkpoint *ret,
                             struct buf *ret_note, struct diag *diag)
{
    struct view note;
    bool found = journal_cosigned(farm, ret, &note);
    if (found && ret->size >= release->log.size && strcmp(ret->origin, release->log.origin) == 0) {
        buf_add_view(ret_note, note);
        return 0;
    }
    if (!journal_checkpoint(farm, ret))
        return diag_set(diag, FARM_E_STATE, "the transparency log has no checkpoint yet; try again");
    if (strcmp(ret->origin, release->log.origin) != 0)
        return diag_set(
            diag, FARM_E_STALE,
            "release %s was drafted with the log %s, this coordinator keeps %s: without the old log "
            "nobody can check it; draft it again",
            release->name, release->log.origin, ret->origin);
    if (ret->size < release->log.size)
        return diag_set(diag, FARM_E_CORRUPT, "the log has %llu entries, release %s was drafted with %llu",
                        (unsigned long long)ret->size, release->name, (unsigned long long)release->log.size);
    journal_note(farm, ret_note);
    return 0;
}

struct last_bundle {
    struct buf *bundle;
    uint64_t end;
};

static int add_entry(void *context, const struct db_log_entry *row)
{
    struct last_bundle *last = context;
    if (row->position >= last->end)
        return -ECANCELED; /* enough */
    tiledir_add_to_bundle(row->entry, last->bundle);
    return 0;
}

/* Full bundles are files already. The last one is written anew, since files grow and the checkpoint is of one size. */
static int gather_last_bundle(struct farm *farm, struct export *export, struct diag *diag)
{
    struct last_bundle last = {&export->last_bundle, export->log_size};
    uint64_t from = export->log_size / TILE_WIDTH * TILE_WIDTH;
    if (from == export->log_size)
        return 0;
    int result = db_each_log_entry(farm->db, from, add_entry, &last, diag);
    return result == -ECANCELED ? 0 : result;
}

int export_gather_log(struct farm *farm, struct export *export, struct diag *diag)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct checkpoint checkpoint;
    if (!export->release->has_log)
        return 0;
    int result = choose_checkpoint(farm, export->release, &checkpoint, &note, diag);
    if (result < 0)
        return result;
    export->log_size = checkpoint.size;
    export_add_text(export, mem_string(RELEASE_LOG "/" TILEDIR_CHECKPOINT), buf_view(&note));
    return gather_last_bundle(farm, export, diag);
}

/* ---- in the pool ---- */

/* 256 entries of at most 64 KiB. */
enum { BUNDLE_SIZE_MAX = TILE_WIDTH * (TLOG_ENTRY_MAX + 2) };

static int write_bundle(const struct export_writer *writer, uint64_t index, unsigned int width,
                        struct view bytes, struct diag *diag)
{
    struct tile_path tile = tiledir_path(TILEDIR_ENTRIES, index, width);
    CLEANUP_FREE char *path = mem_format("%s/%s", RELEASE_LOG, tile.text);
    return writer->text(writer->context, path, bytes, diag);
}

int export_write_log(struct export *export, const struct export_writer *writer, struct diag *diag)
{
    CLEANUP_CLOSE int dirfd =
        export->log_size > 0 ? file_open_dir(export->state_dirfd, JOURNAL_DIR, diag) : -1;
    uint64_t full = export->log_size / TILE_WIDTH;
    unsigned int rest = (unsigned int)(export->log_size % TILE_WIDTH);
    int result = export->log_size > 0 && dirfd < 0 ? dirfd : 0;
    for (uint64_t i = 0; result >= 0 && i < full; i++) {
        CLEANUP_BUF struct buf bundle = BUF_INIT;
        struct tile_path tile = tiledir_path(TILEDIR_ENTRIES, i, TILE_WIDTH);
        result = file_read(dirfd, tile.text, BUNDLE_SIZE_MAX, &bundle, diag);
        if (result >= 0)
            result = write_bundle(writer, i, TILE_WIDTH, buf_view(&bundle), diag);
    }
    if (result >= 0 && rest > 0)
        result = write_bundle(writer, full, rest, buf_view(&export->last_bundle), diag);
    return result;
}
