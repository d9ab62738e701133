/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Simulator of a farm: everything that happens between people, coordinator and workers, in one thread, on a virtual clock,
 * from one seed.
 *
 * Real: the core (coordinator/core), the verdict (signing/verdict.h) and the message codecs (proto/wire). Modelled:
 *
 *   network.h      frames under way: late, lost, doubled, overtaken, garbled
 *   worker.h       agents with a durable spool, and every behaviour that a stranger's machine may have
 *   coordinator.h  what coordinator/net does around the core: sessions, intake, effects, transactions, restart, revocation
 *   database.h     rows, transactions that a crash undoes, the log's positions
 *   objects.h      what was uploaded, what of it arrived, and what rots
 *   people.h       who starts plans, cancels, pauses, revokes, fills the disk and sets clocks
 *
 * judge.h watches all of it and shares no code with what it watches: votes are counted anew (count.h), from what workers really signed.
 * A broken invariant ends the program with its name, the seed, and the command that replays it.
 *
 * That it can fail is shown by the patches in plants/: each makes one known mistake in one source.
 */
#ifndef SIM_H
#define SIM_H

#include "coordinator.h"
#include "database.h"
#include "judge.h"
#include "objects.h"
#include "plan.h"
#include "schedule.h"
#include "worker.h"

/* What may go wrong in a run. Each seed draws which of these do, so that some runs have one kind of trouble and plenty of it. */
enum fault {
    FAULT_LOSS = 1 << 0,     /* frames vanish, connections break */
    FAULT_DELAY = 1 << 1,    /* frames take seconds, and overtake each other */
    FAULT_TWICE = 1 << 2,    /* frames arrive twice */
    FAULT_GARBLE = 1 << 3,   /* bytes of frames change, ends are missing */
    FAULT_CRASH = 1 << 4,    /* the coordinator dies, at any step */
    FAULT_MACHINES = 1 << 5, /* workers die; what they built is gone, their spool is not */
    FAULT_UPLOADS = 1 << 6,  /* objects do not arrive, or in part, or rot */
    FAULT_DISK = 1 << 7,     /* the coordinator's disk fills up */
    FAULT_CLOCK = 1 << 8,    /* its wall clock jumps; a reboot starts its steady clock anew */
    FAULT_REVOKE = 1 << 9,   /* keys turn out to be bad, from now on or from long before */
    FAULT_PEOPLE = 1 << 10,  /* plans are cancelled and repeated, workers paused */
    FAULT_LIARS = 1 << 11,   /* not everybody is honest */
    FAULT_FORGET =
        1
        << 12, /* no fault: finished plans leave memory, at any moment, and come back when somebody asks for them */
    FAULT_ROT = 1 << 13, /* what was taken is damaged in the store, or vanishes from it */
    FAULT_ALL = (1 << 14) - 1
};

/* Parts draw from streams of their own, so that a change in one leaves the others' luck as it was. */
enum dice {
    DICE_SHAPE,
    DICE_WORKERS,
    DICE_NETWORK,
    DICE_COORDINATOR,
    DICE_PEOPLE,
    DICE_CORE,
    DICE_FORGET,
    DICE_ROT,
    DICE_COUNT
};

struct sim_options {
    const char *program; /* how this was called */
    uint64_t seed;
    uint32_t jobs, workers; /* 0: drawn */
    uint32_t faults;
    bool has_faults; /* else drawn */
    bool verbose;
};

struct sim_totals {
    uint64_t seeds, steps, frames, dropped, leases, answers, late, refused, again, verdicts, disputes, voided,
        crashes, checks, forgotten, rotten;
};

struct sim_operator {
    char name[24];
    bool anchor;
    bool colludes; /* all its machines tell the same lie */
    bool flagged;  /* a row */
};

struct world {
    struct sim_options options;
    struct sim_totals *totals;
    uint64_t dice[DICE_COUNT];
    uint32_t faults;
    int64_t now_ms;      /* true time */
    int64_t calm_ms;     /* from here on nothing goes wrong any more, and everything has to come to its end */
    int64_t horizon_ms;  /* the end, whatever happens */
    int64_t wall_off_ms; /* the coordinator's wall clock, less true time */
    int64_t effect_ms;   /* when something last happened to a job */
    uint64_t steps;      /* of the core */
    bool calm;
    struct schedule schedule;
    struct plans plans;
    struct sim_operator *operators;
    size_t noperators;
    struct sim_worker *workers;
    size_t nworkers;
    struct database db;
    struct objects objects;
    struct coordinator coordinator;
    struct judge judge;
};

/* The command that runs this seed again. Appends. */
void world_replay(const struct sim_options *options, struct buf *ret);
/* One seed, from beginning to end. */
void world_run(const struct sim_options *options, struct sim_totals *totals);

uint64_t world_random(struct world *world, enum dice dice);
/* 0 <= result < n */
uint64_t world_below(struct world *world, enum dice dice, uint64_t n);
bool world_chance(struct world *world, enum dice dice, unsigned int permille);
/* Whether this kind of trouble goes on now. */
bool world_has(const struct world *world, enum fault fault);
/* A line of --verbose. */
void world_trace(const struct world *world, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* An invariant is broken: ends the program. */
void world_fail(struct world *world, enum invariant invariant, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));
/* "loss,crash", "none", "all"; false: not a list of faults. */
bool world_parse_faults(const char *text, uint32_t *ret);
const char *world_fault_name(size_t bit); /* NULL behind the last */

#endif
