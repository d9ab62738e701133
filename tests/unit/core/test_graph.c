/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans: counters, order, refusals, blocking and unblocking, sharing, cancelling. */
#include "rig.h"

static void diamond(struct rig *rig)
{
    rig_add(rig, "base/a", NULL, NULL);
    rig_add(rig, "base/b", "base/a", NULL);
    rig_add(rig, "base/c", "base/a", NULL);
    rig_add(rig, "base/d", "base/b", "base/c");
}

static struct rig *open_diamond(void)
{
    struct rig *rig = rig_open();
    rig->rules.quorum = 1;
    diamond(rig);
    rig_worker(rig, "a1");
    return rig;
}

static void a_diamond_unfolds(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig_start(rig);
    rig_answer_all(rig, "base/a", 'a');
    assert_int_equal(rig_state(rig, "base/b"), NODE_RUNNING);
    assert_int_equal(rig_state(rig, "base/c"), NODE_RUNNING);
    rig_answer_all(rig, "base/b", 'b');
    assert_int_equal(rig_state(rig, "base/d"), NODE_WAITING);
    rig_why(rig, "base/d", "waits for 1 of its dependencies");
    rig_why(rig, "base/d", "base/c: running");
    rig_answer_all(rig, "base/c", 'c');
    assert_int_equal(rig_state(rig, "base/d"), NODE_RUNNING);
    rig_answer_all(rig, "base/d", 'd');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

static void edges_must_point_back(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    size_t self = 0;
    struct core_node node = {
        .id = "base/a", .dependencies = &self, .ndependencies = 1, .rules = {.quorum = 1}};
    struct core_event event = {.type = CORE_PLAN_START, .plan = rig->plan, .nodes = &node, .nnodes = 1};
    assert_int_equal(rig_step(rig, &event), FARM_E_SYNTAX);
    node.ndependencies = 0;
    node.rules.quorum = RULES_QUORUM_MAX + 1;
    assert_int_equal(rig_step(rig, &event), FARM_E_LIMIT);
    event.nnodes = 0;
    assert_int_equal(rig_step(rig, &event), FARM_E_LIMIT);
    assert_int_equal(core_plan_count(rig->core), 0);
    rig_close(rig);
}

/* A closure that names what the dependencies do not lead to must not start early: it halts and says so. */
static void a_wrong_closure_halts(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    size_t first = 0;
    rig_add(rig, "base/a", NULL, NULL);
    rig_add(rig, "base/b", NULL, NULL);
    struct core_node nodes[2] = {
        {.id = "base/a", .rules = {.quorum = 1, .max_attempts = 3}},
        {.id = "base/b", .closure = &first, .nclosure = 1, .rules = {.quorum = 1, .max_attempts = 3}}};
    struct core_event event = {.type = CORE_PLAN_START, .plan = rig->plan, .nodes = nodes, .nnodes = 2};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_state(rig, "base/b"), NODE_HALTED);
    rig_why(rig, "base/b", "cannot be reached through its dependencies");
    rig_close(rig);
}

static void a_refused_derivation_halts_and_blocks(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig->refuse = true;
    rig->refused = digest_of(VIEW("base/b"));
    rig_start(rig);
    rig_answer_all(rig, "base/a", 'a');
    rig_answer_all(rig, "base/c", 'c');
    assert_int_equal(rig_state(rig, "base/b"), NODE_HALTED);
    assert_int_equal(rig_state(rig, "base/d"), NODE_BLOCKED);
    assert_int_equal(rig_plan_state(rig), PLAN_FAILED);
    rig_why(rig, "base/d", "the recipe has no such step");
    rig->refuse = false;
    assert_int_equal(rig_start_again(rig, false), 0);
    assert_int_equal(rig_state(rig, "base/b"), NODE_RUNNING);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_close(rig);
}

static void keys_nobody_asked_for_are_illegal(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig_start(rig);
    struct core_event event = {.type = CORE_NODE_KEYED, .plan = rig->plan, .node = 0};
    assert_int_equal(rig_step(rig, &event), FARM_E_STATE);
    event.node = 4;
    assert_int_equal(rig_step(rig, &event), FARM_E_UNKNOWN);
    event.plan.bytes[0] ^= 1;
    assert_int_equal(rig_step(rig, &event), FARM_E_UNKNOWN);
    rig_close(rig);
}

/* Priority first, then the longest way to the end, then the order of the plan. */
static void the_most_urgent_first(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules.quorum = 1;
    rig_add(rig, "base/short", NULL, NULL);
    rig_add(rig, "base/short2", NULL, NULL);
    rig_add(rig, "base/long", NULL, NULL);
    rig_add(rig, "base/urgent", NULL, NULL);
    rig_add(rig, "base/after", "base/long", NULL);
    rig->nodes[3].priority = 5;
    rig->nodes[4].estimate_seconds = 5000;
    rig_start(rig);
    assert_int_equal(rig_node(rig, "base/long").remaining_seconds, 5060);
    rig_worker_slots(rig, "a1", 1);
    /* base/after is not keyed yet when base/long's machine gets free. */
    static const char *const order[] = {"base/urgent", "base/long", "base/short", "base/after",
                                        "base/short2"};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(rig_live(rig, order[i]), 1);
        rig_answer_all(rig, order[i], 'x');
    }
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

static void cancelling_withdraws(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/a", "a1");
    struct core_event event = {.type = CORE_PLAN_CANCEL, .plan = rig->plan};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_plan_state(rig), PLAN_CANCELLED);
    assert_int_equal(rig_lease(rig, "base/a", "a1")->state, LEASE_WITHDRAWN);
    assert_int_equal(rig_step(rig, &event), FARM_E_STATE);
    rig_why(rig, "base/a", "cancelled");
    assert_int_equal(rig_answer(rig, &lease, 'a', FAILURE_NONE), ANSWER_COUNTED); /* it was built: not lost */
    assert_int_equal(rig_live(rig, "base/b"), 0);
    assert_int_equal(rig_start_again(rig, false), 0);
    assert_int_equal(rig_live(rig, "base/b"), 1);
    rig_close(rig);
}

/* Two plans, one key: built once; stricter rules ask for more of the same job. */
static void k6_a_stricter_plan_asks_for_more_of_the_same_job(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig_start(rig);
    rig_answer_all(rig, "base/a", 'a');
    struct digest first = rig->plan;
    rig->plan = digest_of(VIEW("the stricter plan"));
    rig->rules.quorum = 2;
    rig_worker(rig, "b1");
    rig_start(rig);
    struct core_node_view view;
    assert_true(core_node(rig->core, &first, 0, &view));
    assert_int_equal(view.state, NODE_AGREED);
    assert_int_equal(rig_state(rig, "base/a"), NODE_RUNNING);
    assert_null(rig_lease(rig, "base/a", "a1")->state == LEASE_LIVE ? rig : NULL);
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/a", "b1"), 'a', FAILURE_NONE), ANSWER_OPEN);
    assert_int_equal(rig_state(rig, "base/a"), NODE_AGREED); /* open votes count under these rules */
    rig_close(rig);
}

static void k6_open_votes_that_do_not_count_halt(void **state)
{
    (void)state;
    struct rig *rig = open_diamond();
    rig_start(rig);
    rig_answer_all(rig, "base/a", 'a');
    rig->plan = digest_of(VIEW("the stricter plan"));
    rig->rules.quorum = 2;
    rig->rules.open_votes = false;
    rig_worker(rig, "b1");
    rig_start(rig);
    assert_int_equal(rig_state(rig, "base/a"), NODE_HALTED);
    rig_why(rig, "base/a", "--from-scratch");
    rig_close(rig);
}

/* The key of payloads that were reopened meanwhile does not count. */
static void stale_derivations_are_ignored(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules = (struct rules){.quorum = 1, .max_attempts = 3, .open_votes = true};
    rig_add(rig, "base/a", NULL, NULL);
    rig_add(rig, "base/b", "base/a", NULL);
    rig_worker(rig, "a1");
    rig_start(rig);
    struct rig_lease late = *rig_lease(rig, "base/a", "a1");
    rig_offline(rig, "a1");
    rig_advance(rig, 70000);
    rig_worker(rig, "b1");
    rig->hold_derivations = true;
    rig_answer_all(rig, "base/a", 'x');
    assert_int_equal(rig_state(rig, "base/b"), NODE_DERIVING);
    struct core_event keyed = {.type = CORE_NODE_KEYED, .plan = rig->plan, .node = 1, .key = rig->keys[1]};
    rig_answer(rig, &late, 'z', FAILURE_NONE); /* disputed */
    assert_int_equal(rig_state(rig, "base/b"), NODE_WAITING);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/a", 'z');
    assert_int_equal(rig_state(rig, "base/a"), NODE_AGREED);
    assert_int_equal(rig_state(rig, "base/b"), NODE_DERIVING);
    assert_int_equal(rig_step(rig, &keyed), 0); /* the first, stale */
    assert_int_equal(rig_state(rig, "base/b"), NODE_DERIVING);
    keyed.key = rig->keys[1];
    assert_int_equal(rig_step(rig, &keyed), 0);
    assert_int_equal(rig_state(rig, "base/b"), NODE_RUNNING);
    assert_int_equal(rig_step(rig, &keyed), FARM_E_STATE);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diamond_unfolds),
        cmocka_unit_test(edges_must_point_back),
        cmocka_unit_test(a_wrong_closure_halts),
        cmocka_unit_test(a_refused_derivation_halts_and_blocks),
        cmocka_unit_test(keys_nobody_asked_for_are_illegal),
        cmocka_unit_test(the_most_urgent_first),
        cmocka_unit_test(cancelling_withdraws),
        cmocka_unit_test(k6_a_stricter_plan_asks_for_more_of_the_same_job),
        cmocka_unit_test(k6_open_votes_that_do_not_count_halt),
        cmocka_unit_test(stale_derivations_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
