/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulk: connections are cut (N9), by a proxy that ends its first ones after so many bytes, and by the server's restart. */
#include "bulk_rig.h"

#include "file.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- a proxy ---- */

struct proxy {
    int listener, stop[2];
    int target_port;
    size_t cut_after; /* bytes, both directions together */
    atomic_int cuts_left;
    atomic_int connections;
    pthread_t thread;
};

static int port_of(const char *endpoint)
{
    return atoi(strrchr(endpoint, ':') + 1);
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool pass_on(int from, int to, size_t *passed)
{
    char data[65536];
    ssize_t n = read(from, data, sizeof(data));
    if (n <= 0)
        return false;
    *passed += (size_t)n;
    return file_write_all(to, data, (size_t)n) >= 0;
}

/* False when the proxy is to stop. */
static bool carry(struct proxy *proxy, int a, int b)
{
    size_t passed = 0;
    for (;;) {
        struct pollfd fds[] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {proxy->stop[0], POLLIN, 0}};
        if (poll(fds, 3, -1) < 0 || fds[2].revents != 0)
            return false;
        if (fds[0].revents != 0 && !pass_on(a, b, &passed))
            return true;
        if (fds[1].revents != 0 && !pass_on(b, a, &passed))
            return true;
        if (passed > proxy->cut_after && atomic_load(&proxy->cuts_left) > 0) {
            atomic_fetch_sub(&proxy->cuts_left, 1);
            return true;
        }
    }
}

static void *proxy_run(void *argument)
{
    struct proxy *proxy = argument;
    bool go = true;
    while (go) {
        struct pollfd fds[] = {{proxy->listener, POLLIN, 0}, {proxy->stop[0], POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            break;
        int a = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC), b = dial(proxy->target_port);
        atomic_fetch_add(&proxy->connections, 1);
        go = carry(proxy, a, b);
        close(a);
        close(b);
    }
    return NULL;
}

static void proxy_start(struct proxy *proxy, struct farm *farm, size_t cut_after, int cuts, char endpoint[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *proxy =
        (struct proxy){.target_port = port_of(bulk_server_endpoint(farm->server)), .cut_after = cut_after};
    atomic_store(&proxy->cuts_left, cuts);
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(proxy->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(proxy->listener, 16), 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pipe(proxy->stop), 0);
    snprintf(endpoint, 64, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
}

static void proxy_stop(struct proxy *proxy)
{
    assert_int_equal(write(proxy->stop[1], "x", 1), 1);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->stop[0]);
    close(proxy->stop[1]);
}

/* ---- what goes on where it stopped ---- */

static void n9_a_download_resumes_over_cut_connections(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->there, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 2, endpoint);
    struct bulk_client *client = client_to(farm, endpoint, PATIENCE_MS);
    must(bulk_get(client, farm->here, &digest, BIG, &diag), &diag);
    assert_whole(farm->here, &digest);
    assert_int_equal(proxy.connections, 3);
    /* Continued, not begun again: three times from the start would be twice this. */
    assert_true(bulk_server_stats(farm->server).sent_bytes < 2 * (uint64_t)BIG + 2 * WIRE_CREDIT_MAX * MEBI);
    bulk_client_free(client);
    proxy_stop(&proxy);
}

static void n9_an_upload_resumes_and_is_never_half_visible(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->here, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 1000, endpoint); /* for ever cut ... */
    struct bulk_client *client = client_to(farm, endpoint, PATIENCE_MS);
    must(bulk_put(client, farm->here, &digest, &diag), &diag); /* ... and still it arrives, piece by piece */
    assert_whole(farm->there, &digest);
    assert_true(proxy.connections >= 3);
    assert_true(bulk_server_stats(farm->server).received_bytes <= BIG + BIG / 100 + MEBI);
    bulk_client_free(client);
    proxy_stop(&proxy);
}

/* The worker gives up half-way; another process of it continues where it stopped. */
static void n9_a_later_client_continues(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->here, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 1, endpoint);
    struct bulk_client *first = client_to(farm, endpoint, 100);
    int r = bulk_put(first, farm->here, &digest, &diag);
    bulk_client_free(first);
    proxy_stop(&proxy);
    if (r < 0)
        assert_int_equal(r, FARM_E_TIMEOUT);
    assert_true(r == 0 || !store_has(farm->there, &digest));
    must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
    assert_whole(farm->there, &digest);
    assert_true(bulk_server_stats(farm->server).received_bytes <= BIG + BIG / 100 + MEBI);
}

/* The client learns of the lost connection only in its next call, which must not fail for that. */
static void a_call_after_a_restart_of_the_server_succeeds(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digest = put_noise(farm->there, 1000, 1);
    bool missing = true;
    CLEANUP_FREE char *endpoint = mem_string(bulk_server_endpoint(farm->server));
    must(bulk_missing(farm->client, &digest, 1, &missing, &diag), &diag);
    bulk_server_free(farm->server);
    usleep(300 * 1000); /* the end of the connection has reached libzmq's thread, and nobody asked it yet */
    start_server(farm, endpoint, 0, 0);
    must(bulk_missing(farm->client, &digest, 1, &missing, &diag), &diag);
    assert_false(missing);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(n9_a_download_resumes_over_cut_connections),
        TEST(n9_an_upload_resumes_and_is_never_half_visible),
        TEST(n9_a_later_client_continues),
        TEST(a_call_after_a_restart_of_the_server_succeeds),
    };
    signal(SIGPIPE, SIG_IGN); /* the proxy writes to connections that the other side has cut */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
