/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "people.h"

#include "sim.h"

enum { BETWEEN_MS = 15000 };

static uint64_t below(struct world *world, uint64_t n)
{
    return world_below(world, DICE_PEOPLE, n);
}

static void come_again(struct world *world)
{
    schedule_add(&world->schedule, world->now_ms + 1 + (int64_t)below(world, BETWEEN_MS), HAPPENS_PEOPLE, 0,
                 NULL);
}

void people_begin(struct world *world)
{
    come_again(world);
}

/* --- what they do --- */

static void clear_somebody(struct world *world)
{
    struct request request = {.verb = VERB_CLEAR, .who = below(world, world->noperators)};
    coordinator_ask(world, &request);
}

static void pause_somebody(struct world *world)
{
    size_t who = below(world, world->nworkers);
    worker_pause(world, who, !world->workers[who].paused);
}

static void cancel(struct world *world)
{
    struct request request = {.verb = VERB_CANCEL, .plan = below(world, PLANS)};
    if (world->plans.items[request.plan].started && below(world, 4) == 0)
        coordinator_ask(world, &request);
}

static void start_again(struct world *world)
{
    struct request request = {.verb = VERB_START, .plan = below(world, PLANS)};
    if (!world->plans.items[request.plan].started)
        return;
    if (below(world, 3) == 0)
        request.verb = VERB_FROM_SCRATCH;
    coordinator_ask(world, &request);
}

/* From the beginning, or from somewhere in the log on. */
static void revoke(struct world *world)
{
    struct request request = {.verb = VERB_REVOKE, .who = below(world, world->nworkers)};
    if (world->workers[request.who].revoked || below(world, 4) != 0)
        return;
    if (below(world, 10) < 6)
        request.from = below(world, world->db.log_size + 1);
    coordinator_ask(world, &request);
}

static void change_root(struct world *world)
{
    struct request request = {.verb = VERB_ANCHOR, .who = below(world, world->noperators)};
    if (below(world, 4) == 0)
        coordinator_ask(world, &request);
}

static void fill_disk(struct world *world)
{
    struct request request = {.verb = VERB_DISK, .flag = !world->coordinator.held};
    coordinator_ask(world, &request);
}

static void set_clock(struct world *world)
{
    int64_t by = (int64_t)below(world, 7200 * 1000) - 3600 * 1000;
    world->wall_off_ms += below(world, 20) == 0 ? by * 10000 : by;
}

static void pull_plug(struct world *world)
{
    if (world->coordinator.up && below(world, 20) == 0 && world->coordinator.life < 12)
        coordinator_crash(world, world_has(world, FAULT_CLOCK));
}

static const struct {
    enum fault fault;
    unsigned int percent; /* of their visits */
    void (*act)(struct world *world);
} habits[] = {
    {FAULT_LIARS, 10, clear_somebody}, {FAULT_PEOPLE, 8, pause_somebody}, {FAULT_PEOPLE, 6, cancel},
    {FAULT_PEOPLE, 12, start_again},   {FAULT_REVOKE, 10, revoke},        {FAULT_REVOKE, 4, change_root},
    {FAULT_DISK, 8, fill_disk},        {FAULT_CLOCK, 8, set_clock},       {FAULT_CRASH, 10, pull_plug},
};

static void start_first(struct world *world)
{
    for (size_t p = 0; p < PLANS; p++) {
        struct sim_plan *plan = &world->plans.items[p];
        struct request request = {.verb = VERB_START, .plan = p};
        if (!plan->started && plan->start_ms <= world->now_ms)
            coordinator_ask(world, &request);
    }
}

static void forget_some(struct world *world)
{
    for (size_t p = 0; p < PLANS && world_has(world, FAULT_FORGET); p++) {
        struct request request = {.verb = VERB_FORGET, .plan = p};
        if (world->plans.items[p].started && world_chance(world, DICE_FORGET, 150))
            coordinator_ask(world, &request);
        else if (world->plans.items[p].forgotten && world_chance(world, DICE_FORGET, 300)) {
            request.verb = VERB_START;
            coordinator_ask(world, &request);
        }
    }
}

/* Something of some answer that was taken. */
static void rot_something(struct world *world)
{
    size_t left = map_count(world->db.answers), cursor = 0;
    struct view key;
    void *value = NULL;
    if (left == 0)
        return;
    left = world_below(world, DICE_ROT, left) + 1;
    while (left-- > 0)
        (void)map_next(world->db.answers, &cursor, &key, &value);
    const struct core_answer *answer = &((const struct row_answer *)value)->answer;
    const struct digest *objects[] = {&answer->payload, &answer->tar, &answer->manifest_log};
    objects_rot(world, objects[world_below(world, DICE_ROT, ARRAY_SIZE(objects))]);
}

static void let_rot(struct world *world)
{
    struct request scrub = {.verb = VERB_SCRUB};
    if (world_has(world, FAULT_ROT) && world_chance(world, DICE_ROT, 60))
        rot_something(world);
    if ((world->faults & FAULT_ROT) != 0 && world_chance(world, DICE_ROT, 300))
        coordinator_ask(world, &scrub);
}

void people_act(struct world *world)
{
    start_first(world);
    forget_some(world);
    let_rot(world);
    for (size_t i = 0; i < ARRAY_SIZE(habits); i++)
        if (world_has(world, habits[i].fault) && below(world, 100) < habits[i].percent)
            habits[i].act(world);
    come_again(world);
}

void people_calm(struct world *world)
{
    struct request disk = {.verb = VERB_DISK};
    if (world->coordinator.held)
        coordinator_ask(world, &disk);
    for (size_t i = 0; i < world->noperators; i++) {
        struct request clear = {.verb = VERB_CLEAR, .who = i};
        coordinator_ask(world, &clear);
    }
    for (size_t i = 0; i < world->nworkers; i++) {
        world->workers[i].paused = false;
        if (world->workers[i].linked)
            worker_disconnect(world, i); /* and says hello anew: garbled words are forgotten */
    }
    for (size_t p = 0; p < PLANS; p++) {
        struct request start = {.verb = VERB_START, .plan = p};
        if (world->plans.items[p].started)
            coordinator_ask(world, &start);
    }
    coordinator_ask(world, &(struct request){.verb = VERB_SCRUB});
}
