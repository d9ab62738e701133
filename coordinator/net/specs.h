/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Specs: the job specs that answers are checked against, read and parsed once for all answers to a job where they come close together.
 *
 * A spec is borrowed by taking it away: who takes it owns it until it is given back, so nobody waits, and two checks of one
 * job at a time parse it twice. The newest that were given back are kept. A job key is the digest of its spec's text, so what
 * was parsed once is true for ever. Any thread may call.
 */
#ifndef FARM_SPECS_H
#define FARM_SPECS_H

#include "spec.h"
#include "store.h"

/* The answers to one job come within hours, and a hundred workers give a few hundred meanwhile. */
enum { SPECS_KEPT = 1024 };
/* Of their texts; a parsed spec takes some times as much. Nearly all have a few KiB, and one with 5,000 inputs has 500. */
enum { SPECS_KEPT_BYTES = 16 * 1024 * 1024 };

struct specs;
struct specs *specs_new(void);
struct specs *specs_free(struct specs *specs); /* accepts NULL, returns NULL; nothing may be taken then */
/* *ret is the caller's until specs_give. Errors are store_get's and spec_parse's. */
struct taken_spec;
int specs_take(struct specs *specs, struct store *store, const struct digest *job, struct taken_spec **ret,
               struct diag *diag) MUST_USE;
const struct spec *specs_spec(const struct taken_spec *taken);
void specs_give(struct specs *specs, struct taken_spec *taken); /* accepts NULL */

#endif
