/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A worker's witness.json, then an answer about the log: chunks for the file, the note, the consistency proof and the path of one
 * entry, which is the rest. The file is written and read to the same bytes. What is cosigned was signed by the log's key, and is not older than
 * what was kept.
 */
#include "fuzz.h"

#include "fuzz_key.h"
#include "witness.h"

#include <stdlib.h>

static struct root_log log_of_root;

static void setup(void)
{
    log_of_root =
        (struct root_log){.present = true,
                          .key = {.name = "fuzz/log", .type = NOTE_ED25519, .key = *keys_public(fuzz_key())},
                          .threshold = 1};
}

static void take_proof(struct view bytes, struct tlog_proof *ret)
{
    for (; bytes.size >= DIGEST_SIZE && ret->count < TLOG_PROOF_MAX; ret->count++) {
        memcpy(ret->hashes[ret->count].bytes, bytes.data, DIGEST_SIZE);
        bytes = view_of(bytes.data + DIGEST_SIZE, bytes.size - DIGEST_SIZE);
    }
}

static void round_trip(const struct witness *witness)
{
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    CLEANUP(witness_done) struct witness again = WITNESS_INIT;
    struct diag diag = DIAG_INIT;
    witness_write(witness, &once);
    FUZZ_OK(witness_parse(buf_view(&once), &again, &diag), &diag);
    witness_write(&again, &twice);
    fuzz_check_same(&once, &twice);
}

static void show(struct witness *witness, struct view rest)
{
    CLEANUP(witness_finding_done) struct witness_finding finding = WITNESS_FINDING_INIT;
    CLEANUP_FREE struct witness_answer *answer = mem_zero(1, sizeof *answer);
    struct witness_ask ask;
    struct checkpoint shown;
    struct diag diag = DIAG_INIT;
    witness_make_ask(witness, &ask);
    answer->note = fuzz_take_chunk(&rest);
    take_proof(fuzz_take_chunk(&rest), &answer->consistency);
    take_proof(fuzz_take_chunk(&rest), &answer->inclusions[0].path);
    answer->inclusions[0].position = ask.npositions > 0 ? ask.positions[0] : 0;
    answer->inclusions[0].entry = rest;
    answer->ninclusions = ask.npositions > 0 ? 1 : 0;
    witness_on_answer(witness, &log_of_root, &ask, answer, &finding);
    if (finding.move == WITNESS_COSIGN) {
        FUZZ_OK(note_open_checkpoint(answer->note, &log_of_root.key, &shown, &diag), &diag);
        FUZZ_CHECK(shown.size == witness->kept.size && shown.size >= ask.known.size);
        FUZZ_CHECK(digest_equal(&shown.root, &witness->kept.root));
    }
    FUZZ_CHECK((finding.move == WITNESS_ALARM) == alarm_is_set(&finding.alarm));
    round_trip(witness);
}

static void run(struct view input)
{
    CLEANUP(witness_done) struct witness witness = WITNESS_INIT;
    CLEANUP_BUF struct buf words = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = witness_parse(fuzz_take_chunk(&input), &witness, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    round_trip(&witness);
    witness_describe(&witness, &words);
    if (strcmp(witness.kept.origin, log_of_root.key.name) ==
        0) /* else the agent asks nothing: witness_on_root comes first */
        show(&witness, input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 1 << 20, .heap_factor = 512};
