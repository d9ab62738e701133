/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The join string: what is accepted has one spelling, and that is the input. */
#include "fuzz.h"

#include "join.h"

static void run(struct view input)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct join join;
    struct diag diag = DIAG_INIT;
    int result = join_parse(input, &join, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(join_endpoint_is_valid(view_text(join.endpoint)));
    join_write(&join, &text);
    FUZZ_CHECK(view_equal(buf_view(&text), input));
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 1024, .heap_base = 16 * 1024, .heap_factor = 16};
