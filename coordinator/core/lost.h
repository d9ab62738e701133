/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Lost: payloads whose bytes the store does not have any more (bit rot, a file that somebody removed).
 *
 * What was agreed stays agreed: the digest says which bytes are meant, whoever brings them. But nothing is built upon a payload that nobody
 * can fetch, so a node whose payload is lost is not solid, and is wanted again: in a new round (rounds.c), by the ordinary rules. The
 * first answer with that payload heals it, since its objects were checked before the core heard of it; an answer with another one is
 * dissent, as in any round.
 */
#ifndef FARM_CORE_LOST_H
#define FARM_CORE_LOST_H

#include "state.h"

/* The job's payload is gone, or back. Again, or of no such loss: nothing happens. */
void lost_add(struct core *core, struct job *job, const struct digest *payload);
void lost_remove(struct core *core, struct job *job, const struct digest *payload);
/* The job is about to be forgotten. */
void lost_forget(struct core *core, const struct job *job);
/* Jobs that have an agreed payload, for some node, whose bytes are not here. */
size_t lost_count(const struct core *core);
/* The claim has a payload, and its bytes are not here. */
bool lost_is(const struct job *job, const struct claim *claim);

#endif
