/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Waivers, as signed text and as they are passed around: what is accepted is written and read to the same bytes, and waives what may be. */
#include "fuzz.h"

#include "waiver.h"

static void read_text(struct view input)
{
    CLEANUP(waiver_done) struct waiver waiver = {0}, again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = waiver_parse(input, "waiver", &waiver, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(waiver.rule == WAIVER_HOLD || waiver.rule == WAIVER_EVIDENCE);
    FUZZ_CHECK(waiver.expires_ms > waiver.created_ms);
    FUZZ_CHECK(waiver.expires_ms - waiver.created_ms <= WAIVER_LIFETIME_MAX_MS);
    waiver_write(&waiver, &once);
    FUZZ_OK(waiver_parse(buf_view(&once), "again", &again, &diag), &diag);
    waiver_write(&again, &twice);
    fuzz_check_same(&once, &twice);
}

static void read_file(struct view input)
{
    CLEANUP(waiver_done) struct waiver waiver = {0}, again = {0};
    CLEANUP_JSON json_t *value = NULL, *written = NULL, *rewritten = NULL;
    struct diag diag = DIAG_INIT;
    if (json_read(input, "file", 64 * 1024, &value, &diag) < 0)
        return;
    int result = waiver_from_json(value, "file", &waiver, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    written = waiver_json(&waiver);
    FUZZ_OK(waiver_from_json(written, "again", &again, &diag), &diag);
    rewritten = waiver_json(&again);
    FUZZ_CHECK(json_equal(written, rewritten));
}

static void run(struct view input)
{
    read_text(input);
    read_file(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 128 * 1024, .heap_factor = 512};
