/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "file.h"
#include "spool.h"
#include "statedir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static char path[64];
static int fd = -1;

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/farm-spool-XXXXXX");
    if (mkdtemp(path) == NULL)
        return -1;
    fd = file_open_dir(AT_FDCWD, path, NULL);
    return fd < 0 ? -1 : statedir_fill(fd, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    close(fd);
    return file_remove_tree(AT_FDCWD, path, NULL);
}

static struct spool_entry entry_of(unsigned char number)
{
    struct spool_entry entry = {.failure = FAILURE_NONE,
                                .node = (char *)"extra/zlib",
                                .envelope = (char *)"{\"payload\":\"\\\"x\\\"\"}"};
    memset(entry.nonce.bytes, number, sizeof entry.nonce.bytes);
    entry.job = digest_of(view_of(&number, 1));
    entry.manifest = digest_of(VIEW("manifest"));
    entry.log = digest_of(VIEW("log"));
    return entry;
}

static void put(unsigned char number)
{
    struct diag diag = DIAG_INIT;
    struct spool_entry entry = entry_of(number);
    if (spool_put(fd, &entry, &diag) < 0)
        fail_msg("%s", diag.text);
}

static size_t load(struct spool_entry ***ret)
{
    struct diag diag = DIAG_INIT;
    size_t count = 0;
    if (spool_load(fd, ret, &count, &diag) < 0)
        fail_msg("%s", diag.text);
    return count;
}

static void release(struct spool_entry **entries, size_t count)
{
    for (size_t i = 0; i < count; i++)
        spool_entry_free(entries[i]);
    free(entries);
}

/* What a restarted worker finds is what it had signed, in a fixed order, until it is acknowledged. */
static void replay(void **state)
{
    (void)state;
    struct spool_entry **entries, want = entry_of(1);
    put(2);
    put(1);
    put(1); /* once more is no second one */
    size_t count = load(&entries);
    assert_int_equal(count, 2);
    assert_memory_equal(&entries[0]->nonce, &want.nonce, sizeof want.nonce);
    assert_string_equal(entries[0]->envelope, want.envelope);
    assert_string_equal(entries[0]->node, want.node);
    assert_true(digest_equal(&entries[0]->job, &want.job));
    assert_true(digest_equal(&entries[0]->manifest, &want.manifest));
    assert_true(digest_is_zero(&entries[0]->tar));
    assert_true(digest_equal(&entries[0]->log, &want.log));
    assert_int_equal(spool_remove(fd, &want.nonce, NULL), 0);
    assert_int_equal(spool_remove(fd, &want.nonce, NULL), 0);
    release(entries, count);
    count = load(&entries);
    assert_int_equal(count, 1);
    assert_int_equal(entries[0]->nonce.bytes[0], 2);
    release(entries, count);
}

/* D6: a write that was cut short, and a damaged file, do not keep the others back. */
static void damage(void **state)
{
    (void)state;
    struct spool_entry **entries;
    put(3);
    assert_int_equal(file_write(fd, STATEDIR_SPOOL "/bad.json", VIEW("{\"format\":"), 0600, NULL), 0);
    assert_int_equal(file_write(fd, STATEDIR_SPOOL "/x.json.tmp-1", VIEW("{}"), 0600, NULL), 0);
    size_t count = load(&entries);
    assert_int_equal(count, 1);
    assert_int_equal(entries[0]->nonce.bytes[0], 3);
    release(entries, count);
    assert_int_equal(faccessat(fd, STATEDIR_SPOOL "/bad.json.damaged", F_OK, 0), 0);
    assert_int_equal(faccessat(fd, STATEDIR_SPOOL "/x.json.tmp-1", F_OK, 0), -1);
}

static void strict(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf good = BUF_INIT;
    struct spool_entry entry = entry_of(4), *read = NULL;
    spool_entry_write(&entry, &good);
    assert_int_equal(spool_entry_parse(buf_view(&good), "x", &read, NULL), 0);
    spool_entry_free(read);
    static const char *const breaks[][2] = {
        {"\"failure\":\"none\"", "\"failure\":\"what\""},
        {"\"nonce\":\"04", "\"nonce\":\"4"},
        {"\"node\":", "\"nodes\":"},
        {"spool/1", "spool/2"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        const char *at = strstr(good.data, breaks[i][0]);
        assert_non_null(at);
        buf_add(&bad, good.data, (size_t)(at - good.data));
        buf_add_format(&bad, "%s%s", breaks[i][1], at + strlen(breaks[i][0]));
        assert_int_equal(spool_entry_parse(buf_view(&bad), "x", &read, NULL), FARM_E_SYNTAX);
    }
}

int suite_spool(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(replay, set_up, tear_down),
                                       cmocka_unit_test_setup_teardown(damage, set_up, tear_down),
                                       cmocka_unit_test(strict)};
    return cmocka_run_group_tests_name("spool", tests, NULL, NULL);
}
