/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A long start tells systemd to wait, once a second and not at once. The socket is a real one; the clock is the test's. */
#include "startup_progress.h"

#include "farmlog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

/* In the abstract name space, at a name that the kernel chose. */
static int open_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t size = sizeof(sa_family_t);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    size = sizeof address;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    char name[sizeof address.sun_path + 1] = "@";
    memcpy(name + 1, address.sun_path + 1, size - offsetof(struct sockaddr_un, sun_path) - 1);
    assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
    return fd;
}

/* What was told last since the last call; "" if nothing was. */
static const char *told(int fd)
{
    static char text[256];
    ssize_t got, last = 0;
    while ((got = recv(fd, text, sizeof text - 1, 0)) > 0)
        last = got;
    text[last] = '\0';
    return text;
}

static void test_tells_once_a_second(void **state)
{
    (void)state;
    int fd = open_socket();
    struct startup_progress progress = startup_progress_begin("the answers", 5000, 10 * 1000);
    startup_progress_at(&progress, 1, 10 * 1000);
    startup_progress_at(&progress, 2, 10 * 1000 + 999);
    assert_string_equal(told(fd), "");
    startup_progress_at(&progress, 1200, 11 * 1000);
    assert_string_equal(
        told(fd),
        "EXTEND_TIMEOUT_USEC=300000000\nSTATUS=verifying the answers: entry 1200 of 5000 of the log");
    startup_progress_at(&progress, 1300, 11 * 1000 + 500);
    assert_string_equal(told(fd), "");
    startup_progress_at(&progress, 1400, 12 * 1000);
    assert_string_not_equal(told(fd), "");
    unsetenv("NOTIFY_SOCKET");
    close(fd);
}

/* Without systemd as well: who starts it by hand sees a line. */
static void test_logs_every_ten_seconds(void **state)
{
    (void)state;
    char path[] = "/tmp/farm-progress.XXXXXX", text[1024];
    int fd = mkstemp(path), stderr_fd = dup(STDERR_FILENO);
    assert_true(fd >= 0 && stderr_fd >= 0);
    unlink(path);
    struct startup_progress progress = startup_progress_begin("the log", 70000, 0);
    dup2(fd, STDERR_FILENO);
    for (int64_t now_ms = 0; now_ms < 25 * 1000; now_ms += 100)
        startup_progress_at(&progress, (uint64_t)now_ms, now_ms);
    dup2(stderr_fd, STDERR_FILENO);
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    assert_true(got > 0);
    text[got] = '\0';
    char *second = strchr(text, '\n');
    assert_non_null(strstr(text, "verifying before the start"));
    assert_non_null(strstr(text, "position=10000 entries=70000"));
    assert_non_null(second);
    assert_non_null(strstr(second, "position=20000"));
    assert_ptr_equal(strchr(second + 1, '\n'), text + got - 1); /* two lines, no more */
    close(fd);
    close(stderr_fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tells_once_a_second),
        cmocka_unit_test(test_logs_every_ten_seconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
