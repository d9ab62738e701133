/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Restored: what a coordinator does after its state came back from a backup, until it is known whether the backup's log is the newest that
 * anybody saw (D3).
 *
 *     restored.json {"log_size":120,"origin":"...","taken":"<when the backup was made>"}      written by a restore, in the state directory
 *
 * The backup's checkpoint says nothing about what was shown after it. Going on from there under the same name would be a second history, and every
 * witness would be right to raise an alarm. So while the file is there no lease is granted, nothing beyond log_size is signed, and the trust
 * root is not spoken about; workers connect, and with their first question about the log each says how much of it it has seen:
 *
 *   - No more than log_size, said by as many listed witnesses as the root asks for: whatever was cosigned beyond would be known to
 *     one of them, since that takes more than half. The file goes, and the farm goes on.
 *   - More, and the checkpoint that proves it, signed by this log's own key: the log is over, whoever showed it. It stays as it is, and
 *     says how to begin the next one (docs/OPERATORS.md). A number alone is not believed, from nobody: else one worker could end the log.
 *
 * A coordinator that finds another log_origin in its configuration than in the file begins the next log: what was shown of the old one moves to
 * log.before/, and the worker directory's version jumps, since nobody knows how many were published after the backup.
 */
#ifndef FARM_RESTORED_H
#define FARM_RESTORED_H

#include "buf.h"
#include "diag.h"
#include "identity.h"
#include "map.h"
#include "view.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RESTORED_FILE "restored.json"
/* Further than any directory gets: one a day for five years is 1,800. */
enum { RESTORED_DIRECTORY_JUMP = 100000 };

struct farm;

struct restored {
    bool waits;    /* the file is there, for this log */
    bool next_log; /* it is there, for another one: this is the start of the next log */
    uint64_t log_size;
    struct map *confirmed; /* operators of listed witnesses that saw no more; NULL until there is one */
    bool is_over;
    char unproven[IDENTITY_NAME_MAX +
                  1]; /* a listed witness's worker that said more and did not prove it; "": none */
    char text[800];   /* why nothing is granted, for people */
};

/* Written by a restore. */
void restored_write(const char *origin, uint64_t log_size, int64_t taken_ms, struct buf *ret);
/* At start, before the log is opened. */
int restored_open(struct farm *farm, struct diag *diag) MUST_USE;
/* At start, when everything was read: begins to wait, or makes the next log's directory known. */
int restored_begin(struct farm *farm, struct diag *diag) MUST_USE;
/*
 * A worker says how much of the log it has seen, and shows the checkpoint (a signed note, or nothing). False: it gets no answer, which
 * would be the beginning of an alarm.
 */
bool restored_on_ask(struct farm *farm, const char *worker, uint64_t known_size, struct view note);
/* May more entries than were in the backup be signed? */
bool restored_may_publish(const struct farm *farm, uint64_t size);
void restored_done(struct restored *restored);

#endif
