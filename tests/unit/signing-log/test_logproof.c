/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proof files: written, read, checked; and every part of one exchanged, cut or made up. */
#include "log_test.h"

#include "logproof.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 300, POSITION = 137 };
#define MAGIC "c2sp.org/tlog-proof@v1\n"
#define HASH  "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"

struct log {
    struct key_pair *pair;
    struct note_key key;
    struct digest leaves[SIZE];
    struct logproof proof;
    struct buf text;
    struct diag diag;
};

static void add_proof(struct log *log, uint64_t position, uint64_t size)
{
    struct checkpoint checkpoint = {.size = size, .root = model_root(log->leaves, 0, size)};
    memcpy(checkpoint.origin, log->key.name, sizeof checkpoint.origin);
    logproof_done(&log->proof);
    log->proof.position = position;
    log_entry(position, &log->proof.entry);
    model_inclusion(log->leaves, 0, size, position, &log->proof.proof);
    assert_ok(&log->diag, note_sign_checkpoint(&checkpoint, log->pair, &log->proof.note, &log->diag));
    buf_clear(&log->text);
    logproof_write(&log->proof, &log->text);
}

static int make_log(void **state)
{
    struct log *log = mem_zero(1, sizeof *log);
    unsigned char seed[KEYS_SEED_SIZE] = {9};
    log->pair = keys_from_seed(seed);
    log->key =
        (struct note_key){.name = "farm.example/log", .type = NOTE_ED25519, .key = *keys_public(log->pair)};
    for (uint64_t i = 0; i < SIZE; i++)
        log->leaves[i] = log_leaf(i);
    add_proof(log, POSITION, SIZE);
    *state = log;
    return 0;
}

static int free_log(void **state)
{
    struct log *log = *state;
    keys_free(log->pair);
    logproof_done(&log->proof);
    buf_done(&log->text);
    free(log);
    return 0;
}

/* Parse and check in one. */
static int open_proof(struct log *log, struct view text)
{
    struct logproof proof = {.position = 77};
    int result = logproof_parse(text, &proof, &log->diag);
    if (result < 0) {
        assert_int_equal(proof.position, 77);
        return result;
    }
    result = logproof_check(&proof, &log->key, NULL, &log->diag);
    logproof_done(&proof);
    return result;
}

static void test_round_trip(void **state)
{
    struct log *log = *state;
    for (uint64_t position = 0; position < SIZE; position += 23) {
        struct logproof again;
        struct checkpoint checkpoint;
        CLEANUP_BUF struct buf text = BUF_INIT, entry = BUF_INIT;
        add_proof(log, position, SIZE);
        assert_true(view_starts(buf_view(&log->text), VIEW(MAGIC "extra ")));
        assert_ok(&log->diag, logproof_parse(buf_view(&log->text), &again, &log->diag));
        assert_ok(&log->diag, logproof_check(&again, &log->key, &checkpoint, &log->diag));
        assert_int_equal(checkpoint.size, SIZE);
        assert_int_equal(again.position, position);
        log_entry(position, &entry);
        assert_true(view_equal(buf_view(&again.entry), buf_view(&entry)));
        logproof_write(&again, &text);
        assert_string_equal(text.data, log->text.data);
        logproof_done(&again);
    }
    add_proof(log, 0, 1); /* a log of one entry: no hashes */
    assert_int_equal(open_proof(log, buf_view(&log->text)), 0);
    assert_non_null(strstr(log->text.data, "\nindex 0\n\nfarm.example/log\n1\n"));
}

static void test_L6_altered(void **state)
{
    struct log *log = *state;
    for (size_t i = 0; i < log->text.size; i++)
        for (int bit = 0; bit < 8; bit++) {
            log->text.data[i] ^= (char)(1 << bit);
            assert_true(open_proof(log, buf_view(&log->text)) < 0);
            log->text.data[i] ^= (char)(1 << bit);
        }
    for (size_t size = 0; size < log->text.size; size++)
        assert_true(open_proof(log, view_of(log->text.data, size)) < 0);
    assert_int_equal(open_proof(log, buf_view(&log->text)), 0);
}

static int try_proof(struct log *log, const struct logproof *proof)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    logproof_write(proof, &text);
    return open_proof(log, buf_view(&text));
}

static void test_L6_truncated_or_padded(void **state)
{
    struct log *log = *state;
    struct logproof bad = log->proof;
    bad.proof.count--;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
    bad.proof.count += 2;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
    bad.proof.count = TLOG_LEVELS;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
    bad.proof.count = TLOG_LEVELS + 1;
    assert_int_equal(try_proof(log, &bad), FARM_E_SYNTAX);
    bad = log->proof;
    bad.position++;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
    bad.position = SIZE;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
}

static void test_other_entry_or_log(void **state)
{
    struct log *log = *state;
    struct logproof bad = log->proof;
    struct note_key other = log->key;
    struct checkpoint checkpoint = {.size = 77};
    bad.entry = (struct buf)BUF_INIT;
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED); /* without the line "extra" it is about nothing */
    buf_add_text(&bad.entry, "{}");
    assert_int_equal(try_proof(log, &bad), FARM_E_REFUSED);
    buf_done(&bad.entry);
    snprintf(other.name, sizeof other.name, "farm.example/gol");
    assert_int_equal(logproof_check(&log->proof, &other, &checkpoint, &log->diag), FARM_E_SIGNATURE);
    assert_int_equal(checkpoint.size, 77);
}

/* Cosignatures that were added to the note travel with it. */
static void test_cosigned_note(void **state)
{
    struct log *log = *state;
    struct note_key witness = {.name = "alder/alder-1", .type = NOTE_COSIGNATURE, .key = log->key.key};
    struct checkpoint checkpoint;
    struct signature signature;
    assert_ok(&log->diag, logproof_check(&log->proof, &log->key, &checkpoint, &log->diag));
    assert_ok(&log->diag, note_cosign(&checkpoint, 5, log->pair, &signature, &log->diag));
    note_write_cosignature(&witness, 5, &signature, &log->proof.note);
    assert_int_equal(try_proof(log, &log->proof), 0);
}

static int parse_alone(struct log *log, struct view text)
{
    struct logproof proof = {.position = 77};
    int result = logproof_parse(text, &proof, &log->diag);
    if (result >= 0)
        logproof_done(&proof);
    else
        assert_int_equal(proof.position, 77);
    return result;
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {
        "",
        "c2sp.org/tlog-proof@v1",
        MAGIC,
        "c2sp.org/tlog-proof@v2\nindex 1\n\nnote\n",
        "c2sp.org/tlog-proof@v1\r\nindex 1\n\nnote\n",
        MAGIC "index 1\n",
        MAGIC "index 1\n" HASH,
        MAGIC "index 1", /* no newline */
        MAGIC "index\n\nnote\n",
        MAGIC "index \n\nnote\n",
        MAGIC "index 01\n\nnote\n",
        MAGIC "index -1\n\nnote\n",
        MAGIC "index 1 \n\nnote\n",
        MAGIC "index 9223372036854775808\n\nnote\n",
        MAGIC "index 18446744073709551616\n\nnote\n",
        MAGIC "index 1\nextra AAAA\n\nnote\n", /* the wrong order */
        MAGIC "extra\nindex 1\n\nnote\n",
        MAGIC "extra \nindex 1\n\nnote\n",
        MAGIC "extra AAA\nindex 1\n\nnote\n",
        MAGIC "extra AA_A\nindex 1\n\nnote\n",
        MAGIC "extra AAAA\nextra AAAA\nindex 1\n\nnote\n",
        MAGIC "extra AAAA",
        MAGIC "extra AAAA\n",
        MAGIC "\nindex 1\n\nnote\n",
        MAGIC "index 1\nAAAA\n\nnote\n",
        MAGIC "index 1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2J=\n\nnote\n",
        MAGIC "index 1\n " HASH "\nnote\n",
    };
    struct log *log = *state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (parse_alone(log, view_text(bad[i])) != FARM_E_SYNTAX)
            fail_msg("number %zu was taken: %s (%s)", i, bad[i], log->diag.text);
    assert_int_equal(parse_alone(log, VIEW_NONE), FARM_E_SYNTAX);
    assert_int_equal(parse_alone(log, VIEW(MAGIC "index 9223372036854775807\n\nnote\n")), 0);
    assert_int_equal(open_proof(log, VIEW(MAGIC "index 1\n\nnote\n")),
                     FARM_E_SYNTAX); /* no note is checked yet */
    assert_int_equal(open_proof(log, VIEW(MAGIC "index 1\n\n")), FARM_E_SYNTAX);
}

static void test_limits(void **state)
{
    struct log *log = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    buf_add_text(&text, MAGIC "index 1\n\n");
    while (text.size <= LOGPROOF_SIZE_MAX)
        buf_add_byte(&text, 'x');
    assert_int_equal(parse_alone(log, buf_view(&text)), FARM_E_LIMIT);
    text.size = NOTE_SIZE_MAX + 100;
    assert_int_equal(parse_alone(log, buf_view(&text)), FARM_E_LIMIT);
    buf_clear(&text);
    buf_add_text(&text, MAGIC "extra ");
    while (text.size < 4 * (TLOG_ENTRY_MAX + 4) / 3 + 64)
        buf_add_text(&text, "AAAA");
    buf_add_text(&text, "\nindex 1\n\nnote\n");
    assert_int_equal(parse_alone(log, buf_view(&text)), FARM_E_LIMIT);
}

#define with_log(test) cmocka_unit_test_setup_teardown(test, make_log, free_log)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_log(test_round_trip),
        with_log(test_L6_altered),
        with_log(test_L6_truncated_or_padded),
        with_log(test_other_entry_or_log),
        with_log(test_cosigned_note),
        with_log(test_malformed),
        with_log(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
