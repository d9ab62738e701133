/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate: root, signatures, time, and what was seen before. Numbers are those of docs/THREATS.md. */
#include "verify_expect.h"

#include "file.h"

/* ---- the root ---- */

static void test_S1_S3_signatures(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    release_fixture_sign(f, 1, SSHSIG_NAMESPACE_RELEASE); /* S1 */
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 3, SSHSIG_NAMESPACE_ROOT); /* S3 */
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 0, SSHSIG_NAMESPACE_RELEASE);
    expect_refused(f, "release-signature", "release.json.sig.d");
    release_fixture_sign(f, 3, SSHSIG_NAMESPACE_RELEASE);
    expect_pass(f);
}

/* K6, K7 */
static void test_K6_K7_other_policy_and_base(void **state)
{
    struct release_fixture *f = *state;
    f->farm->root->policy = digest_of(VIEW("a stricter policy"));
    release_fixture_write(f);
    expect_refused(f, "policy-not-allowed", "release.json");
    f->farm->root->policy = digest_of(view_text(f->policy));
    f->farm->root->bases[0] = digest_of(VIEW("another base"));
    release_fixture_write(f);
    expect_refused(f, "base-not-allowed", "release.json");
}

static void test_K4_other_root(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_fixture_write(f);
    f->farm->root->expires_ms += 1000;
    root_write(f->farm->root, &text);
    assert_int_equal(file_write(f->dirfd, "trust.json", buf_view(&text), 0644, NULL), 0);
    expect_refused(f, "root-untrusted", "1.root.json");
    f->farm->root->version = 2; /* we already trust the next */
    buf_clear(&text);
    root_write(f->farm->root, &text);
    assert_int_equal(file_write(f->dirfd, "trust.json", buf_view(&text), 0644, NULL), 0);
    expect_refused(f, "root-old", "root");
}

static void put_second_root(struct release_fixture *f, int64_t version, size_t people)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    release_fixture_write(f);
    f->farm->root->version = version;
    root_write(f->farm->root, &text);
    f->farm->root->version = 1;
    assert_int_equal(file_write(f->release_dirfd, "root/2.root.json", buf_view(&text), 0644, NULL), 0);
    assert_int_equal(file_make_dirs(f->release_dirfd, "root/2.root.json.sig.d", 0755, NULL), 0);
    for (size_t i = 0; i < people; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(f->farm->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&text));
        CLEANUP_FREE char *path = mem_format("root/2.root.json.sig.d/%zu.sig", i);
        assert_int_equal(file_write(f->release_dirfd, path, view_text(armored), 0644, NULL), 0);
    }
}

static void test_S9_root_chain(void **state)
{
    struct release_fixture *f = *state;
    put_second_root(f, 2, 2); /* a good link, though not the release's own root */
    expect_refused(f, "root-digest", "release.json");
    put_second_root(f, 2, 1);
    expect_refused(f, "root-signature", "root/2.root.json");
    put_second_root(f, 3, 2);
    expect_refused_saying(f, "root-signature", "root/2.root.json", "cannot follow version 1");
}

/* ---- time, and what was seen before ---- */

/* S5, C2 */
static void test_S5_C2_expiry(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    expect_refused_at(f, NULL, FIXTURE_EXPIRES, "expired", "release.json");
    struct verify_state seen = {.time_ms = FIXTURE_EXPIRES + 1};
    expect_refused_at(f, &seen, FIXTURE_NOW, "expired", "1.root.json"); /* the clock was set back */
}

/* S6, K4 */
static void test_S6_K4_rollback(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP(verify_result_done) struct verify_result first = VERIFY_RESULT_INIT;
    CLEANUP(verify_result_done) struct verify_result second = VERIFY_RESULT_INIT;
    struct verify_state fresh = {0};
    release_fixture_write(f);
    assert_int_equal(release_fixture_verify(f, &fresh, FIXTURE_NOW + LATER, &first), 0);
    assert_int_equal(release_fixture_verify(f, &first.state, FIXTURE_NOW + LATER, &second),
                     0); /* the same again */
    f->sequence = 2;
    f->previous = digest_of(VIEW("something else"));
    release_fixture_write(f);
    expect_refused_at(f, &first.state, FIXTURE_NOW + LATER, "previous", "release.json");
    f->previous = first.state.release;
    release_fixture_write(f);
    verify_result_done(&second);
    assert_int_equal(release_fixture_verify(f, &first.state, FIXTURE_NOW + LATER, &second), 0);
    assert_int_equal(second.state.sequence, 2);
    f->sequence = 1;
    f->previous = (struct digest){{0}};
    release_fixture_write(f);
    expect_refused_at(f, &second.state, FIXTURE_NOW + LATER, "rollback", "release.json");
    struct verify_state newer_root = first.state, newer_directory = first.state;
    newer_root.root_version = 2;
    expect_refused_at(f, &newer_root, FIXTURE_NOW + LATER, "rollback", "1.root.json");
    newer_directory.directory_version = 2;
    expect_refused_at(f, &newer_directory, FIXTURE_NOW + LATER, "rollback", "workers.json");
}

static void test_state_file(void **state)
{
    struct release_fixture *f = *state;
    struct verify_state one = {.root_version = 1,
                               .root = digest_of(VIEW("r")),
                               .directory_version = 3,
                               .sequence = 7,
                               .release = digest_of(VIEW("x")),
                               .time_ms = FIXTURE_NOW},
                        back;
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0); /* absent is fresh */
    assert_int_equal(back.sequence, 0);
    assert_int_equal(verify_state_write(f->dirfd, "state", &one, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_memory_equal(&one, &back, sizeof one);
    one.log = (struct checkpoint){.origin = "a/log", .size = 1234, .root = digest_of(VIEW("l"))};
    assert_int_equal(verify_state_write(f->dirfd, "state", &one, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_int_equal(back.log.size, 1234);
    assert_string_equal(back.log.origin, "a/log");
    assert_true(digest_equal(&back.log.root, &one.log.root));
    static const char old[] = /* as an earlier version wrote it */
        "{\"directory\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"directory_"
        "version\":3,"
        "\"format\":\"intergenos-verify-state/1\","
        "\"release\":\"00000000000000000000000000000000000000000000000000000000000000aa\","
        "\"root\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"root_version\":2,"
        "\"sequence\":7,"
        "\"time\":\"2026-11-22T16:45:38Z\"}\n";
    assert_int_equal(file_write(f->dirfd, "state", view_text(old), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), 0);
    assert_int_equal(back.sequence, 7);
    assert_int_equal(back.log.size, 0);
    assert_int_equal(file_write(f->dirfd, "state", VIEW("{}"), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), FARM_E_CONFIG);
    assert_int_equal(file_write(f->dirfd, "state", VIEW(""), 0644, NULL), 0);
    assert_int_equal(verify_state_read(f->dirfd, "state", &back, NULL), FARM_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_S1_S3_signatures), CASE(test_S5_C2_expiry),
        CASE(test_S6_K4_rollback),   CASE(test_K6_K7_other_policy_and_base),
        CASE(test_K4_other_root),    CASE(test_S9_root_chain),
        CASE(test_state_file),
    };
    return cmocka_run_group_tests_name("verify_trust", tests, NULL, NULL);
}
