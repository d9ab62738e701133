/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What workers are told of the trust root and the worker directory. */
#include "farm_rig.h"

#include "file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig *rig;

static int setup(void **state)
{
    (void)state;
    rig = rig_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig = rig_free(rig);
    return 0;
}

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

/* The next version of the root, signed by ann and ben. */
static void install_next(void)
{
    struct trust_link link = {.text = BUF_INIT};
    struct root *root = rig->keys->root;
    struct diag diag = DIAG_INIT;
    root->version++;
    root_write(root, &link.text);
    must(root_parse(buf_view(&link.text), "root.json", &link.root, &diag), &diag);
    link.signatures = mem_zero(ROOT_SIGNATURES_MAX, sizeof *link.signatures);
    for (; link.nsignatures < 2; link.nsignatures++)
        link.signatures[link.nsignatures] = farm_fixture_sign(rig->keys->people[link.nsignatures],
                                                              SSHSIG_NAMESPACE_ROOT, buf_view(&link.text));
    must(trust_install(rig->farm, &link, 1, &diag), &diag);
    must(farm_flush(rig->farm, &diag), &diag);
    trust_link_done(&link);
}

/* What the worker is told; the caller's (wire_free). */
static struct wire_message *ask(size_t worker, uint64_t root_version)
{
    Wire__TrustAsk message = WIRE__TRUST_ASK__INIT;
    message.root_version = root_version;
    rig_say(rig, worker, WIRE_TRUST_ASK, &message.base);
    rig_turn(rig);
    struct wire_message *answer = rig_heard(rig, worker, WIRE_TRUST_ANSWER);
    assert_non_null(answer);
    return answer;
}

/* What was shown, as the worker reads it. */
static struct root *root_of(const Wire__TrustAnswer *answer)
{
    struct root *root = NULL;
    struct diag diag = DIAG_INIT;
    must(root_parse(wire_view(&answer->root), "shown", &root, &diag), &diag);
    assert_int_equal(root->version, answer->root_version);
    return root;
}

static void expect_version(uint64_t asker, uint64_t newest, uint64_t shown)
{
    struct wire_message *message = ask(RIG_GAMMA, asker);
    assert_int_equal(message->trust_answer->newest_root, newest);
    assert_int_equal(message->trust_answer->root_version, shown);
    assert_int_equal(message->trust_answer->root.len > 0, shown > 0);
    wire_free(message);
}

/* To its workers, a directory that is gone is an alarm; one that cannot be fetched just now is none. */
static void d7_which_directory_holds_is_said_also_when_it_cannot_be_had(void **state)
{
    (void)state;
    rig_hello(rig, RIG_GAMMA);
    assert_int_equal(renameat(rig->dirfd, "workers.json", rig->dirfd, "aside"), 0);
    struct wire_message *message = ask(RIG_GAMMA, 1);
    struct digest told = wire_get_digest(&message->trust_answer->directory);
    assert_int_equal(message->trust_answer->directory_version, rig->farm->directory->version);
    assert_true(digest_equal(&told, &rig->farm->directory->digest));
    assert_false(access_is_published(rig->farm->access, &told));
    wire_free(message);
    assert_int_equal(renameat(rig->dirfd, "aside", rig->dirfd, "workers.json"), 0);
    wire_free(ask(RIG_GAMMA, 1));
    assert_true(access_is_published(rig->farm->access, &told));
}

static void roots_are_shown_one_by_one(void **state)
{
    (void)state;
    rig_hello(rig, RIG_GAMMA);
    install_next();
    install_next();
    expect_version(0, 3, 1);
    expect_version(1, 3, 2);
    expect_version(2, 3, 3);
    expect_version(3, 3, 0);
    expect_version(99, 3, 0);
    rig_restart(rig);
    rig_hello(rig, RIG_GAMMA);
    expect_version(2, 3, 3);
}

/* What is shown is enough to follow. */
static void each_is_signed_for_those_who_have_the_one_before(void **state)
{
    (void)state;
    struct view views[ROOT_SIGNATURES_MAX];
    struct diag diag = DIAG_INIT;
    rig_hello(rig, RIG_ALPHA);
    install_next();
    struct wire_message *one = ask(RIG_ALPHA, 0), *two = ask(RIG_ALPHA, 1);
    CLEANUP_ROOT struct root *old = root_of(one->trust_answer), *new_root = root_of(two->trust_answer);
    size_t count = two->trust_answer->n_signatures;
    for (size_t i = 0; i < count; i++)
        views[i] = wire_view(&two->trust_answer->signatures[i]);
    must(root_check(old, new_root, wire_view(&two->trust_answer->root), views, count, &diag), &diag);
    wire_free(one);
    wire_free(two);
}

/* A coordinator that was set up under a later version has nothing before it. */
static void a_chain_that_begins_later(void **state)
{
    (void)state;
    CLEANUP_FREE char *first = mem_format("%s/roots/1.json", rig->farm->state_path);
    rig_hello(rig, RIG_GAMMA);
    install_next();
    install_next();
    assert_int_equal(unlink(first), 0);
    expect_version(0, 3, 2);
    CLEANUP_FREE char *second = mem_format("%s/roots/2.json", rig->farm->state_path);
    assert_int_equal(unlink(second), 0);
    expect_version(0, 3, 3);
    expect_version(1, 3, 0); /* who trusts version 1 cannot be helped */
}

/* By digest, to every admitted worker; the newest alone, which no collection takes. */
static void the_directory_is_an_object_for_everybody(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    rig_hello(rig, RIG_GAMMA);
    struct wire_message *message = ask(RIG_GAMMA, 1);
    struct digest first = wire_get_digest(&message->trust_answer->directory);
    assert_int_equal(message->trust_answer->directory_version, rig->farm->directory->version);
    assert_true(digest_equal(&first, &rig->farm->directory->digest));
    wire_free(message);
    must(store_get(rig->farm->store, &first, DIRECTORY_SIZE_MAX, &text, &diag), &diag);
    assert_true(access_may_get(rig->farm->access, "gamma-1", &first));
    assert_true(access_may_get(rig->farm->access, "alpha-1", &first));
    must(trust_publish_directory(rig->farm, &diag), &diag);
    must(farm_flush(rig->farm, &diag), &diag);
    message = ask(RIG_GAMMA, 1);
    struct digest second = wire_get_digest(&message->trust_answer->directory);
    wire_free(message);
    assert_memory_not_equal(&first, &second, sizeof first);
    assert_true(access_may_get(rig->farm->access, "alpha-1", &second));
    assert_false(access_may_get(rig->farm->access, "alpha-1", &first));
    rig_restart(rig);
    rig_hello(rig, RIG_GAMMA);
    wire_free(ask(RIG_GAMMA, 1));
    assert_true(access_may_get(rig->farm->access, "gamma-1", &second));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(d7_which_directory_holds_is_said_also_when_it_cannot_be_had, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(roots_are_shown_one_by_one, setup, teardown),
        cmocka_unit_test_setup_teardown(each_is_signed_for_those_who_have_the_one_before, setup, teardown),
        cmocka_unit_test_setup_teardown(a_chain_that_begins_later, setup, teardown),
        cmocka_unit_test_setup_teardown(the_directory_is_an_object_for_everybody, setup, teardown),
    };
    return cmocka_run_group_tests_name("trust_talk", tests, NULL, NULL);
}
