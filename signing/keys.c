/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "keys.h"

#include "base64.h"

#include <sodium.h>
#include <stdlib.h>

_Static_assert(KEYS_PUBLIC_SIZE == crypto_sign_PUBLICKEYBYTES, "Ed25519 public keys");
_Static_assert(KEYS_SEED_SIZE == crypto_sign_SEEDBYTES, "Ed25519 seeds");
_Static_assert(KEYS_SIGNATURE_SIZE == crypto_sign_BYTES, "Ed25519 signatures");

/* Lives in sodium_malloc memory as a whole, made read-only once filled. libsodium's secret key is seed || public. */
struct key_pair {
    unsigned char secret[crypto_sign_SECRETKEYBYTES];
    struct public_key public_key;
};

/* RFC 8410: SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING } up to the key itself. */
static const unsigned char spki_prefix[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                            0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
#define PEM_BEGIN "-----BEGIN PUBLIC KEY-----\n"
#define PEM_END   "\n-----END PUBLIC KEY-----\n"

bool keys_public_is_valid(const struct public_key *key)
{
    /* Canonical, on the curve, in the prime-order subgroup, and not of small order. */
    return crypto_core_ed25519_is_valid_point(key->bytes) == 1;
}

bool keys_public_parse(struct view hex, struct public_key *ret)
{
    struct public_key key;
    if (!hex_decode(hex, key.bytes, sizeof key.bytes) || !keys_public_is_valid(&key))
        return false;
    *ret = key;
    return true;
}

struct digest keys_id(const struct public_key *key)
{
    char hex[2 * KEYS_PUBLIC_SIZE + 1], text[160];
    hex_encode(key->bytes, sizeof key->bytes, hex);
    int size =
        snprintf(text, sizeof text,
                 "{\"keytype\":\"ed25519\",\"keyval\":{\"public\":\"%s\"},\"scheme\":\"ed25519\"}", hex);
    return digest_of(view_of(text, (size_t)size));
}

void keys_public_write_pem(const struct public_key *key, struct buf *ret)
{
    unsigned char spki[sizeof spki_prefix + KEYS_PUBLIC_SIZE];
    memcpy(spki, spki_prefix, sizeof spki_prefix);
    memcpy(spki + sizeof spki_prefix, key->bytes, KEYS_PUBLIC_SIZE);
    buf_add_text(ret, PEM_BEGIN);
    base64_encode(view_of(spki, sizeof spki), ret);
    buf_add_text(ret, PEM_END);
}

static bool pem_body(struct view text, struct view *ret)
{
    struct view begin = VIEW(PEM_BEGIN), end = VIEW(PEM_END);
    if (text.size > 0 && text.data[text.size - 1] != '\n')
        end.size--;
    if (text.size <= begin.size + end.size || !view_starts(text, begin) || !view_ends(text, end))
        return false;
    *ret = view_of(text.data + begin.size, text.size - begin.size - end.size);
    return true;
}

int keys_public_read_pem(struct view text, struct public_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf spki = BUF_INIT;
    struct view body;
    if (!pem_body(text, &body) || !base64_decode(body, &spki) ||
        spki.size != sizeof spki_prefix + KEYS_PUBLIC_SIZE ||
        memcmp(spki.data, spki_prefix, sizeof spki_prefix) != 0)
        return diag_set(diag, FARM_E_SYNTAX, "not an Ed25519 public key in PEM (-----BEGIN PUBLIC KEY-----)");
    struct public_key key;
    memcpy(key.bytes, spki.data + sizeof spki_prefix, sizeof key.bytes);
    if (!keys_public_is_valid(&key))
        return diag_set(diag, FARM_E_REFUSED,
                        "this public key is not a point of Ed25519's prime-order group");
    *ret = key;
    return 0;
}

bool keys_verify(const struct public_key *key, struct view message, const struct signature *signature)
{
    return keys_public_is_valid(key) && keys_verify_valid(key, message, signature);
}

bool keys_verify_valid(const struct public_key *key, struct view message, const struct signature *signature)
{
    return crypto_sign_verify_detached(signature->bytes, (const unsigned char *)message.data, message.size,
                                       key->bytes) == 0;
}

static struct key_pair *pair_alloc(void)
{
    struct key_pair *pair = sodium_init() < 0 ? NULL : sodium_malloc(sizeof *pair);
    if (pair == NULL)
        abort(); /* no random numbers, or no memory that can be locked away: nothing good could follow */
    return pair;
}

struct key_pair *keys_generate(void)
{
    struct key_pair *pair = pair_alloc();
    crypto_sign_keypair(pair->public_key.bytes, pair->secret);
    sodium_mprotect_readonly(pair);
    return pair;
}

struct key_pair *keys_from_seed(const unsigned char seed[KEYS_SEED_SIZE])
{
    struct key_pair *pair = pair_alloc();
    crypto_sign_seed_keypair(pair->public_key.bytes, pair->secret, seed);
    sodium_mprotect_readonly(pair);
    return pair;
}

struct key_pair *keys_free(struct key_pair *pair)
{
    sodium_free(pair); /* wipes; accepts NULL */
    return NULL;
}

void keys_free_p(struct key_pair **pair)
{
    *pair = keys_free(*pair);
}

const struct public_key *keys_public(const struct key_pair *pair)
{
    return &pair->public_key;
}

const unsigned char *keys_seed(const struct key_pair *pair)
{
    return pair->secret; /* the first half */
}

int keys_sign(const struct key_pair *pair, struct view message, struct signature *ret, struct diag *diag)
{
    struct signature signature;
    crypto_sign_detached(signature.bytes, NULL, (const unsigned char *)message.data, message.size,
                         pair->secret);
    if (!keys_verify_valid(&pair->public_key, message, &signature))
        return diag_set(
            diag, FARM_E_CORRUPT,
            "the signature just made does not verify: this machine computes wrongly, check its memory");
    *ret = signature;
    return 0;
}
