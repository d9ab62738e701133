/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bulk_rig.h"

#include "file.h"
#include "moment.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool may_get(void *context, const char *user, const struct digest *digest)
{
    struct rules *rules = context;
    (void)user;
    (void)digest;
    return !atomic_load(&rules->deny_get);
}

static bool may_put(void *context, const char *user, const struct digest *digest, uint64_t size)
{
    struct rules *rules = context;
    (void)user;
    (void)digest;
    (void)size;
    return !atomic_load(&rules->deny_put);
}

static bool has_room(void *context)
{
    struct rules *rules = context;
    return atomic_load(&rules->chunks) < 0 || atomic_fetch_sub(&rules->chunks, 1) > 0;
}

static void present(void *context, const char *user, const struct digest *digest, uint64_t sent)
{
    struct rules *rules = context;
    (void)digest;
    atomic_fetch_add(&rules->held, sent);
    snprintf(rules->present_user, sizeof(rules->present_user), "%s", user);
    atomic_fetch_add(&rules->present, 1);
}

static uint64_t held(void *context, const char *user)
{
    const struct rules *rules = context;
    (void)user;
    return atomic_load(&rules->held);
}

static void absent(void *context, const struct digest *digest)
{
    struct rules *rules = context;
    (void)digest;
    atomic_fetch_add(&rules->absent, 1);
}

void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

void start_server(struct farm *farm, const char *endpoint, uint64_t object_max, uint64_t user_bytes_max)
{
    struct diag diag = DIAG_INIT;
    const struct bulk_server_options options = {
        .link = {.endpoint = endpoint, .secret_key = farm->server_secret, .gate = farm->gate},
        .store = farm->there,
        .may_get = may_get,
        .may_put = may_put,
        .present = present,
        .held = held,
        .absent = absent,
        .has_room = has_room,
        .context = &farm->rules,
        .object_max = object_max,
        .user_bytes_max = user_bytes_max};
    must(bulk_server_new(&options, &farm->server, &diag), &diag);
}

struct bulk_client *client_to(struct farm *farm, const char *endpoint, int timeout_ms)
{
    struct bulk_client *client = NULL;
    struct diag diag = DIAG_INIT;
    const struct bulk_client_options options = {.endpoint = endpoint,
                                                .server_key = farm->server_open,
                                                .secret_key = farm->secret,
                                                .timeout_ms = timeout_ms};
    must(bulk_client_new(&options, &client, &diag), &diag);
    return client;
}

static int setup_with(void **state, uint64_t object_max, uint64_t user_bytes_max)
{
    struct farm *farm = mem_zero(1, sizeof(*farm));
    struct diag diag = DIAG_INIT;
    char template[] = "/tmp/farm-test-bulk.XXXXXX";
    farm->directory = mem_string(mkdtemp(template));
    CLEANUP_FREE char *here = mem_format("%s/here", farm->directory);
    CLEANUP_FREE char *there = mem_format("%s/there", farm->directory);
    must(store_open(AT_FDCWD, here, 1, &farm->here, &diag), &diag);
    must(store_open(AT_FDCWD, there, 1, &farm->there, &diag), &diag);
    farm->gate = link_gate_new();
    must(link_keypair(farm->server_open, farm->server_secret, &diag), &diag);
    must(link_keypair(farm->open, farm->secret, &diag), &diag);
    must(link_gate_admit(farm->gate, farm->open, "alice", &diag), &diag);
    atomic_store(&farm->rules.chunks, -1);
    start_server(farm, "tcp://127.0.0.1:*", object_max, user_bytes_max);
    farm->client = client_to(farm, bulk_server_endpoint(farm->server), PATIENCE_MS);
    *state = farm;
    return 0;
}

int rig_setup(void **state)
{
    return setup_with(state, 0, 0);
}

int rig_setup_small(void **state)
{
    return setup_with(state, 4 * MEBI, 2 * MEBI);
}

int rig_teardown(void **state)
{
    struct farm *farm = *state;
    bulk_client_free(farm->client);
    bulk_server_free(farm->server);
    link_gate_free(farm->gate);
    store_close(farm->here);
    store_close(farm->there);
    int r = file_remove_tree(AT_FDCWD, farm->directory, NULL);
    free(farm->directory);
    free(farm);
    return r;
}

struct digest put_noise(struct store *store, size_t size, uint64_t seed)
{
    CLEANUP_FREE uint64_t *data = mem_alloc(size + 8);
    struct digest digest;
    struct diag diag = DIAG_INIT;
    for (size_t i = 0; i * 8 < size; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        data[i] = seed;
    }
    must(store_put(store, view_of(data, size), &digest, &diag), &diag);
    return digest;
}

void assert_whole(struct store *store, const struct digest *digest)
{
    struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(store_get(store, digest, 64 * MEBI, &content, &diag), &diag);
    buf_done(&content);
}

struct link_client *raw_client(struct farm *farm)
{
    struct link_client *raw = NULL;
    struct diag diag = DIAG_INIT;
    struct buf frame = BUF_INIT;
    const struct link_client_options options = {.endpoint = bulk_server_endpoint(farm->server),
                                                .server_key = farm->server_open,
                                                .secret_key = farm->secret,
                                                .frame_max = WIRE_BULK_MAX};
    must(link_client_new(&options, &raw, &diag), &diag);
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (link_client_next(raw, &frame, &diag) != LINK_UP && moment_steady_ms() < end)
        usleep(1000);
    assert_true(link_client_is_up(raw));
    buf_done(&frame);
    return raw;
}

void raw_send(struct link_client *raw, int type, const ProtobufCMessage *body)
{
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(wire_encode(type, body, &frame, &diag), &diag);
    must(link_client_send(raw, buf_view(&frame), &diag), &diag);
    buf_done(&frame);
}

struct wire_message *raw_expect(struct link_client *raw, int type)
{
    struct buf frame = BUF_INIT;
    struct wire_message *message = NULL;
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    while (moment_steady_ms() < end) {
        struct link_poll_item item = LINK_POLL_CLIENT(raw);
        assert_true(link_poll(&item, 1, 100, NULL) >= 0);
        if (link_client_next(raw, &frame, NULL) != LINK_FRAME)
            continue;
        assert_int_equal(wire_decode(WIRE_BULK_REPLY, buf_view(&frame), &message, NULL), 0);
        if (message->type == type)
            break;
        message = wire_free(message);
    }
    buf_done(&frame);
    assert_non_null(message);
    return message;
}

void raw_put(struct link_client *raw, const struct digest *digest, struct view bytes)
{
    Wire__Put put = WIRE__PUT__INIT;
    Wire__PutData data = WIRE__PUT_DATA__INIT;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    put.digest = data.digest = done.digest = wire_digest(digest);
    put.stored_size = bytes.size;
    data.data = wire_bytes(bytes);
    raw_send(raw, WIRE_PUT, &put.base);
    raw_send(raw, WIRE_PUT_DATA, &data.base);
    raw_send(raw, WIRE_PUT_DONE, &done.base);
}

void raw_put_whole(struct link_client *raw, const struct digest *digest, uint64_t size, struct view bytes)
{
    Wire__Put put = WIRE__PUT__INIT;
    put.digest = wire_digest(digest);
    put.stored_size = size;
    put.data = wire_bytes(bytes);
    raw_send(raw, WIRE_PUT, &put.base);
}

int raw_error(struct link_client *raw)
{
    struct wire_message *message = raw_expect(raw, WIRE_BULK_ERROR);
    int code = -(int)message->bulk_error->code;
    wire_free(message);
    return code;
}
