/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a worker makes of the log that it is shown: K3, L1, L2, L3, L4, L6. */
#include "guard.h"
#include "watched_log.h"

#include "file.h"
#include "statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define ORIGIN "intergenos-farm/test"

static struct watched_log honest;
static struct root_log root_log;
static struct witness witness;
static struct witness_finding finding;

static int set_up(void **state)
{
    (void)state;
    watched_log_init(&honest, ORIGIN, 1);
    watched_log_grow(&honest, 5);
    root_log = watched_log_root(&honest);
    witness = (struct witness)WITNESS_INIT;
    memcpy(witness.kept.origin, ORIGIN, sizeof ORIGIN);
    finding = (struct witness_finding)WITNESS_FINDING_INIT;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    watched_log_done(&honest);
    witness_done(&witness);
    witness_finding_done(&finding);
    return 0;
}

static void judge(const struct witness_ask *ask, const struct witness_answer *answer)
{
    witness_finding_done(&finding);
    finding = (struct witness_finding)WITNESS_FINDING_INIT;
    witness_on_answer(&witness, &root_log, ask, answer, &finding);
}

/* Asks and is answered honestly from this log. */
static enum witness_move show(const struct watched_log *log, uint64_t size)
{
    struct witness_ask ask;
    witness_make_ask(&witness, &ask);
    struct watched_answer *answer = watched_log_answer(log, &ask, size);
    judge(&ask, &answer->answer);
    watched_answer_free(answer);
    return finding.move;
}

static enum witness_move acknowledge(unsigned char n, uint64_t log_entry, bool taken)
{
    struct witness_ack ack = {watched_nonce(n), watched_envelope(n), log_entry, taken, {{0}}};
    witness_finding_done(&finding);
    finding = (struct witness_finding)WITNESS_FINDING_INIT;
    witness_on_ack(&witness, &ack, &finding);
    return finding.move;
}

static void expect_alarm(enum alarm_kind kind, const char *seen)
{
    assert_int_equal(finding.move, WITNESS_ALARM);
    assert_string_equal(alarm_kind_name(finding.alarm.kind), alarm_kind_name(kind));
    if (strstr(finding.alarm.seen, seen) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", finding.alarm.seen, seen);
}

/* ---- history ---- */

static void a_growing_log_is_cosigned(void **state)
{
    (void)state;
    assert_int_equal(show(&honest, 3), WITNESS_COSIGN);
    assert_true(finding.changed);
    assert_int_equal(witness.kept.size, 3);
    assert_int_equal(show(&honest, 3), WITNESS_COSIGN); /* the same again: nothing new to keep */
    assert_false(finding.changed);
    for (uint64_t size = 4; size <= 5; size++)
        assert_int_equal(show(&honest, size), WITNESS_COSIGN);
    assert_int_equal(witness.kept.size, 5);
    struct checkpoint last = watched_log_checkpoint(&honest, 5);
    assert_digest_equal(witness.kept.root, last.root);
}

static void nothing_shown_yet_is_no_lie(void **state)
{
    (void)state;
    struct witness_ask ask;
    struct witness_answer *none = mem_zero(1, sizeof *none);
    witness_make_ask(&witness, &ask);
    judge(&ask, none);
    assert_int_equal(finding.move, WITNESS_NOTHING);
    show(&honest, 3);
    witness_make_ask(&witness, &ask);
    judge(&ask, none); /* but it was shown before */
    assert_int_equal(finding.move, WITNESS_DOUBT);
    assert_int_equal(witness.kept.size, 3);
    free(none);
}

/* Two signed checkpoints of one size: both stand in the alarm. */
static void L1_a_forked_checkpoint_of_the_same_size(void **state)
{
    (void)state;
    struct watched_log fork;
    struct logentry other = {.kind = LOG_PLAN, .sha256 = digest_of(VIEW("other"))};
    watched_log_init(&fork, ORIGIN, 1);
    watched_log_copy(&fork, &honest, 4);
    watched_log_add(&fork, &other);
    show(&honest, 5);
    show(&fork, 5);
    expect_alarm(ALARM_FORK, "other entries in their place");
    assert_false(finding.changed);
    struct note_key key = root_log.key;
    struct checkpoint kept, shown;
    assert_int_equal(note_open_checkpoint(view_text(finding.alarm.kept), &key, &kept, NULL), 0);
    assert_int_equal(note_open_checkpoint(view_text(finding.alarm.shown), &key, &shown, NULL), 0);
    assert_int_equal(kept.size, shown.size);
    assert_memory_not_equal(&kept.root, &shown.root, sizeof kept.root);
    watched_log_done(&fork);
}

/* The fork is larger, and its proof is the best that it can give. */
static void L1_a_forked_checkpoint_of_a_larger_size(void **state)
{
    (void)state;
    struct watched_log fork;
    watched_log_init(&fork, ORIGIN, 1);
    watched_log_copy(&fork, &honest, 4);
    struct logentry other = {.kind = LOG_PLAN, .sha256 = digest_of(VIEW("other"))};
    watched_log_add(&fork, &other);
    watched_log_grow(&fork, 4);
    show(&honest, 5);
    show(&fork, 9);
    expect_alarm(ALARM_FORK, "nothing proves that it contains them");
    assert_int_equal(witness.kept.size, 5);
    watched_log_done(&fork);
}

static void L2_a_shrunken_tree(void **state)
{
    (void)state;
    show(&honest, 5);
    show(&honest, 4);
    expect_alarm(ALARM_SHRUNK, "a signed checkpoint of 4 entries");
    assert_int_equal(witness.kept.size, 5);
}

/* A proof from an older size than the one that is kept does not prove what has to be proven. */
static void L3_stale_old_size(void **state)
{
    (void)state;
    struct witness_ask before, now;
    show(&honest, 2);
    witness_make_ask(&witness, &before);
    show(&honest, 3);
    witness_make_ask(&witness, &now);
    struct watched_answer *late = watched_log_answer(&honest, &before, 5);
    assert_true(witness_is_late(&before.known, &root_log, &late->answer)); /* true, of the question before */
    assert_false(witness_is_late(&now.known, &root_log, &late->answer));
    judge(&now, &late->answer);
    expect_alarm(ALARM_FORK, "nothing proves");
    assert_int_equal(witness.kept.size, 3);
    watched_answer_free(late);
}

/* Only an answer that is proven from an older question is late; a fork is not. */
static void L3_a_fork_is_never_late(void **state)
{
    (void)state;
    struct watched_log fork;
    struct witness_ask before;
    watched_log_init(&fork, ORIGIN, 1);
    watched_log_copy(&fork, &honest, 1);
    struct logentry other = {.kind = LOG_PLAN, .sha256 = digest_of(VIEW("other"))};
    watched_log_add(&fork, &other);
    watched_log_grow(&fork, 3);
    show(&honest, 2);
    witness_make_ask(&witness, &before);
    struct watched_answer *answer = watched_log_answer(&fork, &before, 5);
    assert_false(witness_is_late(&before.known, &root_log, &answer->answer));
    watched_answer_free(answer);
    watched_log_done(&fork);
}

/* What the log's key did not sign is no evidence against anybody, and changes nothing. */
static void L4_what_is_not_the_logs_is_doubted(void **state)
{
    (void)state;
    struct watched_log stranger, elsewhere;
    struct witness_ask ask;
    show(&honest, 3);
    watched_log_init(&stranger, ORIGIN, 2);
    watched_log_copy(&stranger, &honest, 5);
    assert_int_equal(show(&stranger, 5), WITNESS_DOUBT); /* the right name, another key */
    watched_log_init(&elsewhere, "intergenos-farm/elsewhere", 1);
    watched_log_copy(&elsewhere, &honest, 5);
    assert_int_equal(show(&elsewhere, 5), WITNESS_DOUBT);
    witness_make_ask(&witness, &ask);
    struct watched_answer *answer = watched_log_answer(&honest, &ask, 5);
    for (size_t at = 0; at < answer->note.size; at++) {
        answer->note.data[at] ^= 1;
        judge(&ask, &answer->answer);
        if (finding.move != WITNESS_DOUBT)
            fail_msg("byte %zu of the note was changed, and it counted", at);
        answer->note.data[at] ^= 1;
    }
    assert_int_equal(witness.kept.size, 3);
    judge(&ask, &answer->answer);
    assert_int_equal(finding.move, WITNESS_COSIGN);
    watched_answer_free(answer);
    watched_log_done(&stranger);
    watched_log_done(&elsewhere);
}

static void L6_truncated_and_padded_proofs(void **state)
{
    (void)state;
    struct witness_ask ask;
    show(&honest, 3);
    witness_make_ask(&witness, &ask);
    struct watched_answer *answer = watched_log_answer(&honest, &ask, 5);
    struct tlog_proof *proof = &answer->answer.consistency;
    assert_true(proof->count > 0);
    proof->count--;
    judge(&ask, &answer->answer);
    expect_alarm(ALARM_FORK, "nothing proves");
    proof->count += 2;
    judge(&ask, &answer->answer);
    expect_alarm(ALARM_FORK, "nothing proves");
    proof->count--;
    judge(&ask, &answer->answer);
    assert_int_equal(finding.move, WITNESS_COSIGN);
    watched_answer_free(answer);
}

/* ---- this worker's answers ---- */

static void proven_answers_are_let_go(void **state)
{
    (void)state;
    uint64_t first = watched_log_add_answer(&honest, LOG_ENVELOPE, 1);
    uint64_t second = watched_log_add_answer(&honest, LOG_REFUSAL, 2);
    assert_int_equal(acknowledge(1, first + 1, true), WITNESS_NOTHING);
    assert_true(finding.changed);
    acknowledge(1, first + 1, true); /* acknowledged twice */
    assert_false(finding.changed);
    acknowledge(2, second + 1, false);
    assert_int_equal(witness.nunproven, 2);
    assert_int_equal(show(&honest, first), WITNESS_COSIGN); /* it covers neither */
    assert_int_equal(witness.nunproven, 2);
    assert_int_equal(show(&honest, honest.count), WITNESS_COSIGN);
    assert_int_equal(witness.nunproven, 0);
}

static void K3_an_answer_that_was_taken_and_has_no_place(void **state)
{
    (void)state;
    acknowledge(1, 0, true);
    expect_alarm(ALARM_OMITTED, "it has none");
    assert_int_equal(acknowledge(2, 0, false),
                     WITNESS_NOTHING); /* refused: not everything that is refused is logged */
    assert_int_equal(witness.nunproven, 0);
}

/* The place is another answer's, another lease's, another kind's. */
static void K3_another_entry_in_its_place(void **state)
{
    (void)state;
    struct logentry entry = {.kind = LOG_ENVELOPE, .nonce = watched_nonce(1), .sha256 = watched_envelope(2)};
    watched_log_add(&honest, &entry);
    entry = (struct logentry){.kind = LOG_ENVELOPE, .nonce = watched_nonce(2), .sha256 = watched_envelope(1)};
    watched_log_add(&honest, &entry);
    watched_log_add_answer(&honest, LOG_REFUSAL, 1);
    static const char *const reasons[] = {"of another kind", "another answer to this lease", "another lease",
                                          "the answer was refused"};
    for (uint64_t i = 0; i < ARRAY_SIZE(reasons); i++) {
        witness.nunproven = 0;
        acknowledge(1, 4 + i + 1, true);
        show(&honest, 8);
        expect_alarm(ALARM_OMITTED, reasons[i]);
        assert_true(finding.alarm.shown[0] != '\0'); /* the signed checkpoint under which it stands */
        assert_int_equal(witness.nunproven, 1);
    }
}

/* So a dissent would be put out of sight of who verifies: its lease is logged for another job, and the answer with it. */
static void K3_an_answer_about_another_job(void **state)
{
    (void)state;
    struct logentry entry = {.kind = LOG_ENVELOPE,
                             .job = watched_envelope(9),
                             .nonce = watched_nonce(1),
                             .sha256 = watched_envelope(1)};
    watched_log_add(&honest, &entry);
    acknowledge(1, honest.count, true);
    show(&honest, honest.count);
    expect_alarm(ALARM_OMITTED, "about another job");
}

/* Answers that were refused may stand as a refusal, and only those. */
static void K3_a_refusal_is_one(void **state)
{
    (void)state;
    uint64_t position = watched_log_add_answer(&honest, LOG_REFUSAL, 1);
    acknowledge(1, position + 1, false);
    assert_int_equal(show(&honest, honest.count), WITNESS_COSIGN);
}

/* No cosignature while a proof is due; the third checkpoint without it is an alarm. */
static void K3_no_proof_by_the_third_checkpoint(void **state)
{
    (void)state;
    uint64_t position = watched_log_add_answer(&honest, LOG_ENVELOPE, 1);
    acknowledge(1, position + 1, true);
    for (int i = 1; i <= WITNESS_DUE_MAX; i++) {
        struct witness_ask ask;
        watched_log_grow(&honest, 1);
        witness_make_ask(&witness, &ask);
        struct watched_answer *answer = watched_log_answer(&honest, &ask, honest.count);
        answer->answer.ninclusions = 0;
        judge(&ask, &answer->answer);
        watched_answer_free(answer);
        assert_int_equal(finding.move, i < WITNESS_DUE_MAX ? WITNESS_WAIT : WITNESS_ALARM);
        assert_true(finding.changed);
    }
    expect_alarm(ALARM_OMITTED, "none, in 3 checkpoints");
    witness_forgive(&witness);
    assert_int_equal(show(&honest, honest.count), WITNESS_COSIGN);
}

/* A proof that proves nothing is none. */
static void K3_L6_a_truncated_inclusion_proof_is_none(void **state)
{
    (void)state;
    struct witness_ask ask;
    uint64_t position = watched_log_add_answer(&honest, LOG_ENVELOPE, 1);
    acknowledge(1, position + 1, true);
    witness_make_ask(&witness, &ask);
    struct watched_answer *answer = watched_log_answer(&honest, &ask, honest.count);
    answer->answer.inclusions[0].path.count--;
    judge(&ask, &answer->answer);
    assert_int_equal(finding.move, WITNESS_WAIT);
    answer->answer.inclusions[0].path.count += 2;
    judge(&ask, &answer->answer);
    assert_int_equal(finding.move, WITNESS_WAIT);
    watched_answer_free(answer);
    assert_int_equal(witness.nunproven, 1);
}

static void K3_a_place_that_the_log_never_reaches(void **state)
{
    (void)state;
    acknowledge(1, 1000, true);
    for (int i = 1; i < WITNESS_EARLY_MAX; i++)
        assert_int_equal(show(&honest, 5), WITNESS_COSIGN);
    show(&honest, 5);
    expect_alarm(ALARM_OMITTED, "the log ends before it");
}

/* More answers than one question asks for: none of them is passed over, and nothing is cosigned before. */
static void all_answers_get_their_turn(void **state)
{
    (void)state;
    for (unsigned char n = 0; n < 2 * WITNESS_POSITIONS_MAX + 1; n++)
        acknowledge(n, watched_log_add_answer(&honest, LOG_ENVELOPE, n) + 1, true);
    assert_int_equal(show(&honest, honest.count), WITNESS_WAIT);
    assert_true(finding.more);
    assert_int_equal(show(&honest, honest.count), WITNESS_WAIT);
    assert_int_equal(show(&honest, honest.count), WITNESS_COSIGN);
    assert_false(finding.more);
    assert_int_equal(witness.nunproven, 0);
}

static void answers_are_bounded(void **state)
{
    (void)state;
    struct witness_ack ack = {.taken = true};
    for (uint64_t i = 0; i < WITNESS_UNPROVEN_MAX; i++) {
        assert_int_equal(witness_is_full(&witness), i >= WITNESS_UNPROVEN_SOFT);
        memcpy(ack.nonce.bytes, &i, sizeof i);
        ack.log_entry = i + 1;
        witness.unproven = mem_reserve(witness.unproven, &witness.capacity, i + 1, sizeof *witness.unproven);
        witness.unproven[witness.nunproven++] = (struct witness_unproven){.nonce = ack.nonce, .position = i};
    }
    assert_int_equal(acknowledge(1, 1, true), WITNESS_WAIT); /* it stays in the spool */
    assert_int_equal(witness.nunproven, WITNESS_UNPROVEN_MAX);
}

/* ---- another log ---- */

static struct root *root_with(const struct root_log *log)
{
    struct root *root = root_new();
    root->version = 2;
    root->log = *log;
    return root;
}

static enum witness_move change_root(const struct root_log *log)
{
    struct root *root = root_with(log);
    witness_finding_done(&finding);
    finding = (struct witness_finding)WITNESS_FINDING_INIT;
    witness_on_root(&witness, root, &finding);
    root->log = (struct root_log){.present = false};
    root_free(root);
    return finding.move;
}

static void a_new_log_has_to_follow(void **state)
{
    (void)state;
    struct watched_log next;
    watched_log_init(&next, "intergenos-farm/next", 3);
    struct root_log log = watched_log_root(&next);
    show(&honest, 4);
    change_root(&log);
    expect_alarm(ALARM_OTHER_LOG, "names no log before it");
    log.previous = watched_log_checkpoint(&next, 0);
    log.previous.size = 9;
    change_root(&log);
    expect_alarm(ALARM_OTHER_LOG, "follows another log");
    log.previous = watched_log_checkpoint(&honest, 3);
    change_root(&log);
    expect_alarm(ALARM_OTHER_LOG, "end before what this worker saw");
    log.previous = watched_log_checkpoint(&honest, 4);
    log.previous.root = digest_of(VIEW("x"));
    change_root(&log);
    expect_alarm(ALARM_OTHER_LOG, "other entries");
    assert_string_equal(witness.kept.origin, ORIGIN);
    log.previous = watched_log_checkpoint(&honest, 4);
    acknowledge(1, 5, true);
    assert_int_equal(change_root(&log), WITNESS_NOTHING);
    assert_true(finding.changed);
    assert_string_equal(witness.kept.origin, "intergenos-farm/next");
    assert_int_equal(witness.kept.size, 0);
    assert_int_equal(witness.nunproven, 0);
    assert_int_equal(witness.lost, 1);
    watched_log_grow(&next, 2);
    root_log = watched_log_root(&next);
    assert_int_equal(show(&next, 2), WITNESS_COSIGN);
    watched_log_done(&next);
}

static void roots_that_change_nothing(void **state)
{
    (void)state;
    struct root_log none = {.present = false};
    struct watched_log later;
    show(&honest, 4);
    assert_int_equal(change_root(&root_log), WITNESS_NOTHING);
    assert_false(finding.changed);
    assert_int_equal(change_root(&none), WITNESS_NOTHING); /* no log any more; what was seen is kept */
    assert_int_equal(witness.kept.size, 4);
    watched_log_init(&later, "intergenos-farm/later", 4);
    struct root_log log = watched_log_root(&later);
    change_root(&log); /* a detour does not make it forget */
    expect_alarm(ALARM_OTHER_LOG, "names no log before it");
    watched_log_done(&later);
}

/* The first root that names a log; answers may have been acknowledged before it came. */
static void the_first_log_needs_nothing(void **state)
{
    (void)state;
    witness.kept = (struct checkpoint){.size = 0};
    acknowledge(1, 3, true);
    assert_int_equal(change_root(&root_log), WITNESS_NOTHING);
    assert_true(finding.changed);
    assert_string_equal(witness.kept.origin, ORIGIN);
    assert_int_equal(witness.nunproven, 1);
    assert_int_equal(witness.lost, 0);
}

/* ---- the file ---- */

static void what_was_seen_survives(void **state)
{
    (void)state;
    struct witness back = WITNESS_INIT;
    char path[] = "/tmp/farm-witness-XXXXXX";
    assert_non_null(mkdtemp(path));
    int fd = file_open_dir(AT_FDCWD, path, NULL);
    assert_int_equal(witness_load(fd, &back, NULL), 0); /* none yet */
    assert_int_equal(back.nunproven, 0);
    acknowledge(1, 3, true);
    acknowledge(2, 900, false);
    show(&honest, 5);
    witness.lost = 7;
    assert_int_equal(witness_save(fd, &witness, NULL), 0);
    assert_int_equal(witness_load(fd, &back, NULL), 0);
    assert_memory_equal(&back.kept, &witness.kept, sizeof back.kept);
    assert_string_equal(back.note, witness.note);
    assert_int_equal(back.lost, 7);
    assert_int_equal(back.nunproven, witness.nunproven);
    assert_memory_equal(back.unproven, witness.unproven, back.nunproven * sizeof *back.unproven);
    witness_done(&back);
    assert_int_equal(file_write(fd, STATEDIR_WITNESS, VIEW("{\"format\":"), 0600, NULL), 0);
    struct diag diag = DIAG_INIT;
    assert_int_equal(witness_load(fd, &back, &diag), FARM_E_SYNTAX); /* refused, not forgotten */
    assert_non_null(strstr(diag.text, "--forget"));
    mem_close_p(&fd);
    assert_int_equal(file_remove_tree(AT_FDCWD, path, NULL), 0);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf good = BUF_INIT;
    struct witness back = WITNESS_INIT;
    acknowledge(1, 3, true);
    show(&honest, 2);
    witness_write(&witness, &good);
    assert_int_equal(witness_parse(buf_view(&good), &back, NULL), 0);
    witness_done(&back);
    static const char *const breaks[][2] = {
        {"witness/1", "witness/2"},
        {"\"size\":2", "\"size\":3"},
        {"\"size\":2", "\"size\":-2"},
        {"\"lost\":0", "\"lost\":\"0\""},
        {"\"taken\":true", "\"taken\":1"},
        {"\"position\":2", "\"position\":-1"},
        {"\"due\":0", "\"due\":4294967296"},
        {"\"early\":", "\"late\":"},
        {"\"nonce\":\"01", "\"nonce\":\"1"},
        {"\"origin\":\"intergenos", "\"origin\":\"x"},
        {"\"log\":{", "\"log\":[{"},
        {"\"note\":\"intergenos-farm/test\\n2", "\"note\":\"intergenos-farm/test\\n1"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        const char *at = strstr(good.data, breaks[i][0]);
        if (at == NULL)
            fail_msg("no %s in %s", breaks[i][0], good.data);
        buf_add(&bad, good.data, (size_t)(at - good.data));
        buf_add_format(&bad, "%s%s", breaks[i][1], at + strlen(breaks[i][0]));
        if (witness_parse(buf_view(&bad), &back, NULL) >= 0)
            fail_msg("%s instead of %s was read", breaks[i][1], breaks[i][0]);
    }
}

int suite_witness(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_growing_log_is_cosigned, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nothing_shown_yet_is_no_lie, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L1_a_forked_checkpoint_of_the_same_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L1_a_forked_checkpoint_of_a_larger_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L2_a_shrunken_tree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L3_stale_old_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L3_a_fork_is_never_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L4_what_is_not_the_logs_is_doubted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(L6_truncated_and_padded_proofs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(proven_answers_are_let_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_an_answer_that_was_taken_and_has_no_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_another_entry_in_its_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_an_answer_about_another_job, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_a_refusal_is_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_no_proof_by_the_third_checkpoint, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_L6_a_truncated_inclusion_proof_is_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(K3_a_place_that_the_log_never_reaches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(all_answers_get_their_turn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(answers_are_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_new_log_has_to_follow, set_up, tear_down),
        cmocka_unit_test_setup_teardown(roots_that_change_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_log_needs_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_was_seen_survives, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_files_are_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("witness", tests, NULL, NULL);
}
