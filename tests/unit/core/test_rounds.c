/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers, votes, verdicts and rounds, through the public interface. */
#include "rig.h"

static struct rig *open_with(const char *workers, uint32_t quorum)
{
    struct rig *rig = rig_open();
    rig->rules.quorum = quorum;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    for (char name[3] = {*workers, '1', '\0'}; *workers != '\0'; name[0] = *++workers)
        rig_worker(rig, name);
    return rig;
}

static void two_agree(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    assert_int_equal(rig_start(rig), 0);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "b1"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_RUNNING);
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

static void quorum_of_one(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 1);
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* W2, W7: the same envelope again, and another envelope with the same answer. */
static void w2_w7_one_lease_one_vote(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    const struct rig_lease *lease = rig_lease(rig, "base/zlib", "a1");
    assert_int_equal(rig_answer_as(rig, "a1", &lease->nonce, 'x', FAILURE_NONE, 77), ANSWER_COUNTED);
    assert_int_equal(rig_answer_as(rig, "a1", &lease->nonce, 'x', FAILURE_NONE, 77), ANSWER_DUPLICATE);
    assert_int_equal(rig_answer_as(rig, "a1", &lease->nonce, 'x', FAILURE_NONE, 78), ANSWER_EXTRA);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.operators, 1);
    rig_close(rig);
}

/* A worker that signs without end is not recorded without end. */
static void w2_answers_to_one_lease_are_limited(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    const struct rig_lease *lease = rig_lease(rig, "base/zlib", "a1");
    enum answer_fate fate = ANSWER_COUNTED;
    size_t n = 0;
    while (fate != ANSWER_REJECTED && n++ < 100)
        fate = rig_answer(rig, lease, 'x', FAILURE_NONE);
    assert_int_equal(n, 9);
    rig_close(rig);
}

/* W3: several workers, one operator. */
static void w3_operators_are_counted_not_workers(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 2);
    rig_worker(rig, "a2");
    rig_worker(rig, "a3");
    rig_start(rig);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_live(rig, "base/zlib"), 0);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    rig_why(rig, "base/zlib", "their operator has answered already");
    rig_why(rig, "base/zlib", "admit workers of further operators");
    rig_close(rig);
}

/* W6, and a nonce nobody was given. */
static void w6_answers_for_others_are_rejected(void **state)
{
    (void)state;
    struct rig *rig = open_with("abc", 2);
    rig_start(rig);
    const struct rig_lease *lease = rig_lease(rig, "base/zlib", NULL);
    const char *other = strcmp(lease->worker, "a1") == 0 ? "b1" : "a1";
    assert_int_equal(rig_answer_as(rig, other, &lease->nonce, 'x', FAILURE_NONE, 1), ANSWER_REJECTED);
    assert_non_null(strstr(rig_last(rig, CORE_ANSWERED)->text, "another worker"));
    struct core_nonce wrong = lease->nonce;
    wrong.bytes[0] ^= 1;
    assert_int_equal(rig_answer_as(rig, lease->worker, &wrong, 'x', FAILURE_NONE, 2), ANSWER_REJECTED);
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    rig_close(rig);
}

/* W1: a rival digest; a third is asked, and settles it. The dissent stays listed. */
static void w1_a_dispute_is_settled_by_a_third(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 'x', FAILURE_NONE);
    rig_answer(rig, rig_lease(rig, "base/zlib", "b1"), 'z', FAILURE_NONE);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_why(rig, "base/zlib", "different answers");
    rig_worker(rig, "c1");
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "c1"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    struct core_node_view view = rig_node(rig, "base/zlib");
    assert_int_equal(view.state, NODE_AGREED);
    assert_int_equal(view.verdict.dissent, 1);
    rig_close(rig);
}

static void quorum_failures_fail_and_block(void **state)
{
    (void)state;
    struct rig *rig = open_with("abc", 2);
    rig_add(rig, "base/other", NULL, NULL);
    rig_start(rig);
    rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 0, FAILURE_BUILD);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 0, FAILURE_TIMEOUT);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_FAILED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_BLOCKED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING); /* another branch still runs */
    rig_why(rig, "base/png", "base/zlib: failed");
    rig_why(rig, "base/png", "does not build");
    rig_answer_all(rig, "base/other", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_FAILED);
    rig_close(rig);
}

/* W17: one word fails nobody's job. */
static void w17_one_failure_is_outvoted(void **state)
{
    (void)state;
    struct rig *rig = open_with("abc", 2);
    rig_start(rig);
    rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 0, FAILURE_BUILD);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void expire(struct rig *rig, const char *worker)
{
    rig_offline(rig, worker);
    rig_advance(rig, rig_config.lease_grace_ms);
}

/* A late answer is a vote if its operator has none; here it comes before the verdict. */
static void w7_late_answers_count(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    struct rig_lease late = *rig_lease(rig, "base/zlib", "a1");
    expire(rig, "a1");
    assert_int_equal(rig_lease(rig, "base/zlib", "a1")->state, LEASE_EXPIRED);
    assert_int_equal(rig_answer(rig, &late, 'x', FAILURE_NONE), ANSWER_COUNTED);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

/* After its late answer, the operator's second lease on the job is pointless and ends. */
static void w7_late_answer_ends_the_second_lease(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 2);
    rig_worker(rig, "a2");
    rig_start(rig);
    struct rig_lease late = *rig_lease(rig, "base/zlib", NULL);
    expire(rig, late.worker);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    assert_string_not_equal(rig_lease(rig, "base/zlib", NULL)->worker, late.worker);
    assert_int_equal(rig_answer(rig, &late, 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_live(rig, "base/zlib"), 0);
    assert_int_equal(rig_last(rig, CORE_LEASE_ENDED)->lease, LEASE_WITHDRAWN);
    rig_close(rig);
}

/* Makes a late dissenter: its lease expired, two others agreed, dependents were keyed. */
static struct rig *reopened(struct rig_lease *ret_late)
{
    struct rig *rig = open_with("a", 2);
    rig->rules.margin = 1;
    rig_start(rig);
    *ret_late = *rig_lease(rig, "base/zlib", "a1");
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    expire(rig, "a1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_RUNNING);
    assert_int_equal(rig_answer(rig, ret_late, 'z', FAILURE_NONE), ANSWER_OPEN);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    return rig;
}

/* It settles as before: what was built upon it stands, its key was not asked for again, leases ran on. */
static void w10_late_dissent_reopens_and_settles_as_before(void **state)
{
    (void)state;
    struct rig_lease late;
    struct rig *rig = reopened(&late);
    assert_int_equal(rig_live(rig, "base/png"), 2);
    size_t derivations = rig->derivations;
    struct rig_lease kept = *rig_lease(rig, "base/png", NULL);
    assert_int_equal(rig_answer(rig, &kept, 'y', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    rig_why(rig, "base/png", "base/zlib: disputed");
    rig_worker(rig, "d1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig->derivations, derivations);
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_state(rig, "base/png"), NODE_AGREED);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* It settles otherwise: the dependents get another key. */
static void w10_late_dissent_may_win(void **state)
{
    (void)state;
    struct rig_lease late;
    struct rig *rig = reopened(&late);
    struct digest before = rig->keys[1];
    rig_worker(rig, "d1");
    rig_answer_all(rig, "base/zlib", 'z');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    rig_worker(rig, "e1");
    rig_answer_all(rig, "base/zlib", 'z');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_false(digest_equal(&before, &rig->keys[1]));
    assert_int_equal(rig_state(rig, "base/png"), NODE_RUNNING);
    rig_close(rig);
}

/* W9: two digests: no vote any more, dissent, and no further leases until cleared. */
static void w9_equivocation_flags_the_operator(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", "a1");
    rig_answer(rig, &lease, 'x', FAILURE_NONE);
    assert_int_equal(rig_answer(rig, &lease, 'z', FAILURE_NONE), ANSWER_EQUIVOCAL);
    assert_string_equal(rig_last(rig, CORE_OPERATOR_FLAGGED)->name, "a");
    assert_int_equal(rig_node(rig, "base/zlib").verdict.equivocators, 1);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_not_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_null(rig_lease(rig, "base/png", "a1"));
    struct core_event event = {.type = CORE_OPERATOR_CLEAR, .name = "a"};
    rig_forget(rig);
    assert_int_equal(rig_step(rig, &event), 0);
    rig_close(rig);
}

/* It dissents on everything, or says of everything that it does not build. */
static void outvoted_by_all(enum failure_kind failure)
{
    static char names[6][16];
    struct rig *rig = rig_open();
    for (size_t i = 0; i < 3; i++) {
        snprintf(names[i], sizeof names[i], "base/p%zu", i);
        rig_add(rig, names[i], NULL, NULL);
    }
    rig->rules.quorum = 3;
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    rig_start(rig);
    rig_worker(rig, "d1");
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(rig_count(rig, CORE_OPERATOR_FLAGGED), 0);
        rig_answer(rig, rig_lease(rig, names[i], "a1"), 'q', failure);
        rig_answer_all(rig, names[i], 'x');
        assert_int_equal(rig_state(rig, names[i]), NODE_AGREED);
    }
    assert_int_equal(rig_count(rig, CORE_OPERATOR_FLAGGED), 1);
    assert_non_null(strstr(rig_last(rig, CORE_OPERATOR_FLAGGED)->text, "outvoted on 3 jobs"));
    rig_close(rig);
}

static void w17_outvoted_repeatedly_flags_the_operator(void **state)
{
    (void)state;
    outvoted_by_all(FAILURE_NONE);
    outvoted_by_all(FAILURE_BUILD);
}

/* --from-scratch: the old verdict holds until the new round has one. */
static void from_scratch_confirms(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    size_t derivations = rig->derivations;
    rig_repeat(rig);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    assert_int_equal(rig_node(rig, "base/png").round, 2);
    assert_int_equal(rig_state(rig, "base/png"), NODE_RUNNING); /* at once: its inputs still stand */
    struct core_node_view below = rig_node(rig, "base/zlib");
    struct digest x = rig_payload('x');
    assert_int_equal(below.verdict.state, VERDICT_PENDING);
    assert_true(below.has_payload && digest_equal(&below.payload, &x));
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 'x', FAILURE_NONE), ANSWER_COUNTED);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig->derivations, derivations);
    rig_close(rig);
}

/* A restart gives the time of the request by the wall clock, which was set back since: the next request is a new one all the same. */
static void from_scratch_since_the_future(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    struct core_event event = {
        .type = CORE_PLAN_START, .plan = rig->plan, .flag = true, .since_ms = rig->now_ms + 3600 * 1000};
    rig_advance(rig, 1000);
    assert_int_equal(rig_step(rig, &event), 0);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_repeat(rig);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    assert_int_equal(rig_node(rig, "base/png").round, 3);
    rig_close(rig);
}

static void from_scratch_contradicts(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    rig_repeat(rig);
    rig_answer_all(rig, "base/png", 'y');
    rig_answer_all(rig, "base/zlib", 'q');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_why(rig, "base/zlib", "rounds contradict each other");
    rig_close(rig);
}

/* Starting from scratch while it runs is refused; starting it again is nothing. */
static void starting_again(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    rig_forget(rig);
    assert_int_equal(rig_start_again(rig, false), 0);
    assert_int_equal(rig->nseen, 0);
    assert_int_equal(rig_start_again(rig, true), FARM_E_STATE);
    rig_close(rig);
}

/* W11 */
static void w11_revoked_while_building(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", "a1");
    struct core_event event = {.type = CORE_WORKER_REVOKED, .name = "a1"};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_lease(rig, "base/zlib", "a1")->state, LEASE_WITHDRAWN);
    assert_int_equal(rig_answer(rig, &lease, 'x', FAILURE_NONE), ANSWER_EXTRA);
    assert_int_equal(rig_node(rig, "base/zlib").verdict.operators, 0);
    rig_close(rig);
}

/* What b and c are told with their leases, after a has answered with this letter (0: not at all). */
static void leases_after(char letter, struct digest ret_print[2])
{
    struct rig *rig = open_with("a", 3);
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", "a1");
    if (letter != 0)
        rig_answer(rig, &lease, letter, FAILURE_NONE);
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    size_t n = 0;
    for (size_t i = 0; i < rig->nseen; i++)
        if (rig->seen[i].type == CORE_LEASE_GRANTED && n++ > 0)
            ret_print[n - 2] = rig->seen[i].print;
    assert_int_equal(n, 3);
    rig_close(rig);
}

/* W10: whatever a peer has answered, or nothing yet, the lease is the same to the last bit. */
static void w10_a_lease_says_nothing_of_answers(void **state)
{
    (void)state;
    struct digest x[2], z[2], none[2];
    leases_after('x', x);
    leases_after('z', z);
    leases_after(0, none);
    assert_memory_equal(x, z, sizeof x);
    assert_memory_equal(x, none, sizeof x);
}

/* W10: only after the verdict could it be copied; from there on it is marked, and counts only where the rules say so. */
static void w10_copies_after_the_verdict_are_open(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 2);
    rig_start(rig);
    struct rig_lease copied = *rig_lease(rig, "base/zlib", "a1");
    rig_offline(rig, "a1");
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    rig_advance(rig, rig_config.lease_grace_ms);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_answer(rig, &copied, 'x', FAILURE_NONE), ANSWER_OPEN);
    assert_true(rig_last(rig, CORE_VOTE)->open);
    rig_close(rig);
}

static void held_packages_are_built(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 2);
    rig->rules.hold = true;
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_agree),
        cmocka_unit_test(quorum_of_one),
        cmocka_unit_test(w2_w7_one_lease_one_vote),
        cmocka_unit_test(w2_answers_to_one_lease_are_limited),
        cmocka_unit_test(w3_operators_are_counted_not_workers),
        cmocka_unit_test(w6_answers_for_others_are_rejected),
        cmocka_unit_test(w1_a_dispute_is_settled_by_a_third),
        cmocka_unit_test(quorum_failures_fail_and_block),
        cmocka_unit_test(w17_one_failure_is_outvoted),
        cmocka_unit_test(w7_late_answers_count),
        cmocka_unit_test(w7_late_answer_ends_the_second_lease),
        cmocka_unit_test(w10_late_dissent_reopens_and_settles_as_before),
        cmocka_unit_test(w10_late_dissent_may_win),
        cmocka_unit_test(w9_equivocation_flags_the_operator),
        cmocka_unit_test(w17_outvoted_repeatedly_flags_the_operator),
        cmocka_unit_test(from_scratch_confirms),
        cmocka_unit_test(from_scratch_since_the_future),
        cmocka_unit_test(from_scratch_contradicts),
        cmocka_unit_test(starting_again),
        cmocka_unit_test(w11_revoked_while_building),
        cmocka_unit_test(w10_a_lease_says_nothing_of_answers),
        cmocka_unit_test(w10_copies_after_the_verdict_are_open),
        cmocka_unit_test(held_packages_are_built),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
