/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bench: what every program of figures shares. A figure is one JSON line on standard output,
 *
 *     {"name": "log_append", "value": 1.8, "unit": "us/entry", "ratio": 2.2, "reference": "writing as many files"}
 *
 * where 'ratio' is the value against that of the reference, measured in the same run, so that it means the same on a busy
 * machine as on an idle one. No figure is ever asserted.
 */
#ifndef FARM_BENCH_H
#define FARM_BENCH_H

#include <stdint.h>

/* Steady wall time, and the processor time of this process and of its children that were waited for; in seconds. */
double bench_wall(void);
double bench_cpu(void);

/* Prints one figure and flushes. 'reference' NULL: there is none, and 'ratio' is left out. */
void bench_print(const char *name, double value, const char *unit, double ratio, const char *reference);

/* A repeatable generator (splitmix64); the seed is the state. */
uint64_t bench_random(uint64_t *state);

/* The p-th percentile (0 to 100) of 'count' values, which are sorted in place. */
double bench_percentile(double *values, int count, double p);

#endif
