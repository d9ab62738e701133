/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Plans that ended leave memory, and come back with their past as after a restart. */
#include "rig.h"

enum { PAST_MAX = 16 };

static int forget(struct rig *rig)
{
    struct core_event event = {.type = CORE_PLAN_FORGET, .plan = rig->plan};
    return rig_step(rig, &event);
}

/* What a database would have of the node's job: 'letters' are what its leases answered, in the order of the rig; '-': not yet. */
static void feed_past(struct rig *rig, const char *node, const char *letters)
{
    struct core_past_lease past[PAST_MAX];
    struct core_event event = {
        .type = CORE_JOB_HISTORY, .key = rig->keys[rig_index(rig, node)], .past = past, .settled_rounds = 1};
    for (size_t i = 0; i < rig->nleases && event.npast < PAST_MAX; i++) {
        const struct rig_lease *lease = &rig->leases[i];
        if (strcmp(lease->node, node) != 0)
            continue;
        char letter = letters[event.npast];
        assert_int_not_equal(letter, '\0');
        past[event.npast++] = (struct core_past_lease){
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
                       .payload = rig_payload(letter)},
            .counted = letter != '-',
        };
    }
    assert_int_equal(rig_step(rig, &event), 0);
}

static bool knows(struct rig *rig, const struct rig_lease *lease)
{
    struct core_lease found;
    return core_lease_find(rig->core, &lease->nonce, &found);
}

static struct rig *built(void)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_forget(rig);
    return rig;
}

static void only_what_has_ended(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    assert_int_equal(forget(rig), 0); /* unknown */
    rig_start(rig);
    assert_int_equal(forget(rig), FARM_E_STATE);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_close(rig);
}

/* Nothing is left; and the same plan again, with its past, is done at once and asks nobody. */
static void a_done_plan_leaves_and_comes_back(void **state)
{
    (void)state;
    struct rig *rig = built();
    assert_int_equal(forget(rig), 0);
    assert_int_equal(core_plan_count(rig->core), 0);
    assert_false(knows(rig, rig_lease(rig, "base/zlib", "a1")));
    assert_int_equal(rig_count(rig, CORE_LEASE_ENDED), 0);
    feed_past(rig, "base/zlib", "xx");
    rig_start(rig);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(rig_count(rig, CORE_LEASE_GRANTED), 0);
    rig_close(rig);
}

/* Fed for an answer, the job stays for that, and no longer than the next tick. */
static void a_late_answer_to_a_forgotten_lease(void **state)
{
    (void)state;
    struct rig *rig = built();
    struct rig_lease *lease = rig_lease(rig, "base/zlib", "a1");
    uint64_t recorded = lease->envelope;
    forget(rig);
    assert_int_equal(rig_answer_as(rig, "a1", &lease->nonce, 'y', FAILURE_NONE, 77), ANSWER_REJECTED);
    lease->envelope = recorded;
    feed_past(rig, "base/zlib", "xx");
    assert_int_equal(rig_answer_as(rig, "a1", &lease->nonce, 'y', FAILURE_NONE, 77), ANSWER_EQUIVOCAL);
    assert_true(rig_last(rig, CORE_ANSWERED)->open);
    rig_advance(rig, 1000);
    assert_false(knows(rig, lease));
    rig_close(rig);
}

/* b1 was out of reach, c1 was asked instead; *ret_late is the lease that b1 had. */
static struct rig *built_without_b1(struct rig_lease **ret_late)
{
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    *ret_late = rig_lease(rig, "base/zlib", "b1");
    rig_offline(rig, "b1");
    rig_advance(rig, 70000);
    assert_int_equal((*ret_late)->state, LEASE_EXPIRED);
    rig_worker(rig, "c1");
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    return rig;
}

/* b1 is still at it when the plan is forgotten. */
static void a_job_stays_while_a_worker_is_at_it(void **state)
{
    (void)state;
    struct rig_lease *late;
    struct rig *rig = built_without_b1(&late);
    rig_online(rig, "b1", 4, &late->nonce, 1);
    assert_int_equal(forget(rig), 0);
    rig_advance(rig, 1000);
    assert_true(knows(rig, late));
    assert_int_equal(rig_answer(rig, late, 'x', FAILURE_NONE), ANSWER_OPEN);
    rig_advance(rig, 1000);
    assert_false(knows(rig, late));
    rig_close(rig);
}

/* Who expired in silence holds nothing: its worker may never come back. */
static void a_silent_worker_holds_no_job(void **state)
{
    (void)state;
    struct rig_lease *late;
    struct rig *rig = built_without_b1(&late);
    forget(rig);
    assert_false(knows(rig, late));
    rig_online(rig, "b1", 4, &late->nonce, 1); /* as after a restart: an unknown nonce keeps its slot */
    feed_past(rig, "base/zlib", "x-x");
    assert_int_equal(rig_answer(rig, late, 'x', FAILURE_NONE), ANSWER_OPEN);
    rig_close(rig);
}

/* Two plans, other rules, the same job: one of them goes, and the other has all it had. */
static void a_shared_job_stays(void **state)
{
    (void)state;
    struct rig *rig = built();
    struct digest first = rig->plan;
    rig->plan = digest_of(VIEW("another plan"));
    rig->rules.quorum = 3;
    rig_worker(rig, "c1");
    rig_start(rig);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    rig->plan = first;
    forget(rig);
    rig->plan = digest_of(VIEW("another plan"));
    assert_int_equal(core_plan_count(rig->core), 1);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(forget(rig), 0);
    assert_false(knows(rig, rig_lease(rig, "base/zlib", "a1")));
    rig_close(rig);
}

/* Voided while nobody followed it: the plan comes back, and asks somebody else. */
static void a_void_vote_of_a_forgotten_plan(void **state)
{
    (void)state;
    struct rig *rig = built();
    struct rig_lease *lease = rig_lease(rig, "base/zlib", "a1");
    forget(rig);
    rig_revoke(rig, "a1");
    feed_past(rig, "base/zlib", "xx");
    rig_void(rig, lease);
    rig_start(rig);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_READY);
    assert_int_equal(rig_plan_state(rig), PLAN_RUNNING);
    rig_worker(rig, "c1");
    assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", "c1"), 'x', FAILURE_NONE), ANSWER_OPEN);
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    rig_close(rig);
}

/* Repeated: both rounds leave, and the new one is not repeated once more. */
static void a_repeated_plan_leaves(void **state)
{
    (void)state;
    struct rig *rig = built();
    rig_repeat(rig);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_plan_state(rig), PLAN_DONE);
    assert_int_equal(forget(rig), 0);
    assert_int_equal(core_plan_count(rig->core), 0);
    rig_close(rig);
}

/* A cancelled plan as well, and one whose job wanted somebody who was not there. */
static void a_cancelled_plan_leaves(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct core_event cancel = {.type = CORE_PLAN_CANCEL};
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    rig_worker(rig, "a1");
    rig_start(rig);
    cancel.plan = rig->plan;
    assert_int_equal(rig_step(rig, &cancel), 0);
    assert_int_equal(forget(rig), 0);
    rig_advance(rig, 1000);
    assert_false(knows(rig, rig_lease(rig, "base/zlib", "a1")));
    rig_worker(rig, "b1"); /* nobody waits for it */
    rig_close(rig);
}

static void see_outvoted(void *context, const struct core_worker_view *view)
{
    uint64_t *outvoted = context;
    if (strcmp(view->name, "b1") == 0)
        *outvoted = view->outvoted;
}

static uint64_t outvoted(struct rig *rig)
{
    uint64_t n = 0;
    core_each_worker(rig->core, see_outvoted, &n);
    return n;
}

/* b1 against a1 and c1. */
static void outvote(struct rig *rig, const char *node)
{
    rig_answer(rig, rig_lease(rig, node, "b1"), 'y', FAILURE_NONE);
    rig_answer_all(rig, node, 'x');
    rig_answer_all(rig, node, 'x');
}

/* It is counted once, whether its job is in memory, forgotten, or back. */
static void who_was_outvoted_stays_counted(void **state)
{
    (void)state;
    static const char *const names[] = {"base/a", "base/b", "base/c"};
    struct rig *rig = rig_open();
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        rig->plan = digest_of(view_text(names[i]));
        rig->nnodes = 0;
        rig_add(rig, names[i], NULL, NULL);
        rig_start(rig);
        if (i == 0)
            rig_worker(rig, "c1");
        else
            rig_online(rig, "c1", 4, NULL, 0);
        outvote(rig, names[i]);
        assert_int_equal(rig_state(rig, names[i]), NODE_AGREED);
        assert_int_equal(outvoted(rig), i + 1);
        assert_int_equal(rig_count(rig, CORE_OPERATOR_FLAGGED), i == 2);
        forget(rig);
        assert_int_equal(outvoted(rig), i + 1);
        feed_past(rig, names[i],
                  rig_lease(rig, names[i], "b1") < rig_lease(rig, names[i], "a1") ? "yxx" : "xyx");
        rig_start(rig);
        assert_int_equal(rig_plan_state(rig), PLAN_DONE);
        assert_int_equal(outvoted(rig), i + 1);
        forget(rig);
        rig_offline(rig, "c1");
    }
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_has_ended),
        cmocka_unit_test(a_done_plan_leaves_and_comes_back),
        cmocka_unit_test(a_late_answer_to_a_forgotten_lease),
        cmocka_unit_test(a_job_stays_while_a_worker_is_at_it),
        cmocka_unit_test(a_silent_worker_holds_no_job),
        cmocka_unit_test(a_shared_job_stays),
        cmocka_unit_test(a_void_vote_of_a_forgotten_plan),
        cmocka_unit_test(a_repeated_plan_leaves),
        cmocka_unit_test(a_cancelled_plan_leaves),
        cmocka_unit_test(who_was_outvoted_stays_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
