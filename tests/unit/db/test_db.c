/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "db.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char directory[64], path[96];
    struct db *db;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zero(1, sizeof *fixture);
    struct diag diag = DIAG_INIT;
    strcpy(fixture->directory, "db-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/farm.db", fixture->directory);
    assert_int_equal(db_open(fixture->path, &fixture->db, &diag), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = {"", "-wal", "-shm"};
    struct fixture *fixture = *state;
    db_close(fixture->db);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        char path[128];
        snprintf(path, sizeof path, "%s%s", fixture->path, ends[i]);
        unlink(path);
    }
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static struct digest digest_number(unsigned char number)
{
    struct digest digest = {{0}};
    digest.bytes[0] = number;
    digest.bytes[31] = 1;
    return digest;
}

static void put_worker(struct db *db, const char *name, unsigned char key)
{
    struct db_worker row = {.name = name,
                            .operator_name = "alder",
                            .entry = "{}",
                            .state = "active",
                            .ed25519 = digest_number(key),
                            .curve = digest_number((unsigned char)(key + 100)),
                            .admitted_ms = 1};
    db_put_worker(db, &row);
}

/* A worker, a job and a lease, so that attestations have something to refer to. */
static void put_lease(struct db *db, unsigned char nonce)
{
    struct digest job = digest_number(1);
    put_worker(db, "alder-1", 10);
    db_put_job(db, &job, "extra/zlib", 1);
    struct db_lease row = {.nonce = digest_number(nonce),
                           .job = job,
                           .round = 1,
                           .worker = "alder-1",
                           .operator_name = "alder",
                           .state = "live",
                           .granted_ms = 1,
                           .deadline_ms = 2,
                           .position = nonce};
    db_put_lease(db, &row);
}

static struct db_attestation attestation(unsigned char nonce, unsigned char number)
{
    return (struct db_attestation){.digest = digest_number(number),
                                   .nonce = digest_number(nonce),
                                   .payload = digest_number(50),
                                   .tar = digest_number(51),
                                   .log = digest_number(52),
                                   .failure = "none",
                                   .fate = "counted",
                                   .duration_ms = 1000,
                                   .position = number,
                                   .envelope = VIEW("{}")};
}

static int count_row(void *context, const struct db_attestation *row)
{
    (void)row;
    ++*(int *)context;
    return 0;
}

static void test_what_was_committed_is_read_back(void **state)
{
    struct fixture *fixture = *state;
    struct db_attestation row = attestation(7, 20);
    int count = 0;
    struct digest job = digest_number(1);
    db_begin(fixture->db);
    put_lease(fixture->db, 7);
    db_put_attestation(fixture->db, &row);
    assert_int_equal(db_commit(fixture->db, NULL), 0);
    fixture->db = db_close(fixture->db);
    assert_int_equal(db_open(fixture->path, &fixture->db, NULL), 0);
    assert_int_equal(db_each_attestation_of(fixture->db, &job, count_row, &count, NULL), 1);
    assert_int_equal(count, 1);
    assert_int_equal(db_duration_of(fixture->db, "extra/zlib"), 1000);
}

static void test_a_failed_statement_fails_the_whole_transaction(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;
    struct db_attestation row = attestation(7, 20);
    int count = 0;
    db_begin(fixture->db);
    put_lease(fixture->db, 7);
    db_put_attestation(fixture->db, &row);
    row.position++;
    db_put_attestation(fixture->db, &row); /* unique by its bytes */
    assert_true(db_commit(fixture->db, &diag) < 0);
    assert_non_null(strstr(diag.text, "UNIQUE constraint failed: attestation.digest"));
    assert_int_equal(db_each_attestation(fixture->db, count_row, &count, NULL), 0);
    db_begin(fixture->db); /* and the next one starts clean */
    put_lease(fixture->db, 7);
    assert_int_equal(db_commit(fixture->db, NULL), 0);
}

/* Lesson 1 of every farm: the database itself counts operators, not signatures. */
static void test_an_operator_has_one_vote_per_job_and_round(void **state)
{
    struct fixture *fixture = *state;
    struct db_attestation first = attestation(7, 20), second = attestation(7, 21);
    struct db_vote vote = {
        .job = digest_number(1), .attestation = first.digest, .round = 1, .operator_name = "alder"};
    db_begin(fixture->db);
    put_lease(fixture->db, 7);
    db_put_attestation(fixture->db, &first);
    db_put_attestation(fixture->db, &second);
    db_put_vote(fixture->db, &vote);
    assert_int_equal(db_commit(fixture->db, NULL), 0);
    vote.attestation = second.digest;
    db_begin(fixture->db);
    db_put_vote(fixture->db, &vote);
    assert_true(db_commit(fixture->db, NULL) < 0);
}

static void test_a_key_belongs_to_one_worker(void **state) /* W5 */
{
    struct fixture *fixture = *state;
    db_begin(fixture->db);
    put_worker(fixture->db, "alder-1", 10);
    put_worker(fixture->db, "alder-2", 10);
    assert_true(db_commit(fixture->db, NULL) < 0);
}

static int copy_state(void *context, const struct db_worker *row)
{
    snprintf(context, 32, "%s", row->state);
    return 0;
}

static void test_a_newer_entry_of_a_paused_worker_does_not_resume_it(void **state)
{
    struct db *db = ((struct fixture *)*state)->db;
    char now[32] = "";
    db_begin(db);
    put_worker(db, "alder-1", 1);
    db_set_worker_state(db, "alder-1", "paused");
    put_worker(db, "alder-1", 1);
    assert_int_equal(db_commit(db, NULL), 0);
    assert_int_equal(db_each_worker(db, copy_state, now, NULL), 1);
    assert_string_equal(now, "paused");
}

struct nested {
    struct db *db;
    int inner, outer;
};

static int count_inner(void *context, const struct db_worker *row)
{
    struct nested *nested = context;
    assert_true(strlen(row->name) > 0);
    nested->inner++;
    return 0;
}

static int count_outer(void *context, const struct db_worker *row)
{
    struct nested *nested = context;
    int found = db_each_worker(nested->db, count_inner, nested, NULL);
    assert_int_equal(found, 2);
    assert_true(strncmp(row->name, "alder-", 6) == 0); /* the outer row is still there */
    nested->outer++;
    return 0;
}

static int stop_at_once(void *context, const struct db_worker *row)
{
    (void)context;
    (void)row;
    return FARM_E_STATE;
}

static void test_walks_nest_and_may_end_early(void **state)
{
    struct nested nested = {.db = ((struct fixture *)*state)->db};
    db_begin(nested.db);
    put_worker(nested.db, "alder-1", 1);
    put_worker(nested.db, "alder-2", 2);
    assert_int_equal(db_commit(nested.db, NULL), 0);
    assert_int_equal(db_each_worker(nested.db, stop_at_once, NULL, NULL), FARM_E_STATE);
    assert_int_equal(db_each_worker(nested.db, count_outer, &nested, NULL), 2);
    assert_int_equal(nested.outer, 2);
    assert_int_equal(nested.inner, 4);
}

static void test_a_row_without_its_lease_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct db_attestation row = attestation(9, 20);
    db_begin(fixture->db);
    db_put_attestation(fixture->db, &row);
    assert_true(db_commit(fixture->db, NULL) < 0);
}

static void add_entry(struct db *db, uint64_t position, const char *text)
{
    struct db_log_entry row = {.position = position, .entry = view_text(text)};
    db_put_log_entry(db, &row);
}

static int copy_entry(void *context, const struct db_log_entry *row)
{
    buf_add_format(context, "%d:%.*s ", (int)row->position, VIEW_ARG(row->entry));
    return 0;
}

static void test_entries_of_the_log_follow_each_other(void **state)
{
    struct db *db = ((struct fixture *)*state)->db;
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(db_log_size(db, NULL), 0);
    db_begin(db);
    add_entry(db, 0, "a");
    add_entry(db, 1, "b");
    add_entry(db, 2, "ab");
    assert_int_equal(db_commit(db, NULL), 0);
    assert_int_equal(db_log_size(db, NULL), 3);
    assert_int_equal(db_each_log_entry(db, 1, copy_entry, &text, NULL), 2);
    assert_string_equal(text.data, "1:b 2:ab ");
    assert_int_equal(db_find_log_entry(db, 3, copy_entry, &text, NULL), 0);
    buf_clear(&text);
    assert_int_equal(db_each_log_entry_with(db, "a", copy_entry, &text, NULL), 2);
    assert_string_equal(text.data, "0:a 2:ab ");
}

static void test_a_gap_in_the_log_fails_the_transaction(void **state)
{
    static const uint64_t wrong[] = {0, 2, 5};
    struct db *db = ((struct fixture *)*state)->db;
    db_begin(db);
    add_entry(db, 0, "a");
    assert_int_equal(db_commit(db, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        db_begin(db);
        add_entry(db, wrong[i], "b");
        assert_true(db_commit(db, NULL) < 0);
        assert_int_equal(db_log_size(db, NULL), 1);
    }
}

static int keep_position(void *context, const struct db_attestation *row)
{
    *(int64_t *)context = row->position;
    return 0;
}

static int count_vote(void *context, const struct db_vote *row)
{
    (void)row;
    ++*(int *)context;
    return 0;
}

static int keep_voided(void *context, const struct db_voided *row)
{
    assert_string_equal(row->reason, "revoked");
    *(struct digest *)context = row->attestation;
    return 0;
}

static void test_a_voided_answer_has_no_vote(void **state) /* W11 */
{
    struct db *db = ((struct fixture *)*state)->db;
    struct db_attestation row = attestation(7, 20);
    struct db_vote vote = {
        .job = digest_number(1), .attestation = row.digest, .round = 1, .operator_name = "alder"};
    struct db_voided voided = {.attestation = row.digest, .reason = "revoked", .voided_ms = 5};
    struct digest found = {{0}};
    int64_t position = 0;
    int votes = 0;
    row.position = 41;
    db_begin(db);
    put_lease(db, 7);
    db_put_attestation(db, &row);
    db_put_vote(db, &vote);
    assert_int_equal(db_commit(db, NULL), 0);
    assert_int_equal(db_each_vote(db, count_vote, &votes, NULL), 1);
    db_begin(db);
    db_put_voided(db, &voided);
    db_put_voided(db, &voided); /* again is no event */
    assert_int_equal(db_commit(db, NULL), 0);
    assert_int_equal(db_each_vote(db, count_vote, &votes, NULL), 0);
    assert_int_equal(db_each_voided(db, keep_voided, &found, NULL), 1);
    assert_true(digest_equal(&found, &row.digest));
    /* The answer itself stays. */
    assert_int_equal(db_find_attestation(db, &row.digest, keep_position, &position, NULL), 1);
    assert_int_equal(position, 41);
    assert_int_equal(db_each_attestation_by(db, "alder-1", keep_position, &position, NULL), 1);
    assert_int_equal(db_each_attestation_by(db, "birch-1", keep_position, &position, NULL), 0);
    voided.attestation = digest_number(99); /* there is none: nobody else's number is taken for it */
    db_begin(db);
    db_put_voided(db, &voided);
    assert_true(db_commit(db, NULL) < 0);
}

static int keep_refusal(void *context, const struct db_refusal *row)
{
    assert_string_equal(row->reason, "another job");
    assert_true(view_equal(row->envelope, VIEW("{}")));
    *(int64_t *)context = row->position;
    return 0;
}

static void test_refusals_are_found_by_digest_lease_and_job(void **state)
{
    struct db *db = ((struct fixture *)*state)->db;
    struct db_refusal row = {.digest = digest_number(30),
                             .nonce = digest_number(7),
                             .reason = "another job",
                             .position = 9,
                             .received_ms = 1,
                             .envelope = VIEW("{}")};
    struct digest job = digest_number(1), other = digest_number(2);
    int64_t position = 0;
    db_begin(db);
    put_lease(db, 7);
    db_put_refusal(db, &row);
    assert_int_equal(db_commit(db, NULL), 0);
    assert_int_equal(db_find_refusal(db, &row.digest, keep_refusal, &position, NULL), 1);
    assert_int_equal(position, 9);
    assert_int_equal(db_each_refusal(db, keep_refusal, &position, NULL), 1);
    assert_int_equal(db_each_refusal_to(db, &row.nonce, keep_refusal, &position, NULL), 1);
    assert_int_equal(db_each_refusal_of(db, &job, keep_refusal, &position, NULL), 1);
    assert_int_equal(db_each_refusal_of(db, &other, keep_refusal, &position, NULL), 0);
}

static void test_references_keep_objects(void **state)
{
    struct fixture *fixture = *state;
    struct digest object = digest_number(33), other = digest_number(34);
    db_begin(fixture->db);
    db_put_reference(fixture->db, &object, "plan:x");
    db_put_reference(fixture->db, &object, "plan:x");
    assert_int_equal(db_commit(fixture->db, NULL), 0);
    assert_true(db_is_referenced(fixture->db, &object));
    assert_false(db_is_referenced(fixture->db, &other));
}

static int add_text(void *context, const char *text)
{
    buf_add_format(context, "%s ", text);
    return 0;
}

static int add_object(void *context, const struct digest *object)
{
    buf_add_format(context, "%u ", object->bytes[0]);
    return 0;
}

static void test_answers_keep_their_outputs(void **state)
{
    struct db *db = ((struct fixture *)*state)->db;
    CLEANUP_BUF struct buf holders = BUF_INIT, objects = BUF_INIT;
    struct db_attestation first = attestation(7, 20), second = attestation(7, 21);
    struct digest object = digest_number(33), before = digest_number(3), zero = {{0}};
    db_begin(db);
    put_lease(db, 7);
    db_put_attestation(db, &first);
    db_put_attestation(db, &second);
    db_put_output(db, &object, &second.digest);
    db_put_output(db, &object, &second.digest);
    db_put_reference(db, &object, "base:x");
    db_put_reference(db, &before, "base:x");
    assert_int_equal(db_commit(db, NULL), 0);
    assert_true(db_is_referenced(db, &object));
    assert_true(db_is_held(db, &object, &second.digest));
    assert_false(db_is_held(db, &object, &first.digest));
    assert_int_equal(db_each_holder(db, &object, add_text, &holders, NULL), 2);
    CLEANUP_FREE char *wanted = mem_format("attestation:%s base:x ", digest_hex(&second.digest).text);
    assert_string_equal(holders.data, wanted);
    assert_int_equal(db_each_object(db, &zero, -1, add_object, &objects, NULL), 2);
    assert_int_equal(db_each_object(db, &before, 1, add_object, &objects, NULL), 1);
    assert_string_equal(objects.data, "3 33 33 ");
    db_begin(db);
    db_drop_references(db, &object);
    assert_int_equal(db_commit(db, NULL), 0);
    assert_false(db_is_referenced(db, &object));
    db_begin(db);
    db_put_output(db, &object, &zero); /* no answer */
    assert_true(db_commit(db, NULL) < 0);
}

static int keep_dangling(void *context, const struct db_vote *row)
{
    *(bool *)context = digest_is_zero(&row->attestation) && digest_is_zero(&row->job);
    return 0;
}

/* An edited file is audited: a row whose number leads nowhere must not slip through a join. */
static void test_a_vote_for_nothing_is_seen(void **state) /* D2 */
{
    struct fixture *fixture = *state;
    sqlite3 *raw;
    bool seen = false;
    fixture->db = db_close(fixture->db);
    assert_int_equal(sqlite3_open(fixture->path, &raw), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(raw, "INSERT INTO vote VALUES (4711, 1, 'alder', 4712, 0)", NULL, NULL, NULL),
        SQLITE_OK);
    sqlite3_close(raw);
    assert_int_equal(db_open(fixture->path, &fixture->db, NULL), 0);
    assert_int_equal(db_each_vote(fixture->db, keep_dangling, &seen, NULL), 1);
    assert_true(seen);
}

static void test_a_newer_schema_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;
    sqlite3 *raw;
    fixture->db = db_close(fixture->db);
    assert_int_equal(sqlite3_open(fixture->path, &raw), SQLITE_OK);
    assert_int_equal(sqlite3_exec(raw, "PRAGMA user_version = 999", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(raw);
    assert_int_equal(db_open(fixture->path, &fixture->db, &diag), FARM_E_UNSUPPORTED);
    assert_null(fixture->db);
    assert_non_null(strstr(diag.text, "999"));
}

static void test_a_file_that_is_no_database_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct diag diag = DIAG_INIT;
    fixture->db = db_close(fixture->db);
    FILE *file = fopen(fixture->path, "w");
    assert_non_null(file);
    for (int i = 0; i < 1000; i++)
        fputs("this is not a database ", file);
    fclose(file);
    assert_int_equal(db_open(fixture->path, &fixture->db, &diag), FARM_E_CORRUPT);
    assert_null(fixture->db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_was_committed_is_read_back),
        TEST(test_a_failed_statement_fails_the_whole_transaction),
        TEST(test_an_operator_has_one_vote_per_job_and_round),
        TEST(test_a_key_belongs_to_one_worker),
        TEST(test_a_newer_entry_of_a_paused_worker_does_not_resume_it),
        TEST(test_walks_nest_and_may_end_early),
        TEST(test_a_row_without_its_lease_is_refused),
        TEST(test_entries_of_the_log_follow_each_other),
        TEST(test_a_gap_in_the_log_fails_the_transaction),
        TEST(test_a_voided_answer_has_no_vote),
        TEST(test_refusals_are_found_by_digest_lease_and_job),
        TEST(test_references_keep_objects),
        TEST(test_answers_keep_their_outputs),
        TEST(test_a_vote_for_nothing_is_seen),
        TEST(test_a_newer_schema_is_refused),
        TEST(test_a_file_that_is_no_database_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
