/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"JOB",     "VERSION", "STATE", "ANSWERS",
                                         "DISSENT", "LEASES",  "SINCE", "KEY"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 2};
    size_t index;
    json_t *job;
    json_array_foreach(json_object_get(body, "jobs"), index, job)
    {
        CLEANUP_FREE char *key = cli_cell(job, "key");
        cli_table_add(&table, cli_cell(job, "node"));
        cli_table_add(&table, cli_cell(job, "version"));
        cli_table_add(&table, cli_cell(job, "state"));
        cli_table_add(&table, mem_format("%lld/%lld", (long long)cli_number(job, "operators"),
                                         (long long)cli_number(job, "quorum")));
        cli_table_add(&table, cli_cell(job, "dissent"));
        cli_table_add(&table, cli_cell(job, "leases"));
        cli_table_add(&table, cli_cell(job, "since"));
        cli_table_add(&table, mem_format("%.12s", key));
    }
    if (index == 0)
        puts("No jobs.");
    else
        cli_table_print(cli, &table);
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"plan", required_argument, NULL, 'p'}, {"state", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    json_t *params = json_object();
    for (int option; (option = getopt_long(argc, argv, "p:s:", options, NULL)) != -1;) {
        if (option == 'p' || option == 's') {
            json_object_set_new(params, option == 'p' ? "plan" : "state", json_string(optarg));
            continue;
        }
        json_decref(params);
        return cli_usage(cli, &cmd_jobs, "see the options below");
    }
    return cli_ask_print(cli, "jobs", params, print);
}

const struct cli_verb cmd_jobs = {
    .name = "jobs",
    .summary = "every job of a plan and its state",
    .help =
        "Usage: farmctl jobs [--plan PLAN] [--state STATE] [--json]\n"
        "\n"
        "  -p, --plan PLAN    of this plan only (at least 6 digits of its id); else of the plans in memory\n"
        "  -s, --state STATE  planned, waiting, ready, running, agreed, disputed, failed, halted or blocked\n"
        "\n"
        "ANSWERS counts the operators behind the leading answer, and the quorum.\n",
    .run = run,
};
