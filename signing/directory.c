/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The struct, uniqueness, look-ups and signatures. JSON is in directory_json.c. */
#include "directory.h"

#include "docjson.h"
#include "identity.h"
#include "map.h"

#include <stdlib.h>

struct directory *directory_new(void)
{
    return mem_zero(1, sizeof(struct directory));
}

void directory_entry_done(struct directory_entry *entry)
{
    free(entry->worker);
    free(entry->operator_name);
    free(entry->cpu_vendor);
    free(entry->kernel);
    free(entry->site);
    docjson_free_strings(entry->signatures, entry->nsignatures);
    *entry = (struct directory_entry){0};
}

struct directory *directory_free(struct directory *directory)
{
    if (directory == NULL)
        return NULL;
    for (size_t i = 0; i < directory->nentries; i++)
        directory_entry_done(&directory->entries[i]);
    free(directory->entries);
    free(directory);
    return NULL;
}

void directory_entry_add_signature(struct directory_entry *entry, struct view armored)
{
    entry->signatures = mem_grow(entry->signatures, entry->nsignatures + 1, sizeof *entry->signatures);
    entry->signatures[entry->nsignatures++] = view_string(armored);
}

static char *maybe_string(const char *text)
{
    return text != NULL ? mem_string(text) : NULL;
}

static struct directory_entry copy_entry(const struct directory_entry *entry)
{
    struct directory_entry copy = *entry;
    copy.worker = mem_string(entry->worker);
    copy.operator_name = mem_string(entry->operator_name);
    copy.cpu_vendor = maybe_string(entry->cpu_vendor);
    copy.kernel = maybe_string(entry->kernel);
    copy.site = maybe_string(entry->site);
    copy.signatures = NULL;
    copy.nsignatures = 0;
    for (size_t i = 0; i < entry->nsignatures; i++)
        directory_entry_add_signature(&copy, view_text(entry->signatures[i]));
    return copy;
}

static int conflict(struct diag *diag, const struct directory_entry *a, const struct directory_entry *b,
                    const char *what)
{
    return diag_set(diag, FARM_E_REFUSED, "worker directory: %s and %s %s", a->worker, b->worker, what);
}

/* Two entries that cannot stand in one directory. W5, and one operator is one key. */
static int check_pair(const struct directory_entry *a, const struct directory_entry *b, struct diag *diag)
{
    bool same_operator = strcmp(a->operator_name, b->operator_name) == 0;
    if (strcmp(a->worker, b->worker) == 0)
        return conflict(diag, a, b, "have the same name");
    if (keys_public_equal(&a->ed25519, &b->ed25519))
        return conflict(diag, a, b, "have the same signing key; every worker makes its own");
    if (memcmp(a->curve, b->curve, DIRECTORY_CURVE_SIZE) == 0)
        return conflict(diag, a, b, "have the same CURVE key; every worker makes its own");
    if (ssh_public_key_equal(&a->operator_key, &b->operator_key) != same_operator)
        return conflict(diag, a, b,
                        same_operator ? "name different keys of one operator"
                                      : "name one key for two operators");
    return 0;
}

/* A machine that held an operator's key could admit further machines. */
static int check_separate(const struct directory_entry *a, const struct directory_entry *b, struct diag *diag)
{
    if (keys_public_equal(&a->ed25519, &b->operator_key.key) ||
        keys_public_equal(&b->ed25519, &a->operator_key.key))
        return conflict(diag, a, b, "use one key for a machine and for an operator; each must have its own");
    return 0;
}

/*
 * Each entry is compared with each: a directory of 10,000 takes less time for this than for its 20,000 signatures, and an
 * index beside the array could disagree with it.
 */
int directory_add(struct directory *directory, const struct directory_entry *entry, struct diag *diag)
{
    if (directory->nentries >= DIRECTORY_ENTRIES_MAX)
        return diag_set(diag, FARM_E_LIMIT, "worker directory: more than %d entries", DIRECTORY_ENTRIES_MAX);
    for (size_t i = 0; i < directory->nentries; i++) {
        int result = check_pair(&directory->entries[i], entry, diag);
        if (result < 0 || (result = check_separate(&directory->entries[i], entry, diag)) < 0)
            return result;
    }
    int result = check_separate(entry, entry, diag);
    if (result < 0)
        return result;
    directory->entries = mem_reserve(directory->entries, &directory->capacity, directory->nentries + 1,
                                     sizeof *directory->entries);
    directory->entries[directory->nentries++] = copy_entry(entry);
    return 0;
}

const struct directory_entry *directory_find(const struct directory *directory, const char *worker)
{
    for (size_t i = 0; i < directory->nentries; i++)
        if (strcmp(directory->entries[i].worker, worker) == 0)
            return &directory->entries[i];
    return NULL;
}

const struct directory_entry *directory_find_key(const struct directory *directory,
                                                 const struct public_key *key)
{
    for (size_t i = 0; i < directory->nentries; i++)
        if (keys_public_equal(&directory->entries[i].ed25519, key))
            return &directory->entries[i];
    return NULL;
}

const struct directory_entry *directory_find_curve(const struct directory *directory,
                                                   const unsigned char *curve)
{
    for (size_t i = 0; i < directory->nentries; i++)
        if (memcmp(directory->entries[i].curve, curve, DIRECTORY_CURVE_SIZE) == 0)
            return &directory->entries[i];
    return NULL;
}

int directory_entry_check(const struct directory_entry *entry, const struct root *root, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct view signatures[ROOT_SIGNATURES_MAX];
    struct role_key key = {entry->operator_name, entry->operator_key, false};
    struct role operator_role = {.threshold = 1, .keys = &key, .nkeys = 1};
    if (entry->nsignatures > ARRAY_SIZE(signatures))
        return diag_set(diag, FARM_E_LIMIT, "%zu signatures", entry->nsignatures);
    for (size_t i = 0; i < entry->nsignatures; i++)
        signatures[i] = view_text(entry->signatures[i]);
    directory_entry_write(entry, &text);
    int result = role_verify(&operator_role, "operator", SSHSIG_NAMESPACE_WORKERS, buf_view(&text),
                             signatures, entry->nsignatures, NULL, diag);
    if (result >= 0)
        result = role_verify(&root->roles[ROLE_ENROLMENT], "enrolment", SSHSIG_NAMESPACE_WORKERS,
                             buf_view(&text), signatures, entry->nsignatures, NULL, diag);
    return result;
}

int directory_check(const struct directory *directory, const char *name, const struct root *root,
                    struct problems *problems)
{
    int failed = 0;
    for (size_t i = 0; i < directory->nentries; i++) {
        struct diag diag = DIAG_INIT;
        int result = directory_entry_check(&directory->entries[i], root, &diag);
        if (result < 0)
            failed = problems_add(problems, name, 0, "entry-signature", "worker %s: %s",
                                  directory->entries[i].worker, diag_text(&diag, result));
    }
    return failed;
}
