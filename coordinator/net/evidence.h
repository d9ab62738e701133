/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Evidence: what the database knows about the jobs of a plan, as the documents of a release. On the loop's
 * thread.
 */
#ifndef FARM_EVIDENCE_H
#define FARM_EVIDENCE_H

#include "farm.h"
#include "receipt.h"
#include "release.h"

/* The node's own lines: every lease, every envelope, the verdict as we see it. */
int evidence_add(struct farm *farm, const struct farm_plan *plan, size_t node, struct receipt *receipt,
                 struct diag *diag) MUST_USE;
/* The receipt of a package: its own job and its closure's. Appends. */
int evidence_receipt(struct farm *farm, const struct farm_plan *plan, size_t node, struct buf *ret,
                     struct diag *diag) MUST_USE;
/* Fills job, payload, tar, operators and dissent of an agreed node; FARM_E_STATE if it is not agreed. */
int evidence_package(struct farm *farm, const struct farm_plan *plan, size_t node,
                     struct release_package *ret, struct diag *diag) MUST_USE;

#endif
