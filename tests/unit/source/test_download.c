/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * download: against a small HTTP server of our own on loopback.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "address.h"
#include "download.h"
#include "file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CONTENT "the bytes of an archive"

struct site {
    char *directory;
    struct store *store;
    int listener, stop[2], port;
    atomic_int requests;
    pthread_t thread;
};

static void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

/* ---- the server: what it answers depends on the path ---- */
static void send_text(int fd, const char *text)
{
    (void)!file_write_all(fd, text, strlen(text));
}

static void redirect(int fd, const char *where)
{
    CLEANUP_FREE char *text = mem_format("HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n"
                                         "Connection: close\r\n\r\n",
                                         where);
    send_text(fd, text);
}

static void answer(const struct site *site, int fd, const char *path)
{
    CLEANUP_FREE char *self = mem_format("http://127.0.0.1:%d", site->port);
    CLEANUP_FREE char *good = mem_format("%s/good", self);
    CLEANUP_FREE char *loop = mem_format("%s/loop", self);
    if (strcmp(path, "/good") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 23\r\nConnection: close\r\n\r\n" CONTENT);
    else if (strcmp(path, "/endless") == 0)
        for (int i = 0; i < 1000; i++)
            send_text(fd, i == 0 ? "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" : CONTENT CONTENT CONTENT);
    else if (strcmp(path, "/announced") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n");
    else if (strcmp(path, "/cut") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n" CONTENT);
    else if (strcmp(path, "/moved") == 0)
        redirect(fd, good);
    else if (strcmp(path, "/loop") == 0)
        redirect(fd, loop);
    else if (strcmp(path, "/to-file") == 0)
        redirect(fd, "file:///etc/passwd");
    else if (strcmp(path, "/to-ftp") == 0)
        redirect(fd, "ftp://127.0.0.1/x");
    else
        send_text(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
}

static void serve(struct site *site, int fd)
{
    char request[4096], path[256] = "";
    size_t size = 0;
    ssize_t n;
    while (size < sizeof(request) - 1 && (n = read(fd, request + size, sizeof(request) - 1 - size)) > 0) {
        size += (size_t)n;
        request[size] = '\0';
        if (strstr(request, "\r\n\r\n") != NULL)
            break;
    }
    if (sscanf(request, "GET %255s ", path) != 1)
        return;
    atomic_fetch_add(&site->requests, 1);
    answer(site, fd, path);
}

static void *run(void *argument)
{
    struct site *site = argument;
    for (;;) {
        struct pollfd fds[] = {{site->listener, POLLIN, 0}, {site->stop[0], POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            return NULL;
        int fd = accept4(site->listener, NULL, NULL, SOCK_CLOEXEC);
        serve(site, fd);
        close(fd);
    }
}

static int setup(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct site *site = mem_zero(1, sizeof(*site));
    struct diag diag = DIAG_INIT;
    char template[] = "/tmp/farm-test-download.XXXXXX";
    signal(SIGPIPE, SIG_IGN); /* the client hangs up in the middle of an answer */
    unsetenv("http_proxy");
    unsetenv("all_proxy");
    site->directory = mem_string(mkdtemp(template));
    CLEANUP_FREE char *path = mem_format("%s/store", site->directory);
    must(store_open(AT_FDCWD, path, 1, &site->store, &diag), &diag);
    site->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(site->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(site->listener, 8), 0);
    assert_int_equal(getsockname(site->listener, (struct sockaddr *)&address, &size), 0);
    site->port = ntohs(address.sin_port);
    assert_int_equal(pipe(site->stop), 0);
    assert_int_equal(pthread_create(&site->thread, NULL, run, site), 0);
    *state = site;
    return 0;
}

static int teardown(void **state)
{
    struct site *site = *state;
    assert_int_equal(write(site->stop[1], "x", 1), 1);
    pthread_join(site->thread, NULL);
    close(site->listener);
    close(site->stop[0]);
    close(site->stop[1]);
    store_close(site->store);
    int r = file_remove_tree(AT_FDCWD, site->directory, NULL);
    free(site->directory);
    free(site);
    return r;
}

/* ---- downloads ---- */

static struct digest right(void)
{
    return digest_of(VIEW(CONTENT));
}

static int get(struct site *site, const char *path, const struct digest *digest, uint64_t limit,
               struct diag *diag)
{
    CLEANUP_FREE char *url = mem_format("http://127.0.0.1:%d%s", site->port, path);
    const struct download what = {.url = url,
                                  .sha256 = digest,
                                  .size_limit = limit,
                                  .allow_http = true,
                                  .allow_private = true,
                                  .timeout_ms = 5000};
    return download_archive(site->store, &what, diag);
}

static void expect(struct site *site, const char *path, uint64_t limit, int error, const char *word)
{
    struct digest digest = right();
    struct diag diag = DIAG_INIT;
    int r = get(site, path, &digest, limit, &diag);
    if (r != error || strstr(diag.text, word) == NULL || strstr(diag.text, path) == NULL)
        fail_msg("%s: %d instead of %d (\"%s\"): %s", path, r, error, word, diag.text);
    assert_false(store_has(site->store, &digest));
}

static void pinned_bytes_are_stored(void **state)
{
    struct site *site = *state;
    struct digest digest = right();
    struct diag diag = DIAG_INIT;
    must(get(site, "/moved", &digest, 23, &diag), &diag);
    assert_true(store_has(site->store, &digest));
    assert_int_equal(site->requests, 2);
    must(get(site, "/good", &digest, 0, &diag), &diag);
}

static void g10_other_bytes_are_refused(void **state)
{
    struct site *site = *state;
    struct digest other = digest_of(VIEW("something else")), served = right();
    struct diag diag = DIAG_INIT;
    assert_int_equal(get(site, "/good", &other, 1000, &diag), FARM_E_DIGEST);
    assert_false(store_has(site->store, &other));
    assert_false(store_has(site->store, &served));
    must(get(site, "/good", &served, 1000, &diag), &diag); /* the next mirror has them */
}

static void failures_are_told_apart(void **state)
{
    struct site *site = *state;
    expect(site, "/absent", 1000, FARM_E_UNAVAILABLE, "404");
    expect(site, "/cut", 1000, FARM_E_UNAVAILABLE, "");
    expect(site, "/good", 22, FARM_E_LIMIT, "22 bytes");
    expect(site, "/endless", 1000, FARM_E_LIMIT, "1000 bytes");
    expect(site, "/announced", 1000, FARM_E_LIMIT, "1000 bytes");
    expect(site, "/loop", 1000, FARM_E_REFUSED, "redirects");
}

static void g9_redirects_to_other_schemes_are_refused(void **state)
{
    struct site *site = *state;
    expect(site, "/to-file", 1000, FARM_E_REFUSED, "");
    expect(site, "/to-ftp", 1000, FARM_E_REFUSED, "");
}

static int try_url(struct site *site, const char *url, bool allow_http, struct diag *diag)
{
    struct digest digest = right();
    const struct download what = {
        .url = url, .sha256 = &digest, .size_limit = 1000, .allow_http = allow_http, .timeout_ms = 2000};
    return download_archive(site->store, &what, diag);
}

static void g9_urls_are_refused_unless_configured(void **state)
{
    static const char *const urls[] = {"http://example.org/x",    "file:///etc/passwd",
                                       "ftp://example.org/x",     "https://user:secret@example.org/x",
                                       "example.org/x",           "https:///x",
                                       "https://example.org/a b", "-o/tmp/x",
                                       "gopher://127.0.0.1/x",    "dict://x/y"};
    struct site *site = *state;
    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        struct diag diag = DIAG_INIT;
        int r = try_url(site, urls[i], false, &diag);
        if (r != FARM_E_REFUSED)
            fail_msg("%s: %d %s", urls[i], r, diag.text);
    }
}

/* K8: nobody is sent into the network of a donor. */
static void k8_private_addresses_are_refused(void **state)
{
    struct site *site = *state;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE char *plain = mem_format("http://127.0.0.1:%d/good", site->port);
    CLEANUP_FREE char *named = mem_format("http://localhost:%d/good", site->port);
    CLEANUP_FREE char *octal = mem_format("http://0177.1:%d/good", site->port);
    assert_int_equal(try_url(site, plain, true, &diag), FARM_E_REFUSED);
    assert_non_null(strstr(diag.text, "private"));
    assert_int_equal(try_url(site, named, true, &diag), FARM_E_REFUSED);
    assert_int_equal(try_url(site, octal, true, &diag), FARM_E_REFUSED);
    assert_int_equal(try_url(site, "https://[::ffff:10.0.0.1]/x", true, &diag), FARM_E_REFUSED);
    assert_int_equal(site->requests, 0);
}

static void nobody_there_is_unavailable(void **state)
{
    struct site *site = *state;
    struct digest digest = right();
    struct diag diag = DIAG_INIT;
    const struct download what = {.url = "http://127.0.0.1:9/x",
                                  .sha256 = &digest,
                                  .allow_http = true,
                                  .allow_private = true,
                                  .timeout_ms = 2000};
    assert_int_equal(download_archive(site->store, &what, &diag), FARM_E_UNAVAILABLE);
}

/* ---- addresses ---- */

static bool is_public(const char *text)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((struct sockaddr *)&v4);
    assert_int_equal(inet_pton(AF_INET6, text, &v6.sin6_addr), 1);
    return address_is_public((struct sockaddr *)&v6);
}

static void addresses_are_sorted_right(void **state)
{
    static const char *const open[] = {"8.8.8.8",        "172.15.0.1",       "172.32.0.1",   "100.63.0.1",
                                       "100.128.0.1",    "192.167.1.1",      "2606:4700::1", "2a00::1",
                                       "::ffff:8.8.8.8", "2002:0808:0808::1"};
    static const char *const closed[] = {"0.0.0.0",
                                         "127.0.0.1",
                                         "127.255.0.1",
                                         "10.0.0.1",
                                         "172.16.0.1",
                                         "172.31.255.255",
                                         "192.168.1.1",
                                         "169.254.169.254",
                                         "100.64.0.1",
                                         "224.0.0.1",
                                         "255.255.255.255",
                                         "::",
                                         "::1",
                                         "fe80::1",
                                         "fd00::1",
                                         "ff02::1",
                                         "::ffff:127.0.0.1",
                                         "64:ff9b::10.0.0.1",
                                         "2002:0a00:0001::1",
                                         "2001:db8::1",
                                         "2001::1"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(open); i++)
        if (!is_public(open[i]))
            fail_msg("%s is public", open[i]);
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++)
        if (is_public(closed[i]))
            fail_msg("%s is not public", closed[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pinned_bytes_are_stored),
        TEST(g10_other_bytes_are_refused),
        TEST(failures_are_told_apart),
        TEST(g9_redirects_to_other_schemes_are_refused),
        TEST(g9_urls_are_refused_unless_configured),
        TEST(k8_private_addresses_are_refused),
        TEST(nobody_there_is_unavailable),
        cmocka_unit_test(addresses_are_sorted_right),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
