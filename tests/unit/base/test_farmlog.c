/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farmlog.h"

#include "base_test.h"

#include "file.h"
#include "json.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static const struct log_field none[] = {{.key = FIELD_END}};

/* One line without its end, owned. */
static char *compose(enum log_format format, bool journal, const char *message,
                     const struct log_field *fields)
{
    CLEANUP_BUF struct buf line = BUF_INIT;
    log_compose(format, journal, 0, LOG_LEVEL_WARNING, message, fields, &line);
    assert_int_equal(line.data[line.size - 1], '\n');
    assert_null(memchr(line.data, '\n', line.size - 1)); /* whatever was in it */
    line.data[line.size - 1] = '\0';
    return buf_steal(&line);
}

static void expect_line(const char *wanted, enum log_format format, bool journal, const char *message,
                        const struct log_field *fields)
{
    CLEANUP_FREE char *line = compose(format, journal, message, fields);
    assert_string_equal(line, wanted);
}

static void test_levels_and_formats(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("warning"), LOG_LEVEL_WARNING);
    assert_true(log_level_parse("Warning") < 0 && log_level_parse("") < 0);
    assert_string_equal(log_level_name(LOG_LEVEL_DEBUG), "debug");
    assert_int_equal(log_format_parse("text"), LOG_FORMAT_TEXT);
    assert_int_equal(log_format_parse("json"), LOG_FORMAT_JSON);
    assert_true(log_format_parse("xml") < 0);
    enum log_level before = log_get_level();
    log_set_level(LOG_LEVEL_ERROR);
    assert_int_equal(log_get_level(), LOG_LEVEL_ERROR);
    log_set_level(before);
}

static void test_four_shapes(void **state)
{
    const struct log_field fields[] = {log_text(FIELD_NODE, "extra/one"),
                                       log_text(FIELD_WORKER, "birch-1"),
                                       log_number(FIELD_ROUND, -2),
                                       {.key = FIELD_END}};
    (void)state;
    expect_line("1970-01-01T00:00:00Z WARN  lease ended node=extra/one worker=birch-1 round=-2",
                LOG_FORMAT_TEXT, false, "lease ended", fields);
    expect_line("<4>lease ended node=extra/one worker=birch-1 round=-2", LOG_FORMAT_TEXT, true, "lease ended",
                fields);
    expect_line("{\"time\":\"1970-01-01T00:00:00Z\",\"level\":\"warning\",\"message\":\"lease ended\","
                "\"node\":\"extra/one\",\"worker\":\"birch-1\",\"round\":-2}",
                LOG_FORMAT_JSON, false, "lease ended", fields);
    expect_line("<4>{\"time\":\"1970-01-01T00:00:00Z\",\"level\":\"warning\",\"message\":\"x\"}",
                LOG_FORMAT_JSON, true, "x", none);
}

static void test_digests_are_whole(void **state)
{
    struct digest digest;
    memset(digest.bytes, 0xab, sizeof digest.bytes);
    const struct log_field fields[] = {
        log_digest(FIELD_JOB, &digest), log_bytes(FIELD_LEASE, digest.bytes), {.key = FIELD_END}};
    CLEANUP_FREE char *wanted =
        mem_format("<4>x job=%s lease=%s", digest_hex(&digest).text, digest_hex(&digest).text);
    (void)state;
    expect_line(wanted, LOG_FORMAT_TEXT, true, "x", fields);
}

static void test_what_strangers_write_forges_nothing(void **state)
{
    static const struct {
        const char *value, *wanted;
    } cases[] = {
        {"", "\"\""},
        {"plain-1.0_a:b/c@d+e,f", "plain-1.0_a:b/c@d+e,f"},
        {"two words", "\"two words\""},
        {"x worker=mallory", "\"x worker=mallory\""},
        {"x\" worker=\"mallory", "\"x\\\" worker=\\\"mallory\""},
        {"back\\", "\"back\\\\\""},
        {"x\n<0>forged", "\"x\\n<0>forged\""},
        {"x\r\t\033[2J\177", "\"x\\u000d\\u0009\\u001b[2J\\u007f\""},
        {"gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\""},
        {"c1 \xc2\x9b"
         "2J",
         "\"c1 \\u009b2J\""},
        {"\xe2\x80\xae"
         "abc\xe2\x80\xa8\xe2\x81\xa6",
         "\"\\u202eabc\\u2028\\u2066\""},
        {"\xe2\x82\xac", "\"\xe2\x82\xac\""},
        {"\xff"
         "a\xc3",
         "\"\\ufffda\\ufffd\""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct log_field fields[] = {
            log_text(FIELD_REASON, cases[i].value), log_text(FIELD_WORKER, "w"), {.key = FIELD_END}};
        CLEANUP_FREE char *wanted = mem_format("<4>m reason=%s worker=w", cases[i].wanted);
        expect_line(wanted, LOG_FORMAT_TEXT, true, "m", fields);
        /* As JSON: one object that any reader accepts, and the worker is who it is. */
        CLEANUP_FREE char *line = compose(LOG_FORMAT_JSON, false, "m", fields);
        CLEANUP_JSON json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "worker")), "w");
        assert_int_equal(json_object_size(json), 5);
    }
}

static void test_a_message_is_bare_only_where_it_cannot_be_mistaken(void **state)
{
    (void)state;
    expect_line("<4>say \"no\" to it", LOG_FORMAT_TEXT, true, "say \"no\" to it", none);
    expect_line("<4>\"a worker=b\"", LOG_FORMAT_TEXT, true, "a worker=b", none);
    expect_line("<4>\"\\\"a\\\" b\"", LOG_FORMAT_TEXT, true, "\"a\" b", none);
    expect_line("<4>\"a\\nb\"", LOG_FORMAT_TEXT, true, "a\nb", none);
}

static void test_the_guide_names_every_key(void **state)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    (void)state;
    assert_int_equal(file_read(AT_FDCWD, FARM_SOURCE_DIR "/docs/OPERATORS.md", 1 << 20, &text, NULL), 0);
    const char *table = strstr(text.data, "| field | names |");
    assert_non_null(table);
    const char *end = strstr(table, "\n\n");
    assert_non_null(end);
    CLEANUP_FREE char *rows = mem_string_n(table, (size_t)(end - table));
    size_t named = 0;
    for (const char *row = rows; (row = strstr(row, "\n| `")) != NULL; row++)
        named++;
    for (int key = FIELD_END + 1; key < FIELD_KEYS; key++) {
        CLEANUP_FREE char *row = mem_format("\n| `%s` |", log_key_name((enum log_key)key));
        if (strstr(rows, row) == NULL)
            fail_msg("docs/OPERATORS.md does not explain the field \"%s\"", log_key_name((enum log_key)key));
    }
    assert_int_equal(named, FIELD_KEYS - 1);
}

/* What is written, on standard error, by level. */
static void test_the_level_decides(void **state)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    char path[] = "/tmp/farm-log.XXXXXX";
    int file = mkstemp(path), before = dup(STDERR_FILENO);
    (void)state;
    assert_true(file >= 0 && before >= 0);
    dup2(file, STDERR_FILENO);
    log_set_level(LOG_LEVEL_WARNING);
    log_event(LOG_LEVEL_INFO, "not this", log_text(FIELD_WORKER, "w"));
    log_event(LOG_LEVEL_WARNING, "but this", log_text(FIELD_WORKER, "w"));
    log_error("and %d", 7);
    log_set_level(LOG_LEVEL_INFO);
    dup2(before, STDERR_FILENO);
    close(before);
    close(file);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 16, &text, NULL), 0);
    unlink(path);
    assert_null(strstr(text.data, "not this"));
    assert_non_null(strstr(text.data, "but this worker=w\n"));
    assert_non_null(strstr(text.data, "and 7\n"));
}

int base_farmlog_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_levels_and_formats),
        cmocka_unit_test(test_four_shapes),
        cmocka_unit_test(test_digests_are_whole),
        cmocka_unit_test(test_what_strangers_write_forges_nothing),
        cmocka_unit_test(test_a_message_is_bare_only_where_it_cannot_be_mistaken),
        cmocka_unit_test(test_the_guide_names_every_key),
        cmocka_unit_test(test_the_level_decides),
    };
    return cmocka_run_group_tests_name("farmlog", tests, NULL, NULL);
}
