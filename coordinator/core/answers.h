/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers: what becomes of one. Which is its operator's vote, which is evidence beside it, which is void; the record of
 * all of them, since each was genuine when it came.
 *
 * Every answer but infrastructure failures and void ones goes into the verdict (rounds.h). The vote is that one of an operator's
 * answers which stands for it in listings and in the database (verdict_vote_of()); it moves when an answer comes or is voided.
 */
#ifndef FARM_CORE_ANSWERS_H
#define FARM_CORE_ANSWERS_H

#include "state.h"

/* An answer came in: decides its fate, records it, ends its lease, judges. Always emits one CORE_ANSWERED. */
void answers_take(struct core *core, struct worker *worker, const struct core_answer *answer);
/* An answer of the past, as recorded; the caller judges afterwards. */
void answers_restore(struct core *core, struct lease *lease, const struct core_past_lease *past);
/* The lease's answers are about to be forgotten. What they stand for in the counts of who was outvoted stays. */
void answers_forget(struct core *core, struct lease *lease);
/* It never counts again. Unknown, or void already: nothing happens. */
void answers_void(struct core *core, const struct core_nonce *nonce, const struct digest *envelope);
/* The same payload, or both of them failures. */
bool answers_same(const struct answer *a, enum failure_kind failure, const struct digest *payload);
/* The first of its operator's answers in the round that say the same and count; itself in most cases. */
bool answers_is_first(const struct lease *lease, const struct answer *answer);

#endif
