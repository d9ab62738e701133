/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Lost payloads: who knows of them, that nothing is built upon them, and that they come back. */
#include "count.h"
#include "sim.h"

struct loss {
    struct digest job, payload;
};

static struct digest tar_of(const struct row_job *job, const struct digest *payload)
{
    struct digest tar = {{0}};
    for (size_t i = 0; i < job->answers.count; i++) {
        const struct row_answer *answer = job->answers.items[i];
        if (answer->answer.failure == FAILURE_NONE && digest_equal(&answer->answer.payload, payload))
            tar = answer->answer.tar;
    }
    return tar;
}

static bool is_here(const struct world *world, const struct row_job *job, const struct digest *payload)
{
    struct digest tar = tar_of(job, payload);
    return objects_has(&world->objects, payload) && objects_has(&world->objects, &tar);
}

void judge_loss(struct world *world, const struct core_event *event)
{
    struct loss loss = {event->key, event->answer.payload};
    struct view key = view_of(&loss, sizeof loss);
    if (event->type == CORE_PAYLOAD_BACK) {
        (void)map_remove(world->judge.lost, key);
        return;
    }
    map_set(world->judge.lost, key, world);
    map_set(world->judge.repeated, view_of(&event->key, sizeof event->key), world);
}

void judge_healed(struct world *world, const struct core_effect *effect)
{
    struct loss loss = {effect->lease.key, effect->answer.payload};
    if (effect->answer.failure == FAILURE_NONE)
        (void)map_remove(world->judge.lost, view_of(&loss, sizeof loss));
}

bool judge_is_lost(struct world *world, const struct row_job *job, const struct digest *payload)
{
    struct loss loss = {job->key, *payload};
    return map_get(world->judge.lost, view_of(&loss, sizeof loss)) != NULL && !is_here(world, job, payload);
}

static bool why_says(struct world *world, const struct sim_plan *plan, size_t node, const char *word)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    core_why(world->coordinator.core, &plan->id, node, coordinator_steady(world), &text);
    return text.size > 0 && strstr(text.data, word) != NULL;
}

void judge_lost_at_end(struct world *world, size_t p, size_t node)
{
    const struct sim_plan *plan = &world->plans.items[p];
    struct core_node_view view;
    if ((world->faults & FAULT_ROT) == 0 || !core_node(world->coordinator.core, &plan->id, node, &view) ||
        !view.has_payload)
        return;
    const struct row_job *job = db_job(&world->db, &view.key);
    bool here = is_here(world, job, &view.payload);
    if (here != !view.lost)
        world_fail(world, INVARIANT_LOST, "%s: its payload is %s, and for the core it is %s", view.id,
                   here ? "here" : "not here", view.lost ? "lost" : "not lost");
    if (!here && (view.state == NODE_AGREED || !why_says(world, plan, node, "lost")))
        world_fail(world, INVARIANT_LOST, "%s is %s, its payload is lost, and why does not say so", view.id,
                   node_state_name(view.state));
}
