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

static int show_job(struct cli *cli, int argc, char **argv)
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

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *word;
        int (*run)(struct cli *cli, int argc, char **argv);
    } words[] = {{"show", transparency_show}, {"prove", transparency_prove}, {"verify", transparency_verify}};
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(words); i++)
        if (strcmp(argv[1], words[i].word) == 0)
            return words[i].run(cli, argc - 1, argv + 1);
    return show_job(cli, argc, argv);
}

const struct cli_verb cmd_log = {
    .name = "log",
    .summary = "a job's build log; the farm's transparency log: show, prove, verify",
    .help =
        "Usage: farmctl log [--worker WORKER] JOB [--json]\n"
        "       farmctl log show [--entries FROM[..TO]] [--vkey] [--json]\n"
        "       farmctl log prove [--out FILE] POSITION|SHA256 [--json]\n"
        "       farmctl log verify --vkey KEY | --trust FILE [--workers FILE] PATH [--json]\n"
        "\n"
        "JOB: its build log. Of a running build it shows what has come so far and goes on until the build "
        "ends.\n"
        "A job that is called like one of the words below is TIER/NAME.\n"
        "\n"
        "  -w, --worker WORKER    of this worker; else of the one that answered last\n"
        "\n"
        "show: the transparency log: its name and key, the newest checkpoint, who cosigned it, and the last "
        "entries.\n"
        "Everything that the farm grants, gets and decides is an entry there, in this order, for ever.\n"
        "\n"
        "  -e, --entries FROM[..TO]  these entries; positions count from 0\n"
        "  -k, --vkey                the log's key alone, as \"farm-sign root init --log\" takes it\n"
        "\n"
        "prove: a proof that an entry is in the log, for \"verify\" and other tools (C2SP tlog-proof). The "
        "entry is named\n"
        "by its position, or by the digest that it is about: of an answer's envelope, a plan, a release, a "
        "directory.\n"
        "\n"
        "  -o, --out FILE         writes it there; else to standard output\n"
        "\n"
        "verify: checks such a proof, or a directory of log tiles, or the log/ of a release, without a "
        "coordinator: the\n"
        "log's signature, the form of every entry, and that they give the root that was signed.\n"
        "\n"
        "  -k, --vkey KEY         the log's key, as \"show\" prints it\n"
        "  -t, --trust FILE       or the root.json that names it; it is believed because you name it\n"
        "      --workers FILE     workers.json: also demands the cosignatures that the trust root asks for\n",
    .run = run,
};
