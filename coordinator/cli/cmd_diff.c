/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

static void print_who(const json_t *answers)
{
    size_t index;
    json_t *answer;
    json_array_foreach(answers, index, answer)
        printf("%s%s (%s)", index > 0 ? ", " : "", cli_text(answer, "operator"), cli_text(answer, "worker"));
    putchar('\n');
}

/* What stands on one side: "0644 1234 bytes 3f2a..." */
static void print_side(const char *label, const json_t *entry)
{
    if (!json_is_object(entry))
        return;
    const char *type = cli_text(entry, "type");
    printf("      %-8s %s %04llo", label, type, (unsigned long long)cli_number(entry, "mode"));
    if (strcmp(type, "file") == 0)
        printf(" %lld bytes %.16s", (long long)cli_number(entry, "size"), cli_text(entry, "sha256"));
    if (strcmp(type, "link") == 0)
        printf(" -> %s", cli_text(entry, "link"));
    putchar('\n');
}

static void print_files(const json_t *files)
{
    size_t index;
    json_t *file;
    json_array_foreach(files, index, file)
    {
        CLEANUP_FREE char *path = cli_cell(file, "path");
        printf("    %-16s %s\n", cli_text(file, "change"), path);
        print_side("leading", json_object_get(file, "leading"));
        print_side("rival", json_object_get(file, "rival"));
    }
}

static void print(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *group;
    printf("%s is ", cli_text(body, "node"));
    cli_put(cli, cli_state_colour(cli_text(body, "state")), cli_text(body, "state"));
    printf("; job %s\n", cli_text(body, "job"));
    json_array_foreach(json_object_get(body, "groups"), index, group)
    {
        CLEANUP_FREE char *payload = cli_cell(group, "payload");
        bool failure = json_is_true(json_object_get(group, "failure"));
        printf("\n  %s  %s\n    by ", index == 0 ? "leading" : "rival  ",
               failure ? "does not build" : payload);
        print_who(json_object_get(group, "answers"));
        print_files(json_object_get(group, "files"));
    }
    if (index < 2)
        puts("\nAll answers are the same.");
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 2)
        return cli_usage(cli, &cmd_diff, "expected one job");
    return cli_ask_print(cli, "diff", json_pack("{s:s}", "job", argv[1]), print);
}

const struct cli_verb cmd_diff = {
    .name = "diff",
    .summary = "where rival answers to a job differ, file by file",
    .help = "Usage: farmctl diff JOB [--json]\n"
            "\n"
            "Lists each answer with who gave it, and the files in which it differs from the leading one. "
            "Both are kept.\n"
            "Exit status 1 if there is more than one answer.\n",
    .run = run,
};
