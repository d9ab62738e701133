/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * notified FILE PROGRAM ARGUMENT...: runs a program as systemd would run a service with Type=notify and a watchdog: with $NOTIFY_SOCKET,
 * and with $WATCHDOG_PID if $WATCHDOG_USEC is set. What the program tells is appended to FILE, one datagram a line, lines of one joined with ";".
 * The program keeps this process, so its signals and status are its own; who listens is a child that ends after it. (PR_SET_PDEATHSIG would not do:
 * a worker that has become another user may not signal what is still root's, not even by its death.)
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* One datagram, if there is one. */
static int take_down(int fd, int file)
{
    char text[4096];
    ssize_t got = recv(fd, text, sizeof text - 1, MSG_DONTWAIT);
    if (got <= 0)
        return 0;
    for (ssize_t i = 0; i < got; i++)
        if (text[i] == '\n')
            text[i] = ';';
    text[got] = '\n';
    return write(file, text, (size_t)got + 1) == got + 1;
}

static void listen_on(int fd, int program, int file)
{
    struct pollfd items[] = {{.fd = fd, .events = POLLIN}, {.fd = program, .events = POLLIN}};
    signal(SIGTERM, SIG_IGN); /* of a whole process group */
    while (poll(items, 2, -1) > 0) {
        while (take_down(fd, file) > 0)
            ;
        if (items[1].revents != 0) /* it has ended, and all that it said was taken down */
            return;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char pid[24];
    if (argc < 3)
        return 2;
    int length = snprintf(address.sun_path, sizeof address.sun_path, "%s.socket", argv[1]);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    unlink(address.sun_path);
    if (length < 0 || (size_t)length >= sizeof address.sun_path || fd < 0 || file < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        chmod(address.sun_path, 0777) < 0) { /* a worker that is started as root becomes another user */
        perror(address.sun_path);
        return 2;
    }
    int program = (int)syscall(SYS_pidfd_open, getpid(), 0); /* CLOEXEC by itself */
    pid_t listener = program < 0 ? -1 : fork();
    if (listener < 0)
        return 2;
    if (listener == 0) {
        listen_on(fd, program, file);
        _exit(0);
    }
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    setenv("NOTIFY_SOCKET", address.sun_path, 1);
    if (getenv("WATCHDOG_USEC") != NULL)
        setenv("WATCHDOG_PID", pid, 1);
    execv(argv[2], argv + 2);
    perror(argv[2]);
    return 2;
}
