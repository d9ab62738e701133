/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keys: Ed25519 (RFC 8032) key pairs, with the secret half in guarded memory (libsodium: guard pages, locked, wiped).
 *
 * What counts as a signature is stricter than RFC 8032 asks: the public key must be a canonical point of the
 * prime-order group (case W4: no small order, no mixed order), R must not be of small order, S must be reduced
 * (case E5), and the equation holds without the cofactor. So a signature has one form, and every verifier agrees on it.
 *
 * All functions may be called from any thread; a key pair is read-only once made.
 */
#ifndef FARM_KEYS_H
#define FARM_KEYS_H

#include "buf.h"
#include "digest.h"

enum { KEYS_PUBLIC_SIZE = 32, KEYS_SEED_SIZE = 32, KEYS_SIGNATURE_SIZE = 64 };

struct public_key {
    unsigned char bytes[KEYS_PUBLIC_SIZE];
};
struct signature {
    unsigned char bytes[KEYS_SIGNATURE_SIZE];
};
struct key_pair; /* the secret never leaves keys.c, but for the files that identity.h and sshsig.h write */

/* Whether the bytes are a point that an honest key generator can make. */
bool keys_public_is_valid(const struct public_key *key);
/* Exactly 64 lower-case hex digits of a valid point. */
bool keys_public_parse(struct view hex, struct public_key *ret);
static inline bool keys_public_equal(const struct public_key *a, const struct public_key *b)
{
    return memcmp(a->bytes, b->bytes, KEYS_PUBLIC_SIZE) == 0;
}
/* SHA-256 of {"keytype":"ed25519","keyval":{"public":"<hex>"},"scheme":"ed25519"}, as securesystemslib computes it. */
struct digest keys_id(const struct public_key *key);
/* SPKI in PEM (RFC 8410), as other tools read it. Appends. */
void keys_public_write_pem(const struct public_key *key, struct buf *ret);
/* Exactly what keys_public_write_pem writes (a missing last newline is fine). */
int keys_public_read_pem(struct view text, struct public_key *ret, struct diag *diag) MUST_USE;

/* Strict, as described above; false also for an invalid key. */
bool keys_verify(const struct public_key *key, struct view message,
                 const struct signature *signature) MUST_USE;
/*
 * The same for a key that keys_public_is_valid() has accepted, as all have that a decoder of ours gave: looking at it again
 * takes as long as the signature.
 */
bool keys_verify_valid(const struct public_key *key, struct view message,
                       const struct signature *signature) MUST_USE;

/* Owned, never NULL. */
struct key_pair *keys_generate(void);
struct key_pair *keys_from_seed(const unsigned char seed[KEYS_SEED_SIZE]);
struct key_pair *keys_free(struct key_pair *pair); /* accepts NULL, returns NULL; wipes */
/* Borrowed from the pair. */
const struct public_key *keys_public(const struct key_pair *pair);
const unsigned char *keys_seed(const struct key_pair *pair);
/* Signs, and verifies its own signature before it gives it away (a fault in between would leak the key). */
int keys_sign(const struct key_pair *pair, struct view message, struct signature *ret,
              struct diag *diag) MUST_USE;

void keys_free_p(struct key_pair **pair);
#define CLEANUP_KEYS __attribute__((cleanup(keys_free_p)))

#endif
