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

static int write_draft(struct cli *cli, const json_t *body, const char *out)
{
    struct diag diag = DIAG_INIT;
    if (out != NULL) {
        int result = file_create(AT_FDCWD, out, view_text(cli_text(body, "text")), 0644, &diag);
        if (result < 0)
            return cli_fail(cli, result, &diag);
    }
    if (cli->json) {
        cli_print_json(body);
        return FARM_EXIT_OK;
    }
    printf("release %s: %lld packages, %lld held, sequence %lld\nsha256 %s\n", cli_text(body, "release"),
           (long long)cli_number(body, "packages"), (long long)cli_number(body, "held"),
           (long long)cli_number(body, "sequence"), cli_text(body, "sha256"));
    if (out != NULL)
        printf(
            "managers sign %s: farm-sign release %s --key KEY, or ssh-keygen -Y sign -n release@intergenos\n",
            out, out);
    return FARM_EXIT_OK;
}

static int draft(struct cli *cli, int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"expires", required_argument, NULL, 'e'},
                                            {"allow-held", no_argument, NULL, 'a'},
                                            {NULL, 0, NULL, 0}};
    const char *out = NULL;
    bool allow_held = false;
    uint64_t days = 0;
    optind = 0;
    for (int option; (option = getopt_long(argc, argv, "o:e:a", options, NULL)) != -1;) {
        if (option == 'o')
            out = optarg;
        else if (option == 'a')
            allow_held = true;
        else if (option != 'e' || !view_decimal(view_text(optarg), &days) || days == 0 || days > 3650)
            return cli_usage(cli, &cmd_release, "--expires takes 1 to 3650 days");
    }
    if (argc - optind != 2)
        return cli_usage(cli, &cmd_release, "expected: draft NAME PLAN");
    CLEANUP_JSON json_t *body = NULL;
    struct cli_request request = {.verb = "release.draft",
                                  .params = json_pack("{s:s, s:s, s:b, s:I}", "name", argv[optind], "plan",
                                                      argv[optind + 1], "allow_held", (int)allow_held,
                                                      "expires_days", (json_int_t)days),
                                  .fd = -1};
    int status = cli_ask(cli, &request, &body);
    return body != NULL ? write_draft(cli, body, out) : status;
}

/* ---- show and list ---- */

static void print_release(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"PACKAGE", "VERSION", "TIER", "DISSENT", "OPERATORS", "PAYLOAD"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = -1};
    const json_t *document = json_object_get(body, "document");
    size_t index, k;
    json_t *package, *name;
    printf("release %s is ", cli_text(body, "release"));
    cli_put(cli, cli_state_colour(cli_text(body, "state")), cli_text(body, "state"));
    printf(": %zu signatures, %lld persons needed\nsha256 %s\ncreated %s, expires %s\n\n",
           json_array_size(json_object_get(body, "signers")), (long long)cli_number(body, "threshold"),
           cli_text(body, "sha256"), cli_text(document, "created"), cli_text(document, "expires"));
    json_array_foreach(json_object_get(document, "packages"), index, package)
    {
        struct buf operators = BUF_INIT;
        json_array_foreach(json_object_get(package, "operators"), k, name)
            buf_add_format(&operators, "%s%s", k > 0 ? "," : "", json_string_value(name));
        cli_table_add(&table, cli_cell(package, "name"));
        cli_table_add(&table, cli_cell(package, "version"));
        cli_table_add(&table, cli_cell(package, "tier"));
        cli_table_add(&table, cli_cell(package, "dissent"));
        cli_table_add(&table, buf_steal(&operators));
        cli_table_add(&table, mem_format("%.16s", cli_text(package, "payload")));
    }
    cli_table_print(cli, &table);
    json_array_foreach(json_object_get(document, "held"), index, package)
        printf("held: %s (%s)\n", cli_text(package, "name"), cli_text(package, "reason"));
}

/* The document, and behind it what a manager should have seen before signing it (cmd_review.c). */
static int show(struct cli *cli, const char *name)
{
    int status = cli_ask_print(cli, "release.show", json_pack("{s:s}", "release", name), print_release);
    return status == FARM_EXIT_OK ? review_show(cli, name) : status;
}

static void print_list(struct cli *cli, const json_t *body)
{
    static const char *const titles[] = {"RELEASE", "SEQUENCE", "STATE", "CREATED", "SHA256"};
    struct cli_table table = {.titles = titles, .columns = ARRAY_SIZE(titles), .colour_column = 2};
    size_t index;
    json_t *release;
    json_array_foreach(json_object_get(body, "releases"), index, release)
    {
        cli_table_add(&table, cli_cell(release, "release"));
        cli_table_add(&table, cli_cell(release, "sequence"));
        cli_table_add(&table, cli_cell(release, "state"));
        cli_table_add(&table, cli_cell(release, "created"));
        cli_table_add(&table, cli_cell(release, "sha256"));
    }
    cli_table_print(cli, &table);
}

/* ---- submit and export ---- */

static void print_submitted(struct cli *cli, const json_t *body)
{
    (void)cli;
    printf("%s has %lld of %lld signatures: %s\n", cli_text(body, "release"),
           (long long)cli_number(body, "signatures"), (long long)cli_number(body, "threshold"),
           cli_text(body, "state"));
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
}

static int export_to(struct cli *cli, const char *name, const char *to)
{
    char here[PATH_MAX];
    if (to[0] != '/' && getcwd(here, sizeof here) == NULL)
        return cli_usage(cli, &cmd_release, "give an absolute directory");
    json_t *path = to[0] == '/' ? json_string(to) : json_sprintf("%s/%s", here, to);
    return cli_ask_print(cli, "release.export", json_pack("{s:s, s:o}", "release", name, "to", path),
                         print_exported);
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
    if (strcmp(what, "export") == 0 && argc == 4)
        return export_to(cli, argv[2], argv[3]);
    return cli_usage(cli, &cmd_release, "expected draft, show, diff, list, submit or export");
}

const struct cli_verb cmd_release = {
    .name = "release",
    .summary = "draft, show, submit signatures for, and export a release",
    .help = "Usage: farmctl release draft [--out FILE] [--expires DAYS] [--allow-held] NAME PLAN\n"
            "       farmctl release list\n"
            "       farmctl release show NAME\n"
            "       farmctl release diff [--against OTHER] NAME\n"
            "       farmctl release submit NAME FILE\n"
            "       farmctl release export NAME DIRECTORY\n"
            "\n"
            "  -o, --out FILE      write release.json there, for the managers to sign\n"
            "  -e, --expires DAYS  days until it expires (90)\n"
            "  -a, --allow-held    leave out what is not agreed, and list it as held\n"
            "  -A, --against OTHER  compare with this release instead of the last signed one before it\n"
            "\n"
            "A draft pins every artifact by digest. Managers sign its bytes somewhere else, with their own "
            "keys. FILE is a\n"
            "signature, or the signed release.json with its signatures in FILE.sig.d. An export is a "
            "directory that\n"
            "farm-verify checks offline.\n"
            "\n"
            "diff lists what was added, removed and changed, who built it then and now, the weakest link of each dependency\n"
            "chain, and what got weaker in the tree, the policy, the trust root or the directory (exit status 1 if anything\n"
            "did). show ends with the most important of it.\n",
    .run = run,
};
