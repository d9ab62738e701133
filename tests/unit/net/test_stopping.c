/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What runs in the pool when a coordinator stops: tasks that may take long are told to end, and say that they did not do it all. Nothing here waits
 * for a time: a task of the test's own holds the pool until the coordinator leaves, so that what waits behind it begins after that.
 */
#include "rig_ask.h"

#include "file.h"
#include "scrub.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { HOLDERS = 64 }; /* more than the pool has threads */

static int setup(void **state)
{
    *state = rig_new();
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

/* ---- the pool's threads, held ---- */

struct holder {
    struct pool_task task;
    atomic_bool *held;
};

static void hold(struct pool_task *task)
{
    while (atomic_load(((struct holder *)task)->held))
        sched_yield();
}

static void no_end(struct pool_task *task, void *context)
{
    (void)task;
    (void)context;
}

static void hold_pool(struct rig *rig, struct holder *holders, atomic_bool *held)
{
    atomic_store(held, true);
    for (size_t i = 0; i < HOLDERS; i++) {
        holders[i] = (struct holder){.task = {.run = hold, .done = no_end}, .held = held};
        pool_submit(rig->farm->pool, &holders[i].task);
    }
}

static void make_objects(struct rig *rig)
{
    static const size_t workers[] = {RIG_ALPHA, RIG_BETA};
    rig_build(rig, workers, ARRAY_SIZE(workers));
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
}

static void leave(struct rig *rig)
{
    rig->farm->leaving = true;
    pool_leave(rig->farm->pool);
}

static void finish_pool(struct rig *rig)
{
    while (pool_pending(rig->farm->pool) > 0) {
        pool_finish(rig->farm->pool);
        sched_yield();
    }
}

static int64_t number(const json_t *body, const char *key)
{
    assert_non_null(json_object_get(body, key));
    return json_integer_value(json_object_get(body, key));
}

/* ---- what is told ---- */

struct asker {
    struct pool_task task;
    atomic_int asked;
    int answer;
    struct diag diag;
};

static void ask_until_told(struct pool_task *task)
{
    struct asker *asker = (struct asker *)task;
    do {
        asker->answer = pool_check(task, &asker->diag);
        atomic_fetch_add(&asker->asked, 1);
        sched_yield();
    } while (asker->answer >= 0);
}

static void wait_for_asking(struct asker *asker, int more)
{
    for (int target = atomic_load(&asker->asked) + more; atomic_load(&asker->asked) < target;)
        sched_yield();
}

/* A background task as soon as the coordinator leaves; others when the pool is freed, which waits for them and would not end otherwise. */
static void test_tasks_are_told_to_end(void **state)
{
    struct asker background = {.task = {.run = ask_until_told, .done = no_end, .background = true}},
                 foreground = {.task = {.run = ask_until_told, .done = no_end}};
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_new(2, NULL, &pool, NULL), 0);
    pool_submit(pool, &background.task);
    pool_submit(pool, &foreground.task);
    wait_for_asking(&background, 10);
    pool_leave(pool);
    while (pool_finish(pool) == 0)
        sched_yield();
    assert_int_equal(background.answer, -ECANCELED);
    assert_string_equal(background.diag.text, "the coordinator stops");
    wait_for_asking(&foreground, 10); /* still at work */
    pool_free(pool);
    assert_int_equal(foreground.answer, -ECANCELED);
}

/* ---- the two that are told at once ---- */

static void test_a_scrub_is_interrupted_and_goes_on_later(void **state)
{
    struct rig *rig = *state;
    struct holder holders[HOLDERS];
    atomic_bool held;
    make_objects(rig);
    hold_pool(rig, holders, &held);
    scrub_hurry(rig->farm);
    scrub_turn(rig->farm);
    assert_true(scrub_is_working(rig->farm));
    leave(rig);
    atomic_store(&held, false);
    finish_pool(rig);
    json_t *pass = scrub_report_pass(rig->farm);
    assert_false(scrub_is_working(rig->farm));
    assert_int_equal(number(pass, "done"), 0);
    assert_int_equal(scrub_passes(rig->farm), 0);
    assert_true(json_is_string(json_object_get(pass, "started"))); /* it stands where it was */
    json_decref(pass);
    rig_restart(rig);
    scrub_hurry(rig->farm);
    while (scrub_passes(rig->farm) == 0) {
        scrub_turn(rig->farm);
        finish_pool(rig);
    }
    pass = scrub_report_pass(rig->farm);
    assert_true(number(pass, "done") > 0);
    assert_int_equal(number(pass, "done"), number(pass, "of"));
    json_decref(pass);
}

static void test_a_backup_is_interrupted_and_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct holder holders[HOLDERS];
    atomic_bool held;
    CLEANUP_FREE char *to = mem_format("%s-backup", rig->path);
    make_objects(rig);
    hold_pool(rig, holders, &held);
    struct rig_asking asking = rig_ask_begin(rig, "backup", json_pack("{s:s}", "to", to));
    while (!rig->farm->backing_up)
        rig_ctl_turn(rig);
    leave(rig);
    atomic_store(&held, false);
    struct rig_reply reply = rig_ask_end(&asking);
    assert_int_equal(reply.status, FARM_EXIT_CANNOT_RUN);
    assert_string_equal(reply.error, "the coordinator stops; no backup was made");
    assert_false(rig->farm->backing_up);
    assert_int_equal(faccessat(AT_FDCWD, to, F_OK, 0), -1);
    rig_reply_done(&reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tasks_are_told_to_end),
        cmocka_unit_test_setup_teardown(test_a_scrub_is_interrupted_and_goes_on_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_backup_is_interrupted_and_leaves_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
