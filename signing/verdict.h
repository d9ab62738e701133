/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verdict: what the votes for one job amount to. A pure function of rules and votes, used unchanged by the
 * coordinator and by farm-verify. Links the base alone.
 *
 *   agreed     a digest has quorum distinct operators (anchors of them anchor operators) and, if a rival digest was ever
 *              seen, quorum + margin of them and more than any rival
 *   disputed   two digests were seen, and neither has won
 *   failed     quorum operators reported that it does not build
 *   pending    not enough answers yet
 * The first of these that holds is the state.
 *
 * One operator is one vote, however many workers it has. With two different digests in a round it has none, and counts as
 * dissent; with a digest and a failure the digest is its vote (a machine may run out of memory, another not).
 * Open votes (given after the first verdict of the round) support a digest only if rules.open_votes; as dissent
 * they always weigh: a late rival may shake a verdict, and may restore one only where the policy says so.
 * Where rules.distinct lists facts, the operators that make up the quorum must differ pairwise in each; who does not state a
 * fact cannot be among them. Order of the input never matters.
 *
 * What goes in: every genuine answer of one round, an operator's repetitions too, less those that are void (their signer was
 * revoked, or compromised from before them). So taking an answer away is judging what remains: if the operator gave the same
 * answer by another lease, that one stands in its place (with its own facts, and open if it came late); if it had given two digests and one is
 * void, the other is its vote again, since what an unbelieved signer wrote is evidence of nothing, not of equivocation either.
 */
#ifndef FARM_VERDICT_H
#define FARM_VERDICT_H

#include "digest.h"
#include "rules.h"

enum verdict_state { VERDICT_PENDING, VERDICT_AGREED, VERDICT_DISPUTED, VERDICT_FAILED };

/* Why a build failed; infrastructure failures are no votes and never reach this function. */
enum failure_kind {
    FAILURE_NONE,
    FAILURE_BUILD,
    FAILURE_ASSERTION,
    FAILURE_TIMEOUT,
    FAILURE_MEMORY,
    FAILURE_INFRASTRUCTURE
};

/* One counted attestation. Strings borrowed. */
struct vote {
    const char *operator_name;
    bool anchor;
    bool open;                 /* given after the first verdict */
    enum failure_kind failure; /* FAILURE_NONE: it built, and 'payload' is what came out */
    struct digest payload;
    const char *cpu_vendor, *kernel,
        *site; /* as the directory says; NULL: unknown, which is distinct from nothing */
};

/* One group of equal answers. */
struct verdict_group {
    struct digest payload; /* zero for the group of failures */
    bool is_failure;
    uint32_t operators; /* that count; 0 if all of them were open, or gave two digests */
    uint32_t anchors;
};

enum { VERDICT_GROUPS_MAX = 64 };

struct verdict {
    enum verdict_state state;
    struct digest payload;       /* when agreed */
    uint32_t operators, anchors; /* behind the winning answer (agreed, failed), else behind the leading one */
    uint32_t dissent;            /* operators with another answer than that one, or with two */
    uint32_t equivocators;       /* operators with two digests */
    uint32_t missing; /* further (counting) operators that would settle it at the earliest; 0 when settled */
    uint32_t missing_anchors; /* of those, how many must be anchors; never more than 'missing' */
    uint32_t
        missing_failures; /* further operators, of any kind, that would make it failed; 0 when settled, and when two
                                * digests were seen, since then it cannot fail any more */
    struct verdict_group
        groups[VERDICT_GROUPS_MAX]; /* by operators, descending, then by digest, failures last */
    size_t ngroups;
};

struct verdict verdict_of(const struct rules *rules, const struct vote *votes, size_t nvotes);
/*
 * Several rounds of one job: somebody asked for a repetition, or a round could not be settled any more after votes were voided.
 *
 * The job is agreed if one round by itself agreed on a payload, all answers of all rounds taken together agree on it as well, and no
 * later round has failed or shown another answer without outvoting it. So rounds confirm each other; dissent is carried from one
 * to the next, and must be outvoted with the same margin there; an operator that said two things in two rounds said two
 * things; and nobody gets a quorum together from pieces of rounds.
 */
struct verdict_rounds {
    bool agreed;
    struct digest payload; /* when agreed */
    uint32_t round;        /* when agreed: the latest that agreed on it */
    bool contradicted;     /* some round agreed, and the job is not: its rounds say different things */
    struct verdict all; /* over all answers: who stands behind the payload, and the dissent of all rounds */
};
/* 'rounds' has the round of each vote, from 1 on. */
struct verdict_rounds verdict_of_rounds(const struct rules *rules, const struct vote *votes,
                                        const uint32_t *rounds, size_t nvotes);
/*
 * What makes later votes of the round open: it was agreed, or failed. A dispute does not: its answers are shown to no worker, and the
 * further operators that settle it vote as blindly as the first ones.
 */
static inline bool verdict_is_settled(enum verdict_state state)
{
    return state == VERDICT_AGREED || state == VERDICT_FAILED;
}
/*
 * Which of one operator's answers in a round, in order of arrival, is its vote: the first with its digest, one that is not open before
 * one that is; without any digest the first failure, likewise. SIZE_MAX: it has none, or two digests.
 */
size_t verdict_vote_of(const struct vote *answers, size_t n);
/*
 * The operators whose votes count behind this payload, sorted, each once; names are the votes'. Returns how many there are;
 * at most 'limit' are stored.
 */
size_t verdict_supporters(const struct rules *rules, const struct vote *votes, size_t nvotes,
                          const struct digest *payload, const char **ret, size_t limit);
const char *verdict_state_name(enum verdict_state state);
const char *failure_kind_name(enum failure_kind kind);
/* A negative value for an unknown name. */
int failure_kind_parse(struct view name);

#endif
