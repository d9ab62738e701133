/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farmctl: one file per verb. A verb parses its own options with getopt_long, asks the coordinator over its
 * Unix socket, and either prints the answer's JSON as it is (--json) or makes lines and tables of it.
 *
 * It never opens the database or the store. "tree check", "pin" and "plan --dry-run" need no coordinator at
 * all.
 */
#ifndef FARM_CLI_H
#define FARM_CLI_H

#include "buf.h"
#include "diag.h"
#include "json.h"
#include "problems.h"

#include <getopt.h>

struct cli {
    const char *socket; /* of the coordinator; NULL: looked for */
    bool json;          /* print answers as they are */
    bool colour;        /* standard output is a terminal, and NO_COLOR is not set */
    bool silent;        /* errors are told by who asked, and not on standard error */
    bool terminal;      /* standard error is a terminal: progress may redraw itself */
};

struct cli_verb {
    const char *name, *summary, *help;
    int (*run)(struct cli *cli, int argc, char **argv); /* argv[0] is the verb; returns an exit status */
};

/* cmd_*.c: one per verb. */
extern const struct cli_verb cmd_backup, cmd_base, cmd_blast, cmd_build, cmd_cancel, cmd_diff, cmd_doctor,
    cmd_gc, cmd_handoff, cmd_jobs, cmd_join, cmd_log, cmd_log_level, cmd_metrics, cmd_operator, cmd_pin,
    cmd_plan, cmd_release, cmd_root, cmd_scrub, cmd_source, cmd_status, cmd_tree, cmd_watch, cmd_why,
    cmd_worker;

/* cmd_review.c: "release show NAME" and "release diff NAME", for those who are about to sign. argv[0] is "diff". */
int review_show(struct cli *cli, const char *name);
int review_diff(struct cli *cli, int argc, char **argv);

/* cmd_transparency.c: "log show", "log prove", "log verify". argv[0] is the word. */
int transparency_show(struct cli *cli, int argc, char **argv);
int transparency_prove(struct cli *cli, int argc, char **argv);
int transparency_verify(struct cli *cli, int argc, char **argv);

/* ---- asking (client.c) ---- */

/* Called for each progress or item; 'final' replies come back as the result. A negative return ends the
 * conversation. */
typedef int cli_reply(struct cli *cli, void *context, bool progress, json_t *body);

struct cli_request {
    const char *verb;
    json_t *params; /* taken over */
    int fd;         /* sent along, or -1; stays the caller's */
    cli_reply *reply;
    void *context;
};
/*
 * One question. Returns the exit status that the coordinator gave (or FARM_EXIT_CANNOT_RUN, after saying why
 * on standard error); *ret_body, if not NULL, is the final body (owned, may be NULL).
 */
int cli_ask(struct cli *cli, const struct cli_request *request, json_t **ret_body);
/* Asks, and prints the final body: as JSON, or by 'print'. */
int cli_ask_print(struct cli *cli, const char *verb, json_t *params,
                  void (*print)(struct cli *cli, const json_t *body));

/* The same, and 'reply' hears of the progress. */
int cli_ask_follow(struct cli *cli, const char *verb, json_t *params, cli_reply *reply,
                   void (*print)(struct cli *cli, const json_t *body));
/* One line on standard error for each news of what an export waits for (cmd_handoff.c). */
int cli_show_waiting(struct cli *cli, void *context, bool progress, json_t *body);

/* Appends the texts of all files of "<path>.sig.d" (signatures.c). */
int cli_read_signatures(const char *path, json_t *ret, struct diag *diag) MUST_USE;

/* ---- printing (print.c) ---- */

void cli_print_json(const json_t *body);
/* What cannot be done: on standard error, and with --json also as {"error": text, "status": exit status}. Returns
 * the status, so that a verb may "return cli_error(...)". */
int cli_error(const struct cli *cli, int status, const char *text);
/* The same with the error's own exit status. */
int cli_fail(const struct cli *cli, int error, const struct diag *diag);
/* The same for a wrong command line, with the verb's help behind it on standard error. */
int cli_usage(const struct cli *cli, const struct cli_verb *verb, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The verb's help on standard output. */
int cli_help(const struct cli_verb *verb);
/* {"error", "problems": [...]} as lines. */
void cli_print_problems(const json_t *body);
/* The member as text for a table cell: strings as they are, numbers in decimal, null as "-". Control bytes
 * become '?'. Owned. */
char *cli_cell(const json_t *object, const char *key);
/* The texts of a list, "a,b"; "-" for none. Owned. */
char *cli_join(const json_t *list);
const char *cli_text(const json_t *object, const char *key); /* "" if absent; borrowed */
int64_t cli_number(const json_t *object, const char *key);

enum cli_colour { CLI_PLAIN, CLI_GOOD, CLI_BAD, CLI_WARN, CLI_FAINT };
/* Text in a colour on a terminal; prints it as it is elsewhere. */
void cli_put(struct cli *cli, enum cli_colour colour, const char *text);
enum cli_colour cli_state_colour(const char *state);

/* A table whose columns align: add cells row by row, then print. */
struct cli_table {
    const char *const *titles;
    size_t columns;
    char **cells;
    size_t ncells, capacity;
    int colour_column; /* whose text decides the colour of its cell, or -1 */
};
void cli_table_add(struct cli_table *table, char *cell);        /* taken over */
void cli_table_print(struct cli *cli, struct cli_table *table); /* and frees the cells */

#endif
