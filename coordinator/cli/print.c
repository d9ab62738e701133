/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Print: lines and tables for people. */
#include "cli.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void cli_print_json(const json_t *body)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    json_write(body, &text);
    puts(text.data);
}

static void print_json_error(const struct cli *cli, int status, const char *text)
{
    if (!cli->json)
        return;
    CLEANUP_JSON json_t *body =
        json_pack("{s:o, s:i}", "error", json_view(view_text(text)), "status", status);
    cli_print_json(body);
}

int cli_error(const struct cli *cli, int status, const char *text)
{
    if (cli->silent)
        return status;
    fprintf(stderr, "farmctl: %s\n", text);
    print_json_error(cli, status, text);
    return status;
}

int cli_fail(const struct cli *cli, int error, const struct diag *diag)
{
    return cli_error(cli, farm_error_exit(error), diag_text(diag, error));
}

int cli_usage(const struct cli *cli, const struct cli_verb *verb, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    CLEANUP_FREE char *text = mem_vformat(format, args);
    va_end(args);
    fprintf(stderr, "farmctl %s: %s\n%s", verb->name, text, verb->help);
    print_json_error(cli, FARM_EXIT_CANNOT_RUN, text);
    return FARM_EXIT_CANNOT_RUN;
}

int cli_help(const struct cli_verb *verb)
{
    fputs(verb->help, stdout);
    return FARM_EXIT_OK;
}

/* What packages and builds put into a text shall not draw on the terminal. */
static void replace_control_bytes(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

char *cli_cell(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);
    char *cell = json_is_string(value)    ? mem_string(json_string_value(value))
                 : json_is_integer(value) ? mem_format("%lld", (long long)json_integer_value(value))
                 : json_is_boolean(value) ? mem_string(json_is_true(value) ? "yes" : "no")
                                          : mem_string("-");
    replace_control_bytes(cell);
    return cell;
}

const char *cli_text(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text != NULL ? text : "";
}

int64_t cli_number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

void cli_print_problems(const json_t *body)
{
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(body, "problems"), index, item)
    {
        CLEANUP_FREE char *file = cli_cell(item, "file"), *text = cli_cell(item, "text"),
                          *rule = cli_cell(item, "rule");
        int64_t line = cli_number(item, "line");
        if (line > 0)
            fprintf(stderr, "%s:%lld: %s [%s]\n", file, (long long)line, text, rule);
        else
            fprintf(stderr, "%s: %s [%s]\n", file, text, rule);
    }
    fprintf(stderr, "farmctl: %zu problem%s: %s\n", index, index == 1 ? "" : "s", cli_text(body, "error"));
}

static const char *const escapes[] = {[CLI_PLAIN] = "",
                                      [CLI_GOOD] = "\033[32m",
                                      [CLI_BAD] = "\033[31m",
                                      [CLI_WARN] = "\033[33m",
                                      [CLI_FAINT] = "\033[2m"};

void cli_put(struct cli *cli, enum cli_colour colour, const char *text)
{
    if (!cli->colour || colour == CLI_PLAIN)
        fputs(text, stdout);
    else
        printf("%s%s\033[0m", escapes[colour], text);
}

enum cli_colour cli_state_colour(const char *state)
{
    static const struct {
        const char *state;
        enum cli_colour colour;
    } table[] = {{"agreed", CLI_GOOD}, {"done", CLI_GOOD},    {"signed", CLI_GOOD},   {"disputed", CLI_BAD},
                 {"failed", CLI_BAD},  {"halted", CLI_BAD},   {"revoked", CLI_BAD},   {"blocked", CLI_WARN},
                 {"flagged", CLI_BAD}, {"running", CLI_WARN}, {"offline", CLI_FAINT}, {"waiting", CLI_FAINT}};
    for (size_t i = 0; i < ARRAY_SIZE(table); i++)
        if (strcmp(table[i].state, state) == 0)
            return table[i].colour;
    return CLI_PLAIN;
}

void cli_table_add(struct cli_table *table, char *cell)
{
    table->cells = mem_reserve(table->cells, &table->capacity, table->ncells + 1, sizeof *table->cells);
    table->cells[table->ncells++] = cell;
}

/* Columns of characters, not bytes: continuation bytes of UTF-8 take no room. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void put_padded(struct cli *cli, enum cli_colour colour, const char *text, int width, bool last)
{
    cli_put(cli, colour, text);
    if (!last)
        printf("%*s", width - width_of(text) + 2, "");
}

void cli_table_print(struct cli *cli, struct cli_table *table)
{
    assert(table->columns > 0);
    CLEANUP_FREE int *widths = mem_zero(table->columns, sizeof *widths);
    for (size_t i = 0; i < table->columns; i++)
        widths[i] = width_of(table->titles[i]);
    for (size_t i = 0; i < table->ncells; i++)
        if (width_of(table->cells[i]) > widths[i % table->columns])
            widths[i % table->columns] = width_of(table->cells[i]);
    for (size_t i = 0; i < table->columns; i++)
        put_padded(cli, CLI_FAINT, table->titles[i], widths[i], i + 1 == table->columns);
    putchar('\n');
    for (size_t i = 0; i < table->ncells; i++) {
        size_t column = i % table->columns;
        bool coloured = table->colour_column >= 0 && column == (size_t)table->colour_column;
        put_padded(cli, coloured ? cli_state_colour(table->cells[i]) : CLI_PLAIN, table->cells[i],
                   widths[column], column + 1 == table->columns);
        if (column + 1 == table->columns)
            putchar('\n');
        free(table->cells[i]);
    }
    free(table->cells);
    table->cells = NULL;
    table->ncells = table->capacity = 0;
}

char *cli_join(const json_t *list)
{
    struct buf text = BUF_INIT;
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item) buf_add_format(
        &text, "%s%s", index > 0 ? "," : "", json_is_string(item) ? json_string_value(item) : "?");
    if (text.size == 0)
        buf_add_text(&text, "-");
    return buf_steal(&text);
}
