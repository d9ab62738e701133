/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-coordinator: reads the configuration, prints the join string, runs the loop until it is told to stop.
 */
#include "backup.h"
#include "farm.h"
#include "farmlog.h"
#include "sdnotify.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char help[] =
    "Usage: farm-coordinator --config FILE\n"
    "       farm-coordinator restore --config FILE --from DIR [--check]\n"
    "\n"
    "Runs the coordinator of a build farm in the foreground. It holds the queue, the results and the\n"
    "evidence; it is believed by nobody, and it holds no key that could release anything.\n"
    "\n"
    "  -c, --config FILE   farm.conf; farm.conf.example explains every key\n"
    "      --log-format F  text or json, whatever the configuration says\n"
    "      --check         read the configuration, say what is wrong with it, and stop\n"
    "      --from DIR      restore: the backup, made by \"farmctl backup\"\n"
    "  -h, --help          this text\n"
    "  -V, --version       the version\n"
    "\n"
    "On start it prints the join string, which a contributor gives to \"farm-worker init --join\".\n"
    "SIGTERM and SIGINT stop it; builds that run go on, and are taken up again after a restart.\n"
    "SIGHUP makes it read log_level and log_format again (not on a terminal, whose end ends it).\n"
    "restore puts a backup into the state directory, which must be empty or absent, and verifies every byte "
    "of it; with\n"
    "--check it verifies the backup and writes nothing. Run it as the coordinator's user while no "
    "coordinator runs.\n"
    "Look around with \"farmctl status\". Exit status: 0 stopped, 1 refused to start because its data is\n"
    "not what was signed, 2 could not run.\n";

static int fail(int error, const struct diag *diag)
{
    fprintf(stderr, "farm-coordinator: %s\n", diag_text(diag, error));
    return farm_error_exit(error);
}

static void print_join(const struct farm *farm)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    farm_join_string(farm, &text);
    printf("%s\n", text.data);
    fflush(stdout);
}

static int run(struct coordinator_config *config)
{
    struct diag diag = DIAG_INIT;
    struct farm *farm = NULL;
    config_apply_log(config);
    farm_block_signals();
    int result = farm_open(config, &farm, &diag);
    if (result < 0)
        return fail(result, &diag);
    print_join(farm);
    sdnotify_send("READY=1\nSTATUS=running");
    result = farm_run(farm, &diag);
    farm_close(farm);
    return result < 0 ? fail(result, &diag) : FARM_EXIT_OK;
}

static void say(const char *line)
{
    puts(line);
    fflush(stdout);
}

static int restore(struct coordinator_config *config, const char *from, bool check)
{
    struct diag diag = DIAG_INIT;
    int result = restore_run(config, from, check, say, &diag);
    config_done(config);
    return result < 0 ? fail(result, &diag) : FARM_EXIT_OK;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"log-format", required_argument, NULL, 'f'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"from", required_argument, NULL, 'r'},
                                            {"version", no_argument, NULL, 'V'},
                                            {NULL, 0, NULL, 0}};
    const char *path = NULL, *format = NULL, *from = NULL;
    bool check = false, is_restore = argc > 1 && strcmp(argv[1], "restore") == 0;
    for (int option; (option = getopt_long(argc, argv, "c:hV", options, NULL)) != -1;) {
        if (option == 'h')
            return fputs(help, stdout) < 0 ? FARM_EXIT_CANNOT_RUN : FARM_EXIT_OK;
        if (option == 'V')
            return puts("farm-coordinator " FARM_VERSION) < 0 ? FARM_EXIT_CANNOT_RUN : FARM_EXIT_OK;
        if (option == 'c')
            path = optarg;
        else if (option == 'k')
            check = true;
        else if (option == 'f')
            format = optarg;
        else if (option == 'r')
            from = optarg;
        else
            return FARM_EXIT_CANNOT_RUN;
    }
    struct coordinator_config config = {0};
    struct diag diag = DIAG_INIT;
    if (path == NULL || optind + (is_restore ? 1 : 0) != argc || is_restore != (from != NULL)) {
        fputs("farm-coordinator: expected --config FILE, or restore --config FILE --from DIR; see --help\n",
              stderr);
        return FARM_EXIT_CANNOT_RUN;
    }
    if (format != NULL && log_format_parse(format) < 0) {
        fprintf(stderr, "farm-coordinator: --log-format %.40s: expected text or json\n", format);
        return FARM_EXIT_CANNOT_RUN;
    }
    int result = config_read(path, &config, &diag);
    if (result < 0)
        return fail(result, &diag);
    if (is_restore)
        return restore(&config, from, check);
    if (check) {
        printf("%s: good\n", path);
        config_done(&config);
        return FARM_EXIT_OK;
    }
    config.forced_log_format = format;
    return run(&config);
}
