/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Secrets are read into guarded memory and written from it; no copy stays in ordinary heap or on the stack unwiped.
 */
#include "identity.h"

#include "file.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(IDENTITY_CURVE_SIZE == crypto_scalarmult_BYTES, "CURVE is X25519");

#define MAGIC "intergenos-farm-key 1\n"

struct identity {
    char name[IDENTITY_NAME_MAX + 1];
    struct key_pair *keys;
    unsigned char *curve_secret; /* guarded; NULL if there is none */
    unsigned char curve_public[IDENTITY_CURVE_SIZE];
};

static void *guarded(size_t size)
{
    void *memory = sodium_init() < 0 ? NULL : sodium_malloc(size);
    if (memory == NULL)
        abort(); /* as out of memory */
    return memory;
}

bool identity_name_is_valid(struct view name)
{
    if (name.size == 0 || name.size > IDENTITY_NAME_MAX || strchr(".-_", name.data[0]) != NULL)
        return false;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool allowed = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
        if (!allowed)
            return false;
    }
    return true;
}

static void set_curve(struct identity *identity, const unsigned char *secret)
{
    identity->curve_secret = guarded(IDENTITY_CURVE_SIZE);
    memcpy(identity->curve_secret, secret, IDENTITY_CURVE_SIZE);
    crypto_scalarmult_base(identity->curve_public, identity->curve_secret);
    sodium_mprotect_readonly(identity->curve_secret);
}

struct identity *identity_generate(const char *name, bool with_curve)
{
    assert(identity_name_is_valid(view_text(name)));
    struct identity *identity = mem_zero(1, sizeof *identity);
    memcpy(identity->name, name, strlen(name));
    identity->keys = keys_generate();
    if (with_curve) {
        unsigned char *secret = guarded(IDENTITY_CURVE_SIZE);
        randombytes_buf(secret, IDENTITY_CURVE_SIZE);
        set_curve(identity, secret);
        sodium_free(secret);
    }
    return identity;
}

struct identity *identity_free(struct identity *identity)
{
    if (identity == NULL)
        return NULL;
    keys_free(identity->keys);
    sodium_free(identity->curve_secret);
    free(identity);
    return NULL;
}

/* Case C1. The descriptor is checked, not the path: what was checked is what is read. */
static int check_permissions(int fd, const char *path, struct diag *diag)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return diag_errno(diag, "%s: stat", path);
    if (!S_ISREG(status.st_mode))
        return diag_set(diag, FARM_E_CONFIG, "%s: a secret key must be a regular file", path);
    if (status.st_uid != geteuid())
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: the secret key belongs to user %u, this program runs as user %u; chown it, or "
                        "run as its owner",
                        path, (unsigned int)status.st_uid, (unsigned int)geteuid());
    if ((status.st_mode & 077) != 0)
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: mode %04o lets others read the secret key; make a new key if somebody may have, "
                        "else: chmod 600 %s",
                        path, (unsigned int)(status.st_mode & 07777), path);
    return 0;
}

static int read_all(int fd, const char *path, char *to, size_t limit, size_t *ret_size, struct diag *diag)
{
    size_t size = 0;
    for (;;) {
        ssize_t got = read(fd, to + size, limit + 1 - size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return diag_errno(diag, "%s: read", path);
        size += (size_t)got;
        if (size > limit)
            return diag_set(diag, FARM_E_CONFIG, "%s: longer than any key file (%zu bytes)", path, limit);
        if (got == 0)
            break;
    }
    to[size] = '\0';
    *ret_size = size;
    return 0;
}

int identity_read_secret_file(int dirfd, const char *path, size_t limit, char **ret, size_t *ret_size,
                              struct diag *diag)
{
    CLEANUP_CLOSE int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return diag_errno(diag, "%s", path);
    int result = check_permissions(fd, path, diag);
    if (result < 0)
        return result;
    char *secret = guarded(limit + 1);
    result = read_all(fd, path, secret, limit, ret_size, diag);
    if (result < 0) {
        sodium_free(secret);
        return result;
    }
    *ret = secret;
    return 0;
}

void identity_secret_free(char *secret)
{
    sodium_free(secret);
}

/* Takes "key value" off the front; false if the next line is another. */
static bool take_line(struct view *rest, const char *key, struct view *ret_value)
{
    struct view line, trial = *rest;
    size_t length = strlen(key);
    if (!view_split(&trial, '\n', &line) || line.size <= length + 1 || memcmp(line.data, key, length) != 0 ||
        line.data[length] != ' ' || line.data + line.size == rest->data + rest->size)
        return false;
    *ret_value = view_of(line.data + length + 1, line.size - length - 1);
    *rest = trial;
    return true;
}

/* 'seed' and 'curve' are guarded memory. */
static bool parse(struct view text, struct identity *identity, unsigned char *seed, unsigned char *curve,
                  bool *ret_has_curve)
{
    struct view name, value;
    if (!view_starts(text, VIEW(MAGIC)))
        return false;
    struct view rest = view_of(text.data + strlen(MAGIC), text.size - strlen(MAGIC));
    if (!take_line(&rest, "name", &name) || !identity_name_is_valid(name) ||
        !take_line(&rest, "ed25519-seed", &value) || !hex_decode(value, seed, KEYS_SEED_SIZE))
        return false;
    *ret_has_curve = take_line(&rest, "curve-secret", &value);
    if (*ret_has_curve && !hex_decode(value, curve, IDENTITY_CURVE_SIZE))
        return false;
    memcpy(identity->name, name.data, name.size);
    return rest.size == 0;
}

static int parse_identity(struct view text, const char *path, struct identity **ret, struct diag *diag)
{
    unsigned char *seed = guarded(KEYS_SEED_SIZE), *curve = guarded(IDENTITY_CURVE_SIZE);
    struct identity *identity = mem_zero(1, sizeof *identity);
    bool has_curve = false;
    int result = 0;
    if (parse(text, identity, seed, curve, &has_curve)) {
        identity->keys = keys_from_seed(seed);
        if (has_curve)
            set_curve(identity, curve);
        *ret = identity;
    } else {
        identity_free(identity);
        result =
            diag_set(diag, FARM_E_CONFIG,
                     "%s: not a machine key file (\"intergenos-farm-key 1\", then name, "
                     "ed25519-seed and perhaps curve-secret); restore it from a copy or make a new identity",
                     path);
    }
    sodium_free(seed);
    sodium_free(curve);
    return result;
}

int identity_read(int dirfd, const char *path, struct identity **ret, struct diag *diag)
{
    char *text = NULL;
    size_t size = 0;
    int result = identity_read_secret_file(dirfd, path, IDENTITY_FILE_MAX, &text, &size, diag);
    if (result < 0)
        return result;
    result = parse_identity(view_of(text, size), path, ret, diag);
    identity_secret_free(text);
    return result;
}

int identity_write(const struct identity *identity, int dirfd, const char *path, struct diag *diag)
{
    enum { LINES_MAX = IDENTITY_FILE_MAX };
    char *text = guarded(LINES_MAX), *hex = guarded(2 * KEYS_SEED_SIZE + 1);
    hex_encode(keys_seed(identity->keys), KEYS_SEED_SIZE, hex);
    int size = snprintf(text, LINES_MAX, MAGIC "name %s\ned25519-seed %s\n", identity->name, hex);
    if (identity->curve_secret != NULL) {
        hex_encode(identity->curve_secret, IDENTITY_CURVE_SIZE, hex);
        size += snprintf(text + size, (size_t)(LINES_MAX - size), "curve-secret %s\n", hex);
    }
    int result = file_create(dirfd, path, view_of(text, (size_t)size), 0600, diag);
    sodium_free(text);
    sodium_free(hex);
    return result;
}

const char *identity_name(const struct identity *identity)
{
    return identity->name;
}

const struct key_pair *identity_keys(const struct identity *identity)
{
    return identity->keys;
}

const unsigned char *identity_curve_public(const struct identity *identity)
{
    return identity->curve_secret != NULL ? identity->curve_public : NULL;
}

const unsigned char *identity_curve_secret(const struct identity *identity)
{
    return identity->curve_secret;
}
