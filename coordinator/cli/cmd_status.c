/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status_view.h"

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"all", no_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    bool all = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1; all = true)
        if (option != 'a')
            return cli_usage(cli, &cmd_status, "see the options below");
    if (argc != optind)
        return cli_usage(cli, &cmd_status, "unexpected \"%s\"", argv[optind]);
    return cli_ask_print(cli, "status", json_pack("{s:b}", "all", (int)all), status_view_print);
}

const struct cli_verb cmd_status = {
    .name = "status",
    .summary = "what waits, what runs, what disagrees, and why",
    .help = "Usage: farmctl status [--all] [--json]\n"
            "\n"
            "      --all  every plan, not only those that run and the newest\n"
            "\n"
            "One screen: plans, running builds, disputes with the rival answers, failures with the last "
            "lines of\n"
            "their logs and what they block. \"farmctl why JOB\" goes into one job.\n",
    .run = run,
};
