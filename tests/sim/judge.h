/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Judge: the invariants of DESIGN.md, section 3, and of core.h, watched from outside. It sees what workers really signed, every effect
 * that is about to be recorded, every frame that arrives, and the rows. What it checks after a step is what that step changed; all of it
 * is checked after each restart, at the end, and now and then.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "database.h"
#include "network.h"
#include "statement.h"

#include "core.h"

struct world;

enum invariant {
    INVARIANT_QUORUM, /* nothing is agreed, failed or disputed but what the recorded answers amount to, counted anew */
    INVARIANT_ONE_VOTE, /* an operator has one vote for a job and round, an answer is recorded once */
    INVARIANT_OPEN,     /* what comes after a verdict is open, and nothing else is */
    INVARIANT_HOLDER, /* an answer counts for the lease that its worker was granted and signed, and for no other */
    INVARIANT_LEASES, /* an operator has one live lease for a job and round, and none when it has voted */
    INVARIANT_INPUTS, /* a lease's inputs are agreed, and it is derived from those very payloads */
    INVARIANT_ELIGIBLE, /* nobody who is revoked, paused, flagged or full gets a lease, and nobody while the farm is held */
    INVARIANT_ROUNDS, /* a round begins because somebody asked, or because answers of the one before became void */
    INVARIANT_OBJECTS, /* what is taken is there: manifest, tar and log of each recorded answer */
    INVARIANT_COMMIT,  /* no message leaves before the transaction that justifies it */
    INVARIANT_DURABLE, /* what was acknowledged is never lost */
    INVARIANT_PAST,    /* after a restart the core knows what it knew */
    INVARIANT_FRAMES,  /* a frame that is taken could have been sent: it keeps the catalogue's rules */
    INVARIANT_LOST, /* nothing is built upon a payload that is known to be lost; it comes back, or the plan says why not */
    INVARIANT_ENDS, /* every job ends, or core_why() says why not; where everybody is honest, every plan ends */
    INVARIANT_EVENTS, /* the core takes what its contract allows */
    INVARIANT_CORE    /* core_check() */
};

struct judge {
    struct map *signed_;   /* envelope -> what was really signed */
    struct map *told;      /* envelopes that were acknowledged as taken */
    struct map *lost;      /* job and payload: the coordinator knows that it is lost */
    struct map *repeated;  /* jobs of which a payload ever was */
    bool asked[2];         /* per plan: from scratch, ever */
    uint64_t checked_step; /* the last full check */
};

const char *invariant_name(enum invariant invariant);

void judge_open(struct judge *judge);
void judge_close(struct judge *judge);
/* A worker made this envelope. */
void judge_signed(struct world *world, const struct statement *statement, struct view envelope);
/* Somebody wants the plan built. */
void judge_asked(struct world *world, size_t plan, bool from_scratch);
/* And the core was told. */
void judge_started(struct world *world, size_t plan, bool from_scratch);
/* A frame arrived and was decoded; or was not. */
void judge_told(struct world *world, const struct frame *frame, const struct wire_message *message);
void judge_dropped(struct world *world, const struct frame *frame, const char *why);
/* The core took an event, or refused it. */
void judge_step(struct world *world, const struct core_event *event, int result, const struct diag *diag);
/* An effect is about to be recorded. */
void judge_effect(struct world *world, const struct core_effect *effect);
/* The turn is committed: rows and core agree on every job that it touched. */
void judge_turn(struct world *world);
/* The coordinator is back. */
void judge_restart(struct world *world);
/* The run is over. */
void judge_end(struct world *world);

/* judge_leases.c */
void judge_granted(struct world *world, const struct core_lease *lease);
void judge_ended(struct world *world, const struct core_lease *lease);
/* judge_lost.c: CORE_PAYLOAD_LOST and CORE_PAYLOAD_BACK; an answer that was taken. */
void judge_loss(struct world *world, const struct core_event *event);
void judge_healed(struct world *world, const struct core_effect *effect);
/* Nobody could fetch it, and the coordinator knows. */
bool judge_is_lost(struct world *world, const struct row_job *job, const struct digest *payload);
/* At the end: a payload that is not here is known to be lost and is waited for, and why says so. */
void judge_lost_at_end(struct world *world, size_t plan, size_t node);
/* judge_rows.c: one job, recounted: votes, verdicts, what the core makes of it. */
void judge_job(struct world *world, struct row_job *job, enum invariant invariant);

#endif
