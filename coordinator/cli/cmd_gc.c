/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("removed %lld objects, %lld bytes; %lld checked-out package trees; dropped %lld plans\n",
           (long long)cli_number(body, "removed"), (long long)cli_number(body, "bytes"),
           (long long)cli_number(body, "trees"), (long long)cli_number(body, "plans"));
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 1)
        return cli_usage(cli, &cmd_gc, "unexpected \"%s\"", argv[1]);
    return cli_ask_print(cli, "collect", json_object(), print);
}

const struct cli_verb cmd_gc = {
    .name = "gc",
    .summary = "remove objects that nothing names",
    .help =
        "Usage: farmctl gc [--json]\n"
        "\n"
        "Keeps everything that a plan, an answer, a base, a source or a release names, and everything "
        "younger than\n"
        "collect_grace. Checked-out package trees of plans that are not in memory go as well; they are made "
        "again from their\n"
        "packs. Before that, plans that ended longer than keep_finished ago are dropped, unless a draft or "
        "release is of\n"
        "them: what was built for them alone goes as well.\n",
    .run = run,
};
