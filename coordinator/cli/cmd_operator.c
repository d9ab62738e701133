/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%s gets leases again\n", cli_text(body, "operator"));
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 3 || strcmp(argv[1], "clear") != 0)
        return cli_usage(cli, &cmd_operator, "expected: clear OPERATOR");
    return cli_ask_print(cli, "operator.clear", json_pack("{s:s}", "operator", argv[2]), print);
}

const struct cli_verb cmd_operator = {
    .name = "operator",
    .summary = "give a flagged operator leases again, after you looked",
    .help = "Usage: farmctl operator clear OPERATOR\n"
            "\n"
            "An operator that was outvoted repeatedly, or gave two answers to one job, gets no leases until "
            "somebody\n"
            "looked. Nothing of what it answered changes by this.\n",
    .run = run,
};
