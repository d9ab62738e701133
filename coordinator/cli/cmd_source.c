/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"PIN", "BYTES", "ADDED", "ORIGIN"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *source;
    json_array_foreach(json_object_get(body, "sources"), index, source)
    {
        cli_table_add(&table, cli_cell(source, "pin"));
        cli_table_add(&table, cli_cell(source, "size"));
        cli_table_add(&table, cli_cell(source, "added"));
        cli_table_add(&table, cli_cell(source, "origin"));
    }
    if (index == 0)
        puts("No sources. \"farmctl build\" fetches them, \"farmctl source add FILE\" takes files.");
    else
        cli_table_print(cli, &table);
}

static void print_added(const json_t *body)
{
    const json_t *packages = json_object_get(body, "packages");
    size_t index;
    json_t *name;
    printf("%s  %s", cli_text(body, "sha256"), cli_text(body, "file"));
    json_array_foreach(packages, index, name)
        printf("%s%s", index == 0 ? "  for " : ", ", json_string_value(name));
    putchar('\n');
}

static int add(struct cli *cli, const char *path)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_JSON json_t *body = NULL;
    const char *slash = strrchr(path, '/');
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return cli_fail(cli, diag_errno(&diag, "%s", path), &diag);
    struct cli_request request = {.verb = "source.add",
                                  .params = json_pack("{s:s}", "name", slash != NULL ? slash + 1 : path),
                                  .fd = fd};
    int status = cli_ask(cli, &request, &body);
    if (body != NULL && cli->json)
        cli_print_json(body);
    else if (body != NULL)
        print_added(body);
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    int status = FARM_EXIT_OK;
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return cli_ask_print(cli, "source.list", json_object(), print_list);
    if (argc < 3 || strcmp(argv[1], "add") != 0)
        return cli_usage(cli, &cmd_source, "expected add FILE... or list");
    for (int i = 2; i < argc; i++) {
        int one = add(cli, argv[i]);
        if (one > status)
            status = one;
    }
    return status;
}

const struct cli_verb cmd_source = {
    .name = "source",
    .summary = "give the farm source archives; list what it has",
    .help = "Usage: farmctl source add FILE...  [--json]\n"
            "       farmctl source list [--json]\n"
            "\n"
            "Whatever brought a file, it is used only where a pin names its digest. Git sources are fetched "
            "by \"farmctl build\".\n",
    .run = run,
};
