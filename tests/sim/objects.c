/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "objects.h"

#include "sim.h"

enum { PARTS = 3 };

void objects_open(struct objects *objects)
{
    objects->parts = map_new();
    objects->rotten = map_new();
}

void objects_close(struct objects *objects)
{
    map_free(objects->parts);
    map_free(objects->rotten);
}

static uintptr_t parts_of(const struct objects *objects, const struct digest *digest)
{
    uintptr_t stored = (uintptr_t)map_get(objects->parts, view_of(digest, sizeof *digest));
    return stored > 0 ? stored - 1 : 0;
}

bool objects_has(const struct objects *objects, const struct digest *digest)
{
    return parts_of(objects, digest) == PARTS;
}

void objects_rot(struct world *world, const struct digest *digest)
{
    struct view key = view_of(digest, sizeof *digest);
    if (!objects_has(&world->objects, digest))
        return;
    world->totals->rotten++;
    world_trace(world, "object %.8s rots", digest_hex(digest).text);
    map_set(world->objects.parts, key, (void *)(uintptr_t)1);
    map_set(world->objects.rotten, key, world);
}

bool objects_have_lost(const struct objects *objects, const struct digest *digest)
{
    return map_get(objects->rotten, view_of(digest, sizeof *digest)) != NULL;
}

bool objects_upload(struct world *world, const struct digest *digest)
{
    struct objects *objects = &world->objects;
    uintptr_t parts = parts_of(objects, digest);
    bool breaks = world_has(world, FAULT_UPLOADS) && world_chance(world, DICE_NETWORK, 100);
    bool rots = world_has(world, FAULT_UPLOADS) && world_chance(world, DICE_NETWORK, 30);
    if (parts < PARTS)
        parts = breaks ? parts + world_below(world, DICE_NETWORK, PARTS - parts) : PARTS;
    bool arrived = parts == PARTS; /* and the uploader is told so, whatever becomes of it */
    if (arrived && rots)
        parts = 0;
    map_set(objects->parts, view_of(digest, sizeof *digest), (void *)(parts + 1));
    return arrived;
}
