/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Source archives by strangers. The first byte: bit 0 makes a tar's checksums right, bits 1 and 2 are the components to strip. Whatever it
 * is, nothing appears beside the directory it is unpacked into; what is accepted keeps to the limits and holds directories, files without
 * set-id bits, and links.
 */
#include "fuzz.h"

#include "file.h"
#include "fuzz_tar.h"
#include "treewalk.h"
#include "unpack.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { BYTES_MAX = 256 * 1024, MEMBERS_MAX = 64, EPOCH = 1656438637 };

static void setup(void)
{
    (void)fuzz_scratch();
}

static int check_entry(void *context, const struct treewalk_entry *entry, struct diag *diag)
{
    mode_t mode = entry->status->st_mode;
    (void)diag;
    FUZZ_CHECK(S_ISDIR(mode) || S_ISREG(mode) || S_ISLNK(mode));
    FUZZ_CHECK((mode & (S_ISUID | S_ISGID)) == 0);
    FUZZ_CHECK(entry->status->st_mtime == EPOCH);
    if (S_ISREG(mode))
        *(uint64_t *)context += (uint64_t)entry->status->st_size / (uint64_t)entry->status->st_nlink;
    return TREEWALK_GO_ON;
}

static int count_entry(void *context, const struct treewalk_entry *entry, struct diag *diag)
{
    (void)entry;
    (void)diag;
    ++*(size_t *)context;
    return TREEWALK_SKIP;
}

static void unpack(int archive, unsigned int strip)
{
    const struct unpack_limits limits = {BYTES_MAX, MEMBERS_MAX};
    int scratch = fuzz_scratch();
    uint64_t bytes = 0;
    size_t beside = 0;
    int64_t newest;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(mkdirat(scratch, "in", 0755) == 0);
    CLEANUP_CLOSE int inside = file_open_dir(scratch, "in", &diag);
    int result = unpack_archive(archive, inside, strip, limits, EPOCH, &newest, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        FUZZ_OK(treewalk(inside, check_entry, &bytes, &diag), &diag);
    FUZZ_CHECK(bytes <= BYTES_MAX);
    FUZZ_OK(treewalk(scratch, count_entry, &beside, &diag), &diag);
    FUZZ_CHECK(beside == 1);
}

static void run(struct view input)
{
    CLEANUP_BUF struct buf archive = BUF_INIT;
    unsigned int how = fuzz_take_byte(&input);
    buf_add_view(&archive, input);
    if (how & 1)
        fuzz_fix_tar(&archive);
    CLEANUP_CLOSE int fd = fuzz_file(buf_view(&archive));
    unpack(fd, how >> 1 & 3);
}

/* A decoder's window: 1 GiB is where libarchive stops (unpack.h). */
const struct fuzz_target fuzz_target = {.run = run,
                                        .setup = setup,
                                        .input_max = 8 * 1024,
                                        .heap_base = (1 << 30) + (32 << 20),
                                        .heap_factor = 64};
