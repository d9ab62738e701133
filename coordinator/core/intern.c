/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "intern.h"

#include <stdlib.h>

/* Field by field into zeroed memory: padding would make equal values differ. */
static struct rules *clean_rules(const struct rules *from)
{
    struct rules *rules = mem_zero(1, sizeof *rules);
    rules->quorum = from->quorum;
    rules->anchors = from->anchors;
    rules->distinct = from->distinct;
    rules->margin = from->margin;
    rules->max_attempts = from->max_attempts > 0 ? from->max_attempts : 1;
    rules->open_votes = from->open_votes;
    rules->hold = from->hold;
    rules->evidence = from->evidence;
    rules->setuid = from->setuid;
    return rules;
}

/* Takes 'value', and returns the one that stays. */
static void *intern(struct map *map, void *value, struct view key)
{
    void *known = map_get(map, key);
    if (known != NULL) {
        free(value);
        return known;
    }
    map_set(map, key, value);
    return value;
}

const struct rules *intern_rules(struct core *core, const struct rules *from)
{
    struct rules *rules = clean_rules(from);
    return intern(core->rules, rules, view_of(rules, sizeof *rules));
}

const struct demand *intern_demand(struct core *core, const struct core_needs *needs)
{
    struct {
        uint64_t memory_bytes, disk_bytes, cores;
    } key = {needs->memory_bytes, needs->disk_bytes, needs->cores};
    struct demand *demand = mem_zero(1, sizeof *demand);
    demand->memory_bytes = needs->memory_bytes;
    demand->disk_bytes = needs->disk_bytes;
    demand->cores = needs->cores;
    demand->index = (uint32_t)map_count(core->demands);
    return intern(core->demands, demand, view_of(&key, sizeof key));
}

uint32_t intern_text(struct core *core, const char *text)
{
    if (text == NULL)
        return 0;
    uint32_t *number = map_get(core->texts, view_text(text));
    if (number == NULL) {
        number = mem_alloc(sizeof *number);
        *number = ++core->text_count;
        map_set(core->texts, view_text(text), number);
    }
    return *number;
}

static void free_values(struct map *map)
{
    struct view key;
    void *value;
    for (size_t cursor = 0; map_next(map, &cursor, &key, &value);)
        free(value);
    map_free(map);
}

void intern_done(struct core *core)
{
    free_values(core->rules);
    free_values(core->demands);
    free_values(core->texts);
}
