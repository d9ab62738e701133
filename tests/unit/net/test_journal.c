/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The log: what is shown was committed, whatever happens in between (D6); what witnesses are told holds (L3, L5, L7); whose
 * cosignatures count (L1, L4, L8).
 */
#include "farm_rig.h"
#include "journal_private.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static void must_start(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    if (rig_start(rig, &diag) < 0)
        fail_msg("%s", diag.text);
}

static int add_leaf(void *context, const struct db_log_entry *row)
{
    struct digest leaf = tlog_leaf(row->entry);
    tlog_append(context, &leaf, NULL, NULL);
    return 0;
}

/* The newest checkpoint is about exactly the rows, and the files give its root. */
static struct checkpoint expect_whole(struct rig *rig)
{
    struct checkpoint checkpoint;
    struct tlog_tree tree = {0};
    struct digest root;
    struct diag diag = DIAG_INIT;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    assert_int_equal(checkpoint.size, journal_size(rig->farm));
    assert_int_equal(db_each_log_entry(rig->farm->db, 0, add_leaf, &tree, NULL), checkpoint.size);
    root = tlog_root(&tree);
    assert_true(digest_equal(&root, &checkpoint.root));
    if (tiledir_verify(rig->farm->journal->tiles.dirfd, checkpoint.size, &root, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_true(digest_equal(&root, &checkpoint.root));
    return checkpoint;
}

/* ---- crashes ---- */

/* In a process that dies behind a step of a publication: nothing is closed, nothing is finished. */
static void die_behind(struct rig *rig, int step, unsigned int entries)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct checkpoint checkpoint;
        CLEANUP_BUF struct buf note = BUF_INIT;
        struct diag diag = DIAG_INIT;
        if (rig_start(rig, &diag) < 0)
            _exit(1);
        for (unsigned int i = 0; i < entries; i++)
            add_plan(rig, "crash");
        if (step >= 0 && farm_flush(rig->farm, &diag) < 0)
            _exit(2);
        struct journal *journal = rig->farm->journal;
        if (step > 0 && journal_tiles_publish(&journal->tiles, buf_view(&journal->pending),
                                              (enum journal_step)(step - 1), &checkpoint, &note, &diag) < 0)
            _exit(3);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* -1: before the commit; 0: behind it; then behind each step of the publication. */
static void test_D6_a_crash_between_any_two_steps(void **state)
{
    static const unsigned int entries[] = {1, 3, 255, 256, 600};
    struct rig *rig = *state;
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    for (int step = -1; step <= JOURNAL_WRITTEN + 1; step++)
        for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
            uint64_t size = before.size + (step >= 0 ? entries[i] : 0);
            rig_stop(rig);
            die_behind(rig, step, entries[i]);
            must_start(rig);
            rig_publish(rig);
            struct checkpoint after = expect_whole(rig);
            assert_true(after.size >= size && after.size <= size + 2); /* what a start may have to log */
            before = after;
        }
}

static void remove_path(const struct rig *rig, const char *path)
{
    assert_int_equal(file_remove_tree(rig->dirfd, path, NULL), 0);
}

static void test_files_that_were_lost_are_made_again(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 300; i++)
        add_plan(rig, "many");
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    rig_stop(rig);
    remove_path(rig, "log/tile");
    must_start(rig);
    struct checkpoint after;
    assert_true(journal_checkpoint(rig->farm, &after));
    assert_true(after.size >= before.size);
    rig_publish(rig);
    before = expect_whole(rig);
    rig_stop(rig);
    remove_path(rig, "log");
    must_start(rig);
    after = expect_whole(rig);
    assert_true(digest_equal(&before.root, &after.root));
}

static void test_L7_an_altered_partial_tile_is_found(void **state)
{
    struct rig *rig = *state;
    rig_publish(rig);
    struct checkpoint before = expect_whole(rig);
    struct tile_path path = tiledir_path(0, 0, (unsigned int)before.size);
    CLEANUP_FREE char *name = mem_format("log/%s", path.text);
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    rig_stop(rig);
    assert_int_equal(file_read(rig->dirfd, name, 1 << 20, &bytes, NULL), 0);
    bytes.data[7] ^= 1;
    assert_int_equal(file_write(rig->dirfd, name, buf_view(&bytes), 0644, NULL), 0);
    must_start(rig);
    rig_publish(rig);
    expect_whole(rig);
}

/* A known key with a bad signature: the whole note is refused, and the start with it. */
static void test_L4_a_checkpoint_with_a_bad_signature(void **state)
{
    struct rig *rig = *state;
    CLEANUP_BUF struct buf note = BUF_INIT;
    struct diag diag = DIAG_INIT;
    rig_publish(rig);
    rig_stop(rig);
    assert_int_equal(file_read(rig->dirfd, "log/checkpoint", NOTE_SIZE_MAX, &note, NULL), 0);
    char *signature = strstr(note.data, "\xe2\x80\x94");
    assert_non_null(signature);
    char *byte = strrchr(signature, ' ') + 20;
    *byte = *byte == 'A' ? 'B' : 'A';
    assert_int_equal(file_write(rig->dirfd, "log/checkpoint", buf_view(&note), 0644, NULL), 0);
    assert_int_equal(rig_start(rig, &diag), FARM_E_CORRUPT);
    assert_non_null(strstr(diag.text, "log/checkpoint is not a checkpoint"));
}

/* ---- publishing ---- */

static void test_one_a_second_unless_somebody_waits(void **state)
{
    struct rig *rig = *state;
    struct checkpoint first, second;
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &first));
    assert_int_equal(journal_due(rig->farm), INT64_MAX); /* there is nothing to show */
    add_plan(rig, "one");
    rig_turn(rig);
    assert_true(journal_checkpoint(rig->farm, &second));
    assert_int_equal(second.size, first.size);
    int64_t wait = journal_due(rig->farm) - moment_steady_ms();
    assert_true(wait > 0 && wait <= 1000);
    rig_publish(rig);
    assert_true(journal_checkpoint(rig->farm, &second));
    assert_int_equal(second.size, first.size + 1);
}

static void test_L5_entries_that_come_while_one_is_published(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct checkpoint checkpoint = {.size = 0};
    for (int i = 0; i < 20; i++) {
        uint64_t before = checkpoint.size;
        add_plan(rig, "early");
        assert_int_equal(farm_flush(rig->farm, &diag), 0);
        rig->farm->journal->due_ms = 0;
        assert_int_equal(journal_turn(rig->farm, &diag), 0); /* it is under way */
        add_plan(rig, "late");
        rig_turn(rig);
        assert_true(journal_checkpoint(rig->farm, &checkpoint));
        assert_true(checkpoint.size > before);
        assert_true(checkpoint.size < journal_size(rig->farm)); /* the late one was not in it */
    }
    rig_publish(rig);
    expect_whole(rig);
}

static void published(struct farm *farm, void *context, int result)
{
    (void)farm;
    *(int *)context = result;
}

/* A full disk, say: who waits hears of it, and nothing is lost for later. */
static void test_a_publication_that_fails_is_made_up_for(void **state)
{
    struct rig *rig = *state;
    int result = 1;
    rig_publish(rig);
    assert_int_equal(unlinkat(rig->dirfd, "log/checkpoint", 0), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint", 0755), 0);
    assert_int_equal(mkdirat(rig->dirfd, "log/checkpoint/in-the-way", 0755), 0);
    add_plan(rig, "one");
    journal_publish(rig->farm, published, &result);
    rig_turn(rig);
    assert_true(result < 0);
    remove_path(rig, "log/checkpoint");
    add_plan(rig, "two");
    rig_publish(rig);
    expect_whole(rig);
}

static void test_who_waits_when_it_ends_is_told(void **state)
{
    struct rig *rig = *state;
    int result = 1;
    add_plan(rig, "one");
    journal_publish(rig->farm, published, &result);
    rig_stop(rig);
    assert_true(result < 0);
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
    struct checkpoint old = expect_whole(rig);
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

/* ---- roots ---- */

static void test_a_root_that_names_another_log_is_refused(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct root *root = rig->keys->root;
    assert_int_equal(journal_check_root(rig->farm, root, &diag), 0);
    strcpy(root->log.key.name, "example.org/another");
    assert_int_equal(journal_check_root(rig->farm, root, &diag), FARM_E_CONFIG);
    assert_non_null(strstr(diag.text, "names the log example.org/another"));
    root->log.key = journal_key(rig->farm);
    root->log.key.key = *keys_public(rig->keys->enrolment);
    assert_int_equal(journal_check_root(rig->farm, root, &diag), FARM_E_CONFIG);
    root->log.present = false;
    assert_int_equal(journal_check_root(rig->farm, root, &diag), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_D6_a_crash_between_any_two_steps),
        TEST(test_files_that_were_lost_are_made_again),
        TEST(test_L7_an_altered_partial_tile_is_found),
        TEST(test_L4_a_checkpoint_with_a_bad_signature),
        TEST(test_one_a_second_unless_somebody_waits),
        TEST(test_L5_entries_that_come_while_one_is_published),
        TEST(test_a_publication_that_fails_is_made_up_for),
        TEST(test_who_waits_when_it_ends_is_told),
        TEST(test_a_witness_gets_what_proves_it),
        TEST(test_L3_a_witness_that_knows_more_gets_no_proof),
        TEST(test_a_worker_has_one_question_at_a_time),
        TEST(test_both_listed_operators_make_it_cosigned),
        TEST(test_L8_an_operator_counts_once),
        TEST(test_L1_what_was_not_shown_is_not_cosigned),
        TEST(test_a_wrong_cosignature_is_tried_once),
        TEST(test_who_is_not_valid_any_more_does_not_count),
        TEST(test_a_checkpoint_of_a_minute_ago_can_still_be_cosigned),
        TEST(test_a_root_that_names_another_log_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
