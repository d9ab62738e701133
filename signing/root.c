/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The struct, its rules, and the questions others ask of it. JSON is in root_json.c, signatures in role.c. */
#include "root.h"

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
    if (role->threshold < 1)
        return refuse(diag, name, "a threshold below 1 lets anybody sign; role", text); /* S10 */
    for (size_t i = 0; i < role->nkeys; i++) {
        if (!identity_name_is_valid(view_text(role->keys[i].person)))
            return refuse(diag, name, "a person's name is a-z 0-9 . _ - and at most 64 characters; role",
                          text);
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
    map_free(holders);
    return result;
}

int root_check(const struct root *old, const struct root *new_root, struct view text,
               const struct view *signatures, size_t nsignatures, struct diag *diag)
{
    int result;
    if (old != NULL && new_root->version != old->version + 1)
        return diag_set(diag, FARM_E_REFUSED,
                        "root version %lld cannot follow version %lld: each follows the one before it",
                        (long long)new_root->version, (long long)old->version); /* S9 */
    if (old != NULL &&
        (result = role_verify(&old->roles[ROLE_ROOT], "root, as the version before names it",
                              SSHSIG_NAMESPACE_ROOT, text, signatures, nsignatures, NULL, diag)) < 0)
        return result;
    return role_verify(&new_root->roles[ROLE_ROOT], "root", SSHSIG_NAMESPACE_ROOT, text, signatures,
                       nsignatures, NULL, diag);
}
