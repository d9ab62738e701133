/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * blast-radius on a real coordinator: what it says would be lost is what a revocation then reopens, and nothing else. And what a
 * worker may fill of the coordinator's log.
 */
#include "farm_rig.h"

#include "ctl.h"
#include "lograte.h"
#include "verbs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static void must(int result, const struct diag *diag)
{
    if (result < 0)
        fail_msg("%s", diag_text(diag, result));
}

/* ---- asking over the control socket ---- */

static int dial(struct rig *rig)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", rig->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void send_request(int fd, const char *verb, json_t *params)
{
    CLEANUP_BUF struct buf body = BUF_INIT, frame = BUF_INIT;
    Wire__CtlRequest message = WIRE__CTL_REQUEST__INIT;
    json_write(params, &body);
    json_decref(params);
    message.verb = wire_text(verb);
    message.body = wire_bytes(buf_view(&body));
    assert_int_equal(wire_encode_prefixed(WIRE_CTL_REQUEST, &message.base, &frame, NULL), 0);
    assert_int_equal(write(fd, frame.data, frame.size), (ssize_t)frame.size);
}

/* The exit status; the final body in *ret. */
static int ask(struct rig *rig, const char *verb, json_t *params, json_t **ret)
{
    enum { CHUNK = 1 << 20, TURNS = 100, TURN_MS = 20 };
    CLEANUP_CLOSE int fd = dial(rig);
    CLEANUP_BUF struct buf in = BUF_INIT;
    struct view frame;
    send_request(fd, verb, params);
    for (int i = 0; i < TURNS; i++) {
        struct link_poll_item items[CTL_CLIENTS_MAX + 1];
        size_t count = ctl_poll_items(rig->farm->ctl, items);
        assert_true(link_poll(items, count, TURN_MS, NULL) >= 0);
        ctl_handle(rig->farm, rig->farm->ctl, items, count);
        rig_turn(rig);
        ctl_flush(rig->farm->ctl);
        ssize_t got = read(fd, buf_room(&in, CHUNK), CHUNK);
        in.size += got > 0 ? (size_t)got : 0;
        if (wire_take_prefixed(WIRE_TO_CTL, buf_view(&in), &frame, NULL) <= 0)
            continue;
        struct wire_message *message = NULL;
        assert_int_equal(wire_decode(WIRE_TO_CTL, frame, &message, NULL), 0);
        int status = (int)message->ctl_reply->status;
        *ret = NULL;
        (void)!json_read(wire_view(&message->ctl_reply->body), "reply", WIRE_CTL_REPLY_MAX, ret, NULL);
        wire_free(message);
        return status;
    }
    fail_msg("no answer");
    return -1;
}

/* ---- what happened before ---- */

static const size_t alpha_and_beta[] = {RIG_ALPHA, RIG_BETA};

static void answer(struct rig *rig, size_t worker, enum failure_kind failure, const struct digest *nonce)
{
    struct rig_answer what = {.package = RIG_LIBA, .failure = failure};
    what.nonce = nonce != NULL ? *nonce : rig_lease(rig, worker);
    struct wire_message *ack = rig_answer(rig, worker, &what);
    assert_int_equal(ack->result_ack->code, WIRE_ACK_ACCEPTED);
    wire_free(ack);
}

/* Two say the same of both packages. */
static struct rig *bare_quorum(void)
{
    struct rig *rig = rig_new();
    rig_build(rig, alpha_and_beta, 2);
    rig_agree(rig, RIG_LIBA, RIG_ALPHA, RIG_BETA);
    rig_agree(rig, RIG_APPB, RIG_ALPHA, RIG_BETA);
    return rig;
}

/* Beta says that liba does not build; gamma decides for alpha. */
static struct rig *outvoted_failure(void)
{
    struct rig *rig = rig_new();
    rig_build(rig, alpha_and_beta, 2);
    answer(rig, RIG_ALPHA, FAILURE_NONE, NULL);
    answer(rig, RIG_BETA, FAILURE_BUILD, NULL);
    rig_hello(rig, RIG_GAMMA);
    rig_turn(rig);
    answer(rig, RIG_GAMMA, FAILURE_NONE, NULL);
    return rig;
}

/* Beta answers again, to the same lease: an answer that may not stand in, since it came after the verdict. */
static struct rig *repeated_answer(void)
{
    struct rig *rig = rig_new();
    rig_build(rig, alpha_and_beta, 2);
    struct digest nonce = rig_lease(rig, RIG_BETA);
    answer(rig, RIG_ALPHA, FAILURE_NONE, NULL);
    answer(rig, RIG_BETA, FAILURE_NONE, &nonce);
    struct rig_answer again = {.package = RIG_LIBA, .nonce = nonce, .finished_ms = 5000};
    wire_free(rig_answer(rig, RIG_BETA, &again));
    return rig;
}

/* ---- saying against doing ---- */

static bool is_agreed(struct rig *rig, size_t package)
{
    struct core_node_view view;
    assert_true(core_node(rig->farm->core, &rig->plan, package, &view));
    return view.state == NODE_AGREED;
}

static bool is_listed(const json_t *body, const char *list, const char *name)
{
    size_t index;
    json_t *job;
    json_array_foreach(json_object_get(json_array_get(json_object_get(body, "plans"), 0), list), index, job)
    {
        const char *node = json_string_value(json_object_get(job, "node")), *slash = strchr(node, '/');
        if (slash != NULL && strcmp(slash + 1, name) == 0)
            return true;
    }
    return false;
}

static void take_out(struct rig *rig, size_t worker)
{
    struct diag diag = DIAG_INIT;
    trust_remove_entry(rig->farm->directory, fixture_workers[worker]);
    must(trust_publish_directory(rig->farm, &diag), &diag);
    db_set_worker_state(farm_write(rig->farm), fixture_workers[worker], "revoked");
    assert_true(revocation_void(rig->farm, fixture_workers[worker], 0, "revoked", &diag) >= 0);
    rig_turn(rig);
}

static void says_what_revoking_does(void **state)
{
    static const char *const names[] = {[RIG_LIBA] = "liba", [RIG_APPB] = "appb"};
    static struct rig *(*const scenes[])(void) = {bare_quorum, outvoted_failure, repeated_answer};
    (void)state;
    for (size_t scene = 0; scene < ARRAY_SIZE(scenes); scene++)
        for (size_t worker = RIG_ALPHA; worker <= RIG_DELTA; worker++) {
            struct rig *rig = scenes[scene]();
            bool before[RIG_PACKAGES], lost[RIG_PACKAGES], any = false;
            json_t *body;
            int status =
                ask(rig, "blast-radius", json_pack("{s:s}", "worker", fixture_workers[worker]), &body);
            for (size_t i = 0; i < RIG_PACKAGES; i++) {
                before[i] = is_agreed(rig, i);
                lost[i] = is_listed(body, "lost", names[i]);
                any = any || lost[i];
            }
            assert_int_equal(status, any ? FARM_EXIT_VIOLATION : FARM_EXIT_OK);
            json_decref(body);
            take_out(rig, worker);
            for (size_t i = 0; i < RIG_PACKAGES; i++) {
                /* What stands upon something lost waits for it, and so is not agreed for now either. */
                bool reopened = before[i] && !is_agreed(rig, i);
                if (lost[i] != reopened)
                    fail_msg("scene %zu, %s, %s: said %d, was %d", scene, fixture_workers[worker], names[i],
                             lost[i], reopened);
            }
            rig_free(rig);
        }
}

static void only_from_a_position_on(void **state)
{
    (void)state;
    struct rig *rig = bare_quorum();
    json_t *body;
    int64_t size = db_log_size(rig->farm->db, NULL);
    int status =
        ask(rig, "blast-radius",
            json_pack("{s:s, s:I}", "worker", fixture_workers[RIG_BETA], "from", (json_int_t)size), &body);
    assert_int_equal(status, FARM_EXIT_OK);
    assert_int_equal(json_integer_value(json_object_get(body, "answers")), 0);
    json_decref(body);
    for (int64_t from = size - 1; from >= 0;
         from--) { /* as soon as the answer to appb is behind it, and not that to liba */
        status = ask(rig, "blast-radius",
                     json_pack("{s:s, s:I}", "worker", fixture_workers[RIG_BETA], "from", (json_int_t)from),
                     &body);
        bool found = json_integer_value(json_object_get(body, "answers")) == 1;
        if (found) {
            assert_true(is_listed(body, "lost", "appb") && !is_listed(body, "lost", "liba"));
            assert_int_equal(status, FARM_EXIT_VIOLATION);
        }
        json_decref(body);
        if (found)
            break;
        assert_true(from > 0);
    }
    rig_free(rig);
}

/* ---- what one worker may fill of the log ---- */

static size_t lines_with(FILE *file, const char *text)
{
    char line[4096];
    size_t count = 0;
    rewind(file);
    while (fgets(line, sizeof line, file) != NULL)
        count += strstr(line, text) != NULL;
    return count;
}

static void n8_nonsense_fills_ten_lines(void **state)
{
    (void)state;
    struct rig *rig = rig_new();
    struct link_peer peer = {.address = "127.0.0.1"};
    snprintf(peer.user, sizeof peer.user, "%s", fixture_workers[RIG_ALPHA]);
    FILE *file = tmpfile();
    int saved = dup(STDERR_FILENO);
    fflush(stderr);
    dup2(fileno(file), STDERR_FILENO);
    for (int i = 0; i < 1000; i++)
        sessions_receive(rig->farm, &peer, VIEW("nonsense"));
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_int_equal(lines_with(file, "dropped"), LOGRATE_LINES);
    fclose(file);
    rig_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_revoking_does),
        cmocka_unit_test(only_from_a_position_on),
        cmocka_unit_test(n8_nonsense_fills_ten_lines),
    };
    return cmocka_run_group_tests_name("blast_verb", tests, NULL, NULL);
}
