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

static void ask_with(struct rig *rig, size_t worker, uint64_t known, struct view note)
{
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    message.known_size = known;
    message.checkpoint = wire_bytes(note);
    rig_say(rig, worker, WIRE_LOG_ASK, &message.base);
    rig_turn(rig);
}

static void ask(struct rig *rig, size_t worker, uint64_t known)
{
    ask_with(rig, worker, known, VIEW(""));
}

/* A checkpoint of so many entries. NULL: signed by the log's own key, which only the lost coordinator can have done. */
static void sign(const struct rig *rig, uint64_t size, const struct key_pair *key, struct buf *ret)
{
    struct checkpoint checkpoint = {.size = size, .root = digest_of(VIEW("what came after the backup"))};
    snprintf(checkpoint.origin, sizeof checkpoint.origin, "%s", journal_key(rig->farm).name);
    assert_int_equal(
        note_sign_checkpoint(&checkpoint, key != NULL ? key : identity_keys(rig->farm->identity), ret, NULL),
        0);
}

static bool is_over(const struct rig *rig)
{
    assert_non_null(farm_held(rig->farm));
    return strstr(farm_held(rig->farm), "this log is over") != NULL;
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

/* One who saw more ends the log by showing it, listed or not: it is the log's own signature that says so. */
static void test_D3_one_that_saw_more_ends_the_log(void **state)
{
    struct rig *rig = *state;
    uint64_t size = rig->farm->restored.log_size;
    CLEANUP_BUF struct buf note = BUF_INIT;
    sign(rig, size + 1, NULL, &note);
    ask(rig, RIG_BETA, size);
    ask_with(rig, RIG_GAMMA, size + 1, buf_view(&note));
    assert_false(is_answered(rig, RIG_GAMMA, WIRE_LOG_ANSWER));
    assert_true(is_over(rig));
    ask(rig, RIG_ALPHA, size); /* who saw no more changes nothing */
    assert_true(is_over(rig));
    rig_restart(rig);
    assert_non_null(farm_held(rig->farm));
}

/* A listed witness's word is a number: without the checkpoint it neither ends the log nor counts as a witness that saw no more. */
static void test_D3_a_number_without_proof_is_not_believed(void **state)
{
    struct rig *rig = *state;
    uint64_t size = rig->farm->restored.log_size;
    ask(rig, RIG_ALPHA, size + 1);
    assert_false(is_answered(rig, RIG_ALPHA, WIRE_LOG_ANSWER));
    assert_false(is_over(rig));
    assert_non_null(strstr(farm_held(rig->farm), "0 of 2 listed witnesses"));
    assert_non_null(strstr(farm_held(rig->farm), "has not proved it"));
    ask(rig, RIG_GAMMA, size + 1); /* nor anybody else's */
    ask(rig, RIG_BETA, size);
    assert_non_null(strstr(farm_held(rig->farm), "1 of 2 listed witnesses"));
    ask(rig, RIG_ALPHA, size); /* its owner ended the lie */
    assert_null(farm_held(rig->farm));
}

static void test_D3_a_forged_checkpoint_is_no_proof(void **state)
{
    struct rig *rig = *state;
    uint64_t size = rig->farm->restored.log_size;
    CLEANUP_BUF struct buf note = BUF_INIT;
    sign(rig, size + 9, identity_keys(rig->keys->workers[RIG_ALPHA]),
         &note); /* by the witness's own key, in the log's name */
    ask_with(rig, RIG_ALPHA, size + 9, buf_view(&note));
    assert_false(is_over(rig));
    buf_clear(&note);
    sign(rig, size, NULL, &note); /* genuine, and of no more than the backup has */
    ask_with(rig, RIG_ALPHA, size + 9, buf_view(&note));
    assert_false(is_over(rig));
    buf_clear(&note);
    sign(rig, size + 9, NULL, &note);
    for (size_t i = 0; i < note.size; i++) { /* genuine, and one bit of it changed, wherever it is */
        note.data[i] ^= 1;
        ask_with(rig, RIG_ALPHA, size + 9, buf_view(&note));
        assert_false(is_over(rig));
        note.data[i] ^= 1;
    }
    ask_with(rig, RIG_ALPHA, size + 9, buf_view(&note));
    assert_true(is_over(rig));
}

/* The log of another key, or of the same key under another name, says nothing about this one. */
static void test_D3_another_logs_checkpoint_is_no_proof(void **state)
{
    struct rig *rig = *state;
    struct checkpoint checkpoint = {.origin = "test.example/other", .size = rig->farm->restored.log_size + 1};
    CLEANUP_BUF struct buf note = BUF_INIT;
    assert_int_equal(note_sign_checkpoint(&checkpoint, identity_keys(rig->farm->identity), &note, NULL), 0);
    ask_with(rig, RIG_ALPHA, checkpoint.size, buf_view(&note));
    assert_false(is_over(rig));
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
        cmocka_unit_test_setup_teardown(test_D3_a_number_without_proof_is_not_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D3_a_forged_checkpoint_is_no_proof, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D3_another_logs_checkpoint_is_no_proof, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_origin_begins_the_next_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_marker_refuses_to_start, setup, teardown),
        cmocka_unit_test_setup_teardown(test_D3_a_marker_beyond_the_database_refuses_to_start, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
