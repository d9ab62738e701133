/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Journal: the coordinator's transparency log. Entries are rows of the transaction that they record; what others see is derived
 * from them, always in this order, so that a crash between any two steps loses nothing that was shown:
 *
 *     rows committed -> tiles written and synced -> checkpoint signed and written -> shown to workers and witnesses
 *
 * State directory: log/ (a tile directory, tiledir.h: may be mirrored and served as static files), log/checkpoint (the newest, with what
 * cosignatures came), log/cosigned (the newest that enough listed operators cosigned; what a start must not fall behind).
 * Signing and writing tiles is the pool's work; one such task runs at a time, at most one a second, unless somebody waits.
 */
#ifndef FARM_JOURNAL_H
#define FARM_JOURNAL_H

#include "ctl.h"
#include "farm.h"
#include "logentry.h"
#include "note.h"

#define JOURNAL_DIR      "log"
#define JOURNAL_COSIGNED "log/cosigned"

struct journal;

/*
 * At start, before anything is served: recomputes the tree from the database, compares with log/checkpoint and log/cosigned (D2, D3:
 * fewer entries or other ones refuse to start, naming the position), and makes the tiles that are missing.
 */
int journal_open(struct farm *farm, struct diag *diag) MUST_USE;
/* After the pool, before the control socket: who waits for a publication is told that there will be none. */
void journal_close(struct farm *farm);

/* Adds an entry to this turn's transaction; its time is set to now. Returns its position. */
uint64_t journal_add(struct farm *farm, struct logentry *entry);
/* Committed and not committed. */
uint64_t journal_size(const struct farm *farm);
/* In each turn, after the commit: starts a publication if one is due. Fails when the disk has lost what it had promised. */
int journal_turn(struct farm *farm, struct diag *diag) MUST_USE;
/* When the next one is due, on the steady clock; INT64_MAX: not now. */
int64_t journal_due(const struct farm *farm);
/* Publishes now; 'done' is called on the loop's thread when the checkpoint covers every entry there is now, with 0 or an error. */
void journal_publish(struct farm *farm, void (*done)(struct farm *farm, void *context, int result),
                     void *context);

/* The newest shown; false: none yet. */
bool journal_checkpoint(const struct farm *farm, struct checkpoint *ret);
/* The newest with enough cosignatures under the installed root; false: none. The note's bytes are borrowed. */
bool journal_cosigned(const struct farm *farm, struct checkpoint *ret, struct view *ret_note);
/* When that one was shown, wall clock; 0: not since this start. */
int64_t journal_cosigned_ms(const struct farm *farm);
/* The newest note with the cosignatures that came so far. Appends. */
void journal_note(const struct farm *farm, struct buf *ret);
/* The vkey that a trust root names. */
struct note_key journal_key(const struct farm *farm);
/* Whether the root's log is this coordinator's: FARM_E_CONFIG saying what to do if not. */
int journal_check_root(const struct farm *farm, const struct root *root, struct diag *diag) MUST_USE;

/* Somebody waits for cosignatures: asks the workers of the listed witnesses to look now, and not when they next would. */
void journal_call_witnesses(struct farm *farm);

/* Messages of workers. */
void journal_on_ask(struct farm *farm, const char *worker, const Wire__LogAsk *ask);
void journal_on_cosign(struct farm *farm, const char *worker, const Wire__Cosign *cosign);

#endif
