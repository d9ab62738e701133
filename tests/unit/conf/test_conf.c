/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

struct demo {
    char *listen, *names;
    uint64_t workers, store, timeout;
    bool open;
    char *token;
};

static const struct conf_key keys[] = {
    {"net", "listen", CONF_TEXT, offsetof(struct demo, listen), "tcp://127.0.0.1:7400", 0, 0},
    {"net", "names", CONF_LIST, offsetof(struct demo, names), "", 0, 0},
    {"net", "timeout", CONF_SECONDS, offsetof(struct demo, timeout), "5m", 1, 3600},
    {"farm", "workers", CONF_NUMBER, offsetof(struct demo, workers), "10", 1, 100},
    {"farm", "store", CONF_BYTES, offsetof(struct demo, store), "2G", 0, 0},
    {"farm", "open", CONF_FLAG, offsetof(struct demo, open), "no", 0, 0},
    {"farm", "token", CONF_TEXT, offsetof(struct demo, token), NULL, 0, 0},
};
static const char *const foreign[] = {"worker", NULL};

static void test_defaults(void **state)
{
    (void)state;
    struct demo demo = {0};
    struct diag diag = DIAG_INIT;
    assert_int_equal(
        conf_read(VIEW("[farm]\ntoken = x\n"), "farm.conf", keys, ARRAY_SIZE(keys), foreign, &demo, &diag),
        0);
    assert_string_equal(demo.listen, "tcp://127.0.0.1:7400");
    assert_string_equal(demo.names, "");
    assert_int_equal(demo.timeout, 300);
    assert_int_equal(demo.workers, 10);
    assert_int_equal(demo.store, (uint64_t)2 << 30);
    assert_false(demo.open);
    conf_done(keys, ARRAY_SIZE(keys), &demo);
    assert_null(demo.token);
}

static void test_values(void **state)
{
    (void)state;
    struct demo demo = {0};
    struct diag diag = DIAG_INIT;
    assert_int_equal(conf_read(VIEW("# comment\n"
                                    "; another = one\n"
                                    "\n"
                                    "[net]\n"
                                    "listen=tcp://[::1]:1;x\r\n"
                                    "names = a , b,c\n"
                                    "timeout = 1h\n"
                                    "[worker]\n"
                                    "anything = is skipped\n"
                                    "anything = twice\n"
                                    "[farm]\n"
                                    "workers = 100\n"
                                    "store = 1536K\n"
                                    "open = yes\n"
                                    "token ="),
                               "farm.conf", keys, ARRAY_SIZE(keys), foreign, &demo, &diag),
                     0);
    assert_string_equal(demo.listen, "tcp://[::1]:1;x");
    assert_string_equal(demo.names, "a,b,c");
    assert_int_equal(demo.timeout, 3600);
    assert_int_equal(demo.workers, 100);
    assert_int_equal(demo.store, 1536 * 1024);
    assert_true(demo.open);
    assert_string_equal(demo.token, "");
    CLEANUP_BUF struct buf text = BUF_INIT;
    conf_print(keys, ARRAY_SIZE(keys), &demo, &text);
    assert_string_equal(text.data, "[net]\nlisten = tcp://[::1]:1;x\nnames = a,b,c\ntimeout = 3600\n\n"
                                   "[farm]\nworkers = 100\nstore = 1572864\nopen = yes\ntoken = \n");
    conf_done(keys, ARRAY_SIZE(keys), &demo);
}

/* What is printed can be read again and means the same. */
static void test_print_round_trip(void **state)
{
    (void)state;
    struct demo demo = {0}, again = {0};
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf first = BUF_INIT;
    CLEANUP_BUF struct buf second = BUF_INIT;
    assert_int_equal(conf_read(VIEW("[farm]\ntoken = secret\nstore = 3T\n"), "f", keys, ARRAY_SIZE(keys),
                               NULL, &demo, &diag),
                     0);
    conf_print(keys, ARRAY_SIZE(keys), &demo, &first);
    assert_int_equal(conf_read(buf_view(&first), "f", keys, ARRAY_SIZE(keys), NULL, &again, &diag), 0);
    conf_print(keys, ARRAY_SIZE(keys), &again, &second);
    assert_string_equal(first.data, second.data);
    conf_done(keys, ARRAY_SIZE(keys), &demo);
    conf_done(keys, ARRAY_SIZE(keys), &again);
}

#define LONG50 "01234567890123456789012345678901234567890123456789"

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        struct view text;
        const char *message; /* must be part of it */
    } cases[] = {
        {VIEW("[net]\nlisten = x\n"), "\"token\" in section [farm] must be given"},
        {VIEW("[farm]\ntoken = x\nworker = 1\n"), "farm.conf:3: unknown key \"worker\" in section [farm]"},
        {VIEW("[elsewhere]\ntoken = x\n"), "farm.conf:2: unknown key \"token\" in section [elsewhere]"},
        {VIEW("token = x\n"), "farm.conf:1: unknown key \"token\" in section []"},
        {VIEW("[farm]\ntoken = x\n\ntoken = x\n"), "farm.conf:4: \"token\" stands in [farm] a second time"},
        {VIEW("[farm]\ntoken = x\n[net]\n[farm]\ntoken = y\n"), "farm.conf:5: \"token\" stands in"},
        {VIEW("[farm]\ntoken = x\nworkers = 0\n"), "farm.conf:3: workers must be from 1 to 100"},
        {VIEW("[farm]\ntoken = x\nworkers = 101\n"), "farm.conf:3: workers must be from 1 to 100"},
        {VIEW("[farm]\ntoken = x\nworkers = ten\n"), "farm.conf:3: workers = ten is not a whole number"},
        {VIEW("[farm]\ntoken = x\nworkers = -1\n"), "is not a whole number"},
        {VIEW("[farm]\ntoken = x\nworkers =\n"), "is not a whole number"},
        {VIEW("[farm]\ntoken = x\nstore = 1.5G\n"), "farm.conf:3: store = 1.5G is not a size"},
        {VIEW("[farm]\ntoken = x\nstore = 99999999999T\n"), "is not a size"},
        {VIEW("[farm]\ntoken = x\nopen = true\n"), "farm.conf:3: open = true is not yes or no"},
        {VIEW("[farm]\ntoken = x\n[net]\ntimeout = 2h\n"), "farm.conf:4: timeout must be from 1 to 3600"},
        {VIEW("[farm]\ntoken = x\n[net]\ntimeout = 2 h\n"), "is not a time"},
        {VIEW("[farm]\ntoken = x\n[net]\nnames = a,,b\n"), "farm.conf:4: names = a,,b is not a list"},
        {VIEW("[farm]\ntoken = x\n[net]\nnames = a,\n"), "is not a list"},
        {VIEW("[farm]\ntoken\n"), "farm.conf:2: neither"},
        {VIEW("[farm\ntoken = x\n"), "farm.conf:1: neither"},
        {VIEW("[farm]\ntoken = x\n  continued\n"), "farm.conf:3: the line begins with a space"},
        {VIEW("[farm]\n token = x\n"), "farm.conf:2: the line begins with a space"},
        {VIEW("[farm]\ntoken = x ; secret\n"), "farm.conf:2: the line has a comment behind the value"},
        {VIEW("[farm]\ntoken =;x\n"), "farm.conf:2: the line has a comment behind the value"},
        {VIEW("[farm]\ntoken = x # secret\n"), "farm.conf:2: the line has a comment behind the value"},
        {VIEW("[farm]\ntoken = \xff\n"), "farm.conf:2: the line holds bytes that are not UTF-8"},
        {VIEW("[farm]\ntoken = a\0b\n"), "farm.conf:2: the line holds bytes that are not UTF-8"},
        {VIEW("[farm]\ntoken =\v# secret\n"), "farm.conf:2: the line holds a control character"},
        {VIEW("[farm]\ntoken = a\rb\n"), "farm.conf:2: the line holds a control character"},
        {VIEW("[farm]\ntoken = " LONG50 LONG50 LONG50 LONG50 "\n"),
         "farm.conf:2: the line is longer than 198 bytes"},
        {VIEW("[farm]\ntoken=" LONG50 LONG50 LONG50 "1234567890123456789012345678901234567890X\n"),
         "farm.conf:2: the line is longer than 198 bytes, written as \"token = value\""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct demo demo = {.workers = 77}, untouched = demo;
        struct diag diag = DIAG_INIT;
        int status = conf_read(cases[i].text, "farm.conf", keys, ARRAY_SIZE(keys), foreign, &demo, &diag);
        assert_int_equal(status, FARM_E_CONFIG);
        if (strstr(diag.text, cases[i].message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", diag.text, cases[i].message);
        assert_memory_equal(&demo, &untouched, sizeof demo);
    }
}

/* 198 bytes are the longest line that inih does not cut: it arrives whole. */
static void test_longest_line(void **state)
{
    (void)state;
    struct demo demo = {0};
    struct diag diag = DIAG_INIT;
    char line[256];
    snprintf(line, sizeof line, "[farm]\ntoken = %s%s%s%.40s", LONG50, LONG50, LONG50, LONG50);
    assert_int_equal(strlen(line) - 7, 198);
    assert_int_equal(conf_read(view_text(line), "f", keys, ARRAY_SIZE(keys), NULL, &demo, &diag), 0);
    assert_int_equal(strlen(demo.token), 190);
    conf_done(keys, ARRAY_SIZE(keys), &demo);
}

static void test_size_limit(void **state)
{
    (void)state;
    struct demo demo = {0};
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    while (text.size <= CONF_FILE_MAX)
        buf_add_text(&text, "# a comment line\n");
    assert_int_equal(conf_read(buf_view(&text), "f", keys, ARRAY_SIZE(keys), NULL, &demo, &diag),
                     FARM_E_CONFIG);
}

static void test_units(void **state)
{
    (void)state;
    uint64_t number = 0;
    assert_true(conf_parse_bytes(VIEW("7"), &number) && number == 7);
    assert_true(conf_parse_bytes(VIEW("0"), &number) && number == 0);
    assert_true(conf_parse_bytes(VIEW("64M"), &number) && number == 64 << 20);
    assert_true(conf_parse_bytes(VIEW("16777215T"), &number) && number == (uint64_t)16777215 << 40);
    assert_false(conf_parse_bytes(VIEW("16777216T"), &number));
    assert_false(conf_parse_bytes(VIEW("M"), &number));
    assert_false(conf_parse_bytes(VIEW(""), &number));
    assert_false(conf_parse_bytes(VIEW("64MiB"), &number));
    assert_false(conf_parse_bytes(VIEW("01"), &number));
    assert_true(conf_parse_seconds(VIEW("2d"), &number) && number == 172800);
    assert_true(conf_parse_seconds(VIEW("90"), &number) && number == 90);
    assert_true(conf_parse_seconds(VIEW("90s"), &number) && number == 90);
    assert_false(conf_parse_seconds(VIEW("1w"), &number));
    assert_false(conf_parse_seconds(VIEW("1hm"), &number));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_print_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_longest_line),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
