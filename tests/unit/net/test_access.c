/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "access.h"

#include "file.h"
#include "mem.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

struct fixture {
    char directory[64];
    int dirfd;
    struct store *store;
    struct access *access;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zero(1, sizeof *fixture);
    snprintf(fixture->directory, sizeof fixture->directory, "access-test-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->dirfd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(store_open(fixture->dirfd, "store", 1, &fixture->store, NULL), 0);
    fixture->access = access_new(fixture->store);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    access_free(fixture->access);
    store_close(fixture->store);
    mem_close_p(&fixture->dirfd);
    (void)!file_remove_tree(AT_FDCWD, fixture->directory, NULL);
    free(fixture);
    return 0;
}

static void test_a_worker_gets_what_its_own_leases_name(void **state)
{
    struct access *access = ((struct fixture *)*state)->access;
    struct digest object = digest_of(VIEW("object")), other = digest_of(VIEW("other"));
    access_allow(access, "alder-1", &object);
    assert_true(access_may_get(access, "alder-1", &object));
    assert_false(access_may_get(access, "alder-1", &other));
    assert_false(access_may_get(access, "alder-11", &object));
    assert_false(access_may_get(access, "birch-1", &object));
}

static void test_as_long_as_any_of_them_lives(void **state)
{
    struct access *access = ((struct fixture *)*state)->access;
    struct digest object = digest_of(VIEW("object"));
    access_allow(access, "alder-1", &object);
    access_allow(access, "alder-1", &object);
    access_withdraw(access, "alder-1", &object);
    assert_true(access_may_get(access, "alder-1", &object));
    access_withdraw(access, "alder-1", &object);
    assert_false(access_may_get(access, "alder-1", &object));
    access_withdraw(access, "alder-1", &object); /* once too often is no debt */
    access_allow(access, "alder-1", &object);
    assert_true(access_may_get(access, "alder-1", &object));
}

/* The worker directory: everybody's, and the newest only. */
static void test_what_is_published_is_everybodys_until_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct access *access = fixture->access;
    struct digest first, second;
    assert_int_equal(store_put(fixture->store, VIEW("directory 1"), &first, NULL), 0);
    assert_int_equal(store_put(fixture->store, VIEW("directory 2"), &second, NULL), 0);
    assert_false(access_may_get(access, "alder-1", &first));
    assert_true(access_publish(access, &first));
    assert_false(access_publish(access, &first));
    assert_true(access_is_published(access, &first));
    assert_true(access_may_get(access, "alder-1", &first) && access_may_get(access, "birch-1", &first));
    assert_true(access_publish(access, &second));
    assert_false(access_may_get(access, "alder-1", &first));
    assert_true(access_may_get(access, "birch-1", &second));
}

static bool keep_nothing(void *context, const struct digest *name)
{
    (void)context;
    (void)name;
    return false;
}

static void test_what_is_published_is_not_collected(void **state)
{
    struct fixture *fixture = *state;
    struct digest first, second;
    size_t removed;
    uint64_t freed;
    assert_int_equal(store_put(fixture->store, VIEW("directory 1"), &first, NULL), 0);
    assert_int_equal(store_put(fixture->store, VIEW("directory 2"), &second, NULL), 0);
    access_publish(fixture->access, &first);
    access_publish(fixture->access, &second);
    access_publish(fixture->access, &second);
    assert_int_equal(store_collect(fixture->store, keep_nothing, NULL, 0, &removed, &freed, NULL), 0);
    assert_false(store_has(fixture->store, &first));
    assert_true(store_has(fixture->store, &second));
}

static void test_what_was_told_to_be_here_is_not_collected(void **state)
{
    struct fixture *fixture = *state;
    struct digest told, untold;
    size_t removed;
    uint64_t bytes;
    assert_int_equal(store_put(fixture->store, VIEW("told"), &told, NULL), 0);
    assert_int_equal(store_put(fixture->store, VIEW("untold"), &untold, NULL), 0);
    access_present(fixture->access, "alder-1", &told, 0);
    access_present(fixture->access, "birch-1", &told, 0);
    assert_int_equal(store_collect(fixture->store, keep_nothing, NULL, 0, &removed, &bytes, NULL), 0);
    assert_int_equal(removed, 1);
    assert_true(store_has(fixture->store, &told));
    assert_false(store_has(fixture->store, &untold));
    access_unpin(fixture->access, INT64_MIN); /* too young to be given up */
    assert_int_equal(store_collect(fixture->store, keep_nothing, NULL, 0, &removed, &bytes, NULL), 0);
    assert_true(store_has(fixture->store, &told));
    access_unpin(fixture->access, INT64_MAX);
    assert_int_equal(store_collect(fixture->store, keep_nothing, NULL, 0, &removed, &bytes, NULL), 0);
    assert_false(store_has(fixture->store, &told));
}

/* What a worker sends is on its account until a row names it, or it was not named for so long that a collection may have it. */
static void w14_what_no_answer_names_is_on_an_account(void **state)
{
    struct access *access = ((struct fixture *)*state)->access;
    struct digest first = digest_of(VIEW("first")), second = digest_of(VIEW("second"));
    access_present(access, "alder-1", &first, 0); /* here already */
    assert_int_equal(access_held(access, "alder-1"), 0);
    access_present(access, "alder-1", &first, 1000);
    access_present(access, "birch-1", &first, 1000); /* the same bytes once more take no more room */
    access_present(access, "alder-1", &second, 30);
    access_present(access, "alder-1", &second, 30);
    assert_int_equal(access_held(access, "alder-1"), 1030);
    assert_int_equal(access_held(access, "birch-1"), 0);
    access_named(access, &first);
    assert_int_equal(access_held(access, "alder-1"), 30);
    access_unpin(access, INT64_MAX);
    assert_int_equal(access_held(access, "alder-1"), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_worker_gets_what_its_own_leases_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_as_long_as_any_of_them_lives, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_published_is_everybodys_until_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_published_is_not_collected, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_was_told_to_be_here_is_not_collected, setup, teardown),
        cmocka_unit_test_setup_teardown(w14_what_no_answer_names_is_on_an_account, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
