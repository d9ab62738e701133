/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Review: what a release manager looks at before signing. "release diff" shows everything that differs from another release;
 * "release show" ends with what matters most of it.
 */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

/* Chains behind one weak link that are named; the others are counted. */
enum { NAMED_MAX = 6 };

/* ---- cells ---- */

/* "1.0-1", or "1.0-1 -> 1.1-1" where it changed. */
static char *then_and_now(char *then, char *now)
{
    char *cell = strcmp(then, now) == 0 ? mem_string(now) : mem_format("%s -> %s", then, now);
    free(then);
    free(now);
    return cell;
}

static char *version_of(const json_t *side)
{
    CLEANUP_FREE char *version = cli_cell(side, "version"), *release = cli_cell(side, "release");
    return mem_format("%s-%s", version, release);
}

static char *short_payload(const json_t *side)
{
    return mem_format("%.12s", cli_text(side, "payload"));
}

static char *builders_of(const json_t *side)
{
    return cli_join(json_object_get(side, "operators"));
}

/* ---- tables ---- */

static void print_changed(struct cli *cli, const json_t *changed)
{
    static const char *const titles[] = {"CHANGED", "TIER",     "VERSION", "PAYLOAD",
                                         "INPUTS",  "BUILT BY", "DISSENT"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *change;
    json_array_foreach(changed, index, change)
    {
        const json_t *before = json_object_get(change, "before"), *after = json_object_get(change, "after");
        cli_table_add(&table, cli_cell(change, "package"));
        cli_table_add(&table, then_and_now(cli_cell(before, "tier"), cli_cell(after, "tier")));
        cli_table_add(&table, then_and_now(version_of(before), version_of(after)));
        cli_table_add(&table, then_and_now(short_payload(before), short_payload(after)));
        cli_table_add(&table, cli_join(json_object_get(change, "inputs")));
        cli_table_add(&table, then_and_now(builders_of(before), builders_of(after)));
        cli_table_add(&table, then_and_now(cli_cell(before, "dissent"), cli_cell(after, "dissent")));
    }
    if (index == 0)
        return;
    putchar('\n');
    cli_table_print(cli, &table);
}

/* Added or removed ones, of the side that there is. */
static void print_one_side(struct cli *cli, const char *title, const char *side, const json_t *list)
{
    const char *const titles[] = {title, "TIER", "VERSION", "PAYLOAD", "BUILT BY", "DISSENT"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *change;
    json_array_foreach(list, index, change)
    {
        const json_t *package = json_object_get(change, side);
        cli_table_add(&table, cli_cell(change, "package"));
        cli_table_add(&table, cli_cell(package, "tier"));
        cli_table_add(&table, version_of(package));
        cli_table_add(&table, short_payload(package));
        cli_table_add(&table, builders_of(package));
        cli_table_add(&table, cli_cell(package, "dissent"));
    }
    if (index == 0)
        return;
    putchar('\n');
    cli_table_print(cli, &table);
}

static void print_header(struct cli *cli, const json_t *header)
{
    static const char *const titles[] = {"DIFFERS", "BEFORE", "NOW"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *row;
    json_array_foreach(header, index, row)
    {
        CLEANUP_FREE char *before = cli_cell(row, "before"), *after = cli_cell(row, "after");
        bool is_digest = strlen(before) == 64 && strlen(after) == 64;
        cli_table_add(&table, cli_cell(row, "what"));
        cli_table_add(&table, is_digest ? mem_format("%.16s", before) : mem_string(before));
        cli_table_add(&table, is_digest ? mem_format("%.16s", after) : mem_string(after));
    }
    if (index == 0)
        return;
    putchar('\n');
    cli_table_print(cli, &table);
}

/* ---- weak links: one row for each, with the chains that hang on it; those that are as weak as themselves share a row ---- */

struct weak_link {
    const json_t *row;
    bool is_self;
    struct buf chains;
    size_t count;
};

static bool same_strength(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"operators", "anchors", "dissent"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
        if (cli_number(a, keys[i]) != cli_number(b, keys[i]))
            return false;
    return true;
}

static struct weak_link *find_link(struct weak_link *links, size_t count, const json_t *row, bool is_self)
{
    for (size_t i = 0; i < count; i++)
        if (links[i].is_self == is_self &&
            (is_self ? same_strength(links[i].row, row)
                     : strcmp(cli_text(links[i].row, "link"), cli_text(row, "link")) == 0))
            return &links[i];
    return NULL;
}

static size_t gather_links(const json_t *weakest, struct weak_link *links)
{
    size_t count = 0, index;
    json_t *row;
    json_array_foreach(weakest, index, row)
    {
        bool is_self = strcmp(cli_text(row, "link"), cli_text(row, "package")) == 0;
        struct weak_link *link = find_link(links, count, row, is_self);
        if (link == NULL) {
            link = &links[count++];
            *link = (struct weak_link){.row = row, .is_self = is_self};
        }
        if (link->count++ < NAMED_MAX)
            buf_add_format(&link->chains, "%s%s", link->count > 1 ? "," : "", cli_text(row, "package"));
    }
    return count;
}

static int by_weakness(const void *left, const void *right)
{
    const struct weak_link *a = left, *b = right;
    static const char *const keys[] = {"operators", "anchors"};
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        int64_t x = cli_number(a->row, keys[i]), y = cli_number(b->row, keys[i]);
        if (x != y)
            return x < y ? -1 : 1;
    }
    int64_t x = cli_number(a->row, "dissent"), y = cli_number(b->row, "dissent");
    if (x != y)
        return x > y ? -1 : 1;
    return strcmp(cli_text(a->row, "link"), cli_text(b->row, "link"));
}

static char *chains_cell(struct weak_link *link)
{
    if (link->count > NAMED_MAX)
        buf_add_format(&link->chains, " and %zu more", link->count - NAMED_MAX);
    return buf_steal(&link->chains);
}

static void print_weakest(struct cli *cli, const json_t *weakest)
{
    static const char *const titles[] = {"WEAKEST LINK", "OPERATORS", "ANCHORS", "DISSENT",
                                         "OF THE CHAINS OF"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t size = json_array_size(weakest);
    CLEANUP_FREE struct weak_link *links = mem_zero(size + 1, sizeof *links);
    size_t count = gather_links(weakest, links);
    qsort(links, count, sizeof *links, by_weakness);
    for (size_t i = 0; i < count; i++) {
        bool known = json_is_true(json_object_get(links[i].row, "known"));
        cli_table_add(&table, links[i].is_self ? mem_string("itself") : cli_cell(links[i].row, "link"));
        cli_table_add(&table, known ? cli_cell(links[i].row, "operators") : mem_string("unknown"));
        cli_table_add(&table, known ? cli_cell(links[i].row, "anchors") : mem_string("-"));
        cli_table_add(&table, known ? cli_cell(links[i].row, "dissent") : mem_string("-"));
        cli_table_add(&table, chains_cell(&links[i]));
    }
    if (count == 0)
        return;
    putchar('\n');
    cli_table_print(cli, &table);
}

/* ---- lines ---- */

static void print_findings(struct cli *cli, const json_t *body)
{
    size_t index;
    json_t *finding;
    const json_t *findings = json_object_get(body, "findings");
    if (json_array_size(findings) == 0)
        return;
    putchar('\n');
    cli_put(cli, CLI_BAD, "Weaker than before; each of these should be meant:");
    putchar('\n');
    json_array_foreach(findings, index, finding)
    {
        CLEANUP_FREE char *file = cli_cell(finding, "file"), *text = cli_cell(finding, "text"),
                          *rule = cli_cell(finding, "rule");
        int64_t line = cli_number(finding, "line");
        if (line > 0)
            printf("  %s:%lld: %s [%s]\n", file, (long long)line, text, rule);
        else
            printf("  %s: %s [%s]\n", file, text, rule);
    }
    if (cli_number(body, "dropped") > 0)
        printf("  and %lld more\n", (long long)cli_number(body, "dropped"));
}

static void add_list(struct buf *lines, const char *label, const json_t *list, const char *key,
                     const char *detail)
{
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        CLEANUP_FREE char *name =
            json_is_string(item) ? mem_string(json_string_value(item)) : cli_cell(item, key);
        CLEANUP_FREE char *more = detail != NULL ? cli_cell(item, detail) : NULL;
        buf_add_format(lines, "%s: %s%s%s%s\n", label, name, more != NULL ? " (" : "",
                       more != NULL ? more : "", more != NULL ? ")" : "");
    }
}

static void print_notes(const json_t *body)
{
    CLEANUP_BUF struct buf lines = BUF_INIT;
    const json_t *held = json_object_get(body, "held"), *operators = json_object_get(body, "operators");
    add_list(&lines, "held now", json_object_get(held, "came"), "package", "reason");
    add_list(&lines, "not held any more", json_object_get(held, "went"), "package", NULL);
    add_list(&lines, "operator new in the directory", json_object_get(operators, "came"), NULL, NULL);
    add_list(&lines, "operator gone from the directory", json_object_get(operators, "went"), NULL, NULL);
    add_list(&lines, "waived", json_object_get(body, "waivers"), "package", "reason");
    add_list(&lines, "dissent", json_object_get(body, "dissent"), "package", "dissent");
    add_list(&lines, "not compared", json_object_get(body, "unchecked"), NULL, NULL);
    if (lines.size > 0)
        printf("\n%s", lines.data);
}

static void print_title(const json_t *body)
{
    const json_t *against = json_object_get(body, "against");
    if (!json_is_object(against)) {
        puts("There is no signed release before it to compare it with.");
        return;
    }
    printf("Against %s (number %lld): %zu added, %zu removed, %zu changed, %lld unchanged.\n",
           cli_text(against, "release"), (long long)cli_number(against, "sequence"),
           json_array_size(json_object_get(body, "added")), json_array_size(json_object_get(body, "removed")),
           json_array_size(json_object_get(body, "changed")), (long long)cli_number(body, "unchanged"));
}

/* ---- the two commands ---- */

static void print_review(struct cli *cli, const json_t *body)
{
    print_title(body);
    print_findings(cli, body);
    print_header(cli, json_object_get(body, "header"));
    print_changed(cli, json_object_get(body, "changed"));
    print_one_side(cli, "ADDED", "after", json_object_get(body, "added"));
    print_one_side(cli, "REMOVED", "before", json_object_get(body, "removed"));
    print_weakest(cli, json_object_get(body, "weakest"));
    print_notes(body);
}

static void print_summary(struct cli *cli, const json_t *body)
{
    putchar('\n');
    print_title(body);
    print_findings(cli, body);
    print_weakest(cli, json_object_get(body, "weakest"));
    print_notes(body);
    if (json_is_object(json_object_get(body, "against")))
        printf("\n\"farmctl release diff %s\" shows all that differs.\n", cli_text(body, "release"));
}

int review_show(struct cli *cli, const char *name)
{
    if (cli->json) /* "release show --json" is one document; "release diff --json" is the other */
        return FARM_EXIT_OK;
    int status = cli_ask_print(cli, "release.review", json_pack("{s:s}", "release", name), print_summary);
    return status == FARM_EXIT_CANNOT_RUN ? status : FARM_EXIT_OK;
}

int review_diff(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"against", required_argument, NULL, 'A'}, {NULL, 0, NULL, 0}};
    const char *against = NULL;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "A:", options, NULL)) != -1;) {
        if (option != 'A')
            return cli_usage(cli, &cmd_release, "see the options below");
        against = optarg;
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_release, "expected: diff [--against OTHER] NAME");
    json_t *params = json_pack("{s:s}", "release", argv[optind]);
    if (against != NULL)
        json_object_set_new(params, "against", json_string(against));
    return cli_ask_print(cli, "release.review", params, print_review);
}
