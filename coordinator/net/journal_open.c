/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening the log: whose it is, and whether the database still has everything that was shown of it (D2, D3). Files that are missing
 * or altered are made again (L7); a database that is older or other than what was signed is refused.
 */
#include "journal_private.h"

#include "farmlog.h"
#include "file.h"
#include "startup_progress.h"

#include <errno.h>
#include <sys/stat.h>

struct note_key journal_key(const struct farm *farm)
{
    const struct public_key *key = keys_public(identity_keys(farm->identity));
    const char *origin = farm->config.log_origin;
    struct digest id = keys_id(key);
    struct note_key ret = {.type = NOTE_ED25519, .key = *key};
    if (origin != NULL && origin[0] != '\0')
        snprintf(ret.name, sizeof ret.name, "%s", origin);
    else
        snprintf(ret.name, sizeof ret.name, "intergenos-farm/%.16s", digest_hex(&id).text);
    return ret;
}

static int check_origin(const struct farm *farm, struct diag *diag)
{
    const char *origin = farm->config.log_origin;
    if (origin == NULL || origin[0] == '\0' || note_name_is_valid(view_text(origin)))
        return 0;
    return diag_set(diag, FARM_E_CONFIG,
                    "log_origin \"%s\": expected up to %d printable characters without blanks and \"+\"",
                    origin, NOTE_NAME_MAX);
}

int journal_check_root(const struct farm *farm, const struct root *root, struct diag *diag)
{
    struct note_key ours = journal_key(farm);
    CLEANUP_BUF struct buf vkey = BUF_INIT;
    const struct root_log *log = &root->log;
    if (!log->present || (strcmp(log->key.name, ours.name) == 0 && log->key.type == ours.type &&
                          keys_public_equal(&log->key.key, &ours.key)))
        return 0;
    note_key_write(&ours, &vkey);
    return diag_set(
        diag, FARM_E_CONFIG,
        "the trust root names the log %s, but this coordinator's is %s: make the root with \"farm-sign "
        "root set FILE log %s\", or give the coordinator the key and the log_origin that the root names",
        log->key.name, ours.name, vkey.data);
}

/* What an earlier run left in log/. */
struct remembered {
    const char *path, *what;
    struct checkpoint checkpoint;
    struct buf note;
    bool present;
    int64_t written_ms;   /* its file */
    struct digest actual; /* root of the rows at its size */
};
enum { CHECKPOINT, COSIGNED, REMEMBERED };

static int read_note(const struct farm *farm, struct remembered *ret, struct diag *diag)
{
    struct note_key key = journal_key(farm);
    struct stat status;
    int result = file_read(farm->state_dirfd, ret->path, NOTE_SIZE_MAX, &ret->note, diag);
    if (result == -ENOENT)
        return 0;
    if (result >= 0)
        result = note_open_checkpoint(buf_view(&ret->note), &key, &ret->checkpoint, diag);
    ret->present = result >= 0;
    if (result >= 0 && fstatat(farm->state_dirfd, ret->path, &status, 0) == 0)
        ret->written_ms = (int64_t)status.st_mtim.tv_sec * 1000;
    if (result >= 0)
        return 0;
    return diag_set(
        diag, FARM_E_CORRUPT,
        "%s/%s is not a checkpoint of the log %s: %s. If a log was lost and the next trust root names "
        "another, move %s/" JOURNAL_DIR " away; else restore coordinator.key and log_origin",
        farm->state_path, ret->path, key.name, diag_text(diag, result), farm->state_path);
}

/* The rows, as journal_tiles.c wants them. */
struct row_walk {
    int (*visit)(void *context, uint64_t position, struct view entry);
    void *context;
};

static int visit_row(void *context, const struct db_log_entry *row)
{
    const struct row_walk *walk = context;
    return walk->visit(walk->context, row->position, row->entry);
}

static int each_row(void *context, uint64_t from,
                    int (*visit)(void *visit_context, uint64_t position, struct view entry),
                    void *visit_context, struct diag *diag)
{
    struct farm *farm = context;
    struct row_walk walk = {visit, visit_context};
    return db_each_log_entry(farm->db, from, visit_row, &walk, diag);
}

/* The tree of the rows, and its roots at the two sizes that were shown before. */
struct recount {
    struct tlog_tree tree;
    struct remembered *remembered;
    struct startup_progress progress;
    struct diag *diag;
};

static void note_roots(struct recount *recount)
{
    for (size_t i = 0; i < REMEMBERED; i++)
        if (recount->remembered[i].present && recount->remembered[i].checkpoint.size == recount->tree.size)
            recount->remembered[i].actual = tlog_root(&recount->tree);
}

static int recount_row(void *context, uint64_t position, struct view entry)
{
    struct recount *recount = context;
    startup_progress_at(&recount->progress, position, moment_steady_ms());
    if (position != recount->tree.size || entry.size > LOGENTRY_SIZE_MAX)
        return diag_set(recount->diag, FARM_E_CORRUPT,
                        "database: the log has no entry %llu; restore a backup that has it",
                        (unsigned long long)recount->tree.size);
    struct digest leaf = tlog_leaf(entry);
    tlog_append(&recount->tree, &leaf, NULL, NULL);
    note_roots(recount);
    return 0;
}

/* D2, D3: whatever was shown must still be there. */
static int compare_remembered(struct farm *farm, const struct remembered *remembered, uint64_t size,
                              struct diag *diag)
{
    const struct checkpoint *checkpoint = &remembered->checkpoint;
    const struct journal_entries rows = {each_row, farm};
    if (!remembered->present)
        return 0;
    if (size < checkpoint->size)
        return diag_set(
            diag, FARM_E_CORRUPT,
            "database: older than the log: it has %llu entries, and %s shows %llu. Somebody has seen "
            "the others; restore a newer backup of farm.db",
            (unsigned long long)size, remembered->what, (unsigned long long)checkpoint->size);
    if (digest_equal(&remembered->actual, &checkpoint->root))
        return 0;
    uint64_t position = journal_tiles_differ(&farm->journal->tiles, &rows, checkpoint->size);
    if (position == UINT64_MAX)
        return diag_set(
            diag, FARM_E_CORRUPT,
            "database: the log's root differs from the one in %s at %llu entries. Nothing of it is "
            "believed; restore a backup",
            remembered->what, (unsigned long long)checkpoint->size);
    return diag_set(
        diag, FARM_E_CORRUPT,
        "database: the log's root differs from the one in %s: entry %llu is other than the one that "
        "was shown. Nothing of it is believed; restore a backup",
        remembered->what, (unsigned long long)position);
}

static int recount_all(struct farm *farm, struct remembered remembered[REMEMBERED], struct tlog_tree *ret,
                       struct diag *diag)
{
    struct recount recount = {.remembered = remembered, .diag = diag};
    int64_t size = db_log_size(farm->db, diag);
    if (size < 0)
        return (int)size;
    recount.progress = startup_progress_begin("the log", (uint64_t)size, moment_steady_ms());
    note_roots(&recount);
    int result = each_row(farm, 0, recount_row, &recount, diag);
    for (size_t i = 0; result >= 0 && i < REMEMBERED; i++)
        result = compare_remembered(farm, &remembered[i], recount.tree.size, diag);
    if (result >= 0)
        *ret = recount.tree;
    return result < 0 ? result : 0;
}

/* What stands in the two files goes on: their cosignatures still count. */
static void take_remembered(struct farm *farm, const struct remembered remembered[REMEMBERED])
{
    struct journal *journal = farm->journal;
    for (size_t i = 0; i < REMEMBERED; i++) {
        const struct remembered *from = &remembered[i];
        CLEANUP_BUF struct buf note = BUF_INIT;
        if (!from->present || note_sign_checkpoint(&from->checkpoint, journal->tiles.keys, &note, NULL) < 0)
            continue;
        struct journal_shown *shown = journal_shown_new(&from->checkpoint, buf_view(&note), from->written_ms);
        journal_read_cosignatures(farm, shown, buf_view(&from->note));
        if (i == CHECKPOINT) {
            journal_show(journal, shown);
        } else {
            journal->cosigned = shown;
            buf_add_view(&journal->cosigned_note, buf_view(&from->note));
        }
    }
}

/* What the database has and the last run did not get to show. */
static int publish_rest(struct farm *farm, struct diag *diag)
{
    struct journal *journal = farm->journal;
    struct checkpoint checkpoint;
    CLEANUP_BUF struct buf note = BUF_INIT;
    if (journal->tiles.tree.size == journal_shown_size(journal) ||
        !restored_may_publish(farm, journal->tiles.tree.size))
        return 0;
    int result = journal_tiles_publish(&journal->tiles, VIEW_NONE, JOURNAL_WRITTEN, &checkpoint, &note, diag);
    if (result >= 0)
        journal_show(journal, journal_shown_new(&checkpoint, buf_view(&note), moment_wall_ms()));
    return result;
}

static int open_tiles(struct farm *farm, struct diag *diag)
{
    struct journal_tiles *tiles = &farm->journal->tiles;
    struct note_key key = journal_key(farm);
    int result = check_origin(farm, diag);
    if (result >= 0)
        result = file_make_dirs(farm->state_dirfd, JOURNAL_DIR, 0755, diag);
    if (result >= 0)
        result = tiles->dirfd = file_open_dir(farm->state_dirfd, JOURNAL_DIR, diag);
    tiles->keys = identity_keys(farm->identity);
    memcpy(tiles->origin, key.name, sizeof tiles->origin);
    return result;
}

static int recover(struct farm *farm, struct remembered remembered[REMEMBERED], struct diag *diag)
{
    struct journal *journal = farm->journal;
    const struct journal_entries rows = {each_row, farm};
    int result = read_note(farm, &remembered[CHECKPOINT], diag);
    if (result >= 0)
        result = read_note(farm, &remembered[COSIGNED], diag);
    if (result >= 0)
        result = recount_all(farm, remembered, &journal->tiles.tree, diag);
    if (result >= 0)
        result = journal_tiles_recover(&journal->tiles, &rows, &remembered[CHECKPOINT].checkpoint, diag);
    if (result >= 0)
        result = journal_tiles_append(&journal->tiles, VIEW_NONE, diag);
    if (result >= 0)
        take_remembered(farm, remembered);
    return result < 0 ? result : publish_rest(farm, diag);
}

int journal_open(struct farm *farm, struct diag *diag)
{
    static const char checkpoint[] = JOURNAL_DIR "/" TILEDIR_CHECKPOINT;
    struct remembered remembered[REMEMBERED] = {
        [CHECKPOINT] = {.path = checkpoint, .what = checkpoint},
        [COSIGNED] = {.path = JOURNAL_COSIGNED, .what = JOURNAL_COSIGNED ", which witnesses signed"}};
    farm->journal = mem_zero(1, sizeof *farm->journal);
    farm->journal->asks = map_new();
    farm->journal->tiles.dirfd = -1;
    int result = open_tiles(farm, diag);
    if (result >= 0)
        result = recover(farm, remembered, diag);
    for (size_t i = 0; i < REMEMBERED; i++)
        buf_done(&remembered[i].note);
    farm->journal->size = farm->journal->tiles.tree.size;
    if (result >= 0)
        log_event(LOG_LEVEL_INFO, "log opened", log_text(FIELD_PATH, farm->journal->tiles.origin),
                  log_number(FIELD_ENTRIES, (int64_t)farm->journal->size));
    return result < 0 ? result : 0;
}
