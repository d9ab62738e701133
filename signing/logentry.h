/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Log entry: what the farm's log says, one compact sorted-key ASCII JSON object each; its bytes are the leaf.
 *
 *     {"at":"<time>","job":"<hex>","kind":"lease","nonce":"<hex>","operator":"alder","round":1,"worker":"alder-1"}
 *     {"at":"<time>","kind":"lease-end","nonce":"<hex>","state":"expired"}      answered, refused, expired, withdrawn
 *     {"at":"<time>","job":"<hex>","kind":"envelope","nonce":"<hex>","sha256":"<hex>"}      an answer, when it was taken
 *     {"at":"<time>","job":"<hex>","kind":"refusal","nonce":"<hex>","sha256":"<hex>"}       an answer that broke a rule
 *     {"at":"<time>","dissent":0,"job":"<hex>","kind":"verdict","operators":2,"payload":"<hex>"|null,"round":1,"state":"agreed"}
 *     {"at":"<time>","kind":"directory","sha256":"<hex>","version":3}           root: the same
 *     {"at":"<time>","kind":"revoke","from":-1|<position>,"worker":"alder-1"}   from -1: everything it ever said
 *     {"at":"<time>","kind":"plan","sha256":"<hex>"}
 *     {"at":"<time>","kind":"release","name":"...","sequence":1,"sha256":"<hex>"}    when its last needed signature came
 *     {"at":"<time>","kind":"waiver","package":"tier/name","sha256":"<hex>"}
 *
 * An answer's entry says its job again: its worker looks at that, so a dissent cannot be put out of sight by a lease of another job.
 *
 * Nothing of donors' machines, no reasons in words, no build output: the log is public and for ever.
 */
#ifndef FARM_LOGENTRY_H
#define FARM_LOGENTRY_H

#include "buf.h"
#include "digest.h"
#include "statement.h"
#include "verdict.h"

enum { LOGENTRY_SIZE_MAX = 4096 };

enum logentry_kind {
    LOG_LEASE,
    LOG_LEASE_END,
    LOG_ENVELOPE,
    LOG_REFUSAL,
    LOG_VERDICT,
    LOG_DIRECTORY,
    LOG_ROOT,
    LOG_REVOKE,
    LOG_PLAN,
    LOG_RELEASE,
    LOG_WAIVER,
    LOG_OTHER /* of a newer program: counted, never interpreted */
};

/* Which members count stands above. Strings are borrowed when writing, and point into 'room' after parsing. */
struct logentry {
    enum logentry_kind kind;
    int64_t at_ms; /* whole seconds are written */
    struct digest job, sha256, payload;
    struct lease_nonce nonce;
    const char *worker, *operator_name, *state, *name; /* name: of a release, or of a waived package */
    enum verdict_state verdict;
    uint32_t round, operators, dissent;
    int64_t version; /* of directory or root; sequence of a release; "from" of a revocation */
    char *room;      /* owned; NULL when writing */
};

const char *logentry_kind_name(enum logentry_kind kind);
/* Appends the bytes. LOG_OTHER cannot be written. */
void logentry_write(const struct logentry *entry, struct buf *ret);
/* Closed for the kinds above: exactly these members, and exactly these bytes again when written. */
int logentry_parse(struct view text, struct logentry *ret, struct diag *diag) MUST_USE;
void logentry_done(struct logentry *entry);

#endif
