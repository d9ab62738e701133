/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-worker as a witness: the program runs, and this test is the coordinator, with a log of its own, a trust root and a directory. It
 * tells the truth until it lies. Real sockets; nothing is built. The tests go on where the one before them left off.
 */
#include "watched_log.h"

#include "../signing/farm_fixture.h"
#include "bulk.h"
#include "file.h"
#include "join.h"
#include "json.h"
#include "moment.h"
#include "spool.h"
#include "statedir.h"
#include "wire.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 40000 };
#define ORIGIN "intergenos-farm/played"

static char top[64], state[96];
static struct farm_fixture *farm;
static struct watched_log farm_log, other_log;
static const struct watched_log *shown; /* which of them answers */
static uint64_t shown_size;
static bool silent_about_answers; /* inclusions are left out */
static bool calling;              /* a call comes before each answer */
static struct buf roots[3];       /* root.json of versions 1 and 2; [0] is unused */
static uint64_t newest_root = 1;
static struct digest directory;
static struct store *store;
static struct link_gate *gate;
static struct link_server *server;
static struct bulk_server *bulk;
static unsigned char server_public[LINK_KEY_SIZE];
static struct note_key worker_key; /* its cosignatures' */
static pid_t worker;
static int trust_asks, log_asks; /* how often it asked */
static uint64_t last_known;      /* what it said to know of the log */

static void must(int error, const struct diag *diag)
{
    if (error < 0)
        fail_msg("%s", diag_text(diag, error));
}

/* ---- the program ---- */

static pid_t start(char *const argv[], const char *output)
{
    pid_t pid = fork();
    if (pid == 0) {
        int fd = open(output, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
            _exit(127);
        execv(FARM_WORKER, argv);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* farm-worker COMMAND [WHAT] --state ...: its exit status, and what it said. */
static int command(const char *name, const char *what, struct buf *ret_said)
{
    CLEANUP_FREE char *file = mem_format("%s/said", top);
    char *argv[] = {(char *)"farm-worker", (char *)name, (char *)"--state", state, (char *)what, NULL};
    unlink(file);
    int status = wait_for(start(argv, file));
    buf_clear(ret_said);
    assert_int_equal(file_read(AT_FDCWD, file, 65536, ret_said, NULL), 0);
    return status;
}

static void expect_said(const char *name, const char *what, int status, const char *text)
{
    CLEANUP_BUF struct buf said = BUF_INIT;
    assert_int_equal(command(name, what, &said), status);
    if (strstr(said.data, text) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", said.data, text);
}

static void start_worker(void)
{
    const char *show = getenv("FARM_TEST_SHOW"); /* a file for the worker's log */
    CLEANUP_FREE char *file = show != NULL ? mem_string(show) : mem_format("%s/worker.log", top);
    char *const argv[] = {(char *)"farm-worker", (char *)"run", (char *)"--state", state, NULL};
    worker = start(argv, file);
}

static void kill_worker(void)
{
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_int_equal(wait_for(worker), -SIGKILL);
    worker = 0;
}

/* ---- the coordinator ---- */

static void say(int type, const ProtobufCMessage *body)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    must(wire_encode(type, body, &frame, &diag), &diag);
    must(link_server_send(server, "attic", buf_view(&frame), &diag), &diag);
}

static void say_welcome(void)
{
    Wire__Welcome welcome = WIRE__WELCOME__INIT;
    welcome.protocol_version = WIRE_PROTOCOL_VERSION;
    welcome.session = wire_text("1");
    welcome.heartbeat_ms = 200;
    welcome.bulk_endpoint = strrchr(bulk_server_endpoint(bulk), ':');
    welcome.software = wire_text("test");
    say(WIRE_WELCOME, &welcome.base);
}

static void answer_trust(const Wire__TrustAsk *ask)
{
    Wire__TrustAnswer answer = WIRE__TRUST_ANSWER__INIT;
    ProtobufCBinaryData signatures[2];
    char *texts[2] = {NULL, NULL};
    trust_asks++;
    answer.newest_root = newest_root;
    answer.directory_version = (uint64_t)farm->directory->version;
    answer.directory = wire_digest(&directory);
    if (ask->root_version < newest_root) {
        struct view root = buf_view(&roots[ask->root_version + 1]);
        for (size_t i = 0; i < 2; i++) {
            texts[i] = farm_fixture_sign(farm->people[i], SSHSIG_NAMESPACE_ROOT, root);
            signatures[i] = wire_bytes(view_text(texts[i]));
        }
        answer.root_version = ask->root_version + 1;
        answer.root = wire_bytes(root);
        answer.signatures = signatures;
        answer.n_signatures = 2;
    }
    say(WIRE_TRUST_ANSWER, &answer.base);
    free(texts[0]);
    free(texts[1]);
}

static void fill_hashes(const struct tlog_proof *proof, ProtobufCBinaryData *ret)
{
    for (size_t i = 0; i < proof->count; i++)
        ret[i] = wire_digest(&proof->hashes[i]);
}

/* "Somebody waits for cosignatures." */
static void call(void)
{
    Wire__LogAnswer nothing = WIRE__LOG_ANSWER__INIT;
    say(WIRE_LOG_ANSWER, &nothing.base);
}

/* Who says how much of the log it saw shows it, signed by the log: a restored coordinator believes nothing else. */
static void expect_proof(const Wire__LogAsk *ask)
{
    struct checkpoint kept = {.size = 0};
    const struct root_log first = watched_log_root(&farm_log), second = watched_log_root(&other_log);
    if (ask->known_size > 0 && note_open_checkpoint(wire_view(&ask->checkpoint), &first.key, &kept, NULL) < 0)
        assert_int_equal(note_open_checkpoint(wire_view(&ask->checkpoint), &second.key, &kept, NULL), 0);
    assert_int_equal(kept.size, ask->known_size);
}

static void answer_log(const Wire__LogAsk *ask)
{
    struct witness_ask question = {.npositions = ask->n_positions};
    Wire__LogAnswer message = WIRE__LOG_ANSWER__INIT;
    Wire__LogInclusion inclusions[WITNESS_POSITIONS_MAX], *list[WITNESS_POSITIONS_MAX];
    ProtobufCBinaryData consistency[TLOG_PROOF_MAX], paths[WITNESS_POSITIONS_MAX][TLOG_PROOF_MAX];
    if (calling)
        call();
    log_asks++;
    expect_proof(ask);
    last_known = question.known.size = ask->known_size;
    for (size_t i = 0; i < ask->n_positions; i++)
        question.positions[i] = ask->positions[i];
    struct watched_answer *answer = watched_log_answer(shown, &question, shown_size);
    message.checkpoint = wire_bytes(answer->answer.note);
    fill_hashes(&answer->answer.consistency, consistency);
    message.consistency = consistency;
    message.n_consistency = answer->answer.consistency.count;
    for (size_t i = 0; !silent_about_answers && i < answer->answer.ninclusions; i++) {
        const struct witness_inclusion *from = &answer->answer.inclusions[i];
        wire__log_inclusion__init(&inclusions[i]);
        inclusions[i].position = from->position;
        inclusions[i].entry = wire_bytes(from->entry);
        fill_hashes(&from->path, paths[i]);
        inclusions[i].path = paths[i];
        inclusions[i].n_path = from->path.count;
        list[message.n_inclusions++] = &inclusions[i];
    }
    message.inclusions = list;
    say(WIRE_LOG_ANSWER, &message.base);
    watched_answer_free(answer);
}

/* What it is asked is answered at once; everything else is the test's. */
static bool is_routine(const struct wire_message *message)
{
    switch ((enum wire_from_worker)message->type) {
    case WIRE_TRUST_ASK:
        answer_trust(message->trust_ask);
        return true;
    case WIRE_LOG_ASK:
        answer_log(message->log_ask);
        return true;
    case WIRE_HEARTBEAT:
    case WIRE_PROGRESS:
        return true;
    case WIRE_HELLO:
    case WIRE_LEASE_REFUSE:
    case WIRE_RESULT:
    case WIRE_STATUS:
    case WIRE_GOODBYE:
    case WIRE_COSIGN:
        return false;
    }
    return false;
}

/* One message that is not routine; NULL if none came in this time. */
static struct wire_message *hear_any(int64_t patience_ms)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    for (int64_t end = moment_steady_ms() + patience_ms; moment_steady_ms() < end;) {
        struct link_peer peer;
        struct wire_message *message = NULL;
        struct link_poll_item item = LINK_POLL_SERVER(server);
        must(link_poll(&item, 1, 100, &diag), &diag);
        int got = link_server_receive(server, &peer, &frame, &diag);
        must(got, &diag);
        if (got == 0)
            continue;
        must(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, &diag), &diag);
        if (!is_routine(message))
            return message;
        wire_free(message);
    }
    return NULL;
}

static struct wire_message *hear(enum wire_from_worker type)
{
    struct wire_message *message = hear_any(PATIENCE_MS);
    if (message == NULL)
        fail_msg("no %s came", wire_type_name((int)type));
    assert(message != NULL);
    if (message->type != (int)type)
        fail_msg("%s instead of %s: %s", wire_type_name(message->type), wire_type_name((int)type),
                 message->type == WIRE_STATUS ? message->status->text : "");
    return message;
}

/* In whatever order. */
static void hear_both(enum wire_from_worker one, enum wire_from_worker other)
{
    struct wire_message *message = hear_any(PATIENCE_MS);
    if (message == NULL || (message->type != (int)one && message->type != (int)other))
        fail_msg("neither %s nor %s came", wire_type_name((int)one), wire_type_name((int)other));
    assert(message != NULL);
    bool was_one = message->type == (int)one;
    wire_free(message);
    wire_free(hear(was_one ? other : one));
}

static void meet(void)
{
    wire_free(hear(WIRE_HELLO));
    say_welcome();
}

/* The worker's own signature, over exactly this log at this size. */
static void expect_cosignature(const struct watched_log *log, uint64_t size)
{
    struct wire_message *message = hear(WIRE_COSIGN);
    struct checkpoint checkpoint = watched_log_checkpoint(log, size);
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct signature signature;
    assert_int_equal(message->cosign->size, size);
    assert_int_equal(message->cosign->signature.len, sizeof signature.bytes);
    memcpy(signature.bytes, message->cosign->signature.data, sizeof signature.bytes);
    note_cosigned_text(&checkpoint, message->cosign->time_s, &text);
    assert_true(keys_verify(&worker_key.key, buf_view(&text), &signature));
    wire_free(message);
}

static void expect_status(bool paused, const char *text)
{
    struct wire_message *message = hear(WIRE_STATUS);
    if (message->status->paused != paused || strstr(message->status->text, text) == NULL)
        fail_msg("paused %d: %s", message->status->paused, message->status->text);
    wire_free(message);
}

/* Nothing but routine for a while, and it goes on asking nothing. */
static void expect_quiet(int64_t ms)
{
    struct wire_message *message = hear_any(ms);
    if (message != NULL)
        fail_msg("%s came", wire_type_name(message->type));
}

/* The alarm is told to the owner, and no lease is taken. */
static void expect_refusal_of_leases(const char *text)
{
    Wire__Lease lease = WIRE__LEASE__INIT;
    Wire__Tree tree = WIRE__TREE__INIT;
    Wire__Payload base = WIRE__PAYLOAD__INIT;
    Wire__Resources resources = WIRE__RESOURCES__INIT;
    struct digest any = digest_of(VIEW("any"));
    tree.url = wire_text("https://example.org/tree");
    tree.commit = wire_text("0123456789012345678901234567890123456789");
    tree.tree_sha256 = base.manifest = base.tar = lease.nonce = lease.job_key = wire_digest(&any);
    lease.node = wire_text("extra/hello");
    lease.tree = &tree;
    lease.base_image = &base;
    lease.resources = &resources;
    say(WIRE_LEASE, &lease.base);
    struct wire_message *message = hear(WIRE_LEASE_REFUSE);
    assert_int_equal(message->lease_refuse->reason, WIRE_REFUSE_PAUSED);
    if (strstr(message->lease_refuse->text, text) == NULL)
        fail_msg("refused: %s", message->lease_refuse->text);
    wire_free(message);
}

/* ---- set-up ---- */

static void give_log(struct root *root, const struct watched_log *log)
{
    root->log = watched_log_root(log);
    root->log.threshold = 2;
    root->log.witnesses = mem_zero(2, sizeof *root->log.witnesses);
    root->log.witnesses[root->log.nwitnesses++] = mem_string("alpha");
    root->log.witnesses[root->log.nwitnesses++] = mem_string("beta");
}

static void make_root(void)
{
    farm->root->expires_ms = moment_wall_ms() / 1000 * 1000 + 86400000;
    give_log(farm->root, &farm_log);
    root_write(farm->root, &roots[1]);
}

/* Version 2 names the other log, which begins where the first one ended. */
static void make_next_root(void)
{
    struct root *root = farm->root;
    root->version = 2;
    root->log.key = watched_log_root(&other_log).key;
    root->log.previous = watched_log_checkpoint(&farm_log, farm_log.count);
    root_write(root, &roots[2]);
}

static int publish_directory(struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    farm->directory->expires_ms = farm->root->expires_ms;
    directory_write(farm->directory, &text);
    return store_put(store, buf_view(&text), &directory, diag);
}

static int open_farm(struct diag *diag)
{
    unsigned char secret[LINK_KEY_SIZE];
    struct link_server_options options = {
        .endpoint = "tcp://127.0.0.1:*", .secret_key = secret, .frame_max = WIRE_CONTROL_MAX};
    int error = link_keypair(server_public, secret, diag);
    gate = link_gate_new();
    options.gate = gate;
    if (error >= 0)
        error = store_open(AT_FDCWD, "farm-store", 1, &store, diag);
    if (error >= 0)
        error = link_server_new(&options, &server, diag);
    const struct bulk_server_options bulk_options = {.link = options, .store = store};
    return error >= 0 ? bulk_server_new(&bulk_options, &bulk, diag) : error;
}

static int init_worker(void)
{
    struct join join = {.root = digest_of(buf_view(&roots[1]))};
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_FREE char *said = mem_format("%s/init", top);
    snprintf(join.endpoint, sizeof join.endpoint, "%s", link_server_endpoint(server) + strlen("tcp://"));
    memcpy(join.curve, server_public, sizeof join.curve);
    join_write(&join, &text);
    char *const argv[] = {(char *)"farm-worker",
                          (char *)"init",
                          (char *)"--join",
                          text.data,
                          (char *)"--operator",
                          (char *)"alpha",
                          (char *)"--worker",
                          (char *)"attic",
                          (char *)"--state",
                          state,
                          (char *)"--cores",
                          (char *)"2",
                          (char *)"--memory",
                          (char *)"1G",
                          (char *)"--disk",
                          (char *)"1G",
                          NULL};
    return wait_for(start(argv, said));
}

/* Its request, signed by its operator and by the enrolment role. */
static int admit_worker(struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *json = NULL;
    CLEANUP_FREE char *path = mem_format("%s/" STATEDIR_REQUEST, state);
    const char *curve = "", *ed25519 = "";
    struct directory_entry entry = farm_fixture_entry(farm, 0);
    int error = file_read(AT_FDCWD, path, 65536, &text, diag);
    if (error >= 0)
        error = json_read(buf_view(&text), path, 65536, &json, diag);
    if (error >= 0)
        error = json_get_text(json, path, "curve", &curve, diag);
    if (error >= 0)
        error = json_get_text(json, path, "ed25519", &ed25519, diag);
    if (error < 0 || !hex_decode(view_text(curve), entry.curve, sizeof entry.curve) ||
        !keys_public_parse(view_text(ed25519), &entry.ed25519))
        return FARM_E_SYNTAX;
    free(entry.worker);
    entry.worker = mem_string("attic");
    worker_key = (struct note_key){.name = "alpha/attic", .type = NOTE_COSIGNATURE, .key = entry.ed25519};
    farm_fixture_sign_entry(&entry, farm->operators[0]);
    farm_fixture_sign_entry(&entry, farm->enrolment);
    error = directory_add(farm->directory, &entry, diag);
    if (error >= 0)
        error = publish_directory(diag);
    if (error >= 0)
        error = link_gate_admit(gate, entry.curve, "attic", diag);
    directory_entry_done(&entry);
    return error;
}

static int set_up(void **unused)
{
    (void)unused;
    struct diag diag = DIAG_INIT;
    strcpy(top, "/var/tmp/farm-witnessing-XXXXXX");
    if (mkdtemp(top) == NULL || chdir(top) < 0)
        return -1;
    snprintf(state, sizeof state, "%s/state", top);
    link_tune_memory();
    farm = farm_fixture_new();
    watched_log_init(&farm_log, ORIGIN, 1);
    watched_log_grow(&farm_log, 4);
    watched_log_init(&other_log, ORIGIN "-2", 2);
    watched_log_grow(&other_log, 3);
    shown = &farm_log;
    shown_size = 4;
    int error = open_farm(&diag);
    make_root();
    if (error >= 0 && init_worker() != 0)
        error = diag_set(&diag, FARM_E_FAILED, "init");
    if (error >= 0)
        error = admit_worker(&diag);
    if (error < 0)
        print_message("set-up: %s\n", diag_text(&diag, error));
    return error < 0 ? -1 : 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    if (worker > 0 && kill(worker, SIGKILL) == 0)
        waitpid(worker, NULL, 0);
    bulk_server_free(bulk);
    link_server_free(server);
    link_gate_free(gate);
    store_close(store);
    watched_log_done(&farm_log);
    watched_log_done(&other_log);
    buf_done(&roots[1]);
    buf_done(&roots[2]);
    farm_fixture_free(farm);
    return file_remove_tree(AT_FDCWD, top, NULL);
}

/* ---- tests ---- */

/* From the pin to the root and the directory, none of which its owner gave it; then the log. */
static void follows_and_cosigns(void **unused)
{
    (void)unused;
    start_worker();
    meet();
    expect_cosignature(&farm_log, 4);
    assert_true(trust_asks >= 1);
    CLEANUP_BUF struct buf said = BUF_INIT;
    assert_int_equal(command("cosigned", NULL, &said), 0);
    struct note note = NOTE_INIT;
    struct root_log log = watched_log_root(&farm_log);
    uint64_t time_s = 0;
    assert_int_equal(note_parse(buf_view(&said), &note, NULL), 0);
    assert_int_equal(note_check(&note, &worker_key, &time_s, NULL), 1);
    assert_int_equal(note_check(&note, &log.key, NULL, NULL), 1);
    assert_true(time_s > 1700000000);
    note_done(&note);
    expect_quiet(1500); /* status.json is written once a second */
    expect_said("status", NULL, 0, "trust root: version 1");
    expect_said("status", NULL, 0, "worker directory version 1");
    expect_said("status", NULL, 0, ORIGIN ", 4 entries seen");
    expect_said("alarm", "show", 0, "no alarm stands");
}

/* An answer that was acknowledged is proven before the next checkpoint is cosigned, and a kill in between loses nothing. */
static void K3_own_answers_are_asked_for(void **unused)
{
    (void)unused;
    struct diag diag = DIAG_INIT;
    kill_worker();
    struct spool_entry entry = {
        .nonce = watched_nonce(1), .node = (char *)"extra/zlib", .envelope = (char *)"{}"};
    CLEANUP_CLOSE int fd = file_open_dir(AT_FDCWD, state, &diag);
    must(spool_put(fd, &entry, &diag), &diag);
    struct stat owner;
    CLEANUP_FREE char *file = mem_format(STATEDIR_SPOOL "/%s.json", spool_nonce_text(&entry.nonce).text);
    if (fstat(fd, &owner) < 0 || fchownat(fd, file, owner.st_uid, owner.st_gid, 0) < 0)
        fail_msg("%s", strerror(errno));
    start_worker();
    meet();
    hear_both(WIRE_RESULT, WIRE_COSIGN); /* the checkpoint is cosigned once more on each connection */
    struct logentry logged = {
        .kind = LOG_ENVELOPE, .job = entry.job, .nonce = entry.nonce, .sha256 = digest_of(VIEW("{}"))};
    watched_log_add(&farm_log, &logged);
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    ack.nonce = wire_bytes(view_of(entry.nonce.bytes, sizeof entry.nonce.bytes));
    ack.code = WIRE__ACK_CODE__ACK_ACCEPTED;
    ack.log_entry = 5;
    say(WIRE_RESULT_ACK, &ack.base);
    for (int64_t end = moment_steady_ms() + PATIENCE_MS; faccessat(fd, file, F_OK, 0) == 0; usleep(10000))
        assert_true(moment_steady_ms() < end);
    kill_worker(); /* it has left the spool, and nothing was proven */
    silent_about_answers = true;
    shown_size = 5;
    start_worker();
    meet();
    int before = log_asks;
    while (log_asks < before + 2)
        expect_quiet(500); /* no cosignature without the proof */
    silent_about_answers = false;
    expect_cosignature(&farm_log, 5);
    assert_int_equal(last_known, 5); /* the checkpoint was kept all the same */
}

/* A call makes it look at once; one that crosses a question is no answer to it. */
static void a_call_is_followed(void **unused)
{
    (void)unused;
    calling = true;
    for (int64_t end = moment_steady_ms() + 7000; moment_steady_ms() < end;) /* until it is idle */
        expect_quiet(1000);
    watched_log_grow(&farm_log, 1);
    shown_size = 6;
    int asked = log_asks;
    call();
    expect_cosignature(&farm_log, 6);
    assert_true(log_asks > asked);
    calling = false;
}

/* The same key, another past. */
static void L1_a_fork_is_an_alarm(void **unused)
{
    (void)unused;
    struct watched_log fork;
    struct logentry other = {.kind = LOG_PLAN, .sha256 = digest_of(VIEW("other"))};
    watched_log_init(&fork, ORIGIN, 1);
    watched_log_copy(&fork, &farm_log, 3);
    watched_log_add(&fork, &other);
    watched_log_grow(&fork, 4);
    shown = &fork;
    shown_size = 8;
    kill_worker();
    start_worker();
    meet(); /* it asks after Welcome */
    expect_status(true, "alarm: the log shows another history than before");
    expect_refusal_of_leases("the log shows another history than before");
    expect_said("status", NULL, 0, "ALARM since ");
    expect_said("alarm", "show", 1, "nothing proves that it contains them");
    int asked = log_asks;
    expect_quiet(2000); /* neither questions nor cosignatures */
    assert_int_equal(log_asks, asked);
    kill_worker(); /* the truth again, and a restart: the alarm stands */
    shown = &farm_log;
    shown_size = 6;
    start_worker();
    meet();
    expect_status(true, "alarm: the log shows another history than before");
    expect_refusal_of_leases("the log shows another history than before");
    watched_log_done(&fork);
    assert_int_equal(log_asks, asked);
}

static void the_owner_clears_it(void **unused)
{
    (void)unused;
    expect_said("alarm", "clear", 0, "expected: a history that begins with the 6 entries");
    expect_status(false, "nothing is in the way");
    expect_cosignature(&farm_log, 6);
    expect_said("alarm", "show", 0, "no alarm stands");
}

static void L2_a_shrunken_tree_is_an_alarm(void **unused)
{
    (void)unused;
    shown_size = 5;
    kill_worker();
    start_worker();
    meet();
    expect_status(true, "alarm: the log has lost entries");
    expect_said("alarm", "show", 1, "entries are gone");
    expect_said("alarm", "clear", 0, "entries are gone");
    shown_size = 6;
    expect_status(false, "nothing is in the way");
    expect_cosignature(&farm_log, 6);
}

/* After a loss, the root names another log; without it, a new log is nothing. */
static void a_new_log_comes_with_a_root(void **unused)
{
    (void)unused;
    kill_worker();
    shown = &other_log;
    shown_size = 3;
    start_worker();
    meet();
    expect_quiet(3000); /* not the root's log: nothing is cosigned, and nobody is accused */
    make_next_root();
    newest_root = 2;
    kill_worker();
    start_worker();
    meet();
    expect_cosignature(&other_log, 3);
    expect_quiet(1500);
    expect_said("status", NULL, 0, "trust root: version 2");
}

static void K4_an_older_root_is_an_alarm(void **unused)
{
    (void)unused;
    newest_root = 1;
    kill_worker();
    start_worker();
    meet();
    expect_status(true, "alarm: the farm shows another trust root than before");
    expect_said("alarm", "show", 1, "says that version 1 is the newest");
    expect_refusal_of_leases("another trust root");
    expect_said("alarm", "clear", 0, "says that version 1 is the newest");
    expect_status(false, "nothing is in the way");
    expect_status(true, "another trust root"); /* it is still so */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_and_cosigns),         cmocka_unit_test(K3_own_answers_are_asked_for),
        cmocka_unit_test(a_call_is_followed),          cmocka_unit_test(L1_a_fork_is_an_alarm),
        cmocka_unit_test(the_owner_clears_it),         cmocka_unit_test(L2_a_shrunken_tree_is_an_alarm),
        cmocka_unit_test(a_new_log_comes_with_a_root), cmocka_unit_test(K4_an_older_root_is_an_alarm),
    };
    return cmocka_run_group_tests_name("witnessing", tests, set_up, tear_down);
}
