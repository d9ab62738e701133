/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rounds: what the answers amount to (answers.h has which they are), decided by verdict_of() alone, the same function that
 * farm-verify replays.
 *
 * Over several rounds ("--from-scratch") a job's payload is what verdict_of_rounds() says.
 *
 * A round that lost its verdict because answers were voided goes on where the rules count open votes. Where they do not, it never could
 * be settled again, and a new round begins by itself: a full quorum is asked. The same where a payload's bytes were lost (lost.h).
 */
#ifndef FARM_CORE_ROUNDS_H
#define FARM_CORE_ROUNDS_H

#include "state.h"

/* Computes all claims again, and tells what changed. 'told_round': an earlier round to tell about as well; 0: none. */
void rounds_judge(struct core *core, struct job *job, uint32_t told_round);
/* The verdict on one round under the rules. */
struct verdict rounds_verdict(const struct job *job, const struct rules *rules, uint32_t round);
/* And on the job. */
struct verdict_rounds rounds_verdict_of_all(const struct job *job, const struct rules *rules);
/* It gets no more leases, and that is told. */
void rounds_flag(struct core *core, struct operator* operator, const char * text);
/* The answer is about to be void: it does not stand for its operator being outvoted any more. */
void rounds_forget_outvoted(struct lease *lease, struct answer *answer);

#endif
