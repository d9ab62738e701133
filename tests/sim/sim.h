/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Simulator of the coordinator's core: a whole farm in one thread, on a virtual clock, from one seed.
 *
 *   world.c    the clock, the driver (what the loop and the database do around the core), crashes and restarts
 *   workers.c  workers with behaviours: honest, slow, lying, flaky, failing, silent, broken machines; they crash and
 *              come back with their leases or without, answer late and twice, and try each other's leases
 *   model.c    the model database: what was recorded, and an independent judgement of every recorded effect by the rules
 *              of core.h. It shares no code with the core but verdict_of(), which is the definition.
 *   revoke.c   workers that are not believed any more, from some position in the log on, and what the driver does about it
 *   plan.c     random plans
 *
 * A wrong effect ends the run with the seed. The planted mistakes (--plant N) are made at the border between driver and
 * core, so that the core behaves exactly as if it had that mistake, while the model knows better.
 */
#ifndef SIM_H
#define SIM_H

#include "core.h"
#include "map.h"

enum plant {
    PLANT_NONE,
    PLANT_COUNT_WORKERS, /* votes are counted per worker, not per operator */
    PLANT_FORGET_HOLDER, /* any worker may answer any lease */
    PLANT_EARLY_LEASE,   /* some dependencies do not hold a node back */
    PLANT_LOSE_VOTE,     /* a restart forgets an answer */
    PLANT_IGNORE_VOID,   /* answers of who is not believed any more go on counting */
    PLANT_LAST
};

enum behaviour { HONEST, SLOW, LYING, FLAKY, FAILING, SILENT, BROKEN_MACHINE, BEHAVIOURS };

struct sim_options {
    uint64_t seed;
    uint32_t jobs, workers;
    enum plant plant;
    bool verbose;
};

/* --- the model database --- */

enum { MODEL_ANSWERS_MAX = 16 };

struct model_answer {
    struct core_answer answer;
    enum answer_fate fate;
    uint64_t position; /* in the log */
    bool open, is_void;
};
/* The row of an operator's vote, as last told. */
struct model_vote {
    uint32_t round;
    size_t operator_index;
    struct digest envelope; /* zero: none */
    bool open;
};
struct model_lease {
    struct core_nonce nonce;
    struct digest key;
    size_t worker;
    uint32_t round;
    enum lease_state state;
    int64_t granted_ms, deadline_ms;
    struct model_answer answers[MODEL_ANSWERS_MAX];
    size_t nanswers;
    size_t epoch; /* coordinator crashes before it was granted */
};
struct model_job {
    struct digest key;
    struct model_lease **leases;
    size_t nleases, capacity;
    struct model_vote *votes;
    size_t nvotes, vote_capacity;
    uint64_t settled;  /* rounds that were agreed or failed at some time */
    uint64_t standing; /* of those, the ones whose verdict stands as it was last told */
    bool has_rules;
    struct rules rules; /* of the last verdict told */
};
struct sim_node {
    char id[32];
    size_t dependencies[6], ndependencies;
    size_t *closure, nclosure;
    struct core_needs needs;
    bool fails;  /* truly does not build */
    bool random; /* truly not reproducible */
};
struct sim_plan {
    struct digest id;
    struct rules rules;
    struct digest *keys;      /* per node, as last derived and recorded */
    struct digest **payloads; /* what each was derived from */
    bool *derived;
    enum node_state *states;
    uint32_t *deriving; /* derivations asked for and not answered: [pending tasks] */
    enum plan_state state;
    bool wanted, from_scratch;
    int64_t start_at, fresh_since;
};
enum { PLANS = 2 };

struct sim_operator {
    char name[24];
    bool anchor, flagged;
    char flag_text[200];
};
struct sim_held {
    struct core_nonce nonce;
    struct digest key;
    size_t node, plan;
    int64_t finish_at, send_at;
    uint32_t sends_left;
    bool has_answer, sent;
    struct core_answer answer;
};
struct sim_worker {
    char name[24];
    char border_operator[24]; /* as told to the core; differs only under PLANT_COUNT_WORKERS */
    size_t operator_index;
    enum behaviour behaviour;
    const char *cpu_vendor;
    struct core_capacity capacity;
    bool up, connected, revoked, paused;
    uint64_t void_from; /* when revoked: position from which its answers are void */
    int64_t next_heartbeat, comes_back_at;
    struct sim_held *held;
    size_t nheld, held_capacity;
};
struct sim_task {
    int64_t at;
    size_t plan, node;
    struct digest key;
    struct digest *payloads;
    size_t npayloads;
};

struct sim {
    struct sim_options options;
    uint64_t random, core_random;
    int64_t now_ms, horizon_ms, calm_at;
    struct core *core;
    struct sim_node *nodes;
    size_t nnodes;
    struct sim_plan plans[PLANS];
    struct sim_operator *operators;
    size_t noperators;
    struct sim_worker *workers;
    size_t nworkers;
    struct sim_task *tasks; /* derivations under way; lost in a crash */
    size_t ntasks, task_capacity;
    struct map *leases, *jobs; /* the database: by nonce, by key */
    uint64_t envelopes, log_size;
    int64_t last_effect_at;
    bool all_honest; /* nobody lies, so that everything must end */
    size_t steps, crashes, answers, late, verdicts, disputes, forgeries, voided, reopened;
    int64_t last_action_at;
};

/* Ends the program with the seed, how to replay it, and what is wrong. */
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));

uint64_t sim_random(struct sim *sim);
uint64_t sim_below(struct sim *sim, uint64_t n);
bool sim_chance(struct sim *sim, unsigned int percent);

/* plan.c */
void plan_make(struct sim *sim);
void plan_start(struct sim *sim, size_t plan, bool again);
void plan_done(struct sim *sim);
struct digest plan_key(const struct sim *sim, size_t node, const struct digest *payloads, size_t n);

/* model.c */
void model_open(struct sim *sim);
void model_close(struct sim *sim);
/* Judges and records all effects of one step. */
void model_record(struct sim *sim, const struct core_event *event, const struct core_effects *effects);
struct model_job *model_job(struct sim *sim, const struct digest *key);
/* CORE_JOB_HISTORY for the key, as the driver would feed it; false if there is none. */
bool model_feed(struct sim *sim, const struct digest *key);
bool workers_holds(const struct sim_worker *worker, const struct core_nonce *nonce);
struct model_lease *model_lease(struct sim *sim, const struct core_nonce *nonce);
/* An answer of the worker at or behind the position that is not void yet; NULL: none. */
struct model_answer *model_unvoided(struct sim *sim, size_t worker, uint64_t from);
/* At the end of the run. */
void model_finish(struct sim *sim);

/* workers.c */
void workers_make(struct sim *sim);
void workers_done(struct sim *sim);
/* The earliest time at which some worker does something. */
int64_t workers_next(const struct sim *sim);
void workers_act(struct sim *sim);
void workers_take(struct sim *sim, const struct core_lease *lease);
void workers_told_end(struct sim *sim, const struct core_lease *lease);
void workers_told_answered(struct sim *sim, const struct core_effect *effect);
void workers_coordinator_gone(struct sim *sim);
/* It answers one of the leases it holds, if it has any. */
void workers_answer_something(struct sim *sim, struct sim_worker *worker);

/* revoke.c */
void revoke_worker(struct sim *sim, struct sim_worker *worker);
/* After a restart: what a crash in the middle of a revocation left to do. */
void revoke_go_on(struct sim *sim);

/* world.c */
/* One event through the core; records, and lets the world see it. False: the coordinator crashed meanwhile. */
bool world_step(struct sim *sim, const struct core_event *event);
void world_run(const struct sim_options *options, struct sim *ret_totals);

#endif
