/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Thresholds: who counts. S1 too few, S3 another namespace, S4 tokens, S14 persons and not keys. */
#include "farm_fixture.h"
#include "token_fixture.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define DOCUMENT VIEW("what is signed")
#define SPACE    SSHSIG_NAMESPACE_RELEASE

static int setup(void **state)
{
    *state = farm_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    farm_fixture_free(*state);
    return 0;
}

struct signing {
    char *texts[8];
    struct view views[8];
    size_t count;
};

static void add(struct signing *signing, char *armored)
{
    signing->texts[signing->count] = armored;
    signing->views[signing->count++] = view_text(armored);
}

static void add_by(struct signing *signing, const struct key_pair *pair, const char *name_space)
{
    add(signing, farm_fixture_sign(pair, name_space, DOCUMENT));
}

static void add_token(struct signing *signing, const struct key_pair *pair, struct token_act act)
{
    struct buf armored = BUF_INIT;
    act.name_space = SPACE;
    token_fixture_sign(pair, &act, DOCUMENT, &armored);
    add(signing, buf_steal(&armored));
}

/* Counts, and forgets the signatures. 'why' (may be NULL) must be in the refusal. */
static int count(const struct role *role, struct signing *signing, size_t *ret_persons, const char *why)
{
    struct diag diag = DIAG_INIT;
    int result =
        role_verify(role, "release", SPACE, DOCUMENT, signing->views, signing->count, ret_persons, &diag);
    for (size_t i = 0; i < signing->count; i++)
        free(signing->texts[i]);
    *signing = (struct signing){0};
    if (why != NULL && strstr(diag.text, why) == NULL)
        fail_msg("no \"%s\" in: %s", why, diag.text);
    return result;
}

static void test_S1_one_signature_too_few(void **state)
{
    struct farm_fixture *farm = *state;
    const struct role *role = &farm->root->roles[ROLE_RELEASE];
    struct signing signing = {0};
    size_t persons = 0;
    assert_int_equal(count(role, &signing, NULL, "0 of 2"), FARM_E_SIGNATURE);
    add_by(&signing, farm->people[0], SPACE);
    add_by(&signing, farm->people[0], SPACE); /* the same again is the same */
    add_by(&signing, farm->enrolment, SPACE);
    assert_int_equal(count(role, &signing, NULL, "1 of 2 needed persons of the role release signed (ann)"),
                     FARM_E_SIGNATURE);
    add_by(&signing, farm->people[0], SPACE);
    add_by(&signing, farm->people[2], SPACE);
    assert_int_equal(count(role, &signing, &persons, NULL), 0);
    assert_int_equal(persons, 2);
}

static void test_S3_another_namespace_does_not_count(void **state)
{
    struct farm_fixture *farm = *state;
    static const char *const others[] = {SSHSIG_NAMESPACE_ROOT,
                                         SSHSIG_NAMESPACE_WORKERS,
                                         SSHSIG_NAMESPACE_WAIVER,
                                         SSHSIG_NAMESPACE_SEAL,
                                         SSHSIG_NAMESPACE_RESOLUTION,
                                         "file",
                                         "release"};
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct signing signing = {0};
        add_by(&signing, farm->people[0], SPACE);
        add_by(&signing, farm->people[1], others[i]);
        assert_int_equal(count(&farm->root->roles[ROLE_RELEASE], &signing, NULL, "another kind of document"),
                         FARM_E_SIGNATURE);
    }
}

static void test_S14_two_keys_of_one_person_are_one(void **state)
{
    struct farm_fixture *farm = *state;
    struct role *role = &farm->root->roles[ROLE_RELEASE];
    struct signing signing = {0};
    free(role->keys[1].person);
    role->keys[1].person = mem_string("ann");
    add_by(&signing, farm->people[0], SPACE);
    add_by(&signing, farm->people[1], SPACE);
    assert_int_equal(count(role, &signing, NULL, "1 of 2"), FARM_E_SIGNATURE);
}

/* ann signs with a key file, ben with a token: does ben count? */
static int with_token(struct farm_fixture *farm, const char *application, bool verify_required,
                      struct token_act act, const char *why)
{
    struct role *role = &farm->root->roles[ROLE_RELEASE];
    struct signing signing = {0};
    role->keys[1].key = token_fixture_key(farm->people[1], application);
    role->keys[1].verify_required = verify_required;
    add_by(&signing, farm->people[0], SPACE);
    add_token(&signing, farm->people[1], act);
    return count(role, &signing, NULL, why);
}

static void test_S4_a_token_that_nobody_touched_does_not_count(void **state)
{
    struct farm_fixture *farm = *state;
    assert_int_equal(
        with_token(farm, "ssh:", false, (struct token_act){.flags = TOKEN_TOUCHED, .counter = 9}, NULL), 0);
    assert_int_equal(with_token(farm, "ssh:", false, (struct token_act){.flags = 0}, "no user presence"),
                     FARM_E_SIGNATURE);
    assert_int_equal(
        with_token(farm, "ssh:", false, (struct token_act){.flags = TOKEN_VERIFIED}, "no user presence"),
        FARM_E_SIGNATURE);
}

static void test_S4_verification_where_the_root_asks_for_it(void **state)
{
    struct farm_fixture *farm = *state;
    assert_int_equal(
        with_token(farm, "ssh:", true, (struct token_act){.flags = TOKEN_TOUCHED}, "PIN or finger"),
        FARM_E_SIGNATURE);
    assert_int_equal(
        with_token(farm, "ssh:", true, (struct token_act){.flags = TOKEN_TOUCHED | TOKEN_VERIFIED}, NULL), 0);
}

static void test_S4_another_application_of_the_token_does_not_count(void **state)
{
    struct farm_fixture *farm = *state;
    struct token_act act = {.flags = TOKEN_TOUCHED, .application = "ssh:other"};
    assert_int_equal(with_token(farm, "ssh:", false, act, "not in this role"), FARM_E_SIGNATURE);
    assert_int_equal(with_token(farm, "ssh:other", false, act, NULL), 0);
    act = (struct token_act){.flags = TOKEN_TOUCHED, .signed_application = "ssh:other"};
    assert_int_equal(with_token(farm, "ssh:", false, act, "does not verify"), FARM_E_SIGNATURE);
    act = (struct token_act){.flags = TOKEN_TOUCHED, .application = "https://example.org"};
    assert_int_equal(with_token(farm, "https://example.org", false, act, "must begin with \"ssh:\""),
                     FARM_E_SIGNATURE);
}

/* The bytes of a token's key in a file are not the token: whoever could read them did not touch it. */
static void test_S4_a_file_key_with_the_tokens_bytes_does_not_count(void **state)
{
    struct farm_fixture *farm = *state;
    struct role *role = &farm->root->roles[ROLE_RELEASE];
    struct signing signing = {0};
    role->keys[1].key = token_fixture_key(farm->people[1], "ssh:");
    add_by(&signing, farm->people[0], SPACE);
    add_by(&signing, farm->people[1], SPACE);
    assert_int_equal(count(role, &signing, NULL, "not in this role"), FARM_E_SIGNATURE);
}

static void test_a_signer_is_named(void **state)
{
    struct farm_fixture *farm = *state;
    const struct role *role = &farm->root->roles[ROLE_RELEASE];
    CLEANUP_FREE char *good = farm_fixture_sign(farm->people[2], SPACE, DOCUMENT);
    CLEANUP_FREE char *stranger = farm_fixture_sign(farm->operators[0], SPACE, DOCUMENT);
    struct diag diag = DIAG_INIT;
    assert_string_equal(role_signer(role, SPACE, DOCUMENT, view_text(good), &diag), "cid");
    assert_null(role_signer(role, SPACE, DOCUMENT, view_text(stranger), &diag));
    assert_null(role_signer(role, SPACE, VIEW("other"), view_text(good), NULL));
    assert_null(role_signer(role, SPACE, DOCUMENT, VIEW("no signature"), NULL));
}

static void test_too_many_signatures_are_not_looked_at(void **state)
{
    struct farm_fixture *farm = *state;
    struct view views[ROOT_SIGNATURES_MAX + 1] = {{0}};
    assert_int_equal(role_verify(&farm->root->roles[ROLE_RELEASE], "release", SPACE, DOCUMENT, views,
                                 ARRAY_SIZE(views), NULL, NULL),
                     FARM_E_LIMIT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_S1_one_signature_too_few),
        CASE(test_S3_another_namespace_does_not_count),
        CASE(test_S14_two_keys_of_one_person_are_one),
        CASE(test_S4_a_token_that_nobody_touched_does_not_count),
        CASE(test_S4_verification_where_the_root_asks_for_it),
        CASE(test_S4_another_application_of_the_token_does_not_count),
        CASE(test_S4_a_file_key_with_the_tokens_bytes_does_not_count),
        CASE(test_a_signer_is_named),
        CASE(test_too_many_signatures_are_not_looked_at),
    };
    return cmocka_run_group_tests_name("role", tests, NULL, NULL);
}
