/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Effects into rows, messages and further events: see net/effects.c, net/plans.c and net/plans_history.c. */
#include "sim.h"

#include <stdlib.h>

/* --- leases --- */

/* What the wire's Lease points to while it is encoded. */
struct lease_parts {
    struct digest payloads[CLOSURE_MAX], tars[CLOSURE_MAX];
    Wire__Payload wire[CLOSURE_MAX], *list[CLOSURE_MAX], base;
    Wire__Tree tree;
    Wire__Resources resources;
};

/* Any answer with that payload names the same tar. */
static struct digest tar_of(struct world *world, const struct core_node_view *view)
{
    const struct row_job *job = db_job(&world->db, &view->key);
    struct digest tar = {{0}};
    for (size_t i = 0; job != NULL && i < job->answers.count; i++) {
        const struct row_answer *answer = job->answers.items[i];
        if (digest_equal(&answer->answer.payload, &view->payload))
            tar = answer->answer.tar;
    }
    return tar;
}

static void fill_payloads(struct world *world, const struct core_lease *lease, struct lease_parts *parts,
                          Wire__Lease *message)
{
    const struct sim_node *node = &world->plans.nodes[lease->node];
    for (size_t i = 0; i < node->nclosure; i++) {
        struct core_node_view view = {0};
        (void)core_node(world->coordinator.core, &lease->plan, node->closure[i], &view);
        parts->payloads[i] = view.payload;
        parts->tars[i] = tar_of(world, &view);
        wire__payload__init(&parts->wire[i]);
        parts->wire[i].manifest = wire_digest(&parts->payloads[i]);
        parts->wire[i].tar = wire_digest(&parts->tars[i]);
        parts->list[i] = &parts->wire[i];
    }
    message->payloads = parts->list;
    message->n_payloads = node->nclosure;
}

static void fill_fixed(struct world *world, const struct core_lease *lease, struct lease_parts *parts,
                       Wire__Lease *message)
{
    const struct sim_node *node = &world->plans.nodes[lease->node];
    wire__tree__init(&parts->tree);
    parts->tree.url = wire_text("https://example.org/tree");
    parts->tree.commit = wire_text("0123456789012345678901234567890123456789");
    parts->tree.tree_sha256 = parts->tree.pack = wire_digest(&lease->plan);
    wire__payload__init(&parts->base);
    parts->base.manifest = parts->base.tar = wire_digest(&lease->plan);
    wire__resources__init(&parts->resources);
    parts->resources.cores = node->needs.cores;
    parts->resources.memory_bytes = node->needs.memory_bytes;
    message->tree = &parts->tree;
    message->base_image = &parts->base;
    message->resources = &parts->resources;
    message->node = wire_text(node->id);
    message->job_key = wire_digest(&lease->key);
    message->round = lease->round;
    message->deadline_ms = (uint64_t)(lease->deadline_ms - lease->granted_ms);
}

static void on_granted(struct world *world, const struct core_lease *lease)
{
    struct lease_parts parts;
    Wire__Lease message = WIRE__LEASE__INIT;
    struct row_lease row = {
        .nonce = lease->nonce,
        .job = db_job(&world->db, &lease->key),
        .worker = coordinator_worker(world, lease->worker),
        .round = lease->round,
        .state = LEASE_LIVE,
        .granted_wall_ms = coordinator_wall_of_core(world, lease->granted_ms),
        .deadline_wall_ms = coordinator_wall_of_core(world, lease->deadline_ms),
        .life = world->coordinator.life,
    };
    db_put_lease(&world->db, &row);
    world->totals->leases++;
    fill_fixed(world, lease, &parts, &message);
    fill_payloads(world, lease, &parts, &message);
    message.nonce = wire_bytes(view_of(lease->nonce.bytes, sizeof lease->nonce.bytes));
    coordinator_post_lease(world, row.worker, &lease->nonce, &message);
}

static void on_ended(struct world *world, const struct core_effect *effect)
{
    struct row_lease *row = db_lease(&world->db, &effect->lease.nonce);
    db_end_lease(&world->db, row, effect->lease.state);
    (void)db_log(&world->db);
    if (effect->lease.state == LEASE_ANSWERED || effect->lease.state == LEASE_REFUSED)
        return;
    Wire__LeaseCancel cancel = WIRE__LEASE_CANCEL__INIT;
    cancel.nonce = wire_bytes(view_of(effect->lease.nonce.bytes, sizeof effect->lease.nonce.bytes));
    cancel.reason = wire_text(effect->text != NULL ? effect->text : "");
    coordinator_post(world, row->worker, WIRE_LEASE_CANCEL, &cancel.base);
}

/* --- answers, votes, verdicts --- */

static const struct {
    bool recorded;
    enum wire_ack ack;
} fates[] = {
    [ANSWER_COUNTED] = {true, WIRE_ACK_ACCEPTED},    [ANSWER_OPEN] = {true, WIRE_ACK_ACCEPTED},
    [ANSWER_EXTRA] = {true, WIRE_ACK_EVIDENCE},      [ANSWER_EQUIVOCAL] = {true, WIRE_ACK_EVIDENCE},
    [ANSWER_DUPLICATE] = {false, WIRE_ACK_ACCEPTED}, [ANSWER_RETRIED] = {true, WIRE_ACK_ACCEPTED},
    [ANSWER_REJECTED] = {false, WIRE_ACK_REFUSED},
};

static void on_answered(struct world *world, const struct core_effect *effect)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    ack.nonce = wire_bytes(view_of(effect->answer.nonce.bytes, sizeof effect->answer.nonce.bytes));
    ack.code = (Wire__AckCode)fates[effect->fate].ack;
    ack.text = wire_text(answer_fate_name(effect->fate));
    if (fates[effect->fate].recorded) {
        ack.log_entry = intake_record(world, effect);
        db_end_lease(&world->db, db_lease(&world->db, &effect->answer.nonce), LEASE_ANSWERED);
    } else if (effect->fate == ANSWER_DUPLICATE) {
        const struct row_answer *row = db_answer(&world->db, &effect->answer.envelope);
        ack.log_entry = row != NULL ? 1 + row->position : 0;
    }
    world->totals->answers++;
    coordinator_post(world, coordinator_worker(world, effect->name), WIRE_RESULT_ACK, &ack.base);
}

static void on_vote(struct world *world, const struct core_effect *effect)
{
    struct row_vote row = {
        .envelope = effect->answer.envelope,
        .operator_index = coordinator_operator(world, effect->name),
        .round = effect->round,
        .open = effect->open,
    };
    db_put_vote(&world->db, db_job(&world->db, &effect->key), &row);
}

/* A restart finds the verdicts of the past again. */
static void on_verdict(struct world *world, const struct core_effect *effect)
{
    struct row_job *job = db_job(&world->db, &effect->key);
    struct row_verdict row = {.state = effect->verdict->state,
                              .operators = effect->verdict->operators,
                              .dissent = effect->verdict->dissent};
    if (row.state == VERDICT_AGREED)
        row.payload = effect->verdict->payload;
    const struct row_verdict *before = &job->verdicts[effect->round];
    if (job->has_verdict[effect->round] && before->state == row.state &&
        digest_equal(&before->payload, &row.payload) && before->operators == row.operators &&
        before->dissent == row.dissent)
        return;
    db_put_verdict(&world->db, job, effect->round, &row);
    world->totals->verdicts++;
    world->totals->disputes += row.state == VERDICT_DISPUTED;
}

static void on_plan_state(struct world *world, const struct core_effect *effect)
{
    struct sim_plan *plan = plan_find(world, &effect->plan);
    if (effect->plan_state == PLAN_RUNNING)
        return;
    db_touch(&world->db, &plan->state, sizeof plan->state);
    plan->state = effect->plan_state;
}

static void on_flagged(struct world *world, const struct core_effect *effect)
{
    struct sim_operator *operator_ = &world->operators[coordinator_operator(world, effect->name)];
    db_touch(&world->db, &operator_->flagged, sizeof operator_->flagged);
    operator_->flagged = true;
}

/* --- the past of a job --- */

static void past_of(const struct world *world, const struct row_lease *lease, struct core_past_lease *ret)
{
    const struct sim_worker *worker = &world->workers[lease->worker];
    *ret = (struct core_past_lease){
        .nonce = lease->nonce,
        .worker = worker->name,
        .operator_name = world->operators[worker->operator_index].name,
        .round = lease->round,
        .state = lease->state,
        .granted_ms = coordinator_core_of_wall(world, lease->granted_wall_ms),
        .deadline_ms = coordinator_core_of_wall(world, lease->deadline_wall_ms),
    };
}

static void past_of_answer(const struct world *world, const struct row_answer *answer,
                           struct core_past_lease *ret)
{
    past_of(world, answer->lease, ret);
    ret->has_answer = true;
    ret->answer = answer->answer;
    ret->open = db_is_open(answer->lease->job, answer->lease->round, answer->position);
    ret->counted = answer->answer.failure != FAILURE_INFRASTRUCTURE && !answer->is_void;
}

/* The leases, each once; then the answers, each with its lease again, in order of arrival. */
void coordinator_feed_history(struct world *world, const struct row_job *job)
{
    CLEANUP_FREE struct core_past_lease *past = NULL;
    size_t n = 0;
    if (job == NULL || job->leases.count == 0)
        return;
    past = mem_zero(job->leases.count + job->answers.count, sizeof *past);
    for (size_t i = 0; i < job->leases.count; i++)
        past_of(world, job->leases.items[i], &past[n++]);
    for (size_t i = 0; i < job->answers.count; i++)
        past_of_answer(world, job->answers.items[i], &past[n++]);
    struct core_event event = {.type = CORE_JOB_HISTORY, .key = job->key, .past = past, .npast = n};
    for (uint32_t round = 1; round <= DB_ROUNDS_MAX; round++)
        if (job->settled_at[round] != 0)
            event.settled_rounds |= (uint64_t)1 << (round - 1);
    (void)coordinator_feed(world, &event, NULL);
    coordinator_tell_lost(world, job);
}

/* --- plans --- */

static void on_derive(struct world *world, const struct core_effect *effect)
{
    struct sim_plan *plan = plan_find(world, &effect->plan);
    struct core_event event = {.type = CORE_NODE_KEYED, .plan = effect->plan, .node = effect->node};
    if (world_has(world, FAULT_DISK) &&
        world_chance(world, DICE_COORDINATOR, 3)) { /* the spec cannot be stored */
        event.type = CORE_NODE_REFUSED;
        event.text = "no space left on device";
        (void)coordinator_feed(world, &event, NULL);
        return;
    }
    event.key = plan_key(world, effect->node, effect->payloads);
    const struct row_job *job =
        db_put_job(&world->db, &event.key, effect->node, (size_t)(plan - world->plans.items));
    plan->keys[effect->node] = event.key;
    coordinator_feed_history(world, job);
    (void)coordinator_feed(world, &event, NULL);
}

void coordinator_start_plan(struct world *world, size_t p, bool from_scratch, int64_t since_wall_ms)
{
    struct sim_plan *plan = &world->plans.items[p];
    plan->forgotten = false;
    CLEANUP_FREE struct core_node *nodes = mem_zero(world->plans.nnodes, sizeof *nodes);
    plan_core_nodes(world, plan, nodes);
    struct core_event event = {.type = CORE_PLAN_START,
                               .plan = plan->id,
                               .nodes = nodes,
                               .nnodes = world->plans.nnodes,
                               .flag = from_scratch,
                               .since_ms =
                                   since_wall_ms == 0 ? 0 : coordinator_core_of_wall(world, since_wall_ms)};
    (void)coordinator_feed(world, &event, NULL);
}

void coordinator_apply(struct world *world, const struct core_effect *effect)
{
    switch (effect->type) {
    case CORE_DERIVE:
        on_derive(world, effect);
        break;
    case CORE_LEASE_GRANTED:
        on_granted(world, &effect->lease);
        break;
    case CORE_LEASE_ENDED:
        on_ended(world, effect);
        break;
    case CORE_ANSWERED:
        on_answered(world, effect);
        break;
    case CORE_VOTE:
        on_vote(world, effect);
        break;
    case CORE_VERDICT:
        on_verdict(world, effect);
        break;
    case CORE_PLAN_STATE:
        on_plan_state(world, effect);
        break;
    case CORE_OPERATOR_FLAGGED:
        on_flagged(world, effect);
        break;
    case CORE_NODE_STATE:
    case CORE_WORKER_RESTS:
        break;
    }
}
