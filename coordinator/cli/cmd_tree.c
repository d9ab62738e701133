/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local_tree.h"

#include <stdio.h>
#include <stdlib.h>

static void report_good(struct cli *cli, const struct tree *tree, const struct tree_pin *pin)
{
    size_t built = 0, pins = 0;
    for (size_t i = 0; i < tree->npackages; i++) {
        built += !tree->packages[i].in_base;
        pins += tree->packages[i].npins;
    }
    if (cli->json) {
        CLEANUP_JSON json_t *body =
            json_pack("{s:b, s:I, s:I, s:I, s:I, s:s}", "good", 1, "packages", (json_int_t)tree->npackages,
                      "built", (json_int_t)built, "pins", (json_int_t)pins, "aliases",
                      (json_int_t)tree->naliases, "tree_sha256", digest_hex(&pin->sha256).text);
        cli_print_json(body);
        return;
    }
    for (size_t i = 0; i < tree->naliases; i++)
        printf("%s: dependency %s is %s\n", tree->aliases[i].package, tree->aliases[i].wanted,
               tree->aliases[i].resolved);
    printf("good: %zu packages, %zu of them built by the farm, %zu pinned sources\ntree_sha256 %s\n",
           tree->npackages, built, pins, digest_hex(&pin->sha256).text);
}

static int report_bad(struct cli *cli, int result, const struct problems *problems, const struct diag *diag)
{
    if (problems->count == 0)
        return cli_fail(cli, result, diag);
    CLEANUP_JSON json_t *body =
        json_pack("{s:b, s:s, s:o, s:i}", "good", 0, "error", "the tree cannot be planned", "problems",
                  json_problems(problems), "status", FARM_EXIT_VIOLATION);
    if (cli->json)
        cli_print_json(body);
    else
        cli_print_problems(body);
    return FARM_EXIT_VIOLATION;
}

static int check(struct cli *cli, const char *text)
{
    struct diag diag = DIAG_INIT;
    struct problems problems = PROBLEMS_INIT;
    struct tree *tree = NULL;
    struct tree_pin pin = {0};
    CLEANUP_FREE char *path = NULL, *revision = NULL;
    int result = local_tree_split(text, &path, &revision, &diag), status = FARM_EXIT_OK;
    if (result >= 0)
        result = local_tree_load(path, revision, &tree, &pin, &problems, &diag);
    problems_sort(&problems);
    if (result < 0)
        status = report_bad(cli, result, &problems, &diag);
    else
        report_good(cli, tree, &pin);
    tree_free(tree);
    free(pin.url);
    problems_done(&problems);
    return status;
}

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"COMMIT", "TREE_SHA256", "URL"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *tree;
    json_array_foreach(json_object_get(body, "trees"), index, tree)
    {
        cli_table_add(&table, cli_cell(tree, "commit"));
        cli_table_add(&table, cli_cell(tree, "tree_sha256"));
        cli_table_add(&table, cli_cell(tree, "url"));
    }
    cli_table_print(cli, &table);
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return cli_ask_print(cli, "tree.list", json_object(), print_list);
    if (argc != 3 || strcmp(argv[1], "check") != 0)
        return cli_usage(cli, &cmd_tree, "expected: check PATH or check TREE@REV, or list");
    return check(cli, argv[2]);
}

const struct cli_verb cmd_tree = {
    .name = "tree",
    .summary = "check a package tree; list those the farm knows",
    .help = "Usage: farmctl tree check PATH [--json]\n"
            "       farmctl tree check PATH@REV | URL@REV\n"
            "       farmctl tree list\n"
            "\n"
            "Checks every recipe, pin, policy and dependency and lists everything that is wrong at once, "
            "with file and line.\n"
            "Needs no coordinator. With @REV the commit is checked, else the directory as it is now.\n",
    .run = run,
};
