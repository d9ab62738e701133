/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a revocation leaves (W11): rows, the log, verdicts; after a restart, and after a crash in the middle of it. */
#include "farm_rig.h"

#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};

/* "liba" and "appb" are agreed by alpha and beta; the coordinator runs. */
static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_free(rig);
    return 0;
}

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

/* --- looking --- */

static enum node_state state_of(struct rig *rig, size_t package, uint32_t *ret_round)
{
    struct core_node_view view;
    assert_true(core_node(rig->farm->core, &rig->plan, package, &view));
    if (ret_round != NULL)
        *ret_round = view.round;
    return view.state;
}

static int count_row(void *context, const struct db_voided *row)
{
    (void)row;
    ++*(size_t *)context;
    return 0;
}

static size_t count_voided(struct rig *rig)
{
    size_t n = 0;
    assert_true(db_each_voided(rig->farm->db, count_row, &n, NULL) >= 0);
    assert_int_equal(n, db_count_voided(rig->farm->db));
    return n;
}

static int keep_last(void *context, const struct db_attestation *row)
{
    *(int64_t *)context = row->position;
    return 0;
}

/* Where the log has the worker's newest answer. */
static int64_t last_position(struct rig *rig, size_t worker)
{
    int64_t position = -1;
    assert_true(db_each_attestation_by(rig->farm->db, fixture_workers[worker], keep_last, &position, NULL) >
                0);
    return position;
}

struct voters {
    uint32_t round;
    char names[64];
};

static int add_voter(void *context, const struct db_vote *row)
{
    struct voters *voters = context;
    size_t used = strlen(voters->names);
    if (row->round == voters->round)
        snprintf(voters->names + used, sizeof voters->names - used, " %s", row->operator_name);
    return 0;
}

static void expect_voters(struct rig *rig, size_t package, uint32_t round, const char *names)
{
    struct voters voters = {.round = round};
    assert_true(db_each_vote_of(rig->farm->db, &rig->packages[package].job, add_voter, &voters, NULL) >= 0);
    assert_string_equal(voters.names, names);
}

static int keep_state(void *context, const struct db_verdict *row)
{
    if (row->round == 1)
        snprintf(context, 16, "%s", row->state);
    return 0;
}

static void expect_verdict(struct rig *rig, size_t package, const char *wanted)
{
    char state[16] = "";
    assert_true(db_each_verdict_of(rig->farm->db, &rig->packages[package].job, keep_state, state, NULL) >= 0);
    assert_string_equal(state, wanted);
}

static int keep_revocation(void *context, const struct db_log_entry *row)
{
    struct logentry entry;
    assert_int_equal(logentry_parse(row->entry, &entry, NULL), 0);
    assert_int_equal(entry.kind, LOG_REVOKE);
    *(int64_t *)context = entry.version;
    logentry_done(&entry);
    return 0;
}

/* How many revocations are logged; 'from' of the newest. */
static int logged(struct rig *rig, int64_t *ret_from)
{
    return db_each_log_entry_with(rig->farm->db, "\"kind\":\"revoke\"", keep_revocation, ret_from, NULL);
}

/* --- doing --- */

static void make_entry(struct rig *rig, size_t worker, int64_t from, struct directory_entry *ret)
{
    const struct directory_entry *known = directory_find(rig->farm->directory, fixture_workers[worker]);
    *ret = farm_fixture_entry(rig->keys, worker);
    ret->admitted_ms = known->admitted_ms;
    ret->expires_ms = known->expires_ms;
    ret->compromised_from = from;
    farm_fixture_sign_entry(ret, rig->keys->operators[worker]);
    farm_fixture_sign_entry(ret, rig->keys->enrolment);
}

static void compromise(struct rig *rig, size_t worker, int64_t from)
{
    struct diag diag = DIAG_INIT;
    CLEANUP(directory_entry_done) struct directory_entry entry;
    make_entry(rig, worker, from, &entry);
    must(admission_admit(rig->farm, &entry, &diag), &diag);
    rig_turn(rig);
}

/* As "farmctl worker revoke" does. */
static void revoke(struct rig *rig, size_t worker, int expected)
{
    struct diag diag = DIAG_INIT;
    const char *name = fixture_workers[worker];
    trust_remove_entry(rig->farm->directory, name);
    must(trust_publish_directory(rig->farm, &diag), &diag);
    db_set_worker_state(farm_write(rig->farm), name, "revoked");
    assert_int_equal(revocation_void(rig->farm, name, 0, "revoked", &diag), expected);
    rig_turn(rig);
}

/* --- tests --- */

/* Before the position everything stands; behind it others are asked, in a round of their own. */
static void test_W11_from_a_position(void **state)
{
    struct rig *rig = *state;
    int64_t position = last_position(rig, RIG_BETA), from = 0;
    uint32_t round = 0;
    compromise(rig, RIG_BETA, position);
    assert_int_equal(count_voided(rig), 1);
    assert_int_equal(logged(rig, &from), 1);
    assert_int_equal(from, position);
    assert_int_equal(state_of(rig, RIG_LIBA, NULL), NODE_AGREED);
    assert_int_not_equal(state_of(rig, RIG_APPB, &round), NODE_AGREED);
    assert_int_equal(round, 2);
    expect_voters(rig, RIG_LIBA, 1, " alpha beta");
    expect_voters(rig, RIG_APPB, 1, " alpha");
    expect_verdict(rig, RIG_APPB, "pending");
    rig_restart(rig);
    assert_int_not_equal(state_of(rig, RIG_APPB, &round), NODE_AGREED);
    assert_int_equal(round, 2);
    rig_hello(rig, RIG_ALPHA);
    rig_hello(rig, RIG_GAMMA);
    rig_turn(rig);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_GAMMA);
    assert_int_equal(state_of(rig, RIG_APPB, NULL), NODE_AGREED);
    expect_voters(rig, RIG_APPB, 2, " alpha gamma");
    rig_restart(rig);
    assert_int_equal(state_of(rig, RIG_APPB, NULL), NODE_AGREED);
    assert_int_equal(logged(rig, &from), 1);
}

/* Earlier than thought: only what was not void before is voided. */
static void test_W11_an_earlier_position(void **state)
{
    struct rig *rig = *state;
    int64_t position = last_position(rig, RIG_BETA), from = 0;
    compromise(rig, RIG_BETA, position);
    compromise(rig, RIG_BETA, 1);
    assert_int_equal(count_voided(rig), 2);
    assert_int_equal(logged(rig, &from), 2);
    assert_int_equal(from, 1);
    assert_int_not_equal(state_of(rig, RIG_LIBA, NULL), NODE_AGREED);
    rig_restart(rig);
    assert_int_equal(count_voided(rig), 2);
}

static void test_W11_everything_it_ever_said(void **state)
{
    struct rig *rig = *state;
    int64_t from = 0;
    revoke(rig, RIG_BETA, 2);
    assert_int_equal(count_voided(rig), 2);
    assert_int_equal(logged(rig, &from), 1);
    assert_int_equal(from, -1);
    assert_int_not_equal(state_of(rig, RIG_LIBA, NULL), NODE_AGREED);
    revoke(rig, RIG_BETA, 0); /* again: nothing to do */
    assert_int_equal(logged(rig, &from), 1);
    rig_restart(rig);
    assert_int_equal(count_voided(rig), 2);
    expect_voters(rig, RIG_LIBA, 1, " alpha");
}

/* It never answered: the log says all the same that it was revoked. */
static void test_W11_a_worker_without_answers(void **state)
{
    struct rig *rig = *state;
    int64_t from = 0;
    revoke(rig, RIG_DELTA, 0);
    assert_int_equal(logged(rig, &from), 1);
    assert_int_equal(state_of(rig, RIG_APPB, NULL), NODE_AGREED);
    rig_restart(rig);
}

/* The directory came to the disk, and nothing else did. */
static void test_W11_a_crash_behind_the_directory(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    CLEANUP(directory_entry_done) struct directory_entry entry;
    int64_t position = last_position(rig, RIG_BETA), from = 0;
    make_entry(rig, RIG_BETA, position, &entry);
    trust_remove_entry(rig->farm->directory, entry.worker);
    must(directory_add(rig->farm->directory, &entry, &diag), &diag);
    must(trust_publish_directory(rig->farm, &diag), &diag);
    rig_stop(rig); /* without a commit */
    must(rig_start(rig, &diag), &diag);
    assert_int_equal(count_voided(rig), 1);
    assert_int_equal(logged(rig, &from), 1);
    assert_int_equal(from, position);
    assert_int_not_equal(state_of(rig, RIG_APPB, NULL), NODE_AGREED);
    rig_restart(rig);
    assert_int_equal(logged(rig, &from), 1);
}

/* Nobody judges the job of a plan that was cancelled: its verdict is taken back, and the next plan that has it judges anew. */
static void test_W11_a_verdict_that_nobody_follows(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    rig_stop(rig);
    rig_sql(rig, "UPDATE plan SET state = 'cancelled'");
    must(rig_start(rig, &diag), &diag);
    expect_verdict(rig, RIG_LIBA, "agreed");
    revoke(rig, RIG_BETA, 2);
    expect_verdict(rig, RIG_LIBA, "pending");
    expect_verdict(rig, RIG_APPB, "pending");
    rig_restart(rig);
    expect_verdict(rig, RIG_LIBA, "pending");
}

static void rename_voided(const struct rig *rig, const char *sql)
{
    CLEANUP_FREE char *path = mem_format("%s/farm.db", rig->path);
    sqlite3 *db;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* Whether an answer is void cannot be read: that is no answer that counts. */
static void test_W11_a_table_that_cannot_be_read(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct digest job = rig->packages[RIG_LIBA].job;
    assert_true(plans_feed_history(rig->farm, &job, &diag) >= 0);
    rig_turn(rig);
    rename_voided(rig, "ALTER TABLE voided RENAME TO gone");
    assert_true(plans_feed_history(rig->farm, &job, &diag) < 0);
    assert_non_null(strstr(diag.text, "voided"));
    assert_true(revocation_void(rig->farm, fixture_workers[RIG_BETA], 0, "revoked", &diag) < 0);
    rename_voided(rig, "ALTER TABLE gone RENAME TO voided");
}

/* W3: a failure, and then the bytes after all: the vote moves, in the rows as well. */
static void test_W3_a_digest_takes_the_place_of_a_failure(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    struct rig_answer answer = {
        .package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .failure = FAILURE_MEMORY};
    wire_free(rig_answer(rig, RIG_ALPHA, &answer));
    answer.failure = FAILURE_NONE;
    answer.finished_ms = FIXTURE_NOW;
    wire_free(rig_answer(rig, RIG_ALPHA, &answer));
    expect_voters(rig, RIG_LIBA, 1, " alpha");
    answer.nonce = rig_lease(rig, RIG_BETA);
    wire_free(rig_answer(rig, RIG_BETA, &answer));
    assert_int_equal(state_of(rig, RIG_LIBA, NULL), NODE_AGREED);
    rig_restart(rig);
    assert_int_equal(state_of(rig, RIG_LIBA, NULL), NODE_AGREED);
    rig_free(rig);
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_W11_from_a_position),
        CASE(test_W11_a_table_that_cannot_be_read),
        CASE(test_W11_an_earlier_position),
        CASE(test_W11_everything_it_ever_said),
        CASE(test_W11_a_worker_without_answers),
        CASE(test_W11_a_crash_behind_the_directory),
        CASE(test_W11_a_verdict_that_nobody_follows),
        cmocka_unit_test(test_W3_a_digest_takes_the_place_of_a_failure),
    };
    return cmocka_run_group_tests_name("revocation", tests, NULL, NULL);
}
