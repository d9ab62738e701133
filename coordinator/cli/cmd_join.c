/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    puts(cli_text(body, "join"));
    if (!json_is_true(json_object_get(body, "root")))
        fputs("farmctl: no trust root is installed yet, so this string pins none\n", stderr);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 1)
        return cli_usage(cli, &cmd_join, "unexpected \"%s\"", argv[1]);
    return cli_ask_print(cli, "join", json_object(), print);
}

const struct cli_verb cmd_join = {
    .name = "join",
    .summary = "the string that a contributor gives to farm-worker init",
    .help = "Usage: farmctl join [--json]\n"
            "\n"
            "It names the address, pins this coordinator's key and the trust root, and holds no secret.\n",
    .run = run,
};
