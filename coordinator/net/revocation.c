/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Revocation: whose answers count no longer (W11), from the beginning or from a position in the log.
 *
 * The signed directory says it first, since that is what everybody verifies; what follows here are its consequences, in one
 * transaction: an entry "revoke" in the log, a row "voided" for every answer at or behind the position, and whatever the core makes
 * of it (votes that move, verdicts that are reopened, leases). A crash before the commit leaves all of it to the next start.
 *
 * Order within the transaction: the log's entry stands behind every answer that it voids (startup_log.c relies on it), and before the
 * verdicts that follow.
 */
#include "farm.h"

#include "farmlog.h"
#include "journal.h"

#include <stdlib.h>

/* An answer that is to be voided. */
struct doomed {
    struct digest envelope, nonce, job;
    uint32_t round;
};
struct doom {
    struct farm *farm;
    uint64_t from;
    struct doomed *items;
    size_t count, capacity;
    struct diag *diag;
};

static int visit_lease(void *context, const struct db_lease *row)
{
    struct doomed *doomed = context;
    doomed->job = row->job;
    doomed->round = row->round;
    return 0;
}

static int visit_answer(void *context, const struct db_attestation *row)
{
    struct doom *doom = context;
    struct doomed doomed = {.envelope = row->digest, .nonce = row->nonce};
    if (row->position < 0 || (uint64_t)row->position < doom->from)
        return 0;
    int is_void = db_find_voided(doom->farm->db, &row->digest, doom->diag);
    if (is_void != 0)
        return is_void < 0 ? is_void : 0;
    int found = db_find_lease(doom->farm->db, &row->nonce, visit_lease, &doomed, doom->diag);
    if (found <= 0)
        return found;
    doom->items = mem_reserve(doom->items, &doom->capacity, doom->count + 1, sizeof *doom->items);
    doom->items[doom->count++] = doomed;
    return 0;
}

/* ---- the log ---- */

struct earlier {
    const char *worker;
    uint64_t from; /* the lowest position; UINT64_MAX: none yet */
    struct diag *diag;
};

static int visit_revocation(void *context, const struct db_log_entry *row)
{
    struct earlier *earlier = context;
    struct logentry entry;
    int result = logentry_parse(row->entry, &entry, earlier->diag);
    if (result < 0)
        return result;
    uint64_t from = entry.version > 0 ? (uint64_t)entry.version : 0;
    if (entry.kind == LOG_REVOKE && strcmp(entry.worker, earlier->worker) == 0 && from < earlier->from)
        earlier->from = from;
    logentry_done(&entry);
    return 0;
}

int revocation_from(struct farm *farm, const char *worker, uint64_t *ret, struct diag *diag)
{
    struct earlier earlier = {worker, UINT64_MAX, diag};
    int result = db_each_log_entry_with(farm->db, "\"kind\":\"revoke\"", visit_revocation, &earlier, diag);
    *ret = earlier.from;
    return result < 0 ? result : 0;
}

static void log_it(struct farm *farm, const char *worker, uint64_t from)
{
    struct logentry entry = {.kind = LOG_REVOKE, .worker = worker, .version = from == 0 ? -1 : (int64_t)from};
    (void)journal_add(farm, &entry);
}

/* ---- the core ---- */

static struct core_event event_of(const struct doomed *doomed)
{
    struct core_event event = {.type = CORE_VOTE_VOID};
    memcpy(event.answer.nonce.bytes, doomed->nonce.bytes, CORE_NONCE_SIZE);
    event.answer.envelope = doomed->envelope;
    return event;
}

/* While the answer still counts, so that the core sees what its loss changes. */
static int acquaint(struct farm *farm, const struct doomed *doomed, struct diag *diag)
{
    struct core_event event = event_of(doomed);
    struct core_lease known;
    return core_lease_find(farm->core, &event.answer.nonce, &known)
               ? 0
               : plans_feed_history(farm, &doomed->job, diag);
}

/* The row; the core is told apart. */
static void write_void(struct farm *farm, const struct digest *attestation, const char *reason)
{
    struct db_voided row = {.attestation = *attestation, .reason = reason, .voided_ms = moment_wall_ms()};
    db_put_voided(farm_write(farm), &row);
}

static int void_all(struct farm *farm, const struct doom *doom, const char *reason, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; result >= 0 && i < doom->count; i++)
        result = acquaint(farm, &doom->items[i], diag);
    for (size_t i = 0; result >= 0 && i < doom->count; i++) {
        struct core_event event = event_of(&doom->items[i]);
        write_void(farm, &doom->items[i].envelope, reason);
        result = farm_feed(farm, &event, diag);
    }
    return result;
}

/* ---- verdicts that nobody judges ---- */

/* The votes that are left for what a verdict says. */
struct remains {
    const struct db_verdict *verdict;
    struct map *answers; /* attestation digests that say it */
    uint32_t votes, open;
};

static int visit_same(void *context, const struct db_attestation *row)
{
    struct remains *remains = context;
    bool failed = strcmp(row->failure, failure_kind_name(FAILURE_NONE)) != 0;
    bool says_failed = strcmp(remains->verdict->state, verdict_state_name(VERDICT_FAILED)) == 0;
    if (failed == says_failed && (failed || digest_equal(&row->payload, &remains->verdict->payload)))
        map_set(remains->answers, view_of(row->digest.bytes, DIGEST_SIZE), remains);
    return 0;
}

static int visit_vote(void *context, const struct db_vote *row)
{
    struct remains *remains = context;
    if (row->round == remains->verdict->round &&
        map_get(remains->answers, view_of(row->attestation.bytes, DIGEST_SIZE)) != NULL) {
        remains->votes++;
        remains->open += row->open;
    }
    return 0;
}

struct stale {
    struct farm *farm;
    uint32_t round;
    struct db_verdict row;
    bool found;
    struct diag *diag;
};

static bool is_settled_state(const char *state)
{
    return strcmp(state, verdict_state_name(VERDICT_AGREED)) == 0 ||
           strcmp(state, verdict_state_name(VERDICT_FAILED)) == 0;
}

static int visit_verdict(void *context, const struct db_verdict *row)
{
    struct stale *stale = context;
    if (row->round != stale->round || !is_settled_state(row->state))
        return 0;
    struct remains remains = {row, map_new(), 0, 0};
    int result = db_each_attestation_of(stale->farm->db, &row->job, visit_same, &remains, stale->diag);
    if (result >= 0)
        result = db_each_vote_of(stale->farm->db, &row->job, visit_vote, &remains, stale->diag);
    map_free(remains.answers);
    stale->found = row->operators > remains.votes || row->operators < remains.votes - remains.open;
    stale->row = *row;
    stale->row.operators = remains.votes;
    return result < 0 ? result : 0;
}

/*
 * The core judges what some plan follows. The verdict on another job (its plan was cancelled, say) is taken back here when its votes do
 * not carry it any more: the next plan that has the job judges it by its own rules.
 */
static int take_back(struct farm *farm, const struct doomed *doomed, struct diag *diag)
{
    struct stale stale = {.farm = farm, .round = doomed->round, .diag = diag};
    int result = db_each_verdict_of(farm->db, &doomed->job, visit_verdict, &stale, diag);
    if (result < 0 || !stale.found)
        return result < 0 ? result : 0;
    struct logentry entry = {.kind = LOG_VERDICT,
                             .job = doomed->job,
                             .round = doomed->round,
                             .operators = stale.row.operators,
                             .verdict = VERDICT_PENDING};
    stale.row.state = verdict_state_name(VERDICT_PENDING);
    stale.row.payload = (struct digest){{0}};
    stale.row.dissent = 0;
    stale.row.decided_ms = moment_wall_ms();
    (void)journal_add(farm, &entry);
    db_put_verdict(farm_write(farm), &stale.row);
    return 0;
}

/* ---- all of it ---- */

static int carry_out(struct farm *farm, const char *worker, const struct doom *doom, const char *reason,
                     struct diag *diag)
{
    log_it(farm, worker, doom->from);
    int result = void_all(farm, doom, reason, diag);
    for (size_t i = 0; result >= 0 && i < doom->count; i++)
        result = take_back(farm, &doom->items[i], diag);
    if (result >= 0)
        log_event(LOG_LEVEL_WARNING, "answers from a position of the log on count no longer",
                  log_text(FIELD_WORKER, worker), log_number(FIELD_COUNT, (int64_t)doom->count),
                  log_number(FIELD_POSITION, (int64_t)doom->from), log_text(FIELD_REASON, reason));
    return result;
}

static int collect(struct farm *farm, const char *worker, struct doom *doom, struct diag *diag)
{
    sessions_revoke(farm, worker);
    return db_each_attestation_by(farm->db, worker, visit_answer, doom, diag);
}

int revocation_void(struct farm *farm, const char *worker, uint64_t from, const char *reason,
                    struct diag *diag)
{
    struct doom doom = {.farm = farm, .from = from, .diag = diag};
    uint64_t logged = UINT64_MAX;
    int result = collect(farm, worker, &doom, diag);
    if (result >= 0)
        result = revocation_from(farm, worker, &logged, diag);
    if (result >= 0 && (doom.count > 0 || logged > from))
        result = carry_out(farm, worker, &doom, reason, diag);
    free(doom.items);
    return result < 0 ? result : (int)doom.count;
}

/* ---- at start ---- */

static int go_on(struct farm *farm, const char *worker, uint64_t from, struct diag *diag)
{
    struct doom doom = {.farm = farm, .from = from, .diag = diag};
    int result = collect(farm, worker, &doom, diag);
    if (result >= 0 && doom.count > 0)
        result = carry_out(farm, worker, &doom, "found at start: the directory says so", diag);
    free(doom.items);
    return result;
}

struct restore {
    struct farm *farm;
    char **workers; /* rows cannot be written while they are walked */
    uint64_t *from;
    size_t count;
    struct diag *diag;
};

static int visit_worker(void *context, const struct db_worker *row)
{
    struct restore *restore = context;
    const struct directory_entry *entry = directory_find(restore->farm->directory, row->name);
    bool revoked = strcmp(row->state, "revoked") == 0 && entry == NULL;
    bool compromised = entry != NULL && entry->compromised_from >= 0;
    if (!revoked && !compromised)
        return 0;
    restore->workers = mem_grow(restore->workers, restore->count + 1, sizeof *restore->workers);
    restore->from = mem_grow(restore->from, restore->count + 1, sizeof *restore->from);
    restore->workers[restore->count] = mem_string(row->name);
    restore->from[restore->count++] = compromised ? (uint64_t)entry->compromised_from : 0;
    return 0;
}

int revocation_restore(struct farm *farm, struct diag *diag)
{
    struct restore restore = {.farm = farm, .diag = diag};
    int result = db_each_worker(farm->db, visit_worker, &restore, diag);
    for (size_t i = 0; result >= 0 && i < restore.count; i++)
        result = go_on(farm, restore.workers[i], restore.from[i], diag);
    for (size_t i = 0; i < restore.count; i++)
        free(restore.workers[i]);
    free(restore.workers);
    free(restore.from);
    return result < 0 ? result : 0;
}
