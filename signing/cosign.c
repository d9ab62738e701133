/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cosignatures: what a witness says about a checkpoint, and when (C2SP tlog-cosignature, cosignature/v1). */
#include "note.h"

void note_cosigned_text(const struct checkpoint *checkpoint, uint64_t time_s, struct buf *ret)
{
    buf_add_format(ret, NOTE_COSIGNATURE_HEAD, (unsigned long long)time_s);
    checkpoint_write(checkpoint, ret);
}

int note_cosign(const struct checkpoint *checkpoint, uint64_t time_s, const struct key_pair *key,
                struct signature *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (time_s > INT64_MAX)
        return diag_set(diag, FARM_E_REFUSED, "no cosignature can bear the time %llu",
                        (unsigned long long)time_s);
    note_cosigned_text(checkpoint, time_s, &text);
    return keys_sign(key, buf_view(&text), ret, diag);
}

void note_write_cosignature(const struct note_key *key, uint64_t time_s, const struct signature *signature,
                            struct buf *ret)
{
    char bytes[8 + KEYS_SIGNATURE_SIZE];
    for (int i = 0; i < 8; i++)
        bytes[i] = (char)(time_s >> (56 - 8 * i) & 0xff);
    memcpy(bytes + 8, signature->bytes, KEYS_SIGNATURE_SIZE);
    note_write_signature(key, view_of(bytes, sizeof bytes), ret);
}
