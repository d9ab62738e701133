/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rig.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* splitmix64 (Steele, Lea and Flood, 2014): enough for tests, and equal everywhere. */
static void rig_random(void *context, void *ret, size_t size)
{
    uint64_t *state = context;
    for (unsigned char *at = ret; size > 0;) {
        uint64_t z = *state += 0x9e3779b97f4a7c15u;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
        z = (z ^ z >> 27) * 0x94d049bb133111ebu;
        z ^= z >> 31;
        size_t n = size < sizeof z ? size : sizeof z;
        memcpy(at, &z, n);
        at += n;
        size -= n;
    }
}

const struct core_config rig_config = {
    .session_timeout_ms = 30000,
    .lease_grace_ms = 60000,
    .lease_margin_ms = 600000,
    .outvoted_limit = 3,
    .refusals_limit = 3,
    .rest_ms = 120000,
    .random = rig_random,
};

struct rig *rig_open_with(const struct core_config *config)
{
    struct rig *rig = mem_zero(1, sizeof *rig);
    struct core_config own = *config;
    rig->random = 42;
    own.random_context = &rig->random;
    rig->core = core_new(&own);
    rig->now_ms = 1000000;
    rig->plan = digest_of(VIEW("the plan"));
    rig->rules = (struct rules){.quorum = 2, .max_attempts = 3, .open_votes = true};
    return rig;
}

struct rig *rig_open(void)
{
    return rig_open_with(&rig_config);
}

void rig_close(struct rig *rig)
{
    core_free(rig->core);
    free(rig);
}

/* --- effects --- */

static void note_lease(struct rig *rig, const struct core_lease *lease)
{
    for (size_t i = 0; i < rig->nleases; i++)
        if (memcmp(&rig->leases[i].nonce, &lease->nonce, sizeof lease->nonce) == 0) {
            rig->leases[i].state = lease->state;
            return;
        }
    assert_true(rig->nleases < RIG_LEASES_MAX);
    struct rig_lease *own = &rig->leases[rig->nleases++];
    own->nonce = lease->nonce;
    own->state = lease->state;
    own->round = lease->round;
    snprintf(own->worker, sizeof own->worker, "%s", lease->worker);
    snprintf(own->operator_name, sizeof own->operator_name, "%s", lease->operator_name);
    snprintf(own->node, sizeof own->node, "%s", rig->nodes[lease->node].id);
}

/* Everything that the driver could tell a worker with its lease, but for the names, which are pointers. */
static struct digest print_of(const struct core_effect *effect)
{
    const struct core_lease lease = effect->lease;
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, lease.worker, strlen(lease.worker));
    hasher_add(hasher, &lease.nonce, sizeof lease.nonce);
    hasher_add(hasher, &lease.key, sizeof lease.key);
    hasher_add(hasher, &lease.plan, sizeof lease.plan);
    hasher_add(hasher, &lease.node, sizeof lease.node);
    hasher_add(hasher, &lease.round, sizeof lease.round);
    hasher_add(hasher, &lease.granted_ms, sizeof lease.granted_ms);
    hasher_add(hasher, &lease.deadline_ms, sizeof lease.deadline_ms);
    hasher_add(hasher, effect->payloads, effect->npayloads * sizeof *effect->payloads);
    hasher_add(hasher, &effect->answer.payload, sizeof effect->answer.payload);
    struct digest print = hasher_finish(hasher);
    hasher_free(hasher);
    return print;
}

static void note(struct rig *rig, const struct core_effect *effect)
{
    assert_true(rig->nseen < RIG_EFFECTS_MAX);
    struct rig_seen *seen = &rig->seen[rig->nseen++];
    *seen = (struct rig_seen){
        .type = effect->type,
        .fate = effect->fate,
        .lease = effect->lease.state,
        .state = effect->state,
        .plan_state = effect->plan_state,
        .verdict = effect->verdict != NULL ? effect->verdict->state : VERDICT_PENDING,
        .node = effect->node,
        .round = effect->type == CORE_LEASE_GRANTED ? effect->lease.round : effect->round,
        .open = effect->open,
        .envelope = effect->answer.envelope,
    };
    if (effect->type == CORE_LEASE_GRANTED)
        seen->print = print_of(effect);
    snprintf(seen->name, sizeof seen->name, "%s", effect->name != NULL ? effect->name : "");
    snprintf(seen->text, sizeof seen->text, "%s", effect->text != NULL ? effect->text : "");
    if (effect->type == CORE_LEASE_GRANTED || effect->type == CORE_LEASE_ENDED)
        note_lease(rig, &effect->lease);
}

static void derived(struct rig *rig, const struct core_effect *effect)
{
    const char *id = rig->nodes[effect->node].id;
    struct hasher *hasher = hasher_new();
    hasher_add(hasher, id, strlen(id));
    hasher_add(hasher, effect->payloads, effect->npayloads * sizeof *effect->payloads);
    rig->keys[effect->node] = hasher_finish(hasher);
    hasher_free(hasher);
    rig->derivations++;
    struct digest name = digest_of(view_text(id));
    bool refuse = rig->refuse && digest_equal(&name, &rig->refused);
    struct core_event event = {
        .type = refuse ? CORE_NODE_REFUSED : CORE_NODE_KEYED,
        .plan = effect->plan,
        .node = effect->node,
        .key = rig->keys[effect->node],
        .text = refuse ? "the recipe has no such step" : NULL,
    };
    if (!rig->hold_derivations)
        assert_int_equal(rig_step(rig, &event), 0);
}

int rig_step(struct rig *rig, const struct core_event *event)
{
    struct core_effects effects = CORE_EFFECTS_INIT;
    rig->diag = (struct diag)DIAG_INIT;
    int r = core_step(rig->core, rig->now_ms, event, &effects, &rig->diag);
    struct diag diag = DIAG_INIT;
    if (core_check(rig->core, &diag) < 0)
        fail_msg("core_check: %s", diag.text);
    for (size_t i = 0; i < effects.count; i++)
        note(rig, &effects.items[i]);
    for (size_t i = 0; i < effects.count; i++)
        if (effects.items[i].type == CORE_DERIVE)
            derived(rig, &effects.items[i]);
    core_effects_clear(&effects);
    core_effects_done(&effects);
    return r;
}

void rig_advance_silently(struct rig *rig, int64_t ms)
{
    rig->now_ms += ms;
    struct core_event event = {.type = CORE_TICK};
    assert_int_equal(rig_step(rig, &event), 0);
}

void rig_advance(struct rig *rig, int64_t ms)
{
    for (int64_t left = ms; left > 0; left -= 10000) {
        for (size_t i = 0; i < ARRAY_SIZE(rig->online); i++) {
            struct core_event event = {.type = CORE_WORKER_HEARD, .name = rig->online[i]};
            if (rig->online[i][0] != '\0')
                assert_int_equal(rig_step(rig, &event), 0);
        }
        rig_advance_silently(rig, left < 10000 ? left : 10000);
    }
}

static void set_online(struct rig *rig, const char *name, bool online)
{
    size_t place = ARRAY_SIZE(rig->online);
    for (size_t i = 0; i < ARRAY_SIZE(rig->online); i++) {
        if (strcmp(rig->online[i], name) == 0)
            rig->online[i][0] = '\0';
        if (rig->online[i][0] == '\0')
            place = i;
    }
    assert_true(place < ARRAY_SIZE(rig->online));
    if (online)
        snprintf(rig->online[place], sizeof rig->online[place], "%s", name);
}

/* --- workers --- */

static void operator_of(const char *worker, char ret_name[32])
{
    size_t n = 0;
    for (; n < 31 && isalpha((unsigned char)worker[n]); n++)
        ret_name[n] = worker[n];
    ret_name[n] = '\0';
}

static void admit(struct rig *rig, const char *name, const char *cpu_vendor, const char *kernel)
{
    char operator_name[32];
    operator_of(name, operator_name);
    struct core_event event = {
        .type = CORE_WORKER_ADMITTED,
        .worker = {.name = name,
                   .operator_name = operator_name,
                   .anchor = isupper((unsigned char)name[0]) != 0,
                   .cpu_vendor = cpu_vendor,
                   .kernel = kernel},
    };
    assert_int_equal(rig_step(rig, &event), 0);
}

int rig_online(struct rig *rig, const char *name, uint32_t slots, const struct core_nonce *nonces, size_t n)
{
    struct core_event event = {
        .type = CORE_WORKER_ONLINE,
        .name = name,
        .capacity = {.slots = slots,
                     .cores = 8,
                     .memory_bytes = (uint64_t)16 << 30,
                     .disk_bytes = (uint64_t)100 << 30},
        .nonces = nonces,
        .nnonces = n,
    };
    set_online(rig, name, true);
    return rig_step(rig, &event);
}

int rig_offline(struct rig *rig, const char *name)
{
    struct core_event event = {.type = CORE_WORKER_OFFLINE, .name = name};
    set_online(rig, name, false);
    return rig_step(rig, &event);
}

void rig_worker_slots(struct rig *rig, const char *name, uint32_t slots)
{
    admit(rig, name, NULL, NULL);
    assert_int_equal(rig_online(rig, name, slots, NULL, 0), 0);
}

void rig_worker(struct rig *rig, const char *name)
{
    rig_worker_slots(rig, name, 4);
}

void rig_worker_facts(struct rig *rig, const char *name, const char *cpu_vendor, const char *kernel)
{
    admit(rig, name, cpu_vendor, kernel);
    assert_int_equal(rig_online(rig, name, 4, NULL, 0), 0);
}

/* --- plans --- */

void rig_add(struct rig *rig, const char *id, const char *need1, const char *need2)
{
    assert_true(rig->nnodes < RIG_NODES_MAX);
    rig->nodes[rig->nnodes++] =
        (struct rig_node){.id = id, .needs = {need1, need2}, .estimate_seconds = 60, .cores = 1};
}

size_t rig_index(const struct rig *rig, const char *id)
{
    for (size_t i = 0; i < rig->nnodes; i++)
        if (strcmp(rig->nodes[i].id, id) == 0)
            return i;
    fail_msg("no node %s", id);
    return 0;
}

static int start(struct rig *rig, bool from_scratch)
{
    static size_t edges[RIG_NODES_MAX][8], closures[RIG_NODES_MAX][RIG_NODES_MAX];
    struct core_node nodes[RIG_NODES_MAX] = {0};
    bool reach[RIG_NODES_MAX][RIG_NODES_MAX] = {0};
    for (size_t i = 0; i < rig->nnodes; i++) {
        const struct rig_node *from = &rig->nodes[i];
        struct core_node *to = &nodes[i];
        to->id = from->id;
        to->rules = rig->rules;
        to->needs = (struct core_needs){.cores = from->cores,
                                        .memory_bytes = from->memory_bytes,
                                        .wall_seconds = 3600,
                                        .priority = from->priority,
                                        .estimate_seconds = from->estimate_seconds};
        for (size_t k = 0; k < 8 && from->needs[k] != NULL; k++) {
            size_t need = rig_index(rig, from->needs[k]);
            edges[i][to->ndependencies++] = need;
            reach[i][need] = true;
            for (size_t j = 0; j < need; j++)
                reach[i][j] |= reach[need][j];
        }
        for (size_t j = 0; j < i; j++)
            if (reach[i][j])
                closures[i][to->nclosure++] = j;
        to->dependencies = edges[i];
        to->closure = closures[i];
    }
    struct core_event event = {.type = CORE_PLAN_START,
                               .plan = rig->plan,
                               .nodes = nodes,
                               .nnodes = rig->nnodes,
                               .flag = from_scratch};
    return rig_step(rig, &event);
}

int rig_start(struct rig *rig)
{
    return start(rig, false);
}

int rig_start_again(struct rig *rig, bool from_scratch)
{
    return start(rig, from_scratch);
}

void rig_repeat(struct rig *rig)
{
    rig_advance(rig, 1000);
    assert_int_equal(rig_start_again(rig, true), 0);
}

/* --- leases and answers --- */

struct rig_lease *rig_lease(struct rig *rig, const char *node, const char *worker)
{
    for (size_t i = rig->nleases; i > 0; i--) {
        struct rig_lease *lease = &rig->leases[i - 1];
        if (strcmp(lease->node, node) == 0 &&
            (worker == NULL ? lease->state == LEASE_LIVE : strcmp(lease->worker, worker) == 0))
            return lease;
    }
    return NULL;
}

size_t rig_live(struct rig *rig, const char *node)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->nleases; i++)
        n += strcmp(rig->leases[i].node, node) == 0 && rig->leases[i].state == LEASE_LIVE;
    return n;
}

struct digest rig_payload(char letter)
{
    return digest_of(view_of(&letter, 1));
}

enum answer_fate rig_answer_as(struct rig *rig, const char *worker, const struct core_nonce *nonce,
                               char letter, enum failure_kind failure, uint64_t envelope)
{
    struct core_event event = {.type = CORE_ANSWER, .name = worker};
    event.answer.nonce = *nonce;
    event.answer.failure = failure;
    event.answer.envelope = rig_envelope(envelope);
    for (size_t i = 0; i < rig->nleases; i++)
        if (memcmp(&rig->leases[i].nonce, nonce, sizeof *nonce) == 0)
            rig->leases[i].envelope = envelope;
    if (failure == FAILURE_NONE)
        event.answer.payload = rig_payload(letter);
    size_t before = rig->nseen;
    assert_int_equal(rig_step(rig, &event), 0);
    for (size_t i = before; i < rig->nseen; i++)
        if (rig->seen[i].type == CORE_ANSWERED)
            return rig->seen[i].fate;
    fail_msg("an answer without CORE_ANSWERED");
    return ANSWER_REJECTED;
}

enum answer_fate rig_answer(struct rig *rig, const struct rig_lease *lease, char letter,
                            enum failure_kind failure)
{
    assert_non_null(lease);
    return rig_answer_as(rig, lease->worker, &lease->nonce, letter, failure, ++rig->envelopes);
}

struct digest rig_envelope(uint64_t number)
{
    return digest_of(view_of(&number, sizeof number));
}

void rig_void(struct rig *rig, const struct rig_lease *lease)
{
    struct core_event event = {.type = CORE_VOTE_VOID};
    event.answer.nonce = lease->nonce;
    event.answer.envelope = rig_envelope(lease->envelope);
    assert_int_equal(rig_step(rig, &event), 0);
}

void rig_revoke(struct rig *rig, const char *worker)
{
    struct core_event event = {.type = CORE_WORKER_REVOKED, .name = worker};
    for (size_t i = 0; i < ARRAY_SIZE(rig->online); i++)
        if (strcmp(rig->online[i], worker) == 0)
            rig->online[i][0] = '\0';
    assert_int_equal(rig_step(rig, &event), 0);
}

void rig_answer_all(struct rig *rig, const char *node, char letter)
{
    struct rig_lease *lease;
    while ((lease = rig_lease(rig, node, NULL)) != NULL)
        rig_answer(rig, lease, letter, FAILURE_NONE);
}

int rig_refuse(struct rig *rig, const struct rig_lease *lease, const char *text)
{
    struct core_event event = {.type = CORE_LEASE_REFUSED, .name = lease->worker, .text = text};
    event.answer.nonce = lease->nonce;
    return rig_step(rig, &event);
}

/* --- looking --- */

struct core_node_view rig_node(struct rig *rig, const char *id)
{
    struct core_node_view view;
    assert_true(core_node(rig->core, &rig->plan, rig_index(rig, id), &view));
    return view;
}

enum node_state rig_state(struct rig *rig, const char *id)
{
    return rig_node(rig, id).state;
}

enum plan_state rig_plan_state(struct rig *rig)
{
    struct digest plan;
    enum plan_state state;
    size_t n;
    for (size_t i = 0; core_plan_at(rig->core, i, &plan, &state, &n); i++)
        if (digest_equal(&plan, &rig->plan))
            return state;
    fail_msg("no such plan");
    return state;
}

size_t rig_count(const struct rig *rig, enum core_effect_type type)
{
    size_t n = 0;
    for (size_t i = 0; i < rig->nseen; i++)
        n += rig->seen[i].type == type;
    return n;
}

const struct rig_seen *rig_last(const struct rig *rig, enum core_effect_type type)
{
    for (size_t i = rig->nseen; i > 0; i--)
        if (rig->seen[i - 1].type == type)
            return &rig->seen[i - 1];
    return NULL;
}

void rig_forget(struct rig *rig)
{
    rig->nseen = 0;
}

void rig_why(struct rig *rig, const char *id, const char *words)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    core_why(rig->core, &rig->plan, rig_index(rig, id), rig->now_ms, &text);
    if (text.data == NULL || strstr(text.data, words) == NULL)
        fail_msg("why %s: expected \"%s\" in:\n%s", id, words, text.data != NULL ? text.data : "(nothing)");
}
