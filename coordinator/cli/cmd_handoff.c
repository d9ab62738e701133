/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

int cli_show_waiting(struct cli *cli, void *context, bool progress, json_t *body)
{
    const json_t *log = json_object_get(body, "log"), *checkpoint = json_object_get(log, "checkpoint");
    size_t index;
    json_t *row;
    (void)context;
    (void)progress;
    if (cli->json)
        return 0;
    fprintf(stderr, "waiting for cosignatures: %zu of %lld on the checkpoint of size %lld, still without:",
            json_array_size(json_object_get(checkpoint, "cosigned")), (long long)cli_number(log, "threshold"),
            (long long)cli_number(checkpoint, "size"));
    json_array_foreach(json_object_get(log, "missing"), index, row)
        fprintf(stderr, "%s %s", index > 0 ? "," : "", cli_text(row, "operator"));
    fputc('\n', stderr);
    return 0;
}

static void print(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *note;
    cli_put(cli, CLI_GOOD, "verified");
    printf(": %lld files for phase %s in %s\n", (long long)cli_number(body, "files"), cli_text(body, "phase"),
           cli_text(body, "to"));
    json_array_foreach(json_object_get(body, "notes"), index, note)
        printf("note: %s\n", json_string_value(note));
}

static int ask(struct cli *cli, const char *release, const char *phase, const char *to, const uint64_t *wait)
{
    char here[PATH_MAX];
    if (to[0] != '/' && getcwd(here, sizeof here) == NULL)
        return cli_usage(cli, &cmd_handoff, "give an absolute directory");
    json_t *path = to[0] == '/' ? json_string(to) : json_sprintf("%s/%s", here, to);
    json_t *params = json_pack("{s:s, s:s, s:o}", "release", release, "phase", phase, "to", path);
    if (wait != NULL)
        json_object_set_new(params, "wait_seconds", json_integer((json_int_t)*wait));
    return cli_ask_follow(cli, "handoff", params, cli_show_waiting, print);
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"phase", required_argument, NULL, 'p'},
                                            {"to", required_argument, NULL, 't'},
                                            {"wait", required_argument, NULL, 'w'},
                                            {NULL, 0, NULL, 0}};
    const char *phase = NULL, *to = NULL;
    uint64_t seconds;
    bool wait = false;
    for (int option; (option = getopt_long(argc, argv, "p:t:w:", options, NULL)) != -1;) {
        if (option == 'p' || option == 't')
            *(option == 'p' ? &phase : &to) = optarg;
        else if (option == 'w' && view_decimal(view_text(optarg), &seconds) && seconds <= 3600)
            wait = true;
        else
            return cli_usage(cli, &cmd_handoff, "see the options below");
    }
    if (argc - optind != 1 || phase == NULL || to == NULL)
        return cli_usage(cli, &cmd_handoff, "expected RELEASE --phase PHASE --to DIR");
    return ask(cli, argv[optind], phase, to, wait ? &seconds : NULL);
}

const struct cli_verb cmd_handoff = {
    .name = "handoff",
    .summary = "verify a signed release and hand it to a phase",
    .help =
        "Usage: farmctl handoff RELEASE --phase bootloader|image|ukis-verity --to DIR [--wait SECONDS] "
        "[--json]\n"
        "\n"
        "  -w, --wait SECONDS  how long to wait for the witnesses' cosignatures, 0 to 3600 (150)\n"
        "\n"
        "Exports the release, checks it as farm-verify does, offline and from its bytes alone, and only "
        "then lets DIR appear,\n"
        "whole. If the trust root names witnesses, a checkpoint of the log that covers the release must be "
        "cosigned by enough of\n"
        "them; the command waits for that, and says whose cosignature is missing. Exit status 1 and no "
        "directory if anything is\n"
        "refused.\n",
    .run = run,
};
