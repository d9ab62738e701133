/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <stdio.h>

/* Build output goes out as it is but for control bytes other than line ends and tabs: it comes from
 * strangers. */
static int print_item(struct cli *cli, void *context, bool progress, json_t *body)
{
    bool *told = context;
    (void)progress;
    if (cli->json) {
        cli_print_json(body);
        return 0;
    }
    if (!*told) /* several workers may build it at a time */
        fprintf(stderr, "farmctl: the log of %s; --worker shows another's\n", cli_text(body, "worker"));
    *told = true;
    for (const char *text = cli_text(body, "text"); *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        putchar((byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f ? '?' : byte);
    }
    return fflush(stdout) == 0 ? 0 : FARM_E_UNAVAILABLE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"worker", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
    const char *worker = NULL;
    for (int option; (option = getopt_long(argc, argv, "w:", options, NULL)) != -1;) {
        if (option != 'w')
            return cli_usage(cli, &cmd_log, "see the options below");
        worker = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_log, "expected one job");
    json_t *params = json_pack("{s:s}", "job", argv[optind]);
    if (worker != NULL)
        json_object_set_new(params, "worker", json_string(worker));
    bool told = false;
    struct cli_request request = {
        .verb = "log", .params = params, .fd = -1, .reply = print_item, .context = &told};
    return cli_ask(cli, &request, NULL);
}

const struct cli_verb cmd_log = {
    .name = "log",
    .summary = "a job's build log; follows it while it runs",
    .help = "Usage: farmctl log [--worker WORKER] JOB [--json]\n"
            "\n"
            "  -w, --worker WORKER  of this worker; else of the one that answered last\n"
            "\n"
            "Of a running build it shows what has come so far and goes on until the build ends.\n",
    .run = run,
};
