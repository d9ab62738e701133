/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Public keys and signatures. Secret key files are in sshsig_private.c. */
#include "sshsig.h"

#include "base64.h"
#include "sshwire.h"

#include <sodium.h>

#define MAGIC        "SSHSIG"
#define ARMOR        "SSH SIGNATURE"
#define TYPE_ED25519 "ssh-ed25519"
#define TYPE_SK      "sk-ssh-ed25519@openssh.com"

enum { VERSION = 1, ARMOR_WIDTH = 70, HASH_SIZE_MAX = 64 };
/* Flags of a token's signature (FIDO authenticator data). */
enum { FLAG_PRESENT = 0x01, FLAG_VERIFIED = 0x04 };

static struct view type_text(enum ssh_key_type type)
{
    switch (type) {
    case SSH_KEY_ED25519:
        return VIEW(TYPE_ED25519);
    case SSH_KEY_SK_ED25519:
        return VIEW(TYPE_SK);
    }
    return VIEW_NONE;
}

static int refuse_type(struct view type, const char *name, struct diag *diag)
{
    if (!view_is_token(type) || type.size > 64)
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an SSH key", name);
    return diag_set(diag, FARM_E_UNSUPPORTED,
                    "%s: keys of type %.*s are not accepted; make one with \"ssh-keygen -t ed25519\" "
                    "(or -t ed25519-sk in a token)",
                    name, VIEW_ARG(type));
}

static int find_type(struct view type, const char *name, enum ssh_key_type *ret, struct diag *diag)
{
    for (int t = SSH_KEY_ED25519; t <= SSH_KEY_SK_ED25519; t++)
        if (view_equal(type, type_text((enum ssh_key_type)t))) {
            *ret = (enum ssh_key_type)t;
            return 0;
        }
    return refuse_type(type, name, diag);
}

/* PROTOCOL.u2f: applications of SSH keys begin with "ssh:". A token's credential for a web site is no SSH key. */
static bool take_application(struct view *rest, struct ssh_public_key *key)
{
    struct view text;
    if (!sshwire_take_string(rest, &text) || text.size == 0 || text.size >= sizeof key->application ||
        !view_is_token(text) || !view_starts(text, VIEW("ssh:")))
        return false;
    memcpy(key->application, text.data, text.size);
    return true;
}

static int parse_blob(struct view blob, const char *name, struct ssh_public_key *ret, struct diag *diag)
{
    struct ssh_public_key key = {0};
    struct view type, point;
    if (!sshwire_take_string(&blob, &type))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an SSH key", name);
    int result = find_type(type, name, &key.type, diag);
    if (result < 0)
        return result;
    if (!sshwire_take_string(&blob, &point) || point.size != KEYS_PUBLIC_SIZE ||
        (key.type == SSH_KEY_SK_ED25519 && !take_application(&blob, &key)) || blob.size != 0)
        return diag_set(diag, FARM_E_SYNTAX, "%s: malformed %.*s key%s", name, VIEW_ARG(type),
                        key.type == SSH_KEY_SK_ED25519 ? " (a token's application must begin with \"ssh:\")"
                                                       : "");
    memcpy(key.key.bytes, point.data, point.size);
    if (!keys_public_is_valid(&key.key))
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: not a point of Ed25519's prime-order group; no honest program makes "
                        "such a key",
                        name);
    *ret = key;
    return 0;
}

static void write_blob(const struct ssh_public_key *key, struct buf *ret)
{
    sshwire_add_string(ret, type_text(key->type));
    sshwire_add_string(ret, view_of(key->key.bytes, KEYS_PUBLIC_SIZE));
    if (key->type == SSH_KEY_SK_ED25519)
        sshwire_add_string(ret, view_text(key->application));
}

int ssh_public_key_parse(struct view line, const char *name, struct ssh_public_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf blob = BUF_INIT;
    struct ssh_public_key key = {0};
    struct view type, base64, rest = line;
    enum ssh_key_type outer = SSH_KEY_ED25519;
    if (line.size > 0 && line.data[line.size - 1] == '\n')
        rest.size--;
    if (line.size > SSHSIG_PUBLIC_MAX || memchr(rest.data != NULL ? rest.data : "", '\n', rest.size) != NULL)
        return diag_set(diag, FARM_E_SYNTAX, "%s: an SSH public key is one line", name);
    if (!view_split(&rest, ' ', &type) || !view_split(&rest, ' ', &base64))
        return diag_set(diag, FARM_E_SYNTAX, "%s: not an SSH public key (\"ssh-ed25519 AAAA...\")", name);
    int result = find_type(type, name, &outer, diag);
    if (result < 0)
        return result;
    if (!base64_decode(base64, &blob))
        return diag_set(diag, FARM_E_SYNTAX, "%s: the key is not base64", name);
    if ((result = parse_blob(buf_view(&blob), name, &key, diag)) < 0)
        return result;
    if (key.type != outer)
        return diag_set(diag, FARM_E_SYNTAX, "%s: the key inside is of another type than the line says",
                        name);
    *ret = key;
    return 0;
}

void ssh_public_key_write(const struct ssh_public_key *key, struct buf *ret)
{
    CLEANUP_BUF struct buf blob = BUF_INIT;
    write_blob(key, &blob);
    buf_add_view(ret, type_text(key->type));
    buf_add_byte(ret, ' ');
    base64_encode(buf_view(&blob), ret);
}

void ssh_public_key_fingerprint(const struct ssh_public_key *key, struct buf *ret)
{
    CLEANUP_BUF struct buf blob = BUF_INIT;
    write_blob(key, &blob);
    struct digest digest = digest_of(buf_view(&blob));
    buf_add_text(ret, "SHA256:");
    base64_encode(view_of(digest.bytes, DIGEST_SIZE), ret);
    while (ret->data[ret->size - 1] == '=') /* OpenSSH leaves the padding out */
        ret->data[--ret->size] = '\0';
}

struct ssh_public_key ssh_public_key_of(const struct key_pair *pair)
{
    return (struct ssh_public_key){.type = SSH_KEY_ED25519, .key = *keys_public(pair)};
}

/* "SSHSIG", namespace, reserved (empty), hash name, H(message): what is really signed. */
static bool write_signed(const char *name_space, struct view hash, struct view message, struct buf *ret)
{
    unsigned char sum[HASH_SIZE_MAX];
    size_t size = 0;
    if (view_equal(hash, VIEW("sha512"))) {
        crypto_hash_sha512(sum, (const unsigned char *)message.data, message.size);
        size = crypto_hash_sha512_BYTES;
    } else if (view_equal(hash, VIEW("sha256"))) {
        struct digest digest = digest_of(message);
        memcpy(sum, digest.bytes, DIGEST_SIZE);
        size = DIGEST_SIZE;
    } else {
        return false;
    }
    buf_add_text(ret, MAGIC);
    sshwire_add_string(ret, view_text(name_space));
    sshwire_add_string(ret, VIEW_NONE);
    sshwire_add_string(ret, hash);
    sshwire_add_string(ret, view_of(sum, size));
    return true;
}

int sshsig_sign(const struct key_pair *pair, const char *name_space, struct view message, struct buf *ret,
                struct diag *diag)
{
    CLEANUP_BUF struct buf tosign = BUF_INIT;
    CLEANUP_BUF struct buf blob = BUF_INIT;
    CLEANUP_BUF struct buf inner = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct ssh_public_key key = ssh_public_key_of(pair);
    struct signature signature;
    write_signed(name_space, VIEW("sha512"), message, &tosign);
    int result = keys_sign(pair, buf_view(&tosign), &signature, diag);
    if (result < 0)
        return result;
    buf_add_text(&blob, MAGIC);
    sshwire_add_number(&blob, VERSION);
    write_blob(&key, &inner);
    sshwire_add_string(&blob, buf_view(&inner));
    sshwire_add_string(&blob, view_text(name_space));
    sshwire_add_string(&blob, VIEW_NONE);
    sshwire_add_string(&blob, VIEW("sha512"));
    buf_clear(&inner);
    sshwire_add_string(&inner, VIEW(TYPE_ED25519));
    sshwire_add_string(&inner, view_of(signature.bytes, sizeof signature.bytes));
    sshwire_add_string(&blob, buf_view(&inner));
    base64_encode(buf_view(&blob), &text);
    sshwire_add_armor(ret, ARMOR, buf_view(&text), ARMOR_WIDTH);
    return 0;
}

/* What an armored signature says, before anything is believed. */
struct parts {
    struct ssh_public_key key;
    struct view name_space, reserved, hash, signature;
};

static int syntax(struct diag *diag)
{
    return diag_set(diag, FARM_E_SYNTAX,
                    "not an SSH signature (\"-----BEGIN SSH SIGNATURE-----\", as ssh-keygen -Y sign writes)");
}

static bool unwrap(struct view armored, struct buf *ret)
{
    CLEANUP_BUF struct buf base64 = BUF_INIT;
    struct view body, line;
    if (armored.size > SSHSIG_ARMOR_MAX || !sshwire_find_armor(armored, ARMOR, &body))
        return false;
    while (view_split(&body, '\n', &line))
        buf_add_view(&base64, line);
    return base64_decode(buf_view(&base64), ret);
}

static int parse_signature(struct view blob, struct parts *ret, struct diag *diag)
{
    struct view magic, key;
    uint32_t version;
    if (!sshwire_take(&blob, strlen(MAGIC), &magic) || !view_equal(magic, VIEW(MAGIC)) ||
        !sshwire_take_number(&blob, &version))
        return syntax(diag);
    if (version != VERSION)
        return diag_set(diag, FARM_E_UNSUPPORTED, "SSH signature of version %u; only version 1 is known",
                        version);
    if (!sshwire_take_string(&blob, &key) || !sshwire_take_string(&blob, &ret->name_space) ||
        !sshwire_take_string(&blob, &ret->reserved) || !sshwire_take_string(&blob, &ret->hash) ||
        !sshwire_take_string(&blob, &ret->signature) || blob.size != 0 || ret->reserved.size != 0)
        return syntax(diag);
    return parse_blob(key, "SSH signature", &ret->key, diag);
}

static int verify_plain(struct parts *parts, struct view message, struct view sig, struct sshsig *ret,
                        struct diag *diag)
{
    struct signature signature;
    struct view bytes;
    if (!sshwire_take_string(&sig, &bytes) || bytes.size != sizeof signature.bytes || sig.size != 0)
        return syntax(diag);
    memcpy(signature.bytes, bytes.data, bytes.size);
    if (!keys_verify(&parts->key.key, message, &signature))
        return diag_set(diag, FARM_E_SIGNATURE,
                        "the SSH signature does not verify: it was made over other bytes");
    *ret = (struct sshsig){.key = parts->key};
    return 0;
}

/* A token signs H(application) || flags || counter || H(message). */
static int verify_token(struct parts *parts, struct view message, struct view sig, struct sshsig *ret,
                        struct diag *diag)
{
    CLEANUP_BUF struct buf tosign = BUF_INIT;
    struct signature signature;
    struct view bytes, state;
    struct digest application = digest_of(view_text(parts->key.application)), body = digest_of(message);
    if (!sshwire_take_string(&sig, &bytes) || bytes.size != sizeof signature.bytes ||
        !sshwire_take(&sig, 5, &state) || sig.size != 0)
        return syntax(diag);
    memcpy(signature.bytes, bytes.data, bytes.size);
    buf_add(&tosign, application.bytes, DIGEST_SIZE);
    buf_add_view(&tosign, state);
    buf_add(&tosign, body.bytes, DIGEST_SIZE);
    if (!keys_verify(&parts->key.key, buf_view(&tosign), &signature))
        return diag_set(diag, FARM_E_SIGNATURE,
                        "the token's SSH signature does not verify: it was made over other bytes");
    if ((state.data[0] & FLAG_PRESENT) == 0)
        return diag_set(diag, FARM_E_SIGNATURE,
                        "the token signed without anybody touching it (no user presence)");
    *ret = (struct sshsig){.key = parts->key, .user_verified = (state.data[0] & FLAG_VERIFIED) != 0};
    return 0;
}

int sshsig_verify(struct view armored, const char *name_space, struct view message, struct sshsig *ret,
                  struct diag *diag)
{
    CLEANUP_BUF struct buf blob = BUF_INIT;
    CLEANUP_BUF struct buf tosign = BUF_INIT;
    struct parts parts = {0};
    if (!unwrap(armored, &blob))
        return syntax(diag);
    int result = parse_signature(buf_view(&blob), &parts, diag);
    if (result < 0)
        return result;
    if (!view_equal(parts.name_space, view_text(name_space)))
        return diag_set(diag, FARM_E_SIGNATURE,
                        "the SSH signature is for another kind of document: sign with -n %s", name_space);
    if (!write_signed(name_space, parts.hash, message, &tosign))
        return diag_set(diag, FARM_E_UNSUPPORTED, "SSH signature with another hash than sha256 or sha512");
    if (!sshwire_take_this(&parts.signature, type_text(parts.key.type)))
        return syntax(diag);
    return parts.key.type == SSH_KEY_ED25519
               ? verify_plain(&parts, buf_view(&tosign), parts.signature, ret, diag)
               : verify_token(&parts, buf_view(&tosign), parts.signature, ret, diag);
}
