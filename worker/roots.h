/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Roots: what builds stand on, unpacked once and used read-only by many.
 *
 *     roots/base-<manifest digest>/root/    a base root filesystem
 *     roots/closure-<digest>/root/          the payloads of one closure laid over one another, in the spec's
 * order; the digest is of base, payloads and what supersedes what
 *     .../bytes                             its size, for the eviction
 *
 * setuid bits are stripped: nothing in here is ever run by the host. Each is made under another name and
 * renamed, by one slot while others wait, and not verified again afterwards: the state directory is closed to
 * everybody else, and builds see it read-only. Not synced either: "bytes" is written last and synced with
 * everything before it (syncfs), so that a power cut leaves nothing that looks complete and is not.
 */
#ifndef FARM_ROOTS_H
#define FARM_ROOTS_H

#include "fetch.h"
#include "payload.h"

struct roots;
struct once_entry;

/* Removes leftovers and finds what is there. 'store' is borrowed. */
int roots_open(int state_dirfd, struct store *store, struct roots **ret, struct diag *diag) MUST_USE;
struct roots *roots_close(struct roots *roots); /* accepts NULL, returns NULL */

/* One root in use: it is not evicted until roots_leave. */
struct roots_use {
    struct once_entry *entry;
    const char *path; /* "roots/base-.../root" below the state directory; NULL: an empty closure */
};
struct roots_layer {
    const char *package;
    struct payload payload;
    const char *const *supersedes; /* packages whose files this one may replace */
    size_t nsupersedes;
};

/* FARM_E_DIGEST: the bytes offered are not the base. Else what fetching or the disk said. */
int roots_base(struct roots *roots, struct fetch *fetch, const struct payload *base, struct roots_use *ret,
               struct diag *diag) MUST_USE;
/* As roots_base; and FARM_E_REFUSED if the payloads cannot be laid over one another (closure.h): every worker
 * finds the same. */
int roots_closure(struct roots *roots, struct fetch *fetch, const struct payload *base,
                  const struct roots_layer *layers, size_t nlayers, struct roots_use *ret,
                  struct diag *diag) MUST_USE;
void roots_leave(struct roots *roots, struct roots_use *use); /* accepts an empty one */

/* Removes what was not used for longest until at most 'limit' bytes are left, or everything left is in use.
 */
int roots_trim(struct roots *roots, uint64_t limit, struct diag *diag) MUST_USE;
uint64_t roots_bytes(struct roots *roots);

#endif
