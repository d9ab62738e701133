/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "effects.h"

#include <stdlib.h>

/* A list grown by one large plan is given back; ordinary steps have a handful of effects. */
enum { EFFECTS_KEPT_MAX = 4096 };

struct core_effect *effects_add(struct core *core, enum core_effect_type type)
{
    struct core_effects *effects = core->effects;
    effects->items =
        mem_reserve(effects->items, &effects->capacity, effects->count + 1, sizeof *effects->items);
    struct core_effect *effect = &effects->items[effects->count++];
    memset(effect, 0, sizeof *effect);
    effect->type = type;
    return effect;
}

void core_effects_clear(struct core_effects *effects)
{
    for (size_t i = 0; i < effects->count; i++) {
        free(effects->items[i].payloads);
        free(effects->items[i].verdict);
        free(effects->items[i].name);
        free(effects->items[i].text);
    }
    effects->count = 0;
    if (effects->capacity > EFFECTS_KEPT_MAX)
        core_effects_done(effects);
}

void core_effects_done(struct core_effects *effects)
{
    if (effects->count > 0)
        core_effects_clear(effects);
    free(effects->items);
    *effects = (struct core_effects)CORE_EFFECTS_INIT;
}
