/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SHA-256: the name of everything in the farm (FIPS 180-4, computed by OpenSSL's EVP: six times the speed
 * of the portable implementations on machines with SHA instructions).
 */
#ifndef FARM_DIGEST_H
#define FARM_DIGEST_H

#include "diag.h"
#include "view.h"

enum { DIGEST_SIZE = 32, DIGEST_HEX_SIZE = 64 };

struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

/* A hex text on the stack: digest_hex(&d).text in an argument list. */
struct digest_hex {
    char text[DIGEST_HEX_SIZE + 1];
};

struct hasher; /* one running computation */

struct hasher *hasher_new(void);
struct hasher *hasher_free(struct hasher *hasher); /* accepts NULL, returns NULL */
void hasher_add(struct hasher *hasher, const void *data, size_t size);
/* Gives the digest and leaves the hasher ready for the next message. */
struct digest hasher_finish(struct hasher *hasher);

struct digest digest_of(struct view data);
/* Reads the file from its current offset to its end. */
int digest_of_fd(int fd, struct digest *ret, struct diag *diag) MUST_USE;
struct digest_hex digest_hex(const struct digest *digest);
/* Exactly 64 lower-case hex digits. */
bool digest_parse(struct view hex, struct digest *ret);
/* Not constant time: digests are public. */
static inline bool digest_equal(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE) == 0;
}
static inline int digest_compare(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, DIGEST_SIZE);
}
bool digest_is_zero(const struct digest *digest);

/* Lower-case hex of any bytes, into a buffer of 2 * size + 1. */
void hex_encode(const void *data, size_t size, char *ret_text);
/* Lower-case digits only; exactly 2 * size of them. */
bool hex_decode(struct view text, void *ret_data, size_t size);

#endif
