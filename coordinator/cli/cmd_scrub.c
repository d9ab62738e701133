/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static int show(struct cli *cli, void *context, bool progress, json_t *body)
{
    (void)context;
    (void)progress;
    if (!cli->json && cli->terminal)
        fprintf(stderr, "\r%lld of %lld objects read", (long long)cli_number(body, "done"),
                (long long)cli_number(body, "of"));
    return 0;
}

static void print(struct cli *cli, const json_t *body)
{
    const json_t *pass = json_object_get(body, "pass");
    size_t index;
    json_t *row;
    if (cli->terminal)
        fputc('\n', stderr);
    if (cli_text(pass, "started")[0] != '\0')
        printf("pass under way since %s: %lld of %lld objects read, %lld damaged\n",
               cli_text(pass, "started"), (long long)cli_number(pass, "done"),
               (long long)cli_number(pass, "of"), (long long)cli_number(pass, "damaged"));
    printf("last whole pass: %s\n", cli_text(body, "last")[0] != '\0' ? cli_text(body, "last") : "none yet");
    json_array_foreach(json_object_get(body, "lost"), index, row)
    {
        CLEANUP_FREE char *holders = cli_join(json_object_get(row, "holders"));
        cli_put(cli, CLI_BAD, "lost");
        printf("  %s, found %s\n    of %s", cli_text(row, "object"), cli_text(row, "found"), holders);
        if (cli_text(row, "node")[0] != '\0')
            printf(": %s", cli_text(row, "node"));
        printf("\n    %s\n", cli_text(row, "do"));
    }
    if (cli_number(body, "lost_count") == 0)
        puts("every object that the database names is there");
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"now", no_argument, NULL, 'n'}, {"accept-loss", required_argument, NULL, 'a'}, {NULL, 0, NULL, 0}};
    const char *lost = NULL;
    bool now = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option == 'a')
            lost = optarg;
        else if (option == 'n')
            now = true;
        else
            return cli_usage(cli, &cmd_scrub, "see the options below");
    }
    if (argc != optind)
        return cli_usage(cli, &cmd_scrub, "unexpected \"%s\"", argv[optind]);
    return cli_ask_follow(cli, "scrub", json_pack("{s:b, s:s*}", "now", (int)now, "accept_loss", lost), show,
                          print);
}

const struct cli_verb cmd_scrub = {
    .name = "scrub",
    .summary = "bit rot: what was read, what is lost, what brings it back",
    .help = "Usage: farmctl scrub [--now] [--accept-loss OBJECT] [--json]\n"
            "\n"
            "      --now                 read every object now, at full speed, and wait for the end\n"
            "      --accept-loss OBJECT  of one that nothing needs and nobody can bring back, a build log: "
            "it is listed no more\n"
            "\n"
            "The coordinator reads every object that its database names once in scrub_interval. What is "
            "damaged is moved aside and\n"
            "never served; sources are fetched again by themselves, and what was agreed on is built again. "
            "Exit status 1 while\n"
            "something is lost.\n",
    .run = run,
};
