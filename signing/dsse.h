/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DSSE v1: the envelope around what machines sign.
 *
 *     PAE = "DSSEv1" SP len(type) SP type SP len(body) SP body
 *     {"payload":"<base64>","payloadType":"...","signatures":[{"keyid":"...","sig":"<base64>"}]}
 *
 * The payload comes out only after it verified, and only those bytes may be parsed. 'keyid' is an unauthenticated
 * hint that is never read here: each signature is tried against each trusted key, and a threshold counts distinct keys.
 */
#ifndef FARM_DSSE_H
#define FARM_DSSE_H

#include "keys.h"

#define DSSE_TYPE_INTOTO "application/vnd.in-toto+json"

enum {
    DSSE_ENVELOPE_MAX =
        1024 * 1024,          /* a statement with 2,000 dependencies has 300 KiB, base64 adds a third */
    DSSE_SIGNATURES_MAX = 16, /* a worker signs once; 16 keys x 16 signatures bounds the verifying */
    DSSE_TRUSTED_MAX = 64
};

void dsse_pae(struct view type, struct view body, struct buf *ret);

/* Appends the canonical envelope with one signature of each pair; keyids included. */
int dsse_sign(const char *type, struct view body, const struct key_pair *const *pairs, size_t npairs,
              struct buf *ret, struct diag *diag) MUST_USE;

/*
 * Verifies that at least 'threshold' distinct keys of 'trusted' signed, and that the type is exactly 'type'; appends the
 * payload. Errors: FARM_E_LIMIT, FARM_E_SYNTAX (also E4: duplicate keys, trailing bytes, depth), FARM_E_SIGNATURE.
 */
int dsse_verify(struct view envelope, const char *type, const struct public_key *trusted, size_t ntrusted,
                unsigned int threshold, struct buf *ret_payload, struct diag *diag) MUST_USE;

/*
 * Whether the envelope is written in our canonical form (compact, sorted keys, exactly the three members), which is what
 * the coordinator accepts from workers: an attestation then has one byte form, also inside a receipt's line.
 */
bool dsse_is_canonical(struct view envelope);
/*
 * As dsse_verify() with one key, and only what dsse_sign() writes for one signature by it, byte for byte: also the standard base64
 * alphabet, the key's own keyid, no further signature (FARM_E_REFUSED). Nobody but the signer can then give an answer a second form, and
 * digest. The key is one that keys_public_is_valid() has accepted.
 */
int dsse_open(struct view envelope, const char *type, const struct public_key *key, struct buf *ret_payload,
              struct diag *diag) MUST_USE;

#endif
