/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign release, entry, directory */
#include "farm_sign.h"

#include "directory.h"
#include "docjson.h"
#include "file.h"
#include "json.h"
#include "moment.h"
#include "release.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char release_help[] = "Usage: farm-sign release FILE --key KEY\n\n"
                                   "Shows what a release.json says and signs it; the signature goes into "
                                   "FILE.sig.d/. Run farm-verify on the release\n"
                                   "directory first: it checks the evidence, this command does not.\n";

static const char entry_help[] =
    "Usage: farm-sign entry init --request FILE --operator-key FILE.pub --expires DATE --out FILE\n"
    "                            [--operator NAME] [--admitted DATE] [--cpu-vendor TEXT] [--kernel TEXT] "
    "[--site TEXT]\n"
    "       farm-sign entry FILE --key KEY\n\n"
    "An entry admits one worker. Its operator signs it, and then the enrolment role; both with the second "
    "form, each with\n"
    "their own key. Signatures go into FILE.sig.d/.\n\n"
    "      --request FILE       the request.json that farm-worker init made: names, public keys, facts\n"
    "      --operator NAME      who runs it, if the request says it wrongly: votes are counted per operator\n"
    "      --site, --kernel, --cpu-vendor TEXT   facts by which a policy may tell machines apart\n";

static const char directory_help[] =
    "Usage: farm-sign directory --out FILE --expires DATE --trust ROOT [--previous FILE] ENTRY...\n\n"
    "Puts entries (each with ENTRY.sig.d/ beside it) together into workers.json. With --previous, its "
    "entries come first and the\n"
    "version is the next one; an ENTRY of a worker that is already there replaces it. All signatures are "
    "checked.\n";

/* --- release --- */

static void print_release(const struct release *release)
{
    printf("release %s, sequence %lld, made %s, expires %s\nsha256 %s\ntree %s at %s\n", release->name,
           (long long)release->sequence, moment_format(release->created_ms).text,
           moment_format(release->expires_ms).text, digest_hex(&release->digest).text, release->tree.url,
           release->tree.commit);
    printf("%zu packages of %llu planned, %zu held; the base is %s\n", release->npackages,
           (unsigned long long)release->planned, release->nheld,
           release->base_verified ? "itself built by quorum" : "not itself built by quorum");
    for (size_t i = 0; i < release->npackages; i++) {
        const struct release_package *package = &release->packages[i];
        printf("  %s/%s %s-%s: %zu operators, %u dissent, %s\n", package->tier, package->name,
               package->version, package->release, package->noperators, package->dissent,
               digest_hex(&package->payload).text);
    }
    for (size_t i = 0; i < release->nheld; i++)
        printf("  held: %s (%s)\n", release->held[i].name, release->held[i].reason);
}

static int sign_release(const char *path, const char *key, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_RELEASE struct release *release = NULL;
    int result;
    if ((result = farm_sign_read(path, RELEASE_SIZE_MAX, &text, diag)) < 0 ||
        (result = release_parse(buf_view(&text), path, &release, diag)) < 0)
        return result;
    print_release(release);
    return farm_sign_document(path, buf_view(&text), SSHSIG_NAMESPACE_RELEASE, key, diag);
}

/* FILE --key KEY; what both signing commands take. Returns an exit status, or -1 to go on. */
static int parse_sign(int argc, char **argv, const char *help, const char **ret_path, const char **ret_key)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *key = NULL;
    for (int option; (option = getopt_long(argc, argv, "k:h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            return FARM_EXIT_OK;
        }
        if (option == '?')
            return farm_sign_usage("%s: wrong option", argv[0]);
        key = optarg;
    }
    if (argc - optind != 1 || key == NULL)
        return farm_sign_usage("%s: one FILE and --key KEY are needed", argv[0]);
    *ret_path = argv[optind];
    *ret_key = key;
    return -1;
}

int farm_sign_release(int argc, char **argv)
{
    const char *path, *key;
    struct diag diag = DIAG_INIT;
    int status = parse_sign(argc, argv, release_help, &path, &key);
    if (status >= 0)
        return status;
    int result = sign_release(path, key, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

/* --- entry --- */

/* A request names a worker, two keys and a few facts. */
enum { REQUEST_SIZE_MAX = 16 * 1024 };
enum { OPT_REQUEST = 256, OPT_OPERATOR, OPT_OPERATOR_KEY, OPT_ADMITTED, OPT_VENDOR, OPT_KERNEL, OPT_SITE };

static int replace_text(char **field, const char *value)
{
    free(*field);
    *field = mem_string(value);
    return 0;
}

static int take_key(const json_t *request, const char *path, const char *key, unsigned char ret[DIGEST_SIZE],
                    struct diag *diag)
{
    struct digest bytes;
    int result = json_get_digest(request, path, key, &bytes, diag);
    if (result >= 0)
        memcpy(ret, bytes.bytes, DIGEST_SIZE);
    return result;
}

/* A fact that no option gave. */
static int take_fact(const json_t *facts, const char *path, const char *key, char **field, struct diag *diag)
{
    const char *text;
    if (*field != NULL || json_object_get(facts, key) == NULL)
        return 0;
    int result = json_get_text(facts, path, key, &text, diag);
    return result < 0 ? result : replace_text(field, text);
}

static int take_facts(struct directory_entry *entry, const json_t *request, const char *path,
                      struct diag *diag)
{
    const json_t *facts = json_object_get(request, "facts");
    int result;
    if ((result = take_fact(facts, path, "cpu_vendor", &entry->cpu_vendor, diag)) < 0 ||
        (result = take_fact(facts, path, "kernel", &entry->kernel, diag)) < 0)
        return result;
    return take_fact(facts, path, "site", &entry->site, diag);
}

/* Everything in a request is the contributor's word; who signs the entry decides whether to believe it. */
static int take_request(struct directory_entry *entry, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *request = NULL;
    const char *worker, *operator_name;
    int result;
    if ((result = farm_sign_read(path, REQUEST_SIZE_MAX, &text, diag)) < 0 ||
        (result = json_read(buf_view(&text), path, REQUEST_SIZE_MAX, &request, diag)) < 0 ||
        (result = json_get_text(request, path, "worker", &worker, diag)) < 0 ||
        (result = json_get_text(request, path, "operator", &operator_name, diag)) < 0 ||
        (result = take_key(request, path, "ed25519", entry->ed25519.bytes, diag)) < 0 ||
        (result = take_key(request, path, "curve", entry->curve, diag)) < 0 ||
        (result = take_facts(entry, request, path, diag)) < 0)
        return result;
    replace_text(&entry->worker, worker);
    if (entry->operator_name == NULL)
        replace_text(&entry->operator_name, operator_name);
    return 0;
}

static int take_operator_key(struct directory_entry *entry, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf line = BUF_INIT;
    int result = farm_sign_read(path, SSHSIG_PUBLIC_MAX, &line, diag);
    return result < 0 ? result : ssh_public_key_parse(buf_view(&line), path, &entry->operator_key, diag);
}

static int apply(struct directory_entry *entry, int option, const char *value, struct diag *diag)
{
    switch (option) {
    case OPT_REQUEST:
        return take_request(entry, value, diag);
    case OPT_OPERATOR_KEY:
        return take_operator_key(entry, value, diag);
    case OPT_OPERATOR:
        return replace_text(&entry->operator_name, value);
    case OPT_VENDOR:
        return replace_text(&entry->cpu_vendor, value);
    case OPT_KERNEL:
        return replace_text(&entry->kernel, value);
    case OPT_SITE:
        return replace_text(&entry->site, value);
    case OPT_ADMITTED:
        return farm_sign_time(value, &entry->admitted_ms)
                   ? 0
                   : diag_set(diag, FARM_E_USAGE, "--admitted %s: not a date", value);
    case 'e':
        return farm_sign_time(value, &entry->expires_ms)
                   ? 0
                   : diag_set(diag, FARM_E_USAGE, "--expires %s: not a date", value);
    default:
        return diag_set(diag, FARM_E_USAGE, "entry init: wrong option (see --help)");
    }
}

static int write_entry(const struct directory_entry *entry, const char *out, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(directory_entry_done) struct directory_entry back = {0};
    if (entry->worker == NULL || entry->operator_name == NULL ||
        !keys_public_is_valid(&entry->operator_key.key) || entry->expires_ms <= entry->admitted_ms)
        return diag_set(diag, FARM_E_USAGE,
                        "entry init: --request, --operator-key, --out and an --expires in the future "
                        "are needed (see --help)");
    directory_entry_write(entry, &text);
    int result = directory_entry_parse(buf_view(&text), out, &back, diag);
    return result < 0 ? result : file_create(AT_FDCWD, out, buf_view(&text), 0644, diag);
}

static int entry_init(int argc, char **argv)
{
    static const struct option options[] = {{"request", required_argument, NULL, OPT_REQUEST},
                                            {"operator", required_argument, NULL, OPT_OPERATOR},
                                            {"operator-key", required_argument, NULL, OPT_OPERATOR_KEY},
                                            {"admitted", required_argument, NULL, OPT_ADMITTED},
                                            {"cpu-vendor", required_argument, NULL, OPT_VENDOR},
                                            {"kernel", required_argument, NULL, OPT_KERNEL},
                                            {"site", required_argument, NULL, OPT_SITE},
                                            {"expires", required_argument, NULL, 'e'},
                                            {"out", required_argument, NULL, 'o'},
                                            {0}};
    CLEANUP(directory_entry_done)
    struct directory_entry entry = {.admitted_ms = moment_wall_ms(), .compromised_from = -1};
    struct diag diag = DIAG_INIT;
    const char *out = NULL;
    int result = 0;
    for (int option; result >= 0 && (option = getopt_long(argc, argv, "e:o:", options, NULL)) != -1;) {
        if (option == 'o')
            out = optarg;
        else
            result = apply(&entry, option, optarg, &diag);
    }
    if (result >= 0 && (out == NULL || argc != optind))
        return farm_sign_usage("entry init: --out FILE is needed, and no further argument");
    if (result >= 0)
        result = write_entry(&entry, out, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

/* Who signs vouches for all of it. */
static void print_entry(const struct directory_entry *entry)
{
    struct digest id = keys_id(&entry->ed25519);
    printf("worker %s of operator %s, until %s\nkey id %s\ncpu %s, kernel %s, site %s\n", entry->worker,
           entry->operator_name, moment_format(entry->expires_ms).text, digest_hex(&id).text,
           entry->cpu_vendor != NULL ? entry->cpu_vendor : "not stated",
           entry->kernel != NULL ? entry->kernel : "not stated",
           entry->site != NULL ? entry->site : "not stated");
}

static int sign_entry(const char *path, const char *key, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf canonical = BUF_INIT;
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    int result;
    if ((result = farm_sign_read(path, 16 * 1024, &text, diag)) < 0 ||
        (result = directory_entry_parse(buf_view(&text), path, &entry, diag)) < 0)
        return result;
    directory_entry_write(&entry, &canonical); /* what is signed, whatever white space the file has */
    print_entry(&entry);
    return farm_sign_document(path, buf_view(&canonical), SSHSIG_NAMESPACE_WORKERS, key, diag);
}

int farm_sign_entry(int argc, char **argv)
{
    const char *path, *key;
    struct diag diag = DIAG_INIT;
    if (argc > 1 && strcmp(argv[1], "init") == 0)
        return entry_init(argc - 1, argv + 1);
    int status = parse_sign(argc, argv, entry_help, &path, &key);
    if (status >= 0)
        return status;
    int result = sign_entry(path, key, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

/* --- directory --- */

static int read_entry(const char *path, struct directory_entry *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    char **signatures;
    size_t count;
    int result;
    if ((result = farm_sign_read(path, 16 * 1024, &text, diag)) < 0 ||
        (result = farm_sign_signatures(path, &signatures, &count, diag)) < 0)
        return result;
    result = directory_entry_parse(buf_view(&text), path, ret, diag);
    for (size_t i = 0; i < count && result >= 0; i++)
        directory_entry_add_signature(ret, view_text(signatures[i]));
    docjson_free_strings(signatures, count);
    return result;
}

static int read_previous(const char *path, struct directory **ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = farm_sign_read(path, DIRECTORY_SIZE_MAX, &text, diag);
    return result < 0 ? result : directory_parse(buf_view(&text), path, ret, diag);
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
    CLEANUP_BUF struct buf root_text = BUF_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct problems problems = PROBLEMS_INIT;
    int result;
    if ((result = farm_sign_read(trust, ROOT_SIZE_MAX, &root_text, diag)) < 0 ||
        (result = root_parse(buf_view(&root_text), trust, &root, diag)) < 0)
        return result;
    result = directory_check(directory, out, root, &problems);
    problems_print(&problems, stderr);
    problems_done(&problems);
    if (result < 0)
        return diag_set(diag, result, "%s is not written: entries lack signatures", out);
    directory_write(directory, &text);
    return file_write(AT_FDCWD, out, buf_view(&text), 0644, diag);
}

struct directory_order {
    const char *out, *trust, *previous;
    int64_t expires_ms;
};

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
        result = read_previous(order->previous, &previous, diag);
    }
    if (result >= 0) {
        directory->version = previous->version + 1;
        directory->previous = previous->digest;
        directory->expires_ms = order->expires_ms;
        if ((result = add_kept(directory, previous, added, diag)) >= 0)
            result = write_directory(directory, order->trust, order->out, diag);
    }
    directory_free(added);
    directory_free(previous);
    directory_free(directory);
    return result;
}

int farm_sign_directory(int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},   {"expires", required_argument, NULL, 'e'},
        {"trust", required_argument, NULL, 't'}, {"previous", required_argument, NULL, 'p'},
        {"help", no_argument, NULL, 'h'},        {0}};
    struct directory_order order = {0};
    for (int option; (option = getopt_long(argc, argv, "o:e:t:p:h", options, NULL)) != -1;)
        switch (option) {
        case 'o':
            order.out = optarg;
            break;
        case 't':
            order.trust = optarg;
            break;
        case 'p':
            order.previous = optarg;
            break;
        case 'e':
            if (!farm_sign_time(optarg, &order.expires_ms))
                return farm_sign_usage("directory: --expires %s: not a date", optarg);
            break;
        case 'h':
            fputs(directory_help, stdout);
            return FARM_EXIT_OK;
        default:
            return farm_sign_usage("directory: wrong option");
        }
    if (order.out == NULL || order.trust == NULL || order.expires_ms <= 0)
        return farm_sign_usage("directory: --out, --expires and --trust are needed");
    struct diag diag = DIAG_INIT;
    int result = make_directory(&order, argv + optind, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}
