/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers on arrival: whose they are, what they say, and that the log shows them either way (N6, W6, W7, W8, W11). */
#include "farm_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};

static int setup(void **state)
{
    struct rig *rig = rig_new();
    rig_build(rig, two, 2);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    rig_free(rig);
    return 0;
}

/* ---- what the log says ---- */

static int keep_entry(void *context, const struct db_log_entry *row)
{
    struct logentry *entry = context;
    assert_int_equal(logentry_parse(row->entry, entry, NULL), 0);
    return 0;
}

/* The caller's: logentry_done. */
static struct logentry entry_at(struct rig *rig, uint64_t position)
{
    struct logentry entry = {0};
    assert_int_equal(db_find_log_entry(rig->farm->db, position, keep_entry, &entry, NULL), 1);
    return entry;
}

struct kinds {
    unsigned int count[LOG_OTHER + 1];
    uint64_t last[LOG_OTHER + 1];
};

static int count_kind(void *context, const struct db_log_entry *row)
{
    struct kinds *kinds = context;
    struct logentry entry;
    assert_int_equal(logentry_parse(row->entry, &entry, NULL), 0);
    kinds->count[entry.kind]++;
    kinds->last[entry.kind] = row->position;
    logentry_done(&entry);
    return 0;
}

static struct kinds kinds_of(struct rig *rig)
{
    struct kinds kinds = {0};
    assert_true(db_each_log_entry(rig->farm->db, 0, count_kind, &kinds, NULL) >= 0);
    return kinds;
}

/* The acknowledgement names an entry of this kind about this envelope and lease. */
static void expect_logged(struct rig *rig, const struct wire_message *ack, enum logentry_kind kind,
                          size_t worker, const struct rig_answer *answer)
{
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    assert_true(ack->result_ack->log_entry > 0);
    struct logentry entry = entry_at(rig, ack->result_ack->log_entry - 1);
    rig_sign(rig, worker, answer, &envelope); /* Ed25519 gives the same bytes again */
    struct digest digest = digest_of(buf_view(&envelope));
    assert_int_equal(entry.kind, kind);
    assert_memory_equal(entry.nonce.bytes, answer->nonce.bytes, DIGEST_SIZE);
    assert_true(digest_equal(&entry.sha256, &digest));
    logentry_done(&entry);
}

static void expect_ack(const struct wire_message *ack, enum wire_ack code, const char *text)
{
    assert_int_equal(ack->result_ack->code, code);
    if (strstr(ack->result_ack->text, text) == NULL)
        fail_msg("it said: %s; expected: %s", ack->result_ack->text, text);
}

/* Refused, and neither a row nor an entry of it. */
static void expect_nothing(struct rig *rig, size_t worker, const struct rig_answer *answer, const char *text)
{
    struct kinds before = kinds_of(rig);
    struct wire_message *ack = rig_answer(rig, worker, answer);
    expect_ack(ack, WIRE_ACK_REFUSED, text);
    assert_int_equal(ack->result_ack->log_entry, 0);
    struct kinds after = kinds_of(rig);
    assert_int_equal(after.count[LOG_REFUSAL], before.count[LOG_REFUSAL]);
    assert_int_equal(after.count[LOG_ENVELOPE], before.count[LOG_ENVELOPE]);
    wire_free(ack);
}

/* ---- taken ---- */

static void test_a_good_answer_is_logged_before_the_verdict_that_it_causes(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA)};
    struct rig_answer second = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_BETA)};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &first);
    expect_ack(ack, WIRE_ACK_ACCEPTED, "counted");
    expect_logged(rig, ack, LOG_ENVELOPE, RIG_ALPHA, &first);
    wire_free(ack);
    ack = rig_answer(rig, RIG_BETA, &second);
    expect_logged(rig, ack, LOG_ENVELOPE, RIG_BETA, &second);
    struct kinds kinds = kinds_of(rig);
    assert_int_equal(kinds.count[LOG_LEASE], 4); /* appb has been leased by now */
    assert_int_equal(kinds.count[LOG_ENVELOPE], 2);
    assert_int_equal(kinds.count[LOG_LEASE_END], 2);
    assert_true(kinds.last[LOG_VERDICT] > ack->result_ack->log_entry - 1);
    struct logentry verdict = entry_at(rig, kinds.last[LOG_VERDICT]);
    assert_int_equal(verdict.verdict, VERDICT_AGREED);
    assert_int_equal(verdict.operators, 2);
    assert_true(digest_equal(&verdict.payload, &rig->packages[RIG_LIBA].payload.manifest));
    logentry_done(&verdict);
    wire_free(ack);
}

static void test_the_same_answer_again_is_where_it_was(void **state) /* W2 */
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA)};
    struct wire_message *first = rig_answer(rig, RIG_ALPHA, &answer);
    uint64_t size = journal_size(rig->farm);
    struct wire_message *again = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(again, WIRE_ACK_ACCEPTED, "known already");
    assert_int_equal(again->result_ack->log_entry, first->result_ack->log_entry);
    assert_int_equal(journal_size(rig->farm), size);
    wire_free(first);
    wire_free(again);
}

static void test_a_broken_machine_is_logged_as_well(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {
        .package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .failure = FAILURE_INFRASTRUCTURE};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(ack, WIRE_ACK_ACCEPTED, "asked again");
    expect_logged(rig, ack, LOG_ENVELOPE, RIG_ALPHA, &answer);
    wire_free(ack);
}

/* ---- refused ---- */

static void test_N6_signed_by_another_than_the_session(void **state)
{
    static const size_t beta = RIG_BETA;
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .signer = &beta};
    expect_nothing(rig, RIG_ALPHA, &answer, "");
    assert_true(db_each_attestation_by(rig->farm->db, "alpha-1", NULL, NULL, NULL) == 0);
}

/* Beta's genuine answer, brought by alpha in a session of its own. */
static void test_N6_the_answer_of_another_worker(void **state)
{
    static const size_t beta = RIG_BETA;
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA,
                                .nonce = rig_lease(rig, RIG_BETA),
                                .signer = &beta,
                                .worker = "beta-1",
                                .operator_name = "beta"};
    expect_nothing(rig, RIG_ALPHA, &answer, "no such lease of yours");
}

static void test_W6_to_the_lease_of_another_worker(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_BETA)};
    expect_nothing(rig, RIG_ALPHA, &answer, "no such lease of yours");
}

static void test_W7_a_nonce_that_was_never_given(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = digest_of(VIEW("never"))};
    expect_nothing(rig, RIG_ALPHA, &answer, "no such lease of yours");
}

/* From before a backup was restored, say: the worker named the lease when it said hello, and a slot was kept for it. */
static void test_a_lease_that_nobody_knows_is_over_with_its_answer(void **state)
{
    struct rig *rig = *state;
    struct digest unknown = digest_of(VIEW("never")), job = rig->packages[RIG_LIBA].job;
    struct digest given = rig_lease(rig, RIG_BETA);
    Wire__Running running = WIRE__RUNNING__INIT, *list[] = {&running};
    Wire__Facts facts = WIRE__FACTS__INIT;
    Wire__Hello hello = WIRE__HELLO__INIT;
    Wire__LeaseRefuse refuse = WIRE__LEASE_REFUSE__INIT;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = unknown};
    running.nonce = wire_digest(&unknown);
    running.job_key = wire_digest(&job);
    facts.cores = 4;
    facts.memory_bytes = facts.disk_bytes = (uint64_t)64 << 30;
    hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.operator_name = wire_text("gamma");
    hello.worker = wire_text("gamma-1");
    hello.facts = &facts;
    hello.slots = 1;
    hello.running = list;
    hello.n_running = 1;
    rig_say(rig, RIG_GAMMA, WIRE_HELLO, &hello.base);
    refuse.nonce = wire_digest(&given);
    rig_say(rig, RIG_BETA, WIRE_LEASE_REFUSE, &refuse.base);
    rig_turn(rig);
    assert_null(rig_heard(rig, RIG_GAMMA, WIRE_LEASE)); /* its slot is taken */
    expect_nothing(rig, RIG_GAMMA, &answer, "no such lease of yours");
    rig_turn(rig);
    (void)rig_lease(rig, RIG_GAMMA); /* and free again */
}

static void test_W8_another_job_is_refused_and_logged(void **state)
{
    struct rig *rig = *state;
    struct digest other = digest_of(VIEW("another job"));
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .job = &other};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(ack, WIRE_ACK_REFUSED, "another job");
    expect_logged(rig, ack, LOG_REFUSAL, RIG_ALPHA, &answer);
    struct kinds kinds = kinds_of(rig);
    struct logentry end = entry_at(rig, kinds.last[LOG_LEASE_END]);
    assert_string_equal(end.state, "refused");
    logentry_done(&end);
    assert_true(kinds.last[LOG_LEASE_END] > kinds.last[LOG_REFUSAL]);
    /* Again, also after a restart: the same entry, and nothing new. */
    rig_restart(rig);
    uint64_t size = journal_size(rig->farm);
    struct wire_message *again = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(again, WIRE_ACK_REFUSED, "another job");
    assert_int_equal(again->result_ack->log_entry, ack->result_ack->log_entry);
    assert_int_equal(journal_size(rig->farm), size);
    wire_free(ack);
    wire_free(again);
}

static void test_W8_another_name_is_refused_and_logged(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {
        .package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .worker = "beta-1", .operator_name = "beta"};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(ack, WIRE_ACK_REFUSED, "names worker beta-1");
    expect_logged(rig, ack, LOG_REFUSAL, RIG_ALPHA, &answer);
    wire_free(ack);
}

static void test_W14_other_bytes_than_it_attests(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA,
                                .nonce = rig_lease(rig, RIG_ALPHA),
                                .payload = &rig->packages[RIG_APPB].payload.manifest};
    struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &answer);
    expect_ack(ack, WIRE_ACK_REFUSED, "");
    expect_logged(rig, ack, LOG_REFUSAL, RIG_ALPHA, &answer);
    wire_free(ack);
}

static void test_the_log_is_not_filled_by_one_lease(void **state)
{
    struct rig *rig = *state;
    struct digest other = digest_of(VIEW("another job"));
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA), .job = &other};
    for (int i = 0; i < 10; i++) {
        answer.finished_ms = 1000 * i;
        struct wire_message *ack = rig_answer(rig, RIG_ALPHA, &answer);
        expect_ack(ack, WIRE_ACK_REFUSED, i < 4 ? "another job" : "too many answers");
        wire_free(ack);
    }
    assert_int_equal(kinds_of(rig).count[LOG_REFUSAL], 4);
}

/* Says it, and whether the pool was given anything to do. */
static bool is_checked(struct rig *rig, const struct rig_answer *answer, enum wire_ack code, const char *text)
{
    const struct rig_package *package = &rig->packages[answer->package];
    struct digest log = digest_of(VIEW("log"));
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    Wire__Result result = WIRE__RESULT__INIT;
    rig_sign(rig, RIG_ALPHA, answer, &envelope);
    result.nonce = wire_digest(&answer->nonce);
    result.job_key = wire_digest(&package->job);
    result.envelope = wire_bytes(buf_view(&envelope));
    result.log = wire_digest(&log);
    result.manifest = wire_digest(&package->payload.manifest);
    result.tar = wire_digest(&package->payload.tar);
    rig_turn(rig);
    assert_int_equal(pool_pending(rig->farm->pool), 0);
    rig_say(rig, RIG_ALPHA, WIRE_RESULT, &result.base);
    bool checked = pool_pending(rig->farm->pool) > 0;
    rig_turn(rig);
    struct wire_message *ack = rig_heard(rig, RIG_ALPHA, WIRE_RESULT_ACK);
    assert_non_null(ack);
    expect_ack(ack, code, text);
    wire_free(ack);
    return checked;
}

/* W13: checking costs far more than sending, so that nobody can keep the pool busy with what it said already. */
static void test_W13_what_is_known_is_not_checked_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA)};
    assert_true(is_checked(rig, &answer, WIRE_ACK_ACCEPTED, "counted"));
    for (int i = 0; i < 3; i++)
        assert_false(is_checked(rig, &answer, WIRE_ACK_ACCEPTED, "known already"));
    for (int i = 1; i < 8; i++) {
        answer.finished_ms = 1000 * i;
        assert_true(is_checked(rig, &answer, WIRE_ACK_EVIDENCE, "evidence"));
    }
    answer.finished_ms = 1000 * 8;
    assert_false(is_checked(rig, &answer, WIRE_ACK_REFUSED, "too many answers"));
    answer.finished_ms = 1000 * 7;
    assert_false(is_checked(rig, &answer, WIRE_ACK_ACCEPTED, "known already"));
    assert_int_equal(kinds_of(rig).count[LOG_ENVELOPE], 8);
}

/* ---- sessions that die ---- */

static struct directory_entry *entry_of(struct rig *rig, size_t worker)
{
    for (size_t i = 0; i < rig->farm->directory->nentries; i++)
        if (strcmp(rig->farm->directory->entries[i].worker, fixture_workers[worker]) == 0)
            return &rig->farm->directory->entries[i];
    fail();
    return NULL;
}

/* The message is dropped, the worker is told, and the gate lets it in no more. */
static void expect_silenced(struct rig *rig, size_t worker, const char *text)
{
    struct kinds before = kinds_of(rig);
    size_t admitted = link_gate_count(rig->farm->gate);
    rig_hello(rig, worker);
    rig_turn(rig);
    struct wire_message *refused = rig_heard(rig, worker, WIRE_REFUSED);
    assert_non_null(refused);
    if (strstr(refused->refused->text, text) == NULL)
        fail_msg("it said: %s; expected: %s", refused->refused->text, text);
    assert_null(rig_heard(rig, worker, WIRE_WELCOME));
    assert_int_equal(link_gate_count(rig->farm->gate), admitted - 1);
    assert_int_equal(kinds_of(rig).count[LOG_LEASE], before.count[LOG_LEASE]);
    wire_free(refused);
}

static void test_W11_the_session_of_a_removed_worker_dies(void **state)
{
    struct rig *rig = *state;
    trust_remove_entry(rig->farm->directory, "gamma-1");
    expect_silenced(rig, RIG_GAMMA, "not in the farm's directory");
}

static void test_W11_the_session_of_an_expired_worker_dies(void **state)
{
    struct rig *rig = *state;
    entry_of(rig, RIG_GAMMA)->expires_ms = moment_wall_ms() - 1;
    expect_silenced(rig, RIG_GAMMA, "has expired");
}

static void test_W11_the_session_of_a_compromised_worker_dies(void **state)
{
    struct rig *rig = *state;
    entry_of(rig, RIG_GAMMA)->compromised_from = 0;
    expect_silenced(rig, RIG_GAMMA, "compromised");
}

static void test_W11_a_session_with_another_key_dies(void **state)
{
    struct rig *rig = *state;
    entry_of(rig, RIG_GAMMA)->curve[0] ^= 1;
    expect_silenced(rig, RIG_GAMMA, "another key");
}

/* Its answer was being checked when it was revoked. */
static void test_W11_revoked_while_its_answer_is_checked(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.package = RIG_LIBA, .nonce = rig_lease(rig, RIG_ALPHA)};
    struct digest log = digest_of(VIEW("log"));
    const struct rig_package *package = &rig->packages[RIG_LIBA];
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    Wire__Result result = WIRE__RESULT__INIT;
    rig_sign(rig, RIG_ALPHA, &answer, &envelope);
    result.nonce = wire_digest(&answer.nonce);
    result.job_key = wire_digest(&package->job);
    result.envelope = wire_bytes(buf_view(&envelope));
    result.log = wire_digest(&log);
    result.manifest = wire_digest(&package->payload.manifest);
    result.tar = wire_digest(&package->payload.tar);
    rig_say(rig, RIG_ALPHA, WIRE_RESULT, &result.base);
    trust_remove_entry(rig->farm->directory, "alpha-1"); /* before the pool is done */
    rig_turn(rig);
    assert_null(rig_heard(rig, RIG_ALPHA, WIRE_RESULT_ACK));
    assert_int_equal(kinds_of(rig).count[LOG_ENVELOPE], 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_good_answer_is_logged_before_the_verdict_that_it_causes),
        TEST(test_the_same_answer_again_is_where_it_was),
        TEST(test_a_broken_machine_is_logged_as_well),
        TEST(test_N6_signed_by_another_than_the_session),
        TEST(test_N6_the_answer_of_another_worker),
        TEST(test_W6_to_the_lease_of_another_worker),
        TEST(test_W7_a_nonce_that_was_never_given),
        TEST(test_a_lease_that_nobody_knows_is_over_with_its_answer),
        TEST(test_W8_another_job_is_refused_and_logged),
        TEST(test_W8_another_name_is_refused_and_logged),
        TEST(test_W14_other_bytes_than_it_attests),
        TEST(test_the_log_is_not_filled_by_one_lease),
        TEST(test_W13_what_is_known_is_not_checked_again),
        TEST(test_W11_the_session_of_a_removed_worker_dies),
        TEST(test_W11_the_session_of_an_expired_worker_dies),
        TEST(test_W11_the_session_of_a_compromised_worker_dies),
        TEST(test_W11_a_session_with_another_key_dies),
        TEST(test_W11_revoked_while_its_answer_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
