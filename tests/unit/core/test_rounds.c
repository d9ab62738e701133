/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers, votes, verdicts and rounds, through the public interface. */
#include "rig.h"

static void two_agree(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_add(rig, "base/zlib", NULL, NULL);
    rig_add(rig, "base/png", "base/zlib", NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
