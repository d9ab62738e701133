/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The worker directory: W4, W5, K5, signatures by operator and enrolment, strict form. */
#include "farm_fixture.h"

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

static void test_round_trip(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    struct directory *back = NULL;
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    directory_write(farm->directory, &text);
    if (directory_parse(buf_view(&text), "workers.json", &back, &diag) < 0)
        fail_msg("%s", diag.text);
    directory_write(back, &again);
    assert_string_equal(text.data, again.data);
    assert_int_equal(directory_check(back, "workers.json", farm->root, &problems), 0);
    const struct directory_entry *entry = directory_find(back, "gamma-1");
    assert_non_null(entry);
    assert_ptr_equal(entry, directory_find_key(back, keys_public(identity_keys(farm->workers[2]))));
    assert_ptr_equal(entry, directory_find_curve(back, identity_curve_public(farm->workers[2])));
    assert_string_equal(entry->site, "site-2");
    assert_null(entry->kernel);
    assert_false(directory_entry_is_anchor(entry, farm->root));
    assert_true(directory_entry_is_anchor(directory_find(back, "alpha-1"), farm->root));
    assert_null(directory_find(back, "gamma-2"));
    directory_free(back);
}

static int check_signed_by(const struct farm_fixture *farm, const struct key_pair *one,
                           const struct key_pair *two)
{
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(farm, 3);
    if (one != NULL)
        farm_fixture_sign_entry(&entry, one);
    if (two != NULL)
        farm_fixture_sign_entry(&entry, two);
    return directory_entry_check(&entry, farm->root, NULL);
}

static void test_K5_operator_and_enrolment_both_sign(void **state)
{
    struct farm_fixture *farm = *state;
    assert_int_equal(check_signed_by(farm, farm->operators[3], farm->enrolment), 0);
    assert_int_equal(check_signed_by(farm, farm->enrolment, farm->operators[3]), 0);
    assert_int_equal(check_signed_by(farm, farm->operators[3], NULL), FARM_E_SIGNATURE);
    assert_int_equal(check_signed_by(farm, NULL, farm->enrolment), FARM_E_SIGNATURE);
    assert_int_equal(check_signed_by(farm, farm->operators[2], farm->enrolment), FARM_E_SIGNATURE);
    assert_int_equal(check_signed_by(farm, farm->operators[3], farm->people[0]), FARM_E_SIGNATURE);
}

/* K5: with a stolen enrolment key and an own operator key one may write "alpha", but is no anchor. */
static void test_K5_a_stolen_enrolment_key_makes_no_anchor(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *thief = keys_generate();
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(farm, 0);
    entry.operator_key = ssh_public_key_of(thief);
    farm_fixture_sign_entry(&entry, thief);
    farm_fixture_sign_entry(&entry, farm->enrolment);
    assert_int_equal(directory_entry_check(&entry, farm->root, NULL), 0);
    assert_false(directory_entry_is_anchor(&entry, farm->root));
}

static void test_changed_after_signing(void **state)
{
    struct farm_fixture *farm = *state;
    struct problems problems = PROBLEMS_INIT;
    struct directory_entry *entry = &farm->directory->entries[1];
    free(entry->site);
    entry->site = mem_string("elsewhere");
    assert_int_equal(directory_check(farm->directory, "workers.json", farm->root, &problems), FARM_E_REFUSED);
    assert_int_equal(problems.count, 1);
    assert_non_null(strstr(problems.items[0].text, "beta-1"));
    problems_done(&problems);
}

static void test_W5_a_key_belongs_to_one_entry(void **state)
{
    struct farm_fixture *farm = *state;
    struct identity *fresh = identity_generate("gamma-2", true);
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(farm, 2);
    assert_int_equal(directory_add(farm->directory, &entry, NULL), FARM_E_REFUSED); /* the same name */
    free(entry.worker);
    entry.worker = mem_string("gamma-2");
    assert_int_equal(directory_add(farm->directory, &entry, NULL), FARM_E_REFUSED); /* W5: the same key */
    entry.ed25519 = *keys_public(identity_keys(fresh));
    assert_int_equal(directory_add(farm->directory, &entry, NULL), FARM_E_REFUSED); /* the same CURVE key */
    memcpy(entry.curve, identity_curve_public(fresh), DIRECTORY_CURVE_SIZE);
    assert_int_equal(directory_add(farm->directory, &entry, NULL), 0); /* a second worker of gamma */
    identity_free(fresh);
    fresh = identity_generate("gamma-3", true);
    free(entry.worker);
    entry.worker = mem_string("gamma-3");
    entry.ed25519 = *keys_public(identity_keys(fresh));
    memcpy(entry.curve, identity_curve_public(fresh), DIRECTORY_CURVE_SIZE);
    entry.operator_key = ssh_public_key_of(farm->operators[3]);
    assert_int_equal(directory_add(farm->directory, &entry, NULL),
                     FARM_E_REFUSED); /* gamma with delta's key */
    entry.operator_key = ssh_public_key_of(farm->operators[2]);
    entry.ed25519 = entry.operator_key.key;
    assert_int_equal(directory_add(farm->directory, &entry, NULL),
                     FARM_E_REFUSED); /* signs with the operator's key */
    identity_free(fresh);
}

static void refuse_changed(const struct directory *directory, const char *old, const char *new_text)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    struct directory *back = NULL;
    directory_write(directory, &text);
    const char *at = strstr(text.data, old);
    assert_non_null(at);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    if (directory_parse(buf_view(&changed), "workers.json", &back, NULL) >= 0)
        fail_msg("accepted: %s -> %s", old, new_text);
}

/* Small order (libsodium verifies with it), mixed order, not canonical, not on the curve: as a worker's key and as an operator's. */
static void test_W4_small_and_mixed_order_keys_are_refused(void **state)
{
    struct farm_fixture *farm = *state;
    static const char *const points[] = {"0000000000000000000000000000000000000000000000000000000000000000",
                                         "0100000000000000000000000000000000000000000000000000000000000000",
                                         "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                                         "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
                                         "10eb7c3acfb2bed3e0d6ab89bf5a3d6afddd1176ce4812e38d9fd485058fdb1f",
                                         "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
                                         "0200000000000000000000000000000000000000000000000000000000000000"};
    CLEANUP_BUF struct buf line = BUF_INIT;
    char hex[65];
    hex_encode(farm->directory->entries[0].ed25519.bytes, 32, hex);
    ssh_public_key_write(&farm->directory->entries[0].operator_key, &line);
    for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        struct ssh_public_key key = {.type = SSH_KEY_ED25519};
        assert_true(hex_decode(view_text(points[i]), key.key.bytes, 32));
        ssh_public_key_write(&key, &bad);
        refuse_changed(farm->directory, hex, points[i]);
        refuse_changed(farm->directory, line.data, bad.data);
    }
}

static void test_strict(void **state)
{
    struct farm_fixture *farm = *state;
    refuse_changed(farm->directory, "\"compromised_from\":-1", "\"compromised_from\":-2");
    refuse_changed(farm->directory, "\"facts\":{", "\"facts\":{\"moon\":\"full\",");
    refuse_changed(farm->directory, "\"worker\":\"alpha-1\"", "\"worker\":\"Alpha\"");
    refuse_changed(farm->directory, "\"worker\":\"alpha-1\"", "\"worker\":\"alpha-1\",\"x\":1");
    refuse_changed(farm->directory, "\"previous\":null",
                   "\"previous\":\"0000000000000000000000000000000000000000000000000000000000000001\"");
    refuse_changed(farm->directory, "\"version\":1", "\"version\":2");
    refuse_changed(farm->directory, "\"format\":\"intergenos-workers/1\"",
                   "\"format\":\"intergenos-workers/1\",\"format\":1");
}

static void test_entry_alone(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(farm, 1);
    CLEANUP(directory_entry_done) struct directory_entry back = {0};
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf again = BUF_INIT;
    directory_entry_write(&entry, &text);
    assert_int_equal(directory_entry_parse(buf_view(&text), "entry", &back, NULL), 0);
    directory_entry_write(&back, &again);
    assert_string_equal(text.data, again.data);
    CLEANUP(directory_entry_done) struct directory_entry none = {0};
    assert_true(directory_entry_parse(VIEW("{}"), "entry", &none, NULL) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_K5_operator_and_enrolment_both_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_K5_a_stolen_enrolment_key_makes_no_anchor, setup, teardown),
        cmocka_unit_test_setup_teardown(test_changed_after_signing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_W5_a_key_belongs_to_one_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_W4_small_and_mixed_order_keys_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strict, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entry_alone, setup, teardown),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
