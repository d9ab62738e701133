/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A coordinator whose state came back from a backup: it stands still until its witnesses have said how much of the log they saw. */
#include "farm_rig.h"
#include "journal_private.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* The marker that a restore writes, about a log of 'missing' entries less than there are. */
static void mark(struct rig *rig, const char *origin, uint64_t size)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    restored_write(origin, size, 1, &text);
    assert_int_equal(file_write(rig->dirfd, RESTORED_FILE, buf_view(&text), 0600, NULL), 0);
}

static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_publish(rig);
    char *origin = mem_string(journal_key(rig->farm).name);
    uint64_t size = journal_size(rig->farm);
    rig_stop(rig);
    mark(rig, origin, size);
    free(origin);
    assert_int_equal(rig_start(rig, NULL), 0);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static void ask(struct rig *rig, size_t worker, uint64_t known)
{
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    message.known_size = known;
    rig_say(rig, worker, WIRE_LOG_ASK, &message.base);
    rig_turn(rig);
}

static bool is_answered(struct rig *rig, size_t worker, int type)
{
    struct wire_message *answer = rig_heard(rig, worker, type);
    bool is = answer != NULL;
    wire_free(answer);
    return is;
}

static void test_D3_a_restored_state_waits_for_its_witnesses(void **state)
{
    static const size_t workers[] = {RIG_ALPHA, RIG_BETA};
    struct rig *rig = *state;
    uint64_t size = rig->farm->restored.log_size;
    Wire__TrustAsk trust = WIRE__TRUST_ASK__INIT;
    assert_non_null(farm_held(rig->farm));
    rig_build(rig, workers, 2); /* entries that nobody is shown, and no lease */
    rig_turn(rig);
    assert_false(is_answered(rig, RIG_ALPHA, WIRE_LEASE));
    ask(rig, RIG_ALPHA, size);
    assert_true(is_answered(rig, RIG_ALPHA, WIRE_LOG_ANSWER));
    rig_say(rig, RIG_ALPHA, WIRE_TRUST_ASK, &trust.base);
    assert_false(is_answered(rig, RIG_ALPHA, WIRE_TRUST_ANSWER));
    ask(rig, RIG_ALPHA, size); /* saying it twice makes no second witness */
    ask(rig, RIG_GAMMA, size); /* and this one is not listed */
    assert_non_null(farm_held(rig->farm));
    assert_int_equal(journal_shown_size(rig->farm->journal), size);
    ask(rig, RIG_BETA, 1); /* one that has been away for long */
    assert_null(farm_held(rig->farm));
    assert_int_equal(faccessat(rig->dirfd, RESTORED_FILE, F_OK, 0), -1);
    rig_turn(rig);
    assert_true(is_answered(rig, RIG_ALPHA, WIRE_LEASE));
    rig_say(rig, RIG_ALPHA, WIRE_TRUST_ASK, &trust.base);
    assert_true(is_answered(rig, RIG_ALPHA, WIRE_TRUST_ANSWER));
}

static void test_D3_one_that_saw_more_ends_the_log(void **state)
{
    struct rig *rig = *state;
    uint64_t size = rig->farm->restored.log_size;
    ask(rig, RIG_GAMMA, size + 1); /* whoever is not listed could say anything */
    assert_null(strstr(farm_held(rig->farm), "this log is over"));
    ask(rig, RIG_ALPHA, size + 1);
    assert_false(is_answered(rig, RIG_ALPHA, WIRE_LOG_ANSWER));
    assert_non_null(strstr(farm_held(rig->farm), "this log is over"));
    ask(rig, RIG_BETA, size);
    ask(rig, RIG_ALPHA, size); /* taken back too late */
    assert_non_null(farm_held(rig->farm));
    rig_restart(rig);
    assert_non_null(farm_held(rig->farm));
}

static void test_another_origin_begins_the_next_log(void **state)
{
    struct rig *rig = *state;
    int64_t version = rig->farm->directory->version;
    rig_stop(rig);
    free(rig->origin);
    rig->origin = mem_string("test.example/next");
    assert_int_equal(rig_start(rig, NULL), 0);
    assert_null(farm_held(rig->farm));
    assert_true(rig->farm->directory->version > version + RESTORED_DIRECTORY_JUMP);
    assert_int_equal(faccessat(rig->dirfd, "log.before/checkpoint", F_OK, 0), 0);
    assert_int_equal(faccessat(rig->dirfd, RESTORED_FILE, F_OK, 0), -1);
    rig_restart(rig);
    assert_string_equal(journal_key(rig->farm).name, "test.example/next");
}

static void test_a_broken_marker_refuses_to_start(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    rig_stop(rig);
    assert_int_equal(file_write(rig->dirfd, RESTORED_FILE, VIEW("{}"), 0600, NULL), 0);
    assert_true(rig_start(rig, &diag) < 0);
    assert_non_null(strstr(diag.text, RESTORED_FILE));
}

/* A size that nobody can have seen would let every witness say yes, and the log would begin a second history. */
static void test_D3_a_marker_beyond_the_database_refuses_to_start(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    char *origin = mem_string(journal_key(rig->farm).name);
    uint64_t size = journal_size(rig->farm);
    rig_stop(rig);
    mark(rig, origin, size + 1);
    free(origin);
    assert_true(rig_start(rig, &diag) < 0);
    assert_non_null(strstr(diag.text, "speaks of a log of"));
    assert_int_equal(faccessat(rig->dirfd, RESTORED_FILE, F_OK, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_D3_a_restored_state_waits_for_its_witnesses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D3_one_that_saw_more_ends_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_origin_begins_the_next_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_marker_refuses_to_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D3_a_marker_beyond_the_database_refuses_to_start, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
