/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim.h"

#include <stdlib.h>

enum {
    MESSAGES_A_TURN = 64,
    CRASHES_MAX = 12 /* a coordinator that does nothing but die proves nothing */
};

/* --- clocks --- */

int64_t coordinator_steady(const struct world *world)
{
    return world->now_ms - world->coordinator.boot_ms;
}

int64_t coordinator_wall(const struct world *world)
{
    return world->now_ms + world->wall_off_ms;
}

int64_t coordinator_wall_of_core(const struct world *world, int64_t core_ms)
{
    return coordinator_wall(world) - (coordinator_steady(world) - core_ms);
}

int64_t coordinator_core_of_wall(const struct world *world, int64_t wall_ms)
{
    return coordinator_steady(world) - (coordinator_wall(world) - wall_ms);
}

/* --- life and death --- */

static void core_random(void *context, void *ret, size_t size)
{
    for (unsigned char *at = ret; size > 0;) {
        uint64_t word = world_random(context, DICE_CORE);
        size_t n = size < sizeof word ? size : sizeof word;
        memcpy(at, &word, n);
        at += n;
        size -= n;
    }
}

static void open_core(struct world *world)
{
    struct core_config config = {
        .session_timeout_ms = 45000,
        .lease_grace_ms = 60000,
        .lease_margin_ms = COORDINATOR_MARGIN_MS,
        .outvoted_limit = 3,
        .refusals_limit = 5,
        .rest_ms = 60000,
        .random = core_random,
        .random_context = world,
    };
    world->coordinator.core = core_new(&config);
}

static void set_alarm(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    int64_t tick = c->up ? core_next_tick(c->core) : INT64_MAX;
    int64_t next = !c->up ? c->start_ms : tick == INT64_MAX ? INT64_MAX : tick + c->boot_ms;
    bool busy = c->ninbox > 0 || c->nchecked > 0 || c->nunsent > 0;
    next = (c->up && busy) || next < world->now_ms ? world->now_ms : next;
    if (c->wake_ms <= next && c->wake_ms >= world->now_ms)
        return;
    c->wake_ms = next;
    if (next != INT64_MAX)
        schedule_add(&world->schedule, next, HAPPENS_COORDINATOR, 0, NULL);
}

void coordinator_open(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    c->pending = mem_zero(world->nworkers, sizeof *c->pending);
    c->paused = mem_zero(world->nworkers, sizeof *c->paused);
    c->slots = mem_zero(world->nworkers, sizeof *c->slots);
    c->boot_ms = world->now_ms - 1000000;
    c->start_ms = world->now_ms;
    c->wake_ms = INT64_MIN;
    set_alarm(world);
}

static void outgoing_clear(struct outgoing *items, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        buf_done(&items[i].bytes);
    *count = 0;
}

/* All that is not on disk. */
static void lose_memory(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    c->core = core_free(c->core);
    core_effects_done(&c->effects);
    for (size_t i = 0; i < c->ninbox; i++)
        frame_free(c->inbox[i]);
    for (size_t i = 0; i < c->nchecked; i++)
        intake_free(c->checked[i]);
    c->ninbox = c->nchecked = 0;
    outgoing_clear(c->outbox, &c->noutbox);
    outgoing_clear(c->unsent, &c->nunsent);
    c->checking = map_free(c->checking);
    c->lost = map_free(c->lost);
    c->answering = NULL;
    c->held = false;
    memset(c->pending, 0, world->nworkers * sizeof *c->pending);
    memset(c->paused, 0, world->nworkers * sizeof *c->paused);
    for (size_t p = 0; p < PLANS; p++) {
        world->plans.items[p].forgotten = false;
        memset(world->plans.items[p].keys, 0, world->plans.nnodes * sizeof(struct digest));
    }
}

void coordinator_close(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    lose_memory(world);
    free(c->inbox);
    free(c->outbox);
    free(c->unsent);
    free(c->checked);
    free(c->pending);
    free(c->paused);
    free(c->slots);
}

void coordinator_tempt(struct world *world, unsigned int per_hundred_thousand)
{
    struct coordinator *c = &world->coordinator;
    if (world_has(world, FAULT_CRASH) && c->life < CRASHES_MAX &&
        world_below(world, DICE_COORDINATOR, 100000) < per_hundred_thousand)
        c->dying = true;
}

void coordinator_crash(struct world *world, bool reboot)
{
    struct coordinator *c = &world->coordinator;
    world_trace(world, "the coordinator dies%s", reboot ? " with its machine" : "");
    db_rollback(&world->db);
    lose_memory(world);
    c->up = c->dying = false;
    c->life++;
    c->start_ms = world->now_ms + 100 + (int64_t)world_below(world, DICE_COORDINATOR, 90000);
    if (reboot)
        c->boot_ms = c->start_ms - 1 - (int64_t)world_below(world, DICE_COORDINATOR, 20000);
    world->totals->crashes++;
    workers_disconnect_all(world);
    set_alarm(world);
}

/* --- into the core --- */

int coordinator_feed(struct world *world, const struct core_event *event, struct diag *diag)
{
    struct coordinator *c = &world->coordinator;
    struct diag why = DIAG_INIT;
    if (c->dying)
        return FARM_E_STATE;
    bool outermost = c->effects.count == 0;
    int result = core_step(c->core, coordinator_steady(world), event, &c->effects, &why);
    world->steps++;
    judge_step(world, event, result, &why);
    if (diag != NULL)
        *diag = why;
    coordinator_tempt(world, 30);
    for (size_t i = 0; outermost && i < c->effects.count && !c->dying; i++) {
        struct core_effect effect = c->effects.items[i]; /* the array may move while it is applied */
        judge_effect(world, &effect);
        coordinator_apply(world, &effect);
    }
    if (outermost)
        core_effects_clear(&c->effects);
    return result;
}

/* --- out to the workers --- */

static struct outgoing *post(struct world *world, size_t worker, int type, const ProtobufCMessage *body)
{
    struct coordinator *c = &world->coordinator;
    struct diag diag = DIAG_INIT;
    c->outbox = mem_reserve(c->outbox, &c->outbox_capacity, c->noutbox + 1, sizeof *c->outbox);
    struct outgoing *message = &c->outbox[c->noutbox++];
    *message = (struct outgoing){.worker = worker};
    if (wire_encode(type, body, &message->bytes, &diag) < 0)
        world_fail(world, INVARIANT_FRAMES, "%s cannot be written: %s", wire_type_name(type), diag.text);
    return message;
}

void coordinator_post(struct world *world, size_t worker, int type, const ProtobufCMessage *body)
{
    (void)post(world, worker, type, body);
}

void coordinator_post_lease(struct world *world, size_t worker, const struct core_nonce *nonce,
                            const Wire__Lease *lease)
{
    struct outgoing *message = post(world, worker, WIRE_LEASE, &lease->base);
    message->lease = *nonce;
    message->is_lease = true;
}

/* What cannot be sent is lost, and harmless; a lease is taken back. */
static void send_one(struct world *world, struct outgoing *message)
{
    struct coordinator *c = &world->coordinator;
    const struct sim_worker *worker = &world->workers[message->worker];
    bool stuffed = world_has(world, FAULT_LOSS) && world_chance(world, DICE_COORDINATOR, 3);
    if (worker->linked && !stuffed) {
        network_send(world, message->worker, true, &message->bytes);
    } else if (message->is_lease) {
        c->unsent = mem_reserve(c->unsent, &c->unsent_capacity, c->nunsent + 1, sizeof *c->unsent);
        c->unsent[c->nunsent] = *message;
        c->unsent[c->nunsent++].is_gone = !worker->linked;
        message->bytes = (struct buf)BUF_INIT;
    }
    buf_done(&message->bytes);
}

static void flush(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    coordinator_tempt(world, 150);
    if (c->dying)
        return;
    if (world->db.writing)
        db_commit(&world->db);
    judge_turn(world);
    coordinator_tempt(world, 150);
    for (size_t i = 0; i < c->noutbox && !c->dying; i++) {
        send_one(world, &c->outbox[i]);
        coordinator_tempt(world, 30);
    }
    outgoing_clear(c->outbox, &c->noutbox);
}

/* Leases that did not get out: their workers do not know of them, and would be waited for. */
static void take_back(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    for (size_t i = 0; i < c->nunsent; i++) {
        struct core_event event = {.type = CORE_LEASE_REFUSED,
                                   .name = world->workers[c->unsent[i].worker].name,
                                   .text = "the lease could not be sent"};
        if (c->unsent[i].is_gone)
            event = (struct core_event){.type = CORE_WORKER_OFFLINE, .name = event.name};
        event.answer.nonce = c->unsent[i].lease;
        (void)coordinator_feed(world, &event, NULL);
    }
    outgoing_clear(c->unsent, &c->nunsent);
}

/* --- a turn --- */

static void take_messages(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    size_t n = c->ninbox < MESSAGES_A_TURN ? c->ninbox : MESSAGES_A_TURN;
    for (size_t i = 0; i < n; i++) {
        coordinator_hear(world, c->inbox[i]);
        frame_free(c->inbox[i]);
    }
    if (n < c->ninbox)
        memmove(c->inbox, c->inbox + n, (c->ninbox - n) * sizeof(struct frame *));
    c->ninbox -= n;
}

static void take_checked(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    for (size_t i = 0; i < c->nchecked; i++)
        coordinator_finish_intake(world, c->checked[i]);
    c->nchecked = 0;
}

static void tick(struct world *world)
{
    struct core_event event = {.type = CORE_TICK};
    if (!world->coordinator.dying && core_next_tick(world->coordinator.core) <= coordinator_steady(world))
        (void)coordinator_feed(world, &event, NULL);
}

/* As the core has it: a row may say that it ended, and a verdict was reopened since. */
bool coordinator_runs(const struct world *world, const struct digest *id)
{
    struct digest plan;
    enum plan_state state;
    size_t nodes;
    for (size_t i = 0; core_plan_at(world->coordinator.core, i, &plan, &state, &nodes); i++)
        if (digest_equal(&plan, id))
            return state == PLAN_RUNNING;
    return false;
}

static void forget(struct world *world, size_t p)
{
    struct sim_plan *plan = &world->plans.items[p];
    struct core_event event = {.type = CORE_PLAN_FORGET, .plan = plan->id};
    if (plan->forgotten || coordinator_runs(world, &plan->id))
        return;
    world->totals->forgotten++;
    plan->forgotten = true;
    memset(plan->keys, 0, world->plans.nnodes * sizeof *plan->keys);
    (void)coordinator_feed(world, &event, NULL);
}

/* As a restart brings it back. */
static void recall(struct world *world, size_t p)
{
    const struct sim_plan *plan = &world->plans.items[p];
    if (plan->forgotten && plan->state != PLAN_CANCELLED)
        coordinator_start_plan(world, p, plan->from_scratch, plan->started_wall_ms);
}

/* A plan that runs, or is done and shall not be repeated, is left as it is; so are the times in its row. */
static void build(struct world *world, size_t p, bool from_scratch)
{
    struct sim_plan *plan = &world->plans.items[p];
    recall(world, p);
    if (plan->started && (plan->state == PLAN_RUNNING || (plan->state == PLAN_DONE && !from_scratch)))
        return;
    judge_asked(world, p, from_scratch);
    db_touch(&world->db, plan, sizeof *plan);
    plan->started = true;
    plan->from_scratch = from_scratch;
    plan->state = PLAN_RUNNING;
    plan->started_wall_ms = coordinator_wall(world);
    coordinator_start_plan(world, p, from_scratch, 0);
    judge_started(world, p, from_scratch);
}

static void do_request(struct world *world, const struct request *request)
{
    struct core_event event = {.type = CORE_OPERATOR_CLEAR};
    switch (request->verb) {
    case VERB_START:
    case VERB_FROM_SCRATCH:
        build(world, request->plan, request->verb == VERB_FROM_SCRATCH);
        return;
    case VERB_CANCEL:
        event = (struct core_event){.type = CORE_PLAN_CANCEL, .plan = world->plans.items[request->plan].id};
        break;
    case VERB_FORGET:
        forget(world, request->plan);
        return;
    case VERB_REVOKE:
        world->workers[request->who].revoked = true; /* the directory, which is durable at once */
        world->workers[request->who].void_from = request->from;
        coordinator_revoke(world, request->who);
        return;
    case VERB_CLEAR:
        event.name = world->operators[request->who].name;
        db_touch(&world->db, &world->operators[request->who].flagged, sizeof(bool));
        world->operators[request->who].flagged = false;
        break;
    case VERB_ANCHOR:
        coordinator_change_anchor(world, request->who);
        return;
    case VERB_SCRUB:
        coordinator_scrub(world);
        return;
    case VERB_DISK:
        world->coordinator.held = request->flag;
        event = (struct core_event){.type = CORE_HOLD, .flag = request->flag, .text = "the disk is full"};
        break;
    }
    (void)coordinator_feed(world, &event, NULL);
}

static void turn(struct world *world, const struct request *request)
{
    struct coordinator *c = &world->coordinator;
    take_messages(world);
    take_back(world);
    take_checked(world);
    tick(world);
    if (request != NULL && !c->dying)
        do_request(world, request);
    flush(world);
    if (c->dying)
        coordinator_crash(world, world_has(world, FAULT_CLOCK) && world_chance(world, DICE_COORDINATOR, 300));
    set_alarm(world);
}

static void start(struct world *world)
{
    struct coordinator *c = &world->coordinator;
    c->up = true;
    c->checking = map_new();
    c->lost = map_new();
    open_core(world);
    world_trace(world, "the coordinator starts its life %u", c->life);
    coordinator_restore(world);
    flush(world);
    if (c->dying)
        coordinator_crash(world, false);
    else
        judge_restart(world);
    set_alarm(world);
}

void coordinator_wake(struct world *world, int64_t at_ms)
{
    struct coordinator *c = &world->coordinator;
    if (c->wake_ms != at_ms)
        return;
    c->wake_ms = INT64_MIN;
    if (c->up)
        turn(world, NULL);
    else if (c->start_ms <= world->now_ms)
        start(world);
    else
        set_alarm(world);
}

void coordinator_receive(struct world *world, struct frame *frame)
{
    struct coordinator *c = &world->coordinator;
    c->inbox = mem_reserve(c->inbox, &c->inbox_capacity, c->ninbox + 1, sizeof(struct frame *));
    c->inbox[c->ninbox++] = frame;
    set_alarm(world);
}

void coordinator_checked(struct world *world, struct intake *intake)
{
    struct coordinator *c = &world->coordinator;
    c->checked = mem_reserve(c->checked, &c->checked_capacity, c->nchecked + 1, sizeof(struct intake *));
    c->checked[c->nchecked++] = intake;
    set_alarm(world);
}

void coordinator_ask(struct world *world, const struct request *request)
{
    if (world->coordinator.up)
        turn(world, request);
}

/* --- names --- */

size_t coordinator_worker(const struct world *world, const char *name)
{
    size_t i = 0;
    while (i < world->nworkers && strcmp(world->workers[i].name, name) != 0)
        i++;
    return i;
}

size_t coordinator_operator(const struct world *world, const char *name)
{
    size_t i = 0;
    while (i < world->noperators && strcmp(world->operators[i].name, name) != 0)
        i++;
    return i;
}
