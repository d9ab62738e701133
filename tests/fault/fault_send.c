/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Sockets, and those of ZeroMQ, which is named and not included: not every program that is tested has it. */
#include "fault_calls.h"

#include <errno.h>
#include <sys/socket.h>

struct zmq_msg_t;
int zmq_send(void *socket, const void *data, size_t size, int flags);
int zmq_msg_send(struct zmq_msg_t *message, void *socket, int flags);
enum { ZMQ_SNDMORE = 2 };

static bool send_fails(const char *call)
{
    bool fails = fault_fails(FAULT_SEND, call, "");
    if (fails)
        errno = ECONNRESET;
    return fails;
}

ssize_t send(int fd, const void *data, size_t size, int flags)
{
    NEXT(send)
    return send_fails("send") ? -1 : next(fd, data, size, flags);
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length)
{
    NEXT(sendto)
    return send_fails("sendto") ? -1 : next(fd, data, size, flags, to, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    NEXT(sendmsg)
    return send_fails("sendmsg") ? -1 : next(fd, message, flags);
}

/* This thread's last part of a message has more behind it: libzmq took the message with its first part, and takes the rest. */
static __thread bool within;

int zmq_send(void *socket, const void *data, size_t size, int flags)
{
    NEXT(zmq_send)
    if (!within && send_fails("zmq_send")) {
        errno = EAGAIN;
        return -1;
    }
    int sent = next(socket, data, size, flags);
    within = sent >= 0 && (flags & ZMQ_SNDMORE) != 0;
    return sent;
}

int zmq_msg_send(struct zmq_msg_t *message, void *socket, int flags)
{
    NEXT(zmq_msg_send)
    if (!within && send_fails("zmq_msg_send")) {
        errno = EAGAIN;
        return -1;
    }
    int sent = next(message, socket, flags);
    within = sent >= 0 && (flags & ZMQ_SNDMORE) != 0;
    return sent;
}
