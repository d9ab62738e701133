/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_fixture.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

const char *const fixture_people[FIXTURE_PEOPLE] = {"ann", "ben", "cid"};
const char *const fixture_operators[FIXTURE_OPERATORS] = {"alpha", "beta", "gamma", "delta"};
const char *const fixture_workers[FIXTURE_OPERATORS] = {"alpha-1", "beta-1", "gamma-1", "delta-1"};

char *farm_fixture_sign(const struct key_pair *pair, const char *name_space, struct view document)
{
    struct buf armored = BUF_INIT;
    assert_int_equal(sshsig_sign(pair, name_space, document, &armored, NULL), 0);
    return buf_steal(&armored);
}

void farm_fixture_add_role_key(struct role *role, const char *person, const struct key_pair *pair)
{
    role->keys = mem_grow(role->keys, role->nkeys + 1, sizeof *role->keys);
    role->keys[role->nkeys++] =
        (struct role_key){.person = mem_string(person), .key = ssh_public_key_of(pair)};
}

static struct root *make_root(const struct farm_fixture *fixture)
{
    struct root *root = root_new();
    root->version = 1;
    root->expires_ms = FIXTURE_EXPIRES;
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++) {
        farm_fixture_add_role_key(&root->roles[ROLE_ROOT], fixture_people[i], fixture->people[i]);
        farm_fixture_add_role_key(&root->roles[ROLE_RELEASE], fixture_people[i], fixture->people[i]);
    }
    farm_fixture_add_role_key(&root->roles[ROLE_ENROLMENT], "eva", fixture->enrolment);
    root->roles[ROLE_ROOT].threshold = 2;
    root->roles[ROLE_RELEASE].threshold = 2;
    root->roles[ROLE_ENROLMENT].threshold = 1;
    root->anchors = mem_zero(FIXTURE_ANCHORS, sizeof *root->anchors);
    for (size_t i = 0; i < FIXTURE_ANCHORS; i++) {
        struct root_anchor *anchor = &root->anchors[root->nanchors++];
        anchor->operator_name = mem_string(fixture_operators[i]);
        anchor->keys = mem_zero(1, sizeof *anchor->keys);
        anchor->keys[anchor->nkeys++] = ssh_public_key_of(fixture->operators[i]);
    }
    root->policy = digest_of(VIEW("policy"));
    root->bases = mem_zero(1, sizeof *root->bases);
    root->bases[root->nbases++] = digest_of(VIEW("base"));
    return root;
}

struct directory_entry farm_fixture_entry(const struct farm_fixture *fixture, size_t i)
{
    struct directory_entry entry = {.worker = mem_string(fixture_workers[i]),
                                    .operator_name = mem_string(fixture_operators[i]),
                                    .operator_key = ssh_public_key_of(fixture->operators[i]),
                                    .ed25519 = *keys_public(identity_keys(fixture->workers[i])),
                                    .admitted_ms = FIXTURE_NOW - 86400000,
                                    .expires_ms = FIXTURE_EXPIRES,
                                    .site = mem_format("site-%zu", i),
                                    .compromised_from = -1};
    memcpy(entry.curve, identity_curve_public(fixture->workers[i]), DIRECTORY_CURVE_SIZE);
    return entry;
}

void farm_fixture_sign_entry(struct directory_entry *entry, const struct key_pair *pair)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    directory_entry_write(entry, &text);
    CLEANUP_FREE char *armored = farm_fixture_sign(pair, SSHSIG_NAMESPACE_WORKERS, buf_view(&text));
    directory_entry_add_signature(entry, view_text(armored));
}

static struct directory *make_directory(const struct farm_fixture *fixture)
{
    struct directory *directory = directory_new();
    directory->version = 1;
    directory->expires_ms = FIXTURE_EXPIRES;
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++) {
        struct directory_entry entry = farm_fixture_entry(fixture, i);
        farm_fixture_sign_entry(&entry, fixture->operators[i]);
        farm_fixture_sign_entry(&entry, fixture->enrolment);
        assert_int_equal(directory_add(directory, &entry, NULL), 0);
        directory_entry_done(&entry);
    }
    return directory;
}

struct farm_fixture *farm_fixture_new(void)
{
    struct farm_fixture *fixture = mem_zero(1, sizeof *fixture);
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        fixture->people[i] = keys_generate();
    fixture->enrolment = keys_generate();
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++) {
        fixture->operators[i] = keys_generate();
        fixture->workers[i] = identity_generate(fixture_workers[i], true);
    }
    fixture->root = make_root(fixture);
    fixture->directory = make_directory(fixture);
    return fixture;
}

struct farm_fixture *farm_fixture_free(struct farm_fixture *fixture)
{
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        keys_free(fixture->people[i]);
    keys_free(fixture->enrolment);
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++) {
        keys_free(fixture->operators[i]);
        identity_free(fixture->workers[i]);
    }
    root_free(fixture->root);
    directory_free(fixture->directory);
    free(fixture);
    return NULL;
}
