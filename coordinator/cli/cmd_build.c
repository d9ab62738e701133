/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status_view.h"

#include <stdio.h>

struct build_view {
    const char *plan;
    struct buf last; /* the line shown last */
};

static void show_line(struct cli *cli, struct build_view *view, const char *line)
{
    if (view->last.size > 0 && strcmp(view->last.data, line) == 0)
        return;
    if (cli->terminal)
        fprintf(stderr, "\r\033[K%s", line);
    else
        fprintf(stderr, "%s\n", line);
    buf_clear(&view->last);
    buf_add_text(&view->last, line);
}

static int on_reply(struct cli *cli, void *context, bool progress, json_t *body)
{
    struct build_view *view = context;
    CLEANUP_BUF struct buf line = BUF_INIT;
    (void)progress;
    if (cli->json)
        return 0;
    if (json_object_get(body, "source") != NULL) {
        buf_add_format(&line, "source of %s is here", cli_text(body, "source"));
    } else {
        const json_t *plan = status_view_find_plan(body, view->plan);
        if (plan == NULL)
            return 0;
        status_view_summary(plan, &line);
        /* Elapsed time alone is no news where every line stays. */
        char *paren = cli->terminal ? NULL : strrchr(line.data, '(');
        if (paren != NULL)
            *paren = '\0';
    }
    show_line(cli, view, line.data);
    return 0;
}

static int print_end(struct cli *cli, int status, const json_t *body, bool waited)
{
    if (json_object_get(body, "problems") != NULL)
        cli_print_problems(body);
    else if (waited)
        status_view_print(cli, body);
    else
        printf("%.12s is %s\n", cli_text(body, "plan"),
               strcmp(cli_text(body, "state"), "done") == 0 ? "done already; --from-scratch builds it again"
                                                            : "running; \"farmctl watch\" follows it");
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {
        {"wait", no_argument, NULL, 'w'}, {"from-scratch", no_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    bool wait = false, from_scratch = false;
    for (int option; (option = getopt_long(argc, argv, "w", options, NULL)) != -1;) {
        wait = wait || option == 'w';
        from_scratch = from_scratch || option == 'f';
        if (option != 'w' && option != 'f')
            return cli_usage(cli, &cmd_build, "see the options below");
    }
    if (argc - optind != 1)
        return cli_usage(cli, &cmd_build, "expected one plan");
    struct build_view view = {.plan = argv[optind]};
    CLEANUP_JSON json_t *body = NULL;
    struct cli_request request = {.verb = "build",
                                  .params = json_pack("{s:s, s:b, s:b}", "plan", argv[optind], "wait",
                                                      (int)wait, "from_scratch", (int)from_scratch),
                                  .fd = -1,
                                  .reply = on_reply,
                                  .context = &view};
    int status = cli_ask(cli, &request, &body);
    if (cli->terminal && view.last.size > 0)
        fputc('\n', stderr);
    buf_done(&view.last);
    if (body == NULL)
        return status;
    if (cli->json) {
        cli_print_json(body);
        return status;
    }
    return print_end(cli, status, body, wait);
}

const struct cli_verb cmd_build = {
    .name = "build",
    .summary = "start a plan, and wait for its end if you like",
    .help = "Usage: farmctl build [--wait] [--from-scratch] PLAN [--json]\n"
            "\n"
            "  -w, --wait          show progress until it ends; exit status 1 if anything did not build\n"
            "      --from-scratch  build again what was agreed before, and compare\n"
            "\n"
            "First all sources are brought into the farm. If one cannot be had, or has other bytes than its "
            "pin says, all such\n"
            "are listed and nothing starts.\n",
    .run = run,
};
