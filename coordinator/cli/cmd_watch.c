/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "status_view.h"

#include <stdio.h>

/* On a terminal the screen is drawn again in place; elsewhere each change is a line per plan. */
static int redraw(struct cli *cli, void *context, bool progress, json_t *body)
{
    (void)context;
    (void)progress;
    if (cli->json) {
        cli_print_json(body);
    } else if (cli->colour) {
        fputs("\033[H\033[J", stdout);
        status_view_print(cli, body);
        fputs("\nCtrl-C leaves; builds go on.\n", stdout);
    } else {
        size_t index;
        json_t *plan;
        json_array_foreach(json_object_get(body, "plans"), index, plan)
        {
            CLEANUP_BUF struct buf summary = BUF_INIT;
            status_view_summary(plan, &summary);
            printf("%.12s %s: %s\n", cli_text(plan, "plan"), cli_text(plan, "state"), summary.data);
        }
    }
    return fflush(stdout) == 0 ? 0 : FARM_E_UNAVAILABLE;
}

static int run(struct cli *cli, int argc, char **argv)
{
    if (argc != 1)
        return cli_usage(cli, &cmd_watch, "unexpected \"%s\"", argv[1]);
    struct cli_request request = {.verb = "watch", .params = json_object(), .fd = -1, .reply = redraw};
    return cli_ask(cli, &request, NULL);
}

const struct cli_verb cmd_watch = {
    .name = "watch",
    .summary = "the status, live, until you leave",
    .help = "Usage: farmctl watch [--json]\n"
            "\n"
            "Redraws the status in place whenever it changes. Without a terminal: a line for each change.\n",
    .run = run,
};
