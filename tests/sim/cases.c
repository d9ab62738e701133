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
    {"recalled_and_repeated", 434, 0, 0, "loss,delay,twice,garble,crash,uploads,disk,clock,people,forget",
     "the wall clock was set back, a forgotten plan came back and was asked for from scratch in one "
     "millisecond: "
     "its rounds had begun then, and were taken for fresh ones"},
    {"nobody_left_to_ask", 202755, 0, 0, "delay,crash,machines,uploads,disk,revoke,people,forget",
     "the last operator that a job could ask was revoked while the job waited for it: the job stayed ready "
     "instead of halting"},
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
