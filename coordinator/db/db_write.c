/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows out: one function per kind, each one statement. */
#include "statement.h"

void db_put_worker(struct db *db, const struct db_worker *row)
{
    statement_run(db,
                  "INSERT INTO worker (name, operator, ed25519, curve, entry, state, admitted_ms)"
                  " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                  " entry = excluded.entry",
                  "ttddtti", row->name, row->operator_name, &row->ed25519, &row->curve, row->entry,
                  row->state, row->admitted_ms);
}

void db_set_worker_state(struct db *db, const char *name, const char *state)
{
    statement_run(db, "UPDATE worker SET state = ? WHERE name = ?", "tt", state, name);
}

void db_put_operator_flag(struct db *db, const char *operator_name, const char *reason, int64_t now_ms)
{
    statement_run(
        db,
        "INSERT INTO operator_flag (operator, reason, flagged_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (operator) DO UPDATE SET reason = excluded.reason, flagged_ms = excluded.flagged_ms",
        "tti", operator_name, reason, now_ms);
}

void db_clear_operator_flag(struct db *db, const char *operator_name)
{
    statement_run(db, "DELETE FROM operator_flag WHERE operator = ?", "t", operator_name);
}

void db_put_base(struct db *db, const struct db_base *row)
{
    statement_run(db,
                  "INSERT INTO base (manifest, tar, tar_size, name, imported_ms) VALUES (?, ?, ?, ?, ?)"
                  " ON CONFLICT (manifest) DO UPDATE SET name = excluded.name",
                  "dditi", &row->manifest, &row->tar, (int64_t)row->tar_size, row->name, row->imported_ms);
}

void db_put_tree(struct db *db, const struct db_tree *row)
{
    statement_run(db,
                  "INSERT INTO tree (commit_id, tree_sha256, url, pack) VALUES (?, ?, ?, ?)"
                  " ON CONFLICT (commit_id, tree_sha256) DO NOTHING",
                  "tdtd", row->commit, &row->tree_sha256, row->url, &row->pack);
}

void db_put_source(struct db *db, const struct db_source *row)
{
    statement_run(
        db,
        "INSERT INTO source (pin, commit_id, object, size, origin, added_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (pin, commit_id) DO UPDATE SET object = excluded.object, origin = excluded.origin",
        "dtditi", &row->pin, row->commit, &row->object, (int64_t)row->size, row->origin, row->added_ms);
}

void db_put_plan(struct db *db, const struct db_plan *row)
{
    statement_run(db,
                  "INSERT INTO plan (id, commit_id, tree_sha256, base, state, from_scratch, created_ms)"
                  " VALUES (?, ?, ?, ?, ?, 0, ?) ON CONFLICT (id) DO UPDATE"
                  " SET state = excluded.state, from_scratch = 0, created_ms = excluded.created_ms,"
                  " started_ms = NULL, finished_ms = NULL, dropped_ms = NULL WHERE dropped_ms IS NOT NULL",
                  "dtddti", &row->id, row->commit, &row->tree_sha256, &row->base, row->state,
                  row->created_ms);
}

void db_start_plan(struct db *db, const struct digest *plan, bool from_scratch, int64_t now_ms)
{
    statement_run(db,
                  "UPDATE plan SET state = 'running', from_scratch = ?, started_ms = ?, finished_ms = NULL "
                  "WHERE id = ?",
                  "iid", (int64_t)from_scratch, now_ms, plan);
}

void db_finish_plan(struct db *db, const struct digest *plan, const char *state, int64_t now_ms)
{
    statement_run(db, "UPDATE plan SET state = ?, finished_ms = coalesce(finished_ms, ?) WHERE id = ?", "tid",
                  state, now_ms, plan);
}

void db_drop_plan(struct db *db, const struct digest *plan, int64_t now_ms)
{
    CLEANUP_FREE char *holder = mem_format("plan:%s", digest_hex(plan).text);
    statement_run(
        db,
        "WITH gone AS (SELECT j.number AS job FROM reference r JOIN job j ON j.key = r.object"
        " WHERE r.holder = ?1 AND r.holder >= 'plan:' AND r.holder < 'plan;'"
        " AND NOT EXISTS (SELECT 1 FROM reference o WHERE o.object = r.object AND o.holder <> ?1"
        " AND o.holder >= 'plan:' AND o.holder < 'plan;')),"
        " answer AS (SELECT a.* FROM gone JOIN lease l ON l.job = gone.job"
        " JOIN attestation a ON a.lease = l.position)"
        " DELETE FROM output WHERE object IN (SELECT payload FROM answer UNION SELECT tar FROM answer"
        " UNION SELECT log FROM answer)"
        " AND +attestation IN (SELECT position FROM answer)", /* '+': not each object with each answer */
        "t", holder);
    statement_run(db, "DELETE FROM reference WHERE holder = ? AND holder >= 'plan:' AND holder < 'plan;'",
                  "t", holder);
    statement_run(db, "UPDATE plan SET dropped_ms = ? WHERE id = ?", "id", now_ms, plan);
}

void db_put_job(struct db *db, const struct digest *key, const char *node, int64_t now_ms)
{
    statement_run(db, "INSERT INTO job (key, node, keyed_ms) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING",
                  "dti", key, node, now_ms);
}

void db_put_lease(struct db *db, const struct db_lease *row)
{
    statement_run(
        db,
        "INSERT INTO lease (nonce, job, round, worker, operator, state, granted_ms, deadline_ms, position)"
        " VALUES (?, (SELECT number FROM job WHERE key = ?), ?, ?, ?, ?, ?, ?, ?)",
        "ddittt"
        "iii",
        &row->nonce, &row->job, (int64_t)row->round, row->worker, row->operator_name, row->state,
        row->granted_ms, row->deadline_ms, row->position);
}

void db_end_lease(struct db *db, const struct digest *nonce, const char *state, const char *reason,
                  int64_t now_ms)
{
    statement_run(db, "UPDATE lease SET state = ?, reason = ?, ended_ms = ? WHERE nonce = ?", "ttid", state,
                  reason, now_ms, nonce);
}

void db_put_attestation(struct db *db, const struct db_attestation *row)
{
    statement_run(
        db,
        "INSERT INTO attestation (digest, lease, failure, payload, tar, log, fate, duration_ms, received_ms,"
        " envelope, position)"
        " VALUES (?, (SELECT position FROM lease WHERE nonce = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        "ddtzzdtiivi", &row->digest, &row->nonce, row->failure, &row->payload, &row->tar, &row->log,
        row->fate, row->duration_ms, row->received_ms, row->envelope, row->position);
}

void db_put_vote(struct db *db, const struct db_vote *row)
{
    statement_run(db,
                  "INSERT INTO vote (job, round, operator, attestation, open)"
                  " VALUES ((SELECT number FROM job WHERE key = ?), ?, ?,"
                  " (SELECT position FROM attestation WHERE digest = ?), ?)",
                  "ditdi", &row->job, (int64_t)row->round, row->operator_name, &row->attestation,
                  (int64_t)row->open);
}

void db_drop_vote(struct db *db, const struct digest *job, uint32_t round, const char *operator_name)
{
    statement_run(db,
                  "DELETE FROM vote WHERE job = (SELECT number FROM job WHERE key = ?)"
                  " AND round = ? AND operator = ?",
                  "dit", job, (int64_t)round, operator_name);
}

void db_put_verdict(struct db *db, const struct db_verdict *row)
{
    statement_run(
        db,
        "INSERT INTO verdict (job, round, state, payload, operators, dissent, decided_ms, settled_size)"
        " VALUES ((SELECT number FROM job WHERE key = ?), ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (job, round) DO UPDATE SET state = excluded.state,"
        " payload = excluded.payload, operators = excluded.operators, dissent = excluded.dissent,"
        " decided_ms = excluded.decided_ms, settled_size ="
        " CASE settled_size WHEN 0 THEN excluded.settled_size ELSE settled_size END",
        "ditziiii", &row->job, (int64_t)row->round, row->state, &row->payload, (int64_t)row->operators,
        (int64_t)row->dissent, row->decided_ms, (int64_t)row->settled_size);
}

void db_put_refusal(struct db *db, const struct db_refusal *row)
{
    statement_run(db,
                  "INSERT INTO refusal (digest, lease, reason, position, received_ms, envelope)"
                  " VALUES (?, (SELECT position FROM lease WHERE nonce = ?), ?, ?, ?, ?)",
                  "ddtiiv", &row->digest, &row->nonce, row->reason, row->position, row->received_ms,
                  row->envelope);
}

void db_put_voided(struct db *db, const struct db_voided *row)
{
    statement_run(db,
                  "INSERT INTO voided (attestation, reason, voided_ms)"
                  " VALUES ((SELECT position FROM attestation WHERE digest = ?), ?, ?)"
                  " ON CONFLICT (attestation) DO NOTHING",
                  "dti", &row->attestation, row->reason, row->voided_ms);
    statement_run(db,
                  "DELETE FROM vote WHERE attestation = (SELECT position FROM attestation WHERE digest = ?)",
                  "d", &row->attestation);
}

void db_put_log_entry(struct db *db, const struct db_log_entry *row)
{
    /* A position that is not the next one becomes -1, which the table refuses. */
    statement_run(
        db,
        "INSERT INTO log_entry (position, entry) VALUES"
        " (CASE WHEN ?1 = (SELECT coalesce(max(position) + 1, 0) FROM log_entry) THEN ?1 ELSE -1 END, ?2)",
        "is", (int64_t)row->position, row->entry);
}

void db_put_release(struct db *db, const struct db_release *row)
{
    statement_run(
        db,
        "INSERT INTO release (name, sequence, digest, plan, state, created_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (name) DO UPDATE SET state = excluded.state",
        "tiddti", row->name, row->sequence, &row->digest, &row->plan, row->state, row->created_ms);
}

void db_put_release_signature(struct db *db, const char *release, const char *signer, const char *signature)
{
    statement_run(db,
                  "INSERT INTO release_signature (release, signer, signature) VALUES (?, ?, ?)"
                  " ON CONFLICT (release, signer) DO UPDATE SET signature = excluded.signature",
                  "ttt", release, signer, signature);
}

void db_drop_references(struct db *db, const struct digest *object)
{
    statement_run(db, "DELETE FROM reference WHERE object = ?", "d", object);
    statement_run(db, "DELETE FROM output WHERE object = ?", "d", object);
}

void db_put_reference(struct db *db, const struct digest *object, const char *holder)
{
    statement_run(db, "INSERT INTO reference (object, holder) VALUES (?, ?) ON CONFLICT DO NOTHING", "dt",
                  object, holder);
}

void db_put_output(struct db *db, const struct digest *object, const struct digest *attestation)
{
    statement_run(db,
                  "INSERT INTO output (object, attestation)"
                  " VALUES (?, (SELECT position FROM attestation WHERE digest = ?)) ON CONFLICT DO NOTHING",
                  "dd", object, attestation);
}
