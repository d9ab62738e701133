/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Admission: who becomes a worker, and what a new trust root or a restart makes of those who are.
 *
 * The directory (workers.json) is written before the table "worker" says the same. So after a crash in between, an
 * entry without a row was being admitted and is taken in again; a row without an entry was being revoked, and stays out.
 */
#include "farm.h"

#include "farmlog.h"
#include "json.h"

#include <stdlib.h>

/* ---- rows ---- */

static void record(struct farm *farm, const struct directory_entry *entry)
{
    CLEANUP_BUF struct buf text = BUF_INIT, signed_text = BUF_INIT;
    CLEANUP_JSON json_t *body = NULL;
    struct db_worker row = {.name = entry->worker,
                            .operator_name = entry->operator_name,
                            .state = "active",
                            .admitted_ms = moment_wall_ms()};
    json_t *signatures = json_array();
    for (size_t i = 0; i < entry->nsignatures; i++)
        json_array_append_new(signatures, json_view(view_text(entry->signatures[i])));
    directory_entry_write(entry, &signed_text);
    (void)!json_read(buf_view(&signed_text), "entry", DIRECTORY_SIZE_MAX, &body, NULL);
    json_t *document = json_pack("{s:O, s:o}", "entry", body, "signatures", signatures);
    json_write(document, &text);
    json_decref(document);
    row.entry = text.data;
    memcpy(row.ed25519.bytes, entry->ed25519.bytes, DIGEST_SIZE);
    memcpy(row.curve.bytes, entry->curve, DIGEST_SIZE);
    db_put_worker(farm_write(farm), &row);
}

static bool has_keys(const struct db_worker *row, const struct directory_entry *entry)
{
    return memcmp(row->ed25519.bytes, entry->ed25519.bytes, KEYS_PUBLIC_SIZE) == 0 &&
           memcmp(row->curve.bytes, entry->curve, DIRECTORY_CURVE_SIZE) == 0;
}

/* Names and keys of the past stay taken: the answers that they signed are checked with them for ever. */
struct history_check {
    const struct directory_entry *entry;
    struct diag *diag;
};

static int check_row(void *context, const struct db_worker *row)
{
    const struct history_check *check = context;
    const struct directory_entry *entry = check->entry;
    bool same_name = strcmp(row->name, entry->worker) == 0;
    if (same_name && strcmp(row->state, "revoked") == 0)
        return diag_set(check->diag, FARM_E_STATE,
                        "worker %s was revoked; admit the machine under a new name with new keys", row->name);
    if (same_name && (!has_keys(row, entry) || strcmp(row->operator_name, entry->operator_name) != 0))
        return diag_set(check->diag, FARM_E_EXISTS,
                        "worker %s of %s is known with other keys; another machine needs another name",
                        row->name, row->operator_name);
    if (!same_name && (memcmp(row->ed25519.bytes, entry->ed25519.bytes, KEYS_PUBLIC_SIZE) == 0 ||
                       memcmp(row->curve.bytes, entry->curve, DIRECTORY_CURVE_SIZE) == 0))
        return diag_set(check->diag, FARM_E_EXISTS,
                        "the keys of %s are those of worker %s; make new ones with "
                        "\"farm-worker init\"",
                        entry->worker, row->name);
    return 0;
}

/* ---- admit ---- */

/* The older entry of the same machine makes place, and comes back if the newer one does not fit. */
static int replace_entry(struct directory *directory, const struct directory_entry *entry, struct diag *diag)
{
    struct directory_entry older = {0};
    bool known = false;
    for (size_t i = 0; !known && i < directory->nentries; i++)
        if (strcmp(directory->entries[i].worker, entry->worker) == 0) {
            older = directory->entries[i];
            memmove(&directory->entries[i], &directory->entries[i + 1],
                    (directory->nentries - i - 1) * sizeof *directory->entries);
            directory->nentries--;
            known = true;
        }
    int result = directory_add(directory, entry, diag);
    if (result < 0 && known)
        directory->entries[directory->nentries++] = older; /* its place is still there */
    else if (known)
        directory_entry_done(&older);
    return result;
}

int admission_admit(struct farm *farm, const struct directory_entry *entry, struct diag *diag)
{
    struct history_check check = {entry, diag};
    int result = trust_check_root(farm, diag);
    if (result >= 0 && entry->expires_ms <= moment_wall_ms())
        result = diag_set(diag, FARM_E_STALE, "the entry of %s expired at %s; sign a new one", entry->worker,
                          moment_format(entry->expires_ms).text);
    if (result >= 0)
        result = directory_entry_check(entry, farm->root, diag);
    if (result >= 0)
        result = db_each_worker(farm->db, check_row, &check, diag);
    if (result >= 0)
        result = replace_entry(farm->directory, entry, diag);
    if (result >= 0)
        result = trust_publish_directory(farm, diag);
    if (result >= 0)
        result = sessions_admit(farm, entry, "active", diag);
    if (result >= 0)
        record(farm, entry);
    return result < 0 ? result : 0;
}

/* ---- a new root ---- */

int admission_drop(struct farm *farm, const struct root *root, struct diag *diag)
{
    struct directory *directory = farm->directory;
    size_t before = directory->nentries, i = 0;
    while (i < directory->nentries) {
        struct diag why = DIAG_INIT;
        int result = directory_entry_check(&directory->entries[i], root, &why);
        if (result >= 0) {
            i++;
            continue;
        }
        CLEANUP_FREE char *name = mem_string(directory->entries[i].worker);
        log_warning(
            "worker %s is not admitted by the new trust root: %s; \"farmctl worker admit\" takes an entry "
            "that is signed anew",
            name, diag_text(&why, result));
        sessions_suspend(farm, name);
        trust_remove_entry(directory, name);
    }
    return directory->nentries < before ? trust_publish_directory(farm, diag) : 0;
}

int admission_renew(struct farm *farm, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < farm->directory->nentries; i++)
        result = sessions_admit(farm, &farm->directory->entries[i], "active", diag);
    return result;
}

/* ---- restart ---- */

struct restore {
    struct farm *farm;
    struct map *rows; /* names in table "worker" */
    bool changed;     /* the directory */
    struct diag *diag;
};

static int restore_row(void *context, const struct db_worker *row)
{
    struct restore *restore = context;
    struct farm *farm = restore->farm;
    const struct directory_entry *entry = directory_find(farm->directory, row->name);
    map_set(restore->rows, view_text(row->name), farm);
    if (strcmp(row->state, "revoked") == 0) {
        restore->changed = restore->changed || entry != NULL;
        trust_remove_entry(farm->directory, row->name);
        return 0;
    }
    if (entry == NULL) {
        log_warning(
            "worker %s is not in workers.json, and not admitted; \"farmctl worker admit\" takes its entry",
            row->name);
        return 0;
    }
    if (!has_keys(row, entry) || strcmp(row->operator_name, entry->operator_name) != 0)
        return diag_set(
            restore->diag, FARM_E_CORRUPT,
            "database: worker %s differs from the signed workers.json; restore the backup of either",
            row->name);
    return sessions_admit(farm, entry, row->state, restore->diag);
}

static int adopt(struct restore *restore)
{
    struct farm *farm = restore->farm;
    int result = 0;
    for (size_t i = 0; result >= 0 && i < farm->directory->nentries; i++) {
        const struct directory_entry *entry = &farm->directory->entries[i];
        struct history_check check = {entry, restore->diag};
        if (map_get(restore->rows, view_text(entry->worker)) != NULL)
            continue;
        log_warning("worker %s is in workers.json alone; admitted again", entry->worker);
        result = db_each_worker(farm->db, check_row, &check, restore->diag);
        if (result >= 0)
            result = sessions_admit(farm, entry, "active", restore->diag);
        if (result >= 0)
            record(farm, entry);
    }
    return result;
}

int admission_restore(struct farm *farm, struct diag *diag)
{
    struct restore restore = {farm, map_new(), false, diag};
    int result = db_each_worker(farm->db, restore_row, &restore, diag);
    if (result > 0 && farm->directory->version == 0)
        result =
            diag_set(diag, FARM_E_MISSING,
                     "%s/workers.json is missing, but the database knows workers; restore it from a backup",
                     farm->state_path);
    if (result >= 0)
        result = adopt(&restore);
    if (result >= 0 && restore.changed)
        result = trust_publish_directory(farm, diag);
    map_free(restore.rows);
    return result < 0 ? result : 0;
}
