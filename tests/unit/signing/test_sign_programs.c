/* SPDX-License-Identifier: GPL-3.0-or-later */
/* farm-sign and farm-verify as people run them: exit statuses, files, and the way from keys to a directory. */
#include "release_fixture.h"

#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIGN   FARM_BINARY_DIR "/bin/farm-sign"
#define VERIFY FARM_BINARY_DIR "/bin/farm-verify"

static int setup(void **state)
{
    *state = release_fixture_new(NULL);
    return 0;
}

static int teardown(void **state)
{
    release_fixture_free(*state);
    return 0;
}

/* Runs in the fixture's directory, output into the file "out"; the exit status. The list ends with NULL. */
static int run(const struct release_fixture *f, const char *const *arguments)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int out = openat(f->dirfd, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644);
        if (fchdir(f->dirfd) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(126);
        execv(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

#define RUN(f, ...) run(f, (const char *const[]){__VA_ARGS__, NULL})

static void expect_output(const struct release_fixture *f, const char *words)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(file_read(f->dirfd, "out", 1 << 20, &text, NULL), 0);
    if (strstr(text.data, words) == NULL)
        fail_msg("no \"%s\" in:\n%s", words, text.data);
}

static void ok(const struct release_fixture *f, int status)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    if (status == 0)
        return;
    assert_int_equal(file_read(f->dirfd, "out", 1 << 20, &text, NULL), 0);
    fail_msg("exit %d:\n%s", status, text.data);
}

static void test_verify(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    ok(f, RUN(f, VERIFY, "release", "--trust", "trust.json", "--state", "state", "--phase", "image", "--tree",
              "tree", "-v"));
    expect_output(
        f, "PASSED: release test-1, sequence 1: 2 packages, 2 jobs, 4 attestations, 2 release managers");
    expect_output(f, "ok      extra/liba 1.0   2 operators (2 anchors), 0 dissent; weakest link: itself");
    expect_output(f, "leases: 4 granted, 4 answered");
    expect_output(f, "log: 17 entries replayed, cosigned by 2 listed operators");
    ok(f, RUN(f, VERIFY, "release", "--trust", "trust.json", "--state", "state", "--json"));
    expect_output(f, "\"passed\":true");
    expect_output(f, "\"log\":{\"entries\":17,\"witnesses\":2}");
    expect_output(f, "\"weakest\":{\"dissent\":0,\"id\":\"extra/appb\",\"operators\":2}");
    assert_int_equal(faccessat(f->dirfd, "state", F_OK, 0), 0);
    assert_int_equal(unlinkat(f->release_dirfd, "receipts/liba-1.0.intoto.jsonl", 0), 0);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--state", "state2"), 1);
    expect_output(f, "receipts/liba-1.0.intoto.jsonl");
    expect_output(f, "REFUSED");
    assert_int_equal(faccessat(f->dirfd, "state2", F_OK, 0), -1); /* only a pass is remembered */
}

/* L8: what is missing in the export comes by hand. */
static void test_verify_cosignatures(void **state)
{
    struct release_fixture *f = *state;
    f->cosigners = 0;
    release_fixture_write(f);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json"), 1);
    expect_output(f, "missing: alpha, beta");
    release_fixture_put_checkpoint(f, "a.note", f->log_size, 1);
    release_fixture_put_checkpoint(f, "b.note", f->log_size, 2);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--cosignature", "a.note"), 1);
    expect_output(f, "missing: beta");
    ok(f, RUN(f, VERIFY, "release", "--trust", "trust.json", "--cosignature", "a.note", "-c", "b.note"));
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "-c", "absent.note"), 2);
}

static void test_verify_cannot_run(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    assert_int_equal(RUN(f, VERIFY), 2);
    assert_int_equal(RUN(f, VERIFY, "release"), 2);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "absent.json"), 2);
    assert_int_equal(RUN(f, VERIFY, "absent", "--trust", "trust.json"), 2);
    assert_int_equal(RUN(f, VERIFY, "tree", "--trust", "trust.json"), 2);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--phase", "image"), 2);
    expect_output(f, "--state");
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--bogus"), 2);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--tree", "absent"), 2);
    assert_int_equal(file_write(f->dirfd, "state", VIEW("garbage"), 0644, NULL), 0);
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json", "--state", "state"), 2);
    ok(f, RUN(f, VERIFY, "--help"));
    ok(f, RUN(f, VERIFY, "--version"));
}

/* As a worker makes it. */
static void write_request(const struct release_fixture *f)
{
    char curve[65], key[65];
    hex_encode(identity_curve_public(f->farm->workers[0]), 32, curve);
    hex_encode(keys_public(identity_keys(f->farm->workers[0]))->bytes, 32, key);
    CLEANUP_FREE char *text =
        mem_format("{\"curve\":\"%s\",\"ed25519\":\"%s\",\"facts\":{\"cpu_vendor\":\"amd\","
                   "\"kernel\":\"5.10\",\"site\":\"oslo\"},\"operator\":\"alpha\","
                   "\"worker\":\"alpha-1\"}\n",
                   curve, key);
    assert_int_equal(file_write(f->dirfd, "request.json", view_text(text), 0644, NULL), 0);
}

/* From nothing: keys, root, an entry, the directory. */
static void test_sign(void **state)
{
    struct release_fixture *f = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory *directory = NULL;
    ok(f, RUN(f, SIGN, "keygen", "ann", "--comment", "ann@example"));
    ok(f, RUN(f, SIGN, "keygen", "ben"));
    ok(f, RUN(f, SIGN, "keygen", "eva"));
    ok(f, RUN(f, SIGN, "keygen", "alpha"));
    ok(f, RUN(f, SIGN, "keygen", "worker", "--machine", "alpha-1", "--curve"));
    assert_int_equal(RUN(f, SIGN, "keygen", "ann"), farm_error_exit(FARM_E_EXISTS));
    ok(f, RUN(f, SIGN, "pubkey", "worker"));
    expect_output(f, "ssh-ed25519 AAAA");
    ok(f, RUN(f, SIGN, "pubkey", "ann.pub", "--pem"));
    expect_output(f, "BEGIN PUBLIC KEY");
    ok(f,
       RUN(f, SIGN, "root", "init", "--out", "root.json", "--expires", "2100-01-31", "--policy",
           "tree/farm/policy.yml", "--base",
           "00000000000000000000000000000000000000000000000000000000000000aa", "--root-key", "ann=ann.pub",
           "--root-key", "ben=ben.pub", "--root-threshold", "2", "--release-key", "ann=ann.pub",
           "--release-key", "ben=ben.pub", "--enrolment-key", "eva=eva.pub", "--anchor", "alpha=alpha.pub"));
    assert_int_equal(RUN(f, SIGN, "root", "show", "root.json"), 1);
    ok(f, RUN(f, SIGN, "root", "sign", "root.json", "--key", "ann"));
    assert_int_equal(RUN(f, SIGN, "root", "show", "root.json"), 1);
    expect_output(f, "1 of 2 needed persons");
    ok(f, RUN(f, SIGN, "root", "sign", "root.json", "--key", "ben"));
    ok(f, RUN(f, SIGN, "root", "show", "root.json"));
    expect_output(f, "signed as it must be");
    write_request(f);
    ok(f, RUN(f, SIGN, "entry", "init", "--request", "request.json", "--operator-key", "alpha.pub",
              "--expires", "2100-01-01", "--kernel", "6.1", "--out", "entry.json"));
    assert_int_equal(RUN(f, SIGN, "directory", "--out", "workers.json", "--expires", "2100-01-01", "--trust",
                         "root.json", "entry.json"),
                     1);
    ok(f, RUN(f, SIGN, "entry", "entry.json", "--key", "alpha"));
    ok(f, RUN(f, SIGN, "entry", "entry.json", "--key", "eva"));
    ok(f, RUN(f, SIGN, "directory", "--out", "workers.json", "--expires", "2100-01-01", "--trust",
              "root.json", "entry.json"));
    ok(f, RUN(f, SIGN, "directory", "--out", "workers2.json", "--expires", "2100-01-01", "--trust",
              "root.json", "--previous", "workers.json", "entry.json"));
    assert_int_equal(file_read(f->dirfd, "workers2.json", 1 << 20, &text, NULL), 0);
    assert_int_equal(directory_parse(buf_view(&text), "workers2.json", &directory, NULL), 0);
    assert_int_equal(directory->version, 2);
    assert_int_equal(directory->nentries, 1);
    assert_string_equal(directory->entries[0].site, "oslo");
    assert_string_equal(directory->entries[0].kernel,
                        "6.1"); /* what the option says goes before the request */
    directory_free(directory);
    /* the next root: what is not given is taken from the version before */
    ok(f, RUN(f, SIGN, "root", "init", "--previous", "root.json", "--out", "root2.json", "--expires",
              "2101-01-01", "--unverified", "x"));
    ok(f, RUN(f, SIGN, "root", "sign", "root2.json", "--key", "ann"));
    ok(f, RUN(f, SIGN, "root", "sign", "root2.json", "--key", "ben"));
    ok(f, RUN(f, SIGN, "root", "show", "root2.json", "--previous", "root.json"));
    expect_output(f, "root version 2");
}

static void test_sign_release(void **state)
{
    struct release_fixture *f = *state;
    release_fixture_write(f);
    release_fixture_sign(f, 0, SSHSIG_NAMESPACE_RELEASE);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(ssh_private_key_write(f->farm->people[i], "", f->dirfd, fixture_people[i], NULL), 0);
    ok(f, RUN(f, SIGN, "release", "release/release.json", "--key", "ann"));
    expect_output(f, "extra/appb 2.1-3: 2 operators, 0 dissent");
    assert_int_equal(RUN(f, VERIFY, "release", "--trust", "trust.json"), 1);
    ok(f, RUN(f, SIGN, "release", "release/release.json", "--key", "ben"));
    ok(f, RUN(f, VERIFY, "release", "--trust", "trust.json"));
    assert_int_equal(fchmodat(f->dirfd, "ann", 0644, 0), 0); /* C1 */
    assert_int_equal(RUN(f, SIGN, "release", "release/release.json", "--key", "ann"), 2);
    expect_output(f, "chmod 600");
    assert_int_equal(RUN(f, SIGN, "release", "trust.json", "--key", "ben"),
                     farm_error_exit(FARM_E_SYNTAX)); /* not a release */
}

static void test_sign_usage(void **state)
{
    struct release_fixture *f = *state;
    assert_int_equal(RUN(f, SIGN), 2);
    assert_int_equal(RUN(f, SIGN, "dance"), 2);
    assert_int_equal(RUN(f, SIGN, "keygen"), 2);
    assert_int_equal(RUN(f, SIGN, "keygen", "x", "--curve"), 2);
    assert_int_equal(RUN(f, SIGN, "root", "init"), 2);
    assert_int_equal(RUN(f, SIGN, "root", "init", "--out", "r", "--root-key", "nothing"), 2);
    assert_int_equal(RUN(f, SIGN, "release", "x"), 2);
    static const char *const commands[] = {"keygen", "pubkey", "root", "entry", "directory", "release"};
    ok(f, RUN(f, SIGN, "--help"));
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        ok(f, RUN(f, SIGN, commands[i], "--help"));
        expect_output(f, "Usage: farm-sign");
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_verify), CASE(test_verify_cosignatures), CASE(test_verify_cannot_run),
        CASE(test_sign),   CASE(test_sign_release),        CASE(test_sign_usage)};
    return cmocka_run_group_tests_name("programs", tests, NULL, NULL);
}
