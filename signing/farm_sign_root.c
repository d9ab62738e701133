/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign root: finds what is to be done; init is here. Changing is in farm_sign_root_edit.c, looking and signing in
 * farm_sign_root_show.c. */
#include "farm_sign.h"

#include "file.h"
#include "moment.h"
#include "root_edit.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char root_help[] =
    "Usage: farm-sign root init --out FILE --expires DATE --policy FILE --base DIGEST... KEYS...\n"
    "       farm-sign root add|remove FILE ROLE --person NAME --key KEY [--verify-required] [--threshold N]\n"
    "       farm-sign root add|remove FILE anchor OPERATOR --key KEY\n"
    "       farm-sign root add|remove FILE witness OPERATOR [--threshold N]\n"
    "       farm-sign root add|remove FILE base DIGEST | unverified PACKAGE\n"
    "       farm-sign root threshold FILE ROLE|log N\n"
    "       farm-sign root set FILE policy FILE|DIGEST | expires DATE\n"
    "       farm-sign root set FILE log VKEY [--witness OPERATOR]... [--threshold N] [--previous CHECKPOINT] "
    "| log none\n"
    "       farm-sign root sign FILE [--key KEY | --import SIG] [--previous OLD]\n"
    "       farm-sign root show FILE [--previous OLD] [--json]\n\n"
    "The trust root says who may do what: it names people's keys, anchor operators, the policy, the bases "
    "and the log.\n"
    "Everybody who checks a release starts from it, so it travels by hand. FILE and FILE.sig.d are passed "
    "from person to person;\n"
    "each adds a signature. A new version must be signed by the thresholds of the version before and by its "
    "own.\n\n"
    "init makes version 1:\n"
    "  -o, --out FILE                 where it is written; never replaced\n"
    "  -e, --expires DATE             2027-01-31, 2027-01-31T12:00:00Z, or a number of days\n"
    "      --policy FILE              policy.yml; its SHA-256 is pinned\n"
    "      --base DIGEST              manifest digest of an allowed base; may be repeated\n"
    "      --root-key NAME=FILE.pub   a person who signs roots; may be repeated; likewise\n"
    "      --release-key, --enrolment-key, --verifier-key\n"
    "      --root-threshold N         persons needed; likewise --release-threshold, --enrolment-threshold,\n"
    "                                 --verifier-threshold (default: all but one; both of two)\n"
    "      --anchor OPERATOR=FILE.pub an operator without whom nothing is agreed; may be repeated\n"
    "      --unverified PACKAGE       may be released with a quorum of 1; may be repeated\n"
    "      --log VKEY                 the transparency log; \"farmctl log show --vkey\" prints it\n"
    "      --witness OPERATOR         an anchor whose workers' cosignatures count; may be repeated\n"
    "      --log-threshold N          witnesses needed (default: more than half)\n"
    "      --previous FILE            makes the version after that one; what is not given is taken from "
    "there\n\n"
    "add, remove, threshold, set change one thing. A FILE without signatures is a draft, and is changed in "
    "place (or written to\n"
    "--out); from one that is signed by its threshold the next version is made, which --out names.\n"
    "  ROLE is root, release, enrolment or verifier. --key KEY is a file or the key itself (\"ssh-ed25519 "
    "AAAA...\").\n"
    "      --verify-required          this token must have asked for PIN or finger\n"
    "      --threshold N              the threshold afterwards\n"
    "set log VKEY in place of another log needs --previous CHECKPOINT: the last note of the old log, as its "
    "witnesses keep it.\n\n"
    "sign shows what the root says, and what --previous OLD changes, and signs with a key file; keys with a "
    "passphrase, in tokens\n"
    "or agents sign with the ssh-keygen line that it prints, and sign without --key then takes FILE.sig in.\n"
    "show prints the root, who signed it and who is missing, and exits 1 if that is not enough.\n";

/* Numbers of the long options; a role's options are a base plus its enum. */
enum {
    OPT_POLICY = 256,
    OPT_BASE,
    OPT_ANCHOR,
    OPT_UNVERIFIED,
    OPT_PREVIOUS,
    OPT_LOG,
    OPT_WITNESS,
    OPT_LOG_THRESHOLD,
    OPT_KEY_OF_ROLE = 300,
    OPT_THRESHOLD_OF_ROLE = 310
};

/* What init was told that needs the whole before it can be done. */
struct wishes {
    struct root *root;
    const char *out, *log;
    const char *witnesses[ROOT_ANCHORS_MAX];
    size_t nwitnesses;
    uint32_t thresholds[ROLE_COUNT], log_threshold; /* 0: not given */
};

/* "NAME=FILE" */
static int read_named_key(const char *text, char **ret_name, struct ssh_public_key *ret, struct diag *diag)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL)
        return diag_set(diag, FARM_E_USAGE, "\"%s\": NAME=FILE.pub is needed", text);
    int result = farm_sign_public_key(equals + 1, ret, diag);
    if (result >= 0)
        *ret_name = mem_string_n(text, (size_t)(equals - text));
    return result;
}

static int add_role_key(struct root *root, enum role_name role, const char *text, struct diag *diag)
{
    CLEANUP_FREE char *person = NULL;
    struct ssh_public_key key;
    bool begins = root->roles[role].nkeys == 0;
    int result = read_named_key(text, &person, &key, diag);
    if (result >= 0)
        result = root_edit_add_key(root, role, person, &key, false, diag);
    if (result >= 0 && begins)
        root->roles[role].threshold = 0; /* the default depends on how many there will be */
    return result;
}

static int add_anchor(struct root *root, const char *text, struct diag *diag)
{
    CLEANUP_FREE char *name = NULL;
    struct ssh_public_key key;
    int result = read_named_key(text, &name, &key, diag);
    return result < 0 ? result : root_edit_add_anchor(root, name, &key, diag);
}

static int add_base(struct root *root, const char *text, struct diag *diag)
{
    struct digest base;
    if (!digest_parse(view_text(text), &base))
        return diag_set(diag, FARM_E_USAGE, "--base %s: 64 lower-case hex digits are needed", text);
    return root_edit_add_base(root, &base, diag);
}

static int set_policy(struct root *root, const char *path, struct diag *diag)
{
    enum { POLICY_MAX = 1024 * 1024 };
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = farm_sign_read(path, POLICY_MAX, &text, diag);
    if (result >= 0)
        root->policy = digest_of(buf_view(&text));
    return result;
}

static int take_threshold(const char *text, uint32_t *ret, struct diag *diag)
{
    uint64_t number;
    int result = farm_sign_number(text, "a threshold", ROOT_ANCHORS_MAX, &number, diag);
    if (result >= 0 && number == 0)
        return diag_set(diag, FARM_E_USAGE, "a threshold is at least 1"); /* S10 */
    if (result >= 0)
        *ret = (uint32_t)number;
    return result;
}

static int take_previous(struct root **root, const char *path, struct diag *diag)
{
    struct root *previous = NULL;
    int result = farm_sign_read_root(path, NULL, &previous, diag);
    if (result < 0)
        return result;
    previous->version++;
    root_free(*root);
    *root = previous;
    return 0;
}

static int apply(struct wishes *wishes, int option, const char *value, struct diag *diag)
{
    struct root *root = wishes->root;
    if (option >= OPT_THRESHOLD_OF_ROLE)
        return take_threshold(value, &wishes->thresholds[option - OPT_THRESHOLD_OF_ROLE], diag);
    if (option >= OPT_KEY_OF_ROLE)
        return add_role_key(root, (enum role_name)(option - OPT_KEY_OF_ROLE), value, diag);
    switch (option) {
    case 'o':
        wishes->out = value;
        return 0;
    case 'e':
        return farm_sign_time(value, moment_wall_ms(), &root->expires_ms, diag);
    case OPT_POLICY:
        return set_policy(root, value, diag);
    case OPT_BASE:
        return add_base(root, value, diag);
    case OPT_ANCHOR:
        return add_anchor(root, value, diag);
    case OPT_UNVERIFIED:
        return root_edit_add_unverified(root, value, diag);
    case OPT_PREVIOUS:
        return take_previous(&wishes->root, value, diag);
    case OPT_LOG:
        wishes->log = value;
        return 0;
    case OPT_LOG_THRESHOLD:
        return take_threshold(value, &wishes->log_threshold, diag);
    default: /* OPT_WITNESS */
        if (wishes->nwitnesses >= ROOT_ANCHORS_MAX)
            return diag_set(diag, FARM_E_LIMIT, "too many witnesses");
        wishes->witnesses[wishes->nwitnesses++] = value;
        return 0;
    }
}

static int apply_log(const struct wishes *wishes, struct diag *diag)
{
    struct note_key key;
    int result = 0;
    if (wishes->log != NULL && (result = note_key_parse(view_text(wishes->log), &key, diag)) >= 0)
        result = root_edit_set_log(wishes->root, &key, NULL, diag);
    for (size_t i = 0; result >= 0 && i < wishes->nwitnesses; i++)
        result = root_edit_add_witness(wishes->root, wishes->witnesses[i], diag);
    if (result >= 0 && wishes->log_threshold > 0)
        result = root_edit_set_log_threshold(wishes->root, wishes->log_threshold, diag);
    return result;
}

static int finish(const struct wishes *wishes, struct diag *diag)
{
    int result = 0;
    for (int role = 0; result >= 0 && role < ROLE_COUNT; role++)
        if (wishes->thresholds[role] > 0)
            result =
                root_edit_set_threshold(wishes->root, (enum role_name)role, wishes->thresholds[role], diag);
    if (result >= 0)
        result = apply_log(wishes, diag);
    if (result < 0)
        return result;
    root_edit_default_thresholds(wishes->root);
    return farm_sign_write_root(wishes->root, wishes->out, false, diag);
}

int farm_sign_write_root(const struct root *root, const char *out, bool replace, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = root_edit_finish(root, out, &text, diag);
    if (result < 0)
        return result;
    return replace ? file_write(AT_FDCWD, out, buf_view(&text), 0644, diag)
                   : file_create(AT_FDCWD, out, buf_view(&text), 0644, diag);
}

static int root_init(int argc, char **argv)
{
    static const struct option options[] = {
        {"out", required_argument, NULL, 'o'},
        {"expires", required_argument, NULL, 'e'},
        {"policy", required_argument, NULL, OPT_POLICY},
        {"base", required_argument, NULL, OPT_BASE},
        {"anchor", required_argument, NULL, OPT_ANCHOR},
        {"unverified", required_argument, NULL, OPT_UNVERIFIED},
        {"previous", required_argument, NULL, OPT_PREVIOUS},
        {"log", required_argument, NULL, OPT_LOG},
        {"witness", required_argument, NULL, OPT_WITNESS},
        {"log-threshold", required_argument, NULL, OPT_LOG_THRESHOLD},
        {"root-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_ROOT},
        {"release-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_RELEASE},
        {"enrolment-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_ENROLMENT},
        {"verifier-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_VERIFIER},
        {"root-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_ROOT},
        {"release-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_RELEASE},
        {"enrolment-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_ENROLMENT},
        {"verifier-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_VERIFIER},
        {0}};
    struct wishes wishes = {.root = root_new()};
    struct diag diag = DIAG_INIT;
    int result = 0;
    wishes.root->version = 1;
    for (int option; result >= 0 && (option = getopt_long(argc, argv, "o:e:", options, NULL)) != -1;)
        result = option == '?' ? diag_set(&diag, FARM_E_USAGE, "root init: wrong option (see root --help)")
                               : apply(&wishes, option, optarg, &diag);
    if (result >= 0 && (wishes.out == NULL || argc != optind))
        result = diag_set(&diag, FARM_E_USAGE, "root init: --out FILE is needed, and no further argument");
    if (result >= 0)
        result = finish(&wishes, &diag);
    root_free(wishes.root);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

int farm_sign_root(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } verbs[] = {{"init", root_init},
                 {"add", farm_sign_root_edit},
                 {"remove", farm_sign_root_edit},
                 {"threshold", farm_sign_root_edit},
                 {"set", farm_sign_root_edit},
                 {"sign", farm_sign_root_sign},
                 {"show", farm_sign_root_show}};
    if (farm_sign_asks_help(argc, argv)) {
        fputs(root_help, stdout);
        return FARM_EXIT_OK;
    }
    for (size_t i = 0; argc > 1 && i < ARRAY_SIZE(verbs); i++)
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    return farm_sign_usage("root: init, add, remove, threshold, set, sign or show is needed");
}
