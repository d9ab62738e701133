/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Witnesses: what workers ask about the log, and the cosignatures that they send.
 *
 * A worker may ask for any position: the log is public. Proofs are made on a pool thread, and a worker has one question at a time, so
 * asking costs the loop nothing. A cosignature is looked at only if it is about one of the last JOURNAL_RECENT checkpoints that were
 * shown, once for each worker and checkpoint: one Ed25519 check at most. What counts is decided when it is counted: an operator that the
 * installed root lists as witness, by a worker whose entry is valid now.
 */
#include "journal_private.h"

#include "farmlog.h"

#include <stdlib.h>

/* ---- asking ---- */

void journal_ask_forget(struct journal_ask *ask)
{
    for (size_t i = 0; ask->proofs != NULL && i < ask->proofs->ninclusions; i++)
        buf_done(&ask->proofs->inclusions[i].entry);
    free(STEAL(ask->proofs));
    ask->result = 0;
}

struct journal_ask *journal_ask_free(struct journal_ask *ask)
{
    if (ask == NULL)
        return NULL;
    journal_ask_forget(ask);
    free(ask);
    return NULL;
}

/* A newer question takes the place of one that waits. */
void journal_on_ask(struct farm *farm, const char *worker, const Wire__LogAsk *message)
{
    if (!restored_on_ask(farm, worker, message->known_size, wire_view(&message->checkpoint)))
        return;
    struct journal_ask *ask = mem_zero(1, sizeof *ask);
    snprintf(ask->worker, sizeof ask->worker, "%s", worker);
    ask->known_size = message->known_size;
    ask->npositions = message->n_positions; /* at most WIRE_LOG_POSITIONS_MAX: the decoder's rule */
    for (size_t i = 0; i < message->n_positions; i++)
        ask->positions[i] = message->positions[i];
    journal_ask_free(map_set(farm->journal->asks, view_text(worker), ask));
}

static void fill_hashes(const struct tlog_proof *proof, ProtobufCBinaryData *ret)
{
    for (size_t i = 0; i < proof->count; i++)
        ret[i] = wire_digest(&proof->hashes[i]);
}

static void send_answer(struct farm *farm, const struct journal_work *work, const struct journal_ask *ask)
{
    const struct journal_proofs *proofs = ask->proofs;
    Wire__LogAnswer message = WIRE__LOG_ANSWER__INIT;
    Wire__LogInclusion inclusions[WIRE_LOG_POSITIONS_MAX], *list[WIRE_LOG_POSITIONS_MAX];
    ProtobufCBinaryData consistency[TLOG_PROOF_MAX], paths[WIRE_LOG_POSITIONS_MAX][TLOG_PROOF_MAX];
    message.checkpoint = wire_bytes(buf_view(&work->shown_note));
    fill_hashes(&proofs->consistency, consistency);
    message.consistency = consistency;
    message.n_consistency = proofs->consistency.count;
    for (size_t i = 0; i < proofs->ninclusions; i++) {
        const struct journal_inclusion *from = &proofs->inclusions[i];
        wire__log_inclusion__init(&inclusions[i]);
        inclusions[i].position = from->position;
        inclusions[i].entry = wire_bytes(buf_view(&from->entry));
        fill_hashes(&from->path, paths[i]);
        inclusions[i].path = paths[i];
        inclusions[i].n_path = from->path.count;
        list[i] = &inclusions[i];
    }
    message.inclusions = list;
    message.n_inclusions = proofs->ninclusions;
    farm_post(farm, ask->worker, WIRE_LOG_ANSWER, &message.base);
}

void journal_send_answers(struct farm *farm, const struct journal_work *work)
{
    for (size_t i = 0; i < work->nasks; i++) {
        const struct journal_ask *ask = work->asks[i];
        if (ask->proofs == NULL) /* the pool is being taken down */
            continue;
        if (ask->known_size > work->shown.size)
            sessions_warn(
                farm, ask->worker,
                "log: the worker has seen more entries than there are; was an older state restored?",
                log_number(FIELD_POSITION, (int64_t)ask->known_size),
                log_number(FIELD_ENTRIES, (int64_t)work->shown.size));
        if (ask->result >= 0)
            send_answer(farm, work, ask);
        else
            log_event(LOG_LEVEL_ERROR, "log: no proof for a worker", log_text(FIELD_WORKER, ask->worker),
                      log_text(FIELD_REASON, diag_text(&ask->proofs->diag, ask->result)));
    }
}

/* ---- notes with cosignatures ---- */

void journal_write_shown(const struct journal_shown *shown, struct buf *ret)
{
    buf_add_view(ret, buf_view(&shown->note));
    for (size_t i = 0; i < shown->ncosignatures; i++) {
        const struct journal_cosignature *cosignature = &shown->cosignatures[i];
        note_write_cosignature(&cosignature->key, cosignature->time_s, &cosignature->signature, ret);
    }
}

static struct note_key key_of(const struct directory_entry *entry)
{
    struct note_key key = {.type = NOTE_COSIGNATURE, .key = entry->ed25519};
    snprintf(key.name, sizeof key.name, "%s/%s", entry->operator_name, entry->worker);
    return key;
}

const char *journal_witness_of(const struct farm *farm, const struct journal_cosignature *cosignature)
{
    const struct directory_entry *entry = sessions_entry(farm, cosignature->worker);
    if (farm->root == NULL || !farm->root->log.present || !sessions_entry_is_valid(entry) ||
        !keys_public_equal(&entry->ed25519, &cosignature->key.key))
        return NULL;
    bool listed =
        root_is_witness(farm->root, entry->operator_name) && directory_entry_is_anchor(entry, farm->root);
    return listed ? entry->operator_name : NULL;
}

size_t journal_count_witnesses(const struct farm *farm, const struct journal_shown *shown)
{
    struct map *operators = map_new();
    for (size_t i = 0; i < shown->ncosignatures; i++) {
        const char *operator_name = journal_witness_of(farm, &shown->cosignatures[i]);
        if (operator_name != NULL)
            map_set(operators, view_text(operator_name), operators);
    }
    size_t count = map_count(operators);
    map_free(operators);
    return count;
}

bool journal_is_cosigned(const struct farm *farm, const struct journal_shown *shown)
{
    return farm->root != NULL && farm->root->log.present &&
           journal_count_witnesses(farm, shown) >= farm->root->log.threshold;
}

static struct journal_cosignature *find_cosignature(const struct journal_shown *shown, const char *worker)
{
    for (size_t i = 0; i < shown->ncosignatures; i++)
        if (strcmp(shown->cosignatures[i].worker, worker) == 0)
            return &shown->cosignatures[i];
    return NULL;
}

/* Room for it: advice never fills the note. */
static bool has_room(const struct farm *farm, const struct journal_shown *shown, bool listed)
{
    size_t advice = 0;
    if (shown->ncosignatures >= JOURNAL_COSIGNATURES)
        return false;
    for (size_t i = 0; !listed && i < shown->ncosignatures; i++)
        advice += journal_witness_of(farm, &shown->cosignatures[i]) == NULL;
    return advice < JOURNAL_ADVICE;
}

static bool keep(const struct farm *farm, struct journal_shown *shown, const struct journal_cosignature *from)
{
    if (find_cosignature(shown, from->worker) != NULL ||
        !has_room(farm, shown, journal_witness_of(farm, from) != NULL))
        return false;
    shown->cosignatures = mem_reserve(shown->cosignatures, &shown->capacity, shown->ncosignatures + 1,
                                      sizeof *shown->cosignatures);
    shown->cosignatures[shown->ncosignatures++] = *from;
    return true;
}

/* The worker that a signature line names; NULL if there is none in the directory. */
static const struct directory_entry *entry_of_line(const struct farm *farm, struct view name)
{
    struct view operator_name, worker = name;
    if (!view_split(&worker, '/', &operator_name) || worker.size == 0)
        return NULL;
    CLEANUP_FREE char *text = view_string(worker);
    const struct directory_entry *entry = sessions_entry(farm, text);
    return entry != NULL && view_equal(view_text(entry->operator_name), operator_name) ? entry : NULL;
}

static bool read_line(const struct farm *farm, const struct note *note, const struct note_signature *line,
                      struct journal_cosignature *ret)
{
    enum { TIME_SIZE = 8 };
    const struct directory_entry *entry = entry_of_line(farm, line->name);
    if (!sessions_entry_is_valid(entry) || line->bytes.size != TIME_SIZE + KEYS_SIGNATURE_SIZE)
        return false;
    *ret = (struct journal_cosignature){.key = key_of(entry)};
    snprintf(ret->worker, sizeof ret->worker, "%s", entry->worker);
    memcpy(ret->signature.bytes, line->bytes.data + TIME_SIZE, KEYS_SIGNATURE_SIZE);
    return note_check(note, &ret->key, &ret->time_s, NULL) > 0;
}

void journal_read_cosignatures(const struct farm *farm, struct journal_shown *shown, struct view bytes)
{
    struct note note = NOTE_INIT;
    if (note_parse(bytes, &note, NULL) < 0)
        return;
    for (size_t i = 0; i < note.nsignatures; i++) {
        struct journal_cosignature cosignature;
        if (read_line(farm, &note, &note.signatures[i], &cosignature))
            (void)keep(farm, shown, &cosignature);
    }
    note_done(&note);
}

/* ---- cosignatures that arrive ---- */

static struct journal_shown *find_shown(const struct journal *journal, const Wire__Cosign *message)
{
    struct digest root = wire_get_digest(&message->root);
    for (size_t i = journal->nrecent; i-- > 0;) {
        struct journal_shown *shown = journal->recent[i];
        if (shown->checkpoint.size == message->size)
            return digest_equal(&shown->checkpoint.root, &root) ? shown : NULL;
    }
    return NULL;
}

static bool verify(const struct checkpoint *checkpoint, const struct journal_cosignature *cosignature)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    note_cosigned_text(checkpoint, cosignature->time_s, &text);
    return keys_verify(&cosignature->key.key, buf_view(&text), &cosignature->signature);
}

static struct journal_shown *copy_shown(const struct journal_shown *from)
{
    struct journal_shown *copy = journal_shown_new(&from->checkpoint, buf_view(&from->note), from->shown_ms);
    copy->cosignatures = mem_zero(from->ncosignatures, sizeof *copy->cosignatures);
    memcpy(copy->cosignatures, from->cosignatures, from->ncosignatures * sizeof *copy->cosignatures);
    copy->ncosignatures = copy->capacity = from->ncosignatures;
    return copy;
}

/* One more cosignature stands with it. */
static void took(struct farm *farm, const struct journal_shown *shown)
{
    struct journal *journal = farm->journal;
    const struct journal_shown *before = journal->reached != NULL ? journal->reached : journal->cosigned;
    uint64_t size = shown->checkpoint.size, size_before = before != NULL ? before->checkpoint.size : 0;
    journal->checkpoint_stale = journal->checkpoint_stale || shown == journal_newest(journal);
    if (size < size_before || !journal_is_cosigned(farm, shown))
        return;
    if (size > size_before)
        log_event(LOG_LEVEL_INFO, "log: cosigned by enough listed operators",
                  log_number(FIELD_ENTRIES, (int64_t)size),
                  log_number(FIELD_COUNT, (int64_t)journal_count_witnesses(farm, shown)));
    journal_shown_free(journal->reached);
    journal->reached = copy_shown(shown);
    journal->reached_further = journal->reached_further || size > size_before;
}

void journal_on_cosign(struct farm *farm, const char *worker, const Wire__Cosign *message)
{
    const struct directory_entry *entry = sessions_entry(farm, worker);
    struct journal_shown *shown = find_shown(farm->journal, message);
    if (shown == NULL) {
        sessions_warn(farm, worker, "log: cosigned with a root that was not shown, or long ago",
                      log_number(FIELD_ENTRIES, (int64_t)message->size));
        return;
    }
    if (!sessions_entry_is_valid(entry) || message->signature.len != KEYS_SIGNATURE_SIZE ||
        map_get(shown->failed, view_text(worker)) != NULL || find_cosignature(shown, worker) != NULL)
        return;
    struct journal_cosignature cosignature = {.key = key_of(entry), .time_s = message->time_s};
    snprintf(cosignature.worker, sizeof cosignature.worker, "%s", entry->worker);
    memcpy(cosignature.signature.bytes, message->signature.data, KEYS_SIGNATURE_SIZE);
    if (!verify(&shown->checkpoint, &cosignature)) {
        map_set(shown->failed, view_text(worker), shown);
        log_event(LOG_LEVEL_WARNING, "log: a cosignature that is not the worker's own",
                  log_text(FIELD_WORKER, worker));
    } else if (keep(farm, shown, &cosignature)) {
        took(farm, shown);
    }
}

/* ---- calling ---- */

static void call_witness(void *context, const struct core_worker_view *view)
{
    struct farm *farm = context;
    Wire__LogAnswer nothing = WIRE__LOG_ANSWER__INIT;
    if (view->online && root_is_witness(farm->root, view->operator_name))
        farm_post(farm, view->name, WIRE_LOG_ANSWER, &nothing.base);
}

void journal_call_witnesses(struct farm *farm)
{
    if (farm->root != NULL)
        core_each_worker(farm->core, call_witness, farm);
}
