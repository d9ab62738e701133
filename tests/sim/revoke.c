/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Revocation: somebody's key is bad, from a position in the log on, or from the beginning. That it is, is durable at once (the
 * directory); that its answers are void follows answer by answer, and a crash in between leaves the rest to the next start.
 */
#include "sim.h"

static bool void_one(struct sim *sim, struct model_answer *answer)
{
    struct core_event event = {.type = CORE_VOTE_VOID, .answer = answer->answer};
    struct core_lease known;
    sim->voided++;
    if (sim->options.plant == PLANT_IGNORE_VOID) {
        answer->is_void = true;
        return true;
    }
    const struct model_lease *lease = model_lease(sim, &answer->answer.nonce);
    if (!core_lease_find(sim->core, &answer->answer.nonce, &known) && !model_feed(sim, &lease->key))
        return false;
    return world_step(sim, &event);
}

/* The coordinator may die meanwhile; its next start goes on. */
static void void_rest(struct sim *sim, size_t worker)
{
    struct model_answer *answer;
    while ((answer = model_unvoided(sim, worker, sim->workers[worker].void_from)) != NULL)
        if (!void_one(sim, answer))
            return;
}

void revoke_go_on(struct sim *sim)
{
    size_t life = sim->crashes;
    for (size_t i = 0; i < sim->nworkers && life == sim->crashes; i++)
        if (sim->workers[i].revoked)
            void_rest(sim, i);
}

void revoke_worker(struct sim *sim, struct sim_worker *worker)
{
    struct core_event event = {.type = CORE_WORKER_REVOKED, .name = worker->name};
    if (worker->revoked)
        return;
    worker->revoked = true;
    worker->connected = false;
    worker->void_from = sim_chance(sim, 40) ? 0 : sim_below(sim, sim->log_size + 1);
    size_t life = sim->crashes;
    if (world_step(sim, &event) && sim_chance(sim, 50))
        workers_answer_something(sim, worker); /* was being checked when it was revoked */
    worker->nheld = 0;
    if (life == sim->crashes)
        void_rest(sim, (size_t)(worker - sim->workers));
}
