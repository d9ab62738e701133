/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "treedigest.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct digest digest_of_dir(int fd)
{
    struct digest digest;
    struct diag diag = DIAG_INIT;
    assert_ok(treedigest_of_dir(fd, &digest, &diag), &diag);
    return digest;
}

/* What git itself says, by the oracle of treedigest.h; skips the test if git cannot do SHA-256. */
static struct buf git_digest(int fd)
{
    if (!have_program("git") || shell(fd, "git init -q --object-format=sha256 . >/dev/null 2>&1") != 0)
        skip();
    return shell_output(
        fd, "export GIT_DIR=.git GIT_WORK_TREE=. GIT_CONFIG_NOSYSTEM=1 HOME=/nonexistent; "
            "echo '* -text -filter -ident -working-tree-encoding' > .git/info/attributes; "
            "git -c core.autocrlf=false -c core.fileMode=true -c core.precomposeUnicode=false add -A -f && "
            "git write-tree");
}

static void put_tree(int fd)
{
    put_dir(fd, "a", 0755);
    put_dir(fd, "a/deep", 0755);
    put_dir(fd, "a/deep/deeper", 0755);
    put_dir(fd, "empty", 0755);
    put_dir(fd, "a.d", 0755);
    put_file(fd, "a/b", "in a\n", 0644);
    put_file(fd, "a/deep/deeper/x", "deep\n", 0600);
    put_file(fd, "a-b", "sorts before a/\n", 0644);
    put_file(fd, "a.d/f", "also\n", 0644);
    put_file(fd, "a0", "sorts after a/\n", 0644);
    put_file(fd, "zero", "", 0644);
    put_file(fd, "tool", "#!/bin/sh\n", 0755);
    put_file(fd, "owner-only", "x\n", 0700);
    put_file(fd, "others-only", "y\n", 0655);
    put_file(fd, "crlf.txt", "one\r\ntwo\r\n", 0644);
    put_file(fd, "ident.c", "$Id$\n", 0644);
    put_file(fd, ".gitattributes", "*.txt text\n*.c ident\nz* export-ignore\n", 0644);
    put_file(fd, ".gitignore", "zero\n*.c\n", 0644);
    put_file(fd, "sp ace\n\377", "odd name\n", 0644);
    put_link(fd, "link", "a/b");
    put_link(fd, "a/dangling", "/nowhere/\351");
    char name[204];
    memset(name, 'n', 203);
    name[203] = '\0';
    put_file(fd, name, "long name\n", 0644);
    CLEANUP_BUF struct buf large = noise(6 * 1024 * 1024, 7);
    put_bytes(fd, "large", buf_view(&large), 0644);
}

static void test_G4_equals_git(void **state)
{
    const struct scratch *scratch = *state;
    put_dir(scratch->fd, "tree", 0755);
    int fd = open_dir(scratch->fd, "tree");
    put_tree(fd);
    struct digest ours = digest_of_dir(fd);
    CLEANUP_BUF struct buf theirs = git_digest(fd);
    assert_string_equal(digest_hex(&ours).text, theirs.data);
    assert_true(exists(fd, ".git")); /* left out this time too */
    struct digest again = digest_of_dir(fd);
    assert_true(digest_equal(&ours, &again));
    close(fd);
}

static void test_vectors(void **state)
{
    (void)state;
    struct treedigest *tree = treedigest_new();
    struct digest empty = treedigest_finish(tree);
    treedigest_free(tree);
    /* "git hash-object -t tree /dev/null" and "git hash-object /dev/null" in a SHA-256 repository */
    assert_string_equal(digest_hex(&empty).text,
                        "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321");
    struct digest blob = treedigest_blob(VIEW(""));
    assert_string_equal(digest_hex(&blob).text,
                        "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813");
}

static struct digest tree_of(const char *const *paths, size_t count, unsigned int mode)
{
    struct treedigest *tree = treedigest_new();
    for (size_t i = 0; i < count; i++) {
        struct digest blob = treedigest_blob(view_text(paths[i]));
        treedigest_add(tree, view_text(paths[i]), mode, &blob);
    }
    struct digest digest = treedigest_finish(tree);
    treedigest_free(tree);
    return digest;
}

static void test_order_of_adding_does_not_matter(void **state)
{
    (void)state;
    static const char *const one[] = {"a/b/c", "a-b", "a/b.c", "a/b/d/e", "a0", "x/y/z"};
    static const char *const two[] = {"x/y/z", "a0", "a/b/d/e", "a/b.c", "a-b", "a/b/c"};
    struct digest first = tree_of(one, ARRAY_SIZE(one), TREE_FILE),
                  second = tree_of(two, ARRAY_SIZE(two), TREE_FILE);
    assert_true(digest_equal(&first, &second));
    struct digest third = tree_of(two, ARRAY_SIZE(two) - 1, TREE_FILE);
    assert_false(digest_equal(&first, &third));
}

static void test_gitlinks_are_left_out(void **state)
{
    (void)state;
    static const char *const paths[] = {"module"};
    struct digest digest = tree_of(paths, 1, TREE_GITLINK), empty = tree_of(paths, 0, TREE_FILE);
    assert_true(digest_equal(&digest, &empty));
}

static void test_G3_exec_bit_changes_the_digest(void **state)
{
    const struct scratch *scratch = *state;
    put_file(scratch->fd, "tool", "#!/bin/sh\n", 0755);
    struct digest before = digest_of_dir(scratch->fd);
    assert_int_equal(fchmodat(scratch->fd, "tool", 0655, 0), 0); /* only the owner's counts */
    struct digest without = digest_of_dir(scratch->fd);
    assert_false(digest_equal(&before, &without));
    assert_int_equal(fchmodat(scratch->fd, "tool", 0700, 0), 0);
    struct digest after = digest_of_dir(scratch->fd);
    assert_true(digest_equal(&before, &after));
}

static void test_deep_path_needs_no_stack(void **state)
{
    (void)state;
    enum { DEPTH = 200000 };
    CLEANUP_BUF struct buf path = BUF_INIT;
    for (int i = 0; i < DEPTH; i++)
        buf_add_text(&path, "d/");
    buf_add_text(&path, "f");
    struct treedigest *tree = treedigest_new();
    struct digest blob = treedigest_blob(VIEW("x"));
    treedigest_add(tree, buf_view(&path), TREE_FILE, &blob);
    struct digest digest = treedigest_finish(tree);
    treedigest_free(tree);
    assert_false(digest_is_zero(&digest));
}

static void test_special_files_are_refused(void **state)
{
    const struct scratch *scratch = *state;
    struct digest digest;
    struct diag diag;
    assert_int_equal(mkfifoat(scratch->fd, "pipe", 0600), 0);
    assert_error(treedigest_of_dir(scratch->fd, &digest, &diag), FARM_E_REFUSED, &diag, "pipe: is a FIFO");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test_setup_teardown(test_G4_equals_git, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_order_of_adding_does_not_matter),
        cmocka_unit_test(test_gitlinks_are_left_out),
        cmocka_unit_test_setup_teardown(test_G3_exec_bit_changes_the_digest, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_deep_path_needs_no_stack),
        cmocka_unit_test_setup_teardown(test_special_files_are_refused, scratch_setup, scratch_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
