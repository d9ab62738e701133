/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A database of version 1, with leases, answers and verdicts, becomes one of version 2: what happened stands in the log, in its
 * order, in the bytes that the log's own writer gives.
 */
#include "db.h"
#include "file.h"
#include "logentry.h"
#include "moment.h"
#include "schema.h"

#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ROWS FARM_SOURCE_DIR "/tests/unit/db/version-1.sql"

struct wanted {
    enum logentry_kind kind;
    unsigned char nonce, sha256;
    const char *at, *worker, *state;
    enum verdict_state verdict;
    uint32_t round, operators;
};
static const struct wanted wanted[] = {
    {LOG_LEASE, 0xa1, 0, "2025-11-22T14:00:00Z", "alder-1", NULL, 0, 1, 0},
    {LOG_LEASE, 0xb1, 0, "2025-11-22T14:00:00Z", "birch-1", NULL, 0, 1, 0},
    {LOG_ENVELOPE, 0xa1, 0xae, "2025-11-22T14:00:03Z", NULL, NULL, 0, 0, 0},
    {LOG_LEASE_END, 0xa1, 0, "2025-11-22T14:00:03Z", NULL, "answered", 0, 0, 0},
    {LOG_VERDICT, 0, 0, "2025-11-22T14:00:03Z", NULL, NULL, VERDICT_PENDING, 1, 0},
    {LOG_LEASE_END, 0xb1, 0, "2025-11-22T14:00:03Z", NULL, "expired", 0, 0, 0},
    {LOG_LEASE, 0xc1, 0, "2025-11-22T14:00:04Z", "cedar-1", NULL, 0, 1, 0},
    {LOG_ENVELOPE, 0xc1, 0xce, "2025-11-22T14:00:05Z", NULL, NULL, 0, 0, 0},
    {LOG_LEASE_END, 0xc1, 0, "2025-11-22T14:00:05Z", NULL, "answered", 0, 0, 0},
    {LOG_VERDICT, 0, 0, "2025-11-22T14:00:05Z", NULL, NULL, VERDICT_AGREED, 1, 0},
    {LOG_ENVELOPE, 0xb1, 0xbe, "2025-11-22T14:00:09Z", NULL, NULL, 0, 0, 0},
    {LOG_VERDICT, 0, 0, "2025-11-22T14:00:09Z", NULL, NULL, VERDICT_AGREED, 1, 2},
    {LOG_LEASE, 0xd1, 0, "2025-11-22T14:00:10Z", "alder-1", NULL, 0, 2, 0},
};

enum { SETTLED = 9 }; /* the first that is agreed */

static struct digest filled(unsigned char byte)
{
    struct digest digest;
    memset(digest.bytes, byte, DIGEST_SIZE);
    return digest;
}

static void write_wanted(const struct wanted *from, struct buf *ret)
{
    struct logentry entry = {.kind = from->kind,
                             .worker = from->worker,
                             .state = from->state,
                             .job = filled(0x1b),
                             .sha256 = filled(from->sha256),
                             .verdict = from->verdict,
                             .round = from->round,
                             .operators = from->operators};
    char operator_name[64] = "";
    if (from->worker != NULL)
        snprintf(operator_name, sizeof operator_name, "%.5s", from->worker);
    entry.operator_name = operator_name;
    if (from->verdict == VERDICT_AGREED)
        entry.payload = filled(0x99);
    memset(entry.nonce.bytes, from->nonce, sizeof entry.nonce.bytes);
    assert_true(moment_parse(view_text(from->at), &entry.at_ms));
    logentry_write(&entry, ret);
}

static int compare_entry(void *context, const struct db_log_entry *row)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    size_t *next = context;
    assert_true(*next < ARRAY_SIZE(wanted));
    assert_int_equal(row->position, *next);
    write_wanted(&wanted[*next], &text);
    assert_int_equal(row->entry.size, text.size);
    assert_memory_equal(row->entry.data, text.data, text.size);
    ++*next;
    return 0;
}

static int check_lease(void *context, const struct db_lease *row)
{
    int *seen = context;
    assert_true(row->position >= 0 && row->position < (int64_t)ARRAY_SIZE(wanted));
    const struct wanted *entry = &wanted[row->position];
    assert_int_equal(entry->kind, LOG_LEASE);
    assert_int_equal(entry->nonce, row->nonce.bytes[0]);
    ++*seen;
    return 0;
}

static int check_attestation(void *context, const struct db_attestation *row)
{
    int *seen = context;
    const struct wanted *entry = &wanted[row->position];
    assert_int_equal(entry->kind, LOG_ENVELOPE);
    assert_int_equal(entry->sha256, row->digest.bytes[0]);
    ++*seen;
    return 0;
}

struct file {
    char directory[64], path[96];
};

static int setup(void **state)
{
    struct file *file = mem_zero(1, sizeof *file);
    strcpy(file->directory, "upgrade-test-XXXXXX");
    assert_non_null(mkdtemp(file->directory));
    snprintf(file->path, sizeof file->path, "%s/farm.db", file->directory);
    *state = file;
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm", ".schema-1"};
    struct file *file = *state;
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", file->path, ends[i]);
        unlink(path);
    }
    rmdir(file->directory);
    free(file);
    return 0;
}

/* {a1} in the text becomes 32 times "a1". */
static void expand(const char *text, struct buf *ret)
{
    for (; *text != '\0'; text++) {
        if (text[0] != '{' || strspn(text + 1, "0123456789abcdef") != 2 || text[3] != '}') {
            buf_add_byte(ret, *text);
            continue;
        }
        for (int i = 0; i < DIGEST_SIZE; i++)
            buf_add(ret, text + 1, 2);
        text += 3;
    }
}

static void run(sqlite3 *raw, const char *sql)
{
    char *error = NULL;
    if (sqlite3_exec(raw, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
}

static void make_version_1(const char *path, bool with_rows, const char *more)
{
    CLEANUP_BUF struct buf text = BUF_INIT, sql = BUF_INIT, rest = BUF_INIT;
    sqlite3 *raw;
    assert_int_equal(file_read(AT_FDCWD, ROWS, 1 << 20, &text, NULL), 0);
    expand(text.data, &sql);
    expand(more, &rest);
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    run(raw, schema_files[0]);
    run(raw, "PRAGMA user_version = 1");
    run(raw, with_rows ? sql.data : "");
    run(raw, rest.size > 0 ? rest.data : "");
    sqlite3_close(raw);
}

static void test_what_happened_stands_in_the_log(void **state)
{
    const struct file *file = *state;
    struct diag diag = DIAG_INIT;
    struct db *db = NULL;
    size_t next = 0;
    int leases = 0, attestations = 0;
    make_version_1(file->path, true, "");
    if (db_open(file->path, &db, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_int_equal(db_each_log_entry(db, 0, compare_entry, &next, NULL), ARRAY_SIZE(wanted));
    assert_int_equal(db_log_size(db, NULL), ARRAY_SIZE(wanted));
    assert_int_equal(db_each_lease(db, check_lease, &leases, NULL), 4);
    assert_int_equal(db_each_attestation(db, check_attestation, &attestations, NULL), 3);
    assert_int_equal(leases + attestations, 7);
    db = db_close(db);
    assert_int_equal(db_open(file->path, &db, &diag), 0); /* and once is enough */
    assert_int_equal(db_log_size(db, NULL), ARRAY_SIZE(wanted));
    db_close(db);
}

static void test_an_empty_one_gives_an_empty_log(void **state)
{
    const struct file *file = *state;
    struct db *db = NULL;
    make_version_1(file->path, false, "");
    assert_int_equal(db_open(file->path, &db, NULL), 0);
    assert_int_equal(db_log_size(db, NULL), 0);
    db_close(db);
}

/* Nothing is lost of a journal that somebody emptied: rows stand by their times. */
static void test_without_a_journal_the_times_decide(void **state)
{
    const struct file *file = *state;
    struct db *db = NULL;
    make_version_1(file->path, true, "DELETE FROM journal");
    assert_int_equal(db_open(file->path, &db, NULL), 0);
    /* four leases, three answers, three ends, one verdict */
    assert_int_equal(db_log_size(db, NULL), 11);
    db_close(db);
}

/* ---- every version ---- */

static int64_t number_of(const char *path, const char *sql)
{
    sqlite3 *raw = NULL;
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_open_v2(path, &raw, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(raw, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(raw);
    return number;
}

/* As version 1 left it, and brought on by the schema files up to this one. */
static void make_version(const char *path, size_t version)
{
    sqlite3 *raw;
    make_version_1(path, true, "");
    assert_int_equal(sqlite3_open(path, &raw), SQLITE_OK);
    for (size_t next = 1; next < version; next++) {
        CLEANUP_FREE char *done = mem_format("PRAGMA user_version = %zu", next + 1);
        run(raw, schema_files[next]);
        run(raw, done);
    }
    sqlite3_close(raw);
}

static void remove_database(const char *path)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        CLEANUP_FREE char *name = mem_format("%s%s", path, ends[i]);
        unlink(name);
    }
}

/* The log's object, for this answer. */
#define WHAT_IS_KEPT(answer)                                                                                 \
    "SELECT count(*) FROM output o JOIN attestation a ON a.position = o.attestation"                         \
    " WHERE o.object = a.log AND hex(a.digest) GLOB upper('" answer "*')"

/* The same comes out, from wherever it began; and what was there before is kept. */
static void test_every_earlier_version_becomes_the_newest(void **state)
{
    const struct file *file = *state;
    for (size_t version = 1; version <= schema_count; version++) {
        CLEANUP_FREE char *kept = mem_format("%s.schema-%zu", file->path, version);
        struct diag diag = DIAG_INIT;
        struct db *db = NULL;
        size_t next = 0;
        make_version(file->path, version);
        if (db_open(file->path, &db, &diag) < 0)
            fail_msg("version %zu: %s", version, diag.text);
        assert_int_equal(db_each_log_entry(db, 0, compare_entry, &next, NULL), ARRAY_SIZE(wanted));
        db_close(db);
        assert_int_equal(number_of(file->path, "PRAGMA user_version"), db_schema_newest());
        assert_int_equal(number_of(file->path, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        assert_int_equal(number_of(file->path, "SELECT settled_size FROM verdict"), SETTLED + 1);
        assert_int_equal(number_of(file->path, "SELECT count(*) FROM reference"), 1);
        assert_int_equal(number_of(file->path, WHAT_IS_KEPT("ae")), 1);
        assert_int_equal(number_of(file->path, WHAT_IS_KEPT("be")), 1);
        assert_int_equal(number_of(file->path, "SELECT count(*) FROM output"), 2);
        assert_int_equal(number_of(file->path, "SELECT count(*) FROM sqlite_schema WHERE name GLOB 'old_*'"),
                         0);
        assert_int_equal(access(kept, F_OK), version < schema_count ? 0 : -1);
        if (version < schema_count) {
            assert_int_equal(number_of(kept, "PRAGMA user_version"), (int64_t)version);
            assert_int_equal(number_of(kept, "SELECT count(*) FROM attestation"), 3);
        }
        remove_database(kept);
        remove_database(file->path);
    }
}

/*
 * The upgrade as db_open does it, in a process that dies after so many virtual machine steps of the schema's SQL: the transaction is open, the
 * pages written so far are in the log.
 */
struct interruption {
    size_t version; /* before it */
    int left;
};

static int die(void *context)
{
    (void)context;
    _exit(0);
}

static void interrupt_upgrade(const char *path, const struct interruption *at)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        sqlite3 *raw;
        CLEANUP_FREE char *sql = mem_format("PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN "
                                            "IMMEDIATE; %s ; PRAGMA user_version = %zu; COMMIT;",
                                            schema_files[at->version], at->version + 1);
        if (sqlite3_open(path, &raw) == SQLITE_OK) {
            sqlite3_progress_handler(raw, at->left, die, NULL);
            (void)sqlite3_exec(raw, sql, NULL, NULL, NULL);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Whether the next version was reached. */
static bool upgrade_again(const struct file *file, const struct interruption *at)
{
    CLEANUP_FREE char *kept = mem_format("%s.schema-%zu", file->path, at->version);
    CLEANUP_FREE char *kept_next = mem_format("%s.schema-%zu", file->path, at->version + 1);
    struct db *db = NULL;
    make_version(file->path, at->version);
    interrupt_upgrade(file->path, at);
    size_t version = (size_t)number_of(file->path, "PRAGMA user_version");
    assert_true(version == at->version || version == at->version + 1);
    assert_int_equal(number_of(file->path, "SELECT count(*) FROM attestation"), 3);
    assert_int_equal(db_open(file->path, &db, NULL), 0);
    assert_int_equal(db_log_size(db, NULL), ARRAY_SIZE(wanted));
    db_close(db);
    remove_database(kept);
    remove_database(kept_next);
    remove_database(file->path);
    return version > at->version;
}

/* D6: the process dies in the middle, at every so-many steps of SQLite: the old version, or the next one, never half of it. */
static void test_D6_an_upgrade_interrupted_anywhere(void **state)
{
    enum { APART = 97, STEPS_MAX = 100000 };
    for (size_t version = 1; version < schema_count; version++) {
        struct interruption at = {.version = version, .left = 1};
        while (!upgrade_again(*state, &at) && at.left < STEPS_MAX)
            at.left += at.left < APART ? at.left : APART;
        assert_in_range(at.left, APART,
                        STEPS_MAX - 1); /* steps were interrupted at all, and in the end none */
    }
}

static void test_a_newer_version_is_refused_and_left_alone(void **state)
{
    const struct file *file = *state;
    struct diag diag = DIAG_INIT;
    struct db *db = NULL;
    sqlite3 *raw;
    make_version(file->path, schema_count);
    assert_int_equal(sqlite3_open(file->path, &raw), SQLITE_OK);
    run(raw, "PRAGMA user_version = 4711");
    sqlite3_close(raw);
    assert_int_equal(db_open(file->path, &db, &diag), FARM_E_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "schema version 4711 is newer than this program knows"));
    assert_non_null(strstr(diag.text, "install the newer farm"));
    assert_int_equal(number_of(file->path, "PRAGMA user_version"), 4711);
    assert_int_equal(number_of(file->path, "SELECT count(*) FROM attestation"), 3);
}

/* Without room for the copy nothing is upgraded. */
static void test_no_upgrade_without_the_copy(void **state)
{
    const struct file *file = *state;
    CLEANUP_FREE char *partial = mem_format("%s.schema-1.partial", file->path);
    struct diag diag = DIAG_INIT;
    struct db *db = NULL;
    make_version_1(file->path, true, "");
    assert_int_equal(mkdir(partial, 0700), 0);
    assert_true(db_open(file->path, &db, &diag) < 0);
    assert_non_null(strstr(diag.text, "copy before the upgrade of the schema"));
    assert_int_equal(number_of(file->path, "PRAGMA user_version"), 1);
    rmdir(partial);
}

static int copy_vote(void *context, const struct db_vote *row)
{
    buf_add_format(context, "%s:%02x ", row->operator_name, row->attestation.bytes[0]);
    return 0;
}

static void test_who_failed_and_built_has_a_vote(void **state)
{
    const struct file *file = *state;
    CLEANUP_BUF struct buf votes = BUF_INIT;
    struct db *db = NULL;
    make_version_1(file->path, true,
                   "DELETE FROM attestation; DELETE FROM vote;"
                   "INSERT INTO attestation VALUES"
                   "    (x'{e1}', x'{a1}', 'build', NULL, NULL, x'{77}', 'counted', 5, 1, x'7b7d'),"
                   "    (x'{e2}', x'{a1}', 'none', x'{99}', NULL, x'{77}', 'equivocal', 5, 2, x'7b7d'),"
                   "    (x'{e3}', x'{b1}', 'none', x'{98}', NULL, x'{77}', 'counted', 5, 1, x'7b7d'),"
                   "    (x'{e4}', x'{b1}', 'none', x'{99}', NULL, x'{77}', 'equivocal', 5, 2, x'7b7d'),"
                   "    (x'{e5}', x'{c1}', 'none', x'{99}', NULL, x'{77}', 'counted', 5, 1, x'7b7d'),"
                   "    (x'{e6}', x'{c1}', 'none', x'{99}', NULL, x'{77}', 'extra', 5, 2, x'7b7d');"
                   "INSERT INTO vote VALUES (x'{1b}', 1, 'cedar', x'{e5}', 0)");
    assert_int_equal(db_open(file->path, &db, NULL), 0);
    assert_int_equal(db_each_vote(db, copy_vote, &votes, NULL), 2);
    assert_string_equal(votes.data, "alder:e2 cedar:e5 ");
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_happened_stands_in_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_empty_one_gives_an_empty_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_failed_and_built_has_a_vote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_journal_the_times_decide, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_earlier_version_becomes_the_newest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D6_an_upgrade_interrupted_anywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_newer_version_is_refused_and_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_upgrade_without_the_copy, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
