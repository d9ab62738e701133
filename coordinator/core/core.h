/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Core: what the coordinator decides. Graph, jobs, leases, rounds and the scheduler, as a pure machine:
 *
 *     core_step(core, now, event, &effects)
 *
 * takes one event and the time, changes its own memory, and appends effects. It opens no file, no socket and no
 * clock, and links the base and the verdict function alone, so it can be simulated, replayed and fuzzed. Whoever
 * drives it makes the effects durable before anybody sees them.
 *
 * Words: a *plan* is a graph of *nodes*; a node gets a job key when its closure is agreed (CORE_DERIVE asks for it); a *job* is
 * one key, shared by every plan that has it; a *round* is one count of votes for a job (round 1, then one more
 * per "--from-scratch"); a *lease* is one attempt of one worker, named by its nonce.
 *
 * Rules that hold after every step, and that the simulator checks:
 *   - an operator has at most one live lease and at most one vote per job and round;
 *   - a verdict is verdict_of() over every recorded answer of the round but infrastructure failures and void ones, so that
 *     farm-verify, which has the same answers, finds the same (which of an operator's answers is called its vote is for listings);
 *   - a node is leased only if every node of its closure is agreed, its spec was derived from those payloads, and none of them is lost;
 *   - nobody who has not answered is asked with knowledge of an answer: a lease carries none;
 *   - no verdict but what verdict_of() says about the recorded votes; a verdict may be reopened by a late dissent;
 *   - every node of a started plan ends agreed, failed, blocked, held or halted, or core_why() says what it waits for.
 */
#ifndef FARM_CORE_H
#define FARM_CORE_H

#include "buf.h"
#include "digest.h"
#include "rules.h"
#include "verdict.h"

enum { CORE_NONCE_SIZE = 32 };
struct core_nonce {
    unsigned char bytes[CORE_NONCE_SIZE];
};

struct core_config {
    int64_t session_timeout_ms; /* a worker unheard of for this long is offline (default 30 s) */
    int64_t lease_grace_ms;     /* an offline worker's leases pass on after this (default 60 s) */
    int64_t lease_margin_ms; /* beyond the job's wall limit before a lease ends by itself (default 10 min) */
    uint32_t outvoted_limit; /* jobs on which an operator was outvoted before it gets no leases (default 3) */
    uint32_t
        refusals_limit; /* consecutive refused leases or infrastructure failures of one worker before it rests */
    int64_t rest_ms;    /* how long it rests */
    /* Randomness for nonces and for drawing; seeded in simulations, the system's in production. */
    void (*random)(void *context, void *ret, size_t size);
    void *random_context;
};

/* What a job needs of a worker, and how it is ordered. */
struct core_needs {
    uint32_t cores;
    uint64_t memory_bytes, disk_bytes;
    uint32_t wall_seconds;
    int32_t priority;
    uint32_t estimate_seconds; /* measured before, or a guess; only for the order */
};

/* One node of a plan, given in topological order. All borrowed during the step; the core copies. */
struct core_node {
    const char *id;             /* "tier/name" */
    const size_t *dependencies; /* direct edges; each smaller than this node's index */
    size_t ndependencies;
    const size_t
        *closure; /* whose payloads stand in the spec, in that order; all reachable through dependencies */
    size_t nclosure;
    struct core_needs needs;
    struct rules rules;
};

/* What a worker is and can do. Strings are copied. */
struct core_worker {
    const char *name, *operator_name;
    bool anchor;
    const char *cpu_vendor, *kernel, *site; /* directory facts; NULL unknown */
};
struct core_capacity {
    uint32_t slots, cores;
    uint64_t memory_bytes, disk_bytes;
};

/* How an answer to a lease looks to the core: signature, statement and objects were checked before. */
struct core_answer {
    struct core_nonce nonce;
    struct digest envelope; /* SHA-256 of the envelope's bytes */
    enum failure_kind failure;
    struct digest payload;           /* when failure is FAILURE_NONE */
    struct digest tar, manifest_log; /* carried along, opaque: tar object and build log */
    int64_t duration_ms;             /* as measured between grant and answer by the driver; for estimates */
};

enum lease_state {
    LEASE_LIVE,
    LEASE_ANSWERED, /* its answer is recorded */
    LEASE_REFUSED,  /* the worker would not take it, and said why */
    LEASE_EXPIRED,  /* silent for too long, or over the wall limit */
    LEASE_WITHDRAWN /* by us: revoked worker, cancelled plan, drained */
};
const char *lease_state_name(enum lease_state state);

/*
 * A job's past, from the database: fed once, before CORE_NODE_KEYED (or before a CORE_ANSWER or CORE_VOTE_VOID whose nonce the core
 * does not know, see core_lease_find()); feeding a job that the core knows is no event. A job that no plan has any more is forgotten
 * with the next CORE_TICK or CORE_PLAN_FORGET, once no worker is at it, and is fed again when it comes back: feed neither of them between
 * a job's history and what it is fed for. A lease stands in the list once, or once
 * per answer; answers are in order of arrival.
 */
struct core_past_lease {
    struct core_nonce nonce;
    const char *worker, *operator_name;
    uint32_t round;
    enum lease_state state;
    /* A grant in the future (the wall clock was set back since) is taken for one of now. */
    int64_t granted_ms, deadline_ms;
    bool has_answer; /* then: */
    struct core_answer answer;
    bool open;    /* it came after its round was settled (agreed or failed), whatever its fate */
    bool counted; /* it goes into the verdict: it is neither void nor an infrastructure failure */
};

enum core_event_type {
    CORE_TICK,            /* nothing but the time */
    CORE_WORKER_ADMITTED, /* .worker; again for an existing name: its facts changed. Who was revoked stays so */
    CORE_WORKER_REVOKED, /* .name: live leases end; answers of the past stay, but for those that CORE_VOTE_VOID names */
    CORE_VOTE_VOID, /* .answer.nonce .answer.envelope: this recorded answer never counts again (its signer was
                           * revoked, or compromised from before it). Its job is judged anew: an agreed one may become pending
                           * or disputed, and somebody else is asked: in the same round if the rules count open votes, else in a
                           * new one. An envelope that the core does not know, or that is void already, is no event; feed the
                           * job's history first (core_lease_find()), with the answer still counted */
    CORE_WORKER_ONLINE,  /* .name .capacity, .nonces: leases it says it still works on */
    CORE_WORKER_OFFLINE, /* .name */
    CORE_WORKER_HEARD,   /* .name: any message; moves the session timeout */
    CORE_WORKER_PAUSE,   /* .name .flag: no new leases while set (by its owner, or an operator of the farm) */
    CORE_OPERATOR_CLEAR, /* .name of an operator: somebody looked; it gets leases again */
    CORE_PLAN_START, /* .plan .nodes .nnodes .flag = from scratch, .since_ms; a running plan again is no event, but that
                      * workers which rest go on at once: a person asked */
    CORE_PLAN_CANCEL, /* .plan */
    CORE_PLAN_FORGET, /* .plan: it has ended, and leaves memory with all that only it needed; as if there had been a restart, and it had
                         * not been started again. Unknown: no event. Running: FARM_E_STATE */
    CORE_JOB_HISTORY, /* .key .past .npast .settled_rounds */
    CORE_NODE_KEYED,  /* .plan .node .key: the answer to CORE_DERIVE */
    CORE_NODE_REFUSED,  /* .plan .node .text: its spec cannot be derived; the node halts */
    CORE_ANSWER,        /* .name (worker) .answer; always gives one CORE_ANSWERED effect */
    CORE_LEASE_REFUSED, /* .name .answer.nonce .text: the worker's reason */
    CORE_HOLD, /* .flag .text: while set no lease is granted, whatever else happens (the disk is full, say) */
    CORE_OPERATOR_FLAG, /* .name .text: flagged before a restart (as CORE_OPERATOR_FLAGGED said) and not cleared since;
                            * feed after the workers and before the plans. Votes from before a restart flag nobody anew */
    CORE_PAYLOAD_LOST, /* .key .answer.payload: the store does not have the bytes of this payload of the job any more. The verdict
                           * stands, but nothing is built upon it, and the job is asked for again, in a new round unless the current one
                           * may still bring them, until CORE_PAYLOAD_BACK or an answer with that payload (its objects were checked).
                           * Known already, or a job that is not in memory: no event. It is forgotten with the job: feed it
                           * again after the job's history */
    CORE_PAYLOAD_BACK /* .key .answer.payload: they are here again, whoever brought them */
};

struct core_event {
    enum core_event_type type;
    const char *name, *text;
    struct digest plan, key;
    size_t node;
    bool flag;
    /* From scratch: rounds whose first lease is older than this are to be repeated. 0: now. A driver that
     * restarts passes the time of the user's request, so that rounds already repeated are not repeated again. */
    int64_t since_ms;
    struct core_worker worker;
    struct core_capacity capacity;
    const struct core_nonce *nonces;
    size_t nnonces;
    const struct core_node *nodes;
    size_t nnodes;
    const struct core_past_lease *past;
    size_t npast;
    uint64_t
        settled_rounds; /* bit r-1: round r was settled (agreed or failed) at some time: what comes now is open */
    struct core_answer answer;
};

/* What became of an answer. */
enum answer_fate {
    ANSWER_COUNTED, /* its operator's vote from now on: the first answer, or the first digest after failures */
    ANSWER_OPEN,    /* the same, given after its round was settled */
    ANSWER_EXTRA, /* genuine, kept as evidence: the operator has voted the same (or built it, and this is a failure). It
                       * takes the vote's place should that become void. Or: its worker is revoked, and it is void itself */
    ANSWER_EQUIVOCAL, /* the operator's second digest: it has no vote any more, and counts as dissent */
    ANSWER_DUPLICATE, /* the very same envelope again: acknowledged, nothing recorded */
    ANSWER_RETRIED,   /* infrastructure failure: recorded, and somebody is asked again */
    ANSWER_REJECTED   /* no such lease, or not this worker's: not recorded */
};
const char *answer_fate_name(enum answer_fate fate);

enum node_state {
    NODE_WAITING,  /* for its closure */
    NODE_DERIVING, /* CORE_DERIVE is out */
    NODE_READY,    /* wants workers */
    NODE_RUNNING,  /* has a live lease */
    NODE_AGREED,
    NODE_DISPUTED, /* rival answers; further operators are asked where there are any */
    NODE_FAILED,   /* quorum operators say it does not build */
    NODE_HALTED, /* too many infrastructure failures; its spec cannot be derived; or the votes it still needs could
                     * only be open ones, which its rules do not count (another plan's weaker rules had a verdict) */
    NODE_BLOCKED /* something it needs failed, halted or was blocked */
};
const char *node_state_name(enum node_state state);

enum plan_state { PLAN_RUNNING, PLAN_DONE, PLAN_FAILED, PLAN_CANCELLED };
const char *plan_state_name(enum plan_state state);

enum core_effect_type {
    CORE_DERIVE, /* .plan .node .payloads: make the spec, feed CORE_JOB_HISTORY if any, then CORE_NODE_KEYED */
    CORE_LEASE_GRANTED, /* .lease: record, then send it */
    CORE_LEASE_ENDED,   /* .lease .lease.state .text: record; tell the worker unless it answered */
    CORE_ANSWERED, /* .lease .answer .fate .name (worker): record, then acknowledge. ANSWER_REJECTED: .text says
                          * why, and .lease is empty but for the nonce */
    CORE_VOTE, /* .key .round .name (operator) .answer.nonce .answer.envelope .open: this is the operator's vote now; record
                * it instead of the one before. A zero envelope: it has none any more */
    CORE_VERDICT,    /* .key .round .verdict .plan .node (whose rules): changed, or found again; record */
    CORE_NODE_STATE, /* .plan .node .state: changed; for those who watch */
    CORE_PLAN_STATE, /* .plan .plan_state: changed; record */
    CORE_OPERATOR_FLAGGED, /* .name (operator) .text: outvoted repeatedly or equivocated; gets no leases */
    CORE_WORKER_RESTS      /* .name .text */
};

struct core_lease {
    struct core_nonce nonce;
    const char *worker, *operator_name; /* borrowed from the core */
    struct digest key, plan;
    size_t node;
    uint32_t round;
    enum lease_state state;
    int64_t granted_ms, deadline_ms;
};

struct core_effect {
    enum core_effect_type type;
    struct digest plan, key;
    size_t node;
    struct digest *payloads; /* owned by the effects list */
    size_t npayloads;
    struct core_lease lease;
    struct core_answer answer;
    enum answer_fate fate;
    bool open; /* of CORE_VOTE, and of CORE_ANSWERED whatever the fate */
    uint32_t round;
    struct verdict
        *verdict; /* of CORE_VERDICT; owned by the effects list (it is 3 KB: too big to carry in each) */
    enum node_state state;
    enum plan_state plan_state;
    char *name, *text; /* owned by the effects list */
};

struct core_effects {
    struct core_effect *items;
    size_t count, capacity;
};
#define CORE_EFFECTS_INIT                                                                                    \
    {                                                                                                        \
        0                                                                                                    \
    }
void core_effects_clear(struct core_effects *effects); /* keeps the memory */
void core_effects_done(struct core_effects *effects);

struct core;
struct core *core_new(const struct core_config *config);
struct core *core_free(struct core *core);

/* 'now_ms' never goes back (the caller's steady clock). Illegal events are counted, logged in the return value and change nothing:
 * FARM_E_STATE or FARM_E_UNKNOWN with the reason in diag. Scheduling happens at the end of each step. */
int core_step(struct core *core, int64_t now_ms, const struct core_event *event, struct core_effects *ret,
              struct diag *diag);
/* When CORE_TICK is due at the latest; INT64_MAX if never. */
int64_t core_next_tick(const struct core *core);

/* Reading, for status, why and listings. Pointers are borrowed until the next step. */
struct core_node_view {
    const char *id;
    enum node_state state;
    bool keyed;
    struct digest key;
    uint32_t round;
    struct verdict verdict; /* when keyed: if agreed over all rounds, else of the current one */
    bool has_payload;       /* its rounds agree on one: it may be built upon, also while it is repeated, */
    bool lost;              /* unless its bytes are lost (CORE_PAYLOAD_LOST) */
    struct digest payload;
    uint32_t live_leases, attempts, infrastructure_failures;
    int64_t since_ms;           /* when it entered this state */
    uint32_t remaining_seconds; /* longest path from here, for the order */
};
size_t core_plan_count(const struct core *core);
bool core_plan_at(const struct core *core, size_t index, struct digest *ret_plan, enum plan_state *ret_state,
                  size_t *ret_nodes);
bool core_node(const struct core *core, const struct digest *plan, size_t node, struct core_node_view *ret);
/* Appends a plain-language explanation, several lines: what it waits for, who was asked, who could be asked and why nobody is. */
void core_why(const struct core *core, const struct digest *plan, size_t node, int64_t now_ms,
              struct buf *ret);
/* Whether the core knows the nonce. If not, and the database does: feed that job's CORE_JOB_HISTORY first. */
bool core_lease_find(const struct core *core, const struct core_nonce *nonce, struct core_lease *ret);
/* Live leases of a worker or, with NULL, of all. */
void core_each_lease(const struct core *core, const char *worker,
                     void (*visit)(void *context, const struct core_lease *lease), void *context);
struct core_worker_view {
    const char *name, *operator_name;
    bool anchor, online, paused, revoked, operator_flagged, resting;
    struct core_capacity capacity;
    uint32_t live_leases;
    uint64_t answers;  /* to jobs in memory */
    uint64_t outvoted; /* on jobs that are or were in memory */
    int64_t heard_ms;
};
void core_each_worker(const struct core *core,
                      void (*visit)(void *context, const struct core_worker_view *view), void *context);
/* How many there are, in O(plans + workers + operators), and of jobs while a payload is lost. */
struct core_counts {
    size_t plans[PLAN_CANCELLED + 1], nodes[NODE_BLOCKED + 1]; /* by state */
    size_t workers, online, paused, resting,
        revoked; /* workers: those that are not revoked; revoked ones are in none of the others */
    size_t operators, flagged, live_leases;
    size_t lost; /* jobs whose agreed payload is lost */
    uint64_t illegal_events;
};
void core_count(const struct core *core, struct core_counts *ret);
/* Checks every invariant named above in O(everything); for tests and the simulator. 0 or FARM_E_CORRUPT with the reason. */
int core_check(const struct core *core, struct diag *diag);

#endif
