/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "web_private.h"

#include "metrics.h"
#include "moment.h"

#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* libmicrohttpd ends connections that are idle; one that sends a byte now and then is not. So each has an end of its own. */
struct web_connection {
    int fd; /* -1: free */
    int64_t end_ms;
};

struct web {
    struct web_listener listener;
    struct MHD_Daemon *daemon;
    pthread_t thread;
    bool running;
    int wake_fd;                                            /* readable: the thread shall end */
    struct web_connection connections[WEB_CONNECTIONS_MAX]; /* the thread's */
    bool closed;          /* the thread's: a connection was, in the last run */
    pthread_mutex_t lock; /* guards what follows */
    struct buf text;
    int64_t published_ms; /* steady; 0: never */
};

/* ---- answers ---- */

struct answer {
    unsigned int status;
    const char *type;
    struct buf text;
};

static void answer_plain(struct answer *answer, unsigned int status, const char *text)
{
    answer->status = status;
    answer->type = "text/plain; charset=utf-8";
    buf_add_text(&answer->text, text);
}

static void answer_metrics(struct web *web, struct answer *answer)
{
    pthread_mutex_lock(&web->lock);
    buf_add_view(&answer->text, buf_view(&web->text));
    bool published = web->published_ms != 0;
    pthread_mutex_unlock(&web->lock);
    answer->status = MHD_HTTP_OK;
    answer->type = METRICS_CONTENT_TYPE;
    if (!published)
        answer_plain(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "nothing was published yet\n");
}

static void answer_health(struct web *web, struct answer *answer)
{
    pthread_mutex_lock(&web->lock);
    int64_t published_ms = web->published_ms;
    pthread_mutex_unlock(&web->lock);
    if (published_ms != 0 && moment_steady_ms() - published_ms < WEB_STALE_MS)
        answer_plain(answer, MHD_HTTP_OK, "ok\n");
    else
        answer_plain(answer, MHD_HTTP_SERVICE_UNAVAILABLE, "the coordinator's loop does not turn\n");
}

static void decide(struct web *web, struct MHD_Connection *connection, const char *path, const char *method,
                   struct answer *answer)
{
    const char *host = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        answer_plain(answer, MHD_HTTP_METHOD_NOT_ALLOWED, "GET and HEAD only\n");
    else if (web->listener.is_loopback && !web_host_is_local(host))
        answer_plain(answer, MHD_HTTP_FORBIDDEN, "this address is asked by its number or as localhost\n");
    else if (strcmp(path, "/metrics") == 0)
        answer_metrics(web, answer);
    else if (strcmp(path, "/healthz") == 0)
        answer_health(web, answer);
    else
        answer_plain(answer, MHD_HTTP_NOT_FOUND, "/metrics and /healthz\n");
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct answer *answer)
{
    size_t size = answer->text.size;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(size, buf_steal(&answer->text), MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        return MHD_NO;
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    (void)MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (answer->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Answered when the headers are there: a body is never read. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *path,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    struct answer answer = {0};
    (void)version;
    (void)upload;
    (void)upload_size;
    (void)state;
    decide(context, connection, path, method, &answer);
    return send_answer(connection, &answer);
}

/* ---- connections ---- */

static void on_connection(void *context, struct MHD_Connection *connection, void **state,
                          enum MHD_ConnectionNotificationCode code)
{
    struct web *web = context;
    struct web_connection *mine = *state;
    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        web->closed = true;
        if (mine != NULL)
            mine->fd = -1;
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    for (size_t i = 0; info != NULL && i < WEB_CONNECTIONS_MAX; i++) {
        if (web->connections[i].fd >= 0)
            continue;
        web->connections[i] =
            (struct web_connection){.fd = info->connect_fd, .end_ms = moment_steady_ms() + WEB_CONNECTION_MS};
        *state = &web->connections[i];
        return;
    }
}

/* The library closes it when it sees the end. */
static void end_old(struct web *web, int64_t now_ms)
{
    for (size_t i = 0; i < WEB_CONNECTIONS_MAX; i++)
        if (web->connections[i].fd >= 0 && now_ms >= web->connections[i].end_ms)
            shutdown(web->connections[i].fd, SHUT_RDWR);
}

/* ---- the thread ---- */

static bool has_connections(const struct web *web)
{
    for (size_t i = 0; i < WEB_CONNECTIONS_MAX; i++)
        if (web->connections[i].fd >= 0)
            return true;
    return false;
}

static int wait_ms(struct web *web)
{
    enum { LOOK_MS = 1000 };
    MHD_UNSIGNED_LONG_LONG wanted;
    if (MHD_get_timeout(web->daemon, &wanted) == MHD_YES && wanted < LOOK_MS)
        return (int)wanted;
    return has_connections(web) ? LOOK_MS : -1;
}

static void *serve(void *argument)
{
    struct web *web = argument;
    int epoll_fd = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    struct pollfd items[] = {{.fd = epoll_fd, .events = POLLIN}, {.fd = web->wake_fd, .events = POLLIN}};
    for (;;) {
        /* At its limit the library does not listen; a run that closes one leaves that to the next. */
        (void)poll(items, ARRAY_SIZE(items), web->closed ? 0 : wait_ms(web));
        if (items[1].revents != 0)
            return NULL;
        web->closed = false;
        (void)MHD_run(web->daemon);
        end_old(web, moment_steady_ms());
    }
}

static void say_nothing(void *context, const char *format, va_list args)
{
    (void)context; /* what is wrong with a request concerns whoever sent it */
    (void)format;
    (void)args;
}

static int start(struct web *web, struct diag *diag)
{
    enum { IDLE_S = 5 };
    web->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (web->wake_fd < 0)
        return diag_errno(diag, "eventfd");
    web->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, web, /* the log first: others use it */
        MHD_OPTION_EXTERNAL_LOGGER, say_nothing, NULL, MHD_OPTION_LISTEN_SOCKET, web->listener.fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned int)WEB_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)WEB_CONNECTION_MEMORY, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_S,
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_END);
    if (web->daemon == NULL)
        return diag_set(diag, FARM_E_UNAVAILABLE, "[web] %s: the HTTP server does not start",
                        web->listener.address);
    web->listener.fd = -1; /* the daemon's */
    int error = pthread_create(&web->thread, NULL, serve, web);
    if (error != 0)
        return diag_set(diag, -error, "cannot start the web thread");
    web->running = true;
    return 0;
}

int web_new(const char *listen, struct web **ret, struct diag *diag)
{
    struct web *web = mem_zero(1, sizeof *web);
    pthread_mutex_init(&web->lock, NULL);
    web->listener.fd = web->wake_fd = -1;
    for (size_t i = 0; i < WEB_CONNECTIONS_MAX; i++)
        web->connections[i].fd = -1;
    int result = web_listen_open(listen, &web->listener, diag);
    if (result >= 0)
        result = start(web, diag);
    if (result < 0) {
        web_free(web);
        return result;
    }
    *ret = web;
    return 0;
}

struct web *web_free(struct web *web)
{
    if (web == NULL)
        return NULL;
    if (web->running) {
        (void)!eventfd_write(web->wake_fd, 1);
        pthread_join(web->thread, NULL);
    }
    if (web->daemon != NULL)
        MHD_stop_daemon(web->daemon);
    web_listen_close(&web->listener);
    mem_close_p(&web->wake_fd);
    pthread_mutex_destroy(&web->lock);
    buf_done(&web->text);
    free(web);
    return NULL;
}

const char *web_address(const struct web *web)
{
    return web->listener.address;
}

void web_publish(struct web *web, struct buf *text)
{
    pthread_mutex_lock(&web->lock);
    struct buf before = web->text;
    web->text = *text;
    web->published_ms = moment_steady_ms();
    pthread_mutex_unlock(&web->lock);
    *text = (struct buf)BUF_INIT;
    buf_done(&before);
}

void web_library(struct buf *ret)
{
    buf_add_format(ret, "libmicrohttpd %s", MHD_get_version());
}
