/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Logproof: one entry, its inclusion proof and the checkpoint, in one file (C2SP tlog-proof):
 *
 *     c2sp.org/tlog-proof@v1\nextra <base64 of the entry>\nindex <position>\n<base64 hash>\n...\n\n<signed note>
 */
#ifndef FARM_LOGPROOF_H
#define FARM_LOGPROOF_H

#include "note.h"
#include "tlog.h"

enum { LOGPROOF_SIZE_MAX = 256 * 1024 };

struct logproof {
    struct buf entry; /* the extra data; what was logged */
    uint64_t position;
    struct tlog_proof proof;
    struct buf note; /* the checkpoint as it stands in the file */
};
void logproof_done(struct logproof *proof);
void logproof_write(const struct logproof *proof, struct buf *ret);
int logproof_parse(struct view text, struct logproof *ret, struct diag *diag) MUST_USE;
/* The note is the log's, the entry is in its tree. *ret_checkpoint may be NULL. */
int logproof_check(const struct logproof *proof, const struct note_key *log,
                   struct checkpoint *ret_checkpoint, struct diag *diag) MUST_USE;

#endif
