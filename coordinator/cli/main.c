/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farmctl: finds the verb and lets it run. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct cli_verb *const verbs[] = {
    &cmd_status,    &cmd_watch,   &cmd_jobs,   &cmd_why,     &cmd_log,     &cmd_diff, &cmd_tree,
    &cmd_pin,       &cmd_plan,    &cmd_build,  &cmd_cancel,  &cmd_source,  &cmd_base, &cmd_worker,
    &cmd_operator,  &cmd_join,    &cmd_root,   &cmd_release, &cmd_handoff, &cmd_gc,   &cmd_blast,
    &cmd_log_level, &cmd_metrics, &cmd_backup, &cmd_doctor,  &cmd_scrub,
};

static void print_help(void)
{
    fputs("Usage: farmctl [--socket PATH] [--json] VERB ...\n"
          "\n"
          "Talks to the farm's coordinator on this machine. \"farmctl VERB --help\" explains a verb.\n"
          "\n",
          stdout);
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        printf("  %-13s %s\n", verbs[i]->name, verbs[i]->summary);
    fputs("\n"
          "      --socket PATH  the coordinator's control socket (also: $FARM_SOCKET)\n"
          "      --json         print what the coordinator answered, one JSON document a line\n"
          "  -h, --help         this text\n"
          "  -V, --version      the version\n"
          "\n"
          "Exit status: 0 done, 1 a violation or a failed build, 2 could not run.\n",
          stdout);
}

static const struct cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    return NULL;
}

/* "farmctl --json status" and "farmctl status --json" mean the same; verbs see neither. */
static int take_json(struct cli *cli, int argc, char **argv)
{
    int kept = 0;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            while (i < argc)
                argv[kept++] = argv[i++];
            break;
        }
        if (strcmp(argv[i], "--json") == 0)
            cli->json = true;
        else
            argv[kept++] = argv[i];
    }
    argv[kept] = NULL;
    return kept;
}

static int run_verb(struct cli *cli, int argc, char **argv)
{
    if (argc == 0)
        return cli_error(cli, FARM_EXIT_CANNOT_RUN, "expected a verb; \"farmctl --help\" lists them");
    const struct cli_verb *verb = find_verb(argv[0]);
    if (verb == NULL) {
        CLEANUP_FREE char *text = mem_format("unknown verb \"%s\"; \"farmctl --help\" lists them", argv[0]);
        return cli_error(cli, FARM_EXIT_CANNOT_RUN, text);
    }
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_help(verb);
    optind = 0; /* glibc: start over, for another argument list */
    int status = verb->run(cli, argc, argv);
    return fflush(stdout) == 0 ? status : FARM_EXIT_CANNOT_RUN;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    struct cli cli = {.colour = isatty(STDOUT_FILENO) && getenv("NO_COLOR") == NULL,
                      .terminal = isatty(STDERR_FILENO)};
    signal(SIGPIPE, SIG_IGN);
    argc = take_json(&cli, argc, argv);
    for (int option; (option = getopt_long(argc, argv, "+hV", options, NULL)) != -1;) {
        if (option == 's') {
            cli.socket = optarg;
        } else if (option == 'h') {
            print_help();
            return FARM_EXIT_OK;
        } else if (option == 'V') {
            puts("farmctl " FARM_VERSION);
            return FARM_EXIT_OK;
        } else {
            return cli_error(&cli, FARM_EXIT_CANNOT_RUN, "\"farmctl --help\" lists the options");
        }
    }
    return run_verb(&cli, argc - optind, argv + optind);
}
