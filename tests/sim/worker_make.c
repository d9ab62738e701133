/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { OPERATORS_MAX = 12 };

static uint64_t below(struct world *world, uint64_t n)
{
    return world_below(world, DICE_SHAPE, n);
}

static enum behaviour draw_behaviour(struct world *world)
{
    static const struct {
        enum behaviour behaviour;
        unsigned int percent;
    } liars[] = {{HONEST, 45},      {SLOW, 10},   {STUCK, 5}, {LYING, 8},   {FLAKY, 7},
                 {EQUIVOCATING, 6}, {FORGING, 7}, {LAZY, 3},  {FAILING, 5}, {BROKEN, 4}};
    uint64_t x = below(world, 100);
    if (!world_has(world, FAULT_LIARS))
        return x < 75 ? HONEST : SLOW;
    size_t i = 0;
    for (; x >= liars[i].percent; i++)
        x -= liars[i].percent;
    return liars[i].behaviour;
}

static size_t draw_size(struct world *world)
{
    uint64_t x = below(world, 100);
    return world->options.workers > 0 ? world->options.workers
           : x < 3                    ? 30 + below(world, 21)
           : x < 30                   ? 8 + below(world, 12)
                                      : 2 + below(world, 8);
}

static void make_operators(struct world *world)
{
    size_t most = world->nworkers < OPERATORS_MAX ? world->nworkers : OPERATORS_MAX;
    world->noperators = most > 2 ? 2 + below(world, most - 1) : most;
    world->operators = mem_zero(world->noperators, sizeof *world->operators);
    for (size_t i = 0; i < world->noperators; i++) {
        struct sim_operator *operator_ = &world->operators[i];
        snprintf(operator_->name, sizeof operator_->name, "op%zu", i);
        operator_->anchor = below(world, 2) == 0;
        operator_->colludes = world_has(world, FAULT_LIARS) && below(world, 12) == 0;
    }
}

static void make_worker(struct world *world, size_t i)
{
    static const char *const vendors[] = {"intel", "amd", "via", NULL}, *const kernels[] = {"6.1", "6.6",
                                                                                            NULL};
    struct sim_worker *worker = &world->workers[i];
    uint64_t secret[2] = {world->options.seed, i};
    snprintf(worker->name, sizeof worker->name, "w%zu", i);
    worker->operator_index = i < world->noperators ? i : below(world, world->noperators);
    worker->behaviour = draw_behaviour(world);
    worker->cpu_vendor = vendors[below(world, ARRAY_SIZE(vendors))];
    worker->kernel = kernels[below(world, ARRAY_SIZE(kernels))];
    worker->secret = digest_of(view_of(secret, sizeof secret));
    worker->capacity = (struct core_capacity){
        .slots = 1 + (uint32_t)below(world, 4),
        .cores = 8,
        .memory_bytes = (3 + below(world, 6)) << 30,
        .disk_bytes = (uint64_t)100 << 30,
    };
    worker->link_ms = world->now_ms + 500 + (int64_t)below(world, 20000);
    worker->wake_ms = worker->link_ms;
    schedule_add(&world->schedule, worker->wake_ms, HAPPENS_WORKER, i, NULL);
}

void workers_make(struct world *world)
{
    world->nworkers = draw_size(world);
    world->workers = mem_zero(world->nworkers, sizeof *world->workers);
    make_operators(world);
    for (size_t i = 0; i < world->nworkers; i++)
        make_worker(world, i);
}

void workers_done(struct world *world)
{
    for (size_t i = 0; i < world->nworkers; i++) {
        struct sim_worker *worker = &world->workers[i];
        for (size_t k = 0; k < worker->nspool; k++)
            buf_done(&worker->spool[k].envelope);
        buf_done(&worker->last_envelope);
        free(worker->spool);
        free(worker->builds);
    }
    free(world->workers);
    free(world->operators);
}
