/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "digest.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

/* OpenSSL reports failure here only for exhaustion or a broken provider; neither leaves anything to save. */
static void require(int ok)
{
    if (ok != 1)
        abort();
}

/* Looking an algorithm up takes OpenSSL 3 longer than hashing a hundred bytes; it is done once, and kept. */
static EVP_MD *fetched;
static pthread_once_t fetch_once = PTHREAD_ONCE_INIT;

static void fetch(void)
{
    fetched = EVP_MD_fetch(NULL, "SHA256", NULL);
    require(fetched != NULL);
}

static const EVP_MD *sha256(void)
{
    require(pthread_once(&fetch_once, fetch) == 0);
    return fetched;
}

struct hasher {
    EVP_MD_CTX *context;
};

struct hasher *hasher_new(void)
{
    struct hasher *hasher = mem_zero(1, sizeof *hasher);
    hasher->context = EVP_MD_CTX_new();
    require(hasher->context != NULL);
    require(EVP_DigestInit_ex(hasher->context, sha256(), NULL));
    return hasher;
}

struct hasher *hasher_free(struct hasher *hasher)
{
    if (hasher != NULL)
        EVP_MD_CTX_free(hasher->context);
    free(hasher);
    return NULL;
}

void hasher_add(struct hasher *hasher, const void *data, size_t size)
{
    require(EVP_DigestUpdate(hasher->context, data, size));
}

struct digest hasher_finish(struct hasher *hasher)
{
    struct digest digest;
    require(EVP_DigestFinal_ex(hasher->context, digest.bytes, NULL));
    require(EVP_DigestInit_ex(hasher->context, NULL, NULL));
    return digest;
}

struct digest digest_of(struct view data)
{
    struct digest digest;
    require(EVP_Digest(data.data != NULL ? data.data : "", data.size, digest.bytes, NULL, sha256(), NULL));
    return digest;
}

int digest_of_fd(int fd, struct digest *ret, struct diag *diag)
{
    enum { CHUNK = 256 * 1024 }; /* large enough that the system call does not show, small enough for L2 */
    CLEANUP_FREE char *chunk = mem_alloc(CHUNK);
    struct hasher *hasher = hasher_new();
    ssize_t got;
    while ((got = read(fd, chunk, CHUNK)) != 0) {
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            int error = diag_errno(diag, "read");
            hasher_free(hasher);
            return error;
        }
        hasher_add(hasher, chunk, (size_t)got);
    }
    *ret = hasher_finish(hasher);
    hasher_free(hasher);
    return 0;
}

void hex_encode(const void *data, size_t size, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * size] = '\0';
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

bool hex_decode(struct view text, void *ret_data, size_t size)
{
    if (text.size != 2 * size)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (hex_value(text.data[i]) < 0)
            return false;
    unsigned char *bytes = ret_data;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)(hex_value(text.data[2 * i]) << 4 | hex_value(text.data[2 * i + 1]));
    return true;
}

struct digest_hex digest_hex(const struct digest *digest)
{
    struct digest_hex hex = {{0}};
    hex_encode(digest->bytes, DIGEST_SIZE, hex.text);
    return hex;
}

bool digest_parse(struct view hex, struct digest *ret)
{
    return hex_decode(hex, ret->bytes, DIGEST_SIZE);
}

bool digest_is_zero(const struct digest *digest)
{
    static const struct digest zero;
    return digest_equal(digest, &zero);
}
