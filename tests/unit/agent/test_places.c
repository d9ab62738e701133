/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "mem.h"
#include "places.h"

#include <sched.h>
#include <stdlib.h>

/* What the rule says of so many processors, to a process that runs here. */
struct choice {
    unsigned count, width, here;
    size_t nheld;
    unsigned held[3];
    unsigned expected;
};

static void expect(const struct choice *choices, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct choice *c = &choices[i];
        unsigned found = places_choose(c->count, c->width, c->here, c->nheld > 0 ? c->held : NULL, c->nheld);
        if (found != c->expected)
            fail_msg("%u wide of %u, at %u, %zu held: %u instead of %u", c->width, c->count, c->here,
                     c->nheld, found, c->expected);
    }
}

static void begins_where_it_was_woken(void **state)
{
    (void)state;
    static const struct choice choices[] = {{8, 2, 0, .expected = 0},
                                            {8, 2, 5, .expected = 4},
                                            {8, 2, 7, .expected = 6},
                                            {8, 1, 7, .expected = 7}};
    expect(choices, ARRAY_SIZE(choices));
}

static void goes_on_to_what_no_neighbour_holds(void **state)
{
    (void)state;
    static const struct choice choices[] = {
        {8, 2, 5, 1, {4}, 6}, {8, 2, 5, 2, {4, 6}, 0}, {8, 2, 5, 3, {4, 6, 0}, 2}};
    expect(choices, ARRAY_SIZE(choices));
}

static void shares_only_when_all_are_held(void **state)
{
    (void)state;
    expect(&(struct choice){2, 1, 1, 2, {0, 1}, 1}, 1);
}

/* Fewer cores given than there are slots, a width that does not divide, one wider than the machine. */
static void odd_widths(void **state)
{
    (void)state;
    static const struct choice choices[] = {{4, 0, 3, .expected = 3},
                                            {7, 3, 6, .expected = 0},
                                            {7, 3, 5, 1, {0}, 3},
                                            {2, 4, 1, .expected = 0},
                                            {1, 1, 0, 1, {0}, 0}};
    expect(choices, ARRAY_SIZE(choices));
}

/* With one processor left to it a process is on the first of its one. */
static void counts_only_its_own_processors(void **state)
{
    (void)state;
    cpu_set_t before, one;
    unsigned count = 0;
    assert_int_equal(sched_getaffinity(0, sizeof before, &before), 0);
    unsigned here = places_here(&count);
    assert_true(here < count);
    assert_int_equal(count, CPU_COUNT(&before));
    int last = CPU_SETSIZE - 1;
    while (!CPU_ISSET(last, &before))
        last--;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    here = places_here(&count);
    assert_int_equal(sched_setaffinity(0, sizeof before, &before), 0);
    assert_int_equal(here, 0);
    assert_int_equal(count, 1);
}

/* As many as there are processors are all different ones, and what was given back is to be had again. */
static void neighbours_hold_different_places(void **state)
{
    (void)state;
    struct places *places = places_new(1);
    unsigned count, taken[CPU_SETSIZE];
    (void)places_here(&count);
    for (unsigned i = 0; i < count; i++) {
        taken[i] = places_take(places);
        assert_in_range(taken[i], 0, count - 1);
        for (unsigned k = 0; k < i; k++)
            assert_int_not_equal(taken[k], taken[i]);
    }
    unsigned shared = places_take(places);
    assert_in_range(shared, 0, count - 1);
    places_give(places, shared);
    places_give(places, taken[count - 1]);
    assert_int_equal(places_take(places), taken[count - 1]);
    places_free(places);
}

int suite_places(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(begins_where_it_was_woken),
                                       cmocka_unit_test(goes_on_to_what_no_neighbour_holds),
                                       cmocka_unit_test(shares_only_when_all_are_held),
                                       cmocka_unit_test(odd_widths),
                                       cmocka_unit_test(counts_only_its_own_processors),
                                       cmocka_unit_test(neighbours_hold_different_places)};
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
