/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Other files of a worker's state directory, by the first byte: alarm.json, an answer in the spool, status.json. */
#include "fuzz.h"

#include "alarm.h"
#include "spool.h"
#include "tally.h"

static void read_alarm(struct view input)
{
    CLEANUP(alarm_done) struct alarm alarm = ALARM_NONE, again = ALARM_NONE;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT, words = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = alarm_parse(input, &alarm, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_CHECK(alarm_is_set(&alarm));
    alarm_describe(&alarm, "/state", &words);
    alarm_write(&alarm, &once);
    FUZZ_OK(alarm_parse(buf_view(&once), &again, &diag), &diag);
    alarm_write(&again, &twice);
    fuzz_check_same(&once, &twice);
}

static void read_spooled(struct view input)
{
    struct spool_entry *entry = NULL, *again = NULL;
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = spool_entry_parse(input, "spool", &entry, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    spool_entry_write(entry, &once);
    FUZZ_OK(spool_entry_parse(buf_view(&once), "again", &again, &diag), &diag);
    spool_entry_write(again, &twice);
    fuzz_check_same(&once, &twice);
    spool_entry_free(entry);
    spool_entry_free(again);
}

static void read_status(struct view input)
{
    static const struct tally_now now = {.worker = "attic",
                                         .operator_name = "alice",
                                         .coordinator = "a:1",
                                         .mode = "running",
                                         .connection = "connected",
                                         .hindrance = "",
                                         .trust = "",
                                         .log = ""};
    struct tally tally = {0}, again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT, words = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = tally_describe(input, true, &words, &diag);
    if (result < 0)
        fuzz_check_refusal(result, &diag);
    if (tally_parse(input, &tally, &diag) < 0)
        return;
    FUZZ_CHECK(tally.nrefusals <= TALLY_REFUSALS);
    tally_write(&tally, &now, &once);
    FUZZ_OK(tally_parse(buf_view(&once), &again, &diag), &diag);
    tally_write(&again, &now, &twice);
    fuzz_check_same(&once, &twice);
}

static void run(struct view input)
{
    switch (fuzz_take_byte(&input) % 3) {
    case 0:
        read_alarm(input);
        break;
    case 1:
        read_spooled(input);
        break;
    case 2:
        read_status(input);
        break;
    }
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 512};
