/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What a worker makes of the trust root and the worker directory that it is shown: K4, K7, C2, S5, S9. */
#include "guard.h"

#include "../signing/farm_fixture.h"
#include "file.h"
#include "statedir.h"
#include "trust.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define DAY_MS ((int64_t)86400000)

static char path[64];
static int fd = -1;
static struct farm_fixture *farm;
static struct trust *trust;
static struct trust_self self;
static struct trust_finding finding;
static struct buf first; /* root.json, version 1 */

/* A root as it is shown: text and signatures by ann and ben. */
struct shown {
    struct buf text;
    char *signatures[FIXTURE_PEOPLE];
    struct view views[FIXTURE_PEOPLE];
    size_t count;
};

static struct shown show_root(void)
{
    struct shown shown = {.text = BUF_INIT};
    root_write(farm->root, &shown.text);
    for (; shown.count < 2; shown.count++) {
        shown.signatures[shown.count] =
            farm_fixture_sign(farm->people[shown.count], SSHSIG_NAMESPACE_ROOT, buf_view(&shown.text));
        shown.views[shown.count] = view_text(shown.signatures[shown.count]);
    }
    return shown;
}

static void shown_done(struct shown *shown)
{
    buf_done(&shown->text);
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        free(shown->signatures[i]);
}

static void open_trust(void)
{
    struct diag diag = DIAG_INIT;
    trust = trust_close(trust);
    if (trust_open(fd, &self, &trust, &diag) < 0)
        fail_msg("%s", diag.text);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(path, "/tmp/farm-trust-XXXXXX");
    if (mkdtemp(path) == NULL)
        return -1;
    fd = file_open_dir(AT_FDCWD, path, NULL);
    farm = farm_fixture_new();
    first = (struct buf)BUF_INIT;
    root_write(farm->root, &first);
    self = (struct trust_self){.worker = "alpha-1",
                               .operator_name = "alpha",
                               .ed25519 = *keys_public(identity_keys(farm->workers[0])),
                               .curve = identity_curve_public(farm->workers[0]),
                               .pinned = digest_of(buf_view(&first))};
    finding = (struct trust_finding)TRUST_FINDING_INIT;
    open_trust();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    trust = trust_close(trust);
    trust_finding_done(&finding);
    farm_fixture_free(farm);
    buf_done(&first);
    mem_close_p(&fd);
    return file_remove_tree(AT_FDCWD, path, NULL);
}

static void fresh_finding(void)
{
    trust_finding_done(&finding);
    finding = (struct trust_finding)TRUST_FINDING_INIT;
}

static struct digest directory_digest(void)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    directory_write(farm->directory, &text);
    return digest_of(buf_view(&text));
}

/* What the coordinator says when it is asked; 'shown' NULL: no root with it. */
static enum trust_move answer_at(uint64_t newest, uint64_t version, const struct shown *shown, int64_t now_ms)
{
    struct trust_answer answer = {.newest = newest,
                                  .version = version,
                                  .directory_version = (uint64_t)farm->directory->version,
                                  .directory = directory_digest()};
    if (shown != NULL) {
        answer.root = buf_view(&shown->text);
        answer.signatures = shown->views;
        answer.nsignatures = shown->count;
    }
    fresh_finding();
    trust_on_answer(trust, &answer, now_ms, &finding);
    return finding.move;
}

static enum trust_move answer(uint64_t newest, uint64_t version, const struct shown *shown)
{
    return answer_at(newest, version, shown, FIXTURE_NOW);
}

/* The errand: the directory as it stands, read and given to the rules. */
static int bring_directory(void)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct trust_listing listing;
    struct diag diag = DIAG_INIT;
    directory_write(farm->directory, &text);
    int error = trust_read_directory(buf_view(&text), trust_root(trust), &self, &listing, &diag);
    fresh_finding();
    if (error >= 0)
        trust_on_listing(trust, &listing, FIXTURE_NOW, &finding);
    return error;
}

/* A version more, as the coordinator publishes it. */
static void publish(void)
{
    farm->directory->previous = directory_digest();
    farm->directory->version++;
}

static void settle(void)
{
    struct shown shown = show_root();
    assert_int_equal(answer(1, 1, &shown), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    assert_int_equal(finding.move, TRUST_SETTLED);
    assert_int_equal(answer(1, 0, NULL), TRUST_SETTLED);
    shown_done(&shown);
}

static void expect_alarm(enum alarm_kind kind, const char *seen)
{
    assert_int_equal(finding.move, TRUST_ALARM);
    assert_string_equal(alarm_kind_name(finding.alarm.kind), alarm_kind_name(kind));
    if (strstr(finding.alarm.seen, seen) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", finding.alarm.seen, seen);
}

static void expect_refusal(const char *text)
{
    assert_int_equal(finding.move, TRUST_REFUSED);
    if (strstr(finding.why.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", finding.why.text, text);
}

/* May it take leases at this time? Otherwise the error, and its words have to say this. */
static void expect_work(int64_t now_ms, int error, const char *text)
{
    struct diag diag = DIAG_INIT;
    assert_int_equal(trust_may_work(trust, now_ms, &diag), error);
    if (error < 0 && strstr(diag.text, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", diag.text, text);
}

/* ---- from the pin to the newest ---- */

static void the_pinned_root_is_fetched(void **state)
{
    (void)state;
    struct digest base = digest_of(VIEW("base")), other = digest_of(VIEW("x"));
    assert_int_equal(trust_asks(trust), 0);
    expect_work(FIXTURE_NOW, FARM_E_STATE, "was not shown yet");
    assert_int_equal(trust_check_base(trust, &base, NULL),
                     FARM_E_REFUSED); /* K7: nothing is allowed before */
    settle();
    assert_int_equal(trust_asks(trust), 1);
    expect_work(FIXTURE_NOW, 0, "");
    assert_int_equal(trust_check_base(trust, &base, NULL), 0);
    assert_int_equal(trust_check_base(trust, &other, NULL), FARM_E_REFUSED);
}

/* The farm is at version 3 and the join string pinned version 2: version 1 is passed, version 3 followed. */
static void the_chain_is_followed_from_the_pin(void **state)
{
    (void)state;
    struct shown one = show_root();
    farm->root->version = 2;
    struct shown two = show_root();
    farm->root->version = 3;
    farm->root->bases[0] = digest_of(VIEW("another base"));
    struct shown three = show_root();
    struct digest old = digest_of(VIEW("base"));
    self.pinned = digest_of(buf_view(&two.text));
    open_trust();
    assert_int_equal(answer(3, 1, &one), TRUST_ASK);
    assert_null(trust_root(trust));
    assert_int_equal(trust_asks(trust), 1);
    assert_int_equal(answer(3, 2, &two), TRUST_ASK);
    assert_true(finding.root_changed);
    assert_int_equal(trust_check_base(trust, &old, NULL), 0);
    assert_int_equal(trust_asks(trust), 2);
    assert_int_equal(answer(3, 3, &three), TRUST_FETCH);
    assert_int_equal(trust_root(trust)->version, 3);
    assert_int_equal(trust_check_base(trust, &old, NULL), FARM_E_REFUSED); /* the newest decides */
    shown_done(&one);
    shown_done(&two);
    shown_done(&three);
}

/* A coordinator that was set up late has no version 1. */
static void a_chain_may_begin_later(void **state)
{
    (void)state;
    farm->root->version = 4;
    struct shown four = show_root();
    farm->root->version = 5;
    struct shown five = show_root();
    self.pinned = digest_of(buf_view(&five.text));
    open_trust();
    assert_int_equal(answer(5, 4, &four), TRUST_ASK);
    assert_int_equal(trust_asks(trust), 4);
    assert_int_equal(answer(5, 5, &five), TRUST_FETCH);
    assert_int_equal(trust_root(trust)->version, 5);
    shown_done(&four);
    shown_done(&five);
}

static void another_farms_root_is_refused(void **state)
{
    (void)state;
    farm->root->expires_ms += 1000;
    struct shown other = show_root();
    assert_int_equal(answer(1, 1, &other), TRUST_ASK);
    assert_int_equal(answer(1, 0, NULL), TRUST_REFUSED);
    expect_refusal("none that it showed has the digest");
    assert_int_equal(trust_asks(trust), 0); /* from the beginning, next time */
    assert_int_equal(answer(0, 0, NULL), TRUST_REFUSED);
    expect_refusal("no trust root");
    assert_null(trust_root(trust));
    shown_done(&other);
}

/* Nothing is pinned: as before there were roots. */
static void without_a_pin_nothing_is_asked(void **state)
{
    (void)state;
    struct digest base = digest_of(VIEW("any"));
    self.pinned = (struct digest){{0}};
    open_trust();
    assert_false(trust_is_pinned(trust));
    expect_work(FIXTURE_NOW, 0, "");
    assert_int_equal(trust_check_base(trust, &base, NULL), 0);
    struct shown shown = show_root();
    assert_int_equal(answer(1, 1, &shown), TRUST_SETTLED);
    assert_null(trust_root(trust));
    shown_done(&shown);
}

static void the_owners_root_has_to_be_the_pinned_one(void **state)
{
    (void)state;
    struct trust *given = NULL;
    assert_int_equal(file_write(fd, STATEDIR_ROOT, buf_view(&first), 0600, NULL), 0);
    open_trust();
    assert_int_equal(trust_root(trust)->version, 1);
    assert_int_equal(trust_asks(trust), 1);
    self.pinned = digest_of(VIEW("x"));
    assert_int_equal(trust_open(fd, &self, &given, NULL), FARM_E_DIGEST);
}

/* ---- roots that may not follow ---- */

static void S9_a_root_that_skips_or_is_signed_by_too_few(void **state)
{
    (void)state;
    settle();
    farm->root->version = 3;
    struct shown skips = show_root();
    assert_int_equal(answer(3, 3, &skips), TRUST_REFUSED);
    farm->root->version = 2;
    struct shown next = show_root();
    next.count = 1;
    assert_int_equal(answer(2, 2, &next), TRUST_REFUSED);
    expect_refusal("cannot follow version 1");
    next.count = 2;
    assert_int_equal(answer(2, 3, &next), TRUST_REFUSED);
    expect_refusal("calls version 2 of the trust root version 3");
    assert_int_equal(answer(2, 0, NULL), TRUST_REFUSED);
    expect_refusal("does not show version 2");
    next.text.data[20] ^= 1;
    assert_int_equal(answer(2, 2, &next), TRUST_REFUSED);
    next.text.data[20] ^= 1;
    assert_int_equal(trust_root(trust)->version, 1);
    assert_int_equal(answer(2, 2, &next), TRUST_FETCH);
    assert_int_equal(trust_root(trust)->version, 2);
    shown_done(&skips);
    shown_done(&next);
}

static void K4_an_older_root(void **state)
{
    (void)state;
    settle();
    farm->root->version = 2;
    struct shown next = show_root();
    answer(2, 2, &next);
    answer(1, 0, NULL);
    expect_alarm(ALARM_ROOT, "says that version 1 is the newest");
    answer(0, 0, NULL);
    expect_alarm(ALARM_ROOT, "says that version 0 is the newest");
    shown_done(&next);
}

/* Two roots of one version, both signed: whoever holds the keys tells two stories. An unsigned one is anybody's. */
static void K4_two_roots_of_one_version(void **state)
{
    (void)state;
    settle();
    farm->root->bases[0] = digest_of(VIEW("another base"));
    struct shown twin = show_root();
    assert_int_equal(answer(1, 1, &twin), TRUST_ALARM);
    expect_alarm(ALARM_ROOT, "both are signed");
    twin.count = 1;
    assert_int_equal(answer(1, 1, &twin), TRUST_REFUSED);
    expect_refusal("another trust root of version 1");
    shown_done(&twin);
}

static void S5_an_expired_root_takes_no_leases(void **state)
{
    (void)state;
    farm->root->version = 2;
    farm->root->expires_ms = FIXTURE_NOW + 10 * DAY_MS;
    struct shown next = show_root();
    farm->root->version = 1;
    farm->root->expires_ms = FIXTURE_EXPIRES;
    settle();
    assert_int_equal(answer(2, 2, &next), TRUST_FETCH);
    farm->root->version = 2;
    assert_int_equal(bring_directory(), 0);
    expect_work(FIXTURE_NOW, 0, "");
    expect_work(FIXTURE_NOW + 11 * DAY_MS, FARM_E_STALE, "the trust root expired");
    shown_done(&next);
}

/* The highest time that was seen counts, also after a restart. */
static void C2_a_clock_that_is_set_back(void **state)
{
    (void)state;
    settle();
    assert_int_equal(answer_at(1, 0, NULL, FIXTURE_EXPIRES + DAY_MS), TRUST_SETTLED);
    assert_true(finding.changed);
    expect_work(FIXTURE_NOW, FARM_E_STALE, "clock was at");
    assert_int_equal(trust_save(trust, fd, NULL), 0);
    open_trust();
    expect_work(FIXTURE_NOW, FARM_E_STALE, "clock was at");
}

/* ---- directories ---- */

static void directories_go_forward(void **state)
{
    (void)state;
    settle();
    publish();
    assert_int_equal(answer(1, 0, NULL), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    assert_int_equal(finding.move, TRUST_SETTLED);
    publish();
    publish(); /* one that this worker never saw lies in between */
    assert_int_equal(answer(1, 0, NULL), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    assert_int_equal(finding.move, TRUST_SETTLED);
    expect_work(FIXTURE_NOW, 0, "");
}

static void K4_an_older_directory(void **state)
{
    (void)state;
    publish();
    settle();
    farm->directory->version = 1;
    farm->directory->previous = (struct digest){{0}};
    answer(1, 0, NULL);
    expect_alarm(ALARM_DIRECTORY, "an older one");
    assert_int_equal(bring_directory(), 0); /* the number was a lie, and the content says so */
    expect_alarm(ALARM_DIRECTORY, "an older one");
}

static void K4_another_directory_of_the_same_version(void **state)
{
    (void)state;
    settle();
    farm->directory->expires_ms += 1000;
    answer(1, 0, NULL);
    expect_alarm(ALARM_DIRECTORY, "the same version with other content");
}

static void K4_a_directory_that_does_not_follow(void **state)
{
    (void)state;
    settle();
    publish();
    farm->directory->previous = digest_of(VIEW("another past"));
    assert_int_equal(answer(1, 0, NULL), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    expect_alarm(ALARM_DIRECTORY, "it says that it follows");
}

static void an_expired_directory_takes_no_leases(void **state)
{
    (void)state;
    farm->directory->expires_ms = FIXTURE_NOW + DAY_MS;
    settle();
    expect_work(FIXTURE_NOW, 0, "");
    expect_work(FIXTURE_NOW + 2 * DAY_MS, FARM_E_STALE, "the worker directory expired");
}

/* Removed from the directory: no alarm, it is the farm's right; but no leases, and it says why. */
static void a_directory_without_this_worker(void **state)
{
    (void)state;
    settle();
    publish();
    directory_entry_done(&farm->directory->entries[0]);
    farm->directory->nentries--;
    memmove(&farm->directory->entries[0], &farm->directory->entries[1],
            farm->directory->nentries * sizeof *farm->directory->entries);
    assert_int_equal(answer(1, 0, NULL), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    assert_int_equal(finding.move, TRUST_SETTLED);
    expect_work(FIXTURE_NOW, FARM_E_REFUSED, "does not list alpha-1");
}

static void change_entry(int64_t expires_ms, int64_t compromised_from, const unsigned char *curve)
{
    struct directory_entry *entry = &farm->directory->entries[0];
    for (size_t i = 0; i < entry->nsignatures; i++)
        free(entry->signatures[i]);
    entry->nsignatures = 0;
    entry->expires_ms = expires_ms;
    entry->compromised_from = compromised_from;
    if (curve != NULL)
        memcpy(entry->curve, curve, DIRECTORY_CURVE_SIZE);
    farm_fixture_sign_entry(entry, farm->operators[0]);
    farm_fixture_sign_entry(entry, farm->enrolment);
}

static void an_entry_that_ran_out_or_was_compromised(void **state)
{
    (void)state;
    change_entry(FIXTURE_NOW + DAY_MS, -1, NULL);
    settle();
    expect_work(FIXTURE_NOW, 0, "");
    expect_work(FIXTURE_NOW + 2 * DAY_MS, FARM_E_STALE, "this worker's entry");
    publish();
    change_entry(FIXTURE_EXPIRES, 40, NULL);
    assert_int_equal(bring_directory(), 0);
    expect_work(FIXTURE_NOW, FARM_E_REFUSED, "compromised from position 40");
}

static void another_worker_under_this_name(void **state)
{
    (void)state;
    unsigned char other[DIRECTORY_CURVE_SIZE] = {9};
    settle();
    publish();
    change_entry(FIXTURE_EXPIRES, -1, other);
    assert_int_equal(answer(1, 0, NULL), TRUST_FETCH);
    assert_int_equal(bring_directory(), 0);
    expect_alarm(ALARM_IDENTITY, "gives that name to others");
}

/* W11, K5: what a stolen enrolment key signs alone does not hold. */
static void a_directory_with_a_bad_signature(void **state)
{
    (void)state;
    settle();
    publish();
    struct directory_entry *entry = &farm->directory->entries[1];
    free(entry->signatures[0]); /* the operator's */
    entry->signatures[0] = entry->signatures[--entry->nsignatures];
    assert_int_equal(bring_directory(), FARM_E_REFUSED);
    expect_work(FIXTURE_NOW, 0, ""); /* what is known still holds */
}

static void a_farm_without_directory(void **state)
{
    (void)state;
    struct shown shown = show_root();
    farm->directory->version = 0;
    assert_int_equal(answer(1, 1, &shown), TRUST_REFUSED);
    expect_refusal("no worker directory");
    expect_work(FIXTURE_NOW, FARM_E_STATE, "directory is not checked");
    shown_done(&shown);
}

/* A new root looks at the directory again, and one that came meanwhile makes an errand void. */
static void a_new_root_checks_the_directory_anew(void **state)
{
    (void)state;
    struct trust_listing listing;
    CLEANUP_BUF struct buf text = BUF_INIT;
    settle();
    directory_write(farm->directory, &text);
    assert_int_equal(trust_read_directory(buf_view(&text), trust_root(trust), &self, &listing, NULL), 0);
    farm->root->version = 2;
    struct shown next = show_root();
    assert_int_equal(answer(2, 2, &next), TRUST_FETCH);
    expect_work(FIXTURE_NOW, FARM_E_STATE, "not checked yet under version 2");
    fresh_finding();
    trust_on_listing(trust, &listing, FIXTURE_NOW, &finding);
    assert_int_equal(finding.move, TRUST_ASK);
    expect_work(FIXTURE_NOW, FARM_E_STATE, "not checked yet under version 2");
    assert_int_equal(bring_directory(), 0);
    expect_work(FIXTURE_NOW, 0, "");
    shown_done(&next);
}

/* ---- the file ---- */

static void K4_what_was_seen_survives_a_restart(void **state)
{
    (void)state;
    settle();
    farm->root->version = 2;
    struct shown next = show_root();
    answer(2, 2, &next);
    publish();
    bring_directory();
    assert_int_equal(trust_save(trust, fd, NULL), 0);
    open_trust();
    assert_int_equal(trust_root(trust)->version, 2);
    expect_work(FIXTURE_NOW, 0, "");
    answer(1, 0, NULL);
    expect_alarm(ALARM_ROOT, "version 1 is the newest");
    farm->directory->version--;
    answer(2, 0, NULL);
    expect_alarm(ALARM_DIRECTORY, "an older one");
    shown_done(&next);
}

static void damaged_files_are_refused(void **state)
{
    (void)state;
    CLEANUP_BUF struct buf good = BUF_INIT;
    struct trust *back = NULL;
    settle();
    assert_int_equal(trust_save(trust, fd, NULL), 0);
    assert_int_equal(file_read(fd, STATEDIR_TRUST, TRUST_FILE_MAX, &good, NULL), 0);
    static const char *const breaks[][2] = {
        {"worker-trust/1", "worker-trust/2"},      {"\"seen\":\"2", "\"seen\":\"x2"},
        {"\"listed\":true", "\"listed\":1"},       {"\"root\":1", "\"root\":0"},
        {"\"pinned\":\"", "\"pinned\":\"00"},      {"\"directory\":", "\"directories\":"},
        {"\\\"version\\\":1", "\\\"version\\\":0"}};
    for (size_t i = 0; i < ARRAY_SIZE(breaks); i++) {
        CLEANUP_BUF struct buf bad = BUF_INIT;
        const char *at = strstr(good.data, breaks[i][0]);
        if (at == NULL)
            fail_msg("no %s in %s", breaks[i][0], good.data);
        buf_add(&bad, good.data, (size_t)(at - good.data));
        buf_add_format(&bad, "%s%s", breaks[i][1], at + strlen(breaks[i][0]));
        assert_int_equal(file_write(fd, STATEDIR_TRUST, buf_view(&bad), 0600, NULL), 0);
        if (trust_open(fd, &self, &back, NULL) >= 0)
            fail_msg("%s instead of %s was read", breaks[i][1], breaks[i][0]);
    }
    assert_int_equal(file_write(fd, STATEDIR_TRUST, buf_view(&good), 0600, NULL), 0);
    self.pinned.bytes[0] ^= 1; /* another pin than it was followed from */
    assert_int_equal(trust_open(fd, &self, &back, NULL), FARM_E_REFUSED);
}

int suite_trust(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_pinned_root_is_fetched),
        TEST(the_chain_is_followed_from_the_pin),
        TEST(a_chain_may_begin_later),
        TEST(another_farms_root_is_refused),
        TEST(without_a_pin_nothing_is_asked),
        TEST(the_owners_root_has_to_be_the_pinned_one),
        TEST(S9_a_root_that_skips_or_is_signed_by_too_few),
        TEST(K4_an_older_root),
        TEST(K4_two_roots_of_one_version),
        TEST(S5_an_expired_root_takes_no_leases),
        TEST(C2_a_clock_that_is_set_back),
        TEST(directories_go_forward),
        TEST(K4_an_older_directory),
        TEST(K4_another_directory_of_the_same_version),
        TEST(K4_a_directory_that_does_not_follow),
        TEST(an_expired_directory_takes_no_leases),
        TEST(a_directory_without_this_worker),
        TEST(an_entry_that_ran_out_or_was_compromised),
        TEST(another_worker_under_this_name),
        TEST(a_directory_with_a_bad_signature),
        TEST(a_farm_without_directory),
        TEST(a_new_root_checks_the_directory_anew),
        TEST(K4_what_was_seen_survives_a_restart),
        TEST(damaged_files_are_refused),
    };
    return cmocka_run_group_tests_name("trust", tests, NULL, NULL);
}
