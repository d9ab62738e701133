/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The directory of tiles: what is written, what is read back, what a crash leaves, and what an altered file looks like. */
#include "log_test.h"

#include "file.h"
#include "tiledir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MANY = 66000 }; /* more than one tile of level 1 */

static struct digest *leaves;
static struct digest *roots; /* of the tree at each size */

static void add(struct tiledir_writer *writer, uint64_t upto)
{
    CLEANUP_BUF struct buf entry = BUF_INIT;
    while (tiledir_size(writer) < upto) {
        buf_clear(&entry);
        log_entry(tiledir_size(writer), &entry);
        tiledir_append(writer, buf_view(&entry));
    }
}

static struct tiledir_writer *open_at(const struct place *place, uint64_t size)
{
    struct tiledir_writer *writer = NULL;
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, tiledir_open(place->fd, size, &writer, &diag));
    assert_int_equal(tiledir_size(writer), size);
    return writer;
}

static void flush(struct tiledir_writer *writer)
{
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, tiledir_flush(writer, &diag));
}

/* A new directory with the first entries. */
static void fill(const struct place *place, uint64_t size)
{
    struct tiledir_writer *writer = open_at(place, 0);
    add(writer, size);
    flush(writer);
    tiledir_close(writer);
}

static struct digest root_of(uint64_t size)
{
    return roots[size];
}

static void assert_verifies(const struct place *place, uint64_t size)
{
    struct digest root, expected = root_of(size);
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, tiledir_verify(place->fd, size, &root, &diag));
    assert_digest_equal(root, expected);
}

static void assert_root(const struct place *place, uint64_t size)
{
    struct tiledir *reader;
    struct digest root, expected = root_of(size);
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, tiledir_reader_open(place->fd, size, &reader, &diag));
    struct tlog_reader hashes = tiledir_hashes(reader);
    assert_ok(&diag, tlog_root_at(&hashes, size, &root, &diag));
    assert_digest_equal(root, expected);
    tiledir_reader_free(reader);
}

static bool exists(const struct place *place, const char *path)
{
    return faccessat(place->fd, path, F_OK, 0) == 0;
}

/* --- paths --- */

static void test_paths(void **state)
{
    (void)state;
    assert_string_equal(tiledir_path(0, 0, 256).text, "tile/0/000");
    assert_string_equal(tiledir_path(0, 7, 1).text, "tile/0/007.p/1");
    assert_string_equal(tiledir_path(1, 999, 255).text, "tile/1/999.p/255");
    assert_string_equal(tiledir_path(0, 1000, 256).text, "tile/0/x001/000");
    assert_string_equal(tiledir_path(3, 1234067, 256).text, "tile/3/x001/x234/067");
    assert_string_equal(tiledir_path(TILEDIR_ENTRIES, 1234067, 8).text, "tile/entries/x001/x234/067.p/8");
    assert_string_equal(tiledir_path(TILEDIR_ENTRIES, UINT64_MAX, 255).text,
                        "tile/entries/x018/x446/x744/x073/x709/x551/615.p/255");
}

/* The sizes of C2SP's own example: 70,000 entries, here those of 66,000. */
static void test_layout(void **state)
{
    const struct place *place = *state;
    fill(place, MANY);
    assert_true(exists(place, "tile/0/000"));
    assert_true(exists(place, "tile/0/256"));
    assert_true(exists(place, "tile/0/257.p/208"));
    assert_false(exists(place, "tile/0/257"));
    assert_true(exists(place, "tile/1/000"));
    assert_true(exists(place, "tile/1/001.p/1"));
    assert_true(exists(place, "tile/2/000.p/1"));
    assert_false(exists(place, "tile/3"));
    assert_true(exists(place, "tile/entries/256"));
    assert_true(exists(place, "tile/entries/257.p/208"));
    assert_verifies(place, MANY);
    struct stat status;
    assert_int_equal(fstatat(place->fd, "tile/0/000", &status, 0), 0);
    assert_int_equal(status.st_size, 8192);
    assert_int_equal(status.st_mode & 07777, 0644);
}

static void test_sizes(void **state)
{
    static const uint64_t sizes[] = {1, 2, 255, 256, 257, 511, 512, 513, 65535, 65536, 65537, 65792};
    const struct place *place = *state;
    struct tiledir_writer *writer = open_at(place, 0);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        add(writer, sizes[i]);
        flush(writer);
        for (size_t k = 0; k <= i; k++) /* older sizes stay readable */
            assert_root(place, sizes[k]);
        if (sizes[i] < 1000 || sizes[i] == 65536)
            assert_verifies(place, sizes[i]);
    }
    assert_false(exists(place, "tile/0/000.p")); /* replaced by the whole tile */
    assert_false(exists(place, "tile/entries/000.p"));
    tiledir_close(writer);
}

/* A new writer at each size, as if it had crashed after each flush: every size around a full tile, some between. */
static void test_resume_at_each_size(void **state)
{
    const struct place *place = *state;
    for (uint64_t size = 0, next; size < 520; size = next) {
        bool near = size < 10 || size % TILE_WIDTH < 4 || size % TILE_WIDTH >= TILE_WIDTH - 4;
        uint64_t edge = (size / TILE_WIDTH + 1) * TILE_WIDTH - 4;
        next = near ? size + 1 : size + 17 < edge ? size + 17 : edge;
        struct tiledir_writer *writer = open_at(place, size);
        add(writer, next);
        flush(writer);
        tiledir_close(writer);
        assert_root(place, next);
        if (near)
            assert_verifies(place, next);
    }
}

static void test_nothing_new(void **state)
{
    const struct place *place = *state;
    struct tiledir_writer *writer = open_at(place, 0);
    flush(writer);
    assert_false(exists(place, "tile"));
    add(writer, 3);
    flush(writer);
    assert_int_equal(unlinkat(place->fd, "tile/0/000.p/3", 0), 0);
    flush(writer); /* nothing to do, and nothing is done */
    assert_false(exists(place, "tile/0/000.p/3"));
    tiledir_close(writer);
    assert_null(tiledir_close(NULL));
    assert_null(tiledir_reader_free(NULL));
}

/* A tile that is as wide as the one before it was has other hashes. */
static void test_same_width_again(void **state)
{
    const struct place *place = *state;
    struct tiledir_writer *writer = open_at(place, 0);
    add(writer, 5);
    flush(writer);
    add(writer, 256 + 5);
    flush(writer);
    assert_verifies(place, 261);
    add(writer, 300);
    flush(writer);
    assert_int_equal(unlinkat(place->fd, "tile/1/000.p/1", 0), 0);
    add(writer, 301);
    flush(writer);
    assert_false(exists(place, "tile/1/000.p/1")); /* it did not change, and is not written again */
    add(writer, 513);
    flush(writer);
    tiledir_close(writer);
    assert_verifies(place, 513);
}

/* --- reading --- */

static int check_entry(void *context, uint64_t position, struct view entry)
{
    uint64_t *next = context;
    CLEANUP_BUF struct buf expected = BUF_INIT;
    log_entry(position, &expected);
    assert_int_equal(position, *next);
    assert_true(view_equal(entry, buf_view(&expected)));
    ++*next;
    return 0;
}

static int stop_at_300(void *context, uint64_t position, struct view entry)
{
    (void)context, (void)entry;
    return position == 300 ? -ECANCELED : 0;
}

static void test_entries(void **state)
{
    const struct place *place = *state;
    struct tiledir *reader;
    struct diag diag = DIAG_INIT;
    uint64_t next = 0;
    fill(place, 700);
    assert_ok(&diag, tiledir_each_entry(place->fd, 700, check_entry, &next, &diag));
    assert_int_equal(next, 700);
    next = 0;
    assert_ok(&diag,
              tiledir_each_entry(place->fd, 300, check_entry, &next, &diag)); /* from the longer bundle */
    assert_int_equal(next, 300);
    assert_int_equal(tiledir_each_entry(place->fd, 700, stop_at_300, NULL, &diag), -ECANCELED);
    assert_ok(&diag, tiledir_each_entry(place->fd, 0, stop_at_300, NULL, &diag));
    assert_ok(&diag, tiledir_reader_open(place->fd, 650, &reader, &diag));
    for (uint64_t position = 0; position < 650; position += 7) {
        CLEANUP_BUF struct buf entry = BUF_INIT, expected = BUF_INIT;
        log_entry(position, &expected);
        assert_ok(&diag, tiledir_entry(reader, position, &entry, &diag));
        assert_true(view_equal(buf_view(&entry), buf_view(&expected)));
    }
    CLEANUP_BUF struct buf entry = BUF_INIT;
    assert_int_equal(tiledir_entry(reader, 650, &entry, &diag), FARM_E_REFUSED);
    struct tlog_reader hashes = tiledir_hashes(reader);
    struct digest hash;
    assert_int_equal(hashes.read(hashes.context, 0, 650, &hash, &diag), FARM_E_REFUSED);
    assert_int_equal(hashes.read(hashes.context, 9, 1, &hash, &diag), FARM_E_REFUSED);
    assert_int_equal(hashes.read(hashes.context, 64, 0, &hash, &diag), FARM_E_REFUSED);
    tiledir_reader_free(reader);
}

static void check_proofs(const struct place *place, uint64_t size, uint64_t seed)
{
    struct tiledir *reader;
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, tiledir_reader_open(place->fd, size, &reader, &diag));
    struct tlog_reader hashes = tiledir_hashes(reader);
    struct digest root = root_of(size);
    for (int i = 0; i < 40; i++) {
        uint64_t position = log_random(&seed) % size, old_size = position + 1;
        struct digest old_root = root_of(old_size);
        struct tlog_proof proof;
        assert_ok(&diag, tlog_prove_inclusion(&hashes, size, position, &proof, &diag));
        assert_ok(&diag, tlog_check_inclusion(&proof, size, position, &leaves[position], &root, &diag));
        assert_ok(&diag, tlog_prove_consistency(&hashes, old_size, size, &proof, &diag));
        assert_ok(&diag, tlog_check_consistency(&proof, old_size, &old_root, size, &root, &diag));
    }
    tiledir_reader_free(reader);
}

/* The hash tiles are derived: without some of them, or all, the entries give the same. */
static void test_proofs_without_tiles(void **state)
{
    const struct place *place = *state;
    struct diag diag = DIAG_INIT;
    fill(place, MANY);
    check_proofs(place, MANY, 1);
    check_proofs(place, 65536, 2);
    check_proofs(place, 300, 3);
    assert_ok(&diag, file_remove_tree(place->fd, "tile/1", &diag));
    check_proofs(place, MANY, 4);
    assert_ok(&diag, file_remove_tree(place->fd, "tile/0", &diag));
    assert_ok(&diag, file_remove_tree(place->fd, "tile/2", &diag));
    check_proofs(place, MANY, 5);
    struct tiledir_writer *writer = open_at(place, MANY);
    tiledir_close(writer);
}

static void test_missing(void **state)
{
    const struct place *place = *state;
    struct tiledir_writer *writer = NULL;
    struct tiledir *reader;
    struct digest root;
    struct diag diag = DIAG_INIT;
    uint64_t next = 0;
    fill(place, 700);
    assert_int_equal(tiledir_each_entry(place->fd, 701, check_entry, &next, &diag), FARM_E_MISSING);
    assert_int_equal(next, 512); /* no bundle is given out in part */
    assert_int_equal(tiledir_open(place->fd, 701, &writer, &diag), FARM_E_CORRUPT);
    assert_null(writer);
    assert_non_null(strstr(diag.text, "does not hold the log's 701 entries"));
    assert_int_equal(tiledir_verify(place->fd, 701, &root, &diag), FARM_E_MISSING);
    assert_int_equal(unlinkat(place->fd, "tile/0/001", 0), 0);
    assert_int_equal(tiledir_verify(place->fd, 700, &root, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "tile/0/001"));
    assert_int_equal(unlinkat(place->fd, "tile/entries/001", 0), 0);
    next = 0;
    assert_int_equal(tiledir_each_entry(place->fd, 700, check_entry, &next, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, "tile/entries/001"));
    assert_ok(&diag, tiledir_reader_open(place->fd, 700, &reader, &diag));
    struct tlog_reader hashes = tiledir_hashes(reader);
    assert_int_equal(hashes.read(hashes.context, 0, 256, &root, &diag), FARM_E_MISSING);
    tiledir_reader_free(reader);
}

/* --- altered files --- */

static void read_file(const struct place *place, const char *path, struct buf *ret)
{
    struct diag diag = DIAG_INIT;
    buf_clear(ret);
    assert_ok(&diag, file_read(place->fd, path, 1 << 20, ret, &diag));
}

static void put_file(const struct place *place, const char *path, struct view content)
{
    struct diag diag = DIAG_INIT;
    assert_ok(&diag, file_write(place->fd, path, content, 0644, &diag));
}

/* Every file below 'path', relative to the place. */
static void list_files(const struct place *place, const char *path, struct buf *ret)
{
    CLEANUP_FREE char *command = mem_format("cd '%s' && find %s -type f | LC_ALL=C sort", place->path, path);
    FILE *pipe = popen(command, "re");
    char chunk[4096];
    for (size_t got; (got = fread(chunk, 1, sizeof chunk, pipe)) > 0;)
        buf_add(ret, chunk, got);
    assert_int_equal(pclose(pipe), 0);
}

/* Directory verified as it is now must not be accepted as the tree it was. */
static void assert_found(const struct place *place, uint64_t size, const char *path)
{
    struct digest root = {{0}}, expected = root_of(size);
    struct diag diag = DIAG_INIT;
    int result = tiledir_verify(place->fd, size, &root, &diag);
    if (result == 0)
        assert_false(
            digest_equal(&root, &expected)); /* an entry, and all that is made of it: the root tells */
    else
        assert_true(result == FARM_E_CORRUPT || result == FARM_E_MISSING);
    if (result == FARM_E_CORRUPT && strstr(path, "entries") == NULL && strstr(diag.text, path) == NULL)
        fail_msg("%s was altered, and the message is: %s", path, diag.text);
}

/* Flips a bit near the front, in the middle and at the end; cuts; lengthens. */
static void alter_in_all_ways(const struct place *place, uint64_t size, const char *path)
{
    CLEANUP_BUF struct buf good = BUF_INIT, bad = BUF_INIT;
    read_file(place, path, &good);
    const size_t flips[] = {0, good.size / 2, good.size - 1};
    for (size_t i = 0; i < ARRAY_SIZE(flips); i++) {
        buf_clear(&bad);
        buf_add_view(&bad, buf_view(&good));
        bad.data[flips[i]] ^= 0x10;
        put_file(place, path, buf_view(&bad));
        assert_found(place, size, path);
    }
    put_file(place, path, view_of(good.data, good.size - 1));
    assert_found(place, size, path);
    put_file(place, path, VIEW(""));
    assert_found(place, size, path);
    buf_clear(&bad);
    buf_add_view(&bad, buf_view(&good));
    buf_add_byte(&bad, 0);
    put_file(place, path, buf_view(&bad));
    assert_found(place, size, path);
    put_file(place, path, buf_view(&good));
}

/* L7: each file there is, partial or whole, of the present size or of one before. */
static void test_L7_altered_files(void **state)
{
    const struct place *place = *state;
    CLEANUP_BUF struct buf files = BUF_INIT;
    struct tiledir_writer *writer = open_at(place, 0);
    static const uint64_t sizes[] = {5, 250, 300, 301, 600, 604};
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        add(writer, sizes[i]);
        flush(writer);
    }
    tiledir_close(writer);
    list_files(place, "tile", &files);
    struct view rest = buf_view(&files), line;
    while (view_split(&rest, '\n', &line) && line.size > 0) {
        CLEANUP_FREE char *path = view_string(line);
        alter_in_all_ways(place, 604, path);
        count++;
    }
    /* 2 whole tiles and bundles, 2 widths beside each last one, and the widths that level 1 had */
    assert_int_equal(count, 2 + 2 + 2 + 2 + 2);
    assert_verifies(place, 604);
}

/* The attack: a partial tile made anew, so that everything in it is consistent, and an inclusion proof from it would be served. */
static void test_L7_partial_tile_of_another_log(void **state)
{
    const struct place *place = *state;
    struct place *other = NULL;
    CLEANUP_BUF struct buf tile = BUF_INIT, bundle = BUF_INIT;
    struct digest root, expected = root_of(300);
    struct diag diag = DIAG_INIT;
    fill(place, 300);
    assert_int_equal(make_place((void **)&other), 0);
    struct tiledir_writer *writer = open_at(other, 0);
    add(writer, 299);
    tiledir_append(writer, VIEW("{\"forged\":true}"));
    flush(writer);
    tiledir_close(writer);
    read_file(other, "tile/0/001.p/44", &tile);
    read_file(other, "tile/entries/001.p/44", &bundle);
    put_file(place, "tile/0/001.p/44", buf_view(&tile));
    assert_int_equal(tiledir_verify(place->fd, 300, &root, &diag), FARM_E_CORRUPT);
    assert_string_equal(diag.text, "tile/0/001.p/44 is not what the log's entries give: it was altered");
    assert_int_equal(tiledir_open(place->fd, 300, &writer, &diag), FARM_E_CORRUPT); /* at the start already */
    put_file(place, "tile/entries/001.p/44", buf_view(&bundle)); /* both: then the root is another */
    assert_int_equal(tiledir_verify(place->fd, 300, &root, &diag), 0);
    assert_false(digest_equal(&root, &expected));
    remove_place((void **)&other);
}

/* The log has grown: its whole tiles agree with the older size, too, or are found; a partial tile that stayed beside one as well. */
static void test_L7_altered_beyond_the_size(void **state)
{
    static const char *const paths[] = {"tile/0/001", "tile/entries/001", "tile/0/001.p/44"};
    const struct place *place = *state;
    CLEANUP_BUF struct buf tile = BUF_INIT, good = BUF_INIT;
    struct digest root;
    struct diag diag = DIAG_INIT;
    fill(place, 300);
    read_file(place, "tile/0/001.p/44", &tile);
    struct tiledir_writer *writer = open_at(place, 300);
    add(writer, 600);
    flush(writer);
    tiledir_close(writer);
    assert_ok(&diag, file_make_dirs(place->fd, "tile/0/001.p", 0755, &diag));
    put_file(place, "tile/0/001.p/44", buf_view(&tile)); /* as if removing it had failed */
    assert_verifies(place, 600);
    assert_verifies(place, 300);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        read_file(place, paths[i], &good);
        good.data[5] ^= 1;
        put_file(place, paths[i], buf_view(&good));
        assert_int_equal(tiledir_verify(place->fd, 300, &root, &diag), FARM_E_CORRUPT);
        assert_int_equal(tiledir_verify(place->fd, 600, &root, &diag), FARM_E_CORRUPT);
        good.data[5] ^= 1;
        put_file(place, paths[i], buf_view(&good));
    }
}

/* What the writer goes on from is compared with what lies below it, level by level. */
static void test_L7_altered_edge_is_found_on_opening(void **state)
{
    static const char *const paths[] = {"tile/1/000.p/2", "tile/0/002.p/88", "tile/0/001",
                                        "tile/entries/002.p/88"};
    const struct place *place = *state;
    CLEANUP_BUF struct buf good = BUF_INIT, bad = BUF_INIT;
    fill(place, 600);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        struct tiledir_writer *writer = NULL;
        struct diag diag = DIAG_INIT;
        read_file(place, paths[i], &good);
        buf_clear(&bad);
        buf_add_view(&bad, buf_view(&good));
        bad.data[bad.size - 1] ^= 1;
        put_file(place, paths[i], buf_view(&bad));
        assert_int_equal(tiledir_open(place->fd, 600, &writer, &diag), FARM_E_CORRUPT);
        put_file(place, paths[i], view_of(good.data, good.size - 1));
        assert_int_equal(tiledir_open(place->fd, 600, &writer, &diag), FARM_E_CORRUPT);
        assert_non_null(strstr(diag.text, strstr(paths[i], "entries") ? "ends within entry" : "bytes, and"));
        put_file(place, paths[i], buf_view(&good));
    }
}

static void test_odd_files(void **state)
{
    const struct place *place = *state;
    struct digest root;
    struct diag diag = DIAG_INIT;
    fill(place, 300);
    put_file(place, "tile/0/001.p/README", VIEW("not a width"));
    put_file(place, "tile/0/001.p/45.tmp", VIEW("what a crash left"));
    put_file(place, "tile/0/001.p/007", VIEW("not a width either"));
    put_file(place, "tile/0/001.p/256", VIEW("nor this"));
    assert_verifies(place, 300);
    assert_int_equal(unlinkat(place->fd, "tile/0/001.p/44", 0), 0);
    assert_int_equal(mkfifoat(place->fd, "tile/0/001.p/44", 0644), 0);
    assert_int_equal(tiledir_verify(place->fd, 300, &root, &diag), FARM_E_REFUSED); /* and does not wait */
}

/* --- crashes --- */

static void run(char *command)
{
    assert_int_equal(system(command), 0);
    free(command);
}

static void empty_place(const struct place *place)
{
    run(mem_format("rm -rf '%s/tile'", place->path));
}

static void copy_into(const struct place *place, const struct place *from)
{
    run(mem_format("cp -a '%s/.' '%s/'", from->path, place->path));
}

static void assert_goes_on(const struct place *place, uint64_t shown, uint64_t upto)
{
    struct tiledir_writer *writer = open_at(place, shown);
    assert_root(place, shown); /* what was shown before the crash is still served */
    add(writer, upto);
    flush(writer);
    tiledir_close(writer);
    assert_verifies(place, upto);
    assert_verifies(place, shown);
}

/*
 * A flush makes each file whole before it gets its name, and removes old ones when all new ones have theirs. So a crash leaves the
 * old files and some of the new ones: all but one, and only one, of each must do no harm.
 */
static void crash_between(struct place *place, uint64_t before, uint64_t after)
{
    struct place *old = NULL, *new = NULL;
    CLEANUP_BUF struct buf listed = BUF_INIT, had = BUF_INIT;
    assert_int_equal(make_place((void **)&old), 0);
    assert_int_equal(make_place((void **)&new), 0);
    fill(old, before);
    copy_into(new, old);
    struct tiledir_writer *writer = open_at(new, before);
    add(writer, after);
    flush(writer);
    tiledir_close(writer);
    list_files(new, "tile", &listed);
    list_files(old, "tile", &had);
    struct view rest = buf_view(&listed), line;
    while (view_split(&rest, '\n', &line) && line.size > 0) {
        CLEANUP_FREE char *path = view_string(line);
        if (strstr(had.data, path) != NULL)
            continue;
        empty_place(place);
        copy_into(place, old);
        copy_into(place, new);
        assert_int_equal(unlinkat(place->fd, path, 0), 0);
        assert_goes_on(place, before, after);
        empty_place(place);
        copy_into(place, old);
        run(mem_format("cd '%s' && cp --parents '%s' '%s/'", new->path, path, place->path));
        assert_goes_on(place, before, after);
    }
    remove_place((void **)&old);
    remove_place((void **)&new);
}

static void test_D6_any_new_file_missing(void **state)
{
    struct place *place = *state;
    crash_between(place, 255, 256);
    crash_between(place, 250, 260);
    crash_between(place, 512, 1030);
}

/* A child is killed while it appends and flushes; whatever it had reported as flushed is there. */
static void test_D6_killed_at_any_time(void **state)
{
    const struct place *place = *state;
    uint64_t shown = 0, random = 11;
    for (int round = 0; round < 12; round++) {
        int ends[2];
        uint64_t reported = shown;
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct tiledir_writer *writer = NULL;
            struct diag diag = DIAG_INIT;
            if (tiledir_open(place->fd, shown, &writer, &diag) < 0)
                _exit(1);
            for (uint64_t size = shown + 1;; size += 1 + size % 97) {
                add(writer, size);
                if (tiledir_flush(writer, &diag) < 0 || write(ends[1], &size, sizeof size) < 0)
                    _exit(1);
            }
        }
        close(ends[1]);
        struct timespec pause = {0, (long)(log_random(&random) % 60000000)};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status)); /* it did not fail by itself */
        while (read(ends[0], &reported, sizeof reported) == (ssize_t)sizeof reported)
            shown = reported;
        close(ends[0]);
        if (shown > 0)
            assert_root(place, shown);
        tiledir_close(open_at(place, shown));
        if (shown > MANY / 2)
            break;
    }
    assert_verifies(place, shown);
}

/* D7: a disk that is full, here a limit on the size of files. The entries stay in memory, and the next try writes them. */
static void test_D7_no_room(void **state)
{
    const struct place *place = *state;
    struct tiledir_writer *writer = open_at(place, 0);
    struct rlimit limit, small;
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf files = BUF_INIT;
    add(writer, 100);
    flush(writer);
    add(writer, 600);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 5000;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int result = tiledir_flush(writer, &diag);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(result, -EFBIG);
    assert_root(place, 100); /* undisturbed */
    list_files(place, "tile -name '*.tmp'", &files);
    assert_int_equal(files.size, 0);
    add(writer, 700);
    flush(writer);
    tiledir_close(writer);
    assert_verifies(place, 700);
}

/* A bundle of the largest entries there can be, and of empty ones. */
static void test_extreme_entries(void **state)
{
    const struct place *place = *state;
    CLEANUP_FREE char *big = mem_alloc(TLOG_ENTRY_MAX);
    struct tiledir_writer *writer = open_at(place, 0);
    struct tlog_tree tree = {.size = 0};
    struct diag diag = DIAG_INIT;
    struct digest root, expected;
    memset(big, 'x', TLOG_ENTRY_MAX);
    for (int i = 0; i < 259; i++) {
        struct view entry = view_of(big, i % 4 == 0 ? TLOG_ENTRY_MAX : i % 4 == 1 ? 0 : (size_t)i);
        struct digest leaf = tlog_leaf(entry);
        tiledir_append(writer, entry);
        tlog_append(&tree, &leaf, NULL, NULL);
    }
    flush(writer);
    tiledir_close(writer);
    expected = tlog_root(&tree);
    assert_ok(&diag, tiledir_verify(place->fd, 259, &root, &diag));
    assert_digest_equal(root, expected);
}

/* What a hostile bundle may say: lengths that lead out of it, too many entries, bytes behind. */
static void test_malformed_bundles(void **state)
{
    static const struct view bad[] = {{"\0", 1},          {"\0\5abc", 5},     {"\377\377", 2},
                                      {"\0\1a\0\1", 5},   {"\0\1a", 3},       {"\0\1a\0\1b\0\1c", 9},
                                      {"\0\1a\0\1bX", 7}, {"\0\1a\0\1b\0", 7}};
    const struct place *place = *state;
    fill(place, 2);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct diag diag = DIAG_INIT;
        uint64_t next = 0;
        put_file(place, "tile/entries/000.p/2", bad[i]);
        assert_int_equal(tiledir_each_entry(place->fd, 2, check_entry, &next, &diag), FARM_E_CORRUPT);
        assert_int_equal(next, 0);
        assert_non_null(strstr(diag.text, "tile/entries/000.p/2"));
    }
}

#define with_place(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        with_place(test_layout),
        with_place(test_sizes),
        with_place(test_resume_at_each_size),
        with_place(test_nothing_new),
        with_place(test_same_width_again),
        with_place(test_entries),
        with_place(test_proofs_without_tiles),
        with_place(test_missing),
        with_place(test_L7_altered_files),
        with_place(test_L7_partial_tile_of_another_log),
        with_place(test_L7_altered_beyond_the_size),
        with_place(test_L7_altered_edge_is_found_on_opening),
        with_place(test_odd_files),
        with_place(test_D6_any_new_file_missing),
        with_place(test_D6_killed_at_any_time),
        with_place(test_D7_no_room),
        with_place(test_extreme_entries),
        with_place(test_malformed_bundles),
    };
    leaves = mem_zero(MANY + 1, sizeof *leaves);
    roots = mem_zero(MANY + 1, sizeof *roots);
    struct tlog_tree tree = {.size = 0};
    for (uint64_t i = 0; i <= MANY; i++) {
        roots[i] = tlog_root(&tree);
        leaves[i] = log_leaf(i);
        tlog_append(&tree, &leaves[i], NULL, NULL);
    }
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(leaves);
    free(roots);
    return result;
}
