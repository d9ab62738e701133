/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * State: what the core remembers. Private to coordinator/core; everything is reached from struct core.
 *
 *   plan -> nodes -> claim -> job -> leases -> answers
 *                              |        |
 *                            group    worker -> operator
 *
 * A node counts what it waits for; nothing is ever searched for readiness:
 *
 *   unsettled   direct dependencies that are not solid. solid = unsettled == 0 and it has a payload. So a node with
 *               unsettled == 0 has its whole closure agreed, also when something deep below was reopened.
 *   broken      direct dependencies that failed, halted or are blocked.
 *
 * A job is shared by the nodes that have its key. Nodes under different rules may judge the same votes differently,
 * so that nodes of equal rules share a *claim*: the verdict under those rules. There is nearly always one.
 *
 * A job that wants workers and found none waits in a *group* with the jobs that the same workers could take (ready.h).
 */
#ifndef FARM_CORE_STATE_H
#define FARM_CORE_STATE_H

#include "core.h"
#include "map.h"
#include "table.h"
#include "timers.h"

enum {
    PLAN_NODES_MAX = 1 << 20, /* ten times the largest plan aimed at */
    ROUNDS_MAX = 64,          /* bits of job.settled_rounds; a job repeated more often is a game */
    LEASE_ANSWERS_MAX = 8,    /* a worker that signs one lease more often is not listened to */
    PRESENTED_MAX = 256,      /* unknown nonces remembered of a worker that presents itself */
    RETRY_FIRST_MS = 5000,    /* an operator whose machine failed a job is asked again after this, doubling */
    RETRY_DOUBLINGS_MAX = 6
};

enum timer_kind {
    TIMER_SESSION, /* worker: online: silent too long; offline: its leases pass on */
    TIMER_REST,    /* worker: rested enough */
    TIMER_LEASE,   /* lease: over its deadline */
    TIMER_RETRY    /* lease that failed: its operator may be asked again */
};
/* A timer that knows whose it is; 'timer' stays first. */
struct core_timer {
    struct timer timer;
    enum timer_kind kind;
    void *owner;
};

/* What a lease takes from a machine; interned, so that equal demands are the same pointer. */
struct demand {
    uint64_t memory_bytes, disk_bytes;
    uint32_t cores, index;
};

/* By the bits of enum rules_distinct. Interned numbers of texts; 0 is unknown. */
enum { FACT_CPU_VENDOR, FACT_KERNEL, FACT_SITE, FACTS };
struct facts {
    uint32_t value[FACTS];
};

struct operator
{
    char *name;
    uint32_t index; /* in core.operators */
    bool anchor, flagged;
    uint32_t workers;            /* admitted and not revoked */
    uint32_t outvoted, forgiven; /* job rounds; forgiven: as of the last clearing */
    char *flag_text;             /* why it is flagged */
    uint64_t outvoted_stamp;     /* scratch of rounds.c, like the following */
    /* Scratch of one count over a job's leases; valid while stamp == core.stamp. */
    uint64_t stamp;
    uint32_t troubles;
    bool voted, live, lingering, backing_off;
};

struct worker {
    char *name;
    struct operator* operator;
    char *fact_text[FACTS]; /* NULL unknown */
    struct facts facts;
    bool admitted, revoked, online, paused, touched;
    struct core_capacity capacity;
    uint32_t used_slots;
    uint64_t used_cores, used_memory, used_disk;
    struct lease *leases; /* live, lingering, and silently expired ones (until it says what it remembers) */
    uint32_t live_leases;
    uint32_t troubles; /* consecutive */
    int64_t heard_ms, resting_until_ms;
    struct core_timer session, rest;
    struct job *reserved_for;     /* takes nothing less urgent (reserve.h) */
    size_t pool_slot;             /* place in its pool plus one; 0: not free */
    struct core_nonce *presented; /* nonces it named and the core does not know (yet); each occupies a slot */
    size_t npresented;
    uint64_t answers, outvoted; /* answers: to jobs in memory; outvoted: of forgotten jobs as well */
};

struct answer {
    struct answer *next;
    struct digest envelope, payload;
    enum failure_kind failure;
    uint64_t sequence; /* order of arrival */
    bool counted;      /* goes into the verdict */
    bool is_void;      /* never counts again */
    bool open;         /* given after the round was settled */
    bool outvoted;     /* stands for its operator being on the losing side of a settled verdict */
    bool past;         /* from before a restart: whoever had to be flagged for it was */
};

struct lease {
    struct table_link link; /* by nonce */
    struct job *job;
    struct worker *worker;
    struct lease *job_next; /* newest first */
    struct lease *worker_next, **worker_prev;
    struct core_timer timer;
    struct answer *answers;      /* newest first */
    const struct demand *charge; /* what it occupies of the worker; NULL: a slot alone */
    int64_t granted_ms, deadline_ms, ended_ms;
    char *reason; /* why it ended, when somebody said */
    uint32_t round;
    enum lease_state state;
    bool occupying; /* live, or lingering: expired, but its worker says that it still works on it */
    bool silent;    /* expired because its worker was gone; not yet known whether it forgot it */
    bool trouble;   /* counts as an infrastructure failure */
    bool forgiven;  /* trouble from before the plan was started again */
};

/* The verdict on a job under one set of rules, and the nodes that follow it. */
struct claim {
    const struct rules *rules; /* interned; NULL: unused */
    struct claim *next;
    struct node *nodes;
    uint32_t demanding; /* nodes that want it built now */
    bool has_payload;   /* 'payload' may be built upon */
    bool contradicted;  /* two rounds agreed on different payloads, and none has more rounds */
    bool exhausted;     /* no more leases: too many infrastructure failures */
    bool futile;        /* unsettled, but further votes would be open and these rules do not count them */
    struct digest payload;
    /* The current round, as last told. */
    enum verdict_state told;
    struct digest told_payload;
    uint16_t told_operators, told_anchors, told_dissent, told_equivocators;
    uint16_t missing, missing_anchors, missing_failures;
};

struct job {
    struct table_link link; /* by key */
    struct claim claim;     /* the first; others are allocated */
    struct lease *leases;   /* all rounds, newest first */
    struct node *lead;      /* whose needs and order it has: the most urgent demanding node */
    struct group *group;    /* where it waits for a worker */
    uint32_t group_slot;
    uint32_t round, live;
    uint32_t want,
        want_others;         /* operators to ask beyond the live leases; of them, who need not be anchors */
    uint64_t settled_rounds; /* bit r-1: round r was agreed or failed at some time */
    struct digest *lost;     /* payloads whose bytes are not here; see lost.h */
    uint32_t nlost;
    uint32_t reserved;        /* workers that hold out for it */
    int64_t round_started_ms; /* first lease of the current round; 0: none */
    bool dirty;
    bool idle; /* in core.idle_jobs */
};

struct node {
    struct plan *plan;
    const char *id;  /* borrowed from the plan */
    struct job *job; /* NULL: not keyed */
    struct claim *claim;
    struct node *claim_next;
    const struct rules *rules;
    const struct demand *demand;
    char *refusal;             /* its spec cannot be derived */
    struct digest fingerprint; /* of the payloads it was derived from */
    int64_t since_ms;
    uint32_t wall_seconds, remaining_seconds;
    int32_t priority;
    uint32_t unsettled, broken;
    uint32_t fresh_round; /* agreed only when this or a later round of the job has a verdict; 0: any */
    enum node_state state : 8;
    uint8_t deriving; /* CORE_DERIVE effects not answered yet; only the last answer counts */
    bool solid, bad, shaken, demanding, queued;
};

struct plan {
    struct table_link link; /* by plan digest */
    uint64_t sequence;      /* order of arrival */
    enum plan_state state;
    struct node *nodes;
    uint32_t nnodes, nsolid;
    uint32_t count[NODE_BLOCKED + 1]; /* of nodes by state */
    uint32_t *edges;                  /* dependencies, then dependents, then closures */
    uint32_t *first_dependency, *first_dependent, *first_closure; /* nnodes + 1 each; into edges */
    char *names;
    int64_t fresh_since_ms; /* from scratch: older rounds are repeated; 0: no */
    bool from_scratch, dirty;
};

struct pool {
    struct worker **items;
    size_t count, capacity;
};

struct core {
    struct core_config config;
    int64_t now_ms;
    struct core_effects *effects; /* of the running step */
    struct table jobs, leases, plans;
    struct plan **plan_list;
    size_t nplans, plan_capacity;
    struct map *worker_names, *operator_names, *texts, *rules, *demands, *groups_by_key;
    struct map *
        outvoted; /* envelopes of forgotten answers that were outvoted: counted already when they come back */
    struct worker **workers;
    size_t nworkers, worker_capacity;
    struct operator** operators;
    size_t noperators, operator_capacity;
    uint32_t able, able_anchors; /* operators that could be asked: some worker, not flagged */
    struct timers timers;
    struct pool pools[2]; /* free workers: others, anchors */
    struct node **queue;  /* nodes to look at again */
    size_t nqueue, queue_capacity;
    struct job **dirty_jobs;
    size_t ndirty_jobs, dirty_capacity;
    struct job **idle_jobs; /* that no node followed when they were put here; see jobs.h */
    size_t nidle_jobs, idle_capacity;
    struct plan **dirty_plans;
    size_t ndirty_plans, dirty_plan_capacity;
    struct worker **touched; /* workers that may take more than before */
    size_t ntouched, touched_capacity;
    struct group **groups;
    size_t ngroups, group_capacity;
    struct worker **reserved; /* workers that hold out for a job */
    size_t nreserved, reserved_capacity;
    bool offer_again;        /* a touched worker may take still more than when it was last offered work */
    struct operator** asked; /* scratch of weigh.h: operators of a job's current round */
    size_t nasked, asked_capacity;
    uint64_t stamp, outvoted_stamp, illegal_events, sequence, answer_sequence;
    uint32_t text_count, nexhausted;
    uint32_t nlost; /* of all jobs */
    bool held;      /* no leases are granted */
    char *held_text;
};

/* --- conversions between names in tables and what they name --- */

static inline struct job *job_of_link(struct table_link *link)
{
    return (struct job *)link; /* the link is the first member */
}
static inline struct lease *lease_of_link(struct table_link *link)
{
    return (struct lease *)link;
}
static inline struct plan *plan_of_link(struct table_link *link)
{
    return (struct plan *)link;
}
static inline struct digest digest_of_link(const struct table_link *link)
{
    struct digest digest;
    memcpy(digest.bytes, link->key, sizeof digest.bytes);
    return digest;
}
static inline size_t node_index(const struct node *node)
{
    return (size_t)(node - node->plan->nodes);
}
static inline bool round_is_settled(const struct job *job, uint32_t round)
{
    return (job->settled_rounds >> (round - 1) & 1) != 0;
}

#endif
