/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign root show and sign: what a root says, what it changes, who signed it and who is missing. */
#include "farm_sign.h"

#include "docjson.h"
#include "moment.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

/* A root, the one before it if it was given, and the signatures that lie beside it. */
struct shown {
    const char *path, *old_path; /* old_path: NULL if it was not given */
    struct buf text;
    struct root *root, *old;
    char **signatures;
    size_t nsignatures;
};

static void shown_done(struct shown *shown)
{
    buf_done(&shown->text);
    root_free(shown->root);
    root_free(shown->old);
    docjson_free_strings(shown->signatures, shown->nsignatures);
}

static int shown_read(struct shown *shown, struct diag *diag)
{
    int result = farm_sign_read_root(shown->path, &shown->text, &shown->root, diag);
    if (result >= 0 && shown->old_path != NULL)
        result = farm_sign_read_root(shown->old_path, NULL, &shown->old, diag);
    if (result >= 0)
        result = farm_sign_signatures(shown->path, &shown->signatures, &shown->nsignatures, diag);
    return result;
}

static int shown_check(const struct shown *shown, struct diag *diag)
{
    CLEANUP_FREE struct view *views = mem_zero(shown->nsignatures + 1, sizeof *views);
    for (size_t i = 0; i < shown->nsignatures; i++)
        views[i] = view_text(shown->signatures[i]);
    return root_check(shown->old, shown->root, buf_view(&shown->text), views, shown->nsignatures, diag);
}

/* --- who signed --- */

/* The persons of a role, and which of them signed. */
struct standing {
    const char *persons[ROOT_KEYS_MAX];
    bool has_signed[ROOT_KEYS_MAX];
    size_t count, nsigned;
};

static size_t person_at(struct standing *standing, const char *person)
{
    size_t at = 0;
    while (at < standing->count && strcmp(standing->persons[at], person) != 0)
        at++;
    if (at == standing->count)
        standing->persons[standing->count++] = person;
    return at;
}

static void take_standing(const struct shown *shown, const struct role *role, struct standing *ret)
{
    *ret = (struct standing){.count = 0};
    for (size_t i = 0; i < role->nkeys; i++)
        (void)person_at(ret, role->keys[i].person);
    for (size_t i = 0; i < shown->nsignatures; i++) {
        const char *person = role_signer(role, SSHSIG_NAMESPACE_ROOT, buf_view(&shown->text),
                                         view_text(shown->signatures[i]), NULL);
        if (person != NULL)
            ret->has_signed[person_at(ret, person)] = true;
    }
    for (size_t i = 0; i < ret->count; i++)
        ret->nsigned += ret->has_signed[i];
}

static char *names(const struct standing *standing, bool has_signed)
{
    CLEANUP_BUF struct buf list = BUF_INIT;
    for (size_t i = 0; i < standing->count; i++)
        if (standing->has_signed[i] == has_signed)
            buf_add_format(&list, "%s%s", list.size > 0 ? ", " : "", standing->persons[i]);
    return buf_steal(&list);
}

static void print_standing(const struct shown *shown, const struct root *by, const char *title)
{
    const struct role *role = &by->roles[ROLE_ROOT];
    struct standing standing;
    take_standing(shown, role, &standing);
    CLEANUP_FREE char *done = names(&standing, true);
    CLEANUP_FREE char *others = names(&standing, false);
    printf("%s: %zu of %u%s%s%s", title, standing.nsigned, role->threshold, standing.nsigned > 0 ? " (" : "",
           done, standing.nsigned > 0 ? ")" : "");
    if (standing.nsigned < role->threshold)
        printf("; missing: %zu of %s", role->threshold - standing.nsigned, others);
    putchar('\n');
}

/* --- signatures that count for neither --- */

static const char *why_not(const struct shown *shown, size_t at, struct diag *diag)
{
    struct view text = buf_view(&shown->text), signature = view_text(shown->signatures[at]);
    const struct root *const roots[] = {shown->old, shown->root};
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
        if (roots[i] != NULL &&
            role_signer(&roots[i]->roles[ROLE_ROOT], SSHSIG_NAMESPACE_ROOT, text, signature, diag) != NULL)
            return NULL;
    return diag_text(diag, FARM_E_SIGNATURE);
}

static void print_ignored(const struct shown *shown)
{
    for (size_t i = 0; i < shown->nsignatures; i++) {
        struct diag diag = DIAG_INIT;
        const char *why = why_not(shown, i, &diag);
        if (why != NULL)
            printf("a signature that does not count: %s\n", why);
    }
}

/* --- what it says, as lines that can be compared --- */

struct lines {
    char **items;
    size_t count, capacity;
};

static void add_line(struct lines *lines, char *line)
{
    lines->items = mem_reserve(lines->items, &lines->capacity, lines->count + 1, sizeof *lines->items);
    lines->items[lines->count++] = line;
}

static void add_key_line(struct lines *lines, const char *what, const char *who,
                         const struct ssh_public_key *key, const char *remark)
{
    CLEANUP_BUF struct buf print = BUF_INIT;
    ssh_public_key_fingerprint(key, &print);
    add_line(lines, mem_format("%-10s %-12s %s%s%s", what, who, print.data,
                               key->type == SSH_KEY_SK_ED25519 ? " token" : "", remark));
}

static void add_roles(struct lines *lines, const struct root *root)
{
    for (int i = 0; i < ROLE_COUNT; i++) {
        const struct role *role = &root->roles[i];
        const char *name = role_name_text((enum role_name)i);
        if (role->threshold > 0)
            add_line(lines, mem_format("%-10s %u of %zu persons", name, role->threshold, role_persons(role)));
        for (size_t k = 0; k < role->nkeys; k++)
            add_key_line(lines, name, role->keys[k].person, &role->keys[k].key,
                         role->keys[k].verify_required ? ", with PIN or finger" : "");
    }
    for (size_t i = 0; i < root->nanchors; i++)
        for (size_t k = 0; k < root->anchors[i].nkeys; k++)
            add_key_line(lines, "anchor", root->anchors[i].operator_name, &root->anchors[i].keys[k], "");
}

static void add_log(struct lines *lines, const struct root_log *log)
{
    CLEANUP_BUF struct buf vkey = BUF_INIT;
    if (!log->present) {
        add_line(lines, mem_string("log        none: nothing will show what a coordinator hides"));
        return;
    }
    note_key_write(&log->key, &vkey);
    add_line(lines, mem_format("log        %s", vkey.data));
    add_line(lines,
             mem_format("log        cosigned by %u of %zu witnesses", log->threshold, log->nwitnesses));
    for (size_t i = 0; i < log->nwitnesses; i++)
        add_line(lines, mem_format("witness    %s", log->witnesses[i]));
    if (log->previous.size > 0)
        add_line(lines, mem_format("log        follows %s, which ended at size %llu with root %s",
                                   log->previous.origin, (unsigned long long)log->previous.size,
                                   digest_hex(&log->previous.root).text));
}

static void root_lines(const struct root *root, struct lines *lines)
{
    add_line(lines, mem_format("expires    %s", moment_format(root->expires_ms).text));
    add_roles(lines, root);
    add_log(lines, &root->log);
    add_line(lines, mem_format("policy     %s", digest_hex(&root->policy).text));
    for (size_t i = 0; i < root->nbases; i++)
        add_line(lines, mem_format("base       %s", digest_hex(&root->bases[i]).text));
    for (size_t i = 0; i < root->nunverified; i++)
        add_line(lines, mem_format("unverified %s may be released with a quorum of 1", root->unverified[i]));
}

static bool has_line(const struct lines *lines, const char *line)
{
    for (size_t i = 0; i < lines->count; i++)
        if (strcmp(lines->items[i], line) == 0)
            return true;
    return false;
}

static size_t print_missing(const struct lines *from, const struct lines *in, char sign)
{
    size_t missing = 0;
    for (size_t i = 0; i < from->count; i++)
        if (!has_line(in, from->items[i])) {
            printf("  %c %s\n", sign, from->items[i]);
            missing++;
        }
    return missing;
}

static void print_root(const struct shown *shown)
{
    struct lines now = {0}, before = {0};
    printf("trust root version %lld\nsha256     %s\n", (long long)shown->root->version,
           digest_hex(&shown->root->digest).text);
    root_lines(shown->root, &now);
    for (size_t i = 0; i < now.count; i++)
        puts(now.items[i]);
    if (shown->old != NULL) {
        root_lines(shown->old, &before);
        printf("\nagainst version %lld (%s):\n", (long long)shown->old->version, shown->old_path);
        if (print_missing(&before, &now, '-') + print_missing(&now, &before, '+') == 0)
            puts("  nothing but the version changes");
    }
    docjson_free_strings(now.items, now.count);
    docjson_free_strings(before.items, before.count);
}

static void print_signatures(const struct shown *shown)
{
    CLEANUP_FREE char *old = shown->old != NULL ? mem_format("signed for version %lld, the one before",
                                                             (long long)shown->old->version)
                                                : NULL;
    CLEANUP_FREE char *now = mem_format("signed for version %lld itself", (long long)shown->root->version);
    putchar('\n');
    if (shown->old != NULL)
        print_standing(shown, shown->old, old);
    print_standing(shown, shown->root, now);
    print_ignored(shown);
    if (shown->old == NULL && shown->root->version > 1)
        printf("not looked at: the threshold of version %lld, which must sign too (--previous FILE)\n",
               (long long)shown->root->version - 1);
}

/* --- show --- */

static json_t *standing_json(const struct shown *shown, const struct root *by)
{
    struct standing standing;
    json_t *done = json_array(), *missing = json_array();
    if (by == NULL) {
        json_decref(done);
        json_decref(missing);
        return json_null();
    }
    take_standing(shown, &by->roles[ROLE_ROOT], &standing);
    for (size_t i = 0; i < standing.count; i++)
        json_array_append_new(standing.has_signed[i] ? done : missing, json_string(standing.persons[i]));
    return json_pack("{s:I, s:I, s:o, s:o}", "version", (json_int_t)by->version, "threshold",
                     (json_int_t)by->roles[ROLE_ROOT].threshold, "signed", done, "not_signed", missing);
}

static int print_json(const struct shown *shown, int result, const struct diag *diag)
{
    CLEANUP_JSON json_t *document = NULL;
    int read = json_read(buf_view(&shown->text), shown->path, ROOT_SIZE_MAX, &document, NULL);
    CLEANUP_JSON json_t *all =
        json_pack("{s:O, s:o, s:o, s:o, s:b, s:o}", "root", document, "sha256",
                  json_digest(&shown->root->digest), "by_this", standing_json(shown, shown->root),
                  "by_previous", standing_json(shown, shown->old), "complete", (int)(result >= 0), "problem",
                  result < 0 ? json_view(view_text(diag_text(diag, result))) : json_null());
    farm_sign_print_json(all);
    return read < 0 ? FARM_EXIT_CANNOT_RUN : result < 0 ? farm_error_exit(result) : FARM_EXIT_OK;
}

static int show(struct shown *shown, bool as_json)
{
    struct diag diag = DIAG_INIT;
    int result = shown_read(shown, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    result = shown_check(shown, &diag);
    if (as_json)
        return print_json(shown, result, &diag);
    print_root(shown);
    print_signatures(shown);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    if (shown->root->expires_ms <= moment_wall_ms())
        return farm_sign_fail(&diag, diag_set(&diag, FARM_E_STALE, "%s expired", shown->path));
    puts(shown->old != NULL || shown->root->version == 1 ? "signed as it must be"
                                                         : "signed as it must be by its own threshold");
    return FARM_EXIT_OK;
}

/* --- sign --- */

static void warn_about_key(const struct shown *shown, const struct sshsig *by)
{
    const struct root *const roots[] = {shown->old, shown->root};
    for (size_t i = 0; i < ARRAY_SIZE(roots); i++)
        for (size_t k = 0; roots[i] != NULL && k < roots[i]->roles[ROLE_ROOT].nkeys; k++)
            if (ssh_public_key_equal(&roots[i]->roles[ROLE_ROOT].keys[k].key, &by->key))
                return;
    printf("note: this key is not in the role root of %s%s\n", shown->path,
           shown->old != NULL ? " nor of the version before, so it does not count"
           : shown->root->version > 1
               ? "; it counts only if the version before names it (--previous FILE shows)"
               : ", so it does not count");
}

static int sign(struct shown *shown, const struct farm_sign_hand *hand)
{
    struct diag diag = DIAG_INIT;
    struct sshsig by;
    int result = shown_read(shown, &diag);
    if (result >= 0 && shown->old != NULL)
        result = root_check_follows(shown->old, shown->root, &diag);
    if (result < 0)
        return farm_sign_fail(&diag, result);
    print_root(shown);
    CLEANUP_FREE char *command = mem_format("farm-sign root sign %s", shown->path);
    const struct farm_sign_document document = {shown->path, buf_view(&shown->text), SSHSIG_NAMESPACE_ROOT,
                                                command};
    if ((result = farm_sign_document(&document, hand, &by, &diag)) < 0)
        return farm_sign_fail(&diag, result);
    warn_about_key(shown, &by);
    docjson_free_strings(shown->signatures, shown->nsignatures);
    shown->signatures = NULL;
    shown->nsignatures = 0;
    if ((result = farm_sign_signatures(shown->path, &shown->signatures, &shown->nsignatures, &diag)) < 0)
        return farm_sign_fail(&diag, result);
    print_signatures(shown);
    return FARM_EXIT_OK;
}

/* --- arguments --- */

struct arguments {
    struct shown shown;
    struct farm_sign_hand hand;
    bool as_json;
};

/* An exit status, or -1 to go on. */
static int parse(struct arguments *ret, int argc, char **argv)
{
    static const struct option options[] = {{"previous", required_argument, NULL, 'p'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"import", required_argument, NULL, 'i'},
                                            {0}};
    bool signs = strcmp(argv[0], "sign") == 0;
    for (int option; (option = getopt_long(argc, argv, "k:p:", options, NULL)) != -1;) {
        if (option == 'p')
            ret->shown.old_path = optarg;
        else if (option == 'j' && !signs)
            ret->as_json = true;
        else if (option == 'k' && signs)
            ret->hand.key = optarg;
        else if (option == 'i' && signs)
            ret->hand.import = optarg;
        else
            return farm_sign_usage("root %s: wrong option", argv[0]);
    }
    if (argc - optind != 1 || (ret->hand.key != NULL && ret->hand.import != NULL))
        return farm_sign_usage("root %s: one FILE is needed%s", argv[0],
                               signs ? ", and --key KEY or --import SIG, not both" : "");
    ret->shown.path = argv[optind];
    return -1;
}

int farm_sign_root_show(int argc, char **argv)
{
    struct arguments arguments = {.as_json = false};
    int status = parse(&arguments, argc, argv);
    if (status < 0)
        status = show(&arguments.shown, arguments.as_json);
    shown_done(&arguments.shown);
    return status;
}

int farm_sign_root_sign(int argc, char **argv)
{
    struct arguments arguments = {.as_json = false};
    int status = parse(&arguments, argc, argv);
    if (status < 0)
        status = sign(&arguments.shown, &arguments.hand);
    shown_done(&arguments.shown);
    return status;
}
