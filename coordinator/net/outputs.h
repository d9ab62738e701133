/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Outputs: which tars this process has found to be the canonical ones of their manifests, for a job (whose spec gives .PKGINFO and
 * epoch). All three are named by digests, so what held once holds for ever; whether the objects are still here is
 * another question, and the caller's. Belongs to the loop's thread.
 */
#ifndef FARM_OUTPUTS_H
#define FARM_OUTPUTS_H

#include "digest.h"

/* The newest of these are kept: the answers to one job come within hours, and a hundred workers give a few hundred meanwhile. */
enum { OUTPUTS_KEPT = 4096 };

struct outputs;
struct outputs *outputs_new(void);
struct outputs *outputs_free(struct outputs *outputs); /* accepts NULL, returns NULL */
bool outputs_knows(const struct outputs *outputs, const struct digest *job, const struct digest *manifest,
                   const struct digest *tar);
/* All of them: some are named by no row any more, and the next answer that has them keeps them. */
void outputs_forget(struct outputs *outputs);
void outputs_add(struct outputs *outputs, const struct digest *job, const struct digest *manifest,
                 const struct digest *tar);

#endif
