/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Objects that arrive in pieces, from strangers. */
#include "store_rig.h"

#include "file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX

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
    transfer.receiver = rig_open(scratch);
    transfer.data = noise(2500000, 4);
    transfer.name = rig_put(transfer.sender, buf_view(&transfer.data));
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
    rig_expect(transfer.receiver, &transfer.name, buf_view(&transfer.data));
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
    transfer.receiver = rig_open(scratch); /* cleans incoming/, but not this */
    partial = partial_begin(&transfer, "w/../1");
    assert_int_equal(store_partial_offset(partial), 1234567);
    assert_error(store_partial_add(partial, 0, VIEW("x"), &diag), FARM_E_STATE, &diag, "expected 1234567");
    assert_error(store_partial_add(partial, 1234568, VIEW("x"), &diag), FARM_E_STATE, &diag,
                 "expected 1234567");
    send_until(&transfer, partial, transfer.bytes.size);
    assert_error(store_partial_add(partial, transfer.bytes.size, VIEW("x"), &diag), FARM_E_LIMIT, &diag,
                 "announced");
    assert_ok(store_partial_commit(partial, transfer.data.size, &diag), &diag);
    rig_expect(transfer.receiver, &transfer.name, buf_view(&transfer.data));
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
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
        assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
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
    rig_expect(transfer.receiver, &transfer.name, buf_view(&transfer.data));
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
        assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
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
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
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
    assert_int_equal(rig_count_files(scratch, "store/incoming"), 0);
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
    struct store *store = rig_open(scratch);
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
    assert_int_equal(rig_count_files(scratch, "store"), 1); /* the lock */
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
    assert_int_equal(rig_collect(transfer.receiver, &transfer.name, 60000), 1);
    send_until(&transfer, open, transfer.bytes.size);
    struct diag diag = DIAG_INIT;
    assert_ok(store_partial_commit(open, NO_LIMIT, &diag), &diag);
    transfer_end(&transfer);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_D6_a_partial_left_read_only_is_taken_up),
        SCRATCH(test_N9_transfer_resumes_after_a_restart),
        SCRATCH(test_partial_of_wrong_bytes_is_dropped),
        SCRATCH(test_partial_is_verified_while_it_arrives),
        SCRATCH(test_partial_of_wrong_bytes_is_dropped_though_it_was_followed),
        SCRATCH(test_A5_partial_over_the_limit_is_not_unpacked_while_it_arrives),
        SCRATCH(test_partial_states),
        SCRATCH(test_A5_decompression_bombs),
        SCRATCH(test_A8_frames_that_are_not_alone),
        SCRATCH(test_collect_takes_old_partials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
