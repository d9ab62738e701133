/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Entries: the exact bytes of each kind, and that no other bytes are taken. */
#include "log_test.h"

#include "logentry.h"
#include "moment.h"

#include <stdlib.h>

#define NONCE   "0707070707070707070707070707070707070707070707070707070707070707"
#define JOB     "0101010101010101010101010101010101010101010101010101010101010101"
#define DIGEST  "0202020202020202020202020202020202020202020202020202020202020202"
#define PAYLOAD "0303030303030303030303030303030303030303030303030303030303030303"
#define AT      "\"at\":\"2026-11-22T16:45:38Z\""

/* Each kind as docs/FORMATS.md has it, with what it says. */
static const char *const samples[] = {
    "{" AT ",\"job\":\"" JOB "\",\"kind\":\"lease\",\"nonce\":\"" NONCE
    "\",\"operator\":\"alder\",\"round\":1,\"worker\":\"alder-1\"}",
    "{" AT ",\"kind\":\"lease-end\",\"nonce\":\"" NONCE "\",\"state\":\"answered\"}",
    "{" AT ",\"kind\":\"lease-end\",\"nonce\":\"" NONCE "\",\"state\":\"refused\"}",
    "{" AT ",\"kind\":\"lease-end\",\"nonce\":\"" NONCE "\",\"state\":\"expired\"}",
    "{" AT ",\"kind\":\"lease-end\",\"nonce\":\"" NONCE "\",\"state\":\"withdrawn\"}",
    "{" AT ",\"job\":\"" JOB "\",\"kind\":\"envelope\",\"nonce\":\"" NONCE "\",\"sha256\":\"" DIGEST "\"}",
    "{" AT ",\"job\":\"" JOB "\",\"kind\":\"refusal\",\"nonce\":\"" NONCE "\",\"sha256\":\"" DIGEST "\"}",
    "{" AT ",\"dissent\":1,\"job\":\"" JOB "\",\"kind\":\"verdict\",\"operators\":2,\"payload\":\"" PAYLOAD
    "\",\"round\":4294967295,\"state\":\"agreed\"}",
    "{" AT ",\"dissent\":0,\"job\":\"" JOB
    "\",\"kind\":\"verdict\",\"operators\":1,\"payload\":null,\"round\":1,\"state\":\"pending\"}",
    "{" AT ",\"dissent\":0,\"job\":\"" JOB
    "\",\"kind\":\"verdict\",\"operators\":2,\"payload\":null,\"round\":1,\"state\":\"failed\"}",
    "{" AT ",\"dissent\":2,\"job\":\"" JOB
    "\",\"kind\":\"verdict\",\"operators\":2,\"payload\":null,\"round\":1,\"state\":\"disputed\"}",
    "{" AT ",\"kind\":\"directory\",\"sha256\":\"" DIGEST "\",\"version\":3}",
    "{" AT ",\"kind\":\"root\",\"sha256\":\"" DIGEST "\",\"version\":1}",
    "{" AT ",\"from\":-1,\"kind\":\"revoke\",\"worker\":\"alder-1\"}",
    "{" AT ",\"from\":9223372036854775807,\"kind\":\"revoke\",\"worker\":\"alder-1\"}",
    "{" AT ",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"}",
    "{" AT ",\"kind\":\"release\",\"name\":\"2026.1-rc1\",\"sequence\":1,\"sha256\":\"" DIGEST "\"}",
    "{" AT ",\"kind\":\"waiver\",\"package\":\"desktop/gtk+3\",\"sha256\":\"" DIGEST "\"}",
};

static int parse(struct view text, struct diag *diag)
{
    struct logentry entry;
    int result = logentry_parse(text, &entry, diag);
    if (result >= 0)
        logentry_done(&entry);
    return result;
}

static void test_samples_round_trip(void **state)
{
    unsigned int seen = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        CLEANUP_BUF struct buf again = BUF_INIT;
        struct logentry entry;
        struct diag diag = DIAG_INIT;
        assert_ok(&diag, logentry_parse(view_text(samples[i]), &entry, &diag));
        assert_true(entry.kind < LOG_OTHER);
        assert_non_null(strstr(samples[i], logentry_kind_name(entry.kind)));
        seen |= 1u << entry.kind;
        logentry_write(&entry, &again);
        assert_string_equal(again.data, samples[i]);
        logentry_done(&entry);
        logentry_done(&entry); /* twice is harmless */
    }
    assert_int_equal(seen, (1u << LOG_OTHER) - 1); /* every kind */
}

static void test_written_lease(void **state)
{
    struct logentry entry = {.kind = LOG_LEASE,
                             .at_ms = 1795365938999, /* whole seconds are written */
                             .worker = "alder-1",
                             .operator_name = "alder",
                             .round = 1};
    CLEANUP_BUF struct buf text = BUF_INIT;
    (void)state;
    memset(&entry.job, 1, sizeof entry.job);
    memset(&entry.nonce, 7, sizeof entry.nonce);
    buf_add_text(&text, "before");
    logentry_write(&entry, &text);
    assert_string_equal(text.data + 6, samples[0]);
}

static void test_parsed_fields(void **state)
{
    struct logentry entry;
    struct diag diag = DIAG_INIT;
    struct digest expected;
    (void)state;
    assert_ok(&diag, logentry_parse(view_text(samples[0]), &entry, &diag));
    assert_int_equal(entry.kind, LOG_LEASE);
    assert_int_equal(entry.at_ms, 1795365938000);
    assert_string_equal(entry.worker, "alder-1");
    assert_string_equal(entry.operator_name, "alder");
    assert_int_equal(entry.round, 1);
    memset(&expected, 1, sizeof expected);
    assert_digest_equal(entry.job, expected);
    logentry_done(&entry);
    assert_ok(&diag, logentry_parse(view_text(samples[7]), &entry, &diag));
    assert_int_equal(entry.kind, LOG_VERDICT);
    assert_int_equal(entry.verdict, VERDICT_AGREED);
    assert_int_equal(entry.operators, 2);
    assert_int_equal(entry.dissent, 1);
    memset(&expected, 3, sizeof expected);
    assert_digest_equal(entry.payload, expected);
    logentry_done(&entry);
    assert_ok(&diag, logentry_parse(view_text(samples[13]), &entry, &diag));
    assert_int_equal(entry.kind, LOG_REVOKE);
    assert_int_equal(entry.version, -1);
    logentry_done(&entry);
}

static void refuse(const char *text, int error, const char *because)
{
    struct logentry entry = {.round = 77};
    struct diag diag = DIAG_INIT;
    assert_int_equal(logentry_parse(view_text(text), &entry, &diag), error);
    if (strstr(diag.text, because) == NULL)
        fail_msg("%s: %s", text, diag.text);
    assert_int_equal(entry.round, 77);
}

static void test_malformed(void **state)
{
    (void)state;
    refuse("", FARM_E_SYNTAX, "log entry");
    refuse("[]", FARM_E_SYNTAX, "kind");
    refuse("{}", FARM_E_SYNTAX, "kind");
    refuse("{\"kind\":7}", FARM_E_SYNTAX, "kind");
    refuse("{\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX, "\"at\": missing");
    refuse("{\"at\":\"yesterday\",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX, "not a time");
    refuse("{" AT ",\"kind\":\"plan\"}", FARM_E_SYNTAX, "\"sha256\": missing");
    refuse("{" AT ",\"kind\":\"plan\",\"sha256\":\"ABCD\"}", FARM_E_SYNTAX, "sha256");
    refuse("{" AT ",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"} ", FARM_E_SYNTAX, "one form");
    refuse("{ " AT ",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX, "one form");
    refuse("{\"kind\":\"plan\"," AT ",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX, "one form"); /* order */
    refuse("{" AT ",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\",\"why\":\"x\"}", FARM_E_SYNTAX, "one form");
    refuse("{" AT ",\"kind\":\"pl\\u0061n\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX,
           "one form"); /* escape */
    refuse("{" AT ",\"kind\":\"plan\",\"kind\":\"plan\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX,
           "duplicate");
    refuse("{" AT ",\"kind\":\"root\",\"sha256\":\"" DIGEST "\",\"version\":0}", FARM_E_SYNTAX,
           "out of range");
    refuse("{" AT ",\"kind\":\"root\",\"sha256\":\"" DIGEST "\",\"version\":1.0}", FARM_E_SYNTAX, "version");
    refuse("{" AT ",\"kind\":\"root\",\"sha256\":\"" DIGEST "\",\"version\":9223372036854775808}",
           FARM_E_SYNTAX, "");
    refuse("{" AT ",\"from\":-2,\"kind\":\"revoke\",\"worker\":\"alder-1\"}", FARM_E_SYNTAX, "out of range");
    refuse("{" AT ",\"from\":-0,\"kind\":\"revoke\",\"worker\":\"alder-1\"}", FARM_E_SYNTAX, "one form");
    refuse("{" AT ",\"from\":1,\"kind\":\"revoke\",\"worker\":\"../x\"}", FARM_E_SYNTAX, "name");
    refuse("{" AT ",\"from\":1,\"kind\":\"revoke\",\"worker\":\"\"}", FARM_E_SYNTAX, "name");
    refuse("{" AT ",\"kind\":\"lease-end\",\"nonce\":\"" NONCE "\",\"state\":\"lost\"}", FARM_E_SYNTAX,
           "state");
    refuse("{" AT ",\"kind\":\"lease-end\",\"nonce\":\"07\",\"state\":\"expired\"}", FARM_E_SYNTAX,
           "not a nonce");
    refuse("{" AT ",\"kind\":\"waiver\",\"package\":\"a\\\"b\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX,
           "name");
    refuse("{" AT ",\"kind\":\"waiver\",\"package\":\"a\\u0000b\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX,
           "");
    refuse("{" AT ",\"kind\":\"waiver\",\"package\":\"a b\",\"sha256\":\"" DIGEST "\"}", FARM_E_SYNTAX,
           "name");
    refuse("{" AT ",\"dissent\":4294967296,\"job\":\"" JOB
           "\",\"kind\":\"verdict\",\"operators\":1,\"payload\":null,\"round\":1,\"state\":\"pending\"}",
           FARM_E_SYNTAX, "out of range");
    refuse("{" AT ",\"dissent\":0,\"job\":\"" JOB
           "\",\"kind\":\"verdict\",\"operators\":1,\"payload\":null,\"round\":1,\"state\":\"won\"}",
           FARM_E_SYNTAX, "verdict");
    refuse("{" AT ",\"dissent\":0,\"job\":\"" JOB "\",\"kind\":\"verdict\",\"operators\":1,\"payload\":"
           "\"0000000000000000000000000000000000000000000000000000000000000000\",\"round\":1,\"state\":"
           "\"pending\"}",
           FARM_E_SYNTAX, "one form"); /* no payload has one name: null */
}

/* Of a newer program: any kind, but a time and the canonical form all the same. */
static void test_other_kinds(void **state)
{
    struct logentry entry;
    struct diag diag = DIAG_INIT;
    (void)state;
    assert_ok(&diag,
              logentry_parse(VIEW("{" AT ",\"kind\":\"seal\",\"parts\":[1,{\"x\":null}],\"sha256\":\"z\"}"),
                             &entry, &diag));
    assert_int_equal(entry.kind, LOG_OTHER);
    assert_int_equal(entry.at_ms, 1795365938000);
    logentry_done(&entry);
    refuse("{\"kind\":\"seal\"}", FARM_E_SYNTAX, "\"at\"");
    refuse("{\"at\":\"now\",\"kind\":\"seal\"}", FARM_E_SYNTAX, "time");
    refuse("{\"kind\":\"seal\"," AT "}", FARM_E_SYNTAX, "one form");
    refuse("{" AT ", \"kind\":\"seal\"}", FARM_E_SYNTAX, "one form");
}

static void test_limits(void **state)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    (void)state;
    buf_add_text(&text, "{" AT ",\"kind\":\"other\",\"text\":\"");
    while (text.size < LOGENTRY_SIZE_MAX - 2)
        buf_add_byte(&text, 'x');
    buf_add_text(&text, "\"}");
    assert_int_equal(text.size, LOGENTRY_SIZE_MAX);
    assert_int_equal(parse(buf_view(&text), &diag), 0);
    buf_add_byte(&text, ' ');
    assert_int_equal(parse(buf_view(&text), &diag), FARM_E_LIMIT);
    buf_clear(&text);
    for (int i = 0; i < 40; i++)
        buf_add_text(&text, "{\"a\":");
    assert_int_equal(parse(buf_view(&text), &diag), FARM_E_LIMIT); /* depth */
    buf_clear(&text);
    buf_add_text(&text, "{" AT ",\"kind\":\"waiver\",\"package\":\"");
    for (int i = 0; i < 300; i++)
        buf_add_byte(&text, 'x');
    buf_add_text(&text, "\",\"sha256\":\"" DIGEST "\"}");
    assert_int_equal(parse(buf_view(&text), &diag), FARM_E_SYNTAX);
}

/* An entry has one form: no other bytes give the same entry. What is still taken after a change says something else. */
static void test_one_form(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        buf_add_text(&bad, samples[i]);
        for (size_t at = 0; at < bad.size; at++)
            for (int bit = 0; bit < 8; bit++) {
                struct logentry entry;
                bad.data[at] ^= (char)(1 << bit);
                if (logentry_parse(buf_view(&bad), &entry, NULL) >= 0) {
                    CLEANUP_BUF struct buf again = BUF_INIT;
                    if (entry.kind < LOG_OTHER) {
                        logentry_write(&entry, &again);
                        assert_string_equal(again.data, bad.data);
                    }
                    logentry_done(&entry);
                }
                bad.data[at] ^= (char)(1 << bit);
            }
        for (size_t size = 0; size < bad.size; size++)
            assert_true(parse(view_of(bad.data, size), NULL) < 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples_round_trip), cmocka_unit_test(test_written_lease),
        cmocka_unit_test(test_parsed_fields),      cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_other_kinds),        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_one_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
