/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lock.h"

#include "names.h"
#include "ruleset.h"

#include <stdlib.h>

enum resource_field {
    GIVES_JOBS = 1,
    GIVES_CORES = 2,
    GIVES_MEMORY = 4,
    GIVES_DISK = 8,
    GIVES_WALL = 16,
    GIVES_PRIORITY = 32
};

enum {
    CORES_MAX = 4096,              /* no machine has more */
    WALL_SECONDS_MAX = 14 * 86400, /* two weeks: a lease that long is a mistake */
    PRIORITY_MAX = 1000000000
};

struct resource_rule {
    struct match match;
    unsigned int given;
    struct resources values;
};

struct resource_table {
    struct resources defaults;
    struct text_list tiers, base_tiers, packages;
    struct resource_rule *rules;
    size_t nrules;
};

/* The public tree's tiers, in the order of its phases. */
static const char *const default_tiers[] = {"toolchain", "core", "base", "desktop", "extra", "compute", "ai"};
static const char *const default_base[] = {"toolchain", "core", "base"};

struct resource_table *resources_free(struct resource_table *table)
{
    if (table == NULL)
        return NULL;
    for (size_t i = 0; i < table->nrules; i++)
        match_done(&table->rules[i].match);
    free(table->rules);
    text_list_done(&table->tiers);
    text_list_done(&table->base_tiers);
    text_list_done(&table->packages);
    free(table);
    return NULL;
}

static struct resource_table *table_new(void)
{
    struct resource_table *table = mem_zero(1, sizeof *table);
    table->defaults = (struct resources){.jobs = 2,
                                         .cores = 2,
                                         .memory_bytes = (uint64_t)2 << 30,
                                         .disk_bytes = (uint64_t)8 << 30,
                                         .wall_seconds = 3600};
    return table;
}

static void fill_tiers(struct resource_table *table, bool tiers, bool base_tiers)
{
    for (size_t i = 0; tiers && i < ARRAY_SIZE(default_tiers); i++)
        text_list_add(&table->tiers, view_text(default_tiers[i]), 0);
    for (size_t i = 0; base_tiers && i < ARRAY_SIZE(default_base); i++)
        text_list_add(&table->base_tiers, view_text(default_base[i]), 0);
}

struct resource_table *resources_default(void)
{
    struct resource_table *table = table_new();
    fill_tiers(table, true, true);
    return table;
}

const struct text_list *resources_packages(const struct resource_table *table)
{
    return &table->packages;
}

const struct text_list *resources_base_tiers(const struct resource_table *table)
{
    return &table->base_tiers;
}

const struct text_list *resources_tiers(const struct resource_table *table)
{
    return &table->tiers;
}

static void apply(const struct resource_rule *rule, struct resources *resources)
{
    const struct resources *from = &rule->values;
    if (rule->given & GIVES_JOBS)
        resources->jobs = from->jobs;
    if (rule->given & GIVES_CORES)
        resources->cores = from->cores;
    if (rule->given & GIVES_MEMORY)
        resources->memory_bytes = from->memory_bytes;
    if (rule->given & GIVES_DISK)
        resources->disk_bytes = from->disk_bytes;
    if (rule->given & GIVES_WALL)
        resources->wall_seconds = from->wall_seconds;
    if (rule->given & GIVES_PRIORITY)
        resources->priority = from->priority;
}

struct resources resources_for(const struct resource_table *table, const char *tier, const char *package)
{
    struct resources resources = table->defaults;
    for (size_t i = 0; i < table->nrules; i++)
        if (match_holds(&table->rules[i].match, tier, package, "package"))
            apply(&table->rules[i], &resources);
    return resources;
}

static bool read_priority(struct reader *reader, const struct yamlnode *node, int32_t *ret)
{
    uint64_t number;
    bool negative = node->kind == NODE_TEXT && view_starts(node->text, VIEW("-"));
    struct view digits = negative ? view_of(node->text.data + 1, node->text.size - 1) : node->text;
    if (node->kind != NODE_TEXT || !view_decimal(digits, &number) || number > PRIORITY_MAX) {
        reader_problem(reader, node->line, "bad-value", "priority must be a whole number from -%d to %d",
                       PRIORITY_MAX, PRIORITY_MAX);
        return false;
    }
    *ret = negative ? -(int32_t)number : (int32_t)number;
    return true;
}

static bool read_count(struct reader *reader, const struct yamlnode *node, const char *what, uint32_t *ret)
{
    uint64_t number;
    if (!reader_number(reader, node, what, 1, CORES_MAX, &number))
        return false;
    *ret = (uint32_t)number;
    return true;
}

static void read_split(struct reader *reader, const struct yamlnode *node)
{
    if (node != NULL && !(node->kind == NODE_TEXT && view_equal(node->text, VIEW("none"))))
        reader_problem(reader, node->line, "bad-value",
                       "split must be \"none\"; this version divides no job");
}

static void read_values(struct reader *reader, const struct yamlnode *node, const char *what,
                        struct resource_rule *rule)
{
    static const char *const keys[] = {"jobs", "cores", "memory", "disk", "wall", "split", "priority", NULL};
    struct resources *values = &rule->values;
    const struct yamlnode *item;
    uint64_t seconds;
    if (!reader_map(reader, node, what))
        return;
    reader_only_keys(reader, node, what, keys);
    read_split(reader, yamlnode_get(node, "split"));
    if ((item = yamlnode_get(node, "jobs")) != NULL && read_count(reader, item, "jobs", &values->jobs))
        rule->given |= GIVES_JOBS;
    if ((item = yamlnode_get(node, "cores")) != NULL && read_count(reader, item, "cores", &values->cores))
        rule->given |= GIVES_CORES;
    if ((item = yamlnode_get(node, "memory")) != NULL &&
        reader_bytes(reader, item, "memory", &values->memory_bytes))
        rule->given |= GIVES_MEMORY;
    if ((item = yamlnode_get(node, "disk")) != NULL &&
        reader_bytes(reader, item, "disk", &values->disk_bytes))
        rule->given |= GIVES_DISK;
    if ((item = yamlnode_get(node, "wall")) != NULL &&
        reader_seconds(reader, item, "wall", WALL_SECONDS_MAX, &seconds)) {
        values->wall_seconds = (uint32_t)seconds;
        rule->given |= GIVES_WALL;
    }
    if ((item = yamlnode_get(node, "priority")) != NULL && read_priority(reader, item, &values->priority))
        rule->given |= GIVES_PRIORITY;
}

static void read_rule(struct reader *reader, const struct yamlnode *node, struct resource_table *table)
{
    static const char *const keys[] = {"match", "set", NULL};
    struct resource_rule *rule = &table->rules[table->nrules++];
    if (!reader_map(reader, node, "a rule"))
        return;
    reader_only_keys(reader, node, "rule", keys);
    const struct yamlnode *match = yamlnode_get(node, "match"), *set = yamlnode_get(node, "set");
    if (match == NULL || set == NULL) {
        reader_problem(reader, node->line, "missing-key", "a rule needs \"match\" and \"set\"");
        return;
    }
    match_read(reader, match, false, &rule->match, &table->packages);
    read_values(reader, set, "set", rule);
}

static void read_tiers(struct reader *reader, const struct yamlnode *root, struct resource_table *table)
{
    const struct yamlnode *tiers = yamlnode_get(root, "tiers"), *base = yamlnode_get(root, "base_tiers");
    if (tiers != NULL)
        reader_texts(reader, tiers, "tiers", 100, name_is_plain, "a tier's name", &table->tiers);
    if (base != NULL)
        reader_texts(reader, base, "base_tiers", 100, name_is_plain, "a tier's name", &table->base_tiers);
    fill_tiers(table, tiers == NULL, base == NULL);
    for (size_t i = 0; base != NULL && i < table->base_tiers.count; i++)
        if (!text_list_has(&table->tiers, view_text(table->base_tiers.items[i].text)))
            reader_problem(reader, table->base_tiers.items[i].line, "unknown-tier",
                           "base_tiers names \"%s\", which is no tier; list it under \"tiers\" too",
                           table->base_tiers.items[i].text);
}

static void read_table(struct reader *reader, const struct yamlnode *root, struct resource_table *table)
{
    static const char *const keys[] = {"version", "tiers", "base_tiers", "defaults", "rules", NULL};
    struct resource_rule all = {0};
    reader_only_keys(reader, root, "resources", keys);
    reader_version(reader, root);
    read_tiers(reader, root, table);
    const struct yamlnode *defaults = yamlnode_get(root, "defaults"), *rules = yamlnode_get(root, "rules");
    if (!yamlnode_is_null(defaults))
        read_values(reader, defaults, "defaults", &all);
    apply(&all, &table->defaults);
    if (!reader_list(reader, rules, "rules", RULESET_MAX))
        return;
    table->rules = mem_zero(rules->count, sizeof *table->rules);
    for (const struct yamlnode *node = rules->first; node != NULL; node = node->next)
        read_rule(reader, node, table);
}

int resources_parse(struct view text, const char *file, struct resource_table **ret,
                    struct problems *problems)
{
    struct yamldoc *doc = NULL;
    struct yamlnode_limits limits = {RESOURCES_FILE_MAX, RESOURCES_FILE_MAX / 16, RECIPE_DEPTH_MAX,
                                     RECIPE_TEXT_MAX};
    int status = yamldoc_read(text, file, limits, &doc, problems);
    if (status < 0)
        return status;
    struct reader reader = {.file = file, .problems = problems};
    struct resource_table *table = table_new();
    if (reader_map(&reader, yamldoc_root(doc), "the file"))
        read_table(&reader, yamldoc_root(doc), table);
    yamldoc_free(doc);
    if (reader.found > 0) {
        resources_free(table);
        return FARM_E_REFUSED;
    }
    *ret = table;
    return 0;
}

int resources_from_json(const json_t *value, const char *name, struct resources *ret, struct diag *diag)
{
    static const char *const keys[] = {"jobs", "cores", "memory", "disk", "wall", "priority", NULL};
    static const int64_t least[] = {1, 1, 1, 1, 1, -PRIORITY_MAX};
    static const int64_t greatest[] = {CORES_MAX,        CORES_MAX,        (int64_t)1 << 50,
                                       (int64_t)1 << 50, WALL_SECONDS_MAX, PRIORITY_MAX};
    int64_t numbers[ARRAY_SIZE(least)];
    int status = json_only_keys(value, name, keys, diag);
    for (size_t i = 0; status >= 0 && i < ARRAY_SIZE(numbers); i++) {
        status = json_get_number(value, name, keys[i], &numbers[i], diag);
        if (status >= 0 && (numbers[i] < least[i] || numbers[i] > greatest[i]))
            status = diag_set(diag, FARM_E_SYNTAX, "%s: \"%s\" is out of range", name, keys[i]);
    }
    if (status < 0)
        return status;
    *ret = (struct resources){.jobs = (uint32_t)numbers[0],
                              .cores = (uint32_t)numbers[1],
                              .memory_bytes = (uint64_t)numbers[2],
                              .disk_bytes = (uint64_t)numbers[3],
                              .wall_seconds = (uint32_t)numbers[4],
                              .priority = (int32_t)numbers[5]};
    return 0;
}
