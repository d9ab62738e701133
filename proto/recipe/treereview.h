/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tree review: what got weaker from one tree to the next. Each finding is legitimate now and then, and none
 * may pass unseen: a person looks at it before a release is signed.
 *
 * Rules: "package-removed", "tier-moved", "verify-path-lost", "feature-disabled", "tests-disabled",
 * "tests-tolerated", "validation-lost", "direct-install-gained", "tracking-lost".
 */
#ifndef FARM_TREEREVIEW_H
#define FARM_TREEREVIEW_H

#include "tree.h"

/* Adds the findings, sorted, with the files and lines of 'after' ('before' for removed packages); gives their
 * number. */
size_t treereview_compare(const struct tree *before, const struct tree *after, struct problems *findings);

#endif
