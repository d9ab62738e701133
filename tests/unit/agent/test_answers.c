/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "suites.h"

#include "answers.h"
#include "ledger.h"
#include "tally.h"

static struct spool_entry *entry_of(unsigned char number)
{
    struct spool_entry *entry = mem_zero(1, sizeof *entry);
    entry->nonce.bytes[0] = number;
    return entry;
}

static void stages(void **state)
{
    (void)state;
    struct answers answers = ANSWERS_INIT;
    struct lease_nonce two = {{2}}, four = {{4}};
    answers_add(&answers, entry_of(1), ANSWER_KEPT);
    answers_add(&answers, entry_of(2), ANSWER_SENT);
    answers_add(&answers, entry_of(3), ANSWER_SENT);
    answers_find(&answers, &two)->sent_ms = 1000;
    answers.items[2].sent_ms = 2000;
    assert_null(answers_find(&answers, &four));
    assert_null(answers_first(&answers, ANSWER_UPLOADED));
    answers_resend_older(&answers, 1500);
    assert_int_equal(answers_find(&answers, &two)->stage, ANSWER_UPLOADED);
    assert_int_equal(answers.items[2].stage, ANSWER_SENT);
    answers_resend(&answers);
    assert_int_equal(answers.items[0].stage, ANSWER_KEPT);
    assert_int_equal(answers.items[2].stage, ANSWER_UPLOADED);
    answers_remove(&answers, answers_find(&answers, &two));
    assert_null(answers_find(&answers, &two));
    assert_int_equal(answers.count, 2);
    answers_done(&answers);
}

static void promises(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct ledger_share half = {2, 500, 50}, memory = {1, 501, 1};
    struct ledger *ledger = ledger_new((struct ledger_share){4, 1000, 100});
    assert_int_equal(ledger_take(ledger, half, NULL), 0);
    assert_int_equal(ledger_take(ledger, memory, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "memory"));
    assert_int_equal(ledger_take(ledger, half, NULL), 0);
    assert_int_equal(ledger_take(ledger, (struct ledger_share){1, 0, 0}, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "cores"));
    ledger_give(ledger, half);
    assert_int_equal(ledger_take(ledger, (struct ledger_share){1, UINT64_MAX, 0}, &diag), FARM_E_LIMIT);
    ledger_give(ledger, half);
    ledger_free(ledger);
}

static const struct tally_slot shown_slots[] = {{"run", "extra/zlib", "3f2a1b00", 1500}, {"idle", "", "", 0}};

static struct tally_now now_of(const char *mode, const char *hindrance)
{
    return (struct tally_now){.worker = "attic",
                              .operator_name = "alice",
                              .coordinator = "farm:1",
                              .mode = mode,
                              .connection = "connected",
                              .hindrance = hindrance,
                              .trust = "version 2, until 2027-01-01T00:00:00Z",
                              .log = "intergenos-farm/1, 7 entries seen",
                              .written_ms = 1,
                              .spooled = 1,
                              .slots = shown_slots,
                              .nslots = 2};
}

static void status(void **state)
{
    (void)state;
    struct tally tally = {.since_ms = 0, .accepted = 5, .failed = 1, .returned = 2, .build_ms = 61000}, read;
    const struct tally_now now = now_of("paused", "");
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf shown = BUF_INIT;
    tally_write(&tally, &now, &text);
    assert_int_equal(tally_parse(buf_view(&text), &read, NULL), 0);
    assert_memory_equal(&read, &tally, sizeof tally);
    assert_int_equal(tally_describe(buf_view(&text), true, &shown, NULL), 0);
    assert_non_null(strstr(shown.data, "worker attic of alice: paused"));
    assert_non_null(strstr(shown.data, "run       extra/zlib for lease 3f2a1b00"));
    assert_non_null(strstr(shown.data, "5 results accepted (1 of them failed builds)"));
    assert_non_null(strstr(shown.data, "trust root: version 2, until"));
    assert_non_null(strstr(shown.data, "transparency log: intergenos-farm/1, 7 entries seen"));
    assert_null(strstr(shown.data, "no leases are taken"));
    assert_null(strstr(shown.data, "idle"));
    assert_int_equal(tally_describe(VIEW("{}"), true, &shown, NULL), FARM_E_SYNTAX);
}

/* The owner hears why nothing is built, and which answers were refused and why: the last ones, also after a restart. */
static void refusals(void **state)
{
    (void)state;
    struct tally tally = {.refused = TALLY_REFUSALS + 2}, read;
    const struct tally_now now = now_of("taking no leases", "the trust root expired");
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf shown = BUF_INIT;
    char reason[2 * TALLY_REASON_MAX];
    memset(reason, 'r', sizeof reason - 1);
    reason[sizeof reason - 1] = '\0';
    for (int i = 0; i < TALLY_REFUSALS + 2; i++) {
        CLEANUP_FREE char *node = mem_format("extra/p%d", i);
        tally_add_refusal(&tally, 1000 * i, node, i == 6 ? reason : "other outputs than were uploaded");
    }
    tally_write(&tally, &now, &text);
    assert_int_equal(tally_parse(buf_view(&text), &read, NULL), 0);
    assert_memory_equal(&read, &tally, sizeof tally);
    assert_int_equal(tally_describe(buf_view(&text), true, &shown, NULL), 0);
    assert_non_null(strstr(shown.data, "worker attic of alice: taking no leases"));
    assert_non_null(strstr(shown.data, "no leases are taken: the trust root expired"));
    assert_null(strstr(shown.data, "extra/p1:"));
    assert_non_null(
        strstr(shown.data, "refused at 1970-01-01T00:00:02Z: extra/p2: other outputs than were uploaded"));
    assert_non_null(strstr(shown.data, "extra/p6: rrr"));
    buf_clear(&shown);
    assert_int_equal(tally_describe(buf_view(&text), false, &shown, NULL), 0);
    assert_non_null(strstr(shown.data, "not running"));
}

int suite_answers(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(stages), cmocka_unit_test(promises),
                                       cmocka_unit_test(status), cmocka_unit_test(refusals)};
    return cmocka_run_group_tests_name("answers", tests, NULL, NULL);
}
