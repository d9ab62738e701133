/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Client: one question to the coordinator, and its answers. */
#include "cli.h"

#include "file.h"
#include "wire.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Where a coordinator may be, when nobody says: of a quickstart in this directory, of the installed service.
 */
static const char *const places[] = {".farm/coordinator/control.sock", "/run/intergenos-farm/control.sock",
                                     "/var/lib/intergenos-farm/control.sock"};

static const char *find_socket(const struct cli *cli)
{
    const char *named = cli->socket != NULL ? cli->socket : getenv("FARM_SOCKET");
    if (named != NULL)
        return named;
    for (size_t i = 0; i < ARRAY_SIZE(places); i++)
        if (access(places[i], F_OK) == 0)
            return places[i];
    return NULL;
}

static int connect_to(const char *path, struct diag *diag)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (path == NULL)
        return diag_set(
            diag, FARM_E_UNAVAILABLE,
            "no coordinator found (looked for %s, %s, %s); is it running? Name it with --socket PATH",
            places[0], places[1], places[2]);
    if (strlen(path) >= sizeof address.sun_path)
        return diag_set(diag, FARM_E_USAGE, "%s: too long for a socket's path", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    CLEANUP_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return diag_errno(diag, "socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        return diag_set(diag, FARM_E_UNAVAILABLE, "%s: %s; is the coordinator running, and are you its user?",
                        path, strerror(errno));
    return STEAL_FD(fd);
}

/* The first byte carries the descriptor. */
static int send_all(int fd, struct view bytes, int passed, struct diag *diag)
{
    char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec first = {(void *)bytes.data, 1};
    struct msghdr message = {.msg_iov = &first, .msg_iovlen = 1};
    if (passed >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(part), &passed, sizeof passed);
    }
    if (sendmsg(fd, &message, MSG_NOSIGNAL) != 1)
        return diag_errno(diag, "control socket");
    int result = file_write_all(fd, bytes.data + 1, bytes.size - 1);
    return result < 0 ? diag_set(diag, result, "control socket: %s", strerror(-result)) : 0;
}

static int send_request(int fd, const struct cli_request *request, struct diag *diag)
{
    CLEANUP_BUF struct buf body = BUF_INIT, frame = BUF_INIT;
    Wire__CtlRequest message = WIRE__CTL_REQUEST__INIT;
    json_write(request->params, &body);
    message.verb = wire_text(request->verb);
    message.body = wire_bytes(buf_view(&body));
    int result = wire_encode_prefixed(WIRE_CTL_REQUEST, &message.base, &frame, diag);
    return result < 0 ? result : send_all(fd, buf_view(&frame), request->fd, diag);
}

static int parse_body(const Wire__CtlReply *reply, json_t **ret, struct diag *diag)
{
    if (reply->body.len == 0) {
        *ret = NULL;
        return 0;
    }
    return json_read(wire_view(&reply->body), "answer", WIRE_CTL_REPLY_MAX, ret, diag);
}

/* One reply: 1 if it was the final one. */
static int take_reply(struct cli *cli, const struct cli_request *request, const Wire__CtlReply *reply,
                      int *ret_status, json_t **ret_body, struct diag *diag)
{
    json_t *body = NULL;
    int result = parse_body(reply, &body, diag);
    if (result < 0)
        return result;
    if ((enum wire_ctl_kind)reply->kind == WIRE_CTL_FINAL) {
        if (reply->error[0] != '\0')
            (void)cli_error(cli, (int)reply->status, reply->error);
        *ret_status = (int)reply->status;
        *ret_body = body;
        return 1;
    }
    if (request->reply != NULL && body != NULL)
        result =
            request->reply(cli, request->context, (enum wire_ctl_kind)reply->kind == WIRE_CTL_PROGRESS, body);
    json_decref(body);
    return result;
}

static int take_replies(struct cli *cli, const struct cli_request *request, struct buf *in, int *ret_status,
                        json_t **ret_body, struct diag *diag)
{
    struct view frame;
    int result;
    while ((result = wire_take_prefixed(WIRE_TO_CTL, buf_view(in), &frame, diag)) > 0) {
        struct wire_message *message = NULL;
        size_t used = WIRE_CTL_PREFIX + frame.size;
        result = wire_decode(WIRE_TO_CTL, frame, &message, diag);
        if (result >= 0)
            result = take_reply(cli, request, message->ctl_reply, ret_status, ret_body, diag);
        wire_free(message);
        if (result != 0)
            return result;
        memmove(in->data, in->data + used, in->size - used);
        in->size -= used;
    }
    return result;
}

static int converse(struct cli *cli, int fd, const struct cli_request *request, int *ret_status,
                    json_t **ret_body, struct diag *diag)
{
    enum { CHUNK = 64 * 1024 };
    CLEANUP_BUF struct buf in = BUF_INIT;
    for (;;) {
        int result = take_replies(cli, request, &in, ret_status, ret_body, diag);
        if (result != 0)
            return result;
        ssize_t got = read(fd, buf_room(&in, CHUNK), CHUNK);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return diag_set(diag, FARM_E_UNAVAILABLE, "the coordinator hung up; its log says why");
        in.size += (size_t)got;
    }
}

int cli_ask(struct cli *cli, const struct cli_request *request, json_t **ret_body)
{
    struct diag diag = DIAG_INIT;
    json_t *body = NULL;
    int status = FARM_EXIT_CANNOT_RUN;
    CLEANUP_CLOSE int fd = connect_to(find_socket(cli), &diag);
    int result = fd < 0 ? fd : send_request(fd, request, &diag);
    json_decref(request->params);
    if (result >= 0)
        result = converse(cli, fd, request, &status, &body, &diag);
    if (result < 0)
        return cli_fail(cli, result, &diag);
    if (ret_body != NULL)
        *ret_body = body;
    else
        json_decref(body);
    return status;
}

int cli_ask_print(struct cli *cli, const char *verb, json_t *params,
                  void (*print)(struct cli *cli, const json_t *body))
{
    return cli_ask_follow(cli, verb, params, NULL, print);
}

int cli_ask_follow(struct cli *cli, const char *verb, json_t *params, cli_reply *reply,
                   void (*print)(struct cli *cli, const json_t *body))
{
    CLEANUP_JSON json_t *body = NULL;
    struct cli_request request = {.verb = verb, .params = params, .fd = -1, .reply = reply};
    int status = cli_ask(cli, &request, &body);
    if (body == NULL)
        return status;
    if (json_object_get(body, "error") != NULL) /* with a list of problems: as complete as any other error */
        json_object_set_new(body, "status", json_integer(status));
    if (cli->json)
        cli_print_json(body);
    else if (json_object_get(body, "problems") != NULL)
        cli_print_problems(body);
    else
        print(cli, body);
    return status;
}
