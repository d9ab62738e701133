/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Review: what somebody who is asked to sign a release wants to see first. Pure; compares documents, decides nothing.
 *
 *   packages   added, removed, changed against another release: in which respect, and who built them then and now
 *   links      the weakest link of each package's chain: of all that it was built from, itself included, the one with the
 *              fewest operators, then the fewest anchors, then the most dissent
 *   findings   what got weaker in the rules, the trust root and the directory (the tree's own: treereview.h). Each may be
 *              meant; none may pass unseen.
 */
#ifndef FARM_REVIEW_H
#define FARM_REVIEW_H

#include "directory.h"
#include "release.h"

/* ---- packages ---- */

enum review_aspect {
    REVIEW_VERSION = 1, /* version or release number */
    REVIEW_TIER = 2,    /* or phase */
    REVIEW_INPUTS = 4,  /* another job key: something that can reach the bytes differs */
    REVIEW_PAYLOAD = 8,
    REVIEW_OPERATORS = 16, /* who stands behind it */
    REVIEW_DISSENT = 32,
    REVIEW_GPU = 64
};

struct review_change {
    const struct release_package *before, *after; /* NULL: added, removed. Borrowed */
    unsigned int aspects;                         /* REVIEW_*; 0 for added and removed ones */
};
/* By name; what is the same in every respect is left out. *ret is owned. */
void review_packages(const struct release *before, const struct release *after, struct review_change **ret,
                     size_t *ret_count);

/* ---- chains ---- */

struct review_link {
    const char *id;
    bool known; /* else nobody can say who built it: weaker than everything */
    uint32_t operators, anchors, dissent;
    const size_t *closure; /* indexes of links; borrowed */
    size_t nclosure;
};
/* The weakest of a link and its closure; among equals the link itself, then the first by id. */
size_t review_weakest(const struct review_link *links, size_t link);

/* ---- findings ---- */

/*
 * What the policy asks less of a package than before: "quorum-lowered", "anchors-lowered", "distinct-lost",
 * "margin-lowered", "open-votes-gained", "hold-lost", "evidence-lost". Adds to the findings.
 */
void review_rules(const char *package, const struct rules *before, const struct rules *after,
                  struct problems *findings);
/*
 * "threshold-lowered", "verify-lost" (a token need not ask for PIN or finger any more), "person-gained" and "key-gained" (who may sign),
 * "anchor-gained", "anchor-key-gained", "anchor-lost", "base-gained", "unverified-gained", "witness-lost", "log-lost", "log-replaced".
 */
void review_root(const struct root *before, const struct root *after, struct problems *findings);
/* "worker-compromised", "operator-key-replaced": what makes earlier answers doubtful. Gives the operators that came and went. */
struct review_names {
    char **items; /* owned */
    size_t count;
};
void review_directory(const struct directory *before, const struct directory *after,
                      struct review_names *ret_came, struct review_names *ret_went,
                      struct problems *findings);
void review_names_done(struct review_names *names);

#endif
