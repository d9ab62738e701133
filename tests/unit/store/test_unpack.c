/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "scratch.h"

#include "unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EPOCH = 1700000000, OLDER = 1600000000, NEWEST = 1650000000 };

static int unpack_into(const struct scratch *scratch, const char *archive, const char *directory,
                       unsigned int strip, struct unpack_limits limits, int64_t *ret_newest,
                       struct diag *diag)
{
    put_dir(scratch->fd, directory, 0755);
    CLEANUP_CLOSE int out = open_dir(scratch->fd, directory);
    CLEANUP_CLOSE int in = openat(scratch->fd, archive, O_RDONLY | O_CLOEXEC);
    assert_true(in >= 0);
    return unpack_archive(in, out, strip, limits, EPOCH, ret_newest, diag);
}

/* Type, mode, mtime and name of everything, as find sees it. */
static void assert_tree(const struct scratch *scratch, const char *directory, const char *expected)
{
    CLEANUP_FREE char *command = mem_format(
        "cd %s && find . -mindepth 1 -printf '%%y %%m %%Ts %%P %%l\\n' | LC_ALL=C sort -k4", directory);
    CLEANUP_BUF struct buf found = shell_output(scratch->fd, command);
    assert_string_equal(found.data, expected);
}

static void put_release(int fd)
{
    assert_int_equal(
        shell(fd, "mkdir -p rel-1.0/src/sub; cd rel-1.0; printf main > src/main.c; printf run > run; "
                  "chmod 4755 run; chmod 0440 src/main.c; ln -s src/main.c main; ln run hard; "
                  "find . -exec touch -h -d @1600000000 {} +; touch -d @1650000000 src/main.c"),
        0);
}

static const char RELEASE_TREE[] = "f 755 1700000000 hard \n"
                                   "l 777 1700000000 main src/main.c\n"
                                   "f 755 1700000000 run \n"
                                   "d 755 1700000000 src \n"
                                   "f 640 1700000000 src/main.c \n"
                                   "d 755 1700000000 src/sub ";

static void test_release_archives(void **state)
{
    const struct scratch *scratch = *state;
    put_release(scratch->fd);
    static const struct {
        const char *command, *tool;
    } cases[] = {
        {"tar --owner=7 -czf $A rel-1.0", "gzip"},        {"tar --format=ustar -cJf $A rel-1.0", "xz"},
        {"tar --format=posix -cjf $A rel-1.0", "bzip2"},  {"tar --format=gnu --zstd -cf $A rel-1.0", "zstd"},
        {"tar --format=v7 -cf $A rel-1.0", "tar"},        {"tar -cf $A ./rel-1.0/", "tar"},
        {"tar -cf $A rel-1.0/src/main.c rel-1.0", "tar"}, /* parents that come later */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        if (!have_program(cases[i].tool))
            continue;
        CLEANUP_FREE char *command = mem_format("A=archive%zu; %s", i, cases[i].command);
        CLEANUP_FREE char *archive = mem_format("archive%zu", i), *directory = mem_format("out%zu", i);
        if (i == 6)
            assert_int_equal(shell(scratch->fd,
                                   "A=archive6; tar --no-recursion -cf $A rel-1.0/src/main.c rel-1.0/src "
                                   "rel-1.0/src/sub rel-1.0/run rel-1.0/hard rel-1.0/main"),
                             0);
        else
            assert_int_equal(shell(scratch->fd, command), 0);
        int64_t newest = 0;
        struct diag diag = DIAG_INIT;
        assert_ok(unpack_into(scratch, archive, directory, 1, UNPACK_LIMITS_SOURCE, &newest, &diag), &diag);
        assert_int_equal(newest, NEWEST);
        assert_tree(scratch, directory, RELEASE_TREE);
    }
}

static void test_zip(void **state)
{
    const struct scratch *scratch = *state;
    if (!have_program("bsdtar"))
        skip();
    put_release(scratch->fd);
    assert_int_equal(
        shell(scratch->fd,
              "rm rel-1.0/hard; ln rel-1.0/run rel-1.0/hard; bsdtar --format zip -cf a.zip rel-1.0"),
        0);
    struct diag diag = DIAG_INIT;
    assert_ok(unpack_into(scratch, "a.zip", "out", 1, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_tree(scratch, "out", RELEASE_TREE);
}

static void test_strip(void **state)
{
    const struct scratch *scratch = *state;
    CLEANUP_BUF struct buf tar = BUF_INIT;
    tar_member(&tar, OLDER, "package.xml", '0', "", 0644, "above the directory that is stripped");
    tar_member(&tar, OLDER, "a", '5', "", 0755, "");
    tar_member(&tar, OLDER, "./a/./b//c", '0', "", 0644, "x");
    tar_member(&tar, OLDER, "a/h", '1', "a/b/c", 0644, "");
    tar_end(&tar);
    put_bytes(scratch->fd, "t", buf_view(&tar), 0644);
    struct diag diag = DIAG_INIT;
    assert_ok(unpack_into(scratch, "t", "zero", 0, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_true(exists(scratch->fd, "zero/package.xml") && exists(scratch->fd, "zero/a/b/c"));
    assert_ok(unpack_into(scratch, "t", "one", 1, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_tree(scratch, "one", "d 755 1700000000 b \nf 644 1700000000 b/c \nf 644 1700000000 h ");
    /* With two stripped nothing is left of "a/h", nor of what it links to. */
    assert_ok(unpack_into(scratch, "t", "two", 2, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_tree(scratch, "two", "f 644 1700000000 c ");
}

static void pax_path(struct buf *tar, const char *name)
{
    size_t rest = strlen(" path=\n") + strlen(name);
    size_t length = rest + (rest + 2 > 99 ? 3 : 2);
    CLEANUP_FREE char *record = mem_format("%zu path=%s\n", length, name);
    tar_member(tar, OLDER, "PaxHeader", 'x', "", 0644, record);
    tar_member(tar, OLDER, "short", '0', "", 0644, "content");
}

static const char *const odd_names[] = {
    "composed-\303\251", "decomposed-e\314\201",
    "not-utf8-\377\376", "hangul-\341\204\200\341\205\241",
    "new\nline",         "tab\t",
    "back\\slash",       "star*?",
    "\302\240space",
};

static void test_names_keep_their_bytes_in_any_locale(void **state)
{
    const struct scratch *scratch = *state;
    static const char *const locales[] = {"C", "C.UTF-8", "POSIX"};
    CLEANUP_BUF struct buf ustar = BUF_INIT;
    CLEANUP_BUF struct buf pax = BUF_INIT;
    for (size_t i = 0; i < ARRAY_SIZE(odd_names); i++) {
        tar_member(&ustar, OLDER, odd_names[i], '0', "", 0644, "content");
        pax_path(&pax, odd_names[i]);
    }
    tar_end(&ustar);
    tar_end(&pax);
    put_bytes(scratch->fd, "ustar", buf_view(&ustar), 0644);
    put_bytes(scratch->fd, "pax", buf_view(&pax), 0644);
    for (size_t i = 0; i < ARRAY_SIZE(locales); i++) {
        if (setlocale(LC_ALL, locales[i]) == NULL)
            continue;
        static const char *const archives[] = {"ustar", "pax"};
        for (size_t k = 0; k < ARRAY_SIZE(archives); k++) {
            CLEANUP_FREE char *directory = mem_format("%s-%zu", archives[k], i);
            struct diag diag = DIAG_INIT;
            assert_ok(unpack_into(scratch, archives[k], directory, 0, UNPACK_LIMITS_SOURCE, NULL, &diag),
                      &diag);
            CLEANUP_CLOSE int out = open_dir(scratch->fd, directory);
            for (size_t n = 0; n < ARRAY_SIZE(odd_names); n++)
                if (!exists(out, odd_names[n]))
                    fail_msg("%s in locale %s: lost %s", archives[k], locales[i], odd_names[n]);
        }
        assert_string_equal(setlocale(LC_ALL, NULL),
                            locales[i][0] == 'P' ? "C" : locales[i]); /* left alone */
    }
    setlocale(LC_ALL, "C");
}

struct member {
    const char *name;
    char type;
    const char *link;
    unsigned int mode;
    const char *content;
};

/* Unpacks the tar, wants this error (0: none), and that nothing was written beside the directory. */
static void check(const struct scratch *scratch, const struct member *members, size_t count, int error,
                  const char *message)
{
    CLEANUP_BUF struct buf tar = BUF_INIT;
    for (size_t i = 0; i < count; i++)
        tar_member(&tar, OLDER, members[i].name, members[i].type, members[i].link, members[i].mode,
                   members[i].content);
    tar_end(&tar);
    put_bytes(scratch->fd, "t", buf_view(&tar), 0644);
    put_file(scratch->fd, "victim", "untouched", 0644);
    struct diag diag = DIAG_INIT;
    if (error == 0)
        assert_ok(unpack_into(scratch, "t", "in", 0, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    else
        assert_error(unpack_into(scratch, "t", "in", 0, UNPACK_LIMITS_SOURCE, NULL, &diag), error, &diag,
                     message);
    assert_false(exists(scratch->fd, "evil"));
    CLEANUP_BUF struct buf victim = get_bytes(scratch->fd, "victim");
    assert_string_equal(victim.data, "untouched");
    assert_int_equal(shell(scratch->fd, "test $(stat -c %h%a victim) = 1644 && rm -rf in t victim"), 0);
}

#define CHECK(scratch, error, message, ...)                                                                  \
    do {                                                                                                     \
        static const struct member members_[] = {__VA_ARGS__};                                               \
        check(scratch, members_, ARRAY_SIZE(members_), error, message);                                      \
    } while (0)
#define FILE_(name)                                                                                          \
    {                                                                                                        \
        name, '0', "", 0644, "evil"                                                                          \
    }
#define LINK_(name, target)                                                                                  \
    {                                                                                                        \
        name, '2', target, 0777, ""                                                                          \
    }
#define HARD_(name, target)                                                                                  \
    {                                                                                                        \
        name, '1', target, 0644, ""                                                                          \
    }
#define DIR_(name)                                                                                           \
    {                                                                                                        \
        name, '5', "", 0755, ""                                                                              \
    }

static void test_A1_parent_and_absolute_paths(void **state)
{
    CHECK(*state, FARM_E_REFUSED, "../evil: \"..\"", FILE_("../evil"));
    CHECK(*state, FARM_E_REFUSED, "\"..\"", DIR_("a"), FILE_("a/../../evil"));
    CHECK(*state, FARM_E_REFUSED, "\"..\"", FILE_("a/.."));
    CHECK(*state, FARM_E_REFUSED, "absolute", FILE_("/tmp/evil"));
    CHECK(*state, FARM_E_REFUSED, "absolute", DIR_("//evil"));
}

static void test_A2_write_through_symlink(void **state)
{
    CHECK(*state, FARM_E_REFUSED, "a/evil", LINK_("a", ".."), FILE_("a/evil"));
    CHECK(*state, FARM_E_REFUSED, "not a directory", LINK_("a", ".."), DIR_("a/evil"));
    CHECK(*state, FARM_E_REFUSED, "already", LINK_("a", ".."), DIR_("a"), FILE_("a/evil"));
    CHECK(*state, FARM_E_REFUSED, "already", LINK_("a", "../victim"), FILE_("a"));
    CHECK(*state, FARM_E_REFUSED, "not a directory", DIR_("d"), LINK_("d/l", "../.."), FILE_("d/l/evil"));
    CHECK(*state, FARM_E_REFUSED, "not a directory", LINK_("a", "/"), LINK_("a/evil", "x"));
    CHECK(*state, FARM_E_REFUSED, "not a directory", FILE_("a"), FILE_("a/b"));
    CHECK(*state, 0, "", LINK_("a", "../victim"),
          LINK_("b", "/etc/passwd")); /* links may point anywhere: nobody follows */
}

static void test_A3_hardlink_outside(void **state)
{
    CHECK(*state, FARM_E_REFUSED, "\"..\"", HARD_("a", "../victim"));
    CHECK(*state, FARM_E_REFUSED, "absolute", HARD_("a", "/etc/passwd"));
    CHECK(*state, FARM_E_REFUSED, "before it", HARD_("a", "absent"));
    CHECK(*state, FARM_E_REFUSED, "before it", HARD_("a", "absent/b"));
    CHECK(*state, 0, "", FILE_("a"), HARD_("b", "./a"));
    CHECK(*state, FARM_E_REFUSED, "outside", HARD_("b", "./"));
}

static void test_A4_hardlink_through_symlink(void **state)
{
    CHECK(*state, FARM_E_REFUSED, "not a directory", LINK_("l", ".."), HARD_("a", "l/victim"));
    CHECK(*state, FARM_E_REFUSED, "not a regular file", LINK_("l", "../victim"), HARD_("a", "l"));
    CHECK(*state, FARM_E_REFUSED, "before it", HARD_("a", "l/victim"),
          LINK_("l", "..")); /* nothing is put off until later */
    CHECK(*state, FARM_E_REFUSED, "before it", LINK_("l", "../victim"), HARD_("a", "f"), FILE_("f"));
}

static void test_A6_duplicate_names(void **state)
{
    CHECK(*state, FARM_E_REFUSED, "a: something has that name", FILE_("a"), FILE_("a"));
    CHECK(*state, FARM_E_REFUSED, "a: something has that name", FILE_("a"), DIR_("a"));
    CHECK(*state, FARM_E_REFUSED, "a: something has that name", DIR_("a"), LINK_("a", "b"));
    CHECK(*state, FARM_E_REFUSED, "already", FILE_("a"), FILE_("b"), HARD_("b", "a"));
    CHECK(*state, 0, "", DIR_("a"), DIR_("a"), FILE_("a/b"), {"a", '5', "", 0700, ""});
}

static void test_A7_devices_and_setuid(void **state)
{
    const struct scratch *scratch = *state;
    CHECK(*state, FARM_E_REFUSED, "dev: device", {"dev", '3', "", 0644, ""});
    CHECK(*state, FARM_E_REFUSED, "dev: device", {"dev", '4', "", 0644, ""});
    CHECK(*state, FARM_E_REFUSED, "fifo: device, socket or FIFO", {"fifo", '6', "", 0644, ""});
    CLEANUP_BUF struct buf tar = BUF_INIT;
    tar_member(&tar, OLDER, "su", '0', "", 06755, "x");
    tar_member(&tar, OLDER, "dir", '5', "", 03555, "");
    tar_end(&tar);
    put_bytes(scratch->fd, "t", buf_view(&tar), 0644);
    struct diag diag = DIAG_INIT;
    assert_ok(unpack_into(scratch, "t", "in", 0, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_tree(scratch, "in", "d 755 1700000000 dir \nf 755 1700000000 su ");
}

static void test_G3_exec_bit_is_kept(void **state)
{
    const struct scratch *scratch = *state;
    CLEANUP_BUF struct buf tar = BUF_INIT;
    tar_member(&tar, OLDER, "tool", '0', "", 0755, "x");
    tar_member(&tar, OLDER, "data", '0', "", 0444, "x");
    tar_end(&tar);
    put_bytes(scratch->fd, "t", buf_view(&tar), 0644);
    struct diag diag = DIAG_INIT;
    assert_ok(unpack_into(scratch, "t", "in", 0, UNPACK_LIMITS_SOURCE, NULL, &diag), &diag);
    assert_tree(scratch, "in", "f 644 1700000000 data \nf 755 1700000000 tool ");
}

static void test_A5_bombs(void **state)
{
    const struct scratch *scratch = *state;
    static const struct {
        const char *make;
        struct unpack_limits limits;
        const char *message;
    } cases[] = {
        {"head -c 50000000 /dev/zero > f; tar -czf $A f", {1000000, 100}, "more than 1000000 bytes"},
        {"for i in 1 2 3 4 5 6; do head -c 300000 /dev/zero > f$i; done; tar -czf $A f?",
         {1000000, 100},
         "f4: "},
        {"truncate -s 1T f; tar -Sczf $A f; rm f", {1000000, 100}, "more than 1000000 bytes"},
        {"mkdir d; cd d; touch $(seq 200); tar -czf ../$A .", {1000000, 100}, "more than 100 members"},
        {"head -c 50000000 /dev/zero > top; mkdir z; tar -czf $A top",
         {1000000, 100},
         "more than 1000000 bytes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_FREE char *command =
            mem_format("mkdir make%zu; cd make%zu; A=a; { %s; }", i, i, cases[i].make);
        CLEANUP_FREE char *archive = mem_format("make%zu/a", i), *directory = mem_format("out%zu", i);
        assert_int_equal(shell(scratch->fd, command), 0);
        struct diag diag;
        unsigned int strip = i == 4 ? 1 : 0; /* left out, and counted all the same */
        assert_error(unpack_into(scratch, archive, directory, strip, cases[i].limits, NULL, &diag),
                     FARM_E_LIMIT, &diag, cases[i].message);
        CLEANUP_FREE char *usage = mem_format("test $(du -sk %s | cut -f1) -le 1500", directory);
        assert_int_equal(shell(scratch->fd, usage), 0);
    }
}

static void test_what_is_no_archive(void **state)
{
    const struct scratch *scratch = *state;
    assert_int_equal(shell(scratch->fd,
                           "echo 'this is text' > text; head -c 100000 /dev/urandom > f; tar -czf a f; "
                           "head -c 50000 a > cut; tar -cf b f; head -c 50000 b > cut-tar; "
                           "echo x | gzip > gz; printf 'PK\\003\\004junkjunkjunk' > zip"),
                     0);
    static const char *const files[] = {"text", "cut", "cut-tar", "gz", "zip"};
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP_FREE char *directory = mem_format("out-%s", files[i]);
        struct diag diag;
        assert_error(unpack_into(scratch, files[i], directory, 0, UNPACK_LIMITS_SOURCE, NULL, &diag),
                     FARM_E_SYNTAX, &diag, "");
    }
}

struct other_user {
    int in, out;
};

static int unpack_as_other(void *context)
{
    const struct other_user *other = context;
    struct diag diag = DIAG_INIT;
    int result = unpack_archive(other->in, other->out, 1, UNPACK_LIMITS_SOURCE, EPOCH, NULL, &diag);
    if (result < 0)
        fprintf(stderr, "%s\n", diag.text);
    return result < 0;
}

static void test_without_root(void **state)
{
    const struct scratch *scratch = *state;
    put_release(scratch->fd);
    assert_int_equal(shell(scratch->fd, "chmod 555 rel-1.0/src; tar -cf t rel-1.0"), 0);
    put_dir(scratch->fd, "out", 0777);
    CLEANUP_CLOSE int in = openat(scratch->fd, "t", O_RDONLY), out = open_dir(scratch->fd, "out");
    struct other_user other = {in, out};
    int result = as_other_user(unpack_as_other, &other);
    if (result < 0)
        skip(); /* all the other tests were run without root then */
    assert_int_equal(result, 0);
    assert_tree(scratch, "out", RELEASE_TREE);
}

int main(void)
{
#define SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)
    const struct CMUnitTest tests[] = {
        SCRATCH(test_release_archives),
        SCRATCH(test_zip),
        SCRATCH(test_strip),
        SCRATCH(test_names_keep_their_bytes_in_any_locale),
        SCRATCH(test_A1_parent_and_absolute_paths),
        SCRATCH(test_A2_write_through_symlink),
        SCRATCH(test_A3_hardlink_outside),
        SCRATCH(test_A4_hardlink_through_symlink),
        SCRATCH(test_A5_bombs),
        SCRATCH(test_A6_duplicate_names),
        SCRATCH(test_A7_devices_and_setuid),
        SCRATCH(test_G3_exec_bit_is_kept),
        SCRATCH(test_what_is_no_archive),
        SCRATCH(test_without_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
