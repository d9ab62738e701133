/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

/* One line that is drawn over itself on a terminal; elsewhere a line for each step. */
static int show(struct cli *cli, void *context, bool progress, json_t *body)
{
    const char **last = context, *step = cli_text(body, "step");
    static const char *const steps[] = {"database", "files", "objects", "sync"};
    (void)progress;
    if (cli->json)
        return 0;
    if (cli->terminal)
        fprintf(stderr, "\r%-10s %lld of %lld objects", step, (long long)cli_number(body, "done"),
                (long long)cli_number(body, "of"));
    else if (*last == NULL || strcmp(*last, step) != 0)
        fprintf(stderr, "%s: %lld objects\n", step, (long long)cli_number(body, "of"));
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++)
        if (strcmp(steps[i], step) == 0)
            *last = steps[i];
    return 0;
}

static void print(struct cli *cli, const json_t *body)
{
    const json_t *log = json_object_get(body, "log");
    size_t index;
    json_t *name;
    if (cli->terminal)
        fputc('\n', stderr);
    printf("backup of %s in %s: %lld objects%s, %lld bytes copied; log %s with %lld entries\n",
           cli_text(body, "taken"), cli_text(body, "to"), (long long)cli_number(body, "objects"),
           json_is_true(json_object_get(body, "store")) ? "" : " named, none copied (--no-store)",
           (long long)cli_number(body, "copied_bytes"), cli_text(log, "origin"),
           (long long)cli_number(log, "size"));
    puts("It holds coordinator.key, which is secret: whoever has it can pretend to be this coordinator.");
    if (cli_number(body, "linked") > 0)
        printf("%lld objects were there from the earlier backup; %lld of these were read again\n",
               (long long)cli_number(body, "linked"), (long long)cli_number(body, "read"));
    json_array_foreach(json_object_get(body, "rotten"), index, name) printf(
        "rotten: object %s had other bytes in the earlier backup, and was copied anew; that disk loses "
        "data\n",
        json_string_value(name));
    json_array_foreach(json_object_get(body, "missing"), index, name)
        printf("missing: object %s is not in the store, or damaged; \"farmctl scrub\" says what it was\n",
               json_string_value(name));
}

static int ask(struct cli *cli, const char *to, bool no_store)
{
    char here[PATH_MAX];
    const char *last = NULL;
    json_t *body = NULL;
    if (to[0] != '/' && getcwd(here, sizeof here) == NULL)
        return cli_usage(cli, &cmd_backup, "give an absolute directory");
    json_t *path = to[0] == '/' ? json_string(to) : json_sprintf("%s/%s", here, to);
    struct cli_request request = {.verb = "backup",
                                  .params = json_pack("{s:o, s:b}", "to", path, "no_store", (int)no_store),
                                  .fd = -1,
                                  .reply = show,
                                  .context = &last};
    int status = cli_ask(cli, &request, &body);
    if (body != NULL && cli->json)
        cli_print_json(body);
    else if (body != NULL)
        print(cli, body);
    json_decref(body);
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"no-store", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
    bool no_store = false;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (option != 'n')
            return cli_usage(cli, &cmd_backup, "see the options below");
        no_store = true;
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_backup, "expected TO-DIR");
    return ask(cli, argv[optind], no_store);
}

const struct cli_verb cmd_backup = {
    .name = "backup",
    .summary = "copy the farm's state while it runs",
    .help = "Usage: farmctl backup [--no-store] TO-DIR [--json]\n"
            "\n"
            "      --no-store  without the objects (artifacts, logs, sources), when those are copied in "
            "another way\n"
            "\n"
            "The coordinator writes TO-DIR, as its own user; it appears whole or not at all. If TO-DIR is an "
            "earlier backup "
            "of this\n"
            "farm, it is replaced by the new one in one step, and objects that it has are not copied again. "
            "On the same "
            "file system\n"
            "objects are hard links. TO-DIR holds coordinator.key: keep it as secret as the state directory. "
            "\"farm-coordinator\n"
            "restore\" brings it back, or checks it. Exit status 1: objects were missing; they are named, "
            "and the backup "
            "was made\n"
            "without them; or objects of the earlier backup had rotted, were named, and were copied anew (a "
            "sixteenth of\n"
            "what is there is read each time, another one each time).\n",
    .run = run,
};
