/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

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

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"phase", required_argument, NULL, 'p'}, {"to", required_argument, NULL, 't'}, {NULL, 0, NULL, 0}};
    const char *phase = NULL, *to = NULL;
    char here[PATH_MAX];
    for (int option; (option = getopt_long(argc, argv, "p:t:", options, NULL)) != -1;) {
        if (option != 'p' && option != 't')
            return cli_usage(cli, &cmd_handoff, "see the options below");
        *(option == 'p' ? &phase : &to) = optarg;
    }
    if (argc - optind != 1 || phase == NULL || to == NULL)
        return cli_usage(cli, &cmd_handoff, "expected RELEASE --phase PHASE --to DIR");
    if (to[0] != '/' && getcwd(here, sizeof here) == NULL)
        return cli_usage(cli, &cmd_handoff, "give an absolute directory");
    json_t *path = to[0] == '/' ? json_string(to) : json_sprintf("%s/%s", here, to);
    return cli_ask_print(cli, "handoff",
                         json_pack("{s:s, s:s, s:o}", "release", argv[optind], "phase", phase, "to", path),
                         print);
}

const struct cli_verb cmd_handoff = {
    .name = "handoff",
    .summary = "verify a signed release and hand it to a phase",
    .help = "Usage: farmctl handoff RELEASE --phase bootloader|image|ukis-verity --to DIR [--json]\n"
            "\n"
            "Exports the release, checks it as farm-verify does, offline and from its bytes alone, and only "
            "then lets DIR appear,\n"
            "whole. Exit status 1 and no directory if anything is refused.\n",
    .run = run,
};
