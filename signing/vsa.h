/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * VSA: the farm's word in others' words. Two Verification Summary Attestations (slsa.dev/verification_summary/v1) for each released
 * package, as DSSE envelopes signed with the coordinator's Ed25519 key, one line each in summaries/<name>-<version>.vsa.jsonl: one with the
 * levels SLSA_BUILD_LEVEL_1 and INTERGENOS_QUORUM_<n>, one with SLSA_BUILD_REPRODUCED alone (slsa-verifier rejects a
 * summary that mixes them). The farm's own gate never trusts them: it computes what they must say, and compares.
 *
 * Subjects: payload manifest, canonical tar, archive. inputAttestations: every envelope of the package's own job, by SHA-256.
 */
#ifndef FARM_VSA_H
#define FARM_VSA_H

#include "dsse.h"
#include "release.h"

#define RELEASE_SUMMARIES "summaries" /* <name>-<version>.vsa.jsonl */
#define RELEASE_KEYS                                                                                         \
    "keys" /* SPKI PEM: coordinator.pem, <worker>.pem of each worker whose answer stands in a receipt */
#define VSA_PREDICATE_TYPE "https://slsa.dev/verification_summary/v1"
#define VSA_VERIFIER       "urn:intergenos:farm:coordinator:" /* and the log's origin, or the key's id */

struct vsa_inputs {
    const struct release *release;
    const struct release_package *package;
    const char *verifier; /* after VSA_VERIFIER */
    int64_t
        verified_ms; /* the release's creation: the text is a pure function of the release and its evidence */
    const struct digest *envelopes; /* sorted */
    size_t nenvelopes;
    bool reproduced; /* which of the two */
};
/* The statement's text. Appends. */
void vsa_write(const struct vsa_inputs *inputs, struct buf *ret);
/* Both lines, signed. Appends. */
int vsa_sign(const struct vsa_inputs *inputs, const struct key_pair *key, struct buf *ret,
             struct diag *diag) MUST_USE;
/* The file has exactly these two statements, signed by 'key'. */
int vsa_check(struct view file, const char *name, const struct vsa_inputs *inputs,
              const struct public_key *key, struct diag *diag) MUST_USE;

#endif
