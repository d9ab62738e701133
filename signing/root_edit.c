/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "root_edit.h"

#include "identity.h"

#include <stdlib.h>

static int refuse_name(const char *name, struct diag *diag)
{
    return diag_set(diag, FARM_E_USAGE, "\"%s\" is no name: a-z 0-9 . _ - and at most %d characters", name,
                    IDENTITY_NAME_MAX);
}

static int refuse_limit(const char *what, size_t limit, struct diag *diag)
{
    return diag_set(diag, FARM_E_LIMIT, "a root holds at most %zu %s", limit, what);
}

/* Takes element 'at' out of an array of *count. */
static void take_out(void *array, size_t *count, size_t at, size_t size)
{
    char *bytes = array;
    memmove(bytes + at * size, bytes + (at + 1) * size, (*count - at - 1) * size);
    (*count)--;
}

/* --- roles --- */

int root_edit_add_key(struct root *root, enum role_name which, const char *person,
                      const struct ssh_public_key *key, bool verify_required, struct diag *diag)
{
    struct role *role = &root->roles[which];
    if (!identity_name_is_valid(view_text(person)))
        return refuse_name(person, diag);
    if (role->nkeys >= ROOT_KEYS_MAX)
        return refuse_limit("keys in one role", ROOT_KEYS_MAX, diag);
    for (size_t i = 0; i < role->nkeys; i++)
        if (ssh_public_key_equal(&role->keys[i].key, key))
            return diag_set(diag, FARM_E_EXISTS, "role %s: this is the key of %s, who is there already",
                            role_name_text(which), role->keys[i].person);
    if (role->nkeys == 0)
        role->threshold = 1;
    role->keys = mem_grow(role->keys, role->nkeys + 1, sizeof *role->keys);
    role->keys[role->nkeys++] = (struct role_key){mem_string(person), *key, verify_required};
    return 0;
}

static bool is_key_of(const struct role_key *entry, const char *person, const struct ssh_public_key *key)
{
    return strcmp(entry->person, person) == 0 && (key == NULL || ssh_public_key_equal(&entry->key, key));
}

int root_edit_remove_key(struct root *root, enum role_name which, const char *person,
                         const struct ssh_public_key *key, struct diag *diag)
{
    struct role *role = &root->roles[which];
    size_t before = role->nkeys;
    for (size_t i = 0; i < role->nkeys;) {
        if (!is_key_of(&role->keys[i], person, key)) {
            i++;
            continue;
        }
        free(role->keys[i].person);
        take_out(role->keys, &role->nkeys, i, sizeof *role->keys);
    }
    if (role->nkeys == before)
        return diag_set(diag, FARM_E_UNKNOWN, "role %s: %s is not there%s", role_name_text(which), person,
                        key != NULL ? " with this key" : "");
    if (role->nkeys == 0)
        role->threshold = 0;
    return 0;
}

int root_edit_set_threshold(struct root *root, enum role_name which, uint32_t threshold, struct diag *diag)
{
    struct role *role = &root->roles[which];
    size_t persons = role_persons(role);
    if (threshold < 1 || threshold > persons)
        return diag_set(diag, FARM_E_REFUSED,
                        "role %s: a threshold is from 1 to the number of its persons, %zu; not %u",
                        role_name_text(which), persons, threshold); /* S10 */
    role->threshold = threshold;
    return 0;
}

void root_edit_default_thresholds(struct root *root)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        struct role *role = &root->roles[i];
        size_t persons = role_persons(role);
        if (role->threshold == 0 && persons > 0)
            role->threshold = persons > 2 ? (uint32_t)(persons - 1) : (uint32_t)persons;
    }
    if (root->log.present && root->log.threshold == 0)
        root->log.threshold = (uint32_t)(root->log.nwitnesses / 2 + 1);
}

/* --- anchors --- */

static struct root_anchor *find_anchor(struct root *root, const char *operator_name)
{
    for (size_t i = 0; i < root->nanchors; i++)
        if (strcmp(root->anchors[i].operator_name, operator_name) == 0)
            return &root->anchors[i];
    return NULL;
}

static struct root_anchor *new_anchor(struct root *root, const char *operator_name)
{
    root->anchors = mem_grow(root->anchors, root->nanchors + 1, sizeof *root->anchors);
    root->anchors[root->nanchors] = (struct root_anchor){.operator_name = mem_string(operator_name)};
    return &root->anchors[root->nanchors++];
}

int root_edit_add_anchor(struct root *root, const char *operator_name, const struct ssh_public_key *key,
                         struct diag *diag)
{
    struct root_anchor *anchor = find_anchor(root, operator_name);
    if (!identity_name_is_valid(view_text(operator_name)))
        return refuse_name(operator_name, diag);
    if (anchor == NULL && root->nanchors >= ROOT_ANCHORS_MAX)
        return refuse_limit("anchors", ROOT_ANCHORS_MAX, diag);
    if (anchor != NULL && anchor->nkeys >= ROOT_KEYS_MAX)
        return refuse_limit("keys of one anchor", ROOT_KEYS_MAX, diag);
    if (root_is_anchor(root, operator_name, key))
        return diag_set(diag, FARM_E_EXISTS, "anchor %s has this key already", operator_name);
    if (anchor == NULL)
        anchor = new_anchor(root, operator_name);
    anchor->keys = mem_grow(anchor->keys, anchor->nkeys + 1, sizeof *anchor->keys);
    anchor->keys[anchor->nkeys++] = *key;
    return 0;
}

static void remove_whole_anchor(struct root *root, struct root_anchor *anchor)
{
    free(anchor->operator_name);
    free(anchor->keys);
    take_out(root->anchors, &root->nanchors, (size_t)(anchor - root->anchors), sizeof *anchor);
}

int root_edit_remove_anchor(struct root *root, const char *operator_name, const struct ssh_public_key *key,
                            struct diag *diag)
{
    struct root_anchor *anchor = find_anchor(root, operator_name);
    if (anchor == NULL || (key != NULL && !root_is_anchor(root, operator_name, key)))
        return diag_set(diag, FARM_E_UNKNOWN, "%s is no anchor%s", operator_name,
                        key != NULL ? " with this key" : "");
    bool whole = key == NULL || anchor->nkeys == 1;
    if (whole && root_is_witness(root, operator_name))
        return diag_set(diag, FARM_E_STATE,
                        "%s witnesses the log; \"farm-sign root remove FILE witness %s\" first",
                        operator_name, operator_name);
    if (whole) {
        remove_whole_anchor(root, anchor);
        return 0;
    }
    for (size_t i = anchor->nkeys; i-- > 0;)
        if (ssh_public_key_equal(&anchor->keys[i], key))
            take_out(anchor->keys, &anchor->nkeys, i, sizeof *anchor->keys);
    return 0;
}

/* --- lists --- */

int root_edit_add_base(struct root *root, const struct digest *base, struct diag *diag)
{
    if (root_allows_base(root, base))
        return diag_set(diag, FARM_E_EXISTS, "base %s is allowed already", digest_hex(base).text);
    if (root->nbases >= ROOT_BASES_MAX)
        return refuse_limit("bases", ROOT_BASES_MAX, diag);
    root->bases = mem_grow(root->bases, root->nbases + 1, sizeof *root->bases);
    root->bases[root->nbases++] = *base;
    return 0;
}

int root_edit_remove_base(struct root *root, const struct digest *base, struct diag *diag)
{
    if (!root_allows_base(root, base))
        return diag_set(diag, FARM_E_UNKNOWN, "base %s is not in the root", digest_hex(base).text);
    for (size_t i = root->nbases; i-- > 0;)
        if (digest_equal(&root->bases[i], base))
            take_out(root->bases, &root->nbases, i, sizeof *root->bases);
    return 0;
}

int root_edit_add_unverified(struct root *root, const char *package, struct diag *diag)
{
    if (!view_is_token(view_text(package)))
        return diag_set(diag, FARM_E_USAGE, "\"%s\" is no package name", package);
    if (root_allows_unverified(root, package))
        return diag_set(diag, FARM_E_EXISTS, "%s is listed already", package);
    if (root->nunverified >= ROOT_UNVERIFIED_MAX)
        return refuse_limit("unverified packages", ROOT_UNVERIFIED_MAX, diag);
    root->unverified = mem_grow(root->unverified, root->nunverified + 1, sizeof *root->unverified);
    root->unverified[root->nunverified++] = mem_string(package);
    return 0;
}

int root_edit_remove_unverified(struct root *root, const char *package, struct diag *diag)
{
    if (!root_allows_unverified(root, package))
        return diag_set(diag, FARM_E_UNKNOWN, "%s is not among the packages allowed with a quorum of 1",
                        package);
    for (size_t i = root->nunverified; i-- > 0;) {
        if (strcmp(root->unverified[i], package) != 0)
            continue;
        free(root->unverified[i]);
        take_out(root->unverified, &root->nunverified, i, sizeof *root->unverified);
    }
    return 0;
}

/* --- the log --- */

static int need_log(const struct root *root, struct diag *diag)
{
    if (root->log.present)
        return 0;
    return diag_set(diag, FARM_E_STATE,
                    "the root names no log; \"farm-sign root set FILE log VKEY --witness OPERATOR...\" first "
                    "(\"farmctl log show --vkey\" prints the VKEY)");
}

static bool is_same_key(const struct note_key *a, const struct note_key *b)
{
    return strcmp(a->name, b->name) == 0 && a->type == b->type && keys_public_equal(&a->key, &b->key);
}

int root_edit_set_log(struct root *root, const struct note_key *key, const struct checkpoint *previous,
                      struct diag *diag)
{
    struct root_log *log = &root->log;
    bool replaces = log->present && !is_same_key(&log->key, key);
    if (replaces && previous == NULL)
        return diag_set(
            diag, FARM_E_REFUSED,
            "another log takes the place of %s: --previous CHECKPOINT says where that one ended, or "
            "its witnesses will refuse the new one",
            log->key.name);
    if (replaces && strcmp(previous->origin, log->key.name) != 0)
        return diag_set(diag, FARM_E_REFUSED, "the checkpoint is of the log %s, the root names %s",
                        previous->origin, log->key.name);
    if (!replaces && previous != NULL)
        return diag_set(diag, FARM_E_REFUSED,
                        log->present
                            ? "this log is the one that the root names already: it goes on, and has no "
                              "other before it"
                            : "the root names no log yet, so there is none before this one");
    if (replaces && strcmp(key->name, log->key.name) == 0)
        return diag_set(diag, FARM_E_REFUSED,
                        "the new log has the origin of the old one; set \"log_origin\" in the coordinator's "
                        "farm.conf to another name first");
    log->present = true;
    log->key = *key;
    if (replaces)
        log->previous = *previous;
    return 0;
}

void root_edit_drop_log(struct root *root)
{
    for (size_t i = 0; i < root->log.nwitnesses; i++)
        free(root->log.witnesses[i]);
    free(root->log.witnesses);
    root->log = (struct root_log){.present = false};
}

int root_edit_set_log_threshold(struct root *root, uint32_t threshold, struct diag *diag)
{
    struct root_log *log = &root->log;
    int result = need_log(root, diag);
    if (result < 0)
        return result;
    if (threshold > log->nwitnesses || 2 * (uint64_t)threshold <= log->nwitnesses)
        return diag_set(
            diag, FARM_E_REFUSED,
            "of %zu witnesses at least %zu must cosign, or two histories could both have enough; %u "
            "cannot be the threshold",
            log->nwitnesses, log->nwitnesses / 2 + 1, threshold);
    log->threshold = threshold;
    return 0;
}

int root_edit_add_witness(struct root *root, const char *operator_name, struct diag *diag)
{
    struct root_log *log = &root->log;
    int result = need_log(root, diag);
    if (result < 0)
        return result;
    if (find_anchor(root, operator_name) == NULL)
        return diag_set(
            diag, FARM_E_REFUSED,
            "%s is no anchor operator, and only their cosignatures count; \"farm-sign root add FILE "
            "anchor %s --key KEY\" first",
            operator_name, operator_name);
    if (root_is_witness(root, operator_name))
        return diag_set(diag, FARM_E_EXISTS, "%s witnesses the log already", operator_name);
    size_t at = 0;
    while (at < log->nwitnesses && strcmp(log->witnesses[at], operator_name) < 0)
        at++;
    log->witnesses = mem_grow(log->witnesses, log->nwitnesses + 1, sizeof *log->witnesses);
    memmove(log->witnesses + at + 1, log->witnesses + at, (log->nwitnesses - at) * sizeof *log->witnesses);
    log->witnesses[at] = mem_string(operator_name);
    log->nwitnesses++;
    return 0;
}

int root_edit_remove_witness(struct root *root, const char *operator_name, struct diag *diag)
{
    struct root_log *log = &root->log;
    for (size_t i = 0; i < log->nwitnesses; i++)
        if (strcmp(log->witnesses[i], operator_name) == 0) {
            free(log->witnesses[i]);
            take_out(log->witnesses, &log->nwitnesses, i, sizeof *log->witnesses);
            return 0;
        }
    return diag_set(diag, FARM_E_UNKNOWN, "%s does not witness the log", operator_name);
}

/* --- the whole --- */

int root_edit_finish(const struct root *root, const char *name, struct buf *ret, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    int result = root_check_rules(root, name, diag);
    if (result < 0)
        return result;
    root_write(root, &text);
    if ((result = root_parse(buf_view(&text), name, &back, diag)) < 0) /* also its size */
        return result;
    buf_add_view(ret, buf_view(&text));
    return 0;
}
