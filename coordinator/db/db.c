/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "file.h"
#include "schema.h"
#include "statement.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A hundred-odd statements exist; a table that is at most a third full needs no growing. */
enum { STATEMENTS_MAX = 512 };

struct db {
    sqlite3 *handle;
    struct {
        const char *sql; /* address of the literal is the key */
        sqlite3_stmt *prepared;
    } cache[STATEMENTS_MAX];
    int failed; /* the first error since db_begin */
    struct diag failure;
};

static int report(struct db *db, struct diag *diag, const char *what)
{
    int code = sqlite3_extended_errcode(db->handle);
    int error = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? FARM_E_CORRUPT : FARM_E_UNAVAILABLE;
    return diag_set(diag, error, "database: %s: %s", what, sqlite3_errmsg(db->handle));
}

static int execute(struct db *db, const char *sql, struct diag *diag)
{
    return sqlite3_exec(db->handle, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : report(db, diag, sql);
}

static int pragma_number(struct db *db, const char *sql, int64_t *ret, struct diag *diag)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) == SQLITE_OK &&
        sqlite3_step(statement) == SQLITE_ROW)
        *ret = sqlite3_column_int64(statement, 0);
    else
        result = report(db, diag, sql);
    sqlite3_finalize(statement);
    return result;
}

static int check_integrity(struct db *db, const char *path, struct diag *diag)
{
    sqlite3_stmt *statement = NULL;
    int result = 0;
    if (sqlite3_prepare_v2(db->handle, "PRAGMA quick_check(1)", -1, &statement, NULL) != SQLITE_OK ||
        sqlite3_step(statement) != SQLITE_ROW)
        result = report(db, diag, "quick_check");
    else if (strcmp(column_text(statement, 0), "ok") != 0)
        result = diag_set(diag, FARM_E_CORRUPT, "%s: damaged: %s; restore a backup", path,
                          column_text(statement, 0));
    sqlite3_finalize(statement);
    return result;
}

/* One numbered file, and the version it leads to, in one transaction. */
static int migrate_step(struct db *db, const char *path, size_t version, struct diag *diag)
{
    CLEANUP_FREE char *sql = mem_format("BEGIN IMMEDIATE; %s ; PRAGMA user_version = %zu; COMMIT;",
                                        schema_files[version], version + 1);
    int code = sqlite3_exec(db->handle, sql, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        return 0;
    int result = report(db, diag, "schema");
    sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return diag_wrap(diag, result, "%s: the upgrade to schema %zu was undone%s", path, version + 1,
                     (code & 0xff) == SQLITE_FULL ? "; make room for three times the file" : "");
}

/* Should an upgrade turn out to be wrong, what was there before is not gone. A copy that a crash left half-made is made again. */
static int keep_before(const char *path, int64_t version, struct diag *diag)
{
    CLEANUP_FREE char *kept = mem_format("%s.schema-%lld", path, (long long)version);
    CLEANUP_FREE char *partial = mem_format("%s.partial", kept);
    unlink(partial);
    int result = db_snapshot(path, partial, diag);
    if (result >= 0 && rename(partial, kept) < 0)
        result = diag_errno(diag, "%s: rename", kept);
    if (result >= 0)
        result = file_sync_parent(AT_FDCWD, kept, diag);
    return result < 0 ? diag_wrap(diag, result, "%s: copy before the upgrade of the schema", path) : 0;
}

static int migrate(struct db *db, const char *path, struct diag *diag)
{
    int64_t version = 0;
    int result = pragma_number(db, "PRAGMA user_version", &version, diag);
    if (result >= 0 && (version < 0 || (size_t)version > schema_count))
        return diag_set(
            diag, FARM_E_UNSUPPORTED,
            "%s: schema version %lld is newer than this program knows (%zu); install the newer farm", path,
            (long long)version, schema_count);
    bool upgrades = version > 0 && (size_t)version < schema_count;
    if (result >= 0 && upgrades)
        result = keep_before(path, version, diag);
    for (size_t next = (size_t)version; result >= 0 && next < schema_count; next++)
        result = migrate_step(db, path, next, diag);
    if (result >= 0 && upgrades) /* what it took is no use any more; if it cannot go now, later */
        (void)!execute(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL);
    return result;
}

int64_t db_schema_newest(void)
{
    return (int64_t)schema_count;
}

void db_library(struct buf *ret)
{
    buf_add_format(ret, "SQLite %s", sqlite3_libversion());
}

static int configure(struct db *db, const char *path, struct diag *diag)
{
    static const char *const pragmas[] = {
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA trusted_schema = OFF",
        "PRAGMA cell_size_check = ON",
        "PRAGMA secure_delete = OFF", /* Debian's default is to write zeros over what goes: half of an upgrade's room */
        "PRAGMA cache_size = -32768", /* KiB: what an evening's results touch; the default of 2 MiB is read again and again */
        "PRAGMA wal_autocheckpoint = 4000", /* pages: 16 MiB of log, so that a page which changes often is copied back rarely */
    };
    sqlite3_extended_result_codes(db->handle, 1);
    sqlite3_db_config(db->handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(pragmas); i++) {
        int result = execute(db, pragmas[i], diag);
        if (result < 0)
            return result;
    }
    int result = check_integrity(db, path, diag);
    return result < 0 ? result : migrate(db, path, diag);
}

int db_open(const char *path, struct db **ret, struct diag *diag)
{
    struct db *db = mem_zero(1, sizeof *db);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    int result = sqlite3_open_v2(path, &db->handle, flags, NULL) == SQLITE_OK ? 0 : report(db, diag, path);
    if (result >= 0)
        result = configure(db, path, diag);
    if (result >= 0) /* the names of what it made: SQLite syncs them too, but takes no notice if that fails */
        result = file_sync_parent(AT_FDCWD, path, diag);
    if (result < 0) {
        db_close(db);
        return result;
    }
    *ret = db;
    return 0;
}

struct db *db_close(struct db *db)
{
    if (db == NULL)
        return NULL;
    for (size_t i = 0; i < STATEMENTS_MAX; i++)
        sqlite3_finalize(db->cache[i].prepared);
    sqlite3_close(db->handle);
    free(db);
    return NULL;
}

static void fail(struct db *db, const char *what)
{
    if (db->failed == 0)
        db->failed = report(db, &db->failure, what);
}

void db_begin(struct db *db)
{
    db->failed = 0;
    db->failure = (struct diag)DIAG_INIT;
    if (sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL) != SQLITE_OK)
        fail(db, "BEGIN");
}

int db_commit(struct db *db, struct diag *diag)
{
    if (db->failed == 0 && sqlite3_exec(db->handle, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        fail(db, "COMMIT");
    if (db->failed == 0)
        return 0;
    sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    return diag_set(diag, db->failed, "%s", db->failure.text);
}

static sqlite3_stmt *prepare(struct db *db, const char *sql)
{
    size_t slot = ((uintptr_t)sql >> 3) % STATEMENTS_MAX;
    while (db->cache[slot].sql != NULL && db->cache[slot].sql != sql)
        slot = (slot + 1) % STATEMENTS_MAX;
    if (db->cache[slot].sql == NULL && sqlite3_prepare_v3(db->handle, sql, -1, SQLITE_PREPARE_PERSISTENT,
                                                          &db->cache[slot].prepared, NULL) == SQLITE_OK)
        db->cache[slot].sql = sql;
    return db->cache[slot].prepared;
}

static int bind_one(sqlite3_stmt *statement, int at, char type, va_list *args)
{
    if (type == 't')
        return sqlite3_bind_text(statement, at, va_arg(*args, const char *), -1, SQLITE_STATIC);
    if (type == 'i')
        return sqlite3_bind_int64(statement, at, va_arg(*args, int64_t));
    if (type == 'v') {
        struct view data = va_arg(*args, struct view);
        return sqlite3_bind_blob64(statement, at, data.data != NULL ? data.data : "", data.size,
                                   SQLITE_STATIC);
    }
    if (type == 's') {
        struct view text = va_arg(*args, struct view);
        return sqlite3_bind_text64(statement, at, text.data != NULL ? text.data : "", text.size,
                                   SQLITE_STATIC, SQLITE_UTF8);
    }
    const struct digest *digest = va_arg(*args, const struct digest *);
    if (type == 'z' && digest_is_zero(digest))
        return sqlite3_bind_null(statement, at);
    return sqlite3_bind_blob(statement, at, digest->bytes, DIGEST_SIZE, SQLITE_STATIC);
}

static bool bind_all(sqlite3_stmt *statement, const char *types, va_list *args)
{
    bool ok = true;
    for (int i = 0; types[i] != '\0'; i++)
        ok = bind_one(statement, i + 1, types[i], args) == SQLITE_OK && ok;
    return ok;
}

void statement_run(struct db *db, const char *sql, const char *types, ...)
{
    if (db->failed != 0)
        return;
    sqlite3_stmt *statement = prepare(db, sql);
    va_list args;
    va_start(args, types);
    if (statement == NULL || !bind_all(statement, types, &args) || sqlite3_step(statement) != SQLITE_DONE)
        fail(db, sql);
    va_end(args);
    if (statement != NULL) {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    }
}

static int walk(struct db *db, sqlite3_stmt *statement, statement_visit *visit, void *context,
                const char *sql, struct diag *diag)
{
    int rows = 0, code;
    while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
        int result = visit(context, statement);
        if (result < 0)
            return result;
        rows++;
    }
    return code == SQLITE_DONE ? rows : report(db, diag, sql);
}

int statement_select(struct db *db, statement_visit *visit, void *context, struct diag *diag, const char *sql,
                     const char *types, ...)
{
    /* A visit may read with the same statement again: the inner walk gets one of its own. */
    sqlite3_stmt *statement = prepare(db, sql);
    bool own = statement == NULL || sqlite3_stmt_busy(statement);
    if (own && sqlite3_prepare_v2(db->handle, sql, -1, &statement, NULL) != SQLITE_OK)
        return report(db, diag, sql);
    va_list args;
    va_start(args, types);
    int result = bind_all(statement, types, &args) ? walk(db, statement, visit, context, sql, diag)
                                                   : report(db, diag, sql);
    va_end(args);
    if (own) {
        sqlite3_finalize(statement);
    } else {
        sqlite3_reset(statement);
        sqlite3_clear_bindings(statement);
    }
    return result;
}

struct digest column_digest(sqlite3_stmt *row, int column)
{
    struct digest digest = {{0}};
    if (sqlite3_column_bytes(row, column) == DIGEST_SIZE)
        memcpy(digest.bytes, sqlite3_column_blob(row, column), DIGEST_SIZE);
    return digest;
}

const char *column_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text != NULL ? text : "";
}

struct view column_view(sqlite3_stmt *row, int column)
{
    return view_of(sqlite3_column_blob(row, column), (size_t)sqlite3_column_bytes(row, column));
}
