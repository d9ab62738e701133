/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "area.h"
#include "payload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { EPOCH = 1700000000 };
static const struct view PKGINFO = VIEW("pkgname = vector\npkgver = 1.0\n");

struct fixture {
    const struct scratch *scratch;
    struct store *store;
    struct payload payload; /* the vector's */
    struct manifest manifest;
};

static void make_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    assert_int_equal(manifest->count, 24);
    buf_add_view(ret, *(const struct view *)context);
}

static struct fixture fixture_new(const struct scratch *scratch)
{
    struct fixture fixture = {.scratch = scratch};
    struct diag diag = DIAG_INIT;
    assert_ok(store_open(scratch->fd, "store", 1, &fixture.store, &diag), &diag);
    put_dir(scratch->fd, "tree", 0755);
    CLEANUP_CLOSE int fd = open_dir(scratch->fd, "tree");
    put_vector_tree(fd);
    struct view info = PKGINFO;
    assert_ok(payload_pack(fixture.store, fd, make_pkginfo, &info, EPOCH, &fixture.payload, &diag), &diag);
    assert_ok(payload_manifest(fixture.store, &fixture.payload.manifest, &fixture.manifest, &diag), &diag);
    return fixture;
}

static void fixture_free(struct fixture *fixture)
{
    store_close(fixture->store);
    manifest_done(&fixture->manifest);
}

static void test_packs_to_the_golden_digests(void **state)
{
    struct fixture fixture = fixture_new(*state);
    CLEANUP_BUF struct buf digests = vector_text("payload.sha256");
    CLEANUP_FREE char *expected =
        mem_format("%s  payload.mtree\n%s  payload.tar\n", digest_hex(&fixture.payload.manifest).text,
                   digest_hex(&fixture.payload.tar).text);
    assert_true(view_starts(buf_view(&digests), view_text(expected)));
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    assert_int_equal(fixture.payload.tar_size, tar.size);
    struct diag diag = DIAG_INIT;
    assert_ok(payload_verify(fixture.store, &fixture.payload, PKGINFO, EPOCH, &diag), &diag);
    fixture_free(&fixture);
}

static void test_unpacks_to_the_same_payload(void **state)
{
    struct fixture fixture = fixture_new(*state);
    put_dir(fixture.scratch->fd, "out", 0755);
    CLEANUP_CLOSE int out = open_dir(fixture.scratch->fd, "out");
    struct diag diag = DIAG_INIT;
    assert_ok(payload_unpack(fixture.store, &fixture.payload, out, false, &diag), &diag);
    assert_false(exists(out, ".PKGINFO"));
    struct payload again;
    assert_ok(payload_pack(fixture.store, out, NULL, NULL, EPOCH, &again, &diag), &diag);
    assert_true(digest_equal(&again.manifest, &fixture.payload.manifest));
    assert_false(digest_equal(&again.tar, &fixture.payload.tar)); /* no .PKGINFO */
    assert_ok(payload_verify(fixture.store, &again, VIEW(""), EPOCH, &diag), &diag);
    fixture_free(&fixture);
}

static void test_empty_tree(void **state)
{
    struct fixture fixture = fixture_new(*state);
    put_dir(fixture.scratch->fd, "empty", 0755);
    CLEANUP_CLOSE int fd = open_dir(fixture.scratch->fd, "empty");
    struct payload payload;
    struct diag diag = DIAG_INIT;
    assert_ok(payload_pack(fixture.store, fd, NULL, NULL, EPOCH, &payload, &diag), &diag);
    assert_int_equal(payload.tar_size, 1024);
    assert_ok(payload_verify(fixture.store, &payload, VIEW(""), EPOCH, &diag), &diag);
    assert_ok(payload_unpack(fixture.store, &payload, fd, true, &diag), &diag);
    fixture_free(&fixture);
}

static struct digest put(struct store *store, struct view data)
{
    struct digest name;
    struct diag diag = DIAG_INIT;
    assert_ok(store_put(store, data, &name, &diag), &diag);
    return name;
}

static void test_W14_A8_A9_other_tars_are_refused(void **state)
{
    struct fixture fixture = fixture_new(*state);
    struct payload payload = fixture.payload;
    struct diag diag;
    assert_error(
        payload_verify(fixture.store, &payload, VIEW("pkgname = vectoR\npkgver = 1.0\n"), EPOCH, &diag),
        FARM_E_REFUSED, &diag, ".PKGINFO: its content");
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH + 1, &diag), FARM_E_REFUSED, &diag,
                 "mtime");
    payload.tar_size++;
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_REFUSED, &diag,
                 "bytes, not");
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    payload.tar_size = tar.size;
    tar.data[0x200] ^= 1; /* .PKGINFO's content */
    payload.tar = put(fixture.store, buf_view(&tar));
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_REFUSED, &diag,
                 "PKGINFO");
    payload.tar = put(fixture.store, VIEW("no tar"));
    payload.tar_size = 6;
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_REFUSED, &diag,
                 "ends early");
    payload.tar = digest_of(VIEW("absent"));
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_MISSING, &diag,
                 "not in the store");
    payload = fixture.payload;
    payload.manifest = put(fixture.store, VIEW("#mtree\n. type=dir mode=0755 uid=0 gid=0\n"));
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_REFUSED, &diag,
                 "something follows");
    payload.manifest = put(fixture.store, VIEW("#mtree\n. type=dir mode=0755 gid=0 uid=0\n"));
    assert_error(payload_verify(fixture.store, &payload, PKGINFO, EPOCH, &diag), FARM_E_SYNTAX, &diag,
                 "manifest:2");
    fixture_free(&fixture);
}

/* Writes the archive as "a.gz" and returns its bytes. */
static struct buf export_gz(const struct fixture *fixture, struct digest *ret_digest)
{
    CLEANUP_CLOSE int out = openat(fixture->scratch->fd, "a.gz", O_RDWR | O_CREAT | O_TRUNC, 0644);
    uint64_t size;
    struct diag diag = DIAG_INIT;
    assert_ok(payload_export_gz(fixture->store, &fixture->payload.tar, out, ret_digest, &size, &diag), &diag);
    struct buf bytes = get_bytes(fixture->scratch->fd, "a.gz");
    assert_int_equal(bytes.size, size);
    return bytes;
}

static struct payload_gz expected_of(const struct fixture *fixture)
{
    return (struct payload_gz){
        .manifest = &fixture->manifest, .pkginfo = PKGINFO, .epoch = EPOCH, .tar = &fixture->payload.tar};
}

/* Both ways, in memory and through a window, must find the same. */
static int verify_fd(int fd, const struct payload_gz *expected, struct diag *diag)
{
    struct diag other = DIAG_INIT;
    struct payload_gz streamed = *expected;
    streamed.whole_max = 1;
    int result = payload_verify_gz(fd, expected, NULL, diag);
    assert_int_equal(payload_verify_gz(fd, &streamed, NULL, &other), result);
    if (result < 0)
        assert_true(
            other.text[0] !=
            '\0'); /* not always the same words: a window sees the tar before the end of the gzip data */
    return result;
}

static int verify_bytes(const struct fixture *fixture, struct view bytes, struct diag *diag)
{
    unlinkat(fixture->scratch->fd, "b.gz", 0);
    put_bytes(fixture->scratch->fd, "b.gz", bytes, 0644);
    CLEANUP_CLOSE int fd = openat(fixture->scratch->fd, "b.gz", O_RDONLY);
    struct payload_gz expected = expected_of(fixture);
    return verify_fd(fd, &expected, diag);
}

static void test_gz_round_trip(void **state)
{
    struct fixture fixture = fixture_new(*state);
    struct digest digest, expected;
    CLEANUP_BUF struct buf bytes = export_gz(&fixture, &digest);
    expected = digest_of(buf_view(&bytes));
    assert_true(digest_equal(&digest, &expected));
    assert_memory_equal(bytes.data, "\x1f\x8b\x08\0\0\0\0\0", 8); /* no flags, no time */
    struct diag diag = DIAG_INIT;
    assert_ok(verify_bytes(&fixture, buf_view(&bytes), &diag), &diag);
    CLEANUP_BUF struct buf hex = shell_output(fixture.scratch->fd, "gzip -dc a.gz | sha256sum | cut -c1-64");
    assert_string_equal(hex.data, digest_hex(&fixture.payload.tar).text);
    /* Another compressor's bytes for the same tar are as good. */
    assert_int_equal(shell(fixture.scratch->fd, "gzip -dc a.gz | gzip -1 -n > c.gz"), 0);
    CLEANUP_BUF struct buf other = get_bytes(fixture.scratch->fd, "c.gz");
    assert_false(view_equal(buf_view(&other), buf_view(&bytes)));
    assert_ok(verify_bytes(&fixture, buf_view(&other), &diag), &diag);
    fixture_free(&fixture);
}

static void test_A8_gz_that_is_not_canonical(void **state)
{
    struct fixture fixture = fixture_new(*state);
    CLEANUP_BUF struct buf bytes = export_gz(&fixture, NULL);
    static const struct {
        const char *make, *message;
    } cases[] = {
        {"cp a.gz x; gzip -n < /dev/null >> x",
         "behind the gzip member"}, /* a second member, and an empty one at that */
        {"cat a.gz a.gz > x", "behind the gzip member"},
        {"cp a.gz x; printf '\\0' >> x", "behind the gzip member"},
        {"gzip -dc a.gz > t; gzip -N < t > y; gzip -Nc t > x", "a name, a time"},
        {"gzip -dc a.gz > t; printf x >> t; gzip -nc t > x", "more bytes than"},
        {"gzip -dc a.gz > t; truncate -s -512 t; gzip -nc t > x", "ends early"},
        {"gzip -dc a.gz > x", "not gzip"},
        {"gzip -dc a.gz | head -c 1000 > x", "not gzip"},
        {"head -c 500 a.gz > x", "damaged gzip"},
        {": > x", "not gzip"},
        {"head -c 50000000 /dev/zero | gzip -n > x", "longer than"}, /* A5 */
        {"head -c 10000000 /dev/zero | gzip -n > x", "more bytes than"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(shell(fixture.scratch->fd, cases[i].make), 0);
        CLEANUP_BUF struct buf other = get_bytes(fixture.scratch->fd, "x");
        struct diag diag;
        assert_error(verify_bytes(&fixture, buf_view(&other), &diag), FARM_E_REFUSED, &diag,
                     cases[i].message);
    }
    fixture_free(&fixture);
}

static void test_A8_every_changed_byte_of_a_gz_is_found(void **state)
{
    struct fixture fixture = fixture_new(*state);
    CLEANUP_BUF struct buf bytes = export_gz(&fixture, NULL);
    for (size_t i = 0; i < bytes.size; i++) {
        /* Free: how hard and on what system it was packed, and the bits that fill up deflate's last byte. */
        if (i == 8 || i == 9 || i == bytes.size - 9)
            continue;
        bytes.data[i] ^= (char)(1 << i % 8);
        struct diag diag;
        assert_error(verify_bytes(&fixture, buf_view(&bytes), &diag), FARM_E_REFUSED, &diag, "");
        bytes.data[i] ^= (char)(1 << i % 8);
    }
    fixture_free(&fixture);
}

static void test_A9_gz_against_other_digests(void **state)
{
    struct fixture fixture = fixture_new(*state);
    CLEANUP_BUF struct buf bytes = export_gz(&fixture, NULL);
    CLEANUP_CLOSE int fd = openat(fixture.scratch->fd, "a.gz", O_RDONLY);
    struct digest other = digest_of(VIEW("other")), itself = digest_of(buf_view(&bytes));
    struct payload_gz expected = expected_of(&fixture);
    struct diag diag;
    expected.archive = &itself;
    assert_ok(verify_fd(fd, &expected, &diag), &diag);
    expected.tar = &other;
    assert_error(verify_fd(fd, &expected, &diag), FARM_E_DIGEST, &diag, "tar has digest");
    expected.archive = &other; /* goes before everything else */
    assert_error(verify_fd(fd, &expected, &diag), FARM_E_CORRUPT, &diag, "these bytes have SHA-256");
    expected = expected_of(&fixture);
    expected.epoch = 0;
    assert_error(verify_fd(fd, &expected, &diag), FARM_E_REFUSED, &diag, "mtime");
    expected.epoch = EPOCH;
    fixture.manifest.entries[3].mode = 0644; /* ./etc/empty */
    assert_error(verify_fd(fd, &expected, &diag), FARM_E_REFUSED, &diag,
                 "./etc/empty: not the canonical header: the mode");
    fixture_free(&fixture);
}

/* Rooms are kept from one archive to the next, and grow. */
static void test_gz_room(void **state)
{
    struct fixture fixture = fixture_new(*state);
    CLEANUP_BUF struct buf bytes = export_gz(&fixture, NULL);
    CLEANUP_CLOSE int fd = openat(fixture.scratch->fd, "a.gz", O_RDONLY);
    struct payload_gz expected = expected_of(&fixture);
    struct payload_room *room = payload_room_new();
    struct diag diag = DIAG_INIT;
    for (int i = 0; i < 3; i++)
        assert_ok(payload_verify_gz(fd, &expected, room, &diag), &diag);
    payload_room_free(room);
    fixture_free(&fixture);
}

/* What a root filesystem can hold, with all that must be dropped or changed. */
static struct buf base_tar(void)
{
    struct buf tar = BUF_INIT;
    tar_member(&tar, 1600000000, "./", '5', "", 0711, "");
    tar_member(&tar, 1600000000, "./usr/", '5', "", 0755, "");
    tar_member(&tar, 1600000001, "./usr/bin/", '5', "", 0555, "");
    tar_member(&tar, 1600000002, "./bin", '2', "usr/bin", 0777, "");
    tar_member(&tar, 1600000003, "./usr/bin/su", '0', "", 04755, "su");
    tar_member(&tar, 1600000003, "./usr/bin/sg", '1', "./usr/bin/su", 04755, "");
    tar_member(&tar, 1600000004, "./dev/", '5', "", 0755, "");
    tar_member(&tar, 1600000004, "./dev/null", '3', "", 0666, "");
    tar_member(&tar, 1600000004, "./dev/sda", '4', "", 0660, "");
    tar_member(&tar, 1600000004, "./dev/initctl", '6', "", 0600, "");
    tar_member(&tar, 1600000004, "./dev/fd", '2', "/proc/self/fd", 0777, "");
    tar_member(&tar, 1600000005, "./etc/shadow", '0', "", 0, "secret");
    tar_member(&tar, 1600000005, "./tmp/", '5', "", 01777, "");
    tar_end(&tar);
    return tar;
}

static const char BASE[] = "#mtree\n. type=dir mode=0711 uid=0 gid=0\n"
                           "./bin type=link mode=0777 uid=0 gid=0 link=usr/bin\n"
                           "./dev type=dir mode=0755 uid=0 gid=0\n"
                           "./dev/fd type=link mode=0777 uid=0 gid=0 link=/proc/self/fd\n"
                           "./etc type=dir mode=0755 uid=0 gid=0\n"
                           "./etc/shadow type=file mode=0000 uid=0 gid=0 size=6 "
                           "sha256digest=2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\n"
                           "./tmp type=dir mode=1777 uid=0 gid=0\n"
                           "./usr type=dir mode=0755 uid=0 gid=0\n"
                           "./usr/bin type=dir mode=0555 uid=0 gid=0\n"
                           "./usr/bin/sg type=file mode=4755 uid=0 gid=0 size=2 "
                           "sha256digest=0a64ce10853f25cb3dc3f7d498f62d72b406be37ba8caf5aa7671414d9696049\n"
                           "./usr/bin/su type=file mode=4755 uid=0 gid=0 size=2 "
                           "sha256digest=0a64ce10853f25cb3dc3f7d498f62d72b406be37ba8caf5aa7671414d9696049\n";

struct import {
    int root, tar; /* where store and scratch lie; the archive */
    char result[DIGEST_HEX_SIZE * 2 + 1];
};

static int import_base(void *context)
{
    struct import *import = context;
    struct store *store;
    struct payload payload;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (lseek(import->tar, 0, SEEK_SET) != 0 || mkdirat(import->root, "scratch", 0700) != 0)
        return 1;
    CLEANUP_CLOSE int scratch = openat(import->root, "scratch", O_RDONLY | O_DIRECTORY);
    int result = store_open(import->root, "base-store", 1, &store, &diag);
    if (result >= 0) {
        result = payload_import_base(store, import->tar, scratch, &payload, &diag);
        if (result >= 0)
            result = store_get(store, &payload.manifest, 100000, &text, &diag);
        if (result >= 0)
            result = payload_verify(store, &payload, VIEW(""), 0, &diag);
        store_close(store);
    }
    if (result < 0) {
        fprintf(stderr, "%s\n", diag.text);
        return 2;
    }
    if (strcmp(text.data, BASE) != 0)
        fprintf(stderr, "%s\n", text.data);
    return strcmp(text.data, BASE) == 0 && unlinkat(import->root, "scratch", AT_REMOVEDIR) == 0 ? 0 : 3;
}

static void test_import_base(void **state)
{
    const struct scratch *scratch = *state;
    CLEANUP_BUF struct buf tar = base_tar();
    put_bytes(scratch->fd, "base.tar", buf_view(&tar), 0644);
    CLEANUP_CLOSE int fd = openat(scratch->fd, "base.tar", O_RDONLY);
    struct import import = {.root = scratch->fd, .tar = fd};
    assert_int_equal(import_base(&import), 0);
    /* And the same digests without root. */
    put_dir(scratch->fd, "other", 0777);
    CLEANUP_CLOSE int other = open_dir(scratch->fd, "other");
    import.root = other;
    int result = as_other_user(import_base, &import);
    assert_true(result == 0 || result == -1);
}

static void test_import_base_refuses(void **state)
{
    const struct scratch *scratch = *state;
    struct store *store;
    struct payload payload;
    struct diag diag = DIAG_INIT;
    assert_ok(store_open(scratch->fd, "store", 1, &store, &diag), &diag);
    put_dir(scratch->fd, "scratch", 0700);
    CLEANUP_CLOSE int dir = open_dir(scratch->fd, "scratch");
    CLEANUP_BUF struct buf tar = BUF_INIT;
    tar_member(&tar, 0, "./lib", '2', "usr/lib", 0777, "");
    tar_member(&tar, 0, "./lib/x", '0', "", 0644, "through a link");
    tar_end(&tar);
    put_bytes(scratch->fd, "t", buf_view(&tar), 0644);
    CLEANUP_CLOSE int fd = openat(scratch->fd, "t", O_RDONLY);
    assert_error(payload_import_base(store, fd, dir, &payload, &diag), FARM_E_REFUSED, &diag, "lib/x");
    assert_int_equal(shell(dir, "test -z \"$(ls -A)\""), 0);
    assert_int_equal(shell(scratch->fd, "test -z \"$(find store/objects -type f)\""), 0);
    store_close(store);
}

static void test_large_areas_lie_in_a_file(void **state)
{
    const struct scratch *scratch = *state;
    struct diag diag = DIAG_INIT;
    assert_int_equal(setenv("TMPDIR", scratch->path, 1), 0);
    CLEANUP_AREA struct area area = AREA_INIT;
    assert_ok(area_open(&area, AREA_MEMORY_MAX + 1, &diag), &diag);
    area.data[0] = area.data[AREA_MEMORY_MAX] = 'x';
    CLEANUP_FREE char *command = mem_format("grep -q '%s/#' /proc/%d/maps", scratch->path, getpid());
    assert_int_equal(shell(scratch->fd, command), 0);
    assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
    struct area none = AREA_INIT;
    assert_error(area_open(&none, AREA_MEMORY_MAX + 1, &diag), -ENOENT, &diag, "/nonexistent");
    assert_int_equal(unsetenv("TMPDIR"), 0);
    CLEANUP_AREA struct area small = AREA_INIT;
    assert_ok(area_open(&small, 0, &diag), &diag);
    small.data[0] = 'x';
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_packs_to_the_golden_digests),
        SCRATCH(test_unpacks_to_the_same_payload),
        SCRATCH(test_empty_tree),
        SCRATCH(test_W14_A8_A9_other_tars_are_refused),
        SCRATCH(test_gz_round_trip),
        SCRATCH(test_A8_gz_that_is_not_canonical),
        SCRATCH(test_A8_every_changed_byte_of_a_gz_is_found),
        SCRATCH(test_A9_gz_against_other_digests),
        SCRATCH(test_gz_room),
        SCRATCH(test_import_base),
        SCRATCH(test_import_base_refuses),
        SCRATCH(test_large_areas_lie_in_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
