/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SSHSIG: OpenSSH's own vectors, both directions against ssh-keygen, tokens (S4), namespaces (S3), damage. */
#include "file.h"
#include "identity.h"
#include "sshsig.h"
#include "token_fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define VECTORS FARM_SHARED_DIR "/vectors/sshsig/"

struct place {
    int dirfd;
    char path[64];
};

static int setup(void **state)
{
    struct place *place = mem_zero(1, sizeof *place);
    strcpy(place->path, "/tmp/farm-test-sshsig.XXXXXX");
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

static void load(const char *path, struct buf *ret)
{
    buf_clear(ret);
    assert_int_equal(file_read(AT_FDCWD, path, 65536, ret, NULL), 0);
}

static void skip_without(const char *path)
{
    if (access(path, R_OK) == 0)
        return;
    print_message("skipped: no %s\n", path);
    skip();
}

static int check_vector(const char *name, const char *name_space)
{
    CLEANUP_BUF struct buf data = BUF_INIT;
    CLEANUP_BUF struct buf armored = BUF_INIT;
    CLEANUP_BUF struct buf line = BUF_INIT;
    CLEANUP_FREE char *sig_path = mem_format(VECTORS "%s.sig", name);
    CLEANUP_FREE char *pub_path = mem_format(VECTORS "%s.pub", name);
    struct ssh_public_key wanted;
    struct sshsig found;
    struct diag diag = DIAG_INIT;
    load(VECTORS "signed-data", &data);
    load(sig_path, &armored);
    load(pub_path, &line);
    int result = sshsig_verify(buf_view(&armored), name_space, buf_view(&data), &found, &diag);
    if (result < 0)
        return result;
    assert_int_equal(ssh_public_key_parse(buf_view(&line), pub_path, &wanted, &diag), 0);
    assert_true(ssh_public_key_equal(&wanted, &found.key));
    assert_int_equal(wanted.type, found.key.type);
    data.data[0] ^= 1;
    assert_int_equal(sshsig_verify(buf_view(&armored), name_space, buf_view(&data), &found, NULL),
                     FARM_E_SIGNATURE);
    return 0;
}

static void test_vectors(void **state)
{
    (void)state;
    skip_without(VECTORS "namespace");
    CLEANUP_BUF struct buf name_space = BUF_INIT;
    load(VECTORS "namespace", &name_space);
    assert_int_equal(check_vector("ed25519", name_space.data), 0);
    assert_int_equal(check_vector("ed25519_sk", name_space.data), 0);
    assert_int_equal(check_vector("rsa", name_space.data), FARM_E_UNSUPPORTED);
    assert_int_equal(check_vector("ecdsa", name_space.data), FARM_E_UNSUPPORTED);
    assert_int_equal(check_vector("ed25519", "root@intergenos"), FARM_E_SIGNATURE); /* S3 */
    assert_int_equal(check_vector("ed25519_sk", "unittes"), FARM_E_SIGNATURE);
}

static void test_public_names(void **state)
{
    (void)state;
    skip_without(VECTORS "rsa.pub");
    CLEANUP_BUF struct buf line = BUF_INIT;
    struct ssh_public_key key;
    struct diag diag = DIAG_INIT;
    load(VECTORS "rsa.pub", &line);
    assert_int_equal(ssh_public_key_parse(buf_view(&line), "rsa.pub", &key, &diag), FARM_E_UNSUPPORTED);
    assert_non_null(strstr(diag.text, "ssh-rsa"));
    load(VECTORS "ed25519_sk.pub", &line);
    assert_int_equal(ssh_public_key_parse(buf_view(&line), "sk.pub", &key, &diag), 0);
    assert_string_equal(key.application, "ssh:");
    CLEANUP_BUF struct buf again = BUF_INIT;
    ssh_public_key_write(&key, &again);
    assert_true(view_starts(buf_view(&line), buf_view(&again)));
    assert_int_equal(ssh_public_key_parse(VIEW("ssh-ed25519"), "x", &key, NULL), FARM_E_SYNTAX);
    assert_int_equal(ssh_public_key_parse(VIEW("ssh-ed25519 AAAA\nssh-ed25519 AAAA"), "x", &key, NULL),
                     FARM_E_SYNTAX);
    assert_int_equal(ssh_public_key_parse(VIEW_NONE, "x", &key, NULL), FARM_E_SYNTAX);
}

/* Runs a program in the test's directory with a file as input; its exit status. */
static int run(const struct place *place, const char *input, const char *const *arguments)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int null = open("/dev/null", O_RDWR),
            in = input != NULL ? openat(place->dirfd, input, O_RDONLY) : null;
        if (fchdir(place->dirfd) < 0 || dup2(in, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0)
            _exit(126);
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static bool have_ssh_keygen(const struct place *place)
{
    static const char *const arguments[] = {"ssh-keygen", "-t", "ed25519", "-N", "",
                                            "-q",         "-f", "probe",   NULL};
    if (run(place, NULL, arguments) == 0)
        return true;
    print_message("skipped: no ssh-keygen\n");
    return false;
}

/* Ours verified by theirs: key file and signature. */
static void test_we_sign(void **state)
{
    struct place *place = *state;
    if (!have_ssh_keygen(place))
        skip();
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP_KEYS struct key_pair *back = NULL;
    CLEANUP_BUF struct buf armored = BUF_INIT;
    CLEANUP_BUF struct buf allowed = BUF_INIT;
    struct ssh_public_key key = ssh_public_key_of(pair);
    assert_int_equal(ssh_private_key_write(pair, "ann@example", place->dirfd, "ann", NULL), 0);
    assert_int_equal(ssh_private_key_write(pair, "ann@example", place->dirfd, "ann", NULL), FARM_E_EXISTS);
    assert_int_equal(ssh_private_key_read(place->dirfd, "ann", &back, NULL), 0);
    assert_true(keys_public_equal(keys_public(pair), keys_public(back)));
    assert_int_equal(sshsig_sign(pair, "release@intergenos", VIEW("the release\n"), &armored, NULL), 0);
    buf_add_text(&allowed, "ann namespaces=\"release@intergenos\" ");
    ssh_public_key_write(&key, &allowed);
    buf_add_byte(&allowed, '\n');
    assert_int_equal(file_write(place->dirfd, "doc", VIEW("the release\n"), 0644, NULL), 0);
    assert_int_equal(file_write(place->dirfd, "doc.sig", buf_view(&armored), 0644, NULL), 0);
    assert_int_equal(file_write(place->dirfd, "allowed", buf_view(&allowed), 0644, NULL), 0);
    static const char *const verify[] = {
        "ssh-keygen",         "-Y", "verify",  "-f", "allowed", "-I", "ann", "-n",
        "release@intergenos", "-s", "doc.sig", NULL};
    assert_int_equal(run(place, "doc", verify), 0);
    static const char *const derive[] = {"ssh-keygen", "-y", "-f", "ann", NULL};
    assert_int_equal(run(place, NULL, derive), 0);
    /* and theirs over our key file, verified by us */
    static const char *const sign[] = {"ssh-keygen",      "-Y",  "sign", "-f", "ann", "-n",
                                       "root@intergenos", "doc", NULL};
    assert_int_equal(unlinkat(place->dirfd, "doc.sig", 0), 0);
    assert_int_equal(run(place, NULL, sign), 0);
    struct sshsig found;
    buf_clear(&armored);
    assert_int_equal(file_read(place->dirfd, "doc.sig", 8192, &armored, NULL), 0);
    assert_int_equal(
        sshsig_verify(buf_view(&armored), "root@intergenos", VIEW("the release\n"), &found, NULL), 0);
    assert_true(ssh_public_key_equal(&found.key, &key));
}

/* A key of theirs, read by us; with a passphrase, refused with the remedy; sha256 accepted. */
static void test_they_make_keys(void **state)
{
    struct place *place = *state;
    if (!have_ssh_keygen(place))
        skip();
    CLEANUP_KEYS struct key_pair *pair = NULL;
    CLEANUP_BUF struct buf line = BUF_INIT;
    CLEANUP_BUF struct buf armored = BUF_INIT;
    struct ssh_public_key key;
    struct sshsig found;
    struct diag diag = DIAG_INIT;
    assert_int_equal(ssh_private_key_read(place->dirfd, "probe", &pair, NULL), 0);
    assert_int_equal(file_read(place->dirfd, "probe.pub", 8192, &line, NULL), 0);
    assert_int_equal(ssh_public_key_parse(buf_view(&line), "probe.pub", &key, NULL), 0);
    assert_true(keys_public_equal(&key.key, keys_public(pair)));
    assert_int_equal(file_write(place->dirfd, "doc", VIEW("x"), 0644, NULL), 0);
    static const char *const sign[] = {"ssh-keygen",      "-Y",  "sign",  "-O",
                                       "hashalg=sha256",  "-f",  "probe", "-n",
                                       "root@intergenos", "doc", NULL};
    assert_int_equal(run(place, NULL, sign), 0);
    assert_int_equal(file_read(place->dirfd, "doc.sig", 8192, &armored, NULL), 0);
    assert_int_equal(sshsig_verify(buf_view(&armored), "root@intergenos", VIEW("x"), &found, NULL), 0);

    static const char *const locked[] = {"ssh-keygen", "-t", "ed25519", "-N", "secret",
                                         "-q",         "-f", "locked",  NULL};
    assert_int_equal(run(place, NULL, locked), 0);
    CLEANUP_KEYS struct key_pair *none = NULL;
    assert_int_equal(ssh_private_key_read(place->dirfd, "locked", &none, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "ssh-keygen -Y sign"));
    static const char *const rsa[] = {"ssh-keygen", "-t", "rsa", "-b",  "2048", "-N",
                                      "",           "-q", "-f",  "rsa", NULL};
    assert_int_equal(run(place, NULL, rsa), 0);
    assert_int_equal(ssh_private_key_read(place->dirfd, "rsa", &none, &diag), FARM_E_UNSUPPORTED);
    assert_int_equal(fchmodat(place->dirfd, "probe", 0644, 0), 0);
    assert_int_equal(ssh_private_key_read(place->dirfd, "probe", &none, &diag), FARM_E_CONFIG); /* C1 */
}

static void test_machine_key_signs(void **state)
{
    struct place *place = *state;
    struct identity *identity = identity_generate("alpha", false);
    CLEANUP_KEYS struct key_pair *pair = NULL;
    assert_int_equal(identity_write(identity, place->dirfd, "key", NULL), 0);
    assert_int_equal(ssh_private_key_read(place->dirfd, "key", &pair, NULL), 0);
    assert_true(keys_public_equal(keys_public(pair), keys_public(identity_keys(identity))));
    identity_free(identity);
}

static void test_S4_tokens(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    static const struct {
        struct token_act act;
        int result;
        bool verified;
    } cases[] = {
        {{.flags = TOKEN_TOUCHED}, 0, false},
        {{.flags = TOKEN_TOUCHED, .counter = UINT32_MAX}, 0, false},
        {{.flags = TOKEN_TOUCHED | TOKEN_VERIFIED}, 0, true},
        {{.flags = TOKEN_TOUCHED, .application = "ssh:farm"}, 0, false},
        {{.flags = 0}, FARM_E_SIGNATURE, false},
        {{.flags = TOKEN_VERIFIED}, FARM_E_SIGNATURE, false},
        {{.flags = TOKEN_TOUCHED, .signed_application = "ssh:other"}, FARM_E_SIGNATURE, false},
        {{.flags = TOKEN_TOUCHED, .application = "https://example.org"}, FARM_E_SYNTAX, false},
        {{.flags = TOKEN_TOUCHED, .application = "ssh"}, FARM_E_SYNTAX, false},
        {{.flags = TOKEN_TOUCHED, .application = ""}, FARM_E_SYNTAX, false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        CLEANUP_BUF struct buf armored = BUF_INIT;
        struct sshsig found = {.user_verified = false};
        struct token_act act = cases[i].act;
        act.name_space = "release@intergenos";
        token_fixture_sign(pair, &act, VIEW("message"), &armored);
        assert_int_equal(
            sshsig_verify(buf_view(&armored), "release@intergenos", VIEW("message"), &found, NULL),
            cases[i].result);
        assert_int_equal(found.user_verified, cases[i].verified);
        assert_true(sshsig_verify(buf_view(&armored), "root@intergenos", VIEW("message"), &found, NULL) < 0);
    }
}

/* What "ssh-keygen -l" shows. */
static void test_fingerprint(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct ssh_public_key key;
    assert_int_equal(
        ssh_public_key_parse(
            VIEW("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"), "key",
            &key, NULL),
        0);
    ssh_public_key_fingerprint(&key, &text);
    assert_string_equal(text.data, "SHA256:bbXpuKG6zhzdmnxq256TlqzFBzRl2f6OOg722cYNbU8");
}

/* Every flipped bit is refused. */
static void test_damaged(void **state)
{
    (void)state;
    CLEANUP_KEYS struct key_pair *pair = keys_generate();
    CLEANUP_BUF struct buf armored = BUF_INIT;
    struct sshsig found;
    assert_int_equal(sshsig_sign(pair, "root@intergenos", VIEW("message"), &armored, NULL), 0);
    for (size_t i = 0; i + 1 < armored.size; i++) {
        armored.data[i] ^= 2;
        assert_true(sshsig_verify(buf_view(&armored), "root@intergenos", VIEW("message"), &found, NULL) < 0);
        armored.data[i] ^= 2;
    }
    for (size_t size = 0; size + 1 < armored.size; size++)
        assert_true(
            sshsig_verify(view_of(armored.data, size), "root@intergenos", VIEW("message"), &found, NULL) < 0);
    assert_int_equal(sshsig_verify(buf_view(&armored), "root@intergenos", VIEW("message"), &found, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_public_names),
        cmocka_unit_test_setup_teardown(test_we_sign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_they_make_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_machine_key_signs, setup, teardown),
        cmocka_unit_test(test_S4_tokens),
        cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_damaged),
    };
    return cmocka_run_group_tests_name("sshsig", tests, NULL, NULL);
}
