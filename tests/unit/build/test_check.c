/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Assertions on payloads (R5, R6), with real ELF files: a program and a library made for this test, linked with
 * RUNPATHs of several kinds, put where a package would put them; and damaged ones, which must never do worse than be
 * refused.
 */
#include "check.h"

#include "buf.h"
#include "elfneed.h"
#include "file.h"
#include "rootview.h"
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char scratch[] = "/tmp/farm-test-check.XXXXXX";
static int scratch_fd = -1;

/* A payload and a build root; the root has the C library and the loader, as copies of this machine's. */
struct scene {
    int dest, root;
    struct problems problems;
};

static void put(int dirfd, const char *path, const char *from)
{
    struct buf bytes CLEANUP_BUF = BUF_INIT;
    char *dir CLEANUP_FREE = mem_string(path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL) {
        *slash = '\0';
        assert_true(file_make_dirs(dirfd, dir, 0755, NULL) >= 0);
    }
    assert_true(file_read(AT_FDCWD, from, 64 << 20, &bytes, NULL) >= 0);
    assert_true(file_write(dirfd, path, buf_view(&bytes), 0755, NULL) >= 0);
}

static void put_text(int dirfd, const char *path, const char *text)
{
    char *dir CLEANUP_FREE = mem_string(path);
    *strrchr(dir, '/') = '\0';
    assert_true(file_make_dirs(dirfd, dir, 0755, NULL) >= 0);
    assert_true(file_write(dirfd, path, view_text(text), 0644, NULL) >= 0);
}

static const char *first_of(const char *const *paths)
{
    for (; *paths != NULL; paths++)
        if (access(*paths, R_OK) == 0)
            return *paths;
    skip();
    return NULL;
}

static int setup(void **state)
{
    static const char *const libc[] = {"/lib/x86_64-linux-gnu/libc.so.6", "/lib/aarch64-linux-gnu/libc.so.6",
                                       "/usr/lib64/libc.so.6", "/usr/lib/libc.so.6", NULL};
    struct scene *scene = mem_zero(1, sizeof *scene);
    assert_true(sandbox_remove_tree(scratch_fd, "dest", NULL) >= 0);
    assert_true(sandbox_remove_tree(scratch_fd, "root", NULL) >= 0);
    assert_true(file_make_dirs(scratch_fd, "dest", 0755, NULL) >= 0);
    assert_true(file_make_dirs(scratch_fd, "root", 0755, NULL) >= 0);
    scene->dest = file_open_dir(scratch_fd, "dest", NULL);
    scene->root = file_open_dir(scratch_fd, "root", NULL);
    put(scene->root, "usr/lib/libc.so.6", first_of(libc));
    put(scene->root, "usr/lib/ld-linux-x86-64.so.2", first_of(libc)); /* any library will do for a loader */
    put(scene->root, "usr/lib/ld-linux-aarch64.so.1", first_of(libc));
    assert_int_equal(symlinkat("usr/lib", scene->root, "lib"), 0);
    assert_int_equal(symlinkat("usr/lib", scene->root, "lib64"), 0);
    *state = scene;
    return 0;
}

static int teardown(void **state)
{
    struct scene *scene = *state;
    close(scene->dest);
    close(scene->root);
    problems_done(&scene->problems);
    free(scene);
    return 0;
}

static int check_with(struct scene *scene, const char *const *paths, size_t npaths)
{
    problems_done(&scene->problems);
    scene->problems = (struct problems)PROBLEMS_INIT;
    return check_payload(&(struct check_input){.dest_dirfd = scene->dest,
                                               .roots = &scene->root,
                                               .nroots = 1,
                                               .verify_paths = paths,
                                               .nverify_paths = npaths},
                         &scene->problems);
}

static void expect_clean(struct scene *scene)
{
    if (check_with(scene, NULL, 0) < 0)
        fail_msg("%s: %s", scene->problems.items[0].file, scene->problems.items[0].text);
}

static void expect_problem(struct scene *scene, const char *file, const char *rule, const char *text)
{
    assert_int_equal(check_with(scene, NULL, 0), FARM_E_FAILED);
    assert_int_equal(scene->problems.count, 1);
    assert_string_equal(scene->problems.items[0].file, file);
    assert_string_equal(scene->problems.items[0].rule, rule);
    assert_non_null(strstr(scene->problems.items[0].text, text));
}

static void test_empty(void **state)
{
    struct scene *scene = *state;
    assert_true(file_make_dirs(scene->dest, "usr/share/doc", 0755, NULL) >= 0);
    expect_problem(scene, "/", "payload-empty", "$DESTDIR");
}

static void test_paths(void **state)
{
    static const char *const paths[] = {"/usr/share/a", "/lib/b", "/usr/share/missing", "/usr/lib/libc.so.6",
                                        "/usr/bin/link"};
    struct scene *scene = *state;
    put_text(scene->dest, "usr/share/a", "");
    put_text(scene->dest, "usr/lib/b", "");
    assert_true(file_make_dirs(scene->dest, "usr/bin", 0755, NULL) >= 0);
    assert_int_equal(symlinkat("nowhere", scene->dest, "usr/bin/link"), 0);
    assert_int_equal(check_with(scene, paths, ARRAY_SIZE(paths)), FARM_E_FAILED);
    assert_int_equal(scene->problems.count, 2);
    assert_string_equal(scene->problems.items[0].file, "/usr/lib/libc.so.6");
    assert_non_null(strstr(scene->problems.items[0].text, "another package's"));
    assert_string_equal(scene->problems.items[1].file, "/usr/share/missing");
    assert_string_equal(scene->problems.items[1].rule, "verify-path-missing");
}

static void test_library(void **state)
{
    struct scene *scene = *state;
    put(scene->dest, "usr/bin/program", FIXTURE_PLAIN);
    expect_problem(scene, "/usr/bin/program", "library-missing", "libfarm_fixture.so");
    put(scene->dest, "usr/lib/libfarm_fixture.so", FIXTURE_LIBRARY);
    expect_clean(scene);
    /* in the build root it is as good as in the payload */
    assert_int_equal(unlinkat(scene->dest, "usr/lib/libfarm_fixture.so", 0), 0);
    put(scene->root, "usr/lib/libfarm_fixture.so", FIXTURE_LIBRARY);
    expect_clean(scene);
    /* a file of that name is not enough */
    put_text(scene->root, "usr/lib/libfarm_fixture.so", "INPUT(libx.so)");
    expect_problem(scene, "/usr/bin/program", "library-missing", "libfarm_fixture.so");
}

static void test_runpath(void **state)
{
    struct scene *scene = *state;
    put(scene->dest, "usr/bin/program", FIXTURE_ORIGIN); /* $ORIGIN/../lib/private */
    expect_problem(scene, "/usr/bin/program", "library-missing", "$ORIGIN/../lib/private");
    put(scene->dest, "usr/lib/private/libfarm_fixture.so", FIXTURE_LIBRARY);
    expect_clean(scene);
    /* another program does not find it there */
    put(scene->dest, "usr/bin/other", FIXTURE_PLAIN);
    expect_problem(scene, "/usr/bin/other", "library-missing", "libfarm_fixture.so");
}

static void test_ld_so_conf(void **state)
{
    struct scene *scene = *state;
    put(scene->dest, "usr/bin/program", FIXTURE_PLAIN);
    put(scene->root, "opt/lib/libfarm_fixture.so", FIXTURE_LIBRARY);
    put_text(scene->root, "etc/ld.so.conf", "# comment\ninclude /etc/ld.so.conf.d/*.conf\n");
    put_text(scene->root, "etc/ld.so.conf.d/x.text", "/opt/lib\n");
    expect_problem(scene, "/usr/bin/program", "library-missing", "libfarm_fixture.so");
    put_text(scene->root, "etc/ld.so.conf.d/x.conf", "  /opt/lib # here\n");
    expect_clean(scene);
}

static void test_loader(void **state)
{
    struct scene *scene = *state;
    put(scene->dest, "usr/bin/program", FIXTURE_PLAIN);
    put(scene->dest, "usr/lib/libfarm_fixture.so", FIXTURE_LIBRARY);
    assert_int_equal(unlinkat(scene->root, "lib64", 0), 0);
    assert_int_equal(unlinkat(scene->root, "lib", 0), 0);
    expect_problem(scene, "/usr/bin/program", "interpreter-missing", "ld-linux");
}

/* Mode 4111, as sudo has it: not readable for its owner, and checked all the same, and left as it was. */
static void test_unreadable(void **state)
{
    struct scene *scene = *state;
    struct stat st;
    put(scene->dest, "usr/bin/program", FIXTURE_PLAIN);
    assert_int_equal(fchmodat(scene->dest, "usr/bin/program", 04111, 0), 0);
    expect_problem(scene, "/usr/bin/program", "library-missing", "libfarm_fixture.so");
    assert_int_equal(fstatat(scene->dest, "usr/bin/program", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 04111);
}

static void test_view(void **state)
{
    struct scene *scene = *state;
    struct rootview view = {{scene->dest, scene->root}, 2};
    struct rootview_found found;
    put_text(scene->dest, "usr/lib/x", "");
    assert_int_equal(symlinkat("/lib/../lib/./x", scene->dest, "usr/lib/abs"), 0);
    assert_int_equal(symlinkat("../../../../../../lib/x", scene->root, "usr/lib/out"), 0);
    assert_int_equal(symlinkat("loop", scene->dest, "loop"), 0);
    assert_int_equal(rootview_find(&view, "/lib/abs", true, &found), 0);
    assert_string_equal(found.path, "usr/lib/x");
    assert_int_equal(found.dir, 0);
    assert_int_equal(rootview_find(&view, "lib/out", true, &found), 0);
    assert_string_equal(found.path, "usr/lib/x");
    assert_int_equal(rootview_find(&view, "/lib/abs", false, &found), 0);
    assert_true(S_ISLNK(found.st.st_mode));
    assert_int_equal(rootview_find(&view, "loop", true, &found), -ELOOP);
    assert_int_equal(rootview_find(&view, "/usr/lib/x/y", true, &found), -ENOTDIR);
    assert_int_equal(rootview_find(&view, "/etc/passwd", true, &found), -ENOENT);
    assert_int_equal(rootview_find(&view, "/", true, &found), 0);
    assert_string_equal(found.path, "");
}

static void test_read(void **state)
{
    struct buf file CLEANUP_BUF = BUF_INIT;
    struct elfneed *elf CLEANUP_FREE = mem_zero(1, sizeof *elf);
    (void)state;
    assert_true(file_read(AT_FDCWD, FIXTURE_ORIGIN, 64 << 20, &file, NULL) >= 0);
    assert_int_equal(elfneed_read(buf_view(&file), elf, NULL), 0);
    assert_int_equal(elf->kind, ELFNEED_DYNAMIC);
    assert_true(view_equal(elf->runpath, VIEW("$ORIGIN/../lib/private")));
    assert_true(view_equal(elf->needed[0], VIEW("libfarm_fixture.so")));
    assert_true(view_starts(elf->interpreter, VIEW("/lib")));
    assert_int_equal(elfneed_read(VIEW("#!/bin/sh\n"), elf, NULL), 0);
    assert_int_equal(elf->kind, ELFNEED_NONE);
    assert_int_equal(elfneed_read(VIEW_NONE, elf, NULL), 0);
}

/* The copy has exactly its size, so that the address sanitizer sees a read beyond it. */
static int read_copy(const char *data, size_t size, struct elfneed *elf)
{
    char *copy CLEANUP_FREE = mem_copy(data, size);
    return elfneed_read(view_of(copy, size), elf, NULL);
}

static void test_damaged(void **state)
{
    struct buf file CLEANUP_BUF = BUF_INIT;
    struct elfneed *elf CLEANUP_FREE = mem_zero(1, sizeof *elf);
    unsigned seed = 1;
    int refused = 0;
    (void)state;
    assert_true(file_read(AT_FDCWD, FIXTURE_LIBRARY, 64 << 20, &file, NULL) >= 0);
    for (size_t size = 0; size < file.size; size += size < 1024 ? 1 : 97)
        refused += read_copy(file.data, size, elf) < 0;
    assert_true(refused > 100);
    for (int round = 0; round < 3000; round++) {
        char *copy CLEANUP_FREE = mem_copy(file.data, file.size);
        for (int i = 0; i < 4; i++) {
            seed = seed * 1103515245 + 12345;
            size_t span = round % 2 == 0 ? 1024 : file.size;
            copy[(seed >> 8) % span] = (char)(seed >> 4);
        }
        int got = elfneed_read(view_of(copy, file.size), elf, NULL);
        assert_true(got == 0 || got == FARM_E_SYNTAX || got == FARM_E_LIMIT);
    }
}

static void test_damaged_payload(void **state)
{
    struct scene *scene = *state;
    put(scene->dest, "usr/lib/libfarm_fixture.so", FIXTURE_LIBRARY);
    int fd CLEANUP_CLOSE = openat(scene->dest, "usr/lib/libfarm_fixture.so", O_RDWR | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, 600), 0);
    expect_problem(scene, "/usr/lib/libfarm_fixture.so", "elf-damaged", "beyond the file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_library, setup, teardown),
        cmocka_unit_test_setup_teardown(test_runpath, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ld_so_conf, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loader, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_view, setup, teardown),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test_setup_teardown(test_damaged_payload, setup, teardown),
    };
    if (mkdtemp(scratch) == NULL || (scratch_fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    if (sandbox_remove_tree(AT_FDCWD, scratch, NULL) < 0)
        fprintf(stderr, "%s is left behind\n", scratch);
    return failed != 0;
}
