/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "database.h"

#include "count.h"

#include <stdlib.h>

/* Bytes as they were, or a row that was not there: 'old' is NULL, and 'at' the row in 'map'. */
struct undo {
    void *at, *old;
    size_t size;
    struct map *map;
};

void db_open(struct database *db, size_t nworkers)
{
    db->jobs = map_new();
    db->leases = map_new();
    db->answers = map_new();
    db->refusals = map_new();
    db->votes = map_new();
    db->nworkers = nworkers;
    db->of_worker = mem_zero(nworkers, sizeof *db->of_worker);
    db->txn = 1;
}

static void job_free(struct row_job *job)
{
    free(job->leases.items);
    free(job->answers.items);
    free(job->votes.items);
    free(job->counts);
    free(job);
}

static void free_rows(struct map *map)
{
    struct view key;
    void *row;
    for (size_t cursor = 0; map_next(map, &cursor, &key, &row);)
        free(row);
    map_free(map);
}

static void forget_undo(struct database *db)
{
    for (size_t i = 0; i < db->nundo; i++)
        free(db->undo[i].old);
    db->nundo = 0;
    db->writing = false;
}

void db_close(struct database *db)
{
    struct view key;
    void *job;
    forget_undo(db);
    free(db->undo);
    for (size_t cursor = 0; map_next(db->jobs, &cursor, &key, &job);)
        job_free(job);
    map_free(db->jobs);
    free_rows(db->leases);
    free_rows(db->answers);
    free_rows(db->refusals);
    free_rows(db->votes);
    for (size_t i = 0; i < db->nworkers; i++)
        free(db->of_worker[i].items);
    free(db->of_worker);
    free(db->touched.items);
}

/* --- transactions --- */

static struct undo *add_undo(struct database *db)
{
    db->writing = true;
    db->undo = mem_reserve(db->undo, &db->undo_capacity, db->nundo + 1, sizeof *db->undo);
    struct undo *undo = &db->undo[db->nundo++];
    *undo = (struct undo){0};
    return undo;
}

void db_touch(struct database *db, void *object, size_t size)
{
    struct undo *undo = add_undo(db);
    undo->at = object;
    undo->size = size;
    undo->old = mem_copy(object, size);
}

void db_commit(struct database *db)
{
    forget_undo(db);
    db->txn++;
}

static void undo_one(struct database *db, const struct undo *undo)
{
    if (undo->old != NULL) {
        memcpy(undo->at, undo->old, undo->size);
        return;
    }
    (void)map_remove(undo->map, view_of(undo->at, DIGEST_SIZE));
    if (undo->map == db->jobs)
        job_free(undo->at);
    else
        free(undo->at);
}

void db_rollback(struct database *db)
{
    for (size_t i = 0; i < db->touched.count; i++) {
        struct row_job *job = db->touched.items[i];
        job->touched = false;
        job->version++;
    }
    db->touched.count = 0;
    for (size_t i = db->nundo; i > 0; i--)
        undo_one(db, &db->undo[i - 1]);
    forget_undo(db);
    db->txn++;
}

/* --- rows --- */

/* Every kind of row begins with its key of 32 bytes. */
static void *insert(struct database *db, struct map *map, const void *row, size_t size)
{
    void *own = mem_copy(row, size);
    struct undo *undo = add_undo(db);
    undo->at = own;
    undo->map = map;
    map_set(map, view_of(own, DIGEST_SIZE), own);
    return own;
}

static void append(struct database *db, struct rows *rows, void *row)
{
    db_touch(db, &rows->count, sizeof rows->count);
    rows->items = mem_reserve(rows->items, &rows->capacity, rows->count + 1, sizeof *rows->items);
    rows->items[rows->count++] = row;
}

uint64_t db_log(struct database *db)
{
    db_touch(db, &db->log_size, sizeof db->log_size);
    return db->log_size++;
}

void db_mark(struct database *db, struct row_job *job)
{
    job->version++;
    if (job->touched)
        return;
    job->touched = true;
    db->touched.items = mem_reserve(db->touched.items, &db->touched.capacity, db->touched.count + 1,
                                    sizeof *db->touched.items);
    db->touched.items[db->touched.count++] = job;
}

struct row_job *db_job(struct database *db, const struct digest *key)
{
    return map_get(db->jobs, view_of(key, sizeof *key));
}

struct row_job *db_put_job(struct database *db, const struct digest *key, size_t node, size_t plan)
{
    struct row_job *job = db_job(db, key), fresh = {.key = *key, .node = node};
    if (job == NULL) {
        fresh.counts = count_cache_new();
        job = insert(db, db->jobs, &fresh, sizeof fresh);
    }
    if (!job->of_plan[plan]) {
        db_touch(db, &job->of_plan[plan], sizeof job->of_plan[plan]);
        job->of_plan[plan] = true;
    }
    return job;
}

struct row_lease *db_lease(struct database *db, const struct core_nonce *nonce)
{
    return map_get(db->leases, view_of(nonce, sizeof *nonce));
}

struct row_lease *db_put_lease(struct database *db, const struct row_lease *row)
{
    struct row_lease *own = insert(db, db->leases, row, sizeof *row);
    own->txn = db->txn;
    own->position = db_log(db);
    append(db, &own->job->leases, own);
    append(db, &db->of_worker[own->worker], own);
    db_mark(db, own->job);
    return own;
}

void db_end_lease(struct database *db, struct row_lease *lease, enum lease_state state)
{
    if (lease->state == state)
        return;
    db_touch(db, &lease->state, sizeof lease->state);
    lease->state = state;
}

struct row_answer *db_answer(struct database *db, const struct digest *envelope)
{
    return map_get(db->answers, view_of(envelope, sizeof *envelope));
}

struct row_answer *db_put_answer(struct database *db, const struct row_answer *row)
{
    struct row_answer *own = insert(db, db->answers, row, sizeof *row);
    own->txn = db->txn;
    own->position = db_log(db);
    append(db, &own->lease->job->answers, own);
    db_mark(db, own->lease->job);
    return own;
}

void db_void(struct database *db, struct row_answer *answer)
{
    db_touch(db, &answer->is_void, sizeof answer->is_void);
    answer->is_void = true;
    db_mark(db, answer->lease->job);
}

struct row_refusal *db_refusal(struct database *db, const struct digest *envelope)
{
    return map_get(db->refusals, view_of(envelope, sizeof *envelope));
}

void db_put_refusal(struct database *db, const struct row_refusal *row)
{
    struct row_refusal *own = insert(db, db->refusals, row, sizeof *row);
    own->txn = db->txn;
    own->position = db_log(db);
}

static struct digest vote_key(const struct row_job *job, const struct row_vote *row)
{
    unsigned char text[DIGEST_SIZE + sizeof row->round + sizeof row->operator_index];
    memcpy(text, &job->key, DIGEST_SIZE);
    memcpy(text + DIGEST_SIZE, &row->round, sizeof row->round);
    memcpy(text + DIGEST_SIZE + sizeof row->round, &row->operator_index, sizeof row->operator_index);
    return digest_of(view_of(text, sizeof text));
}

void db_put_vote(struct database *db, struct row_job *job, const struct row_vote *row)
{
    struct row_vote own = *row;
    own.key = vote_key(job, row);
    struct row_vote *before = map_get(db->votes, view_of(&own.key, sizeof own.key));
    db_mark(db, job);
    if (before == NULL) {
        append(db, &job->votes, insert(db, db->votes, &own, sizeof own));
        return;
    }
    db_touch(db, before, sizeof *before);
    *before = own;
}

void db_put_verdict(struct database *db, struct row_job *job, uint32_t round, const struct row_verdict *row)
{
    db_touch(db, &job->verdicts[round], sizeof job->verdicts[round]);
    db_touch(db, &job->has_verdict[round], sizeof job->has_verdict[round]);
    db_touch(db, &job->settled_at[round], sizeof job->settled_at[round]);
    uint64_t position = db_log(db);
    job->verdicts[round] = *row;
    job->has_verdict[round] = true;
    if (verdict_is_settled(row->state) && job->settled_at[round] == 0)
        job->settled_at[round] = 1 + position;
    db_mark(db, job);
}

bool db_is_open(const struct row_job *job, uint32_t round, uint64_t position)
{
    return job->settled_at[round] != 0 && position > job->settled_at[round] - 1;
}
