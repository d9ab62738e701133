/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"
#include "status_view.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* What a function prints on standard output. */
struct captured {
    FILE *file;
    int saved;
};

static struct captured capture_begin(void)
{
    struct captured captured = {tmpfile(), -1};
    assert_non_null(captured.file);
    fflush(stdout);
    captured.saved = dup(STDOUT_FILENO);
    dup2(fileno(captured.file), STDOUT_FILENO);
    return captured;
}

static void capture_end(struct captured *captured, struct buf *ret)
{
    char chunk[4096];
    size_t got;
    fflush(stdout);
    dup2(captured->saved, STDOUT_FILENO);
    close(captured->saved);
    rewind(captured->file);
    while ((got = fread(chunk, 1, sizeof chunk, captured->file)) > 0)
        buf_add(ret, chunk, got);
    fclose(captured->file);
}

static void print_two_rows(struct cli *cli)
{
    static const char *const titles[] = {"NAME", "STATE"};
    struct cli_table table = {.titles = titles, .columns = 2, .colour_column = 1};
    cli_table_add(&table, mem_string("long-name"));
    cli_table_add(&table, mem_string("agreed"));
    cli_table_add(&table, mem_string("\xc3\xa9")); /* one column wide, two bytes */
    cli_table_add(&table, mem_string("failed"));
    cli_table_print(cli, &table);
}

static void test_columns_align_and_lines_have_no_trailing_space(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT;
    struct cli cli = {0};
    (void)state;
    struct captured captured = capture_begin();
    print_two_rows(&cli);
    capture_end(&captured, &out);
    assert_string_equal(out.data, "NAME       STATE\n"
                                  "long-name  agreed\n"
                                  "\xc3\xa9          failed\n");
}

static void test_colours_only_on_a_terminal(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT;
    struct cli cli = {.colour = true};
    (void)state;
    struct captured captured = capture_begin();
    print_two_rows(&cli);
    capture_end(&captured, &out);
    assert_non_null(strstr(out.data, "\033[32magreed\033[0m"));
    assert_non_null(strstr(out.data, "\033[31mfailed\033[0m"));
}

/* What strangers write must not draw on an operator's terminal. */
static void test_control_bytes_are_replaced_in_cells(void **state)
{
    CLEANUP_JSON json_t *object =
        json_pack("{s:s, s:i, s:n}", "text", "a\033[2Jb\nc", "number", 7, "nothing");
    (void)state;
    CLEANUP_FREE char *text = cli_cell(object, "text"), *number = cli_cell(object, "number");
    CLEANUP_FREE char *nothing = cli_cell(object, "nothing"), *absent = cli_cell(object, "absent");
    assert_string_equal(text, "a?[2Jb?c");
    assert_string_equal(number, "7");
    assert_string_equal(nothing, "-");
    assert_string_equal(absent, "-");
}

static void test_a_summary_names_what_is_there(void **state)
{
    CLEANUP_BUF struct buf out = BUF_INIT;
    CLEANUP_JSON json_t *plan = json_pack("{s:i, s:i, s:{s:i, s:i, s:i}}", "nodes", 12, "elapsed_ms", 125000,
                                          "counts", "agreed", 5, "running", 2, "disputed", 1);
    (void)state;
    status_view_summary(plan, &out);
    assert_string_equal(out.data, "agreed 5 of 12, 2 running, 1 disputed (2 min 05 s)");
}

/* ---- what cannot be done ---- */

/* Standard output of f(cli); what goes to people on standard error is not looked at. */
static void errors_of(struct cli *cli, int (*f)(struct cli *cli), int wanted, struct buf *ret)
{
    struct captured captured = capture_begin();
    int status = f(cli);
    capture_end(&captured, ret);
    assert_int_equal(status, wanted);
}

static int refused(struct cli *cli)
{
    struct diag diag = DIAG_INIT;
    return cli_fail(cli, diag_set(&diag, FARM_E_REFUSED, "quorum \"2\" is not met\n"), &diag);
}

static int cannot_connect(struct cli *cli)
{
    struct cli_request request = {.verb = "status", .params = json_object(), .fd = -1};
    cli->socket = "/nonexistent/control.sock";
    return cli_ask(cli, &request, NULL);
}

static int wrong_usage(struct cli *cli)
{
    return cli_usage(cli, &cmd_why, "expected %s", "one job");
}

static int no_message(struct cli *cli)
{
    return cli_fail(cli, -ENOENT, NULL);
}

static void with_json_errors_are_one_document(void **state)
{
    static const struct {
        int (*f)(struct cli *cli);
        int status;
        const char *says;
    } cases[] = {{refused, FARM_EXIT_VIOLATION, "quorum \"2\" is not met"},
                 {cannot_connect, FARM_EXIT_CANNOT_RUN, "/nonexistent/control.sock"},
                 {wrong_usage, FARM_EXIT_CANNOT_RUN, "expected one job"},
                 {no_message, FARM_EXIT_CANNOT_RUN, "No such file"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_BUF struct buf out = BUF_INIT, plain = BUF_INIT;
        CLEANUP_JSON json_t *body = NULL;
        struct cli json = {.json = true}, text = {.json = false};
        struct diag diag = DIAG_INIT;
        errors_of(&json, cases[i].f, cases[i].status, &out);
        errors_of(&text, cases[i].f, cases[i].status, &plain);
        assert_int_equal(plain.size, 0);
        /* One line, and nothing behind it. */
        assert_ptr_equal(strchr(out.data, '\n'), out.data + out.size - 1);
        if (json_read(view_of(out.data, out.size - 1), "output", 4096, &body, &diag) < 0)
            fail_msg("%s: %s", diag.text, out.data);
        assert_int_equal(cli_number(body, "status"), cases[i].status);
        assert_non_null(strstr(cli_text(body, "error"), cases[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_align_and_lines_have_no_trailing_space),
        cmocka_unit_test(test_colours_only_on_a_terminal),
        cmocka_unit_test(test_control_bytes_are_replaced_in_cells),
        cmocka_unit_test(test_a_summary_names_what_is_there),
        cmocka_unit_test(with_json_errors_are_one_document),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
