/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void check_split(const char *text, const char *tree, const char *revision)
{
    CLEANUP_FREE char *got_tree = NULL, *got_revision = NULL;
    assert_int_equal(local_tree_split(text, &got_tree, &got_revision, NULL), 0);
    assert_string_equal(got_tree, tree);
    if (revision == NULL)
        assert_null(got_revision);
    else
        assert_string_equal(got_revision, revision);
}

static void test_the_last_at_sign_separates_the_revision(void **state)
{
    (void)state;
    check_split("https://example.org/tree.git@v1", "https://example.org/tree.git", "v1");
    check_split("https://me@example.org/tree@main", "https://me@example.org/tree", "main");
    check_split("/@HEAD", "/", "HEAD");
    check_split("/", "/", NULL);
}

static void test_what_names_no_tree_is_refused(void **state)
{
    char *tree = NULL, *revision = NULL;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_int_equal(local_tree_split("@HEAD", &tree, &revision, &diag), FARM_E_USAGE);
    assert_int_equal(local_tree_split("/@", &tree, &revision, &diag), FARM_E_USAGE);
    assert_true(local_tree_split("/no/such/tree@HEAD", &tree, &revision, &diag) < 0);
    assert_null(tree);
    assert_null(revision);
}

/* The shipped example is complete but for the pin of farm-verify, which quickstart adds; that is said with file and line. */
static void test_the_example_lacks_exactly_its_own_pin(void **state)
{
    struct problems problems = PROBLEMS_INIT;
    struct tree *tree = NULL;
    struct tree_pin pin = {0};
    (void)state;
    assert_int_equal(
        local_tree_load(FARM_SOURCE_DIR "/examples/foundation", NULL, &tree, &pin, &problems, NULL),
        FARM_E_REFUSED);
    assert_int_equal(problems.count, 1);
    assert_string_equal(problems.items[0].rule, "pin-missing");
    assert_non_null(strstr(problems.items[0].file, "farm-verify/package.yml"));
    assert_true(problems.items[0].line > 0);
    problems_done(&problems);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_last_at_sign_separates_the_revision),
        cmocka_unit_test(test_what_names_no_tree_is_refused),
        cmocka_unit_test(test_the_example_lacks_exactly_its_own_pin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
