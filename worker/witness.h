/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Witness: what this worker has seen of the transparency log, and what follows from what it is shown next. Pure, but for load and save.
 *
 *     witness.json {"format":"intergenos-witness/1",
 *                   "log":null | {"note":"<signed note>","origin":"...","root":"<hex>","size":120},
 *                   "lost":0,
 *                   "unproven":[{"due":0,"early":0,"envelope":"<hex>","nonce":"<hex>","position":117,"taken":true}]}
 *
 * It keeps one checkpoint, the newest it found consistent with all before it (a size of 0: this log was named by the root, and nothing
 * was seen of it yet), and the answers of this worker whose entries it has not seen proven. The rules:
 *
 *   - A checkpoint counts if the log's key signed it (the key stands in the trust root). What is not signed proves nothing: the
 *     worker only doubts (WITNESS_DOUBT), and whoever asked decides how long it may last.
 *   - What is signed and contradicts what was kept is an alarm: fewer entries (L2), the same number with another root or no proof
 *     that the new history contains the old one (L1).
 *   - An answer that the coordinator says it took has an entry "envelope" with its nonce and digest at the position that was named, one
 *     that it refused may also have a "refusal". Another entry there, no position at all, or no proof by the third checkpoint that
 *     covers it, is an alarm (K3).
 *   - A checkpoint is cosigned if it is consistent and proves every answer of this worker that it covers.
 *   - Another origin is accepted if the trust root's log.previous says where the old one ended, at or after what was kept.
 *
 * The file is durable: an answer is in it before it leaves the spool, a checkpoint before it is cosigned. One that is damaged is refused,
 * not forgotten: else a lie could be hidden by a disk error.
 */
#ifndef FARM_WITNESS_H
#define FARM_WITNESS_H

#include "alarm.h"
#include "logentry.h"
#include "note.h"
#include "root.h"
#include "tlog.h"

enum {
    WITNESS_POSITIONS_MAX = 8, /* asked about at a time; the wire's limit */
    WITNESS_DUE_MAX = 3,       /* checkpoints that may come without a proof that is due */
    /* Checkpoints that may end before an entry that is said to be in the log. The coordinator publishes within a second, and is asked
     * every five: two minutes is not load any more. */
    WITNESS_EARLY_MAX = 24,
    WITNESS_UNPROVEN_SOFT = 1024, /* from here on no leases: answers come faster than their proofs */
    WITNESS_UNPROVEN_MAX =
        8192, /* in a file; leases that ran, and what lay in the spool, come on top of the soft limit */
    WITNESS_FILE_MAX = 4 * 1024 * 1024
};

struct witness_unproven {
    struct lease_nonce nonce;
    struct digest envelope, job;
    uint64_t position;
    bool taken;     /* it was accepted, or kept as evidence: the log must not say "refusal" */
    uint32_t due;   /* checkpoints that covered it and brought no proof */
    uint32_t early; /* checkpoints that did not reach it */
};

struct witness {
    struct checkpoint kept; /* origin "": none */
    char *note;             /* kept as it was signed; owned; NULL: nothing was seen yet */
    struct witness_unproven *unproven;
    size_t nunproven, capacity;
    uint64_t lost; /* answers whose proof can never come, since their log was lost; see witness_on_root */
};
#define WITNESS_INIT                                                                                         \
    {                                                                                                        \
        .note = NULL                                                                                         \
    }
void witness_done(struct witness *witness);

/* What follows. */
enum witness_move {
    WITNESS_NOTHING, /* as it was */
    WITNESS_WAIT, /* the checkpoint is kept, but not cosigned: a proof is still due, or was not asked for yet */
    WITNESS_COSIGN, /* the checkpoint is kept (also if it is the same as before), and may be cosigned */
    WITNESS_DOUBT,  /* what was shown proves nothing; why says what was wrong */
    WITNESS_ALARM   /* .alarm; its time is the caller's to set */
};
struct witness_finding {
    enum witness_move move;
    struct alarm alarm; /* owned */
    struct diag why;
    bool changed; /* save before anything is said */
    bool
        more; /* ask again at once: there are answers that this checkpoint covers and that were not asked about */
};
#define WITNESS_FINDING_INIT                                                                                 \
    {                                                                                                        \
        .move = WITNESS_NOTHING                                                                              \
    }
void witness_finding_done(struct witness_finding *finding);

/* ---- answers of this worker ---- */

/* The coordinator's acknowledgement. */
struct witness_ack {
    struct lease_nonce nonce;
    struct digest envelope;
    uint64_t log_entry; /* 1 + position; 0: it is not in the log */
    bool taken;
    struct digest job;
};
/* Call it only under a root with a log. Moves: NOTHING, ALARM; WAIT: no room, so the answer has to stay in the spool. */
void witness_on_ack(struct witness *witness, const struct witness_ack *ack, struct witness_finding *ret);
static inline bool witness_is_full(const struct witness *witness)
{
    return witness->nunproven >= WITNESS_UNPROVEN_SOFT;
}
/* After the owner cleared an alarm: what was missed before does not count any more. */
void witness_forgive(struct witness *witness);

/* ---- the log ---- */

/* What was asked: the checkpoint that was kept then, and positions of the answers that have waited longest. */
struct witness_ask {
    struct checkpoint known;
    uint64_t positions[WITNESS_POSITIONS_MAX];
    size_t npositions;
};
void witness_make_ask(const struct witness *witness, struct witness_ask *ret);
/* The checkpoint that is kept, as the log signed it; empty if nothing was seen yet. */
struct view witness_note(const struct witness *witness);

struct witness_inclusion {
    uint64_t position;
    struct view entry; /* borrowed */
    struct tlog_proof path;
};
/* What came; large, so keep it on the heap. */
struct witness_answer {
    struct view note; /* borrowed; empty: the coordinator says that there is no checkpoint yet */
    struct tlog_proof consistency;
    struct witness_inclusion inclusions[WITNESS_POSITIONS_MAX];
    size_t ninclusions;
};
/* The answer to exactly this question. 'log' is the trust root's, and present. */
void witness_on_answer(struct witness *witness, const struct root_log *log, const struct witness_ask *ask,
                       const struct witness_answer *answer, struct witness_finding *ret);
/*
 * Is this the answer to an older question, asked when 'known' was kept, whose own answer never came? Then it is signed and proven from
 * there (L3), says nothing about what was kept since, and is to be ignored.
 */
bool witness_is_late(const struct checkpoint *known, const struct root_log *log,
                     const struct witness_answer *answer);

/*
 * The trust root that holds from now on. If its log is another one than was kept, the new one has to follow it; then what was kept is let go,
 * with the answers that were not proven in it (counted in 'lost': nobody can prove them any more). Moves: NOTHING, ALARM.
 */
void witness_on_root(struct witness *witness, const struct root *root, struct witness_finding *ret);

/* ---- the file ---- */

void witness_write(const struct witness *witness, struct buf *ret);
int witness_parse(struct view text, struct witness *ret, struct diag *diag) MUST_USE;
/* Nothing was kept yet: as WITNESS_INIT. */
int witness_load(int state_dirfd, struct witness *ret, struct diag *diag) MUST_USE;
int witness_save(int state_dirfd, const struct witness *witness, struct diag *diag) MUST_USE;

/* One line for people: "120 entries seen, 2 answers not proven yet". */
void witness_describe(const struct witness *witness, struct buf *ret);

#endif
