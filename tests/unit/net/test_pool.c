/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pool.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

struct square {
    struct pool_task task;
    int number, result;
    pthread_t ran_on;
};

struct sum {
    int total, finished, not_run;
};

static void run(struct pool_task *task)
{
    struct square *square = (struct square *)task;
    square->ran_on = pthread_self();
    square->result = square->number * square->number;
}

static void done(struct pool_task *task, void *context)
{
    struct square *square = (struct square *)task;
    struct sum *sum = context;
    sum->total += square->result;
    sum->finished++;
    sum->not_run += square->result == 0;
    if (square->result != 0)
        assert_false(pthread_equal(square->ran_on, pthread_self()));
    free(square);
}

static void submit(struct pool *pool, int number)
{
    struct square *square = mem_zero(1, sizeof *square);
    square->task.run = run;
    square->task.done = done;
    square->number = number;
    pool_submit(pool, &square->task);
}

static void wait_all(struct pool *pool)
{
    while (pool_pending(pool) > 0) {
        struct pollfd item = {.fd = pool_fd(pool), .events = POLLIN};
        assert_true(poll(&item, 1, 10000) == 1);
        pool_finish(pool);
    }
}

static void test_every_task_is_done_on_the_callers_thread(void **state)
{
    struct sum sum = {0};
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_new(3, &sum, &pool, NULL), 0);
    for (int i = 1; i <= 1000; i++)
        submit(pool, i);
    wait_all(pool);
    assert_int_equal(sum.finished, 1000);
    assert_int_equal(sum.total, 333833500);
    pool_free(pool);
}

static void test_freeing_finishes_what_was_not_started(void **state)
{
    struct sum sum = {0};
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_new(1, &sum, &pool, NULL), 0);
    for (int i = 1; i <= 5000; i++)
        submit(pool, 1);
    pool_free(pool);
    assert_int_equal(sum.finished, 5000); /* nothing leaks, run or not */
    assert_int_equal(sum.total + sum.not_run, 5000);
}

/* One that holds the only thread until it is told to end, and others that note their turn. */
struct turn {
    struct pool_task task;
    atomic_int *next, *held;
    int at;
};

static void run_turn(struct pool_task *task)
{
    struct turn *turn = (struct turn *)task;
    turn->at = atomic_fetch_add(turn->next, 1);
    while (turn->held != NULL && atomic_load(turn->held) != 0)
        sched_yield();
}

static void no_end(struct pool_task *task, void *context)
{
    (void)task;
    (void)context;
}

/* W13: what waits for long must not hold up what everybody waits for. */
static void test_some_go_first(void **state)
{
    atomic_int next = 0, held = 1;
    struct turn turns[4];
    struct pool *pool;
    (void)state;
    assert_int_equal(pool_new(1, NULL, &pool, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(turns); i++)
        turns[i] = (struct turn){.task = {.run = run_turn, .done = no_end}, .next = &next};
    turns[0].held = &held;
    pool_submit(pool, &turns[0].task);
    while (atomic_load(&next) == 0)
        sched_yield();
    pool_submit_first(pool, &turns[1].task); /* into an empty queue, */
    pool_submit(pool, &turns[2].task);
    pool_submit_first(pool, &turns[3].task); /* and before others */
    atomic_store(&held, 0);
    wait_all(pool);
    assert_int_equal(turns[3].at, 1);
    assert_int_equal(turns[1].at, 2);
    assert_int_equal(turns[2].at, 3);
    pool_free(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_task_is_done_on_the_callers_thread),
        cmocka_unit_test(test_freeing_finishes_what_was_not_started),
        cmocka_unit_test(test_some_go_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
