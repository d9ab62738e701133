/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Checkpoints: three lines of text, and the note that a log makes of them. */
#include "note.h"

#include "base64.h"

#include <assert.h>

void checkpoint_write(const struct checkpoint *checkpoint, struct buf *ret)
{
    assert(note_name_is_valid(view_text(checkpoint->origin)));
    buf_add_format(ret, "%s\n%llu\n", checkpoint->origin, (unsigned long long)checkpoint->size);
    base64_encode(view_of(checkpoint->root.bytes, DIGEST_SIZE), ret);
    buf_add_byte(ret, '\n');
}

static int bad(const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX, "not a checkpoint (origin, size, root): %s", what);
}

int checkpoint_parse(struct view text, struct checkpoint *ret, struct diag *diag)
{
    struct checkpoint checkpoint = {.origin = ""};
    CLEANUP_BUF struct buf root = BUF_INIT;
    struct view rest = text, origin, size, hash;
    if (text.size > CHECKPOINT_TEXT_MAX)
        return diag_set(diag, FARM_E_LIMIT, "a checkpoint of %zu bytes; the limit is %d", text.size,
                        CHECKPOINT_TEXT_MAX);
    if (!view_ends(text, VIEW("\n")) || !view_split(&rest, '\n', &origin) || !note_name_is_valid(origin))
        return bad("the first line must be a name in printable ASCII without blank and +", diag);
    if (!view_split(&rest, '\n', &size) || !view_decimal(size, &checkpoint.size) ||
        checkpoint.size > INT64_MAX)
        return bad("the second line must be a number", diag);
    if (!view_split(&rest, '\n', &hash) || !base64_decode_standard(hash, &root) || root.size != DIGEST_SIZE)
        return bad("the third line must be 32 bytes in base64", diag);
    if (rest.size > 0)
        return bad("there are more than three lines, and nobody could check what they say", diag);
    memcpy(checkpoint.origin, origin.data, origin.size);
    memcpy(checkpoint.root.bytes, root.data, DIGEST_SIZE);
    *ret = checkpoint;
    return 0;
}

int note_sign_checkpoint(const struct checkpoint *checkpoint, const struct key_pair *key, struct buf *ret,
                         struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct note_key name = {.type = NOTE_ED25519, .key = *keys_public(key)};
    struct signature signature;
    memcpy(name.name, checkpoint->origin, sizeof name.name);
    checkpoint_write(checkpoint, &text);
    int result = keys_sign(key, buf_view(&text), &signature, diag);
    if (result < 0)
        return result;
    buf_add_view(ret, buf_view(&text));
    buf_add_byte(ret, '\n');
    note_write_signature(&name, view_of(signature.bytes, sizeof signature.bytes), ret);
    return 0;
}

/* Whose it is comes first: nothing in an unsigned text is looked at. */
static int open_note(const struct note *note, const struct note_key *log, struct checkpoint *ret,
                     struct diag *diag)
{
    struct checkpoint checkpoint;
    int result = note_check(note, log, NULL, diag);
    if (result == 0)
        return diag_set(diag, FARM_E_SIGNATURE, "the checkpoint is not signed by the log %s", log->name);
    if (result < 0 || (result = checkpoint_parse(note->text, &checkpoint, diag)) < 0)
        return result;
    if (strcmp(checkpoint.origin, log->name) != 0)
        return diag_set(diag, FARM_E_REFUSED, "the checkpoint is of the log %s, and was expected of %s",
                        checkpoint.origin, log->name);
    *ret = checkpoint;
    return 0;
}

int note_open_checkpoint(struct view bytes, const struct note_key *log, struct checkpoint *ret,
                         struct diag *diag)
{
    struct note note = NOTE_INIT;
    if (log->type != NOTE_ED25519)
        return diag_set(diag, FARM_E_REFUSED, "the key of %s is a witness's (type 4), and no log's",
                        log->name);
    int result = note_parse(bytes, &note, diag);
    if (result < 0)
        return result;
    result = open_note(&note, log, ret, diag);
    note_done(&note);
    return result;
}
