/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "health.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define GIB ((uint64_t)1 << 30)
#define DAY ((int64_t)24 * 3600 * 1000)

static void note_done(struct health_note *note)
{
    buf_done(&note->text);
    buf_done(&note->remedy);
}

static void disk_by_numbers(void **state)
{
    static const struct {
        struct health_disk disk;
        enum health_level level;
    } cases[] = {
        {{10 * GIB, GIB, 1000, 500}, HEALTH_OK},   {{GIB, GIB, 1000, 500}, HEALTH_WARN},
        {{GIB - 1, GIB, 1000, 500}, HEALTH_FAIL},  {{10 * GIB, GIB, 1000, 49}, HEALTH_WARN},
        {{10 * GIB, GIB, 1000, 9}, HEALTH_FAIL},   {{10 * GIB, GIB, 0, 0}, HEALTH_OK},
        {{GIB - 1, GIB, 1000, 20}, HEALTH_FAIL},   {{0, 0, 0, 0}, HEALTH_OK},
        {{UINT64_MAX, GIB, 1000, 500}, HEALTH_OK},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP(note_done) struct health_note note = {.name = "disk"};
        health_judge_disk(&note, &cases[i].disk);
        assert_int_equal(note.level, cases[i].level);
        assert_int_equal(note.remedy.size > 0, cases[i].level > HEALTH_NONE);
    }
}

static enum health_level expiry(int64_t left_ms)
{
    CLEANUP(note_done) struct health_note note = {.name = "root"};
    health_check_expiry(&note, "it", 100 * DAY, 100 * DAY + left_ms, 30, "renew it");
    return note.level;
}

static void what_expires_is_said_before(void **state)
{
    (void)state;
    assert_int_equal(expiry(31 * DAY), HEALTH_OK);
    assert_int_equal(expiry(29 * DAY), HEALTH_WARN);
    assert_int_equal(expiry(0), HEALTH_FAIL);
    assert_int_equal(expiry(-DAY), HEALTH_FAIL);
}

static void a_clock_behind_what_was_written(void **state)
{
    (void)state;
    CLEANUP(note_done) struct health_note behind = {.name = "clock"}, slack = {.name = "clock"};
    health_check_clock(&behind, 100 * DAY, 101 * DAY);
    assert_int_equal(behind.level, HEALTH_FAIL);
    health_check_clock(&slack, 100 * DAY, 100 * DAY + 1000);
    assert_int_not_equal(slack.level, HEALTH_FAIL);
}

static void secrets_are_closed(void **state)
{
    (void)state;
    char path[] = "health-test-XXXXXX";
    int dirfd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP(note_done) struct health_note link = {.name = "key"}, none = {.name = "key"};
    CLEANUP_CLOSE int fd = mkstemp(path);
    assert_true(fd >= 0);
    CLEANUP(note_done) struct health_note good = {.name = "key"};
    health_check_secret(&good, dirfd, path);
    assert_int_equal(good.level, HEALTH_OK);
    assert_int_equal(chmod(path, 0640), 0);
    CLEANUP(note_done) struct health_note open_to_others = {.name = "key"};
    health_check_secret(&open_to_others, dirfd, path);
    assert_int_equal(open_to_others.level, HEALTH_FAIL);
    assert_int_equal(unlink(path), 0);
    health_check_secret(&none, dirfd, path);
    assert_int_equal(none.level, HEALTH_FAIL);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    health_check_secret(&link, dirfd, path);
    assert_int_equal(link.level, HEALTH_FAIL);
    unlink(path);
    close(dirfd);
}

static void run_bad(void *context, struct health_note *note)
{
    (void)context;
    health_say(note, HEALTH_FAIL, "mend it", "broken \033[2J");
    health_say(note, HEALTH_OK, NULL, "and more");
}

static void run_good(void *context, struct health_note *note)
{
    ++*(int *)context;
    health_say(note, HEALTH_OK, NULL, "well");
}

static void a_report_is_as_bad_as_its_worst_line(void **state)
{
    static const struct health_check checks[] = {{"one", run_good}, {"two", run_bad}, {"three", run_good}};
    CLEANUP(health_report_done) struct health_report report = HEALTH_REPORT_INIT;
    char *text = NULL;
    size_t size = 0;
    int runs = 0;
    (void)state;
    health_run(checks, ARRAY_SIZE(checks), &runs, &report);
    assert_int_equal(runs, 2);
    assert_int_equal(health_exit(&report), FARM_EXIT_VIOLATION);
    FILE *out = open_memstream(&text, &size);
    health_print(&report, out);
    fclose(out);
    assert_string_equal(
        text, "ok    one: well\nfail  two: broken ?[2J; and more. Do: mend it\nok    three: well\n");
    free(text);
    CLEANUP_JSON json_t *body = health_json(&report);
    assert_string_equal(json_string_value(json_object_get(body, "worst")), "fail");
    assert_int_equal(json_array_size(json_object_get(body, "checks")), 3);
}

static void addresses(void **state)
{
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_true(health_connect("nonsense", &diag) < 0);
    assert_true(health_connect("127.0.0.1:1", &diag) < 0);
    assert_int_equal(health_can_listen("127.0.0.1:0", &diag), 0);
    assert_int_equal(health_can_listen("[::ffff:127.0.0.1]:0", &diag), 0);
    assert_true(health_can_listen("192.0.2.1:7440", &diag) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(disk_by_numbers),    cmocka_unit_test(what_expires_is_said_before),
        cmocka_unit_test(secrets_are_closed), cmocka_unit_test(a_clock_behind_what_was_written),
        cmocka_unit_test(addresses),          cmocka_unit_test(a_report_is_as_bad_as_its_worst_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
