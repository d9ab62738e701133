/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status_view.h"

#include "moment.h"

#include <stdio.h>
#include <stdlib.h>

const json_t *status_view_find_plan(const json_t *body, const char *id)
{
    size_t index;
    json_t *plan;
    json_array_foreach(json_object_get(body, "plans"), index,
                       plan) if (strncmp(cli_text(plan, "plan"), id, strlen(id)) == 0) return plan;
    return NULL;
}

void status_view_summary(const json_t *plan, struct buf *ret)
{
    static const char *const mentioned[] = {"running",  "ready",  "deriving", "waiting",
                                            "disputed", "failed", "halted",   "blocked"};
    const json_t *counts = json_object_get(plan, "counts");
    buf_add_format(ret, "agreed %lld of %lld", (long long)cli_number(counts, "agreed"),
                   (long long)cli_number(plan, "nodes"));
    for (size_t i = 0; i < ARRAY_SIZE(mentioned); i++)
        if (cli_number(counts, mentioned[i]) > 0)
            buf_add_format(ret, ", %lld %s", (long long)cli_number(counts, mentioned[i]), mentioned[i]);
    if (cli_number(plan, "elapsed_ms") > 0)
        buf_add_format(ret, " (%s)", moment_duration(cli_number(plan, "elapsed_ms")).text);
}

static void print_plans(struct cli *cli, const json_t *plans)
{
    static const char *const titles[] = {"PLAN", "STATE", "PROGRESS"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 1};
    size_t index;
    json_t *plan;
    if (json_array_size(plans) == 0) {
        puts("No plans. \"farmctl plan TREE@REV\" makes one.");
        return;
    }
    json_array_foreach(plans, index, plan)
    {
        struct buf summary = BUF_INIT;
        status_view_summary(plan, &summary);
        cli_table_add(&table, mem_format("%.12s", cli_text(plan, "plan")));
        cli_table_add(&table, cli_cell(plan, "state"));
        cli_table_add(&table, buf_steal(&summary));
    }
    cli_table_print(cli, &table);
}

static void print_older(const json_t *body)
{
    long long known = (long long)cli_number(body, "plans_known"),
              listed = (long long)json_array_size(json_object_get(body, "plans"));
    if (known > listed)
        printf("and %lld older plans (farmctl status --all)\n", known - listed);
}

static void print_leases(struct cli *cli, const json_t *leases)
{
    static const char *const titles[] = {"RUNNING", "WORKER", "PHASE", "FOR"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *lease;
    json_array_foreach(leases, index, lease)
    {
        cli_table_add(&table, cli_cell(lease, "node"));
        cli_table_add(&table, cli_cell(lease, "worker"));
        cli_table_add(&table, cli_cell(lease, "phase"));
        cli_table_add(&table, mem_string(moment_duration(cli_number(lease, "running_ms")).text));
    }
    if (index > 0) {
        putchar('\n');
        cli_table_print(cli, &table);
    }
}

static void print_groups(const json_t *groups)
{
    size_t index;
    json_t *group;
    json_array_foreach(groups, index, group)
    {
        CLEANUP_FREE char *payload = cli_cell(group, "payload");
        printf("    %s  %lld operator%s\n",
               json_is_true(json_object_get(group, "failure")) ? "does not build" : payload,
               (long long)cli_number(group, "operators"), cli_number(group, "operators") == 1 ? "" : "s");
    }
}

static void print_blocks(const json_t *item)
{
    const json_t *blocks = json_object_get(item, "blocks");
    size_t index;
    json_t *name;
    if (json_array_size(blocks) == 0)
        return;
    printf("    blocks %zu:", json_array_size(blocks));
    json_array_foreach(blocks, index, name) printf(" %s", json_string_value(name));
    putchar('\n');
}

static void print_disputes(struct cli *cli, const json_t *disputes)
{
    size_t index;
    json_t *item;
    json_array_foreach(disputes, index, item)
    {
        bool settled = strcmp(cli_text(item, "state"), "agreed") == 0;
        putchar('\n');
        cli_put(cli, settled ? CLI_WARN : CLI_BAD, settled ? "dissent (settled)" : "dispute");
        printf("  %s\n", cli_text(item, "node"));
        print_groups(json_object_get(item, "groups"));
        if (!settled)
            print_blocks(item);
        printf("    farmctl diff %s names the files\n", cli_text(item, "node"));
    }
}

static void print_tail(const json_t *lines)
{
    size_t index;
    json_t *line;
    json_array_foreach(lines, index, line)
    {
        json_t *wrapped = json_pack("{s:O}", "line", line);
        CLEANUP_FREE char *text = cli_cell(wrapped, "line");
        printf("    | %s\n", text);
        json_decref(wrapped);
    }
}

static void print_failures(struct cli *cli, const json_t *failures)
{
    size_t index;
    json_t *item;
    json_array_foreach(failures, index, item)
    {
        putchar('\n');
        cli_put(cli, CLI_BAD, cli_text(item, "state"));
        printf("  %s: %s\n", cli_text(item, "node"), cli_text(item, "kind"));
        if (cli_text(item, "why")[0] != '\0')
            printf("    %s\n", cli_text(item, "why"));
        print_tail(json_object_get(item, "log"));
        print_blocks(item);
        printf("    farmctl log %s shows all of it\n", cli_text(item, "node"));
    }
}

void status_view_print(struct cli *cli, const json_t *body)
{
    const json_t *workers = json_object_get(body, "workers");
    print_plans(cli, json_object_get(body, "plans"));
    print_older(body);
    print_leases(cli, json_object_get(body, "leases"));
    print_disputes(cli, json_object_get(body, "disputes"));
    print_failures(cli, json_object_get(body, "failures"));
    printf("\n%lld of %lld workers online", (long long)cli_number(workers, "online"),
           (long long)cli_number(workers, "known"));
    if (cli_number(workers, "flagged") > 0)
        printf(", %lld of operators that somebody should look at (farmctl worker list)",
               (long long)cli_number(workers, "flagged"));
    puts(json_is_true(json_object_get(body, "trust_root")) ? "" : "; no trust root is installed");
    if (cli_number(body, "lost_objects") > 0)
        printf("%lld objects are damaged or missing (farmctl scrub); %lld lost payloads are built again\n",
               (long long)cli_number(body, "lost_objects"), (long long)cli_number(body, "lost_payloads"));
    if (cli_text(body, "held")[0] != '\0')
        printf("No new work is taken: %s\n", cli_text(body, "held"));
}
