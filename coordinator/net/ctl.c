/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ctl.h"

#include "farmlog.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct client {
    int fd; /* -1: gone; freed when no request is left */
    struct buf in, out;
    size_t sent; /* of out */
    int passed_fd;
    unsigned int requests; /* unfinished */
    bool overrun;
};

struct ctl_request {
    struct client *client;
    json_t *params;
    int fd;
    char verb[64];
};

/* Unfinished requests of one client: more are refused. farmctl has one. */
enum { CLIENT_REQUESTS_MAX = 32 };

/* How often a watcher looks: people see no faster, and a status walks every node of every plan. */
enum { WATCH_INTERVAL_MS = 500 };

struct watcher {
    struct ctl_request *request;
    watch_poll *poll;
    void (*release)(void *state);
    void *state;
};

struct ctl {
    int listen_fd;
    char *path;
    struct client *clients[CTL_CLIENTS_MAX];
    size_t nclients;
    struct watcher *watchers;
    size_t nwatchers, watchers_capacity;
    int64_t watch_due_ms; /* steady */
};

/* Takes away what a coordinator that died left, and nothing else: the path is configured by hand. */
static int remove_leftover(const char *path, const struct sockaddr_un *address, struct diag *diag)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        return errno == ENOENT ? 0 : diag_errno(diag, "%s", path);
    if (!S_ISSOCK(status.st_mode))
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: exists and is not a socket; set control_socket to another path", path);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return diag_errno(diag, "socket");
    if (connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN)
        return diag_set(diag, FARM_E_UNAVAILABLE,
                        "%s: another program listens here; is it another coordinator?", path);
    return unlink(path) < 0 ? diag_errno(diag, "%s: remove", path) : 0;
}

static int listen_on(const char *path, struct diag *diag)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return diag_set(diag, FARM_E_CONFIG,
                        "%s: longer than a socket's path can be (%zu); set control_socket", path,
                        sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return diag_errno(diag, "socket");
    int result = remove_leftover(path, &address, diag);
    if (result < 0)
        return result;
    mode_t before = umask(0177);
    int bound = bind(fd, (struct sockaddr *)&address, sizeof address);
    umask(before);
    if (bound < 0 || listen(fd, CTL_CLIENTS_MAX) < 0)
        return diag_errno(diag, "%s: listen", path);
    return STEAL_FD(fd);
}

int ctl_new(struct farm *farm, const char *path, struct ctl **ret, struct diag *diag)
{
    (void)farm;
    int fd = listen_on(path, diag);
    if (fd < 0)
        return fd;
    struct ctl *ctl = mem_zero(1, sizeof *ctl);
    ctl->listen_fd = fd;
    ctl->path = mem_string(path);
    *ret = ctl;
    return 0;
}

static void client_free(struct client *client)
{
    mem_close_p(&client->fd);
    mem_close_p(&client->passed_fd);
    buf_done(&client->in);
    buf_done(&client->out);
    free(client);
}

static void request_free(struct ctl_request *request)
{
    request->client->requests--;
    json_decref(request->params);
    mem_close_p(&request->fd);
    free(request);
}

struct ctl *ctl_free(struct ctl *ctl)
{
    if (ctl == NULL)
        return NULL;
    for (size_t i = 0; i < ctl->nwatchers; i++) {
        ctl->watchers[i].release(ctl->watchers[i].state);
        request_free(ctl->watchers[i].request);
    }
    for (size_t i = 0; i < ctl->nclients; i++)
        client_free(ctl->clients[i]);
    unlink(ctl->path);
    mem_close_p(&ctl->listen_fd);
    free(ctl->watchers);
    free(ctl->path);
    free(ctl);
    return NULL;
}

static bool peer_is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return false;
    return peer.uid == geteuid() || peer.uid == 0;
}

static void accept_client(struct ctl *ctl)
{
    CLEANUP_CLOSE int fd = accept4(ctl->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (!peer_is_allowed(fd) || ctl->nclients == CTL_CLIENTS_MAX) {
        log_event(LOG_LEVEL_WARNING, "control socket: connection refused",
                  log_number(FIELD_COUNT, (int64_t)ctl->nclients));
        return;
    }
    struct client *client = mem_zero(1, sizeof *client);
    client->fd = STEAL_FD(fd);
    client->passed_fd = -1;
    ctl->clients[ctl->nclients++] = client;
}

static void client_hang_up(struct client *client)
{
    mem_close_p(&client->fd);
}

/* Keeps at most one passed descriptor; more are closed at once. */
static void take_descriptors(struct client *client, struct msghdr *message)
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
            if (client->passed_fd < 0)
                client->passed_fd = fd;
            else
                close(fd);
        }
    }
}

/* False when the client has gone or broke the protocol. */
static bool client_read(struct client *client)
{
    enum { CHUNK = 64 * 1024 };
    char control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec room = {buf_room(&client->in, CHUNK), CHUNK};
    struct msghdr message = {
        .msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t got = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if (got > 0)
        take_descriptors(client, &message);
    client->in.size += (size_t)got;
    return got > 0;
}

static void dispatch(struct farm *farm, struct client *client, const Wire__CtlRequest *message)
{
    struct ctl_request *request = mem_zero(1, sizeof *request);
    struct diag diag = DIAG_INIT;
    request->client = client;
    client->requests++;
    request->fd = STEAL_FD(client->passed_fd);
    snprintf(request->verb, sizeof request->verb, "%s", message->verb);
    int result =
        json_read(wire_view(&message->body), "request", WIRE_CTL_REQUEST_MAX, &request->params, &diag);
    if (result >= 0 && !json_is_object(request->params))
        result = diag_set(&diag, FARM_E_SYNTAX, "request: expected an object");
    if (result >= 0 && client->requests > CLIENT_REQUESTS_MAX)
        result = diag_set(&diag, FARM_E_LIMIT, "%d requests of this connection are unanswered already",
                          CLIENT_REQUESTS_MAX);
    for (size_t i = 0; result >= 0 && i < ctl_nverbs; i++)
        if (strcmp(ctl_verbs[i].name, message->verb) == 0) {
            ctl_verbs[i].run(farm, request);
            return;
        }
    if (result >= 0)
        result = diag_set(&diag, FARM_E_UNSUPPORTED,
                          "the coordinator does not know \"%s\"; is farmctl newer than it?", request->verb);
    ctl_fail(request, result, &diag);
}

static bool client_take_frames(struct farm *farm, struct client *client)
{
    struct view frame;
    struct diag diag = DIAG_INIT;
    int result;
    struct view rest = buf_view(&client->in);
    while ((result = wire_take_prefixed(WIRE_FROM_CTL, rest, &frame, &diag)) > 0) {
        struct wire_message *message = NULL;
        size_t used = WIRE_CTL_PREFIX + frame.size;
        result = wire_decode(WIRE_FROM_CTL, frame, &message, &diag);
        if (result < 0)
            break;
        dispatch(farm, client, message->ctl_request);
        wire_free(message);
        rest = view_of(rest.data + used, rest.size - used);
    }
    if (rest.size > 0)
        memmove(client->in.data, rest.data, rest.size);
    client->in.size = rest.size;
    if (result < 0)
        log_warning("control socket: %s", diag_text(&diag, result));
    return result >= 0;
}

static void client_write(struct client *client)
{
    if (client->overrun)
        client_hang_up(client);
    while (client->fd >= 0 && client->sent < client->out.size) {
        ssize_t put =
            send(client->fd, client->out.data + client->sent, client->out.size - client->sent, MSG_NOSIGNAL);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0 && errno == EAGAIN)
            return;
        if (put < 0) {
            client_hang_up(client);
            return;
        }
        client->sent += (size_t)put;
    }
    buf_clear(&client->out);
    client->sent = 0;
}

size_t ctl_poll_items(struct ctl *ctl, struct link_poll_item *items)
{
    size_t count = 0;
    items[count++] = LINK_POLL_FD(ctl->listen_fd, POLLIN);
    for (size_t i = 0; i < ctl->nclients; i++) {
        const struct client *client = ctl->clients[i];
        items[count++] =
            LINK_POLL_FD(client->fd, (short)(POLLIN | (client->sent < client->out.size ? POLLOUT : 0)));
    }
    return count;
}

static void drop_dead_clients(struct ctl *ctl)
{
    size_t kept = 0;
    for (size_t i = 0; i < ctl->nclients; i++) {
        if (ctl->clients[i]->fd < 0 && ctl->clients[i]->requests == 0)
            client_free(ctl->clients[i]);
        else
            ctl->clients[kept++] = ctl->clients[i];
    }
    ctl->nclients = kept;
}

void ctl_handle(struct farm *farm, struct ctl *ctl, const struct link_poll_item *items, size_t count)
{
    size_t known = count - 1; /* clients that were polled; accepting may add more */
    for (size_t i = 0; i < known; i++) {
        struct client *client = ctl->clients[i];
        if (client->fd >= 0 && items[i + 1].readable &&
            (!client_read(client) || !client_take_frames(farm, client)))
            client_hang_up(client);
    }
    if (items[0].readable)
        accept_client(ctl);
    drop_dead_clients(ctl);
}

void ctl_flush(struct ctl *ctl)
{
    for (size_t i = 0; i < ctl->nclients; i++)
        client_write(ctl->clients[i]);
}

json_t *ctl_params(const struct ctl_request *request)
{
    return request->params;
}

const char *ctl_text(const struct ctl_request *request, const char *key)
{
    return json_string_value(json_object_get(request->params, key));
}

bool ctl_flag(const struct ctl_request *request, const char *key)
{
    return json_is_true(json_object_get(request->params, key));
}

int ctl_take_fd(struct ctl_request *request)
{
    return STEAL_FD(request->fd);
}

bool ctl_is_gone(const struct ctl_request *request)
{
    return request->client->fd < 0;
}

/* Queues one reply; it leaves after the commit (ctl_flush). */
static int queue_reply(struct client *client, enum wire_ctl_kind kind, int status, struct view body,
                       const char *error, struct diag *diag)
{
    Wire__CtlReply message = WIRE__CTL_REPLY__INIT;
    message.status = (uint32_t)status;
    message.kind = (Wire__CtlKind)kind;
    message.body = wire_bytes(body);
    CLEANUP_JSON json_t *clean = json_view(view_text(error)); /* it may quote anybody's bytes */
    message.error = wire_text(json_string_value(clean));
    return wire_encode_prefixed(WIRE_CTL_REPLY, &message.base, &client->out, diag);
}

static void reply(struct ctl_request *request, enum wire_ctl_kind kind, int status, json_t *body,
                  const char *error)
{
    struct client *client = request->client;
    CLEANUP_BUF struct buf text = BUF_INIT;
    struct diag diag = DIAG_INIT;
    if (client->fd >= 0 && !client->overrun && body != NULL)
        json_write(body, &text);
    json_decref(body);
    if (client->fd < 0 || client->overrun)
        return;
    int result = queue_reply(client, kind, status, buf_view(&text), error, &diag);
    if (result < 0) { /* too long, most likely: say so, instead of hanging up */
        log_event(LOG_LEVEL_ERROR, "control socket: cannot answer", log_text(FIELD_VERB, request->verb),
                  log_text(FIELD_REASON, diag_text(&diag, result)));
        result = queue_reply(client, kind, FARM_EXIT_CANNOT_RUN, view_of(NULL, 0),
                             "the answer is too long to be sent; ask for less (--plan, --state)", NULL);
    }
    client->overrun = result < 0 || client->out.size - client->sent > CTL_BACKLOG_MAX;
}

void ctl_progress(struct ctl_request *request, json_t *body)
{
    reply(request, WIRE_CTL_PROGRESS, 0, body, "");
}

void ctl_item(struct ctl_request *request, json_t *body)
{
    reply(request, WIRE_CTL_ITEM, 0, body, "");
}

void ctl_finish(struct ctl_request *request, int exit_status, json_t *body)
{
    reply(request, WIRE_CTL_FINAL, exit_status, body, "");
    request_free(request);
}

void ctl_fail(struct ctl_request *request, int error, const struct diag *diag)
{
    reply(request, WIRE_CTL_FINAL, farm_error_exit(error), NULL, diag_text(diag, error));
    request_free(request);
}

void watch_add(struct farm *farm, struct ctl_request *request, watch_poll *poll, void *state,
               void (*release)(void *state))
{
    struct ctl *ctl = farm->ctl;
    ctl->watchers =
        mem_reserve(ctl->watchers, &ctl->watchers_capacity, ctl->nwatchers + 1, sizeof *ctl->watchers);
    ctl->watchers[ctl->nwatchers++] = (struct watcher){request, poll, release, state};
    ctl->watch_due_ms = 0; /* the new one looks at once */
}

void watch_wake(struct ctl *ctl)
{
    if (ctl != NULL)
        ctl->watch_due_ms = 0;
}

int64_t watch_due(const struct ctl *ctl)
{
    return ctl->nwatchers > 0 ? ctl->watch_due_ms : INT64_MAX;
}

/* False when the watcher is done with. */
static bool watch_one(struct farm *farm, const struct watcher *watcher)
{
    const struct client *client = watcher->request->client;
    if (ctl_is_gone(watcher->request)) {
        request_free(watcher->request);
        return false;
    }
    /* Who has not read the last news gets no more of it, but the newest when it has. */
    return client->sent < client->out.size || watcher->poll(farm, watcher->request, watcher->state);
}

void watch_poll_all(struct farm *farm)
{
    struct ctl *ctl = farm->ctl;
    size_t kept = 0;
    if (ctl->nwatchers == 0 || moment_steady_ms() < ctl->watch_due_ms)
        return;
    for (size_t i = 0; i < ctl->nwatchers; i++) {
        struct watcher watcher = ctl->watchers[i];
        if (watch_one(farm, &watcher))
            ctl->watchers[kept++] = watcher;
        else
            watcher.release(watcher.state);
    }
    ctl->nwatchers = kept;
    ctl->watch_due_ms = moment_steady_ms() + WATCH_INTERVAL_MS;
}
