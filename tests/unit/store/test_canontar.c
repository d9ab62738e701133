/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "canontar.h"
#include "tarhead.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EPOCH = 1700000000 };
static const struct view PKGINFO = VIEW("pkgname = vector\npkgver = 1.0\n");

static int to_buf(void *context, const void *data, size_t size)
{
    buf_add(context, data, size);
    return 0;
}

/* Gives the tar in pieces of odd sizes, as a network would. */
static ssize_t from_view(void *context, void *ret_data, size_t size)
{
    struct view *rest = context;
    size_t most = rest->size < 700 ? rest->size : 700;
    size_t taken = most < size ? most : size;
    if (taken > 0)
        memcpy(ret_data, rest->data, taken);
    *rest = view_of(rest->data + taken, rest->size - taken);
    return (ssize_t)taken;
}

static int read_tar(struct view tar, const struct canontar_read *what, struct diag *diag)
{
    struct view rest = tar;
    return canontar_read(what, from_view, &rest, diag);
}

static int verify(const struct manifest *manifest, struct view tar, struct diag *diag)
{
    const struct canontar_read what = {.manifest = manifest, .pkginfo = PKGINFO, .epoch = EPOCH, .dirfd = -1};
    return read_tar(tar, &what, diag);
}

static struct manifest vector_manifest(void)
{
    CLEANUP_BUF struct buf text = vector_text("payload.mtree");
    return parse_manifest(text.data);
}

static int vector_tree(const struct scratch *scratch)
{
    put_dir(scratch->fd, "tree", 0755);
    int fd = open_dir(scratch->fd, "tree");
    put_vector_tree(fd);
    return fd;
}

static void test_golden_tar_is_written(void **state)
{
    int fd = vector_tree(*state);
    struct manifest manifest = vector_manifest();
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf expected = vector_hex("payload.tar.hex");
    CLEANUP_BUF struct buf tar = BUF_INIT;
    assert_ok(canontar_write(&manifest, PKGINFO, EPOCH, fd, to_buf, &tar, &diag), &diag);
    assert_int_equal(tar.size, expected.size);
    assert_memory_equal(tar.data, expected.data, expected.size);
    assert_int_equal(canontar_size(&manifest, PKGINFO), expected.size);
    CLEANUP_BUF struct buf digests = vector_text("payload.sha256");
    struct digest digest = digest_of(buf_view(&tar));
    CLEANUP_FREE char *line = mem_format("%s  payload.tar\n", digest_hex(&digest).text);
    assert_non_null(strstr(digests.data, line));
    buf_clear(&tar);
    assert_ok(canontar_write(&manifest, VIEW_NONE, EPOCH, fd, to_buf, &tar, &diag), &diag);
    assert_int_equal(canontar_size(&manifest, VIEW_NONE), tar.size);
    digest = digest_of(buf_view(&tar));
    CLEANUP_FREE char *other_line = mem_format("%s  payload.tar without", digest_hex(&digest).text);
    assert_non_null(strstr(digests.data, other_line));
    manifest_done(&manifest);
    close(fd);
}

static void test_golden_headers_of_a_huge_file(void **state)
{
    (void)state;
    char path[121];
    memset(path, 'b', 120);
    path[120] = '\0';
    const struct entry entry = {
        .path = view_text(path), .type = ENTRY_FILE, .mode = 0644, .size = (uint64_t)8 << 30};
    CLEANUP_BUF struct buf expected = vector_hex("pax-size.hex");
    CLEANUP_BUF struct buf head = BUF_INIT;
    tarhead_entry(&entry, EPOCH, &head);
    assert_int_equal(head.size, expected.size);
    assert_memory_equal(head.data, expected.data, expected.size);
    const struct entry largest = {.path = VIEW("x"), .type = ENTRY_FILE, .size = ((uint64_t)8 << 30) - 1};
    buf_clear(&head);
    tarhead_entry(&largest, EPOCH, &head);
    assert_int_equal(head.size, 512); /* still fits the header */
    assert_memory_equal(head.data + 124, "77777777777", 12);
}

static void assert_lists(int dirfd, const char *tool)
{
    CLEANUP_BUF struct buf names = shell_output(dirfd, tool);
    CLEANUP_BUF struct buf count = BUF_INIT;
    size_t lines = 1;
    for (size_t i = 0; i < names.size; i++)
        lines += names.data[i] == '\n';
    assert_int_equal(lines, 24); /* .PKGINFO and 23 entries */
    assert_true(view_starts(buf_view(&names), VIEW(".PKGINFO\n./bin\n./etc/\n./etc/empty\n")));
}

static void test_other_tools_read_it(void **state)
{
    const struct scratch *scratch = *state;
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    put_bytes(scratch->fd, "v.tar", buf_view(&tar), 0644);
    assert_lists(scratch->fd, "tar -tf v.tar");
    if (have_program("bsdtar"))
        assert_lists(scratch->fd, "bsdtar -tf v.tar");
}

static void test_golden_tar_is_accepted(void **state)
{
    (void)state;
    struct manifest manifest = vector_manifest();
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    struct diag diag = DIAG_INIT;
    assert_ok(verify(&manifest, buf_view(&tar), &diag), &diag);
    struct canontar_read what = {.manifest = &manifest, .pkginfo = VIEW_NONE, .epoch = -1, .dirfd = -1};
    assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag); /* whatever .PKGINFO and epoch */
    what.epoch = EPOCH + 1;
    assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag, "mtime");
    what.epoch = EPOCH;
    what.pkginfo = VIEW("pkgname = vector\npkgver = 1.1\n");
    assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag, ".PKGINFO: its content");
    what.pkginfo = VIEW("");
    assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag,
                 "bin: not the canonical header: the name");
    manifest_done(&manifest);
}

static void test_empty_tar(void **state)
{
    const struct scratch *scratch = *state;
    struct manifest manifest = parse_manifest("#mtree\n. type=dir mode=0755 uid=0 gid=0\n");
    CLEANUP_BUF struct buf tar = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(canontar_write(&manifest, VIEW_NONE, 0, scratch->fd, to_buf, &tar, &diag), &diag);
    assert_int_equal(tar.size, 1024);
    const struct canontar_read what = {
        .manifest = &manifest, .pkginfo = VIEW_NONE, .epoch = -1, .dirfd = scratch->fd};
    assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag);
    tar.data[0] = 1;
    assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag, "tar: ");
    manifest_done(&manifest);
}

static void test_unpacked_tree_scans_as_the_manifest(void **state)
{
    const struct scratch *scratch = *state;
    struct manifest manifest = vector_manifest(), again = MANIFEST_INIT;
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    put_dir(scratch->fd, "out", 0755);
    int fd = open_dir(scratch->fd, "out");
    const struct canontar_read what = {.manifest = &manifest, .pkginfo = VIEW_NONE, .epoch = -1, .dirfd = fd};
    struct diag diag = DIAG_INIT;
    assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag);
    assert_ok(manifest_scan(fd, &again, &diag), &diag);
    struct digest wanted = manifest_digest(&manifest), found = manifest_digest(&again);
    assert_true(digest_equal(&wanted, &found));
    struct stat status;
    static const char *const names[] = {"bin", "usr", "usr/bin", "usr/bin/su"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        assert_int_equal(fstatat(fd, names[i], &status, AT_SYMLINK_NOFOLLOW), 0);
        assert_int_equal(status.st_mtim.tv_sec, EPOCH);
    }
    assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag); /* once more, over the same: nothing differs */
    manifest_done(&again);
    manifest_done(&manifest);
    close(fd);
}

static void test_A7_special_bits_are_stripped_on_request(void **state)
{
    const struct scratch *scratch = *state;
    struct manifest manifest = vector_manifest();
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    const struct canontar_read what = {.manifest = &manifest,
                                       .pkginfo = VIEW_NONE,
                                       .epoch = -1,
                                       .dirfd = scratch->fd,
                                       .strip_special = true};
    struct diag diag = DIAG_INIT;
    assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag);
    struct stat status;
    assert_int_equal(fstatat(scratch->fd, "usr/bin/su", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0755);
    assert_int_equal(fstatat(scratch->fd, "tmp", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0777);
    manifest_done(&manifest);
}

static void test_what_is_in_the_way(void **state)
{
    const struct scratch *scratch = *state;
    struct manifest manifest = parse_manifest(
        "#mtree\n. type=dir mode=0755 uid=0 gid=0\n"
        "./d type=dir mode=0755 uid=0 gid=0\n"
        "./d/f type=file mode=0644 uid=0 gid=0 size=2 "
        "sha256digest=2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df\n" /* "ok" */
        "./d/l type=link mode=0777 uid=0 gid=0 link=f\n");
    put_dir(scratch->fd, "source", 0755);
    put_dir(scratch->fd, "source/d", 0755);
    put_file(scratch->fd, "source/d/f", "ok", 0644);
    put_link(scratch->fd, "source/d/l", "f");
    int source = open_dir(scratch->fd, "source");
    CLEANUP_BUF struct buf tar = BUF_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(canontar_write(&manifest, VIEW_NONE, 0, source, to_buf, &tar, &diag), &diag);
    close(source);
    const struct {
        const char *prepare; /* in the directory that is unpacked into */
        const char *message; /* NULL: accepted */
    } cases[] = {
        {"mkdir -m 700 d; touch d/other", NULL},
        {"mkdir d; printf ok > d/f; chmod 644 d/f; ln -s f d/l", NULL},
        {"mkdir d; printf no > d/f; chmod 644 d/f", "d/f: something different"},
        {"mkdir d; printf ok > d/f; chmod 755 d/f", "d/f: something different"},
        {"mkdir d; mkdir d/f", "d/f: something different"},
        {"mkdir d e; printf ok > e/f; ln -s ../e/f d/f", "d/f: something different"},
        {"mkdir d; mkfifo d/f", "d/f: something different"},
        {"mkdir d; ln -s g d/l", "d/l: something different"},
        {"mkdir d; printf f > d/l", "d/l: something different"},
        {"printf x > d", "d: something different"},
        {"mkdir e; ln -s e d", "d: something different"}, /* A2: ./lib over lib -> usr/lib */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *name = mem_format("case%zu", i);
        put_dir(scratch->fd, name, 0755);
        int fd = open_dir(scratch->fd, name);
        assert_int_equal(shell(fd, cases[i].prepare), 0);
        const struct canontar_read what = {
            .manifest = &manifest, .pkginfo = VIEW_NONE, .epoch = -1, .dirfd = fd};
        if (cases[i].message == NULL)
            assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag);
        else
            assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag, cases[i].message);
        assert_false(exists(fd, "e/l"));
        close(fd);
    }
    manifest_done(&manifest);
}

static void test_tree_that_changed_after_the_scan(void **state)
{
    const struct scratch *scratch = *state;
    put_dir(scratch->fd, "tree", 0755);
    put_file(scratch->fd, "tree/f", "before", 0644);
    int fd = open_dir(scratch->fd, "tree");
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf tar = BUF_INIT;
    assert_ok(manifest_scan(fd, &manifest, &diag), &diag);
    static const char *const changes[] = {"printf after. > f", "printf longer. > f", "printf x > f"};
    for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
        if (i == 0)
            assert_int_equal(shell(fd, "printf befor3 > f"), 0);
        else
            assert_int_equal(shell(fd, changes[i]), 0);
        assert_error(canontar_write(&manifest, VIEW_NONE, 0, fd, to_buf, &tar, &diag), FARM_E_DIGEST, &diag,
                     "./f: ");
    }
    assert_int_equal(shell(fd, "rm f; ln -s /etc/passwd f"), 0);
    assert_true(canontar_write(&manifest, VIEW_NONE, 0, fd, to_buf, &tar, &diag) < 0);
    manifest_done(&manifest);
    close(fd);
}

static void test_limits_of_epoch_and_pkginfo(void **state)
{
    const struct scratch *scratch = *state;
    struct manifest manifest = parse_manifest("#mtree\n. type=dir mode=0755 uid=0 gid=0\n");
    CLEANUP_BUF struct buf tar = BUF_INIT;
    struct diag diag;
    assert_error(canontar_write(&manifest, VIEW_NONE, -1, scratch->fd, to_buf, &tar, &diag), FARM_E_LIMIT,
                 &diag, "epoch");
    assert_error(
        canontar_write(&manifest, VIEW_NONE, CANONTAR_EPOCH_MAX + 1, scratch->fd, to_buf, &tar, &diag),
        FARM_E_LIMIT, &diag, "epoch");
    CLEANUP_BUF struct buf large = noise(PKGINFO_SIZE_MAX + 1, 1);
    assert_error(canontar_write(&manifest, buf_view(&large), 0, scratch->fd, to_buf, &tar, &diag),
                 FARM_E_LIMIT, &diag, ".PKGINFO");
    assert_int_equal(tar.size, 0);
    manifest_done(&manifest);
}

/* A8: no byte of the tar is free. */
static void test_A8_every_changed_byte_is_refused(void **state)
{
    (void)state;
    struct manifest manifest = vector_manifest();
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    for (size_t i = 0; i < tar.size; i++) {
        struct diag diag;
        tar.data[i] ^= (char)(1 << i % 8);
        if (verify(&manifest, buf_view(&tar), &diag) != FARM_E_REFUSED)
            fail_msg("byte %zu may be changed", i);
        tar.data[i] ^= (char)(1 << i % 8);
    }
    manifest_done(&manifest);
}

static void test_A8_every_shorter_or_longer_tar_is_refused(void **state)
{
    (void)state;
    struct manifest manifest = vector_manifest();
    CLEANUP_BUF struct buf tar = vector_hex("payload.tar.hex");
    struct diag diag;
    for (size_t size = 0; size < tar.size; size += 256)
        assert_error(verify(&manifest, view_of(tar.data, size), &diag), FARM_E_REFUSED, &diag, "ends early");
    memset(buf_room(&tar, 10240), 0, 10240);
    static const size_t more[] = {1, 512, 1024, 10240};
    for (size_t i = 0; i < ARRAY_SIZE(more); i++)
        assert_error(verify(&manifest, view_of(tar.data, tar.size + more[i]), &diag), FARM_E_REFUSED, &diag,
                     "behind its end");
    manifest_done(&manifest);
}

static const char SMALL[] = "#mtree\n. type=dir mode=0755 uid=0 gid=0\n"
                            "./d type=dir mode=0755 uid=0 gid=0\n"
                            "./d/f type=file mode=0644 uid=0 gid=0 size=2 "
                            "sha256digest=2689367b205c16ce32ed4200942b8b8b1e262dfc70d9bc9fbc77c49699a4f1df\n";

struct member {
    const char *name;
    char type;
    const char *link;
    unsigned int mode;
    const char *content;
};

/* Builds the tar, unpacks it into an empty directory, and wants it refused with nothing outside touched. */
static void assert_refused(const struct scratch *scratch, const struct member *members, size_t count,
                           const char *message)
{
    struct manifest manifest = parse_manifest(SMALL);
    CLEANUP_BUF struct buf tar = BUF_INIT;
    for (size_t i = 0; i < count; i++)
        tar_member(&tar, EPOCH, members[i].name, members[i].type, members[i].link, members[i].mode,
                   members[i].content);
    tar_end(&tar);
    assert_int_equal(mkdirat(scratch->fd, "in", 0755), 0);
    int fd = open_dir(scratch->fd, "in");
    const struct canontar_read what = {.manifest = &manifest, .pkginfo = VIEW_NONE, .epoch = -1, .dirfd = fd};
    struct diag diag = DIAG_INIT;
    if (message == NULL)
        assert_ok(read_tar(buf_view(&tar), &what, &diag), &diag);
    else
        assert_error(read_tar(buf_view(&tar), &what, &diag), FARM_E_REFUSED, &diag, message);
    assert_false(exists(scratch->fd, "evil"));
    close(fd);
    assert_int_equal(shell(scratch->fd, "rm -rf in"), 0);
    manifest_done(&manifest);
}

#define DIR_D                                                                                                \
    {                                                                                                        \
        "./d/", '5', "", 0755, ""                                                                            \
    }
#define FILE_F                                                                                               \
    {                                                                                                        \
        "./d/f", '0', "", 0644, "ok"                                                                         \
    }
#define REFUSED(scratch, message, ...)                                                                       \
    do {                                                                                                     \
        static const struct member members_[] = {__VA_ARGS__};                                               \
        assert_refused(scratch, members_, ARRAY_SIZE(members_), message);                                    \
    } while (0)

static void test_control_tar_is_accepted(void **state)
{
    REFUSED(*state, NULL, DIR_D, FILE_F);
}

static void test_A1_parent_and_absolute_paths(void **state)
{
    REFUSED(*state, "name differs", DIR_D, {"../evil", '0', "", 0644, "ok"});
    REFUSED(*state, "name differs", DIR_D, {"/tmp/evil", '0', "", 0644, "ok"});
    REFUSED(*state, "name differs", DIR_D, {"./d/../../evil", '0', "", 0644, "ok"});
}

static void test_A2_write_through_symlink(void **state)
{
    REFUSED(*state, "d: not the canonical header", {"./d", '2', "..", 0777, ""},
            {"./d/evil", '0', "", 0644, "ok"});
}

static void test_A3_A4_hardlinks(void **state)
{
    REFUSED(*state, "not the canonical header", DIR_D, {"./d/f", '1', "/etc/passwd", 0644, ""});
    REFUSED(*state, "not the canonical header", DIR_D, {"./d/f", '1', "../evil", 0644, ""},
            {"./x", '2', "..", 0777, ""});
}

static void test_A5_longer_content_than_the_manifest_says(void **state)
{
    REFUSED(*state, "size differs", DIR_D, {"./d/f", '0', "", 0644, "okokokokokokokokokok"});
}

static void test_A6_duplicate_names(void **state)
{
    REFUSED(*state, "something follows", DIR_D, FILE_F, FILE_F);
    REFUSED(*state, "name differs", DIR_D, DIR_D, FILE_F);
}

static void test_A7_setuid_and_devices(void **state)
{
    REFUSED(*state, "mode differs", DIR_D, {"./d/f", '0', "", 04644, "ok"});
    REFUSED(*state, "not the canonical header", DIR_D, {"./d/f", '3', "", 0644, ""});
    REFUSED(*state, "not the canonical header", DIR_D, {"./d/f", '6', "", 0644, ""});
}

static void test_A8_strange_members(void **state)
{
    REFUSED(*state, "not the canonical header", {"pax_global_header", 'g', "", 0666, "52 comment=0\n"}, DIR_D,
            FILE_F);
    REFUSED(*state, "not the canonical header", FILE_F, DIR_D);
    REFUSED(*state, "something follows", DIR_D, FILE_F, {"./z", '0', "", 0644, ""});
    REFUSED(*state, "name differs", {"./", '5', "", 0755, ""}, DIR_D, FILE_F);
    REFUSED(*state, "name differs", {"./d", '5', "", 0755, ""}, FILE_F);
    REFUSED(*state, "not the canonical header", {"././@PaxHeader", 'x', "", 0644, "16 path=../evil\n"}, DIR_D,
            FILE_F);
    REFUSED(*state, "type differs", DIR_D, {"./d/f", '\0', "", 0644, "ok"});
}

static void test_A9_other_content(void **state)
{
    REFUSED(*state, "d/f: its content is not the manifest's", DIR_D, {"./d/f", '0', "", 0644, "no"});
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_golden_tar_is_written),
        cmocka_unit_test(test_golden_headers_of_a_huge_file),
        SCRATCH(test_other_tools_read_it),
        cmocka_unit_test(test_golden_tar_is_accepted),
        SCRATCH(test_empty_tar),
        SCRATCH(test_unpacked_tree_scans_as_the_manifest),
        SCRATCH(test_A7_special_bits_are_stripped_on_request),
        SCRATCH(test_what_is_in_the_way),
        SCRATCH(test_tree_that_changed_after_the_scan),
        SCRATCH(test_limits_of_epoch_and_pkginfo),
        cmocka_unit_test(test_A8_every_changed_byte_is_refused),
        cmocka_unit_test(test_A8_every_shorter_or_longer_tar_is_refused),
        SCRATCH(test_control_tar_is_accepted),
        SCRATCH(test_A1_parent_and_absolute_paths),
        SCRATCH(test_A2_write_through_symlink),
        SCRATCH(test_A3_A4_hardlinks),
        SCRATCH(test_A5_longer_content_than_the_manifest_says),
        SCRATCH(test_A6_duplicate_names),
        SCRATCH(test_A7_setuid_and_devices),
        SCRATCH(test_A8_strange_members),
        SCRATCH(test_A9_other_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
