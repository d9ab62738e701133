/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The model database, and the judgement on what is recorded in it: see sim.h. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

void model_open(struct sim *sim)
{
    sim->leases = map_new();
    sim->jobs = map_new();
}

static void free_values(struct map *map, bool jobs)
{
    struct view key;
    void *value;
    for (size_t cursor = 0; map_next(map, &cursor, &key, &value);) {
        if (jobs) {
            free(((struct model_job *)value)->leases);
            free(((struct model_job *)value)->votes);
        }
        free(value);
    }
    map_free(map);
}

void model_close(struct sim *sim)
{
    free_values(sim->leases, false);
    free_values(sim->jobs, true);
}

struct model_lease *model_lease(struct sim *sim, const struct core_nonce *nonce)
{
    return map_get(sim->leases, view_of(nonce, sizeof *nonce));
}

struct model_job *model_job(struct sim *sim, const struct digest *key)
{
    struct model_job *job = map_get(sim->jobs, view_of(key, sizeof *key));
    if (job == NULL) {
        job = mem_zero(1, sizeof *job);
        job->key = *key;
        map_set(sim->jobs, view_of(key, sizeof *key), job);
    }
    return job;
}

static size_t worker_index(struct sim *sim, const char *name)
{
    for (size_t i = 0; i < sim->nworkers; i++)
        if (strcmp(sim->workers[i].name, name) == 0)
            return i;
    sim_fail(sim, "an effect names a worker %s that does not exist", name);
}

/* Whatever its fate: every genuine answer is judged, but for infrastructure failures. */
static bool counts(const struct model_answer *answer)
{
    return answer->answer.failure != FAILURE_INFRASTRUCTURE && !answer->is_void;
}

/* --- the independent judgement: votes by the operators that really own the workers --- */

enum { ALL_ROUNDS = 0 };

static struct verdict judge(struct sim *sim, const struct model_job *job, const struct rules *rules,
                            uint32_t round)
{
    struct vote *votes = NULL;
    size_t n = 0, capacity = 0;
    for (size_t i = 0; i < job->nleases; i++) {
        const struct model_lease *lease = job->leases[i];
        const struct sim_worker *worker = &sim->workers[lease->worker];
        for (size_t k = 0; k < lease->nanswers && (lease->round == round || round == ALL_ROUNDS); k++) {
            const struct model_answer *answer = &lease->answers[k];
            if (!counts(answer))
                continue;
            votes = mem_reserve(votes, &capacity, n + 1, sizeof *votes);
            votes[n++] = (struct vote){
                .operator_name = sim->operators[worker->operator_index].name,
                .anchor = sim->operators[worker->operator_index].anchor,
                .open = answer->open,
                .failure = answer->answer.failure,
                .payload = answer->answer.payload,
                .cpu_vendor = worker->cpu_vendor,
            };
        }
    }
    struct verdict verdict = verdict_of(rules, votes, n);
    free(votes);
    return verdict;
}

static uint32_t last_round(const struct model_job *job)
{
    uint32_t round = 1;
    for (size_t i = 0; i < job->nleases; i++)
        round = job->leases[i]->round > round ? job->leases[i]->round : round;
    return round;
}

static bool says_otherwise(const struct verdict *verdict, const struct digest *payload)
{
    bool otherwise = verdict->state == VERDICT_FAILED;
    for (size_t i = 0; i < verdict->ngroups; i++)
        otherwise |= !verdict->groups[i].is_failure && !digest_equal(&verdict->groups[i].payload, payload);
    return otherwise;
}

/* Whether some round agreed on the payload, none has said otherwise since, and all answers together say the same. */
static bool may_build_upon(struct sim *sim, const struct model_job *job, const struct rules *rules,
                           const struct digest *payload)
{
    struct verdict all = judge(sim, job, rules, ALL_ROUNDS);
    bool standing = false;
    for (uint32_t round = 1; round <= last_round(job); round++) {
        struct verdict verdict = judge(sim, job, rules, round);
        bool agreed = verdict.state == VERDICT_AGREED && digest_equal(&verdict.payload, payload);
        standing = agreed || (standing && !says_otherwise(&verdict, payload));
    }
    return standing && all.state == VERDICT_AGREED && digest_equal(&all.payload, payload);
}

/* What an operator has said in a round: the answers that count. */
struct said {
    const struct model_answer *answers[256];
    size_t n;
};

static struct said operator_said(struct sim *sim, const struct model_job *job, uint32_t round,
                                 size_t operator_index)
{
    struct said said = {0};
    for (size_t i = 0; i < job->nleases; i++) {
        const struct model_lease *lease = job->leases[i];
        if (lease->round != round || sim->workers[lease->worker].operator_index != operator_index)
            continue;
        for (size_t k = 0; k < lease->nanswers && said.n < ARRAY_SIZE(said.answers); k++)
            if (counts(&lease->answers[k]))
                said.answers[said.n++] = &lease->answers[k];
    }
    return said;
}

static bool is_built(const struct model_answer *answer)
{
    return answer->answer.failure == FAILURE_NONE;
}

static bool says(const struct said *said, const struct core_answer *same)
{
    for (size_t i = 0; i < said->n; i++) {
        bool built = is_built(said->answers[i]);
        if (built == (same->failure == FAILURE_NONE) &&
            (!built || digest_equal(&said->answers[i]->answer.payload, &same->payload)))
            return true;
    }
    return false;
}

static bool says_a_digest(const struct said *said)
{
    for (size_t i = 0; i < said->n; i++)
        if (is_built(said->answers[i]))
            return true;
    return false;
}

static bool says_two_digests(const struct said *said)
{
    for (size_t i = 0; i < said->n; i++)
        for (size_t k = 0; k < i; k++)
            if (is_built(said->answers[i]) && is_built(said->answers[k]) &&
                !digest_equal(&said->answers[i]->answer.payload, &said->answers[k]->answer.payload))
                return true;
    return false;
}

/* The answer that stands for it: built before failed, blind before open, early before late. */
static const struct model_answer *vote_of(const struct said *said)
{
    const struct model_answer *best = NULL;
    for (size_t i = 0; i < said->n && !says_two_digests(said); i++) {
        const struct model_answer *a = said->answers[i];
        if (best == NULL || is_built(a) > is_built(best) ||
            (is_built(a) == is_built(best) &&
             (a->open < best->open || (a->open == best->open && a->position < best->position))))
            best = a;
    }
    return best;
}

/* --- leases --- */

static void check_inputs(struct sim *sim, const struct sim_plan *plan, size_t node, const struct digest *key)
{
    const struct sim_node *n = &sim->nodes[node];
    if (!plan->derived[node] || !digest_equal(&plan->keys[node], key))
        sim_fail(sim, "%s is leased under a key that was not derived for it", n->id);
    for (size_t i = 0; i < n->nclosure; i++) {
        size_t below = n->closure[i];
        if (!plan->derived[below] || plan->payloads[node] == NULL ||
            !may_build_upon(sim, model_job(sim, &plan->keys[below]), &plan->rules, &plan->payloads[node][i]))
            sim_fail(sim,
                     "%s is leased, but %s of its closure is not agreed with the payload it was derived from",
                     n->id, sim->nodes[below].id);
    }
}

static void check_operator(struct sim *sim, const struct model_job *job, const struct core_lease *lease,
                           size_t worker)
{
    size_t operator_index = sim->workers[worker].operator_index;
    for (size_t i = 0; i < job->nleases; i++) {
        const struct model_lease *other = job->leases[i];
        if (other->state == LEASE_LIVE && other->round == lease->round &&
            sim->workers[other->worker].operator_index == operator_index)
            sim_fail(sim, "operator %s gets a second live lease on one job",
                     sim->operators[operator_index].name);
    }
    if (operator_said(sim, job, lease->round, operator_index).n > 0)
        sim_fail(sim, "operator %s has voted and is asked again", sim->operators[operator_index].name);
    if (sim->operators[operator_index].flagged)
        sim_fail(sim, "operator %s is flagged and gets a lease", sim->operators[operator_index].name);
}

static void check_room(struct sim *sim, size_t index)
{
    const struct sim_worker *worker = &sim->workers[index];
    uint32_t live = 0;
    struct view key;
    void *value;
    for (size_t cursor = 0; map_next(sim->leases, &cursor, &key, &value);) {
        const struct model_lease *lease = value;
        live += lease->worker == index && lease->state == LEASE_LIVE && /* what it lost takes no room */
                (lease->epoch == sim->crashes || workers_holds(worker, &lease->nonce));
    }
    if (live >= worker->capacity.slots)
        sim_fail(sim, "worker %s gets lease %u of %u", worker->name, live + 1, worker->capacity.slots);
    if (worker->revoked || worker->paused)
        sim_fail(sim, "worker %s is %s and gets a lease", worker->name,
                 worker->revoked ? "revoked" : "paused");
}

/* A new round needs somebody who asked for it (from scratch), or answers that were voided in the round before. */
static void check_round(struct sim *sim, const struct model_job *job, uint32_t round)
{
    bool wanted = job->nleases == 0 ? round == 1 : round <= last_round(job);
    for (size_t p = 0; p < PLANS; p++)
        wanted |= sim->plans[p].from_scratch;
    for (size_t i = 0; i < job->nleases; i++)
        for (size_t k = 0; k < job->leases[i]->nanswers; k++)
            wanted |= job->leases[i]->answers[k].is_void && job->leases[i]->round + 1 == round;
    if (!wanted)
        sim_fail(sim, "round %u began by itself", round);
}

static void record_grant(struct sim *sim, const struct core_lease *lease)
{
    struct model_job *job = model_job(sim, &lease->key);
    check_round(sim, job, lease->round);
    size_t worker = worker_index(sim, lease->worker);
    if (model_lease(sim, &lease->nonce) != NULL)
        sim_fail(sim, "a nonce is used twice");
    for (size_t p = 0; p < PLANS; p++)
        if (digest_equal(&sim->plans[p].id, &lease->plan))
            check_inputs(sim, &sim->plans[p], lease->node, &lease->key);
    check_operator(sim, job, lease, worker);
    check_room(sim, worker);
    struct model_lease *own = mem_zero(1, sizeof *own);
    own->nonce = lease->nonce;
    own->key = lease->key;
    own->worker = worker;
    own->round = lease->round;
    own->epoch = sim->crashes;
    own->state = LEASE_LIVE;
    own->granted_ms = lease->granted_ms;
    own->deadline_ms = lease->deadline_ms;
    map_set(sim->leases, view_of(&own->nonce, sizeof own->nonce), own);
    job->leases = mem_reserve(job->leases, &job->capacity, job->nleases + 1, sizeof(struct model_lease *));
    job->leases[job->nleases++] = own;
}

static void record_end(struct sim *sim, const struct core_lease *lease)
{
    struct model_lease *own = model_lease(sim, &lease->nonce);
    if (own == NULL || own->state != LEASE_LIVE)
        sim_fail(sim, "a lease ends that is not live");
    if (lease->state == LEASE_LIVE)
        sim_fail(sim, "a lease ends and stays live");
    own->state = lease->state;
}

/* --- answers --- */

static enum answer_fate expected_fate(struct sim *sim, const struct model_lease *lease,
                                      const struct core_answer *answer, size_t sender)
{
    if (lease == NULL || lease->worker != sender)
        return ANSWER_REJECTED;
    const struct model_job *job = model_job(sim, &lease->key);
    size_t operator_index = sim->workers[lease->worker].operator_index;
    for (size_t k = 0; k < lease->nanswers; k++)
        if (digest_equal(&lease->answers[k].answer.envelope, &answer->envelope))
            return ANSWER_DUPLICATE;
    if (answer->failure == FAILURE_INFRASTRUCTURE)
        return ANSWER_RETRIED;
    if (sim->workers[lease->worker].revoked)
        return ANSWER_EXTRA;
    struct said said = operator_said(sim, job, lease->round, operator_index);
    if (says(&said, answer) || (says_a_digest(&said) && answer->failure != FAILURE_NONE))
        return ANSWER_EXTRA;
    if (says_a_digest(&said))
        return ANSWER_EQUIVOCAL;
    return (job->settled >> (lease->round - 1) & 1) != 0 ? ANSWER_OPEN : ANSWER_COUNTED;
}

static void record_answer(struct sim *sim, const struct core_event *event, const struct core_effect *effect)
{
    struct model_lease *lease = model_lease(sim, &effect->answer.nonce);
    size_t sender = worker_index(sim, event->text != NULL ? event->text : event->name);
    enum answer_fate expected = expected_fate(sim, lease, &effect->answer, sender);
    bool too_many = lease != NULL && lease->nanswers >= 8 && effect->fate == ANSWER_REJECTED;
    if (effect->fate != expected && !too_many)
        sim_fail(sim, "an answer of %s is %s and should be %s", sim->workers[sender].name,
                 answer_fate_name(effect->fate), answer_fate_name(expected));
    if (lease == NULL || effect->fate == ANSWER_DUPLICATE || effect->fate == ANSWER_REJECTED)
        return;
    if (lease->nanswers >= MODEL_ANSWERS_MAX)
        sim_fail(sim, "a lease takes answers without end");
    sim->late += lease->state != LEASE_LIVE;
    struct model_job *job = model_job(sim, &lease->key);
    bool open = (job->settled >> (lease->round - 1) & 1) != 0;
    if (effect->open != open)
        sim_fail(sim, "an answer is %s, and the round was %s", effect->open ? "open" : "blind",
                 open ? "settled" : "not settled");
    lease->answers[lease->nanswers++] = (struct model_answer){
        .answer = effect->answer,
        .fate = effect->fate,
        .position = sim->log_size++,
        .open = open,
        .is_void = sim->workers[lease->worker].revoked,
    };
}

/* --- the row of a vote --- */

static size_t operator_of_border(struct sim *sim, const char *name)
{
    for (size_t i = 0; i < sim->nworkers; i++)
        if (strcmp(sim->workers[i].border_operator, name) == 0)
            return sim->workers[i].operator_index;
    sim_fail(sim, "a vote of an operator %s that does not exist", name);
}

static struct model_vote *vote_row(struct model_job *job, uint32_t round, size_t operator_index)
{
    for (size_t i = 0; i < job->nvotes; i++)
        if (job->votes[i].round == round && job->votes[i].operator_index == operator_index)
            return &job->votes[i];
    job->votes = mem_reserve(job->votes, &job->vote_capacity, job->nvotes + 1, sizeof *job->votes);
    job->votes[job->nvotes] = (struct model_vote){.round = round, .operator_index = operator_index};
    return &job->votes[job->nvotes++];
}

static void record_vote(struct sim *sim, const struct core_effect *effect)
{
    struct model_vote *row =
        vote_row(model_job(sim, &effect->key), effect->round, operator_of_border(sim, effect->name));
    row->envelope = effect->answer.envelope;
    row->open = effect->open;
}

/* After everything that an answer, or the voiding of one, gave: the row says what the answers say. */
static void check_vote(struct sim *sim, const struct core_nonce *nonce)
{
    const struct model_lease *lease = model_lease(sim, nonce);
    if (lease == NULL)
        return;
    struct model_job *job = model_job(sim, &lease->key);
    size_t operator_index = sim->workers[lease->worker].operator_index;
    struct said said = operator_said(sim, job, lease->round, operator_index);
    const struct model_answer *vote = vote_of(&said);
    const struct model_vote *row = vote_row(job, lease->round, operator_index);
    bool same = vote == NULL
                    ? digest_is_zero(&row->envelope)
                    : digest_equal(&row->envelope, &vote->answer.envelope) && row->open == vote->open;
    if (!same)
        sim_fail(sim, "the recorded vote of operator %s is not what its answers say",
                 sim->operators[operator_index].name);
}

struct model_answer *model_unvoided(struct sim *sim, size_t worker, uint64_t from)
{
    struct view key;
    void *value;
    for (size_t cursor = 0; map_next(sim->leases, &cursor, &key, &value);) {
        struct model_lease *lease = value;
        for (size_t k = 0; lease->worker == worker && k < lease->nanswers; k++)
            if (lease->answers[k].position >= from && !lease->answers[k].is_void)
                return &lease->answers[k];
    }
    return NULL;
}

static void record_void(struct sim *sim, const struct core_event *event)
{
    struct model_lease *lease = model_lease(sim, &event->answer.nonce);
    for (size_t k = 0; k < lease->nanswers; k++)
        if (digest_equal(&lease->answers[k].answer.envelope, &event->answer.envelope))
            lease->answers[k].is_void = true;
}

static void record_verdict(struct sim *sim, const struct core_effect *effect)
{
    struct model_job *job = model_job(sim, &effect->key);
    const struct sim_plan *plan = NULL;
    for (size_t p = 0; p < PLANS; p++)
        if (digest_equal(&sim->plans[p].id, &effect->plan))
            plan = &sim->plans[p];
    const struct rules *rules = plan != NULL ? &plan->rules : job->has_rules ? &job->rules : NULL;
    if (rules == NULL)
        sim_fail(sim, "a verdict under nobody's rules");
    if (plan != NULL) {
        job->rules = plan->rules;
        job->has_rules = true;
        struct verdict own = judge(sim, job, rules, effect->round);
        if (own.state != effect->verdict->state || !digest_equal(&own.payload, &effect->verdict->payload) ||
            own.operators != effect->verdict->operators || own.dissent != effect->verdict->dissent)
            sim_fail(sim, "a verdict is %s by %u operators, and the recorded votes say %s by %u",
                     verdict_state_name(effect->verdict->state), effect->verdict->operators,
                     verdict_state_name(own.state), own.operators);
    }
    uint64_t bit = (uint64_t)1 << (effect->round - 1);
    bool settles = verdict_is_settled(effect->verdict->state);
    sim->reopened += !settles && (job->standing & bit) != 0;
    job->standing = settles ? job->standing | bit : job->standing & ~bit;
    sim->verdicts++;
    sim->disputes += effect->verdict->state == VERDICT_DISPUTED;
    if (settles)
        job->settled |= bit;
}

/* --- nodes and plans --- */

static void record_node_state(struct sim *sim, const struct core_effect *effect)
{
    for (size_t p = 0; p < PLANS; p++) {
        struct sim_plan *plan = &sim->plans[p];
        if (!digest_equal(&plan->id, &effect->plan))
            continue;
        plan->states[effect->node] = effect->state;
        if (effect->state != NODE_AGREED)
            continue;
        struct model_job *job = model_job(sim, &plan->keys[effect->node]);
        struct verdict all = judge(sim, job, &plan->rules, ALL_ROUNDS);
        bool agreed = may_build_upon(sim, job, &plan->rules, &all.payload);
        if (!plan->derived[effect->node] || !agreed)
            sim_fail(sim, "%s is agreed, and the recorded votes do not say so", sim->nodes[effect->node].id);
    }
}

static void record_plan_state(struct sim *sim, const struct core_effect *effect)
{
    for (size_t p = 0; p < PLANS; p++)
        if (digest_equal(&sim->plans[p].id, &effect->plan))
            sim->plans[p].state = effect->plan_state;
}

static void record_flag(struct sim *sim, const struct core_effect *effect)
{
    for (size_t i = 0; i < sim->noperators; i++)
        if (strcmp(sim->operators[i].name, effect->name) == 0)
            sim->operators[i].flagged = true;
}

void model_record(struct sim *sim, const struct core_event *event, const struct core_effects *effects)
{
    if (event->type == CORE_VOTE_VOID)
        record_void(sim, event);
    for (size_t i = 0; i < effects->count; i++) {
        const struct core_effect *effect = &effects->items[i];
        switch (effect->type) {
        case CORE_LEASE_GRANTED:
            record_grant(sim, &effect->lease);
            break;
        case CORE_LEASE_ENDED:
            record_end(sim, &effect->lease);
            break;
        case CORE_ANSWERED:
            record_answer(sim, event, effect);
            break;
        case CORE_VERDICT:
            record_verdict(sim, effect);
            break;
        case CORE_NODE_STATE:
            record_node_state(sim, effect);
            break;
        case CORE_PLAN_STATE:
            record_plan_state(sim, effect);
            break;
        case CORE_OPERATOR_FLAGGED:
            record_flag(sim, effect);
            break;
        case CORE_VOTE:
            record_vote(sim, effect);
            break;
        case CORE_DERIVE:
        case CORE_WORKER_RESTS:
            break;
        }
    }
    if (event->type == CORE_VOTE_VOID || event->type == CORE_ANSWER)
        check_vote(sim, &event->answer.nonce);
}

/* --- what the driver reads back --- */

static void past_of(struct sim *sim, const struct model_lease *lease, const struct model_answer *answer,
                    struct core_past_lease *ret)
{
    const struct sim_worker *worker = &sim->workers[lease->worker];
    *ret = (struct core_past_lease){
        .nonce = lease->nonce,
        .worker = worker->name,
        .operator_name = worker->border_operator,
        .round = lease->round,
        .state = lease->state,
        .granted_ms = lease->granted_ms,
        .deadline_ms = lease->deadline_ms,
    };
    if (answer == NULL)
        return;
    ret->has_answer = true;
    ret->answer = answer->answer;
    ret->open = answer->open;
    ret->counted = counts(answer) || sim->options.plant == PLANT_IGNORE_VOID;
}

/* The leases, each once; then the answers, each with its lease again, in order of arrival. */
static size_t collect_past(struct sim *sim, const struct model_job *job, struct core_past_lease **ret)
{
    struct core_past_lease *past = NULL;
    uint64_t *positions = NULL; /* of what stands in past[] */
    size_t n = 0, capacity = 0, more = 0;
    for (size_t i = 0; i < job->nleases; i++) {
        past = mem_reserve(past, &capacity, n + 1, sizeof *past);
        past_of(sim, job->leases[i], NULL, &past[n++]);
    }
    for (size_t i = 0; i < job->nleases; i++)
        for (size_t k = 0; k < job->leases[i]->nanswers; k++) {
            const struct model_answer *answer = &job->leases[i]->answers[k];
            if (sim->options.plant == PLANT_LOSE_VOTE && sim_chance(sim, 30))
                continue;
            past = mem_reserve(past, &capacity, n + 1, sizeof *past);
            positions = mem_reserve(positions, &more, n + 1, sizeof *positions);
            size_t at = n++;
            for (; at > job->nleases && positions[at - 1] > answer->position; at--) {
                past[at] = past[at - 1];
                positions[at] = positions[at - 1];
            }
            past_of(sim, job->leases[i], answer, &past[at]);
            positions[at] = answer->position;
        }
    free(positions);
    *ret = past;
    return n;
}

bool model_feed(struct sim *sim, const struct digest *key)
{
    const struct model_job *job = model_job(sim, key);
    struct core_past_lease *past = NULL;
    size_t n = collect_past(sim, job, &past);
    struct core_event event = {
        .type = CORE_JOB_HISTORY, .key = *key, .past = past, .npast = n, .settled_rounds = job->settled};
    bool alive = n == 0 || world_step(sim, &event);
    free(past);
    return alive;
}

/* --- the end --- */

static void finish_node(struct sim *sim, size_t p, size_t node)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct core_node_view view;
    if (!core_node(sim->core, &sim->plans[p].id, node, &view))
        sim_fail(sim, "a started plan is not known");
    core_why(sim->core, &sim->plans[p].id, node, sim->now_ms, &text);
    if (text.size < 20)
        sim_fail(sim, "%s is %s, and why says nothing", view.id, node_state_name(view.state));
    if (sim->options.verbose && view.state != NODE_AGREED && view.state != NODE_BLOCKED)
        fwrite(text.data, 1, text.size, stderr);
}

void model_finish(struct sim *sim)
{
    for (size_t p = 0; p < PLANS; p++) {
        if (!sim->plans[p].wanted || sim->plans[p].state == PLAN_CANCELLED)
            continue;
        for (size_t i = 0; i < sim->nnodes; i++)
            finish_node(sim, p, i);
    }
}
