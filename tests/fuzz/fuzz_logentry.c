/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Entries of the log: there is one spelling, so what is accepted is written to the input's own bytes. */
#include "fuzz.h"

#include "logentry.h"

static void run(struct view input)
{
    struct logentry entry = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = logentry_parse(input, &entry, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    if (entry.kind != LOG_OTHER) {
        logentry_write(&entry, &text);
        FUZZ_CHECK(view_equal(buf_view(&text), input));
    }
    logentry_done(&entry);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 4 * 1024 + 16, .heap_base = 64 * 1024, .heap_factor = 256};
