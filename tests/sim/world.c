/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The clock, the dice, and one run from beginning to end. */
#include "people.h"
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TROUBLE_MS = 25 * 60 * 1000, /* how long things go wrong; a large plan takes longer */
    HORIZON_MS = 8 * 3600 * 1000,
    QUIET_MS = 30 * 60 * 1000, /* nothing happened for so long: nothing will */
    LARGE = 200,
    AT_ONCE_MAX = 100000
};

/* --- dice --- */

/* splitmix64 (Steele, Lea and Flood, 2014). */
uint64_t world_random(struct world *world, enum dice dice)
{
    uint64_t z = world->dice[dice] += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t world_below(struct world *world, enum dice dice, uint64_t n)
{
    return world_random(world, dice) % n;
}

bool world_chance(struct world *world, enum dice dice, unsigned int permille)
{
    return world_below(world, dice, 1000) < permille;
}

/* --- faults --- */

static const char *const fault_names[] = {"loss", "delay", "twice",  "garble", "crash", "machines", "uploads",
                                          "disk", "clock", "revoke", "people", "liars", "forget",   "rot"};

const char *world_fault_name(size_t bit)
{
    return bit < ARRAY_SIZE(fault_names) ? fault_names[bit] : NULL;
}

bool world_parse_faults(const char *text, uint32_t *ret)
{
    struct view rest = view_text(text), name;
    uint32_t faults = 0;
    while (view_split(&rest, ',', &name)) {
        size_t bit = 0;
        while (bit < ARRAY_SIZE(fault_names) && !view_equal(name, view_text(fault_names[bit])))
            bit++;
        if (bit < ARRAY_SIZE(fault_names))
            faults |= (uint32_t)1 << bit;
        else if (view_equal(name, VIEW("all")))
            faults = FAULT_ALL;
        else if (!view_equal(name, VIEW("none")))
            return false;
    }
    *ret = faults;
    return true;
}

/* What came later draws from a stream of its own: the seeds before are what they were. */
static enum dice dice_of(size_t bit)
{
    uint32_t fault = (uint32_t)1 << bit;
    return fault == FAULT_FORGET ? DICE_FORGET : fault == FAULT_ROT ? DICE_ROT : DICE_SHAPE;
}

/* Each kind in somewhat more than half of the runs. */
static uint32_t draw_faults(struct world *world)
{
    uint32_t faults = 0;
    for (size_t bit = 0; bit < ARRAY_SIZE(fault_names); bit++)
        if (world_chance(world, dice_of(bit), 600))
            faults |= (uint32_t)1 << bit;
    return faults;
}

bool world_has(const struct world *world, enum fault fault)
{
    return !world->calm && (world->faults & (uint32_t)fault) != 0;
}

/* --- words --- */

void world_trace(const struct world *world, const char *format, ...)
{
    va_list args;
    if (!world->options.verbose)
        return;
    fprintf(stderr, "%10.3f ", (double)world->now_ms / 1000);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

void world_replay(const struct sim_options *options, struct buf *ret)
{
    const char *separator = " --faults ";
    buf_add_format(ret, "replay: %s --seed %llu", options->program, (unsigned long long)options->seed);
    if (options->jobs > 0)
        buf_add_format(ret, " --jobs %u", options->jobs);
    if (options->workers > 0)
        buf_add_format(ret, " --workers %u", options->workers);
    if (options->has_faults && options->faults == 0)
        buf_add_text(ret, " --faults none");
    for (size_t bit = 0; options->has_faults && bit < ARRAY_SIZE(fault_names); bit++)
        if ((options->faults >> bit & 1) != 0) {
            buf_add_format(ret, "%s%s", separator, fault_names[bit]);
            separator = ",";
        }
    buf_add_text(ret, " --verbose\n");
}

void world_fail(struct world *world, enum invariant invariant, const char *format, ...)
{
    CLEANUP_BUF struct buf replay = BUF_INIT;
    va_list args;
    fprintf(stderr,
            "seed %llu, step %llu, %.3f s: invariant %s is broken: ", (unsigned long long)world->options.seed,
            (unsigned long long)world->steps, (double)world->now_ms / 1000, invariant_name(invariant));
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    world_replay(&world->options, &replay);
    fprintf(stderr, "\n%s", replay.data);
    exit(FARM_EXIT_VIOLATION);
}

/* --- a run --- */

static void frame_arrives(struct world *world, struct frame *frame)
{
    bool kept = false;
    if (network_arrives(world, frame)) {
        kept = !frame->to_worker;
        if (frame->to_worker)
            worker_receive(world, frame);
        else
            coordinator_receive(world, frame);
    }
    if (!kept)
        frame_free(frame);
}

static void happen(struct world *world, const struct happening *happening)
{
    switch (happening->kind) {
    case HAPPENS_FRAME:
        frame_arrives(world, happening->what);
        break;
    case HAPPENS_COORDINATOR:
        coordinator_wake(world, happening->at_ms);
        break;
    case HAPPENS_INTAKE:
        coordinator_check(world, happening->what);
        break;
    case HAPPENS_WORKER:
        worker_wake(world, happening->who, happening->at_ms);
        break;
    case HAPPENS_PEOPLE:
        people_act(world);
        break;
    }
}

static void drop_happenings(struct world *world)
{
    for (struct happening left; schedule_take(&world->schedule, &left);) {
        if (left.kind == HAPPENS_FRAME)
            frame_free(left.what);
        if (left.kind == HAPPENS_INTAKE)
            intake_free(left.what);
    }
    schedule_done(&world->schedule);
}

static bool all_ended(const struct world *world)
{
    for (size_t p = 0; p < PLANS; p++) {
        const struct sim_plan *plan = &world->plans.items[p];
        if (plan->started ? plan->state == PLAN_RUNNING || coordinator_runs(world, &plan->id)
                          : plan->start_ms != INT64_MAX)
            return false;
    }
    return true;
}

static bool is_over(const struct world *world)
{
    bool quiet = world->now_ms - world->effect_ms > QUIET_MS;
    return world->now_ms > world->horizon_ms ||
           (world->calm && world->coordinator.up && (quiet || all_ended(world)));
}

/* The coordinator is up when things calm down, so that what people mend then is mended. */
static void look_at_clock(struct world *world)
{
    if (world->calm || world->now_ms < world->calm_ms || !world->coordinator.up)
        return;
    world_trace(world, "from now on nothing goes wrong");
    world->calm = true;
    world->effect_ms = world->now_ms;
    people_calm(world);
}

static void open_world(struct world *world)
{
    for (size_t i = 0; i < DICE_COUNT; i++)
        world->dice[i] = world->options.seed * 0x100000001b3u + i;
    world->now_ms = 1000000;
    world->faults = draw_faults(world);
    if (world->options.has_faults)
        world->faults = world->options.faults;
    workers_make(world);
    plan_make(world);
    bool large = world->plans.nnodes >= LARGE;
    world->calm_ms = world->now_ms + (large ? 2 : 1) * TROUBLE_MS;
    world->horizon_ms = world->now_ms + HORIZON_MS;
    world->effect_ms = world->now_ms;
    world->wall_off_ms = (int64_t)1700000000 * 1000;
    db_open(&world->db, world->nworkers);
    objects_open(&world->objects);
    judge_open(&world->judge);
    coordinator_open(world);
    people_begin(world);
}

static void close_world(struct world *world)
{
    drop_happenings(world);
    coordinator_close(world);
    judge_close(&world->judge);
    objects_close(&world->objects);
    db_close(&world->db);
    plan_done(world);
    workers_done(world);
}

void world_run(const struct sim_options *options, struct sim_totals *totals)
{
    struct world world = {.options = *options, .totals = totals};
    struct happening next;
    uint64_t at_once = 0;
    open_world(&world);
    while (!is_over(&world) && schedule_take(&world.schedule, &next)) {
        at_once = next.at_ms > world.now_ms ? 0 : at_once + 1;
        world.now_ms = next.at_ms > world.now_ms ? next.at_ms : world.now_ms;
        if (at_once > AT_ONCE_MAX)
            world_fail(&world, INVARIANT_ENDS, "things happen without end, and no time passes");
        happen(&world, &next);
        look_at_clock(&world);
    }
    if (!world.coordinator.up)
        world_fail(&world, INVARIANT_ENDS, "the coordinator never came back");
    judge_end(&world);
    totals->steps += world.steps;
    totals->seeds++;
    close_world(&world);
}
