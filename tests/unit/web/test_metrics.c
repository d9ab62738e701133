/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "metrics.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct snapshot {
    double one, many[3], unknown;
    struct metrics_sum sum;
    struct metrics_histogram histogram;
};

static const char *label(size_t i)
{
    static const char *const names[] = {"plain", "a\"b\\c", "two\nlines"};
    return names[i];
}

static void expect_text(const struct metrics_row *row, const struct snapshot *snapshot, const char *wanted)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    metrics_write(row, 1, snapshot, &text);
    assert_string_equal(text.size > 0 ? text.data : "", wanted);
}

static void test_a_number(void **state)
{
    const struct metrics_row row = {.name = "n_bytes",
                                    .help = "A \"help\" with \\ and\na line.",
                                    .type = METRICS_GAUGE,
                                    .offset = offsetof(struct snapshot, one)};
    (void)state;
    const struct {
        double value;
        const char *text;
    } cases[] = {{0, "0"},
                 {-3, "-3"},
                 {9007199254740990.0, "9007199254740990"},
                 {0.1, "0.1"},
                 {1.0 / 3, "0.33333333333333331"},
                 {1795392220.29, "1795392220.29"},
                 {123456789012.0, "123456789012"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct snapshot snapshot = {.one = cases[i].value};
        CLEANUP_FREE char *wanted = mem_format(
            "# HELP n_bytes A \"help\" with \\\\ and\\na line.\n# TYPE n_bytes gauge\nn_bytes %s\n",
            cases[i].text);
        expect_text(&row, &snapshot, wanted);
    }
}

static void test_labels_are_escaped_and_the_unknown_is_left_out(void **state)
{
    struct metrics_row row = {.name = "n_total",
                              .help = "h",
                              .type = METRICS_COUNTER,
                              .offset = offsetof(struct snapshot, many),
                              .label = "l",
                              .label_value = label,
                              .count = 3};
    struct snapshot snapshot = {.many = {1, 2, 3}, .unknown = NAN};
    (void)state;
    expect_text(
        &row, &snapshot,
        "# HELP n_total h\n# TYPE n_total counter\nn_total{l=\"plain\"} 1\nn_total{l=\"a\\\"b\\\\c\"} 2\n"
        "n_total{l=\"two\\nlines\"} 3\n");
    snapshot.many[0] = snapshot.many[2] = NAN;
    expect_text(&row, &snapshot, "# HELP n_total h\n# TYPE n_total counter\nn_total{l=\"a\\\"b\\\\c\"} 2\n");
    row.label = NULL;
    row.offset = offsetof(struct snapshot, unknown);
    expect_text(&row, &snapshot, ""); /* nor a name without a value */
}

static void test_a_histogram_is_cumulative(void **state)
{
    const struct metrics_row row = {.name = "t_seconds",
                                    .help = "h",
                                    .type = METRICS_HISTOGRAM,
                                    .offset = offsetof(struct snapshot, histogram)};
    struct snapshot snapshot = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    (void)state;
    metrics_observe(&snapshot.histogram, 0.0005); /* a bound belongs to its bucket */
    metrics_observe(&snapshot.histogram, 0.002);
    metrics_observe(&snapshot.histogram, 100);
    metrics_write(&row, 1, &snapshot, &text);
    assert_non_null(strstr(text.data, "# TYPE t_seconds histogram\nt_seconds_bucket{le=\"0.0005\"} 1\n"));
    assert_non_null(strstr(text.data, "{le=\"0.001\"} 1\n"));
    assert_non_null(strstr(text.data, "{le=\"0.0025\"} 2\n"));
    assert_non_null(strstr(text.data, "{le=\"10\"} 2\nt_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text.data, "t_seconds_sum 100.0025\nt_seconds_count 3\n"));
}

static void test_a_summary(void **state)
{
    const struct metrics_row row = {
        .name = "t_seconds", .help = "h", .type = METRICS_SUMMARY, .offset = offsetof(struct snapshot, sum)};
    const struct snapshot snapshot = {.sum = {.sum = 1.5, .count = 4}};
    (void)state;
    expect_text(&row, &snapshot,
                "# HELP t_seconds h\n# TYPE t_seconds summary\nt_seconds_sum 1.5\nt_seconds_count 4\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_number),
        cmocka_unit_test(test_labels_are_escaped_and_the_unknown_is_left_out),
        cmocka_unit_test(test_a_histogram_is_cumulative),
        cmocka_unit_test(test_a_summary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
