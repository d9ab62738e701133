/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * workers.json and single entries: what is accepted is written and read to the same bytes, and each entry is found by its name and by its
 * keys and by nobody else's.
 */
#include "fuzz.h"

#include "directory.h"

static void check_entry(const struct directory *directory, const struct directory_entry *entry)
{
    struct directory_entry again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(directory_find(directory, entry->worker) == entry);
    FUZZ_CHECK(directory_find_key(directory, &entry->ed25519) == entry);
    FUZZ_CHECK(directory_find_curve(directory, entry->curve) == entry);
    directory_entry_write(entry, &once);
    FUZZ_OK(directory_entry_parse(buf_view(&once), "entry", &again, &diag), &diag);
    directory_entry_write(&again, &twice);
    fuzz_check_same(&once, &twice);
    directory_entry_done(&again);
}

static void read_whole(struct view input)
{
    struct directory *directory = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = directory_parse(input, "workers", &directory, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    for (size_t i = 0; i < directory->nentries; i++)
        check_entry(directory, &directory->entries[i]);
    directory_write(directory, &once);
    FUZZ_OK(directory_parse(buf_view(&once), "again", &again, &diag), &diag);
    directory_write(again, &twice);
    fuzz_check_same(&once, &twice);
    directory_free(directory);
    directory_free(again);
}

static void run(struct view input)
{
    struct directory_entry entry = {0};
    struct diag diag = DIAG_INIT;
    int result = directory_entry_parse(input, "entry", &entry, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    else
        directory_entry_done(&entry);
    read_whole(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 512};
