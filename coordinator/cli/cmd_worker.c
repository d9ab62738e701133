/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"

#include <fcntl.h>
#include <stdio.h>

enum { ENTRY_FILE_MAX = 64 * 1024 };

static char *state_of(const json_t *worker)
{
    static const char *const order[] = {"revoked", "flagged", "resting", "paused", "online"};
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

static int admit(struct cli *cli, const char *path)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_t *entry, *signatures = json_array();
    int result = file_read(AT_FDCWD, path, ENTRY_FILE_MAX, &text, &diag);
    if (result >= 0)
        result = json_read(buf_view(&text), path, ENTRY_FILE_MAX, &entry, &diag);
    if (result >= 0 && (result = cli_read_signatures(path, signatures, &diag)) < 0)
        json_decref(entry);
    if (result < 0) {
        json_decref(signatures);
        return cli_fail(cli, result, &diag);
    }
    json_t *document = json_pack("{s:o, s:o}", "entry", entry, "signatures", signatures);
    return cli_ask_print(cli, "worker.admit", json_pack("{s:o}", "document", document), print_admitted);
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct {
        const char *name, *verb;
    } simple[] = {{"revoke", "worker.revoke"},
                  {"pause", "worker.pause"},
                  {"resume", "worker.resume"},
                  {"drain", "worker.drain"}};
    const char *what = argc > 1 ? argv[1] : "list";
    if (strcmp(what, "list") == 0 && argc <= 2)
        return cli_ask_print(cli, "worker.list", json_object(), print_list);
    if (argc != 3)
        return cli_usage(cli, &cmd_worker,
                         "expected list, or admit FILE, or revoke, pause, resume or drain WORKER");
    if (strcmp(what, "admit") == 0)
        return admit(cli, argv[2]);
    for (size_t i = 0; i < ARRAY_SIZE(simple); i++)
        if (strcmp(simple[i].name, what) == 0)
            return cli_ask_print(cli, simple[i].verb, json_pack("{s:s}", "worker", argv[2]), print_state);
    return cli_usage(cli, &cmd_worker, "unknown \"%s\"", what);
}

const struct cli_verb cmd_worker = {
    .name = "worker",
    .summary = "list, admit, revoke, pause, resume and drain workers",
    .help = "Usage: farmctl worker list [--json]\n"
            "       farmctl worker admit FILE\n"
            "       farmctl worker revoke|pause|resume|drain WORKER\n"
            "\n"
            "FILE is a signed directory entry: the contributor's request.json, signed by its operator and by "
            "the\n"
            "enrolment role (\"farm-sign entry\"). A revoked worker's session ends at once, and its answers\n"
            "stay as evidence. A drained worker finishes what it builds and leaves.\n",
    .run = run,
};
