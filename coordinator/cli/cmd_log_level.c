/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    puts(cli_text(body, "level"));
}

static int run(struct cli *cli, int argc, char **argv)
{
    json_t *params = json_object();
    if (argc > 2) {
        json_decref(params);
        return cli_usage(cli, &cmd_log_level, "unexpected \"%s\"", argv[2]);
    }
    if (argc == 2)
        json_object_set_new(params, "level", json_string(argv[1]));
    return cli_ask_print(cli, "log.level", params, print);
}

const struct cli_verb cmd_log_level = {
    .name = "log-level",
    .summary = "show or set how much the coordinator logs",
    .help =
        "Usage: farmctl log-level [error|warning|info|debug] [--json]\n"
        "\n"
        "Without a level: prints the one of now. A level that is set holds at once, and until the "
        "coordinator "
        "is started again or\n"
        "reads its configuration again (SIGHUP, \"systemctl reload farm-coordinator\"), which log_level in "
        "farm.conf then decides.\n",
    .run = run,
};
