/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside signing: which nonces were seen, eight bytes each: SipHash-2-4 under a key of its own, so that who chooses nonces cannot
 * make two of them look alike. "No" is certain; "yes" is wrong once in 2^64 / n. Filled first, asked afterwards.
 */
#ifndef FARM_NONCESET_H
#define FARM_NONCESET_H

#include "statement.h"

struct nonceset;
struct nonceset *nonceset_new(void);
struct nonceset *nonceset_free(struct nonceset *set); /* accepts NULL, returns NULL */
void nonceset_add(struct nonceset *set, const struct lease_nonce *nonce);
/* After the last addition, before the first question. */
void nonceset_seal(struct nonceset *set);
bool nonceset_has(const struct nonceset *set, const struct lease_nonce *nonce);

#endif
