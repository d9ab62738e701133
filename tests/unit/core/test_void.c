/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers that count no longer (W11): what they leave, who is asked then, and what stands on it. */
#include "rig.h"

/* base/zlib below base/png; both agreed by a and b, with x and y. */
static struct rig *built(bool open_votes)
{
    struct rig *rig = rig_open();
    rig->rules.open_votes = open_votes;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_forget(rig);
    return rig;
}

static void revoke_a(struct rig *rig)
{
    rig_revoke(rig, "a1");
    rig_void(rig, rig_lease(rig, "base/zlib", "a1"));
}

/* Reopened; what was built upon it keeps its key, and stands when the same comes out again. */
static void w11_a_void_vote_reopens_and_settles_as_before(void **state)
{
    (void)state;
    struct rig *rig = built(true);
    struct digest key = rig->keys[1];
    size_t derivations = rig->derivations;
    revoke_a(rig);
    assert_int_equal(rig_last(rig, CORE_VERDICT)->verdict, VERDICT_PENDING);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    assert_int_equal(rig_state(rig, "base/png"), NODE_AGREED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_why(rig, "base/zlib", "its answer is void");
    rig_worker(rig, "c1");
    assert_int_equal(rig_live(rig, "base/png"), 0);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "c1"), 'x', FAILURE_NONE), ANSWER_OPEN);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_true(digest_equal(&key, &rig->keys[1]));
    assert_int_equal(rig->derivations, derivations);
    rig_close(rig);
}

/* Another payload: what stood on the old one gets a new key, and is built again. */
static void w11_other_bytes_after_all_give_new_keys(void **state)
{
    (void)state;
    struct rig *rig = built(true);
    struct digest key = rig->keys[1];
    revoke_a(rig);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'z');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    rig_worker(rig, "d1");
    rig_answer_all(rig, "base/zlib", 'z');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_false(digest_equal(&key, &rig->keys[1]));
    assert_int_equal(rig_state(rig, "base/png"), NODE_RUNNING);
    rig_close(rig);
}

/* Everything that the worker said, in the order of the log. */
static void w11_a_whole_worker(void **state)
{
    (void)state;
    struct rig *rig = built(true);
    revoke_a(rig);
    rig_void(rig, rig_lease(rig, "base/png", "a1"));
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_live(rig, "base/png"), 1); /* one vote is left, one more is needed */
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* Where open votes do not count the old round never could be settled: a full quorum is asked in a new one. */
static void w11_blind_rules_begin_a_new_round(void **state)
{
    (void)state;
    struct rig *rig = built(false);
    rig_worker(rig, "c1");
    revoke_a(rig);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    rig_why(rig, "base/zlib", "Earlier rounds lost 1 answer, which is void");
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    assert_int_equal(rig_state(rig, "base/png"), NODE_AGREED);
    struct rig_lease *lease = rig_lease(rig, "base/zlib", NULL);
    assert_int_equal(rig_answer(rig, lease, 'x', FAILURE_NONE), ANSWER_COUNTED);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig_node(rig, "base/png").round, 1);
    rig_close(rig);
}

/* An earlier round's verdict carries on: nobody needs to be asked. */
static void w11_another_round_stands(void **state)
{
    (void)state;
    struct rig *rig = built(false);
    rig_repeat(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    revoke_a(rig); /* its lease of the second round */
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig_live(rig, "base/zlib"), 0);
    rig_close(rig);
}

/* Two workers of one operator with the same answer, the second given late. */
static struct rig *said_twice(char second, enum answer_fate fate)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_start(rig);
    struct rig_lease late = *rig_lease(rig, "base/zlib", "a1");
    rig_offline(rig, "a1");
    rig_worker(rig, "a2");
    rig_advance(rig, rig_config.lease_grace_ms);
    rig_worker(rig, "b1");
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "a2"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_answer(rig, &late, second, FAILURE_NONE), fate);
    return rig;
}

static bool voted_last(const struct rig *rig, uint64_t envelope)
{
    struct digest digest = rig_envelope(envelope), none = {{0}};
    const struct rig_seen *vote = rig_last(rig, CORE_VOTE);
    return digest_equal(&vote->envelope, envelope > 0 ? &digest : &none);
}

/* W3: the operator's other machine has said the same, so its word takes the place of the void one. */
static void w3_w11_the_operators_same_answer_takes_the_place(void **state)
{
    (void)state;
    struct rig *rig = said_twice('x', ANSWER_EXTRA);
    assert_true(voted_last(rig, 1));
    assert_int_equal(rig_node(rig, "base/zlib").verdict.operators, 1);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_forget(rig);
    rig_revoke(rig, "a2");
    rig_void(rig, rig_lease(rig, "base/zlib", "a2"));
    assert_true(voted_last(rig, 2));
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.operators, 2);
    rig_void(rig, rig_lease(rig, "base/zlib", "a1"));
    assert_true(voted_last(rig, 0));
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    rig_close(rig);
}

/* W3, W9: two machines of one operator differ: no vote, and dissent. What a void answer said is evidence of nothing: the other counts. */
static void w3_w9_w11_an_equivocators_other_digest_is_its_vote_again(void **state)
{
    (void)state;
    struct rig *rig = said_twice('z', ANSWER_EQUIVOCAL);
    assert_true(voted_last(rig, 0));
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    rig_void(rig, rig_lease(rig, "base/zlib", "a1"));
    assert_true(voted_last(rig, 1));
    struct core_node_view view = rig_node(rig, "base/zlib");
    assert_int_equal(view.state, NODE_AGREED);
    assert_int_equal(view.verdict.equivocators, 0);
    assert_int_equal(view.verdict.dissent, 0);
    rig_worker(rig, "a3"); /* that it is looked at is not undone */
    struct core_event clear = {.type = CORE_OPERATOR_CLEAR, .name = "a"};
    assert_int_equal(rig_count(rig, CORE_OPERATOR_FLAGGED), 1);
    assert_int_equal(rig_step(rig, &clear), 0);
    rig_close(rig);
}

/* The operator is asked again if it has another machine: it has no answer any more. */
static void w11_the_operators_other_machine_may_be_asked(void **state)
{
    (void)state;
    struct rig *rig = built(true);
    rig_worker(rig, "a2");
    revoke_a(rig);
    assert_non_null(rig_lease(rig, "base/zlib", "a2"));
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

static void w11_failures_can_be_void_too(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 0, FAILURE_BUILD);
    rig_answer(rig, rig_lease(rig, "base/zlib", "b1"), 0, FAILURE_BUILD);
    assert_int_equal(rig_state(rig, "base/png"), NODE_BLOCKED);
    assert_int_equal(rig_plan_state(rig), PLAN_FAILED);
    revoke_a(rig);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    rig_worker(rig, "d1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

/* What was lost against a void majority is no mark against the operator. */
static void w11_who_was_outvoted_by_void_votes_was_not(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig->rules.quorum = 2;
    rig_worker(rig, "h1");
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_worker(rig, "a1");
    rig_answer_all(rig, "base/zlib", 'q');
    rig_worker(rig, "a2");
    rig_worker(rig, "b1");
    rig_answer_all(rig, "base/zlib", 'q');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.dissent, 1);
    rig_void(rig, rig_lease(rig, "base/zlib", "a1"));
    rig_void(rig, rig_lease(rig, "base/zlib", "b1"));
    assert_int_equal(rig_node(rig, "base/zlib").verdict.dissent, 0);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    struct core_node_view view = rig_node(rig, "base/zlib");
    struct digest x = rig_payload('x');
    assert_true(digest_equal(&view.verdict.payload, &x));
    rig_close(rig);
}

static void w11_unknown_or_void_already_is_nothing(void **state)
{
    (void)state;
    struct rig *rig = built(true);
    struct core_event event = {.type = CORE_VOTE_VOID};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig->nseen, 0);
    revoke_a(rig);
    rig_forget(rig);
    rig_void(rig, rig_lease(rig, "base/zlib", "a1"));
    assert_int_equal(rig->nseen, 0);
    rig_close(rig);
}

/* An answer that was being checked when its worker was revoked: recorded, and void. */
static void w11_what_arrives_after_the_revocation_is_void(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", "a1");
    rig_revoke(rig, "a1");
    rig_forget(rig);
    assert_int_equal(rig_answer(rig, &lease, 'x', FAILURE_NONE), ANSWER_EXTRA);
    assert_int_equal(rig_count(rig, CORE_VOTE), 0);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.ngroups, 0);
    rig_close(rig);
}

/* --- a digest and a failure of one operator --- */

static struct rig *two_machines(struct rig_lease *ret_late)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_start(rig);
    *ret_late = *rig_lease(rig, "base/zlib", "a1");
    rig_offline(rig, "a1");
    rig_worker(rig, "a2");
    rig_advance(rig, rig_config.lease_grace_ms);
    return rig;
}

static void w3_a_digest_takes_the_place_of_a_failure(void **state)
{
    (void)state;
    struct rig_lease late;
    struct rig *rig = two_machines(&late);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "a2"), 0, FAILURE_MEMORY), ANSWER_COUNTED);
    assert_true(voted_last(rig, 1));
    assert_int_equal(rig_answer(rig, &late, 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_true(voted_last(rig, 2));
    assert_int_equal(rig_node(rig, "base/zlib").verdict.operators, 1);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.dissent, 0);
    rig_close(rig);
}

static void w3_a_failure_beside_a_digest_is_no_second_vote(void **state)
{
    (void)state;
    struct rig_lease late;
    struct rig *rig = two_machines(&late);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "a2"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_answer(rig, &late, 0, FAILURE_BUILD), ANSWER_EXTRA);
    assert_int_equal(rig_count(rig, CORE_VOTE), 1);
    assert_int_equal(rig_count(rig, CORE_OPERATOR_FLAGGED), 0);
    rig_worker(rig, "b1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

/* --- restart --- */

static struct core_past_lease past_of(const char *worker, const char *operator_name, unsigned char number)
{
    struct core_past_lease past = {.worker = worker,
                                   .operator_name = operator_name,
                                   .round = 1,
                                   .state = LEASE_ANSWERED,
                                   .granted_ms = 1000,
                                   .deadline_ms = 2000,
                                   .has_answer = true,
                                   .counted = true};
    past.nonce.bytes[0] = number;
    past.answer.nonce = past.nonce;
    past.answer.envelope = rig_envelope(number);
    past.answer.payload = rig_payload('x');
    return past;
}

/* a and b agreed, a's answer was voided, and the coordinator starts anew. */
static struct rig *restarted(bool open_votes, bool void_in_rows)
{
    struct rig *rig = rig_open();
    rig->rules.open_votes = open_votes;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    struct core_past_lease past[2] = {past_of("a1", "a", 1), past_of("b1", "b", 2)};
    past[0].counted = !void_in_rows;
    struct core_event event = {.type = CORE_JOB_HISTORY,
                               .key = digest_of(VIEW("base/zlib")),
                               .past = past,
                               .npast = 2,
                               .settled_rounds = 1};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_start(rig), 0);
    return rig;
}

static void w11_a_restart_remembers_void_answers(void **state)
{
    (void)state;
    struct rig *rig = restarted(true, true);
    assert_int_equal(rig_node(rig, "base/zlib").round, 1);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "c1"), 'x', FAILURE_NONE), ANSWER_OPEN);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void w11_a_restart_begins_the_same_new_round(void **state)
{
    (void)state;
    struct rig *rig = restarted(false, true);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    rig_close(rig);
}

/* The start finds that a row and the directory differ: the answer is voided before or after anybody follows the job. */
static void w11_void_after_a_restart(void **state)
{
    (void)state;
    struct rig *rig = restarted(false, false);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    struct core_past_lease past = past_of("a1", "a", 1);
    struct core_event event = {.type = CORE_VOTE_VOID, .answer = past.answer};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING);
    rig_close(rig);
}

/* A dispute that was never settled stays one in which further votes are blind, also after a restart. */
static void w10_a_dispute_opens_no_votes(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules.open_votes = false;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "c1");
    struct core_past_lease past[2] = {past_of("a1", "a", 1), past_of("b1", "b", 2)};
    past[1].answer.payload = rig_payload('z');
    struct core_event event = {
        .type = CORE_JOB_HISTORY, .key = digest_of(VIEW("base/zlib")), .past = past, .npast = 2};
    assert_int_equal(rig_step(rig, &event), 0);
    rig_start(rig);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "c1"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w11_a_void_vote_reopens_and_settles_as_before),
        cmocka_unit_test(w11_other_bytes_after_all_give_new_keys),
        cmocka_unit_test(w11_a_whole_worker),
        cmocka_unit_test(w11_blind_rules_begin_a_new_round),
        cmocka_unit_test(w11_another_round_stands),
        cmocka_unit_test(w3_w11_the_operators_same_answer_takes_the_place),
        cmocka_unit_test(w3_w9_w11_an_equivocators_other_digest_is_its_vote_again),
        cmocka_unit_test(w11_the_operators_other_machine_may_be_asked),
        cmocka_unit_test(w11_failures_can_be_void_too),
        cmocka_unit_test(w11_who_was_outvoted_by_void_votes_was_not),
        cmocka_unit_test(w11_unknown_or_void_already_is_nothing),
        cmocka_unit_test(w11_what_arrives_after_the_revocation_is_void),
        cmocka_unit_test(w3_a_digest_takes_the_place_of_a_failure),
        cmocka_unit_test(w3_a_failure_beside_a_digest_is_no_second_vote),
        cmocka_unit_test(w11_a_restart_remembers_void_answers),
        cmocka_unit_test(w11_a_restart_begins_the_same_new_round),
        cmocka_unit_test(w11_void_after_a_restart),
        cmocka_unit_test(w10_a_dispute_opens_no_votes),
    };
    return cmocka_run_group_tests_name("void", tests, NULL, NULL);
}
