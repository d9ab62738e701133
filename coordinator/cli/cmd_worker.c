/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>

enum { ENTRY_FILE_MAX = 64 * 1024 };

static char *state_of(const json_t *worker)
{
    static const char *const order[] = {"revoked", "expired", "flagged", "resting", "paused", "online"};
    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (json_is_true(json_object_get(worker, order[i])))
            return mem_string(order[i]);
    return mem_string("offline");
}

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"WORKER",  "OPERATOR", "STATE", "ANCHOR", "LEASES",
                                         "ANSWERS", "OUTVOTED", "CORES", "HEARD"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 2};
    size_t index;
    json_t *worker;
    json_array_foreach(json_object_get(body, "workers"), index, worker)
    {
        cli_table_add(&table, cli_cell(worker, "worker"));
        cli_table_add(&table, cli_cell(worker, "operator"));
        cli_table_add(&table, state_of(worker));
        cli_table_add(&table, cli_cell(worker, "anchor"));
        cli_table_add(&table, cli_cell(worker, "leases"));
        cli_table_add(&table, cli_cell(worker, "answers"));
        cli_table_add(&table, cli_cell(worker, "outvoted"));
        cli_table_add(&table, cli_cell(json_object_get(worker, "facts"), "cores"));
        cli_table_add(&table, cli_cell(worker, "heard"));
    }
    if (index == 0)
        puts("No workers. \"farmctl join\" prints what a contributor needs.");
    else
        cli_table_print(cli, &table);
}

static void print_admitted(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%s of %s is admitted%s (directory version %lld)\n", cli_text(body, "worker"),
           cli_text(body, "operator"), json_is_true(json_object_get(body, "anchor")) ? " as an anchor" : "",
           (long long)cli_number(body, "directory_version"));
}

static void print_state(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%s is %s\n", cli_text(body, "worker"), cli_text(body, "state"));
}

/* "extra/zlib  (plan 3f2a...)  ready, round 2, 2 more are asked" */
static void print_reopened(const json_t *rows)
{
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row)
        printf("  %s  (plan %.12s)  %s, round %lld; %lld more needed\n", cli_text(row, "node"),
               cli_text(row, "plan"), cli_text(row, "state"), (long long)cli_number(row, "round"),
               (long long)cli_number(row, "missing"));
}

static void print_names(const json_t *rows)
{
    enum { NAMES_MAX = 20 };
    size_t index;
    json_t *row;
    json_array_foreach(rows, index, row) if (index < NAMES_MAX)
        printf("%s%s", index > 0 ? ", " : "  ", cli_text(row, "node"));
    if (index > NAMES_MAX)
        printf(" and %zu more", index - NAMES_MAX);
    puts("");
}

static void print_consequences(struct cli *cli, const json_t *body)
{
    const json_t *reopened = json_object_get(body, "reopened"), *upon = json_object_get(body, "upon");
    print_state(cli, body);
    printf("answers of it that count no longer: %lld\n", (long long)cli_number(body, "voided"));
    if (json_array_size(reopened) > 0) {
        puts("verdicts that were reopened, and are built again:");
        print_reopened(reopened);
    } else {
        puts("every verdict stands");
    }
    if (json_array_size(upon) > 0) {
        puts("built upon them; these stand if the same comes out, and are built again if not:");
        print_names(upon);
    }
}

/* A signed entry: {"entry":{...},"signatures":[...]}, from FILE and FILE.sig.d/. */
static int read_entry(const char *path, json_t **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *entry, *signatures = json_array();
    int result = file_read(AT_FDCWD, path, ENTRY_FILE_MAX, &text, diag);
    if (result >= 0)
        result = json_read(buf_view(&text), path, ENTRY_FILE_MAX, &entry, diag);
    if (result >= 0 && (result = cli_read_signatures(path, signatures, diag)) < 0)
        json_decref(entry);
    if (result < 0) {
        json_decref(signatures);
        return result;
    }
    *ret = json_pack("{s:o, s:o}", "entry", entry, "signatures", signatures);
    return 0;
}

static int admit(struct cli *cli, const char *path)
{
    struct diag diag = DIAG_INIT;
    json_t *document;
    int result = read_entry(path, &document, &diag);
    return result < 0
               ? cli_fail(cli, result, &diag)
               : cli_ask_print(cli, "worker.admit", json_pack("{s:o}", "document", document), print_admitted);
}

/* revoke or expire; argv[0] is that word. */
static int end_worker(struct cli *cli, const char *verb, int argc, char **argv)
{
    static const struct option options[] = {{"reason", required_argument, NULL, 'r'},
                                            {"entry", required_argument, NULL, 'e'},
                                            {NULL, 0, NULL, 0}};
    struct diag diag = DIAG_INIT;
    const char *reason = NULL, *entry = NULL;
    json_t *document;
    for (int option; (option = getopt_long(argc, argv, "r:e:", options, NULL)) != -1;) {
        if (option == 'r')
            reason = optarg;
        else if (option == 'e')
            entry = optarg;
        else
            return cli_usage(cli, &cmd_worker, "see the options below");
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_worker, "%s expects one WORKER", argv[0]);
    if (entry == NULL && strcmp(argv[0], "expire") == 0)
        return cli_usage(cli, &cmd_worker,
                         "expire expects --entry FILE: when an entry ends stands in it, signed");
    json_t *params = json_pack("{s:s}", "worker", argv[optind]);
    if (reason != NULL)
        json_object_set_new(params, "reason", json_string(reason));
    if (entry != NULL) {
        int result = read_entry(entry, &document, &diag);
        if (result < 0) {
            json_decref(params);
            return cli_fail(cli, result, &diag);
        }
        json_object_set_new(params, "document", document);
    }
    return cli_ask_print(cli, verb, params, print_consequences);
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name, *verb;
    } simple[] =
        {
            {"pause", "worker.pause"},
            {"resume", "worker.resume"},
            {"drain", "worker.drain"},
        },
      ends[] = {{"revoke", "worker.revoke"}, {"expire", "worker.expire"}};
    const char *what = argc > 1 ? argv[1] : "list";
    if (strcmp(what, "list") == 0 && argc <= 2)
        return cli_ask_print(cli, "worker.list", json_object(), print_list);
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
        if (strcmp(ends[i].name, what) == 0)
            return end_worker(cli, ends[i].verb, argc - 1, argv + 1);
    if (argc != 3)
        return cli_usage(cli, &cmd_worker,
                         "expected list, or admit FILE, or revoke, expire, pause, resume or drain WORKER");
    if (strcmp(what, "admit") == 0)
        return admit(cli, argv[2]);
    for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
        if (strcmp(simple[i].name, what) == 0)
            return cli_ask_print(cli, simple[i].verb, json_pack("{s:s}", "worker", argv[2]), print_state);
    return cli_usage(cli, &cmd_worker, "unknown \"%s\"", what);
}

const struct cli_verb cmd_worker = {
    .name = "worker",
    .summary = "list, admit, revoke, expire, pause, resume and drain workers",
    .help =
        "Usage: farmctl worker list [--json]\n"
        "       farmctl worker admit FILE\n"
        "       farmctl worker revoke WORKER [--reason TEXT] [--entry FILE]\n"
        "       farmctl worker expire WORKER --entry FILE\n"
        "       farmctl worker pause|resume|drain WORKER\n"
        "\n"
        "FILE is a signed directory entry: the contributor's request.json, signed by its operator and by "
        "the\n"
        "enrolment role (\"farm-sign entry\").\n"
        "\n"
        "revoke ends the worker for good: its session at once, and none of its answers counts any more, "
        "past\n"
        "ones included. With --entry those before the position in the log that the entry names go on\n"
        "counting (\"farm-sign entry FILE --compromised-from POSITION\"). What was agreed with the votes "
        "that\n"
        "are lost is reopened and built again, and listed; \"farmctl blast-radius\" shows it beforehand.\n"
        "expire ends it by an entry whose date has come; everything it said stands.\n"
        "A drained worker finishes what it builds and leaves.\n",
    .run = run,
};
