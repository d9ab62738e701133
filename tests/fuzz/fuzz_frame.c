/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Objects as they are stored and sent: one zstd frame a file. What is decoded has the size that the header states, and never more. */
#include "fuzz.h"

#include "frame.h"

static ssize_t decode(struct frame_decoder *decoder, uint64_t stated, uint64_t *ret_total)
{
    char room[4096];
    struct diag diag = DIAG_INIT;
    ssize_t got;
    *ret_total = 0;
    while ((got = frame_decode(decoder, room, sizeof room, &diag)) > 0) {
        *ret_total += (uint64_t)got;
        FUZZ_CHECK(*ret_total <= stated);
        if (*ret_total > 1 << 22) /* the rest of a bomb is more of the same */
            return -1;
    }
    if (got < 0)
        fuzz_check_refusal((int)got, &diag);
    return got;
}

static void run(struct view input)
{
    CLEANUP_CLOSE int fd = fuzz_file(input);
    uint64_t stated = UINT64_MAX, total;
    struct diag diag = DIAG_INIT;
    int result = frame_content_size(fd, &stated, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    struct frame_decoder *decoder = frame_decoder_new(NULL, fd);
    uint64_t again = UINT64_MAX;
    FUZZ_CHECK(frame_decoder_content_size(decoder, &again, &diag) == result && again == stated);
    if (decode(decoder, stated, &total) == 0)
        FUZZ_CHECK(result >= 0 && total == stated);
    frame_decoder_free(decoder);
}

/* store.h: readers accept windows of 8 MiB. */
const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 12 << 20, .heap_factor = 16};
