/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Fixture: what a lease needs, made from this machine: a base of its own shell and a few tools, a package
 * tree under git, and a source archive; and leases about them as a coordinator would send them.
 *
 * Packages, all of tier extra: hello (from the archive), user (needs hello), fails, lies (promises a file and
 * does not bring it), slow (a minute), rude (installs below ./lib), victim (needs rude), old, new (supersedes old), both (needs new and old).
 */
#ifndef FARM_TEST_FIXTURE_H
#define FARM_TEST_FIXTURE_H

#include "payload.h"
#include "tree.h"
#include "wire.h"

enum { FIXTURE_PAYLOADS = 4 };

struct fixture {
    struct tree_pin pin;
    int base_fd, archive_fd, pack_fd; /* open, so that a process that dropped root can still read them */
    struct payload base;              /* from fixture_put */
    struct digest pack, archive;
};

/* 'top': an empty directory. Leaves the working directory there. */
int fixture_make(const char *top, struct fixture *ret, struct diag *diag) MUST_USE;
/* To the build user, in the working directory: a scan takes no files of other owners than its own. */
int fixture_give_away(struct diag *diag) MUST_USE;
/* Brings everything into a store. May be called for several stores. */
int fixture_put(struct fixture *fixture, struct store *store, struct diag *diag) MUST_USE;
/* The job key that the checked-out tree at 'tree_dirfd' gives. */
int fixture_key(const struct fixture *fixture, int tree_dirfd, const char *node,
                const struct payload *payloads, size_t npayloads, struct digest *ret,
                struct diag *diag) MUST_USE;

/* A Lease message with everything that it points to; borrows the arguments. Stays where it is. */
struct fixture_lease {
    Wire__Lease lease;
    Wire__Tree tree;
    Wire__Payload base, payloads[FIXTURE_PAYLOADS], *pointers[FIXTURE_PAYLOADS];
    Wire__Resources resources;
};
void fixture_lease(const struct fixture *fixture, const unsigned char nonce[32], const char *node,
                   const struct digest *key, const struct payload *payloads, size_t npayloads,
                   struct fixture_lease *ret);

#endif
