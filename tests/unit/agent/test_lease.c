/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A lease, step by step, with everything real but the network: package tree, pack, spec, roots, sandbox,
 * signature. The base is this machine's own shell and a few tools. Started as root, everything runs as the
 * build user, in a state directory below one that this user cannot walk through.
 */
#include "fixture.h"

#include "enrol.h"
#include "file.h"
#include "lease.h"
#include "statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char top[64];
static char upstream
    [64]; /* holds repositories that the build user can read: "good" has the tree, "other" another one */
static int state_fd = -1;
static struct workshop shop;
static struct fixture fixture;
static unsigned char serial;

static void must(int error, const struct diag *diag)
{
    if (error < 0)
        fail_msg("%s", diag_text(diag, error));
}

static int make_worker(struct diag *diag)
{
    CLEANUP_FREE char *state = mem_format("%s/closed/state", top);
    struct enrol enrol = {.state = state,
                          .wish = {.join = {.endpoint = "127.0.0.1:1"},
                                   .operator_name = "alice",
                                   .name = "attic",
                                   .cores = 4,
                                   .memory_bytes = (uint64_t)1024 << 20,
                                   .disk_bytes = (uint64_t)512 << 20,
                                   .trees = "https://example.org/tree"}};
    CLEANUP_FREE char *closed = mem_format("%s/closed", top);
    FILE *null = fopen("/dev/null", "w");
    enrol.wish.join.curve[0] = 1;
    if (null == NULL || mkdir(closed, 0700) < 0)
        return -errno;
    int error = enrol_run(&enrol, null, diag);
    fclose(null);
    return error < 0 ? error : statedir_open(state, &state_fd, diag);
}

/* Everything below happens as the build user; what the fixture made is brought in through open descriptors.
 */
static int enter(struct diag *diag)
{
    int error = statedir_hand_over(state_fd, false, diag);
    if (error >= 0)
        error = sandbox_drop_root(NULL, state_fd, diag);
    if (error >= 0 && fchdir(state_fd) < 0)
        error = -errno;
    umask(022);
    if (error >= 0)
        error = workshop_open(state_fd, &shop, diag);
    return error < 0 ? error : sandbox_probe(state_fd, diag);
}

static int make_upstream(struct diag *diag)
{
    CLEANUP_FREE char *command = mem_format(
        "set -e; export HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1; chmod 755 '%s'; cd '%s'; umask 022\n"
        "git -c safe.directory='*' clone -q --bare --no-hardlinks '%s/tree' good\n"
        "git init -q other; cd other; echo x >file; git add file\n"
        "git -c user.name=t -c user.email=t@example.org commit -q -m t",
        upstream, upstream, top);
    return system(command) != 0 ? diag_set(diag, FARM_E_UNAVAILABLE, "git is needed: %s", command) : 0;
}

static int set_up(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    int error = fixture_make(top, &fixture, &diag);
    if (error >= 0)
        error = make_upstream(&diag);
    if (error >= 0)
        error = fixture_give_away(&diag);
    if (error >= 0)
        error = make_worker(&diag);
    if (error >= 0)
        error = enter(&diag);
    if (error >= 0)
        error = fixture_put(&fixture, shop.store, &diag);
    if (error < 0)
        print_message("set-up: %s\n", diag_text(&diag, error));
    return error < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    workshop_close(&shop);
    close(state_fd);
    return 0;
}

/* ---- leases ---- */

/* What an honest coordinator would name, from the worker's own copy of the tree. */
static struct digest key_of(const char *node, const struct payload *payloads, size_t npayloads)
{
    struct diag diag = DIAG_INIT;
    struct digest key;
    CLEANUP_FREE char *path =
        mem_format(STATEDIR_TREES "/%s-%s", fixture.pin.commit, digest_hex(&fixture.pin.sha256).text);
    CLEANUP_CLOSE int fd = file_open_dir(state_fd, path, &diag);
    must(fd, &diag);
    must(fixture_key(&fixture, fd, node, payloads, npayloads, &key, &diag), &diag);
    return key;
}

static struct lease *lease_of(const char *node, const struct digest *key, const struct payload *payloads,
                              size_t npayloads)
{
    unsigned char nonce[32] = {++serial};
    struct fixture_lease message;
    fixture_lease(&fixture, nonce, node, key, payloads, npayloads, &message);
    return lease_new(&message.lease);
}

static const struct lease_watch quiet = {.wake_fd = -1};

static void print_log(const struct lease *lease)
{
    char text[4096];
    ssize_t size = pread(lease->log_fd, text, sizeof text, 0);
    print_message("%.*s\n", size > 0 ? (int)size : 0, text);
}

/* Until the answer; what came out is left in the lease. */
static struct lease *do_keyed(const char *node, const struct digest *key, const struct payload *payloads,
                              size_t npayloads)
{
    struct diag diag = DIAG_INIT;
    struct lease *lease = lease_of(node, key, payloads, npayloads);
    enum lease_fate fate = lease_prepare(lease, &shop, NULL, &quiet, &diag);
    if (fate == LEASE_GOES_ON)
        fate = lease_build(lease, &shop, &quiet, &diag);
    if (fate != LEASE_ENDED)
        fail_msg("%s: fate %d: %s", node, (int)fate, diag.text);
    must(lease_collect(lease, &shop, &diag), &diag);
    return lease;
}

static struct lease *do_lease(const char *node, const struct payload *payloads, size_t npayloads)
{
    struct digest key = key_of(node, payloads, npayloads);
    return do_keyed(node, &key, payloads, npayloads);
}

static void expect_built(const struct lease *lease)
{
    if (lease->failure == FAILURE_NONE)
        return;
    print_log(lease);
    fail_msg("%s: %s: %s", lease->node, failure_kind_name(lease->failure), lease->result.text);
}

/* ---- tests ---- */

/* Runs first: it is what brings the tree in. */
static void k1_another_spec_is_refused(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct digest key = digest_of(VIEW("something else"));
    struct lease *lease = lease_of("extra/hello", &key, NULL, 0);
    assert_int_equal(lease_prepare(lease, &shop, NULL, &quiet, &diag), LEASE_RETURNED);
    assert_int_equal(lease->reason, WIRE_REFUSE_SPEC);
    if (strstr(diag.text, digest_hex(&key).text) == NULL ||
        strstr(diag.text, "https://example.org/tree") == NULL)
        fail_msg("%s", diag.text);
    CLEANUP_FREE char *dir = mem_string(lease->dir);
    lease_free(lease, &shop);
    assert_int_equal(faccessat(state_fd, dir, F_OK, 0), -1);
}

/* A lease about this URL comes back for this reason, in these words. */
static void expect_returned(const char *url, enum wire_refuse_reason reason, const char *says)
{
    struct diag diag = DIAG_INIT;
    struct digest key = digest_of(VIEW("x"));
    char *good = fixture.pin.url;
    fixture.pin.url = (char *)(uintptr_t)url;
    struct lease *lease = lease_of("extra/hello", &key, NULL, 0);
    fixture.pin.url = good;
    assert_int_equal(lease_prepare(lease, &shop, NULL, &quiet, &diag), LEASE_RETURNED);
    if (lease->reason != reason || strstr(diag.text, says) == NULL || strstr(diag.text, url) == NULL)
        fail_msg("%s: reason %d: %s", url, (int)lease->reason, diag.text);
    lease_free(lease, &shop);
}

static void k8_unlisted_trees_are_given_back(void **state)
{
    (void)state;
    expect_returned("https://example.org/other", WIRE_REFUSE_TREE, "[allow] trees");
    expect_returned("http://example.org/tree", WIRE_REFUSE_TREE, "[allow] trees");
}

static void k8_unlisted_hosts_are_given_back(void **state)
{
    (void)state;
    char *any = shop.conf.hosts, only[] = "git.example.net";
    shop.conf.hosts = only;
    expect_returned("https://example.org/tree", WIRE_REFUSE_TREE, "[allow] hosts");
    shop.conf.hosts = any;
}

static void k7_unlisted_bases_are_given_back(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct digest key = digest_of(VIEW("x"));
    char *any = shop.conf.bases;
    CLEANUP_FREE char *only = mem_string(digest_hex(&key).text);
    shop.conf.bases = only;
    struct lease *lease = lease_of("extra/hello", &key, NULL, 0);
    assert_int_equal(lease_prepare(lease, &shop, NULL, &quiet, &diag), LEASE_RETURNED);
    assert_int_equal(lease->reason, WIRE_REFUSE_BASE);
    shop.conf.bases = any;
    lease_free(lease, &shop);
}

/* ---- package trees from their own URL ---- */

struct lists {
    char *trees, *hosts;
};

static struct lists verify_with(char *trees)
{
    static char none[] = "";
    struct lists before = {shop.conf.trees, shop.conf.hosts};
    shop.conf.trees = trees;
    shop.conf.hosts = none;
    shop.conf.verify_upstream = true;
    return before;
}

static void verify_no_more(struct lists before)
{
    shop.conf.trees = before.trees;
    shop.conf.hosts = before.hosts;
    shop.conf.verify_upstream = false;
}

/* The coordinator offers no pack at all: what the URL has is enough. */
static void k8_a_verified_tree_comes_from_its_url(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *url = mem_format("file://%s/good", upstream),
                      *list = mem_format("file://%s", upstream);
    struct digest key = key_of("extra/fails", NULL, 0), pack = fixture.pack;
    char *listed = fixture.pin.url;
    struct lists before = verify_with(list);
    fixture.pin.url = url;
    memset(&fixture.pack, 0, sizeof fixture.pack);
    struct lease *lease = lease_of("extra/fails", &key, NULL, 0);
    fixture.pin.url = listed;
    fixture.pack = pack;
    if (lease_prepare(lease, &shop, NULL, &quiet, &diag) != LEASE_GOES_ON)
        fail_msg("%s", diag.text);
    lease_free(lease, &shop);
    verify_no_more(before);
}

/* The coordinator has the bytes, and has brought them before; but this URL never had them. */
static void k8_another_tree_under_a_trusted_name_is_refused(void **state)
{
    (void)state;
    CLEANUP_FREE char *list = mem_format("file://%s,%s", upstream, upstream);
    CLEANUP_FREE char *url = mem_format("file://%s/other", upstream),
                      *path = mem_format("%s/other", upstream);
    struct lists before = verify_with(list);
    expect_returned(url, WIRE_REFUSE_TREE, "is not there, on any branch or tag");
    expect_returned(path, WIRE_REFUSE_TREE, "is not there, on any branch or tag");
    struct digest good = fixture.pin.sha256;
    CLEANUP_FREE char *with_commit = mem_format("file://%s/good", upstream);
    fixture.pin.sha256 = digest_of(VIEW("another tree"));
    expect_returned(with_commit, WIRE_REFUSE_TREE, "the lease says");
    fixture.pin.sha256 = good;
    verify_no_more(before);
}

static void k8_private_addresses_are_given_back(void **state)
{
    static const char *const urls[] = {"https://127.0.0.1/tree",     "https://localhost/tree",
                                       "https://10.0.0.1:8443/tree", "https://192.168.1.1/tree",
                                       "https://[::1]/tree",         "https://169.254.169.254/tree"};
    (void)state;
    char any[] = "";
    struct lists before = verify_with(any);
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++)
        expect_returned(urls[i], WIRE_REFUSE_TREE, "private or local address");
    verify_no_more(before);
}

/* ---- K1: the job is the tree's ---- */

static void k1_another_tree_in_the_pack_is_refused(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct digest key = digest_of(VIEW("x")), good = fixture.pin.sha256;
    fixture.pin.sha256 = digest_of(VIEW("another tree"));
    struct lease *lease = lease_of("extra/hello", &key, NULL, 0);
    fixture.pin.sha256 = good;
    assert_int_equal(lease_prepare(lease, &shop, NULL, &quiet, &diag), LEASE_RETURNED);
    assert_int_equal(lease->reason, WIRE_REFUSE_SPEC);
    lease_free(lease, &shop);
}

/* Once per commit, not per lease: the second lease could not even fetch it. */
static void k1_a_tree_is_loaded_once(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct digest key = key_of("extra/fails", NULL, 0), pack = fixture.pack;
    struct lease *first = lease_of("extra/fails", &key, NULL, 0);
    fixture.pack = digest_of(VIEW("no such object"));
    struct lease *second = lease_of("extra/fails", &key, NULL, 0);
    fixture.pack = pack;
    assert_int_equal(lease_prepare(first, &shop, NULL, &quiet, &diag), LEASE_GOES_ON);
    const struct tree *tree = first->tree.tree;
    lease_free(first, &shop);
    assert_int_equal(lease_prepare(second, &shop, NULL, &quiet, &diag), LEASE_GOES_ON);
    assert_ptr_equal(second->tree.tree, tree);
    lease_free(second, &shop);
}

/* From it the worker derives what it signs; so what lies on the disk is hashed again after a restart. */
static void k1_a_tree_changed_on_disk_is_made_anew(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct digest key = key_of("extra/fails", NULL, 0);
    CLEANUP_FREE char *path = mem_format(STATEDIR_TREES "/%s-%s/packages/extra/fails/build.sh",
                                         fixture.pin.commit, digest_hex(&fixture.pin.sha256).text);
    CLEANUP_BUF struct buf before = BUF_INIT, after = BUF_INIT;
    must(file_read(state_fd, path, 4096, &before, &diag), &diag);
    workshop_close(&shop);
    must(file_write(state_fd, path, VIEW("do_install() { :; }\n"), 0644, &diag), &diag);
    must(workshop_open(state_fd, &shop, &diag), &diag);
    struct lease *lease = lease_of("extra/fails", &key, NULL, 0);
    if (lease_prepare(lease, &shop, NULL, &quiet, &diag) != LEASE_GOES_ON)
        fail_msg("%s", diag.text);
    lease_free(lease, &shop);
    must(file_read(state_fd, path, 4096, &after, &diag), &diag);
    assert_string_equal(after.data, before.data);
}

static void over_the_limits(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct ledger_share rest = {0, (uint64_t)900 << 20, 0};
    struct digest key = key_of("extra/fails", NULL, 0);
    struct lease *lease = lease_of("extra/fails", &key, NULL, 0);
    must(ledger_take(shop.ledger, rest, &diag), &diag);
    assert_int_equal(lease_prepare(lease, &shop, NULL, &quiet, &diag), LEASE_RETURNED);
    assert_int_equal(lease->reason, WIRE_REFUSE_RESOURCES);
    lease_free(lease, &shop);
    ledger_give(shop.ledger, rest);
}

static void check_statement(const struct lease *lease)
{
    struct diag diag = DIAG_INIT;
    struct spool_entry *entry = NULL;
    CLEANUP_STATEMENT struct statement *statement = NULL;
    must(lease_sign(lease, &shop, &entry, &diag), &diag);
    must(statement_open(view_text(entry->envelope), keys_public(identity_keys(shop.identity)), &statement,
                        &diag),
         &diag);
    must(statement_check_spec(statement, lease->spec, &diag), &diag);
    assert_true(lease_nonce_equal(&statement->nonce, &lease->nonce));
    assert_int_equal(statement->failure, lease->failure);
    assert_string_equal(statement->worker, "attic");
    if (lease->failure == FAILURE_NONE)
        assert_true(digest_equal(&statement->payload, &lease->payload.manifest));
    assert_true(store_has(shop.store, &statement->log));
    spool_entry_free(entry);
}

/* The dependency's payload is found where it installed itself; two builds give the same bytes. */
static void builds(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    struct manifest manifest = MANIFEST_INIT;
    CLEANUP_BUF struct buf pkginfo = BUF_INIT;
    struct lease *first = do_lease("extra/hello", NULL, 0);
    expect_built(first);
    check_statement(first);
    struct lease *second = do_lease("extra/hello", NULL, 0);
    expect_built(second);
    assert_true(digest_equal(&first->payload.manifest, &second->payload.manifest));
    assert_true(digest_equal(&first->payload.tar, &second->payload.tar));
    struct lease *user = do_lease("extra/user", &first->payload, 1);
    expect_built(user);
    check_statement(user);
    must(payload_manifest(shop.store, &user->payload.manifest, &manifest, &diag), &diag);
    const struct entry *file = manifest_find(&manifest, VIEW("usr/share/user"));
    struct digest want = digest_of(VIEW("source\n1\nIGOS_JOBS=1\n"));
    assert_non_null(file);
    assert_true(digest_equal(&file->sha256, &want));
    manifest_done(&manifest);
    lease_free(first, &shop);
    lease_free(second, &shop);
    lease_free(user, &shop);
}

static void failures(void **state)
{
    (void)state;
    struct lease *lease = do_lease("extra/fails", NULL, 0);
    CLEANUP_BUF struct buf log = BUF_INIT;
    assert_int_equal(lease->failure, FAILURE_BUILD);
    must(store_get(shop.store, &lease->log, 1 << 20, &log, NULL), NULL);
    if (strstr(log.data, "about to fail") == NULL || strstr(log.data, "farm: build failed (build)") == NULL)
        fail_msg("%s", log.data);
    check_statement(lease);
    lease_free(lease, &shop);

    lease = do_lease("extra/lies", NULL, 0);
    assert_int_equal(lease->failure, FAILURE_ASSERTION);
    if (strstr(lease->result.text, "/usr/share/promised") == NULL)
        fail_msg("%s", lease->result.text);
    check_statement(lease);
    lease_free(lease, &shop);
}

/* DESIGN.md 6: ./lib over the base's link is no infrastructure trouble but an answer, the same everywhere. */
static void payload_over_a_link(void **state)
{
    (void)state;
    struct lease *rude = do_lease("extra/rude", NULL, 0);
    expect_built(rude);
    struct lease *victim = do_lease("extra/victim", &rude->payload, 1);
    assert_int_equal(victim->failure, FAILURE_ASSERTION);
    if (strstr(victim->result.text, "./lib") == NULL)
        fail_msg("%s", victim->result.text);
    lease_free(victim, &shop);
    lease_free(rude, &shop);
}

/* The later package's file is the one that a build sees, because its recipe says so. */
static void superseded(void **state)
{
    (void)state;
    struct manifest manifest = MANIFEST_INIT;
    struct lease *old = do_lease("extra/old", NULL, 0);
    expect_built(old);
    struct lease *new = do_lease("extra/new", &old->payload, 1);
    expect_built(new);
    const struct payload payloads[] = {old->payload, new->payload};
    struct lease *both = do_lease("extra/both", payloads, 2);
    expect_built(both);
    must(payload_manifest(shop.store, &both->payload.manifest, &manifest, NULL), NULL);
    const struct entry *file = manifest_find(&manifest, VIEW("usr/share/both"));
    struct digest want = digest_of(VIEW("new\no\n"));
    assert_non_null(file);
    assert_true(digest_equal(&file->sha256, &want));
    manifest_done(&manifest);
    lease_free(old, &shop);
    lease_free(new, &shop);
    lease_free(both, &shop);
}

static bool after_a_while(void *context)
{
    int *asked = context;
    return ++*asked > 6;
}

static void cancelled(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    int asked = 0;
    const struct lease_watch watch = {.cancelled = after_a_while, .context = &asked, .wake_fd = -1};
    struct digest key = key_of("extra/slow", NULL, 0);
    struct lease *lease = lease_of("extra/slow", &key, NULL, 0);
    enum lease_fate fate = lease_prepare(lease, &shop, NULL, &watch, &diag);
    assert_int_equal(fate, LEASE_GOES_ON);
    assert_int_equal(lease_build(lease, &shop, &watch, &diag), LEASE_ABANDONED);
    CLEANUP_FREE char *dir = mem_string(lease->dir);
    lease_free(lease, &shop);
    assert_int_equal(faccessat(state_fd, dir, F_OK, 0), -1);
}

/* What a killed worker left goes; what it had unpacked stays and is used. */
static void reopened(void **state)
{
    (void)state;
    struct diag diag = DIAG_INIT;
    uint64_t bytes = roots_bytes(shop.roots);
    struct digest key = key_of("extra/hello", NULL, 0); /* from a tree that is not there after the start */
    assert_true(bytes > 0);
    must(file_make_dirs(state_fd, STATEDIR_BUILDS "/dead/root", 0700, &diag), &diag);
    must(file_make_dirs(state_fd, STATEDIR_ROOTS "/new.tmp-1/root", 0700, &diag), &diag);
    must(file_make_dirs(state_fd, STATEDIR_ROOTS "/base-unfinished/root", 0700, &diag), &diag);
    must(file_make_dirs(state_fd, STATEDIR_TREES "/of-long-ago/packages", 0700, &diag), &diag);
    workshop_close(&shop);
    must(workshop_open(state_fd, &shop, &diag), &diag);
    assert_int_equal(faccessat(state_fd, STATEDIR_TREES "/of-long-ago", F_OK, 0), -1);
    assert_int_equal(faccessat(state_fd, STATEDIR_BUILDS "/dead", F_OK, 0), -1);
    assert_int_equal(faccessat(state_fd, STATEDIR_ROOTS "/new.tmp-1", F_OK, 0), -1);
    assert_int_equal(faccessat(state_fd, STATEDIR_ROOTS "/base-unfinished", F_OK, 0), -1);
    assert_int_equal(roots_bytes(shop.roots), bytes);
    struct lease *lease = do_keyed("extra/hello", &key, NULL, 0);
    expect_built(lease);
    assert_int_equal(roots_bytes(shop.roots), bytes);
    lease_free(lease, &shop);
    shop.conf.cache_bytes = 2; /* of which the roots get half */
    must(workshop_tidy(&shop, INT64_MAX / 2, &diag), &diag);
    assert_int_equal(roots_bytes(shop.roots), 0);
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(k1_another_spec_is_refused),
        cmocka_unit_test(k8_unlisted_trees_are_given_back),
        cmocka_unit_test(k8_unlisted_hosts_are_given_back),
        cmocka_unit_test(k7_unlisted_bases_are_given_back),
        cmocka_unit_test(k8_a_verified_tree_comes_from_its_url),
        cmocka_unit_test(k8_another_tree_under_a_trusted_name_is_refused),
        cmocka_unit_test(k8_private_addresses_are_given_back),
        cmocka_unit_test(k1_another_tree_in_the_pack_is_refused),
        cmocka_unit_test(k1_a_tree_is_loaded_once),
        cmocka_unit_test(k1_a_tree_changed_on_disk_is_made_anew),
        cmocka_unit_test(over_the_limits),
        cmocka_unit_test(builds),
        cmocka_unit_test(failures),
        cmocka_unit_test(payload_over_a_link),
        cmocka_unit_test(superseded),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(reopened),
    };
    return cmocka_run_group_tests_name("lease", tests, set_up, tear_down);
}

/* The tests drop root for good, so a child runs them, and who was root cleans up. */
int main(void)
{
    int status = 0;
    strcpy(top, "/var/tmp/farm-lease-XXXXXX"); /* not /tmp: it may be a small tmpfs */
    strcpy(upstream, "/var/tmp/farm-upstream-XXXXXX");
    if (mkdtemp(top) == NULL || mkdtemp(upstream) == NULL)
        return 1;
    pid_t child = fork();
    if (child == 0)
        exit(run());
    if (child < 0 || waitpid(child, &status, 0) < 0 || file_remove_tree(AT_FDCWD, top, NULL) < 0 ||
        file_remove_tree(AT_FDCWD, upstream, NULL) < 0)
        return 1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
