/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rounds: votes and verdicts. Which answer is a vote is decided here, once; what the votes amount to is decided by
 * verdict_of() alone, the same function that farm-verify replays.
 *
 * Over several rounds ("--from-scratch") a job's payload is the one that its rounds agreed on. A round without verdict
 * changes nothing; a disputed or failed last round takes the payload back; rounds that agreed on different payloads
 * contradict each other, until one payload has more rounds than any other.
 */
#ifndef FARM_CORE_ROUNDS_H
#define FARM_CORE_ROUNDS_H

#include "state.h"

/* An answer came in: decides its fate, records it, ends its lease, judges. Always emits one CORE_ANSWERED. */
void rounds_answer(struct core *core, struct worker *worker, const struct core_answer *answer);
/* An answer of the past, as recorded; the caller judges afterwards. */
void rounds_restore(struct lease *lease, const struct core_past_lease *past);
/* Computes all claims again, and tells what changed. 'told_round': an earlier round to tell about as well; 0: none. */
void rounds_judge(struct core *core, struct job *job, uint32_t told_round);
/* The verdict on one round under the rules. */
struct verdict rounds_verdict(const struct job *job, const struct rules *rules, uint32_t round);
/* The operator's counted answer in the round, or NULL. */
const struct answer *rounds_vote(const struct job *job, uint32_t round, const struct operator* operator);
bool rounds_same_answer(const struct answer *a, enum failure_kind failure, const struct digest *payload);

#endif
