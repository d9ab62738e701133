/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Admission: who becomes a worker, and what a new trust root or a restart makes of those who are.
 *
 * The directory (workers.json) is written before the table "worker" says the same. So after a crash in between, an
 * entry without a row was being admitted and is taken in again; a row without an entry was being revoked, and stays out.
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"
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

/* Who may not speak any more keeps no session; what the core knows of it stays, since its answers may count. */
static int apply(struct farm *farm, const struct directory_entry *entry, const char *state, struct diag *diag)
{
    int result = sessions_admit(farm, entry, state, diag);
    if (result >= 0 && !sessions_entry_is_valid(entry))
        sessions_suspend(farm, entry->worker);
    return result;
}

/* What a newer entry may say about a known worker, and a first one about a new one. */
static int check_change(struct farm *farm, const struct directory_entry *known,
                        const struct directory_entry *entry, struct diag *diag)
{
    if (known == NULL && entry->expires_ms <= moment_wall_ms())
        return diag_set(diag, FARM_E_STALE, "the entry of %s expired at %s; sign a new one", entry->worker,
                        moment_format(entry->expires_ms).text);
    if (known == NULL && entry->compromised_from >= 0)
        return diag_set(diag, FARM_E_REFUSED,
                        "worker %s is not admitted, so its keys need not be marked compromised",
                        entry->worker);
    if (known != NULL && known->compromised_from >= 0 &&
        (entry->compromised_from < 0 || entry->compromised_from > known->compromised_from))
        return diag_set(
            diag, FARM_E_REFUSED,
            "worker %s is compromised from position %lld of the log on, and stays so; the machine is "
            "admitted under a new name with new keys",
            entry->worker, (long long)known->compromised_from); /* an older entry, shown again */
    if (entry->compromised_from > 0 && (uint64_t)entry->compromised_from > journal_size(farm))
        return diag_set(
            diag, FARM_E_REFUSED,
            "the log has %llu entries, so nobody has seen position %lld (\"compromised_from\" of %s)",
            (unsigned long long)journal_size(farm), (long long)entry->compromised_from, entry->worker);
    return 0;
}

/* Puts it into the place of the older entry of the same machine, which is handed over; or at the end. */
static int put_entry(struct directory *directory, const struct directory_entry *entry, size_t *ret_at,
                     struct directory_entry *ret_older, struct diag *diag)
{
    size_t at = 0, count = directory->nentries;
    while (at < count && strcmp(directory->entries[at].worker, entry->worker) != 0)
        at++;
    if (at < count) { /* out of the way while the newer one is compared with the others */
        *ret_older = directory->entries[at];
        directory->entries[at] = directory->entries[count - 1];
        directory->nentries--;
    }
    int result = directory_add(directory, entry, diag);
    if (at < count) {
        struct directory_entry newer =
            directory->entries[count - 1]; /* or what was there, if it was not added */
        directory->entries[count - 1] = directory->entries[at];
        directory->entries[at] = result < 0 ? *ret_older : newer;
        directory->nentries = count;
    }
    *ret_at = at;
    return result;
}

/* The disk did not take it. */
static void take_back(struct directory *directory, size_t at, struct directory_entry *older)
{
    directory_entry_done(&directory->entries[at]);
    if (older->worker != NULL)
        directory->entries[at] = *older;
    else
        directory->nentries--;
    *older = (struct directory_entry){.worker = NULL};
}

static int publish(struct farm *farm, const struct directory_entry *entry, struct diag *diag)
{
    struct directory_entry older = {.worker = NULL};
    size_t at;
    int result = put_entry(farm->directory, entry, &at, &older, diag);
    if (result < 0)
        return result;
    if ((result = trust_publish_directory(farm, diag)) < 0)
        take_back(farm->directory, at, &older);
    directory_entry_done(&older);
    return result;
}

/* What the log shows holds also when a root dropped the entry that said so, and an older one is shown again. */
static int check_revoked(struct farm *farm, const struct directory_entry *entry, struct diag *diag)
{
    uint64_t from;
    int result = revocation_from(farm, entry->worker, &from, diag);
    if (result < 0 || from == UINT64_MAX ||
        (entry->compromised_from >= 0 && (uint64_t)entry->compromised_from <= from))
        return result;
    return diag_set(
        diag, FARM_E_REFUSED,
        "the log shows that the answers of %s count no longer from position %llu on, and the entry does "
        "not say so; the machine is admitted under a new name with new keys",
        entry->worker, (unsigned long long)from);
}

int admission_admit(struct farm *farm, const struct directory_entry *entry, struct diag *diag)
{
    struct history_check check = {entry, diag};
    const struct directory_entry *known = directory_find(farm->directory, entry->worker);
    bool voids =
        entry->compromised_from >= 0 && (known == NULL || known->compromised_from != entry->compromised_from);
    int result = trust_check_root(farm, diag);
    if (result >= 0)
        result = check_change(farm, known, entry, diag);
    if (result >= 0)
        result = directory_entry_check(entry, farm->root, diag);
    if (result >= 0)
        result = db_each_worker(farm->db, check_row, &check, diag);
    if (result >= 0)
        result = check_revoked(farm, entry, diag);
    if (result >= 0)
        result = publish(farm, entry, diag);
    if (result >= 0)
        result = apply(farm, entry, "active", diag);
    if (result >= 0)
        record(farm, entry);
    if (result >= 0 && voids)
        result = revocation_void(farm, entry->worker, (uint64_t)entry->compromised_from, "compromised", diag);
    return result < 0 ? result : 0;
}

/* ---- a new root ---- */

/* Which of them the root admits, into 'kept'; says aloud who is not. */
static size_t keep_admitted(const struct directory *directory, const struct root *root,
                            struct directory_entry *kept, bool *is_dropped)
{
    size_t count = 0;
    for (size_t i = 0; i < directory->nentries; i++) {
        struct diag why = DIAG_INIT;
        int result = directory_entry_check(&directory->entries[i], root, &why);
        is_dropped[i] = result < 0;
        if (result >= 0)
            kept[count++] = directory->entries[i];
        else
            log_event(LOG_LEVEL_WARNING,
                      "a worker is not admitted by the new trust root; \"farmctl worker admit\" takes an "
                      "entry that is signed anew",
                      log_text(FIELD_WORKER, directory->entries[i].worker),
                      log_text(FIELD_REASON, diag_text(&why, result)));
    }
    return count;
}

int admission_drop(struct farm *farm, const struct root *root, struct diag *diag)
{
    struct directory *directory = farm->directory;
    const struct directory before = *directory;
    struct directory_entry *kept = mem_zero(before.nentries + 1, sizeof *kept);
    CLEANUP_FREE bool *is_dropped = mem_zero(before.nentries + 1, sizeof *is_dropped);
    size_t count = keep_admitted(directory, root, kept, is_dropped);
    if (count == before.nentries) {
        free(kept);
        return 0;
    }
    directory->entries = kept;
    directory->nentries = count;
    directory->capacity = before.nentries + 1;
    int result = trust_publish_directory(farm, diag);
    if (result < 0) { /* the disk did not take it */
        *directory = before;
        free(kept);
        return result;
    }
    for (size_t i = 0; i < before.nentries; i++)
        if (is_dropped[i]) {
            sessions_suspend(farm, before.entries[i].worker);
            directory_entry_done(&before.entries[i]);
        }
    free(before.entries);
    return result;
}

int admission_renew(struct farm *farm, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < farm->directory->nentries; i++)
        result = apply(farm, &farm->directory->entries[i], "active", diag);
    return result;
}

/* ---- restart ---- */

struct restore {
    struct farm *farm;
    struct map *rows; /* names in table "worker" */
    struct diag *diag;
};

static int restore_row(void *context, const struct db_worker *row)
{
    struct restore *restore = context;
    struct farm *farm = restore->farm;
    const struct directory_entry *entry = directory_find(farm->directory, row->name);
    map_set(restore->rows, view_text(row->name), farm);
    bool revoked = strcmp(row->state, "revoked") == 0;
    if (revoked && entry != NULL) /* the directory is the first to say so */
        return diag_set(
            restore->diag, FARM_E_CORRUPT,
            "database: worker %s is revoked, but the signed workers.json lists it; restore the backup of "
            "either",
            row->name);
    if (revoked)
        return 0;
    if (entry == NULL) {
        log_event(
            LOG_LEVEL_WARNING,
            "a worker is not in workers.json, and not admitted; \"farmctl worker admit\" takes its entry",
            log_text(FIELD_WORKER, row->name));
        return 0;
    }
    if (!has_keys(row, entry) || strcmp(row->operator_name, entry->operator_name) != 0)
        return diag_set(
            restore->diag, FARM_E_CORRUPT,
            "database: worker %s differs from the signed workers.json; restore the backup of either",
            row->name);
    return apply(farm, entry, row->state, restore->diag); /* voided answers: revocation_restore */
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
        log_event(LOG_LEVEL_WARNING, "a worker is in workers.json alone; admitted again",
                  log_text(FIELD_WORKER, entry->worker));
        result = db_each_worker(farm->db, check_row, &check, restore->diag);
        if (result >= 0)
            result = apply(farm, entry, "active", restore->diag);
        if (result >= 0)
            record(farm, entry);
    }
    return result;
}

int admission_restore(struct farm *farm, struct diag *diag)
{
    struct restore restore = {farm, map_new(), diag};
    int result = db_each_worker(farm->db, restore_row, &restore, diag);
    if (result > 0 && farm->directory->version == 0)
        result =
            diag_set(diag, FARM_E_MISSING,
                     "%s/workers.json is missing, but the database knows workers; restore it from a backup",
                     farm->state_path);
    if (result >= 0)
        result = adopt(&restore);
    map_free(restore.rows);
    return result < 0 ? result : 0;
}
