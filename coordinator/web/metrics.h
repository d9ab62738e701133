/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Metrics: numbers as text, in Prometheus' exposition format 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
 *
 * What there is stands in one table of rows; what its values are stands in a plain struct of doubles (the snapshot). Writing is a pure
 * function of both, so a snapshot can be taken by one thread and read by another. Labels are enums' names: their number is bounded by
 * the program, never by what strangers send.
 */
#ifndef FARM_METRICS_H
#define FARM_METRICS_H

#include "buf.h"

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum metrics_type {
    METRICS_COUNTER,  /* double, or an array of them; the name ends in _total */
    METRICS_GAUGE,    /* the same; may fall */
    METRICS_SUMMARY,  /* struct metrics_sum */
    METRICS_HISTOGRAM /* struct metrics_histogram */
};

/* Upper bounds in seconds; the last bucket, +Inf, is not listed. From half of a millisecond, below which nobody waits, to what is an outage. */
extern const double metrics_bounds[];
enum { METRICS_BOUNDS = 13 };

struct metrics_histogram {
    double sum;
    double buckets[METRICS_BOUNDS + 1]; /* not cumulative */
};
struct metrics_sum {
    double sum, count;
};
void metrics_observe(struct metrics_histogram *histogram, double seconds);

struct metrics_row {
    const char *name, *help;
    enum metrics_type type;
    size_t offset; /* of the value in the snapshot */
    /* Of an array: its label, the label's value for each index, and how many there are. NULL: one value. */
    const char *label;
    const char *(*label_value)(size_t index);
    size_t count;
};

/* Appends every row with its HELP and TYPE. A value that is NAN is not known: it is left out, and so is a row that has no other. */
void metrics_write(const struct metrics_row *rows, size_t nrows, const void *snapshot, struct buf *ret);

#endif
