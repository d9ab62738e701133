/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Identity: the key file of a machine (worker or coordinator): one Ed25519 key for signing and, if it talks on the
 * network, one CURVE key. People's keys are OpenSSH files instead (sshsig.h).
 *
 *     intergenos-farm-key 1
 *     name worker-1
 *     ed25519-seed <64 hex>
 *     curve-secret <64 hex>        only if it has one
 *
 * LF line ends, this order, nothing else. The file must belong to who runs the program and must be closed to group and others
 * (mode 0600 or 0400): anything else is refused (case C1), since a key that others could read is no key any more.
 */
#ifndef FARM_IDENTITY_H
#define FARM_IDENTITY_H

#include "keys.h"

enum { IDENTITY_CURVE_SIZE = 32, IDENTITY_NAME_MAX = 64, IDENTITY_FILE_MAX = 1024 };

struct identity;

/* Names of workers, operators and persons: 1 to 64 of a-z 0-9 . _ - and not beginning with a sign. */
bool identity_name_is_valid(struct view name);

/* Makes fresh keys. 'name' must be valid. Owned. */
struct identity *identity_generate(const char *name, bool with_curve);
struct identity *identity_free(struct identity *identity); /* accepts NULL, returns NULL; wipes */
/* FARM_E_CONFIG (permissions, owner, format) with the remedy; -ENOENT if absent. */
int identity_read(int dirfd, const char *path, struct identity **ret, struct diag *diag) MUST_USE;
/* Creates durably with mode 0600; never replaces (FARM_E_EXISTS). */
int identity_write(const struct identity *identity, int dirfd, const char *path, struct diag *diag) MUST_USE;

/* All borrowed from the identity; the curve halves are NULL if it has none. */
const char *identity_name(const struct identity *identity);
const struct key_pair *identity_keys(const struct identity *identity);
const unsigned char *identity_curve_public(const struct identity *identity);
const unsigned char *identity_curve_secret(const struct identity *identity);

/*
 * Reads a secret file whole into guarded memory, with the checks above. *ret is sodium memory: release it with
 * identity_secret_free. Used for OpenSSH keys too.
 */
int identity_read_secret_file(int dirfd, const char *path, size_t limit, char **ret, size_t *ret_size,
                              struct diag *diag) MUST_USE;
void identity_secret_free(char *secret);

#endif
