/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Receipts: what is accepted is written, read and written again to the same bytes; lines that are known already are read alike. */
#include "fuzz.h"

#include "receipt.h"

static void read_known(struct view text, const struct receipt *receipt)
{
    CLEANUP(receipt_done) struct receipt known = RECEIPT_INIT;
    struct receipt_lines *lines = receipt_lines_new();
    struct diag diag = DIAG_INIT;
    receipt_lines_add(lines, receipt);
    FUZZ_OK(receipt_parse_known(text, "known", lines, &known, &diag), &diag);
    FUZZ_CHECK(known.nleases == receipt->nleases && known.nenvelopes == receipt->nenvelopes);
    FUZZ_CHECK(known.nverdicts == receipt->nverdicts);
    receipt_lines_free(lines);
}

static void run(struct view input)
{
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT, again = RECEIPT_INIT;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = receipt_parse(input, "receipt", &receipt, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    read_known(input, &receipt);
    receipt_write(&receipt, &once);
    FUZZ_OK(receipt_parse(buf_view(&once), "again", &again, &diag), &diag);
    receipt_write(&again, &twice);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 16 * 1024, .heap_base = 512 * 1024, .heap_factor = 512};
