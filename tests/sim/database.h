/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Database: the rows that coordinator/db keeps, as structures, with one open transaction. A crash undoes what was not committed:
 * whoever changes a row calls db_touch() first, which remembers its bytes.
 *
 * Each row knows the transaction that wrote it. A frame knows which transaction was open when it left (network.h), so that the judge
 * sees whether what it says was durable by then.
 */
#ifndef SIM_DATABASE_H
#define SIM_DATABASE_H

#include "core.h"
#include "map.h"
#include "plan.h"

enum { DB_ROUNDS_MAX = 64 };

struct row_job;

struct row_lease {
    struct core_nonce nonce;
    struct row_job *job;
    size_t worker;
    uint32_t round;
    enum lease_state state;
    int64_t granted_wall_ms, deadline_wall_ms;
    uint64_t position; /* in the log */
    uint64_t txn;
    unsigned life; /* of the coordinator that granted it */
};

struct row_answer {
    struct digest envelope;
    struct row_lease *lease;
    struct core_answer answer;
    enum answer_fate fate;
    uint64_t position, txn;
    bool is_void;
};

struct row_refusal {
    struct digest envelope;
    struct core_nonce nonce;
    uint64_t position, txn;
};

struct row_vote {
    struct digest key;      /* of job, round and operator */
    struct digest envelope; /* zero: none any more */
    size_t operator_index;
    uint32_t round;
    bool open;
};

struct row_verdict {
    struct digest payload;
    enum verdict_state state;
    uint32_t operators, dissent;
};

struct rows {
    void **items;
    size_t count, capacity;
};

struct row_job {
    struct digest key;
    size_t node;
    bool of_plan[PLANS];                            /* that derived it at some time */
    struct rows leases, answers, votes;             /* answers in order of arrival */
    struct row_verdict verdicts[DB_ROUNDS_MAX + 1]; /* by round; as last told */
    bool has_verdict[DB_ROUNDS_MAX + 1];
    uint64_t settled_at[DB_ROUNDS_MAX +
                        1]; /* 1 + position of the first verdict that settled the round; 0: never */
    uint64_t version;       /* changes with every answer: the judge's counts are of one version */
    bool touched;           /* in db.touched */
    struct count_cache *counts;
};

struct undo;

struct database {
    struct map *jobs, *leases, *answers, *refusals, *votes; /* by the first 32 bytes of the row */
    struct rows *of_worker;                                 /* leases, per worker */
    size_t nworkers;
    uint64_t log_size;
    uint64_t txn; /* the open one; all before it are committed, or were undone */
    bool writing;
    struct undo *undo;
    size_t nundo, undo_capacity;
    struct rows touched; /* jobs with changed rows since the last look of the judge */
};

void db_open(struct database *db, size_t nworkers);
void db_close(struct database *db);
/* The object is about to change. */
void db_touch(struct database *db, void *object, size_t size);
void db_commit(struct database *db);
void db_rollback(struct database *db);

struct row_job *db_job(struct database *db, const struct digest *key); /* NULL: no such row */
/* Of the plan, too. */
struct row_job *db_put_job(struct database *db, const struct digest *key, size_t node, size_t plan);
struct row_lease *db_lease(struct database *db, const struct core_nonce *nonce);
struct row_lease *db_put_lease(struct database *db, const struct row_lease *row);
struct row_answer *db_answer(struct database *db, const struct digest *envelope);
struct row_answer *db_put_answer(struct database *db, const struct row_answer *row);
struct row_refusal *db_refusal(struct database *db, const struct digest *envelope);
void db_put_refusal(struct database *db, const struct row_refusal *row);
void db_put_vote(struct database *db, struct row_job *job, const struct row_vote *row);
void db_put_verdict(struct database *db, struct row_job *job, uint32_t round, const struct row_verdict *row);
void db_end_lease(struct database *db, struct row_lease *lease, enum lease_state state);
void db_void(struct database *db, struct row_answer *answer);
/* One more entry of the log; its position. */
uint64_t db_log(struct database *db);
/* The judge is to look at the job again. */
void db_mark(struct database *db, struct row_job *job);
/* An answer that came now, or at that position, to a round of the job: whether the round was settled before. */
bool db_is_open(const struct row_job *job, uint32_t round, uint64_t position);

#endif
