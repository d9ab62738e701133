/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-sign root add|remove|threshold|set: one change to a root.json. A file without signatures is a draft and keeps its version; from
 * one that its threshold signed, the next version begins; one that is being signed is left alone, since a change would
 * take the signatures away from under those who gave them.
 */
#include "farm_sign.h"

#include "docjson.h"
#include "moment.h"
#include "root_edit.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* One change, as it was typed. */
struct change {
    const char *verb, *file, *what, *value;
    const char *out, *person, *key, *threshold, *previous;
    const char *witnesses[ROOT_ANCHORS_MAX];
    size_t nwitnesses;
    bool verify_required;
};

static int wrong(const struct change *change, const char *what, struct diag *diag)
{
    return diag_set(diag, FARM_E_USAGE, "root %s: %s (see \"farm-sign root --help\")", change->verb, what);
}

static bool is(const char *text, const char *other)
{
    return strcmp(text, other) == 0;
}

/* --- what is added and removed --- */

static int take_key(const struct change *change, struct ssh_public_key *room,
                    const struct ssh_public_key **ret, struct diag *diag)
{
    *ret = NULL;
    if (change->key == NULL)
        return 0;
    int result = farm_sign_public_key(change->key, room, diag);
    if (result >= 0)
        *ret = room;
    return result;
}

static int change_role(struct root *root, const struct change *change, enum role_name role, bool add,
                       struct diag *diag)
{
    struct ssh_public_key room;
    const struct ssh_public_key *key;
    int result = take_key(change, &room, &key, diag);
    if (result < 0)
        return result;
    if (change->value != NULL || change->person == NULL || (add && key == NULL))
        return wrong(change,
                     add ? "a role's change needs --person NAME and --key KEY"
                         : "a role's change needs --person NAME",
                     diag);
    return add ? root_edit_add_key(root, role, change->person, key, change->verify_required, diag)
               : root_edit_remove_key(root, role, change->person, key, diag);
}

static int change_anchor(struct root *root, const struct change *change, bool add, struct diag *diag)
{
    struct ssh_public_key room;
    const struct ssh_public_key *key;
    int result = take_key(change, &room, &key, diag);
    if (result < 0)
        return result;
    if (add && key == NULL)
        return wrong(change, "an anchor needs --key KEY", diag);
    return add ? root_edit_add_anchor(root, change->value, key, diag)
               : root_edit_remove_anchor(root, change->value, key, diag);
}

static int change_base(struct root *root, const struct change *change, bool add, struct diag *diag)
{
    struct digest base;
    if (!digest_parse(view_text(change->value), &base))
        return wrong(change, "a base is the digest of its manifest: 64 lower-case hex digits", diag);
    return add ? root_edit_add_base(root, &base, diag) : root_edit_remove_base(root, &base, diag);
}

static int add_or_remove(struct root *root, const struct change *change, struct diag *diag)
{
    bool add = is(change->verb, "add");
    enum role_name role;
    if (role_name_parse(change->what, &role))
        return change_role(root, change, role, add, diag);
    if (change->value == NULL)
        return wrong(
            change,
            "WHAT is root, release, enrolment, verifier, or anchor, witness, base, unverified with a "
            "value",
            diag);
    if (is(change->what, "anchor"))
        return change_anchor(root, change, add, diag);
    if (is(change->what, "base"))
        return change_base(root, change, add, diag);
    if (is(change->what, "witness"))
        return add ? root_edit_add_witness(root, change->value, diag)
                   : root_edit_remove_witness(root, change->value, diag);
    if (is(change->what, "unverified"))
        return add ? root_edit_add_unverified(root, change->value, diag)
                   : root_edit_remove_unverified(root, change->value, diag);
    return wrong(change, "there is no such part of a root", diag);
}

/* --- thresholds --- */

static int set_threshold(struct root *root, const char *what, const char *text, struct diag *diag)
{
    enum role_name role;
    uint64_t number;
    int result = farm_sign_number(text, "a threshold", ROOT_ANCHORS_MAX, &number, diag);
    if (result < 0)
        return result;
    if (role_name_parse(what, &role))
        return root_edit_set_threshold(root, role, (uint32_t)number, diag);
    if (is(what, "log") || is(what, "witness"))
        return root_edit_set_log_threshold(root, (uint32_t)number, diag);
    return diag_set(diag, FARM_E_USAGE, "\"%s\" has no threshold; a role and the log have", what);
}

/* --- set --- */

static int set_policy(struct root *root, const char *value, struct diag *diag)
{
    enum { POLICY_MAX = 1024 * 1024 };
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (digest_parse(view_text(value), &root->policy))
        return 0;
    int result = farm_sign_read(value, POLICY_MAX, &text, diag);
    if (result >= 0)
        root->policy = digest_of(buf_view(&text));
    return result;
}

static int read_previous(const struct root *root, const char *path, struct checkpoint *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf note = BUF_INIT;
    if (!root->log.present)
        return diag_set(diag, FARM_E_REFUSED, "the root names no log yet, so there is none before this one");
    int result = farm_sign_read(path, NOTE_SIZE_MAX, &note, diag);
    if (result >= 0)
        result = note_open_checkpoint(buf_view(&note), &root->log.key, ret, diag);
    return result < 0 ? diag_wrap(diag, result, "%s", path) : 0;
}

static int set_log(struct root *root, const struct change *change, struct diag *diag)
{
    struct checkpoint checkpoint;
    struct note_key key;
    int result = 0;
    if (is(change->value, "none")) {
        root_edit_drop_log(root);
        return 0;
    }
    if ((result = note_key_parse(view_text(change->value), &key, diag)) < 0)
        return result;
    if (change->previous != NULL && (result = read_previous(root, change->previous, &checkpoint, diag)) < 0)
        return result;
    result = root_edit_set_log(root, &key, change->previous != NULL ? &checkpoint : NULL, diag);
    for (size_t i = 0; result >= 0 && i < change->nwitnesses; i++)
        result = root_edit_add_witness(root, change->witnesses[i], diag);
    if (result >= 0)
        root_edit_default_thresholds(root);
    return result;
}

static int set(struct root *root, const struct change *change, struct diag *diag)
{
    if (change->value == NULL)
        return wrong(change, "policy FILE, expires DATE or log VKEY is needed", diag);
    if (is(change->what, "policy"))
        return set_policy(root, change->value, diag);
    if (is(change->what, "expires"))
        return farm_sign_time(change->value, moment_wall_ms(), &root->expires_ms, diag);
    if (is(change->what, "log"))
        return set_log(root, change, diag);
    return wrong(change, "policy, expires or log can be set", diag);
}

/* --- the file --- */

/* An option that means nothing here was meant to do something. */
static int check_options(const struct change *change, struct diag *diag)
{
    enum role_name role;
    bool is_set = is(change->verb, "set"), is_role = !is_set && role_name_parse(change->what, &role);
    if ((change->person != NULL || change->verify_required) && !is_role)
        return wrong(change, "--person and --verify-required go with a role", diag);
    if ((change->previous != NULL || change->nwitnesses > 0) && !(is_set && is(change->what, "log")))
        return wrong(change, "--previous and --witness go with \"set FILE log VKEY\"", diag);
    if (change->key != NULL && !is_role && !is(change->what, "anchor"))
        return wrong(change, "--key goes with a role or an anchor", diag);
    if (change->verify_required && !is(change->verb, "add"))
        return wrong(change, "--verify-required goes with add; a key is changed by removing and adding it",
                     diag);
    return 0;
}

static int apply(struct root *root, const struct change *change, struct diag *diag)
{
    if (is(change->verb, "threshold"))
        return change->value != NULL
                   ? set_threshold(root, change->what, change->value, diag)
                   : wrong(change, "FILE, a role or \"log\", and a number are needed", diag);
    int result = is(change->verb, "set") ? set(root, change, diag) : add_or_remove(root, change, diag);
    if (result >= 0 && change->threshold != NULL)
        result = set_threshold(root, change->what, change->threshold, diag);
    return result;
}

/* 1: signed by its threshold, so the next version begins. 0: a draft. */
static int look_at_signatures(const char *path, const struct root *root, struct view text, struct diag *diag)
{
    struct diag why = DIAG_INIT;
    char **signatures;
    size_t count;
    int result = farm_sign_signatures(path, &signatures, &count, diag);
    if (result < 0)
        return result;
    CLEANUP_FREE struct view *views = mem_zero(count + 1, sizeof *views);
    for (size_t i = 0; i < count; i++)
        views[i] = view_text(signatures[i]);
    result = count == 0 ? 0 : root_check(NULL, root, text, views, count, &why);
    docjson_free_strings(signatures, count);
    if (result < 0)
        return diag_set(
            diag, FARM_E_STATE,
            "%s is being signed (%s); let the others sign it, or remove %s.sig.d, change it, and let all "
            "sign it again",
            path, diag_text(&why, result), path);
    return count > 0;
}

static int run(const struct change *change, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    int result = farm_sign_read_root(change->file, &text, &root, diag);
    if (result < 0)
        return result;
    int is_signed = look_at_signatures(change->file, root, buf_view(&text), diag);
    if (is_signed < 0)
        return is_signed;
    if (is_signed && change->out == NULL)
        return diag_set(
            diag, FARM_E_USAGE,
            "%s is signed; --out FILE says where version %lld, which follows it, shall be written",
            change->file, (long long)root->version + 1);
    if (is_signed)
        root->version++;
    const char *out = change->out != NULL ? change->out : change->file;
    if ((result = apply(root, change, diag)) < 0 ||
        (result = farm_sign_write_root(root, out, change->out == NULL, diag)) < 0)
        return result;
    printf(
        "%s: version %lld, not signed yet. When it is as it shall be: farm-sign root sign %s --key KEY%s%s\n",
        out, (long long)root->version, out, is_signed ? " --previous " : "", is_signed ? change->file : "");
    return 0;
}

enum { OPT_PERSON = 256, OPT_VERIFY, OPT_THRESHOLD, OPT_WITNESS, OPT_PREVIOUS };

static int take_option(struct change *change, int option, const char *value, struct diag *diag)
{
    switch (option) {
    case 'o':
        change->out = value;
        return 0;
    case 'k':
        change->key = value;
        return 0;
    case OPT_PERSON:
        change->person = value;
        return 0;
    case OPT_VERIFY:
        change->verify_required = true;
        return 0;
    case OPT_THRESHOLD:
        change->threshold = value;
        return 0;
    case OPT_PREVIOUS:
        change->previous = value;
        return 0;
    case OPT_WITNESS:
        if (change->nwitnesses >= ROOT_ANCHORS_MAX)
            return diag_set(diag, FARM_E_LIMIT, "too many witnesses");
        change->witnesses[change->nwitnesses++] = value;
        return 0;
    default:
        return wrong(change, "wrong option", diag);
    }
}

int farm_sign_root_edit(int argc, char **argv)
{
    static const struct option options[] = {{"out", required_argument, NULL, 'o'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"person", required_argument, NULL, OPT_PERSON},
                                            {"verify-required", no_argument, NULL, OPT_VERIFY},
                                            {"threshold", required_argument, NULL, OPT_THRESHOLD},
                                            {"witness", required_argument, NULL, OPT_WITNESS},
                                            {"previous", required_argument, NULL, OPT_PREVIOUS},
                                            {0}};
    struct change change = {.verb = argv[0]};
    struct diag diag = DIAG_INIT;
    int result = 0;
    for (int option; result >= 0 && (option = getopt_long(argc, argv, "o:k:", options, NULL)) != -1;)
        result = take_option(&change, option, optarg, &diag);
    if (result >= 0 && (argc - optind < 2 || argc - optind > 3))
        result = wrong(&change, "FILE, what is changed, and its value are needed", &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    change.file = argv[optind];
    change.what = argv[optind + 1];
    change.value = argc - optind == 3 ? argv[optind + 2] : NULL;
    result = check_options(&change, &diag);
    if (result >= 0)
        result = run(&change, &diag);
    return result < 0 ? farm_sign_fail(&diag, result) : FARM_EXIT_OK;
}
