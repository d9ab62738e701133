/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Objects in and out, what is not stored, and what a start finds. */
#include "store_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

static void check_round_trip(const struct scratch *scratch, struct store *store, struct view data)
{
    struct digest name = rig_put(store, data), expected = digest_of(data);
    assert_true(digest_equal(&name, &expected));
    assert_true(store_has(store, &name));
    rig_expect(store, &name, data);
    CLEANUP_FREE char *path = rig_file(&name);
    struct stat status;
    assert_int_equal(fstatat(scratch->fd, path, &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0444);
    if (have_program("zstd")) { /* it is an ordinary zstd file */
        CLEANUP_FREE char *command = mem_format("zstd -q -d -c < %s | sha256sum | cut -c1-64", path);
        CLEANUP_BUF struct buf hex = shell_output(scratch->fd, command);
        assert_string_equal(hex.data, digest_hex(&name).text);
    }
}

static void test_round_trips(void **state)
{
    struct store *store = rig_open(*state);
    static const size_t sizes[] = {0, 1, 511, 1 << 20, (1 << 20) + 1, 5 * 1000 * 1000};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_BUF struct buf data = noise(sizes[i], (unsigned int)i);
        check_round_trip(*state, store, buf_view(&data));
    }
    CLEANUP_BUF struct buf zeros = BUF_INIT;
    memset(buf_room(&zeros, 9 << 20), 0, 9 << 20);
    zeros.size = 9 << 20;
    check_round_trip(*state, store, buf_view(&zeros));
    uint64_t bytes;
    size_t objects;
    struct diag diag = DIAG_INIT;
    assert_ok(store_usage(store, &bytes, &objects, &diag), &diag);
    assert_int_equal(objects, 7);
    assert_true(bytes > 7000000 && bytes < 7200000); /* the noise, and next to nothing for the zeros */
    assert_int_equal(rig_count_files(*state, "store/incoming"), 0);
    store_close(store);
    store = rig_open(*state);
    CLEANUP_BUF struct buf again = noise(511, 2);
    struct digest name = digest_of(buf_view(&again));
    rig_expect(store, &name, buf_view(&again));
    store_close(store);
}

static void test_write_in_pieces(void **state)
{
    struct store *store = rig_open(*state);
    CLEANUP_BUF struct buf data = noise(3 << 20, 5);
    struct store_writer *writer;
    struct digest name, expected = digest_of(buf_view(&data));
    uint64_t size;
    struct diag diag = DIAG_INIT;
    assert_ok(store_write_begin(store, NO_LIMIT, &writer, &diag), &diag);
    for (size_t at = 0; at < data.size; at += 12345)
        assert_ok(store_write(writer, data.data + at, data.size - at < 12345 ? data.size - at : 12345, &diag),
                  &diag);
    assert_ok(store_write_commit(writer, &expected, false, &name, &size, &diag), &diag);
    assert_int_equal(size, data.size);
    rig_expect(store, &expected, buf_view(&data));
    store_close(store);
}

static void test_what_is_not_stored(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    struct digest wrong = digest_of(VIEW("other")), name = wrong;
    struct store_writer *writer;
    struct diag diag;
    assert_ok(store_write_begin(store, NO_LIMIT, &writer, &diag), &diag);
    assert_ok(store_write(writer, "this", 4, &diag), &diag);
    assert_error(store_write_commit(writer, &wrong, false, &name, NULL, &diag), FARM_E_DIGEST, &diag,
                 "expected d9298a10");
    assert_true(digest_equal(&name, &wrong)); /* untouched */
    assert_ok(store_write_begin(store, 5, &writer, &diag), &diag);
    assert_ok(store_write(writer, "this", 4, &diag), &diag);
    assert_error(store_write(writer, "is", 2, &diag), FARM_E_LIMIT, &diag, "limit of 5");
    assert_error(store_write(writer, "", 0, &diag), FARM_E_LIMIT, &diag, "earlier"); /* it sticks */
    assert_error(store_write_commit(writer, NULL, false, &name, NULL, &diag), FARM_E_LIMIT, &diag, "failed");
    assert_ok(store_write_begin(store, NO_LIMIT, &writer, &diag), &diag);
    assert_ok(store_write(writer, "this", 4, &diag), &diag);
    assert_null(store_write_abort(writer));
    assert_int_equal(rig_count_files(scratch, "store/objects"), 0);
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
    CLEANUP_BUF struct buf content = BUF_INIT;
    assert_error(store_get(store, &wrong, 10, &content, &diag), FARM_E_MISSING, &diag, "d9298a10");
    assert_false(store_has(store, &wrong));
    uint64_t size;
    assert_error(store_size(store, &wrong, &size, &diag), FARM_E_MISSING, &diag, "not in the store");
    struct digest ten = rig_put(store, VIEW("0123456789"));
    assert_error(store_get(store, &ten, 9, &content, &diag), FARM_E_LIMIT, &diag, "10 bytes");
    assert_int_equal(content.size, 0);
    store_close(store);
}

static void test_put_and_get_by_descriptor(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = rig_open(scratch);
    CLEANUP_BUF struct buf data = noise(2 << 20, 9);
    put_bytes(scratch->fd, "file", buf_view(&data), 0644);
    CLEANUP_CLOSE int in = openat(scratch->fd, "file", O_RDONLY);
    CLEANUP_CLOSE int out = openat(scratch->fd, "copy", O_RDWR | O_CREAT, 0644);
    struct digest name;
    uint64_t size;
    struct diag diag = DIAG_INIT;
    assert_ok(store_put_fd(store, in, NO_LIMIT, NULL, &name, &size, &diag), &diag);
    assert_int_equal(size, data.size);
    assert_ok(store_get_fd(store, &name, out, &diag), &diag);
    CLEANUP_BUF struct buf copy = get_bytes(scratch->fd, "copy");
    assert_true(view_equal(buf_view(&copy), buf_view(&data)));
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    assert_error(store_put_fd(store, in, 1000, NULL, &name, &size, &diag), FARM_E_LIMIT, &diag, "1000");
    store_close(store);
}

static void test_start_cleans_up(void **state)
{
    const struct scratch *scratch = *state;
    store_close(rig_open(scratch));
    put_file(scratch->fd, "store/incoming/0123.tmp", "half", 0600);
    put_file(scratch->fd, "store/incoming/0123.1.x.part", "half", 0600);
    struct store *store = rig_open(scratch), *second;
    assert_false(exists(scratch->fd, "store/incoming/0123.tmp"));
    assert_true(exists(scratch->fd, "store/incoming/0123.1.x.part"));
    put_file(scratch->fd, "store/incoming/4567.tmp", "half", 0600);
    second = rig_open(scratch); /* not alone: what is in incoming/ may be the other's */
    assert_true(exists(scratch->fd, "store/incoming/4567.tmp"));
    store_close(second);
    store_close(store);
    struct diag diag;
    assert_error(store_open(scratch->fd, "store", 0, &store, &diag), FARM_E_CONFIG, &diag, "level 0");
    put_file(scratch->fd, "file", "", 0644);
    assert_true(store_open(scratch->fd, "file/store", 1, &store, &diag) < 0);
}

static void test_D6_killed_while_writing(void **state)
{
    const struct scratch *scratch = *state;
    store_close(rig_open(scratch));
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store;
        struct store_writer *writer;
        struct buf data = noise(4 << 20, 1);
        if (store_open(scratch->fd, "store", 1, &store, NULL) < 0 ||
            store_write_begin(store, NO_LIMIT, &writer, NULL) < 0 ||
            store_write(writer, data.data, data.size, NULL) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        pause();
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 1);
    struct store *store = rig_open(scratch);
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
    assert_int_equal(rig_count_files(scratch, "store/objects"), 0);
    store_close(store);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_round_trips),        SCRATCH(test_write_in_pieces),
        SCRATCH(test_what_is_not_stored), SCRATCH(test_put_and_get_by_descriptor),
        SCRATCH(test_start_cleans_up),    SCRATCH(test_D6_killed_while_writing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
