/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The coordinator's trust: succession of roots (S9, S5), the chain that is kept and believed (D5), and entries that end a worker's work or
 * say that its keys are compromised (W11).
 */
#include "farm_rig.h"
#include "file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define YEAR_MS ((int64_t)365 * 86400 * 1000)

/* ann, ben and cid hold version 1; dan, eve and fay would like to. */
struct trust_case {
    struct rig *rig;
    struct key_pair *heirs[FIXTURE_PEOPLE];
};

static const char *const heirs[FIXTURE_PEOPLE] = {"dan", "eve", "fay"};

static int setup(void **state)
{
    struct trust_case *self = mem_zero(1, sizeof *self);
    self->rig = rig_new();
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        self->heirs[i] = keys_generate();
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    struct trust_case *self = *state;
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        keys_free(self->heirs[i]);
    rig_free(self->rig);
    free(self);
    return 0;
}

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

static void expect(int result, const struct diag *diag, int wanted, const char *words)
{
    if (result != wanted || strstr(diag->text, words) == NULL)
        fail_msg("%d \"%s\" instead of %d \"%s\"", result, diag->text, wanted, words);
}

/* --- roots --- */

static void close_link(struct trust_link *link, const struct root *root)
{
    struct diag diag = DIAG_INIT;
    root_write(root, &link->text);
    must(root_parse(buf_view(&link->text), "root.json", &link->root, &diag), &diag);
    link->signatures = mem_zero(ROOT_SIGNATURES_MAX, sizeof *link->signatures);
}

static void sign_link(struct trust_link *link, struct key_pair *const *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        link->signatures[link->nsignatures++] =
            farm_fixture_sign(pairs[i], SSHSIG_NAMESPACE_ROOT, buf_view(&link->text));
}

/* Version 'version', like the first; the heirs hold the root from version 2 on. */
static struct trust_link make_link(const struct trust_case *self, int64_t version)
{
    struct root *root = self->rig->keys->root;
    struct root next = *root;
    struct role_key keys[FIXTURE_PEOPLE];
    struct trust_link link = {.text = BUF_INIT};
    next.version = version;
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        keys[i] = (struct role_key){(char *)heirs[i], ssh_public_key_of(self->heirs[i]), false};
    if (version > 1)
        next.roles[ROLE_ROOT].keys = keys;
    close_link(&link, &next);
    return link;
}

/* Signed as it must be. */
static struct trust_link good_link(const struct trust_case *self, int64_t version)
{
    struct trust_link link = make_link(self, version);
    if (version <= 2)
        sign_link(&link, self->rig->keys->people, 2);
    if (version >= 2)
        sign_link(&link, self->heirs, 2);
    return link;
}

static int install(struct rig *rig, struct trust_link *links, size_t count, struct diag *diag)
{
    int result = trust_install(rig->farm, links, count, diag);
    for (size_t i = 0; i < count; i++)
        trust_link_done(&links[i]);
    if (result >= 0)
        must(farm_flush(rig->farm, diag), diag);
    return result;
}

static void install_good(struct trust_case *self, int64_t version)
{
    struct diag diag = DIAG_INIT;
    struct trust_link link = good_link(self, version);
    int result = install(self->rig, &link, 1, &diag);
    must(result, &diag);
    assert_int_equal(result, 1);
}

struct newest {
    enum logentry_kind kind;
    int64_t version;
};

static int look_at_entry(void *context, const struct db_log_entry *row)
{
    struct newest *newest = context;
    struct logentry entry;
    assert_int_equal(logentry_parse(row->entry, &entry, NULL), 0);
    if (entry.kind == newest->kind)
        newest->version = entry.version;
    logentry_done(&entry);
    return 0;
}

/* The newest version of this kind that the log shows. */
static int64_t logged(struct rig *rig, enum logentry_kind kind)
{
    struct newest newest = {kind, 0};
    assert_true(db_each_log_entry(rig->farm->db, 0, look_at_entry, &newest, NULL) >= 0);
    return newest.version;
}

static size_t chain_signatures(struct rig *rig, int64_t version)
{
    CLEANUP(trust_link_done) struct trust_link link = {.root = NULL};
    struct diag diag = DIAG_INIT;
    must(trust_chain_read(rig->farm, version, &link, &diag), &diag);
    assert_int_equal(link.root->version, version);
    return link.nsignatures;
}

static void test_S9_roots_follow_each_other(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    struct trust_link link = make_link(self, 2);
    sign_link(&link, self->heirs, 3);
    expect(install(rig, &link, 1, &diag), &diag, FARM_E_SIGNATURE, "as the version before names it");
    link = make_link(self, 2);
    sign_link(&link, rig->keys->people, 3);
    expect(install(rig, &link, 1, &diag), &diag, FARM_E_SIGNATURE, "0 of 2");
    link = make_link(self, 3);
    sign_link(&link, rig->keys->people, 3);
    sign_link(&link, self->heirs, 3);
    expect(install(rig, &link, 1, &diag), &diag, FARM_E_REFUSED, "version 3 cannot follow version 1");
    assert_int_equal(rig->farm->root->version, 1);
    install_good(self, 2);
    assert_int_equal(rig->farm->root->version, 2);
    assert_int_equal(logged(rig, LOG_ROOT), 2);
    rig_restart(rig);
    assert_int_equal(rig->farm->root->version, 2);
    link = good_link(self, 1); /* K4: back to what was before */
    expect(install(rig, &link, 1, &diag), &diag, FARM_E_REFUSED, "version 1 cannot follow version 2");
    link = good_link(self, 2);
    assert_int_equal(install(rig, &link, 1, &diag), 0); /* the same again */
}

static void test_several_versions_at_once(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    struct trust_link gap[] = {good_link(self, 1), good_link(self, 3)};
    expect(install(rig, gap, 2, &diag), &diag, FARM_E_REFUSED, "version 3 cannot follow version 1");
    struct trust_link links[] = {good_link(self, 1), good_link(self, 2), good_link(self, 3)};
    must(install(rig, links, 3, &diag), &diag);
    assert_int_equal(rig->farm->root->version, 3);
    for (int64_t version = 1; version <= 3; version++)
        assert_true(chain_signatures(rig, version) >= 2);
    rig_restart(rig);
    assert_int_equal(rig->farm->root->version, 3);
}

/* Who may see the chain must fit it into one message. */
static void test_signatures_that_do_not_count_are_not_kept(void **state)
{
    struct trust_case *self = *state;
    struct diag diag = DIAG_INIT;
    struct trust_link link = good_link(self, 2);
    sign_link(&link, self->rig->keys->operators, FIXTURE_OPERATORS);
    link.signatures[link.nsignatures++] = mem_string("no signature");
    must(install(self->rig, &link, 1, &diag), &diag);
    assert_int_equal(chain_signatures(self->rig, 2), 4);
}

static void test_S5_an_expired_root_is_not_installed(void **state)
{
    struct trust_case *self = *state;
    struct diag diag = DIAG_INIT;
    self->rig->keys->root->expires_ms = FIXTURE_NOW - 30 * YEAR_MS;
    struct trust_link link = good_link(self, 2);
    expect(install(self->rig, &link, 1, &diag), &diag, FARM_E_STALE, "expired");
}

static void test_a_root_with_another_log_is_not_installed(void **state)
{
    struct trust_case *self = *state;
    struct root_log *log = &self->rig->keys->root->log;
    const struct root_log before = *log;
    struct diag diag = DIAG_INIT;
    log->previous = (struct checkpoint){.size = 1, .root = digest_of(VIEW("x"))};
    memcpy(log->previous.origin, before.key.name, sizeof before.key.name);
    snprintf(log->key.name, sizeof log->key.name, "somebody/else");
    struct trust_link link = good_link(self, 2);
    *log = before;
    expect(install(self->rig, &link, 1, &diag), &diag, FARM_E_CONFIG, "this coordinator's is");
}

/* --- the chain on the disk --- */

static void expect_no_start(struct rig *rig, int wanted, const char *words)
{
    struct diag diag = DIAG_INIT;
    expect(rig_start(rig, &diag), &diag, wanted, words);
}

static void copy_file(const struct rig *rig, const char *from, const char *to)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    assert_int_equal(file_read(rig->dirfd, from, 1 << 20, &text, NULL), 0);
    assert_int_equal(file_write(rig->dirfd, to, buf_view(&text), 0600, NULL), 0);
}

/* Whoever can write the state directory can sign a root with keys of their own, but not follow with it. */
static void test_D5_a_root_of_somebody_else_does_not_start(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    CLEANUP_BUF struct buf sigs = BUF_INIT;
    install_good(self, 2);
    rig_stop(rig);
    self->rig->keys->root->unverified = mem_zero(1, sizeof(char *));
    self->rig->keys->root->unverified[self->rig->keys->root->nunverified++] = mem_string("zlib");
    struct trust_link link = good_link(self, 2);
    CLEANUP_JSON json_t *array = json_array();
    for (size_t i = 0; i < link.nsignatures; i++)
        json_array_append_new(array, json_string(link.signatures[i]));
    json_write(array, &sigs);
    assert_int_equal(file_write(rig->dirfd, "root.json", buf_view(&link.text), 0644, NULL), 0);
    assert_int_equal(file_write(rig->dirfd, "root.json.sigs", buf_view(&sigs), 0600, NULL), 0);
    trust_link_done(&link);
    expect_no_start(rig, FARM_E_CORRUPT, "another root than root.json");
    assert_int_equal(unlinkat(rig->dirfd, "roots/2.json", 0), 0);
    expect_no_start(rig, FARM_E_CORRUPT, "root.json: version 2 is not the one that the log shows");
}

static void test_D5_a_chain_that_does_not_hold_does_not_start(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    install_good(self, 2);
    install_good(self, 3);
    rig_stop(rig);
    copy_file(rig, "roots/2.json", "kept");
    copy_file(rig, "roots/1.json", "roots/2.json");
    expect_no_start(rig, FARM_E_CORRUPT, "holds version 1");
    assert_int_equal(
        file_write(rig->dirfd, "roots/2.json", VIEW("{\"root\":\"\",\"signatures\":[]}"), 0600, NULL), 0);
    expect_no_start(rig, FARM_E_CORRUPT, "roots/");
    copy_file(rig, "kept", "roots/2.json");
    rig_restart(rig);
}

/* As version 1 of this program left it: root.json alone. */
static void test_a_farm_without_a_chain_is_taken_over(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    rig_stop(rig);
    assert_int_equal(file_remove_tree(rig->dirfd, "roots", NULL), 0);
    rig_restart(rig);
    assert_int_equal(chain_signatures(rig, 1), 3);
    install_good(self, 2);
    rig_stop(rig);
    assert_int_equal(unlinkat(rig->dirfd, "roots/1.json", 0), 0);
    rig_restart(rig); /* it was at version 2 when there was no chain yet: version 1 has to be brought */
    struct trust_link links[] = {good_link(self, 1), good_link(self, 2)};
    struct diag diag = DIAG_INIT;
    assert_int_equal(install(rig, links, 2, &diag), 0);
    assert_int_equal(chain_signatures(rig, 1), 2);
}

/* A crash after the chain was written, and before root.json was: the next installation goes over it. */
static void test_a_half_done_installation_is_done_again(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    self->rig->keys->root->expires_ms -= 86400 * 1000;
    struct trust_link left = good_link(self, 2);
    must(trust_chain_add(rig->farm, left.root, buf_view(&left.text), NULL, 0, &diag), &diag);
    trust_link_done(&left);
    self->rig->keys->root->expires_ms += 86400 * 1000;
    rig_restart(rig);
    install_good(self, 2);
    assert_int_equal(chain_signatures(rig, 2), 4);
    rig_restart(rig);
}

/* --- what a root makes of the workers --- */

static void test_who_the_new_root_does_not_admit(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct role *enrolment = &rig->keys->root->roles[ROLE_ENROLMENT];
    const struct role_key before = enrolment->keys[0];
    CLEANUP_KEYS struct key_pair *stranger = keys_generate();
    struct diag diag = DIAG_INIT;
    enrolment->keys[0].key = ssh_public_key_of(stranger); /* somebody else enrols now */
    struct trust_link link = good_link(self, 2);
    enrolment->keys[0] = before;
    int64_t version = rig->farm->directory->version;
    must(install(rig, &link, 1, &diag), &diag);
    assert_int_equal(rig->farm->directory->nentries, 0);
    assert_int_equal(rig->farm->directory->version, version + 1);
    assert_int_equal(logged(rig, LOG_DIRECTORY), version + 1);
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(rig->keys, RIG_ALPHA);
    entry.expires_ms = moment_wall_ms() / 1000 * 1000 + YEAR_MS / 2;
    farm_fixture_sign_entry(&entry, rig->keys->operators[RIG_ALPHA]);
    farm_fixture_sign_entry(&entry, rig->keys->enrolment);
    expect(admission_admit(rig->farm, &entry, &diag), &diag, FARM_E_SIGNATURE, "enrolment");
    farm_fixture_sign_entry(&entry, stranger);
    must(admission_admit(rig->farm, &entry, &diag), &diag);
    assert_int_equal(rig->farm->directory->nentries, 1);
    rig_restart(rig);
    assert_int_equal(rig->farm->directory->nentries, 1);
}

/* --- entries --- */

static int change_entry(struct rig *rig, int64_t expires_ms, int64_t compromised_from, struct diag *diag)
{
    const struct directory_entry *known = directory_find(rig->farm->directory, fixture_workers[RIG_GAMMA]);
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(rig->keys, RIG_GAMMA);
    entry.admitted_ms = known->admitted_ms;
    entry.expires_ms = expires_ms != 0 ? expires_ms : known->expires_ms;
    entry.compromised_from = compromised_from;
    farm_fixture_sign_entry(&entry, rig->keys->operators[RIG_GAMMA]);
    farm_fixture_sign_entry(&entry, rig->keys->enrolment);
    return admission_admit(rig->farm, &entry, diag);
}

static bool is_online(struct rig *rig, const char *worker)
{
    return link_gate_knows(rig->farm->gate, directory_find(rig->farm->directory, worker)->curve, worker);
}

static void test_W11_a_compromised_worker_is_silenced_for_good(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    const char *gamma = fixture_workers[RIG_GAMMA];
    int64_t version = rig->farm->directory->version, size = (int64_t)journal_size(rig->farm);
    size_t at = (size_t)(directory_find(rig->farm->directory, gamma) - rig->farm->directory->entries);
    rig_hello(rig, RIG_GAMMA);
    assert_true(is_online(rig, gamma));
    expect(change_entry(rig, 0, size + 1, &diag), &diag, FARM_E_REFUSED, "nobody has seen position");
    assert_true(is_online(rig, gamma));
    must(change_entry(rig, 0, 3, &diag), &diag);
    assert_false(is_online(rig, gamma));
    assert_int_equal(rig->farm->directory->version, version + 1);
    assert_ptr_equal(directory_find(rig->farm->directory, gamma), &rig->farm->directory->entries[at]);
    expect(change_entry(rig, 0, -1, &diag), &diag, FARM_E_REFUSED,
           "stays so"); /* the entry of before, shown again */
    expect(change_entry(rig, 0, 4, &diag), &diag, FARM_E_REFUSED, "stays so");
    must(change_entry(rig, 0, 2, &diag), &diag); /* it was earlier than thought */
    rig_turn(rig);
    rig_restart(rig);
    assert_false(is_online(rig, gamma));
    assert_int_equal(directory_find(rig->farm->directory, gamma)->compromised_from, 2);
}

/* A root drops everybody, and a later one would admit them again by the entries of before. */
static void test_W11_a_compromised_worker_does_not_come_back_as_if_nothing_had_been(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    const char *gamma = fixture_workers[RIG_GAMMA];
    const struct directory_entry *known = directory_find(rig->farm->directory, gamma);
    CLEANUP(directory_entry_done) struct directory_entry before = farm_fixture_entry(rig->keys, RIG_GAMMA);
    before.admitted_ms = known->admitted_ms;
    before.expires_ms = known->expires_ms;
    farm_fixture_sign_entry(&before, rig->keys->operators[RIG_GAMMA]);
    farm_fixture_sign_entry(&before, rig->keys->enrolment);
    must(change_entry(rig, 0, 2, &diag), &diag);
    trust_remove_entry(rig->farm->directory, gamma);
    must(trust_publish_directory(rig->farm, &diag), &diag);
    rig_turn(rig);
    expect(admission_admit(rig->farm, &before, &diag), &diag, FARM_E_REFUSED,
           "the log shows that the answers of gamma-1 count no longer from position 2 on");
    rig_restart(rig);
    expect(admission_admit(rig->farm, &before, &diag), &diag, FARM_E_REFUSED,
           "count no longer from position 2");
    /* Nor by whoever can write the directory's file. */
    must(directory_add(rig->farm->directory, &before, &diag), &diag);
    must(trust_publish_directory(rig->farm, &diag), &diag);
    rig_stop(rig);
    expect(rig_start(rig, &diag), &diag, FARM_E_STALE, "restore the newer one");
}

static void test_W11_an_entry_ends_when_its_owner_says_so(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    const char *gamma = fixture_workers[RIG_GAMMA];
    rig_hello(rig, RIG_GAMMA);
    must(change_entry(rig, moment_wall_ms() / 1000 * 1000, -1, &diag), &diag);
    assert_false(is_online(rig, gamma));
    rig_restart(rig);
    assert_false(is_online(rig, gamma));
    must(change_entry(rig, moment_wall_ms() / 1000 * 1000 + YEAR_MS / 4, -1, &diag),
         &diag); /* and goes on again */
    assert_true(is_online(rig, gamma));
}

/* Workers take no leases under a directory that is expired, and nobody may have drafted a release or admitted anybody for months. */
static void test_a_directory_is_published_again_in_time(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct directory *directory = rig->farm->directory;
    int64_t version = directory->version;
    rig->farm->expiry_due_ms = 0;
    sessions_expire(rig->farm);
    assert_int_equal(directory->version, version);
    directory->expires_ms = moment_wall_ms() + YEAR_MS / 365 * 44;
    rig->farm->expiry_due_ms = 0;
    sessions_expire(rig->farm);
    assert_int_equal(directory->version, version + 1);
    assert_true(directory->expires_ms > moment_wall_ms() + YEAR_MS / 365 * 89);
    rig_turn(rig);
    assert_int_equal(logged(rig, LOG_DIRECTORY), version + 1);
}

/* Nobody is admitted to be ended at once. */
static void test_a_new_worker_needs_an_entry_that_holds(void **state)
{
    struct trust_case *self = *state;
    struct rig *rig = self->rig;
    struct diag diag = DIAG_INIT;
    struct identity *fresh = identity_generate("gamma-2", true);
    CLEANUP(directory_entry_done) struct directory_entry entry = farm_fixture_entry(rig->keys, RIG_GAMMA);
    free(entry.worker);
    entry.worker = mem_string("gamma-2");
    entry.ed25519 = *keys_public(identity_keys(fresh));
    memcpy(entry.curve, identity_curve_public(fresh), DIRECTORY_CURVE_SIZE);
    entry.expires_ms = moment_wall_ms() - 1000;
    expect(admission_admit(rig->farm, &entry, &diag), &diag, FARM_E_STALE, "expired");
    entry.expires_ms = moment_wall_ms() / 1000 * 1000 + YEAR_MS / 2;
    entry.compromised_from = 0;
    expect(admission_admit(rig->farm, &entry, &diag), &diag, FARM_E_REFUSED, "not admitted");
    identity_free(fresh);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_S9_roots_follow_each_other),
        CASE(test_several_versions_at_once),
        CASE(test_signatures_that_do_not_count_are_not_kept),
        CASE(test_S5_an_expired_root_is_not_installed),
        CASE(test_a_root_with_another_log_is_not_installed),
        CASE(test_D5_a_root_of_somebody_else_does_not_start),
        CASE(test_D5_a_chain_that_does_not_hold_does_not_start),
        CASE(test_a_farm_without_a_chain_is_taken_over),
        CASE(test_a_half_done_installation_is_done_again),
        CASE(test_who_the_new_root_does_not_admit),
        CASE(test_W11_a_compromised_worker_is_silenced_for_good),
        CASE(test_W11_a_compromised_worker_does_not_come_back_as_if_nothing_had_been),
        CASE(test_W11_an_entry_ends_when_its_owner_says_so),
        CASE(test_a_directory_is_published_again_in_time),
        CASE(test_a_new_worker_needs_an_entry_that_holds),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
