/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Bit rot: found by whoever reads, never served, and never taken along into a backup unseen. */
#include "store_rig.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void assert_damaged(const struct scratch *scratch, struct store *store, const struct digest *name,
                           int result, const struct diag *diag)
{
    if (result != FARM_E_CORRUPT)
        fail_msg("damage gave %d (%s)", result, diag->text);
    assert_non_null(strstr(diag->text, "moved to damaged/"));
    assert_false(store_has(store, name));
    assert_int_equal(rig_count_files(scratch, "store/damaged"), 1);
    assert_int_equal(shell(scratch->fd, "rm -f store/damaged/*"), 0);
}

static void test_D8_bit_rot_is_found_by_every_way_of_reading(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    CLEANUP_BUF struct buf data = noise(70000, 3);
    for (int way = 0; way < 5; way++) {
        struct digest name = rig_put(store, buf_view(&data));
        CLEANUP_FREE char *path = rig_file(&name);
        rig_damage(scratch, path, 40000);
        CLEANUP_BUF struct buf content = BUF_INIT;
        CLEANUP_CLOSE int out = openat(scratch->fd, "copy", O_RDWR | O_CREAT, 0644);
        struct diag diag = DIAG_INIT;
        int result = 0, fd = -1;
        uint64_t size;
        if (way == 0)
            result = store_get(store, &name, SIZE_MAX, &content, &diag);
        else if (way == 1)
            result = store_get_fd(store, &name, out, &diag);
        else if (way == 2)
            result = store_verify(store, &name, &diag);
        else if (way == 3)
            result = store_open_stored(store, &name, &fd, &size, &diag);
        else {
            rig_damage(scratch, path, 0); /* not even a frame */
            result = store_size(store, &name, &size, &diag);
        }
        assert_int_equal(fd, -1);
        assert_int_equal(content.size, 0);
        assert_damaged(scratch, store, &name, result, &diag);
    }
    struct digest name = rig_put(store, buf_view(&data)); /* and it can be stored again */
    rig_expect(store, &name, buf_view(&data));
    store_close(store);
}

static void test_D8_any_damaged_byte_is_found(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct view text = VIEW("some text, some text, some more text, and again some text");
    struct digest name = rig_put(store, text);
    CLEANUP_FREE char *path = rig_file(&name);
    CLEANUP_FREE char *absolute = mem_format("%s/%s", scratch->path, path);
    CLEANUP_BUF struct buf stored = get_bytes(scratch->fd, path);
    for (size_t i = 0; i <= stored.size + 1; i++) {
        name = rig_put(store, text);
        if (i < stored.size)
            rig_damage(scratch, path, (off_t)i);
        else if (i == stored.size)
            assert_int_equal(truncate(absolute, (off_t)stored.size - 1), 0);
        else
            assert_int_equal(truncate(absolute, (off_t)stored.size + 1), 0);
        CLEANUP_BUF struct buf content = BUF_INIT;
        struct diag diag = DIAG_INIT;
        int result = store_get(store, &name, 4096, &content, &diag);
        if (result == 0 && view_equal(buf_view(&content), text))
            continue; /* a bit of the frame that means nothing, such as its reserved one */
        if (result == FARM_E_LIMIT)
            result = store_verify(store, &name, &diag);
        assert_damaged(scratch, store, &name, result, &diag);
    }
    store_close(store);
}

static int copy_to(struct store *store, const struct digest *name, int earlier_dirfd, bool read, int dirfd,
                   const char *path, struct store_copied *ret)
{
    struct diag diag = DIAG_INIT;
    return store_copy_stored(store, name, earlier_dirfd, read, dirfd, path, ret, &diag);
}

/* For a backup: what leaves is verified, and is the same file where that can be. */
static void test_D8_a_copy_elsewhere_is_verified(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct diag diag = DIAG_INIT;
    struct digest name = rig_put(store, VIEW("to be kept elsewhere, and elsewhere again")),
                  other = digest_of(VIEW("x"));
    CLEANUP_FREE char *path = rig_file(&name);
    struct store_copied copied = {.bytes = 1};
    assert_int_equal(copy_to(store, &name, -1, true, scratch->fd, "copy", &copied), 0);
    assert_int_equal(copied.bytes, 0); /* a link */
    CLEANUP_CLOSE int fd = openat(scratch->fd, "copy", O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_check_stored(fd, &name, &diag), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(store_check_stored(fd, &other, &diag), FARM_E_DIGEST);
    assert_int_equal(copy_to(store, &other, -1, false, scratch->fd, "none", &copied), FARM_E_MISSING);
    rig_damage(scratch, path, 20);
    assert_int_equal(copy_to(store, &name, -1, false, scratch->fd, "bad", &copied), FARM_E_CORRUPT);
    assert_int_equal(faccessat(scratch->fd, "bad", F_OK, 0), -1);
    store_close(store);
}

/* An earlier copy is taken as it is, or is read first: on the store's own file system, where it is the store's own file. */
static void test_D8_an_earlier_link_is_read_when_asked(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct digest name = rig_put(store, VIEW("in the store and in the backup"));
    CLEANUP_FREE char *path = rig_file(&name);
    struct store_copied copied;
    assert_int_equal(mkdirat(scratch->fd, "first", 0700), 0);
    assert_int_equal(mkdirat(scratch->fd, "second", 0700), 0);
    CLEANUP_CLOSE int first = openat(scratch->fd, "first", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CLEANUP_CLOSE int second = openat(scratch->fd, "second", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(copy_to(store, &name, -1, false, first, "o", &copied), 0);
    assert_false(copied.earlier);
    assert_int_equal(copy_to(store, &name, first, true, second, "o", &copied), 0);
    assert_true(copied.earlier && copied.read && !copied.rotten);
    rig_damage(scratch, path, 20);
    assert_int_equal(unlinkat(second, "o", 0), 0);
    assert_int_equal(copy_to(store, &name, first, false, second, "o", &copied), 0);
    assert_true(copied.earlier && !copied.read); /* nobody looked */
    assert_int_equal(unlinkat(second, "o", 0), 0);
    assert_int_equal(copy_to(store, &name, first, true, second, "o", &copied), FARM_E_CORRUPT);
    assert_int_equal(faccessat(second, "o", F_OK, 0), -1);
    assert_false(store_has(store, &name)); /* and the store knows it now */
    store_close(store);
}

/* On another file system, where it is a copy: what rotted there is replaced by what the store has. */
static void test_D8_an_earlier_copy_that_rotted_is_replaced(void **state)
{
    const struct scratch *scratch = *state;
    char away[] = "/dev/shm/farm-test-store-XXXXXX";
    struct stat here, there;
    if (mkdtemp(away) == NULL || stat(away, &there) < 0 || fstat(scratch->fd, &here) < 0 ||
        here.st_dev == there.st_dev) {
        (void)!rmdir(away);
        print_message("[  SKIPPED ] /dev/shm is no other file system\n");
        skip();
    }
    struct store *store = rig_open(scratch);
    struct digest name = rig_put(store, VIEW("in the store, and a copy of it in the backup"));
    struct store_copied copied;
    CLEANUP_CLOSE int fd = open(away, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(copy_to(store, &name, -1, false, fd, "first", &copied), 0);
    assert_true(copied.bytes > 0);
    assert_int_equal(renameat(fd, "first", fd, "o"), 0);
    assert_int_equal(mkdirat(fd, "next", 0700), 0);
    CLEANUP_CLOSE int next = openat(fd, "next", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(copy_to(store, &name, fd, true, next, "o", &copied), 0);
    assert_true(copied.earlier && copied.read && copied.bytes == 0);
    assert_int_equal(unlinkat(next, "o", 0), 0);
    assert_int_equal(fchmodat(fd, "o", 0600, 0), 0);
    CLEANUP_CLOSE int rot = openat(fd, "o", O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(rot, "rot", 3, 20), 3);
    assert_int_equal(copy_to(store, &name, fd, true, next, "o", &copied), 0);
    assert_true(copied.rotten && !copied.earlier && copied.bytes > 0);
    CLEANUP_CLOSE int whole = openat(next, "o", O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_check_stored(whole, &name, NULL), 0);
    store_close(store);
    assert_int_equal(file_remove_tree(AT_FDCWD, away, NULL), 0);
}

static void test_damage_found_late_spares_the_new_copy(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    CLEANUP_BUF struct buf data = noise(3000000, 3);
    struct digest name = rig_put(store, buf_view(&data));
    CLEANUP_FREE char *path = rig_file(&name);
    rig_damage(scratch, path, 2900000);
    struct store_reader *early;
    struct diag diag = DIAG_INIT;
    assert_ok(store_read_begin(store, &name, &early, &diag), &diag);
    assert_int_equal(store_verify(store, &name, &diag), FARM_E_CORRUPT);
    rig_put(store, buf_view(&data));
    CLEANUP_FREE char *chunk = mem_alloc(100000);
    ssize_t got;
    while ((got = store_read(early, chunk, 100000, &diag)) > 0)
        continue;
    assert_int_equal(got, FARM_E_CORRUPT);
    assert_int_equal(store_read(early, chunk, 1, &diag), FARM_E_CORRUPT); /* it sticks */
    store_read_end(early);
    rig_expect(store, &name, buf_view(&data));
    store_close(store);
}

/* A power failure left nothing, nothing but the name, or half of it: whoever derives it again, finds that, once after each opening. */
static void test_D8_what_is_derived_is_replaced_if_it_is_torn(void **state)
{
    const struct scratch *scratch = *state;
    CLEANUP_BUF struct buf data = noise(5000, 3);
    struct diag diag = DIAG_INIT;
    struct digest name;
    static const char *const ends[] = {"rm -f", "truncate -s 0", "truncate -s 2000", "test -f"};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        struct store *store = rig_open(scratch);
        assert_ok(store_put_derived(store, buf_view(&data), &name, &diag), &diag);
        rig_expect(store, &name, buf_view(&data));
        assert_ok(store_put_derived(store, buf_view(&data), &name, &diag), &diag);
        assert_ok(store_put(store, buf_view(&data), &name, &diag), &diag);
        assert_true(store_is_verified(store, &name)); /* its new age does not have it read once more */
        store_close(store);
        CLEANUP_FREE char *path = rig_file(&name);
        CLEANUP_FREE char *tear = mem_format("chmod u+w '%s' && %s '%s'", path, ends[i], path);
        assert_int_equal(shell(scratch->fd, tear), 0);
        store = rig_open(scratch);
        assert_ok(store_put_derived(store, buf_view(&data), &name, &diag), &diag);
        rig_expect(store, &name, buf_view(&data));
        store_close(store);
    }
    assert_true(rig_count_files(scratch, "store/damaged") >= 1); /* their names have seconds */
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_D8_bit_rot_is_found_by_every_way_of_reading),
        SCRATCH(test_D8_any_damaged_byte_is_found),
        SCRATCH(test_D8_a_copy_elsewhere_is_verified),
        SCRATCH(test_D8_what_is_derived_is_replaced_if_it_is_torn),
        SCRATCH(test_damage_found_late_spares_the_new_copy),
        SCRATCH(test_D8_an_earlier_link_is_read_when_asked),
        SCRATCH(test_D8_an_earlier_copy_that_rotted_is_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
