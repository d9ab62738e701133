/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "buf.h"

#include <stdlib.h>
#include <unistd.h>

static void test_grows_and_stays_terminated(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf buf = BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        buf_add_format(&buf, "%03d", i);
        assert_int_equal(buf.size, 3 * (i + 1));
        assert_int_equal(buf.data[buf.size], '\0');
    }
    assert_memory_equal(buf.data + 2997, "999", 4);
    buf_clear(&buf);
    assert_string_equal(buf.data, "");
    buf_add_view(&buf, VIEW("a\0b"));
    buf_add_view(&buf, VIEW_NONE);
    buf_add_byte(&buf, 'c');
    assert_int_equal(buf.size, 4);
    assert_memory_equal(buf.data, "a\0bc", 5);
}

static void test_steal(void **state)
{
    (void)state;
    struct buf buf = BUF_INIT;
    CLEANUP_FREE char *empty = buf_steal(&buf);
    assert_string_equal(empty, "");
    buf_add_text(&buf, "text");
    CLEANUP_FREE char *text = buf_steal(&buf);
    assert_string_equal(text, "text");
    assert_null(buf.data);
    assert_int_equal(buf.capacity, 0);
    buf_done(&buf);
    buf_clear(&buf);
}

static void test_mem(void **state)
{
    (void)state;
    size_t capacity = 0;
    int *items = mem_reserve(NULL, &capacity, 9, sizeof *items);
    assert_int_equal(capacity, 16);
    items[15] = 1;
    assert_ptr_equal(mem_reserve(items, &capacity, 16, sizeof *items), items);
    free(items);
    free(mem_alloc(0));
    free(mem_zero(0, 0));
    CLEANUP_FREE char *text = mem_string_n(NULL, 0);
    assert_string_equal(text, "");
    char *stolen = STEAL(text);
    assert_null(text);
    free(stolen);
    int fd = dup(0), kept = STEAL_FD(fd);
    assert_int_equal(fd, -1);
    mem_close_p(&kept);
    mem_close_p(&kept);
    assert_int_equal(kept, -1);
}

int base_buf_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows_and_stays_terminated),
        cmocka_unit_test(test_steal),
        cmocka_unit_test(test_mem),
    };
    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
