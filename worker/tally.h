/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tally: what this worker did, for its owner. Kept in status.json beside what it does now; a convenience, so
 * it is replaced without waiting for the disk, and one that cannot be read starts again from zero.
 */
#ifndef FARM_TALLY_H
#define FARM_TALLY_H

#include "buf.h"
#include "diag.h"
#include "json.h"

enum {
    TALLY_FILE_MAX = 256 * 1024,
    TALLY_TEXT_MAX = DIAG_TEXT_MAX,
    TALLY_REFUSALS = 5, /* the last ones are told; more are in the log */
    TALLY_NODE_MAX = 256,
    TALLY_REASON_MAX = 512
};

/* An answer that the coordinator refused, and why. */
struct tally_refusal {
    int64_t at_ms; /* wall clock */
    char node[TALLY_NODE_MAX + 1], reason[TALLY_REASON_MAX + 1];
};

struct tally {
    int64_t since_ms;                              /* wall clock: first start */
    int64_t accepted;                              /* answers that counted */
    int64_t evidence;                              /* kept, but no vote */
    int64_t refused;                               /* answers that the coordinator refused */
    int64_t failed;                                /* of the accepted: builds that failed */
    int64_t returned;                              /* leases given back */
    int64_t build_ms;                              /* time spent on accepted builds */
    struct tally_refusal refusals[TALLY_REFUSALS]; /* the newest last */
    size_t nrefusals;
};

/* One slot as it is shown. Borrowed. */
struct tally_slot {
    const char *state, *node, *nonce;
    int64_t running_ms;
};
/* What it does now. Borrowed. */
struct tally_now {
    const char *worker, *operator_name, *coordinator;
    const char *mode;        /* "running", "paused", "taking no leases", "alarm", "draining", "stopped" */
    const char *connection;  /* "connected", or why not */
    const char *hindrance;   /* why no leases are taken; "" */
    const char *trust, *log; /* what is known of the trust root, and seen of the log */
    int64_t written_ms;
    size_t spooled;
    const struct tally_slot *slots;
    size_t nslots;
};

/* Drops the oldest if there are too many; cuts what is too long. */
void tally_add_refusal(struct tally *tally, int64_t at_ms, const char *node, const char *reason);
void tally_write(const struct tally *tally, const struct tally_now *now, struct buf *ret);
/* The counts; pure. */
int tally_parse(struct view text, struct tally *ret, struct diag *diag) MUST_USE;
/* For people. FARM_E_SYNTAX if the text is not ours. */
int tally_describe(struct view text, bool is_running, struct buf *ret, struct diag *diag) MUST_USE;

/* Reads status.json; zeros if there is none or it is damaged. */
struct tally tally_load(int state_dirfd, int64_t now_ms);
int tally_save(int state_dirfd, struct view text, struct diag *diag) MUST_USE;

#endif
