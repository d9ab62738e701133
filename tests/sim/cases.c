/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cases.h"

static const struct sim_case cases[] = {
    {"clock_back_lease", 1, 0, 0, "crash,clock,people,delay",
     "the wall clock was set back while a lease lived: after a restart its deadline was that much later"},
    {"clock_back_round", 18, 0, 0, "crash,clock,people,delay",
     "after a restart a round had begun in the future, and --from-scratch took it for a fresh one"},
    {"clock_back_request", 234, 0, 0, "crash,clock,people,delay",
     "after a restart --from-scratch had been asked for in the future: rounds that it began were newer than "
     "the next request"},
};

const struct sim_case *case_at(size_t index)
{
    return index < ARRAY_SIZE(cases) ? &cases[index] : NULL;
}

const struct sim_case *case_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        if (strcmp(cases[i].name, name) == 0)
            return &cases[i];
    return NULL;
}
