/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Small things that servers and clients do alike: options, keys, messages over borrowed memory, malloc's thresholds.
 */
#include "link_private.h"

#include <malloc.h>
#include <stdlib.h>

int link_error(struct diag *diag, const char *what)
{
    int error = zmq_errno();
    /* libzmq has numbers of its own above the system's; they mean "not now" to callers. */
    return diag_set(diag, error < ZMQ_HAUSNUMERO ? -error : FARM_E_UNAVAILABLE, "%s: %s", what,
                    zmq_strerror(error));
}

int link_set_bytes(void *socket, int option, const void *data, size_t size, const char *name,
                   struct diag *diag)
{
    return zmq_setsockopt(socket, option, data, size) < 0 ? link_error(diag, name) : 0;
}

int link_set_number(void *socket, int option, int value, const char *name, struct diag *diag)
{
    return link_set_bytes(socket, option, &value, sizeof(value), name, diag);
}

size_t link_wire_size(size_t frame)
{
    enum { SHORT_MAX = 255, SHORT = 2, LONG = 9 };
    size_t sealed = frame + LINK_CURVE_OVERHEAD;
    return sealed + (sealed <= SHORT_MAX ? SHORT : LONG);
}

struct number {
    int option, value;
    const char *name;
};

static int set_numbers(void *socket, const struct number *numbers, size_t count, struct diag *diag)
{
    int r = 0;
    for (size_t i = 0; i < count && r >= 0; i++)
        r = link_set_number(socket, numbers[i].option, numbers[i].value, numbers[i].name, diag);
    return r;
}

/* The kernel asks a silent peer's kernel, and gives up what is not acknowledged: nothing of it costs this process anything. */
static int set_keepalive(void *socket, int beat_ms, struct diag *diag)
{
    int beat_s = beat_ms < 1000 ? 1 : beat_ms / 1000;
    const struct number numbers[] = {
        {ZMQ_TCP_KEEPALIVE, 1, "ZMQ_TCP_KEEPALIVE"},
        {ZMQ_TCP_KEEPALIVE_IDLE, beat_s, "ZMQ_TCP_KEEPALIVE_IDLE"},
        {ZMQ_TCP_KEEPALIVE_INTVL, beat_s, "ZMQ_TCP_KEEPALIVE_INTVL"},
        {ZMQ_TCP_KEEPALIVE_CNT, LINK_HEARTBEATS_LOST - 1, "ZMQ_TCP_KEEPALIVE_CNT"},
        {ZMQ_TCP_MAXRT, beat_ms * LINK_HEARTBEATS_LOST, "ZMQ_TCP_MAXRT"},
    };
    return set_numbers(socket, numbers, ARRAY_SIZE(numbers), diag);
}

int link_set_heartbeat(void *socket, int heartbeat_ms, struct diag *diag)
{
    int beat = heartbeat_ms > 0 ? heartbeat_ms : LINK_HEARTBEAT_DEFAULT_MS;
    const struct number numbers[] = {
        {ZMQ_HEARTBEAT_IVL, beat, "ZMQ_HEARTBEAT_IVL"},
        {ZMQ_HEARTBEAT_TIMEOUT, beat * LINK_HEARTBEATS_LOST, "ZMQ_HEARTBEAT_TIMEOUT"},
        {ZMQ_HEARTBEAT_TTL, 0, "ZMQ_HEARTBEAT_TTL"}, /* else it would be a timer in the server */
    };
    return set_numbers(socket, numbers, ARRAY_SIZE(numbers), diag);
}

int link_set_common(void *socket, size_t frame_max, int queue_max, int heartbeat_ms, struct diag *diag)
{
    int64_t size = (int64_t)frame_max + LINK_CURVE_OVERHEAD;
    int queue = queue_max > 0 ? queue_max : LINK_QUEUE_DEFAULT;
    const struct number numbers[] = {
        {ZMQ_LINGER, 0, "ZMQ_LINGER"},
        {ZMQ_SNDHWM, queue, "ZMQ_SNDHWM"},
        {ZMQ_RCVHWM, queue, "ZMQ_RCVHWM"},
    };
    int r = set_numbers(socket, numbers, ARRAY_SIZE(numbers), diag);
    if (r >= 0)
        r = set_keepalive(socket, heartbeat_ms > 0 ? heartbeat_ms : LINK_HEARTBEAT_DEFAULT_MS, diag);
    return r < 0 ? r : link_set_bytes(socket, ZMQ_MAXMSGSIZE, &size, sizeof(size), "ZMQ_MAXMSGSIZE", diag);
}

size_t link_skip_frames(void *socket)
{
    size_t skipped = 0;
    int more = 0;
    size_t size = sizeof(more);
    while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more != 0) {
        zmq_msg_t message;
        zmq_msg_init(&message);
        int n = zmq_msg_recv(&message, socket, ZMQ_DONTWAIT);
        zmq_msg_close(&message);
        if (n < 0)
            break;
        skipped++;
    }
    return skipped;
}

struct view link_message_view(zmq_msg_t *message)
{
    return view_of(zmq_msg_data(message), zmq_msg_size(message));
}

void link_message_copy(zmq_msg_t *message, struct buf *ret)
{
    buf_clear(ret);
    buf_add(ret, zmq_msg_data(message), zmq_msg_size(message));
}

static void free_data(void *data, void *hint)
{
    (void)hint;
    free(data);
}

void link_message_from(zmq_msg_t *message, struct buf *frame)
{
    size_t size = frame->size;
    char *data = buf_steal(frame);
    if (zmq_msg_init_data(message, data, size, free_data, NULL) < 0)
        abort(); /* out of memory */
}

void link_message_return(zmq_msg_t *message, struct buf *frame)
{
    link_message_copy(message, frame);
    zmq_msg_close(message);
}

/* ---- keys: raw outside, Z85 at libzmq's door ---- */

int link_keypair(unsigned char ret_public[LINK_KEY_SIZE], unsigned char ret_secret[LINK_KEY_SIZE],
                 struct diag *diag)
{
    char public_text[LINK_Z85_SIZE], secret_text[LINK_Z85_SIZE];
    if (zmq_curve_keypair(public_text, secret_text) < 0)
        return link_error(diag, "cannot make a key pair (libzmq without CURVE?)");
    zmq_z85_decode(ret_public, public_text);
    zmq_z85_decode(ret_secret, secret_text);
    explicit_bzero(secret_text, sizeof(secret_text));
    return 0;
}

int link_public_key(const unsigned char secret[LINK_KEY_SIZE], unsigned char ret_public[LINK_KEY_SIZE],
                    struct diag *diag)
{
    char public_text[LINK_Z85_SIZE], secret_text[LINK_Z85_SIZE];
    zmq_z85_encode(secret_text, secret, LINK_KEY_SIZE);
    int r = zmq_curve_public(public_text, secret_text);
    explicit_bzero(secret_text, sizeof(secret_text));
    if (r < 0)
        return link_error(diag, "cannot derive the public key");
    zmq_z85_decode(ret_public, public_text);
    return 0;
}

void link_library(struct buf *ret)
{
    int major, minor, patch;
    zmq_version(&major, &minor, &patch);
    buf_add_format(ret, "libzmq %d.%d.%d", major, minor, patch);
}

void link_tune_memory(void)
{
    enum {
        TRIM = 64 * 1024 * 1024,   /* keep this much free memory instead of returning it after each chunk */
        MAP_FROM = 8 * 1024 * 1024 /* chunks come from the heap; only larger blocks are mapped */
    };
    mallopt(M_TRIM_THRESHOLD, TRIM);
    mallopt(M_MMAP_THRESHOLD, MAP_FROM);
}
