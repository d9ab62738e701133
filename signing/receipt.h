/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Receipt: the evidence for one artifact, receipts/<name>-<version>.intoto.jsonl: one JSON object per line, canonical, LF.
 * It covers the package's own job and the job of every dependency in its build closure.
 *
 *     {"granted":"<time>","job":"<hex>","kind":"lease","nonce":"<hex>","open":false,"operator":"alpha","outcome":"answered",
 *      "round":1,"worker":"alpha-1"}                  one per lease that the log shows for the job below the release's checkpoint
 *     {"job":"<hex>","kind":"envelope","payload":"...","payloadType":"...","signatures":[...]}     a DSSE envelope, with
 *                                       two members more: other tools read it as it is (DSSE ignores unknown members);
 *                                       without them, written canonically, it is byte for byte what the worker sent
 *     {"dissent":0,"job":"<hex>","kind":"verdict","operators":2,"payload":"<hex>","state":"agreed"}    what the coordinator
 *                                       claims; who checks computes it again
 *
 * Outcomes are the log's: answered (an envelope is there), late (an envelope came after the lease had ended), expired, returned (given
 * back unanswered, or withdrawn), refused (the answer broke a rule and is not evidence), revoked.
 * Lines are sorted by (kind, job, nonce or digest), kinds as above, so that equal evidence is equal bytes.
 */
#ifndef FARM_RECEIPT_H
#define FARM_RECEIPT_H

#include "statement.h"

enum {
    RECEIPT_SIZE_MAX = 256 * 1024 * 1024,
    RECEIPT_LINE_MAX = DSSE_ENVELOPE_MAX + 4096,
    RECEIPT_LINES_MAX = 200000
};

enum lease_outcome {
    OUTCOME_ANSWERED,
    OUTCOME_LATE,
    OUTCOME_EXPIRED,
    OUTCOME_RETURNED,
    OUTCOME_REFUSED,
    OUTCOME_REVOKED
};

struct receipt_lease {
    struct digest job;
    struct lease_nonce nonce;
    uint32_t round;
    bool open; /* answered after the round's first verdict */
    char *worker, *operator_name;
    int64_t granted_ms;
    enum lease_outcome outcome;
    struct digest line; /* SHA-256 of the line that it was read from; so in the other two */
};
struct receipt_envelope {
    struct digest job;
    struct digest digest; /* SHA-256 of the bytes */
    char *bytes;          /* canonical envelope as the worker sent it */
    size_t size;
    struct digest line;
};
struct receipt_verdict {
    struct digest job;
    enum verdict_state state;
    struct digest payload; /* zero unless agreed */
    uint32_t operators, dissent;
    struct digest line;
};
/* Everything owned. */
struct receipt {
    struct receipt_lease *leases;
    size_t nleases, leases_capacity;
    struct receipt_envelope *envelopes;
    size_t nenvelopes, envelopes_capacity;
    struct receipt_verdict *verdicts;
    size_t nverdicts, verdicts_capacity;
};

#define RECEIPT_INIT                                                                                         \
    {                                                                                                        \
        0                                                                                                    \
    }
void receipt_done(struct receipt *receipt);

/* Copies are taken. An envelope that is not canonical is FARM_E_REFUSED (the coordinator refused it on arrival). */
void receipt_add_lease(struct receipt *receipt, const struct receipt_lease *lease);
int receipt_add_envelope(struct receipt *receipt, const struct digest *job, struct view bytes,
                         struct diag *diag) MUST_USE;
void receipt_add_verdict(struct receipt *receipt, const struct receipt_verdict *verdict);
/* Sorts, then appends the lines. */
void receipt_write(struct receipt *receipt, struct buf *ret);
/* Form only; no signature is looked at. Duplicate leases, envelopes or verdicts are refused with the line. */
int receipt_parse(struct view text, const char *name, struct receipt *ret, struct diag *diag) MUST_USE;

/*
 * Receipts repeat each other's lines, and an envelope is costly to take apart. Whoever reads many adds each receipt here once it has used
 * it; a line that was added before is not parsed again: of its lease, envelope or verdict only 'job', 'nonce' or 'digest', and 'line' are
 * filled. Safe from several threads.
 */
struct receipt_lines;
struct receipt_lines *receipt_lines_new(void);
struct receipt_lines *receipt_lines_free(struct receipt_lines *lines); /* accepts NULL, returns NULL */
void receipt_lines_add(struct receipt_lines *lines, const struct receipt *receipt);
/* As receipt_parse; 'lines' may be NULL. */
int receipt_parse_known(struct view text, const char *name, struct receipt_lines *lines, struct receipt *ret,
                        struct diag *diag) MUST_USE;

const char *lease_outcome_name(enum lease_outcome outcome);
/* A negative value for an unknown name. */
int lease_outcome_parse(struct view name);

#endif
