/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "repository.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* G9: a lock file cannot make the coordinator open what its operator did not allow. */
static void test_G9_local_repositories_only_below_the_configured_prefixes(void **state)
{
    char allowed[] = "repo-allowed-XXXXXX";
    struct diag diag = DIAG_INIT;
    struct gitrepo *repo = NULL;
    (void)state;
    assert_non_null(mkdtemp(allowed));
    CLEANUP_FREE char *real = realpath(allowed, NULL);
    CLEANUP_FREE char *sibling = mem_format("%s-sibling", real);
    CLEANUP_FREE char *escape = mem_format("%s/escape", real);
    assert_int_equal(mkdir(sibling, 0700), 0);
    assert_int_equal(symlink("/", escape), 0);
    CLEANUP_FREE char *out = mem_format("%s/escape/usr", real);
    CLEANUP_FREE char *dots = mem_format("file://%s/..", real);
    const char *const refused[] = {"/usr", "file:///usr", sibling, out, dots};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        int result = repository_open(".", refused[i], "HEAD", real, NULL, &repo, &diag);
        assert_int_equal(result, FARM_E_REFUSED);
        assert_null(repo);
    }
    unlink(escape);
    rmdir(sibling);
    rmdir(real);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_G9_local_repositories_only_below_the_configured_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
