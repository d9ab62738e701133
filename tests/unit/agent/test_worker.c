/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * farm-worker as its owner and a coordinator see it: the program runs, and this test is the coordinator, with
 * real sockets, a real store and real builds.
 */
#include "fixture.h"

#include "bulk.h"
#include "file.h"
#include "join.h"
#include "json.h"
#include "moment.h"
#include "statedir.h"
#include "statement.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 30000 };

static char top[64], state[96];
static struct fixture fixture;
static struct store *store;
static struct link_gate *gate;
static struct link_server *server;
static struct bulk_server *bulk;
static unsigned char server_public[LINK_KEY_SIZE];
static struct public_key worker_key;
static pid_t worker;
static unsigned char serial;
static bool show; /* FARM_TEST_SHOW: let the worker's log through */

static void must(int error, const struct diag *diag)
{
    if (error < 0)
        fail_msg("%s", diag_text(diag, error));
}

/* ---- the program ---- */

static pid_t start(char *const argv[], bool quiet)
{
    pid_t pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        if (quiet && !show && (dup2(null, 1) < 0 || dup2(null, 2) < 0))
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

/* farm-worker COMMAND --state ...: its exit status. */
static int command(const char *name)
{
    char *const argv[] = {(char *)"farm-worker", (char *)name, (char *)"--state", state, NULL};
    return wait_for(start(argv, true));
}

static void start_worker(void)
{
    char *const argv[] = {(char *)"farm-worker", (char *)"run", (char *)"--state", state, NULL};
    worker = start(argv, true);
}

/* ---- the coordinator ---- */

static void say(int type, const ProtobufCMessage *body)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    must(wire_encode(type, body, &frame, &diag), &diag);
    must(link_server_send(server, "attic", buf_view(&frame), &diag), &diag);
}

/* The next message that is neither a heartbeat nor progress, unless that is what is waited for. */
static struct wire_message *hear(enum wire_from_worker type)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_BUF struct buf frame = BUF_INIT;
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (moment_steady_ms() < end) {
        struct link_peer peer;
        struct wire_message *message = NULL;
        struct link_poll_item item = LINK_POLL_SERVER(server);
        must(link_poll(&item, 1, 200, &diag), &diag);
        int got = link_server_receive(server, &peer, &frame, &diag);
        must(got, &diag);
        if (got == 0)
            continue;
        must(wire_decode(WIRE_FROM_WORKER, buf_view(&frame), &message, &diag), &diag);
        if (message->type == (int)type)
            return message;
        if (message->type != WIRE_HEARTBEAT && message->type != WIRE_PROGRESS)
            fail_msg("%s instead of %s", wire_type_name(message->type), wire_type_name((int)type));
        wire_free(message);
    }
    fail_msg("no %s came", wire_type_name((int)type));
    return NULL;
}

static void expect(enum wire_from_worker type)
{
    wire_free(hear(type));
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

/* Hello, which must say that it still has this many leases; then Welcome. */
static void meet(size_t running, const unsigned char *nonce)
{
    struct wire_message *message = hear(WIRE_HELLO);
    assert_string_equal(message->hello->worker, "attic");
    assert_string_equal(message->hello->operator_name, "alice");
    assert_int_equal(message->hello->slots, 1);
    assert_int_equal(message->hello->facts->cores, 2);
    assert_int_equal(message->hello->n_running, running);
    if (running > 0)
        assert_memory_equal(message->hello->running[0]->nonce.data, nonce, 32);
    wire_free(message);
    say_welcome();
}

/* *ret_nonce: 32 bytes. */
static void lease(const char *node, bool honest, unsigned char *ret_nonce)
{
    struct diag diag = DIAG_INIT;
    struct digest key = digest_of(VIEW("another job"));
    struct fixture_lease message;
    CLEANUP_CLOSE int tree = file_open_dir(AT_FDCWD, "tree", &diag);
    must(tree, &diag);
    memset(ret_nonce, 0, 32);
    ret_nonce[0] = ++serial;
    if (honest)
        must(fixture_key(&fixture, tree, node, NULL, 0, &key, &diag), &diag);
    fixture_lease(&fixture, ret_nonce, node, &key, NULL, 0, &message);
    message.lease.log_live = true;
    say(WIRE_LEASE, &message.lease.base);
}

static void acknowledge(const unsigned char *nonce, enum wire_ack code)
{
    Wire__ResultAck ack = WIRE__RESULT_ACK__INIT;
    ack.nonce = wire_bytes(view_of(nonce, 32));
    ack.code = (Wire__AckCode)code;
    say(WIRE_RESULT_ACK, &ack.base);
}

/* A statement about this lease by the worker's key, and everything that it names is here. */
static void check_result(const Wire__Result *result, const unsigned char *nonce, enum failure_kind failure)
{
    struct diag diag = DIAG_INIT;
    CLEANUP_STATEMENT struct statement *statement = NULL;
    must(statement_open(wire_view(&result->envelope), &worker_key, &statement, &diag), &diag);
    assert_memory_equal(statement->nonce.bytes, nonce, 32);
    assert_int_equal(statement->failure, failure);
    assert_true(store_has(store, &statement->log));
    if (failure == FAILURE_NONE) {
        assert_true(store_has(store, &statement->payload));
        assert_true(store_has(store, &statement->tar));
    }
}

static void refused(const unsigned char *nonce, enum wire_refuse_reason reason)
{
    struct wire_message *message = hear(WIRE_LEASE_REFUSE);
    assert_memory_equal(message->lease_refuse->nonce.data, nonce, 32);
    if ((int)message->lease_refuse->reason != (int)reason)
        fail_msg("reason %d: %s", (int)message->lease_refuse->reason, message->lease_refuse->text);
    wire_free(message);
}

static size_t files_in(const char *name)
{
    CLEANUP_FREE char *path = mem_format("%s/%s", state, name);
    size_t count = 0;
    DIR *stream = opendir(path);
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void becomes_empty(const char *name)
{
    for (int64_t end = moment_steady_ms() + PATIENCE_MS; files_in(name) > 0; usleep(20000))
        if (moment_steady_ms() > end)
            fail_msg("%s is not empty", name);
}

/* ---- set-up ---- */

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
        error = fixture_put(&fixture, store, diag);
    if (error >= 0)
        error = link_server_new(&options, &server, diag);
    const struct bulk_server_options bulk_options = {.link = options, .store = store};
    return error >= 0 ? bulk_server_new(&bulk_options, &bulk, diag) : error;
}

static int init_worker(void)
{
    struct join join = {{0}, {0}, {{0}}};
    CLEANUP_BUF struct buf text = BUF_INIT;
    snprintf(join.endpoint, sizeof join.endpoint, "%s", link_server_endpoint(server) + strlen("tcp://"));
    memcpy(join.curve, server_public, sizeof join.curve);
    join_write(&join, &text);
    char *const argv[] = {(char *)"farm-worker",
                          (char *)"init",
                          (char *)"--join",
                          text.data,
                          (char *)"--operator",
                          (char *)"alice",
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
                          (char *)"--allow-tree",
                          (char *)"https://example.org/tree",
                          NULL};
    return wait_for(start(argv, true));
}

static int admit_worker(struct diag *diag)
{
    CLEANUP_BUF struct buf text = BUF_INIT;
    CLEANUP_JSON json_t *json = NULL;
    CLEANUP_FREE char *path = mem_format("%s/" STATEDIR_REQUEST, state);
    const char *curve, *ed25519;
    unsigned char key[LINK_KEY_SIZE];
    int error = file_read(AT_FDCWD, path, 65536, &text, diag);
    if (error >= 0)
        error = json_read(buf_view(&text), path, 65536, &json, diag);
    if (error >= 0)
        error = json_get_text(json, path, "curve", &curve, diag);
    if (error >= 0)
        error = json_get_text(json, path, "ed25519", &ed25519, diag);
    if (error < 0)
        return error;
    if (!hex_decode(view_text(curve), key, sizeof key) || !keys_public_parse(view_text(ed25519), &worker_key))
        return FARM_E_SYNTAX;
    return link_gate_admit(gate, key, "attic", diag);
}

static int set_up(void **unused)
{
    (void)unused;
    struct diag diag = DIAG_INIT;
    show = getenv("FARM_TEST_SHOW") != NULL;
    strcpy(top, "/var/tmp/farm-worker-XXXXXX");
    if (mkdtemp(top) == NULL)
        return -1;
    snprintf(state, sizeof state, "%s/closed/state", top); /* below what the build user cannot walk through */
    link_tune_memory();
    int error = fixture_make(top, &fixture, &diag);
    if (error >= 0 && mkdir("closed", 0700) < 0)
        error = -errno;
    if (error >= 0)
        error = open_farm(&diag);
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
    return file_remove_tree(AT_FDCWD, top, NULL);
}

/* ---- tests; each goes on where the one before it left off ---- */

static void joins(void **unused)
{
    (void)unused;
    assert_int_equal(command("status"), 0);
    assert_int_equal(init_worker(), 0); /* the same again */
    start_worker();
    meet(0, NULL);
    expect(WIRE_HEARTBEAT);
    assert_int_equal(command("run"), 1); /* one at a time */
}

/* K1 */
static void k1_refuses_another_spec(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    lease("extra/hello", false, nonce);
    refused(nonce, WIRE_REFUSE_SPEC);
}

static void builds(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    lease("extra/hello", true, nonce);
    struct wire_message *message = hear(WIRE_RESULT);
    check_result(message->result, nonce, FAILURE_NONE);
    wire_free(message);
    acknowledge(nonce, WIRE_ACK_AGAIN); /* as if the objects had been lost */
    expect(WIRE_RESULT);
    acknowledge(nonce, WIRE_ACK_ACCEPTED);
    becomes_empty(STATEDIR_SPOOL);
    becomes_empty(STATEDIR_BUILDS);
    lease("extra/fails", true, nonce);
    message = hear(WIRE_RESULT);
    check_result(message->result, nonce, FAILURE_BUILD);
    wire_free(message);
    acknowledge(nonce, WIRE_ACK_ACCEPTED);
    becomes_empty(STATEDIR_SPOOL);
}

static void kill_worker(void)
{
    assert_int_equal(kill(worker, SIGKILL), 0);
    assert_int_equal(wait_for(worker), -SIGKILL);
}

/* An answer that nobody acknowledged comes again, the very same, after kill -9. */
static void answers_survive(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    lease("extra/hello", true, nonce);
    struct wire_message *first = hear(WIRE_RESULT);
    kill_worker();
    assert_int_equal(files_in(STATEDIR_SPOOL), 1);
    start_worker();
    meet(1, nonce);
    struct wire_message *second = hear(WIRE_RESULT);
    assert_true(view_equal(wire_view(&first->result->envelope), wire_view(&second->result->envelope)));
    wire_free(first);
    wire_free(second);
    acknowledge(nonce, WIRE_ACK_EVIDENCE);
    becomes_empty(STATEDIR_SPOOL);
}

static void wait_for_build(void)
{
    struct wire_message *message;
    do {
        message = hear(WIRE_PROGRESS);
        bool builds_now = (int)message->progress->phase == WIRE_PHASE_BUILD;
        wire_free(message);
        if (builds_now)
            return;
    } while (true);
}

static void cancelling(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    Wire__LeaseCancel cancel = WIRE__LEASE_CANCEL__INIT;
    lease("extra/slow", true, nonce);
    wait_for_build();
    cancel.nonce = wire_bytes(view_of(nonce, 32));
    cancel.reason = wire_text("the test says so");
    say(WIRE_LEASE_CANCEL, &cancel.base);
    becomes_empty(STATEDIR_BUILDS);
    lease("extra/hello", true, nonce); /* the slot is free again */
    expect(WIRE_RESULT);
    acknowledge(nonce, WIRE_ACK_ACCEPTED);
}

/* kill -9 in the middle: nothing of the build is left, and the lease is not claimed any more. */
static void dies_while_building(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    lease("extra/slow", true, nonce);
    wait_for_build();
    kill_worker();
    start_worker();
    meet(0, NULL);
    becomes_empty(STATEDIR_BUILDS);
}

static void forgotten_session(void **unused)
{
    (void)unused;
    Wire__Refused message = WIRE__REFUSED__INIT;
    message.code = (uint32_t)-FARM_E_STATE;
    message.text = wire_text("say Hello first");
    say(WIRE_REFUSED, &message.base);
    meet(0, NULL);
}

/* A Hello or its Welcome may be lost, when the coordinator ends between the two: nobody waits for it for ever. */
static void unheard_hello(void **unused)
{
    (void)unused;
    Wire__Refused message = WIRE__REFUSED__INIT;
    message.code = (uint32_t)-FARM_E_STATE;
    message.text = wire_text("say Hello first");
    say(WIRE_REFUSED, &message.base);
    expect(WIRE_HELLO);
    meet(0, NULL);
}

static void pausing(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    assert_int_equal(command("pause"), 0);
    struct wire_message *message = hear(WIRE_STATUS);
    assert_true(message->status->paused);
    wire_free(message);
    lease("extra/hello", true, nonce);
    refused(nonce, WIRE_REFUSE_PAUSED);
    assert_int_equal(command("resume"), 0);
    message = hear(WIRE_STATUS);
    assert_false(message->status->paused);
    wire_free(message);
}

/* A drain waits for the build and for the acknowledgement of its result. */
static void draining(void **unused)
{
    (void)unused;
    unsigned char nonce[32];
    lease("extra/slow", true, nonce);
    wait_for_build();
    assert_int_equal(command("drain"), 0);
    struct wire_message *message = hear(WIRE_STATUS);
    assert_true(message->status->draining);
    wire_free(message);
    assert_int_equal(waitpid(worker, NULL, WNOHANG), 0);
    assert_int_equal(command("stop"), 0);
    expect(WIRE_STATUS);
    refused(nonce, WIRE_REFUSE_PAUSED);
    expect(WIRE_GOODBYE);
    assert_int_equal(wait_for(worker), 0);
    worker = 0;
    assert_int_equal(command("stop"), 1);
    assert_int_equal(command("status"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins),
        cmocka_unit_test(k1_refuses_another_spec),
        cmocka_unit_test(builds),
        cmocka_unit_test(answers_survive),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(dies_while_building),
        cmocka_unit_test(forgotten_session),
        cmocka_unit_test(unheard_hello),
        cmocka_unit_test(pausing),
        cmocka_unit_test(draining),
    };
    return cmocka_run_group_tests_name("worker", tests, set_up, tear_down);
}
