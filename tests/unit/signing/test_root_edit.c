/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Edits of a draft: what they change, what they refuse, and that a refusal changes nothing. */
#include "farm_fixture.h"
#include "root_edit.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

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

static char *text_of(const struct root *root)
{
    struct buf text = BUF_INIT;
    root_write(root, &text);
    return buf_steal(&text);
}

/* It failed with this, says why, and the root is what it was. */
static void expect_refused(const struct root *root, const char *before, int result, int wanted,
                           const struct diag *diag, const char *words)
{
    CLEANUP_FREE char *after = text_of(root);
    assert_int_equal(result, wanted);
    assert_string_equal(before, after);
    if (strstr(diag->text, words) == NULL)
        fail_msg("no \"%s\" in: %s", words, diag->text);
}

#define REFUSED(root, wanted, words, call)                                                                   \
    do {                                                                                                     \
        CLEANUP_FREE char *before_ = text_of(root);                                                          \
        struct diag diag_ = DIAG_INIT, *diag = &diag_;                                                       \
        int result_ = (call);                                                                                \
        expect_refused(root, before_, result_, wanted, diag, words);                                         \
    } while (0)

static int finish(const struct root *root)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    return root_edit_finish(root, "root.json", &text, NULL);
}

static void test_a_release_manager_is_replaced(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    const struct ssh_public_key dan = ssh_public_key_of(pair), ann = ssh_public_key_of(farm->people[0]);
    assert_int_equal(root_edit_add_key(root, ROLE_RELEASE, "dan", &dan, false, NULL), 0);
    assert_int_equal(root_edit_remove_key(root, ROLE_RELEASE, "ann", NULL, NULL), 0);
    assert_int_equal(root_edit_set_threshold(root, ROLE_RELEASE, 3, NULL), 0);
    assert_int_equal(finish(root), 0);
    assert_int_equal(role_persons(&root->roles[ROLE_RELEASE]), 3);
    REFUSED(root, FARM_E_UNKNOWN, "ann is not there",
            root_edit_remove_key(root, ROLE_RELEASE, "ann", NULL, diag));
    REFUSED(root, FARM_E_UNKNOWN, "with this key",
            root_edit_remove_key(root, ROLE_RELEASE, "dan", &ann, diag));
    REFUSED(root, FARM_E_EXISTS, "key of dan",
            root_edit_add_key(root, ROLE_RELEASE, "eve", &dan, false, diag));
    REFUSED(root, FARM_E_USAGE, "no name",
            root_edit_add_key(root, ROLE_RELEASE, "Dan Brown", &ann, false, diag));
}

static void test_S10_thresholds_stay_possible(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    REFUSED(root, FARM_E_REFUSED, "from 1 to", root_edit_set_threshold(root, ROLE_ROOT, 0, diag));
    REFUSED(root, FARM_E_REFUSED, "persons, 3", root_edit_set_threshold(root, ROLE_ROOT, 4, diag));
    assert_int_equal(root_edit_remove_key(root, ROLE_ROOT, "ann", NULL, NULL), 0);
    assert_int_equal(root_edit_remove_key(root, ROLE_ROOT, "ben", NULL, NULL), 0);
    assert_int_equal(finish(root), FARM_E_REFUSED); /* 2 of 1 */
    assert_int_equal(root_edit_set_threshold(root, ROLE_ROOT, 1, NULL), 0);
    assert_int_equal(finish(root), 0);
    assert_int_equal(root_edit_remove_key(root, ROLE_ROOT, "cid", NULL, NULL), 0);
    assert_int_equal(finish(root), FARM_E_REFUSED); /* nobody could ever sign the next one */
}

static void test_the_role_verifier_comes_and_goes(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    CLEANUP_FREE char *before = text_of(root);
    const struct ssh_public_key ann = ssh_public_key_of(farm->people[0]);
    assert_int_equal(root_edit_add_key(root, ROLE_VERIFIER, "ann", &ann, false, NULL), 0);
    assert_int_equal(root->roles[ROLE_VERIFIER].threshold, 1);
    assert_int_equal(finish(root), 0);
    assert_int_equal(root_edit_remove_key(root, ROLE_VERIFIER, "ann", &ann, NULL), 0);
    CLEANUP_FREE char *after = text_of(root);
    assert_string_equal(before, after);
}

static void test_default_thresholds(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    CLEANUP_KEYS struct key_pair *log = keys_generate();
    struct note_key key = {.name = "log/one", .type = NOTE_ED25519, .key = *keys_public(log)};
    root->roles[ROLE_ROOT].threshold = 0;
    root->roles[ROLE_ENROLMENT].threshold = 0;
    assert_int_equal(root_edit_set_log(root, &key, NULL, NULL), 0);
    assert_int_equal(root_edit_add_witness(root, "alpha", NULL), 0);
    assert_int_equal(root_edit_add_witness(root, "beta", NULL), 0);
    root_edit_default_thresholds(root);
    assert_int_equal(root->roles[ROLE_ROOT].threshold, 2);      /* all but one of three */
    assert_int_equal(root->roles[ROLE_RELEASE].threshold, 2);   /* as it was */
    assert_int_equal(root->roles[ROLE_ENROLMENT].threshold, 1); /* the only one */
    assert_int_equal(root->log.threshold, 2);                   /* more than half of two */
    assert_int_equal(finish(root), 0);
}

static void test_anchors(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    const struct ssh_public_key gamma = ssh_public_key_of(farm->operators[2]),
                                alpha = ssh_public_key_of(farm->operators[0]);
    assert_int_equal(root_edit_add_anchor(root, "gamma", &gamma, NULL), 0);
    REFUSED(root, FARM_E_EXISTS, "already", root_edit_add_anchor(root, "gamma", &gamma, diag));
    REFUSED(root, FARM_E_UNKNOWN, "no anchor", root_edit_remove_anchor(root, "delta", NULL, diag));
    REFUSED(root, FARM_E_UNKNOWN, "with this key", root_edit_remove_anchor(root, "gamma", &alpha, diag));
    CLEANUP_KEYS struct key_pair *second = keys_generate();
    const struct ssh_public_key newer = ssh_public_key_of(second);
    assert_int_equal(root_edit_add_anchor(root, "gamma", &newer, NULL), 0);
    assert_int_equal(root_edit_remove_anchor(root, "gamma", &gamma, NULL), 0);
    assert_true(root_is_anchor(root, "gamma", &newer));
    assert_false(root_is_anchor(root, "gamma", &gamma));
    assert_int_equal(root_edit_remove_anchor(root, "gamma", &newer, NULL), 0); /* the last key */
    assert_int_equal(root->nanchors, FIXTURE_ANCHORS);
    assert_int_equal(finish(root), 0);
}

static void test_lists(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    struct digest base = digest_of(VIEW("base")), other = digest_of(VIEW("other base"));
    assert_int_equal(root_edit_add_base(root, &other, NULL), 0);
    REFUSED(root, FARM_E_EXISTS, "already", root_edit_add_base(root, &other, diag));
    assert_int_equal(root_edit_remove_base(root, &base, NULL), 0);
    REFUSED(root, FARM_E_UNKNOWN, "not in the root", root_edit_remove_base(root, &base, diag));
    assert_true(root_allows_base(root, &other));
    assert_int_equal(root_edit_add_unverified(root, "zlib", NULL), 0);
    REFUSED(root, FARM_E_EXISTS, "already", root_edit_add_unverified(root, "zlib", diag));
    REFUSED(root, FARM_E_USAGE, "no package name", root_edit_add_unverified(root, "z lib", diag));
    assert_int_equal(root_edit_remove_unverified(root, "zlib", NULL), 0);
    REFUSED(root, FARM_E_UNKNOWN, "quorum of 1", root_edit_remove_unverified(root, "zlib", diag));
    assert_int_equal(finish(root), 0);
}

static struct note_key log_key(const char *origin, const struct key_pair *pair)
{
    struct note_key key = {.type = NOTE_ED25519, .key = *keys_public(pair)};
    snprintf(key.name, sizeof key.name, "%s", origin);
    return key;
}

static void test_witnesses(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    const struct note_key key = log_key("log/one", pair);
    REFUSED(root, FARM_E_STATE, "names no log", root_edit_add_witness(root, "alpha", diag));
    REFUSED(root, FARM_E_STATE, "names no log", root_edit_set_log_threshold(root, 1, diag));
    assert_int_equal(root_edit_set_log(root, &key, NULL, NULL), 0);
    assert_int_equal(root_edit_add_witness(root, "beta", NULL), 0);
    assert_int_equal(root_edit_add_witness(root, "alpha", NULL), 0);
    assert_string_equal(root->log.witnesses[0], "alpha"); /* sorted, whatever the order */
    REFUSED(root, FARM_E_EXISTS, "already", root_edit_add_witness(root, "beta", diag));
    REFUSED(root, FARM_E_REFUSED, "no anchor", root_edit_add_witness(root, "gamma", diag));
    REFUSED(root, FARM_E_REFUSED, "at least 2", root_edit_set_log_threshold(root, 1, diag));
    REFUSED(root, FARM_E_REFUSED, "of 2 witnesses", root_edit_set_log_threshold(root, 3, diag));
    assert_int_equal(root_edit_set_log_threshold(root, 2, NULL), 0);
    assert_int_equal(finish(root), 0);
    REFUSED(root, FARM_E_STATE, "witnesses the log", root_edit_remove_anchor(root, "beta", NULL, diag));
    assert_int_equal(root_edit_remove_witness(root, "beta", NULL), 0);
    REFUSED(root, FARM_E_UNKNOWN, "does not witness", root_edit_remove_witness(root, "beta", diag));
    assert_int_equal(root_edit_set_log_threshold(root, 1, NULL), 0);
    assert_int_equal(root_edit_remove_anchor(root, "beta", NULL, NULL), 0);
    assert_int_equal(finish(root), 0);
    root_edit_drop_log(root);
    assert_int_equal(finish(root), 0);
}

/* The documented act after a loss: another key, another origin, and where the old log ended. */
static void test_a_lost_log_begins_anew(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    CLEANUP_KEYS struct key_pair *one = keys_generate();
    CLEANUP_KEYS struct key_pair *two = keys_generate();
    const struct note_key first = log_key("log/one", one), second = log_key("log/two", two),
                          fork = log_key("log/one", two);
    const struct checkpoint end = {.origin = "log/one", .size = 12, .root = digest_of(VIEW("end"))};
    const struct checkpoint other = {.origin = "log/other", .size = 12};
    REFUSED(root, FARM_E_REFUSED, "names no log yet", root_edit_set_log(root, &first, &end, diag));
    assert_int_equal(root_edit_set_log(root, &first, NULL, NULL), 0);
    assert_int_equal(root_edit_add_witness(root, "alpha", NULL), 0);
    root_edit_default_thresholds(root);
    assert_int_equal(root_edit_set_log(root, &first, NULL, NULL), 0); /* the same again is no change */
    REFUSED(root, FARM_E_REFUSED, "it goes on", root_edit_set_log(root, &first, &end, diag));
    REFUSED(root, FARM_E_REFUSED, "--previous", root_edit_set_log(root, &second, NULL, diag));
    REFUSED(root, FARM_E_REFUSED, "log/other", root_edit_set_log(root, &second, &other, diag));
    REFUSED(root, FARM_E_REFUSED, "log_origin", root_edit_set_log(root, &fork, &end, diag));
    assert_int_equal(root_edit_set_log(root, &second, &end, NULL), 0);
    assert_int_equal(root->log.previous.size, 12);
    assert_int_equal(root->log.nwitnesses, 1); /* who watches stays */
    assert_int_equal(finish(root), 0);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_a_release_manager_is_replaced),
        CASE(test_S10_thresholds_stay_possible),
        CASE(test_the_role_verifier_comes_and_goes),
        CASE(test_default_thresholds),
        CASE(test_anchors),
        CASE(test_lists),
        CASE(test_witnesses),
        CASE(test_a_lost_log_begins_anew),
    };
    return cmocka_run_group_tests_name("root_edit", tests, NULL, NULL);
}
