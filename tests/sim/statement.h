/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Statements: what a worker signs about a lease, as bytes in the wire's envelope. The signature is modelled by a digest over the
 * signer's secret; who has not the secret cannot make one.
 *
 * The judge keeps every statement that was ever really signed, and by whom.
 */
#ifndef SIM_STATEMENT_H
#define SIM_STATEMENT_H

#include "buf.h"
#include "core.h"

struct statement {
    size_t worker;
    struct core_nonce nonce;
    struct digest key;
    enum failure_kind failure;
    struct digest payload, tar, log;
    uint64_t salt; /* two statements that say the same are two envelopes */
};

/* Appends the envelope. */
void statement_sign(const struct statement *statement, const struct digest *secret, struct buf *ret);
/* FARM_E_SYNTAX, FARM_E_SIGNATURE. */
int statement_open(struct view envelope, const struct digest *secret, struct statement *ret) MUST_USE;

#endif
