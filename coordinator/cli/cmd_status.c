/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status_view.h"

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 1)
        return cli_usage(cli, &cmd_status, "unexpected \"%s\"", argv[1]);
    return cli_ask_print(cli, "status", json_object(), status_view_print);
}

const struct cli_verb cmd_status = {
    .name = "status",
    .summary = "what waits, what runs, what disagrees, and why",
    .help = "Usage: farmctl status [--json]\n"
            "\n"
            "One screen: plans, running builds, disputes with the rival answers, failures with the last "
            "lines of\n"
            "their logs and what they block. \"farmctl why JOB\" goes into one job.\n",
    .run = run,
};
