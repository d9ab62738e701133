/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Specs that are kept: found without the store, alone or by two at a time, and the oldest go first. */
#include "specs.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

struct fixture {
    char directory[64];
    int dirfd;
    struct store *store;
    struct specs *specs;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zero(1, sizeof *fixture);
    /* A thousand objects are put, each durably: where there is memory for files, that takes no disk's time. */
    snprintf(fixture->directory, sizeof fixture->directory, "%sspecs-test-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm/" : "");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->dirfd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(store_open(fixture->dirfd, "store", 1, &fixture->store, NULL), 0);
    fixture->specs = specs_new();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    specs_free(fixture->specs);
    store_close(fixture->store);
    mem_close_p(&fixture->dirfd);
    (void)!file_remove_tree(AT_FDCWD, fixture->directory, NULL);
    free(fixture);
    return 0;
}

/* What a spec is of needs no more than to be told apart; 'padding' bytes make it long. */
static struct digest put_spec(const struct fixture *fixture, size_t number, size_t padding)
{
    static const char format[] =
        "{\"base\":\"" ZEROS "\",\"build_path\":\"/mnt/intergenos/build/work/liba\",\"build_sh\":true,"
        "\"build_style\":\"custom\",\"bundled_deps\":[],\"configure_flags\":[],\"contract\":1,"
        "\"cpu_level\":\"x86-64-v2\",\"dependencies\":[],\"depends\":[],\"description\":\"A package%s\","
        "\"direct_install\":false,\"environment\":[\"name=liba\"],\"epoch\":315532800,\"gpu_targets\":[],"
        "\"jobs\":2,\"kind\":\"package\",\"license\":\"MIT\",\"name\":\"liba\",\"patches\":[],\"recipe\":"
        "\"" ZEROS "\",\"release\":\"%zu\",\"scripts\":\"" ZEROS "\",\"sources\":[],\"supersedes\":[],"
        "\"tests\":{\"enabled\":true},\"tier\":\"extra\",\"v\":1,\"validation\":[],\"verify_paths\":[],"
        "\"version\":\"1.0\"}";
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *more = mem_zero(padding + 1, 1);
    struct digest job;
    struct diag diag = DIAG_INIT;
    memset(more, 'x', padding);
    buf_add_format(&text, format, more, number);
    if (store_put(fixture->store, buf_view(&text), &job, &diag) < 0)
        fail_msg("%s", diag.text);
    return job;
}

static struct taken_spec *take(const struct fixture *fixture, const struct digest *job)
{
    struct taken_spec *taken = NULL;
    struct diag diag = DIAG_INIT;
    int result = specs_take(fixture->specs, fixture->store, job, &taken, &diag);
    if (result < 0)
        fail_msg("%s", diag.text);
    assert_true(digest_equal(&specs_spec(taken)->key, job));
    return taken;
}

/* What is asked for afterwards is kept, or is not found. */
static void lose_objects(const struct fixture *fixture)
{
    assert_int_equal(file_remove_tree(fixture->dirfd, "store", NULL), 0);
}

static bool is_kept(const struct fixture *fixture, const struct digest *job)
{
    struct taken_spec *taken = NULL;
    if (specs_take(fixture->specs, fixture->store, job, &taken, NULL) < 0)
        return false;
    assert_true(digest_equal(&specs_spec(taken)->key, job));
    specs_give(fixture->specs, taken);
    return true;
}

static void test_what_was_given_back_is_kept(void **state)
{
    const struct fixture *fixture = *state;
    struct digest first = put_spec(fixture, 1, 0), second = put_spec(fixture, 2, 0);
    specs_give(fixture->specs, take(fixture, &first));
    specs_give(fixture->specs, NULL);
    lose_objects(fixture);
    assert_true(is_kept(fixture, &first));
    assert_true(is_kept(fixture, &first));
    assert_false(is_kept(fixture, &second));
}

static void test_two_may_take_the_same(void **state)
{
    const struct fixture *fixture = *state;
    struct digest job = put_spec(fixture, 1, 0);
    struct taken_spec *one = take(fixture, &job), *two = take(fixture, &job);
    assert_ptr_not_equal(one, two);
    specs_give(fixture->specs, one);
    specs_give(fixture->specs, two);
    lose_objects(fixture);
    assert_true(is_kept(fixture, &job));
}

static void test_the_oldest_go_first(void **state)
{
    const struct fixture *fixture = *state;
    struct digest first = put_spec(fixture, 0, 0), second = put_spec(fixture, 1, 0), last = first;
    specs_give(fixture->specs, take(fixture, &first));
    specs_give(fixture->specs, take(fixture, &second));
    specs_give(fixture->specs, take(fixture, &first)); /* now the second is the oldest */
    for (size_t i = 2; i <= SPECS_KEPT; i++) {
        last = put_spec(fixture, i, 0);
        specs_give(fixture->specs, take(fixture, &last));
    }
    lose_objects(fixture);
    assert_true(is_kept(fixture, &last));
    assert_true(is_kept(fixture, &first));
    assert_false(is_kept(fixture, &second));
}

/* A stranger's job may be long: their number is no bound. */
static void test_long_ones_count_by_their_bytes(void **state)
{
    enum { LONG = SPEC_SIZE_MAX - 4096 };
    const struct fixture *fixture = *state;
    struct digest first = put_spec(fixture, 0, LONG), last = first;
    for (size_t i = 1; i <= SPECS_KEPT_BYTES / LONG; i++) {
        specs_give(fixture->specs, take(fixture, &last));
        last = put_spec(fixture, i, LONG);
    }
    specs_give(fixture->specs, take(fixture, &last));
    lose_objects(fixture);
    assert_true(is_kept(fixture, &last));
    assert_false(is_kept(fixture, &first));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_was_given_back_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_may_take_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_go_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_ones_count_by_their_bytes, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
