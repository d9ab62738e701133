/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const double metrics_bounds[METRICS_BOUNDS] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                               0.1,    0.25,  0.5,    1,     2.5,  10};

static const char *const type_names[] = {[METRICS_COUNTER] = "counter",
                                         [METRICS_GAUGE] = "gauge",
                                         [METRICS_SUMMARY] = "summary",
                                         [METRICS_HISTOGRAM] = "histogram"};

void metrics_observe(struct metrics_histogram *histogram, double seconds)
{
    size_t i = 0;
    while (i < METRICS_BOUNDS && seconds > metrics_bounds[i])
        i++;
    histogram->buckets[i]++;
    histogram->sum += seconds;
}

/* Backslash and line feed, and in labels the quotation mark: all that the format escapes. */
static void add_escaped(struct buf *ret, const char *text, bool is_label)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            buf_add_text(ret, "\\n");
            continue;
        }
        if (*text == '\\' || (is_label && *text == '"'))
            buf_add_byte(ret, '\\');
        buf_add_byte(ret, *text);
    }
}

/* The shortest text that reads back as the same number. */
static void add_number(struct buf *ret, double number)
{
    char text[32];
    bool whole = number > -9007199254740992.0 && number < 9007199254740992.0 &&
                 (double)(int64_t)number == number; /* all of them are exact */
    snprintf(text, sizeof text, whole ? "%.0f" : "%.15g", number);
    if (strtod(text, NULL) != number)
        snprintf(text, sizeof text, "%.17g", number);
    buf_add_text(ret, text);
}

static void add_sample(struct buf *ret, const char *name, const char *suffix, double value)
{
    buf_add_format(ret, "%s%s ", name, suffix);
    add_number(ret, value);
    buf_add_byte(ret, '\n');
}

static void add_labelled(struct buf *ret, const struct metrics_row *row, size_t index, double value)
{
    buf_add_format(ret, "%s{%s=\"", row->name, row->label);
    add_escaped(ret, row->label_value(index), true);
    buf_add_text(ret, "\"} ");
    add_number(ret, value);
    buf_add_byte(ret, '\n');
}

static void add_histogram(struct buf *ret, const char *name, const struct metrics_histogram *histogram)
{
    double count = 0;
    for (size_t i = 0; i < METRICS_BOUNDS; i++) {
        count += histogram->buckets[i];
        buf_add_format(ret, "%s_bucket{le=\"", name);
        add_number(ret, metrics_bounds[i]);
        buf_add_text(ret, "\"} ");
        add_number(ret, count);
        buf_add_byte(ret, '\n');
    }
    count += histogram->buckets[METRICS_BOUNDS];
    add_sample(ret, name, "_bucket{le=\"+Inf\"}", count);
    add_sample(ret, name, "_sum", histogram->sum);
    add_sample(ret, name, "_count", count);
}

static bool is_known(const struct metrics_row *row, const double *values)
{
    size_t count = row->label != NULL ? row->count : 1;
    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            return true;
    return false;
}

static void add_values(struct buf *ret, const struct metrics_row *row, const double *values)
{
    if (row->label == NULL)
        add_sample(ret, row->name, "", values[0]);
    for (size_t i = 0; row->label != NULL && i < row->count; i++)
        if (!isnan(values[i]))
            add_labelled(ret, row, i, values[i]);
}

static void add_row(struct buf *ret, const struct metrics_row *row, const void *value)
{
    bool plain = row->type == METRICS_COUNTER || row->type == METRICS_GAUGE;
    if (plain && !is_known(row, value))
        return;
    buf_add_format(ret, "# HELP %s ", row->name);
    add_escaped(ret, row->help, false);
    buf_add_format(ret, "\n# TYPE %s %s\n", row->name, type_names[row->type]);
    switch (row->type) {
    case METRICS_COUNTER:
    case METRICS_GAUGE:
        add_values(ret, row, value);
        break;
    case METRICS_SUMMARY:
        add_sample(ret, row->name, "_sum", ((const struct metrics_sum *)value)->sum);
        add_sample(ret, row->name, "_count", ((const struct metrics_sum *)value)->count);
        break;
    case METRICS_HISTOGRAM:
        add_histogram(ret, row->name, value);
        break;
    }
}

void metrics_write(const struct metrics_row *rows, size_t nrows, const void *snapshot, struct buf *ret)
{
    for (size_t i = 0; i < nrows; i++)
        add_row(ret, &rows[i], (const char *)snapshot + rows[i].offset);
}
