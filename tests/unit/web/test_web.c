/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The web server over real sockets: honest requests, and those that are not. */
#include "web.h"

#include "moment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static const char published[] = "# HELP a b\n# TYPE a gauge\na 1\n";

static struct web *serve(const char *listen_on)
{
    struct web *web = NULL;
    struct diag diag = DIAG_INIT;
    if (web_new(listen_on, &web, &diag) < 0)
        fail_msg("%s: %s", listen_on, diag.text);
    return web;
}

static void publish(struct web *web)
{
    struct buf text = BUF_INIT;
    buf_add_text(&text, published);
    web_publish(web, &text);
    assert_null(text.data);
}

static int dial_with(const struct web *web, int flags)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port =
                                      htons((uint16_t)strtoul(strrchr(web_address(web), ':') + 1, NULL, 10)),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    assert_true(fd >= 0);
    assert_true(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS);
    return fd;
}

static int dial(const struct web *web)
{
    return dial_with(web, 0);
}

/* What comes until the other side closes, at most 15 seconds; closes. */
static void read_all(int fd, struct buf *ret)
{
    enum { WAIT_MS = 15000, ROOM = 4096 };
    int64_t end = moment_steady_ms() + WAIT_MS;
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        int64_t left = end - moment_steady_ms();
        if (left <= 0 || poll(&item, 1, (int)left) <= 0)
            fail_msg("the server neither answers nor closes");
        ssize_t got = read(fd, buf_room(ret, ROOM), ROOM);
        if (got <= 0)
            break;
        ret->size += (size_t)got;
    }
    buf_add_byte(ret, '\0');
    close(fd);
}

/* The status; -1: closed without an answer. */
static int ask(const struct web *web, struct view request, struct buf *ret)
{
    static const char start[] = "HTTP/1.1 ";
    int fd = dial(web);
    buf_clear(ret);
    (void)!send(fd, request.data, request.size, MSG_NOSIGNAL); /* a server that closed already is an answer */
    read_all(fd, ret);
    bool answered = strncmp(ret->data, start, strlen(start)) == 0;
    return answered ? (int)strtol(ret->data + strlen(start), NULL, 10) : -1;
}

static int ask_text(const struct web *web, const char *request, struct buf *ret)
{
    return ask(web, view_text(request), ret);
}

static void test_honest_requests(void **state)
{
    CLEANUP_BUF struct buf answer = BUF_INIT;
    struct web *web = serve("127.0.0.1:0");
    (void)state;
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 503);
    assert_int_equal(ask_text(web, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 503);
    publish(web);
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    assert_non_null(strstr(answer.data, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer.data, published));
    assert_int_equal(ask_text(web, "GET /metrics?x=y HTTP/1.1\r\nHost: 127.0.0.1:9464\r\n\r\n", &answer),
                     200);
    assert_int_equal(ask_text(web, "GET /healthz HTTP/1.1\r\nHost: [::1]\r\n\r\n", &answer), 200);
    assert_int_equal(ask_text(web, "HEAD /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    assert_null(strstr(answer.data, published));
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.0\r\n\r\n", &answer) == 200 ||
                         strncmp(answer.data, "HTTP/1.0 200", 12) == 0,
                     1);
    web_free(web);
}

static void test_other_requests_are_refused(void **state)
{
    static const struct {
        const char *request;
        int status;
    } cases[] = {
        {"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nxxxx", 405},
        {"POST /metrics HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", 405},
        {"PUT /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", 405},
        {"DELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n", 405},
        {"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
        {"GET /metrics/../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
        {"GET /metrics%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404},
        {"GET /metrics HTTP/1.1\r\nHost: rebound.example.org\r\n\r\n", 403},
        {"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1.example.org\r\n\r\n", 403},
        {"GET /metrics HTTP/1.1\r\nHost: localhost.example.org:80\r\n\r\n", 403},
        {"GET /metrics HTTP/1.1\r\n\r\n", 400},
    };
    CLEANUP_BUF struct buf answer = BUF_INIT;
    struct web *web = serve("127.0.0.1:0");
    (void)state;
    publish(web);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int status = ask_text(web, cases[i].request, &answer);
        /* %00 ends the path for a C program: whatever it is then, it is nothing but what is published */
        if (status != cases[i].status && !(strstr(cases[i].request, "%00") != NULL && status == 200))
            fail_msg("%.60s: status %d", cases[i].request, status);
    }
    web_free(web);
}

/* Long lines and headers, bytes that are no HTTP: an error or a closed connection, and the next one is served. */
static void test_malformed_and_oversized_requests(void **state)
{
    enum { LONG = 256 * 1024 };
    CLEANUP_BUF struct buf answer = BUF_INIT, request = BUF_INIT;
    struct web *web = serve("127.0.0.1:0");
    (void)state;
    publish(web);
    static const char *const starts[] = {"GET /", "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ",
                                         "GET /metrics HTTP/1.1\r\nHost: localhost\r\n", "\x16\x03\x01"};
    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        buf_clear(&request);
        buf_add_text(&request, starts[i]);
        while (request.size < LONG)
            buf_add_text(&request, i == 2 ? "A: b\r\n" : "aaaaaaaaaaaaaaaa");
        assert_int_not_equal(ask(web, buf_view(&request), &answer), 200);
        assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    }
    web_free(web);
}

/* As many as are let in, each a byte now and then: they end all the same, and then others are served. */
static void test_slow_requests_end(void **state)
{
    enum { STEP_MS = 200, STEPS = 100 };
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ";
    CLEANUP_BUF struct buf answer = BUF_INIT;
    struct web *web = serve("127.0.0.1:0");
    int fds[WEB_CONNECTIONS_MAX], open = WEB_CONNECTIONS_MAX;
    (void)state;
    publish(web);
    for (int i = 0; i < WEB_CONNECTIONS_MAX; i++)
        fds[i] = dial(web);
    for (int step = 0; open > 0; step++) {
        if (step == STEPS)
            fail_msg("%d slow connections are still served", open);
        poll(NULL, 0, STEP_MS);
        for (int i = 0; i < WEB_CONNECTIONS_MAX; i++) {
            char byte = step < (int)sizeof request - 1 ? request[step] : 'x', ignored[256];
            if (fds[i] < 0)
                continue;
            ssize_t got = recv(fds[i], ignored, sizeof ignored, MSG_DONTWAIT);
            bool ended = got == 0 || (got < 0 && errno != EAGAIN);
            if (!ended && send(fds[i], &byte, 1, MSG_NOSIGNAL) == 1)
                continue;
            close(fds[i]);
            fds[i] = -1;
            open--;
        }
    }
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    web_free(web);
}

static void test_more_than_are_let_in(void **state)
{
    enum { CROWD = 200 };
    CLEANUP_BUF struct buf answer = BUF_INIT;
    struct web *web = serve("127.0.0.1:0");
    int fds[CROWD];
    (void)state;
    publish(web);
    for (int i = 0; i < CROWD; i++)
        fds[i] = dial_with(web, SOCK_NONBLOCK); /* most of them are not even accepted */
    poll(NULL, 0, 100);
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    web_free(web); /* also with connections that are open */
}

static void test_a_unix_socket(void **state)
{
    char directory[] = "/tmp/farm-web.XXXXXX";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    CLEANUP_BUF struct buf answer = BUF_INIT;
    (void)state;
    assert_non_null(mkdtemp(directory));
    CLEANUP_FREE char *path = mem_format("%s/web", directory);
    CLEANUP_FREE char *listen_on = mem_format("unix:%s", path);
    struct web *left_over = serve(listen_on), *web = serve(listen_on); /* the second takes the path */
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    publish(web);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(address.sun_path, path, strlen(path));
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    static const char request[] =
        "GET /metrics HTTP/1.1\r\nHost: anything\r\n\r\n"; /* no browser comes here */
    assert_int_equal(write(fd, request, sizeof request - 1), (ssize_t)sizeof request - 1);
    read_all(fd, &answer);
    assert_int_equal(strncmp(answer.data, "HTTP/1.1 200", 12), 0);
    web_free(web);
    web_free(left_over);
    assert_int_equal(access(path, F_OK), -1);
    rmdir(directory);
}

static void test_where_it_listens(void **state)
{
    static const char *const good[] = {"127.0.0.1:9464", "[::1]:0", "0.0.0.0:1", "unix:/run/x"};
    static const char *const bad[] = {"",           "9464",        "localhost:9464",  "::1:9464",
                                      "127.0.0.1:", "unix:x",      "127.0.0.1:65536", ":9464",
                                      "[]:1",       "127.0.0.1:+1"};
    struct diag diag = DIAG_INIT;
    struct web *web = serve("127.0.0.1:0"), *second = NULL;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++)
        assert_int_equal(web_listen_check(good[i], &diag), 0);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (web_listen_check(bad[i], &diag) != FARM_E_CONFIG)
            fail_msg("\"%s\" is accepted", bad[i]);
    assert_int_equal(web_new(web_address(web), &second, &diag), FARM_E_UNAVAILABLE);
    assert_null(second);
    web_free(web);
}

static void test_a_mapped_loopback_address_is_one(void **state)
{
    CLEANUP_BUF struct buf answer = BUF_INIT;
    struct web *web = NULL;
    struct diag diag = DIAG_INIT;
    (void)state;
    if (web_new("[::ffff:127.0.0.1]:0", &web, &diag) < 0)
        skip(); /* a machine without IPv6 */
    publish(web);
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", &answer), 403);
    assert_int_equal(ask_text(web, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", &answer), 200);
    web_free(web);
}

static void test_hosts(void **state)
{
    static const char *const local[] = {"localhost",   "LocalHost:9464", "127.0.0.1",
                                        "10.0.0.1:80", "[::1]",          "[fe80::1]:1"};
    static const char *const foreign[] = {"",       "example.org", "localhost.", "[::1",         "[]",
                                          "[::1]x", "1.2.3",       "localhostx", "[example.org]"};
    (void)state;
    assert_true(web_host_is_local(NULL));
    for (size_t i = 0; i < ARRAY_SIZE(local); i++)
        if (!web_host_is_local(local[i]))
            fail_msg("%s", local[i]);
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++)
        if (web_host_is_local(foreign[i]))
            fail_msg("%s", foreign[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_honest_requests),
        cmocka_unit_test(test_other_requests_are_refused),
        cmocka_unit_test(test_malformed_and_oversized_requests),
        cmocka_unit_test(test_slow_requests_end),
        cmocka_unit_test(test_more_than_are_let_in),
        cmocka_unit_test(test_a_unix_socket),
        cmocka_unit_test(test_where_it_listens),
        cmocka_unit_test(test_a_mapped_loopback_address_is_one),
        cmocka_unit_test(test_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
