/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Coordinator: what coordinator/net does around the core, without its sockets and files; function by function the same order of things.
 *
 *   coordinator.c         a turn: take what arrived, feed the core, commit, send. Death at any point of it
 *   coordinator_apply.c   effects into rows, messages and further events (net/effects.c, net/plans_history.c)
 *   coordinator_hear.c    what workers say (net/sessions.c)
 *   coordinator_intake.c  answers, checked before anybody counts them (net/intake.c)
 *   coordinator_scrub.c   what the store lost (net/scrub.c)
 *   coordinator_start.c   restart from the rows, and revocation (net/startup.c, net/revocation.c)
 *
 * Death: 'dying' is set at some step, and from there on nothing that the turn still does has any effect: the open transaction is undone,
 * what was not sent is lost, memory is gone.
 */
#ifndef SIM_COORDINATOR_H
#define SIM_COORDINATOR_H

#include "database.h"
#include "network.h"
#include "statement.h"

#include "core.h"

struct world;
struct intake;

enum { COORDINATOR_MARGIN_MS = 60000 }; /* core_config.lease_margin_ms */

/* A message that waits for the commit. */
struct outgoing {
    size_t worker;
    struct buf bytes;
    struct core_nonce lease; /* of a lease: its nonce */
    bool is_lease;
    bool is_gone; /* it could not be sent: nobody is there; else: the worker does not read */
};

struct coordinator {
    bool up, dying;
    unsigned life;
    int64_t boot_ms;  /* true time at which its steady clock was zero */
    int64_t wake_ms;  /* of the happening that is meant */
    int64_t start_ms; /* when down: comes back */
    struct core *core;
    struct core_effects effects;
    struct frame **inbox;
    size_t ninbox, inbox_capacity;
    struct outgoing *outbox, *unsent;
    size_t noutbox, outbox_capacity, nunsent, unsent_capacity;
    struct intake **checked; /* by the pool, to be taken by the next turn */
    size_t nchecked, checked_capacity;
    const struct intake *answering;
    struct map *checking; /* nonces of answers in the pool */
    uint32_t *pending;    /* per worker: its answers in the pool */
    bool *paused;         /* per worker: as the core was told */
    uint32_t *slots;      /* per worker: as its Hello said */
    bool held;            /* as the core was told */
    struct map *lost;     /* payloads of jobs whose objects are not here, as found; see coordinator_scrub.c */
};

/* What people ask for. */
enum verb {
    VERB_START,        /* .plan */
    VERB_FROM_SCRATCH, /* .plan */
    VERB_CANCEL,       /* .plan */
    VERB_FORGET,       /* .plan: nobody asks; it ended a while ago */
    VERB_REVOKE,       /* .who worker, .from */
    VERB_CLEAR,        /* .who operator */
    VERB_ANCHOR,       /* .who operator: a new trust root makes it an anchor, or no anchor any more */
    VERB_DISK,         /* .flag: it is full */
    VERB_SCRUB         /* nobody asks: it looks through its store */
};
struct request {
    enum verb verb;
    size_t plan, who;
    uint64_t from;
    bool flag;
};

void coordinator_open(struct world *world);
void coordinator_close(struct world *world);
/* A happening of its own: a turn, or its start. */
void coordinator_wake(struct world *world, int64_t at_ms);
/* The pool looks at an answer. */
void coordinator_check(struct world *world, struct intake *intake);
void coordinator_receive(struct world *world, struct frame *frame); /* takes the frame over */
/* A turn with this request. Nobody is there to take it: nothing happens. */
void coordinator_ask(struct world *world, const struct request *request);
/* Dies now, comes back after a while; 'reboot': the machine as well. */
void coordinator_crash(struct world *world, bool reboot);

/* Its clocks. */
int64_t coordinator_steady(const struct world *world);
int64_t coordinator_wall(const struct world *world);
int64_t coordinator_wall_of_core(const struct world *world, int64_t core_ms);
int64_t coordinator_core_of_wall(const struct world *world, int64_t wall_ms);

/* --- between its files --- */

/* One event through the core; effects are applied, further ones in their turn (as farm_feed()). */
int coordinator_feed(struct world *world, const struct core_event *event, struct diag *diag);
void coordinator_apply(struct world *world, const struct core_effect *effect);
/* To be sent after the commit. */
void coordinator_post(struct world *world, size_t worker, int type, const ProtobufCMessage *body);
void coordinator_post_lease(struct world *world, size_t worker, const struct core_nonce *nonce,
                            const Wire__Lease *lease);
/* Something may kill it here. */
void coordinator_tempt(struct world *world, unsigned int per_hundred_thousand);
void coordinator_hear(struct world *world, const struct frame *frame);
/* The job's past, unless the core knows it. */
void coordinator_feed_history(struct world *world, const struct row_job *job);
/* See plans_start(). */
void coordinator_start_plan(struct world *world, size_t plan, bool from_scratch, int64_t since_wall_ms);
int coordinator_pause(struct world *world, size_t worker, bool paused);
/* coordinator_scrub.c */
void coordinator_find_lost(struct world *world); /* at the start, before the plans */
void coordinator_scrub(struct world *world);
/* The core was just told of the job's past. */
void coordinator_tell_lost(struct world *world, const struct row_job *job);
/* For the core the plan runs. */
bool coordinator_runs(const struct world *world, const struct digest *plan);
/* coordinator_start.c */
void coordinator_restore(struct world *world);
void coordinator_revoke(struct world *world, size_t worker);
void coordinator_change_anchor(struct world *world, size_t operator_index);
/* coordinator_intake.c */
void coordinator_take_result(struct world *world, size_t worker, const Wire__Result *result);
void coordinator_checked(struct world *world, struct intake *intake); /* the pool is done with it */
void coordinator_finish_intake(struct world *world, struct intake *intake);
void intake_free(struct intake *intake);
/* While an answer is fed: its row. Returns the position that the acknowledgement names. */
uint64_t intake_record(struct world *world, const struct core_effect *effect);
size_t coordinator_worker(const struct world *world, const char *name);
size_t coordinator_operator(const struct world *world, const char *name);

#endif
