/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-sign as people in different places run it: drafts, signatures that travel as files, and what it refuses. Every person has a
 * directory of their own here; only what they send each other is copied.
 */
#include "farm_fixture.h"
#include "file.h"
#include "token_fixture.h"
#include "waiver.h"

#include "base64.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SIGN FARM_BINARY_DIR "/bin/farm-sign"
#define BASE "00000000000000000000000000000000000000000000000000000000000000aa"

struct place {
    struct farm_fixture *farm;
    struct key_pair *log;
    int dirfd;
    char path[64];
};

static void write_person(const struct place *place, const struct key_pair *pair, const char *name)
{
    assert_int_equal(ssh_private_key_write(pair, name, place->dirfd, name, NULL), 0);
}

static int setup(void **state)
{
    struct place *place = mem_zero(1, sizeof *place);
    strcpy(place->path, "/tmp/farm-test-sign.XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->dirfd = file_open_dir(AT_FDCWD, place->path, NULL);
    place->farm = farm_fixture_new();
    place->log = keys_generate();
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        write_person(place, place->farm->people[i], fixture_people[i]);
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++)
        write_person(place, place->farm->operators[i], fixture_operators[i]);
    write_person(place, place->farm->enrolment, "eva");
    assert_int_equal(file_write(place->dirfd, "policy.yml", VIEW("policy"), 0644, NULL), 0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;
    close(place->dirfd);
    assert_int_equal(file_remove_tree(AT_FDCWD, place->path, NULL), 0);
    farm_fixture_free(place->farm);
    keys_free(place->log);
    free(place);
    return 0;
}

/* Output goes into the file "out"; the exit status. The list ends with NULL. */
static int run(const struct place *place, const char *const *arguments)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int out = openat(place->dirfd, "out", O_WRONLY | O_CREAT | O_TRUNC, 0644),
            null = open("/dev/null", O_RDONLY);
        if (fchdir(place->dirfd) < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
            _exit(126);
        execvp(arguments[0], (char *const *)arguments);
        _exit(127);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void expect(const struct place *place, int status, int wanted, const char *words)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(file_read(place->dirfd, "out", 1 << 20, &text, NULL), 0);
    if (status != wanted)
        fail_msg("exit %d instead of %d:\n%s", status, wanted, text.data != NULL ? text.data : "");
    if (words != NULL && (text.data == NULL || strstr(text.data, words) == NULL))
        fail_msg("no \"%s\" in:\n%s", words, text.data != NULL ? text.data : "");
}

/* Runs farm-sign; it must end with this status and say these words (or anything: NULL). */
#define RUN(place, wanted, words, ...)                                                                       \
    expect(place, run(place, (const char *const[]){SIGN, __VA_ARGS__, NULL}), wanted, words)
#define SHELL(place, command)                                                                                \
    expect(place, run(place, (const char *const[]){"sh", "-c", command, NULL}), 0, NULL)

static struct root *read_root(const struct place *place, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct root *root = NULL;
    assert_int_equal(file_read(place->dirfd, path, ROOT_SIZE_MAX, &text, NULL), 0);
    assert_int_equal(root_parse(buf_view(&text), path, &root, NULL), 0);
    return root;
}

static char *vkey_of(const char *origin, const struct key_pair *pair)
{
    struct note_key key = {.type = NOTE_ED25519, .key = *keys_public(pair)};
    struct buf text = BUF_INIT;
    snprintf(key.name, sizeof key.name, "%s", origin);
    note_key_write(&key, &text);
    return buf_steal(&text);
}

/* Version 1, unsigned: three people hold root and release, with a log that alpha and beta witness. */
static void make_root(const struct place *place)
{
    CLEANUP_FREE char *vkey = vkey_of("log/one", place->log);
    RUN(place, 0, NULL, "root", "init", "--out", "root.json", "--expires", "2100-01-31", "--policy",
        "policy.yml", "--base", BASE, "--root-key", "ann=ann.pub", "--root-key", "ben=ben.pub", "--root-key",
        "cid=cid.pub", "--release-key", "ann=ann.pub", "--release-key", "ben=ben.pub", "--release-key",
        "cid=cid.pub", "--enrolment-key", "eva=eva.pub", "--anchor", "alpha=alpha.pub", "--anchor",
        "beta=beta.pub", "--log", vkey, "--witness", "beta", "--witness", "alpha");
}

static void sign_root(const struct place *place)
{
    RUN(place, 0, "1 of 2 (ann); missing: 1 of ben, cid", "root", "sign", "root.json", "--key", "ann");
    RUN(place, 0, "2 of 2 (ann, ben)", "root", "sign", "root.json", "--key", "ben");
}

static void test_S1_a_root_is_signed_by_people_in_different_places(void **state)
{
    struct place *place = *state;
    make_root(place);
    RUN(place, 1, "0 of 2; missing: 2 of ann, ben, cid", "root", "show", "root.json");
    SHELL(place, "mkdir at-ann at-ben && mv ann ann.pub at-ann && mv ben ben.pub at-ben &&"
                 "cp root.json at-ann && cp root.json at-ben");
    RUN(place, 0, "1 of 2 (ann)", "root", "sign", "at-ann/root.json", "--key", "at-ann/ann");
    RUN(place, 1, "0 of 2", "root", "show", "at-ben/root.json"); /* nothing is shared but what is sent */
    SHELL(place, "cp -r at-ann/root.json.sig.d at-ben");
    RUN(place, 0, "2 of 2 (ann, ben)", "root", "sign", "at-ben/root.json", "--key", "at-ben/ben");
    SHELL(place, "mkdir root.json.sig.d && cp at-ann/root.json.sig.d/* root.json.sig.d &&"
                 "cp at-ben/root.json.sig.d/* root.json.sig.d");
    RUN(place, 0, "signed as it must be", "root", "show", "root.json");
    RUN(place, 0, "\"complete\":true", "root", "show", "root.json", "--json");
    CLEANUP_ROOT struct root *root = read_root(place, "root.json");
    assert_int_equal(root->log.threshold, 2);
    assert_string_equal(root->log.witnesses[0], "alpha");
    assert_int_equal(root->roles[ROLE_RELEASE].threshold, 2);
}

static void test_a_draft_is_changed_in_place_and_a_signed_root_is_not(void **state)
{
    struct place *place = *state;
    make_root(place);
    RUN(place, 0, "version 1", "root", "add", "root.json", "unverified", "zlib"); /* a draft */
    RUN(place, 0, NULL, "root", "sign", "root.json", "--key", "ann");
    RUN(place, 1, "is being signed", "root", "add", "root.json", "unverified", "lz4");
    RUN(place, 1, "is being signed", "root", "add", "root.json", "unverified", "lz4", "--out", "root2.json");
    RUN(place, 0, NULL, "root", "sign", "root.json", "--key", "cid");
    RUN(place, 2, "--out", "root", "add", "root.json", "unverified", "lz4");
    RUN(place, 0, "version 2", "root", "add", "root.json", "unverified", "lz4", "--out", "root2.json");
    RUN(place, 0, "version 2", "root", "remove", "root2.json", "unverified", "zlib");
    RUN(place, 1, NULL, "root", "add", "root.json", "unverified", "xz", "--out",
        "root2.json"); /* never replaced */
    CLEANUP_ROOT struct root *one = read_root(place, "root.json");
    CLEANUP_ROOT struct root *two = read_root(place, "root2.json");
    assert_int_equal(one->version, 1);
    assert_int_equal(two->version, 2);
    assert_true(root_allows_unverified(one, "zlib"));
    assert_false(root_allows_unverified(one, "lz4"));
    assert_true(root_allows_unverified(two, "lz4"));
    assert_false(root_allows_unverified(two, "zlib"));
}

static void test_S9_a_new_version_needs_both_thresholds(void **state)
{
    struct place *place = *state;
    make_root(place);
    sign_root(place);
    RUN(place, 0, NULL, "root", "add", "root.json", "root", "--person", "dan", "--key", "gamma.pub", "--out",
        "root2.json");
    RUN(place, 0, NULL, "root", "add", "root2.json", "root", "--person", "eve", "--key", "delta.pub");
    RUN(place, 0, NULL, "root", "remove", "root2.json", "root", "--person", "ann");
    RUN(place, 0, NULL, "root", "remove", "root2.json", "root", "--person", "ben");
    RUN(place, 0, "counts only if the version before names it", "root", "sign", "root2.json", "--key", "ann");
    RUN(place, 0, "not looked at: the threshold of version 1", "root", "sign", "root2.json", "--key",
        "gamma");
    RUN(place, 0, "- root       ann", "root", "sign", "root2.json", "--key", "delta", "--previous",
        "root.json");
    RUN(place, 1, "version 1, the one before: 1 of 2 (ann); missing: 1 of ben, cid", "root", "show",
        "root2.json", "--previous", "root.json");
    RUN(place, 0, "signed as it must be by its own threshold", "root", "show", "root2.json");
    RUN(place, 1, "\"complete\":false", "root", "show", "root2.json", "--previous", "root.json", "--json");
    RUN(place, 0, "version 1, the one before: 2 of 2 (ann, ben)", "root", "sign", "root2.json", "--key",
        "ben", "--previous", "root.json");
    RUN(place, 0, "signed as it must be", "root", "show", "root2.json", "--previous", "root.json");
    RUN(place, 0, "so it does not count", "root", "sign", "root2.json", "--key", "eva", "--previous",
        "root.json");
    /* N+2 */
    RUN(place, 0, NULL, "root", "set", "root2.json", "expires", "365", "--out", "root3.json");
    RUN(place, 1, "version 3 cannot follow version 1", "root", "sign", "root3.json", "--key", "ann",
        "--previous", "root.json");
    RUN(place, 1, "version 3 cannot follow version 1", "root", "show", "root3.json", "--previous",
        "root.json");
}

static void test_S2_S10_what_edits_refuse(void **state)
{
    struct place *place = *state;
    make_root(place);
    RUN(place, 1, "the same key", "root", "add", "root.json", "enrolment", "--person", "anne", "--key",
        "ann.pub");
    RUN(place, 1, "key of ann", "root", "add", "root.json", "release", "--person", "anne", "--key",
        "ann.pub");
    RUN(place, 1, "could never sign", "root", "add", "root.json", "enrolment", "--person", "ann", "--key",
        "ann.pub", "--verify-required");
    RUN(place, 1, "persons, 3", "root", "threshold", "root.json", "release", "4");
    RUN(place, 1, "from 1", "root", "threshold", "root.json", "release", "0");
    RUN(place, 2, "a threshold", "root", "threshold", "root.json", "release", "two");
    RUN(place, 1, "somebody must hold the role: enrolment", "root", "remove", "root.json", "enrolment",
        "--person", "eva");
    RUN(place, 1, "no anchor operator", "root", "add", "root.json", "witness", "gamma");
    RUN(place, 1, "witnesses the log", "root", "remove", "root.json", "anchor", "beta");
    RUN(place, 1, "more than half", "root", "remove", "root.json", "witness", "beta");
    RUN(place, 0, NULL, "root", "remove", "root.json", "witness", "beta", "--threshold", "1");
    RUN(place, 0, NULL, "root", "add", "root.json", "witness", "beta", "--threshold", "2");
    RUN(place, 2, "--person NAME and --key KEY", "root", "add", "root.json", "release", "--person", "dan");
    RUN(place, 2, "go with a role", "root", "add", "root.json", "base", BASE, "--person", "dan");
    RUN(place, 2, "no such part", "root", "add", "root.json", "moon", "full");
    RUN(place, 2, "64 lower-case hex", "root", "add", "root.json", "base", "AA");
    RUN(place, 1, "already", "root", "add", "root.json", "base", BASE);
    RUN(place, 2, "neither a date", "root", "set", "root.json", "expires", "soon");
    RUN(place, 2, "can be set", "root", "set", "root.json", "color", "red");
    RUN(place, 2, "see \"farm-sign root --help\"", "root", "add", "root.json");
    CLEANUP_ROOT struct root *root = read_root(place, "root.json");
    assert_int_equal(root->roles[ROLE_ENROLMENT].nkeys, 1); /* refusals wrote nothing */
    assert_int_equal(root->log.nwitnesses, 2);
}

static void test_a_key_can_be_given_literally(void **state)
{
    struct place *place = *state;
    CLEANUP_BUF struct buf line = BUF_INIT;
    struct ssh_public_key gamma = ssh_public_key_of(place->farm->operators[2]);
    make_root(place);
    ssh_public_key_write(&gamma, &line);
    RUN(place, 0, NULL, "root", "add", "root.json", "anchor", "gamma", "--key", line.data);
    CLEANUP_ROOT struct root *root = read_root(place, "root.json");
    assert_true(root_is_anchor(root, "gamma", &gamma));
}

static void test_S4_a_token_that_must_ask_for_a_pin(void **state)
{
    struct place *place = *state;
    CLEANUP_BUF struct buf line = BUF_INIT;
    struct ssh_public_key token = token_fixture_key(place->farm->operators[3], "ssh:");
    make_root(place);
    ssh_public_key_write(&token, &line);
    RUN(place, 0, NULL, "root", "add", "root.json", "release", "--person", "dan", "--key", line.data,
        "--verify-required", "--threshold", "3");
    RUN(place, 1, "token, with PIN or finger", "root", "show", "root.json");
    CLEANUP_ROOT struct root *root = read_root(place, "root.json");
    const struct role *release = &root->roles[ROLE_RELEASE];
    assert_int_equal(release->threshold, 3);
    assert_true(release->keys[3].verify_required);
    assert_int_equal(release->keys[3].key.type, SSH_KEY_SK_ED25519);
    RUN(place, 1, "not a point", "root", "add", "root.json", "release", "--person", "eve", "--key",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"); /* W4 */
}

static void test_policy_and_expiry_are_set(void **state)
{
    struct place *place = *state;
    make_root(place);
    RUN(place, 0, NULL, "root", "set", "root.json", "policy", BASE);
    CLEANUP_ROOT struct root *by_digest = read_root(place, "root.json");
    assert_string_equal(digest_hex(&by_digest->policy).text, BASE);
    RUN(place, 0, NULL, "root", "set", "root.json", "policy", "policy.yml");
    RUN(place, 0, NULL, "root", "set", "root.json", "expires", "2101-02-03");
    CLEANUP_ROOT struct root *by_file = read_root(place, "root.json");
    struct digest policy = digest_of(VIEW("policy"));
    assert_true(digest_equal(&by_file->policy, &policy));
    assert_int_equal(by_file->expires_ms, 4136832000000 /* 2101-02-03 */);
}

/* The last checkpoint of the old log, as a witness kept it. */
static void write_checkpoint(const struct place *place, const struct key_pair *pair, const char *origin)
{
    struct checkpoint checkpoint = {.size = 42, .root = digest_of(VIEW("end"))};
    CLEANUP_BUF struct buf note = BUF_INIT;
    snprintf(checkpoint.origin, sizeof checkpoint.origin, "%s", origin);
    assert_int_equal(note_sign_checkpoint(&checkpoint, pair, &note, NULL), 0);
    assert_int_equal(file_write(place->dirfd, "checkpoint", buf_view(&note), 0644, NULL), 0);
}

static void test_S9_a_new_origin_after_a_loss(void **state)
{
    struct place *place = *state;
    CLEANUP_KEYS struct key_pair *second = keys_generate();
    CLEANUP_FREE char *vkey = vkey_of("log/two", second);
    make_root(place);
    sign_root(place);
    RUN(place, 1, "--previous", "root", "set", "root.json", "log", vkey, "--out", "root2.json");
    write_checkpoint(place, second, "log/one"); /* whoever has the new key says where the old log ended */
    RUN(place, 1, "checkpoint", "root", "set", "root.json", "log", vkey, "--previous", "checkpoint", "--out",
        "root2.json");
    write_checkpoint(place, place->log, "log/one");
    RUN(place, 0, "version 2", "root", "set", "root.json", "log", vkey, "--previous", "checkpoint", "--out",
        "root2.json");
    RUN(place, 0, "log        follows log/one, which ended at size 42", "root", "sign", "root2.json", "--key",
        "ann", "--previous", "root.json");
    RUN(place, 0, NULL, "root", "sign", "root2.json", "--key", "cid");
    RUN(place, 0, "signed as it must be", "root", "show", "root2.json", "--previous", "root.json");
    CLEANUP_ROOT struct root *two = read_root(place, "root2.json");
    assert_string_equal(two->log.key.name, "log/two");
    assert_int_equal(two->log.previous.size, 42);
    assert_int_equal(two->log.nwitnesses, 2);
    RUN(place, 0, NULL, "root", "set", "root2.json", "log", "none", "--out", "root3.json");
    CLEANUP_ROOT struct root *three = read_root(place, "root3.json");
    assert_false(three->log.present);
}

static bool have_ssh_keygen(const struct place *place)
{
    static const char *const arguments[] = {"ssh-keygen", "-t", "ed25519", "-N", "secret",
                                            "-q",         "-f", "locked",  NULL};
    if (run(place, arguments) == 0)
        return true;
    print_message("skipped: no ssh-keygen\n");
    return false;
}

/* A key that only OpenSSH can use: the line to type is printed, and what it wrote is taken in. */
static void test_openssh_signs_and_the_signature_is_taken_in(void **state)
{
    struct place *place = *state;
    make_root(place);
    if (!have_ssh_keygen(place))
        skip();
    RUN(place, 2,
        "ssh-keygen -Y sign -n root@intergenos -f locked root.json\n    farm-sign root sign root.json",
        "root", "sign", "root.json", "--key", "locked");
    RUN(place, 2, "-f ann.pub root.json", "root", "sign", "root.json", "--key", "ann.pub");
    RUN(place, 2, "-f KEY root.json", "root", "sign", "root.json");
    SHELL(place, "ssh-keygen -q -Y sign -n root@intergenos -f ann root.json");
    RUN(place, 0, "1 of 2 (ann)", "root", "sign", "root.json");
    SHELL(place, "test ! -e root.json.sig"); /* taken in, so that it is not taken twice */
    SHELL(place,
          "ssh-keygen -q -Y sign -n root@intergenos -f ben root.json && mv root.json.sig from-ben.sig");
    RUN(place, 0, "2 of 2 (ann, ben)", "root", "sign", "root.json", "--import", "from-ben.sig");
    SHELL(place, "ssh-keygen -q -Y sign -n release@intergenos -f cid root.json"); /* S3 */
    RUN(place, 1, "another kind of document", "root", "sign", "root.json");
    SHELL(place, "rm root.json.sig; ssh-keygen -q -Y sign -n root@intergenos -f cid policy.yml");
    RUN(place, 1, "does not verify", "root", "sign", "root.json", "--import", "policy.yml.sig");
}

static void test_waivers(void **state)
{
    struct place *place = *state;
    make_root(place);
    RUN(place, 1, "\"quorum\" cannot be waived", "waiver", "new", "--package", "core/zlib", "--version",
        "1.3", "--rule", "quorum", "--reason", "in a hurry", "--expires", "30", "--out", "w.json"); /* S12 */
    RUN(place, 1, "180 days", "waiver", "new", "--package", "core/zlib", "--version", "1.3", "--rule", "hold",
        "--reason", "in a hurry", "--expires", "181", "--out", "w.json");
    RUN(place, 2, "--reason", "waiver", "new", "--package", "core/zlib", "--version", "1.3", "--rule", "hold",
        "--expires", "30", "--out", "w.json");
    RUN(place, 0, NULL, "waiver", "new", "--package", "core/zlib", "--version", "1.3", "--rule", "hold",
        "--reason", "the hold is for 1.2", "--expires", "30", "--out", "w.json");
    RUN(place, 1, "0 of 2", "waiver", "show", "w.json", "--trust", "root.json");
    RUN(place, 0, "not checked", "waiver", "show", "w.json");
    RUN(place, 0, "1 signatures", "waiver", "sign", "w.json", "--key", "ann");
    RUN(place, 0, "1 signatures", "waiver", "sign", "w.json", "--key", "ann");
    RUN(place, 1, "signed by ann", "waiver", "show", "w.json", "--trust", "root.json");
    RUN(place, 0, "2 signatures", "waiver", "sign", "w.json", "--key", "eva"); /* of another role */
    RUN(place, 1, "1 of 2", "waiver", "show", "w.json", "--trust", "root.json");
    RUN(place, 0, NULL, "waiver", "sign", "w.json", "--key", "cid");
    RUN(place, 0, "it holds", "waiver", "show", "w.json", "--trust", "root.json");
    RUN(place, 0, "\"holds\":true", "waiver", "show", "w.json", "--trust", "root.json", "--json");
}

static void test_a_waiver_is_signed_by_openssh(void **state)
{
    struct place *place = *state;
    make_root(place);
    if (!have_ssh_keygen(place))
        skip();
    RUN(place, 0, NULL, "waiver", "new", "--package", "core/zlib", "--version", "1.3", "--rule", "evidence",
        "--reason", "no card yet", "--expires", "30", "--out", "w.json");
    RUN(place, 2,
        "ssh-keygen -Y sign -n waiver@intergenos -f locked w.json.text\n    farm-sign waiver sign w.json",
        "waiver", "sign", "w.json", "--key", "locked");
    SHELL(place, "ssh-keygen -q -Y sign -n waiver@intergenos -f ann w.json.text");
    RUN(place, 0, "1 signatures", "waiver", "sign", "w.json");
    SHELL(place, "test ! -e w.json.text -a ! -e w.json.text.sig");
    RUN(place, 1, "signed by ann", "waiver", "show", "w.json", "--trust", "root.json");
}

/* --- entries --- */

/* As farm-worker init makes it; also as a code to paste. */
static char *write_request(const struct place *place)
{
    char curve[65], key[65];
    struct buf code = BUF_INIT;
    hex_encode(identity_curve_public(place->farm->workers[0]), 32, curve);
    hex_encode(keys_public(identity_keys(place->farm->workers[0]))->bytes, 32, key);
    CLEANUP_FREE char *text =
        mem_format("{\"curve\":\"%s\",\"ed25519\":\"%s\",\"facts\":{\"cpu_vendor\":\"amd\"},"
                   "\"operator\":\"alpha\",\"worker\":\"alpha-1\"}\n",
                   curve, key);
    assert_int_equal(file_write(place->dirfd, "request.json", view_text(text), 0644, NULL), 0);
    buf_add_text(&code, "igos-request:1:");
    base64_encode(view_text(text), &code);
    return buf_steal(&code);
}

static struct directory_entry read_entry(const struct place *place, const char *path)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct directory_entry entry = {0};
    assert_int_equal(file_read(place->dirfd, path, 16384, &text, NULL), 0);
    assert_int_equal(directory_entry_parse(buf_view(&text), path, &entry, NULL), 0);
    return entry;
}

static void test_an_entry_of_a_pasted_code(void **state)
{
    struct place *place = *state;
    CLEANUP_FREE char *code = write_request(place);
    CLEANUP_FREE char *broken = mem_format("%.40s\n  %s\n", code, code + 40); /* as mail breaks lines */
    CLEANUP_FREE char *cut = mem_string_n(code, strlen(code) - 9);
    make_root(place);
    RUN(place, 0, "wrote entry-alpha-1.json", "entry", code, "--key", "alpha", "--expires", "2100-01-01");
    RUN(place, 0, NULL, "entry", "init", "--request", broken, "--operator-key", "alpha.pub", "--expires",
        "2100-01-01", "--site", "oslo", "--out", "second.json");
    RUN(place, 0, NULL, "entry", "request.json", "--key", "alpha", "--expires", "2100-01-01", "--out",
        "third.json");
    RUN(place, 1, "copy all of the line", "entry", "init", "--request", cut, "--operator-key", "alpha.pub",
        "--expires", "2100-01-01", "--out", "fourth.json");
    RUN(place, 2, "--expires DATE", "entry", code, "--key", "alpha", "--out", "fourth.json");
    CLEANUP(directory_entry_done) struct directory_entry one = read_entry(place, "entry-alpha-1.json");
    CLEANUP(directory_entry_done) struct directory_entry two = read_entry(place, "second.json");
    const struct ssh_public_key alpha = ssh_public_key_of(place->farm->operators[0]);
    assert_string_equal(one.worker, "alpha-1");
    assert_string_equal(one.cpu_vendor, "amd");
    assert_true(ssh_public_key_equal(&one.operator_key, &alpha));
    assert_string_equal(two.site, "oslo");
    RUN(place, 0, NULL, "entry", "entry-alpha-1.json", "--key", "eva");
    RUN(place, 0, NULL, "directory", "--out", "workers.json", "--expires", "2100-01-01", "--trust",
        "root.json", "entry-alpha-1.json");
    RUN(place, 0, "passed: 1 entries", "directory", "check", "workers.json", "--trust", "root.json");
}

/* W11: from where on a worker's answers do not count is in its entry, signed again by both. */
static void test_W11_an_entry_is_marked_compromised(void **state)
{
    struct place *place = *state;
    CLEANUP_FREE char *code = write_request(place);
    make_root(place);
    RUN(place, 0, NULL, "entry", code, "--key", "alpha", "--expires", "2100-01-01", "--out", "e.json");
    RUN(place, 0, NULL, "entry", "e.json", "--key", "eva");
    RUN(place, 0, NULL, "directory", "--out", "w1.json", "--expires", "2100-01-01", "--trust", "root.json",
        "e.json");
    RUN(place, 0, "COMPROMISED", "entry", "e.json", "--key", "alpha", "--compromised-from", "1234");
    RUN(place, 1, "lack signatures", "directory", "--out", "w2.json", "--expires", "2100-01-01", "--trust",
        "root.json", "--previous", "w1.json", "e.json"); /* enrolment signed what it was before */
    RUN(place, 0, NULL, "entry", "e.json", "--key", "eva", "--compromised-from",
        "1234"); /* agrees: no change */
    RUN(place, 0, NULL, "directory", "--out", "w2.json", "--expires", "2100-01-01", "--trust", "root.json",
        "--previous", "w1.json", "e.json");
    RUN(place, 0, "compromised from position 1234", "directory", "show", "w2.json", "--trust", "root.json",
        "--previous", "w1.json");
    RUN(place, 0, "\"compromised_from\":1234", "directory", "show", "w2.json", "--trust", "root.json",
        "--json");
    RUN(place, 1, "does not follow", "directory", "check", "w1.json", "--trust", "root.json", "--previous",
        "w2.json");
    RUN(place, 1, "earlier one", "entry", "e.json", "--key", "alpha", "--compromised-from", "2000");
    RUN(place, 0, NULL, "entry", "e.json", "--key", "alpha", "--compromised-from", "0", "--expires", "now");
    CLEANUP(directory_entry_done) struct directory_entry entry = read_entry(place, "e.json");
    assert_int_equal(entry.compromised_from, 0);
    assert_true(entry.expires_ms < FIXTURE_EXPIRES);
    RUN(place, 2, "a position in the log", "entry", "e.json", "--key", "alpha", "--compromised-from", "-1");
    RUN(place, 2, "can be changed", "entry", "e.json", "--key", "alpha", "--site", "rome");
}

static void test_S1_a_directory_is_checked_offline(void **state)
{
    struct place *place = *state;
    CLEANUP_BUF struct buf text = BUF_INIT;
    make_root(place);
    struct directory *directory = place->farm->directory;
    directory->entries[2].nsignatures--; /* gamma's: enrolment never signed it */
    directory_write(directory, &text);
    directory->entries[2].nsignatures++;
    assert_int_equal(file_write(place->dirfd, "workers.json", buf_view(&text), 0644, NULL), 0);
    RUN(place, 1, "worker gamma-1: 0 of 1 needed persons of the role enrolment", "directory", "check",
        "workers.json", "--trust", "root.json");
    RUN(place, 1, "signatures missing", "directory", "show", "workers.json", "--trust", "root.json");
    RUN(place, 1, "\"passed\":false", "directory", "show", "workers.json", "--trust", "root.json", "--json");
    RUN(place, 2, "--trust ROOT", "directory", "check", "workers.json");
}

static void test_usage(void **state)
{
    struct place *place = *state;
    static const char *const helps[] = {"root",   "entry",  "directory", "release",
                                        "waiver", "keygen", "pubkey"};
    for (size_t i = 0; i < ARRAY_SIZE(helps); i++)
        RUN(place, 0, "Usage: farm-sign", helps[i], "--help");
    RUN(place, 2, "is needed", "root");
    RUN(place, 2, "is needed", "root", "dance");
    RUN(place, 2, "one FILE", "root", "show");
    RUN(place, 2, "not both", "root", "sign", "x", "--key", "k", "--import", "s");
    RUN(place, 2, "wrong option", "root", "show", "x", "--key", "k");
    RUN(place, 2, "is needed", "waiver", "dance");
    RUN(place, 2, "absent.json", "root", "show", "absent.json");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_S1_a_root_is_signed_by_people_in_different_places),
        CASE(test_a_draft_is_changed_in_place_and_a_signed_root_is_not),
        CASE(test_S9_a_new_version_needs_both_thresholds),
        CASE(test_S2_S10_what_edits_refuse),
        CASE(test_a_key_can_be_given_literally),
        CASE(test_S4_a_token_that_must_ask_for_a_pin),
        CASE(test_policy_and_expiry_are_set),
        CASE(test_S9_a_new_origin_after_a_loss),
        CASE(test_openssh_signs_and_the_signature_is_taken_in),
        CASE(test_waivers),
        CASE(test_a_waiver_is_signed_by_openssh),
        CASE(test_an_entry_of_a_pasted_code),
        CASE(test_W11_an_entry_is_marked_compromised),
        CASE(test_S1_a_directory_is_checked_offline),
        CASE(test_usage),
    };
    return cmocka_run_group_tests_name("farm_sign", tests, NULL, NULL);
}
