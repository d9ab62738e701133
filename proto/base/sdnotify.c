/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "sdnotify.h"

#include "mem.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void sdnotify_send(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL || strlen(path) < 2 || strlen(path) >= sizeof address.sun_path)
        return;
    memcpy(address.sun_path, path, strlen(path));
    if (address.sun_path[0] == '@') /* the abstract name space */
        address.sun_path[0] = '\0';
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return;
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address, size);
}

static uint64_t environment_number(const char *name)
{
    const char *text = getenv(name);
    uint64_t number;
    return text != NULL && view_decimal(view_text(text), &number) ? number : 0;
}

struct sdnotify_watchdog sdnotify_watchdog_init(int64_t now_ms)
{
    enum { LONGEST_S = 24 * 3600 };
    uint64_t usec = environment_number("WATCHDOG_USEC");
    uint64_t pid = environment_number("WATCHDOG_PID");
    if (usec == 0 || usec / 1000000 > LONGEST_S || (pid != 0 && pid != (uint64_t)getpid()))
        return (struct sdnotify_watchdog){0};
    int64_t every_ms = (int64_t)(usec / 2000);
    return (struct sdnotify_watchdog){.every_ms = every_ms > 0 ? every_ms : 1, .due_ms = now_ms};
}

void sdnotify_watchdog_turn(struct sdnotify_watchdog *watchdog, int64_t now_ms)
{
    if (watchdog->every_ms == 0 || now_ms < watchdog->due_ms)
        return;
    sdnotify_send("WATCHDOG=1");
    watchdog->due_ms = now_ms + watchdog->every_ms;
}

int sdnotify_watchdog_wait(const struct sdnotify_watchdog *watchdog, int64_t now_ms, int wait_ms)
{
    int64_t left = watchdog->due_ms - now_ms;
    if (watchdog->every_ms == 0 || (wait_ms >= 0 && left >= wait_ms))
        return wait_ms;
    return left < 0 ? 0 : (int)left;
}
