/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ZAP handler (ZeroMQ RFC 27): libzmq asks it about each handshake, over a socket inside the process.
 *
 * The request has the frames version, request id, domain, address, routing id, mechanism and credentials; the answer
 * version, request id, status, text, user id and metadata. Only mechanism CURVE in our own domain with a
 * key that the gate knows gets "200"; everything else, also whatever we do not understand, gets "400".
 */
#include "link_private.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    ZAP_FRAMES = 7,     /* of a CURVE request */
    ZAP_FRAME_MAX = 256 /* the longest that we look at: a domain or a key */
};

struct link_zap {
    void *socket;
    struct link_gate *gate;
    int stop_fd;
    pthread_t thread;
    atomic_uint_fast64_t admitted, refused;
};

struct request {
    unsigned char frame[ZAP_FRAMES][ZAP_FRAME_MAX];
    size_t size[ZAP_FRAMES];
    size_t count; /* frames that came; may be more than ZAP_FRAMES */
};

enum frame_index { VERSION, REQUEST_ID, DOMAIN, ADDRESS, ROUTING_ID, MECHANISM, CREDENTIALS };

static bool frame_is(const struct request *request, enum frame_index index, const char *text)
{
    return view_equal(view_of(request->frame[index], request->size[index]), view_text(text));
}

/* False if nothing is there. A frame over the limit makes the request one that we do not understand. */
static bool request_receive(void *socket, struct request *request)
{
    int more = 1;
    size_t size = sizeof(more);
    for (request->count = 0; more != 0; request->count++) {
        unsigned char spill[ZAP_FRAME_MAX];
        bool kept = request->count < ZAP_FRAMES;
        int n = zmq_recv(socket, kept ? request->frame[request->count] : spill, ZAP_FRAME_MAX, ZMQ_DONTWAIT);
        if (n < 0)
            return false;
        if (kept)
            request->size[request->count] = n <= ZAP_FRAME_MAX ? (size_t)n : 0;
        if (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) < 0)
            return false;
    }
    return true;
}

static bool request_admits(struct link_gate *gate, const struct request *request,
                           char user_id[LINK_USER_ID_MAX])
{
    return request->count == ZAP_FRAMES && frame_is(request, VERSION, "1.0") &&
           frame_is(request, DOMAIN, LINK_ZAP_DOMAIN) && frame_is(request, MECHANISM, "CURVE") &&
           link_gate_handshake(gate, request->frame[CREDENTIALS], request->size[CREDENTIALS], user_id);
}

static void send_text(void *socket, const char *text, int flags)
{
    /* An answer that cannot be sent leaves the handshake to its time-out: refused. */
    (void)!zmq_send(socket, text, strlen(text), flags);
}

static void answer(struct link_zap *zap, const struct request *request)
{
    char user_id[LINK_USER_ID_MAX] = "";
    bool admits = request_admits(zap->gate, request, user_id);
    atomic_fetch_add(admits ? &zap->admitted : &zap->refused, 1);
    send_text(zap->socket, "1.0", ZMQ_SNDMORE);
    (void)!zmq_send(zap->socket, request->frame[REQUEST_ID], request->size[REQUEST_ID], ZMQ_SNDMORE);
    send_text(zap->socket, admits ? "200" : "400", ZMQ_SNDMORE);
    send_text(zap->socket, admits ? "OK" : "not admitted", ZMQ_SNDMORE);
    send_text(zap->socket, user_id, ZMQ_SNDMORE);
    send_text(zap->socket, "", 0);
}

static void *run(void *argument)
{
    struct link_zap *zap = argument;
    struct request request;
    for (;;) {
        zmq_pollitem_t items[] = {{zap->socket, 0, ZMQ_POLLIN, 0}, {NULL, zap->stop_fd, ZMQ_POLLIN, 0}};
        if (zmq_poll(items, ARRAY_SIZE(items), -1) < 0 && errno != EINTR)
            break;
        if (items[1].revents != 0)
            break;
        if (items[0].revents != 0 && request_receive(zap->socket, &request))
            answer(zap, &request);
    }
    zmq_close(zap->socket); /* on the thread that used it */
    return NULL;
}

static int zap_bind(void *context, struct link_zap *zap, struct diag *diag)
{
    zap->socket = zmq_socket(context, ZMQ_REP);
    if (zap->socket == NULL)
        return link_error(diag, "authentication socket");
    int r = link_set_number(zap->socket, ZMQ_LINGER, 0, "ZMQ_LINGER", diag);
    if (r < 0)
        return r;
    if (zmq_bind(zap->socket, "inproc://zeromq.zap.01") < 0)
        return link_error(diag, "cannot bind the authentication handler");
    zap->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return zap->stop_fd >= 0 ? 0 : diag_errno(diag, "eventfd");
}

static struct link_zap *zap_discard(struct link_zap *zap)
{
    if (zap->socket != NULL)
        zmq_close(zap->socket);
    mem_close_p(&zap->stop_fd);
    free(zap);
    return NULL;
}

int link_zap_new(void *context, struct link_gate *gate, struct link_zap **ret, struct diag *diag)
{
    struct link_zap *zap = mem_zero(1, sizeof(*zap));
    zap->gate = gate;
    zap->stop_fd = -1;
    int r = zap_bind(context, zap, diag);
    if (r >= 0 && (r = -pthread_create(&zap->thread, NULL, run, zap)) < 0)
        diag_set(diag, r, "cannot start the authentication thread: %s", strerror(-r));
    if (r < 0) {
        zap_discard(zap);
        return r;
    }
    *ret = zap;
    return 0;
}

struct link_zap *link_zap_free(struct link_zap *zap)
{
    if (zap == NULL)
        return NULL;
    (void)!eventfd_write(zap->stop_fd, 1);
    pthread_join(zap->thread, NULL);
    zap->socket = NULL;
    return zap_discard(zap);
}

void link_zap_count(struct link_zap *zap, uint64_t *ret_admitted, uint64_t *ret_refused)
{
    *ret_admitted = atomic_load(&zap->admitted);
    *ret_refused = atomic_load(&zap->refused);
}
