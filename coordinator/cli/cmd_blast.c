/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "moment.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- tables ---- */

static char *of_needed(const json_t *job, const char *have, const char *needed)
{
    return mem_format("%lld/%lld", (long long)cli_number(job, have), (long long)cli_number(job, needed));
}

static char *build_time(const json_t *job)
{
    const json_t *ms = json_object_get(job, "build_ms");
    return json_is_integer(ms) ? mem_string(moment_duration(json_integer_value(ms)).text) : mem_string("?");
}

/* What the answers left over say: "pending", or what they would agree on instead. */
static char *without(const json_t *job)
{
    const char *rival = json_string_value(json_object_get(job, "rival"));
    return rival != NULL ? mem_format("rival %.12s", rival) : cli_cell(job, "state");
}

static void print_lost(struct cli *cli, const json_t *lost)
{
    static const char *const titles[] = {"#",      "JOB",  "WITHOUT", "OPERATORS", "ANCHORS",
                                         "BUILDS", "TIME", "ABOVE",   "RELEASES"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 2};
    size_t index;
    json_t *job;
    if (json_array_size(lost) == 0) {
        puts("Nothing loses its quorum.");
        return;
    }
    printf("%zu %s no quorum without it. To rebuild, in this order:\n", json_array_size(lost),
           json_array_size(lost) == 1 ? "artifact has" : "artifacts have");
    json_array_foreach(lost, index, job)
    {
        cli_table_add(&table, mem_format("%zu", index + 1));
        cli_table_add(&table, cli_cell(job, "node"));
        cli_table_add(&table, without(job));
        cli_table_add(&table, of_needed(job, "operators", "quorum"));
        cli_table_add(&table, of_needed(job, "anchors", "anchors_needed"));
        cli_table_add(&table, cli_cell(job, "builds"));
        cli_table_add(&table, build_time(job));
        cli_table_add(&table, cli_cell(job, "dependents"));
        cli_table_add(&table, cli_join(json_object_get(job, "releases")));
    }
    cli_table_print(cli, &table);
}

static void print_risk(struct cli *cli, const json_t *jobs)
{
    static const char *const titles[] = {"JOB", "STANDS ON", "RELEASES"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *job;
    if (json_array_size(jobs) == 0)
        return;
    printf("\n%zu more %s on them, and must be built anew if one comes out different:\n",
           json_array_size(jobs), json_array_size(jobs) == 1 ? "stands" : "stand");
    json_array_foreach(jobs, index, job)
    {
        cli_table_add(&table, cli_cell(job, "node"));
        cli_table_add(&table, cli_join(json_object_get(job, "because")));
        cli_table_add(&table, cli_join(json_object_get(job, "releases")));
    }
    cli_table_print(cli, &table);
}

static void print_weaker(struct cli *cli, const json_t *jobs)
{
    static const char *const titles[] = {"JOB", "OPERATORS", "ANCHORS", "RELEASES"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *job;
    if (json_array_size(jobs) == 0)
        return;
    printf("\n%zu %s a supporter and %s the quorum:\n", json_array_size(jobs),
           json_array_size(jobs) == 1 ? "loses" : "lose", json_array_size(jobs) == 1 ? "keeps" : "keep");
    json_array_foreach(jobs, index, job)
    {
        cli_table_add(&table, cli_cell(job, "node"));
        cli_table_add(&table, of_needed(job, "operators", "quorum"));
        cli_table_add(&table, of_needed(job, "anchors", "anchors_needed"));
        cli_table_add(&table, cli_join(json_object_get(job, "releases")));
    }
    cli_table_print(cli, &table);
}

static void print_cost(const char *label, const json_t *cost)
{
    int64_t builds = cli_number(cost, "builds"), unmeasured = cli_number(cost, "unmeasured");
    printf("%s: %lld %s, %s of building", label, (long long)builds, builds == 1 ? "build" : "builds",
           moment_duration(cli_number(cost, "ms")).text);
    if (unmeasured > 0)
        printf(" and what %lld never measured %s", (long long)unmeasured,
               unmeasured == 1 ? "job takes" : "jobs take");
    putchar('\n');
}

static void print_plan(struct cli *cli, const json_t *plan)
{
    const json_t *lost = json_object_get(plan, "lost");
    printf("\nplan %.12s: %lld agreed jobs, %lld with an answer of theirs\n", cli_text(plan, "plan"),
           (long long)cli_number(plan, "agreed"), (long long)cli_number(plan, "answered"));
    print_lost(cli, lost);
    print_risk(cli, json_object_get(plan, "at_risk"));
    print_weaker(cli, json_object_get(plan, "weaker"));
    if (json_array_size(lost) == 0)
        return;
    putchar('\n');
    print_cost("if the same bytes come again", json_object_get(plan, "same"));
    print_cost("if not", json_object_get(plan, "other"));
}

static void print(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *item;
    fputs("without ", stdout);
    json_array_foreach(json_object_get(body, "workers"), index, item)
    {
        CLEANUP_FREE char *worker = cli_cell(item, "worker"), *name = cli_cell(item, "operator");
        printf("%s%s (%s)", index > 0 ? ", " : "", worker, name);
    }
    if (cli_number(body, "from") > 0)
        printf(" from log position %lld on", (long long)cli_number(body, "from"));
    printf(": %lld answers would not count\n", (long long)cli_number(body, "answers"));
    json_array_foreach(json_object_get(body, "plans"), index, item) print_plan(cli, item);
}

/* ---- the command ---- */

static int set_option(int option, json_t *params)
{
    static const struct {
        int option;
        const char *key;
    } texts[] = {{'w', "worker"}, {'o', "operator"}, {'k', "key"}, {'p', "plan"}};
    uint64_t from;
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
        if (texts[i].option == option)
            return json_object_set_new(params, texts[i].key, json_view(view_text(optarg)));
    if (option == 'a')
        return json_object_set_new(params, "all", json_true());
    if (option != 'f' || !view_decimal(view_text(optarg), &from) || from > INT64_MAX)
        return -1;
    return json_object_set_new(params, "from", json_integer((json_int_t)from));
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"worker", required_argument, NULL, 'w'},
                                            {"operator", required_argument, NULL, 'o'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"plan", required_argument, NULL, 'p'},
                                            {"from", required_argument, NULL, 'f'},
                                            {"all", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    CLEANUP_JSON json_t *params = json_object();
    for (int option; (option = getopt_long(argc, argv, "w:o:k:p:f:a", options, NULL)) != -1;)
        if (set_option(option, params) < 0)
            return cli_usage(cli, &cmd_blast, "see the options below");
    int named = (json_object_get(params, "worker") != NULL) + (json_object_get(params, "operator") != NULL) +
                (json_object_get(params, "key") != NULL);
    if (named != 1 || optind < argc)
        return cli_usage(cli, &cmd_blast, "expected one of --worker, --operator and --key");
    if (json_object_get(params, "all") != NULL && json_object_get(params, "plan") != NULL)
        return cli_usage(cli, &cmd_blast, "--all and --plan exclude each other");
    return cli_ask_print(cli, "blast-radius", json_incref(params), print);
}

const struct cli_verb cmd_blast = {
    .name = "blast-radius",
    .summary = "what hangs on a worker, an operator or a key",
    .help =
        "Usage: farmctl blast-radius --worker NAME | --operator NAME | --key KEY [--plan PLAN | --all]\n"
        "                            [--from POSITION] [--json]\n"
        "\n"
        "  -w, --worker NAME    what if nothing counted that this worker answered?\n"
        "  -o, --operator NAME  the same, of all workers of an operator\n"
        "  -k, --key KEY        the same, of the worker with this Ed25519 key or keyid (64 hex digits), or "
        "of all workers\n"
        "                       of the operator with this key (SHA256:..., as \"ssh-keygen -l\" prints it)\n"
        "  -p, --plan PLAN      in this plan (at least 6 digits of its id) instead of the one started last\n"
        "  -a, --all            in every plan that was started; a job that two plans share stands in both\n"
        "  -f, --from POSITION  only answers at this position of the log or later (compromised_from of an "
        "entry)\n"
        "\n"
        "Changes nothing. Each agreed job is judged again without those answers, by the plan's rules. An "
        "artifact is lost\n"
        "when nothing else agrees on it: BUILDS is how many operators have to build it again, TIME what one "
        "build took, ABOVE\n"
        "how many jobs have it in their closure. It is weaker when its quorum holds with fewer operators.\n"
        "\n"
        "The order is the one that costs least. A rebuild that gives the same bytes confirms all that stands "
        "above it, so\n"
        "what others stand on is first; among those that wait for nothing, the one with most jobs above it "
        "for each second\n"
        "of building. \"If the same bytes come again\": each lost artifact is built by a new quorum (votes "
        "that come after\n"
        "a verdict are open; where the policy counts open ones, by as many operators as are missing), and "
        "nothing else.\n"
        "\"If not\": all that is lost and all that stands on it is built by a quorum.\n"
        "\n"
        "Exit status 1 if anything loses its quorum. \"farmctl worker revoke\" is what acts.\n",
    .run = run,
};
