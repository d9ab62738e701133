/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Database: the coordinator's memory, and the only user of SQLite.
 *
 * WAL with synchronous=FULL: what db_commit() reported is on the disk. STRICT tables, foreign keys on, schema
 * in numbered files (schema/NNN.sql; PRAGMA user_version). One writer: the loop's thread. Functions between
 * db_begin() and db_commit() queue rows; the first failure sticks and db_commit() reports it, so that callers
 * write straight on and check once. A failed commit must end the process: memory has run ahead of the disk.
 *
 * It decides nothing. Strings in rows are borrowed until the callback returns.
 */
#ifndef FARM_DB_H
#define FARM_DB_H

#include "buf.h"
#include "diag.h"
#include "digest.h"

struct db;

/*
 * Opens or creates; refuses a schema newer than this program knows; checks "PRAGMA quick_check". An older one is brought to the newest, each
 * step in one transaction; before the first of them the database is copied to "<path>.schema-<its version>", where it stays.
 */
int db_open(const char *path, struct db **ret, struct diag *diag) MUST_USE;
struct db *db_close(struct db *db); /* accepts NULL, returns NULL */

/*
 * Copies the database at 'path' as it is committed at one moment into the new file 'to' (mode 0600), durably, while another
 * connection goes on writing. On any thread; nobody but SQLite may open and close the live file in this process, since that would drop its locks.
 */
int db_snapshot(const char *path, const char *to, struct diag *diag) MUST_USE;
/* Appends the name and version of the library in use, "SQLite 3.40.1": for people who look for a known fault. */
void db_library(struct buf *ret);
/* The newest schema that this program knows. */
int64_t db_schema_newest(void);

void db_begin(struct db *db);
int db_commit(struct db *db, struct diag *diag) MUST_USE;

struct db_worker {
    const char *name, *operator_name, *entry, *state;
    struct digest ed25519, curve; /* raw keys */
    int64_t admitted_ms;
};
struct db_base {
    struct digest manifest, tar;
    uint64_t tar_size;
    const char *name;
    int64_t imported_ms;
};
struct db_tree {
    const char *commit, *url;
    struct digest tree_sha256, pack;
};
struct db_source {
    struct digest pin, object;
    const char *commit, *origin;
    uint64_t size;
    int64_t added_ms;
};
struct db_plan {
    struct digest id, tree_sha256, base;
    const char *commit, *state;
    bool from_scratch;
    int64_t created_ms, started_ms, finished_ms; /* 0: not yet */
    int64_t dropped_ms;                          /* 0: it is kept */
};
struct db_lease {
    struct digest nonce, job;
    uint32_t round;
    const char *worker, *operator_name, *state, *reason;
    int64_t granted_ms, deadline_ms, ended_ms;
    int64_t position; /* in the log */
};
struct db_attestation {
    struct digest digest, nonce, payload, tar, log; /* payload and tar zero for failures */
    const char *failure, *fate;
    int64_t duration_ms, received_ms;
    int64_t position; /* in the log */
    struct view envelope;
};
struct db_refusal {
    struct digest digest, nonce;
    const char *reason;
    int64_t position, received_ms;
    struct view envelope;
};
struct db_voided {
    struct digest attestation;
    const char *reason;
    int64_t voided_ms;
};
struct db_log_entry {
    uint64_t position;
    struct view entry;
};
struct db_vote {
    struct digest job, attestation;
    uint32_t round;
    const char *operator_name;
    bool open;
};
struct db_verdict {
    struct digest job, payload;
    uint32_t round, operators, dissent;
    const char *state;
    int64_t decided_ms;
    uint64_t settled_size; /* of the log with the first entry that shows it agreed or failed; 0: none does */
};
struct db_release {
    const char *name, *state;
    int64_t sequence;
    struct digest digest, plan;
    int64_t created_ms;
};

/* Writing; inside db_begin/db_commit. */
void db_put_worker(struct db *db, const struct db_worker *row);
void db_set_worker_state(struct db *db, const char *name, const char *state);
void db_put_operator_flag(struct db *db, const char *operator_name, const char *reason, int64_t now_ms);
void db_clear_operator_flag(struct db *db, const char *operator_name);
void db_put_base(struct db *db, const struct db_base *row);
void db_put_tree(struct db *db, const struct db_tree *row);
void db_put_source(struct db *db, const struct db_source *row);
/* One that was dropped is a new one. */
void db_put_plan(struct db *db, const struct db_plan *row);
void db_start_plan(struct db *db, const struct digest *plan, bool from_scratch, int64_t now_ms);
/* The time of the first end stays, when a restart finds the same end again. */
void db_finish_plan(struct db *db, const struct digest *plan, const char *state, int64_t now_ms);
/*
 * Nothing of the plan has to stay in the store any more: neither its text, tree and specs, nor what was answered to jobs that no other plan
 * has. Every row stays, but for the references.
 */
void db_drop_plan(struct db *db, const struct digest *plan, int64_t now_ms);
void db_put_job(struct db *db, const struct digest *key, const char *node, int64_t now_ms);
void db_put_lease(struct db *db, const struct db_lease *row);
void db_end_lease(struct db *db, const struct digest *nonce, const char *state, const char *reason,
                  int64_t now_ms);
void db_put_attestation(struct db *db, const struct db_attestation *row);
void db_put_vote(struct db *db, const struct db_vote *row);
/* An operator that equivocated has no vote any more. */
void db_drop_vote(struct db *db, const struct digest *job, uint32_t round, const char *operator_name);
/* What is settled keeps the first size. */
void db_put_verdict(struct db *db, const struct db_verdict *row);
void db_put_refusal(struct db *db, const struct db_refusal *row);
/* The attestation never counts again; its vote, if it was one, is dropped. */
void db_put_voided(struct db *db, const struct db_voided *row);
/* Positions follow each other; a gap fails the transaction. */
void db_put_log_entry(struct db *db, const struct db_log_entry *row);
void db_put_release(struct db *db, const struct db_release *row);
void db_put_release_signature(struct db *db, const char *release, const char *signer, const char *signature);
void db_put_reference(struct db *db, const struct digest *object, const char *holder);
/* The object must stay for this answer, which was recorded before. */
void db_put_output(struct db *db, const struct digest *object, const struct digest *attestation);
void db_drop_references(struct db *db, const struct digest *object); /* all of this object's, answers' too */

/* Reading. A callback that returns a negative value ends the walk with it. */
#define DB_EACH(kind)                                                                                        \
    int (*visit)(void *context, const struct db_##kind *row), void *context, struct diag *diag
int db_each_worker(struct db *db, DB_EACH(worker)) MUST_USE;
int db_each_base(struct db *db, DB_EACH(base)) MUST_USE;
int db_each_tree(struct db *db, DB_EACH(tree)) MUST_USE;
int db_each_source(struct db *db, DB_EACH(source)) MUST_USE;
int db_each_plan(struct db *db, DB_EACH(plan)) MUST_USE;                                /* by creation */
int db_each_lease_of(struct db *db, const struct digest *job, DB_EACH(lease)) MUST_USE; /* by time of grant */
int db_each_attestation_of(struct db *db, const struct digest *job,
                           DB_EACH(attestation)) MUST_USE; /* by arrival */
int db_each_attestation(struct db *db, DB_EACH(attestation)) MUST_USE;
int db_each_vote_of(struct db *db, const struct digest *job, DB_EACH(vote)) MUST_USE;
int db_each_vote(struct db *db, DB_EACH(vote)) MUST_USE;
int db_each_verdict(struct db *db, DB_EACH(verdict)) MUST_USE;
int db_each_verdict_of(struct db *db, const struct digest *job, DB_EACH(verdict)) MUST_USE; /* by round */
int db_each_release(struct db *db, DB_EACH(release)) MUST_USE;
int db_each_refusal(struct db *db, DB_EACH(refusal)) MUST_USE;
int db_each_refusal_of(struct db *db, const struct digest *job, DB_EACH(refusal)) MUST_USE;
/* To one lease, by position. */
int db_each_refusal_to(struct db *db, const struct digest *nonce, DB_EACH(refusal)) MUST_USE;
int db_each_voided(struct db *db, DB_EACH(voided)) MUST_USE;
int db_each_lease(struct db *db, DB_EACH(lease)) MUST_USE; /* by position in the log */
int db_each_attestation_by(struct db *db, const char *worker, DB_EACH(attestation)) MUST_USE;
int db_each_attestation_to(struct db *db, const struct digest *nonce, DB_EACH(attestation)) MUST_USE;
int db_each_log_entry(struct db *db, uint64_t from, DB_EACH(log_entry)) MUST_USE; /* by position */
/* Those that have this text in them; reads them all. */
int db_each_log_entry_with(struct db *db, const char *text, DB_EACH(log_entry)) MUST_USE;
int db_each_flag(struct db *db, int (*visit)(void *context, const char *operator_name, const char *reason),
                 void *context, struct diag *diag) MUST_USE;
int db_each_signature_of(struct db *db, const char *release,
                         int (*visit)(void *context, const char *signer, const char *signature),
                         void *context, struct diag *diag) MUST_USE;

/* One row; 1 found, 0 not. Strings are copied into owned buffers by the callers' visit functions where
 * needed. */
int db_find_lease(struct db *db, const struct digest *nonce, DB_EACH(lease)) MUST_USE;
int db_find_source(struct db *db, const struct digest *pin, const char *commit, DB_EACH(source)) MUST_USE;
int db_find_tree(struct db *db, const char *commit, const struct digest *tree_sha256, DB_EACH(tree)) MUST_USE;
int db_find_plan(struct db *db, const struct digest *id, DB_EACH(plan)) MUST_USE;
int db_find_base(struct db *db, const struct digest *manifest, DB_EACH(base)) MUST_USE;
int db_find_release(struct db *db, const char *name, DB_EACH(release)) MUST_USE;
int db_find_attestation(struct db *db, const struct digest *digest, DB_EACH(attestation)) MUST_USE;
int db_find_refusal(struct db *db, const struct digest *digest, DB_EACH(refusal)) MUST_USE;
int db_find_log_entry(struct db *db, uint64_t position, DB_EACH(log_entry)) MUST_USE;
/* How many entries the log has; a negative value on failure. */
int64_t db_log_size(struct db *db, struct diag *diag) MUST_USE;
/* 1: its answer never counts again; 0: it does. A database that cannot be read says neither. */
int db_find_voided(struct db *db, const struct digest *attestation, struct diag *diag) MUST_USE;
size_t db_count_voided(struct db *db); /* for people; 0 if it cannot be read */
bool db_is_referenced(struct db *db, const struct digest *object);
/* By this one. */
bool db_is_held(struct db *db, const struct digest *object, const struct digest *attestation);
/* Ended before 'before_ms', not dropped, and no draft or release is of it; the oldest first, at most 'limit'. */
int db_each_droppable(struct db *db, int64_t before_ms, int64_t limit,
                      int (*visit)(void *context, const struct digest *plan), void *context,
                      struct diag *diag) MUST_USE;
/* Every object that must stay, once, in order: at most 'limit' (< 0: all) of those behind 'after' (zero: from the first on). */
int db_each_object(struct db *db, const struct digest *after, int64_t limit,
                   int (*visit)(void *context, const struct digest *object), void *context,
                   struct diag *diag) MUST_USE;
/* "plan:<hex>", "attestation:<hex>" and the like, of one object. */
int db_each_holder(struct db *db, const struct digest *object,
                   int (*visit)(void *context, const char *holder), void *context,
                   struct diag *diag) MUST_USE;
/* The node whose job it is: "tier/name". */
int db_find_job(struct db *db, const struct digest *key, int (*visit)(void *context, const char *node),
                void *context, struct diag *diag) MUST_USE;
/* Median duration of the successful answers for a node, over all its keys; 0 if never built. Milliseconds. */
int64_t db_duration_of(struct db *db, const char *node);

#endif
