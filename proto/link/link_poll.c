/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Waiting for sockets and plain descriptors together. zmq_poll is used and not epoll over ZMQ_FD, because that descriptor is
 * edge-triggered: whoever forgets to drain a socket completely sleeps beside its messages.
 */
#include "link_private.h"

#include "moment.h"

#include <poll.h>
#include <stdlib.h>

static size_t items_of(const struct link_poll_item *item, zmq_pollitem_t *to)
{
    size_t n = 0;
    if (item->server != NULL)
        to[n++] = (zmq_pollitem_t){link_server_socket(item->server), 0, ZMQ_POLLIN, 0};
    if (item->client != NULL && link_client_socket(item->client) != NULL) {
        to[n++] = (zmq_pollitem_t){link_client_socket(item->client), 0, ZMQ_POLLIN, 0};
        to[n++] = (zmq_pollitem_t){link_client_monitor(item->client), 0, ZMQ_POLLIN, 0};
    }
    if (item->server == NULL && item->client == NULL && item->fd >= 0)
        to[n++] = (zmq_pollitem_t){NULL, item->fd,
                                   (short)(((item->events & POLLIN) ? ZMQ_POLLIN : 0) |
                                           ((item->events & POLLOUT) ? ZMQ_POLLOUT : 0) | ZMQ_POLLERR),
                                   0};
    return n;
}

/* A client that is due to connect again is a reason to wake up. */
static int shorten(const struct link_poll_item *items, size_t count, int timeout_ms)
{
    int64_t now = moment_steady_ms();
    for (size_t i = 0; i < count; i++) {
        int wait = items[i].client != NULL ? link_client_wait_ms(items[i].client, now) : -1;
        if (wait >= 0 && (timeout_ms < 0 || wait < timeout_ms))
            timeout_ms = wait;
    }
    return timeout_ms;
}

static void result_of(struct link_poll_item *item, const zmq_pollitem_t *from, size_t n, int64_t now)
{
    for (size_t i = 0; i < n; i++) {
        item->readable |= (from[i].revents & (ZMQ_POLLIN | ZMQ_POLLERR)) != 0;
        item->writable |= (from[i].revents & ZMQ_POLLOUT) != 0;
    }
    if (item->client != NULL && link_client_wait_ms(item->client, now) == 0)
        item->readable = true;
}

static int collect(struct link_poll_item *items, size_t count, const zmq_pollitem_t *polled,
                   const size_t *sizes)
{
    int64_t now = moment_steady_ms();
    int results = 0;
    for (size_t i = 0; i < count; i++) {
        result_of(&items[i], polled, sizes[i], now);
        polled += sizes[i];
        results += items[i].readable || items[i].writable;
    }
    return results;
}

int link_poll(struct link_poll_item *items, size_t count, int timeout_ms, struct diag *diag)
{
    CLEANUP_FREE zmq_pollitem_t *polled = mem_zero(count > 0 ? 2 * count : 1, sizeof(*polled));
    CLEANUP_FREE size_t *sizes = mem_zero(count > 0 ? count : 1, sizeof(*sizes));
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        items[i].readable = items[i].writable = false;
        total += sizes[i] = items_of(&items[i], polled + total);
    }
    int n = zmq_poll(polled, (int)total, shorten(items, count, timeout_ms));
    if (n < 0 && zmq_errno() == EINTR)
        return 0;
    return n < 0 ? link_error(diag, "waiting for messages") : collect(items, count, polled, sizes);
}
