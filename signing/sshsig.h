/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SSHSIG: what people sign (OpenSSH's PROTOCOL.sshsig), with keys that they already have: ssh-ed25519 in a file, or
 * sk-ssh-ed25519@openssh.com in a token. RSA and ECDSA are refused by name.
 *
 * Signing here is for key files without passphrase (and for machine identities); everybody else, and every token, signs
 * with "ssh-keygen -Y sign -n NAMESPACE -f KEY FILE", which writes the same format.
 *
 * A signature says which key made it; whether that key counts is the trust root's business (root.h). Verified
 * here: armor, magic, version 1, namespace, hash sha256 or sha512, the signature; for tokens that the application begins with "ssh:" and
 * that a person touched them (flag 0x01). Whether the person also gave a PIN or finger (0x04) is reported.
 */
#ifndef FARM_SSHSIG_H
#define FARM_SSHSIG_H

#include "keys.h"

#define SSHSIG_NAMESPACE_ROOT    "root@intergenos"
#define SSHSIG_NAMESPACE_WORKERS "workers@intergenos"
#define SSHSIG_NAMESPACE_RELEASE "release@intergenos"
#define SSHSIG_NAMESPACE_WAIVER  "waiver@intergenos"
/* Reserved: nothing signs in them yet. */
#define SSHSIG_NAMESPACE_SEAL       "seal@intergenos"
#define SSHSIG_NAMESPACE_RESOLUTION "resolution@intergenos"

enum {
    SSHSIG_ARMOR_MAX = 8192, /* an RSA-16384 signature, refused by name rather than by size, has 6 KiB */
    SSHSIG_APPLICATION_MAX = 128,
    SSHSIG_PUBLIC_MAX = 8192,
    SSHSIG_PRIVATE_MAX = 16384
};

enum ssh_key_type { SSH_KEY_ED25519, SSH_KEY_SK_ED25519 };

struct ssh_public_key {
    enum ssh_key_type type;
    struct public_key key;
    char application[SSHSIG_APPLICATION_MAX]; /* tokens: "ssh:", or what begins so; "" otherwise */
};

/* "ssh-ed25519 AAAA... [comment]", one line as in id_ed25519.pub; the key must be a valid point. */
int ssh_public_key_parse(struct view line, const char *name, struct ssh_public_key *ret,
                         struct diag *diag) MUST_USE;
/* Appends that form, without comment and newline. */
void ssh_public_key_write(const struct ssh_public_key *key, struct buf *ret);
/* Appends "SHA256:<base64>", as "ssh-keygen -l" shows it: what people compare by eye. */
void ssh_public_key_fingerprint(const struct ssh_public_key *key, struct buf *ret);
/* Same key material; what is around it does not matter, so that one key cannot be two. */
static inline bool ssh_public_key_equal(const struct ssh_public_key *a, const struct ssh_public_key *b)
{
    return keys_public_equal(&a->key, &b->key);
}
struct ssh_public_key ssh_public_key_of(const struct key_pair *pair);

/*
 * Reads a secret key for signing: an OpenSSH private key without passphrase, or a machine identity (identity.h).
 * Permissions as in identity.h. Keys with a passphrase and keys in tokens: FARM_E_UNAVAILABLE, with the ssh-keygen
 * command that does it instead.
 */
int ssh_private_key_read(int dirfd, const char *path, struct key_pair **ret, struct diag *diag) MUST_USE;
/* Writes an OpenSSH private key file (no passphrase, mode 0600, never replaces) and "<path>.pub". */
int ssh_private_key_write(const struct key_pair *pair, const char *comment, int dirfd, const char *path,
                          struct diag *diag) MUST_USE;

/* Appends an armored signature (hash sha512). */
int sshsig_sign(const struct key_pair *pair, const char *name_space, struct view message, struct buf *ret,
                struct diag *diag) MUST_USE;

struct sshsig {
    struct ssh_public_key key;
    bool user_verified; /* tokens: PIN or finger, flag 0x04 */
};
/* Errors: FARM_E_SYNTAX, FARM_E_UNSUPPORTED (rsa, ecdsa, versions, hashes), FARM_E_SIGNATURE. */
int sshsig_verify(struct view armored, const char *name_space, struct view message, struct sshsig *ret,
                  struct diag *diag) MUST_USE;

#endif
