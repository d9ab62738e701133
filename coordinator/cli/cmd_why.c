/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    const char *state = cli_text(body, "state");
    printf("%s %s: ", cli_text(body, "node"), cli_text(body, "version"));
    cli_put(cli, cli_state_colour(state), state);
    printf("\n%s", cli_text(body, "why"));
    if (!view_ends(view_text(cli_text(body, "why")), VIEW("\n")))
        putchar('\n');
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 2)
        return cli_usage(cli, &cmd_why, "expected one job");
    return cli_ask_print(cli, "why", json_pack("{s:s}", "job", argv[1]), print);
}

const struct cli_verb cmd_why = {
    .name = "why",
    .summary = "why a job is where it is, in plain words",
    .help = "Usage: farmctl why JOB [--json]\n"
            "\n"
            "JOB is a name, tier/name, PLAN/tier/name or a job key. Says what it waits for, who was asked, "
            "who answered\n"
            "what, who could still be asked, and why nobody is.\n",
    .run = run,
};
