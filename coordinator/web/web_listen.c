/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "web_private.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 16 };
static const char unix_prefix[] = "unix:";

static bool is_unix(const char *listen)
{
    return strncmp(listen, unix_prefix, strlen(unix_prefix)) == 0;
}

/* "host:port" or "[host]:port" into two owned texts; the host is numeric, so that no name service decides where we listen. */
static int split(const char *listen, char **ret_host, char **ret_port, struct diag *diag)
{
    const char *colon = strrchr(listen, ':');
    uint64_t port;
    size_t length = colon != NULL ? (size_t)(colon - listen) : 0;
    bool bracketed = length > 2 && listen[0] == '[' && listen[length - 1] == ']';
    if (length == 0 || !view_decimal(view_text(colon + 1), &port) || port > 65535 ||
        (!bracketed && memchr(listen, ':', length) != NULL))
        return diag_set(diag, FARM_E_CONFIG,
                        "[web] listen = %.100s: expected ADDRESS:PORT with a numeric address, or unix:/PATH",
                        listen);
    *ret_host = bracketed ? mem_string_n(listen + 1, length - 2) : mem_string_n(listen, length);
    *ret_port = mem_string(colon + 1);
    return 0;
}

static int resolve(const char *listen, struct addrinfo **ret, struct diag *diag)
{
    CLEANUP_FREE char *host = NULL, *port = NULL;
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE,
                                   .ai_socktype = SOCK_STREAM};
    int result = split(listen, &host, &port, diag);
    if (result < 0)
        return result;
    int error = getaddrinfo(host, port, &hints, ret);
    if (error != 0)
        return diag_set(diag, FARM_E_CONFIG, "[web] listen = %.100s: %s; a numeric address is expected",
                        listen, gai_strerror(error));
    return 0;
}

static int check_path(const char *path, struct diag *diag)
{
    struct sockaddr_un address;
    if (path[0] != '/' || strlen(path) >= sizeof address.sun_path)
        return diag_set(diag, FARM_E_CONFIG,
                        "[web] listen = unix:%.100s: an absolute path of at most %zu bytes is expected", path,
                        sizeof address.sun_path - 1);
    return 0;
}

int web_listen_check(const char *listen, struct diag *diag)
{
    struct addrinfo *found = NULL;
    if (is_unix(listen))
        return check_path(listen + strlen(unix_prefix), diag);
    int result = resolve(listen, &found, diag);
    if (result >= 0)
        freeaddrinfo(found);
    return result;
}

static bool is_loopback(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr) >> 24 ==
               IN_LOOPBACKNET;
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)address)->sin6_addr;
    return IN6_IS_ADDR_LOOPBACK(six) || (IN6_IS_ADDR_V4MAPPED(six) && six->s6_addr[12] == IN_LOOPBACKNET);
}

static int name_it(struct web_listener *listener, struct diag *diag)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char host[INET6_ADDRSTRLEN + 20], port[8];
    if (getsockname(listener->fd, (struct sockaddr *)&address, &size) < 0 ||
        getnameinfo((struct sockaddr *)&address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "[web] listen: the socket has no name");
    listener->address = mem_format(strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
    return 0;
}

static int open_tcp(const char *listen_on, struct web_listener *listener, struct diag *diag)
{
    struct addrinfo *found = NULL;
    const int yes = 1;
    int result = resolve(listen_on, &found, diag);
    if (result < 0)
        return result;
    listener->is_loopback = is_loopback(found->ai_addr);
    listener->fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 || setsockopt(listener->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(listener->fd, found->ai_addr, found->ai_addrlen) < 0 || listen(listener->fd, BACKLOG) < 0) {
        (void)diag_errno(diag, "[web] listen = %s", listen_on);
        result = FARM_E_UNAVAILABLE;
    }
    freeaddrinfo(found);
    return result < 0 ? result : name_it(listener, diag);
}

/* A socket that a crash left behind is in the way; anything else at that path is somebody's. */
static void remove_left_over(const char *path)
{
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode))
        unlink(path);
}

static int open_unix(const char *path, struct web_listener *listener, struct diag *diag)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int result = check_path(path, diag);
    if (result < 0)
        return result;
    memcpy(address.sun_path, path, strlen(path));
    remove_left_over(path);
    listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0) {
        (void)diag_errno(diag, "[web] listen = unix:%s", path);
        return FARM_E_UNAVAILABLE;
    }
    listener->path = mem_string(path);
    listener->address = mem_format("unix:%s", path);
    if (chmod(path, 0660) < 0 || listen(listener->fd, BACKLOG) < 0) {
        (void)diag_errno(diag, "[web] listen = unix:%s", path);
        return FARM_E_UNAVAILABLE;
    }
    return 0;
}

int web_listen_open(const char *listen, struct web_listener *ret, struct diag *diag)
{
    struct web_listener listener = {.fd = -1};
    int result = is_unix(listen) ? open_unix(listen + strlen(unix_prefix), &listener, diag)
                                 : open_tcp(listen, &listener, diag);
    if (result < 0) {
        web_listen_close(&listener);
        return result;
    }
    *ret = listener;
    return 0;
}

void web_listen_close(struct web_listener *listener)
{
    mem_close_p(&listener->fd);
    if (listener->path != NULL)
        unlink(listener->path);
    free(listener->path);
    free(listener->address);
    *listener = (struct web_listener){.fd = -1};
}

/* An address, or "localhost", with or without a port. */
bool web_host_is_local(const char *host)
{
    unsigned char ignored[sizeof(struct in6_addr)];
    char name[64];
    if (host == NULL) /* HTTP/1.0: no browser sends that */
        return true;
    size_t length = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":");
    if (length >= sizeof name || length > strlen(host) || (host[length] != '\0' && host[length] != ':'))
        return false;
    snprintf(name, sizeof name, "%.*s", (int)length, host);
    if (name[0] == '[') {
        name[length - 1] = '\0';
        return inet_pton(AF_INET6, name + 1, ignored) == 1;
    }
    return strcasecmp(name, "localhost") == 0 || inet_pton(AF_INET, name, ignored) == 1;
}
