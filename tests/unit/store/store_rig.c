/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "store_rig.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct store *rig_open(const struct scratch *scratch)
{
    struct store *store;
    struct diag diag = DIAG_INIT;
    assert_ok(store_open(scratch->fd, "store", 1, &store, &diag), &diag);
    return store;
}

struct digest rig_put(struct store *store, struct view data)
{
    struct digest name;
    struct diag diag = DIAG_INIT;
    assert_ok(store_put(store, data, &name, &diag), &diag);
    return name;
}

char *rig_file(const struct digest *name)
{
    struct digest_hex hex = digest_hex(name);
    return mem_format("store/objects/%.2s/%s", hex.text, hex.text + 2);
}

void rig_make_old(const struct scratch *scratch, const char *path, int seconds)
{
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(scratch->fd, path, times, 0), 0);
}

void rig_damage(const struct scratch *scratch, const char *path, off_t at)
{
    assert_int_equal(fchmodat(scratch->fd, path, 0644, 0), 0);
    CLEANUP_CLOSE int fd = openat(scratch->fd, path, O_RDWR);
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

size_t rig_count_files(const struct scratch *scratch, const char *directory)
{
    CLEANUP_FREE char *command = mem_format("find %s -type f | wc -l", directory);
    CLEANUP_BUF struct buf count = shell_output(scratch->fd, command);
    return (size_t)strtoul(count.data, NULL, 10);
}

void rig_expect(struct store *store, const struct digest *name, struct view data)
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

struct keep {
    struct digest name;
};

static bool keep_one(void *context, const struct digest *name)
{
    const struct keep *keep = context;
    return digest_equal(&keep->name, name);
}

size_t rig_collect(struct store *store, const struct digest *keep_name, int64_t grace_ms)
{
    struct keep keep = {*keep_name};
    size_t removed;
    uint64_t bytes;
    struct diag diag = DIAG_INIT;
    assert_ok(store_collect(store, keep_one, &keep, grace_ms, &removed, &bytes, &diag), &diag);
    assert_true((removed > 0) == (bytes > 0));
    return removed;
}
