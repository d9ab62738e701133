/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * D6, the coordinator: a real one in the process (farm_rig.h) commits to its database, plans a commit of a repository, starts a plan, takes
 * answers in, publishes its log, exports a release, hands it over. Each start afterwards audits the whole database against what was signed and logged (startup.h); beyond that
 * it is looked for what was acknowledged to somebody.
 */
#include "fault_run.h"

#include "file.h"
#include "release.h"
#include "rig_ask.h"
#include "tiledir.h"
#include "tlog.h"
#include "treedigest.h"
#include "verify.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const size_t two[] = {RIG_ALPHA, RIG_BETA};
enum { WORKERS = 2 };

/* The rig of this process; a child has its own copy. */
static struct rig *rig;

/* ---- what all of them do ---- */

/* The state of the trials is the rig's own directory, whose name stands in its configuration. */
static void make_rig(void)
{
    rmdir(fault_directory);
    close(fault_dirfd);
    rig = rig_new();
    strcpy(fault_directory, rig->path);
    fault_dirfd = file_open_dir(AT_FDCWD, rig->path, NULL);
}

static void start(void)
{
    struct diag diag = DIAG_INIT;
    FAULT_MUST(rig_start(rig, &diag), &diag);
}

/* By SQLite's own tool, which looks closer than a start does. */
static void expect_integrity(const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", fault_directory, name);
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    FAULT_EXPECT(sqlite3_open(path, &db) == SQLITE_OK &&
                     sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, NULL) == SQLITE_OK &&
                     sqlite3_step(statement) == SQLITE_ROW,
                 "%s: %s", name, sqlite3_errmsg(db));
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    FAULT_EXPECT(strcmp(text, "ok") == 0, "%s: integrity_check: %s", name, text);
    sqlite3_finalize(statement);
    sqlite3_close(db);
}

/* 0: done. Else what was said goes into *diag. */
static int ask(const char *verb, json_t *params, struct diag *diag)
{
    struct rig_reply reply = rig_ask(rig, verb, params);
    int result = reply.status == 0 ? 0 : diag_set(diag, FARM_E_FAILED, "%s: %s", verb, reply.error);
    rig_reply_done(&reply);
    return result;
}

/* ---- database commit ---- */

/* Large enough that SQLite writes its log back to the database twice on the way. */
enum { COMMITS = 4, ROWS = 30, ROW_SIZE = 40 * 1000 };

static struct db *open_db(void)
{
    CLEANUP_FREE char *path = mem_format("%s/test.db", fault_directory);
    struct diag diag = DIAG_INIT;
    struct db *db = NULL;
    FAULT_MUST(db_open(path, &db, &diag), &diag);
    return db;
}

static void prepare_db(void)
{
    db_close(open_db());
}

static int commit_rows(struct db *db, uint64_t first, struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    memset(buf_room(&text, ROW_SIZE), 'x', ROW_SIZE);
    text.size = ROW_SIZE;
    db_begin(db);
    for (uint64_t i = 0; i < ROWS; i++) {
        struct db_log_entry row = {.position = first + i, .entry = buf_view(&text)};
        db_put_log_entry(db, &row);
    }
    return db_commit(db, diag);
}

static int run_db(struct fault_trial *trial, struct diag *diag)
{
    struct db *db = open_db();
    int result = 0;
    fault_arm(trial);
    for (uint64_t i = 0; result >= 0 && i < COMMITS; i++) {
        result = commit_rows(db, i * ROWS, diag);
        if (result >= 0)
            atomic_store(&trial->acknowledged, (i + 1) * ROWS);
    }
    if (result >= 0) {
        fault_ending(trial);
        db_close(db);
    }
    return result;
}

static void check_db(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct db *db = open_db();
    int64_t size = db_log_size(db, &diag), acknowledged = (int64_t)atomic_load(&trial->acknowledged);
    FAULT_EXPECT(size >= acknowledged, "%lld rows are there, %lld were committed", (long long)size,
                 (long long)acknowledged);
    FAULT_EXPECT(size % ROWS == 0, "%lld rows: a transaction is there in part", (long long)size);
    for (uint64_t i = (uint64_t)size; i < (uint64_t)COMMITS * ROWS; i += ROWS)
        FAULT_MUST(commit_rows(db, i, &diag), &diag);
    db_close(db);
    expect_integrity("test.db");
}

/* ---- a database that is just being made ---- */

static void prepare_nothing(void)
{
}

static int run_make(struct fault_trial *trial, struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format("%s/test.db", fault_directory);
    struct db *db = NULL;
    fault_arm(trial);
    int result = db_open(path, &db, diag);
    if (result >= 0)
        result = commit_rows(db, 0, diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, ROWS);
    return result;
}

/* ---- a coordinator's first start: its keys, by which everybody knows it from then on ---- */

static void prepare_first(void)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *text = mem_format(
        "[coordinator]\nstate_dir = %s/state\ncontrol_listen = 127.0.0.1:*\nbulk_listen = 127.0.0.1:*\n"
        "advertise = 127.0.0.1\nreserve = 0\n",
        fault_directory);
    FAULT_MUST(file_write(fault_dirfd, "farm.conf", view_text(text), 0644, &diag), &diag);
}

static int open_first(struct farm **ret, struct diag *diag)
{
    CLEANUP_FREE char *path = mem_format("%s/farm.conf", fault_directory);
    struct coordinator_config config = {0};
    int result = config_read(path, &config, diag);
    return result < 0 ? result : farm_open(&config, ret, diag);
}

static int run_first(struct fault_trial *trial, struct diag *diag)
{
    struct farm *first = NULL;
    fault_arm(trial);
    int result = open_first(&first, diag);
    if (result < 0)
        return result;
    struct note_key key = journal_key(first);
    memcpy(trial->notes, &key.key, sizeof key.key);
    atomic_store(&trial->acknowledged, 1);
    return 0;
}

static void check_first(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct farm *first = NULL;
    FAULT_MUST(open_first(&first, &diag), &diag);
    struct note_key key = journal_key(first);
    FAULT_EXPECT(atomic_load(&trial->acknowledged) == 0 ||
                     memcmp(trial->notes, &key.key, sizeof key.key) == 0,
                 "it has other keys than those that it showed");
    farm_close(first);
    expect_integrity("state/farm.db");
}

/* ---- plan: farmctl plan, of a commit in a git repository ---- */

/* The rig's tree with one package more. */
static void prepare_git(void)
{
    make_rig();
    CLEANUP_FREE char *path = plans_tree_path(&rig->pin.sha256);
    CLEANUP_FREE char *command = mem_format(
        "set -e; export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null; cd %s; cp -r %s repository; "
        "cd repository;"
        "cp -r packages/extra/liba packages/extra/libc; sed -i s/liba/libc/ packages/extra/libc/package.yml;"
        "git init -q -b main .; git -c core.autocrlf=false add -A -f;"
        "git -c user.name=t -c user.email=t@localhost commit -q -m tree",
        fault_directory, path);
    FAULT_EXPECT(system(command) == 0, "the repository cannot be made");
    rig_publish(rig);
    rig_stop(rig);
}

static int plan_repository(struct digest *ret, struct diag *diag)
{
    struct rig_reply reply = rig_ask(rig, "plan",
                                     json_pack("{s:s+, s:s, s:[s]}", "tree", rig->path, "/repository",
                                               "revision", "main", "selectors", "all"));
    int result = reply.status == 0 ? 0 : diag_set(diag, FARM_E_FAILED, "plan: %s", reply.error);
    if (result >= 0)
        result = json_get_digest(reply.body, "plan", "plan", ret, diag);
    rig_reply_done(&reply);
    return result;
}

static int run_git(struct fault_trial *trial, struct diag *diag)
{
    struct digest id;
    start();
    fault_arm(trial);
    int result = plan_repository(&id, diag);
    if (result < 0)
        return result;
    memcpy(trial->notes, &id, sizeof id);
    atomic_store(&trial->acknowledged, 1);
    return 0;
}

/* The checked-out tree is what was pinned: it is believed without another look. */
static void expect_tree(const struct digest *id)
{
    struct diag diag = DIAG_INIT;
    struct digest found;
    struct farm_plan *plan = plans_get(rig->farm, id);
    FAULT_EXPECT(plan != NULL, "a plan that was shown is gone");
    FAULT_MUST(plans_load_tree(rig->farm, plan, &diag), &diag);
    CLEANUP_FREE char *path = plans_tree_path(&plan->plan->tree.sha256);
    CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, path, &diag);
    FAULT_MUST(treedigest_of_dir(dirfd, &found, &diag), &diag);
    FAULT_EXPECT(digest_equal(&found, &plan->plan->tree.sha256), "%s is not that tree", path);
}

static void check_git(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    struct digest known, id;
    memcpy(&known, trial->notes, sizeof known);
    start();
    if (atomic_load(&trial->acknowledged) > 0)
        expect_tree(&known);
    FAULT_MUST(plan_repository(&id, &diag), &diag);
    FAULT_EXPECT(atomic_load(&trial->acknowledged) == 0 || digest_equal(&id, &known),
                 "it is another plan now");
    expect_tree(&id);
    rig_publish(rig);
    rig_stop(rig);
    FAULT_MUST(file_remove_tree(fault_dirfd, "trees", &diag), &diag); /* comes back from the pack */
    FAULT_MUST(file_make_dirs(fault_dirfd, "trees", 0700, &diag), &diag);
    start();
    expect_tree(&id);
    rig_stop(rig);
    expect_integrity("farm.db");
}

/* ---- build: leases granted ---- */

static void prepare_build(void)
{
    make_rig();
    rig_publish(rig);
    rig_stop(rig);
}

static int build(struct diag *diag)
{
    return ask(
        "build",
        json_pack("{s:s, s:b, s:b}", "plan", digest_hex(&rig->plan).text, "from_scratch", 0, "wait", 0),
        diag);
}

static int run_build(struct fault_trial *trial, struct diag *diag)
{
    start();
    fault_arm(trial);
    int result = build(diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    for (size_t i = 0; result >= 0 && i < WORKERS; i++)
        rig_hello(rig, two[i]);
    rig_turn(rig);
    return result;
}

static int keep_nonce(void *context, const struct db_lease *row)
{
    struct digest *nonces = context;
    for (size_t i = 0; i < WORKERS; i++)
        if (strcmp(row->worker, fixture_workers[two[i]]) == 0 && strcmp(row->state, "live") == 0)
            nonces[i] = row->nonce;
    return 0;
}

/* Under the lease that it has, also if it never heard of it; else under one that it gets now. */
static void build_liba(size_t worker)
{
    struct digest live[WORKERS] = {{{0}}};
    struct rig_answer answer = {.package = RIG_LIBA};
    FAULT_EXPECT(db_each_lease(rig->farm->db, keep_nonce, live, NULL) >= 0, "leases");
    answer.nonce = live[worker];
    if (digest_is_zero(&answer.nonce)) {
        rig_hello(rig, worker);
        rig_turn(rig);
        answer.nonce = rig_lease(rig, worker);
    }
    struct wire_message *ack = rig_answer(rig, worker, &answer);
    FAULT_EXPECT(ack->result_ack->code == WIRE__ACK_CODE__ACK_ACCEPTED, "%s", ack->result_ack->text);
    wire_free(ack);
}

static void check_build(const struct fault_trial *trial)
{
    struct core_node_view view;
    struct diag diag = DIAG_INIT;
    start();
    bool started = core_node(rig->farm->core, &rig->plan, RIG_LIBA, &view);
    FAULT_EXPECT(started || atomic_load(&trial->acknowledged) == 0,
                 "the plan was started, and is not any more");
    FAULT_MUST(build(&diag), &diag);
    for (size_t i = 0; i < WORKERS; i++)
        build_liba(two[i]);
    rig_publish(rig);
    rig_restart(rig);
    FAULT_EXPECT(core_node(rig->farm->core, &rig->plan, RIG_LIBA, &view) && view.state == NODE_AGREED,
                 "liba is not agreed");
    rig_stop(rig);
    expect_integrity("farm.db");
}

/* ---- result intake: two answers, the second of which makes the verdict ---- */

static struct digest nonces[WORKERS];

static void prepare_intake(void)
{
    make_rig();
    rig_build(rig, two, WORKERS);
    for (size_t i = 0; i < WORKERS; i++)
        nonces[i] = rig_lease(rig, two[i]);
    rig_publish(rig);
    rig_stop(rig);
}

/* Returns the log's position + 1 that was acknowledged; 0: not taken now. */
static uint64_t answer(size_t worker, struct diag *diag)
{
    struct rig_answer given = {.package = RIG_LIBA, .nonce = nonces[worker]};
    struct wire_message *ack = rig_answer(rig, two[worker], &given);
    uint64_t entry = ack->result_ack->code == WIRE__ACK_CODE__ACK_ACCEPTED ? ack->result_ack->log_entry : 0;
    if (entry == 0)
        diag_set(diag, FARM_E_FAILED, "not accepted: %s", ack->result_ack->text);
    wire_free(ack);
    return entry;
}

static int run_intake(struct fault_trial *trial, struct diag *diag)
{
    _Atomic uint64_t *entries = (_Atomic uint64_t *)trial->notes;
    bool taken = true;
    start();
    fault_arm(trial);
    for (size_t i = 0; i < WORKERS; i++) {
        uint64_t entry = answer(i, diag);
        atomic_store(&entries[i], entry);
        taken = taken && entry > 0;
    }
    return taken ? 0 : FARM_E_FAILED;
}

static void check_intake(const struct fault_trial *trial)
{
    const _Atomic uint64_t *entries = (const _Atomic uint64_t *)trial->notes;
    struct core_node_view view;
    struct diag diag = DIAG_INIT;
    start();
    uint64_t kept = journal_size(rig->farm); /* before they are sent again */
    for (size_t i = 0; i < WORKERS; i++) {
        uint64_t was = atomic_load(&entries[i]), is = answer(i, &diag);
        FAULT_EXPECT(kept >= was, "answer %zu was acknowledged, and is lost", i);
        FAULT_EXPECT(is > 0, "answer %zu: %s", i, diag.text);
        FAULT_EXPECT(was == 0 || was == is, "answer %zu was acknowledged as entry %llu, and is %llu", i,
                     (unsigned long long)was, (unsigned long long)is);
    }
    FAULT_EXPECT(core_node(rig->farm->core, &rig->plan, RIG_LIBA, &view) && view.state == NODE_AGREED,
                 "liba is not agreed");
    FAULT_EXPECT(view.verdict.operators == WORKERS && view.verdict.dissent == 0,
                 "other votes than two were counted");
    rig_publish(rig);
    rig_restart(rig);
    rig_stop(rig);
    expect_integrity("farm.db");
}

/* ---- the log's publication ---- */

enum { PUBLICATIONS = 2, ENTRIES = 300 }; /* more than a bundle of the tiles holds */

static void prepare_publish(void)
{
    make_rig();
    rig_build(rig, two, WORKERS);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_publish(rig);
    rig_stop(rig);
}

static int run_publish(struct fault_trial *trial, struct diag *diag)
{
    (void)diag;
    struct checkpoint shown;
    start();
    fault_arm(trial);
    for (int i = 0; i < PUBLICATIONS; i++) {
        for (int k = 0; k < ENTRIES; k++)
            (void)journal_add(rig->farm,
                              &(struct logentry){.kind = LOG_PLAN, .sha256 = digest_of(VIEW("x"))});
        rig_publish(rig);
        FAULT_EXPECT(journal_checkpoint(rig->farm, &shown), "nothing was shown");
        memcpy(trial->notes, &shown.root, sizeof shown.root);
        atomic_store(&trial->acknowledged, shown.size);
    }
    return 0;
}

static int grow(void *context, uint64_t position, struct view entry)
{
    struct tlog_tree *tree = context;
    struct digest leaf = tlog_leaf(entry);
    FAULT_EXPECT(position == tree->size, "the log has a gap at %llu", (unsigned long long)position);
    tlog_append(tree, &leaf, NULL, NULL);
    return 0;
}

static int grow_row(void *context, const struct db_log_entry *row)
{
    struct tlog_tree *tree = context;
    return tree->size < UINT64_MAX ? grow(context, row->position, row->entry) : 0;
}

struct up_to {
    struct tlog_tree tree;
    uint64_t size;
};

static int grow_up_to(void *context, const struct db_log_entry *row)
{
    struct up_to *up_to = context;
    return row->position < up_to->size ? grow_row(&up_to->tree, row) : 0;
}

/* What was shown is a part of what is there. */
static void expect_shown(uint64_t size, const struct digest *root)
{
    struct up_to up_to = {.size = size};
    struct diag diag = DIAG_INIT;
    FAULT_MUST(db_each_log_entry(rig->farm->db, 0, grow_up_to, &up_to, &diag), &diag);
    struct digest found = tlog_root(&up_to.tree);
    FAULT_EXPECT(up_to.tree.size == size && digest_equal(&found, root),
                 "%llu entries were shown, and are not these", (unsigned long long)size);
}

static void check_publish(const struct fault_trial *trial)
{
    struct checkpoint newest;
    struct tlog_tree tree = {.size = 0};
    struct diag diag = DIAG_INIT;
    struct digest root;
    start();
    memcpy(&root, trial->notes, sizeof root);
    if (atomic_load(&trial->acknowledged) > 0)
        expect_shown(atomic_load(&trial->acknowledged), &root);
    rig_publish(rig);
    FAULT_EXPECT(journal_checkpoint(rig->farm, &newest), "nothing is shown");
    FAULT_EXPECT(newest.size >= atomic_load(&trial->acknowledged), "the checkpoint went back");
    CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, JOURNAL_DIR, &diag);
    FAULT_MUST(tiledir_each_entry(dirfd, newest.size, grow, &tree, &diag), &diag);
    root = tlog_root(&tree);
    FAULT_EXPECT(digest_equal(&root, &newest.root), "the tiles are not what the checkpoint signs");
    rig_restart(rig);
    rig_stop(rig);
    expect_integrity("farm.db");
}

/* ---- release export ---- */

static void must_ask(const char *verb, json_t *params)
{
    struct diag diag = DIAG_INIT;
    FAULT_MUST(ask(verb, params, &diag), &diag);
}

static int export_to(const char *to, struct diag *diag)
{
    return ask("release.export",
               json_pack("{s:s, s:s+, s:i}", "release", "first", "to", rig->path, to, "wait_seconds", 0),
               diag);
}

static void sign_release(void)
{
    struct rig_reply reply =
        rig_ask(rig, "release.draft",
                json_pack("{s:s, s:s, s:b, s:i}", "name", "first", "plan", digest_hex(&rig->plan).text,
                          "allow_held", 0, "expires_days", 30));
    FAULT_EXPECT(reply.status == 0, "release.draft: %s", reply.error);
    const char *text = json_string_value(json_object_get(reply.body, "text"));
    for (size_t i = 0; i < 2; i++) {
        CLEANUP_FREE char *armored =
            farm_fixture_sign(rig->keys->people[i], SSHSIG_NAMESPACE_RELEASE, view_text(text));
        must_ask("release.submit", json_pack("{s:s, s:s}", "release", "first", "signature", armored));
    }
    rig_reply_done(&reply);
}

static void make_release(void)
{
    make_rig();
    rig_build(rig, two, WORKERS);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    sign_release();
    rig_publish(rig);
}

static void prepare_export(void)
{
    struct diag diag = DIAG_INIT;
    make_release();
    FAULT_MUST(export_to("/reference", &diag), &diag);
    rig_stop(rig);
}

static int run_export(struct fault_trial *trial, struct diag *diag)
{
    start();
    fault_arm(trial);
    int result = export_to("/export", diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    return result;
}

static bool is_there(const char *name)
{
    return faccessat(fault_dirfd, name, F_OK, 0) == 0;
}

/* Whole, byte for byte what an undisturbed export is; but for the file that only a hand-off has. */
static void expect_export(const char *name)
{
    CLEANUP_FREE char *command = mem_format("diff -r --exclude=" RELEASE_HANDOFF " %s/reference %s/%s >&2",
                                            fault_directory, fault_directory, name);
    FAULT_EXPECT(system(command) == 0, "%s is not whole", name);
}

static void check_export(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    start();
    bool there = is_there("export");
    FAULT_EXPECT(there || atomic_load(&trial->acknowledged) == 0, "the export is gone");
    if (!there)
        FAULT_MUST(export_to("/export", &diag), &diag);
    expect_export("export");
    rig_stop(rig);
    expect_integrity("farm.db");
}

/* ---- hand-off: the same, and the gate's verdict with what it remembers ---- */

static int hand_over(const char *to, struct diag *diag)
{
    return ask("handoff",
               json_pack("{s:s, s:s+, s:s, s:i}", "release", "first", "to", rig->path, to, "phase", "image",
                         "wait_seconds", 0),
               diag);
}

static void prepare_handoff(void)
{
    struct diag diag = DIAG_INIT;
    make_release();
    for (size_t i = 0; i < WORKERS; i++)
        rig_cosign(rig, two[i]);
    rig_publish(rig);
    FAULT_MUST(export_to("/reference", &diag), &diag);
    rig_stop(rig);
}

static int run_handoff(struct fault_trial *trial, struct diag *diag)
{
    start();
    fault_arm(trial);
    int result = hand_over("/handoff", diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    return result;
}

/* What the gate has accepted is remembered before anybody can see it. */
static void expect_remembered(void)
{
    struct verify_state state = {0};
    struct diag diag = DIAG_INIT;
    FAULT_MUST(verify_state_read(fault_dirfd, "gate.state", &state, &diag), &diag);
    FAULT_EXPECT(state.sequence == 1, "the gate remembers release %lld", (long long)state.sequence);
}

static void check_handoff(const struct fault_trial *trial)
{
    struct diag diag = DIAG_INIT;
    start();
    bool there = is_there("handoff");
    FAULT_EXPECT(there || atomic_load(&trial->acknowledged) == 0, "the hand-off is gone");
    if (there)
        expect_remembered();
    else
        FAULT_MUST(hand_over("/handoff", &diag), &diag);
    expect_export("handoff");
    FAULT_EXPECT(is_there("handoff/" RELEASE_HANDOFF), "nothing says what it was checked for");
    FAULT_MUST(hand_over("/once-more", &diag), &diag);
    expect_export("once-more");
    expect_remembered();
    rig_stop(rig);
    expect_integrity("farm.db");
}

int main(int argc, char **argv)
{
    enum { REST = 1 << FAULT_ALLOC | 1 << FAULT_STEP };
    static const struct fault_operation operations[] = {
        {"db-commit", 1 << FAULT_WRITE | 1 << FAULT_SYNC | REST, prepare_db, run_db, check_db, 0},
        {"db-make", 1 << FAULT_WRITE | 1 << FAULT_SYNC | 1 << FAULT_NAME | REST, prepare_nothing, run_make,
         check_db, 0},
        {"first-start", FAULT_DISK | REST, prepare_first, run_first, check_first, 0},
        {"plan", FAULT_DISK | 1 << FAULT_SEND | REST, prepare_git, run_git, check_git, 0},
        {"build", 1 << FAULT_WRITE | 1 << FAULT_SYNC | 1 << FAULT_SEND | REST, prepare_build, run_build,
         check_build, 0},
        {"intake", 1 << FAULT_WRITE | 1 << FAULT_SYNC | REST, prepare_intake, run_intake, check_intake, 0},
        {"log-publish", FAULT_DISK | REST, prepare_publish, run_publish, check_publish, 0},
        {"export", FAULT_DISK | 1 << FAULT_SEND | REST, prepare_export, run_export, check_export, 0},
        {"handoff", FAULT_DISK | 1 << FAULT_SEND | REST, prepare_handoff, run_handoff, check_handoff, 0},
    };
    return fault_main(argc, argv, operations, ARRAY_SIZE(operations));
}
