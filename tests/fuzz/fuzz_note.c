/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signed notes, checkpoints and keys of notes: keys and checkpoints have one spelling. A note that opens as a checkpoint of the fuzzers'
 * key was signed by it: signed again its text and first line are the same.
 */
#include "fuzz.h"

#include "fuzz_key.h"
#include "note.h"

static struct note_key log_key;

static void setup(void)
{
    log_key = (struct note_key){.name = "fuzz/log", .type = NOTE_ED25519, .key = *keys_public(fuzz_key())};
}

static void read_key(struct view input)
{
    struct note_key key;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = note_key_parse(input, &key, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    note_key_write(&key, &text);
    FUZZ_CHECK(view_equal(buf_view(&text), input) && keys_public_is_valid(&key.key));
}

static void read_checkpoint(struct view input)
{
    struct checkpoint checkpoint;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    int result = checkpoint_parse(input, &checkpoint, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        return;
    }
    checkpoint_write(&checkpoint, &text);
    FUZZ_CHECK(view_equal(buf_view(&text), input));
}

static void check_opened(struct view input, const struct checkpoint *checkpoint)
{
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct diag diag = DIAG_INIT;
    FUZZ_CHECK(strcmp(checkpoint->origin, log_key.name) == 0);
    FUZZ_OK(note_sign_checkpoint(checkpoint, fuzz_key(), &again, &diag), &diag);
    struct view line = VIEW("\n\n");
    struct view text = view_of(again.data, (size_t)(strstr(again.data, line.data) - again.data));
    FUZZ_CHECK(view_starts(input, text));
}

static void read_note(struct view input)
{
    struct note_key witness = {.name = "op/worker", .type = NOTE_COSIGNATURE, .key = log_key.key};
    CLEANUP(note_done) struct note note = NOTE_INIT;
    struct checkpoint checkpoint;
    uint64_t seconds;
    struct diag diag = DIAG_INIT;
    int result = note_parse(input, &note, &diag);
    if (result < 0) {
        fuzz_check_refusal(result, &diag);
        FUZZ_CHECK(note_open_checkpoint(input, &log_key, &checkpoint, &diag) < 0);
        return;
    }
    FUZZ_CHECK(note.nsignatures >= 1 && note.nsignatures <= NOTE_SIGNATURES_MAX);
    (void)!note_check(&note, &witness, &seconds, &diag);
    if (note_open_checkpoint(input, &log_key, &checkpoint, &diag) >= 0) {
        FUZZ_CHECK(note_check(&note, &log_key, NULL, &diag) == 1);
        check_opened(input, &checkpoint);
    }
}

static void run(struct view input)
{
    read_key(input);
    read_checkpoint(input);
    read_note(input);
}

const struct fuzz_target fuzz_target = {
    .run = run, .setup = setup, .input_max = 4 * 1024, .heap_base = 256 * 1024, .heap_factor = 64};
