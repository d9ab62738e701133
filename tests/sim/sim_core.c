/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * sim_core [--seeds N] [--from S] [--seed S] [--jobs N] [--workers N] [--plant N] [--expect-failure] [--verbose]
 *
 * Runs N seeds from S on (default 100 from 1). Exit status 0: all held; 1: an invariant broke, with the seed and how to
 * replay it; 2: usage. With --plant N a known mistake is made, to show that the simulator finds it.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static int usage(void)
{
    fputs("usage: sim_core [--seeds N] [--from S] [--seed S] [--jobs N] [--workers N] [--plant 1-5] "
          "[--verbose]\n",
          stderr);
    return FARM_EXIT_CANNOT_RUN;
}

int main(int argc, char **argv)
{
    struct sim_options options = {.jobs = 25, .workers = 10};
    uint64_t seeds = 100, from = 1;
    for (int i = 1; i < argc; i++) {
        uint64_t number = 0;
        if (strcmp(argv[i], "--verbose") == 0) {
            options.verbose = true;
            continue;
        }
        if (i + 1 >= argc || !view_decimal(view_text(argv[i + 1]), &number))
            return usage();
        if (strcmp(argv[i], "--seeds") == 0)
            seeds = number;
        else if (strcmp(argv[i], "--from") == 0)
            from = number;
        else if (strcmp(argv[i], "--seed") == 0)
            from = number, seeds = 1;
        else if (strcmp(argv[i], "--jobs") == 0 && number > 0 && number < 100000)
            options.jobs = (uint32_t)number;
        else if (strcmp(argv[i], "--workers") == 0 && number > 0 && number < 100000)
            options.workers = (uint32_t)number;
        else if (strcmp(argv[i], "--plant") == 0 && number < PLANT_LAST)
            options.plant = (enum plant)number;
        else
            return usage();
        i++;
    }
    struct sim totals = {0};
    for (uint64_t seed = from; seed < from + seeds; seed++) {
        options.seed = seed;
        world_run(&options, &totals);
    }
    printf("%llu seeds held: %zu steps, %zu answers (%zu late), %zu verdicts told (%zu disputed), %zu "
           "answers voided "
           "(%zu verdicts reopened by it), %zu forgeries, %zu coordinator crashes\n",
           (unsigned long long)seeds, totals.steps, totals.answers, totals.late, totals.verdicts,
           totals.disputes, totals.voided, totals.reopened, totals.forgeries, totals.crashes);
    return FARM_EXIT_OK;
}
