/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-verify: checks a release directory offline, and remembers what it accepted. The checks are verify.h's. */
#include "farm_verify.h"

#include "file.h"
#include "moment.h"
#include "shown.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char help[] =
    "Usage: farm-verify DIR --trust ROOT [--state FILE] [OPTION...]\n\n"
    "Checks a release directory from its bytes alone, offline: signatures of the release managers, the "
    "worker directory, the\n"
    "whole transparency log, every lease and every vote behind every package and dependency under the trust "
    "root's policy, and\n"
    "each archive byte for byte. Nothing that a coordinator claims is believed.\n\n"
    "  -t, --trust ROOT    the root.json that you trust; it must have reached you by another way than DIR\n"
    "  -s, --state FILE    remembers the newest root, release, directory, log and time accepted, so that an "
    "old release and\n"
    "                      another history are refused; made if absent, written after a pass\n"
    "  -c, --cosignature FILE  a checkpoint that a witness cosigned, passed by hand; may be given more than "
    "once\n"
    "  -p, --phase NAME    check for a phase: bootloader, image or ukis-verity; needs --state\n"
    "      --root CHROOT   compare an installed root with base and packages, in both directions\n"
    "      --tree PATH     derive plan and jobs again from a checkout of the package tree\n"
    "  -j, --jobs N        threads (default: one per core)\n"
    "      --json          print the result as JSON\n"
    "  -v, --verbose       print every package, not only those with problems\n"
    "  -h, --help\n"
    "      --version\n\n"
    "Exit status: 0 the release passed; 1 it did not, and every problem was listed; 2 the check could not "
    "run.\n";

struct arguments {
    struct verify_options options;
    const char *directory, *state;
    const char **cosignatures; /* owned; the texts are argv's */
    struct verify_print print;
};

static int fail(const struct diag *diag, int error)
{
    CLEANUP_FREE char *text = shown_text(diag_text(diag, error));
    fprintf(stderr, "farm-verify: %s\n", text);
    int status = farm_error_exit(error);
    /* What stopped the check is no statement about the release. */
    return status == FARM_EXIT_VIOLATION ? FARM_EXIT_CANNOT_RUN : status;
}

static int usage(const char *what)
{
    fprintf(stderr, "farm-verify: %s (see --help)\n", what);
    return FARM_EXIT_CANNOT_RUN;
}

enum { OPT_ROOT = 256, OPT_TREE, OPT_JSON, OPT_VERSION };

static bool take_jobs(struct arguments *arguments, const char *text)
{
    uint64_t number;
    if (!view_decimal(view_text(text), &number) || number < 1 || number > 1024)
        return false;
    arguments->options.threads = (unsigned int)number;
    return true;
}

static void take_cosignature(struct arguments *arguments, const char *path)
{
    size_t count = arguments->options.ncosignatures;
    arguments->cosignatures = mem_grow(arguments->cosignatures, count + 1, sizeof *arguments->cosignatures);
    arguments->cosignatures[count] = path;
    arguments->options.cosignatures = arguments->cosignatures;
    arguments->options.ncosignatures = count + 1;
}

/* Returns an exit status, or -1 to go on. */
static int take_option(struct arguments *arguments, int option)
{
    switch (option) {
    case 't':
        arguments->options.trust = optarg;
        break;
    case 's':
        arguments->state = optarg;
        break;
    case 'c':
        take_cosignature(arguments, optarg);
        break;
    case 'p':
        arguments->options.phase = optarg;
        break;
    case OPT_ROOT:
        arguments->options.root = optarg;
        break;
    case OPT_TREE:
        arguments->options.tree = optarg;
        break;
    case 'j':
        return take_jobs(arguments, optarg) ? -1 : usage("--jobs: a number from 1 is needed");
    case OPT_JSON:
        arguments->print.json = true;
        break;
    case 'v':
        arguments->print.verbose = true;
        break;
    case 'h':
        fputs(help, stdout);
        return FARM_EXIT_OK;
    case OPT_VERSION:
        puts("farm-verify " FARM_VERSION);
        return FARM_EXIT_OK;
    default:
        return usage("wrong option");
    }
    return -1;
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"trust", required_argument, NULL, 't'},       {"state", required_argument, NULL, 's'},
        {"cosignature", required_argument, NULL, 'c'}, {"phase", required_argument, NULL, 'p'},
        {"root", required_argument, NULL, OPT_ROOT},   {"tree", required_argument, NULL, OPT_TREE},
        {"jobs", required_argument, NULL, 'j'},        {"json", no_argument, NULL, OPT_JSON},
        {"verbose", no_argument, NULL, 'v'},           {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, OPT_VERSION},   {0}};
    for (int option; (option = getopt_long(argc, argv, "t:s:c:p:j:vh", options, NULL)) != -1;) {
        int status = take_option(arguments, option);
        if (status >= 0)
            return status;
    }
    if (argc - optind != 1)
        return usage("one DIR is needed");
    if (arguments->options.trust == NULL)
        return usage("--trust ROOT is needed: without a root of your own, DIR would vouch for itself");
    if (arguments->options.phase != NULL && arguments->state == NULL)
        return usage("--phase needs --state FILE: without it an old release would pass as new");
    arguments->directory = argv[optind];
    return -1;
}

static int run(const struct arguments *arguments)
{
    struct diag diag = DIAG_INIT;
    struct verify_state before = {0};
    CLEANUP(verify_result_done) struct verify_result result = VERIFY_RESULT_INIT;
    int error = 0;
    if (arguments->state != NULL &&
        (error = verify_state_read(AT_FDCWD, arguments->state, &before, &diag)) < 0)
        return fail(&diag, error);
    CLEANUP_CLOSE int dirfd = file_open_dir(AT_FDCWD, arguments->directory, &diag);
    if (dirfd < 0)
        return fail(&diag, dirfd);
    struct verify_options options = arguments->options;
    options.dirfd = dirfd;
    options.state = arguments->state != NULL ? &before : NULL;
    options.now_ms = moment_wall_ms();
    error = verify_release(&options, &result, &diag);
    if (error < 0 && (error != FARM_E_REFUSED || result.problems.count == 0))
        return fail(&diag, error);
    if (error >= 0 && arguments->state != NULL)
        error = verify_state_write(AT_FDCWD, arguments->state, &result.state, &diag);
    if (error < 0 && result.problems.count == 0)
        return fail(&diag, error); /* a pass that is not remembered is none */
    verify_print(&arguments->print, &result, error >= 0, stdout);
    return error >= 0 ? FARM_EXIT_OK : FARM_EXIT_VIOLATION;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {0};
    int status = parse_arguments(argc, argv, &arguments);
    if (status < 0)
        status = run(&arguments);
    free(arguments.cosignatures);
    return status;
}
