/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Agreed payloads whose bytes are lost (D8): built again, nothing built upon them meanwhile, and what was agreed stays. */
#include "rig.h"

static int tell(struct rig *rig, enum core_event_type type, const char *node, char letter)
{
    struct core_event event = {.type = type, .key = rig->keys[rig_index(rig, node)]};
    event.answer.payload = rig_payload(letter);
    return rig_step(rig, &event);
}

static void lose(struct rig *rig, const char *node, char letter)
{
    assert_int_equal(tell(rig, CORE_PAYLOAD_LOST, node, letter), 0);
}

static void bring(struct rig *rig, const char *node, char letter)
{
    assert_int_equal(tell(rig, CORE_PAYLOAD_BACK, node, letter), 0);
}

/* base/zlib below base/png, two operators. */
static struct rig *opened(void)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    return rig;
}

/* Both agreed by a and b, with x and y. */
static struct rig *built(void)
{
    struct rig *rig = opened();
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_forget(rig);
    return rig;
}

/* The operators who gave the answer are asked again; the first of them heals, and what stands on it was never touched. */
static void d8_it_is_built_again(void **state)
{
    (void)state;
    struct rig *rig = built();
    size_t derivations = rig->derivations;
    lose(rig, "base/zlib", 'x');
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING);
    assert_true(rig_node(rig, "base/zlib").has_payload);
    assert_true(rig_node(rig, "base/zlib").lost);
    assert_int_equal(rig_state(rig, "base/png"), NODE_AGREED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    assert_int_equal(rig_live(rig, "base/png"), 0);
    rig_why(rig, "base/zlib", "its bytes are lost");
    rig_why(rig, "base/png", "since its payload was lost from the store");
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_false(rig_node(rig, "base/zlib").lost);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_answer_all(rig, "base/zlib", 'x'); /* the round is finished all the same */
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig->derivations, derivations);
    rig_close(rig);
}

/* Who is at a dependent goes on; nobody else is asked for it until the bytes are back, and then by itself. */
static void d8_nothing_is_built_upon_it(void **state)
{
    (void)state;
    struct rig *rig = opened();
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_live(rig, "base/png"), 2);
    lose(rig, "base/zlib", 'x');
    rig_refuse(rig, rig_lease(rig, "base/png", "a1"), "the input could not be fetched");
    rig_advance(rig, 60000);
    assert_int_equal(rig_live(rig, "base/png"), 1);
    rig_worker(rig, "c1");
    assert_int_equal(rig_live(rig, "base/png"), 1);
    assert_int_equal(rig_state(rig, "base/png"), NODE_WAITING);
    rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 'x', FAILURE_NONE);
    assert_int_equal(rig_live(rig, "base/png"), 2);
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* What comes out otherwise is dissent: the digest is not taken back by a single answer, nor healed by it. */
static void d8_another_answer_is_dissent(void **state)
{
    (void)state;
    struct rig *rig = built();
    lose(rig, "base/zlib", 'x');
    rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 'z', FAILURE_NONE);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_answer(rig, rig_lease(rig, "base/zlib", "b1"), 'x', FAILURE_NONE);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* A quorum says that it does not build any more: that contradicts what was agreed, as after any repetition. It is asked once, not until
 * the answer pleases. */
static void d8_it_does_not_build_any_more(void **state)
{
    (void)state;
    struct rig *rig = built();
    struct rig_lease *lease;
    lose(rig, "base/zlib", 'x');
    while ((lease = rig_lease(rig, "base/zlib", NULL)) != NULL) {
        rig_answer(rig, lease, 0, FAILURE_BUILD);
        lose(rig, "base/zlib", 'x');
    }
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_DISPUTED);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    rig_why(rig, "base/zlib", "Its rounds contradict each other");
    rig_worker(rig, "c1");
    assert_int_equal(rig_live(rig, "base/zlib") + rig_live(rig, "base/png"), 0);
    rig_close(rig);
}

/* Nobody can even try: it halts and says so; and goes on when somebody brings the bytes. */
static void d8_nobody_can_try(void **state)
{
    (void)state;
    struct rig *rig = built();
    lose(rig, "base/zlib", 'x');
    for (int i = 0; i < 3; i++) {
        struct rig_lease *lease;
        while ((lease = rig_lease(rig, "base/zlib", NULL)) != NULL)
            rig_refuse(rig, lease, "the source is gone");
        rig_advance(rig, 200000);
    }
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_HALTED);
    assert_int_equal(rig_state(rig, "base/png"), NODE_BLOCKED);
    assert_int_equal(rig_plan_state(rig), PLAN_FAILED);
    rig_why(rig, "base/zlib", "its bytes are lost");
    rig_why(rig, "base/zlib", "too many operators could not even try");
    bring(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* Also where open votes do not count, and while nobody is there. */
static void d8_blind_rules(void **state)
{
    (void)state;
    struct rig *rig = opened();
    rig->rules.open_votes = false;
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    rig_offline(rig, "a1");
    rig_offline(rig, "b1");
    lose(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    rig_online(rig, "b1", 4, NULL, 0);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* Lost, healed by the first answer, and lost again before the second: who healed it can be asked once more. */
static void d8_lost_again(void **state)
{
    (void)state;
    struct rig *rig = built();
    rig_offline(rig, "b1");
    rig_advance(rig, 100000);
    lose(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    lose(rig, "base/zlib", 'x');
    assert_int_equal(rig_node(rig, "base/zlib").round, 3);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* A round that runs brings it: no further one begins. */
static void d8_a_round_that_runs(void **state)
{
    (void)state;
    struct rig *rig = built();
    rig_repeat(rig);
    lose(rig, "base/zlib", 'x');
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 'x', FAILURE_NONE);
    assert_false(rig_node(rig, "base/zlib").lost);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING); /* asked for from scratch: by all */
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* A late answer from before the loss brings the bytes as well. */
static void d8_a_late_answer(void **state)
{
    (void)state;
    struct rig *rig = opened();
    rig->rules.quorum = 1;
    rig_start(rig);
    struct rig_lease *late = rig_lease(rig, "base/zlib", NULL);
    rig_offline(rig, late->worker);
    rig_advance(rig, 70000);
    rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 'x', FAILURE_NONE);
    lose(rig, "base/zlib", 'x');
    assert_true(rig_node(rig, "base/zlib").lost);
    rig_answer(rig, late, 'x', FAILURE_NONE);
    assert_false(rig_node(rig, "base/zlib").lost);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void d8_what_is_no_loss(void **state)
{
    (void)state;
    struct rig *rig = built();
    lose(rig, "base/zlib", 'q'); /* nobody agreed on it */
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    bring(rig, "base/zlib", 'x');
    bring(rig, "base/zlib", 'q');
    rig->keys[0] = rig_payload('u'); /* no such job */
    lose(rig, "base/zlib", 'x');
    bring(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig->nseen, 0);
    rig_close(rig);
}

/* Nobody asks for a cancelled plan's; started again, it is built first. */
static void d8_a_cancelled_plan(void **state)
{
    (void)state;
    struct rig *rig = opened();
    struct core_event cancel = {.type = CORE_PLAN_CANCEL, .plan = rig->plan};
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_step(rig, &cancel), 0);
    lose(rig, "base/zlib", 'x');
    rig_worker(rig, "c1");
    assert_int_equal(rig_live(rig, "base/zlib"), 0);
    rig_start_again(rig, false);
    assert_true(rig_live(rig, "base/zlib") > 0);
    assert_int_equal(rig_live(rig, "base/png"), 0);
    rig_answer_all(rig, "base/zlib", 'x');
    rig_answer_all(rig, "base/png", 'y');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* --- restarts --- */

enum { PAST_MAX = 16 };

static struct digest said(char letter)
{
    static const struct digest nothing;
    return letter == '!' ? nothing : rig_payload(letter);
}

/* The job's leases, as the database has them: what 'rig' knows of each, with the letters that they answered ('-': none, '!': it does not build). */
static size_t remember(const struct rig *rig, const char *letters, struct core_past_lease past[PAST_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < rig->nleases && n < PAST_MAX; i++) {
        const struct rig_lease *lease = &rig->leases[i];
        if (strcmp(lease->node, "base/zlib") != 0)
            continue;
        char letter = letters[n];
        assert_int_not_equal(letter, '\0');
        past[n++] = (struct core_past_lease){
            .nonce = lease->nonce,
            .worker = lease->worker,
            .operator_name = lease->operator_name,
            .round = lease->round,
            .state = lease->state,
            .granted_ms = rig->now_ms - 1000,
            .deadline_ms = rig->now_ms + 100000,
            .has_answer = letter != '-',
            .answer = {.nonce = lease->nonce,
                       .envelope = rig_envelope(lease->envelope),
                       .failure = letter == '!' ? FAILURE_BUILD : FAILURE_NONE,
                       .payload = said(letter)},
            .counted = letter != '-',
        };
    }
    return n;
}

/* Another process, which finds the past and the loss again before it gives the node its key. */
static struct rig *restart(struct rig *before, const char *letters, uint64_t settled)
{
    struct core_past_lease past[PAST_MAX];
    struct rig *rig = rig_open();
    struct core_event history = {.type = CORE_JOB_HISTORY,
                                 .key = before->keys[0],
                                 .past = past,
                                 .npast = remember(before, letters, past),
                                 .settled_rounds = settled};
    rig->now_ms = before->now_ms;
    rig->random = 4711;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig->keys[0] = before->keys[0];
    assert_int_equal(rig_step(rig, &history), 0);
    lose(rig, "base/zlib", 'x');
    rig_start(rig);
    rig_close(before);
    return rig;
}

static struct rig *alone(void)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    return rig;
}

/* Found at the start, before anything was given out for it. */
static void d8_found_at_a_restart(void **state)
{
    (void)state;
    struct rig *rig = restart(alone(), "xx", 1);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    assert_true(rig_node(rig, "base/zlib").lost);
    rig_worker(rig, "a1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* Restarts while it is being built again do not begin round after round, whatever was said so far. */
static void d8_a_restart_begins_no_further_round(void **state)
{
    (void)state;
    struct rig *rig = alone();
    lose(rig, "base/zlib", 'x');
    rig_answer(rig, rig_lease(rig, "base/zlib", "a1"), 0, FAILURE_BUILD);
    assert_int_equal(rig_node(rig, "base/zlib").round, 2);
    struct rig *again = restart(rig, rig->leases[2].worker[0] == 'a' ? "xx!-" : "xx-!", 1);
    assert_int_equal(rig_node(again, "base/zlib").round, 2);
    assert_true(rig_node(again, "base/zlib").lost);
    rig_close(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(d8_it_is_built_again),
        cmocka_unit_test(d8_nothing_is_built_upon_it),
        cmocka_unit_test(d8_another_answer_is_dissent),
        cmocka_unit_test(d8_it_does_not_build_any_more),
        cmocka_unit_test(d8_nobody_can_try),
        cmocka_unit_test(d8_blind_rules),
        cmocka_unit_test(d8_lost_again),
        cmocka_unit_test(d8_a_round_that_runs),
        cmocka_unit_test(d8_a_late_answer),
        cmocka_unit_test(d8_what_is_no_loss),
        cmocka_unit_test(d8_a_cancelled_plan),
        cmocka_unit_test(d8_found_at_a_restart),
        cmocka_unit_test(d8_a_restart_begins_no_further_round),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
