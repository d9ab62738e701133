/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    fputs(cli_text(body, "metrics"), stdout);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 1)
        return cli_usage(cli, &cmd_metrics, "unexpected \"%s\"", argv[1]);
    return cli_ask_print(cli, "metrics", json_object(), print);
}

const struct cli_verb cmd_metrics = {
    .name = "metrics",
    .summary = "figures of the coordinator in Prometheus' text format",
    .help =
        "Usage: farmctl metrics [--json]\n"
        "\n"
        "The same as GET /metrics, which [web] listen in farm.conf turns on; for the textfile collector of "
        "node_exporter, and to look.\n"
        "The operators' guide explains what to watch.\n",
    .run = run,
};
