/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base_test.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char path[256];
    int fd;
};

static int make_place(void **state)
{
    struct place *place = mem_zero(1, sizeof *place);
    snprintf(place->path, sizeof place->path, "%s/base-XXXXXX", FARM_BINARY_DIR);
    assert_non_null(mkdtemp(place->path));
    place->fd = open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = place;
    return place->fd < 0;
}

static int remove_place(void **state)
{
    struct place *place = *state;
    close(place->fd);
    int result = file_remove_tree(AT_FDCWD, place->path, NULL);
    free(place);
    return result;
}

static mode_t mode_of(int fd, const char *path)
{
    struct stat status;
    assert_int_equal(fstatat(fd, path, &status, AT_SYMLINK_NOFOLLOW), 0);
    return status.st_mode & 07777;
}

static void assert_holds(int fd, const char *path, const char *content)
{
    CLEANUP_BUF struct buf found = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_int_equal(file_read(fd, path, 1000, &found, &diag), 0);
    assert_int_equal(found.size, strlen(content));
    assert_memory_equal(found.size > 0 ? found.data : "", content, found.size);
}

static size_t count_entries(const struct place *place)
{
    CLEANUP_FREE char *command = mem_format("ls -A '%s' | wc -l", place->path);
    FILE *pipe = popen(command, "re");
    size_t count = 0;
    assert_int_equal(fscanf(pipe, "%zu", &count), 1);
    pclose(pipe);
    return count;
}

static void test_write_and_create(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    mode_t mask = umask(077);
    assert_int_equal(file_write(place->fd, "f", VIEW("one"), 0644, &diag), 0);
    assert_int_equal(mode_of(place->fd, "f"), 0644); /* whatever the umask */
    umask(mask);
    assert_int_equal(file_write(place->fd, "f", VIEW(""), 0600, &diag), 0);
    assert_holds(place->fd, "f", "");
    assert_int_equal(mode_of(place->fd, "f"), 0600);
    assert_int_equal(file_create(place->fd, "f", VIEW("three"), 0600, &diag), FARM_E_EXISTS);
    assert_holds(place->fd, "f", "");
    assert_int_equal(file_create(place->fd, "g", VIEW("four"), 0600, &diag), 0);
    assert_holds(place->fd, "g", "four");
    assert_int_equal(count_entries(place), 2); /* nothing temporary is left */
    assert_int_equal(file_write(place->fd, "absent/f", VIEW("x"), 0600, &diag), -ENOENT);
    assert_int_equal(symlinkat("/nonexistent/x", place->fd, "l"), 0);
    assert_int_equal(file_write(place->fd, "l", VIEW("x"), 0600, &diag), 0); /* replaces the link itself */
    assert_holds(place->fd, "l", "x");
}

static void test_read_limits_and_types(void **state)
{
    const struct place *place = *state;
    CLEANUP_BUF struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_int_equal(file_write(place->fd, "f", VIEW("12345"), 0644, &diag), 0);
    assert_int_equal(file_read(place->fd, "f", 4, &content, &diag), FARM_E_LIMIT);
    assert_int_equal(content.size, 0);
    buf_add_text(&content, "before ");
    assert_int_equal(file_read(place->fd, "f", 5, &content, &diag), 0);
    assert_string_equal(content.data, "before 12345");
    assert_int_equal(file_read(place->fd, "absent", 5, &content, &diag), -ENOENT);
    assert_int_equal(mkfifoat(place->fd, "fifo", 0600), 0);
    assert_int_equal(file_read(place->fd, "fifo", 5, &content, &diag),
                     FARM_E_REFUSED); /* and does not hang */
    assert_int_equal(file_read(place->fd, ".", 5, &content, &diag), FARM_E_REFUSED);
}

static void test_directories(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    assert_int_equal(file_make_dirs(place->fd, "a/b/c", 0700, &diag), 0);
    assert_int_equal(mode_of(place->fd, "a/b"), 0700);
    assert_int_equal(file_make_dirs(place->fd, "a/b/c/", 0755, &diag), 0); /* there already */
    CLEANUP_FREE char *absolute = mem_format("%s/x/y", place->path);
    assert_int_equal(file_make_dirs(AT_FDCWD, absolute, 0700, &diag), 0);
    assert_int_equal(file_write(place->fd, "f", VIEW(""), 0644, &diag), 0);
    assert_true(file_make_dirs(place->fd, "f/d", 0700, &diag) < 0);
    assert_true(file_make_dirs(place->fd, "f", 0700, &diag) < 0);
    CLEANUP_FREE char *name = NULL;
    assert_int_equal(file_temp_dir(place->fd, "pre", &name, &diag), 0);
    assert_true(view_starts(view_text(name), VIEW("pre")));
    assert_int_equal(mode_of(place->fd, name), 0700);
    assert_int_equal(file_sync_parent(place->fd, "a/b", &diag), 0);
    assert_int_equal(file_sync_parent(place->fd, "a", &diag), 0);
    assert_int_equal(file_sync_parent(AT_FDCWD, "/tmp", &diag), 0);
}

static void test_remove_tree(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    assert_int_equal(file_make_dirs(place->fd, "t/a/b", 0755, &diag), 0);
    assert_int_equal(file_make_dirs(place->fd, "outside", 0755, &diag), 0);
    assert_int_equal(file_write(place->fd, "outside/f", VIEW("kept"), 0644, &diag), 0);
    assert_int_equal(file_write(place->fd, "t/a/b/f", VIEW("x"), 0, &diag), 0);
    assert_int_equal(symlinkat("../outside", place->fd, "t/link"), 0);
    assert_int_equal(fchmodat(place->fd, "t/a/b", 0, 0), 0);
    assert_int_equal(fchmodat(place->fd, "t/a", 0500, 0), 0);
    assert_int_equal(file_remove_tree(place->fd, "t", &diag), 0);
    assert_int_equal(faccessat(place->fd, "t", F_OK, 0), -1);
    assert_holds(place->fd, "outside/f", "kept");
    assert_int_equal(file_remove_tree(place->fd, "t", &diag), 0); /* absent is success */
    assert_int_equal(symlinkat("outside", place->fd, "l"), 0);
    assert_int_equal(file_remove_tree(place->fd, "l", &diag), 0); /* the link, not what it points to */
    assert_int_equal(file_remove_tree(place->fd, "outside/f", &diag), 0);
    assert_int_equal(count_entries(place), 1);
}

static void test_remove_a_deep_tree(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    int at = dup(place->fd);
    for (int i = 0; i < 5000; i++) { /* what a build can leave behind: no path can name the innermost */
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
        assert_true(next >= 0);
        close(at);
        at = next;
    }
    close(at);
    struct rlimit before, few = {32, 32};
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int result = file_remove_tree(place->fd, "d", &diag);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, 0);
    assert_int_equal(count_entries(place), 0);
}

static void test_plain_paths(void **state)
{
    (void)state;
    static const struct view good[] = {VIEW("a"), VIEW("a/b"), VIEW("..."), VIEW(".a/b.."), VIEW("a b/\n")};
    static const struct view bad[] = {VIEW(""),     VIEW("/"),      VIEW("/a"),   VIEW("a/"),
                                      VIEW("a//b"), VIEW("."),      VIEW(".."),   VIEW("a/."),
                                      VIEW("../a"), VIEW("a/../b"), VIEW("a\0b"), VIEW_NONE};
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_true(file_path_is_plain(good[i]));
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_false(file_path_is_plain(bad[i]));
    char longest[256];
    memset(longest, 'n', sizeof longest);
    assert_true(file_path_is_plain(view_of(longest, 255)));
    assert_false(file_path_is_plain(view_of(longest, 256)));
}

static void test_rename_new_never_replaces(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    assert_int_equal(file_write(place->fd, "one", VIEW("1"), 0600, &diag), 0);
    assert_int_equal(file_write(place->fd, "two", VIEW("2"), 0600, &diag), 0);
    assert_int_equal(file_rename_new(place->fd, "one", "two", &diag), FARM_E_EXISTS);
    assert_holds(place->fd, "two", "2");
    assert_int_equal(file_rename_new(place->fd, "one", "three", &diag), 0);
    assert_holds(place->fd, "three", "1");
    assert_int_equal(file_make_dirs(place->fd, "full/d", 0700, &diag), 0);
    assert_int_equal(file_make_dirs(place->fd, "new", 0700, &diag), 0);
    assert_int_equal(file_rename_new(place->fd, "new", "full", &diag), FARM_E_EXISTS);
    assert_int_equal(file_rename_new(place->fd, "new", "another", &diag), 0);
    assert_int_equal(file_rename_new(place->fd, "absent", "another2", &diag), -ENOENT);
}

int base_file_tests(void)
{
#define PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)
    const struct CMUnitTest tests[] = {
        PLACE(test_write_and_create),
        PLACE(test_read_limits_and_types),
        PLACE(test_directories),
        PLACE(test_remove_tree),
        PLACE(test_remove_a_deep_tree),
        PLACE(test_rename_new_never_replaces),
        cmocka_unit_test(test_plain_paths),
    };
    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
