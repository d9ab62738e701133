/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "closure.h"

/* "d path", "f path content", "l path target", each on a line of its own; parents are added. */
static void make(const char *text, struct manifest *ret)
{
    struct diag diag = DIAG_INIT;
    struct view rest = view_text(text), line, type, path;
    *ret = (struct manifest)MANIFEST_INIT;
    manifest_add(ret, &(struct entry){.path = VIEW(""), .type = ENTRY_DIR, .mode = 0755});
    while (rest.size > 0 && view_split(&rest, '\n', &line)) {
        struct view words = line;
        assert_true(view_split(&words, ' ', &type) && view_split(&words, ' ', &path));
        struct entry entry = {.path = path, .type = ENTRY_DIR, .mode = 0755};
        if (type.data[0] == 'f') {
            entry = (struct entry){.path = path,
                                   .type = ENTRY_FILE,
                                   .mode = 0644,
                                   .size = words.size,
                                   .sha256 = digest_of(words)};
        } else if (type.data[0] == 'l') {
            entry = (struct entry){.path = path, .type = ENTRY_LINK, .mode = 0777, .link = words};
        }
        manifest_add(ret, &entry);
    }
    if (manifest_seal(ret, &diag) < 0)
        fail_msg("%s", diag.text);
}

static const char base_text[] = "d usr\nd usr/lib\nf usr/lib/libc.so 1\nl lib usr/lib";

struct outcome {
    int error;
    struct diag diag;
    struct closure_removals removals;
    struct manifest base, first, second;
};

static void check(struct outcome *outcome, const char *first, const char *second, const char *supersedes)
{
    *outcome = (struct outcome){0};
    make(base_text, &outcome->base);
    make(first, &outcome->first);
    make(second, &outcome->second);
    const struct closure_layer layers[] = {{"one", &outcome->first, NULL, 0},
                                           {"two", &outcome->second, &supersedes, supersedes != NULL}};
    outcome->error = closure_check(&outcome->base, layers, 2, &outcome->removals, &outcome->diag);
}

static void done(struct outcome *outcome)
{
    closure_removals_done(&outcome->removals);
    manifest_done(&outcome->base);
    manifest_done(&outcome->first);
    manifest_done(&outcome->second);
}

static void expect_refused(const char *first, const char *second, const char *supersedes, const char *says)
{
    struct outcome outcome;
    check(&outcome, first, second, supersedes);
    assert_int_equal(outcome.error, FARM_E_REFUSED);
    if (strstr(outcome.diag.text, says) == NULL)
        fail_msg("%s", outcome.diag.text);
    done(&outcome);
}

static void expect_allowed(const char *first, const char *second, const char *supersedes, size_t removals)
{
    struct outcome outcome;
    check(&outcome, first, second, supersedes);
    if (outcome.error < 0)
        fail_msg("%s", outcome.diag.text);
    assert_int_equal(outcome.removals.count, removals);
    done(&outcome);
}

static void against_the_base(void **state)
{
    (void)state;
    expect_refused("d lib\nf lib/libz.so z", "d usr", NULL, "./lib, which is a link in the base");
    expect_refused("d usr\nl usr/lib lib64", "d usr", NULL, "./usr/lib, which is a directory in the base");
    expect_refused("f usr/lib/libc.so/x x\nd usr\nd usr/lib\nd usr/lib/libc.so", "d usr", NULL,
                   "which is a file in the base");
    expect_allowed("d usr\nd usr/lib\nf usr/lib/libc.so 2", "d usr", NULL, 0);
}

static void against_each_other(void **state)
{
    (void)state;
    expect_allowed("d usr\nd usr/share\nf usr/share/a x", "d usr\nd usr/share\nf usr/share/b y", NULL, 0);
    expect_allowed("d usr\nf usr/same x", "d usr\nf usr/same x", NULL, 0);
    expect_allowed("d usr\nl usr/same x", "d usr\nl usr/same x", NULL, 0);
    expect_refused("d usr\nf usr/info x", "d usr\nf usr/info y", NULL, "one and two both bring ./usr/info");
    expect_refused("d usr\nl usr/info x", "d usr\nl usr/info y", NULL, "\"supersedes\"");
    expect_refused("d usr\nf usr/info x", "d usr\nf usr/info y", "other", "one and two");
    expect_refused("d usr\nd usr/x\nf usr/x/a 1", "d usr\nf usr/x 2", "one", "which is a directory in one");
}

static void superseding(void **state)
{
    (void)state;
    struct outcome outcome;
    check(&outcome, "d usr\nf usr/info x\nf usr/keep k", "d usr\nf usr/info y", "one");
    assert_int_equal(outcome.error, 0);
    assert_int_equal(outcome.removals.count, 1);
    assert_int_equal(outcome.removals.items[0].layer, 1);
    assert_true(view_equal(outcome.removals.items[0].path, VIEW("usr/info")));
    done(&outcome);
}

int suite_closure(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(against_the_base),
                                       cmocka_unit_test(against_each_other), cmocka_unit_test(superseding)};
    return cmocka_run_group_tests_name("closure", tests, NULL, NULL);
}
