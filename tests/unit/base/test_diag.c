/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "diag.h"
#include "problems.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_messages(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    assert_string_equal(diag_text(&diag, FARM_E_STALE), farm_error_text(FARM_E_STALE));
    assert_int_equal(diag_wrap(&diag, FARM_E_LIMIT, "outer"), FARM_E_LIMIT); /* nobody set one */
    assert_string_equal(diag.text, "outer: over a limit");
    assert_int_equal(diag_set(&diag, FARM_E_DIGEST, "%s", "inner"), FARM_E_DIGEST);
    assert_int_equal(diag_wrap(&diag, FARM_E_DIGEST, "in %s", diag.text),
                     FARM_E_DIGEST); /* may point into itself */
    assert_string_equal(diag.text, "in inner: inner");
    assert_int_equal(diag_set(NULL, FARM_E_DIGEST, "x"), FARM_E_DIGEST);
    assert_int_equal(diag_wrap(NULL, FARM_E_DIGEST, "x"), FARM_E_DIGEST);
    errno = ENOENT;
    assert_int_equal(diag_errno(&diag, "file %d", 5), -ENOENT);
    assert_string_equal(diag.text, "file 5: No such file or directory");
    char large[4000];
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    diag_set(&diag, FARM_E_DIGEST, "%s", large);
    diag_wrap(&diag, FARM_E_DIGEST, "%s", large);
    assert_int_equal(strlen(diag.text), DIAG_TEXT_MAX - 1);
}

static void test_every_code_has_a_name_and_an_exit_status(void **state)
{
    (void)state;
    for (int error = FARM_E_USAGE; error < FARM_E_LAST; error++) {
        assert_string_not_equal(farm_error_name(error), "system");
        assert_true(strlen(farm_error_text(error)) > 0);
        assert_true(farm_error_exit(error) == 1 || farm_error_exit(error) == 2);
    }
    assert_string_equal(farm_error_name(-EIO), "system");
    assert_int_equal(farm_error_exit(-EIO), FARM_EXIT_CANNOT_RUN);
    assert_int_equal(farm_error_exit(0), FARM_EXIT_OK);
    assert_int_equal(farm_error_exit(FARM_E_DIGEST), FARM_EXIT_VIOLATION);
}

static void test_problems(void **state)
{
    (void)state;
    struct problems problems = PROBLEMS_INIT;
    assert_int_equal(problems_add(NULL, "f", 1, "r", "x"), FARM_E_REFUSED);
    assert_int_equal(problems_add(&problems, "b", 2, "rule", "text %d", 1), FARM_E_REFUSED);
    problems_add(&problems, "b", 1, "rule", "second");
    problems_add(&problems, "a", 9, "rule", "first");
    problems_add(&problems, "c", 0, "rule", "whole file");
    problems_sort(&problems);
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    problems_print(&problems, out);
    fclose(out);
    assert_string_equal(text,
                        "a:9: first [rule]\nb:1: second [rule]\nb:2: text 1 [rule]\nc: whole file [rule]\n");
    free(text);
    for (int i = 0; i < 2 * PROBLEMS_MAX; i++)
        problems_add(&problems, "f", i, "r", "x");
    assert_int_equal(problems.count, PROBLEMS_MAX);
    assert_int_equal(problems.dropped, PROBLEMS_MAX + 4);
    problems_done(&problems);
    problems_done(&problems);
}

static void test_strangers_words_are_made_plain(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    diag_set(&diag, FARM_E_REFUSED, "it sent \x1b[2J\x9b\x7f!");
    assert_string_equal(diag.text, "it sent ?[2J\x9b?!");
    diag_plain(&diag);
    assert_string_equal(diag.text, "it sent ?[2J?"
                                   "?!");
    assert_int_equal(diag.error, FARM_E_REFUSED);
    diag_plain(NULL);
}

int base_diag_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages),
        cmocka_unit_test(test_every_code_has_a_name_and_an_exit_status),
        cmocka_unit_test(test_strangers_words_are_made_plain),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests_name("diag", tests, NULL, NULL);
}
