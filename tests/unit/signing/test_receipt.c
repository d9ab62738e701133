/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Receipts: canonical lines, the way back byte for byte, envelopes verbatim and readable as plain DSSE, refusals. */
#include "farm_fixture.h"
#include "receipt.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

static struct lease_nonce nonce_of(unsigned char number)
{
    return (struct lease_nonce){{number}};
}

static void add_lease(struct receipt *receipt, const char *job, unsigned char nonce)
{
    struct receipt_lease lease = {.job = digest_of(view_text(job)),
                                  .nonce = nonce_of(nonce),
                                  .round = 1,
                                  .worker = (char *)"alpha-1",
                                  .operator_name = (char *)"alpha",
                                  .granted_ms = FIXTURE_NOW};
    receipt_add_lease(receipt, &lease);
}

static void make(struct receipt *receipt, const struct key_pair *pair, struct buf *ret_envelope)
{
    struct digest job = digest_of(VIEW("b"));
    add_lease(receipt, "b", 9);
    add_lease(receipt, "a", 3);
    add_lease(receipt, "b", 2);
    assert_int_equal(dsse_sign(DSSE_TYPE_INTOTO, VIEW("{\"x\":1}"), &pair, 1, ret_envelope, NULL), 0);
    assert_int_equal(receipt_add_envelope(receipt, &job, buf_view(ret_envelope), NULL), 0);
    receipt_add_verdict(
        receipt, &(struct receipt_verdict){
                     .job = job, .state = VERDICT_AGREED, .payload = digest_of(VIEW("p")), .operators = 2});
}

static void test_round_trip(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP(receipt_done) struct receipt back = RECEIPT_INIT;
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct diag diag = DIAG_INIT;
    make(&receipt, pair, &envelope);
    receipt_write(&receipt, &text);
    if (receipt_parse(buf_view(&text), "r", &back, &diag) < 0)
        fail_msg("%s", diag.text);
    receipt_write(&back, &again);
    assert_string_equal(text.data, again.data);
    assert_int_equal(back.nleases, 3);
    assert_int_equal(back.nenvelopes, 1);
    assert_int_equal(back.envelopes[0].size, envelope.size);
    assert_memory_equal(back.envelopes[0].bytes, envelope.data, envelope.size); /* verbatim */
    struct digest digest = digest_of(buf_view(&envelope));
    assert_memory_equal(&back.envelopes[0].digest, &digest, sizeof digest);
}

/* A line is a DSSE envelope to every other tool. */
static void test_lines_are_envelopes(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf payload = BUF_INIT;
    struct view rest, line;
    size_t envelopes = 0;
    make(&receipt, pair, &envelope);
    receipt_write(&receipt, &text);
    rest = buf_view(&text);
    while (view_split(&rest, '\n', &line))
        envelopes += dsse_verify(line, DSSE_TYPE_INTOTO, keys_public(pair), 1, 1, &payload, NULL) == 0;
    assert_int_equal(envelopes, 1);
    assert_string_equal(payload.data, "{\"x\":1}");
}

static void refuse(const struct buf *text, const char *why)
{
    CLEANUP(receipt_done) struct receipt back = RECEIPT_INIT;
    if (receipt_parse(buf_view(text), "r", &back, NULL) >= 0)
        fail_msg("accepted: %s", why);
}

static void refuse_changed(const struct buf *text, const char *old, const char *new_text)
{
    CLEANUP_BUF struct buf changed = BUF_INIT;
    const char *at = strstr(text->data, old);
    assert_non_null(at);
    buf_add(&changed, text->data, (size_t)(at - text->data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    refuse(&changed, new_text);
}

static void test_refused(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf twice = BUF_INIT;
    make(&receipt, pair, &envelope);
    receipt_write(&receipt, &text);
    refuse_changed(&text, "\"outcome\":\"answered\"", "\"outcome\":\"forgotten\"");
    refuse_changed(&text, "\"kind\":\"lease\"", "\"kind\":\"leash\"");
    refuse_changed(&text, "\"round\":1", "\"round\":0");
    refuse_changed(&text, "\"round\":1", "\"round\":1,\"note\":\"\"");
    refuse_changed(&text, "\"open\":false", "\"open\":0");
    refuse_changed(&text, "\"operator\":\"alpha\"", "\"operator\":\"../alpha\"");
    refuse_changed(&text, "\"state\":\"agreed\"", "\"state\":\"fine\"");
    refuse_changed(&text, "\"dissent\":0", "\"dissent\":-1");
    refuse_changed(&text, "\"kind\":\"envelope\",", "\"kind\":\"envelope\",\"note\":1,");
    refuse_changed(&text, "{\"granted\"", " {\"granted\"");
    refuse_changed(&text, "\n", "\n\n");
    buf_add_view(&twice, buf_view(&text));
    buf_add_view(&twice, buf_view(&text));
    refuse(&twice, "everything twice");
    text.size--;
    refuse(&text, "cut off");
    text.size = 0;
    refuse(&text, "empty");
}

static void test_not_canonical(void **state)
{
    (void)state;
    CLEANUP(receipt_done) struct receipt receipt = RECEIPT_INIT;
    struct digest job = digest_of(VIEW("a"));
    assert_int_equal(receipt_add_envelope(&receipt, &job,
                                          VIEW("{ \"payload\":\"\",\"payloadType\":\"t\",\"signatures\":[]}"),
                                          NULL),
                     FARM_E_REFUSED);
    assert_int_equal(receipt.nenvelopes, 0);
    for (int outcome = OUTCOME_ANSWERED; outcome <= OUTCOME_REVOKED; outcome++)
        assert_int_equal(lease_outcome_parse(view_text(lease_outcome_name((enum lease_outcome)outcome))),
                         outcome);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_lines_are_envelopes),
                                       cmocka_unit_test(test_refused), cmocka_unit_test(test_not_canonical)};
    return cmocka_run_group_tests_name("receipt", tests, NULL, NULL);
}
