/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%.12s is %s\n", cli_text(body, "plan"), cli_text(body, "state"));
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 2)
        return cli_usage(cli, &cmd_cancel, "expected one plan");
    return cli_ask_print(cli, "cancel", json_pack("{s:s}", "plan", argv[1]), print);
}

const struct cli_verb cmd_cancel = {
    .name = "cancel",
    .summary = "stop a plan; what was answered stays",
    .help = "Usage: farmctl cancel PLAN [--json]\n"
            "\n"
            "Its leases are withdrawn. \"farmctl build PLAN\" starts it again where it stopped.\n",
    .run = run,
};
