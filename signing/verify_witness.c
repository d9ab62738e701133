/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log's checkpoint: is it the log's that the root names, who cosigned it, and does it continue what was remembered?
 *
 * A cosignature counts for the operator whose worker gave it: the key must be that of an entry of the directory whose operator is
 * a listed witness and an anchor of the root, that is admitted now and not marked compromised. An operator counts once. What counts is
 * that the tree which it cosigned reaches release.log.size; trees of different sizes are of one log, because the entries must give the
 * root of each (verify_log). So notes that were passed by hand count with the one in the export.
 *
 * What is remembered is the largest tree that enough operators cosigned, never one that fewer saw.
 *
 * Time: a cosignature has the time of its witness's clock. The moment that at least 'threshold' operators have passed is taken as a
 * lower bound of now, for this run alone: who sets back the clock of this machine then still meets expired documents (C2). It
 * is not remembered, and not used where one operator is enough, so that no single clock, wrong or lying, can push time forward.
 */
#include "verify_private.h"

#include "file.h"
#include "moment.h"

#include <fcntl.h>
#include <stdlib.h>

/* A key whose cosignature counts. */
struct witness_key {
    size_t witness; /* in root->log.witnesses */
    struct note_key key;
};
struct witness_keys {
    struct witness_key *items;
    size_t count, capacity;
};

static bool may_cosign(const struct verify_run *run, const struct directory_entry *entry, const char *witness)
{
    return strcmp(entry->operator_name, witness) == 0 && directory_entry_is_anchor(entry, run->root) &&
           entry->admitted_ms <= run->now_ms && run->now_ms < entry->expires_ms &&
           entry->compromised_from == -1;
}

static void add_key(struct witness_keys *keys, size_t witness, const struct directory_entry *entry)
{
    keys->items = mem_reserve(keys->items, &keys->capacity, keys->count + 1, sizeof *keys->items);
    struct witness_key *added = &keys->items[keys->count++];
    *added = (struct witness_key){witness, {.type = NOTE_COSIGNATURE, .key = entry->ed25519}};
    /* Two names of at most IDENTITY_NAME_MAX: they fit. */
    snprintf(added->key.name, sizeof added->key.name, "%s/%s", entry->operator_name, entry->worker);
}

static void find_keys(const struct verify_run *run, struct witness_keys *ret)
{
    const struct root_log *log = &run->root->log;
    for (size_t i = 0; i < run->directory->nentries; i++)
        for (size_t w = 0; w < log->nwitnesses; w++)
            if (may_cosign(run, &run->directory->entries[i], log->witnesses[w]))
                add_key(ret, w, &run->directory->entries[i]);
}

static void count_cosignature(struct verify_witness *witness, const struct checkpoint *seen, uint64_t time_s)
{
    if (seen->size > witness->size) {
        witness->size = seen->size;
        witness->root = seen->root;
    }
    if (time_s > witness->time_s)
        witness->time_s = time_s;
}

/* L4: a known key that fails refuses the whole note, so nothing of it is counted before all are known. */
static bool check_cosignatures(struct verify_run *run, const char *file, const struct note *note,
                               const struct checkpoint *seen, const struct witness_keys *keys)
{
    CLEANUP_FREE uint64_t *times = mem_zero(keys->count + 1, sizeof *times);
    CLEANUP_FREE bool *found = mem_zero(keys->count + 1, sizeof *found);
    for (size_t i = 0; i < keys->count; i++) {
        struct diag diag = DIAG_INIT;
        int result = note_check(note, &keys->items[i].key, &times[i], &diag);
        if (result < 0) {
            verify_failure(run, file, "cosignature", result, &diag);
            return false;
        }
        found[i] = result > 0;
    }
    for (size_t i = 0; i < keys->count; i++)
        if (found[i])
            count_cosignature(&run->witnesses[keys->items[i].witness], seen, times[i]);
    return true;
}

/* The entries must give this root at this size. */
static void add_point(struct verify_run *run, const struct checkpoint *tree, const char *file,
                      const char *rule, const char *who)
{
    run->points = mem_grow(run->points, run->npoints + 1, sizeof *run->points);
    run->points[run->npoints++] = (struct verify_point){tree->size, tree->root, file, rule, who};
}

static bool open_note(struct verify_run *run, const char *file, const char *rule, struct view text,
                      struct note *ret_note, struct checkpoint *ret)
{
    struct diag diag = DIAG_INIT;
    int result = note_open_checkpoint(text, &run->root->log.key, ret, &diag);
    if (result >= 0)
        result = note_parse(text, ret_note, &diag);
    if (result < 0)
        verify_failure(run, file, rule, result, &diag);
    return result >= 0;
}

static void read_checkpoint(struct verify_run *run, const struct witness_keys *keys)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(note_done) struct note note = NOTE_INIT;
    struct checkpoint seen;
    if (!verify_read(run, VERIFY_CHECKPOINT, NOTE_SIZE_MAX, &text) ||
        !open_note(run, VERIFY_CHECKPOINT, "checkpoint", buf_view(&text), &note, &seen))
        return;
    if (seen.size < run->release->log.size) {
        verify_problem(run, VERIFY_CHECKPOINT, "log-short",
                       "the checkpoint has %llu entries; the release was made at %llu: export it again",
                       (unsigned long long)seen.size, (unsigned long long)run->release->log.size);
        return;
    }
    if (!check_cosignatures(run, VERIFY_CHECKPOINT, &note, &seen, keys))
        return;
    run->checkpoint = seen;
    add_point(run, &run->checkpoint, VERIFY_CHECKPOINT, "log-root", "the checkpoint");
}

/* One that was passed by hand. */
static int take_cosignature(struct verify_run *run, const char *path, const struct witness_keys *keys,
                            struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(note_done) struct note note = NOTE_INIT;
    struct checkpoint seen;
    int result = file_read(AT_FDCWD, path, NOTE_SIZE_MAX, &text, diag);
    if (result < 0)
        return diag_wrap(diag, result, "cosignature");
    if (!open_note(run, path, "cosignature", buf_view(&text), &note, &seen))
        return 0;
    uint64_t least = run->release->log.size, most = verify_log_size(run);
    if (seen.size < least || seen.size > most) {
        verify_problem(
            run, path, "cosignature",
            "this is about the first %llu entries of the log; the entries of this export can confirm "
            "one of %llu to %llu",
            (unsigned long long)seen.size, (unsigned long long)least, (unsigned long long)most);
        return 0;
    }
    if (check_cosignatures(run, path, &note, &seen, keys))
        add_point(run, &seen, path, "cosignature", "this note");
    return 0;
}

uint64_t verify_log_size(const struct verify_run *run)
{
    return run->checkpoint.size > 0 ? run->checkpoint.size : run->release->log.size;
}

/* ---- what was remembered ---- */

/* The log that was remembered ended, as a root that the managers signed says; at or behind what was seen of it? */
static void check_succession(struct verify_run *run, const struct verify_origin *successor,
                             const struct checkpoint *seen)
{
    const struct checkpoint *end = &successor->previous;
    if (end->size < seen->size || (end->size == seen->size && !digest_equal(&end->root, &seen->root)))
        verify_problem(
            run, "root", "log-fork",
            "the root says that the log %s ended at %llu entries with root %s; %llu entries with root "
            "%s were accepted before",
            end->origin, (unsigned long long)end->size, digest_hex(&end->root).text,
            (unsigned long long)seen->size, digest_hex(&seen->root).text);
    else
        verify_note(
            run,
            "The log %s was given up at %llu entries; %s follows it, as the trust root says. Whether the "
            "last entries that were seen here are in it cannot be checked any more.",
            end->origin, (unsigned long long)end->size, successor->origin);
}

static const struct verify_origin *find_successor(const struct verify_run *run, const char *origin)
{
    for (size_t i = 0; i < run->norigins; i++)
        if (run->origins[i].previous.size > 0 && strcmp(run->origins[i].previous.origin, origin) == 0)
            return &run->origins[i];
    return NULL;
}

/*
 * L2. Smaller than remembered: whether it is a beginning of what was seen cannot be told from it. One case is harmless: an earlier
 * export of the very release that was accepted, whose own tree was compared with the remembered one then.
 */
static void check_shrunken(struct verify_run *run, const struct checkpoint *seen)
{
    if (digest_equal(&run->options->state->release, &run->release->digest))
        verify_note(run,
                    "This is an earlier export of the release that was accepted before: its log ends at %llu "
                    "entries, %llu were seen.",
                    (unsigned long long)run->checkpoint.size, (unsigned long long)seen->size);
    else
        verify_problem(
            run, VERIFY_CHECKPOINT, "log-shrunk",
            "the log has %llu entries here, %llu were seen before: it never shrinks, so this is an "
            "old export (make a new one) or another history",
            (unsigned long long)run->checkpoint.size, (unsigned long long)seen->size);
}

static void check_remembered(struct verify_run *run)
{
    const struct verify_state *state = run->options->state;
    if (state == NULL || state->log.size == 0 || run->checkpoint.size == 0)
        return;
    const struct verify_origin *successor = find_successor(run, state->log.origin);
    if (strcmp(state->log.origin, run->checkpoint.origin) != 0) {
        if (successor != NULL)
            check_succession(run, successor, &state->log);
        else
            verify_problem(run, VERIFY_CHECKPOINT, "log-origin",
                           "the log %s was accepted before, this is %s, and no root says that it follows",
                           state->log.origin, run->checkpoint.origin);
    } else if (state->log.size > run->checkpoint.size) {
        check_shrunken(run, &state->log);
    } else {
        add_point(run, &state->log, VERIFY_CHECKPOINT, "log-fork", "what was accepted before"); /* L1 */
    }
}

/* ---- enough? ---- */

static void list_missing(const struct verify_run *run, struct buf *ret)
{
    for (size_t i = 0; i < run->root->log.nwitnesses; i++)
        if (run->witnesses[i].size == 0)
            buf_add_format(ret, "%s%s", ret->size > 0 ? ", " : "", run->root->log.witnesses[i]);
}

static int by_size_descending(const void *left, const void *right)
{
    const struct verify_witness *a = left, *b = right;
    return a->size < b->size ? 1 : a->size > b->size ? -1 : 0;
}

static int by_time_descending(const void *left, const void *right)
{
    const struct verify_witness *a = left, *b = right;
    return a->time_s < b->time_s ? 1 : a->time_s > b->time_s ? -1 : 0;
}

/* As many operators as are needed have passed this moment. */
static void raise_time(struct verify_run *run, struct verify_witness *sorted)
{
    enum { ONE_IS_NONE = 2 };
    const struct root_log *log = &run->root->log;
    if (log->threshold < ONE_IS_NONE)
        return;
    qsort(sorted, log->nwitnesses, sizeof *sorted, by_time_descending);
    uint64_t time_s = sorted[log->threshold - 1].time_s;
    if (time_s > (uint64_t)(INT64_MAX / 1000) || (int64_t)time_s * 1000 <= run->now_ms)
        return;
    run->now_ms = (int64_t)time_s * 1000;
    verify_note(run, "The clock of this machine is behind: %u witnesses of the log have seen %s.",
                log->threshold, moment_format(run->now_ms).text);
}

/* The largest tree that enough operators have seen is remembered; never less than before. */
static void remember(struct verify_run *run, struct verify_witness *sorted)
{
    const struct root_log *log = &run->root->log;
    struct checkpoint *keep = &run->result->state.log;
    qsort(sorted, log->nwitnesses, sizeof *sorted, by_size_descending);
    const struct verify_witness *last = &sorted[log->threshold - 1];
    if (strcmp(keep->origin, log->key.name) == 0 && keep->size >= last->size)
        return;
    *keep = (struct checkpoint){.size = last->size, .root = last->root};
    memcpy(keep->origin, log->key.name, sizeof keep->origin);
}

static void check_threshold(struct verify_run *run)
{
    const struct root_log *log = &run->root->log;
    CLEANUP_BUF struct buf missing = BUF_INIT;
    CLEANUP_FREE struct verify_witness *sorted = mem_zero(log->nwitnesses + 1, sizeof *sorted);
    memcpy(sorted, run->witnesses, log->nwitnesses * sizeof *sorted);
    for (size_t i = 0; i < log->nwitnesses; i++)
        run->result->witnesses += run->witnesses[i].size > 0;
    list_missing(run, &missing);
    if (run->result->witnesses < log->threshold) {
        verify_problem(
            run, VERIFY_CHECKPOINT, "cosignatures",
            "%zu of %u needed operators cosigned a tree that reaches the release; missing: %s. A note "
            "that one of them cosigned can be given with --cosignature FILE",
            run->result->witnesses, log->threshold, missing.data); /* L8 */
        return;
    }
    raise_time(run, sorted);
    remember(run, sorted);
    if (missing.size > 0)
        verify_note(run, "The log was cosigned by %zu operators (%u are needed); not by: %s.",
                    run->result->witnesses, log->threshold, missing.data);
}

/* ---- whether there is one ---- */

static bool same_log(struct verify_run *run)
{
    const struct root_log *log = &run->root->log;
    const struct release *release = run->release;
    if (log->present && !release->has_log)
        verify_problem(
            run, RELEASE_FILE, "log-missing",
            "the root names the transparency log %s and the release none: evidence that was left out "
            "would not be missed",
            log->key.name);
    else if (!log->present && release->has_log)
        verify_problem(run, RELEASE_FILE, "log-not-allowed",
                       "the release names the log %s, the root none: nobody says who must witness it",
                       release->log.origin);
    else if (!log->present)
        verify_note(run,
                    "NO TRANSPARENCY LOG: the trust root names none. What the coordinator never exported, a "
                    "dissent or a lease, is not missed here.");
    else if (strcmp(release->log.origin, log->key.name) != 0)
        verify_problem(run, RELEASE_FILE, "log-origin", "the release names the log %s, the root %s",
                       release->log.origin, log->key.name);
    else
        return true;
    return false;
}

int verify_witness(struct verify_run *run, struct diag *diag)
{
    struct witness_keys keys = {0};
    int result = 0;
    if (run->options->state != NULL)
        run->result->state.log = run->options->state->log;
    run->has_log = same_log(run);
    if (!run->has_log && run->options->ncosignatures > 0)
        verify_note(
            run,
            "The cosignatures that were given were not looked at: there is no log that they could be of.");
    if (!run->has_log)
        return 0;
    run->witnesses = mem_zero(run->root->log.nwitnesses + 1, sizeof *run->witnesses);
    add_point(run, &run->release->log, RELEASE_FILE, "log-root", RELEASE_FILE);
    find_keys(run, &keys);
    read_checkpoint(run, &keys);
    for (size_t i = 0; i < run->options->ncosignatures && result >= 0; i++)
        result = take_cosignature(run, run->options->cosignatures[i], &keys, diag);
    check_remembered(run);
    check_threshold(run);
    free(keys.items);
    return result;
}
