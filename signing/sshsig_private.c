/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * OpenSSH private key files (openssh-key-v1, PROTOCOL.key), without passphrase: read and written in guarded memory only.
 *
 *     "openssh-key-v1\0", cipher "none", kdf "none", kdf options "", number of keys 1, public key,
 *     string { check, check, "ssh-ed25519", public, secret (seed || public), comment, padding 1 2 3 ... }
 */
#include "sshsig.h"

#include "base64.h"
#include "file.h"
#include "identity.h"
#include "sshwire.h"

#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>

#define LABEL "OPENSSH PRIVATE KEY"
#define MAGIC "openssh-key-v1" /* and its NUL */
#define TYPE  "ssh-ed25519"

enum { LINE_WIDTH = 70, PADDING = 8, COMMENT_MAX = 200 };

static int malformed(const char *path, struct diag *diag)
{
    return diag_set(diag, FARM_E_CONFIG, "%s: damaged OpenSSH private key", path);
}

static int check_cipher(struct view *rest, const char *path, struct diag *diag)
{
    struct view magic, cipher, kdf, options;
    uint32_t count;
    if (!sshwire_take(rest, sizeof MAGIC, &magic) || memcmp(magic.data, MAGIC, sizeof MAGIC) != 0 ||
        !sshwire_take_string(rest, &cipher) || !sshwire_take_string(rest, &kdf) ||
        !sshwire_take_string(rest, &options) || !sshwire_take_number(rest, &count))
        return malformed(path, diag);
    if (!view_equal(cipher, VIEW("none")))
        return diag_set(diag, FARM_E_UNAVAILABLE,
                        "%s: this key has a passphrase; sign with \"ssh-keygen -Y sign -n NAMESPACE -f %s "
                        "FILE\", which asks "
                        "for it and writes the same signature to FILE.sig",
                        path, path);
    return count == 1 ? 0 : malformed(path, diag);
}

static int check_type(struct view blob, const char *path, struct diag *diag)
{
    struct view type;
    if (!sshwire_take_string(&blob, &type))
        return malformed(path, diag);
    if (view_starts(type, VIEW("sk-")))
        return diag_set(
            diag, FARM_E_UNAVAILABLE,
            "%s: this key lives in a token; sign with \"ssh-keygen -Y sign -n NAMESPACE -f %s FILE\"", path,
            path);
    if (!view_equal(type, VIEW(TYPE)))
        return diag_set(diag, FARM_E_UNSUPPORTED,
                        "%s: not an Ed25519 key; make one with \"ssh-keygen -t ed25519\"", path);
    return 0;
}

static int parse_secret(struct view block, const char *path, struct key_pair **ret, struct diag *diag)
{
    uint32_t one, two;
    struct view point, secret, comment;
    if (!sshwire_take_number(&block, &one) || !sshwire_take_number(&block, &two) || one != two ||
        !sshwire_take_this(&block, VIEW(TYPE)) || !sshwire_take_string(&block, &point) ||
        !sshwire_take_string(&block, &secret) || !sshwire_take_string(&block, &comment) ||
        block.size >= PADDING || point.size != KEYS_PUBLIC_SIZE ||
        secret.size != KEYS_SEED_SIZE + KEYS_PUBLIC_SIZE)
        return malformed(path, diag);
    struct key_pair *pair = keys_from_seed((const unsigned char *)secret.data);
    if (memcmp(keys_public(pair)->bytes, point.data, KEYS_PUBLIC_SIZE) != 0) {
        keys_free(pair);
        return malformed(path, diag);
    }
    *ret = pair;
    return 0;
}

static int parse_blob(struct view blob, const char *path, struct key_pair **ret, struct diag *diag)
{
    struct view public_blob, block;
    int result = check_cipher(&blob, path, diag);
    if (result < 0)
        return result;
    if (!sshwire_take_string(&blob, &public_blob) || !sshwire_take_string(&blob, &block) || blob.size != 0)
        return malformed(path, diag);
    result = check_type(public_blob, path, diag);
    return result < 0 ? result : parse_secret(block, path, ret, diag);
}

static int parse_pem(struct view text, const char *path, struct key_pair **ret, struct diag *diag)
{
    struct view body;
    if (!sshwire_find_armor(text, LABEL, &body))
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: neither an OpenSSH private key nor a machine key file; an old PEM key is "
                        "converted by \"ssh-keygen -p -f %s\"",
                        path, path);
    unsigned char *blob = sodium_init() < 0 ? NULL : sodium_malloc(SSHSIG_PRIVATE_MAX);
    if (blob == NULL)
        abort();
    size_t size = 0;
    int result = sodium_base642bin(blob, SSHSIG_PRIVATE_MAX, body.data, body.size, "\n", &size, NULL,
                                   sodium_base64_VARIANT_ORIGINAL) == 0
                     ? parse_blob(view_of(blob, size), path, ret, diag)
                     : malformed(path, diag);
    sodium_free(blob);
    return result;
}

static int read_machine_key(int dirfd, const char *path, struct key_pair **ret, struct diag *diag)
{
    struct identity *identity = NULL;
    int result = identity_read(dirfd, path, &identity, diag);
    if (result < 0)
        return result;
    *ret = keys_from_seed(keys_seed(identity_keys(identity)));
    identity_free(identity);
    return 0;
}

int ssh_private_key_read(int dirfd, const char *path, struct key_pair **ret, struct diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    int result = identity_read_secret_file(dirfd, path, SSHSIG_PRIVATE_MAX, &text, &size, diag);
    if (result < 0)
        return result;
    bool machine = view_starts(view_of(text, size), VIEW("intergenos-farm-key "));
    if (!machine)
        result = parse_pem(view_of(text, size), path, ret, diag);
    identity_secret_free(text);
    return machine ? read_machine_key(dirfd, path, ret, diag) : result;
}

/* A writer into fixed guarded memory: a growing buffer would leave copies of the secret behind. */
struct pen {
    unsigned char *at;
};

static void put(struct pen *pen, const void *data, size_t size)
{
    memcpy(pen->at, data, size);
    pen->at += size;
}

static void put_number(struct pen *pen, uint32_t number)
{
    const unsigned char bytes[4] = {(unsigned char)(number >> 24), (unsigned char)(number >> 16),
                                    (unsigned char)(number >> 8), (unsigned char)number};
    put(pen, bytes, sizeof bytes);
}

static void put_string(struct pen *pen, const void *data, size_t size)
{
    put_number(pen, (uint32_t)size);
    put(pen, data, size);
}

static void put_secret_block(struct pen *pen, const struct key_pair *pair, const char *comment)
{
    const unsigned char *begin = pen->at;
    uint32_t check = randombytes_random();
    put_number(pen, check);
    put_number(pen, check);
    put_string(pen, TYPE, strlen(TYPE));
    put_string(pen, keys_public(pair)->bytes, KEYS_PUBLIC_SIZE);
    put_number(pen, KEYS_SEED_SIZE + KEYS_PUBLIC_SIZE);
    put(pen, keys_seed(pair), KEYS_SEED_SIZE);
    put(pen, keys_public(pair)->bytes, KEYS_PUBLIC_SIZE);
    put_string(pen, comment, strlen(comment));
    for (unsigned char pad = 1; (size_t)(pen->at - begin) % PADDING != 0; pad++)
        put(pen, &pad, 1);
}

/* Returns the size; 'to' has room for SSHSIG_PRIVATE_MAX. */
static size_t write_blob(const struct key_pair *pair, const char *comment, unsigned char *to)
{
    struct pen pen = {to};
    put(&pen, MAGIC, sizeof MAGIC);
    put_string(&pen, "none", 4);
    put_string(&pen, "none", 4);
    put_string(&pen, "", 0);
    put_number(&pen, 1);
    put_number(&pen, 4 + (uint32_t)strlen(TYPE) + 4 + KEYS_PUBLIC_SIZE);
    put_string(&pen, TYPE, strlen(TYPE));
    put_string(&pen, keys_public(pair)->bytes, KEYS_PUBLIC_SIZE);
    struct pen size_at = pen;
    put_number(&pen, 0);
    const unsigned char *block = pen.at;
    put_secret_block(&pen, pair, comment);
    put_number(&size_at, (uint32_t)(pen.at - block));
    return (size_t)(pen.at - to);
}

/* Lines of base64 between the frame lines; 'to' is guarded and has room. Returns the size. */
static size_t write_pem(const unsigned char *blob, size_t size, char *base64, char *to)
{
    sodium_bin2base64(base64, SSHSIG_PRIVATE_MAX, blob, size, sodium_base64_VARIANT_ORIGINAL);
    struct pen pen = {(unsigned char *)to};
    put(&pen, "-----BEGIN " LABEL "-----\n", strlen("-----BEGIN " LABEL "-----\n"));
    for (size_t left = strlen(base64), width; left > 0; left -= width, base64 += width) {
        width = left < LINE_WIDTH ? left : LINE_WIDTH;
        put(&pen, base64, width);
        put(&pen, "\n", 1);
    }
    put(&pen, "-----END " LABEL "-----\n", strlen("-----END " LABEL "-----\n"));
    return (size_t)((char *)pen.at - to);
}

static int write_public(const struct key_pair *pair, const char *comment, int dirfd, const char *path,
                        struct diag *diag)
{
    CLEANUP_FREE char *name = mem_format("%s.pub", path);
    CLEANUP_BUF struct buf line = BUF_INIT;
    struct ssh_public_key key = ssh_public_key_of(pair);
    ssh_public_key_write(&key, &line);
    buf_add_format(&line, "%s%s\n", comment[0] != '\0' ? " " : "", comment);
    return file_create(dirfd, name, buf_view(&line), 0644, diag);
}

int ssh_private_key_write(const struct key_pair *pair, const char *comment, int dirfd, const char *path,
                          struct diag *diag)
{
    struct view text = view_text(comment);
    if (text.size > COMMENT_MAX || !view_is_utf8(text) || strchr(comment, '\n') != NULL)
        return diag_set(diag, FARM_E_USAGE, "a key's comment is one line of at most %d bytes", COMMENT_MAX);
    char *memory = sodium_init() < 0 ? NULL : sodium_malloc((size_t)3 * SSHSIG_PRIVATE_MAX);
    if (memory == NULL)
        abort();
    char *base64 = memory + SSHSIG_PRIVATE_MAX, *pem = base64 + SSHSIG_PRIVATE_MAX;
    size_t size = write_blob(pair, comment, (unsigned char *)memory);
    size = write_pem((unsigned char *)memory, size, base64, pem);
    int result = file_create(dirfd, path, view_of(pem, size), 0600, diag);
    sodium_free(memory);
    return result < 0 ? result : write_public(pair, comment, dirfd, path, diag);
}
