/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Workers: the agent's protocol, and machines and people behind it that cannot be relied on.
 *
 *   worker.c       the agent: connects, says hello, takes leases, builds, spools, uploads, answers until it is acknowledged
 *   worker_build.c what comes out, and the spool
 *   worker_make.c  the crowd
 *   worker_lie.c   what nobody ever should send
 *
 * What is durable on a worker is its spool: answers that were not acknowledged. Builds under way are lost with the machine.
 */
#ifndef SIM_WORKER_H
#define SIM_WORKER_H

#include "network.h"
#include "statement.h"

struct world;

enum behaviour {
    HONEST,
    SLOW,         /* sometimes beyond the deadline */
    STUCK,        /* some of its builds never end */
    LYING,        /* wrong bytes */
    FLAKY,        /* now these bytes, now those */
    EQUIVOCATING, /* two answers to one lease */
    FORGING,      /* others' leases, others' answers, old answers, frames that nobody sends */
    LAZY,         /* says that it uploaded what it did not */
    FAILING,      /* "it does not build" */
    BROKEN        /* infrastructure fails */
};

struct sim_build {
    struct core_nonce nonce;
    struct digest key;
    size_t node;
    int64_t finish_ms; /* INT64_MAX: never */
};

struct sim_answer {
    struct statement statement;
    struct buf envelope;
    bool uploaded;
    int64_t due_ms; /* the next upload, or the next time it is sent */
};

struct sim_worker {
    char name[24];
    size_t operator_index;
    enum behaviour behaviour;
    const char *cpu_vendor, *kernel; /* as the directory has them; NULL: not stated */
    struct core_capacity capacity;
    struct digest secret;
    /* The directory, which is durable at once: */
    bool revoked;
    uint64_t void_from; /* when revoked: its answers from this position of the log on count no longer */
    /* Its machine and its agent: */
    bool up, linked, welcomed, paused;
    unsigned session;
    int64_t wake_ms; /* of the happening that is meant; earlier ones are ignored */
    int64_t link_ms, hello_ms, beat_ms;
    struct sim_build *builds;
    size_t nbuilds, builds_capacity;
    struct sim_answer *spool;
    size_t nspool, spool_capacity;
    struct buf last_envelope; /* what it may play again */
};

void workers_make(struct world *world);
void workers_done(struct world *world);
/* Its time has come. */
void worker_wake(struct world *world, size_t index, int64_t at_ms);
void worker_receive(struct world *world, const struct frame *frame);
/* Both ends notice sooner or later; what was under way is lost. */
void worker_disconnect(struct world *world, size_t index);
/* The coordinator died: every connection breaks. */
void workers_disconnect_all(struct world *world);
/* The owner says so. */
void worker_pause(struct world *world, size_t index, bool paused);

/* --- between its files --- */

void worker_send_result(struct world *world, size_t index, const struct core_nonce *nonce,
                        const struct statement *said, struct view envelope);
/* A build has come to its end: its answer is made and durable. */
void worker_spool(struct world *world, size_t index, const struct sim_build *build);
void worker_drop_build(struct sim_worker *worker, size_t i);
void worker_drop_answer(struct sim_worker *worker, size_t i);
/* INT64_MAX: it never ends. */
int64_t worker_build_time(struct world *world, const struct sim_worker *worker, size_t node);
/* The same lease, another answer. */
void worker_answer_otherwise(struct world *world, size_t index, struct sim_answer *answer);
struct statement worker_state(struct world *world, size_t index, const struct sim_build *build);
void worker_sign(struct world *world, size_t index, const struct statement *statement, struct buf *ret);
/* worker_lie.c: one of a forger's tricks. */
void worker_forge(struct world *world, size_t index);

#endif
