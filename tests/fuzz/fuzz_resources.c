/* SPDX-License-Identifier: GPL-3.0-or-later */
/* resources.yml: read twice it is the same or has the same problems; what it says of any package can be given to a job. */
#include "fuzz.h"

#include "fuzz_yaml.h"
#include "lock.h"

static void check_table(const struct resource_table *table)
{
    const struct text_list *packages = resources_packages(table), *tiers = resources_tiers(table);
    FUZZ_CHECK(resources_base_tiers(table) != NULL && tiers != NULL);
    for (size_t i = 0; i < packages->count; i++) {
        struct resources of = resources_for(table, "base", packages->items[i].text);
        FUZZ_CHECK(of.jobs >= 1 && of.cores >= 1 && of.memory_bytes > 0 && of.disk_bytes > 0);
        FUZZ_CHECK(of.wall_seconds > 0);
    }
}

static void run(struct view input)
{
    struct problems problems = PROBLEMS_INIT, second = PROBLEMS_INIT;
    struct resource_table *table = NULL, *again = NULL;
    int result = resources_parse(input, "resources.yml", &table, &problems);
    FUZZ_CHECK(resources_parse(input, "resources.yml", &again, &second) == result);
    fuzz_check_problems(result, &problems, &second);
    FUZZ_CHECK((table != NULL) == (result >= 0));
    if (result >= 0)
        check_table(table);
    resources_free(table);
    resources_free(again);
}

const struct fuzz_target fuzz_target = {
    .run = run, .input_max = 8 * 1024, .heap_base = 2 << 20, .heap_factor = 4096};
