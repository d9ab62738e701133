/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"NAME", "BASE", "BYTES", "IMPORTED"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *base;
    json_array_foreach(json_object_get(body, "bases"), index, base)
    {
        cli_table_add(&table, cli_cell(base, "name"));
        cli_table_add(&table, cli_cell(base, "base"));
        cli_table_add(&table, cli_cell(base, "size"));
        cli_table_add(&table, cli_cell(base, "imported"));
    }
    if (index == 0)
        puts("No base. \"farmctl base import FILE\" brings one.");
    else
        cli_table_print(cli, &table);
}

static int import(struct cli *cli, const char *path, const char *name)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_JSON json_t *body = NULL;
    const char *slash = strrchr(path, '/');
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(cli, diag_errno(&diag, "%s", path), &diag);
    struct cli_request request = {.verb = "base.import",
                                  .params = json_pack("{s:s}", "name",
                                                      name != NULL    ? name
                                                      : slash != NULL ? slash + 1
                                                                      : path),
                                  .fd = fd};
    int status = cli_ask(cli, &request, &body);
    if (body != NULL && cli->json)
        cli_print_json(body);
    else if (body != NULL)
        puts(cli_text(body, "base"));
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"name", required_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
    const char *name = NULL;
    for (int option; (option = getopt_long(argc, argv, "n:", options, NULL)) != -1;) {
        if (option != 'n')
            return cli_usage(cli, &cmd_base, "see the options below");
        name = optarg;
    }
    if (argc - optind == 1 && strcmp(argv[optind], "list") == 0)
        return cli_ask_print(cli, "base.list", json_object(), print_list);
    if (argc - optind != 2 || strcmp(argv[optind], "import") != 0)
        return cli_usage(cli, &cmd_base, "expected import FILE or list");
    return import(cli, argv[optind + 1], name);
}

const struct cli_verb cmd_base = {
    .name = "base",
    .summary = "import and list base root filesystems",
    .help = "Usage: farmctl base import [--name NAME] FILE [--json]\n"
            "       farmctl base list [--json]\n"
            "\n"
            "FILE is a tar archive of a root filesystem. It is brought into a canonical form (owner 0, no "
            "devices, no times) and\n"
            "named by the digest of its manifest, which this prints. The trust root must allow it by that "
            "digest.\n",
    .run = run,
};
