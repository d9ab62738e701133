/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Statements of workers: what is accepted is written, read and written again to the same bytes, and is the same JSON value as the input. */
#include "fuzz.h"

#include "statement.h"

static void check_value(struct view input, const struct buf *text)
{
    CLEANUP_JSON json_t *given = NULL, *written = NULL;
    struct diag diag = DIAG_INIT;
    FUZZ_OK(json_read(input, "given", STATEMENT_SIZE_MAX, &given, &diag), &diag);
    FUZZ_OK(json_read(buf_view(text), "written", STATEMENT_SIZE_MAX, &written, &diag), &diag);
    FUZZ_CHECK(json_equal(given, written));
}

static void run(struct view input)
{
    CLEANUP_STATEMENT struct statement *statement = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = statement_parse(input, &statement, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    statement_write(statement, &once);
    FUZZ_OK(statement_parse(buf_view(&once), &again, &diag), &diag);
    statement_write(again, &twice);
    fuzz_check_same(&once, &twice);
    check_value(input, &once);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 1024};
