/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Thresholds: which persons of a role signed a document. */
#include "root.h"

#include <stdio.h>

/* Why signatures did not count, for the message; a few are enough. */
enum { REASONS_TEXT_MAX = 700 };

struct tally {
    const struct role *role;
    const char *signed_by[ROOT_KEYS_MAX]; /* distinct persons */
    size_t persons;
    char reasons[REASONS_TEXT_MAX];
};

static void add_reason(struct tally *tally, size_t at, const char *text)
{
    size_t length = strlen(tally->reasons);
    snprintf(tally->reasons + length, sizeof tally->reasons - length, "; signature %zu does not count: %s",
             at + 1, text);
}

static const struct role_key *find_key(const struct role *role, const struct ssh_public_key *key)
{
    for (size_t i = 0; i < role->nkeys; i++)
        if (ssh_public_key_equal(&role->keys[i].key, key) && role->keys[i].key.type == key->type &&
            strcmp(role->keys[i].key.application, key->application) == 0)
            return &role->keys[i];
    return NULL;
}

static void add_person(struct tally *tally, const char *person)
{
    for (size_t i = 0; i < tally->persons; i++)
        if (strcmp(tally->signed_by[i], person) == 0)
            return; /* S14: two keys, one person */
    tally->signed_by[tally->persons++] = person;
}

const char *role_signer(const struct role *role, const char *name_space, struct view document,
                        struct view signature, struct diag *diag)
{
    struct sshsig found;
    if (sshsig_verify(signature, name_space, document, &found, diag) < 0)
        return NULL;
    const struct role_key *key = find_key(role, &found.key);
    if (key == NULL)
        diag_set(diag, FARM_E_SIGNATURE, "its key is not in this role");
    else if (key->verify_required && !found.user_verified)
        diag_set(diag, FARM_E_SIGNATURE,
                 "the root asks this token for PIN or finger (ssh-keygen -O verify-required)");
    else
        return key->person;
    return NULL;
}

static void count_one(struct tally *tally, size_t at, const char *name_space, struct view document,
                      struct view signature)
{
    struct diag diag = DIAG_INIT;
    const char *person = role_signer(tally->role, name_space, document, signature, &diag);
    if (person != NULL)
        add_person(tally, person);
    else
        add_reason(tally, at, diag_text(&diag, FARM_E_SIGNATURE));
}

static int too_few(const struct tally *tally, const char *role_text, struct diag *diag)
{
    char names[256] = "";
    for (size_t i = 0; i < tally->persons; i++) {
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", i > 0 ? ", " : " (", tally->signed_by[i]);
    }
    return diag_set(diag, FARM_E_SIGNATURE, "%zu of %u needed persons of the role %s signed%s%s%s",
                    tally->persons, tally->role->threshold, role_text, names, tally->persons > 0 ? ")" : "",
                    tally->reasons);
}

int role_verify(const struct role *role, const char *role_text, const char *name_space, struct view document,
                const struct view *signatures, size_t nsignatures, size_t *ret_persons, struct diag *diag)
{
    struct tally tally = {.role = role};
    if (role->threshold < 1 || role->nkeys > ROOT_KEYS_MAX)
        return diag_set(diag, FARM_E_REFUSED, "the role %s is not filled", role_text);
    if (nsignatures > ROOT_SIGNATURES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "%zu signatures, the limit is %d", nsignatures,
                        ROOT_SIGNATURES_MAX);
    for (size_t i = 0; i < nsignatures; i++)
        count_one(&tally, i, name_space, document, signatures[i]);
    if (tally.persons < role->threshold)
        return too_few(&tally, role_text, diag);
    if (ret_persons != NULL)
        *ret_persons = tally.persons;
    return 0;
}
