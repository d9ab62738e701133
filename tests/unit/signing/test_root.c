/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The trust root: S1, S2, S3, S9, S10, S14, the log that it names (L8), and its strict form. */
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

static void test_S10_thresholds(void **state)
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

static void test_S2_one_key_has_one_name(void **state)
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

/* Under one name a person may hold several roles with one key; under two names nobody may, in whichever roles. */
static void test_S2_one_key_across_roles(void **state)
{
    struct farm_fixture *farm = *state;
    struct role *enrolment = &farm->root->roles[ROLE_ENROLMENT];
    farm_fixture_add_role_key(enrolment, "ann", farm->people[0]);
    assert_int_equal(parse_again(farm->root), 0);
    free(enrolment->keys[1].person);
    enrolment->keys[1].person = mem_string("anne");
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(enrolment->keys[1].person);
    enrolment->keys[1].person = mem_string("ann");
    enrolment->keys[1].key.type =
        SSH_KEY_SK_ED25519; /* the same bytes in another wrapping are the same key */
    strcpy(enrolment->keys[1].key.application, "ssh:");
    assert_int_equal(parse_again(farm->root), 0);
    free(enrolment->keys[1].person);
    enrolment->keys[1].person = mem_string("dan");
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
}

/* A person who could never sign must not be counted on. */
static void test_S10_verification_is_for_tokens(void **state)
{
    struct farm_fixture *farm = *state;
    struct role_key *key = &farm->root->roles[ROLE_RELEASE].keys[0];
    key->verify_required = true;
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    key->key.type = SSH_KEY_SK_ED25519;
    strcpy(key->key.application, "ssh:");
    assert_int_equal(parse_again(farm->root), 0);
}

/* --- the log --- */

static void give_log(struct root *root, const char *origin, const struct key_pair *pair)
{
    struct root_log *log = &root->log;
    *log = (struct root_log){
        .present = true, .threshold = 2, .key = {.type = NOTE_ED25519, .key = *keys_public(pair)}};
    snprintf(log->key.name, sizeof log->key.name, "%s", origin);
    log->witnesses = mem_zero(4, sizeof *log->witnesses);
    log->witnesses[log->nwitnesses++] = mem_string("alpha");
    log->witnesses[log->nwitnesses++] = mem_string("beta");
}

static void drop_log(struct root *root)
{
    for (size_t i = 0; i < root->log.nwitnesses; i++)
        free(root->log.witnesses[i]);
    free(root->log.witnesses);
    root->log = (struct root_log){.present = false};
}

static void test_log_round_trip(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    struct diag diag = DIAG_INIT;
    give_log(farm->root, "intergenos-farm/one", pair);
    farm->root->log.previous =
        (struct checkpoint){.origin = "intergenos-farm/zero", .size = 77, .root = digest_of(VIEW("x"))};
    root_write(farm->root, &text);
    if (root_parse(buf_view(&text), "root.json", &back, &diag) < 0)
        fail_msg("%s", diag.text);
    assert_true(back->log.present);
    assert_string_equal(back->log.key.name, "intergenos-farm/one");
    assert_true(keys_public_equal(&back->log.key.key, keys_public(pair)));
    assert_int_equal(back->log.threshold, 2);
    assert_string_equal(back->log.previous.origin, "intergenos-farm/zero");
    assert_int_equal(back->log.previous.size, 77);
    assert_true(digest_equal(&back->log.previous.root, &farm->root->log.previous.root));
    assert_true(root_is_witness(back, "beta"));
    assert_false(root_is_witness(back, "gamma"));
    drop_log(farm->root);
    assert_false(root_is_witness(farm->root, "beta"));
}

/* Two histories, each shown to half of the witnesses, must not both have enough. */
static void test_L8_more_than_half_of_the_witnesses(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    give_log(farm->root, "intergenos-farm/one", pair);
    struct root_log *log = &farm->root->log;
    assert_int_equal(parse_again(farm->root), 0);
    log->threshold = 1; /* of two */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    log->threshold = 3; /* more than there are */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    log->threshold = 0;
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(log->witnesses[--log->nwitnesses]);
    log->threshold = 1;
    assert_int_equal(parse_again(farm->root), 0);
    free(log->witnesses[--log->nwitnesses]);
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED); /* no witness at all */
}

static void test_L8_witnesses_are_anchors_each_once(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    give_log(farm->root, "intergenos-farm/one", pair);
    char **witnesses = farm->root->log.witnesses;
    free(witnesses[1]);
    witnesses[1] = mem_string("gamma"); /* an operator, but no anchor */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(witnesses[1]);
    witnesses[1] = mem_string("alpha");
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    free(witnesses[0]);
    witnesses[0] = mem_string("beta");
    assert_int_equal(parse_again(farm->root),
                     FARM_E_REFUSED); /* not sorted: one root would have several forms */
}

static void test_the_logs_key_is_nobody_elses(void **state)
{
    struct farm_fixture *farm = *state;
    give_log(farm->root, "intergenos-farm/one", farm->people[0]);
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
    drop_log(farm->root);
    give_log(farm->root, "alpha", farm->operators[0]); /* nor under the holder's own name */
    assert_int_equal(parse_again(farm->root), FARM_E_REFUSED);
}

static void test_a_log_does_not_follow_itself(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    give_log(farm->root, "intergenos-farm/one", pair);
    farm->root->log.previous = (struct checkpoint){.origin = "intergenos-farm/one", .size = 1};
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

static void test_S1_S3_who_signed_a_root(void **state)
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
static void test_S14_two_keys_of_one_person(void **state)
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
static void test_S9_succession(void **state)
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

/* What may follow without a word, and what needs "previous". */
static void test_S9_another_log_needs_previous(void **state)
{
    struct farm_fixture *old = *state, *next = farm_fixture_new();
    CLEANUP_KEYS struct key_pair *one = keys_generate();
    CLEANUP_KEYS struct key_pair *two = keys_generate();
    const struct checkpoint end = {.origin = "log/one", .size = 9, .root = digest_of(VIEW("end"))};
    struct diag diag = DIAG_INIT;
    next->root->version = 2;
    assert_int_equal(root_check_follows(old->root, next->root, NULL), 0); /* no log in either */
    give_log(next->root, "log/one", one);
    assert_int_equal(root_check_follows(old->root, next->root, NULL), 0); /* a first one */
    give_log(old->root, "log/one", one);
    assert_int_equal(root_check_follows(old->root, next->root, NULL), 0);
    next->root->log.previous = (struct checkpoint){.origin = "log/zero", .size = 1};
    assert_int_equal(root_check_follows(old->root, next->root, NULL),
                     FARM_E_REFUSED); /* a past made up later */
    drop_log(next->root);
    give_log(next->root, "log/two", two);
    assert_int_equal(root_check_follows(old->root, next->root, &diag), FARM_E_REFUSED);
    assert_non_null(strstr(diag.text, "log/one"));
    next->root->log.previous = (struct checkpoint){.origin = "log/other", .size = 9};
    assert_int_equal(root_check_follows(old->root, next->root, NULL), FARM_E_REFUSED);
    next->root->log.previous = end;
    assert_int_equal(root_check_follows(old->root, next->root, NULL), 0);
    drop_log(next->root);
    give_log(next->root, "log/one", two); /* another key under the old origin: the fork itself */
    next->root->log.previous = end;
    assert_int_equal(root_check_follows(old->root, next->root, NULL), FARM_E_REFUSED);
    farm_fixture_free(next);
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

static void test_strict_log(void **state)
{
    struct farm_fixture *farm = *state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    give_log(farm->root, "log/one", pair);
    farm->root->log.previous = (struct checkpoint){.origin = "log/zero", .size = 5};
    refuse_changed(farm->root, "\"witnesses\":[\"alpha\",\"beta\"]", "\"witnesses\":[\"alpha\",7]");
    refuse_changed(farm->root, "\"vkey\":\"log/one+", "\"vkey\":\"log/two+"); /* the id is not this name's */
    refuse_changed(farm->root, "\"vkey\":\"log/one+", "\"vkey\":\"log/one");
    refuse_changed(farm->root, "\"size\":5", "\"size\":0");
    refuse_changed(farm->root, "\"size\":5", "\"size\":-1");
    refuse_changed(farm->root, "\"size\":5", "\"size\":5,\"time\":1");
    refuse_changed(farm->root, "\"origin\":\"log/zero\"", "\"origin\":\"log zero\"");
    refuse_changed(farm->root, "\"log\":{", "\"log\":{\"url\":\"x\",");
    refuse_changed(farm->root, "\"log\":{", "\"log\":false,\"x\":{");
}

/* It travels in one message with its signatures. */
static void test_a_root_is_limited_in_size(void **state)
{
    struct farm_fixture *farm = *state;
    struct root *root = farm->root;
    root->unverified = mem_zero(ROOT_UNVERIFIED_MAX, sizeof(char *));
    for (size_t i = 0; i < ROOT_UNVERIFIED_MAX; i++)
        root->unverified[root->nunverified++] = mem_format("a-package-with-a-rather-long-name-%zu", i);
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_ROOT struct root *back = NULL;
    root_write(root, &text);
    assert_int_equal(root_parse(buf_view(&text), "root.json", &back, NULL), FARM_E_LIMIT);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_round_trip),
        CASE(test_S10_thresholds),
        CASE(test_S2_one_key_has_one_name),
        CASE(test_S1_S3_who_signed_a_root),
        CASE(test_S14_two_keys_of_one_person),
        CASE(test_S9_succession),
        CASE(test_S2_one_key_across_roles),
        CASE(test_S10_verification_is_for_tokens),
        CASE(test_log_round_trip),
        CASE(test_L8_more_than_half_of_the_witnesses),
        CASE(test_L8_witnesses_are_anchors_each_once),
        CASE(test_the_logs_key_is_nobody_elses),
        CASE(test_a_log_does_not_follow_itself),
        CASE(test_S9_another_log_needs_previous),
        CASE(test_strict),
        CASE(test_strict_log),
        CASE(test_a_root_is_limited_in_size),
    };
    return cmocka_run_group_tests_name("root", tests, NULL, NULL);
}
