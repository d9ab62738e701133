/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-worker: the command line. What it does is in enrol.c (init), agent.c (run) and owner.c (what the owner asks).
 */
#include "agent.h"
#include "conf.h"
#include "enrol.h"
#include "farmlog.h"
#include "file.h"
#include "link.h"
#include "owner.h"
#include "sandbox.h"
#include "statedir.h"
#include "worker_doctor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char help[] =
    "farm-worker: gives this machine's spare time to a build farm of InterGenOS.\n"
    "\n"
    "Joining takes three steps:\n"
    "\n"
    "  1. farm-worker init --join STRING --operator NAME --state DIR\n"
    "     STRING is the line \"igos-farm:1:...\" from whoever runs the farm; NAME is you. It prints a "
    "request: a file,\n"
    "     and the same as one line \"igos-request:1:...\" that can be pasted anywhere.\n"
    "  2. farm-sign entry init --request REQUEST --operator-key YOUR-KEY.pub --expires YYYY-MM-DD --out "
    "entry.json\n"
    "     farm-sign entry entry.json --key YOUR-KEY\n"
    "     on the computer that has your key. Send entry.json and entry.json.sig.d to them; they sign it as "
    "well, and\n"
    "     run: farmctl worker admit entry.json\n"
    "  3. farm-worker run --state DIR\n"
    "\n"
    "Builds run in a sandbox without network, as a user of their own, and see nothing of this machine. The "
    "worker\n"
    "does not believe the farm: it follows the trust root from the digest in STRING, derives each build "
    "itself, and\n"
    "watches that the farm's public log holds its answers and is never rewritten. If that fails it raises an "
    "alarm.\n"
    "\n"
    "Commands\n"
    "  init      make a worker: keys, worker.conf, enrolment request\n"
    "  run       work, in the foreground, until it is stopped\n"
    "  status    what it does and what it did; an alarm first\n"
    "  pause     take nothing new; running builds go on      (or signal USR1)\n"
    "  resume    take work again                             (or signal USR2)\n"
    "  drain     finish running builds, then leave           (or signal TERM, once)\n"
    "  stop      stop now, giving leases back                (or signal TERM, twice)\n"
    "  alarm show         why it stopped believing the farm; status 1 if it did\n"
    "  alarm clear        let it go on, once that is explained\n"
    "  doctor             look at configuration, machine and sandbox, and say what to do; --json\n"
    "  cosigned           the newest checkpoint of the log that it cosigned, to give to a release manager\n"
    "\n"
    "Options of every command\n"
    "  --state DIR         the worker's state directory\n"
    "  --verbose           say more, whatever worker.conf says\n"
    "  --log-format FORMAT text or json, whatever worker.conf says\n"
    "  --help, --version\n"
    "\n"
    "Options of init\n"
    "  --join STRING       where the farm is, its key, its trust root\n"
    "  --operator NAME     who you are: 1 to 64 of a-z 0-9 . _ -\n"
    "  --worker NAME       this worker's name; default: operator and host name\n"
    "  --root FILE         the farm's root.json; only if STRING names none, or to have it before the first "
    "connection\n"
    "  --site NAME         where this machine is, for farms that want results from different places\n"
    "  --slots N           leases at a time (1)\n"
    "  --cores N           cores that all builds together may use (all)\n"
    "  --memory SIZE       memory that they may use, e.g. 8G (three quarters)\n"
    "  --disk SIZE         disk space that they may fill (half of what is free)\n"
    "  --cache SIZE        disk space for downloads and unpacked roots (a quarter of what is free)\n"
    "  --allow-tree URL    a package tree to build, and everything below that URL; may be repeated (any "
    "https URL)\n"
    "  --allow-host HOST   a host that such a URL may name, *.example.org: all below it; may be repeated "
    "(any)\n"
    "  --verify-upstream   fetch package trees from their URLs, not from the coordinator\n"
    "  --allow-base HEX    a base to build upon, by digest; may be repeated (any that the trust root "
    "allows)\n"
    "\n"
    "Option of doctor\n"
    "  --json              one JSON document\n"
    "\n"
    "Option of alarm clear\n"
    "  --forget            also forget what it saw of log, trust root and directory; the worker must not "
    "run\n"
    "\n"
    "Limits and lists can be changed later in DIR/worker.conf.\n"
    "Exit status: 0 done, 1 refused or failed, 2 could not run.\n";

enum option_code {
    OPTION_STATE = 256,
    OPTION_JOIN,
    OPTION_OPERATOR,
    OPTION_WORKER,
    OPTION_ROOT,
    OPTION_SITE,
    OPTION_SLOTS,
    OPTION_CORES,
    OPTION_MEMORY,
    OPTION_DISK,
    OPTION_CACHE,
    OPTION_TREE,
    OPTION_HOST,
    OPTION_UPSTREAM,
    OPTION_BASE,
    OPTION_FORGET,
    OPTION_JSON,
    OPTION_VERBOSE,
    OPTION_LOG_FORMAT,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option options[] = {
    {"state", required_argument, NULL, OPTION_STATE},
    {"join", required_argument, NULL, OPTION_JOIN},
    {"operator", required_argument, NULL, OPTION_OPERATOR},
    {"worker", required_argument, NULL, OPTION_WORKER},
    {"root", required_argument, NULL, OPTION_ROOT},
    {"site", required_argument, NULL, OPTION_SITE},
    {"slots", required_argument, NULL, OPTION_SLOTS},
    {"cores", required_argument, NULL, OPTION_CORES},
    {"memory", required_argument, NULL, OPTION_MEMORY},
    {"disk", required_argument, NULL, OPTION_DISK},
    {"cache", required_argument, NULL, OPTION_CACHE},
    {"allow-tree", required_argument, NULL, OPTION_TREE},
    {"allow-host", required_argument, NULL, OPTION_HOST},
    {"verify-upstream", no_argument, NULL, OPTION_UPSTREAM},
    {"allow-base", required_argument, NULL, OPTION_BASE},
    {"forget", no_argument, NULL, OPTION_FORGET},
    {"json", no_argument, NULL, OPTION_JSON},
    {"verbose", no_argument, NULL, OPTION_VERBOSE},
    {"log-format", required_argument, NULL, OPTION_LOG_FORMAT},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

struct arguments {
    const char *join;
    struct enrol enrol;
    struct buf trees, hosts, bases;
    bool for_init; /* an option that only init has was given */
    bool forget, json;
    bool verbose;
    const char *log_format; /* NULL: as worker.conf says */
    const char *what;       /* the word behind the command; NULL: none */
};

static int take_number(const char *name, const char *text, uint64_t *ret, struct diag *diag)
{
    if (!view_decimal(view_text(text), ret) || *ret == 0 || *ret > 65536)
        return diag_set(diag, FARM_E_USAGE, "--%s %s: a number from 1 to 65536 is expected", name, text);
    return 0;
}

static int take_size(const char *name, const char *text, uint64_t *ret, struct diag *diag)
{
    /* The least that worker.conf accepts for any of them. */
    if (!conf_parse_bytes(view_text(text), ret) || *ret >> 20 < 256)
        return diag_set(diag, FARM_E_USAGE, "--%s %s: a size of at least 256M is expected, e.g. 8G", name,
                        text);
    return 0;
}

/* One item of a list in worker.conf, where comma and white space separate. */
static int take_item(const char *name, const char *text, struct buf *list, struct diag *diag)
{
    if (!view_is_token(view_text(text)) || strchr(text, ',') != NULL || strchr(text, ';') != NULL ||
        strchr(text, '#') != NULL)
        return diag_set(diag, FARM_E_USAGE, "--%s %s: no spaces, commas, semicolons or # are possible", name,
                        text);
    buf_add_format(list, "%s%s", list->size > 0 ? "," : "", text);
    return 0;
}

static int take_option(struct arguments *arguments, int code, const char *value, struct diag *diag)
{
    struct worker_wish *wish = &arguments->enrol.wish;
    if (code != OPTION_STATE && code != OPTION_VERBOSE && code != OPTION_LOG_FORMAT &&
        code != OPTION_FORGET && code != OPTION_JSON)
        arguments->for_init = true;
    switch (code) {
    case OPTION_STATE:
        arguments->enrol.state = value;
        return 0;
    case OPTION_JOIN:
        arguments->join = value;
        return 0;
    case OPTION_OPERATOR:
        wish->operator_name = value;
        return 0;
    case OPTION_WORKER:
        wish->name = value;
        return 0;
    case OPTION_ROOT:
        arguments->enrol.root_file = value;
        return 0;
    case OPTION_SITE:
        arguments->enrol.site = value;
        return 0;
    case OPTION_SLOTS:
        return take_number("slots", value, &wish->slots, diag);
    case OPTION_CORES:
        return take_number("cores", value, &wish->cores, diag);
    case OPTION_MEMORY:
        return take_size("memory", value, &wish->memory_bytes, diag);
    case OPTION_DISK:
        return take_size("disk", value, &wish->disk_bytes, diag);
    case OPTION_CACHE:
        return take_size("cache", value, &wish->cache_bytes, diag);
    case OPTION_TREE:
        return take_item("allow-tree", value, &arguments->trees, diag);
    case OPTION_HOST:
        return take_item("allow-host", value, &arguments->hosts, diag);
    case OPTION_UPSTREAM:
        wish->verify_upstream = true;
        return 0;
    case OPTION_BASE:
        return take_item("allow-base", value, &arguments->bases, diag);
    case OPTION_FORGET:
        arguments->forget = true;
        return 0;
    case OPTION_JSON:
        arguments->json = true;
        return 0;
    case OPTION_VERBOSE:
        arguments->verbose = true;
        log_set_level(LOG_LEVEL_DEBUG);
        return 0;
    case OPTION_LOG_FORMAT:
        if (log_format_parse(value) < 0)
            return diag_set(diag, FARM_E_USAGE, "--log-format %.40s: text or json is expected", value);
        arguments->log_format = value;
        log_set_format((enum log_format)log_format_parse(value));
        return 0;
    default:
        return diag_set(diag, FARM_E_USAGE, "unknown option or missing value; see farm-worker --help");
    }
}

/* ---- commands ---- */

static int check_names(const struct enrol *enrol, struct diag *diag)
{
    const struct {
        const char *option, *name;
    } names[] = {
        {"operator", enrol->wish.operator_name}, {"worker", enrol->wish.name}, {"site", enrol->site}};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        if (names[i].name != NULL && !identity_name_is_valid(view_text(names[i].name)))
            return diag_set(diag, FARM_E_USAGE,
                            "--%s %.80s: 1 to %d of a-z 0-9 . _ - are possible, beginning with a letter or "
                            "digit",
                            names[i].option, names[i].name, IDENTITY_NAME_MAX);
    return 0;
}

static int command_init(struct arguments *arguments, struct diag *diag)
{
    struct enrol *enrol = &arguments->enrol;
    if (arguments->join == NULL || enrol->wish.operator_name == NULL)
        return diag_set(diag, FARM_E_USAGE,
                        "init needs --join STRING and --operator NAME (farm-worker --help explains them)");
    int error = check_names(enrol, diag);
    if (error >= 0)
        error = join_parse(view_text(arguments->join), &enrol->wish.join, diag);
    if (error < 0)
        return error;
    enrol->wish.trees = arguments->trees.size > 0 ? arguments->trees.data : NULL;
    enrol->wish.hosts = arguments->hosts.size > 0 ? arguments->hosts.data : NULL;
    enrol->wish.bases = arguments->bases.size > 0 ? arguments->bases.data : NULL;
    return enrol_run(enrol, stdout, diag);
}

static void say_allowed(const struct workshop *shop)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    worker_conf_describe(&shop->conf, &text);
    struct view rest = buf_view(&text), line;
    while (view_split(&rest, '\n', &line))
        if (line.size > 0)
            log_info("%.*s", VIEW_ARG(line));
    buf_clear(&text);
    trust_describe(shop->trust, &text);
    log_info("trust root: %s", text.data);
    if (!trust_is_pinned(shop->trust))
        log_warning("the bases that the farm names are not checked, nor its log: to change that, make the "
                    "worker anew "
                    "with a join string of today");
}

/* From here on this process is the build user, alone in the directory, and works with paths below it. */
static int settle(int state_dirfd, int *ret_lock, struct diag *diag)
{
    int error = statedir_hand_over(state_dirfd, false, diag);
    if (error >= 0)
        error = sandbox_drop_root(NULL, state_dirfd, diag);
    if (error >= 0)
        error = statedir_lock(state_dirfd, ret_lock, diag);
    if (error >= 0 && fchdir(state_dirfd) < 0)
        error = diag_errno(diag, "cannot enter the state directory");
    return error;
}

/* worker.conf says how to log, unless the command line did. */
static void settle_log(const struct arguments *arguments, const struct worker_conf *conf)
{
    worker_conf_apply_log(conf);
    if (arguments->verbose)
        log_set_level(LOG_LEVEL_DEBUG);
    if (arguments->log_format != NULL)
        log_set_format((enum log_format)log_format_parse(arguments->log_format));
}

static int work(const struct arguments *arguments, int state_dirfd, int signal_fd, struct diag *diag)
{
    struct workshop shop;
    int error = workshop_open(state_dirfd, &shop, diag);
    if (error < 0)
        return error;
    settle_log(arguments, &shop.conf);
    error = sandbox_probe(state_dirfd, diag);
    if (error >= 0) {
        say_allowed(&shop);
        error = agent_run(&shop, signal_fd, diag);
    }
    workshop_close(&shop);
    return error;
}

static int command_run(struct arguments *arguments, struct diag *diag)
{
    CLEANUP_CLOSE int state = -1;
    CLEANUP_CLOSE int lock = -1;
    CLEANUP_CLOSE int signals = -1;
    umask(022); /* whatever it was: directories of builds are closed by the state directory, and their modes
                   reach builds */
    signal(SIGPIPE, SIG_IGN); /* a reader of the log that goes away shall not end the builds */
    int error = statedir_open(arguments->enrol.state, &state, diag);
    if (error >= 0)
        error = settle(state, &lock, diag);
    if (error >= 0)
        error = agent_block_signals(&signals, diag);
    if (error < 0)
        return error;
    link_tune_memory();
    return work(arguments, state, signals, diag);
}

static int command_status(struct arguments *arguments, struct diag *diag)
{
    return owner_status(arguments->enrol.state, stdout, diag);
}

static int command_doctor(struct arguments *arguments, struct diag *diag)
{
    return worker_doctor(arguments->enrol.state, arguments->json, stdout, diag);
}

static int command_cosigned(struct arguments *arguments, struct diag *diag)
{
    return owner_cosigned(arguments->enrol.state, stdout, diag);
}

static int command_alarm(struct arguments *arguments, struct diag *diag)
{
    const char *what = arguments->what;
    if (what != NULL && strcmp(what, "show") == 0 && !arguments->forget)
        return owner_alarm_show(arguments->enrol.state, stdout, diag);
    if (what != NULL && strcmp(what, "clear") == 0)
        return owner_alarm_clear(arguments->enrol.state, arguments->forget, stdout, diag);
    return diag_set(diag, FARM_E_USAGE, "expected \"alarm show\" or \"alarm clear [--forget]\"");
}

static int send_signal(struct arguments *arguments, int number, const char *said, struct diag *diag)
{
    CLEANUP_CLOSE int state = -1;
    pid_t pid;
    int error = statedir_open(arguments->enrol.state, &state, diag);
    if (error >= 0)
        error = statedir_running(state, &pid, diag);
    if (error < 0)
        return error;
    if (kill(pid, number) < 0)
        return diag_errno(diag, "cannot signal the worker (pid %ld); run this as the user that it runs as",
                          (long)pid);
    puts(said);
    return 0;
}

static int command_pause(struct arguments *arguments, struct diag *diag)
{
    return send_signal(arguments, SIGUSR1, "paused: running builds go on, nothing new is taken", diag);
}

static int command_resume(struct arguments *arguments, struct diag *diag)
{
    return send_signal(arguments, SIGUSR2, "resumed", diag);
}

static int command_drain(struct arguments *arguments, struct diag *diag)
{
    return send_signal(arguments, SIGRTMIN, "draining: it leaves when its running builds are done", diag);
}

static int command_stop(struct arguments *arguments, struct diag *diag)
{
    return send_signal(arguments, SIGRTMIN + 1, "stopping: its leases go back", diag);
}

static const struct {
    const char *name;
    int (*run)(struct arguments *arguments, struct diag *diag); /* an exit status, or an error */
} commands[] = {
    {"init", command_init},     {"run", command_run},       {"status", command_status},
    {"pause", command_pause},   {"resume", command_resume}, {"drain", command_drain},
    {"stop", command_stop},     {"alarm", command_alarm},   {"cosigned", command_cosigned},
    {"doctor", command_doctor},
};

static int run_command(const char *name, struct arguments *arguments, struct diag *diag)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        if (arguments->enrol.state == NULL)
            return diag_set(diag, FARM_E_USAGE, "%s needs --state DIR", name);
        if (arguments->for_init && i != 0)
            return diag_set(
                diag, FARM_E_USAGE,
                "%s takes --state, --verbose and --log-format alone; the other options are init's", name);
        if (arguments->what != NULL && strcmp(name, "alarm") != 0)
            return diag_set(diag, FARM_E_USAGE, "%s: \"%.40s\" is too much; see farm-worker --help", name,
                            arguments->what);
        if (arguments->forget && strcmp(name, "alarm") != 0)
            return diag_set(diag, FARM_E_USAGE, "--forget is alarm clear's");
        if (arguments->json && strcmp(name, "doctor") != 0)
            return diag_set(diag, FARM_E_USAGE, "--json is doctor's");
        return commands[i].run(arguments, diag);
    }
    return diag_set(diag, FARM_E_USAGE, "there is no command \"%.40s\"; see farm-worker --help", name);
}

static int run(int argc, char **argv, struct diag *diag)
{
    struct arguments arguments = {0};
    int error = 0, code;
    while (error >= 0 && (code = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (code == OPTION_HELP || code == OPTION_VERSION) {
            fputs(code == OPTION_HELP ? help : "farm-worker " FARM_VERSION "\n", stdout);
            return 0;
        }
        error = take_option(&arguments, code, optarg, diag);
    }
    if (error >= 0 && argc - optind != 1 && argc - optind != 2)
        error = diag_set(
            diag, FARM_E_USAGE,
            "one command is expected: init, run, status, pause, resume, drain, stop, alarm or cosigned; "
            "see farm-worker --help");
    if (error >= 0 && argc - optind == 2)
        arguments.what = argv[optind + 1];
    if (error >= 0)
        error = run_command(argv[optind], &arguments, diag);
    buf_done(&arguments.trees);
    buf_done(&arguments.hosts);
    buf_done(&arguments.bases);
    return error;
}

int main(int argc, char **argv)
{
    struct diag diag = DIAG_INIT;
    int status = run(argc, argv, &diag);
    if (status >= 0)
        return status;
    fprintf(stderr, "farm-worker: %s\n", diag_text(&diag, status));
    return farm_error_exit(status);
}
