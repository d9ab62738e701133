/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Rows in: a decoder per kind, and the walks over them. */
#include "statement.h"

/* Carries the caller's typed visit through the untyped walk. */
#define ROW_VISIT(kind)                                                                                      \
    struct visit_##kind {                                                                                    \
        int (*visit)(void *context, const struct db_##kind *row);                                            \
        void *context;                                                                                       \
    };                                                                                                       \
    static int row_##kind(void *context, sqlite3_stmt *stmt)

ROW_VISIT(worker)
{
    struct visit_worker *caller = context;
    struct db_worker row = {
        .name = column_text(stmt, 0),
        .operator_name = column_text(stmt, 1),
        .ed25519 = column_digest(stmt, 2),
        .curve = column_digest(stmt, 3),
        .entry = column_text(stmt, 4),
        .state = column_text(stmt, 5),
        .admitted_ms = sqlite3_column_int64(stmt, 6),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(base)
{
    struct visit_base *caller = context;
    struct db_base row = {
        .manifest = column_digest(stmt, 0),
        .tar = column_digest(stmt, 1),
        .tar_size = (uint64_t)sqlite3_column_int64(stmt, 2),
        .name = column_text(stmt, 3),
        .imported_ms = sqlite3_column_int64(stmt, 4),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(tree)
{
    struct visit_tree *caller = context;
    struct db_tree row = {
        .commit = column_text(stmt, 0),
        .tree_sha256 = column_digest(stmt, 1),
        .url = column_text(stmt, 2),
        .pack = column_digest(stmt, 3),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(source)
{
    struct visit_source *caller = context;
    struct db_source row = {
        .pin = column_digest(stmt, 0),
        .commit = column_text(stmt, 1),
        .object = column_digest(stmt, 2),
        .size = (uint64_t)sqlite3_column_int64(stmt, 3),
        .origin = column_text(stmt, 4),
        .added_ms = sqlite3_column_int64(stmt, 5),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(plan)
{
    struct visit_plan *caller = context;
    struct db_plan row = {
        .id = column_digest(stmt, 0),
        .commit = column_text(stmt, 1),
        .tree_sha256 = column_digest(stmt, 2),
        .base = column_digest(stmt, 3),
        .state = column_text(stmt, 4),
        .from_scratch = sqlite3_column_int64(stmt, 5) != 0,
        .created_ms = sqlite3_column_int64(stmt, 6),
        .started_ms = sqlite3_column_int64(stmt, 7),
        .finished_ms = sqlite3_column_int64(stmt, 8),
        .dropped_ms = sqlite3_column_int64(stmt, 9),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(lease)
{
    struct visit_lease *caller = context;
    struct db_lease row = {
        .nonce = column_digest(stmt, 0),
        .job = column_digest(stmt, 1),
        .round = (uint32_t)sqlite3_column_int64(stmt, 2),
        .worker = column_text(stmt, 3),
        .operator_name = column_text(stmt, 4),
        .state = column_text(stmt, 5),
        .granted_ms = sqlite3_column_int64(stmt, 6),
        .deadline_ms = sqlite3_column_int64(stmt, 7),
        .ended_ms = sqlite3_column_int64(stmt, 8),
        .reason = column_text(stmt, 9),
        .position = sqlite3_column_int64(stmt, 10),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(attestation)
{
    struct visit_attestation *caller = context;
    struct db_attestation row = {
        .digest = column_digest(stmt, 0),
        .nonce = column_digest(stmt, 1),
        .failure = column_text(stmt, 2),
        .payload = column_digest(stmt, 3),
        .tar = column_digest(stmt, 4),
        .log = column_digest(stmt, 5),
        .fate = column_text(stmt, 6),
        .duration_ms = sqlite3_column_int64(stmt, 7),
        .received_ms = sqlite3_column_int64(stmt, 8),
        .envelope = column_view(stmt, 9),
        .position = sqlite3_column_int64(stmt, 10),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(refusal)
{
    struct visit_refusal *caller = context;
    struct db_refusal row = {
        .digest = column_digest(stmt, 0),
        .nonce = column_digest(stmt, 1),
        .reason = column_text(stmt, 2),
        .position = sqlite3_column_int64(stmt, 3),
        .received_ms = sqlite3_column_int64(stmt, 4),
        .envelope = column_view(stmt, 5),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(voided)
{
    struct visit_voided *caller = context;
    struct db_voided row = {
        .attestation = column_digest(stmt, 0),
        .reason = column_text(stmt, 1),
        .voided_ms = sqlite3_column_int64(stmt, 2),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(log_entry)
{
    struct visit_log_entry *caller = context;
    struct db_log_entry row = {
        .position = (uint64_t)sqlite3_column_int64(stmt, 0),
        .entry = column_view(stmt, 1),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(vote)
{
    struct visit_vote *caller = context;
    struct db_vote row = {
        .job = column_digest(stmt, 0),
        .round = (uint32_t)sqlite3_column_int64(stmt, 1),
        .operator_name = column_text(stmt, 2),
        .attestation = column_digest(stmt, 3),
        .open = sqlite3_column_int64(stmt, 4) != 0,
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(verdict)
{
    struct visit_verdict *caller = context;
    struct db_verdict row = {
        .job = column_digest(stmt, 0),
        .round = (uint32_t)sqlite3_column_int64(stmt, 1),
        .state = column_text(stmt, 2),
        .payload = column_digest(stmt, 3),
        .operators = (uint32_t)sqlite3_column_int64(stmt, 4),
        .dissent = (uint32_t)sqlite3_column_int64(stmt, 5),
        .decided_ms = sqlite3_column_int64(stmt, 6),
        .settled_size = (uint64_t)sqlite3_column_int64(stmt, 7),
    };
    return caller->visit(caller->context, &row);
}

ROW_VISIT(release)
{
    struct visit_release *caller = context;
    struct db_release row = {
        .name = column_text(stmt, 0),
        .sequence = sqlite3_column_int64(stmt, 1),
        .digest = column_digest(stmt, 2),
        .plan = column_digest(stmt, 3),
        .state = column_text(stmt, 4),
        .created_ms = sqlite3_column_int64(stmt, 5),
    };
    return caller->visit(caller->context, &row);
}

/* The columns of each kind, in the order of its decoder. */
#define WORKER_COLUMNS "name, operator, ed25519, curve, entry, state, admitted_ms"
#define BASE_COLUMNS   "manifest, tar, tar_size, name, imported_ms"
#define TREE_COLUMNS   "commit_id, tree_sha256, url, pack"
#define SOURCE_COLUMNS "pin, commit_id, object, size, origin, added_ms"
#define PLAN_COLUMNS                                                                                         \
    "id, commit_id, tree_sha256, base, state, from_scratch, created_ms, "                                    \
    "started_ms, finished_ms, dropped_ms"
#define LEASE_COLUMNS                                                                                        \
    "l.nonce, j.key, l.round, l.worker, l.operator, l.state, l.granted_ms, l.deadline_ms, "                  \
    "l.ended_ms, l.reason, l.position"
#define ATTESTATION_COLUMNS                                                                                  \
    "a.digest, l.nonce, a.failure, a.payload, a.tar, a.log, a.fate, "                                        \
    "a.duration_ms, a.received_ms, a.envelope, a.position"
#define REFUSAL_COLUMNS   "r.digest, l.nonce, r.reason, r.position, r.received_ms, r.envelope"
#define VOIDED_COLUMNS    "a.digest, v.reason, v.voided_ms"
#define LOG_ENTRY_COLUMNS "position, entry"
#define VOTE_COLUMNS      "j.key, v.round, v.operator, a.digest, v.open"
#define VERDICT_COLUMNS                                                                                      \
    "j.key, v.round, v.state, v.payload, v.operators, v.dissent, v.decided_ms, v.settled_size"
#define RELEASE_COLUMNS "name, sequence, digest, plan, state, created_ms"

/* With what they name by number. A row that names nothing is still seen: its digest is zero. */
#define LEASES       "lease l LEFT JOIN job j ON j.number = l.job "
#define ATTESTATIONS "attestation a LEFT JOIN lease l ON l.position = a.lease "
#define REFUSALS     "refusal r LEFT JOIN lease l ON l.position = r.lease "
#define VOIDED       "voided v LEFT JOIN attestation a ON a.position = v.attestation "
#define VOTES                                                                                                \
    "vote v LEFT JOIN job j ON j.number = v.job LEFT JOIN attestation a ON a.position = v.attestation "
#define VERDICTS    "verdict v LEFT JOIN job j ON j.number = v.job "
#define OF_THIS_JOB "job = (SELECT number FROM job WHERE key = ?) "

/* A walk is its name, its kind, what stands behind FROM, and the values of the question marks (types as in statement.h). */
#define PARAMETERS(...) struct db *db, __VA_ARGS__
#define WALK(function, kind, columns, tail)                                                                  \
    int function(struct db *db, DB_EACH(kind))                                                               \
    {                                                                                                        \
        struct visit_##kind caller = {visit, context};                                                       \
        return statement_select(db, row_##kind, &caller, diag, "SELECT " columns " FROM " tail, "");         \
    }
#define WALK_BY(function, kind, columns, tail, parameters, types, ...)                                       \
    int function(PARAMETERS parameters, DB_EACH(kind))                                                       \
    {                                                                                                        \
        struct visit_##kind caller = {visit, context};                                                       \
        return statement_select(db, row_##kind, &caller, diag, "SELECT " columns " FROM " tail, types,       \
                                __VA_ARGS__);                                                                \
    }

WALK(db_each_worker, worker, WORKER_COLUMNS, "worker ORDER BY name")
WALK(db_each_base, base, BASE_COLUMNS, "base ORDER BY imported_ms, manifest")
WALK(db_each_tree, tree, TREE_COLUMNS, "tree ORDER BY commit_id")
WALK(db_each_source, source, SOURCE_COLUMNS, "source ORDER BY added_ms, pin")
WALK(db_each_plan, plan, PLAN_COLUMNS, "plan ORDER BY created_ms, id")
WALK_BY(db_each_lease_of, lease, LEASE_COLUMNS,
        LEASES "WHERE l." OF_THIS_JOB "ORDER BY l.granted_ms, l.nonce", (const struct digest *job), "d", job)
WALK_BY(db_each_attestation_of, attestation, ATTESTATION_COLUMNS,
        ATTESTATIONS "WHERE l." OF_THIS_JOB "ORDER BY a.position", (const struct digest *job), "d", job)
WALK(db_each_attestation, attestation, ATTESTATION_COLUMNS, ATTESTATIONS "ORDER BY a.position")
WALK_BY(db_each_attestation_by, attestation, ATTESTATION_COLUMNS,
        ATTESTATIONS "WHERE l.worker = ? ORDER BY a.position", (const char *worker), "t", worker)
WALK_BY(db_each_attestation_to, attestation, ATTESTATION_COLUMNS,
        ATTESTATIONS "WHERE l.nonce = ? ORDER BY a.position", (const struct digest *nonce), "d", nonce)
WALK(db_each_lease, lease, LEASE_COLUMNS, LEASES "ORDER BY l.position")
WALK(db_each_refusal, refusal, REFUSAL_COLUMNS, REFUSALS "ORDER BY r.position")
WALK_BY(db_each_refusal_of, refusal, REFUSAL_COLUMNS, REFUSALS "WHERE l." OF_THIS_JOB "ORDER BY r.position",
        (const struct digest *job), "d", job)
WALK_BY(db_each_refusal_to, refusal, REFUSAL_COLUMNS, REFUSALS "WHERE l.nonce = ? ORDER BY r.position",
        (const struct digest *nonce), "d", nonce)
WALK(db_each_voided, voided, VOIDED_COLUMNS, VOIDED "ORDER BY v.voided_ms, a.digest")
WALK_BY(db_each_log_entry, log_entry, LOG_ENTRY_COLUMNS, "log_entry WHERE position >= ? ORDER BY position",
        (uint64_t from), "i", (int64_t)from)
WALK_BY(db_each_log_entry_with, log_entry, LOG_ENTRY_COLUMNS,
        "log_entry WHERE instr(entry, ?) > 0 ORDER BY position", (const char *text), "t", text)
WALK_BY(db_find_log_entry, log_entry, LOG_ENTRY_COLUMNS, "log_entry WHERE position = ?", (uint64_t position),
        "i", (int64_t)position)
WALK_BY(db_find_attestation, attestation, ATTESTATION_COLUMNS, ATTESTATIONS "WHERE a.digest = ?",
        (const struct digest *digest), "d", digest)
WALK_BY(db_find_refusal, refusal, REFUSAL_COLUMNS, REFUSALS "WHERE r.digest = ?",
        (const struct digest *digest), "d", digest)
WALK_BY(db_each_vote_of, vote, VOTE_COLUMNS, VOTES "WHERE v." OF_THIS_JOB "ORDER BY v.round, v.operator",
        (const struct digest *job), "d", job)
WALK(db_each_vote, vote, VOTE_COLUMNS, VOTES "ORDER BY v.job, v.round, v.operator")
WALK(db_each_verdict, verdict, VERDICT_COLUMNS, VERDICTS "ORDER BY v.job, v.round")
WALK_BY(db_each_verdict_of, verdict, VERDICT_COLUMNS, VERDICTS "WHERE v." OF_THIS_JOB "ORDER BY v.round",
        (const struct digest *job), "d", job)
WALK(db_each_release, release, RELEASE_COLUMNS, "release ORDER BY sequence")
WALK_BY(db_find_lease, lease, LEASE_COLUMNS, LEASES "WHERE l.nonce = ?", (const struct digest *nonce), "d",
        nonce)
WALK_BY(db_find_source, source, SOURCE_COLUMNS, "source WHERE pin = ? AND commit_id = ?",
        (const struct digest *pin, const char *commit), "dt", pin, commit)
WALK_BY(db_find_tree, tree, TREE_COLUMNS, "tree WHERE commit_id = ? AND tree_sha256 = ?",
        (const char *commit, const struct digest *tree_sha256), "td", commit, tree_sha256)
WALK_BY(db_find_plan, plan, PLAN_COLUMNS, "plan WHERE id = ?", (const struct digest *id), "d", id)
WALK_BY(db_find_base, base, BASE_COLUMNS, "base WHERE manifest = ?", (const struct digest *manifest), "d",
        manifest)
WALK_BY(db_find_release, release, RELEASE_COLUMNS, "release WHERE name = ?", (const char *name), "t", name)

struct visit_flag {
    int (*visit)(void *context, const char *operator_name, const char *reason);
    void *context;
};

static int row_flag(void *context, sqlite3_stmt *stmt)
{
    struct visit_flag *caller = context;
    return caller->visit(caller->context, column_text(stmt, 0), column_text(stmt, 1));
}

int db_each_flag(struct db *db, int (*visit)(void *context, const char *operator_name, const char *reason),
                 void *context, struct diag *diag)
{
    struct visit_flag caller = {visit, context};
    return statement_select(db, row_flag, &caller, diag,
                            "SELECT operator, reason FROM operator_flag ORDER BY operator", "");
}

int db_each_signature_of(struct db *db, const char *release,
                         int (*visit)(void *context, const char *signer, const char *signature),
                         void *context, struct diag *diag)
{
    struct visit_flag caller = {visit, context};
    return statement_select(
        db, row_flag, &caller, diag,
        "SELECT signer, signature FROM release_signature WHERE release = ? ORDER BY signer", "t", release);
}

static int row_number(void *context, sqlite3_stmt *stmt)
{
    *(int64_t *)context = sqlite3_column_int64(stmt, 0);
    return 0;
}

int64_t db_log_size(struct db *db, struct diag *diag)
{
    int64_t size = 0;
    int rows = statement_select(db, row_number, &size, diag,
                                "SELECT coalesce(max(position) + 1, 0) FROM log_entry", "");
    return rows < 0 ? rows : size;
}

int db_find_voided(struct db *db, const struct digest *attestation, struct diag *diag)
{
    int64_t found = 0;
    return statement_select(db, row_number, &found, diag, "SELECT 1 FROM " VOIDED "WHERE a.digest = ?", "d",
                            attestation);
}

size_t db_count_voided(struct db *db)
{
    int64_t count = 0;
    return statement_select(db, row_number, &count, NULL, "SELECT count(*) FROM voided", "") > 0
               ? (size_t)count
               : 0;
}

bool db_is_referenced(struct db *db, const struct digest *object)
{
    int64_t found = 0;
    /* An error counts as "referenced": what cannot be looked up is not collected. */
    int rows = statement_select(db, row_number, &found, NULL,
                                "SELECT EXISTS (SELECT 1 FROM reference WHERE object = ?1)"
                                " OR EXISTS (SELECT 1 FROM output WHERE object = ?1)",
                                "d", object);
    return rows < 0 || found != 0;
}

bool db_is_held(struct db *db, const struct digest *object, const struct digest *attestation)
{
    int64_t found = 0;
    return statement_select(db, row_number, &found, NULL,
                            "SELECT 1 FROM output WHERE object = ?"
                            " AND attestation = (SELECT position FROM attestation WHERE digest = ?)",
                            "dd", object, attestation) != 0;
}

struct visit_digest {
    int (*visit)(void *context, const struct digest *object);
    void *context;
};

static int row_digest(void *context, sqlite3_stmt *stmt)
{
    struct visit_digest *caller = context;
    struct digest digest = column_digest(stmt, 0);
    return caller->visit(caller->context, &digest);
}

int db_each_object(struct db *db, const struct digest *after, int64_t limit,
                   int (*visit)(void *context, const struct digest *object), void *context, struct diag *diag)
{
    struct visit_digest caller = {visit, context};
    return statement_select(db, row_digest, &caller, diag,
                            "SELECT object FROM reference WHERE object > ?1 UNION"
                            " SELECT object FROM output WHERE object > ?1 ORDER BY object LIMIT ?2",
                            "di", after, limit);
}

int db_each_droppable(struct db *db, int64_t before_ms, int64_t limit,
                      int (*visit)(void *context, const struct digest *plan), void *context,
                      struct diag *diag)
{
    struct visit_digest caller = {visit, context};
    return statement_select(
        db, row_digest, &caller, diag,
        "SELECT id FROM plan WHERE state IN ('done', 'failed', 'cancelled')"
        " AND finished_ms <= ? AND dropped_ms IS NULL AND id NOT IN (SELECT plan FROM release)"
        " ORDER BY finished_ms LIMIT ?",
        "ii", before_ms, limit);
}

struct visit_text {
    int (*visit)(void *context, const char *text);
    void *context;
};

static int row_text(void *context, sqlite3_stmt *stmt)
{
    struct visit_text *caller = context;
    return caller->visit(caller->context, column_text(stmt, 0));
}

int db_each_holder(struct db *db, const struct digest *object,
                   int (*visit)(void *context, const char *holder), void *context, struct diag *diag)
{
    struct visit_text caller = {visit, context};
    return statement_select(db, row_text, &caller, diag,
                            "SELECT holder FROM reference WHERE object = ?1"
                            " UNION SELECT 'attestation:' || lower(hex(digest))"
                            " FROM output JOIN attestation ON position = attestation WHERE object = ?1"
                            " ORDER BY holder",
                            "d", object);
}

int db_find_job(struct db *db, const struct digest *key, int (*visit)(void *context, const char *node),
                void *context, struct diag *diag)
{
    struct visit_text caller = {visit, context};
    return statement_select(db, row_text, &caller, diag, "SELECT node FROM job WHERE key = ?", "d", key);
}

int64_t db_duration_of(struct db *db, const char *node)
{
    int64_t median = 0;
    int rows = statement_select(db, row_number, &median, NULL,
                                "SELECT duration_ms FROM attestation a JOIN lease l ON l.position = a.lease"
                                " JOIN job j ON j.number = l.job WHERE j.node = ?1 AND a.failure = 'none'"
                                " ORDER BY duration_ms LIMIT 1 OFFSET (SELECT count(*) / 2 FROM attestation a"
                                " JOIN lease l ON l.position = a.lease JOIN job j ON j.number = l.job"
                                " WHERE j.node = ?1 AND a.failure = 'none')",
                                "t", node);
    return rows > 0 ? median : 0;
}
