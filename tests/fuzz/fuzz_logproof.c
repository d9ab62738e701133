/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Proof files: what is accepted is written and read to the same bytes; one that checks was signed by the fuzzers' key. */
#include "fuzz.h"

#include "fuzz_key.h"
#include "logproof.h"

static struct note_key log_key;

static void setup(void)
{
    log_key = (struct note_key){.name = "fuzz/log", .type = NOTE_ED25519, .key = *keys_public(fuzz_key())};
}

static void check_proof(const struct logproof *proof)
{
    struct checkpoint checkpoint, of_note;
    struct diag diag = DIAG_INIT;
    int result = logproof_check(proof, &log_key, &checkpoint, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    FUZZ_OK(note_open_checkpoint(buf_view(&proof->note), &log_key, &of_note, &diag), &diag);
    FUZZ_CHECK(proof->position < of_note.size && digest_equal(&checkpoint.root, &of_note.root));
}

static void run(struct view input)
{
    CLEANUP(logproof_done) struct logproof proof = {0}, again = {0};
    CLEANUP_BUF struct buf once = BUF_INIT, twice = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = logproof_parse(input, &proof, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    check_proof(&proof);
    logproof_write(&proof, &once);
    FUZZ_OK(logproof_parse(buf_view(&once), &again, &diag), &diag);
    logproof_write(&again, &twice);
    fuzz_check_same(&once, &twice);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 8 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
