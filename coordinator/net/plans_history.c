/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History: what the database knows and the core does not (any more), as the core wants it: a job's leases and answers from their rows, and two things that the
 * rows of one job do not tell:
 *
 *   settled   at which position of the log a round was agreed or failed for the first time. What stands behind it is open. The verdict's
 *             row is no help: it has the newest state, and a verdict that was reopened is pending again
 *   voided    which answers never count again
 *
 * Both are read when the first job is fed, in one walk over the log. What is settled or voided later comes through here: the core forgets
 * jobs of plans that ended, and they are fed again.
 */
#include "farm.h"

#include "farmlog.h"
#include "logentry.h"
#include "missing.h"

#include <stdlib.h>

struct past {
    struct map *settled; /* job, round -> 1 + position, as pointer */
    struct map *voided;  /* digests */
};

struct past *past_free(struct past *past)
{
    if (past == NULL)
        return NULL;
    map_free(past->settled);
    map_free(past->voided);
    free(past);
    return NULL;
}

/* ---- settled rounds ---- */

struct round_key {
    unsigned char bytes[DIGEST_SIZE + sizeof(uint32_t)];
};

static struct round_key round_key(const struct digest *job, uint32_t round)
{
    struct round_key key;
    memcpy(key.bytes, job->bytes, DIGEST_SIZE);
    memcpy(key.bytes + DIGEST_SIZE, &round, sizeof round);
    return key;
}

static struct view key_view(const struct round_key *key)
{
    return view_of(key->bytes, sizeof key->bytes);
}

static void note_settled(struct past *past, const struct digest *job, uint32_t round, uint64_t position)
{
    struct round_key key = round_key(job, round);
    if (map_get(past->settled, key_view(&key)) == NULL)
        map_set(past->settled, key_view(&key), (void *)(uintptr_t)(position + 1));
}

void past_settle(struct farm *farm, const struct digest *job, uint32_t round, uint64_t position)
{
    if (farm->past != NULL)
        note_settled(farm->past, job, round, position);
}

static int visit_verdict(void *context, const struct db_log_entry *row)
{
    struct past *past = context;
    struct logentry entry;
    struct diag diag = DIAG_INIT;
    int result = logentry_parse(row->entry, &entry, &diag);
    if (result < 0) {
        log_event(LOG_LEVEL_ERROR, "a row of an answer cannot be used",
                  log_number(FIELD_POSITION, row->position),
                  log_text(FIELD_REASON, diag_text(&diag, result)));
        return result;
    }
    if (entry.kind == LOG_VERDICT && verdict_is_settled(entry.verdict))
        note_settled(past, &entry.job, entry.round, row->position);
    logentry_done(&entry);
    return 0;
}

static int visit_voided(void *context, const struct db_voided *row)
{
    struct past *past = context;
    map_set(past->voided, view_of(row->attestation.bytes, DIGEST_SIZE), past);
    return 0;
}

static int load(struct farm *farm, struct past **ret, struct diag *diag)
{
    if (farm->past == NULL) {
        struct past *past = mem_zero(1, sizeof *past);
        past->settled = map_new();
        past->voided = map_new();
        int result = db_each_log_entry_with(farm->db, "\"kind\":\"verdict\"", visit_verdict, past, diag);
        if (result >= 0)
            result = db_each_voided(farm->db, visit_voided, past, diag);
        if (result < 0) {
            past_free(past);
            return result;
        }
        farm->past = past;
    }
    *ret = farm->past;
    return 0;
}

/* UINT64_MAX: never. */
static uint64_t settled_at(const struct past *past, const struct digest *job, uint32_t round)
{
    struct round_key key = round_key(job, round);
    uintptr_t found = (uintptr_t)map_get(past->settled, key_view(&key));
    return found > 0 ? found - 1 : UINT64_MAX;
}

/* ---- voided answers ---- */

void past_void(struct farm *farm, const struct digest *attestation, const char *reason)
{
    struct db_voided row = {.attestation = *attestation, .reason = reason, .voided_ms = moment_wall_ms()};
    db_put_voided(farm_write(farm), &row);
    if (farm->past != NULL)
        map_set(farm->past->voided, view_of(attestation->bytes, DIGEST_SIZE), farm->past);
}

/* Without its table an answer that was voided would count: a database that cannot be read ends the process with the next commit. */
bool past_is_void(struct farm *farm, const struct digest *attestation)
{
    struct past *past = NULL;
    return load(farm, &past, NULL) >= 0 &&
           map_get(past->voided, view_of(attestation->bytes, DIGEST_SIZE)) != NULL;
}

size_t past_count_void(struct farm *farm)
{
    struct past *past = NULL;
    return load(farm, &past, NULL) >= 0 ? map_count(past->voided) : 0;
}

/* ---- one job ---- */

struct history {
    struct farm *farm;
    const struct past *past;
    const struct digest *job;
    struct core_past_lease
        *rows; /* the leases, then the answers in order of arrival, each with its lease again */
    size_t count, capacity, nleases;
    uint64_t settled_rounds;
};

static enum lease_state state_of(const char *name)
{
    for (int state = LEASE_LIVE; state < LEASE_WITHDRAWN; state++)
        if (strcmp(name, lease_state_name((enum lease_state)state)) == 0)
            return (enum lease_state)state;
    return LEASE_WITHDRAWN;
}

static void note_round(struct history *history, uint32_t round)
{
    enum { ROUNDS_MAX = 64 }; /* bits; the core refuses more */
    if (round >= 1 && round <= ROUNDS_MAX && settled_at(history->past, history->job, round) != UINT64_MAX)
        history->settled_rounds |= (uint64_t)1 << (round - 1);
}

static int add_lease(void *context, const struct db_lease *row)
{
    struct history *history = context;
    history->rows = mem_reserve(history->rows, &history->capacity, history->count + 1, sizeof *history->rows);
    struct core_past_lease *past = &history->rows[history->count++];
    *past = (struct core_past_lease){.worker = mem_string(row->worker),
                                     .operator_name = mem_string(row->operator_name),
                                     .round = row->round,
                                     .state = state_of(row->state),
                                     .granted_ms = farm_core_of_wall(row->granted_ms),
                                     .deadline_ms = farm_core_of_wall(row->deadline_ms)};
    memcpy(past->nonce.bytes, row->nonce.bytes, CORE_NONCE_SIZE);
    history->nleases++;
    note_round(history, row->round);
    return 0;
}

static const struct core_past_lease *find_lease(const struct history *history, const struct digest *nonce)
{
    for (size_t i = 0; i < history->nleases; i++)
        if (memcmp(history->rows[i].nonce.bytes, nonce->bytes, CORE_NONCE_SIZE) == 0)
            return &history->rows[i];
    return NULL;
}

static int add_answer(void *context, const struct db_attestation *row)
{
    struct history *history = context;
    const struct core_past_lease *lease = find_lease(history, &row->nonce);
    int kind = failure_kind_parse(view_text(row->failure));
    if (lease == NULL || kind < 0)
        return 0;
    struct core_past_lease past = *lease; /* borrows its names */
    uint64_t settled = settled_at(history->past, history->job, past.round);
    past.has_answer = true;
    past.counted = kind != FAILURE_INFRASTRUCTURE && !past_is_void(history->farm, &row->digest);
    past.open = row->position >= 0 && (uint64_t)row->position > settled;
    past.answer = (struct core_answer){.nonce = past.nonce,
                                       .envelope = row->digest,
                                       .failure = (enum failure_kind)kind,
                                       .payload = row->payload,
                                       .tar = row->tar,
                                       .manifest_log = row->log,
                                       .duration_ms = row->duration_ms};
    history->rows = mem_reserve(history->rows, &history->capacity, history->count + 1, sizeof *history->rows);
    history->rows[history->count++] = past;
    return 0;
}

static void history_done(struct history *history)
{
    for (size_t i = 0; i < history->nleases; i++) {
        free((char *)history->rows[i].worker);
        free((char *)history->rows[i].operator_name);
    }
    free(history->rows);
}

int plans_feed_history(struct farm *farm, const struct digest *key, struct diag *diag)
{
    struct history history = {.farm = farm, .job = key};
    struct past *past = NULL;
    int result = load(farm, &past, diag);
    history.past = past;
    if (result >= 0)
        result = db_each_lease_of(farm->db, key, add_lease, &history, diag);
    if (result > 0)
        result = db_each_attestation_of(farm->db, key, add_answer, &history, diag);
    if (result >= 0 && history.count > 0) {
        struct core_event event = {.type = CORE_JOB_HISTORY,
                                   .key = *key,
                                   .past = history.rows,
                                   .npast = history.count,
                                   .settled_rounds = history.settled_rounds};
        result = farm_feed(farm, &event, diag);
        missing_tell(farm, key);
    }
    history_done(&history);
    return result;
}
