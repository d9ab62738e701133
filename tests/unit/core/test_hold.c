/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Held (the disk is full, say): nobody is asked; released, everything that waited meanwhile is asked for at once. */
#include "rig.h"

static size_t live(const struct rig *rig)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->nleases; i++)
        n += rig->leases[i].state == LEASE_LIVE;
    return n;
}

static void hold(struct rig *rig, bool flag)
{
    struct core_event event = {.type = CORE_HOLD, .flag = flag, .text = "the disk is full"};
    assert_int_equal(rig_step(rig, &event), 0);
}

static void d7_nobody_is_asked_while_held_and_everybody_afterwards(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules.quorum = 2;
    rig_add(rig, "base/a", NULL, NULL);
    rig_add(rig, "base/b", "base/a", NULL);
    hold(rig, true);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    assert_int_equal(live(rig), 0);
    rig_why(rig, "base/a", "the disk is full");
    rig_advance(rig, 1000);
    assert_int_equal(live(rig), 0);
    hold(rig, false);
    assert_int_equal(live(rig), 2);
    rig_close(rig);
}

/* What runs may end, and its verdict counts; what follows from it waits. */
static void d7_answers_are_taken_while_held(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->rules.quorum = 2;
    rig_add(rig, "base/a", NULL, NULL);
    rig_add(rig, "base/b", "base/a", NULL);
    rig_worker(rig, "a1");
    rig_worker(rig, "b1");
    rig_start(rig);
    assert_int_equal(live(rig), 2);
    hold(rig, true);
    rig_answer_all(rig, "base/a", 'x');
    assert_int_equal(live(rig), 0);
    hold(rig, false);
    assert_int_equal(live(rig), 2);
    rig_answer_all(rig, "base/b", 'y');
    assert_int_equal(live(rig), 0);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(d7_nobody_is_asked_while_held_and_everybody_afterwards),
        cmocka_unit_test(d7_answers_are_taken_while_held),
    };
    return cmocka_run_group_tests_name("hold", tests, NULL, NULL);
}
