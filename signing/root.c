/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The struct, its rules, and the questions others ask of it. JSON is in root_json.c, signatures in role.c. */
#include "root.h"

#include "docjson.h"
#include "identity.h"
#include "map.h"

#include <stdlib.h>

const char *role_name_text(enum role_name name)
{
    switch (name) {
    case ROLE_ROOT:
        return "root";
    case ROLE_RELEASE:
        return "release";
    case ROLE_ENROLMENT:
        return "enrolment";
    case ROLE_VERIFIER:
        return "verifier";
    }
    return NULL;
}

bool role_name_parse(const char *text, enum role_name *ret)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        if (strcmp(text, role_name_text((enum role_name)i)) == 0) {
            *ret = (enum role_name)i;
            return true;
        }
    return false;
}

struct root *root_new(void)
{
    return mem_zero(1, sizeof(struct root));
}

static void role_done(struct role *role)
{
    for (size_t i = 0; i < role->nkeys; i++)
        free(role->keys[i].person);
    free(role->keys);
}

struct root *root_free(struct root *root)
{
    if (root == NULL)
        return NULL;
    for (size_t i = 0; i < ROLE_COUNT; i++)
        role_done(&root->roles[i]);
    for (size_t i = 0; i < root->nanchors; i++) {
        free(root->anchors[i].operator_name);
        free(root->anchors[i].keys);
    }
    for (size_t i = 0; i < root->nunverified; i++)
        free(root->unverified[i]);
    docjson_free_strings(root->log.witnesses, root->log.nwitnesses);
    free(root->anchors);
    free(root->bases);
    free(root->unverified);
    free(root);
    return NULL;
}

void root_free_p(struct root **root)
{
    *root = root_free(*root);
}

size_t role_persons(const struct role *role)
{
    size_t persons = 0;
    for (size_t i = 0; i < role->nkeys; i++) {
        size_t k = 0;
        while (strcmp(role->keys[k].person, role->keys[i].person) != 0)
            k++;
        persons += k == i;
    }
    return persons;
}

bool root_allows_base(const struct root *root, const struct digest *base)
{
    for (size_t i = 0; i < root->nbases; i++)
        if (digest_equal(&root->bases[i], base))
            return true;
    return false;
}

bool root_allows_unverified(const struct root *root, const char *package)
{
    for (size_t i = 0; i < root->nunverified; i++)
        if (strcmp(root->unverified[i], package) == 0)
            return true;
    return false;
}

bool root_is_witness(const struct root *root, const char *operator_name)
{
    for (size_t i = 0; root->log.present && i < root->log.nwitnesses; i++)
        if (strcmp(root->log.witnesses[i], operator_name) == 0)
            return true;
    return false;
}

bool root_is_anchor(const struct root *root, const char *operator_name, const struct ssh_public_key *key)
{
    for (size_t i = 0; i < root->nanchors; i++) {
        const struct root_anchor *anchor = &root->anchors[i];
        for (size_t k = 0; k < anchor->nkeys && strcmp(anchor->operator_name, operator_name) == 0; k++)
            if (ssh_public_key_equal(&anchor->keys[k], key))
                return true;
    }
    return false;
}

/* --- rules --- */

static int refuse(struct diag *diag, const char *name, const char *what, const char *who)
{
    return diag_set(diag, FARM_E_REFUSED, "%s: %s%s%s", name, what, who[0] != '\0' ? ": " : "", who);
}

/* One key, one holder: 'holders' maps key bytes to the name that has them. Names are never freed while it lives. */
static int claim_key(struct map *holders, const struct ssh_public_key *key, char *holder, const char *name,
                     struct diag *diag)
{
    struct view bytes = view_of(key->key.bytes, KEYS_PUBLIC_SIZE);
    const char *before = map_get(holders, bytes);
    if (before != NULL && strcmp(before, holder) != 0)
        return diag_set(diag, FARM_E_REFUSED, "%s: %s and %s have the same key; a key belongs to one holder",
                        name, before, holder);
    map_set(holders, bytes, holder);
    return 0;
}

static int check_role(const struct root *root, enum role_name which, struct map *holders, const char *name,
                      struct diag *diag)
{
    const struct role *role = &root->roles[which];
    const char *text = role_name_text(which);
    if (role->threshold == 0 && role->nkeys == 0 && which == ROLE_VERIFIER)
        return 0;
    if (role->nkeys > ROOT_KEYS_MAX)
        return refuse(diag, name, "too many keys in role", text);
    if (role->nkeys == 0)
        return refuse(diag, name, "somebody must hold the role", text);
    if (role->threshold < 1)
        return refuse(diag, name, "a threshold below 1 lets anybody sign; role", text); /* S10 */
    for (size_t i = 0; i < role->nkeys; i++) {
        if (!identity_name_is_valid(view_text(role->keys[i].person)))
            return refuse(diag, name, "a person's name is a-z 0-9 . _ - and at most 64 characters; role",
                          text);
        if (role->keys[i].verify_required && role->keys[i].key.type != SSH_KEY_SK_ED25519)
            return refuse(
                diag, name,
                "verify_required is for tokens (sk-ssh-ed25519); a key in a file asks nobody, so this "
                "person could never sign",
                role->keys[i].person);
        int result = claim_key(holders, &role->keys[i].key, role->keys[i].person, name, diag); /* S2 */
        if (result < 0)
            return result;
        for (size_t k = 0; k < i; k++)
            if (ssh_public_key_equal(&role->keys[k].key, &role->keys[i].key))
                return refuse(diag, name, "the same key twice in role", text);
    }
    if (role->threshold > role_persons(role))
        return refuse(diag, name,
                      "the threshold is above the number of persons, so nothing could ever be signed; role",
                      text);
    return 0;
}

static int check_anchors(const struct root *root, struct map *holders, const char *name, struct diag *diag)
{
    if (root->nanchors > ROOT_ANCHORS_MAX)
        return refuse(diag, name, "too many anchors", "");
    for (size_t i = 0; i < root->nanchors; i++) {
        const struct root_anchor *anchor = &root->anchors[i];
        if (!identity_name_is_valid(view_text(anchor->operator_name)) || anchor->nkeys == 0 ||
            anchor->nkeys > ROOT_KEYS_MAX)
            return refuse(diag, name, "an anchor needs a name (a-z 0-9 . _ -) and at least one key", "");
        for (size_t k = 0; k < i; k++)
            if (strcmp(root->anchors[k].operator_name, anchor->operator_name) == 0)
                return refuse(diag, name, "anchor listed twice", anchor->operator_name);
        for (size_t k = 0; k < anchor->nkeys; k++) {
            int result = claim_key(holders, &anchor->keys[k], anchor->operator_name, name, diag);
            if (result < 0)
                return result;
        }
    }
    return 0;
}

static bool is_anchor_name(const struct root *root, const char *operator_name)
{
    for (size_t i = 0; i < root->nanchors; i++)
        if (strcmp(root->anchors[i].operator_name, operator_name) == 0)
            return true;
    return false;
}

static int check_witnesses(const struct root *root, const char *name, struct diag *diag)
{
    const struct root_log *log = &root->log;
    if (log->nwitnesses < 1 || log->nwitnesses > ROOT_ANCHORS_MAX)
        return refuse(diag, name, "a log needs witnesses, at least one anchor operator", "");
    for (size_t i = 0; i < log->nwitnesses; i++) {
        if (!is_anchor_name(root, log->witnesses[i]))
            return refuse(diag, name, "a witness of the log must be an anchor operator, this is none",
                          log->witnesses[i]);
        if (i > 0 && strcmp(log->witnesses[i - 1], log->witnesses[i]) >= 0)
            return refuse(diag, name, "the log's witnesses are sorted, and each is listed once",
                          log->witnesses[i]);
    }
    if (log->threshold > log->nwitnesses || 2 * (uint64_t)log->threshold <= log->nwitnesses)
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s: log: the threshold of %zu witnesses is from %zu (more than half, or two histories "
            "could both reach it) to %zu, not %u",
            name, log->nwitnesses, log->nwitnesses / 2 + 1, log->nwitnesses, log->threshold); /* L8 */
    return 0;
}

static int check_log(const struct root *root, struct map *holders, const char *name, struct diag *diag)
{
    const struct root_log *log = &root->log;
    if (!log->present)
        return 0;
    int result = check_witnesses(root, name, diag);
    if (result < 0)
        return result;
    if (log->key.type != NOTE_ED25519 || !note_name_is_valid(view_text(log->key.name)))
        return refuse(diag, name, "the log's key must be a plain Ed25519 vkey, as the coordinator prints it",
                      "");
    const char *before = map_get(holders, view_of(log->key.key.bytes, KEYS_PUBLIC_SIZE));
    if (before != NULL)
        return diag_set(diag, FARM_E_REFUSED,
                        "%s: the log has the key of %s; a coordinator's key must be nobody else's", name,
                        before);
    if (log->previous.size > INT64_MAX)
        return refuse(diag, name, "no log is that long; \"previous\" of", log->key.name);
    if (log->previous.size > 0 && (strcmp(log->previous.origin, log->key.name) == 0 ||
                                   !note_name_is_valid(view_text(log->previous.origin))))
        return refuse(diag, name, "a log that takes the place of another one needs a new origin",
                      log->key.name);
    return 0;
}

static int check_lists(const struct root *root, const char *name, struct diag *diag)
{
    if (root->nbases > ROOT_BASES_MAX || root->nunverified > ROOT_UNVERIFIED_MAX)
        return refuse(diag, name, "too many bases or unverified packages", "");
    if (digest_is_zero(&root->policy))
        return refuse(diag, name, "no policy is pinned", "");
    for (size_t i = 0; i < root->nunverified; i++)
        if (!view_is_token(view_text(root->unverified[i])))
            return refuse(diag, name, "not a package name in unverified", root->unverified[i]);
    return 0;
}

int root_check_rules(const struct root *root, const char *name, struct diag *diag)
{
    if (root->version < 1 || root->expires_ms <= 0)
        return refuse(diag, name, "version and expires must be positive", "");
    struct map *holders = map_new();
    int result = check_lists(root, name, diag);
    for (int role = 0; role < ROLE_COUNT && result >= 0; role++)
        result = check_role(root, (enum role_name)role, holders, name, diag);
    if (result >= 0)
        result = check_anchors(root, holders, name, diag);
    if (result >= 0)
        result = check_log(root, holders, name, diag);
    map_free(holders);
    return result;
}

/* --- succession --- */

static bool same_checkpoint(const struct checkpoint *a, const struct checkpoint *b)
{
    return a->size == b->size &&
           (a->size == 0 || (strcmp(a->origin, b->origin) == 0 && digest_equal(&a->root, &b->root)));
}

static bool same_log(const struct root_log *a, const struct root_log *b)
{
    return strcmp(a->key.name, b->key.name) == 0 && keys_public_equal(&a->key.key, &b->key.key);
}

/* A log may begin anew only where everybody can see it: the root says where the old one ended, and witnesses compare. */
static int check_log_follows(const struct root_log *old, const struct root_log *next, struct diag *diag)
{
    if (!old->present || !next->present)
        return 0;
    if (same_log(old, next))
        return same_checkpoint(&old->previous, &next->previous)
                   ? 0
                   : diag_set(
                         diag, FARM_E_REFUSED,
                         "the log %s is the one of the version before, so its \"previous\" cannot change",
                         next->key.name);
    if (next->previous.size == 0 || strcmp(next->previous.origin, old->key.name) != 0)
        return diag_set(
            diag, FARM_E_REFUSED,
            "the log's key changed without \"previous\" saying where the log %s ended; \"farm-sign "
            "root set FILE log VKEY --previous CHECKPOINT\" writes it",
            old->key.name);
    if (strcmp(next->key.name, old->key.name) == 0)
        return diag_set(diag, FARM_E_REFUSED, "the log's key changed, so it needs another origin than %s",
                        old->key.name);
    return 0;
}

int root_check_follows(const struct root *old, const struct root *next, struct diag *diag)
{
    if (old->version == INT64_MAX || next->version != old->version + 1)
        return diag_set(diag, FARM_E_REFUSED,
                        "root version %lld cannot follow version %lld: each follows the one before it",
                        (long long)next->version, (long long)old->version); /* S9 */
    return check_log_follows(&old->log, &next->log, diag);
}

int root_check(const struct root *old, const struct root *new_root, struct view text,
               const struct view *signatures, size_t nsignatures, struct diag *diag)
{
    int result;
    if (old != NULL &&
        ((result = root_check_follows(old, new_root, diag)) < 0 ||
         (result = role_verify(&old->roles[ROLE_ROOT], "root, as the version before names it",
                               SSHSIG_NAMESPACE_ROOT, text, signatures, nsignatures, NULL, diag)) < 0))
        return result;
    return role_verify(&new_root->roles[ROLE_ROOT], "root", SSHSIG_NAMESPACE_ROOT, text, signatures,
                       nsignatures, NULL, diag);
}
