/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The half of review.h that is about who is trusted: rules, trust root, directory. */
#include "review.h"

#include "map.h"

#include <stdlib.h>

/* ---- rules ---- */

static const char policy_file[] = "farm/policy.yml";

static void number_lowered(const char *package, const char *rule, const char *what, uint32_t before,
                           uint32_t after, struct problems *findings)
{
    if (after < before)
        (void)problems_add(findings, policy_file, 0, rule, "%s: %s was %u and is %u", package, what, before,
                           after);
}

static void flag_changed(const char *package, const char *rule, const char *text, bool changed,
                         struct problems *findings)
{
    if (changed)
        (void)problems_add(findings, policy_file, 0, rule, "%s: %s", package, text);
}

void review_rules(const char *package, const struct rules *before, const struct rules *after,
                  struct problems *findings)
{
    number_lowered(package, "quorum-lowered", "the quorum", before->quorum, after->quorum, findings);
    number_lowered(package, "anchors-lowered", "the number of anchors in it", before->anchors, after->anchors,
                   findings);
    number_lowered(package, "margin-lowered", "the margin that settles a dispute", before->margin,
                   after->margin, findings);
    flag_changed(package, "distinct-lost",
                 "its operators need not differ any more in all that they had to differ in",
                 (before->distinct & ~after->distinct) != 0, findings);
    flag_changed(package, "open-votes-gained", "votes that come after the verdict may count now",
                 !before->open_votes && after->open_votes, findings);
    flag_changed(package, "hold-lost", "the policy held it back, and does not any more",
                 before->hold && !after->hold, findings);
    flag_changed(package, "evidence-lost", "no evidence from hardware is asked for any more",
                 before->evidence && !after->evidence, findings);
}

/* ---- trust root ---- */

static const char root_file[] = "root.json";

static const struct role_key *find_key(const struct role *role, const struct ssh_public_key *key)
{
    for (size_t i = 0; i < role->nkeys; i++)
        if (ssh_public_key_equal(&role->keys[i].key, key))
            return &role->keys[i];
    return NULL;
}

static bool has_person(const struct role *role, const char *person)
{
    for (size_t i = 0; i < role->nkeys; i++)
        if (strcmp(role->keys[i].person, person) == 0)
            return true;
    return false;
}

static void review_role(const char *name, const struct role *before, const struct role *after,
                        struct problems *findings)
{
    if (after->threshold < before->threshold)
        (void)problems_add(findings, root_file, 0, "threshold-lowered",
                           "%s: %u persons had to sign, %u do now", name, before->threshold,
                           after->threshold);
    for (size_t i = 0; i < after->nkeys; i++) {
        const struct role_key *now = &after->keys[i], *then = find_key(before, &now->key);
        if (then == NULL)
            (void)problems_add(findings, root_file, 0,
                               has_person(before, now->person) ? "key-gained" : "person-gained",
                               "%s: a key of %s that did not count before", name, now->person);
        else if (then->verify_required && !now->verify_required)
            (void)problems_add(findings, root_file, 0, "verify-lost",
                               "%s: the token of %s need not ask for PIN or finger any more", name,
                               now->person);
    }
}

static const struct root_anchor *find_anchor(const struct root *root, const char *name)
{
    for (size_t i = 0; i < root->nanchors; i++)
        if (strcmp(root->anchors[i].operator_name, name) == 0)
            return &root->anchors[i];
    return NULL;
}

static void review_anchors(const struct root *before, const struct root *after, struct problems *findings)
{
    for (size_t i = 0; i < after->nanchors; i++) {
        const struct root_anchor *now = &after->anchors[i], *then = find_anchor(before, now->operator_name);
        if (then == NULL)
            (void)problems_add(findings, root_file, 0, "anchor-gained", "%s is an anchor operator now",
                               now->operator_name);
        for (size_t k = 0; then != NULL && k < now->nkeys; k++)
            if (!root_is_anchor(before, now->operator_name, &now->keys[k]))
                (void)problems_add(findings, root_file, 0, "anchor-key-gained",
                                   "the anchor operator %s has a key that it did not have",
                                   now->operator_name);
    }
    for (size_t i = 0; i < before->nanchors; i++)
        if (find_anchor(after, before->anchors[i].operator_name) == NULL)
            (void)problems_add(findings, root_file, 0, "anchor-lost", "%s is no anchor operator any more",
                               before->anchors[i].operator_name);
}

static void review_allowed(const struct root *before, const struct root *after, struct problems *findings)
{
    for (size_t i = 0; i < after->nbases; i++)
        if (!root_allows_base(before, &after->bases[i]))
            (void)problems_add(findings, root_file, 0, "base-gained", "the base %s may be built upon now",
                               digest_hex(&after->bases[i]).text);
    for (size_t i = 0; i < after->nunverified; i++)
        if (!root_allows_unverified(before, after->unverified[i]))
            (void)problems_add(findings, root_file, 0, "unverified-gained",
                               "%s may be released with a quorum of one", after->unverified[i]);
}

static void review_log(const struct root *before, const struct root *after, struct problems *findings)
{
    if (!before->log.present)
        return;
    if (!after->log.present) {
        (void)problems_add(findings, root_file, 0, "log-lost", "no transparency log is asked for any more");
        return;
    }
    if (!keys_public_equal(&before->log.key.key, &after->log.key.key))
        (void)problems_add(findings, root_file, 0, "log-replaced", "the log is another one: %s was %s",
                           after->log.key.name, before->log.key.name);
    if (after->log.threshold < before->log.threshold)
        (void)problems_add(findings, root_file, 0, "threshold-lowered",
                           "log: %u operators had to witness, %u do now", before->log.threshold,
                           after->log.threshold);
    for (size_t i = 0; i < before->log.nwitnesses; i++)
        if (!root_is_witness(after, before->log.witnesses[i]))
            (void)problems_add(findings, root_file, 0, "witness-lost", "%s does not witness the log any more",
                               before->log.witnesses[i]);
}

void review_root(const struct root *before, const struct root *after, struct problems *findings)
{
    for (int i = 0; i < ROLE_COUNT; i++)
        review_role(role_name_text((enum role_name)i), &before->roles[i], &after->roles[i], findings);
    review_anchors(before, after, findings);
    review_allowed(before, after, findings);
    review_log(before, after, findings);
}

/* ---- directory ---- */

static const char directory_file[] = "workers.json";

/* operator -> its key */
static struct map *operators_of(const struct directory *directory)
{
    struct map *map = map_new();
    for (size_t i = 0; i < directory->nentries; i++)
        map_set(map, view_text(directory->entries[i].operator_name), &directory->entries[i].operator_key);
    return map;
}

/* Those of 'here' that are not in 'there', in the directory's order. */
static void list_only_in(const struct map *here, const struct map *there, struct review_names *ret)
{
    size_t cursor = 0;
    struct view name;
    void *value;
    while (map_next(here, &cursor, &name, &value)) {
        if (map_get(there, name) != NULL)
            continue;
        ret->items = mem_grow(ret->items, ret->count + 1, sizeof *ret->items);
        ret->items[ret->count++] = view_string(name);
    }
}

static void review_keys(const struct map *before, const struct map *after, struct problems *findings)
{
    size_t cursor = 0;
    struct view name;
    void *value;
    while (map_next(after, &cursor, &name, &value)) {
        const struct ssh_public_key *then = map_get(before, name);
        if (then != NULL && !ssh_public_key_equal(then, value))
            (void)problems_add(findings, directory_file, 0, "operator-key-replaced",
                               "%.*s has another key than before", VIEW_ARG(name));
    }
}

static void review_compromised(const struct directory *before, const struct directory *after,
                               struct problems *findings)
{
    for (size_t i = 0; i < after->nentries; i++) {
        const struct directory_entry *now = &after->entries[i], *then = directory_find(before, now->worker);
        if (now->compromised_from >= 0 && (then == NULL || then->compromised_from != now->compromised_from))
            (void)problems_add(findings, directory_file, 0, "worker-compromised",
                               "%s of %s is not believed from log position %lld on", now->worker,
                               now->operator_name, (long long)now->compromised_from);
    }
}

void review_directory(const struct directory *before, const struct directory *after,
                      struct review_names *ret_came, struct review_names *ret_went, struct problems *findings)
{
    struct map *old = operators_of(before), *new = operators_of(after);
    list_only_in(new, old, ret_came);
    list_only_in(old, new, ret_went);
    review_keys(old, new, findings);
    review_compromised(before, after, findings);
    map_free(old);
    map_free(new);
}

void review_names_done(struct review_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
    *names = (struct review_names){0};
}
