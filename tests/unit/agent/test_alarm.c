/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "guard.h"

#include "alarm.h"
#include "file.h"
#include "owner.h"
#include "statedir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];
static int fd = -1;

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/farm-alarm-XXXXXX");
    if (mkdtemp(path) == NULL)
        return -1;
    fd = file_open_dir(AT_FDCWD, path, NULL);
    /* All that "farm-worker status" asks of a worker's directory. */
    return fd < 0 ? -1 : file_write(fd, STATEDIR_CONF, VIEW("\n"), 0600, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    mem_close_p(&fd);
    return file_remove_tree(AT_FDCWD, path, NULL);
}

static struct alarm alarm_of(enum alarm_kind kind)
{
    struct alarm alarm = ALARM_NONE;
    alarm_set(&alarm, kind, "120 entries", "119 \"entries\"\n", VIEW("kept note\n"), VIEW("shown note\n"));
    alarm.at_ms = 1795366000000;
    return alarm;
}

static void raise_one(enum alarm_kind kind)
{
    struct diag diag = DIAG_INIT;
    struct alarm alarm = alarm_of(kind);
    if (alarm_raise(fd, &alarm, &diag) < 0)
        fail_msg("%s", diag.text);
    alarm_done(&alarm);
}

/* What the owner reads; the exit status. */
static int owner(int (*ask)(const char *state, FILE *out, struct diag *diag), char **ret_text)
{
    struct diag diag = DIAG_INIT;
    size_t size;
    FILE *stream = open_memstream(ret_text, &size);
    int status = ask(path, stream, &diag);
    fclose(stream);
    return status;
}

static int clear(const char *state, FILE *out, struct diag *diag)
{
    return owner_alarm_clear(state, false, out, diag);
}

static int clear_and_forget(const char *state, FILE *out, struct diag *diag)
{
    return owner_alarm_clear(state, true, out, diag);
}

static void every_kind_is_kept_and_told(void **state)
{
    (void)state;
    for (int kind = 0; kind < ALARM_KINDS; kind++) {
        CLEANUP_BUF struct buf text = BUF_INIT;
        CLEANUP_BUF struct buf words = BUF_INIT;
        struct alarm alarm = alarm_of((enum alarm_kind)kind), back = ALARM_NONE;
        alarm_write(&alarm, &text);
        assert_int_equal(alarm_parse(buf_view(&text), &back, NULL), 0);
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.at_ms, alarm.at_ms);
        assert_string_equal(back.expected, alarm.expected);
        assert_string_equal(back.seen, alarm.seen);
        assert_string_equal(back.kept, "kept note\n");
        assert_string_equal(back.shown, "shown note\n");
        alarm_describe(&back, "/state", &words);
        assert_non_null(strstr(words.data, alarm_headline((enum alarm_kind)kind)));
        assert_non_null(strstr(words.data, "expected: 120 entries"));
        assert_non_null(strstr(words.data, "    shown note\n"));
        assert_non_null(strstr(words.data, "farm-worker alarm clear --state /state"));
        alarm_done(&alarm);
        alarm_done(&back);
    }
}

/* The first evidence is the best: nobody can wash it away with another alarm. */
static void the_first_one_stands(void **state)
{
    (void)state;
    struct alarm second = alarm_of(ALARM_SHRUNK), loaded = ALARM_NONE;
    assert_false(alarm_stands(fd));
    assert_int_equal(alarm_load(fd, &loaded, NULL), 0);
    raise_one(ALARM_FORK);
    assert_true(alarm_stands(fd));
    assert_int_equal(alarm_raise(fd, &second, NULL), FARM_E_EXISTS);
    assert_int_equal(alarm_load(fd, &loaded, NULL), 1);
    assert_int_equal(loaded.kind, ALARM_FORK);
    alarm_done(&loaded);
    alarm_done(&second);
}

static void the_owner_sees_it_first_and_clears_it(void **state)
{
    (void)state;
    CLEANUP_FREE char *none = NULL, *status = NULL, *shown = NULL, *cleared = NULL, *again = NULL;
    assert_int_equal(owner(owner_alarm_show, &none), FARM_EXIT_OK);
    raise_one(ALARM_OMITTED);
    assert_int_equal(owner(owner_status, &status), 0);
    assert_int_equal(strncmp(status, "ALARM since 2026-11-22T", 23), 0);
    assert_non_null(strstr(status, alarm_headline(ALARM_OMITTED)));
    assert_int_equal(owner(owner_alarm_show, &shown), FARM_EXIT_VIOLATION);
    assert_non_null(strstr(shown, "expected: 120 entries"));
    assert_int_equal(owner(clear, &cleared), 0);
    assert_non_null(strstr(cleared, "expected: 120 entries")); /* said before it is gone */
    assert_false(alarm_stands(fd));
    const char *aside = strstr(cleared, "kept as ");
    assert_non_null(aside);
    CLEANUP_FREE char *file = mem_string_n(aside + 8, strcspn(aside + 8, "\n"));
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(owner(clear, &again), FARM_E_MISSING);
}

/* An alarm that cannot be read is none that can be ignored; the owner can still clear it. */
static void damaged_alarms_stand(void **state)
{
    (void)state;
    struct alarm alarm = ALARM_NONE;
    static const char *const broken[] = {
        "", "{", "[]",
        "{\"at\":\"2026-11-22T16:45:38Z\",\"expected\":\"\",\"format\":\"intergenos-alarm/"
        "1\",\"kept\":\"\",\"kind\":\"what\",\"seen\":\"\",\"shown\":\"\"}",
        "{\"at\":\"today\",\"expected\":\"\",\"format\":\"intergenos-alarm/"
        "1\",\"kept\":\"\",\"kind\":\"fork\",\"seen\":\"\",\"shown\":\"\"}"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        CLEANUP_FREE char *status = NULL, *shown = NULL, *cleared = NULL;
        assert_int_equal(file_write(fd, STATEDIR_ALARM, view_text(broken[i]), 0600, NULL), 0);
        assert_int_equal(alarm_load(fd, &alarm, NULL), FARM_E_SYNTAX);
        assert_true(alarm_stands(fd));
        assert_int_equal(owner(owner_status, &status), 0);
        assert_int_equal(strncmp(status, "ALARM", 5), 0);
        assert_int_equal(owner(owner_alarm_show, &shown), FARM_EXIT_VIOLATION);
        assert_int_equal(owner(clear, &cleared), 0);
        assert_false(alarm_stands(fd));
    }
}

static void forgetting_is_for_a_worker_that_does_not_run(void **state)
{
    (void)state;
    CLEANUP_FREE char *refused = NULL, *done = NULL;
    int lock = -1;
    assert_int_equal(file_write(fd, STATEDIR_WITNESS, VIEW("{}"), 0600, NULL), 0);
    assert_int_equal(file_write(fd, STATEDIR_TRUST, VIEW("{}"), 0600, NULL), 0);
    raise_one(ALARM_ROOT);
    assert_int_equal(statedir_lock(fd, &lock, NULL), 0);
    assert_int_equal(owner(clear_and_forget, &refused), FARM_E_STATE);
    assert_true(alarm_stands(fd));
    close(lock);
    assert_int_equal(owner(clear_and_forget, &done), 0);
    assert_int_equal(faccessat(fd, STATEDIR_WITNESS, F_OK, 0), -1);
    assert_int_equal(faccessat(fd, STATEDIR_TRUST, F_OK, 0), -1);
    assert_false(alarm_stands(fd));
}

static void the_cosigned_note_is_printed_as_it_is(void **state)
{
    (void)state;
    CLEANUP_FREE char *none = NULL, *text = NULL;
    assert_int_equal(owner(owner_cosigned, &none), FARM_E_MISSING);
    assert_int_equal(file_write(fd, STATEDIR_COSIGNED, VIEW("a note\n\n\xe2\x80\x94 x y\n"), 0600, NULL), 0);
    assert_int_equal(owner(owner_cosigned, &text), 0);
    assert_string_equal(text, "a note\n\n\xe2\x80\x94 x y\n");
}

int suite_alarm(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_is_kept_and_told),
        cmocka_unit_test_setup_teardown(the_first_one_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_owner_sees_it_first_and_clears_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(damaged_alarms_stand, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgetting_is_for_a_worker_that_does_not_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_cosigned_note_is_printed_as_it_is, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("alarm", tests, NULL, NULL);
}
