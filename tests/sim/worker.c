/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim.h"

#include <stdlib.h>

enum {
    HEARTBEAT_MS = 15000,
    HELLO_AGAIN_MS = 10000, /* not welcomed meanwhile */
    REFUSED_AGAIN_MS = 120000,
    RESEND_MS =
        30000, /* not acknowledged: frames may be lost here, as they are not on a connection that stands */
    UPLOAD_AGAIN_MS = 5000
};

static bool chance(struct world *world, unsigned int permille)
{
    return world_chance(world, DICE_WORKERS, permille);
}

static bool is_bad_day(struct world *world, enum fault fault, unsigned int permille)
{
    return world_has(world, fault) && chance(world, permille);
}

static int64_t soon(struct world *world, int64_t within_ms)
{
    return world->now_ms + 1 + (int64_t)world_below(world, DICE_WORKERS, (uint64_t)within_ms);
}

static void say(struct world *world, size_t index, int type, const ProtobufCMessage *body)
{
    if (world->workers[index].linked)
        network_say(world, index, false, type, body);
}

static ProtobufCBinaryData nonce_bytes(const struct core_nonce *nonce)
{
    return wire_bytes(view_of(nonce->bytes, sizeof nonce->bytes));
}

static struct core_nonce nonce_of(const ProtobufCBinaryData *bytes)
{
    struct core_nonce nonce;
    struct digest digest = wire_get_digest(bytes);
    memcpy(nonce.bytes, digest.bytes, sizeof nonce.bytes);
    return nonce;
}

static bool same_nonce(const struct core_nonce *a, const struct core_nonce *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* --- when it acts next --- */

static int64_t next_of(const struct sim_worker *worker)
{
    int64_t next = worker->linked ? (worker->welcomed ? worker->beat_ms : worker->hello_ms) : worker->link_ms;
    for (size_t i = 0; i < worker->nbuilds && worker->up; i++)
        next = worker->builds[i].finish_ms < next ? worker->builds[i].finish_ms : next;
    for (size_t i = 0; i < worker->nspool && worker->welcomed; i++)
        next = worker->spool[i].due_ms < next ? worker->spool[i].due_ms : next;
    return next;
}

static void set_alarm(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    int64_t next = next_of(worker);
    next = next > world->now_ms ? next : world->now_ms;
    if (worker->wake_ms <= next && worker->wake_ms >= world->now_ms)
        return;
    worker->wake_ms = next;
    if (next != INT64_MAX)
        schedule_add(&world->schedule, next, HAPPENS_WORKER, index, NULL);
}

/* --- what it says --- */

static void add_running(Wire__Running *ret, const struct core_nonce *nonce, const struct digest *key)
{
    wire__running__init(ret);
    ret->nonce = nonce_bytes(nonce);
    ret->job_key = wire_digest(key);
}

static size_t list_running(const struct sim_worker *worker, Wire__Running *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < worker->nspool && n < WIRE_RUNNING_MAX; i++)
        add_running(&ret[n++], &worker->spool[i].statement.nonce, &worker->spool[i].statement.key);
    for (size_t i = 0; i < worker->nbuilds && n < WIRE_RUNNING_MAX; i++)
        add_running(&ret[n++], &worker->builds[i].nonce, &worker->builds[i].key);
    return n;
}

static void say_hello(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    Wire__Facts facts = WIRE__FACTS__INIT;
    Wire__Hello hello = WIRE__HELLO__INIT;
    CLEANUP_FREE Wire__Running *running = mem_zero(WIRE_RUNNING_MAX, sizeof *running);
    Wire__Running *pointers[WIRE_RUNNING_MAX];
    facts.cpu_vendor = wire_text(worker->cpu_vendor != NULL ? worker->cpu_vendor : "unknown");
    facts.cpu_level = wire_text("x86-64-v3");
    facts.kernel = wire_text(worker->kernel != NULL ? worker->kernel : "unknown");
    facts.cores = worker->capacity.cores;
    facts.memory_bytes = worker->capacity.memory_bytes;
    facts.disk_bytes = worker->capacity.disk_bytes;
    hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.software = wire_text("sim");
    hello.operator_name = wire_text(world->operators[worker->operator_index].name);
    hello.worker = wire_text(worker->name);
    hello.facts = &facts;
    hello.slots = worker->capacity.slots;
    hello.n_running = list_running(worker, running);
    hello.running = pointers;
    for (size_t i = 0; i < hello.n_running; i++)
        pointers[i] = &running[i];
    worker->hello_ms = world->now_ms + HELLO_AGAIN_MS;
    say(world, index, WIRE_HELLO, &hello.base);
}

static void say_status(struct world *world, size_t index)
{
    Wire__Status status = WIRE__STATUS__INIT;
    status.paused = world->workers[index].paused;
    status.text = wire_text("its owner says so");
    say(world, index, WIRE_STATUS, &status.base);
}

static void refuse(struct world *world, size_t index, const struct core_nonce *nonce,
                   enum wire_refuse_reason reason)
{
    Wire__LeaseRefuse message = WIRE__LEASE_REFUSE__INIT;
    message.nonce = nonce_bytes(nonce);
    message.reason = (Wire__RefuseReason)reason;
    message.text = wire_text("no room after all");
    say(world, index, WIRE_LEASE_REFUSE, &message.base);
}

void worker_send_result(struct world *world, size_t index, const struct core_nonce *nonce,
                        const struct statement *said, struct view envelope)
{
    Wire__Result result = WIRE__RESULT__INIT;
    result.nonce = nonce_bytes(nonce);
    result.job_key = wire_digest(&said->key);
    result.envelope = wire_bytes(envelope);
    result.log = wire_digest(&said->log);
    if (said->failure == FAILURE_NONE) {
        result.manifest = wire_digest(&said->payload);
        result.tar = wire_digest(&said->tar);
    }
    say(world, index, WIRE_RESULT, &result.base);
}

/* --- what it is told --- */

static bool is_known(struct world *world, struct sim_worker *worker, const struct core_nonce *nonce)
{
    for (size_t i = 0; i < worker->nspool; i++)
        if (same_nonce(&worker->spool[i].statement.nonce, nonce)) {
            worker->spool[i].due_ms = world->now_ms; /* it is asked for: once more */
            return true;
        }
    for (size_t i = 0; i < worker->nbuilds; i++)
        if (same_nonce(&worker->builds[i].nonce, nonce))
            return true;
    return false;
}

static size_t node_of(const char *id)
{
    uint64_t node = 0;
    const char *digits = strrchr(id, 'n');
    return digits != NULL && view_decimal(view_text(digits + 1), &node) ? node : SIZE_MAX;
}

/* It derives the job itself, and refuses a lease for another one. */
static bool is_derivable(const struct world *world, const Wire__Lease *lease, size_t node)
{
    struct digest payloads[CLOSURE_MAX];
    if (node >= world->plans.nnodes || lease->n_payloads != world->plans.nodes[node].nclosure)
        return false;
    for (size_t i = 0; i < lease->n_payloads; i++)
        payloads[i] = wire_get_digest(&lease->payloads[i]->manifest);
    struct digest key = plan_key(world, node, payloads), told = wire_get_digest(&lease->job_key);
    return digest_equal(&key, &told);
}

/* Its inputs are there; else it gives the lease back. */
static bool can_fetch(const struct world *world, const Wire__Lease *lease)
{
    bool all = true;
    for (size_t i = 0; i < lease->n_payloads && (world->faults & FAULT_ROT) != 0; i++) {
        struct digest manifest = wire_get_digest(&lease->payloads[i]->manifest),
                      tar = wire_get_digest(&lease->payloads[i]->tar);
        all &= objects_has(&world->objects, &manifest) && objects_has(&world->objects, &tar);
    }
    return all;
}

static void on_lease(struct world *world, size_t index, const Wire__Lease *lease)
{
    struct sim_worker *worker = &world->workers[index];
    struct core_nonce nonce = nonce_of(&lease->nonce);
    size_t node = node_of(lease->node);
    if (is_known(world, worker, &nonce))
        return;
    if (!is_derivable(world, lease, node)) {
        refuse(world, index, &nonce, WIRE_REFUSE_SPEC);
        return;
    }
    if (worker->paused || is_bad_day(world, FAULT_MACHINES, 20)) {
        refuse(world, index, &nonce, worker->paused ? WIRE_REFUSE_PAUSED : WIRE_REFUSE_BUSY);
        return;
    }
    if (!can_fetch(world, lease)) {
        struct request scrub = {.verb = VERB_SCRUB};
        refuse(world, index, &nonce, WIRE_REFUSE_INPUT);
        if (chance(world, 800)) /* whoever serves objects tells of those that are not there */
            coordinator_ask(world, &scrub);
        return;
    }
    worker->builds =
        mem_reserve(worker->builds, &worker->builds_capacity, worker->nbuilds + 1, sizeof *worker->builds);
    struct sim_build *build = &worker->builds[worker->nbuilds++];
    int64_t ms = worker_build_time(world, worker, node);
    *build = (struct sim_build){
        .nonce = nonce, .node = node, .finish_ms = ms == INT64_MAX ? ms : world->now_ms + ms};
    build->key = wire_get_digest(&lease->job_key);
}

/* Most stop; some finish all the same, and answer late. */
static void on_cancel(struct world *world, struct sim_worker *worker, const Wire__LeaseCancel *cancel)
{
    struct core_nonce nonce = nonce_of(&cancel->nonce);
    for (size_t i = 0; i < worker->nbuilds; i++)
        if (same_nonce(&worker->builds[i].nonce, &nonce) && (world->calm || chance(world, 600))) {
            worker_drop_build(worker, i);
            return;
        }
}

static void on_ack(struct world *world, size_t index, const Wire__ResultAck *ack)
{
    struct sim_worker *worker = &world->workers[index];
    struct core_nonce nonce = nonce_of(&ack->nonce);
    size_t i = 0;
    while (i < worker->nspool && !same_nonce(&worker->spool[i].statement.nonce, &nonce))
        i++;
    if (i == worker->nspool || ack->code == WIRE__ACK_CODE__ACK_UNSPECIFIED)
        return;
    struct sim_answer *answer = &worker->spool[i];
    if (ack->code == WIRE__ACK_CODE__ACK_AGAIN) {
        answer->uploaded = worker->behaviour == LAZY && !world->calm;
        answer->due_ms = soon(world, UPLOAD_AGAIN_MS);
    } else if (worker->behaviour == EQUIVOCATING && !world->calm && chance(world, 400)) {
        worker_answer_otherwise(world, index, answer);
    } else {
        worker_drop_answer(worker, i);
    }
}

static void on_welcome(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    worker->welcomed = true;
    worker->beat_ms = soon(world, HEARTBEAT_MS);
    for (size_t i = 0; i < worker->nspool; i++)
        worker->spool[i].due_ms = soon(world, 1000);
    if (worker->paused)
        say_status(world, index);
}

static void on_refused(struct world *world, size_t index, const Wire__Refused *refused)
{
    struct sim_worker *worker = &world->workers[index];
    worker->welcomed = false;
    if (refused->code == (uint32_t)-FARM_E_STATE)
        say_hello(world, index);
    else
        worker->hello_ms = world->now_ms + REFUSED_AGAIN_MS;
}

void worker_receive(struct world *world, const struct frame *frame)
{
    struct diag diag = DIAG_INIT;
    struct wire_message *message = NULL;
    size_t index = frame->worker;
    if (wire_decode(WIRE_TO_WORKER, buf_view(&frame->bytes), &message, &diag) < 0) {
        judge_dropped(world, frame, diag.text);
        return;
    }
    judge_told(world, frame, message);
    switch ((enum wire_to_worker)message->type) {
    case WIRE_WELCOME:
        on_welcome(world, index);
        break;
    case WIRE_LEASE:
        on_lease(world, index, message->lease);
        break;
    case WIRE_LEASE_CANCEL:
        on_cancel(world, &world->workers[index], message->lease_cancel);
        break;
    case WIRE_RESULT_ACK:
        on_ack(world, index, message->result_ack);
        break;
    case WIRE_REFUSED:
        on_refused(world, index, message->refused);
        break;
    case WIRE_ORDER:
    case WIRE_LOG_ANSWER:
    case WIRE_TRUST_ANSWER:
        break;
    }
    wire_free(message);
    set_alarm(world, index);
}

/* --- what it does by itself --- */

static void connect(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    worker->up = true;
    worker->link_ms = soon(world, 15000);
    if (!world->coordinator.up || (worker->revoked && world->calm))
        return;
    worker->linked = true;
    worker->welcomed = false;
    worker->session++;
    say_hello(world, index);
}

void worker_disconnect(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    worker->linked = worker->welcomed = false;
    worker->session++;
    worker->link_ms = soon(world, 20000);
    set_alarm(world, index);
}

void workers_disconnect_all(struct world *world)
{
    for (size_t i = 0; i < world->nworkers; i++)
        if (world->workers[i].linked)
            worker_disconnect(world, i);
}

static void say_goodbye(struct world *world, size_t index)
{
    Wire__Goodbye goodbye = WIRE__GOODBYE__INIT;
    goodbye.reason = wire_text("its owner needs it");
    say(world, index, WIRE_GOODBYE, &goodbye.base);
}

/* Power off. What it built is gone, its spool is not. */
static void crash(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    world_trace(world, "%s dies with %zu builds and %zu answers in its spool", worker->name, worker->nbuilds,
                worker->nspool);
    if (chance(world, 200))
        say_goodbye(world, index);
    worker->up = false;
    worker->nbuilds = 0;
    worker_disconnect(world, index);
    worker->link_ms = soon(world, 240000);
    for (size_t i = 0; i < worker->nspool && worker->behaviour == BROKEN; i++)
        if (chance(world, 300))
            worker_drop_answer(worker, i); /* with its disk */
}

void worker_pause(struct world *world, size_t index, bool paused)
{
    world->workers[index].paused = paused;
    if (world->workers[index].welcomed)
        say_status(world, index);
}

static void move_answer(struct world *world, size_t index, struct sim_answer *answer)
{
    const struct statement *said = &answer->statement;
    if (!answer->uploaded) {
        answer->uploaded = objects_upload(world, &said->log);
        if (said->failure == FAILURE_NONE)
            answer->uploaded &= objects_upload(world, &said->payload) && objects_upload(world, &said->tar);
        answer->due_ms = answer->uploaded ? world->now_ms : soon(world, UPLOAD_AGAIN_MS);
        return;
    }
    answer->due_ms = world->now_ms + RESEND_MS;
    worker_send_result(world, index, &said->nonce, said, buf_view(&answer->envelope));
}

static void beat(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    Wire__Heartbeat heartbeat = WIRE__HEARTBEAT__INIT;
    worker->beat_ms = world->now_ms + HEARTBEAT_MS;
    say(world, index, WIRE_HEARTBEAT, &heartbeat.base);
    if (worker->behaviour == FORGING && !world->calm && chance(world, 500))
        worker_forge(world, index);
    if (is_bad_day(world, FAULT_MACHINES, 12))
        crash(world, index);
    else if (is_bad_day(world, FAULT_LOSS, 10))
        worker_disconnect(world, index);
}

static void finish_builds(struct world *world, size_t index)
{
    struct sim_worker *worker = &world->workers[index];
    for (size_t i = worker->nbuilds; i > 0; i--)
        if (worker->builds[i - 1].finish_ms <= world->now_ms) {
            struct sim_build build = worker->builds[i - 1];
            worker_drop_build(worker, i - 1);
            worker_spool(world, index, &build);
        }
}

void worker_wake(struct world *world, size_t index, int64_t at_ms)
{
    struct sim_worker *worker = &world->workers[index];
    if (worker->wake_ms != at_ms)
        return;
    if (worker->up)
        finish_builds(world, index);
    if (!worker->linked) {
        if (worker->link_ms <= world->now_ms)
            connect(world, index);
    } else if (!worker->welcomed) {
        if (worker->hello_ms <= world->now_ms)
            say_hello(world, index);
    } else {
        for (size_t i = 0; i < worker->nspool; i++)
            if (worker->spool[i].due_ms <= world->now_ms)
                move_answer(world, index, &worker->spool[i]);
        if (worker->beat_ms <= world->now_ms)
            beat(world, index);
    }
    worker->wake_ms = INT64_MIN; /* this one has been */
    set_alarm(world, index);
}
