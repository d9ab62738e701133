/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign entry: a worker's entry for the directory, made of its request, changed, and signed. */
#include "farm_sign.h"

#include "docjson.h"
#include "farm_sign_request.h"
#include "file.h"
#include "moment.h"
#include "shown.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char entry_help[] =
    "Usage: farm-sign entry init --request FILE|CODE --operator-key FILE.pub --expires DATE --out FILE\n"
    "                            [--operator NAME] [--admitted DATE] [--cpu-vendor TEXT] [--kernel TEXT] "
    "[--site TEXT]\n"
    "       farm-sign entry REQUEST|CODE --key KEY --expires DATE [--out FILE] [OPTION...]\n"
    "       farm-sign entry FILE [--key KEY | --import SIG] [--expires DATE] [--compromised-from "
    "POSITION]\n\n"
    "An entry admits one worker. Its operator signs it, and then the enrolment role, each with their own "
    "key; signatures go into\n"
    "FILE.sig.d/. The second form is the first and the operator's signature in one; the third signs an entry "
    "that is there.\n\n"
    "      --request FILE|CODE  the request.json that farm-worker init made, or the code that it printed "
    "(igos-request:1:...)\n"
    "      --operator NAME      who runs it, if the request says it wrongly: votes are counted per operator\n"
    "      --operator-key KEY   the operator's public key (default with --key: that key's)\n"
    "      --site, --kernel, --cpu-vendor TEXT   facts by which a policy may tell machines apart\n"
    "  -e, --expires DATE       2027-01-31, 2027-01-31T12:00:00Z, a number of days, or \"now\", which ends "
    "its work; what it\n"
    "                           answered before counts\n"
    "      --compromised-from POSITION   in the log: answers that were logged there or later never count (0: "
    "none counts)\n\n"
    "A changed entry loses the signatures that it had: operator and enrolment sign it anew, and \"farmctl "
    "worker admit\" takes it.\n";

enum { ENTRY_FILE_MAX = 16 * 1024 };
enum {
    OPT_REQUEST = 256,
    OPT_OPERATOR,
    OPT_OPERATOR_KEY,
    OPT_ADMITTED,
    OPT_VENDOR,
    OPT_KERNEL,
    OPT_SITE,
    OPT_COMPROMISED,
    OPT_IMPORT
};

static const struct option entry_options[] = {{"request", required_argument, NULL, OPT_REQUEST},
                                              {"operator", required_argument, NULL, OPT_OPERATOR},
                                              {"operator-key", required_argument, NULL, OPT_OPERATOR_KEY},
                                              {"admitted", required_argument, NULL, OPT_ADMITTED},
                                              {"cpu-vendor", required_argument, NULL, OPT_VENDOR},
                                              {"kernel", required_argument, NULL, OPT_KERNEL},
                                              {"site", required_argument, NULL, OPT_SITE},
                                              {"compromised-from", required_argument, NULL, OPT_COMPROMISED},
                                              {"expires", required_argument, NULL, 'e'},
                                              {"out", required_argument, NULL, 'o'},
                                              {"key", required_argument, NULL, 'k'},
                                              {"import", required_argument, NULL, OPT_IMPORT},
                                              {"help", no_argument, NULL, 'h'},
                                              {0}};

/* What was asked for; unset is NULL. */
struct order {
    const char *request, *operator_name, *operator_key, *admitted, *vendor, *kernel, *site;
    const char *compromised, *expires, *out;
    struct farm_sign_hand hand;
    bool help;
};

static const char **field_of(struct order *order, int option)
{
    switch (option) {
    case OPT_REQUEST:
        return &order->request;
    case OPT_OPERATOR:
        return &order->operator_name;
    case OPT_OPERATOR_KEY:
        return &order->operator_key;
    case OPT_ADMITTED:
        return &order->admitted;
    case OPT_VENDOR:
        return &order->vendor;
    case OPT_KERNEL:
        return &order->kernel;
    case OPT_SITE:
        return &order->site;
    case OPT_COMPROMISED:
        return &order->compromised;
    case OPT_IMPORT:
        return &order->hand.import;
    case 'e':
        return &order->expires;
    case 'o':
        return &order->out;
    case 'k':
        return &order->hand.key;
    default:
        return NULL;
    }
}

static int wrong(const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_USAGE, "entry: %s (see \"farm-sign entry --help\")", what);
}

/* --- making one --- */

static char *maybe_string(const char *text)
{
    return text != NULL ? mem_string(text) : NULL;
}

/* "KEY.pub" beside the secret key, so that tokens need no second option. */
static int take_operator_key(struct directory_entry *entry, const struct order *order, struct diag *diag)
{
    const char *key = order->operator_key != NULL ? order->operator_key : order->hand.key;
    if (key == NULL)
        return wrong("--operator-key KEY is needed", diag);
    CLEANUP_FREE char *public = mem_format("%s.pub", key);
    bool beside = order->operator_key == NULL && !view_ends(view_text(key), VIEW(".pub"));
    return farm_sign_public_key(beside ? public : key, &entry->operator_key, diag);
}

static int take_times(struct directory_entry *entry, const struct order *order, struct diag *diag)
{
    int64_t now_ms = moment_wall_ms();
    int result = 0;
    entry->admitted_ms = now_ms;
    if (order->admitted != NULL)
        result = farm_sign_time(order->admitted, now_ms, &entry->admitted_ms, diag);
    if (result >= 0 && order->expires == NULL)
        return wrong("--expires DATE is needed", diag);
    if (result >= 0)
        result = farm_sign_time(order->expires, now_ms, &entry->expires_ms, diag);
    if (result >= 0 && entry->expires_ms <= entry->admitted_ms)
        return wrong("--expires must be in the future", diag);
    return result;
}

static int fill_entry(struct directory_entry *entry, const struct order *order, struct diag *diag)
{
    int result;
    entry->compromised_from = -1;
    entry->operator_name = maybe_string(order->operator_name);
    entry->cpu_vendor = maybe_string(order->vendor);
    entry->kernel = maybe_string(order->kernel);
    entry->site = maybe_string(order->site);
    if ((result = farm_sign_take_request(entry, order->request, diag)) < 0 ||
        (result = take_operator_key(entry, order, diag)) < 0)
        return result;
    return take_times(entry, order, diag);
}

/* Reads back what was written: names, keys and facts come from a stranger. */
static int write_entry(const struct directory_entry *entry, const char *out, bool replace, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP(directory_entry_done) struct directory_entry back = {0};
    directory_entry_write(entry, &text);
    int result = directory_entry_parse(buf_view(&text), out, &back, diag);
    if (result < 0)
        return result;
    return replace ? file_write(AT_FDCWD, out, buf_view(&text), 0644, diag)
                   : file_create(AT_FDCWD, out, buf_view(&text), 0644, diag);
}

static int make_entry(const struct order *order, const char *out, struct diag *diag)
{
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    int result = fill_entry(&entry, order, diag);
    return result < 0 ? result : write_entry(&entry, out, false, diag);
}

/* --- changing one --- */

static int change(struct directory_entry *entry, const struct order *order, bool *ret_changed,
                  struct diag *diag)
{
    int64_t expires_ms = entry->expires_ms, from = entry->compromised_from;
    uint64_t position;
    int result = 0;
    if (order->expires != NULL)
        result = farm_sign_time(order->expires, moment_wall_ms(), &expires_ms, diag);
    if (result >= 0 && order->compromised != NULL &&
        (result =
             farm_sign_number(order->compromised, "a position in the log", INT64_MAX, &position, diag)) >= 0)
        from = (int64_t)position;
    if (result < 0)
        return result;
    if (entry->compromised_from >= 0 && from > entry->compromised_from)
        return diag_set(
            diag, FARM_E_REFUSED,
            "this entry is compromised from position %lld on already; it can only be moved to an earlier one",
            (long long)entry->compromised_from);
    *ret_changed = expires_ms != entry->expires_ms || from != entry->compromised_from;
    entry->expires_ms = expires_ms;
    entry->compromised_from = from;
    return 0;
}

/* The signatures of the entry as it was say nothing about it as it is. */
static int drop_signatures(const char *path, struct diag *diag)
{
    CLEANUP_FREE char *directory = mem_format("%s.sig.d", path);
    DIR *stream = opendir(directory);
    if (stream == NULL)
        return errno == ENOENT ? 0 : diag_errno(diag, "%s", directory);
    size_t dropped = 0;
    for (struct dirent *file; (file = readdir(stream)) != NULL;)
        if (view_ends(view_text(file->d_name), VIEW(".sig")) && unlinkat(dirfd(stream), file->d_name, 0) == 0)
            dropped++;
    closedir(stream);
    if (dropped > 0)
        printf("the entry changed; %zu signatures of what it was before are gone, sign it anew\n", dropped);
    return 0;
}

/* --- signing one --- */

/* Who signs vouches for all of it. */
static void print_entry(const struct directory_entry *entry)
{
    struct digest id = keys_id(&entry->ed25519);
    CLEANUP_FREE char *cpu = shown_text(entry->cpu_vendor != NULL ? entry->cpu_vendor : "not stated");
    CLEANUP_FREE char *kernel = shown_text(entry->kernel != NULL ? entry->kernel : "not stated");
    CLEANUP_FREE char *site = shown_text(entry->site != NULL ? entry->site : "not stated");
    printf("worker %s of operator %s, until %s\nkey id %s\ncpu %s, kernel %s, site %s\n", entry->worker,
           entry->operator_name, moment_format(entry->expires_ms).text, digest_hex(&id).text, cpu, kernel,
           site);
    if (entry->compromised_from >= 0)
        printf("COMPROMISED: what it answered at position %lld of the log or later never counts\n",
               (long long)entry->compromised_from);
}

static int sign_entry(const char *path, const struct order *order, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf canonical = BUF_INIT;
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    bool changed = false;
    int result;
    if ((result = farm_sign_read(path, ENTRY_FILE_MAX, &text, diag)) < 0 ||
        (result = directory_entry_parse(buf_view(&text), path, &entry, diag)) < 0 ||
        (result = change(&entry, order, &changed, diag)) < 0)
        return result;
    if (changed &&
        ((result = drop_signatures(path, diag)) < 0 || (result = write_entry(&entry, path, true, diag)) < 0))
        return result;
    directory_entry_write(&entry, &canonical); /* what is signed, whatever white space the file has */
    print_entry(&entry);
    CLEANUP_FREE char *command = mem_format("farm-sign entry %s", path);
    const struct farm_sign_document document = {path, buf_view(&canonical), SSHSIG_NAMESPACE_WORKERS,
                                                command};
    return farm_sign_document(&document, &order->hand, NULL, diag);
}

/* A request, and at once the operator's signature. */
static int make_and_sign(struct order *order, const char *request, struct diag *diag)
{
    CLEANUP(directory_entry_done) struct directory_entry entry = {0};
    struct order rest = *order;
    order->request = request;
    int result = fill_entry(&entry, order, diag);
    if (result < 0)
        return result;
    CLEANUP_FREE char *named = mem_format("entry-%s.json", entry.worker);
    const char *out = order->out != NULL ? order->out : named;
    if ((result = write_entry(&entry, out, false, diag)) < 0)
        return result;
    printf("wrote %s\n", out);
    rest.expires = NULL; /* it is in the entry */
    return sign_entry(out, &rest, diag);
}

static bool has_facts(const struct order *order)
{
    return order->request != NULL || order->operator_name != NULL || order->operator_key != NULL ||
           order->admitted != NULL || order->vendor != NULL || order->kernel != NULL || order->site != NULL ||
           order->out != NULL;
}

static int run(struct order *order, const char *source, struct diag *diag)
{
    if (order->hand.key != NULL && order->hand.import != NULL)
        return wrong("--key KEY or --import SIG, not both", diag);
    if (!farm_sign_is_request(source))
        return has_facts(order) ? wrong("an entry's facts are those of its request; only --expires and "
                                        "--compromised-from can be changed",
                                        diag)
                                : sign_entry(source, order, diag);
    if (order->compromised != NULL || order->request != NULL)
        return wrong("this is a request, not an entry", diag);
    return make_and_sign(order, source, diag);
}

static int parse(struct order *ret, int argc, char **argv, struct diag *diag)
{
    for (int option; (option = getopt_long(argc, argv, "e:o:k:h", entry_options, NULL)) != -1;) {
        const char **field = field_of(ret, option);
        if (option == 'h')
            ret->help = true;
        else if (field == NULL)
            return wrong("wrong option", diag);
        else
            *field = optarg;
    }
    return 0;
}

static int entry_init(const struct order *order, int rest, struct diag *diag)
{
    if (rest != 0 || order->out == NULL || order->request == NULL)
        return wrong("init: --request FILE|CODE and --out FILE are needed, and no further argument", diag);
    if (order->hand.key != NULL || order->hand.import != NULL || order->compromised != NULL)
        return wrong("init does not sign; \"farm-sign entry FILE --key KEY\" does", diag);
    return make_entry(order, order->out, diag);
}

int farm_sign_entry(int argc, char **argv)
{
    struct order order = {.help = false};
    struct diag diag = DIAG_INIT;
    bool init = argc > 1 && strcmp(argv[1], "init") == 0;
    int result = parse(&order, argc - init, argv + init, &diag), rest = argc - init - optind;
    if (result >= 0 && order.help) {
        fputs(entry_help, stdout);
        return FARM_EXIT_OK;
    }
    if (result >= 0 && init)
        result = entry_init(&order, rest, &diag);
    else if (result >= 0)
        result = rest == 1 ? run(&order, argv[optind], &diag)
                           : wrong("one FILE, REQUEST or CODE is needed", &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}
