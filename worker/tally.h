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

enum { TALLY_FILE_MAX = 256 * 1024, TALLY_TEXT_MAX = DIAG_TEXT_MAX };

struct tally {
    int64_t since_ms; /* wall clock: first start */
    int64_t accepted; /* answers that counted */
    int64_t evidence; /* kept, but no vote */
    int64_t refused;  /* answers that the coordinator refused */
    int64_t failed;   /* of the accepted: builds that failed */
    int64_t returned; /* leases given back */
    int64_t build_ms; /* time spent on accepted builds */
};

/* One slot as it is shown. Borrowed. */
struct tally_slot {
    const char *state, *node, *nonce;
    int64_t running_ms;
};
/* What it does now. Borrowed. */
struct tally_now {
    const char *worker, *operator_name, *coordinator;
    const char *mode;       /* "running", "paused", "draining", "stopped" */
    const char *connection; /* "connected", or why not */
    int64_t written_ms;
    size_t spooled;
    const struct tally_slot *slots;
    size_t nslots;
};

void tally_write(const struct tally *tally, const struct tally_now *now, struct buf *ret);
/* The counts; pure. */
int tally_parse(struct view text, struct tally *ret, struct diag *diag) MUST_USE;
/* For people. FARM_E_SYNTAX if the text is not ours. */
int tally_describe(struct view text, bool is_running, struct buf *ret, struct diag *diag) MUST_USE;

/* Reads status.json; zeros if there is none or it is damaged. */
struct tally tally_load(int state_dirfd, int64_t now_ms);
int tally_save(int state_dirfd, struct view text, struct diag *diag) MUST_USE;

#endif
