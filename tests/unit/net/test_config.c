/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "config.h"

#include "buf.h"
#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define EXAMPLE FARM_SOURCE_DIR "/farm.conf.example"

/* The value that the example gives a key; false if the key does not stand in that section. */
static bool example_value(struct view text, const char *section, const char *name, struct view *ret)
{
    CLEANUP_FREE char *heading = mem_format("[%s]", section);
    struct view line;
    bool inside = false;
    while (view_split(&text, '\n', &line)) {
        if (line.size > 0 && line.data[0] == '[')
            inside = view_equal(line, view_text(heading));
        size_t length = strlen(name);
        if (!inside || line.size < length + 2 || memcmp(line.data, name, length) != 0 ||
            line.data[length] != ' ')
            continue;
        *ret = view_of(line.data + length + 2, line.size - length - 2);
        if (ret->size > 0 && ret->data[0] == ' ')
            *ret = view_of(ret->data + 1, ret->size - 1);
        return true;
    }
    return false;
}

static void test_the_example_names_every_key_with_its_default(void **state)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    (void)state;
    assert_int_equal(file_read(AT_FDCWD, EXAMPLE, 1 << 20, &text, NULL), 0);
    for (size_t i = 0; i < coordinator_nkeys; i++) {
        struct view value;
        if (!example_value(buf_view(&text), coordinator_keys[i].section, coordinator_keys[i].name, &value))
            fail_msg("farm.conf.example does not name \"%s\"", coordinator_keys[i].name);
        if (coordinator_keys[i].fallback != NULL &&
            !view_equal(value, view_text(coordinator_keys[i].fallback)))
            fail_msg("farm.conf.example: %s is \"%.*s\", the default is \"%s\"", coordinator_keys[i].name,
                     VIEW_ARG(value), coordinator_keys[i].fallback);
    }
}

static void test_the_example_is_accepted(void **state)
{
    struct coordinator_config config = {0};
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_equal(config_read(EXAMPLE, &config, &diag), 0);
    assert_int_equal(config.session_timeout, 30);
    assert_int_equal(config.download_limit, (uint64_t)2 << 30);
    config_done(&config);
}

static void test_a_missing_file_is_a_configuration_error(void **state)
{
    struct coordinator_config config = {0};
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_equal(config_read("no-such-file", &config, &diag), FARM_E_CONFIG);
    assert_non_null(strstr(diag.text, "no-such-file"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_example_names_every_key_with_its_default),
        cmocka_unit_test(test_the_example_is_accepted),
        cmocka_unit_test(test_a_missing_file_is_a_configuration_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
