/* SPDX-License-Identifier: GPL-3.0-or-later */
/* gitpin: a pack carries one commit; damaged ones and bombs (G8) are refused. */
#include "gitpin_rig.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static void a_pack_carries_one_commit_exactly(void **state)
{
    struct place *place = *state;
    struct gitpin_info here, there;
    struct gitrepo *repo = NULL;
    struct stat status;
    struct diag diag = DIAG_INIT;
    char commit[65], other[65];
    honest_commit(place, commit);
    commit_of_entry(place, "100644", "a", VIEW("not in the pack"), other);
    must(inspect(place, commit, &here, &diag), &diag);
    CLEANUP_FREE char *pack = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch/inner", place->directory);
    must(gitrepo_open_pack(pack, scratch, &repo, &diag), &diag);
    must(gitrepo_inspect(repo, commit, GITPIN_LIMITS, &there, &diag), &diag);
    assert_memory_equal(&here.tree_sha256, &there.tree_sha256, sizeof(here.tree_sha256));
    assert_int_equal(here.entries, there.entries);
    assert_int_equal(gitrepo_inspect(repo, other, GITPIN_LIMITS, &there, &diag), FARM_E_MISSING);
    CLEANUP_CLOSE int dirfd = new_dir(place, "out");
    must(gitrepo_checkout(repo, commit, &here.tree_sha256, GITPIN_LIMITS, dirfd, 0, &diag), &diag);
    assert_int_equal(stat(scratch, &status), 0);
    gitrepo_close(repo);
    assert_true(stat(scratch, &status) < 0 && errno == ENOENT);
}

static void the_same_commit_packs_to_the_same_bytes(void **state)
{
    struct place *place = *state;
    struct buf a = BUF_INIT, b = BUF_INIT;
    char commit[65];
    honest_commit(place, commit);
    CLEANUP_FREE char *one = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *two = pack_of(place, commit, "two.pack");
    assert_int_equal(file_read(AT_FDCWD, one, 1 << 20, &a, NULL), 0);
    assert_int_equal(file_read(AT_FDCWD, two, 1 << 20, &b, NULL), 0);
    assert_true(view_equal(buf_view(&a), buf_view(&b)));
    buf_done(&a);
    buf_done(&b);
}

/* Every byte of a pack stands under a checksum: whichever is changed, nothing of it is believed. */
static void damaged_packs_are_refused(void **state)
{
    struct place *place = *state;
    struct buf good = BUF_INIT;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    char commit[65];
    honest_commit(place, commit);
    CLEANUP_FREE char *path = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch", place->directory);
    assert_int_equal(file_read(AT_FDCWD, path, 1 << 20, &good, NULL), 0);
    for (size_t i = 0; i < good.size; i += 7) {
        CLEANUP_FREE char *bad = mem_copy(good.data, good.size);
        bad[i] ^= 0x10;
        must(file_write(AT_FDCWD, path, view_of(bad, good.size), 0600, &diag), &diag);
        assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
        must(file_write(AT_FDCWD, path, view_of(good.data, i), 0600, &diag), &diag); /* truncated */
        assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
    }
    assert_null(repo);
    buf_done(&good);
}

/* G8: a pack that announces four thousand million objects, and one whose object claims four gigabytes. */
static void g8_pack_bombs_are_refused(void **state)
{
    struct place *place = *state;
    struct gitrepo *repo = NULL;
    struct diag diag = DIAG_INIT;
    char commit[65];
    commit_of_entry(place, "100644", "a", VIEW("x"), commit);
    CLEANUP_FREE char *path = pack_of(place, commit, "one.pack");
    CLEANUP_FREE char *scratch = mem_format("%s/scratch", place->directory);
    struct buf pack = BUF_INIT;
    must(file_read(AT_FDCWD, path, 1 << 20, &pack, &diag), &diag);
    memcpy(pack.data + 8, "\x7f\xff\xff\xff", 4);
    must(file_write(AT_FDCWD, path, buf_view(&pack), 0600, &diag), &diag);
    assert_int_equal(gitrepo_open_pack(path, scratch, &repo, &diag), FARM_E_LIMIT);
    memcpy(pack.data + 8, "\0\0\0\1", 4);
    pack.size = 12;
    buf_add(&pack, "\xbf\xff\xff\xff\xff\xff\x7f", 7); /* a blob of 2^46 bytes */
    buf_add(&pack, "\x78\x9c\x03\x00\x00\x00\x00\x01", 8);
    must(file_write(AT_FDCWD, path, buf_view(&pack), 0600, &diag), &diag);
    assert_true(gitrepo_open_pack(path, scratch, &repo, &diag) < 0);
    buf_done(&pack);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pack_carries_one_commit_exactly),
        TEST(the_same_commit_packs_to_the_same_bytes),
        TEST(damaged_packs_are_refused),
        TEST(g8_pack_bombs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
