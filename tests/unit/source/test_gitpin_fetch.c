/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gitpin: where fetching may go (G9), and what it finds there. */
#include "gitpin_rig.h"

#include <sys/stat.h>

static void g9_urls_are_refused_unless_configured(void **state)
{
    static const char *const urls[] = {"file:///srv/repo",
                                       "/srv/repo",
                                       "ext::sh -c touch% /tmp/x",
                                       "ssh://git@example.org/x",
                                       "git://example.org/x",
                                       "http://example.org/x",
                                       "https://user:password@example.org/x",
                                       "https:///x",
                                       "https://127.0.0.1/x",
                                       "https://localhost/x",
                                       "https://10.1.2.3/x",
                                       "https://[::1]/x",
                                       "https://169.254.169.254/latest",
                                       "-uhttps://x/y",
                                       "https://example.org/\nx",
                                       "https://192.168.0.1:443/x",
                                       "HTTPS://example.org/x"};
    struct place *place = *state;
    CLEANUP_FREE char *copy = mem_format("%s/copy", place->directory);
    struct stat status;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct diag diag = DIAG_INIT;
        int r = fetch(urls[i], NULL, NULL, copy, false, &diag);
        if (r != FARM_E_REFUSED)
            fail_msg("%s: %d %s", urls[i], r, diag.text);
    }
    assert_int_equal(fetch("ext::sh", NULL, NULL, copy, true, NULL), FARM_E_REFUSED);
    assert_true(stat(copy, &status) < 0);
}

static void fetching_finds_the_commit_by_ref_or_without(void **state)
{
    struct place *place = *state;
    struct diag diag = DIAG_INIT;
    struct gitpin_info info;
    struct gitrepo *repo = NULL;
    git_reference *ref = NULL;
    git_oid id;
    char commit[65];
    CLEANUP_FREE char *url = mem_format("file://%s", place->path);
    CLEANUP_FREE char *copy = mem_format("%s/a/b/copy", place->directory);
    honest_commit(place, commit);
    git_oid_fromstr(&id, commit);
    assert_int_equal(git_reference_create(&ref, place->raw, "refs/heads/topic", &id, 1, NULL), 0);
    git_reference_free(ref);
    /* The ref of the pin is gone; the commit is on another one. */
    must(fetch(url, "refs/tags/gone", commit, copy, true, &diag), &diag);
    must(gitrepo_open(copy, &repo, &diag), &diag);
    must(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, &diag), &diag);
    gitrepo_close(repo);
    must(fetch(url, "topic", "topic", copy, true, &diag), &diag);
    /* It is there: no network, so a dead URL does not matter. */
    must(fetch("file:///nowhere", NULL, commit, copy, true, &diag), &diag);
    assert_int_equal(fetch(url, NULL, "1111111111111111111111111111111111111111", copy, true, &diag),
                     FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "on no branch or tag"));
    assert_int_equal(fetch("file:///nowhere", NULL, NULL, copy, true, &diag), FARM_E_UNAVAILABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(g9_urls_are_refused_unless_configured),
        TEST(fetching_finds_the_commit_by_ref_or_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
