/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-sign waiver: release managers let one package pass in spite of one rule. The file that is passed around holds the waiver and
 * its signatures; what OpenSSH signs is the waiver's text alone, so for tokens that is put into FILE.text.
 */
#include "farm_sign.h"

#include "file.h"
#include "moment.h"
#include "shown.h"
#include "waiver.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char waiver_help[] =
    "Usage: farm-sign waiver new --package TIER/NAME --version VERSION --rule hold|evidence --reason TEXT "
    "--expires DATE --out FILE\n"
    "       farm-sign waiver sign FILE [--key KEY | --import SIG]\n"
    "       farm-sign waiver show FILE [--trust ROOT] [--json]\n\n"
    "A waiver lets one version of one package into releases in spite of one rule: \"hold\" (the policy holds "
    "it back) or\n"
    "\"evidence\" (the policy asks for hardware evidence, and there is none). Nothing else can be waived. It "
    "needs the release role's\n"
    "threshold, lives at most 180 days, and stands in every release that uses it.\n\n"
    "One FILE holds the waiver and its signatures, and is passed from manager to manager. With a key that "
    "has a passphrase or\n"
    "lives in a token, sign prints the line that OpenSSH needs. show --trust checks it, and exits 1 if it "
    "does not hold.\n";

/* A waiver, a reason of 1 KiB that JSON may escape, and up to 64 signatures. */
enum { WAIVER_FILE_MAX = 1024 * 1024 };

static int read_waiver(const char *path, struct waiver *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *value = NULL;
    int result;
    if ((result = farm_sign_read(path, WAIVER_FILE_MAX, &text, diag)) < 0 ||
        (result = json_read(buf_view(&text), path, WAIVER_FILE_MAX, &value, diag)) < 0)
        return result;
    return waiver_from_json(value, path, ret, diag);
}

static int write_waiver(const struct waiver *waiver, const char *path, bool replace, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *value = waiver_json(waiver);
    json_write(value, &text);
    buf_add_byte(&text, '\n');
    return replace ? file_write(AT_FDCWD, path, buf_view(&text), 0644, diag)
                   : file_create(AT_FDCWD, path, buf_view(&text), 0644, diag);
}

/* --- new --- */

struct wish {
    const char *package, *version, *rule, *reason, *expires, *out;
};
enum { OPT_PACKAGE = 256, OPT_VERSION, OPT_RULE, OPT_REASON };

static const char **field_of(struct wish *wish, int option)
{
    switch (option) {
    case OPT_PACKAGE:
        return &wish->package;
    case OPT_VERSION:
        return &wish->version;
    case OPT_RULE:
        return &wish->rule;
    case OPT_REASON:
        return &wish->reason;
    case 'e':
        return &wish->expires;
    case 'o':
        return &wish->out;
    default:
        return NULL;
    }
}

static int make(const struct wish *wish, struct diag *diag)
{
    CLEANUP(waiver_done) struct waiver waiver = {.created_ms = moment_wall_ms() / 1000 * 1000};
    CLEANUP(waiver_done) struct waiver back = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result;
    if ((result = waiver_rule_parse(wish->rule, "--rule", &waiver.rule, diag)) < 0 ||
        (result = farm_sign_time(wish->expires, waiver.created_ms, &waiver.expires_ms, diag)) < 0)
        return result;
    waiver.package = mem_string(wish->package);
    waiver.version = mem_string(wish->version);
    waiver.reason = mem_string(wish->reason);
    waiver_write(&waiver, &text);
    if ((result = waiver_parse(buf_view(&text), wish->out, &back, diag)) < 0)
        return result;
    return write_waiver(&waiver, wish->out, false, diag);
}

static int run_new(int argc, char **argv)
{
    static const struct option options[] = {{"package", required_argument, NULL, OPT_PACKAGE},
                                            {"version", required_argument, NULL, OPT_VERSION},
                                            {"rule", required_argument, NULL, OPT_RULE},
                                            {"reason", required_argument, NULL, OPT_REASON},
                                            {"expires", required_argument, NULL, 'e'},
                                            {"out", required_argument, NULL, 'o'},
                                            {0}};
    struct wish wish = {0};
    struct diag diag = DIAG_INIT;
    for (int option; (option = getopt_long(argc, argv, "e:o:", options, NULL)) != -1;) {
        const char **field = field_of(&wish, option);
        if (field == NULL)
            return farm_sign_usage("waiver new: wrong option");
        *field = optarg;
    }
    if (argc != optind || wish.package == NULL || wish.version == NULL || wish.rule == NULL ||
        wish.reason == NULL || wish.expires == NULL || wish.out == NULL)
        return farm_sign_usage(
            "waiver new: --package, --version, --rule, --reason, --expires and --out are needed");
    int result = make(&wish, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

/* --- show --- */

static void print_waiver(const struct waiver *waiver)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    waiver_write(waiver, &text);
    struct digest digest = digest_of(buf_view(&text));
    CLEANUP_FREE char *reason = shown_text(waiver->reason);
    printf("waiver of \"%s\" for %s %s\nsha256 %s\nmade %s, expires %s\nreason: %s\n%zu signatures\n",
           waiver_rule_name(waiver->rule), waiver->package, waiver->version, digest_hex(&digest).text,
           moment_format(waiver->created_ms).text, moment_format(waiver->expires_ms).text, reason,
           waiver->nsignatures);
}

static void print_signers(const struct waiver *waiver, const struct root *root)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    waiver_write(waiver, &text);
    for (size_t i = 0; i < waiver->nsignatures; i++) {
        struct diag why = DIAG_INIT;
        const char *person = role_signer(&root->roles[ROLE_RELEASE], SSHSIG_NAMESPACE_WAIVER, buf_view(&text),
                                         view_text(waiver->signatures[i]), &why);
        printf("  %s%s\n", person != NULL ? "signed by " : "does not count: ",
               person != NULL ? person : diag_text(&why, FARM_E_SIGNATURE));
    }
}

static int print_json(const struct waiver *waiver, const char *trust, int result, const struct diag *diag)
{
    CLEANUP_JSON json_t *json = waiver_json(waiver);
    json_object_set_new(json, "holds", trust == NULL ? json_null() : json_boolean(result >= 0));
    json_object_set_new(json, "problem",
                        result < 0 ? json_view(view_text(diag_text(diag, result))) : json_null());
    farm_sign_print_json(json);
    return result < 0 ? farm_error_exit(result) : FARM_EXIT_OK;
}

static int show(const char *path, const char *trust, bool as_json)
{
    CLEANUP(waiver_done) struct waiver waiver = {0};
    CLEANUP_ROOT struct root *root = NULL;
    struct diag diag = DIAG_INIT;
    int result = read_waiver(path, &waiver, &diag);
    if (result >= 0 && trust != NULL)
        result = farm_sign_read_root(trust, NULL, &root, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    result = root != NULL ? waiver_check(&waiver, root, moment_wall_ms(), &diag) : 0;
    if (as_json)
        return print_json(&waiver, trust, result, &diag);
    print_waiver(&waiver);
    if (root != NULL)
        print_signers(&waiver, root);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    puts(root != NULL ? "it holds" : "not checked: --trust ROOT says whose signatures count");
    return FARM_EXIT_OK;
}

static int run_show(int argc, char **argv)
{
    static const struct option options[] = {
        {"trust", required_argument, NULL, 't'}, {"json", no_argument, NULL, 'j'}, {0}};
    const char *trust = NULL;
    bool as_json = false;
    for (int option; (option = getopt_long(argc, argv, "t:", options, NULL)) != -1;) {
        if (option == '?')
            return farm_sign_usage("waiver show: wrong option");
        if (option == 't')
            trust = optarg;
        else
            as_json = true;
    }
    if (argc - optind != 1)
        return farm_sign_usage("waiver show: one FILE is needed");
    return show(argv[optind], trust, as_json);
}

/* --- sign --- */

/* The text as a file of its own, for OpenSSH; gone again once the signature is in. */
static int sign_waiver(struct waiver *waiver, const char *path, const struct farm_sign_hand *hand,
                       struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf armored = BUF_INIT;
    CLEANUP_FREE char *text_path = mem_format("%s.text", path);
    CLEANUP_FREE char *command = mem_format("farm-sign waiver sign %s", path);
    struct sshsig by;
    waiver_write(waiver, &text);
    struct farm_sign_document document = {text_path, buf_view(&text), SSHSIG_NAMESPACE_WAIVER, command};
    int result = farm_sign_obtain(&document, hand, &armored, &by, diag);
    if (result == FARM_E_UNAVAILABLE && file_write(AT_FDCWD, text_path, buf_view(&text), 0644, NULL) < 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s cannot be written, and OpenSSH signs it", text_path);
    if (result < 0)
        return result;
    waiver_add_signature(waiver, buf_view(&armored));
    if ((result = write_waiver(waiver, path, true, diag)) < 0)
        return result;
    farm_sign_forget(&document, hand);
    (void)unlink(text_path);
    return 0;
}

static int run_sign(int argc, char **argv)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'}, {"import", required_argument, NULL, 'i'}, {0}};
    CLEANUP(waiver_done) struct waiver waiver = {0};
    struct farm_sign_hand hand = {NULL, NULL};
    struct diag diag = DIAG_INIT;
    for (int option; (option = getopt_long(argc, argv, "k:", options, NULL)) != -1;) {
        if (option == '?')
            return farm_sign_usage("waiver sign: wrong option");
        *(option == 'k' ? &hand.key : &hand.import) = optarg;
    }
    if (argc - optind != 1 || (hand.key != NULL && hand.import != NULL))
        return farm_sign_usage("waiver sign: one FILE is needed, and --key KEY or --import SIG, not both");
    int result = read_waiver(argv[optind], &waiver, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    print_waiver(&waiver);
    result = sign_waiver(&waiver, argv[optind], &hand, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    printf("wrote %s: %zu signatures\n", argv[optind], waiver.nsignatures);
    return FARM_EXIT_OK;
}

int farm_sign_waiver(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"new", run_new}, {"sign", run_sign}, {"show", run_show}};
    if (farm_sign_asks_help(argc, argv)) {
        fputs(waiver_help, stdout);
        return FARM_EXIT_OK;
    }
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return farm_sign_usage("waiver: new, sign or show is needed");
}
