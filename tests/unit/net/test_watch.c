/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Requests that are answered over time: when they are looked at. */
#include "rig_ask.h"

#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static struct rig_asking wait_for_plan(struct rig *rig)
{
    enum { TURNS = 10 };
    struct rig_asking asking = rig_ask_begin(
        rig, "build",
        json_pack("{s:s, s:b, s:b}", "plan", digest_hex(&rig->plan).text, "wait", 1, "from_scratch", 0));
    for (int i = 0; i < TURNS && watch_due(rig->farm->ctl) == INT64_MAX; i++) {
        rig_ctl_turn(rig);
        rig_turn(rig);
    }
    assert_int_equal(watch_due(rig->farm->ctl), 0); /* the new one looks at once */
    watch_poll_all(rig->farm);
    assert_true(watch_due(rig->farm->ctl) > 0);
    return asking;
}

/* Not half a second later, which is what a small plan takes. */
static void test_the_end_of_a_plan_is_told_at_once(void **state)
{
    static const size_t workers[] = {RIG_ALPHA, RIG_BETA};
    struct rig *rig = rig_new();
    (void)state;
    rig_build(rig, workers, ARRAY_SIZE(workers));
    struct rig_asking asking = wait_for_plan(rig);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    assert_true(watch_due(rig->farm->ctl) > 0); /* one of two: nothing has ended */
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    assert_int_equal(watch_due(rig->farm->ctl), 0);
    struct rig_reply reply = rig_ask_end(&asking);
    assert_int_equal(reply.status, 0);
    rig_reply_done(&reply);
    assert_true(watch_due(rig->farm->ctl) == INT64_MAX);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_end_of_a_plan_is_told_at_once)};
    return cmocka_run_group_tests_name("watch", tests, NULL, NULL);
}
