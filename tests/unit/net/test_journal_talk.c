/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Witnesses: what they are told holds (L3), and whose cosignatures count (L1, L8). */
#include "farm_rig.h"
#include "journal_private.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* An entry that no row belongs to. */
static void add_plan(struct rig *rig, const char *text)
{
    struct logentry entry = {.kind = LOG_PLAN, .sha256 = digest_of(view_text(text))};
    journal_add(rig->farm, &entry);
}

static int setup(void **state)
{
    struct rig *rig = rig_new();
    add_plan(rig, "first");
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_free(rig);
    return 0;
}

static struct checkpoint newest(struct rig *rig)
{
    struct checkpoint checkpoint;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    return checkpoint;
}

/* ---- asking ---- */

static struct wire_message *ask(struct rig *rig, size_t worker, uint64_t known, const uint64_t *positions,
                                size_t count)
{
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    message.known_size = known;
    message.positions = (uint64_t *)positions;
    message.n_positions = count;
    rig_say(rig, worker, WIRE_LOG_ASK, &message.base);
    rig_turn(rig);
    struct wire_message *answer = rig_heard(rig, worker, WIRE_LOG_ANSWER);
    assert_non_null(answer);
    return answer;
}

static struct tlog_proof proof_of(const ProtobufCBinaryData *hashes, size_t count)
{
    struct tlog_proof proof = {.count = count};
    assert_true(count <= TLOG_PROOF_MAX);
    for (size_t i = 0; i < count; i++)
        proof.hashes[i] = wire_get_digest(&hashes[i]);
    return proof;
}

static struct checkpoint checkpoint_of(struct rig *rig, const struct wire_message *answer)
{
    struct note_key key = journal_key(rig->farm);
    struct checkpoint checkpoint;
    assert_int_equal(
        note_open_checkpoint(wire_view(&answer->log_answer->checkpoint), &key, &checkpoint, NULL), 0);
    return checkpoint;
}

static void test_a_witness_gets_what_proves_it(void **state)
{
    static const uint64_t positions[] = {0, 7, 299, 100000};
    struct rig *rig = *state;
    rig_publish(rig);
    struct checkpoint old = newest(rig);
    for (int i = 0; i < 700; i++)
        add_plan(rig, "many");
    rig_publish(rig);
    struct wire_message *answer = ask(rig, RIG_GAMMA, old.size, positions, ARRAY_SIZE(positions));
    const Wire__LogAnswer *log = answer->log_answer;
    struct checkpoint now = checkpoint_of(rig, answer);
    assert_int_equal(now.size, journal_size(rig->farm));
    struct tlog_proof proof = proof_of(log->consistency, log->n_consistency);
    assert_int_equal(tlog_check_consistency(&proof, old.size, &old.root, now.size, &now.root, NULL), 0);
    assert_int_equal(log->n_inclusions, 3); /* the last one is not there yet */
    for (size_t i = 0; i < 3; i++) {
        struct digest leaf = tlog_leaf(wire_view(&log->inclusions[i]->entry));
        assert_int_equal(log->inclusions[i]->position, positions[i]);
        proof = proof_of(log->inclusions[i]->path, log->inclusions[i]->n_path);
        assert_int_equal(tlog_check_inclusion(&proof, now.size, positions[i], &leaf, &now.root, NULL), 0);
    }
    wire_free(answer);
}

static void test_L3_a_witness_that_knows_more_gets_no_proof(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    struct wire_message *answer = ask(rig, RIG_GAMMA, 100000, NULL, 0);
    assert_int_equal(checkpoint_of(rig, answer).size, journal_size(rig->farm));
    assert_int_equal(answer->log_answer->n_consistency, 0);
    wire_free(answer);
}

static void test_a_worker_has_one_question_at_a_time(void **state)
{
    static const uint64_t position = 1;
    struct rig *rig = *state;
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    rig_publish(rig);
    message.positions = (uint64_t *)&position;
    message.n_positions = 1;
    for (int i = 0; i < 100; i++)
        rig_say(rig, RIG_GAMMA, WIRE_LOG_ASK, &message.base);
    assert_int_equal(map_count(rig->farm->journal->asks), 1);
    rig_turn(rig);
    struct wire_message *answer = rig_heard(rig, RIG_GAMMA, WIRE_LOG_ANSWER);
    assert_non_null(answer);
    wire_free(answer);
    assert_null(rig_heard(rig, RIG_GAMMA, WIRE_LOG_ANSWER));
}

/*
 * A disk that is full, say: an acknowledged answer that is still beyond the checkpoint after two minutes is an alarm to its worker, so
 * nobody is shown the old one; who asked gets the next.
 */
static void test_D7_nobody_is_shown_what_stays_behind(void **state)
{
    struct rig *rig = *state;
    Wire__LogAsk message = WIRE__LOG_ASK__INIT;
    rig_publish(rig);
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint", 0), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint", 0755), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint/in-the-way", 0755), 0);
    add_plan(rig, "one");
    for (int i = 0; i < 3; i++) { /* with the publication, and behind it */
        rig_say(rig, RIG_GAMMA, WIRE_LOG_ASK, &message.base);
        rig->farm->journal->due_ms = 0;
        rig_turn(rig);
        rig_turn(rig);
        assert_null(rig_heard(rig, RIG_GAMMA, WIRE_LOG_ANSWER));
    }
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint/in-the-way", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint", AT_REMOVEDIR), 0);
    rig_publish(rig);
    rig_turn(rig);
    struct wire_message *answer = rig_heard(rig, RIG_GAMMA, WIRE_LOG_ANSWER);
    assert_non_null(answer);
    assert_int_equal(checkpoint_of(rig, answer).size, journal_size(rig->farm));
    wire_free(answer);
    assert_null(rig_heard(rig, RIG_GAMMA, WIRE_LOG_ANSWER));
}

/* ---- cosigning ---- */

struct cosign_options {
    const size_t *signer;      /* another worker's key */
    const struct digest *root; /* another one */
    uint64_t size;             /* another one; 0: the newest */
};

static void cosign(struct rig *rig, size_t worker, const struct cosign_options *options)
{
    enum { TIME_S = 1795366000 };
    struct checkpoint checkpoint;
    struct signature signature;
    Wire__Cosign message = WIRE__COSIGN__INIT;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    if (options->root != NULL)
        checkpoint.root = *options->root;
    if (options->size > 0)
        checkpoint.size = options->size;
    const struct key_pair *keys =
        identity_keys(rig->keys->workers[options->signer != NULL ? *options->signer : worker]);
    assert_int_equal(note_cosign(&checkpoint, TIME_S, keys, &signature, NULL), 0);
    message.size = checkpoint.size;
    message.root = wire_digest(&checkpoint.root);
    message.time_s = TIME_S;
    message.signature = wire_bytes(view_of(signature.bytes, sizeof signature.bytes));
    rig_say(rig, worker, WIRE_COSIGN, &message.base);
}

static const struct cosign_options honest;

static size_t cosignatures(const struct rig *rig)
{
    return journal_newest(rig->farm->journal)->ncosignatures;
}

static bool is_cosigned(struct rig *rig)
{
    struct checkpoint checkpoint;
    struct view note;
    rig_turn(rig); /* it is, when it is on the disk */
    return journal_cosigned(rig->farm, &checkpoint, &note);
}

static void test_both_listed_operators_make_it_cosigned(void **state)
{
    struct rig *rig = *state;
    struct checkpoint checkpoint, kept;
    struct view note;
    CLEANUP_BUF struct buf file = BUF_INIT;
    struct note_key key;
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    cosign(rig, RIG_ALPHA, &honest);
    cosign(rig, RIG_GAMMA, &honest); /* advice */
    assert_int_equal(cosignatures(rig), 2);
    assert_false(is_cosigned(rig));
    cosign(rig, RIG_BETA, &honest);
    assert_false(journal_cosigned(rig->farm, &kept, &note)); /* it is not on the disk yet */
    assert_true(is_cosigned(rig));
    assert_true(journal_cosigned(rig->farm, &kept, &note));
    assert_int_equal(kept.size, checkpoint.size);
    assert_int_equal(file_read(rig->dirfd, "log/cosigned", NOTE_SIZE_MAX, &file, NULL), 0);
    key = journal_key(rig->farm);
    assert_int_equal(note_open_checkpoint(buf_view(&file), &key, &kept, NULL), 0);
    assert_true(digest_equal(&kept.root, &checkpoint.root));
    assert_non_null(strstr(file.data, "\xe2\x80\x94 alpha/alpha-1 "));
    assert_non_null(strstr(file.data, "\xe2\x80\x94 beta/beta-1 "));
    /* It outlasts a restart, and so does what is in the newest checkpoint's file. */
    rig_restart(rig);
    assert_true(is_cosigned(rig));
    assert_true(journal_cosigned(rig->farm, &kept, &note));
    assert_int_equal(kept.size, checkpoint.size);
}

/* L8: on each branch of a fork there may be some of them; not enough of the listed ones on both. */
static void test_L8_an_operator_counts_once(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    for (int i = 0; i < 3; i++)
        cosign(rig, RIG_ALPHA, &honest);
    cosign(rig, RIG_GAMMA, &honest);
    cosign(rig, RIG_DELTA, &honest);
    assert_int_equal(cosignatures(rig), 3);
    assert_int_equal(journal_count_witnesses(rig->farm, journal_newest(rig->farm->journal)), 1);
    assert_false(is_cosigned(rig));
}

static void test_L1_what_was_not_shown_is_not_cosigned(void **state)
{
    struct rig *rig = *state;
    struct digest other = digest_of(VIEW("a fork"));
    rig_publish(rig);
    cosign(rig, RIG_ALPHA, &(struct cosign_options){.root = &other});
    cosign(rig, RIG_ALPHA, &(struct cosign_options){.size = 77});
    cosign(rig, RIG_ALPHA, &(struct cosign_options){.size = 100000});
    assert_int_equal(cosignatures(rig), 0);
}

static void test_a_wrong_cosignature_is_tried_once(void **state)
{
    static const size_t beta = RIG_BETA;
    struct rig *rig = *state;
    rig_publish(rig);
    cosign(rig, RIG_ALPHA, &(struct cosign_options){.signer = &beta});
    assert_int_equal(cosignatures(rig), 0);
    cosign(rig, RIG_ALPHA, &honest); /* of this checkpoint no other is looked at */
    assert_int_equal(cosignatures(rig), 0);
    add_plan(rig, "next");
    rig_publish(rig);
    cosign(rig, RIG_ALPHA, &honest);
    assert_int_equal(cosignatures(rig), 1);
}

static struct directory_entry *entry_of(struct rig *rig, size_t worker)
{
    return (struct directory_entry *)sessions_entry(rig->farm, fixture_workers[worker]);
}

static void test_who_is_not_valid_any_more_does_not_count(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    cosign(rig, RIG_ALPHA, &honest);
    cosign(rig, RIG_BETA, &honest);
    assert_true(is_cosigned(rig));
    entry_of(rig, RIG_BETA)->compromised_from = 5;
    assert_false(is_cosigned(rig));
    entry_of(rig, RIG_BETA)->compromised_from = -1;
    assert_true(is_cosigned(rig));
    entry_of(rig, RIG_BETA)->expires_ms = 1;
    assert_false(is_cosigned(rig));
}

static void test_a_checkpoint_of_a_minute_ago_can_still_be_cosigned(void **state)
{
    struct rig *rig = *state;
    struct checkpoint old;
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &old));
    for (int i = 0; i < JOURNAL_RECENT - 1; i++) {
        add_plan(rig, "more");
        rig_publish(rig);
    }
    struct cosign_options options = {.root = &old.root, .size = old.size};
    cosign(rig, RIG_ALPHA, &options);
    cosign(rig, RIG_BETA, &options);
    assert_true(is_cosigned(rig));
    add_plan(rig, "one too many");
    rig_publish(rig);
    cosign(rig, RIG_GAMMA, &options);
    assert_null(strstr(rig->farm->journal->cosigned_note.data, "gamma"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_witness_gets_what_proves_it),
        TEST(test_L3_a_witness_that_knows_more_gets_no_proof),
        TEST(test_a_worker_has_one_question_at_a_time),
        TEST(test_D7_nobody_is_shown_what_stays_behind),
        TEST(test_both_listed_operators_make_it_cosigned),
        TEST(test_L8_an_operator_counts_once),
        TEST(test_L1_what_was_not_shown_is_not_cosigned),
        TEST(test_a_wrong_cosignature_is_tried_once),
        TEST(test_who_is_not_valid_any_more_does_not_count),
        TEST(test_a_checkpoint_of_a_minute_ago_can_still_be_cosigned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
