/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "judge.h"

#include "count.h"
#include "sim.h"

#include <stdlib.h>

/* The core refuses to hear more than these of one lease; see core/state.h. */
enum { ANSWERS_MAX = 8 };

const char *invariant_name(enum invariant invariant)
{
    static const char *const names[] = {
        [INVARIANT_QUORUM] = "quorum",     [INVARIANT_ONE_VOTE] = "one-vote", [INVARIANT_OPEN] = "open",
        [INVARIANT_HOLDER] = "holder",     [INVARIANT_LEASES] = "leases",     [INVARIANT_INPUTS] = "inputs",
        [INVARIANT_ELIGIBLE] = "eligible", [INVARIANT_ROUNDS] = "rounds",     [INVARIANT_OBJECTS] = "objects",
        [INVARIANT_COMMIT] = "commit",     [INVARIANT_DURABLE] = "durable",   [INVARIANT_PAST] = "past",
        [INVARIANT_FRAMES] = "frames",     [INVARIANT_ENDS] = "ends",         [INVARIANT_EVENTS] = "events",
        [INVARIANT_CORE] = "core",         [INVARIANT_LOST] = "lost",
    };
    return names[invariant];
}

void judge_open(struct judge *judge)
{
    judge->signed_ = map_new();
    judge->told = map_new();
    judge->lost = map_new();
    judge->repeated = map_new();
}

void judge_close(struct judge *judge)
{
    struct view key;
    void *statement;
    for (size_t cursor = 0; map_next(judge->signed_, &cursor, &key, &statement);)
        free(statement);
    map_free(judge->signed_);
    map_free(judge->told);
    map_free(judge->lost);
    map_free(judge->repeated);
}

static struct view digest_view(const struct digest *digest)
{
    return view_of(digest, sizeof *digest);
}

void judge_signed(struct world *world, const struct statement *statement, struct view envelope)
{
    struct digest digest = digest_of(envelope);
    free(map_set(world->judge.signed_, digest_view(&digest), mem_copy(statement, sizeof *statement)));
}

void judge_asked(struct world *world, size_t plan, bool from_scratch)
{
    world->judge.asked[plan] |= from_scratch;
}

void judge_started(struct world *world, size_t plan, bool from_scratch)
{
    if (from_scratch && !world->coordinator.dying && world->plans.items[plan].state == PLAN_DONE)
        world_fail(world, INVARIANT_ROUNDS, "plan %zu is asked for from scratch, and repeats nothing", plan);
}

/* --- events --- */

/* What a contract of core.h allows it to refuse: what strangers and slow people say at the wrong time. */
static bool may_be_refused(enum core_event_type type)
{
    switch (type) {
    case CORE_WORKER_HEARD:
    case CORE_WORKER_ONLINE:
    case CORE_WORKER_OFFLINE:
    case CORE_LEASE_REFUSED:
    case CORE_PLAN_CANCEL:
    case CORE_PLAN_START:
    case CORE_OPERATOR_FLAG:
        return true;
    case CORE_TICK:
    case CORE_WORKER_ADMITTED:
    case CORE_WORKER_REVOKED:
    case CORE_VOTE_VOID:
    case CORE_WORKER_PAUSE:
    case CORE_OPERATOR_CLEAR:
    case CORE_JOB_HISTORY:
    case CORE_NODE_KEYED:
    case CORE_NODE_REFUSED:
    case CORE_ANSWER:
    case CORE_HOLD:
    case CORE_PLAN_FORGET:
    case CORE_PAYLOAD_LOST:
    case CORE_PAYLOAD_BACK:
        return false;
    }
    return false;
}

static void check_core(struct world *world)
{
    struct diag diag = DIAG_INIT;
    if (core_check(world->coordinator.core, &diag) < 0)
        world_fail(world, INVARIANT_CORE, "%s", diag.text);
}

void judge_step(struct world *world, const struct core_event *event, int result, const struct diag *diag)
{
    if (result < 0 && !may_be_refused(event->type))
        world_fail(world, INVARIANT_EVENTS, "event %d is refused: %s", (int)event->type, diag->text);
    if (event->type == CORE_PAYLOAD_LOST || event->type == CORE_PAYLOAD_BACK)
        judge_loss(world, event);
    if (world->options.verbose && event->type != CORE_WORKER_HEARD)
        world_trace(world, "event %d %s %s", (int)event->type, event->name != NULL ? event->name : "",
                    result < 0 ? diag->text : "");
}

/* --- answers --- */

static bool says_same(const struct row_answer *a, const struct core_answer *b)
{
    bool built = b->failure == FAILURE_NONE;
    return (a->answer.failure == FAILURE_NONE) == built &&
           (!built || digest_equal(&a->answer.payload, &b->payload));
}

/* Beside what its operator said before in this round. */
static enum answer_fate compare(struct world *world, const struct row_lease *lease,
                                const struct core_answer *answer)
{
    enum { SAID_MAX = 256 };
    const struct row_answer *said[SAID_MAX];
    size_t operator_index = world->workers[lease->worker].operator_index;
    size_t n = count_said(world, lease->job, lease->round, operator_index, said, SAID_MAX);
    bool digests = false;
    for (size_t i = 0; i < n; i++) {
        digests |= said[i]->answer.failure == FAILURE_NONE;
        if (says_same(said[i], answer))
            return ANSWER_EXTRA;
    }
    if (digests)
        return answer->failure != FAILURE_NONE ? ANSWER_EXTRA : ANSWER_EQUIVOCAL;
    return lease->job->settled_at[lease->round] != 0 ? ANSWER_OPEN : ANSWER_COUNTED;
}

static enum answer_fate expected_fate(struct world *world, const struct row_lease *lease,
                                      const struct core_answer *answer, size_t sender)
{
    if (lease == NULL || lease->worker != sender)
        return ANSWER_REJECTED;
    if (db_answer(&world->db, &answer->envelope) != NULL)
        return ANSWER_DUPLICATE;
    if (answer->failure == FAILURE_INFRASTRUCTURE)
        return ANSWER_RETRIED;
    return world->workers[lease->worker].revoked ? ANSWER_EXTRA : compare(world, lease, answer);
}

static size_t answers_to(const struct row_lease *lease)
{
    size_t n = 0;
    for (size_t i = 0; i < lease->job->answers.count; i++)
        n += ((const struct row_answer *)lease->job->answers.items[i])->lease == lease;
    return n;
}

/* What is recorded was signed by the lease's holder, for that lease, and says what is recorded. */
static void check_genuine(struct world *world, const struct row_lease *lease,
                          const struct core_answer *answer)
{
    const struct statement *said = map_get(world->judge.signed_, digest_view(&answer->envelope));
    const char *name = world->workers[lease->worker].name;
    if (said == NULL || said->worker != lease->worker)
        world_fail(world, INVARIANT_HOLDER, "an answer counts for %s, who did not sign it", name);
    if (memcmp(&said->nonce, &lease->nonce, sizeof lease->nonce) != 0 ||
        !digest_equal(&said->key, &lease->job->key))
        world_fail(world, INVARIANT_HOLDER, "an answer of %s counts for another lease than it was signed for",
                   name);
    if (said->failure != answer->failure || !digest_equal(&said->payload, &answer->payload) ||
        (said->failure == FAILURE_NONE && !digest_equal(&said->tar, &answer->tar)))
        world_fail(world, INVARIANT_HOLDER, "an answer of %s is recorded as something else than it says",
                   name);
}

static void check_answered(struct world *world, const struct core_effect *effect)
{
    const struct row_lease *lease = db_lease(&world->db, &effect->answer.nonce);
    size_t sender = coordinator_worker(world, effect->name);
    enum answer_fate expected = expected_fate(world, lease, &effect->answer, sender);
    if (effect->fate == ANSWER_REJECTED && lease != NULL && answers_to(lease) >= ANSWERS_MAX)
        return;
    if (expected == ANSWER_REJECTED && effect->fate != expected)
        world_fail(world, INVARIANT_HOLDER, "an answer of %s to a lease that is not its own is %s",
                   world->workers[sender].name, answer_fate_name(effect->fate));
    if (effect->fate != expected)
        world_fail(world,
                   expected == ANSWER_OPEN || effect->fate == ANSWER_OPEN ? INVARIANT_OPEN
                                                                          : INVARIANT_ONE_VOTE,
                   "an answer of %s is %s and should be %s", world->workers[sender].name,
                   answer_fate_name(effect->fate), answer_fate_name(expected));
    if (lease == NULL || effect->fate == ANSWER_REJECTED || effect->fate == ANSWER_DUPLICATE)
        return;
    world->totals->late += lease->state != LEASE_LIVE;
    check_genuine(world, lease, &effect->answer);
    if (effect->open != (lease->job->settled_at[lease->round] != 0))
        world_fail(world, INVARIANT_OPEN, "an answer is %s, and its round was %s",
                   effect->open ? "open" : "blind", effect->open ? "not settled" : "settled");
    judge_healed(world, effect);
    bool rotten =
        objects_have_lost(&world->objects, &effect->answer.payload) ||
        objects_have_lost(&world->objects, &effect->answer.tar); /* perhaps since it was looked at */
    if (effect->answer.failure == FAILURE_NONE && !rotten &&
        (!objects_has(&world->objects, &effect->answer.payload) ||
         !objects_has(&world->objects, &effect->answer.tar)))
        world_fail(world, INVARIANT_OBJECTS, "an answer of %s is taken whose objects are not here",
                   world->workers[sender].name);
}

/* --- verdicts and nodes --- */

static void check_verdict(struct world *world, const struct core_effect *effect)
{
    const struct sim_plan *plan = plan_find(world, &effect->plan);
    const struct row_job *job = db_job(&world->db, &effect->key);
    const struct verdict *told = effect->verdict;
    struct count count = count_round(world, job, &plan->rules, effect->round);
    bool settled = verdict_is_settled(count.state);
    bool same = told->state == count.state && (!settled || told->operators == count.operators) &&
                (count.state != VERDICT_AGREED ||
                 (digest_equal(&told->payload, &count.payload) && told->dissent == count.dissent));
    if (!same)
        world_fail(world, INVARIANT_QUORUM,
                   "%s, round %u: %s by %u operators, and the recorded answers say %s by %u",
                   world->plans.nodes[job->node].id, effect->round, verdict_state_name(told->state),
                   told->operators, verdict_state_name(count.state), count.operators);
}

static void check_node_state(struct world *world, const struct core_effect *effect)
{
    const struct sim_plan *plan = plan_find(world, &effect->plan);
    struct row_job *job = db_job(&world->db, &plan->keys[effect->node]);
    struct digest payload;
    if (effect->state == NODE_AGREED &&
        (job == NULL || !count_agreed(world, job, (size_t)(plan - world->plans.items), &payload)))
        world_fail(world, INVARIANT_QUORUM, "%s is agreed, and the recorded answers do not say so",
                   world->plans.nodes[effect->node].id);
    if (effect->state == NODE_AGREED && judge_is_lost(world, job, &payload))
        world_fail(world, INVARIANT_LOST, "%s has nothing to wait for, and its payload is lost",
                   world->plans.nodes[effect->node].id);
}

static void trace_effect(struct world *world, const struct core_effect *effect)
{
    static const char *const names[] = {"derive",  "granted", "ended",      "answered", "vote",
                                        "verdict", "node",    "plan state", "flagged",  "rests"};
    const char *detail = effect->type == CORE_ANSWERED        ? answer_fate_name(effect->fate)
                         : effect->type == CORE_NODE_STATE    ? node_state_name(effect->state)
                         : effect->type == CORE_PLAN_STATE    ? plan_state_name(effect->plan_state)
                         : effect->type == CORE_VERDICT       ? verdict_state_name(effect->verdict->state)
                         : effect->type == CORE_LEASE_ENDED   ? lease_state_name(effect->lease.state)
                         : effect->type == CORE_LEASE_GRANTED ? effect->lease.worker
                                                              : "";
    bool is_lease = effect->type == CORE_LEASE_GRANTED || effect->type == CORE_LEASE_ENDED ||
                    effect->type == CORE_ANSWERED;
    world_trace(world, "  %s n%zu %s %s", names[effect->type], is_lease ? effect->lease.node : effect->node,
                detail, effect->name != NULL ? effect->name : "");
}

void judge_effect(struct world *world, const struct core_effect *effect)
{
    if (world->options.verbose)
        trace_effect(world, effect);
    world->effect_ms = world->now_ms;
    switch (effect->type) {
    case CORE_LEASE_GRANTED:
        judge_granted(world, &effect->lease);
        break;
    case CORE_LEASE_ENDED:
        judge_ended(world, &effect->lease);
        break;
    case CORE_ANSWERED:
        check_answered(world, effect);
        break;
    case CORE_VERDICT:
        check_verdict(world, effect);
        break;
    case CORE_NODE_STATE:
        check_node_state(world, effect);
        break;
    case CORE_DERIVE:
    case CORE_VOTE:
    case CORE_PLAN_STATE:
    case CORE_OPERATOR_FLAGGED:
    case CORE_WORKER_RESTS:
        break;
    }
}

/* --- turns --- */

static void check_all(struct world *world, enum invariant invariant)
{
    struct view key;
    void *job;
    world->judge.checked_step = world->steps;
    world->totals->checks++;
    for (size_t cursor = 0; map_next(world->db.jobs, &cursor, &key, &job);)
        judge_job(world, job, invariant);
    check_core(world);
}

/* What one turn touched is recounted; all of it after as many steps as it is large, so that the cost stays with the steps. */
void judge_turn(struct world *world)
{
    struct rows *touched = &world->db.touched;
    for (size_t i = 0; i < touched->count; i++) {
        struct row_job *job = touched->items[i];
        job->touched = false;
        judge_job(world, job, INVARIANT_QUORUM);
    }
    touched->count = 0;
    if (world->steps - world->judge.checked_step > 2 * world->plans.nnodes)
        check_all(world, INVARIANT_QUORUM);
}

static void check_durable(struct world *world)
{
    struct view envelope;
    void *value;
    for (size_t cursor = 0; map_next(world->judge.told, &cursor, &envelope, &value);)
        if (map_get(world->db.answers, envelope) == NULL)
            world_fail(world, INVARIANT_DURABLE, "an answer that was acknowledged is gone");
}

/* However the clocks were set meanwhile: a lease that was taken over ends within the time that a new one would have. */
static void check_lease_ends(void *context, const struct core_lease *lease)
{
    struct world *world = context;
    int64_t left_ms = lease->deadline_ms - coordinator_steady(world);
    size_t node =
        db_lease(&world->db, &lease->nonce)->job->node; /* of a forgotten plan's the core does not know */
    if (left_ms > (int64_t)world->plans.nodes[node].needs.wall_seconds * 1000 + COORDINATOR_MARGIN_MS)
        world_fail(world, INVARIANT_ENDS, "after a restart a lease of %s may last %lld s more", lease->worker,
                   (long long)left_ms / 1000);
}

void judge_restart(struct world *world)
{
    core_each_lease(world->coordinator.core, NULL, check_lease_ends, world);
    check_durable(world);
    check_all(world, INVARIANT_PAST);
}

/* --- the end --- */

static void check_why(struct world *world, const struct sim_plan *plan, size_t node)
{
    enum { SENTENCE_MIN = 20 };
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct core_node_view view;
    if (!core_node(world->coordinator.core, &plan->id, node, &view))
        world_fail(world, INVARIANT_ENDS, "a started plan is not known");
    core_why(world->coordinator.core, &plan->id, node, coordinator_steady(world), &text);
    if (text.size < SENTENCE_MIN)
        world_fail(world, INVARIANT_ENDS, "%s is %s, and why says nothing", view.id,
                   node_state_name(view.state));
    if (world->options.verbose && view.state != NODE_AGREED && view.state != NODE_BLOCKED)
        world_trace(world, "%s", text.data);
}

/* Where nobody lies, only rules that these operators could never satisfy may leave something waiting. */
static bool could_satisfy(const struct world *world, const struct rules *rules)
{
    uint32_t operators = 0, anchors = 0;
    for (size_t o = 0; o < world->noperators; o++) {
        bool works = false;
        for (size_t i = 0; i < world->nworkers; i++)
            works |= world->workers[i].operator_index == o && !world->workers[i].revoked;
        operators += works;
        anchors += works && world->operators[o].anchor;
    }
    return operators >= rules->quorum && anchors >= rules->anchors && rules->distinct == 0;
}

/* There was time enough: whoever did its work was heard. */
static void check_delivered(struct world *world, const struct sim_worker *worker)
{
    if ((worker->behaviour == HONEST || worker->behaviour == SLOW) && !worker->revoked && worker->nspool > 0)
        world_fail(world, INVARIANT_ENDS, "%zu answers of %s never got through", worker->nspool,
                   worker->name);
}

void judge_end(struct world *world)
{
    enum { QUIET_MS = 1500 * 1000 };
    bool quiet = world->now_ms - world->effect_ms > QUIET_MS; /* else slow workers are still at it */
    check_durable(world);
    check_all(world, INVARIANT_QUORUM);
    for (size_t i = 0; i < world->nworkers && quiet; i++)
        check_delivered(world, &world->workers[i]);
    for (size_t p = 0; p < PLANS; p++) {
        const struct sim_plan *plan = &world->plans.items[p];
        if (!plan->started || plan->state == PLAN_CANCELLED)
            continue;
        bool must_end = (world->faults & FAULT_LIARS) == 0 && quiet && could_satisfy(world, &plan->rules);
        for (size_t i = 0; i < world->plans.nnodes; i++) {
            check_why(world, plan, i);
            judge_lost_at_end(world, p, i);
        }
        if (must_end && (plan->state == PLAN_RUNNING || coordinator_runs(world, &plan->id)))
            world_fail(world, INVARIANT_ENDS,
                       "everybody is honest and there are enough of them, and plan %zu did not end", p);
    }
}
