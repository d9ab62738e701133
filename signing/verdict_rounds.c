/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What follows from verdict_of(): the verdict over several rounds, and which of an operator's answers is its vote. See verdict.h.
 */
#include "verdict.h"

#include <stdlib.h>

static struct verdict verdict_of_one(const struct rules *rules, const struct vote *votes,
                                     const uint32_t *rounds, size_t nvotes, uint32_t round)
{
    CLEANUP_FREE struct vote *own = mem_alloc((nvotes + 1) * sizeof *own);
    size_t n = 0;
    for (size_t i = 0; i < nvotes; i++)
        if (rounds[i] == round)
            own[n++] = votes[i];
    return verdict_of(rules, own, n);
}

static uint32_t last_round(const uint32_t *rounds, size_t nvotes)
{
    uint32_t last = 0;
    for (size_t i = 0; i < nvotes; i++)
        last = rounds[i] > last ? rounds[i] : last;
    return last;
}

static bool shows_another(const struct verdict *verdict, const struct digest *payload)
{
    for (size_t i = 0; i < verdict->ngroups; i++)
        if (!verdict->groups[i].is_failure && !digest_equal(&verdict->groups[i].payload, payload))
            return true;
    return false;
}

struct verdict_rounds verdict_of_rounds(const struct rules *rules, const struct vote *votes,
                                        const uint32_t *rounds, size_t nvotes)
{
    struct verdict_rounds result = {.all = verdict_of(rules, votes, nvotes)};
    const struct digest *payload = &result.all.payload;
    uint32_t last = last_round(rounds, nvotes), agreed_in = 0, doubted_in = 0;
    bool any = false;
    for (uint32_t round = 1; round <= last; round++) {
        struct verdict verdict = verdict_of_one(rules, votes, rounds, nvotes, round);
        any |= verdict.state == VERDICT_AGREED;
        if (verdict.state == VERDICT_AGREED && digest_equal(&verdict.payload, payload))
            agreed_in = round;
        else if (verdict.state == VERDICT_FAILED || shows_another(&verdict, payload))
            doubted_in = round;
    }
    result.agreed = result.all.state == VERDICT_AGREED && agreed_in > doubted_in;
    result.contradicted = any && !result.agreed;
    if (result.agreed) {
        result.payload = *payload;
        result.round = agreed_in;
    }
    return result;
}

size_t verdict_vote_of(const struct vote *answers, size_t n)
{
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const struct vote *answer = &answers[i], *before = best != SIZE_MAX ? &answers[best] : NULL;
        if (answer->failure == FAILURE_INFRASTRUCTURE)
            continue;
        bool built = answer->failure == FAILURE_NONE,
             built_before = before != NULL && before->failure == FAILURE_NONE;
        if (built && built_before && !digest_equal(&answer->payload, &before->payload))
            return SIZE_MAX;
        if (before == NULL || (built && !built_before) ||
            (built == built_before && before->open && !answer->open))
            best = i;
    }
    return best;
}
