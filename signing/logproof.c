/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The entry stands in the "extra" line, which C2SP leaves to the application and does not authenticate: here it is what the inclusion
 * proof is about, so a check that succeeds has authenticated it.
 */
#include "logproof.h"

#include "base64.h"

#include <inttypes.h>

#define MAGIC "c2sp.org/tlog-proof@v1"

void logproof_done(struct logproof *proof)
{
    buf_done(&proof->entry);
    buf_done(&proof->note);
    proof->proof.count = 0;
}

void logproof_write(const struct logproof *proof, struct buf *ret)
{
    buf_add_text(ret, MAGIC "\n");
    if (proof->entry.size > 0) {
        buf_add_text(ret, "extra ");
        base64_encode(buf_view(&proof->entry), ret);
        buf_add_byte(ret, '\n');
    }
    buf_add_format(ret, "index %" PRIu64 "\n", proof->position);
    for (size_t i = 0; i < proof->proof.count; i++) {
        base64_encode(view_of(proof->proof.hashes[i].bytes, DIGEST_SIZE), ret);
        buf_add_byte(ret, '\n');
    }
    buf_add_byte(ret, '\n');
    buf_add_view(ret, buf_view(&proof->note));
}

static int bad(const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "not a proof (" MAGIC "): %s", what);
}

static bool cut_prefix(struct view *line, struct view prefix)
{
    if (!view_starts(*line, prefix))
        return false;
    *line = view_of(line->data + prefix.size, line->size - prefix.size);
    return true;
}

/* "extra", if it is there, and "index". */
static int parse_head(struct view *rest, struct logproof *ret, struct diag *diag)
{
    struct view line;
    if (!view_split(rest, '\n', &line) || !view_equal(line, VIEW(MAGIC)))
        return bad("the first line is another", diag);
    if (!view_split(rest, '\n', &line))
        return bad("it ends after its first line", diag);
    if (cut_prefix(&line, VIEW("extra "))) {
        if (line.size == 0 || !base64_decode_standard(line, &ret->entry))
            return bad("the line \"extra\" is not base64", diag);
        if (!view_split(rest, '\n', &line))
            return bad("it ends before \"index\"", diag);
    }
    if (!cut_prefix(&line, VIEW("index ")) || !view_decimal(line, &ret->position) ||
        ret->position > INT64_MAX)
        return bad("there is no line \"index\" with a number", diag);
    if (ret->entry.size > TLOG_ENTRY_MAX)
        return diag_set(diag, FARM_E_LIMIT, "a log entry of %zu bytes; the limit is %d", ret->entry.size,
                        TLOG_ENTRY_MAX);
    return 0;
}

static int parse_hashes(struct view *rest, struct tlog_proof *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf hash = BUF_INIT;
    struct view line;
    while (view_split(rest, '\n', &line) && rest->data != NULL) {
        if (line.size == 0)
            return 0;
        buf_clear(&hash);
        if (!base64_decode_standard(line, &hash) || hash.size != DIGEST_SIZE)
            return bad("a line of the proof is not 32 bytes in base64", diag);
        if (ret->count == TLOG_LEVELS)
            return bad("it has more hashes than any tree has levels", diag);
        memcpy(ret->hashes[ret->count++].bytes, hash.data, DIGEST_SIZE);
    }
    return bad("no empty line and checkpoint follow the hashes", diag);
}

int logproof_parse(struct view text, struct logproof *ret, struct diag *diag)
{
    struct logproof proof = {.position = 0};
    struct view rest = text;
    if (text.size > LOGPROOF_SIZE_MAX)
        return diag_set(diag, FARM_E_LIMIT, "a proof of %zu bytes; the limit is %d", text.size,
                        LOGPROOF_SIZE_MAX);
    int result = parse_head(&rest, &proof, diag);
    if (result >= 0)
        result = parse_hashes(&rest, &proof.proof, diag);
    if (result >= 0 && rest.size > NOTE_SIZE_MAX)
        result =
            diag_set(diag, FARM_E_LIMIT, "a note of %zu bytes; the limit is %d", rest.size, NOTE_SIZE_MAX);
    if (result < 0) {
        logproof_done(&proof);
        return result;
    }
    buf_add_view(&proof.note, rest);
    *ret = proof;
    return 0;
}

int logproof_check(const struct logproof *proof, const struct note_key *log,
                   struct checkpoint *ret_checkpoint, struct diag *diag)
{
    struct checkpoint checkpoint;
    int result = note_open_checkpoint(buf_view(&proof->note), log, &checkpoint, diag);
    if (result < 0)
        return result;
    struct digest leaf = tlog_leaf(buf_view(&proof->entry));
    result =
        tlog_check_inclusion(&proof->proof, checkpoint.size, proof->position, &leaf, &checkpoint.root, diag);
    if (result >= 0 && ret_checkpoint != NULL)
        *ret_checkpoint = checkpoint;
    return result;
}
