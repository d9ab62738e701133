/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gitpin: names and shapes that no honest tree has (G5), and trees without end (G8). */
#include "gitpin_rig.h"

/* ---- names ---- */

static void g5_hostile_names_are_refused(void **state)
{
    static const char *const names[] = {".git",
                                        ".GIT",
                                        ".Git",
                                        "git~1",
                                        "GIT~2",
                                        "..",
                                        ".",
                                        "",
                                        "a/b",
                                        ".git.",
                                        ".git ",
                                        ".git . .",
                                        ".git::$INDEX_ALLOCATION",
                                        ".g\xe2\x80\x8cit",
                                        "\xef\xbb\xbf.git",
                                        ".gi\xe2\x81\xaft"};
    struct place *place = *state;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        commit_of_entry(place, "100644", names[i], VIEW("x"), commit);
        expect_refused(place, commit, "tree entry");
        commit_of_entry(place, "120000", names[i], VIEW("/etc"), commit); /* a symlinked .git */
        expect_refused(place, commit, "tree entry");
    }
}

static void names_that_only_look_alike_are_fine(void **state)
{
    static const char *const names[] = {".gitignore", ".github", "git", "git~",
                                        "git~x",      ".git2",   "...", "a:b"};
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        commit_of_entry(place, "100644", names[i], VIEW("x"), commit);
        must(inspect(place, commit, &info, &diag), &diag);
    }
}

static void g5_hostile_gitmodules_are_refused(void **state)
{
    static const char *const texts[] = {
        "[submodule \"a\"]\n\tpath = a\n\turl = -u./payload\n", "[submodule \"a\"]\n\tpath = \"-x\"\n",
        "[submodule \"../../x\"]\n\tpath = x\n", "[submodule \"a\"]\n\tupdate = !touch /tmp/x\n"};
    struct place *place = *state;
    struct gitpin_info info;
    struct diag diag = DIAG_INIT;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        commit_of_entry(place, "100644", ".gitmodules", view_text(texts[i]), commit);
        expect_refused(place, commit, ".gitmodules:");
    }
    commit_of_entry(place, "120000", ".gitmodules", VIEW("elsewhere"), commit);
    expect_refused(place, commit, "symlink");
    commit_of_entry(place, "100644", ".gitmodules",
                    VIEW("[submodule \"a\"]\n\tpath = a\n\turl = https://example.org/a\n"), commit);
    must(inspect(place, commit, &info, &diag), &diag);
}

/* ---- shapes ---- */

static void g5_hostile_shapes_are_refused(void **state)
{
    struct place *place = *state;
    git_oid blob = put_blob(place, VIEW("x")), tree;
    struct buf one = BUF_INIT, two = BUF_INIT, three = BUF_INIT, four = BUF_INIT;
    char commit[65];
    add_entry(&one, "100644", "a", &blob);
    add_entry(&one, "100644", "a", &blob);
    tree = put_tree(place, &one);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "duplicate");
    git_oid sub = put_tree(place, &(struct buf)BUF_INIT);
    add_entry(&two, "100644", "a", &blob);
    add_entry(&two, "100644", "a.b", &blob); /* stands between the file a and the directory a/ */
    add_entry(&two, "40000", "a", &sub);
    tree = put_tree(place, &two);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "duplicate");
    add_entry(&three, "100644", "b", &blob);
    add_entry(&three, "100644", "a", &blob);
    tree = put_tree(place, &three);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "sorted");
    buf_add_text(&four, "100644 cut");
    tree = put_tree(place, &four);
    put_commit(place, &tree, commit);
    expect_refused(place, commit, "malformed");
    buf_done(&one);
    buf_done(&two);
    buf_done(&three);
    buf_done(&four);
}

static void g5_unknown_modes_and_swapped_types_are_refused(void **state)
{
    static const char *const modes[] = {"100777", "104755", "040000", "60000", "0", "100644x", ""};
    struct place *place = *state;
    char commit[65];
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        commit_of_entry(place, modes[i], "a", VIEW("x"), commit);
        expect_refused(place, commit, "mode");
    }
    commit_of_entry(place, "40000", "a", VIEW("x"), commit); /* a blob where a directory should be */
    expect_refused(place, commit, "type");
}

static void g8_limits_hold_for_bytes_entries_and_depth(void **state)
{
    struct place *place = *state;
    struct gitpin_info info;
    char commit[65];
    git_oid id = put_blob(place, VIEW("0123456789"));
    /* Ten times ten times ... : a tree of ten thousand million files from eleven objects. */
    for (int level = 0; level < 10; level++) {
        struct buf tree = BUF_INIT;
        for (int i = 0; i < 10; i++) {
            char name[2] = {(char)('0' + i), '\0'};
            add_entry(&tree, level == 0 ? "100644" : "40000", name, &id);
        }
        id = put_tree(place, &tree);
        buf_done(&tree);
    }
    put_commit(place, &id, commit);
    struct gitrepo *repo = opened(place);
    assert_int_equal(gitrepo_inspect(repo, commit, (struct gitpin_limits){1 << 20, 5000}, &info, NULL),
                     FARM_E_LIMIT);
    assert_int_equal(gitrepo_inspect(repo, commit, (struct gitpin_limits){4096, 1 << 20}, &info, NULL),
                     FARM_E_LIMIT);
    for (int level = 0; level < 200; level++) {
        struct buf tree = BUF_INIT;
        add_entry(&tree, "40000", "d", &id);
        id = put_tree(place, &tree);
        buf_done(&tree);
    }
    put_commit(place, &id, commit);
    assert_int_equal(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &info, NULL), FARM_E_LIMIT);
    gitrepo_close(repo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(g5_hostile_names_are_refused),      TEST(names_that_only_look_alike_are_fine),
        TEST(g5_hostile_shapes_are_refused),     TEST(g5_unknown_modes_and_swapped_types_are_refused),
        TEST(g5_hostile_gitmodules_are_refused), TEST(g8_limits_hold_for_bytes_entries_and_depth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
