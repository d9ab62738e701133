/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "map.h"

#include <stdio.h>

static struct view key_of(int number, char text[16])
{
    return view_of(text, (size_t)snprintf(text, 16, "key%d", number));
}

static void test_set_get_remove(void **state)
{
    (void)state;
    int one, two;
    struct map *map = map_new();
    assert_null(map_get(map, VIEW("a")));
    assert_null(map_remove(map, VIEW("a")));
    assert_null(map_set(map, VIEW("a"), &one));
    assert_ptr_equal(map_set(map, VIEW("a"), &two), &one);
    assert_ptr_equal(map_get(map, VIEW("a")), &two);
    assert_null(map_set(map, VIEW("a\0b"), &one)); /* keys are bytes */
    assert_null(map_set(map, VIEW(""), &one));
    assert_int_equal(map_count(map), 3);
    assert_ptr_equal(map_remove(map, VIEW("a")), &two);
    assert_null(map_get(map, VIEW("a")));
    assert_ptr_equal(map_get(map, VIEW("a\0b")), &one);
    assert_ptr_equal(map_get(map, VIEW_NONE), &one);
    assert_int_equal(map_count(map), 2);
    assert_null(map_free(map));
    assert_null(map_free(NULL));
}

/* Against a plain array, through many insertions, removals and rebuilds. */
static void test_against_an_array(void **state)
{
    (void)state;
    enum { KEYS = 700 };
    static int values[KEYS];
    bool present[KEYS] = {false};
    size_t count = 0;
    uint64_t random = 88172645463325252u;
    struct map *map = map_new();
    for (int step = 0; step < 60000; step++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int i = (int)(random % KEYS);
        char text[16];
        struct view key = key_of(i, text);
        if ((random >> 32) % 2 == 0) {
            assert_ptr_equal(map_set(map, key, &values[i]), present[i] ? &values[i] : NULL);
            count += !present[i];
            present[i] = true;
        } else {
            assert_ptr_equal(map_remove(map, key), present[i] ? &values[i] : NULL);
            count -= present[i];
            present[i] = false;
        }
        assert_int_equal(map_count(map), count);
    }
    for (int i = 0; i < KEYS; i++) {
        char text[16];
        assert_ptr_equal(map_get(map, key_of(i, text)), present[i] ? &values[i] : NULL);
    }
    map_free(map);
}

static void test_iteration_is_in_order_of_insertion(void **state)
{
    (void)state;
    static int values[100];
    struct map *map = map_new();
    char text[16];
    for (int i = 0; i < 100; i++)
        map_set(map, key_of(i, text), &values[i]);
    size_t cursor = 0;
    struct view key;
    void *value;
    for (int i = 0; i < 100; i++) {
        assert_true(map_next(map, &cursor, &key, &value));
        assert_ptr_equal(value, &values[i]);
        if (i % 2 == 0)
            map_remove(map, key_of(i, text)); /* the one just returned */
    }
    assert_false(map_next(map, &cursor, &key, &value));
    cursor = 0;
    for (int i = 1; i < 100; i += 2) {
        assert_true(map_next(map, &cursor, &key, &value));
        assert_true(view_equal(key, key_of(i, text)));
    }
    assert_false(map_next(map, &cursor, &key, &value));
    map_set(map, key_of(0, text), &values[0]); /* comes back at the end */
    assert_true(map_next(map, &cursor, &key, &value));
    assert_ptr_equal(value, &values[0]);
    map_free(map);
}

int base_map_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_set_get_remove),
        cmocka_unit_test(test_against_an_array),
        cmocka_unit_test(test_iteration_is_in_order_of_insertion),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
