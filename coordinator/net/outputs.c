/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "outputs.h"

#include "map.h"

#include <stdlib.h>

struct triple {
    struct digest job, manifest, tar;
};

struct outputs {
    struct map *known;                /* struct triple -> itself, as a set */
    struct triple kept[OUTPUTS_KEPT]; /* a ring */
    size_t count, oldest;
};

struct outputs *outputs_new(void)
{
    struct outputs *outputs = mem_zero(1, sizeof *outputs);
    outputs->known = map_new();
    return outputs;
}

struct outputs *outputs_free(struct outputs *outputs)
{
    if (outputs == NULL)
        return NULL;
    map_free(outputs->known);
    free(outputs);
    return NULL;
}

void outputs_forget(struct outputs *outputs)
{
    map_free(outputs->known);
    outputs->known = map_new();
    outputs->count = outputs->oldest = 0;
}

static struct view key_of(const struct triple *triple)
{
    return view_of(triple, sizeof *triple);
}

bool outputs_knows(const struct outputs *outputs, const struct digest *job, const struct digest *manifest,
                   const struct digest *tar)
{
    struct triple triple = {*job, *manifest, *tar};
    return map_get(outputs->known, key_of(&triple)) != NULL;
}

void outputs_add(struct outputs *outputs, const struct digest *job, const struct digest *manifest,
                 const struct digest *tar)
{
    struct triple triple = {*job, *manifest, *tar};
    if (map_get(outputs->known, key_of(&triple)) != NULL)
        return;
    struct triple *place = &outputs->kept[outputs->oldest];
    if (outputs->count == OUTPUTS_KEPT)
        (void)map_remove(outputs->known, key_of(place));
    else
        outputs->count++;
    *place = triple;
    outputs->oldest = (outputs->oldest + 1) % OUTPUTS_KEPT;
    map_set(outputs->known, key_of(place), outputs);
}
