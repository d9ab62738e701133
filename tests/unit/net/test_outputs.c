/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Which outputs were found canonical: by all three digests, and the oldest are forgotten first. */
#include "outputs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct digest numbered(size_t number)
{
    char text[24];
    int size = snprintf(text, sizeof text, "%zu", number);
    return digest_of(view_of(text, (size_t)size));
}

static void test_each_of_the_three_counts(void **state)
{
    (void)state;
    struct outputs *outputs = outputs_new();
    struct digest one = numbered(1), two = numbered(2), three = numbered(3), other = numbered(4);
    assert_false(outputs_knows(outputs, &one, &two, &three));
    outputs_add(outputs, &one, &two, &three);
    assert_true(outputs_knows(outputs, &one, &two, &three));
    assert_false(outputs_knows(outputs, &other, &two, &three));
    assert_false(outputs_knows(outputs, &one, &other, &three));
    assert_false(outputs_knows(outputs, &one, &two, &other));
    assert_false(outputs_knows(outputs, &one, &three, &two));
    outputs_forget(outputs);
    assert_false(outputs_knows(outputs, &one, &two, &three));
    outputs_add(outputs, &one, &two, &three);
    assert_true(outputs_knows(outputs, &one, &two, &three));
    outputs_free(outputs);
}

static void test_the_oldest_are_forgotten(void **state)
{
    (void)state;
    struct outputs *outputs = outputs_new();
    struct digest same = numbered(0);
    for (size_t i = 0; i < OUTPUTS_KEPT + 10; i++) {
        struct digest job = numbered(i);
        outputs_add(outputs, &job, &same, &same);
        outputs_add(outputs, &job, &same, &same); /* again: takes no second place */
    }
    for (size_t i = 0; i < OUTPUTS_KEPT + 10; i++) {
        struct digest job = numbered(i);
        assert_int_equal(outputs_knows(outputs, &job, &same, &same), i >= 10);
    }
    outputs_free(outputs);
    assert_null(outputs_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_of_the_three_counts),
        cmocka_unit_test(test_the_oldest_are_forgotten),
    };
    return cmocka_run_group_tests_name("outputs", tests, NULL, NULL);
}
