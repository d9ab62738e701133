/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local_tree.h"
#include "plan.h"

#include <stdio.h>
#include <stdlib.h>

static void print(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *alias;
    json_array_foreach(json_object_get(body, "aliases"), index, alias)
        fprintf(stderr, "%s: dependency %s is %s\n", cli_text(alias, "package"), cli_text(alias, "wanted"),
                cli_text(alias, "resolved"));
    fprintf(stderr, "%zu jobs from commit %.12s\n", json_array_size(json_object_get(body, "nodes")),
            cli_text(body, "commit"));
    puts(cli_text(body, "plan"));
    (void)cli;
}

static json_t *plan_json(const struct plan *plan)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < plan->nnodes; i++)
        json_array_append_new(nodes,
                              json_pack("{s:s, s:s, s:i}", "node", plan->nodes[i].id, "version",
                                        plan->nodes[i].version, "needs", (int)plan->nodes[i].nclosure));
    return json_pack("{s:s, s:s, s:s, s:o, s:o}", "plan", digest_hex(&plan->id).text, "commit",
                     plan->tree.commit, "tree_sha256", digest_hex(&plan->tree.sha256).text, "nodes", nodes,
                     "aliases", json_array());
}

static void print_nodes(const struct plan *plan)
{
    for (size_t i = 0; i < plan->nnodes; i++)
        printf("%4zu  %s %s  (needs %zu)\n", i + 1, plan->nodes[i].id, plan->nodes[i].version,
               plan->nodes[i].nclosure);
    printf("%zu jobs; nothing was sent to a coordinator, and without a base the id means nothing\n",
           plan->nnodes);
}

static int dry_run(struct cli *cli, const char *path, const char *revision, const char *const *selectors,
                   size_t count)
{
    struct diag diag = DIAG_INIT;
    struct problems problems = PROBLEMS_INIT;
    struct tree *tree = NULL;
    struct tree_pin pin = {0};
    struct plan *plan = NULL;
    static const struct digest no_base;
    int result = local_tree_load(path, revision, &tree, &pin, &problems, &diag), status = FARM_EXIT_OK;
    if (result >= 0)
        result = plan_make(tree, &pin, &no_base, selectors, count, &plan, &diag);
    problems_sort(&problems);
    if (result < 0 && problems.count > 0) {
        CLEANUP_JSON json_t *body =
            json_pack("{s:s, s:o, s:i}", "error", "the tree cannot be planned", "problems",
                      json_problems(&problems), "status", FARM_EXIT_VIOLATION);
        if (cli->json)
            cli_print_json(body);
        else
            cli_print_problems(body);
        status = FARM_EXIT_VIOLATION;
    } else if (result < 0) {
        status = cli_fail(cli, result, &diag);
    } else if (cli->json) {
        CLEANUP_JSON json_t *body = plan_json(plan);
        cli_print_json(body);
    } else {
        print_nodes(plan);
    }
    plan_free(plan);
    tree_free(tree);
    free(pin.url);
    problems_done(&problems);
    return status;
}

static json_t *request_of(const char *path, const char *revision, const char *base, char **selectors,
                          int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_string(selectors[i]));
    json_t *params = json_pack("{s:s, s:s, s:o}", "tree", path, "revision", revision, "selectors", list);
    if (base != NULL)
        json_object_set_new(params, "base", json_string(base));
    return params;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"base", required_argument, NULL, 'b'}, {"dry-run", no_argument, NULL, 'n'}, {NULL, 0, NULL, 0}};
    struct diag diag = DIAG_INIT;
    const char *base = NULL;
    bool dry = false;
    for (int option; (option = getopt_long(argc, argv, "b:n", options, NULL)) != -1;) {
        if (option == 'b')
            base = optarg;
        else if (option == 'n')
            dry = true;
        else
            return cli_usage(cli, &cmd_plan, "see the options below");
    }
    if (optind == argc)
        return cli_usage(cli, &cmd_plan, "expected TREE@REV");
    CLEANUP_FREE char *path = NULL, *revision = NULL;
    int result = local_tree_split(argv[optind], &path, &revision, &diag);
    if (result < 0)
        return cli_fail(cli, result, &diag);
    char **selectors = argv + optind + 1;
    int count = argc - optind - 1;
    if (dry)
        return dry_run(cli, path, revision, (const char *const *)selectors, (size_t)count);
    if (revision == NULL)
        return cli_usage(cli, &cmd_plan, "a plan is made of a commit: give TREE@REV (HEAD is one)");
    return cli_ask_print(cli, "plan", request_of(path, revision, base, selectors, count), print);
}

const struct cli_verb cmd_plan = {
    .name = "plan",
    .summary = "make a plan of a package tree at a commit; prints its id",
    .help = "Usage: farmctl plan [--base BASE] TREE@REV [SELECTOR...] [--json]\n"
            "       farmctl plan --dry-run TREE[@REV] [SELECTOR...]\n"
            "\n"
            "  -b, --base BASE  name or digest; else the base imported last\n"
            "  -n, --dry-run    show the jobs in order; needs no coordinator\n"
            "\n"
            "TREE is a path or a URL, REV a commit, tag or branch: what it resolves to is pinned, the name "
            "is forgotten.\n"
            "SELECTOR is a package name, tier:NAME, phase:NAME or all; what it needs follows.\n",
    .run = run,
};
