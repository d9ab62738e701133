/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

double bench_wall(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double used(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

double bench_cpu(void)
{
    return used(RUSAGE_SELF) + used(RUSAGE_CHILDREN);
}

void bench_print(const char *name, double value, const char *unit, double ratio, const char *reference)
{
    printf("{\"name\": \"%s\", \"value\": %.6g, \"unit\": \"%s\"", name, value, unit);
    if (reference)
        printf(", \"ratio\": %.4g, \"reference\": \"%s\"", ratio, reference);
    puts("}");
    fflush(stdout);
}

uint64_t bench_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

static int ascending(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double bench_percentile(double *values, int count, double p)
{
    assert(count > 0 && p >= 0 && p <= 100);
    qsort(values, (size_t)count, sizeof *values, ascending);
    int index = (int)(p / 100 * count);
    return values[index < count ? index : count - 1];
}
