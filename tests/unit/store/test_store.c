/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "file.h"
#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

static struct store *open_store(const struct scratch *scratch)
{
    struct store *store;
    struct diag diag = DIAG_INIT;
    assert_ok(store_open(scratch->fd, "store", 1, &store, &diag), &diag);
    return store;
}

static struct digest put(struct store *store, struct view data)
{
    struct digest name;
    struct diag diag = DIAG_INIT;
    assert_ok(store_put(store, data, &name, &diag), &diag);
    return name;
}

static char *object_file(const struct digest *name)
{
    struct digest_hex hex = digest_hex(name);
    return mem_format("store/objects/%.2s/%s", hex.text, hex.text + 2);
}

static size_t count_files(const struct scratch *scratch, const char *directory)
{
    CLEANUP_FREE char *command = mem_format("find %s -type f | wc -l", directory);
    CLEANUP_BUF struct buf count = shell_output(scratch->fd, command);
    return (size_t)strtoul(count.data, NULL, 10);
}

static void make_old(const struct scratch *scratch, const char *path, int seconds)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(scratch->fd, path, times, 0), 0);
}

static void assert_content(struct store *store, const struct digest *name, struct view data)
{
    CLEANUP_BUF struct buf found = BUF_INIT;
    struct diag diag = DIAG_INIT;
    uint64_t size;
    assert_ok(store_get(store, name, SIZE_MAX, &found, &diag), &diag);
    assert_int_equal(found.size, data.size);
    assert_true(view_equal(buf_view(&found), data));
    assert_ok(store_size(store, name, &size, &diag), &diag);
    assert_int_equal(size, data.size);
}

static void check_round_trip(const struct scratch *scratch, struct store *store, struct view data)
{
    struct digest name = put(store, data), expected = digest_of(data);
    assert_true(digest_equal(&name, &expected));
    assert_true(store_has(store, &name));
    assert_content(store, &name, data);
    CLEANUP_FREE char *path = object_file(&name);
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
    struct store *store = open_store(*state);
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
    assert_int_equal(count_files(*state, "store/incoming"), 0);
    store_close(store);
    store = open_store(*state);
    CLEANUP_BUF struct buf again = noise(511, 2);
    struct digest name = digest_of(buf_view(&again));
    assert_content(store, &name, buf_view(&again));
    store_close(store);
}

static void test_write_in_pieces(void **state)
{
    struct store *store = open_store(*state);
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
    assert_content(store, &expected, buf_view(&data));
    store_close(store);
}

static void test_what_is_not_stored(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
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
    assert_int_equal(count_files(scratch, "store/objects"), 0);
    assert_int_equal(count_files(scratch, "store/incoming"), 0);
    CLEANUP_BUF struct buf content = BUF_INIT;
    assert_error(store_get(store, &wrong, 10, &content, &diag), FARM_E_MISSING, &diag, "d9298a10");
    assert_false(store_has(store, &wrong));
    uint64_t size;
    assert_error(store_size(store, &wrong, &size, &diag), FARM_E_MISSING, &diag, "not in the store");
    struct digest ten = put(store, VIEW("0123456789"));
    assert_error(store_get(store, &ten, 9, &content, &diag), FARM_E_LIMIT, &diag, "10 bytes");
    assert_int_equal(content.size, 0);
    store_close(store);
}

static void test_put_and_get_by_descriptor(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
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

static void damage(const struct scratch *scratch, const char *path, off_t at)
{
    assert_int_equal(fchmodat(scratch->fd, path, 0644, 0), 0);
    CLEANUP_CLOSE int fd = openat(scratch->fd, path, O_RDWR);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void assert_damaged(const struct scratch *scratch, struct store *store, const struct digest *name,
                           int result, const struct diag *diag)
{
    if (result != FARM_E_CORRUPT)
        fail_msg("damage gave %d (%s)", result, diag->text);
    assert_non_null(strstr(diag->text, "moved to damaged/"));
    assert_false(store_has(store, name));
    assert_int_equal(count_files(scratch, "store/damaged"), 1);
    assert_int_equal(shell(scratch->fd, "rm -f store/damaged/*"), 0);
}

static void test_D8_bit_rot_is_found_by_every_way_of_reading(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    CLEANUP_BUF struct buf data = noise(70000, 3);
    for (int way = 0; way < 5; way++) {
        struct digest name = put(store, buf_view(&data));
        CLEANUP_FREE char *path = object_file(&name);
        damage(scratch, path, 40000);
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
            damage(scratch, path, 0); /* not even a frame */
            result = store_size(store, &name, &size, &diag);
        }
        assert_int_equal(fd, -1);
        assert_int_equal(content.size, 0);
        assert_damaged(scratch, store, &name, result, &diag);
    }
    struct digest name = put(store, buf_view(&data)); /* and it can be stored again */
    assert_content(store, &name, buf_view(&data));
    store_close(store);
}

static void test_D8_any_damaged_byte_is_found(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    struct view text = VIEW("some text, some text, some more text, and again some text");
    struct digest name = put(store, text);
    CLEANUP_FREE char *path = object_file(&name);
    CLEANUP_FREE char *absolute = mem_format("%s/%s", scratch->path, path);
    CLEANUP_BUF struct buf stored = get_bytes(scratch->fd, path);
    for (size_t i = 0; i <= stored.size + 1; i++) {
        name = put(store, text);
        if (i < stored.size)
            damage(scratch, path, (off_t)i);
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

/* For a backup: what leaves is verified, is the same file where that can be, and an earlier copy is taken if it is the same one. */
static void test_D8_a_copy_elsewhere_is_verified(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    struct diag diag = DIAG_INIT;
    struct digest name = put(store, VIEW("to be kept elsewhere, and elsewhere again")),
                  other = digest_of(VIEW("x"));
    CLEANUP_FREE char *path = object_file(&name);
    uint64_t bytes = 1;
    assert_int_equal(store_copy_stored(store, &name, -1, scratch->fd, "copy", &bytes, &diag), 0);
    assert_int_equal(bytes, 0); /* a link */
    CLEANUP_CLOSE int fd = openat(scratch->fd, "copy", O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_check_stored(fd, &name, &diag), 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(store_check_stored(fd, &other, &diag), FARM_E_DIGEST);
    assert_int_equal(store_copy_stored(store, &other, -1, scratch->fd, "none", &bytes, &diag),
                     FARM_E_MISSING);
    damage(scratch, path, 20);
    assert_int_equal(store_copy_stored(store, &name, -1, scratch->fd, "bad", &bytes, &diag), FARM_E_CORRUPT);
    assert_int_equal(faccessat(scratch->fd, "bad", F_OK, 0), -1);
    store_close(store);
}

static void test_damage_found_late_spares_the_new_copy(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    CLEANUP_BUF struct buf data = noise(3000000, 3);
    struct digest name = put(store, buf_view(&data));
    CLEANUP_FREE char *path = object_file(&name);
    damage(scratch, path, 2900000);
    struct store_reader *early;
    struct diag diag = DIAG_INIT;
    assert_ok(store_read_begin(store, &name, &early, &diag), &diag);
    assert_int_equal(store_verify(store, &name, &diag), FARM_E_CORRUPT);
    put(store, buf_view(&data));
    CLEANUP_FREE char *chunk = mem_alloc(100000);
    ssize_t got;
    while ((got = store_read(early, chunk, 100000, &diag)) > 0)
        continue;
    assert_int_equal(got, FARM_E_CORRUPT);
    assert_int_equal(store_read(early, chunk, 1, &diag), FARM_E_CORRUPT); /* it sticks */
    store_read_end(early);
    assert_content(store, &name, buf_view(&data));
    store_close(store);
}

/* The stored bytes of an object, as a sender would read them. */
static struct buf stored_bytes(struct store *store, const struct digest *name)
{
    struct buf bytes = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int fd;
    uint64_t size;
    assert_ok(store_open_stored(store, name, &fd, &size, &diag), &diag);
    assert_ok(file_read_fd(fd, "object", SIZE_MAX - 1, &bytes, &diag), &diag);
    assert_int_equal(bytes.size, size);
    close(fd);
    return bytes;
}

struct transfer {
    struct store *sender, *receiver;
    struct digest name;
    struct buf bytes, data;
};

static struct transfer transfer_begin(const struct scratch *scratch)
{
    struct transfer transfer;
    struct diag diag = DIAG_INIT;
    assert_ok(store_open(scratch->fd, "sender", 1, &transfer.sender, &diag), &diag);
    transfer.receiver = open_store(scratch);
    transfer.data = noise(2500000, 4);
    transfer.name = put(transfer.sender, buf_view(&transfer.data));
    transfer.bytes = stored_bytes(transfer.sender, &transfer.name);
    return transfer;
}

static void transfer_end(struct transfer *transfer)
{
    store_close(transfer->sender);
    store_close(transfer->receiver);
    buf_done(&transfer->bytes);
    buf_done(&transfer->data);
}

static struct store_partial *partial_begin(struct transfer *transfer, const char *owner)
{
    struct store_partial *partial;
    struct diag diag = DIAG_INIT;
    assert_ok(store_partial_begin(transfer->receiver, owner, &transfer->name, transfer->bytes.size, &partial,
                                  &diag),
              &diag);
    return partial;
}

static void send_until(struct transfer *transfer, struct store_partial *partial, size_t end)
{
    struct diag diag = DIAG_INIT;
    for (uint64_t at; (at = store_partial_offset(partial)) < end;) {
        size_t size = end - at < 1 << 20 ? end - at : 1 << 20;
        assert_ok(store_partial_add(partial, at, view_of(transfer->bytes.data + at, size), &diag), &diag);
    }
}

static int take_up(void *context)
{
    struct transfer *transfer = context;
    struct store_partial *partial;
    if (store_partial_begin(transfer->receiver, "w", &transfer->name, transfer->bytes.size, &partial, NULL) <
        0)
        return 1;
    if (store_partial_offset(partial) != transfer->bytes.size)
        return 2;
    return store_partial_commit(partial, NO_LIMIT, NULL) < 0 ? 3 : 0;
}

/* Killed between chmod and rename while an object was published; root would not notice, a worker is not root. */
static void test_D6_a_partial_left_read_only_is_taken_up(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct store_partial *partial = partial_begin(&transfer, "w");
    send_until(&transfer, partial, transfer.bytes.size);
    store_partial_close(partial);
    CLEANUP_FREE char *lock_out = mem_format("chmod 0444 '%s'/store/incoming/*.part", scratch->path);
    CLEANUP_FREE char *hand_over = mem_format("chown -R %d '%s/store'", OTHER_ID, scratch->path);
    assert_int_equal(system(lock_out), 0);
    if (geteuid() == 0) {
        assert_int_equal(system(hand_over), 0);
        assert_int_equal(as_other_user(take_up, &transfer), 0);
    } else {
        assert_int_equal(take_up(&transfer), 0);
    }
    assert_content(transfer.receiver, &transfer.name, buf_view(&transfer.data));
    transfer_end(&transfer);
}

static void test_N9_transfer_resumes_after_a_restart(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    struct store_partial *partial = partial_begin(&transfer, "w/../1");
    assert_int_equal(store_partial_offset(partial), 0);
    send_until(&transfer, partial, 1234567);
    assert_false(store_has(transfer.receiver, &transfer.name));
    store_partial_close(partial);
    store_close(transfer.receiver);
    transfer.receiver = open_store(scratch); /* cleans incoming/, but not this */
    partial = partial_begin(&transfer, "w/../1");
    assert_int_equal(store_partial_offset(partial), 1234567);
    assert_error(store_partial_add(partial, 0, VIEW("x"), &diag), FARM_E_STATE, &diag, "expected 1234567");
    assert_error(store_partial_add(partial, 1234568, VIEW("x"), &diag), FARM_E_STATE, &diag,
                 "expected 1234567");
    send_until(&transfer, partial, transfer.bytes.size);
    assert_error(store_partial_add(partial, transfer.bytes.size, VIEW("x"), &diag), FARM_E_LIMIT, &diag,
                 "announced");
    assert_ok(store_partial_commit(partial, transfer.data.size, &diag), &diag);
    assert_content(transfer.receiver, &transfer.name, buf_view(&transfer.data));
    assert_int_equal(count_files(scratch, "store/incoming"), 0);
    transfer_end(&transfer);
}

static void test_partial_of_wrong_bytes_is_dropped(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < 3; i++) {
        struct store_partial *partial = partial_begin(&transfer, "worker");
        assert_int_equal(store_partial_offset(partial), 0);
        size_t at = i * (transfer.bytes.size - 1) / 2;
        transfer.bytes.data[at] ^= 1;
        send_until(&transfer, partial, transfer.bytes.size);
        transfer.bytes.data[at] ^= 1;
        assert_error(store_partial_commit(partial, NO_LIMIT, &diag), FARM_E_DIGEST, &diag, "received object");
        assert_int_equal(count_files(scratch, "store/incoming"), 0);
        assert_false(store_has(transfer.receiver, &transfer.name));
    }
    transfer_end(&transfer);
}

static void follow_all(struct store_partial *partial, uint64_t limit)
{
    while (store_partial_follow(partial, limit))
        ;
}

/* Unpacked behind the writing, piece by piece, also what an earlier connection left; the commit says what it always said. */
static void test_partial_is_verified_while_it_arrives(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    struct store_partial *partial = partial_begin(&transfer, "w");
    assert_false(store_partial_follow(partial, NO_LIMIT)); /* nothing is there */
    send_until(&transfer, partial, 5);
    assert_false(store_partial_follow(partial, NO_LIMIT)); /* not even a header */
    for (size_t end = 6; end < 40; end++) {
        send_until(&transfer, partial, end);
        follow_all(partial, NO_LIMIT);
    }
    send_until(&transfer, partial, transfer.bytes.size / 2);
    follow_all(partial, NO_LIMIT);
    store_partial_close(partial);
    partial = partial_begin(&transfer, "w");
    assert_int_equal(store_partial_offset(partial), transfer.bytes.size / 2);
    follow_all(partial, NO_LIMIT);
    send_until(&transfer, partial, transfer.bytes.size);
    assert_true(store_partial_follow(partial, NO_LIMIT)); /* a step is bounded: this was not all of it */
    follow_all(partial, NO_LIMIT);
    assert_false(store_has(transfer.receiver, &transfer.name));
    assert_ok(store_partial_commit(partial, transfer.data.size, &diag), &diag);
    assert_content(transfer.receiver, &transfer.name, buf_view(&transfer.data));
    transfer_end(&transfer);
}

static void test_partial_of_wrong_bytes_is_dropped_though_it_was_followed(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < 4; i++) { /* its magic, its content, its last block; then none of them */
        size_t at = i * (transfer.bytes.size - 1) / 2;
        struct store_partial *partial = partial_begin(&transfer, "worker");
        if (i < 3)
            transfer.bytes.data[at] ^= 1;
        for (size_t end = 0; end < transfer.bytes.size; end += 300000) {
            send_until(&transfer, partial, end);
            follow_all(partial, NO_LIMIT);
        }
        send_until(&transfer, partial, transfer.bytes.size);
        follow_all(partial, NO_LIMIT);
        if (i < 3) {
            transfer.bytes.data[at] ^= 1;
            assert_error(store_partial_commit(partial, NO_LIMIT, &diag), FARM_E_DIGEST, &diag,
                         "received object");
        } else {
            assert_ok(store_partial_commit(partial, NO_LIMIT, &diag), &diag);
        }
        assert_int_equal(count_files(scratch, "store/incoming"), 0);
        assert_int_equal(store_has(transfer.receiver, &transfer.name), i == 3);
    }
    transfer_end(&transfer);
}

/* The limit holds for what is unpacked early, too; and one that is only enough for the commit does not spoil it. */
static void test_A5_partial_over_the_limit_is_not_unpacked_while_it_arrives(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    struct store_partial *partial = partial_begin(&transfer, "worker");
    send_until(&transfer, partial, transfer.bytes.size);
    assert_false(store_partial_follow(partial, transfer.data.size - 1));
    assert_error(store_partial_commit(partial, transfer.data.size - 1, &diag), FARM_E_LIMIT, &diag, "limit");
    assert_int_equal(count_files(scratch, "store/incoming"), 0);
    partial = partial_begin(&transfer, "worker");
    send_until(&transfer, partial, transfer.bytes.size);
    assert_false(store_partial_follow(partial, transfer.data.size - 1));
    assert_ok(store_partial_commit(partial, transfer.data.size, &diag), &diag);
    transfer_end(&transfer);
}

static void test_partial_states(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag = DIAG_INIT;
    struct store_partial *partial = partial_begin(&transfer, "one"), *other;
    assert_error(
        store_partial_begin(transfer.receiver, "one", &transfer.name, transfer.bytes.size, &other, &diag),
        FARM_E_STATE, &diag, "already");
    other = partial_begin(&transfer, "two"); /* owners do not share */
    send_until(&transfer, partial, 100);
    assert_int_equal(store_partial_offset(other), 0);
    assert_error(store_partial_commit(partial, NO_LIMIT, &diag), FARM_E_STATE, &diag, "only 100 of");
    partial = partial_begin(&transfer, "one"); /* kept */
    assert_int_equal(store_partial_offset(partial), 100);
    send_until(&transfer, partial, transfer.bytes.size);
    send_until(&transfer, other, transfer.bytes.size);
    assert_ok(store_partial_commit(partial, NO_LIMIT, &diag), &diag);
    assert_ok(store_partial_commit(other, NO_LIMIT, &diag), &diag); /* the second is as welcome */
    assert_int_equal(count_files(scratch, "store/incoming"), 0);
    assert_error(store_partial_begin(transfer.receiver, "one", &transfer.name, 0, &other, &diag),
                 FARM_E_LIMIT, &diag, "");
    assert_error(store_partial_begin(transfer.receiver, "one", &transfer.name, NO_LIMIT, &other, &diag),
                 FARM_E_LIMIT, &diag, "limit");
    transfer_end(&transfer);
}

static int receive(struct store *store, const struct digest *name, struct view bytes, uint64_t limit,
                   struct diag *diag)
{
    struct store_partial *partial;
    assert_ok(store_partial_begin(store, "hostile", name, bytes.size, &partial, diag), diag);
    assert_ok(store_partial_add(partial, 0, bytes, diag), diag);
    return store_partial_commit(partial, limit, diag);
}

static void test_A5_decompression_bombs(void **state)
{
    const struct scratch *scratch = *state;
    if (!have_program("zstd"))
        skip();
    struct store *store = open_store(scratch);
    struct digest name = digest_of(VIEW(""));
    struct diag diag;
    assert_int_equal(shell(scratch->fd,
                           "head -c 300000000 /dev/zero > zeros; zstd -q -1 zeros -o honest.zst; "
                           "zstd -q -1 < zeros > silent.zst; rm zeros"),
                     0);
    CLEANUP_BUF struct buf honest = get_bytes(scratch->fd, "honest.zst");
    CLEANUP_BUF struct buf silent = get_bytes(scratch->fd, "silent.zst");
    assert_true(honest.size < 100000);
    assert_error(receive(store, &name, buf_view(&honest), 1 << 20, &diag), FARM_E_LIMIT, &diag,
                 "unpacks to 300000000");
    assert_error(receive(store, &name, buf_view(&silent), 1 << 20, &diag), FARM_E_DIGEST, &diag,
                 "does not state its size");
    /* One that lies: the size is the four bytes behind magic, descriptor and window. */
    assert_int_equal((unsigned char)honest.data[4] >> 6, 2);
    size_t at = (honest.data[4] & 0x20) != 0 ? 5 : 6;
    memcpy(honest.data + at, "\0\0\1\0", 4);
    assert_error(receive(store, &name, buf_view(&honest), 1 << 20, &diag), FARM_E_DIGEST, &diag,
                 "not a sound zstd frame");
    assert_int_equal(count_files(scratch, "store"), 1); /* the lock */
    store_close(store);
}

static void test_A8_frames_that_are_not_alone(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct diag diag;
    static const char skippable[] = "\x50\x2a\x4d\x18\4\0\0\0abcd";
    CLEANUP_BUF struct buf bytes = BUF_INIT;
    buf_add_view(&bytes, buf_view(&transfer.bytes));
    buf_add(&bytes, skippable, sizeof skippable - 1);
    assert_error(receive(transfer.receiver, &transfer.name, buf_view(&bytes), NO_LIMIT, &diag), FARM_E_DIGEST,
                 &diag, "behind");
    buf_clear(&bytes);
    buf_add(&bytes, skippable, sizeof skippable - 1);
    buf_add_view(&bytes, buf_view(&transfer.bytes));
    assert_error(receive(transfer.receiver, &transfer.name, buf_view(&bytes), NO_LIMIT, &diag), FARM_E_DIGEST,
                 &diag, "not a zstd frame");
    /* One empty block, and a header that says 4 MiB: libzstd 1.5.4 is content. Found by fuzzing. */
    static const char empty[] = "\x28\xb5\x2f\xfd\xa0\x00\x00\x40\x00\x01\x00\x00";
    assert_error(
        receive(transfer.receiver, &transfer.name, view_of(empty, sizeof empty - 1), NO_LIMIT, &diag),
        FARM_E_DIGEST, &diag, "says it has 4194304");
    assert_error(receive(transfer.receiver, &transfer.name, VIEW("junk"), NO_LIMIT, &diag), FARM_E_DIGEST,
                 &diag, "not a zstd");
    assert_error(
        receive(transfer.receiver, &transfer.name, view_of(transfer.bytes.data, 100), NO_LIMIT, &diag),
        FARM_E_DIGEST, &diag, "ends early");
    transfer_end(&transfer);
}

static void test_start_cleans_up(void **state)
{
    const struct scratch *scratch = *state;
    store_close(open_store(scratch));
    put_file(scratch->fd, "store/incoming/0123.tmp", "half", 0600);
    put_file(scratch->fd, "store/incoming/0123.1.x.part", "half", 0600);
    struct store *store = open_store(scratch), *second;
    assert_false(exists(scratch->fd, "store/incoming/0123.tmp"));
    assert_true(exists(scratch->fd, "store/incoming/0123.1.x.part"));
    put_file(scratch->fd, "store/incoming/4567.tmp", "half", 0600);
    second = open_store(scratch); /* not alone: what is in incoming/ may be the other's */
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
    store_close(open_store(scratch));
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
    assert_int_equal(count_files(scratch, "store/incoming"), 1);
    struct store *store = open_store(scratch);
    assert_int_equal(count_files(scratch, "store/incoming"), 0);
    assert_int_equal(count_files(scratch, "store/objects"), 0);
    store_close(store);
}

struct keep {
    struct digest name;
};

static bool keep_one(void *context, const struct digest *name)
{
    const struct keep *keep = context;
    return digest_equal(&keep->name, name);
}

static size_t collect(struct store *store, const struct digest *keep_name, int64_t grace_ms)
{
    struct keep keep = {*keep_name};
    size_t removed;
    uint64_t bytes;
    struct diag diag = DIAG_INIT;
    assert_ok(store_collect(store, keep_one, &keep, grace_ms, &removed, &bytes, &diag), &diag);
    assert_true((removed > 0) == (bytes > 0));
    return removed;
}

static void test_collect_honours_keep_pins_and_grace(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    struct digest kept = put(store, VIEW("kept")), pinned = put(store, VIEW("pinned")),
                  young = put(store, VIEW("young")), old = put(store, VIEW("old")),
                  again = put(store, VIEW("again")), absent = digest_of(VIEW("absent"));
    const struct digest *aged[] = {&kept, &pinned, &old, &again};
    for (size_t i = 0; i < ARRAY_SIZE(aged); i++) {
        CLEANUP_FREE char *path = object_file(aged[i]);
        make_old(scratch, path, 100);
    }
    store_pin(store, &pinned);
    store_pin(store, &pinned);
    store_pin(store, &absent);
    put(store, VIEW("again")); /* stored once more: its age starts over */
    assert_int_equal(collect(store, &kept, 60000), 1);
    assert_true(store_has(store, &kept) && store_has(store, &pinned) && store_has(store, &young) &&
                store_has(store, &again));
    assert_false(store_has(store, &old));
    store_unpin(store, &pinned);
    assert_int_equal(collect(store, &kept, 60000), 0); /* pins count */
    store_unpin(store, &pinned);
    assert_int_equal(collect(store, &kept, 60000), 1);
    assert_false(store_has(store, &pinned));
    put(store, VIEW("absent")); /* protected since before it came */
    CLEANUP_FREE char *path = object_file(&absent);
    make_old(scratch, path, 100);
    assert_int_equal(collect(store, &kept, 60000), 0);
    store_unpin(store, &absent);
    assert_int_equal(collect(store, &kept, 60000), 1);
    store_unpin(store, &absent); /* one too many does no harm */
    store_close(store);
}

static void test_commit_can_pin(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    struct digest other = digest_of(VIEW("other")), name;
    for (int i = 0; i < 2; i++) { /* new, and there already */
        struct store_writer *writer;
        struct diag diag = DIAG_INIT;
        assert_ok(store_write_begin(store, NO_LIMIT, &writer, &diag), &diag);
        assert_ok(store_write(writer, "x", 1, &diag), &diag);
        assert_ok(store_write_commit(writer, NULL, true, &name, NULL, &diag), &diag);
    }
    CLEANUP_FREE char *path = object_file(&name);
    make_old(scratch, path, 100);
    assert_int_equal(collect(store, &other, 0), 0);
    store_unpin(store, &name);
    assert_int_equal(collect(store, &other, 0), 0);
    store_unpin(store, &name);
    assert_int_equal(collect(store, &other, 0), 1);
    store_close(store);
}

static void test_collect_takes_old_partials(void **state)
{
    const struct scratch *scratch = *state;
    struct transfer transfer = transfer_begin(scratch);
    struct store_partial *open = partial_begin(&transfer, "open"),
                         *closed = partial_begin(&transfer, "closed");
    send_until(&transfer, open, 100);
    send_until(&transfer, closed, 100);
    store_partial_close(closed);
    assert_int_equal(shell(scratch->fd, "touch -d '1 hour ago' store/incoming/*.part"), 0);
    assert_int_equal(collect(transfer.receiver, &transfer.name, 60000), 1);
    send_until(&transfer, open, transfer.bytes.size);
    struct diag diag = DIAG_INIT;
    assert_ok(store_partial_commit(open, NO_LIMIT, &diag), &diag);
    transfer_end(&transfer);
}

static int count_visit(void *context, const struct digest *name, uint64_t stored_size)
{
    (void)name;
    assert_true(stored_size > 0);
    return ++*(int *)context == 3 ? FARM_E_STATE : 0;
}

static bool keep_nothing(void *context, const struct digest *name)
{
    (void)context;
    (void)name;
    return false;
}

static void test_collect_empties_damaged_in_time(void **state)
{
    struct scratch *scratch = *state;
    struct store *store = open_store(scratch);
    struct diag diag = DIAG_INIT;
    size_t removed = 0;
    long long now = (long long)time(NULL);
    CLEANUP_FREE char *fresh = mem_format("store/damaged/aa.%lld", now - STORE_DAMAGED_KEPT_S + 60);
    CLEANUP_FREE char *old = mem_format("store/damaged/bb.%lld", now - STORE_DAMAGED_KEPT_S - 60);
    put_file(scratch->fd, fresh, "x", 0444);
    put_file(scratch->fd, old, "x", 0444);
    put_file(scratch->fd, "store/damaged/notes", "somebody's", 0444);
    assert_ok(store_collect(store, keep_nothing, NULL, 1000, &removed, NULL, &diag), &diag);
    assert_int_equal(removed, 1);
    assert_true(exists(scratch->fd, fresh) && exists(scratch->fd, "store/damaged/notes"));
    assert_false(exists(scratch->fd, old));
    store_close(store);
}

static void test_each_can_be_ended(void **state)
{
    struct store *store = open_store(*state);
    static const char *const texts[] = {"a", "b", "c", "d"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        put(store, view_text(texts[i]));
    int count = 0;
    struct diag diag = DIAG_INIT;
    assert_int_equal(store_each(store, count_visit, &count, &diag), FARM_E_STATE);
    assert_int_equal(count, 3);
    store_close(store);
}

/* Several threads store the same objects again and again while another collects everything that is not pinned. */
struct race {
    struct store *store;
    atomic_int failures;
    atomic_bool stop;
};

static void *race_writer(void *context)
{
    struct race *race = context;
    for (int i = 0; i < 60; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "object %d", i % 5);
        struct digest name;
        struct store_writer *writer;
        bool ok = store_write_begin(race->store, NO_LIMIT, &writer, NULL) == 0 &&
                  store_write(writer, text, (size_t)length, NULL) == 0 &&
                  store_write_commit(writer, NULL, true, &name, NULL, NULL) == 0;
        /* Pinned: whatever the collector does, it is there until we let go. */
        struct buf content = BUF_INIT;
        ok = ok && store_get(race->store, &name, 100, &content, NULL) == 0 &&
             view_equal(buf_view(&content), view_of(text, (size_t)length));
        buf_done(&content);
        if (!ok)
            race->failures++;
        else
            store_unpin(race->store, &name);
    }
    return NULL;
}

static void *race_collector(void *context)
{
    struct race *race = context;
    while (!race->stop)
        if (store_collect(race->store, keep_nothing, NULL, -60000, NULL, NULL, NULL) < 0)
            race->failures++;
    return NULL;
}

static void test_writers_against_a_collector(void **state)
{
    struct race race = {.store = open_store(*state)};
    pthread_t writers[3], collector;
    assert_int_equal(pthread_create(&collector, NULL, race_collector, &race), 0);
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
        assert_int_equal(pthread_create(&writers[i], NULL, race_writer, &race), 0);
    for (size_t i = 0; i < ARRAY_SIZE(writers); i++)
        pthread_join(writers[i], NULL);
    race.stop = true;
    pthread_join(collector, NULL);
    assert_int_equal(race.failures, 0);
    store_close(race.store);
}

static void *store_once_more(void *context)
{
    struct race *race = context;
    for (int i = 0; i < 50; i++) {
        struct store_writer *writer;
        if (store_write_begin(race->store, NO_LIMIT, &writer, NULL) < 0 ||
            store_write(writer, "again", 5, NULL) < 0 ||
            store_write_commit(writer, NULL, false, NULL, NULL, NULL) < 0)
            race->failures++;
    }
    race->stop = true;
    return NULL;
}

/* Who was told "stored" can rely on it while somebody else hands in the same bytes. */
static void test_durable_object_stays_while_it_is_stored_again(void **state)
{
    struct race race = {.store = open_store(*state)};
    struct digest name = put(race.store, VIEW("again"));
    pthread_t writer;
    int absent = 0;
    assert_int_equal(pthread_create(&writer, NULL, store_once_more, &race), 0);
    while (!race.stop)
        absent += !store_has(race.store, &name);
    pthread_join(writer, NULL);
    assert_int_equal(absent, 0);
    assert_int_equal(race.failures, 0);
    store_close(race.store);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_round_trips),
        SCRATCH(test_write_in_pieces),
        SCRATCH(test_what_is_not_stored),
        SCRATCH(test_put_and_get_by_descriptor),
        SCRATCH(test_D8_bit_rot_is_found_by_every_way_of_reading),
        SCRATCH(test_D8_any_damaged_byte_is_found),
        SCRATCH(test_D8_a_copy_elsewhere_is_verified),
        SCRATCH(test_damage_found_late_spares_the_new_copy),
        SCRATCH(test_D6_a_partial_left_read_only_is_taken_up),
        SCRATCH(test_N9_transfer_resumes_after_a_restart),
        SCRATCH(test_partial_of_wrong_bytes_is_dropped),
        SCRATCH(test_partial_is_verified_while_it_arrives),
        SCRATCH(test_partial_of_wrong_bytes_is_dropped_though_it_was_followed),
        SCRATCH(test_A5_partial_over_the_limit_is_not_unpacked_while_it_arrives),
        SCRATCH(test_partial_states),
        SCRATCH(test_A5_decompression_bombs),
        SCRATCH(test_A8_frames_that_are_not_alone),
        SCRATCH(test_start_cleans_up),
        SCRATCH(test_D6_killed_while_writing),
        SCRATCH(test_collect_honours_keep_pins_and_grace),
        SCRATCH(test_commit_can_pin),
        SCRATCH(test_collect_takes_old_partials),
        SCRATCH(test_collect_empties_damaged_in_time),
        SCRATCH(test_each_can_be_ended),
        SCRATCH(test_writers_against_a_collector),
        SCRATCH(test_durable_object_stays_while_it_is_stored_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
