/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Blast: "what if this key is bad?" What the agreed jobs of one plan amount to when the answers of a suspect count no more. Pure: it
 * takes votes and gives verdicts, by the same verdict_of() and the same rules that made them; it changes nothing.
 *
 *   lost     without the suspect the artifact has no quorum any more, or another answer has one
 *   weaker   the quorum holds, with fewer operators behind it
 *   at risk  nothing is wrong with its own answers, but something in its closure is lost: if that comes out different, it must be
 *            built anew
 *
 * In which order to rebuild: a rebuild that gives the same bytes confirms everything above it at once, so what others stand
 * on comes first (topological order). Among those that wait for nothing, the one that holds up most jobs per second of building is
 * first: it tells most about what is left for the least work.
 *
 * Rounds are judged as everybody judges them, by verdict_of_rounds().
 *
 * Two sums bound the cost. "same": each lost artifact comes out as before. Its round had a verdict, so further votes in it would be
 * open: unless the policy counts those, a quorum builds it in a new round; else as many operators as are missing. "other": none
 * comes out as before; all that is lost and all that stands on it is built by a quorum.
 */
#ifndef FARM_BLAST_H
#define FARM_BLAST_H

#include "verdict.h"

struct blast_answer {
    struct vote vote; /* strings borrowed */
    uint32_t round;   /* from 1 on */
    bool suspect;
};

/* One job of a plan, in its topological order. All borrowed. */
struct blast_job {
    const char *id;
    bool agreed; /* others are not looked at */
    struct rules rules;
    struct digest payload;              /* what is agreed now */
    const struct blast_answer *answers; /* of all rounds; none at all if the suspect gave none of them */
    size_t nanswers;
    const size_t *closure; /* indexes of jobs, each smaller than its own */
    size_t nclosure;
    int64_t build_ms; /* measured, of one build; 0: never */
};

enum blast_fate { BLAST_STANDS, BLAST_WEAKER, BLAST_LOST };

struct blast_outcome {
    enum blast_fate fate;
    bool answered;            /* the suspect has an answer in it */
    bool at_risk;             /* not lost itself */
    enum verdict_state state; /* without the suspect, of the last round; disputed if rounds differ */
    bool turned;              /* another payload would be agreed: this one */
    struct digest rival;
    uint32_t operators, anchors; /* left behind what is agreed now, over all rounds */
    uint32_t builds,
        builds_by_anchors; /* lost: operators that have to build it again, and how many of them anchors */
    size_t dependents;     /* agreed jobs that have it in their closure */
};

struct blast_cost {
    uint64_t builds;
    int64_t ms;
    size_t unmeasured; /* jobs in it that nobody measured: they are in 'builds' alone */
};

/* Everything owned. */
struct blast {
    struct blast_outcome *outcomes; /* one for each job */
    size_t *order;                  /* the lost ones, in the order in which to rebuild them */
    size_t lost, weaker, at_risk;
    struct blast_cost same, other;
};

void blast_of(const struct blast_job *jobs, size_t njobs, struct blast *ret);
void blast_done(struct blast *blast);

#endif
