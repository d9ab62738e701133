/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rig_ask.h"

#include "ctl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS_MAX = 400, TURN_MS = 50 };

void rig_reply_done(struct rig_reply *reply)
{
    free(reply->error);
    json_decref(reply->body);
    json_decref(reply->progress);
}

struct rig_asking rig_ask_begin(struct rig *rig, const char *verb, json_t *params)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct rig_asking asking = {rig, socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0),
                                BUF_INIT};
    CLEANUP_BUF struct buf body = BUF_INIT, frame = BUF_INIT;
    Wire__CtlRequest message = WIRE__CTL_REQUEST__INIT;
    snprintf(address.sun_path, sizeof address.sun_path, "%s/control.sock", rig->path);
    assert_int_equal(connect(asking.fd, (struct sockaddr *)&address, sizeof address), 0);
    json_write(params, &body);
    json_decref(params);
    message.verb = wire_text(verb);
    message.body = wire_bytes(buf_view(&body));
    assert_int_equal(wire_encode_prefixed(WIRE_CTL_REQUEST, &message.base, &frame, NULL), 0);
    assert_int_equal(write(asking.fd, frame.data, frame.size), (ssize_t)frame.size);
    return asking;
}

void rig_ctl_turn(struct rig *rig)
{
    struct link_poll_item items[CTL_CLIENTS_MAX + 1];
    size_t count = ctl_poll_items(rig->farm->ctl, items);
    assert_true(link_poll(items, count, TURN_MS, NULL) >= 0);
    ctl_handle(rig->farm, rig->farm->ctl, items, count);
}

static bool take_reply(struct rig_asking *asking, struct rig_reply *ret)
{
    struct view frame;
    bool last = false;
    while (!last && wire_take_prefixed(WIRE_TO_CTL, buf_view(&asking->in), &frame, NULL) > 0) {
        struct wire_message *message = NULL;
        size_t used = WIRE_CTL_PREFIX + frame.size;
        assert_int_equal(wire_decode(WIRE_TO_CTL, frame, &message, NULL), 0);
        const Wire__CtlReply *reply = message->ctl_reply;
        json_t *body = NULL;
        (void)!json_read(wire_view(&reply->body), "reply", WIRE_CTL_REPLY_MAX, &body, NULL);
        last = (enum wire_ctl_kind)reply->kind == WIRE_CTL_FINAL;
        json_decref(last ? ret->body : ret->progress);
        *(last ? &ret->body : &ret->progress) = body;
        if (last) {
            ret->status = (int)reply->status;
            ret->error = mem_string(reply->error);
        }
        wire_free(message);
        memmove(asking->in.data, asking->in.data + used, asking->in.size - used);
        asking->in.size -= used;
    }
    return last;
}

struct rig_reply rig_ask_end(struct rig_asking *asking)
{
    enum { CHUNK = 1 << 20 };
    struct rig_reply reply = {.status = -1};
    for (int i = 0; i < TURNS_MAX; i++) {
        rig_ctl_turn(asking->rig);
        watch_poll_all(asking->rig->farm);
        rig_turn(asking->rig);
        ctl_flush(asking->rig->farm->ctl);
        ssize_t got = read(asking->fd, buf_room(&asking->in, CHUNK), CHUNK);
        asking->in.size += got > 0 ? (size_t)got : 0;
        if (take_reply(asking, &reply) || got == 0)
            break;
    }
    close(asking->fd);
    buf_done(&asking->in);
    if (reply.status < 0)
        fail_msg("no answer");
    return reply;
}

struct rig_reply rig_ask(struct rig *rig, const char *verb, json_t *params)
{
    struct rig_asking asking = rig_ask_begin(rig, verb, params);
    return rig_ask_end(&asking);
}
