/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Alarm: what made this worker stop believing its farm, kept until its owner has looked at it.
 *
 *     alarm.json   {"at":"<time>","expected":"<words>","format":"intergenos-alarm/1","kept":"<signed note>","kind":"fork",
 *                   "seen":"<words>","shown":"<signed note>"}         notes may be empty
 *
 * Written durably before anything else is done about it. While the file is there the worker takes no leases and cosigns
 * nothing, also after a restart; a file that cannot be read counts as an alarm. The first alarm stands: a later one never replaces
 * it. Nobody but the owner takes it away ("farm-worker alarm clear"), which keeps it as alarm-<time>.json.
 *
 * "kept" and "shown" are evidence: checkpoints as the log signed them. Two that contradict each other convince anybody who knows
 * the log's key, without trust in this worker.
 */
#ifndef FARM_ALARM_H
#define FARM_ALARM_H

#include "buf.h"
#include "diag.h"

enum {
    ALARM_TEXT_MAX = DIAG_TEXT_MAX,
    ALARM_NOTE_MAX = 64 * 1024, /* a signed note's limit */
    ALARM_FILE_MAX = 512 * 1024 /* both notes, escaped, and the words */
};

enum alarm_kind {
    ALARM_FORK,      /* L1: the log shows a history that does not contain what it showed before */
    ALARM_SHRUNK,    /* L2: fewer entries than before */
    ALARM_OMITTED,   /* K3: an answer of this worker is not in the log */
    ALARM_OTHER_LOG, /* another log, and the trust root does not say that it follows the one before */
    ALARM_ROOT,      /* K4: an older trust root than one seen before, or another one of the same version */
    ALARM_DIRECTORY, /* K4: the same of the worker directory */
    ALARM_IDENTITY   /* the directory gives this worker's name to other keys */
};
enum { ALARM_KINDS = ALARM_IDENTITY + 1 };

/* Strings owned; never NULL once made. */
struct alarm {
    enum alarm_kind kind;
    int64_t at_ms; /* wall clock */
    char *expected, *seen;
    char *kept, *shown; /* signed notes; "" where there is none */
};
#define ALARM_NONE                                                                                           \
    {                                                                                                        \
        0                                                                                                    \
    }

/* Copies; texts are cut at ALARM_TEXT_MAX. The notes may be empty views. */
void alarm_set(struct alarm *alarm, enum alarm_kind kind, const char *expected, const char *seen,
               struct view kept, struct view shown);
bool alarm_is_set(const struct alarm *alarm);
void alarm_done(struct alarm *alarm);

/* "fork"; static. */
const char *alarm_kind_name(enum alarm_kind kind);
/* What happened, in half a sentence: "the log shows another history than before". Static. */
const char *alarm_headline(enum alarm_kind kind);
/* All of it for people: what, expected, seen, what it means, what to do. 'state' is the path for the commands. */
void alarm_describe(const struct alarm *alarm, const char *state, struct buf *ret);

/* The file's text, and back; pure. */
void alarm_write(const struct alarm *alarm, struct buf *ret);
int alarm_parse(struct view text, struct alarm *ret, struct diag *diag) MUST_USE;

/* Durable. FARM_E_EXISTS if one stands already: that one is left. */
int alarm_raise(int state_dirfd, const struct alarm *alarm, struct diag *diag) MUST_USE;
/* 1: one stands; 0: none. Negative: there is a file that cannot be read, which is no reason to go on. */
int alarm_load(int state_dirfd, struct alarm *ret, struct diag *diag) MUST_USE;
bool alarm_stands(int state_dirfd);
/* Puts it aside under *ret_name (owned). FARM_E_MISSING if there is none. */
int alarm_clear(int state_dirfd, int64_t now_ms, char **ret_name, struct diag *diag) MUST_USE;

#endif
