/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * release draft, submit, show, export and handoff, asked for over the control socket of a coordinator in this process: what comes between
 * two steps of them, and what was changed behind the coordinator's back. Numbers are those of docs/THREATS.md. What a whole release
 * of a whole farm looks like is tests/integration/release.sh's.
 */
#include "rig_ask.h"

#include "file.h"
#include "release.h"
#include "tiledir.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_done(struct rig_reply reply)
{
    if (reply.status != 0)
        fail_msg("%s", reply.error);
    rig_reply_done(&reply);
}

static void expect_refused(struct rig_reply reply, const char *says)
{
    if (reply.status == 0 || strstr(reply.error, says) == NULL)
        fail_msg("expected \"%s\", got status %d: %s", says, reply.status, reply.error);
    rig_reply_done(&reply);
}

/* ---- a farm with something to release ---- */

static int setup(void **state)
{
    static const size_t workers[] = {RIG_ALPHA, RIG_BETA};
    struct rig *rig = rig_new();
    rig_build(rig, workers, ARRAY_SIZE(workers));
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    return 0;
}

static json_t *draft_params(const struct rig *rig, const char *name)
{
    return json_pack("{s:s, s:s, s:b, s:i}", "name", name, "plan", digest_hex(&rig->plan).text, "allow_held",
                     0, "expires_days", 30);
}

/* The bytes that managers sign. Owned. */
static char *draft(struct rig *rig, const char *name)
{
    struct rig_reply reply = rig_ask(rig, "release.draft", draft_params(rig, name));
    if (reply.status != 0)
        fail_msg("%s", reply.error);
    char *text = mem_string(json_string_value(json_object_get(reply.body, "text")));
    rig_reply_done(&reply);
    return text;
}

static struct release *parsed(const char *text)
{
    struct release *release = NULL;
    struct diag diag = DIAG_INIT;
    if (release_parse(view_text(text), RELEASE_FILE, &release, &diag) < 0)
        fail_msg("%s", diag.text);
    return release;
}

static struct rig_reply submit(struct rig *rig, const char *name, const char *text,
                               const struct key_pair *key, const char *name_space)
{
    CLEANUP_FREE char *armored = farm_fixture_sign(key, name_space, view_text(text));
    return rig_ask(rig, "release.submit", json_pack("{s:s, s:s}", "release", name, "signature", armored));
}

static void sign(struct rig *rig, const char *name, const char *text)
{
    for (size_t i = 0; i < 2; i++)
        expect_done(submit(rig, name, text, rig->keys->people[i], SSHSIG_NAMESPACE_RELEASE));
}

static json_t *export_params(const struct rig *rig, const char *name, const char *to)
{
    return json_pack("{s:s, s:s+, s:i}", "release", name, "to", rig->path, to, "wait_seconds", 0);
}

static bool exists(const struct rig *rig, const char *path)
{
    return faccessat(rig->dirfd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* How many entries of the log have this text in them. */
static int count_entry(void *context, const struct db_log_entry *row)
{
    (void)row;
    (*(int *)context)++;
    return 0;
}

static int entries_with(const struct rig *rig, const char *text)
{
    int count = 0;
    assert_true(db_each_log_entry_with(rig->farm->db, text, count_entry, &count, NULL) >= 0);
    return count;
}

/* ---- drafts ---- */

static void test_draft_covers_its_evidence(void **state)
{
    struct rig *rig = *state;
    struct checkpoint checkpoint;
    CLEANUP_FREE char *text = draft(rig, "first");
    CLEANUP_RELEASE struct release *release = parsed(text);
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    assert_true(release->has_log);
    assert_int_equal(release->log.size, checkpoint.size);
    assert_memory_equal(&release->log.root, &checkpoint.root, sizeof checkpoint.root);
    assert_int_equal(release->npackages, RIG_PACKAGES);
    for (size_t i = 0; i < RIG_PACKAGES; i++) {
        assert_int_equal(release->packages[i].noperators, 2);
        assert_string_equal(release->packages[i].operators[0], "alpha");
        assert_string_equal(release->packages[i].operators[1], "beta");
    }
    assert_int_equal(entries_with(rig, "\"kind\":\"release\""), 0);
}

/* The directory that a release names is one that its own checkpoint shows, also if it changes while the log is published. */
static void test_directory_changes_meanwhile(void **state)
{
    struct rig *rig = *state;
    struct diag diag = DIAG_INIT;
    struct rig_asking asking = rig_ask_begin(rig, "release.draft", draft_params(rig, "first"));
    for (int i = 0; i < 5 && rig->farm->journal != NULL; i++)
        rig_ctl_turn(rig); /* the verb has run, and waits for the log */
    assert_int_equal(trust_publish_directory(rig->farm, &diag), 0);
    struct rig_reply reply = rig_ask_end(&asking);
    if (reply.status != 0)
        fail_msg("%s", reply.error);
    CLEANUP_RELEASE struct release *release = parsed(json_string_value(json_object_get(reply.body, "text")));
    assert_memory_equal(&release->workers, &rig->farm->directory->digest, sizeof release->workers);
    uint64_t below = release->log.size;
    bool shown = false;
    for (uint64_t position = 0; position < below && !shown; position++) {
        CLEANUP_BUF struct buf entry = BUF_INIT;
        struct tiledir *reader = NULL;
        CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, JOURNAL_DIR, &diag);
        assert_int_equal(tiledir_reader_open(dirfd, below, &reader, &diag), 0);
        assert_int_equal(tiledir_entry(reader, position, &entry, &diag), 0);
        shown = strstr(entry.data, digest_hex(&release->workers).text) != NULL;
        tiledir_reader_free(reader);
    }
    assert_true(shown);
    rig_reply_done(&reply);
}

/* Two drafts of one name at once: one is made, the other one is told, and nothing breaks. */
static void test_two_of_a_name(void **state)
{
    struct rig *rig = *state;
    struct rig_asking first = rig_ask_begin(rig, "release.draft", draft_params(rig, "twin"));
    struct rig_asking second = rig_ask_begin(rig, "release.draft", draft_params(rig, "twin"));
    for (int i = 0; i < 5; i++)
        rig_ctl_turn(rig);
    struct rig_reply one = rig_ask_end(&first), two = rig_ask_end(&second);
    assert_true((one.status == 0) != (two.status == 0));
    assert_non_null(strstr(one.status == 0 ? two.error : one.error, "twin exists"));
    rig_reply_done(&one);
    rig_reply_done(&two);
}

static void test_bad_names(void **state)
{
    struct rig *rig = *state;
    expect_refused(rig_ask(rig, "release.draft", draft_params(rig, "../x")), "a release's name");
    expect_refused(rig_ask(rig, "release.draft", json_pack("{s:s}", "name", "x")), "plan");
    expect_refused(rig_ask(rig, "release.show", json_pack("{s:s}", "release", "nothing")), "no release");
    expect_refused(rig_ask(rig, "release.export", export_params(rig, "nothing", "/x")), "no release");
    expect_refused(
        rig_ask(rig, "handoff", json_pack("{s:s, s:s, s:s}", "release", "x", "to", "/x", "phase", "iso")),
        "--phase");
}

/* ---- signatures ---- */

static void test_S1_S3_S6_S8_S14_signatures(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    CLEANUP_FREE char *other = draft(rig, "other");
    const struct key_pair *const *people = (const struct key_pair *const *)rig->keys->people;
    expect_refused(submit(rig, "first", other, people[0], SSHSIG_NAMESPACE_RELEASE),
                   "");                                                               /* S8: other bytes */
    expect_refused(submit(rig, "first", text, people[0], SSHSIG_NAMESPACE_ROOT), ""); /* S3 */
    expect_refused(submit(rig, "first", text, rig->keys->enrolment, SSHSIG_NAMESPACE_RELEASE), "role");
    for (int i = 0; i < 2; i++) { /* S1, S14: twice by one person is once */
        struct rig_reply reply = submit(rig, "first", text, people[0], SSHSIG_NAMESPACE_RELEASE);
        assert_string_equal(json_string_value(json_object_get(reply.body, "state")), "draft");
        assert_int_equal(json_integer_value(json_object_get(reply.body, "signatures")), 1);
        rig_reply_done(&reply);
    }
    assert_int_equal(entries_with(rig, "\"kind\":\"release\""), 0);
    for (size_t i = 1; i < FIXTURE_PEOPLE; i++)
        expect_done(submit(rig, "first", text, people[i], SSHSIG_NAMESPACE_RELEASE));
    assert_int_equal(entries_with(rig, "\"kind\":\"release\",\"name\":\"first\",\"sequence\":1"), 1);
    expect_refused(submit(rig, "other", other, people[0], SSHSIG_NAMESPACE_RELEASE), "number 1"); /* S6 */
    CLEANUP_FREE char *next = draft(rig, "next");
    CLEANUP_RELEASE struct release *release = parsed(next);
    struct digest first = digest_of(view_text(text));
    assert_int_equal(release->sequence, 2); /* S6 */
    assert_memory_equal(&release->previous, &first, sizeof first);
}

/* What was signed in the same turn as its entry was logged, or neither: a crash in between leaves a draft. */
static void test_restart(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    expect_done(submit(rig, "first", text, rig->keys->people[0], SSHSIG_NAMESPACE_RELEASE));
    rig_restart(rig);
    expect_done(submit(rig, "first", text, rig->keys->people[1], SSHSIG_NAMESPACE_RELEASE));
    rig_restart(rig);
    struct rig_reply reply = rig_ask(rig, "release.show", json_pack("{s:s}", "release", "first"));
    assert_string_equal(json_string_value(json_object_get(reply.body, "state")), "signed");
    assert_int_equal(json_array_size(json_object_get(reply.body, "missing")), 1);
    rig_reply_done(&reply);
    assert_int_equal(entries_with(rig, "\"kind\":\"release\""), 1);
}

static void test_S9_another_root(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    rig->farm->root->digest.bytes[0] ^= 1; /* as if another version had been installed */
    expect_refused(submit(rig, "first", text, rig->keys->people[0], SSHSIG_NAMESPACE_RELEASE), "trust root");
    rig->farm->root->digest.bytes[0] ^= 1;
    expect_done(submit(rig, "first", text, rig->keys->people[0], SSHSIG_NAMESPACE_RELEASE));
}

/* K6, K7: what the root does not allow any more is not drafted. */
static void test_K6_K7_not_allowed(void **state)
{
    struct rig *rig = *state;
    rig->farm->root->policy.bytes[0] ^= 1;
    expect_refused(rig_ask(rig, "release.draft", draft_params(rig, "first")), "under policy");
    rig->farm->root->policy.bytes[0] ^= 1;
    rig->farm->root->bases[0].bytes[0] ^= 1;
    expect_refused(rig_ask(rig, "release.draft", draft_params(rig, "first")), "does not allow base");
    rig->farm->root->bases[0].bytes[0] ^= 1;
    free(draft(rig, "first"));
}

/* W11: what was drafted with a worker's votes is not signed once they are void, and not drafted again. */
static void test_W11_revoked_meanwhile(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    expect_done(submit(rig, "first", text, rig->keys->people[0], SSHSIG_NAMESPACE_RELEASE));
    expect_done(rig_ask(rig, "worker.revoke", json_pack("{s:s}", "worker", fixture_workers[RIG_BETA])));
    expect_refused(submit(rig, "first", text, rig->keys->people[1], SSHSIG_NAMESPACE_RELEASE),
                   "since the draft was made");
    expect_refused(rig_ask(rig, "release.draft", draft_params(rig, "second")), "a release has no gaps");
}

/* Nor if nobody waits for the plan any more, so that nobody judges its jobs. */
static void test_W11_revoked_meanwhile_and_cancelled(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    expect_done(submit(rig, "first", text, rig->keys->people[0], SSHSIG_NAMESPACE_RELEASE));
    expect_done(rig_ask(rig, "worker.revoke", json_pack("{s:s}", "worker", fixture_workers[RIG_BETA])));
    expect_done(rig_ask(rig, "cancel", json_pack("{s:s}", "plan", digest_hex(&rig->plan).text)));
    expect_refused(submit(rig, "first", text, rig->keys->people[1], SSHSIG_NAMESPACE_RELEASE),
                   "since the draft was made");
    rig_restart(rig);
    expect_refused(submit(rig, "first", text, rig->keys->people[1], SSHSIG_NAMESPACE_RELEASE),
                   "since the draft was made");
}

/* ---- exports ---- */

static void test_export(void **state)
{
    struct rig *rig = *state;
    static const char *const files[] = {"release.json",
                                        "root/1.root.json",
                                        "root/workers.json",
                                        "log/checkpoint",
                                        "keys/coordinator.pem",
                                        "keys/alpha-1.pem",
                                        "keys/beta-1.pem",
                                        "summaries/liba-1.0.vsa.jsonl",
                                        "receipts/appb-2.1.intoto.jsonl"};
    CLEANUP_FREE char *text = draft(rig, "first");
    sign(rig, "first", text);
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/export")));
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        CLEANUP_FREE char *path = mem_format("export/%s", files[i]);
        if (!exists(rig, path))
            fail_msg("no %s", path);
    }
    assert_false(exists(rig, "export/keys/gamma-1.pem")); /* nobody asked it */
    expect_refused(rig_ask(rig, "release.export", export_params(rig, "first", "/export")), "exists");
}

/* An old release stays what it was: a worker that was revoked later is still in its directory. */
static void test_export_after_revocation(void **state)
{
    struct rig *rig = *state;
    CLEANUP_BUF struct buf before = BUF_INIT, after = BUF_INIT;
    CLEANUP_FREE char *text = draft(rig, "first");
    sign(rig, "first", text);
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/before")));
    expect_done(rig_ask(rig, "worker.revoke", json_pack("{s:s}", "worker", fixture_workers[RIG_BETA])));
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/after")));
    const char *const receipt = "receipts/appb-2.1.intoto.jsonl";
    CLEANUP_FREE char *one = mem_format("before/%s", receipt), *two = mem_format("after/%s", receipt);
    assert_int_equal(file_read(rig->dirfd, one, 1 << 20, &before, NULL), 0);
    assert_int_equal(file_read(rig->dirfd, two, 1 << 20, &after, NULL), 0);
    assert_string_equal(before.data, after.data);
    rig_restart(rig); /* the core knows of no job of appb any more: what it was built with is not agreed */
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/again")));
    CLEANUP_FREE char *three = mem_format("again/%s", receipt);
    buf_clear(&after);
    assert_int_equal(file_read(rig->dirfd, three, 1 << 20, &after, NULL), 0);
    assert_string_equal(before.data, after.data);
}

/* Behind the back of a coordinator that runs. */
static void edit_rows(const struct rig *rig, const char *sql)
{
    CLEANUP_FREE char *path = mem_format("%s/farm.db", rig->path);
    sqlite3 *db = NULL;
    char *error = NULL;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    sqlite3_close(db);
}

static int find_partial(const struct rig *rig)
{
    CLEANUP_FREE char *command = mem_format("ls %s | grep -q '[.]partial-'", rig->path);
    return system(command);
}

/* D1, D2, D4: rows that were edited while the coordinator ran do not get out as if they had been signed. */
static void test_D1_D2_edited_rows(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    sign(rig, "first", text);
    edit_rows(rig, "CREATE TABLE kept AS SELECT * FROM attestation");
    edit_rows(rig, "UPDATE attestation SET payload = x'"
                   "abababababababababababababababababababababababababababababababab' WHERE position ="
                   " (SELECT min(position) FROM attestation)");
    expect_refused(rig_ask(rig, "release.export", export_params(rig, "first", "/x")),
                   "the database was changed");
    edit_rows(rig, "UPDATE attestation SET payload = (SELECT payload FROM kept WHERE kept.digest = "
                   "attestation.digest)");
    edit_rows(rig, "UPDATE attestation SET position = position + 1000000 WHERE position ="
                   " (SELECT max(position) FROM attestation)");
    expect_refused(rig_ask(rig, "release.export", export_params(rig, "first", "/x")),
                   "the database was changed");
    edit_rows(rig, "UPDATE attestation SET position = position - 1000000 WHERE position > 1000000");
    assert_false(exists(rig, "x"));
    assert_int_not_equal(find_partial(rig), 0); /* nothing of it stays */
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/x")));
}

static int grow(void *context, uint64_t position, struct view entry)
{
    struct tlog_tree *tree = context;
    struct digest leaf = tlog_leaf(entry);
    assert_int_equal(position, tree->size);
    tlog_append(tree, &leaf, NULL, NULL);
    return 0;
}

/* Entries of whole bundles and of a part of one, exactly as many as the checkpoint says, and no others. */
static void test_exported_log(void **state)
{
    struct rig *rig = *state;
    static const unsigned int more[] = {0, 200, 256, 300};
    for (size_t i = 0; i < ARRAY_SIZE(more); i++) {
        struct tlog_tree tree = {.size = 0};
        struct diag diag = DIAG_INIT;
        for (unsigned int k = 0; k < more[i]; k++)
            (void)journal_add(rig->farm,
                              &(struct logentry){.kind = LOG_PLAN, .sha256 = digest_of(VIEW("x"))});
        CLEANUP_FREE char *name = mem_format("r%zu", i), *to = mem_format("/log-%zu", i);
        CLEANUP_FREE char *text = draft(rig, name);
        (void)journal_add(rig->farm,
                          &(struct logentry){.kind = LOG_PLAN, .sha256 = digest_of(VIEW("later"))});
        expect_done(rig_ask(rig, "release.export", export_params(rig, name, to)));
        CLEANUP_FREE char *path = mem_format("%s/log", to + 1), *file = mem_format("%s/checkpoint", path);
        CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, path, &diag);
        CLEANUP_BUF struct buf note = BUF_INIT;
        struct note_key key = journal_key(rig->farm);
        struct checkpoint checkpoint;
        assert_int_equal(file_read(rig->dirfd, file, NOTE_SIZE_MAX, &note, NULL), 0);
        assert_int_equal(note_open_checkpoint(buf_view(&note), &key, &checkpoint, &diag), 0);
        CLEANUP_RELEASE struct release *release = parsed(text);
        assert_true(checkpoint.size >= release->log.size);
        assert_int_equal(tiledir_each_entry(dirfd, checkpoint.size, grow, &tree, &diag), 0);
        struct digest root = tlog_root(&tree);
        assert_memory_equal(&root, &checkpoint.root, sizeof root);
    }
}

static void make_old(const struct rig *rig, const char *path, int64_t seconds)
{
    struct timespec times[2] = {{.tv_sec = moment_wall_ms() / 1000 - seconds}};
    times[1] = times[0];
    assert_int_equal(mkdirat(rig->dirfd, path, 0755), 0);
    assert_int_equal(utimensat(rig->dirfd, path, times, 0), 0);
}

/* What exports left that were killed; and nothing that anybody still writes, or that only looks like it. */
static void test_D6_sweep(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *ours_old = mem_format("a.partial-%d-17", (int)getpid());
    CLEANUP_FREE char *ours_new = mem_format("b.partial-%d-17", (int)getpid());
    CLEANUP_FREE char *parent = mem_format("c.partial-%d-17", (int)getppid());
    const char *const stay[] = {ours_new,
                                parent,
                                "e.partial-x-17",
                                "f.partial-4194300",
                                ".partial-4194300-17",
                                "g.partial-4194300-17x",
                                "h.partial-1-17",
                                "file.partial-4194300-17",
                                "link.partial-4194300-17"};
    make_old(rig, ours_old, 86400); /* a container's first process always has the same number */
    make_old(rig, "d.partial-4194300-17", 86400);
    for (size_t i = 0; i < ARRAY_SIZE(stay) - 2; i++)
        make_old(rig, stay[i], i == 0 ? 0 : 86400);
    assert_int_equal(file_write(rig->dirfd, stay[7], VIEW("x"), 0644, NULL), 0);
    assert_int_equal(symlinkat("tree", rig->dirfd, stay[8]), 0);
    CLEANUP_FREE char *text = draft(rig, "first");
    expect_done(rig_ask(rig, "release.export", export_params(rig, "first", "/swept")));
    assert_false(exists(rig, ours_old));
    assert_false(exists(rig, "d.partial-4194300-17"));
    for (size_t i = 0; i < ARRAY_SIZE(stay); i++)
        if (!exists(rig, stay[i]))
            fail_msg("%s is gone", stay[i]);
}

/* ---- witnesses ---- */

static json_t *handoff_params(const struct rig *rig, int seconds)
{
    return json_pack("{s:s, s:s+, s:s, s:i}", "release", "first", "to", rig->path, "/handoff", "phase",
                     "image", "wait_seconds", seconds);
}

static void test_L8_handoff_waits(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    sign(rig, "first", text);
    expect_refused(rig_ask(rig, "handoff", handoff_params(rig, 0)), "alpha (alpha-1), beta (beta-1)");
    rig_publish(rig);
    rig_cosign(rig, RIG_ALPHA);
    rig_cosign(rig, RIG_GAMMA); /* advice: its operator is not listed */
    struct rig_reply reply = rig_ask(rig, "handoff", handoff_params(rig, 1));
    assert_non_null(strstr(reply.error, "lacks: beta (beta-1); it has 1"));
    const json_t *log = json_object_get(reply.progress, "log");
    assert_string_equal(json_string_value(json_object_get(reply.progress, "waiting")), "cosignatures");
    assert_int_equal(json_integer_value(json_object_get(log, "threshold")), 2);
    rig_reply_done(&reply);
    struct rig_asking waiting = rig_ask_begin(rig, "handoff", handoff_params(rig, 60));
    for (int i = 0; i < 3; i++)
        rig_ctl_turn(rig);
    rig_cosign(rig, RIG_BETA);
    reply = rig_ask_end(&waiting); /* covered now, and judged by the gate */
    assert_int_equal(reply.status, 0);
    rig_reply_done(&reply);
    assert_true(exists(rig, "handoff/handoff.json"));
}

static void test_export_says_who_is_missing(void **state)
{
    struct rig *rig = *state;
    CLEANUP_FREE char *text = draft(rig, "first");
    sign(rig, "first", text);
    struct rig_reply reply = rig_ask(rig, "release.export", export_params(rig, "first", "/early"));
    assert_int_equal(reply.status, 0);
    assert_non_null(strstr(json_string_value(json_array_get(json_object_get(reply.body, "notes"), 0)),
                           "alpha (alpha-1), beta (beta-1)"));
    rig_reply_done(&reply);
    rig_publish(rig);
    rig_cosign(rig, RIG_ALPHA);
    rig_cosign(rig, RIG_BETA);
    rig_turn(rig);
    reply = rig_ask(rig, "release.export", export_params(rig, "first", "/covered"));
    assert_int_equal(json_array_size(json_object_get(reply.body, "notes")), 0);
    rig_reply_done(&reply);
    CLEANUP_BUF struct buf note = BUF_INIT;
    assert_int_equal(file_read(rig->dirfd, "covered/log/checkpoint", NOTE_SIZE_MAX, &note, NULL), 0);
    assert_non_null(strstr(note.data, "alpha/alpha-1"));
    assert_non_null(strstr(note.data, "beta/beta-1"));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_draft_covers_its_evidence),
                                       CASE(test_directory_changes_meanwhile),
                                       CASE(test_two_of_a_name),
                                       CASE(test_bad_names),
                                       CASE(test_S1_S3_S6_S8_S14_signatures),
                                       CASE(test_restart),
                                       CASE(test_S9_another_root),
                                       CASE(test_K6_K7_not_allowed),
                                       CASE(test_W11_revoked_meanwhile),
                                       CASE(test_W11_revoked_meanwhile_and_cancelled),
                                       CASE(test_export),
                                       CASE(test_export_after_revocation),
                                       CASE(test_D1_D2_edited_rows),
                                       CASE(test_exported_log),
                                       CASE(test_D6_sweep),
                                       CASE(test_L8_handoff_waits),
                                       CASE(test_export_says_who_is_missing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
