/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The transparency log for people: what it shows, who cosigned it, and proofs of single entries. */
#include "verbs.h"

#include "buf.h"
#include "journal_private.h"
#include "logproof.h"

#include <stdlib.h>

enum {
    ENTRIES_SHOWN = 10, /* when nobody says which */
    ENTRIES_MAX = 20000 /* in one answer: 5 MiB */
};

/* ---- show ---- */

struct entry_list {
    json_t *list;
    uint64_t end; /* of those asked for */
};

static int add_entry(void *context, const struct db_log_entry *row)
{
    struct entry_list *state = context;
    json_t *entry = NULL;
    if (row->position >= state->end)
        return FARM_E_STATE; /* ends the walk */
    if (json_read(row->entry, "entry", LOGENTRY_SIZE_MAX, &entry, NULL) < 0)
        entry = json_null();
    json_array_append_new(state->list,
                          json_pack("{s:I, s:o}", "position", (json_int_t)row->position, "entry", entry));
    return 0;
}

static json_t *entries_json(struct farm *farm, uint64_t from, uint64_t end)
{
    struct entry_list state = {json_array(), end};
    (void)!db_each_log_entry(farm->db, from, add_entry, &state, NULL);
    return state.list;
}

/* "FROM", "FROM..TO"; both ends are shown. Without it: the last ones. */
static int parse_range(const struct farm *farm, const char *text, uint64_t *ret_from, uint64_t *ret_end,
                       struct diag *diag)
{
    uint64_t size = journal_size(farm), from, to;
    if (text == NULL) {
        *ret_from = size > ENTRIES_SHOWN ? size - ENTRIES_SHOWN : 0;
        *ret_end = size;
        return 0;
    }
    const char *dots = strstr(text, "..");
    struct view first = dots != NULL ? view_of(text, (size_t)(dots - text)) : view_text(text);
    if (!view_decimal(first, &from) || (dots != NULL && !view_decimal(view_text(dots + 2), &to)))
        return diag_set(diag, FARM_E_USAGE, "entries \"%s\": expected FROM or FROM..TO", text);
    if (dots == NULL)
        to = from + ENTRIES_SHOWN - 1;
    if (to < from || to - from >= ENTRIES_MAX)
        return diag_set(diag, FARM_E_USAGE, "entries \"%s\": at most %d at a time, the first one first", text,
                        ENTRIES_MAX);
    *ret_from = from;
    *ret_end = to + 1 < size ? to + 1 : size;
    return 0;
}

static json_t *checkpoint_json(const struct journal_shown *shown)
{
    if (shown == NULL)
        return json_null();
    json_t *json = json_pack("{s:I, s:o}", "size", (json_int_t)shown->checkpoint.size, "root",
                             json_digest(&shown->checkpoint.root));
    json_object_set_new(json, "shown", json_string(moment_format(shown->shown_ms).text));
    json_object_set_new(json, "age_ms", json_integer((json_int_t)(moment_wall_ms() - shown->shown_ms)));
    return json;
}

static json_t *cosignatures_json(const struct farm *farm, const struct journal_shown *shown)
{
    json_t *list = json_array();
    for (size_t i = 0; shown != NULL && i < shown->ncosignatures; i++) {
        const struct journal_cosignature *cosignature = &shown->cosignatures[i];
        const struct directory_entry *entry = sessions_entry(farm, cosignature->worker);
        json_array_append_new(list, json_pack("{s:s?, s:s, s:b, s:s}", "operator",
                                              entry != NULL ? entry->operator_name : NULL, "worker",
                                              cosignature->worker, "listed",
                                              (int)(journal_witness_of(farm, cosignature) != NULL), "time",
                                              moment_format((int64_t)cosignature->time_s * 1000).text));
    }
    return list;
}

/* What the installed root asks for; null if it asks for nothing. */
static json_t *required_json(const struct farm *farm)
{
    if (farm->root == NULL || !farm->root->log.present)
        return json_null();
    const struct root_log *log = &farm->root->log;
    json_t *witnesses = json_array();
    for (size_t i = 0; i < log->nwitnesses; i++)
        json_array_append_new(witnesses, json_string(log->witnesses[i]));
    return json_pack("{s:i, s:o}", "threshold", (int)log->threshold, "witnesses", witnesses);
}

void verb_log_show(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    const struct journal *journal = farm->journal;
    struct note_key key = journal_key(farm);
    CLEANUP_BUF struct buf vkey = BUF_INIT;
    uint64_t from = 0, end = 0;
    int result = parse_range(farm, ctl_text(request, "entries"), &from, &end, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    note_key_write(&key, &vkey);
    const struct journal_shown *newest = journal_newest(journal);
    bool cosigned = journal->cosigned != NULL && journal_is_cosigned(farm, journal->cosigned);
    json_t *body = json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "origin", key.name, "vkey",
                             vkey.data, "size", (json_int_t)journal->size, "checkpoint",
                             checkpoint_json(newest), "cosignatures", cosignatures_json(farm, newest),
                             "cosigned", checkpoint_json(cosigned ? journal->cosigned : NULL), "required",
                             required_json(farm), "entries", entries_json(farm, from, end));
    ctl_finish(request, FARM_EXIT_OK, body);
}

/* ---- prove ---- */

struct search {
    uint64_t position;
    bool found;
};

static int keep_first(void *context, const struct db_log_entry *row)
{
    struct search *search = context;
    if (!search->found)
        search->position = row->position;
    search->found = true;
    return 0;
}

/* A position, or the digest of what an entry is about: an envelope, a plan, a directory, a root, a release, a waiver. */
static int find_entry(struct farm *farm, const char *text, uint64_t *ret, struct diag *diag)
{
    struct search search = {0};
    struct digest digest;
    if (text == NULL)
        return diag_set(diag, FARM_E_USAGE,
                        "which entry? Give its position, or the digest of what it is about");
    if (digest_parse(view_text(text), &digest)) {
        CLEANUP_FREE char *member = mem_format("\"sha256\":\"%s\"", text);
        int found = db_each_log_entry_with(farm->db, member, keep_first, &search, diag);
        if (found < 0)
            return found;
    } else if (view_decimal(view_text(text), &search.position)) {
        search.found = search.position < journal_size(farm);
    }
    if (!search.found)
        return diag_set(diag, FARM_E_UNKNOWN,
                        "the log has no entry %s; it has %llu, and \"farmctl log show --entries "
                        "FROM..TO\" lists them",
                        text, (unsigned long long)journal_size(farm));
    *ret = search.position;
    return 0;
}

/* The cosigned checkpoint if the entry is below it: its proof says more. */
static const struct journal_shown *best_for(const struct farm *farm, uint64_t position)
{
    const struct journal_shown *cosigned = farm->journal->cosigned;
    if (cosigned != NULL && position < cosigned->checkpoint.size && journal_is_cosigned(farm, cosigned))
        return cosigned;
    const struct journal_shown *newest = journal_newest(farm->journal);
    return newest != NULL && position < newest->checkpoint.size ? newest : NULL;
}

static int prove(struct farm *farm, const struct journal_shown *shown, uint64_t position,
                 struct logproof *ret, struct diag *diag)
{
    struct tiledir *reader = NULL;
    uint64_t size = shown->checkpoint.size;
    int result = tiledir_reader_open(farm->journal->tiles.dirfd, size, &reader, diag);
    if (result >= 0)
        result = tiledir_entry(reader, position, &ret->entry, diag);
    if (result >= 0) {
        struct tlog_reader hashes = tiledir_hashes(reader);
        result = tlog_prove_inclusion(&hashes, size, position, &ret->proof, diag);
    }
    tiledir_reader_free(reader);
    ret->position = position;
    journal_write_shown(shown, &ret->note);
    return result;
}

static void answer_proof(struct farm *farm, struct ctl_request *request, const struct journal_shown *shown,
                         uint64_t position)
{
    struct diag diag = DIAG_INIT;
    CLEANUP(logproof_done) struct logproof proof = {.position = 0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *entry = NULL;
    int result = prove(farm, shown, position, &proof, &diag);
    if (result >= 0)
        result = json_read(buf_view(&proof.entry), "entry", LOGENTRY_SIZE_MAX, &entry, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    logproof_write(&proof, &text);
    ctl_finish(request, FARM_EXIT_OK,
               json_pack("{s:I, s:o, s:I, s:o, s:i, s:o}", "position", (json_int_t)position, "entry", entry,
                         "size", (json_int_t)shown->checkpoint.size, "root",
                         json_digest(&shown->checkpoint.root), "witnesses",
                         (int)journal_count_witnesses(farm, shown), "proof", json_view(buf_view(&text))));
}

/* An entry that nobody has been shown yet. */
struct waiting {
    struct ctl_request *request;
    uint64_t position;
};

static void entry_is_shown(struct farm *farm, void *context, int result)
{
    struct waiting *waiting = context;
    struct diag diag = DIAG_INIT;
    const struct journal_shown *shown = best_for(farm, waiting->position);
    if (result >= 0 && shown != NULL)
        answer_proof(farm, waiting->request, shown, waiting->position);
    else
        ctl_fail(waiting->request,
                 diag_set(&diag, result < 0 ? result : FARM_E_STATE,
                          "the log could not be published; the coordinator's log says why"),
                 &diag);
    free(waiting);
}

void verb_log_prove(struct farm *farm, struct ctl_request *request)
{
    struct diag diag = DIAG_INIT;
    uint64_t position = 0;
    int result = find_entry(farm, ctl_text(request, "entry"), &position, &diag);
    if (result < 0) {
        ctl_fail(request, result, &diag);
        return;
    }
    const struct journal_shown *shown = best_for(farm, position);
    if (shown != NULL) {
        answer_proof(farm, request, shown, position);
        return;
    }
    struct waiting *waiting = mem_zero(1, sizeof *waiting);
    *waiting = (struct waiting){request, position};
    journal_publish(farm, entry_is_shown, waiting);
}
