/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "doctor.h"
#include "moment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

/* Where a configuration may be, when nobody says: of a quickstart in this directory, of the installed service. */
static const char *const places[] = {".farm/coordinator/farm.conf", "/etc/intergenos-farm/farm.conf"};

static const char *find_config(const char *named)
{
    if (named != NULL)
        return named;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}

static void open_state(struct doctor *doctor)
{
    doctor->state_dirfd = -1;
    if (doctor->config_path == NULL)
        return;
    doctor->config_error = config_read(doctor->config_path, &doctor->config, &doctor->config_diag);
    if (doctor->config_error < 0)
        return;
    doctor->state_dirfd = open(doctor->config.state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    doctor->state_error = errno;
}

/* The socket that this configuration names, unless another was given. Its absence is a finding, not an error of ours. */
static void ask_status(const struct cli *cli, struct doctor *doctor)
{
    const struct coordinator_config *config = &doctor->config;
    struct cli quiet = *cli;
    CLEANUP_FREE char *socket = NULL;
    if (quiet.socket == NULL && getenv("FARM_SOCKET") == NULL && doctor->state_dirfd >= 0) {
        socket = config->control_socket[0] != '\0' ? mem_string(config->control_socket)
                                                   : mem_format("%s/control.sock", config->state_dir);
        quiet.socket = socket;
    }
    quiet.silent = true;
    struct cli_request request = {.verb = "status", .params = json_object(), .fd = -1};
    (void)cli_ask(&quiet, &request, &doctor->status);
}

static int examine(struct cli *cli, const char *config_path)
{
    struct doctor doctor = {.config_path = find_config(config_path), .now_ms = moment_wall_ms()};
    struct health_report report = HEALTH_REPORT_INIT;
    open_state(&doctor);
    ask_status(cli, &doctor);
    if (doctor.config_path == NULL && doctor.status == NULL)
        return cli_error(
            cli, FARM_EXIT_CANNOT_RUN,
            "no configuration and no coordinator was found; name one with --config FILE or --socket PATH");
    health_run(doctor_checks, doctor_nchecks, &doctor, &report);
    int status = health_exit(&report);
    if (cli->json) {
        CLEANUP_JSON json_t *body = health_json(&report);
        cli_print_json(body);
    } else {
        health_print(&report, stdout);
    }
    health_report_done(&report);
    json_decref(doctor.status);
    mem_close_p(&doctor.state_dirfd);
    config_done(&doctor.config);
    return status;
}

static int run(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'}, {NULL, 0, NULL, 0}};
    const char *config = NULL;
    for (int option; (option = getopt_long(argc, argv, "c:", options, NULL)) != -1;) {
        if (option != 'c')
            return cli_usage(cli, &cmd_doctor, "see the options below");
        config = optarg;
    }
    if (argc != optind)
        return cli_usage(cli, &cmd_doctor, "unexpected \"%s\"", argv[optind]);
    return examine(cli, config);
}

const struct cli_verb cmd_doctor = {
    .name = "doctor",
    .summary = "look at configuration, state and machine; say what to do",
    .help = "Usage: farmctl doctor [--config FILE] [--json]\n"
            "\n"
            "  -c, --config FILE  the coordinator's farm.conf (.farm/coordinator/farm.conf or\n"
            "                     /etc/intergenos-farm/farm.conf)\n"
            "\n"
            "Works when the coordinator does not run, too. One line a check: ok, none (nothing to look at), "
            "warn or fail; what it\n"
            "means, and what to do. Nothing is changed. Run it as the coordinator's user or as root. Exit "
            "status: 0 all is well or\n"
            "there are warnings, 1 something failed, 2 could not look at all.\n",
    .run = run,
};
