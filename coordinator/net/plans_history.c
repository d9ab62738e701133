/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History: what the database knows and the core does not (any more), as the core wants it: a job's leases and answers from their rows, which
 * answers never count again, and which rounds were settled, and where in the log: what stands behind that is open. The newest state
 * of a verdict is no help there: one that was reopened is pending again.
 */
#include "farm.h"

#include "missing.h"

#include <stdlib.h>

enum { ROUNDS_MAX = 64 }; /* bits; the core refuses more */

struct history {
    struct farm *farm;
    struct diag *diag;
    uint64_t settled_sizes[ROUNDS_MAX]; /* of each round; 0: not settled */
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

static bool round_is_kept(uint32_t round)
{
    return round >= 1 && round <= ROUNDS_MAX;
}

static int note_settled(void *context, const struct db_verdict *row)
{
    struct history *history = context;
    if (round_is_kept(row->round))
        history->settled_sizes[row->round - 1] = row->settled_size;
    return 0;
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
    if (round_is_kept(row->round) && history->settled_sizes[row->round - 1] > 0)
        history->settled_rounds |= (uint64_t)1 << (row->round - 1);
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
    int is_void = db_find_voided(history->farm->db, &row->digest, history->diag);
    if (is_void < 0)
        return is_void;
    struct core_past_lease past = *lease; /* borrows its names */
    uint64_t settled_size = round_is_kept(past.round) ? history->settled_sizes[past.round - 1] : 0;
    past.has_answer = true;
    past.counted = kind != FAILURE_INFRASTRUCTURE && is_void == 0;
    past.open = settled_size > 0 && row->position >= 0 && (uint64_t)row->position >= settled_size;
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
    struct history history = {.farm = farm, .diag = diag};
    int result = db_each_verdict_of(farm->db, key, note_settled, &history, diag);
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
