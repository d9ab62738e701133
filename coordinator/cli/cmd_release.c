/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "cli.h"

#include "file.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { SIGNATURE_FILE_MAX = 8192 };

/* ---- draft ---- */

/* A waiver with up to 64 signatures. */
enum { WAIVER_FILE_MAX = 1024 * 1024 };

static void print_draft(const json_t *body, const char *out)
{
    const json_t *held = json_object_get(body, "held"), *log = json_object_get(body, "log");
    size_t index;
    json_t *row;
    printf("release %s: %lld packages, %zu held, sequence %lld\nsha256 %s\n", cli_text(body, "release"),
           (long long)cli_number(body, "packages"), json_array_size(held),
           (long long)cli_number(body, "sequence"), cli_text(body, "sha256"));
    if (json_is_object(log))
        printf("log %s, size %lld\n", cli_text(log, "origin"), (long long)cli_number(log, "size"));
    else
        puts("log: none; the trust root names none, so nothing shows what a coordinator leaves out");
    json_array_foreach(held, index, row)
        printf("held: %s (%s)\n", cli_text(row, "name"), cli_text(row, "reason"));
    if (cli_number(body, "waivers") > 0)
        printf("waivers: %lld\n", (long long)cli_number(body, "waivers"));
    if (out != NULL)
        printf(
            "managers sign %s: farm-sign release %s --key KEY, or ssh-keygen -Y sign -n release@intergenos\n",
            out, out);
}

static int write_draft(struct cli *cli, const json_t *body, const char *out)
{
    struct diag diag = DIAG_INIT;
    if (out != NULL) {
        int result = file_create(AT_FDCWD, out, view_text(cli_text(body, "text")), 0644, &diag);
        if (result < 0)
            return cli_fail(cli, result, &diag);
    }
    if (cli->json)
        cli_print_json(body);
    else
        print_draft(body, out);
    return FARM_EXIT_OK;
}

struct draft_options {
    const char *out;
    bool allow_held;
    uint64_t days; /* 0: the coordinator's choice */
    json_t *waivers;
};

static int add_waiver(struct cli *cli, const char *path, json_t *ret)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    json_t *value = NULL;
    int result = file_read(AT_FDCWD, path, WAIVER_FILE_MAX, &text, &diag);
    if (result >= 0)
        result = json_read(buf_view(&text), path, WAIVER_FILE_MAX, &value, &diag);
    if (result < 0)
        return cli_fail(cli, result, &diag);
    json_array_append_new(ret, value);
    return FARM_EXIT_OK;
}

static int read_draft_options(struct cli *cli, int argc, char **argv, struct draft_options *ret)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"expires", required_argument, NULL, 'e'},
                                            {"waiver", required_argument, NULL, 'w'},
                                            {"allow-held", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    int status = FARM_EXIT_OK;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "o:e:w:a", options, NULL)) != -1;) {
        if (option == 'o')
            ret->out = optarg;
        else if (option == 'a')
            ret->allow_held = true;
        else if (option == 'w')
            status = add_waiver(cli, optarg, ret->waivers);
        else if (option != 'e' || !view_decimal(view_text(optarg), &ret->days) || ret->days == 0 ||
                 ret->days > 3650)
            return cli_usage(cli, &cmd_release, "--expires takes 1 to 3650 days");
        if (status != FARM_EXIT_OK)
            return status;
    }
    return argc - optind == 2 ? FARM_EXIT_OK : cli_usage(cli, &cmd_release, "expected: draft NAME PLAN");
}

static int draft(struct cli *cli, int argc, char **argv)
{
    CLEANUP_JSON json_t *waivers = json_array();
    CLEANUP_JSON json_t *body = NULL;
    struct draft_options options = {.waivers = waivers};
    int status = read_draft_options(cli, argc, argv, &options);
    if (status != FARM_EXIT_OK)
        return status;
    struct cli_request request = {.verb = "release.draft",
                                  .params =
                                      json_pack("{s:s, s:s, s:b, s:I, s:O}", "name", argv[optind], "plan",
                                                argv[optind + 1], "allow_held", (int)options.allow_held,
                                                "expires_days", (json_int_t)options.days, "waivers", waivers),
                                  .fd = -1};
    status = cli_ask(cli, &request, &body);
    return body != NULL ? write_draft(cli, body, options.out) : status;
}

/* ---- show and list ---- */

/* "mara, olga", or "nobody". Owned. */
static char *names_of(const json_t *list, const char *key)
{
    struct buf text = BUF_INIT;
    size_t index;
    json_t *item;
    json_array_foreach(list, index, item)
    {
        const json_t *name = key != NULL ? json_object_get(item, key) : item;
        buf_add_format(&text, "%s%s", index > 0 ? ", " : "",
                       json_is_string(name) ? json_string_value(name) : "a key of nobody in this role");
    }
    if (text.size == 0)
        buf_add_text(&text, "nobody");
    return buf_steal(&text);
}

static void print_signers(const json_t *body)
{
    CLEANUP_FREE char *signers = names_of(json_object_get(body, "signers"), "person");
    CLEANUP_FREE char *missing = names_of(json_object_get(body, "missing"), NULL);
    printf("signed by %lld of %lld needed: %s\n", (long long)cli_number(body, "signatures"),
           (long long)cli_number(body, "threshold"), signers);
    printf("not signed by: %s\n", missing);
}

static void print_log(struct cli *cli, const json_t *log)
{
    const json_t *checkpoint = json_object_get(log, "checkpoint");
    if (!json_is_object(log)) {
        puts("log: none; nothing shows what a coordinator leaves out");
        return;
    }
    CLEANUP_FREE char *cosigned = names_of(json_object_get(checkpoint, "cosigned"), NULL);
    CLEANUP_FREE char *missing = names_of(json_object_get(log, "missing"), "operator");
    bool covered = json_is_true(json_object_get(log, "covered"));
    printf("log %s, size %lld: ", cli_text(log, "origin"), (long long)cli_number(log, "size"));
    cli_put(cli, covered ? CLI_GOOD : CLI_WARN,
            covered ? "covered by enough cosignatures" : "not covered by enough cosignatures yet");
    printf("\nnewest checkpoint, size %lld: cosigned by %s; not by %s; %lld operators needed\n",
           (long long)cli_number(checkpoint, "size"), cosigned, missing,
           (long long)cli_number(log, "threshold"));
}

static void print_packages(struct cli *cli, const json_t *document)
{
    static const char *const titles[] = {"PACKAGE", "VERSION",   "TIER",   "GPU",
                                         "DISSENT", "OPERATORS", "PAYLOAD"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    size_t index;
    json_t *package;
    json_array_foreach(json_object_get(document, "packages"), index, package)
    {
        cli_table_add(&table, cli_cell(package, "name"));
        cli_table_add(&table, cli_cell(package, "version"));
        cli_table_add(&table, cli_cell(package, "tier"));
        cli_table_add(&table, cli_cell(package, "gpu"));
        cli_table_add(&table, cli_cell(package, "dissent"));
        cli_table_add(&table, names_of(json_object_get(package, "operators"), NULL));
        cli_table_add(&table, mem_format("%.16s", cli_text(package, "payload")));
    }
    cli_table_print(cli, &table);
    json_array_foreach(json_object_get(document, "held"), index, package)
        printf("held: %s (%s)\n", cli_text(package, "name"), cli_text(package, "reason"));
}

static void print_release(struct cli *cli, const json_t *body)
{
    const json_t *document = json_object_get(body, "document");
    printf("release %s, number %lld, is ", cli_text(body, "release"),
           (long long)cli_number(body, "sequence"));
    cli_put(cli, cli_state_colour(cli_text(body, "state")), cli_text(body, "state"));
    printf("\nsha256 %s\ncreated %s, expires %s\n", cli_text(body, "sha256"), cli_text(document, "created"),
           cli_text(document, "expires"));
    print_signers(body);
    print_log(cli, json_object_get(body, "log"));
    putchar('\n');
    print_packages(cli, document);
}

/* The document, and behind it what a manager should have seen before signing it (cmd_review.c). */
static int show(struct cli *cli, const char *name)
{
    int status = cli_ask_print(cli, "release.show", json_pack("{s:s}", "release", name), print_release);
    return status == FARM_EXIT_OK ? review_show(cli, name) : status;
}

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"RELEASE", "SEQUENCE", "STATE", "SIGNATURES", "CREATED", "SHA256"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 2};
    size_t index;
    json_t *release;
    json_array_foreach(json_object_get(body, "releases"), index, release)
    {
        cli_table_add(&table, cli_cell(release, "release"));
        cli_table_add(&table, cli_cell(release, "sequence"));
        cli_table_add(&table, cli_cell(release, "state"));
        cli_table_add(&table, cli_cell(release, "signatures"));
        cli_table_add(&table, cli_cell(release, "created"));
        cli_table_add(&table, cli_cell(release, "sha256"));
    }
    cli_table_print(cli, &table);
}

/* ---- submit and export ---- */

static void print_notes(const json_t *body)
{
    size_t index;
    json_t *note;
    json_array_foreach(json_object_get(body, "notes"), index, note)
        printf("note: %s\n", json_string_value(note));
}

static void print_submitted(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%s has %lld of %lld signatures: %s\n", cli_text(body, "release"),
           (long long)cli_number(body, "signatures"), (long long)cli_number(body, "threshold"),
           cli_text(body, "state"));
    print_notes(body);
}

static int submit_one(struct cli *cli, const char *name, const char *signature)
{
    return cli_ask_print(cli, "release.submit",
                         json_pack("{s:s, s:s}", "release", name, "signature", signature), print_submitted);
}

/* One signature, or all that lie beside a signed file. */
static int read_submitted(const char *path, json_t *ret, struct diag *diag)
{
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (access(directory, F_OK) == 0)
        return cli_read_signatures(path, ret, diag);
    int result = file_read(AT_FDCWD, path, SIGNATURE_FILE_MAX, &text, diag);
    if (result >= 0)
        json_array_append_new(ret, json_view(buf_view(&text)));
    return result;
}

static int submit(struct cli *cli, const char *name, const char *path)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_JSON json_t *signatures = json_array();
    int result = read_submitted(path, signatures, &diag), status = FARM_EXIT_OK;
    size_t index;
    json_t *signature;
    if (result < 0)
        return cli_fail(cli, result, &diag);
    json_array_foreach(signatures, index, signature)
    {
        int one = submit_one(cli, name, json_string_value(signature));
        status = one > status ? one : status;
    }
    return status;
}

static void print_exported(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%lld files in %s; check them with farm-verify\n", (long long)cli_number(body, "files"),
           cli_text(body, "to"));
    print_notes(body);
}

static int export_to(struct cli *cli, const char *name, const char *to, const uint64_t *wait)
{
    char here[PATH_MAX];
    if (to[0] != '/' && getcwd(here, sizeof here) == NULL)
        return cli_usage(cli, &cmd_release, "give an absolute directory");
    json_t *path = to[0] == '/' ? json_string(to) : json_sprintf("%s/%s", here, to);
    json_t *params = json_pack("{s:s, s:o}", "release", name, "to", path);
    if (wait != NULL)
        json_object_set_new(params, "wait_seconds", json_integer((json_int_t)*wait));
    return cli_ask_follow(cli, "release.export", params, cli_show_waiting, print_exported);
}

static int export(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"wait", required_argument, NULL, 'w'}, {NULL, 0, NULL, 0}};
    uint64_t seconds = 0;
    bool wait = false;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "w:", options, NULL)) != -1; wait = true)
        if (option != 'w' || !view_decimal(view_text(optarg), &seconds) || seconds > 3600)
            return cli_usage(cli, &cmd_release, "--wait takes 0 to 3600 seconds");
    if (argc - optind != 2)
        return cli_usage(cli, &cmd_release, "expected: export NAME DIRECTORY");
    return export_to(cli, argv[optind], argv[optind + 1], wait ? &seconds : NULL);
}

static int run(struct cli *cli, int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "list";
    if (strcmp(what, "list") == 0 && argc <= 2)
        return cli_ask_print(cli, "release.list", json_object(), print_list);
    if (strcmp(what, "draft") == 0)
        return draft(cli, argc - 1, argv + 1);
    if (strcmp(what, "show") == 0 && argc == 3)
        return show(cli, argv[2]);
    if (strcmp(what, "diff") == 0)
        return review_diff(cli, argc - 1, argv + 1);
    if (strcmp(what, "submit") == 0 && argc == 4)
        return submit(cli, argv[2], argv[3]);
    if (strcmp(what, "export") == 0)
        return export(cli, argc - 1, argv + 1);
    return cli_usage(cli, &cmd_release, "expected draft, show, diff, list, submit or export");
}

const struct cli_verb cmd_release = {
    .name = "release",
    .summary = "draft, show, submit signatures for, and export a release",
    .help =
        "Usage: farmctl release draft [--out FILE] [--expires DAYS] [--waiver FILE]... [--allow-held] NAME "
        "PLAN\n"
        "       farmctl release list\n"
        "       farmctl release show NAME\n"
        "       farmctl release diff [--against OTHER] NAME\n"
        "       farmctl release submit NAME FILE\n"
        "       farmctl release export [--wait SECONDS] NAME DIRECTORY\n"
        "\n"
        "  -o, --out FILE      write release.json there, for the managers to sign\n"
        "  -e, --expires DAYS  days until it expires (90)\n"
        "  -w, --waiver FILE   draft: a signed waiver (farm-sign waiver), for what the policy holds back\n"
        "  -a, --allow-held    leave out what is not agreed, and list it as held\n"
        "  -A, --against OTHER compare with this release instead of the last signed one before it\n"
        "  -w, --wait SECONDS  export: how long to wait for the witnesses' cosignatures, 0 to 3600 (150)\n"
        "\n"
        "A draft pins every artifact by digest, and the checkpoint of the log up to which evidence counts. "
        "Managers sign "
        "its\n"
        "bytes somewhere else, with their own keys. FILE is a signature, or the signed release.json with its "
        "signatures in\n"
        "FILE.sig.d. An export is a directory that farm-verify checks offline.\n"
        "\n"
        "show says who signed and who has not, what the log's witnesses cosigned, and ends with the most "
        "important of diff.\n"
        "diff lists what was added, removed and changed, who built it then and now, the weakest link of each "
        "dependency\n"
        "chain, and what got weaker in the tree, the policy, the trust root or the directory (exit status 1 "
        "if anything\n"
        "did).\n",
    .run = run,
};
