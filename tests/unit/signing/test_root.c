/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trust root: S1, S2, S3, S9, S10, S14, and its strict form. */
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
    CLEANUP_ROOT struct root *back = NULL;
    struct diag diag = DIAG_INIT;
    farm->root->unverified = mem_zero(1, sizeof(char *));
    farm->root->unverified[farm->root->nunverified++] = mem_string("zlib");
    root_write(farm->root, &text);
    if (root_parse(buf_view(&text), "root.json", &back, &diag) < 0)
        fail_msg("%s", diag.text);
    root_write(back, &again);
    assert_string_equal(text.data, again.data);
    struct digest digest = digest_of(buf_view(&text)), base = digest_of(VIEW("base")),
                  other = digest_of(VIEW("x"));
    assert_memory_equal(&back->digest, &digest, sizeof digest);
    assert_true(root_allows_base(back, &base));
    assert_false(root_allows_base(back, &other));
    assert_true(root_allows_unverified(back, "zlib"));
    assert_false(root_allows_unverified(back, "lz4"));
    assert_int_equal(role_persons(&back->roles[ROLE_RELEASE]), 3);
    struct ssh_public_key alpha = ssh_public_key_of(farm->operators[0]),
                          gamma = ssh_public_key_of(farm->operators[2]);
    assert_true(root_is_anchor(back, "alpha", &alpha));
    assert_false(root_is_anchor(back, "alpha", &gamma)); /* the name alone is nothing */
    assert_false(root_is_anchor(back, "gamma", &gamma));
}

static int parse_again(const struct root *root)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    root_write(root, &text);
    int result = root_parse(buf_view(&text), "root.json", &back, NULL);
    assert_int_equal(root_check_rules(root, "root.json", NULL) < 0, result < 0);
    return result;
}

static void test_thresholds(void **state)
{
    struct farm_fixture *farm = *state;
    struct role *release = &farm->root->roles[ROLE_RELEASE];
    assert_int_equal(parse_again(farm->root), 0);
    release->threshold = 3;
    assert_int_equal(parse_again(farm->root), 0);
    release->threshold = 4; /* S10 */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    release->threshold = 3; /* three keys, two persons */
    free(release->keys[2].person);
    release->keys[2].person = mem_string("ben");
    assert_int_equal(root_check_rules(farm->root, "root.json", NULL), FARM_E_REFUSED);
    release->threshold = 0;
    assert_int_equal(root_check_rules(farm->root, "root.json", NULL), FARM_E_REFUSED);
}

static void test_shared_keys(void **state)
{
    struct farm_fixture *farm = *state;
    struct role *release = &farm->root->roles[ROLE_RELEASE];
    farm_fixture_add_role_key(release, "dan", farm->people[0]); /* S2: ann's key */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(release->keys[--release->nkeys].person);
    farm_fixture_add_role_key(release, "ann", farm->people[0]); /* twice */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(release->keys[--release->nkeys].person);
    assert_int_equal(parse_again(farm->root), 0);
    farm->root->anchors[1].keys[0] = farm->root->anchors[0].keys[0];
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    farm->root->anchors[1].keys[0] =
        ssh_public_key_of(farm->people[1]); /* an operator with a manager's key */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
}

struct signing {
    char *texts[8];
    struct view views[8];
    size_t count;
};

static void sign(struct signing *signing, const struct key_pair *pair, const char *name_space,
                 struct view document)
{
    signing->texts[signing->count] = farm_fixture_sign(pair, name_space, document);
    signing->views[signing->count] = view_text(signing->texts[signing->count]);
    signing->count++;
}

static void signing_done(struct signing *signing)
{
    for (size_t i = 0; i < signing->count; i++)
        free(signing->texts[i]);
    *signing = (struct signing){0};
}

static void test_signatures(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *root = NULL;
    struct signing signing = {0};
    struct diag diag = DIAG_INIT;
    root_write(farm->root, &text);
    assert_int_equal(root_parse(buf_view(&text), "root.json", &root, NULL), 0);
    assert_int_equal(root_check(NULL, root, buf_view(&text), NULL, 0, NULL), FARM_E_SIGNATURE);
    sign(&signing, farm->people[0], "root@intergenos", buf_view(&text));
    sign(&signing, farm->people[0], "root@intergenos", buf_view(&text));    /* twice the same */
    sign(&signing, farm->people[1], "release@intergenos", buf_view(&text)); /* S3 */
    sign(&signing, farm->enrolment, "root@intergenos", buf_view(&text));    /* not in the role */
    sign(&signing, farm->people[1], "root@intergenos", VIEW("other bytes"));
    assert_int_equal(root_check(NULL, root, buf_view(&text), signing.views, signing.count, &diag),
                     FARM_E_SIGNATURE); /* S1 */
    assert_non_null(strstr(diag.text, "1 of 2"));
    assert_non_null(strstr(diag.text, "ann"));
    sign(&signing, farm->people[2], "root@intergenos", buf_view(&text));
    assert_int_equal(root_check(NULL, root, buf_view(&text), signing.views, signing.count, NULL), 0);
    signing_done(&signing);
}

/* S14 */
static void test_one_person_two_keys(void **state)
{
    struct farm_fixture *farm = *state;
    struct signing signing = {0};
    struct role *release = &farm->root->roles[ROLE_RELEASE];
    size_t persons = 0;
    free(release->keys[1].person);
    release->keys[1].person = mem_string("ann");
    sign(&signing, farm->people[0], "release@intergenos", VIEW("x"));
    sign(&signing, farm->people[1], "release@intergenos", VIEW("x"));
    assert_int_equal(
        role_verify(release, "release", "release@intergenos", VIEW("x"), signing.views, 2, &persons, NULL),
        FARM_E_SIGNATURE);
    sign(&signing, farm->people[2], "release@intergenos", VIEW("x"));
    assert_int_equal(
        role_verify(release, "release", "release@intergenos", VIEW("x"), signing.views, 3, &persons, NULL),
        0);
    assert_int_equal(persons, 2);
    release->keys[2].verify_required = true; /* a plain key cannot have asked for a PIN */
    assert_int_equal(
        role_verify(release, "release", "release@intergenos", VIEW("x"), signing.views, 3, &persons, NULL),
        FARM_E_SIGNATURE);
    signing_done(&signing);
}

static int check_next(const struct root *old, int64_t version, const struct root *new_root,
                      const struct key_pair *const *pairs, size_t npairs)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct signing signing = {0};
    struct root next = *new_root;
    next.version = version;
    root_write(&next, &text);
    for (size_t i = 0; i < npairs; i++)
        sign(&signing, pairs[i], "root@intergenos", buf_view(&text));
    int result = root_check(old, &next, buf_view(&text), signing.views, signing.count, NULL);
    signing_done(&signing);
    return result;
}

/* S9 */
static void test_succession(void **state)
{
    struct farm_fixture *farm = *state;
    struct farm_fixture *heirs = farm_fixture_new();
    const struct key_pair *old_keys[] = {farm->people[0], farm->people[1]};
    const struct key_pair *new_keys[] = {heirs->people[0], heirs->people[1]};
    const struct key_pair *both[] = {farm->people[0], farm->people[1], heirs->people[0], heirs->people[1]};
    assert_int_equal(check_next(farm->root, 2, heirs->root, both, 4), 0);
    assert_int_equal(check_next(farm->root, 3, heirs->root, both, 4), FARM_E_REFUSED);
    assert_int_equal(check_next(farm->root, 1, heirs->root, both, 4), FARM_E_REFUSED);
    assert_int_equal(check_next(farm->root, 2, heirs->root, new_keys, 2), FARM_E_SIGNATURE);
    assert_int_equal(check_next(farm->root, 2, heirs->root, old_keys, 2), FARM_E_SIGNATURE);
    farm_fixture_free(heirs);
}

static void refuse_changed(const struct root *root, const char *old, const char *new_text)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_BUF struct buf changed = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    root_write(root, &text);
    const char *at = strstr(text.data, old);
    assert_non_null(at);
    buf_add(&changed, text.data, (size_t)(at - text.data));
    buf_add_text(&changed, new_text);
    buf_add_text(&changed, at + strlen(old));
    if (root_parse(buf_view(&changed), "root.json", &back, NULL) >= 0)
        fail_msg("accepted: %s -> %s", old, new_text);
}

static void test_strict(void **state)
{
    struct farm_fixture *farm = *state;
    refuse_changed(farm->root, "\"version\":1", "\"version\":0");
    refuse_changed(farm->root, "\"version\":1", "\"version\":1.0");
    refuse_changed(farm->root, "\"version\":1", "\"version\":1,\"extra\":1");
    refuse_changed(farm->root, "intergenos-root/1", "intergenos-root/2");
    refuse_changed(farm->root, "\"log\":null,", "");
    refuse_changed(farm->root, ",\"verify_required\":false", "");
    refuse_changed(farm->root, "\"verify_required\":false", "\"verify_required\":0");
    refuse_changed(farm->root, "\"threshold\":2", "\"threshold\":-1");
    refuse_changed(farm->root, "\"threshold\":2", "\"threshold\":4294967297");
    refuse_changed(farm->root, "\"person\":\"ann\"", "\"person\":\"\"");
    refuse_changed(farm->root, "\"enrolment\":", "\"enrollment\":");
    refuse_changed(farm->root, "Z\"", "\"");
    refuse_changed(farm->root, "ssh-ed25519 ", "ssh-ed25519  ");
    refuse_changed(farm->root, "\"operator\":\"beta\"", "\"operator\":\"alpha\"");
    refuse_changed(farm->root, "}", "}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_thresholds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shared_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_signatures, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_person_two_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_succession, setup, teardown),
        cmocka_unit_test_setup_teardown(test_strict, setup, teardown),
    };
    return cmocka_run_group_tests_name("root", tests, NULL, NULL);
}
