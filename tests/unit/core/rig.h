/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Rig: a core with a seeded random source, a clock that the test moves, and a driver that answers CORE_DERIVE at once.
 *
 * A key is the digest of the node's id and the payloads it was derived from, as real keys are. All effects of the last
 * step are kept for looking at; granted leases are remembered by worker and key.
 */
#ifndef TEST_CORE_RIG_H
#define TEST_CORE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>

#include <cmocka.h>

#include "core.h"

enum { RIG_NODES_MAX = 64, RIG_LEASES_MAX = 4096, RIG_EFFECTS_MAX = 8192 };

struct rig_lease {
    struct core_nonce nonce;
    char worker[32], node[32], operator_name[32];
    enum lease_state state;
    uint32_t round;
    uint64_t envelope; /* the last one that answered it; 0: none */
};

/* What a test looks at of an effect. */
struct rig_seen {
    enum core_effect_type type;
    enum answer_fate fate;
    enum lease_state lease;
    enum node_state state;
    enum plan_state plan_state;
    enum verdict_state verdict;
    size_t node;
    char name[32], text[200];
    uint32_t round;
    bool open;
    struct digest envelope; /* of answers and votes */
    struct digest print;    /* of all that a granted lease says */
};

struct rig_node {
    const char *id;
    const char *needs[8]; /* ids of direct dependencies; the closure is everything reachable */
    uint32_t estimate_seconds;
    int32_t priority;
    uint32_t cores;
    uint64_t memory_bytes;
};

struct rig {
    struct core *core;
    int64_t now_ms;
    uint64_t random;
    struct digest plan;
    struct rules rules;
    struct rig_node nodes[RIG_NODES_MAX];
    size_t nnodes;
    struct digest keys[RIG_NODES_MAX]; /* as last derived */
    struct digest refused;             /* derivations of this node id's digest are refused */
    bool refuse;
    bool hold_derivations; /* the test answers CORE_DERIVE itself */
    size_t derivations;
    struct rig_lease leases[RIG_LEASES_MAX];
    size_t nleases;
    struct rig_seen seen[RIG_EFFECTS_MAX];
    size_t nseen;
    uint64_t envelopes;
    char online[32][16]; /* names; "": none */
    struct diag diag;
};

extern const struct core_config rig_config; /* .random_context is set by rig_open() */

struct rig *rig_open(void);
struct rig *rig_open_with(const struct core_config *config);
void rig_close(struct rig *rig);
/* Steps, answers derivations until there are none, checks every invariant, and keeps the effects. */
int rig_step(struct rig *rig, const struct core_event *event);
/* Time passes; workers that are online are heard of every ten seconds. */
void rig_advance(struct rig *rig, int64_t ms);
/* The same, and nobody says anything. */
void rig_advance_silently(struct rig *rig, int64_t ms);

/* Workers: 4 slots, 8 cores, 16 GiB unless said otherwise. "a1" belongs to operator "a". Upper case: an anchor. */
void rig_worker(struct rig *rig, const char *name);
void rig_worker_slots(struct rig *rig, const char *name, uint32_t slots);
void rig_worker_facts(struct rig *rig, const char *name, const char *cpu_vendor, const char *kernel);
int rig_online(struct rig *rig, const char *name, uint32_t slots, const struct core_nonce *nonces, size_t n);
int rig_offline(struct rig *rig, const char *name);

/* rig->nodes and rig->rules make the plan. The one that rig->plan names is meant everywhere. */
int rig_start(struct rig *rig);
int rig_start_again(struct rig *rig, bool from_scratch);
/* A second later, from scratch: another round begins. */
void rig_repeat(struct rig *rig);
void rig_add(struct rig *rig, const char *id, const char *need1, const char *need2);

/* Leases of the node: live ones, or all. NULL worker: anybody's. The newest. */
struct rig_lease *rig_lease(struct rig *rig, const char *node, const char *worker);
size_t rig_live(struct rig *rig, const char *node);
/* The payload named by a letter. */
struct digest rig_payload(char letter);
/* The digest that stands for the envelope of this number. */
struct digest rig_envelope(uint64_t number);
/* The last answer of the lease counts no longer. */
void rig_void(struct rig *rig, const struct rig_lease *lease);
void rig_revoke(struct rig *rig, const char *worker);
/* Answers the lease; gives the fate. 'letter' 0: failure. */
enum answer_fate rig_answer(struct rig *rig, const struct rig_lease *lease, char letter,
                            enum failure_kind failure);
enum answer_fate rig_answer_as(struct rig *rig, const char *worker, const struct core_nonce *nonce,
                               char letter, enum failure_kind failure, uint64_t envelope);
/* All live leases of the node answer the letter. */
void rig_answer_all(struct rig *rig, const char *node, char letter);
int rig_refuse(struct rig *rig, const struct rig_lease *lease, const char *text);

size_t rig_index(const struct rig *rig, const char *id);
struct core_node_view rig_node(struct rig *rig, const char *id);
enum node_state rig_state(struct rig *rig, const char *id);
enum plan_state rig_plan_state(struct rig *rig);
/* How many effects of the kind there were since rig_forget(). */
size_t rig_count(const struct rig *rig, enum core_effect_type type);
const struct rig_seen *rig_last(const struct rig *rig, enum core_effect_type type);
void rig_forget(struct rig *rig);
/* Asserts that core_why() says this of the node. */
void rig_why(struct rig *rig, const char *id, const char *words);

#endif
