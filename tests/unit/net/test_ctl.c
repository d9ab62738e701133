/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The control socket against clients that do not behave. No verb is asked for that needs a farm behind it. */
#include "ctl.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char path[64];
    struct farm farm;
};

static int setup(void **state)
{
    struct fixture *fixture = mem_zero(1, sizeof *fixture);
    snprintf(fixture->path, sizeof fixture->path, "ctl-test-%d.sock", (int)getpid());
    assert_int_equal(ctl_new(&fixture->farm, fixture->path, &fixture->farm.ctl, NULL), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    ctl_free(fixture->farm.ctl);
    unlink(fixture->path);
    free(fixture);
    return 0;
}

static int dial(const struct fixture *fixture)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", fixture->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void turn(struct fixture *fixture)
{
    struct link_poll_item items[CTL_CLIENTS_MAX + 1];
    size_t count = ctl_poll_items(fixture->farm.ctl, items);
    assert_true(link_poll(items, count, 100, NULL) >= 0);
    ctl_handle(&fixture->farm, fixture->farm.ctl, items, count);
}

static void add_request(struct buf *ret, const char *verb)
{
    Wire__CtlRequest message = WIRE__CTL_REQUEST__INIT;
    message.verb = wire_text(verb);
    message.body = wire_bytes(VIEW("{}"));
    assert_int_equal(wire_encode_prefixed(WIRE_CTL_REQUEST, &message.base, ret, NULL), 0);
}

static void test_nothing_leaves_before_the_flush(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_BUF struct buf request = BUF_INIT;
    char answer[512];
    int fd = dial(fixture);
    add_request(&request, "nonsense");
    turn(fixture); /* accepts */
    assert_int_equal(write(fd, request.data, request.size), (ssize_t)request.size);
    turn(fixture);
    turn(fixture);
    assert_int_equal(read(fd, answer, sizeof answer), -1);
    assert_int_equal(errno, EAGAIN);
    ctl_flush(fixture->farm.ctl);
    assert_true(read(fd, answer, sizeof answer) > 0);
    close(fd);
}

static void test_who_never_reads_is_cut(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_BUF struct buf requests = BUF_INIT;
    size_t sent = 0, total = 0, turns;
    bool cut = false;
    int fd = dial(fixture);
    for (int i = 0; i < 1000; i++)
        add_request(&requests, "nonsense");
    turn(fixture);
    /* Answers are longer than these requests, so the backlog is over its limit before this ends. */
    for (turns = 0; !cut && total < 2 * CTL_BACKLOG_MAX; turns++) {
        ssize_t put = send(fd, requests.data + sent, requests.size - sent, MSG_NOSIGNAL);
        cut = put < 0 && (errno == EPIPE || errno == ECONNRESET);
        sent = put > 0 ? (sent + (size_t)put) % requests.size : sent;
        total += put > 0 ? (size_t)put : 0;
        turn(fixture);
        ctl_flush(fixture->farm.ctl);
    }
    assert_true(cut);
    close(fd);
}

static void test_a_descriptor_that_nobody_takes_is_closed(void **state)
{
    struct fixture *fixture = *state;
    CLEANUP_BUF struct buf request = BUF_INIT;
    char control[CMSG_SPACE(sizeof(int))] = {0}, byte;
    int fd = dial(fixture), pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    add_request(&request, "nonsense");
    struct iovec part = {request.data, request.size};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &pipes[1], sizeof(int));
    turn(fixture);
    assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), (ssize_t)request.size);
    close(pipes[1]);
    turn(fixture);
    assert_int_equal(read(pipes[0], &byte, 1), 0); /* its last writer is gone */
    close(pipes[0]);
    close(fd);
}

static void test_only_sockets_are_removed(void **state)
{
    struct fixture *fixture = *state;
    struct ctl *second = NULL;
    struct diag diag = DIAG_INIT;
    char path[80];
    assert_int_equal(ctl_new(&fixture->farm, fixture->path, &second, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "listens"));
    snprintf(path, sizeof path, "%s.file", fixture->path);
    close(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    assert_int_equal(ctl_new(&fixture->farm, path, &second, &diag), FARM_E_CONFIG);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nothing_leaves_before_the_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_never_reads_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_descriptor_that_nobody_takes_is_closed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_sockets_are_removed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
