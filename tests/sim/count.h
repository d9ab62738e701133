/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Count: what the recorded answers amount to, by the words of DESIGN and verdict.h and by none of their code. For each operator what it
 * said; for each payload who stands behind it; and every way to choose a quorum among them is tried.
 */
#ifndef SIM_COUNT_H
#define SIM_COUNT_H

#include "database.h"

struct world;

struct count {
    enum verdict_state state;
    struct digest payload; /* when agreed */
    uint32_t operators;    /* behind it; when failed, behind the failure */
    uint32_t dissent;      /* when agreed: operators that said anything else */
};

enum { ALL_ROUNDS = 0 };

/* One round, or all together. */
struct count count_round(struct world *world, const struct row_job *job, const struct rules *rules,
                         uint32_t round);
/* Whether some round agreed, all answers together agree on the same, and no later round says otherwise. Kept per plan until
 * the job's rows change. */
bool count_agreed(struct world *world, struct row_job *job, size_t plan, struct digest *ret_payload);
/* The answers of one operator in one round that count, in order of arrival; at most 'limit'. */
size_t count_said(struct world *world, const struct row_job *job, uint32_t round, size_t operator_index,
                  const struct row_answer **ret, size_t limit);
/* Neither void, nor about a machine instead of the job. */
bool count_counts(const struct row_answer *answer);

struct count_cache *count_cache_new(void);

#endif
