/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a coordinator refuses to start with: a database that was changed, and what was shown of it was not (cases D1 to D5). */
#include "farm_rig.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};

/* A farm that has built "liba", published its log and stopped. */
static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_publish(rig);
    rig_stop(rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_free(rig);
    return 0;
}

static void expect_refusal(struct rig *rig, int error, const char *text)
{
    struct diag diag = DIAG_INIT;
    int result = rig_start(rig, &diag);
    if (result >= 0)
        fail_msg("it started, and should have said: %s", text);
    assert_int_equal(result, error);
    if (strstr(diag.text, text) == NULL)
        fail_msg("it said: %s; expected: %s", diag.text, text);
}

static void test_as_it_was_it_starts(void **state)
{
    struct rig *rig = *state;
    struct core_node_view view;
    struct diag diag = DIAG_INIT;
    if (rig_start(rig, &diag) < 0)
        fail_msg("%s", diag.text);
    uint64_t size = journal_size(rig->farm);
    assert_true(core_node(rig->farm->core, &rig->plan, RIG_LIBA, &view));
    assert_int_equal(view.state, NODE_AGREED);
    rig_restart(rig);
    assert_int_equal(journal_size(rig->farm), size); /* finding it all again is no news */
}

#define FIRST "position = (SELECT min(position) FROM attestation)"

static void test_D1_an_accepted_digest_flipped(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE attestation SET payload = randomblob(32) WHERE " FIRST);
    expect_refusal(rig, FARM_E_CORRUPT, "the row differs from what the worker signed");
}

static void test_D1_in_the_verdict(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE verdict SET payload = randomblob(32)");
    expect_refusal(rig, FARM_E_CORRUPT, "not what the signed answers say");
}

static void test_D2_an_attestation_deleted(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "DELETE FROM attestation WHERE " FIRST);
    expect_refusal(rig, FARM_E_CORRUPT, "no attestation behind it");
}

/* Everything that refers to it is taken away as well, so that the rows fit each other: the log has it still. */
static const char alpha_was_never_there[] =
    "DELETE FROM vote WHERE operator = 'alpha';"
    "DELETE FROM verdict;"
    "DELETE FROM attestation WHERE lease IN (SELECT position FROM lease WHERE operator = 'alpha');"
    "DELETE FROM lease WHERE operator = 'alpha';";

static void test_D2_with_its_vote_and_its_lease(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, alpha_was_never_there);
    expect_refusal(rig, FARM_E_CORRUPT, "it shows a lease that the database does not have");
}

static void test_D2_with_its_entries(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, alpha_was_never_there);
    rig_sql(rig, "DELETE FROM log_entry WHERE entry LIKE '%alpha%'");
    expect_refusal(rig, FARM_E_CORRUPT, "the log has no entry");
}

static void test_D2_with_its_entries_and_no_gap(void **state)
{
    struct rig *rig = *state;
    rig_sql(
        rig,
        "UPDATE log_entry SET entry = replace(entry, '\"worker\":\"alpha-1\"', '\"worker\":\"gamma-1\"')");
    expect_refusal(rig, FARM_E_CORRUPT, "is other than the one that was shown");
}

static void test_D2_the_last_entries_taken_away(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "DELETE FROM verdict");
    rig_sql(rig, "DELETE FROM log_entry WHERE position = (SELECT max(position) FROM log_entry)");
    expect_refusal(rig, FARM_E_CORRUPT, "older than the log");
}

static void copy_file(struct rig *rig, const char *from, const char *to)
{
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    assert_int_equal(file_read(rig->dirfd, from, 64 << 20, &bytes, NULL), 0);
    assert_int_equal(file_write(rig->dirfd, to, buf_view(&bytes), 0600, NULL), 0);
}

static void cosign(struct rig *rig, size_t worker)
{
    struct checkpoint checkpoint;
    struct signature signature;
    Wire__Cosign message = WIRE__COSIGN__INIT;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    assert_int_equal(
        note_cosign(&checkpoint, 1795366000, identity_keys(rig->keys->workers[worker]), &signature, NULL), 0);
    message.size = checkpoint.size;
    message.root = wire_digest(&checkpoint.root);
    message.time_s = 1795366000;
    message.signature = wire_bytes(view_of(signature.bytes, sizeof signature.bytes));
    rig_say(rig, worker, WIRE_COSIGN, &message.base);
    rig_publish(rig);
}

/* An older copy of farm.db that is whole in itself, restored below what witnesses signed. */
static void test_D3_an_older_database(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    copy_file(rig, "farm.db", "older.db");
    if (rig_start(rig, &diag) < 0)
        fail_msg("%s", diag.text);
    rig_hello(rig, RIG_ALPHA);
    rig_hello(rig, RIG_BETA);
    rig_turn(rig);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    rig_publish(rig);
    cosign(rig, RIG_ALPHA);
    cosign(rig, RIG_BETA);
    rig_turn(rig);
    rig_stop(rig);
    copy_file(rig, "farm.db", "newer.db");
    copy_file(rig, "older.db", "farm.db");
    expect_refusal(rig, FARM_E_CORRUPT, "older than the log");
    /* Also when the newest checkpoint was lost with it, as long as the cosigned one is there. */
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint", 0), 0);
    expect_refusal(rig, FARM_E_CORRUPT, "log/cosigned, which witnesses signed");
    copy_file(rig, "newer.db", "farm.db");
    assert_int_equal(rig_start(rig, &diag), 0);
}

static void test_D4_a_forged_verdict(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE verdict SET operators = 3");
    expect_refusal(rig, FARM_E_CORRUPT, "not what the signed answers say");
}

/* Moved, answers would become open ones, or open ones votes. */
static void test_D4_settled_at_another_time(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE verdict SET settled_size = settled_size + 1");
    expect_refusal(rig, FARM_E_CORRUPT, "settled at another position");
    rig_sql(rig, "UPDATE verdict SET settled_size = 0");
    expect_refusal(rig, FARM_E_CORRUPT, "settled at another position");
}

static void test_D4_a_forged_vote(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE vote SET operator = 'gamma' WHERE operator = 'beta'");
    expect_refusal(rig, FARM_E_CORRUPT, "another operator's");
}

static void test_D4_a_vote_taken_away(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "DELETE FROM verdict; DELETE FROM vote WHERE operator = 'beta'");
    expect_refusal(rig, FARM_E_CORRUPT, "it is missing, though its answer was counted");
}

static void test_D4_an_answer_made_worthless(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE attestation SET fate = 'extra' WHERE " FIRST);
    expect_refusal(rig, FARM_E_CORRUPT, "not counted as this vote");
}

static void test_D4_an_answer_voided_by_nobody(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "INSERT INTO voided SELECT position, 'because', 1 FROM attestation WHERE " FIRST ";"
                 "DELETE FROM vote WHERE operator = 'alpha'; DELETE FROM verdict");
    expect_refusal(rig, FARM_E_CORRUPT, "the log shows no revocation of its worker");
}

static void test_D4_a_lease_that_was_granted_otherwise(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE lease SET state = 'live' WHERE operator = 'alpha'");
    expect_refusal(rig, FARM_E_CORRUPT, "the log shows another end of it");
}

static void test_D5_a_worker_row_edited(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE worker SET operator = 'beta' WHERE name = 'gamma-1'");
    expect_refusal(rig, FARM_E_CORRUPT, "differs from the signed workers.json");
}

/* Else the start would carry it out: void its answers, and say so in the log for ever. */
static void test_D5_a_worker_revoked_by_its_row_alone(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "UPDATE worker SET state = 'revoked' WHERE name = 'alpha-1'");
    expect_refusal(rig, FARM_E_CORRUPT, "worker alpha-1 is revoked, but the signed workers.json lists it");
}

static void test_D5_a_directory_of_before(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    copy_file(rig, "workers.json", "older.json");
    if (rig_start(rig, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_true(trust_publish_directory(rig->farm, &diag) >= 0);
    rig_turn(rig);
    rig_restart(rig); /* logged by now, whoever did it */
    rig_stop(rig);
    copy_file(rig, "older.json", "workers.json");
    expect_refusal(rig, FARM_E_STALE, "workers.json: version 4, but the log shows version 5");
}

static void test_a_log_of_another_origin(void **state)
{
    struct rig *rig = *state;
    rig->origin = mem_string("example.org/another");
    expect_refusal(rig, FARM_E_CORRUPT, "is not a checkpoint of the log example.org/another");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_as_it_was_it_starts),
        TEST(test_D1_an_accepted_digest_flipped),
        TEST(test_D1_in_the_verdict),
        TEST(test_D2_an_attestation_deleted),
        TEST(test_D2_with_its_vote_and_its_lease),
        TEST(test_D2_with_its_entries),
        TEST(test_D2_with_its_entries_and_no_gap),
        TEST(test_D2_the_last_entries_taken_away),
        TEST(test_D3_an_older_database),
        TEST(test_D4_a_forged_verdict),
        TEST(test_D4_settled_at_another_time),
        TEST(test_D4_a_forged_vote),
        TEST(test_D4_a_vote_taken_away),
        TEST(test_D4_an_answer_made_worthless),
        TEST(test_D4_an_answer_voided_by_nobody),
        TEST(test_D4_a_lease_that_was_granted_otherwise),
        TEST(test_D5_a_worker_row_edited),
        TEST(test_D5_a_worker_revoked_by_its_row_alone),
        TEST(test_D5_a_directory_of_before),
        TEST(test_a_log_of_another_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
