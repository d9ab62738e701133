/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Machine key files: what is written is read back; C1; every malformed file is refused. */
#include "file.h"
#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
    int dirfd;
    char path[64];
};

static int setup(void **state)
{
    struct place *place = mem_zero(1, sizeof *place);
    strcpy(place->path, "/tmp/farm-test-identity.XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->dirfd = file_open_dir(AT_FDCWD, place->path, NULL);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    close(place->dirfd);
    assert_int_equal(file_remove_tree(AT_FDCWD, place->path, NULL), 0);
    free(place);
    return 0;
}

static void test_round_trip(void **state)
{
    struct place *place = *state;
    struct identity *made = identity_generate("alpha-1", true), *read_back = NULL;
    struct stat status;
    assert_int_equal(identity_write(made, place->dirfd, "key", NULL), 0);
    assert_int_equal(fstatat(place->dirfd, "key", &status, 0), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(identity_read(place->dirfd, "key", &read_back, NULL), 0);
    assert_string_equal(identity_name(read_back), "alpha-1");
    assert_true(keys_public_equal(keys_public(identity_keys(made)), keys_public(identity_keys(read_back))));
    assert_memory_equal(identity_curve_public(made), identity_curve_public(read_back), IDENTITY_CURVE_SIZE);
    assert_memory_equal(identity_curve_secret(made), identity_curve_secret(read_back), IDENTITY_CURVE_SIZE);
    assert_int_equal(identity_write(made, place->dirfd, "key", NULL), FARM_E_EXISTS);
    identity_free(made);
    identity_free(read_back);
}

static void test_without_curve(void **state)
{
    struct place *place = *state;
    struct identity *made = identity_generate("coordinator", false), *read_back = NULL;
    assert_null(identity_curve_public(made));
    assert_int_equal(identity_write(made, place->dirfd, "key", NULL), 0);
    assert_int_equal(identity_read(place->dirfd, "key", &read_back, NULL), 0);
    assert_null(identity_curve_secret(read_back));
    identity_free(made);
    identity_free(read_back);
}

/* C1 */
static void test_permissions(void **state)
{
    struct place *place = *state;
    struct identity *made = identity_generate("alpha-1", true), *read_back = NULL;
    struct diag diag = DIAG_INIT;
    assert_int_equal(identity_write(made, place->dirfd, "key", NULL), 0);
    static const mode_t open_modes[] = {0640, 0604, 0660, 0601, 0644};
    for (size_t i = 0; i < ARRAY_SIZE(open_modes); i++) {
        assert_int_equal(fchmodat(place->dirfd, "key", open_modes[i], 0), 0);
        assert_int_equal(identity_read(place->dirfd, "key", &read_back, &diag), FARM_E_CONFIG);
        assert_non_null(strstr(diag.text, "chmod 600"));
    }
    assert_int_equal(fchmodat(place->dirfd, "key", 0400, 0), 0);
    assert_int_equal(identity_read(place->dirfd, "key", &read_back, NULL), 0);
    identity_free(read_back);
    if (geteuid() == 0) {
        assert_int_equal(fchownat(place->dirfd, "key", 65534, 0, 0), 0);
        assert_int_equal(identity_read(place->dirfd, "key", &read_back, &diag), FARM_E_CONFIG);
        assert_non_null(strstr(diag.text, "chown"));
    }
    identity_free(made);
}

#define SEED  "ed25519-seed 4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\n"
#define CURVE "curve-secret 77076d0a7318a57d3c16c17251b26645c6db2c3f4f9c9a0c2d2f4f1b6b2b4a2a\n"

static void test_malformed(void **state)
{
    struct place *place = *state;
    static const char *const good = "intergenos-farm-key 1\nname alpha-1\n" SEED CURVE;
    static const char *const bad[] = {
        "",
        "intergenos-farm-key 2\nname alpha-1\n" SEED,
        "intergenos-farm-key 1\n" SEED,
        "intergenos-farm-key 1\nname alpha-1\n",
        "intergenos-farm-key 1\nname Alpha\n" SEED,
        "intergenos-farm-key 1\nname alpha-1\n" SEED SEED,
        "intergenos-farm-key 1\nname alpha-1\n" SEED CURVE CURVE,
        "intergenos-farm-key 1\nname alpha-1\n" SEED CURVE "\n",
        "intergenos-farm-key 1\nname alpha-1\n" CURVE SEED,
        "intergenos-farm-key 1\nname alpha-1\ned25519-seed 4ccd\n",
        "intergenos-farm-key 1\nname a/b\n" SEED,
        "intergenos-farm-key 1\nname alpha-1\ned25519-seed "
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    };
    struct identity *read_back = NULL;
    assert_int_equal(file_write(place->dirfd, "good", view_text(good), 0600, NULL), 0);
    assert_int_equal(identity_read(place->dirfd, "good", &read_back, NULL), 0);
    identity_free(read_back);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(file_write(place->dirfd, "bad", view_text(bad[i]), 0600, NULL), 0);
        if (identity_read(place->dirfd, "bad", &read_back, NULL) != FARM_E_CONFIG)
            fail_msg("accepted: %s", bad[i]);
    }
    CLEANUP_BUF struct buf longer = BUF_INIT;
    buf_add_text(&longer, good);
    for (int i = 0; i < IDENTITY_FILE_MAX; i++)
        buf_add_byte(&longer, '\n');
    assert_int_equal(file_write(place->dirfd, "bad", buf_view(&longer), 0600, NULL), 0);
    assert_int_equal(identity_read(place->dirfd, "bad", &read_back, NULL), FARM_E_CONFIG);
    assert_int_equal(identity_read(place->dirfd, "absent", &read_back, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_curve, setup, teardown),
        cmocka_unit_test_setup_teardown(test_permissions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_malformed, setup, teardown),
    };
    return cmocka_run_group_tests_name("identity", tests, NULL, NULL);
}
