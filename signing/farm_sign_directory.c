/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign directory: puts entries together into workers.json; shows and checks one. */
#include "farm_sign.h"

#include "directory.h"
#include "docjson.h"
#include "file.h"
#include "moment.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char directory_help[] =
    "Usage: farm-sign directory --out FILE --expires DATE --trust ROOT [--previous FILE] ENTRY...\n"
    "       farm-sign directory show|check FILE --trust ROOT [--previous FILE] [--json]\n\n"
    "Puts entries (each with ENTRY.sig.d/ beside it) together into workers.json. With --previous, its "
    "entries come first and the\n"
    "version is the next one; an ENTRY of a worker that is already there replaces it. All signatures are "
    "checked.\n\n"
    "show prints a workers.json, check only says whether it holds; both check every entry's signatures "
    "against the root, expiry, and\n"
    "with --previous that it is the version after that one. They exit 1 if anything does not.\n";

static int read_directory(const char *path, struct directory **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = farm_sign_read(path, DIRECTORY_SIZE_MAX, &text, diag);
    return result < 0 ? result : directory_parse(buf_view(&text), path, ret, diag);
}

/* What all three forms take. */
struct directory_order {
    const char *out, *trust, *previous, *expires;
    bool json, help;
};

/* --- making one --- */

static int read_entry(const char *path, struct directory_entry *ret, struct diag *diag)
{
    enum { ENTRY_FILE_MAX = 16 * 1024 };
    CLEANUP_BUF struct buf text = BUF_INIT;
    char **signatures;
    size_t count;
    int result;
    if ((result = farm_sign_read(path, ENTRY_FILE_MAX, &text, diag)) < 0 ||
        (result = farm_sign_signatures(path, &signatures, &count, diag)) < 0)
        return result;
    result = directory_entry_parse(buf_view(&text), path, ret, diag);
    for (size_t i = 0; i < count && result >= 0; i++)
        directory_entry_add_signature(ret, view_text(signatures[i]));
    docjson_free_strings(signatures, count);
    return result;
}

static int add_kept(struct directory *directory, const struct directory *previous,
                    const struct directory *added, struct diag *diag)
{
    int result = 0;
    for (size_t i = 0; i < previous->nentries && result >= 0; i++)
        if (directory_find(added, previous->entries[i].worker) == NULL)
            result = directory_add(directory, &previous->entries[i], diag);
    for (size_t i = 0; i < added->nentries && result >= 0; i++)
        result = directory_add(directory, &added->entries[i], diag);
    return result;
}

static int write_directory(struct directory *directory, const char *trust, const char *out, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct problems problems = PROBLEMS_INIT;
    int result = farm_sign_read_root(trust, NULL, &root, diag);
    if (result < 0)
        return result;
    result = directory_check(directory, out, root, &problems);
    problems_print(&problems, stderr);
    problems_done(&problems);
    if (result < 0)
        return diag_set(diag, result, "%s is not written: entries lack signatures", out);
    directory_write(directory, &text);
    return file_write(AT_FDCWD, out, buf_view(&text), 0644, diag);
}

static int make_directory(const struct directory_order *order, char *const *paths, struct diag *diag)
{
    struct directory *added = directory_new(), *previous = directory_new(), *directory = directory_new();
    int result = 0;
    for (; *paths != NULL && result >= 0; paths++) {
        CLEANUP(directory_entry_done) struct directory_entry entry = {0};
        if ((result = read_entry(*paths, &entry, diag)) >= 0)
            result = directory_add(added, &entry, diag);
    }
    if (result >= 0 && order->previous != NULL) {
        previous = directory_free(previous);
        result = read_directory(order->previous, &previous, diag);
    }
    if (result >= 0)
        result = farm_sign_time(order->expires, moment_wall_ms(), &directory->expires_ms, diag);
    if (result >= 0) {
        directory->version = previous->version + 1;
        directory->previous = previous->digest;
        if ((result = add_kept(directory, previous, added, diag)) >= 0)
            result = write_directory(directory, order->trust, order->out, diag);
    }
    directory_free(added);
    directory_free(previous);
    directory_free(directory);
    return result;
}

/* --- looking at one --- */

static const char *standing(const struct directory_entry *entry, const struct root *root, int64_t now_ms)
{
    if (directory_entry_check(entry, root, NULL) < 0)
        return "signatures missing";
    if (entry->compromised_from >= 0)
        return "compromised";
    if (entry->expires_ms <= now_ms)
        return "expired";
    return directory_entry_is_anchor(entry, root) ? "anchor" : "admitted";
}

static void print_directory(const struct directory *directory, const struct root *root, int64_t now_ms)
{
    printf("worker directory version %lld, expires %s\nsha256 %s\n", (long long)directory->version,
           moment_format(directory->expires_ms).text, digest_hex(&directory->digest).text);
    for (size_t i = 0; i < directory->nentries; i++) {
        const struct directory_entry *entry = &directory->entries[i];
        printf("  %-20s %-16s until %s  %s", entry->worker, entry->operator_name,
               moment_format(entry->expires_ms).text, standing(entry, root, now_ms));
        if (entry->compromised_from >= 0)
            printf(" from position %lld", (long long)entry->compromised_from);
        putchar('\n');
    }
}

static json_t *directory_report(const struct directory *directory, const struct root *root, int64_t now_ms,
                                const struct problems *problems)
{
    json_t *entries = json_array();
    for (size_t i = 0; i < directory->nentries; i++) {
        const struct directory_entry *entry = &directory->entries[i];
        json_array_append_new(entries, json_pack("{s:s, s:s, s:s, s:I, s:s}", "worker", entry->worker,
                                                 "operator", entry->operator_name, "expires",
                                                 moment_format(entry->expires_ms).text, "compromised_from",
                                                 (json_int_t)entry->compromised_from, "standing",
                                                 standing(entry, root, now_ms)));
    }
    return json_pack("{s:I, s:s, s:o, s:o, s:b, s:o}", "version", (json_int_t)directory->version, "expires",
                     moment_format(directory->expires_ms).text, "sha256", json_digest(&directory->digest),
                     "entries", entries, "passed", (int)(problems->count == 0), "problems",
                     json_problems(problems));
}

static int check_previous(const struct directory *directory, const char *path, const char *name,
                          struct problems *problems, struct diag *diag)
{
    struct directory *previous = NULL;
    int result = read_directory(path, &previous, diag);
    if (result < 0)
        return result;
    if (directory->version != previous->version + 1)
        problems_add(problems, name, 0, "directory-version",
                     "version %lld does not follow version %lld of %s", (long long)directory->version,
                     (long long)previous->version, path);
    else if (!digest_equal(&directory->previous, &previous->digest))
        problems_add(problems, name, 0, "directory-previous", "\"previous\" is not the digest of %s", path);
    directory_free(previous);
    return 0;
}

static int check_all(const struct directory *directory, const struct directory_order *order, const char *path,
                     const struct root *root, struct problems *problems, struct diag *diag)
{
    if (directory->expires_ms <= moment_wall_ms())
        problems_add(problems, path, 0, "expired", "the directory expired at %s",
                     moment_format(directory->expires_ms).text); /* S5 */
    (void)!directory_check(directory, path, root, problems);
    return order->previous != NULL ? check_previous(directory, order->previous, path, problems, diag) : 0;
}

static void report(const struct directory *directory, const struct directory_order *order,
                   const struct root *root, bool show, const struct problems *problems)
{
    if (order->json) {
        CLEANUP_JSON json_t *json = directory_report(directory, root, moment_wall_ms(), problems);
        farm_sign_print_json(json);
        return;
    }
    if (show)
        print_directory(directory, root, moment_wall_ms());
    problems_print(problems, stderr);
    printf("%s: %zu entries, %s\n", problems->count == 0 ? "passed" : "REFUSED", directory->nentries,
           problems->count == 0 ? "each signed by its operator and the enrolment role" : "see above");
}

/* An exit status, or a negative error. */
static int look(const struct directory_order *order, bool show, const char *path, struct diag *diag)
{
    CLEANUP_ROOT struct root *root = NULL;
    struct directory *directory = NULL;
    struct problems problems = PROBLEMS_INIT;
    int result = farm_sign_read_root(order->trust, NULL, &root, diag);
    if (result >= 0)
        result = read_directory(path, &directory, diag);
    if (result >= 0)
        result = check_all(directory, order, path, root, &problems, diag);
    if (result >= 0) {
        problems_sort(&problems);
        report(directory, order, root, show, &problems);
        result = problems.count == 0 ? FARM_EXIT_OK : FARM_EXIT_VIOLATION;
    }
    problems_done(&problems);
    directory_free(directory);
    return result;
}

/* --- arguments --- */

static int parse(struct directory_order *ret, int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"expires", required_argument, NULL, 'e'},
                                            {"trust", required_argument, NULL, 't'},
                                            {"previous", required_argument, NULL, 'p'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    for (int option; (option = getopt_long(argc, argv, "o:e:t:p:h", options, NULL)) != -1;)
        switch (option) {
        case 'o':
            ret->out = optarg;
            break;
        case 't':
            ret->trust = optarg;
            break;
        case 'p':
            ret->previous = optarg;
            break;
        case 'e':
            ret->expires = optarg;
            break;
        case 'j':
            ret->json = true;
            break;
        case 'h':
            ret->help = true;
            break;
        default:
            return -1;
        }
    return 0;
}

int farm_sign_directory(int argc, char **argv)
{
    struct directory_order order = {.json = false};
    struct diag diag = DIAG_INIT;
    bool show = argc > 1 && strcmp(argv[1], "show") == 0,
         looks = show || (argc > 1 && strcmp(argv[1], "check") == 0);
    if (parse(&order, argc - looks, argv + looks) < 0)
        return farm_sign_usage("directory: wrong option");
    char **rest = argv + looks + optind;
    if (order.help) {
        fputs(directory_help, stdout);
        return FARM_EXIT_OK;
    }
    if (looks && (order.trust == NULL || order.out != NULL || rest[0] == NULL || rest[1] != NULL))
        return farm_sign_usage("directory %s: one FILE and --trust ROOT are needed", argv[1]);
    if (!looks && (order.out == NULL || order.trust == NULL || order.expires == NULL || order.json))
        return farm_sign_usage("directory: --out, --expires and --trust are needed");
    int result = looks ? look(&order, show, rest[0], &diag) : make_directory(&order, rest, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : result;
}
