/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Effects: one event into the core, and what it decided into rows, messages and further events. This is the
 * only place where the core's decisions become durable, and the only caller of core_step().
 */
#include "ctl.h"
#include "farm.h"

#include "farmlog.h"
#include "journal.h"

#include <inttypes.h>
#include <stdlib.h>

int64_t farm_core_now(void)
{
    return moment_steady_ms();
}

/* The two clocks are compared each time: the wall clock may have been set in between. */
int64_t farm_wall_of_core(int64_t core_ms)
{
    return moment_wall_ms() - (moment_steady_ms() - core_ms);
}

int64_t farm_core_of_wall(int64_t wall_ms)
{
    return moment_steady_ms() - (moment_wall_ms() - wall_ms);
}

static struct digest nonce_digest(const struct core_nonce *nonce)
{
    struct digest digest;
    memcpy(digest.bytes, nonce->bytes, DIGEST_SIZE);
    return digest;
}

static struct view digest_key(const struct digest *digest)
{
    return view_of(digest->bytes, DIGEST_SIZE);
}

static struct lease_nonce lease_nonce(const struct core_nonce *nonce)
{
    struct lease_nonce ret;
    memcpy(ret.bytes, nonce->bytes, sizeof ret.bytes);
    return ret;
}

/* ---- a lease ---- */

static void record_lease(struct farm *farm, const struct core_lease *lease)
{
    struct db_lease row = {.nonce = nonce_digest(&lease->nonce),
                           .job = lease->key,
                           .round = lease->round,
                           .worker = lease->worker,
                           .operator_name = lease->operator_name,
                           .state = "live",
                           .granted_ms = farm_wall_of_core(lease->granted_ms),
                           .deadline_ms = farm_wall_of_core(lease->deadline_ms)};
    struct logentry entry = {.kind = LOG_LEASE,
                             .nonce = lease_nonce(&lease->nonce),
                             .job = row.job,
                             .round = row.round,
                             .worker = row.worker,
                             .operator_name = row.operator_name};
    row.position = (int64_t)journal_add(farm, &entry);
    db_put_lease(farm_write(farm), &row);
}

static struct live_lease *note_live(struct farm *farm, const struct core_lease *lease, const char *node)
{
    struct live_lease *live = mem_zero(1, sizeof *live);
    live->nonce = nonce_digest(&lease->nonce);
    live->granted_ms = farm_wall_of_core(lease->granted_ms);
    live->phase = WIRE_PHASE_UNSPECIFIED;
    snprintf(live->node, sizeof live->node, "%s", node);
    snprintf(live->worker, sizeof live->worker, "%s", lease->worker);
    map_set(farm->live, digest_key(&live->nonce), live);
    return live;
}

static void live_free(struct live_lease *live)
{
    buf_done(&live->log);
    free(live->objects);
    free(live);
}

/* The lease names the object, so its worker may fetch it. */
static void allow(struct farm *farm, struct live_lease *live, const struct digest *object)
{
    live->objects =
        mem_reserve(live->objects, &live->objects_capacity, live->nobjects + 1, sizeof *live->objects);
    live->objects[live->nobjects++] = *object;
    access_allow(farm->access, live->worker, object);
}

static void forget_live(struct farm *farm, const struct digest *nonce)
{
    struct live_lease *live = map_remove(farm->live, digest_key(nonce));
    if (live == NULL)
        return;
    for (size_t i = 0; i < live->nobjects; i++)
        access_withdraw(farm->access, live->worker, &live->objects[i]);
    live_free(live);
}

void live_free_all(struct map *live)
{
    size_t cursor = 0;
    struct view key;
    void *value;
    while (map_next(live, &cursor, &key, &value))
        live_free(value);
    map_free(live);
}

/* What the wire's Lease points to while it is encoded. */
struct lease_parts {
    struct live_lease *live;
    Wire__Tree tree;
    Wire__Payload base, *payloads, **payload_list;
    Wire__Source *sources, **source_list;
    struct digest *digests; /* source objects */
    Wire__Resources resources;
};

static int visit_object(void *context, const struct db_source *row)
{
    *(struct digest *)context = row->object;
    return 0;
}

static int fill_sources(struct farm *farm, struct lease_parts *parts, const struct package *package,
                        Wire__Lease *lease, struct diag *diag)
{
    parts->sources = mem_zero(package->npins, sizeof *parts->sources);
    parts->source_list = mem_zero(package->npins, sizeof *parts->source_list);
    struct digest *objects = mem_zero(package->npins, sizeof *objects);
    int result = 0;
    for (size_t i = 0; result >= 0 && i < package->npins; i++) {
        const struct pin *pin = &package->pins[i];
        result = db_find_source(farm->db, &pin->digest, pin->commit, visit_object, &objects[i], diag);
        if (result == 0)
            result =
                diag_set(diag, FARM_E_MISSING, "source %s is not in the farm", digest_hex(&pin->digest).text);
        wire__source__init(&parts->sources[i]);
        parts->sources[i].pin = wire_digest(&pin->digest);
        parts->sources[i].object = wire_digest(&objects[i]);
        parts->source_list[i] = &parts->sources[i];
        allow(farm, parts->live, &objects[i]);
    }
    lease->sources = parts->source_list;
    lease->n_sources = package->npins;
    parts->digests = objects;
    return result;
}

/* The tar of an agreed payload: any attestation of it names the same one, since it is a function of the
 * payload. */
static int visit_tar(void *context, const struct db_attestation *row)
{
    struct payload_tar *wanted = context;
    if (digest_equal(&row->payload, &wanted->payload))
        wanted->tar = row->tar;
    return 0;
}

/* Looked up once a payload: the last packages of a distribution have hundreds of inputs, each with several answers. */
static const struct payload_tar *find_tar(struct farm *farm, struct farm_plan *plan, size_t node)
{
    struct core_node_view view;
    if (plan->tars == NULL)
        plan->tars = mem_zero(plan->plan->nnodes, sizeof *plan->tars);
    struct payload_tar *found = &plan->tars[node];
    if (!core_node(farm->core, &plan->id, node, &view) || digest_equal(&found->payload, &view.payload))
        return found;
    *found = (struct payload_tar){.payload = view.payload}; /* also while the node is being repeated */
    (void)!db_each_attestation_of(farm->db, &view.key, visit_tar, found, NULL);
    return found;
}

static void fill_payloads(struct farm *farm, struct lease_parts *parts, struct farm_plan *plan, size_t node,
                          Wire__Lease *lease)
{
    const struct plan_node *row = &plan->plan->nodes[node];
    parts->payloads = mem_zero(row->nclosure, sizeof *parts->payloads);
    parts->payload_list = mem_zero(row->nclosure, sizeof *parts->payload_list);
    for (size_t i = 0; i < row->nclosure; i++) {
        const struct payload_tar *input = find_tar(farm, plan, row->closure[i]);
        wire__payload__init(&parts->payloads[i]);
        parts->payloads[i].manifest = wire_digest(&input->payload);
        parts->payloads[i].tar = wire_digest(&input->tar);
        parts->payload_list[i] = &parts->payloads[i];
        allow(farm, parts->live, &input->payload);
        allow(farm, parts->live, &input->tar);
    }
    lease->payloads = parts->payload_list;
    lease->n_payloads = row->nclosure;
}

static void lease_parts_done(struct lease_parts *parts)
{
    free(parts->payloads);
    free(parts->payload_list);
    free(parts->sources);
    free(parts->source_list);
    free(parts->digests);
}

static void fill_fixed(struct farm *farm, struct lease_parts *parts, struct farm_plan *plan,
                       const struct plan_node *node, Wire__Lease *lease)
{
    wire__tree__init(&parts->tree);
    parts->tree.url = wire_text(plan->plan->tree.url);
    parts->tree.commit = wire_text(plan->plan->tree.commit);
    parts->tree.tree_sha256 = wire_digest(&plan->plan->tree.sha256);
    parts->tree.pack = wire_digest(&plan->tree->pack);
    wire__payload__init(&parts->base);
    parts->base.manifest = wire_digest(&plan->plan->base);
    parts->base.tar = wire_digest(&plan->base_tar);
    wire__resources__init(&parts->resources);
    parts->resources.cores = node->resources.cores;
    parts->resources.memory_bytes = node->resources.memory_bytes;
    parts->resources.disk_bytes = node->resources.disk_bytes;
    parts->resources.wall_ms = (uint64_t)node->resources.wall_seconds * 1000;
    lease->tree = &parts->tree;
    lease->base_image = &parts->base;
    lease->resources = &parts->resources;
    lease->node = wire_text(node->id);
    lease->log_live = true;
    allow(farm, parts->live, &plan->tree->pack);
    allow(farm, parts->live, &plan->plan->base);
    allow(farm, parts->live, &plan->base_tar);
}

/* Lets its inputs be fetched and, if asked to, sends it. */
static void offer_lease(struct farm *farm, struct farm_plan *plan, const struct core_lease *core_lease,
                        struct live_lease *live, bool send)
{
    const struct plan_node *node = &plan->plan->nodes[core_lease->node];
    const struct package *package = tree_find(plan->tree->tree, view_text(node->id));
    struct lease_parts parts = {.live = live};
    struct diag diag = DIAG_INIT;
    Wire__Lease lease = WIRE__LEASE__INIT;
    fill_fixed(farm, &parts, plan, node, &lease);
    fill_payloads(farm, &parts, plan, core_lease->node, &lease);
    lease.nonce = wire_digest(&live->nonce);
    lease.job_key = wire_digest(&core_lease->key);
    lease.deadline_ms = (uint64_t)(core_lease->deadline_ms - core_lease->granted_ms);
    lease.round = core_lease->round;
    int result = package != NULL ? fill_sources(farm, &parts, package, &lease, &diag) : FARM_E_UNKNOWN;
    if (result >= 0 && send)
        farm_post_lease(farm, core_lease->worker, &live->nonce, &lease);
    if (result < 0)
        log_event(LOG_LEVEL_ERROR, "lease cannot be written", log_text(FIELD_NODE, node->id),
                  log_text(FIELD_WORKER, core_lease->worker), log_bytes(FIELD_LEASE, core_lease->nonce.bytes),
                  log_text(FIELD_REASON, diag_text(&diag, result)));
    lease_parts_done(&parts);
}

static void on_granted(struct farm *farm, const struct core_effect *effect)
{
    struct farm_plan *plan = plans_get(farm, &effect->lease.plan);
    const char *node = plan->plan->nodes[effect->lease.node].id;
    record_lease(farm, &effect->lease);
    struct live_lease *live = note_live(farm, &effect->lease, node);
    offer_lease(farm, plan, &effect->lease, live, true);
    farm->stats.leases_granted++;
    log_event(LOG_LEVEL_INFO, "lease granted", log_text(FIELD_NODE, node),
              log_text(FIELD_WORKER, effect->lease.worker),
              log_text(FIELD_OPERATOR, effect->lease.operator_name),
              log_number(FIELD_ROUND, effect->lease.round), log_digest(FIELD_JOB, &effect->lease.key),
              log_bytes(FIELD_LEASE, effect->lease.nonce.bytes));
}

void effects_resume_lease(struct farm *farm, const struct core_nonce *nonce)
{
    struct core_lease lease;
    struct digest digest = nonce_digest(nonce);
    if (!core_lease_find(farm->core, nonce, &lease) || lease.state != LEASE_LIVE ||
        map_get(farm->live, digest_key(&digest)) != NULL)
        return;
    struct farm_plan *plan = plans_get(farm, &lease.plan);
    /* Forgotten: its inputs are not to be had any more, and what comes of it is heard all the same. */
    if (plan == NULL || plan->tree == NULL)
        return;
    struct live_lease *live = note_live(farm, &lease, plan->plan->nodes[lease.node].id);
    offer_lease(farm, plan, &lease, live, false);
}

static void on_ended(struct farm *farm, const struct core_effect *effect)
{
    struct digest nonce = nonce_digest(&effect->lease.nonce);
    const char *state = lease_state_name(effect->lease.state);
    const char *reason = effect->text != NULL ? effect->text : "";
    if (effect->lease.state != LEASE_ANSWERED) /* else its answer, just now, said so */
        db_end_lease(farm_write(farm), &nonce, state, reason, moment_wall_ms());
    struct logentry entry = {
        .kind = LOG_LEASE_END, .nonce = lease_nonce(&effect->lease.nonce), .state = state};
    journal_add(farm, &entry); /* without the reason: those may be a worker's words, and the log is public */
    forget_live(farm, &nonce);
    farm->stats.leases_ended[effect->lease.state]++;
    if (effect->lease.state == LEASE_ANSWERED)
        return;
    log_event(LOG_LEVEL_WARNING, "lease ended", log_text(FIELD_WORKER, effect->lease.worker),
              log_text(FIELD_STATE, state), log_text(FIELD_REASON, reason),
              log_digest(FIELD_JOB, &effect->lease.key), log_digest(FIELD_LEASE, &nonce));
    Wire__LeaseCancel cancel = WIRE__LEASE_CANCEL__INIT;
    cancel.nonce = wire_digest(&nonce);
    cancel.reason = wire_text(reason);
    if (effect->lease.state != LEASE_REFUSED)
        farm_post(farm, effect->lease.worker, WIRE_LEASE_CANCEL, &cancel.base);
}

/* ---- answers: the attestation row itself was prepared by intake.c ---- */

static const struct {
    bool recorded;
    enum wire_ack ack;
    const char *text;
} fates[] = {
    [ANSWER_COUNTED] = {true, WIRE_ACK_ACCEPTED, "counted"},
    [ANSWER_OPEN] = {true, WIRE_ACK_ACCEPTED, "counted as an open vote: it came after the first verdict"},
    [ANSWER_EXTRA] = {true, WIRE_ACK_EVIDENCE, "kept as evidence: the operator has voted already"},
    [ANSWER_EQUIVOCAL] = {true, WIRE_ACK_EVIDENCE,
                          "kept as dissent: the operator has now given two different answers"},
    [ANSWER_DUPLICATE] = {false, WIRE_ACK_ACCEPTED, "known already"},
    [ANSWER_RETRIED] = {true, WIRE_ACK_ACCEPTED, "recorded; somebody is asked again"},
    [ANSWER_REJECTED] = {false, WIRE_ACK_REFUSED, "no such lease of yours"},
};

/* Which answer is the operator's vote: it moves when another one comes, or is voided. */
static void on_vote(struct farm *farm, const struct core_effect *effect)
{
    struct db_vote row = {.job = effect->key,
                          .attestation = effect->answer.envelope,
                          .round = effect->round,
                          .operator_name = effect->name,
                          .open = effect->open};
    db_drop_vote(farm_write(farm), &row.job, row.round, row.operator_name);
    if (!digest_is_zero(&row.attestation))
        db_put_vote(farm->db, &row);
}

static void on_answered(struct farm *farm, const struct core_effect *effect)
{
    enum answer_fate fate = effect->fate;
    farm->stats.answers[fate]++;
    struct digest nonce = nonce_digest(&effect->answer.nonce);
    uint64_t log_entry = 0;
    if (fates[fate].recorded) {
        log_entry = 1 + intake_record(farm, &effect->answer, answer_fate_name(fate));
        db_end_lease(farm_write(farm), &nonce, "answered", "", moment_wall_ms());
    } else if (fate == ANSWER_DUPLICATE) {
        log_entry = intake_known(farm, &effect->answer.envelope);
    }
    forget_live(farm, &nonce);
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    ack.nonce = wire_digest(&nonce);
    ack.code = (Wire__AckCode)fates[fate].ack;
    ack.text = wire_text(effect->text != NULL ? effect->text : fates[fate].text);
    ack.log_entry = log_entry;
    farm_post(farm, effect->name, WIRE_RESULT_ACK, &ack.base);
    if (fate != ANSWER_DUPLICATE) /* of which there may be any number */
        log_event(LOG_LEVEL_INFO, "answer", log_text(FIELD_WORKER, effect->name),
                  log_text(FIELD_FATE, answer_fate_name(fate)),
                  log_text(FIELD_KIND, failure_kind_name(effect->answer.failure)),
                  log_digest(FIELD_JOB, &effect->lease.key), log_digest(FIELD_LEASE, &nonce));
}

/* A restart finds the verdicts of the past again. */
struct known_verdict {
    const struct db_verdict *row;
    bool same;
};

static int compare_verdict(void *context, const struct db_verdict *row)
{
    struct known_verdict *known = context;
    if (row->round == known->row->round)
        known->same = strcmp(row->state, known->row->state) == 0 &&
                      digest_equal(&row->payload, &known->row->payload) &&
                      row->operators == known->row->operators && row->dissent == known->row->dissent;
    return 0;
}

static void on_verdict(struct farm *farm, const struct core_effect *effect)
{
    const struct verdict *verdict = effect->verdict;
    struct db_verdict row = {.job = effect->key,
                             .round = effect->round,
                             .operators = verdict->operators,
                             .dissent = verdict->dissent,
                             .state = verdict_state_name(verdict->state),
                             .decided_ms = moment_wall_ms()};
    struct known_verdict known = {.row = &row};
    if (verdict->state == VERDICT_AGREED)
        row.payload = verdict->payload;
    (void)!db_each_verdict_of(farm->db, &row.job, compare_verdict, &known, NULL);
    if (known.same)
        return;
    struct logentry entry = {.kind = LOG_VERDICT,
                             .job = row.job,
                             .payload = row.payload,
                             .round = row.round,
                             .operators = row.operators,
                             .dissent = row.dissent,
                             .verdict = verdict->state};
    uint64_t position = journal_add(farm, &entry);
    row.settled_size = verdict_is_settled(verdict->state) ? position + 1 : 0;
    db_put_verdict(farm_write(farm), &row);
    farm->stats.verdicts[verdict->state]++;
    if (verdict->state == VERDICT_DISPUTED)
        log_event(LOG_LEVEL_WARNING, "dispute", log_digest(FIELD_JOB, &effect->key),
                  log_number(FIELD_ROUND, effect->round));
}

static void on_plan_state(struct farm *farm, const struct core_effect *effect)
{
    const char *state = plan_state_name(effect->plan_state);
    struct farm_plan *plan = plans_get(farm, &effect->plan);
    if (effect->plan_state != PLAN_RUNNING) {
        db_finish_plan(farm_write(farm), &effect->plan, state, moment_wall_ms());
        watch_wake(farm->ctl);
    }
    if (plan != NULL)
        plans_use(plan);
    if (plan != NULL && effect->plan_state == PLAN_CANCELLED)
        plan->active = false;
    log_event(LOG_LEVEL_INFO, "plan changed", log_digest(FIELD_PLAN, &effect->plan),
              log_text(FIELD_STATE, state));
}

static void on_node_state(struct farm *farm, const struct core_effect *effect)
{
    const struct farm_plan *plan = plans_get(farm, &effect->plan);
    if (plan != NULL)
        log_event(LOG_LEVEL_DEBUG, "node changed", log_text(FIELD_NODE, plan->plan->nodes[effect->node].id),
                  log_text(FIELD_STATE, node_state_name(effect->state)),
                  log_digest(FIELD_PLAN, &effect->plan));
}

static void on_flagged(struct farm *farm, const struct core_effect *effect)
{
    db_put_operator_flag(farm_write(farm), effect->name, effect->text, moment_wall_ms());
    log_event(LOG_LEVEL_WARNING, "operator gets no more leases", log_text(FIELD_OPERATOR, effect->name),
              log_text(FIELD_REASON, effect->text));
}

static void apply(struct farm *farm, const struct core_effect *effect)
{
    switch (effect->type) {
    case CORE_DERIVE:
        plans_derive(farm, effect);
        break;
    case CORE_LEASE_GRANTED:
        on_granted(farm, effect);
        break;
    case CORE_LEASE_ENDED:
        on_ended(farm, effect);
        break;
    case CORE_ANSWERED:
        on_answered(farm, effect);
        break;
    case CORE_VOTE:
        on_vote(farm, effect);
        break;
    case CORE_VERDICT:
        on_verdict(farm, effect);
        break;
    case CORE_NODE_STATE:
        on_node_state(farm, effect);
        break;
    case CORE_PLAN_STATE:
        on_plan_state(farm, effect);
        break;
    case CORE_OPERATOR_FLAGGED:
        on_flagged(farm, effect);
        break;
    case CORE_WORKER_RESTS:
        log_event(LOG_LEVEL_WARNING, "worker rests", log_text(FIELD_WORKER, effect->name),
                  log_text(FIELD_REASON, effect->text));
        break;
    }
}

/* An effect may feed further events; their effects are queued behind and applied by the outermost call. */
int farm_feed(struct farm *farm, const struct core_event *event, struct diag *diag)
{
    bool outermost = farm->effects.count == 0;
    int result = core_step(farm->core, farm_core_now(), event, &farm->effects, diag);
    if (!outermost)
        return result;
    for (size_t i = 0; i < farm->effects.count; i++) {
        struct core_effect effect = farm->effects.items[i]; /* the array may move while it is applied */
        apply(farm, &effect);
    }
    core_effects_clear(&farm->effects);
    return result;
}
