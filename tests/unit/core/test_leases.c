/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Leases: expiry, lingering, forgetting, trouble, halting; and restarts with a past. */
#include "rig.h"

static struct rig *open_with(const char *workers, uint32_t quorum)
{
    struct rig *rig = rig_open();
    rig->rules.quorum = quorum;
    rig_add(rig, "base/zlib", NULL, NULL);
    for (char name[3] = {*workers, '1', '\0'}; *workers != '\0'; name[0] = *++workers)
        rig_worker(rig, name);
    rig_start(rig);
    return rig;
}

/* W13: silence. First the session, then, after the grace, the lease. */
static void w13_silence_passes_the_lease_on(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 1);
    rig_worker(rig, "b1");
    rig_advance_silently(rig, 31000);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    rig_why(rig, "base/zlib", "out of reach");
    rig_offline(rig, "a1"); /* is so already: no event */
    rig_online(rig, "b1", 4, NULL, 0);
    rig_advance(rig, 60000);
    assert_int_equal(rig_lease(rig, "base/zlib", "a1")->state, LEASE_EXPIRED);
    assert_int_equal(rig_lease(rig, "base/zlib", "b1")->state, LEASE_LIVE);
    assert_int_equal(rig_node(rig, "base/zlib").infrastructure_failures, 0);
    rig_close(rig);
}

/* Back in time with its lease: nothing happened. */
static void a_short_absence_is_forgiven(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 1);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", NULL);
    rig_offline(rig, lease.worker);
    rig_advance(rig, 30000);
    rig_online(rig, lease.worker, 4, &lease.nonce, 1);
    rig_advance(rig, 60000);
    assert_int_equal(rig_lease(rig, "base/zlib", lease.worker)->state, LEASE_LIVE);
    rig_close(rig);
}

static void a_forgotten_lease_ends_at_once(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 1);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", NULL);
    rig_online(rig, lease.worker, 4, NULL, 0);
    assert_int_equal(rig_lease(rig, "base/zlib", lease.worker)->state, LEASE_EXPIRED);
    assert_string_not_equal(rig_lease(rig, "base/zlib", NULL)->worker,
                            lease.worker); /* another is preferred */
    assert_int_equal(rig_node(rig, "base/zlib").infrastructure_failures, 1);
    rig_close(rig);
}

/* An expired lease that its worker goes on with fills its slot, and its operator is not asked again meanwhile. */
static void expired_leases_linger(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules.quorum = 1;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker_slots(rig, "a1", 1);
    rig_start(rig);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", "a1");
    rig_offline(rig, "a1");
    rig_advance(rig, 70000);
    rig_online(rig, "a1", 1, &lease.nonce, 1);
    assert_int_equal(rig_live(rig, "base/zlib"), 0);
    rig_why(rig, "base/zlib", "their operator is at work on it");
    rig_why(rig, "base/zlib", "a late answer counts");
    assert_int_equal(rig_answer(rig, &lease, 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void w13_over_the_deadline_however_it_trickles(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 1);
    rig_advance(rig, 3600000 + rig_config.lease_margin_ms - 1);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    rig_advance(rig, 1);
    assert_int_equal(rig_lease(rig, "base/zlib", "a1")->state, LEASE_EXPIRED);
    rig_why(rig, "base/zlib", "over its deadline");
    rig_close(rig);
}

/* The same operator is asked again after a while, twice as long each time; after max_attempts the job halts. */
static void trouble_retries_then_halts(void **state)
{
    (void)state;
    struct rig *rig = open_with("a", 1);
    for (int attempt = 1; attempt <= 3; attempt++) {
        assert_int_equal(rig_live(rig, "base/zlib"), 1);
        assert_int_equal(rig_answer(rig, rig_lease(rig, "base/zlib", NULL), 0, FAILURE_INFRASTRUCTURE),
                         ANSWER_RETRIED);
        assert_int_equal(rig_live(rig, "base/zlib"), 0);
        rig_advance(rig, 200000);
    }
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_HALTED);
    assert_int_equal(rig_plan_state(rig), PLAN_FAILED);
    rig_why(rig, "base/zlib", "infrastructure failure");
    rig_why(rig, "base/zlib", "start the plan again");
    assert_int_equal(rig_start_again(rig, false), 0);
    assert_int_equal(rig_live(rig, "base/zlib"), 1);
    rig_close(rig);
}

/* Distinct operators are counted: one bad machine halts nobody's job. */
static void w17_one_broken_operator_halts_nothing(void **state)
{
    (void)state;
    struct rig *rig = open_with("abcd", 2);
    struct rig_lease *lease = rig_lease(rig, "base/zlib", NULL);
    rig_answer(rig, lease, 0, FAILURE_INFRASTRUCTURE);
    assert_int_equal(rig_live(rig, "base/zlib"), 2);
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void three_operators_halt_a_job(void **state)
{
    (void)state;
    struct rig *rig = open_with("abcde", 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            rig_refuse(rig, rig_lease(rig, "base/zlib", NULL), "its spec is not what the tree gives"), 0);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_RUNNING); /* one is still at it */
    rig_answer_all(rig, "base/zlib", 'x');
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_HALTED);
    rig_why(rig, "base/zlib", "its spec is not what the tree gives");
    rig_close(rig);
}

static void refusing_what_is_not_ones_own(void **state)
{
    (void)state;
    struct rig *rig = open_with("ab", 1);
    struct rig_lease lease = *rig_lease(rig, "base/zlib", NULL), other = lease;
    snprintf(other.worker, sizeof other.worker, "%s", strcmp(lease.worker, "a1") == 0 ? "b1" : "a1");
    assert_int_equal(rig_refuse(rig, &other, "mine"), FARM_E_UNKNOWN);
    assert_int_equal(rig_refuse(rig, &lease, "no"), 0);
    assert_int_equal(rig_refuse(rig, &lease, "no"), FARM_E_STATE);
    rig_close(rig);
}

/* --- restart --- */

static struct core_past_lease past_of(const struct rig *rig, const struct rig_lease *lease, char letter)
{
    struct core_past_lease past = {
        .nonce = lease->nonce,
        .worker = lease->worker,
        .operator_name = lease->operator_name,
        .round = 1,
        .state = lease->state,
        .granted_ms = rig->now_ms - 1000,
        .deadline_ms = rig->now_ms + 3600000,
    };
    if (letter != 0) {
        past.has_answer = past.counted = true;
        past.state = LEASE_ANSWERED;
        past.answer.nonce = lease->nonce;
        past.answer.envelope = digest_of(VIEW("past"));
        past.answer.payload = rig_payload(letter);
    }
    return past;
}

/* One vote given, one lease live; then a new core. The key of base/zlib is the digest of its name alone. */
static struct rig *restarted(struct rig_lease *ret_live, bool history_first)
{
    struct rig *before = open_with("ab", 2);
    struct rig_lease answered = *rig_lease(before, "base/zlib", "a1");
    *ret_live = *rig_lease(before, "base/zlib", "b1");
    rig_close(before);
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig->random = 4711;
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_worker(rig, "c1");
    rig_offline(rig, "b1");
    if (!history_first)
        rig_online(rig, "b1", 4, &ret_live->nonce, 1);
    struct core_past_lease past[2] = {past_of(rig, &answered, 'x'), past_of(rig, ret_live, 0)};
    struct core_event event = {
        .type = CORE_JOB_HISTORY, .key = digest_of(VIEW("base/zlib")), .past = past, .npast = 2};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_start(rig), 0);
    return rig;
}

static void a_restart_keeps_votes_and_leases(void **state)
{
    (void)state;
    struct rig_lease live;
    struct rig *rig = restarted(&live, true);
    struct core_lease found;
    assert_true(core_lease_find(rig->core, &live.nonce, &found));
    assert_int_equal(found.state, LEASE_LIVE);
    assert_int_equal(rig_count(rig, CORE_LEASE_GRANTED), 0); /* one vote and one live lease are enough */
    rig_online(rig, "b1", 4, &live.nonce, 1);
    assert_int_equal(rig_answer(rig, &live, 'x', FAILURE_NONE), ANSWER_COUNTED);
    assert_int_equal(rig_state(rig, "base/zlib"), NODE_AGREED);
    rig_close(rig);
}

static void presented_before_the_plan_is_back(void **state)
{
    (void)state;
    struct rig_lease live;
    struct rig *rig = restarted(&live, false);
    assert_int_equal(rig_count(rig, CORE_LEASE_ENDED), 0);
    assert_int_equal(rig_answer(rig, &live, 'x', FAILURE_NONE), ANSWER_COUNTED);
    rig_close(rig);
}

static void not_presented_after_a_restart(void **state)
{
    (void)state;
    struct rig_lease live;
    struct rig *rig = restarted(&live, true);
    rig_advance(rig, rig_config.lease_grace_ms);
    assert_int_equal(rig_lease(rig, "base/zlib", "b1")->state, LEASE_EXPIRED);
    assert_int_equal(rig_lease(rig, "base/zlib", "c1")->state, LEASE_LIVE);
    rig_close(rig);
}

/* The rows have wall times; the clock was set back by a year since. */
static void a_past_in_the_future(void **state)
{
    (void)state;
    const int64_t year_ms = (int64_t)365 * 86400 * 1000, wall_ms = 3600 * 1000;
    struct rig_lease live;
    struct rig *before = open_with("ab", 2), *rig = rig_open();
    live = *rig_lease(before, "base/zlib", "b1");
    rig_close(before);
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "b1");
    rig_online(rig, "b1", 4, &live.nonce, 1);
    struct core_past_lease past = past_of(rig, &live, 0);
    past.granted_ms += year_ms;
    past.deadline_ms = past.granted_ms + wall_ms;
    struct core_event event = {
        .type = CORE_JOB_HISTORY, .key = digest_of(VIEW("base/zlib")), .past = &past, .npast = 1};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_start(rig), 0);
    struct core_lease found;
    assert_true(core_lease_find(rig->core, &live.nonce, &found));
    assert_int_equal(found.granted_ms, rig->now_ms);
    assert_int_equal(found.deadline_ms, rig->now_ms + wall_ms);
    rig_advance(rig, wall_ms);
    assert_true(core_lease_find(rig->core, &live.nonce, &found));
    assert_int_equal(found.state, LEASE_EXPIRED);
    rig_close(rig);
}

static void w10_open_votes_stay_open_after_a_restart(void **state)
{
    (void)state;
    struct rig *before = open_with("ab", 1);
    struct rig_lease lease = *rig_lease(before, "base/zlib", NULL);
    rig_close(before);
    struct rig *rig = rig_open();
    rig->rules.quorum = 1;
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    struct core_past_lease past[2] = {past_of(rig, &lease, 'x'), past_of(rig, &lease, 0)};
    const char *other = strcmp(lease.worker, "a1") == 0 ? "b1" : "a1",
               *operator_name = other[0] == 'a' ? "a" : "b";
    past[1].nonce.bytes[0] ^= 1;
    past[1].worker = other;
    past[1].operator_name = operator_name;
    past[1].state = LEASE_EXPIRED;
    struct core_event event = {.type = CORE_JOB_HISTORY,
                               .key = digest_of(VIEW("base/zlib")),
                               .past = past,
                               .npast = 2,
                               .settled_rounds = 1};
    assert_int_equal(rig_step(rig, &event), 0);
    assert_int_equal(rig_answer_as(rig, other, &past[1].nonce, 'z', FAILURE_NONE, 9), ANSWER_OPEN);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(w13_silence_passes_the_lease_on),
        cmocka_unit_test(a_short_absence_is_forgiven),
        cmocka_unit_test(a_forgotten_lease_ends_at_once),
        cmocka_unit_test(expired_leases_linger),
        cmocka_unit_test(w13_over_the_deadline_however_it_trickles),
        cmocka_unit_test(trouble_retries_then_halts),
        cmocka_unit_test(w17_one_broken_operator_halts_nothing),
        cmocka_unit_test(three_operators_halt_a_job),
        cmocka_unit_test(refusing_what_is_not_ones_own),
        cmocka_unit_test(a_restart_keeps_votes_and_leases),
        cmocka_unit_test(presented_before_the_plan_is_back),
        cmocka_unit_test(not_presented_after_a_restart),
        cmocka_unit_test(a_past_in_the_future),
        cmocka_unit_test(w10_open_votes_stay_open_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
