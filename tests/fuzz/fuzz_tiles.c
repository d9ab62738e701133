/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A log's directory of tiles as somebody else wrote it: the first byte is the size, then for each file its number and a chunk. Reading entries
 * and hashes never leaves the bounds; a directory that verifies gives its entries, and a proof from its hashes holds under its root.
 */
#include "fuzz.h"

#include "file.h"
#include "tiledir.h"

#include <fcntl.h>
#include <unistd.h>

static void setup(void)
{
    (void)fuzz_scratch();
}

/* The files that a log of fewer than 768 entries may have. */
static struct tile_path path_of(unsigned int number, unsigned int size)
{
    int level = number % 3 == 2 ? 1 : (int)(number % 3) - 1;
    uint64_t index = level == 1 ? 0 : number / 3 % 3;
    unsigned int width = level == 1 ? size >> 8 : size - (unsigned int)index * TILE_WIDTH;
    return tiledir_path(level, index, width >= 1 && width < TILE_WIDTH ? width : TILE_WIDTH);
}

static void put_tile(int dirfd, const char *path, struct view content)
{
    CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(strrchr(path, '/') - path));
    if (file_make_dirs(dirfd, parent, 0755, NULL) < 0)
        return;
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd >= 0)
        FUZZ_CHECK(file_write_all(fd, content.data, content.size) >= 0);
}

static int count_entry(void *context, uint64_t position, struct view entry)
{
    FUZZ_CHECK(position == *(uint64_t *)context && entry.size <= TLOG_ENTRY_MAX);
    ++*(uint64_t *)context;
    return 0;
}

static void check_verified(int dirfd, uint64_t size, const struct digest *root)
{
    struct tiledir *reader = NULL;
    CLEANUP_BUF struct buf entry = BUF_INIT;
    struct tlog_proof proof;
    struct digest again, leaf;
    uint64_t count = 0;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(tiledir_each_entry(dirfd, size, count_entry, &count, &diag), &diag);
    FUZZ_CHECK(count == size);
    FUZZ_OK(tiledir_reader_open(dirfd, size, &reader, &diag), &diag);
    struct tlog_reader hashes = tiledir_hashes(reader);
    FUZZ_OK(tlog_root_at(&hashes, size, &again, &diag), &diag);
    FUZZ_CHECK(digest_equal(root, &again));
    FUZZ_OK(tiledir_entry(reader, size - 1, &entry, &diag), &diag);
    leaf = tlog_leaf(buf_view(&entry));
    FUZZ_OK(tlog_prove_inclusion(&hashes, size, size - 1, &proof, &diag), &diag);
    FUZZ_OK(tlog_check_inclusion(&proof, size, size - 1, &leaf, root, &diag), &diag);
    tiledir_reader_free(reader);
}

static void read_anyway(int dirfd, uint64_t size)
{
    struct tiledir *reader = NULL;
    struct tiledir_writer *writer = NULL;
    CLEANUP_BUF struct buf entry = BUF_INIT;
    struct digest root;
    struct diag diag = DIAG_INIT;
    if (tiledir_reader_open(dirfd, size, &reader, &diag) >= 0) {
        struct tlog_reader hashes = tiledir_hashes(reader);
        (void)!tlog_root_at(&hashes, size, &root, &diag);
        (void)!tiledir_entry(reader, 0, &entry, &diag);
    }
    tiledir_reader_free(reader);
    if (tiledir_open(dirfd, size, &writer, &diag) >= 0)
        FUZZ_CHECK(tiledir_size(writer) == size);
    tiledir_close(writer);
}

static void run(struct view input)
{
    int dirfd = fuzz_scratch();
    unsigned int size = 1 + fuzz_take_byte(&input) * 3;
    struct digest root;
    struct diag diag = DIAG_INIT;
    while (input.size > 0) {
        struct tile_path path = path_of(fuzz_take_byte(&input), size);
        put_tile(dirfd, path.text, fuzz_take_chunk(&input));
    }
    int result = tiledir_verify(dirfd, size, &root, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        check_verified(dirfd, size, &root);
    read_anyway(dirfd, size);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 16 * 1024, .heap_base = 40 << 20, .heap_factor = 64};
