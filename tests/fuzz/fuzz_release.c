/* SPDX-License-Identifier: GPL-3.0-or-later */
/* release.json: what is accepted is written, read and written again to the same bytes; its archive manifest is lines. */
#include "fuzz.h"

#include "release.h"

static void run(struct view input)
{
    CLEANUP(release_free_p) struct release *release = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT, list = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = release_parse(input, "release", &release, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    struct digest digest = digest_of(input);
    FUZZ_CHECK(digest_equal(&digest, &release->digest));
    release_archive_manifest(release, &release->digest, &list);
    release_write(release, &once);
    FUZZ_OK(release_parse(buf_view(&once), "again", &again, &diag), &diag);
    release_write(again, &twice);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 16 * 1024, .heap_base = 512 * 1024, .heap_factor = 512};
