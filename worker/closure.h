/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Closure: may these payloads be laid into one root, in this order, above this base? Decided on the
 * manifests, before a byte is written; pure.
 *
 *   - directory over directory: always
 *   - directory over anything else, or anything else over a directory: refused. "./lib/x" over the base's
 * "lib -> usr/lib" would empty /usr/lib of everything else, silently.
 *   - a file or link over one of the base: allowed (a package that the base has, newer)
 *   - a file or link over one of an earlier payload: allowed if it is the same one; if not, only if the later
 * package's recipe says that it supersedes the earlier one's package. What must go first is listed.
 */
#ifndef FARM_CLOSURE_H
#define FARM_CLOSURE_H

#include "manifest.h"

struct closure_layer {
    const char *package;
    const struct manifest *manifest;
    const char *const *supersedes; /* package names */
    size_t nsupersedes;
};

/* Before layer 'layer' is laid, 'path' (borrowed from its manifest) is removed from what lies there. */
struct closure_removal {
    size_t layer;
    struct view path;
};
struct closure_removals {
    struct closure_removal *items; /* by layer, then path */
    size_t count, capacity;
};
#define CLOSURE_REMOVALS_INIT                                                                                \
    {                                                                                                        \
        0                                                                                                    \
    }
void closure_removals_done(struct closure_removals *removals);

/* FARM_E_REFUSED naming path and packages. */
int closure_check(const struct manifest *base, const struct closure_layer *layers, size_t nlayers,
                  struct closure_removals *ret, struct diag *diag) MUST_USE;

#endif
