/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "farm_rig.h"

#include "file.h"
#include "pkginfo.h"
#include "treedigest.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { YEAR_S = 365 * 86400 };

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

static void put(const struct rig *rig, const char *path, struct view text, mode_t mode)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *parent = mem_string_n(path, (size_t)(strrchr(path, '/') - path));
    must(file_make_dirs(rig->dirfd, parent, 0755, &diag), &diag);
    CLEANUP_CLOSE int fd = openat(rig->dirfd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    must(file_write_all(fd, text.data, text.size), NULL);
}

/* ---- running ---- */

static void configure(const struct rig *rig, struct coordinator_config *ret)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *path = mem_format("%s/farm.conf", rig->path);
    CLEANUP_FREE char *text = mem_format("[coordinator]\nstate_dir = %s\ncontrol_listen = 127.0.0.1:*\n"
                                         "bulk_listen = 127.0.0.1:*\nadvertise = 127.0.0.1\nlog_origin = %s\n"
                                         "reserve = 0\n",
                                         rig->path, rig->origin != NULL ? rig->origin : "");
    must(file_write(rig->dirfd, "farm.conf", view_text(text), 0644, &diag), &diag);
    must(config_read(path, ret, &diag), &diag);
}

int rig_start(struct rig *rig, struct diag *diag)
{
    struct coordinator_config config = {0};
    configure(rig, &config);
    return farm_open(&config, &rig->farm, diag);
}

void rig_stop(struct rig *rig)
{
    rig->farm = farm_close(rig->farm);
}

void rig_restart(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    rig_stop(rig);
    must(rig_start(rig, &diag), &diag);
}

static void take_outbox(struct rig *rig)
{
    struct farm *farm = rig->farm;
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < farm->noutbox; i++) {
        struct outgoing *from = &farm->outbox[i];
        rig->inbox = mem_reserve(rig->inbox, &rig->capacity, rig->ninbox + 1, sizeof *rig->inbox);
        struct rig_message *to = &rig->inbox[rig->ninbox++];
        snprintf(to->user, sizeof to->user, "%s", from->user);
        must(wire_decode(WIRE_TO_WORKER, buf_view(&from->frame), &to->message, &diag), &diag);
        free(from->user);
        buf_done(&from->frame);
    }
    farm->noutbox = 0;
}

static void one_turn(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    pool_finish(rig->farm->pool);
    take_outbox(rig);
    must(farm_flush(rig->farm, &diag), &diag);
    must(journal_turn(rig->farm, &diag), &diag);
}

void rig_turn(struct rig *rig)
{
    one_turn(rig);
    while (pool_pending(rig->farm->pool) > 0) {
        struct pollfd item = {.fd = pool_fd(rig->farm->pool), .events = POLLIN};
        assert_true(poll(&item, 1, 10000) == 1);
        one_turn(rig);
    }
}

static void published(struct farm *farm, void *context, int result)
{
    (void)farm;
    *(int *)context = result;
}

void rig_publish(struct rig *rig)
{
    int result = 1;
    journal_publish(rig->farm, published, &result);
    for (int i = 0; result == 1 && i < 10; i++)
        rig_turn(rig);
    assert_int_equal(result, 0);
}

/* ---- talking ---- */

void rig_say(struct rig *rig, size_t worker, int type, const ProtobufCMessage *body)
{
    CLEANUP_BUF struct buf frame = BUF_INIT;
    struct link_peer peer = {.session = 1};
    struct diag diag = DIAG_INIT;
    snprintf(peer.user, sizeof peer.user, "%s", fixture_workers[worker]);
    must(wire_encode(type, body, &frame, &diag), &diag);
    sessions_receive(rig->farm, &peer, buf_view(&frame));
}

void rig_hello(struct rig *rig, size_t worker)
{
    Wire__Hello hello = WIRE__HELLO__INIT;
    Wire__Facts facts = WIRE__FACTS__INIT;
    facts.cores = 4;
    facts.memory_bytes = facts.disk_bytes = (uint64_t)64 << 30;
    hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.software = wire_text("rig");
    hello.operator_name = wire_text(fixture_operators[worker]);
    hello.worker = wire_text(fixture_workers[worker]);
    hello.facts = &facts;
    hello.slots = 4;
    hello.clock_ms = (uint64_t)moment_wall_ms();
    rig_say(rig, worker, WIRE_HELLO, &hello.base);
}

struct wire_message *rig_heard(struct rig *rig, size_t worker, int type)
{
    take_outbox(rig);
    for (size_t i = 0; i < rig->ninbox; i++) {
        struct wire_message *message = rig->inbox[i].message;
        if (message->type != type || strcmp(rig->inbox[i].user, fixture_workers[worker]) != 0)
            continue;
        memmove(&rig->inbox[i], &rig->inbox[i + 1], (rig->ninbox - i - 1) * sizeof *rig->inbox);
        rig->ninbox--;
        return message;
    }
    return NULL;
}

/* ---- what there is to build ---- */

static void make_tree(struct rig *rig)
{
    put(rig, "tree/packages/extra/liba/package.yml",
        VIEW("name: liba\nversion: \"1.0\"\nrelease: 1\ndescription: A library\nlicense: MIT\ntier: extra\n"
             "build_style: custom\nsource: []\n"),
        0644);
    put(rig, "tree/packages/extra/liba/build.sh", VIEW("do_install() { :; }\n"), 0755);
    put(rig, "tree/packages/extra/appb/package.yml",
        VIEW("name: appb\nversion: \"2.1\"\nrelease: 3\ndescription: A program\nlicense: MIT\ntier: extra\n"
             "build_style: custom\nsource: []\ndependencies:\n  build: [liba]\n  runtime: [liba]\n"),
        0644);
    put(rig, "tree/packages/extra/appb/build.sh", VIEW("do_install() { :; }\n"), 0755);
    put(rig, "tree/farm/policy.yml",
        VIEW("version: 1\ndefaults:\n  quorum: 2\n  anchors: 1\n  distinct: [operator]\n"), 0644);
}

/* Two files, packed as an import packs them. */
static void make_base(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    put(rig, "base/etc/os-release", VIEW("ID=rig\n"), 0644);
    put(rig, "base/bin/sh", VIEW("#!\n"), 0755);
    CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, "base", NULL);
    must(payload_pack(rig->farm->store, dirfd, NULL, NULL, 0, &rig->base_payload, &diag), &diag);
    rig->base = rig->base_payload.manifest;
}

static void write_pkginfo(void *context, const struct manifest *manifest, struct buf *ret)
{
    pkginfo_write(context, manifest, ret);
}

static void build_package(struct rig *rig, const struct tree *tree, const struct plan *plan, size_t at)
{
    struct rig_package *package = &rig->packages[at];
    const struct plan_node *node = &plan->nodes[at];
    struct digest payloads[RIG_PACKAGES];
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf text = BUF_INIT;
    for (size_t i = 0; i < node->nclosure; i++)
        payloads[i] = rig->packages[node->closure[i]].payload.manifest;
    struct spec_inputs inputs = {.tree = tree,
                                 .package = tree_index(tree, tree_find(tree, view_text(node->name))),
                                 .base = rig->base,
                                 .payloads = payloads,
                                 .npayloads = node->nclosure};
    must(spec_write(&inputs, &text, &package->job, &diag), &diag);
    must(spec_parse(buf_view(&text), &package->spec, &diag), &diag);
    CLEANUP_FREE char *dir = mem_format("build-%s", node->name),
                      *file = mem_format("%s/usr/%s", dir, node->name);
    put(rig, file, view_text(node->name), 0644);
    CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, dir, NULL);
    must(payload_pack(rig->farm->store, dirfd, write_pkginfo, package->spec, package->spec->epoch,
                      &package->payload, &diag),
         &diag);
}

/* The tree lies where a restart looks for it: trees/<digest>. */
static struct tree *load_tree(struct rig *rig)
{
    struct problems problems = PROBLEMS_INIT;
    struct diag diag = DIAG_INIT;
    struct tree *tree = NULL;
    CLEANUP_CLOSE int dirfd = file_open_dir(rig->dirfd, "tree", NULL);
    must(treedigest_of_dir(dirfd, &rig->pin.sha256, &diag), &diag);
    int result = tree_load(dirfd, &tree, &problems, &diag);
    if (problems.count > 0)
        fail_msg("%s: %s", problems.items[0].file, problems.items[0].text);
    must(result, &diag);
    CLEANUP_FREE char *path = plans_tree_path(&rig->pin.sha256);
    assert_int_equal(renameat(rig->dirfd, "tree", rig->dirfd, path), 0);
    rig->pin.url = mem_string("https://example.org/tree.git");
    strcpy(rig->pin.commit, "0123456789abcdef0123456789abcdef01234567");
    return tree;
}

static void put_rows(struct rig *rig, const struct digest *plan, const struct digest *pack)
{
    struct db *db = farm_write(rig->farm);
    struct db_base base = {.manifest = rig->base,
                           .tar = rig->base_payload.tar,
                           .tar_size = rig->base_payload.tar_size,
                           .name = "rig",
                           .imported_ms = 1};
    struct db_tree tree = {
        .commit = rig->pin.commit, .url = rig->pin.url, .tree_sha256 = rig->pin.sha256, .pack = *pack};
    struct db_plan row = {.id = *plan,
                          .commit = rig->pin.commit,
                          .tree_sha256 = rig->pin.sha256,
                          .base = rig->base,
                          .state = "planned",
                          .created_ms = 1};
    db_put_base(db, &base);
    db_put_tree(db, &tree);
    db_put_plan(db, &row);
}

static void make_plan(struct rig *rig)
{
    static const char *const everything[] = {"all"};
    struct diag diag = DIAG_INIT;
    struct plan *plan = NULL;
    struct digest stored, pack = digest_of(VIEW("pack"));
    CLEANUP_BUF struct buf text = BUF_INIT;
    make_tree(rig);
    struct tree *tree = load_tree(rig);
    must(plan_make(tree, &rig->pin, &rig->base, everything, 1, &plan, &diag), &diag);
    plan_write(plan, &text);
    must(store_put(rig->farm->store, buf_view(&text), &stored, &diag), &diag);
    assert_true(digest_equal(&stored, &plan->id));
    assert_int_equal(plan->nnodes, RIG_PACKAGES);
    assert_string_equal(plan->nodes[RIG_LIBA].name, "liba");
    rig->plan = plan->id;
    for (size_t i = 0; i < RIG_PACKAGES; i++)
        build_package(rig, tree, plan, i);
    must(store_put(rig->farm->store, VIEW("log"), &stored, &diag), &diag);
    put_rows(rig, &plan->id, &pack);
    struct farm_plan *entry = plans_add(rig->farm, plan, &rig->base_payload.tar);
    entry->tree = plans_add_tree(rig->farm, tree, &rig->pin, &pack);
}

/* ---- trust ---- */

static void add_log(struct rig *rig, struct root *root)
{
    root->log.present = true;
    root->log.key = journal_key(rig->farm);
    root->log.witnesses = mem_zero(FIXTURE_ANCHORS, sizeof *root->log.witnesses);
    for (size_t i = 0; i < FIXTURE_ANCHORS; i++)
        root->log.witnesses[root->log.nwitnesses++] = mem_string(fixture_operators[i]);
    root->log.threshold = FIXTURE_ANCHORS;
    root->expires_ms = moment_wall_ms() / 1000 * 1000 + (int64_t)YEAR_S * 1000;
}

static void install_root(struct rig *rig)
{
    struct diag diag = DIAG_INIT;
    struct trust_link link = {.text = BUF_INIT};
    add_log(rig, rig->keys->root);
    rig->keys->root->policy = plans_get(rig->farm, &rig->plan)->plan->policy;
    rig->keys->root->bases[0] = rig->base;
    must(root_check_rules(rig->keys->root, "root", &diag), &diag);
    root_write(rig->keys->root, &link.text);
    must(root_parse(buf_view(&link.text), "root", &link.root, &diag), &diag);
    link.signatures = mem_zero(FIXTURE_PEOPLE, sizeof *link.signatures);
    for (size_t i = 0; i < FIXTURE_PEOPLE; i++)
        link.signatures[link.nsignatures++] =
            farm_fixture_sign(rig->keys->people[i], SSHSIG_NAMESPACE_ROOT, buf_view(&link.text));
    must(trust_install(rig->farm, &link, 1, &diag), &diag);
    trust_link_done(&link);
}

static void admit(struct rig *rig, size_t worker)
{
    struct diag diag = DIAG_INIT;
    struct directory_entry entry = farm_fixture_entry(rig->keys, worker);
    entry.admitted_ms = moment_wall_ms() / 1000 * 1000;
    entry.expires_ms = entry.admitted_ms + (int64_t)YEAR_S / 2 * 1000;
    farm_fixture_sign_entry(&entry, rig->keys->operators[worker]);
    farm_fixture_sign_entry(&entry, rig->keys->enrolment);
    must(admission_admit(rig->farm, &entry, &diag), &diag);
    directory_entry_done(&entry);
}

struct rig *rig_new(void)
{
    struct rig *rig = mem_zero(1, sizeof *rig);
    struct diag diag = DIAG_INIT;
    /* In memory where there is such a place: everything is synced. */
    strcpy(rig->path,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/farm-test-rig.XXXXXX" : "/tmp/farm-test-rig.XXXXXX");
    assert_non_null(mkdtemp(rig->path));
    rig->dirfd = file_open_dir(AT_FDCWD, rig->path, NULL);
    rig->keys = farm_fixture_new();
    must(rig_start(rig, &diag), &diag);
    make_base(rig);
    make_plan(rig);
    install_root(rig);
    for (size_t i = 0; i < FIXTURE_OPERATORS; i++)
        admit(rig, i);
    rig_turn(rig);
    return rig;
}

static void drop_inbox(struct rig *rig)
{
    for (size_t i = 0; i < rig->ninbox; i++)
        wire_free(rig->inbox[i].message);
    rig->ninbox = 0;
}

struct rig *rig_free(struct rig *rig)
{
    rig_stop(rig);
    drop_inbox(rig);
    free(rig->inbox);
    for (size_t i = 0; i < RIG_PACKAGES; i++)
        spec_free(rig->packages[i].spec);
    free(rig->pin.url);
    free(rig->origin);
    farm_fixture_free(rig->keys);
    close(rig->dirfd);
    assert_int_equal(file_remove_tree(AT_FDCWD, rig->path, NULL), 0);
    free(rig);
    return NULL;
}

/* ---- witnesses ---- */

void rig_cosign(struct rig *rig, size_t worker)
{
    struct checkpoint checkpoint;
    struct signature signature;
    Wire__Cosign message = WIRE__COSIGN__INIT;
    uint64_t now_s = (uint64_t)moment_wall_ms() / 1000;
    assert_true(journal_checkpoint(rig->farm, &checkpoint));
    assert_int_equal(
        note_cosign(&checkpoint, now_s, identity_keys(rig->keys->workers[worker]), &signature, NULL), 0);
    message.size = checkpoint.size;
    message.root = wire_digest(&checkpoint.root);
    message.time_s = now_s;
    message.signature = wire_bytes(view_of(signature.bytes, sizeof signature.bytes));
    rig_say(rig, worker, WIRE_COSIGN, &message.base);
    rig_turn(rig);
}

/* ---- building ---- */

void rig_build(struct rig *rig, const size_t *workers, size_t count)
{
    struct diag diag = DIAG_INIT;
    struct farm_plan *plan = plans_get(rig->farm, &rig->plan);
    db_start_plan(farm_write(rig->farm), &rig->plan, false, moment_wall_ms());
    must(plans_start(rig->farm, plan, false, 0, &diag), &diag);
    for (size_t i = 0; i < count; i++)
        rig_hello(rig, workers[i]);
    rig_turn(rig);
}

struct digest rig_lease(struct rig *rig, size_t worker)
{
    struct wire_message *message = rig_heard(rig, worker, WIRE_LEASE);
    if (message == NULL) {
        fail_msg("%s has no lease", fixture_workers[worker]);
        return (struct digest){{0}};
    }
    struct digest nonce = wire_get_digest(&message->lease->nonce);
    wire_free(message);
    return nonce;
}

void rig_sign(struct rig *rig, size_t worker, const struct rig_answer *answer, struct buf *ret)
{
    const struct rig_package *package = &rig->packages[answer->package];
    const struct spec *spec = package->spec;
    struct statement_dependency dependencies[RIG_PACKAGES];
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i < spec->ndependencies; i++)
        dependencies[i] =
            (struct statement_dependency){spec->dependencies[i].name, spec->dependencies[i].payload};
    struct statement statement = {.failure = answer->failure,
                                  .package = spec->name,
                                  .version = spec->version,
                                  .release = spec->release,
                                  .tier = spec->tier,
                                  .kind = spec->kind,
                                  .job = answer->job != NULL ? *answer->job : package->job,
                                  .base = rig->base,
                                  .tree_url = rig->pin.url,
                                  .tree_commit = rig->pin.commit,
                                  .tree_sha256 = rig->pin.sha256,
                                  .dependencies = dependencies,
                                  .ndependencies = spec->ndependencies,
                                  .worker = answer->worker != NULL ? answer->worker : fixture_workers[worker],
                                  .operator_name = answer->operator_name != NULL ? answer->operator_name
                                                                                 : fixture_operators[worker],
                                  .started_ms = FIXTURE_NOW,
                                  .finished_ms = FIXTURE_NOW + 1000 + answer->finished_ms,
                                  .log = digest_of(VIEW("log"))};
    if (answer->failure == FAILURE_NONE) {
        statement.payload = answer->payload != NULL ? *answer->payload : package->payload.manifest;
        statement.tar = package->payload.tar;
    }
    memcpy(statement.nonce.bytes, answer->nonce.bytes, sizeof statement.nonce.bytes);
    size_t signer = answer->signer != NULL ? *answer->signer : worker;
    must(statement_sign(&statement, identity_keys(rig->keys->workers[signer]), ret, &diag), &diag);
}

struct wire_message *rig_answer(struct rig *rig, size_t worker, const struct rig_answer *answer)
{
    const struct rig_package *package = &rig->packages[answer->package];
    CLEANUP_BUF struct buf envelope = BUF_INIT;
    struct digest log = digest_of(VIEW("log"));
    Wire__Result result = WIRE__RESULT__INIT;
    rig_sign(rig, worker, answer, &envelope);
    result.nonce = wire_digest(&answer->nonce);
    result.job_key = wire_digest(&package->job);
    result.envelope = wire_bytes(buf_view(&envelope));
    result.log = wire_digest(&log);
    if (answer->failure == FAILURE_NONE) {
        result.manifest = wire_digest(answer->payload != NULL ? answer->payload : &package->payload.manifest);
        result.tar = wire_digest(&package->payload.tar);
    }
    rig_say(rig, worker, WIRE_RESULT, &result.base);
    rig_turn(rig);
    struct wire_message *ack = rig_heard(rig, worker, WIRE_RESULT_ACK);
    assert_non_null(ack);
    return ack;
}

static void answer_honestly(struct rig *rig, size_t package, size_t worker)
{
    struct rig_answer answer = {.package = package, .nonce = rig_lease(rig, worker)};
    struct wire_message *ack = rig_answer(rig, worker, &answer);
    assert_int_equal(ack->result_ack->code, WIRE_ACK_ACCEPTED);
    wire_free(ack);
}

void rig_agree(struct rig *rig, size_t package, size_t first, size_t second)
{
    answer_honestly(rig, package, first);
    answer_honestly(rig, package, second);
}

void rig_sql(struct rig *rig, const char *sql)
{
    CLEANUP_FREE char *path = mem_format("%s/farm.db", rig->path);
    char *error = NULL;
    sqlite3 *db;
    assert_null(rig->farm);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, "PRAGMA foreign_keys = OFF", NULL, NULL, NULL) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s", error);
    assert_true(sqlite3_total_changes(db) > 0);
    sqlite3_close(db);
}
