/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define ROOT  "#mtree\n. type=dir mode=0755 uid=0 gid=0\n"

static struct entry dir(const char *path)
{
    return (struct entry){.path = view_text(path), .type = ENTRY_DIR, .mode = 0755};
}

static struct entry file(const char *path)
{
    return (struct entry){
        .path = view_text(path), .type = ENTRY_FILE, .mode = 0644, .sha256 = digest_of(VIEW(""))};
}

static struct entry link_to(const char *path, const char *target)
{
    return (struct entry){
        .path = view_text(path), .type = ENTRY_LINK, .mode = 0777, .link = view_text(target)};
}

static void assert_is_vector(const struct manifest *manifest)
{
    CLEANUP_BUF struct buf expected = vector_text("payload.mtree");
    CLEANUP_BUF struct buf text = BUF_INIT;
    manifest_write(manifest, &text);
    assert_string_equal(text.data, expected.data);
    assert_int_equal(text.size, expected.size);
    CLEANUP_BUF struct buf digests = vector_text("payload.sha256");
    struct digest digest = manifest_digest(manifest);
    assert_memory_equal(digest_hex(&digest).text, digests.data, DIGEST_HEX_SIZE);
}

static void test_golden_text_is_read_and_written(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = vector_text("payload.mtree");
    struct manifest manifest = parse_manifest(text.data);
    assert_int_equal(manifest.count, 24);
    assert_is_vector(&manifest);
    manifest_done(&manifest);
}

static void test_golden_tree_is_scanned(void **state)
{
    const struct scratch *scratch = *state;
    put_dir(scratch->fd, "tree", 0755);
    int fd = open_dir(scratch->fd, "tree");
    put_vector_tree(fd);
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_scan(fd, &manifest, &diag), &diag);
    assert_is_vector(&manifest);
    manifest_done(&manifest);
    struct stat status;
    assert_int_equal(fstatat(fd, "etc/empty", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0); /* as it was */
    close(fd);
}

static void test_order_of_adding_does_not_matter(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = vector_text("payload.mtree");
    struct manifest manifest = parse_manifest(text.data), shuffled = MANIFEST_INIT;
    for (size_t i = 0; i < manifest.count; i++)
        manifest_add(&shuffled,
                     &manifest.entries[i * 7 % manifest.count]); /* 7 and 24 have no common factor */
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_seal(&shuffled, &diag), &diag);
    assert_is_vector(&shuffled);
    manifest_done(&manifest);
    manifest_done(&shuffled);
}

static void test_find(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = vector_text("payload.mtree");
    struct manifest manifest = parse_manifest(text.data);
    for (size_t i = 0; i < manifest.count; i++)
        assert_ptr_equal(manifest_find(&manifest, manifest.entries[i].path), &manifest.entries[i]);
    assert_null(manifest_find(&manifest, VIEW("usr/bin/")));
    assert_null(manifest_find(&manifest, VIEW("zzz")));
    assert_int_equal(manifest_find(&manifest, VIEW("usr/bin/su"))->mode, 04755);
    manifest_done(&manifest);
}

/* Whatever is accepted is written again as the same bytes: so nothing but the canonical form is accepted. */
static void assert_canonical_or_refused(struct view text)
{
    struct manifest manifest;
    if (manifest_parse(text, &manifest, NULL) < 0)
        return;
    CLEANUP_BUF struct buf again = BUF_INIT;
    manifest_write(&manifest, &again);
    if (!view_equal(buf_view(&again), text))
        fail_msg("accepted, but not canonical:\n%.*s", VIEW_ARG(text));
    manifest_done(&manifest);
}

static void test_mutations_are_refused_or_canonical(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = vector_text("payload.mtree");
    static const char bytes[] = {'\0', ' ', '\n', '\\', '/', '.',  '0',  '1',
                                 '8',  'A', 'a',  '=',  '#', '\t', '\r', '\377'};
    for (size_t i = 0; i < text.size; i++) {
        char kept = text.data[i];
        for (size_t k = 0; k < sizeof bytes; k++) {
            text.data[i] = bytes[k];
            assert_canonical_or_refused(buf_view(&text));
        }
        text.data[i] = kept;
        CLEANUP_BUF struct buf other = BUF_INIT; /* one byte left out; then doubled */
        buf_add(&other, text.data, i);
        buf_add(&other, text.data + i + 1, text.size - i - 1);
        assert_canonical_or_refused(buf_view(&other));
        buf_clear(&other);
        buf_add(&other, text.data, i + 1);
        buf_add(&other, text.data + i, text.size - i);
        assert_canonical_or_refused(buf_view(&other));
        assert_canonical_or_refused(view_of(text.data, i));
    }
}

static void test_variations_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int error;
        const char *message;
    } cases[] = {
        {"", FARM_E_SYNTAX, "manifest:1"},
        {"#mtree", FARM_E_SYNTAX, "manifest:1"},
        {"#mtree v2.0\n. type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:1"},
        {"#mtree\n", FARM_E_REFUSED, "root"},
        {"#mtree\n. type=dir mode=0755 uid=0 gid=0", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n\n. type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {ROOT "\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "# comment\n", FARM_E_SYNTAX, "manifest:3"},
        {"#mtree\r\n. type=dir mode=0755 uid=0 gid=0\r\n", FARM_E_SYNTAX, "manifest:1"},
        {"#mtree\n./ type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=00755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0788 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0755 uid=1 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0755 uid=0 gid=00\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0755 gid=0 uid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0755 uid=0 gid=0 time=1\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n. type=dir mode=0755 uid=0 gid=0 \n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n.  type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {"#mtree\n/set uid=0\n. type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:2"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 size=00 sha256digest=" EMPTY "\n", FARM_E_SYNTAX,
         "manifest:3"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 size=-1 sha256digest=" EMPTY "\n", FARM_E_SYNTAX,
         "manifest:3"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 sha256digest=" EMPTY " size=0\n", FARM_E_SYNTAX,
         "manifest:3"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 size=0\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 size=0 sha256digest=E3"
              "b0\n",
         FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a type=file mode=0644 uid=0 gid=0 size=99999999999999 sha256digest=" EMPTY "\n",
         FARM_E_REFUSED, "./a"},
        {ROOT "./a type=link mode=0755 uid=0 gid=0 link=b\n", FARM_E_REFUSED, "./a"},
        {ROOT "./a type=link mode=0777 uid=0 gid=0 link=\n", FARM_E_REFUSED, "./a"},
        {ROOT "./a type=link mode=0777 uid=0 gid=0 link=b\\000\n", FARM_E_REFUSED, "./a"},
        {ROOT "./a type=link mode=0777 uid=0 gid=0 link=b\\101\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a type=link mode=0777 uid=0 gid=0 link=b\\40\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a type=link mode=0777 uid=0 gid=0 link=b\\777\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a type=char mode=0644 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a\\057b type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:3"},
        {ROOT "./a\\040 type=dir mode=0755 uid=0 gid=0\n./a type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX,
         "manifest:4: out of order"},
        {ROOT "./b type=dir mode=0755 uid=0 gid=0\n./a type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX,
         "manifest:4: out of order"},
        {ROOT "./a type=dir mode=0755 uid=0 gid=0\n./a type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX,
         "manifest:4: out of order"},
        {ROOT "./a/b type=dir mode=0755 uid=0 gid=0\n", FARM_E_REFUSED, "./a/b: its parent"},
        {ROOT "a type=dir mode=0755 uid=0 gid=0\n", FARM_E_SYNTAX, "manifest:3"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest manifest;
        struct diag diag;
        assert_error(manifest_parse(view_text(cases[i].text), &manifest, &diag), cases[i].error, &diag,
                     cases[i].message);
    }
}

/* A1, A2 and A6 as far as a manifest can express them. */
static void test_A1_A2_A6_seal_refuses(void **state)
{
    (void)state;
    char deep[MANIFEST_PATH_MAX + 8];
    for (size_t i = 0; i < sizeof deep; i++)
        deep[i] = i % 2 == 0 ? 'a' : '/';
    deep[sizeof deep - 1] = '\0';
    const struct {
        struct entry one, two;
        const char *message;
    } cases[] = {
        {dir(".."), dir(""), "./..: not a plain"},
        {dir("a"), dir("a/../b"), "not a plain"},
        {dir("a"), dir("a/."), "not a plain"},
        {dir("/etc"), dir(""), "not a plain"},
        {dir("a/"), dir("a"), "not a plain"},
        {dir("a"), dir("a//b"), "not a plain"},
        {file(deep), dir(""), "not a plain"},
        {file("a"), file("a"), "listed twice"},
        {file("a"), dir("a"), "listed twice"},
        {file("a"), file("a/b"), "parent is not listed"},
        {link_to("a", "/tmp"), file("a/b"), "parent is not listed"},
        {link_to("a", "../b"), dir("b"), "climbs above"},
        {dir("a"), link_to("a/b", "c/../../../d"), "climbs above"},
        {link_to("a", "/../b"), dir("b"), "climbs above"},
        {link_to("a", "."), link_to("b", ".."), "climbs above"},
        {link_to("a", ""), dir("b"), "empty"},
        {file(".PKGINFO"), dir("b"), "own metadata"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct manifest manifest = MANIFEST_INIT;
        struct diag diag;
        if (cases[i].two.path.size > 0) {
            struct entry root = dir("");
            manifest_add(&manifest, &root);
        }
        manifest_add(&manifest, &cases[i].one);
        manifest_add(&manifest, &cases[i].two);
        assert_error(manifest_seal(&manifest, &diag), FARM_E_REFUSED, &diag, cases[i].message);
        manifest_done(&manifest);
    }
}

static void test_links_inside_are_accepted(void **state)
{
    (void)state;
    struct manifest manifest = parse_manifest(ROOT "./a type=dir mode=0755 uid=0 gid=0\n"
                                                   "./a/b type=link mode=0777 uid=0 gid=0 link=../c/d\n"
                                                   "./a/c type=link mode=0777 uid=0 gid=0 link=/usr/../x\n"
                                                   "./d type=link mode=0777 uid=0 gid=0 link=.\n");
    assert_int_equal(manifest.count, 5);
    manifest_done(&manifest);
}

static void make_special(int fd, const char *what)
{
    if (strcmp(what, "fifo") == 0)
        assert_int_equal(mkfifoat(fd, "x", 0600), 0);
    if (strcmp(what, "device") == 0)
        assert_int_equal(mknodat(fd, "x", S_IFCHR | 0600, 0), 0); /* an overlay's whiteout */
    if (strcmp(what, "owner") == 0) {
        put_file(fd, "x", "", 0644);
        assert_int_equal(fchownat(fd, "x", 12345, 0, 0), 0);
    }
    if (strcmp(what, "group of a link") == 0) {
        put_link(fd, "x", "y");
        assert_int_equal(fchownat(fd, "x", 0, 12345, AT_SYMLINK_NOFOLLOW), 0);
    }
}

static void test_A7_scan_refuses_special_files_and_owners(void **state)
{
    const struct scratch *scratch = *state;
    const struct {
        const char *what, *message;
        bool needs_root;
    } cases[] = {
        {"fifo", "./x: is a FIFO", false},
        {"device", "./x: is a character device", true},
        {"owner", "./x: owned by 12345:0", true},
        {"group of a link", "./x: owned by 0:12345", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (cases[i].needs_root && geteuid() != 0)
            continue;
        put_dir(scratch->fd, cases[i].what, 0755);
        int fd = open_dir(scratch->fd, cases[i].what);
        make_special(fd, cases[i].what);
        struct manifest manifest;
        struct diag diag;
        assert_error(manifest_scan(fd, &manifest, &diag), FARM_E_REFUSED, &diag, cases[i].message);
        close(fd);
    }
}

static void test_A7_scan_refuses_extended_attributes(void **state)
{
    const struct scratch *scratch = *state;
    put_file(scratch->fd, "x", "", 0644);
    CLEANUP_FREE char *path = mem_format("%s/x", scratch->path);
    if (lsetxattr(path, "user.overlay.origin", "y", 1, 0) < 0)
        skip(); /* no attributes on this file system */
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_scan(scratch->fd, &manifest, &diag), &diag);
    assert_int_equal(manifest.count, 2);
    manifest_done(&manifest);
    assert_int_equal(lsetxattr(path, "user.other", "y", 1, 0), 0);
    assert_error(manifest_scan(scratch->fd, &manifest, &diag), FARM_E_REFUSED, &diag,
                 "./x: has the extended attribute user.other");
}

static void test_scan_does_not_follow_links(void **state)
{
    const struct scratch *scratch = *state;
    put_dir(scratch->fd, "tree", 0755);
    put_dir(scratch->fd, "outside", 0755);
    put_file(scratch->fd, "outside/secret", "x", 0644);
    int fd = open_dir(scratch->fd, "tree");
    CLEANUP_FREE char *target = mem_format("%s/outside", scratch->path);
    put_link(fd, "out", target);
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_scan(fd, &manifest, &diag), &diag);
    assert_int_equal(manifest.count, 2);
    assert_int_equal(manifest.entries[1].type, ENTRY_LINK);
    manifest_done(&manifest);
    close(fd);
}

static void test_scan_of_a_deep_tree(void **state)
{
    const struct scratch *scratch = *state;
    put_dir(scratch->fd, "tree", 0755);
    CLEANUP_BUF struct buf path = BUF_INIT;
    buf_add_text(&path, "tree");
    int at = open_dir(scratch->fd, "tree"), root = at;
    for (int i = 0; i < 1500; i++) { /* more than the descriptors of a process */
        assert_int_equal(mkdirat(at, "d", 0755), 0);
        int next = open_dir(at, "d");
        if (at != root)
            close(at);
        at = next;
    }
    struct manifest manifest = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_scan(root, &manifest, &diag), &diag);
    assert_int_equal(manifest.count, 1501);
    manifest_done(&manifest);
    close(at);
    close(root);
    assert_int_equal(shell(scratch->fd, "rm -rf tree"), 0);
}

/* The same tree, scanned by somebody who is not root and may not read two of its files. */
static void test_scan_without_root_gives_the_same_manifest(void **state)
{
    const struct scratch *scratch = *state;
    if (geteuid() != 0)
        skip(); /* the other tests are run that way then */
    put_dir(scratch->fd, "tree", 0755);
    int fd = open_dir(scratch->fd, "tree");
    put_vector_tree(fd);
    put_file(fd, "x", "unreadable\n", 04111);
    struct manifest as_root = MANIFEST_INIT;
    struct diag diag = DIAG_INIT;
    assert_ok(manifest_scan(fd, &as_root, &diag), &diag);
    assert_int_equal(shell(fd, "chown -hR 54321:54321 ."), 0);
    put_file(scratch->fd, "result", "", 0666);
    int out = openat(scratch->fd, "result", O_WRONLY);
    assert_int_equal(fchmodat(fd, "usr/bin/su", 04755, 0), 0); /* chown took these bits */
    assert_int_equal(fchmodat(fd, "x", 04111, 0), 0);
    pid_t child = fork();
    if (child == 0) {
        struct manifest manifest = MANIFEST_INIT;
        CLEANUP_BUF struct buf text = BUF_INIT;
        if (setgid(54321) != 0 || setuid(54321) != 0)
            _exit(2);
        if (manifest_scan(fd, &manifest, &diag) < 0)
            buf_add_text(&text, diag.text);
        else
            manifest_write(&manifest, &text);
        _exit(write(out, text.data, text.size) == (ssize_t)text.size ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    CLEANUP_BUF struct buf expected = BUF_INIT;
    CLEANUP_BUF struct buf found = get_bytes(scratch->fd, "result");
    manifest_write(&as_root, &expected);
    assert_string_equal(found.data, expected.data);
    manifest_done(&as_root);
    close(out);
    close(fd);
}

struct report {
    struct buf text;
};

static void add_report(void *context, enum entry_change change, const struct entry *before,
                       const struct entry *after)
{
    static const char *const names[] = {
        [CHANGE_ADDED] = "added", [CHANGE_REMOVED] = "removed", [CHANGE_TYPE] = "type",
        [CHANGE_MODE] = "mode",   [CHANGE_CONTENT] = "content", [CHANGE_LINK] = "link"};
    struct report *report = context;
    assert_true((before == NULL) == (change == CHANGE_ADDED));
    assert_true((after == NULL) == (change == CHANGE_REMOVED));
    buf_add_format(&report->text, "%s %.*s\n", names[change],
                   VIEW_ARG((after != NULL ? after : before)->path));
}

static void test_compare(void **state)
{
    (void)state;
    struct manifest before =
        parse_manifest(ROOT "./a type=dir mode=0755 uid=0 gid=0\n"
                            "./b type=file mode=0644 uid=0 gid=0 size=0 sha256digest=" EMPTY "\n"
                            "./c type=file mode=0644 uid=0 gid=0 size=0 sha256digest=" EMPTY "\n"
                            "./d type=link mode=0777 uid=0 gid=0 link=x\n"
                            "./e type=dir mode=0755 uid=0 gid=0\n"
                            "./g type=dir mode=0755 uid=0 gid=0\n");
    struct manifest after =
        parse_manifest(ROOT "./b type=file mode=0755 uid=0 gid=0 size=1 sha256digest=" EMPTY "\n"
                            "./c type=file mode=0755 uid=0 gid=0 size=0 sha256digest=" EMPTY "\n"
                            "./d type=link mode=0777 uid=0 gid=0 link=y\n"
                            "./e type=link mode=0777 uid=0 gid=0 link=y\n"
                            "./f type=dir mode=0755 uid=0 gid=0\n"
                            "./g type=dir mode=0755 uid=0 gid=0\n");
    struct report report = {BUF_INIT};
    manifest_compare(&before, &after, add_report, &report);
    assert_string_equal(report.text.data, "removed a\ncontent b\nmode c\nlink d\ntype e\nadded f\n");
    buf_clear(&report.text);
    manifest_compare(&after, &after, add_report, &report);
    assert_int_equal(report.text.size, 0);
    buf_done(&report.text);
    manifest_done(&before);
    manifest_done(&after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_text_is_read_and_written),
        cmocka_unit_test_setup_teardown(test_golden_tree_is_scanned, scratch_setup, scratch_teardown),
        cmocka_unit_test(test_order_of_adding_does_not_matter),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_mutations_are_refused_or_canonical),
        cmocka_unit_test(test_variations_are_refused),
        cmocka_unit_test(test_A1_A2_A6_seal_refuses),
        cmocka_unit_test(test_links_inside_are_accepted),
        cmocka_unit_test_setup_teardown(test_A7_scan_refuses_special_files_and_owners, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_A7_scan_refuses_extended_attributes, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_scan_does_not_follow_links, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_scan_of_a_deep_tree, scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_scan_without_root_gives_the_same_manifest, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test(test_compare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
