/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign root init|sign|show */
#include "farm_sign.h"

#include "docjson.h"
#include "file.h"
#include "moment.h"
#include "root.h"

#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char root_help[] =
    "Usage: farm-sign root init --out FILE --expires DATE --policy FILE --base DIGEST... KEYS...\n"
    "       farm-sign root sign FILE --key KEY [--previous FILE]\n"
    "       farm-sign root show FILE [--previous FILE]\n\n"
    "The trust root says who may do what: it names people's keys, anchor operators, the policy and the "
    "bases. Everybody who\n"
    "checks a release starts from it, so it travels by hand.\n\n"
    "init makes version 1 (or, with --previous, the next version; what is not given is then taken from "
    "there):\n"
    "  -o, --out FILE                 where it is written; never replaced\n"
    "  -e, --expires DATE             2027-01-31 or 2027-01-31T12:00:00Z\n"
    "      --policy FILE              policy.yml; its SHA-256 is pinned\n"
    "      --base DIGEST              manifest digest of an allowed base; may be repeated\n"
    "      --root-key NAME=FILE.pub   a person who signs roots; may be repeated; likewise\n"
    "      --release-key, --enrolment-key, --verifier-key\n"
    "      --root-threshold N         persons needed; likewise --release-threshold, --enrolment-threshold,\n"
    "                                 --verifier-threshold (default: all but one; both of two)\n"
    "      --anchor OPERATOR=FILE.pub an operator without whom nothing is agreed; may be repeated\n"
    "      --unverified PACKAGE       may be released with a quorum of 1; may be repeated\n"
    "sign puts a signature into FILE.sig.d/; show prints the root and who signed it, and exits 1 if that is "
    "not enough.\n";

/* Numbers of the long options; a role's options are a base plus its enum. */
enum {
    OPT_POLICY = 256,
    OPT_BASE,
    OPT_ANCHOR,
    OPT_UNVERIFIED,
    OPT_PREVIOUS,
    OPT_KEY_OF_ROLE = 300,
    OPT_THRESHOLD_OF_ROLE = 310
};

static int read_public(const char *path, struct ssh_public_key *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf line = BUF_INIT;
    int result = farm_sign_read(path, SSHSIG_PUBLIC_MAX, &line, diag);
    return result < 0 ? result : ssh_public_key_parse(buf_view(&line), path, ret, diag);
}

/* "NAME=FILE" */
static int read_named_key(const char *text, char **ret_name, struct ssh_public_key *ret, struct diag *diag)
{
    const char *equals = strchr(text, '=');
    if (equals == NULL)
        return diag_set(diag, FARM_E_USAGE, "\"%s\": NAME=FILE.pub is needed", text);
    int result = read_public(equals + 1, ret, diag);
    if (result >= 0)
        *ret_name = mem_string_n(text, (size_t)(equals - text));
    return result;
}

static int add_role_key(struct role *role, const char *text, struct diag *diag)
{
    struct role_key key = {0};
    int result = read_named_key(text, &key.person, &key.key, diag);
    if (result < 0)
        return result;
    role->keys = mem_grow(role->keys, role->nkeys + 1, sizeof *role->keys);
    role->keys[role->nkeys++] = key;
    return 0;
}

static struct root_anchor *find_anchor(struct root *root, const char *name)
{
    for (size_t i = 0; i < root->nanchors; i++)
        if (strcmp(root->anchors[i].operator_name, name) == 0)
            return &root->anchors[i];
    root->anchors = mem_grow(root->anchors, root->nanchors + 1, sizeof *root->anchors);
    root->anchors[root->nanchors] = (struct root_anchor){.operator_name = mem_string(name)};
    return &root->anchors[root->nanchors++];
}

static int add_anchor(struct root *root, const char *text, struct diag *diag)
{
    CLEANUP_FREE char *name = NULL;
    struct ssh_public_key key;
    int result = read_named_key(text, &name, &key, diag);
    if (result < 0)
        return result;
    struct root_anchor *anchor = find_anchor(root, name);
    anchor->keys = mem_grow(anchor->keys, anchor->nkeys + 1, sizeof *anchor->keys);
    anchor->keys[anchor->nkeys++] = key;
    return 0;
}

static int add_base(struct root *root, const char *text, struct diag *diag)
{
    struct digest base;
    if (!digest_parse(view_text(text), &base))
        return diag_set(diag, FARM_E_USAGE, "--base %s: 64 lower-case hex digits are needed", text);
    root->bases = mem_grow(root->bases, root->nbases + 1, sizeof *root->bases);
    root->bases[root->nbases++] = base;
    return 0;
}

static int set_policy(struct root *root, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    int result = farm_sign_read(path, 1024 * 1024, &text, diag);
    if (result >= 0)
        root->policy = digest_of(buf_view(&text));
    return result;
}

static int set_threshold(struct role *role, const char *text, struct diag *diag)
{
    uint64_t number;
    if (!view_decimal(view_text(text), &number) || number < 1 || number > ROOT_KEYS_MAX)
        return diag_set(diag, FARM_E_USAGE, "a threshold is a number from 1 to %d", ROOT_KEYS_MAX);
    role->threshold = (uint32_t)number;
    return 0;
}

static int take_previous(struct root **root, const char *path, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct root *previous = NULL;
    int result = farm_sign_read(path, ROOT_SIZE_MAX, &text, diag);
    if (result < 0 || (result = root_parse(buf_view(&text), path, &previous, diag)) < 0)
        return result;
    previous->version++;
    root_free(*root);
    *root = previous;
    return 0;
}

static int apply(struct root **root, int option, const char *value, struct diag *diag)
{
    if (option >= OPT_THRESHOLD_OF_ROLE)
        return set_threshold(&(*root)->roles[option - OPT_THRESHOLD_OF_ROLE], value, diag);
    if (option >= OPT_KEY_OF_ROLE)
        return add_role_key(&(*root)->roles[option - OPT_KEY_OF_ROLE], value, diag);
    if (option == OPT_POLICY)
        return set_policy(*root, value, diag);
    if (option == OPT_BASE)
        return add_base(*root, value, diag);
    if (option == OPT_ANCHOR)
        return add_anchor(*root, value, diag);
    if (option == OPT_PREVIOUS)
        return take_previous(root, value, diag);
    if (option == 'e')
        return farm_sign_time(value, &(*root)->expires_ms)
                   ? 0
                   : diag_set(diag, FARM_E_USAGE, "--expires %s: not a date", value);
    (*root)->unverified = mem_grow((*root)->unverified, (*root)->nunverified + 1, sizeof(char *));
    (*root)->unverified[(*root)->nunverified++] = mem_string(value);
    return 0;
}

static void default_thresholds(struct root *root)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct role *role = &root->roles[i];
        size_t persons = role_persons(role);
        if (role->threshold == 0 && persons > 0)
            role->threshold = persons > 2 ? (uint32_t)(persons - 1) : (uint32_t)persons;
    }
}

static int write_root(struct root *root, const char *out, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    default_thresholds(root);
    int result = root_check_rules(root, out, diag);
    if (result < 0)
        return result;
    root_write(root, &text);
    if ((result = root_parse(buf_view(&text), out, &back, diag)) < 0)
        return result;
    return file_create(AT_FDCWD, out, buf_view(&text), 0644, diag);
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
        {"root-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_ROOT},
        {"release-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_RELEASE},
        {"enrolment-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_ENROLMENT},
        {"verifier-key", required_argument, NULL, OPT_KEY_OF_ROLE + ROLE_VERIFIER},
        {"root-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_ROOT},
        {"release-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_RELEASE},
        {"enrolment-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_ENROLMENT},
        {"verifier-threshold", required_argument, NULL, OPT_THRESHOLD_OF_ROLE + ROLE_VERIFIER},
        {0}};
    CLEANUP_ROOT struct root *root = root_new();
    const char *out = NULL;
    struct diag diag = DIAG_INIT;
    int result = 0;
    root->version = 1;
    for (int option; result >= 0 && (option = getopt_long(argc, argv, "o:e:", options, NULL)) != -1;) {
        if (option == '?')
            return farm_sign_usage("root init: wrong option");
        if (option == 'o')
            out = optarg;
        else
            result = apply(&root, option, optarg, &diag);
    }
    if (result >= 0 && (out == NULL || argc != optind))
        return farm_sign_usage("root init: --out FILE is needed, and no further argument");
    if (result >= 0)
        result = write_root(root, out, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

static int read_root(const char *path, struct buf *text, struct root **ret, struct diag *diag)
{
    int result = farm_sign_read(path, ROOT_SIZE_MAX, text, diag);
    return result < 0 ? result : root_parse(buf_view(text), path, ret, diag);
}

static void print_root(const struct root *root)
{
    printf("root version %lld, expires %s\nsha256 %s\n", (long long)root->version,
           moment_format(root->expires_ms).text, digest_hex(&root->digest).text);
    for (int i = 0; i < ROLE_COUNT; i++) {
        const struct role *role = &root->roles[i];
        if (role->threshold > 0)
            printf("%s: %u of %zu persons\n", role_name_text((enum role_name)i), role->threshold,
                   role_persons(role));
        for (size_t k = 0; k < role->nkeys; k++) {
            CLEANUP_BUF struct buf line = BUF_INIT;
            ssh_public_key_write(&role->keys[k].key, &line);
            printf("  %-16s %s%s\n", role->keys[k].person, line.data,
                   role->keys[k].verify_required ? " (with PIN)" : "");
        }
    }
    for (size_t i = 0; i < root->nanchors; i++)
        printf("anchor %s (%zu keys)\n", root->anchors[i].operator_name, root->anchors[i].nkeys);
    printf("policy %s\n", digest_hex(&root->policy).text);
    for (size_t i = 0; i < root->nbases; i++)
        printf("base %s\n", digest_hex(&root->bases[i]).text);
    for (size_t i = 0; i < root->nunverified; i++)
        printf("may be released with a quorum of 1: %s\n", root->unverified[i]);
}

static int check_signed(const struct root *root, struct view text, const char *path, const char *previous,
                        struct diag *diag)
{
    CLEANUP_BUF struct buf old_text = BUF_INIT;
    CLEANUP_ROOT struct root *old = NULL;
    char **signatures;
    size_t count;
    int result;
    if ((previous != NULL && (result = read_root(previous, &old_text, &old, diag)) < 0) ||
        (result = farm_sign_signatures(path, &signatures, &count, diag)) < 0)
        return result;
    CLEANUP_FREE struct view *views = mem_zero(count + 1, sizeof *views);
    for (size_t i = 0; i < count; i++)
        views[i] = view_text(signatures[i]);
    result = root_check(old, root, text, views, count, diag);
    docjson_free_strings(signatures, count);
    return result;
}

static int root_show(const char *path, const char *previous)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct diag diag = DIAG_INIT;
    int result = read_root(path, &text, &root, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    print_root(root);
    if ((result = check_signed(root, buf_view(&text), path, previous, &diag)) < 0)
        return farm_sign_fail(&diag, result);
    puts("signed as it must be");
    return FARM_EXIT_OK;
}

static int root_sign(const char *path, const char *key)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct diag diag = DIAG_INIT;
    int result = read_root(path, &text, &root, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    print_root(root);
    result = farm_sign_document(path, buf_view(&text), SSHSIG_NAMESPACE_ROOT, key, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}

int farm_sign_root(int argc, char **argv)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'}, {"previous", required_argument, NULL, OPT_PREVIOUS}, {0}};
    const char *key = NULL, *previous = NULL;
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        fputs(root_help, stdout);
        return FARM_EXIT_OK;
    }
    if (argc > 1 && strcmp(argv[1], "init") == 0)
        return root_init(argc - 1, argv + 1);
    bool sign = argc > 1 && strcmp(argv[1], "sign") == 0;
    if (!sign && (argc < 2 || strcmp(argv[1], "show") != 0))
        return farm_sign_usage("root: init, sign or show is needed");
    for (int option; (option = getopt_long(argc - 1, argv + 1, "k:", options, NULL)) != -1;) {
        if (option == '?')
            return farm_sign_usage("root: wrong option");
        *(option == 'k' ? &key : &previous) = optarg;
    }
    if (argc - 1 - optind != 1 || sign != (key != NULL))
        return farm_sign_usage("root %s: one FILE%s is needed", argv[1], sign ? " and --key KEY" : "");
    const char *path = argv[1 + optind];
    return sign ? root_sign(path, key) : root_show(path, previous);
}
