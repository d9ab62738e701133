/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the journal: what journal.c keeps, the work that journal_tiles.c does on a pool thread, and what journal_talk.c makes of
 * witnesses.
 *
 * One piece of work is under way at a time, and while it is, the writer and the tree are its own: so tiles are never read while they
 * are being replaced, and log/checkpoint never goes back.
 */
#ifndef FARM_JOURNAL_PRIVATE_H
#define FARM_JOURNAL_PRIVATE_H

#include "journal.h"
#include "tiledir.h"

enum {
    /* A witness that is this many publications behind asks again; at one a second it had a minute. */
    JOURNAL_RECENT = 64,
    /* Kept with one checkpoint: a note holds 256 signatures, and a root at most as many witnesses as anchors. */
    JOURNAL_COSIGNATURES = 250,
    /* Of operators that the root does not list: advice, and nothing that could crowd out the others. */
    JOURNAL_ADVICE = 32,
    /* Questions that one piece of work answers, so that a publication never waits for long. */
    JOURNAL_ASKS = 64
};

/* One cosignature that was verified. */
struct journal_cosignature {
    struct note_key key; /* "operator/worker" */
    char worker[IDENTITY_NAME_MAX + 1];
    uint64_t time_s;
    struct signature signature;
};

/* A checkpoint that was shown, and what came back. */
struct journal_shown {
    struct checkpoint checkpoint;
    int64_t shown_ms; /* wall */
    struct buf note;  /* with the log's signature alone */
    struct journal_cosignature *cosignatures;
    size_t ncosignatures, capacity;
    struct map *failed; /* workers whose cosignature was wrong; one try each */
};

/* A LogAsk that waits, and what is made of it. */
struct journal_ask {
    char worker[IDENTITY_NAME_MAX + 1];
    uint64_t known_size;
    uint64_t positions[WIRE_LOG_POSITIONS_MAX];
    size_t npositions;
    struct journal_proofs *proofs; /* NULL until it is answered; 40 KiB */
    int result;
};
struct journal_proofs {
    struct tlog_proof consistency;
    struct journal_inclusion {
        uint64_t position;
        struct buf entry;
        struct tlog_proof path;
    } inclusions[WIRE_LOG_POSITIONS_MAX];
    size_t ninclusions;
    struct diag diag;
};

/* The log as it grows, on disk: files and the frontier of the tree, which must always be of one size. */
struct journal_tiles {
    int dirfd; /* log/ */
    const struct key_pair *keys;
    char origin[NOTE_NAME_MAX + 1];
    struct tiledir_writer *writer;
    struct tlog_tree tree;
};

/* The steps of a publication, in this order; tests stop behind each. */
enum journal_step { JOURNAL_APPENDED, JOURNAL_FLUSHED, JOURNAL_SIGNED, JOURNAL_WRITTEN };

/* What is to be done on a pool thread, in the order of these members. */
struct journal_work {
    struct pool_task task;
    struct journal_tiles *tiles;
    struct checkpoint shown; /* the newest that witnesses may know; size 0: none */
    struct buf shown_note;
    struct journal_ask *asks[JOURNAL_ASKS];
    size_t nasks;
    struct journal_shown *cosigned; /* to be written as log/cosigned; NULL: not. Owned */
    struct buf cosigned_file;
    struct buf entries; /* to append, as a bundle */
    bool publish;
    struct buf checkpoint_file;   /* the newest once more, with more cosignatures; empty: not to be written */
    struct checkpoint checkpoint; /* what was published */
    struct buf note;
    int result;
    struct diag diag;
};

/* Somebody who wants the log to be shown up to here. */
struct journal_waiter {
    uint64_t size;
    void (*done)(struct farm *farm, void *context, int result);
    void *context;
};

struct journal {
    struct journal_tiles tiles;
    uint64_t size;                                /* entries, committed or in this turn's transaction */
    struct buf pending;                           /* those that no work has taken yet, as a bundle */
    struct journal_shown *recent[JOURNAL_RECENT]; /* oldest first */
    size_t nrecent;
    struct journal_shown *cosigned; /* the newest with enough, as log/cosigned has it; owned */
    struct buf cosigned_note;
    struct journal_shown *reached; /* what it will be when it is written; NULL: nothing new. Owned */
    bool reached_further;          /* about more entries than it: written at once */
    bool checkpoint_stale;         /* cosignatures came that its file does not have */
    struct map *asks;              /* worker -> struct journal_ask, in the order of arrival */
    struct journal_waiter *waiters;
    size_t nwaiters, waiters_capacity;
    bool working;
    /*
     * The last publication failed. Nobody is answered meanwhile: a checkpoint that stays behind what was acknowledged long ago is what
     * workers raise an alarm about, and an answer that is late they only doubt, which ends by itself.
     */
    bool failing;
    int64_t due_ms; /* steady: no publication before, unless somebody waits */
    int failed;     /* the disk dropped what it had promised: the process must end */
    struct diag failure;
};

/* journal.c */
/* Takes it over as the newest. */
void journal_show(struct journal *journal, struct journal_shown *shown);
struct journal_shown *journal_newest(const struct journal *journal); /* NULL: none */
uint64_t journal_shown_size(const struct journal *journal);
struct journal_shown *journal_shown_new(const struct checkpoint *checkpoint, struct view note,
                                        int64_t shown_ms);
struct journal_shown *journal_shown_free(struct journal_shown *shown);

/* journal_tiles.c: no farm, no database; may run on any thread, one at a time. */
/* Appends, writes and signs what is new, up to this step. JOURNAL_WRITTEN is all of it. */
int journal_tiles_publish(struct journal_tiles *tiles, struct view entries, enum journal_step last,
                          struct checkpoint *ret, struct buf *ret_note, struct diag *diag) MUST_USE;
/* Entries as a bundle, one after the other. */
int journal_tiles_append(struct journal_tiles *tiles, struct view entries, struct diag *diag) MUST_USE;
/* Proofs about the tree at 'shown'. */
void journal_tiles_answer(const struct journal_tiles *tiles, const struct checkpoint *shown,
                          struct journal_ask *const *asks, size_t count);
/*
 * At start: makes 'tiles' the log of these entries. Files that do not give the tree of 'known' (size 0: none) are made again from
 * the entries; the entries behind it are appended and published.
 */
struct journal_entries {
    /* Calls 'visit' for each, from position 'from' on. */
    int (*each)(void *context, uint64_t from,
                int (*visit)(void *visit_context, uint64_t position, struct view entry), void *visit_context,
                struct diag *diag);
    void *context;
};
int journal_tiles_recover(struct journal_tiles *tiles, const struct journal_entries *entries,
                          const struct checkpoint *known, struct diag *diag) MUST_USE;
/* Which of the files' entries is the first that differs from these; UINT64_MAX: none, or the files cannot be read. */
uint64_t journal_tiles_differ(const struct journal_tiles *tiles, const struct journal_entries *entries,
                              uint64_t size);
void journal_tiles_done(struct journal_tiles *tiles);

/* journal_talk.c */
/* A note of the checkpoint with its cosignatures. Appends. */
void journal_write_shown(const struct journal_shown *shown, struct buf *ret);
/* Takes the cosignatures out of a note that was read back; what cannot be verified any more is left out. */
void journal_read_cosignatures(const struct farm *farm, struct journal_shown *shown, struct view note);
/* The operator of the installed root's witnesses that it counts for, or NULL. */
const char *journal_witness_of(const struct farm *farm, const struct journal_cosignature *cosignature);
/* Operators among the witnesses of the installed root whose cosignature stands with it. */
size_t journal_count_witnesses(const struct farm *farm, const struct journal_shown *shown);
bool journal_is_cosigned(const struct farm *farm, const struct journal_shown *shown);
/* Sends what the pool found. */
void journal_send_answers(struct farm *farm, const struct journal_work *work);
struct journal_ask *journal_ask_free(struct journal_ask *ask);
/* As it came: what was made of it is no answer. */
void journal_ask_forget(struct journal_ask *ask);

#endif
