/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * bulk: objects move between two stores over real sockets, through cut connections (N9), wrong bytes, bombs and quotas.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bulk.h"
#include "file.h"
#include "moment.h"
#include "wire.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MEBI = 1024 * 1024, BIG = 12 * MEBI + 12345, PATIENCE_MS = 20000 };

struct rules {
    atomic_bool deny_get, deny_put;
    atomic_int chunks; /* that there is room for; negative: any number */
    atomic_int present, absent;
    atomic_uint_fast64_t held; /* bytes that were sent; no row ever names any */
    char present_user[LINK_USER_MAX + 1];
};

struct farm {
    char *directory;
    struct store *here, *there; /* the worker's and the coordinator's */
    struct link_gate *gate;
    struct bulk_server *server;
    struct bulk_client *client;
    struct rules rules;
    unsigned char server_open[LINK_KEY_SIZE], server_secret[LINK_KEY_SIZE], open[LINK_KEY_SIZE],
        secret[LINK_KEY_SIZE];
};

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

static void must(int r, const struct diag *diag)
{
    if (r < 0)
        fail_msg("%s", diag_text(diag, r));
}

static void start_server(struct farm *farm, const char *endpoint, uint64_t object_max,
                         uint64_t user_bytes_max)
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

static struct bulk_client *client_to(struct farm *farm, const char *endpoint, int timeout_ms)
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

static int setup(void **state)
{
    return setup_with(state, 0, 0);
}

static int setup_small(void **state)
{
    return setup_with(state, 4 * MEBI, 2 * MEBI);
}

static int teardown(void **state)
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

/* Bytes that zstd cannot shorten. */
static struct digest put_noise(struct store *store, size_t size, uint64_t seed)
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

static void assert_whole(struct store *store, const struct digest *digest)
{
    struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(store_get(store, digest, 64 * MEBI, &content, &diag), &diag);
    buf_done(&content);
}

/* ---- the plain case ---- */

static void objects_go_down_and_up(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest down = put_noise(farm->there, BIG, 1), up = put_noise(farm->here, BIG, 2);
    must(bulk_get(farm->client, farm->here, &down, BIG, &diag), &diag);
    assert_whole(farm->here, &down);
    must(bulk_put(farm->client, farm->here, &up, &diag), &diag);
    assert_whole(farm->there, &up);
    assert_string_equal(farm->rules.present_user, "alice");
    struct bulk_server_stats stats = bulk_server_stats(farm->server);
    assert_int_equal(stats.stored, 1);
    assert_true(stats.sent_bytes >= BIG && stats.sent_bytes < BIG + MEBI);
    /* What is there already is not sent again. */
    must(bulk_get(farm->client, farm->here, &down, BIG, &diag), &diag);
    must(bulk_put(farm->client, farm->here, &up, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).received_bytes, stats.received_bytes);
}

static void small_objects_and_rests_between(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    for (uint64_t i = 1; i <= 5; i++) {
        struct digest digest = put_noise(farm->here, (size_t)i, i);
        must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
        assert_whole(farm->there, &digest);
        bulk_client_rest(farm->client);
    }
}

/* Small ones go with their Put, larger ones in chunks; what is there already is not sent again. */
static void several_objects_go_together(void **state)
{
    enum { COUNT = 9 };
    static const size_t sizes[COUNT] = {1, 1000, 60 * 1024, 0, 3 * MEBI, 70 * 1024, 17, 40 * 1024, MEBI};
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digests[COUNT];
    for (size_t i = 0; i < COUNT; i++)
        digests[i] = put_noise(farm->here, sizes[i], i + 1);
    must(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), &diag);
    for (size_t i = 0; i < COUNT; i++)
        assert_whole(farm->there, &digests[i]);
    struct bulk_server_stats stats = bulk_server_stats(farm->server);
    assert_int_equal(stats.stored, COUNT);
    must(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).stored, COUNT);
    must(bulk_put_all(farm->client, farm->here, digests, 0, &diag), &diag);
    /* An answer may name one object as two things. */
    struct digest one = put_noise(farm->here, 100, COUNT + 1), twice[] = {one, digests[0], one};
    must(bulk_put_all(farm->client, farm->here, twice, ARRAY_SIZE(twice), &diag), &diag);
    assert_whole(farm->there, &one);
    /* One that is here nowhere says which. */
    digests[2] = digest_of(VIEW("nowhere"));
    assert_int_equal(bulk_put_all(farm->client, farm->here, digests, COUNT, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, digest_hex(&digests[2]).text));
}

static void missing_objects_are_listed(void **state)
{
    enum { COUNT = 2500 }; /* more than one question */
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    CLEANUP_FREE struct digest *digests = mem_zero(COUNT, sizeof(*digests));
    CLEANUP_FREE bool *missing = mem_zero(COUNT, sizeof(*missing));
    for (size_t i = 0; i < COUNT; i++)
        digests[i] = digest_of(view_of(&i, sizeof(i)));
    digests[0] = put_noise(farm->there, 100, 1);
    digests[1100] = put_noise(farm->there, 100, 2);
    must(bulk_missing(farm->client, digests, COUNT, missing, &diag), &diag);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(missing[i], i != 0 && i != 1100);
    assert_int_equal(farm->rules.present, 2);
}

static void an_absent_object_is_missing(void **state)
{
    struct farm *farm = *state;
    struct digest digest = digest_of(VIEW("nowhere"));
    struct diag diag = DIAG_INIT;
    assert_int_equal(bulk_get(farm->client, farm->here, &digest, BIG, &diag), FARM_E_MISSING);
    assert_non_null(strstr(diag.text, digest_hex(&digest).text));
}

/* ---- authorisation ---- */

static void callbacks_decide_and_hide(void **state)
{
    struct farm *farm = *state;
    struct digest both = put_noise(farm->there, 1000, 7);
    struct diag diag = DIAG_INIT;
    bool missing = false;
    assert_true(both.bytes[0] == put_noise(farm->here, 1000, 7).bytes[0]);
    atomic_store(&farm->rules.deny_get, true);
    struct digest other = put_noise(farm->there, 1000, 8);
    assert_int_equal(bulk_get(farm->client, farm->here, &other, BIG, &diag), FARM_E_REFUSED);
    /* Somebody else's equal answer does not show: it is "missing", and the upload is taken in full. */
    must(bulk_missing(farm->client, &both, 1, &missing, &diag), &diag);
    assert_true(missing);
    must(bulk_put(farm->client, farm->here, &both, &diag), &diag);
    assert_true(bulk_server_stats(farm->server).received_bytes >= 1000);
    atomic_store(&farm->rules.deny_put, true);
    struct digest mine = put_noise(farm->here, 1000, 9);
    assert_int_equal(bulk_put(farm->client, farm->here, &mine, &diag), FARM_E_REFUSED);
    assert_int_equal(bulk_put_all(farm->client, farm->here, &mine, 1, &diag), FARM_E_REFUSED);
    assert_false(store_has(farm->there, &mine));
}

/* Who uploads cannot take the last room of those who have to write as well; with room again it goes on where it stopped. */
static void d7_uploads_wait_for_room(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digest = put_noise(farm->here, BIG, 21);
    atomic_store(&farm->rules.chunks, 6); /* the first is asked about with Put */
    assert_int_equal(bulk_put(farm->client, farm->here, &digest, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "no room for uploads"));
    uint64_t received = bulk_server_stats(farm->server).received_bytes;
    assert_int_equal(received, 5 * MEBI);
    atomic_store(&farm->rules.chunks, 0);
    assert_int_equal(bulk_put(farm->client, farm->here, &digest, &diag), FARM_E_UNAVAILABLE);
    atomic_store(&farm->rules.chunks, -1);
    must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
    assert_true(store_has(farm->there, &digest));
    assert_true(bulk_server_stats(farm->server).received_bytes < received + BIG);
}

static void a_revoked_worker_gets_nothing(void **state)
{
    struct farm *farm = *state;
    struct digest digest = put_noise(farm->there, 1000, 7);
    struct diag diag = DIAG_INIT;
    struct bulk_client *client = client_to(farm, bulk_server_endpoint(farm->server), 1000);
    bool missing;
    must(bulk_missing(client, &digest, 1, &missing, &diag), &diag); /* connected */
    assert_true(link_gate_revoke(farm->gate, "alice"));
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), FARM_E_TIMEOUT);
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), FARM_E_TIMEOUT);
    assert_non_null(strstr(diag.text, "does not admit our key"));
    bulk_client_free(client);
}

/* ---- limits ---- */

static void quotas_and_sizes_are_enforced(void **state)
{
    struct farm *farm = *state;
    struct digest big = put_noise(farm->here, BIG, 1), medium = put_noise(farm->here, 3 * MEBI, 2);
    struct digest small = put_noise(farm->here, MEBI, 3);
    struct diag diag = DIAG_INIT;
    assert_int_equal(bulk_put(farm->client, farm->here, &big, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "one upload"));
    assert_int_equal(bulk_put(farm->client, farm->here, &medium, &diag), FARM_E_LIMIT);
    assert_non_null(strstr(diag.text, "quota"));
    must(bulk_put(farm->client, farm->here, &small, &diag), &diag);
    assert_int_equal(bulk_server_stats(farm->server).refused, 2);
}

static void a_bomb_stops_at_the_limit(void **state)
{
    struct farm *farm = *state;
    CLEANUP_FREE char *zeros = mem_zero(1, 16 * MEBI);
    struct digest bomb;
    struct diag diag = DIAG_INIT;
    must(store_put(farm->here, view_of(zeros, 16 * MEBI), &bomb, &diag), &diag);
    assert_int_equal(bulk_put(farm->client, farm->here, &bomb, &diag), FARM_E_LIMIT);
    assert_false(store_has(farm->there, &bomb));
    must(store_put(farm->there, view_of(zeros, 15 * MEBI), &bomb, &diag), &diag);
    assert_int_equal(bulk_get(farm->client, farm->here, &bomb, 4 * MEBI, &diag), FARM_E_LIMIT);
    assert_false(store_has(farm->here, &bomb));
}

static bool always(void *context)
{
    (void)context;
    return true;
}

static void waiting_can_be_cancelled(void **state)
{
    struct farm *farm = *state;
    struct digest digest = digest_of(VIEW("x"));
    struct bulk_client *client = NULL;
    struct diag diag = DIAG_INIT;
    /* Port 9 of loopback: nobody answers there. */
    const struct bulk_client_options options = {.endpoint = "tcp://127.0.0.1:9",
                                                .server_key = farm->server_open,
                                                .secret_key = farm->secret,
                                                .cancelled = always};
    must(bulk_client_new(&options, &client, &diag), &diag);
    assert_int_equal(bulk_get(client, farm->here, &digest, BIG, &diag), -ECANCELED);
    bulk_client_free(client);
}

/* ---- wrong bytes ---- */

/* Changes one byte in the middle of the stored file. */
static void spoil(struct farm *farm, const char *store, const struct digest *digest)
{
    struct digest_hex hex = digest_hex(digest);
    CLEANUP_FREE char *path =
        mem_format("%s/%s/objects/%.2s/%s", farm->directory, store, hex.text, hex.text + 2);
    struct buf content = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(file_read(AT_FDCWD, path, 64 * MEBI, &content, &diag), &diag);
    content.data[content.size / 2] ^= 1;
    must(file_write(AT_FDCWD, path, buf_view(&content), 0444, &diag), &diag);
    buf_done(&content);
}

static void damaged_objects_are_not_served(void **state)
{
    struct farm *farm = *state;
    struct digest down = put_noise(farm->there, 3 * MEBI, 1), up = put_noise(farm->here, 3 * MEBI, 2);
    struct diag diag = DIAG_INIT;
    spoil(farm, "there", &down);
    spoil(farm, "here", &up);
    assert_int_equal(bulk_get(farm->client, farm->here, &down, BIG, &diag), FARM_E_CORRUPT);
    assert_false(store_has(farm->here, &down));
    assert_int_equal(farm->rules.absent, 1);
    assert_int_equal(bulk_get(farm->client, farm->here, &down, BIG, &diag), FARM_E_MISSING);
    assert_int_equal(farm->rules.absent, 2);
    atomic_store(&farm->rules.deny_get, true); /* who may not have it has nothing to report */
    assert_int_equal(bulk_get(farm->client, farm->here, &down, BIG, &diag), FARM_E_REFUSED);
    assert_int_equal(farm->rules.absent, 2);
    atomic_store(&farm->rules.deny_get, false);
    assert_int_equal(bulk_put(farm->client, farm->here, &up, &diag), FARM_E_CORRUPT);
    assert_false(store_has(farm->there, &up));
    assert_int_equal(farm->rules.present, 0);
}

/* A peer that speaks the catalogue itself. */
static struct link_client *raw_client(struct farm *farm)
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

static void raw_send(struct link_client *raw, int type, const ProtobufCMessage *body)
{
    struct buf frame = BUF_INIT;
    struct diag diag = DIAG_INIT;
    must(wire_encode(type, body, &frame, &diag), &diag);
    must(link_client_send(raw, buf_view(&frame), &diag), &diag);
    buf_done(&frame);
}

/* The next answer of this type. */
static struct wire_message *raw_expect(struct link_client *raw, int type)
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

static void raw_put(struct link_client *raw, const struct digest *digest, struct view bytes)
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

static void raw_put_whole(struct link_client *raw, const struct digest *digest, uint64_t size,
                          struct view bytes)
{
    Wire__Put put = WIRE__PUT__INIT;
    put.digest = wire_digest(digest);
    put.stored_size = size;
    put.data = wire_bytes(bytes);
    raw_send(raw, WIRE_PUT, &put.base);
}

static int raw_error(struct link_client *raw)
{
    struct wire_message *message = raw_expect(raw, WIRE_BULK_ERROR);
    int code = -(int)message->bulk_error->code;
    wire_free(message);
    return code;
}

/* W14: the bytes of another object, and bytes that are no object at all. */
static void w14_other_bytes_than_named_are_refused(void **state)
{
    struct farm *farm = *state;
    struct link_client *raw = raw_client(farm);
    struct digest named = digest_of(VIEW("named")), other = put_noise(farm->here, 1000, 3);
    struct digest_hex hex = digest_hex(&other);
    CLEANUP_FREE char *path = mem_format("%s/here/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    struct buf content = BUF_INIT;
    assert_int_equal(file_read(AT_FDCWD, path, MEBI, &content, NULL), 0);
    raw_put(raw, &named, buf_view(&content));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    raw_put(raw, &named, VIEW("this is no zstd frame"));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    /* The same with Put alone. */
    raw_put_whole(raw, &named, content.size, buf_view(&content));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    raw_put_whole(raw, &named, 22, VIEW("this is no zstd frame."));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    raw_put_whole(raw, &named, content.size + 1, buf_view(&content));
    assert_int_equal(raw_error(raw), FARM_E_SYNTAX);
    assert_false(store_has(farm->there, &named));
    assert_false(store_has(farm->there, &other));
    buf_done(&content);
    link_client_free(raw);
}

static void uploads_out_of_order_are_refused(void **state)
{
    struct farm *farm = *state;
    struct link_client *raw = raw_client(farm);
    struct digest digest = digest_of(VIEW("x"));
    Wire__Put put = WIRE__PUT__INIT;
    Wire__PutData data = WIRE__PUT_DATA__INIT;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    put.digest = data.digest = done.digest = wire_digest(&digest);
    put.stored_size = 1000;
    data.data = wire_bytes(VIEW("data"));
    raw_send(raw, WIRE_PUT_DATA, &data.base); /* without Put */
    assert_int_equal(raw_error(raw), FARM_E_STATE);
    raw_send(raw, WIRE_PUT, &put.base);
    data.offset = 500; /* a hole */
    raw_send(raw, WIRE_PUT_DATA, &data.base);
    assert_int_equal(raw_error(raw), FARM_E_STATE);
    raw_send(raw, WIRE_PUT, &put.base);
    raw_send(raw, WIRE_PUT_DONE, &done.base); /* too early */
    assert_int_equal(raw_error(raw), FARM_E_STATE);
    link_client_free(raw);
}

static size_t files_incoming(const struct farm *farm)
{
    CLEANUP_FREE char *path = mem_format("%s/there/incoming", farm->directory);
    DIR *stream = opendir(path);
    size_t count = 0;
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(stream);
    return count;
}

static void raw_put_begin(struct link_client *raw, const struct digest *digest, uint64_t size)
{
    Wire__Put put = WIRE__PUT__INIT;
    put.digest = wire_digest(digest);
    put.stored_size = size;
    raw_send(raw, WIRE_PUT, &put.base);
    wire_free(raw_expect(raw, WIRE_PUT_READY));
}

/* What a refused upload leaves on the disk is on its user's account (the quota here is 2 MiB). */
static void w14_beginnings_stay_within_the_quota(void **state)
{
    struct farm *farm = *state;
    struct link_client *raw = raw_client(farm);
    struct digest digest = digest_of(VIEW("x")), other = digest_of(VIEW("y"));
    Wire__Put put = WIRE__PUT__INIT;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    done.digest = wire_digest(&digest);
    raw_put_begin(raw, &digest, 1000 * 1000);
    raw_send(raw, WIRE_PUT_DONE, &done.base); /* too early: refused, and kept for another try */
    assert_int_equal(raw_error(raw), FARM_E_STATE);
    put.digest = wire_digest(&other);
    put.stored_size = 1500 * 1000;
    raw_send(raw, WIRE_PUT, &put.base);
    assert_int_equal(raw_error(raw), FARM_E_UNAVAILABLE);
    assert_int_equal(files_incoming(farm), 1);
    /* The same object with another size takes the earlier one's place, and so does one that comes with its Put. */
    raw_put_begin(raw, &digest, 1000);
    raw_put_begin(raw, &digest, 1001);
    assert_int_equal(files_incoming(farm), 1);
    raw_put_whole(raw, &digest, 22, VIEW("this is no zstd frame."));
    assert_int_equal(raw_error(raw), FARM_E_DIGEST);
    assert_int_equal(files_incoming(farm), 0);
    link_client_free(raw);
}

/* So is what it sent to its end and no answer has named yet. */
static void w14_finished_uploads_stay_within_the_quota(void **state)
{
    struct farm *farm = *state;
    struct digest first = put_noise(farm->here, MEBI, 11), second = put_noise(farm->here, MEBI, 12);
    struct diag diag = DIAG_INIT;
    must(bulk_put(farm->client, farm->here, &first, &diag), &diag);
    assert_in_range(atomic_load(&farm->rules.held), MEBI, MEBI + MEBI / 8);
    assert_int_equal(bulk_put(farm->client, farm->here, &second, &diag), FARM_E_UNAVAILABLE);
    assert_non_null(strstr(diag.text, "no answer names"));
    atomic_store(&farm->rules.held, 0); /* a row names it now */
    must(bulk_put(farm->client, farm->here, &second, &diag), &diag);
}

/* Beginnings of next to no size do not pile up either, as files or in memory. */
static void w14_beginnings_are_counted(void **state)
{
    enum { TRIES = 80, KEPT = 64 };
    struct farm *farm = *state;
    struct digest last = digest_of(VIEW("last"));
    struct link_client *raw = raw_client(farm);
    for (int i = 0; i < TRIES; i++) {
        CLEANUP_FREE char *name = mem_format("beginning %d", i);
        struct digest digest = digest_of(view_text(name));
        Wire__PutDone done = WIRE__PUT_DONE__INIT;
        done.digest = wire_digest(&digest);
        raw_put_begin(raw, &digest, 10);
        raw_send(raw, WIRE_PUT_DONE, &done.base);
        assert_int_equal(raw_error(raw), FARM_E_STATE);
    }
    raw_put_begin(raw, &last, 10); /* answered when the one before is done with */
    assert_int_equal(files_incoming(farm), KEPT + 1);
    link_client_free(raw);
}

/* A lying server: sends the bytes of another object. */
struct liar {
    struct link_server *server;
    struct buf stored;
    atomic_bool stop;
    pthread_t thread;
};

static void lie(struct liar *liar, const struct link_peer *peer, const Wire__Get *get)
{
    Wire__Chunk chunk = WIRE__CHUNK__INIT;
    struct buf frame = BUF_INIT;
    chunk.digest = get->digest;
    chunk.stored_size = liar->stored.size;
    chunk.data = wire_bytes(buf_view(&liar->stored));
    chunk.last = true;
    (void)!wire_encode(WIRE_CHUNK, &chunk.base, &frame, NULL);
    (void)!link_server_send_to(liar->server, peer, &frame, NULL);
    buf_done(&frame);
}

static void *liar_run(void *argument)
{
    struct liar *liar = argument;
    struct link_peer peer;
    struct buf frame = BUF_INIT;
    while (!atomic_load(&liar->stop)) {
        struct link_poll_item item = LINK_POLL_SERVER(liar->server);
        struct wire_message *message = NULL;
        if (link_poll(&item, 1, 20, NULL) < 0 || link_server_receive(liar->server, &peer, &frame, NULL) != 1)
            continue;
        if (wire_decode(WIRE_BULK_REQUEST, buf_view(&frame), &message, NULL) >= 0)
            lie(liar, &peer, message->get);
        wire_free(message);
    }
    buf_done(&frame);
    return NULL;
}

static void a_lying_server_is_found_out(void **state)
{
    struct farm *farm = *state;
    struct liar liar = {.stored = BUF_INIT};
    struct digest other = put_noise(farm->there, 1000, 3), wanted = digest_of(VIEW("wanted"));
    struct digest_hex hex = digest_hex(&other);
    CLEANUP_FREE char *path = mem_format("%s/there/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    struct diag diag = DIAG_INIT;
    must(file_read(AT_FDCWD, path, MEBI, &liar.stored, &diag), &diag);
    const struct link_server_options options = {.endpoint = "tcp://127.0.0.1:*",
                                                .secret_key = farm->server_secret,
                                                .gate = farm->gate,
                                                .frame_max = WIRE_BULK_MAX,
                                                .many = true};
    must(link_server_new(&options, &liar.server, &diag), &diag);
    assert_int_equal(pthread_create(&liar.thread, NULL, liar_run, &liar), 0);
    struct bulk_client *client = client_to(farm, link_server_endpoint(liar.server), PATIENCE_MS);
    assert_int_equal(bulk_get(client, farm->here, &wanted, BIG, &diag), FARM_E_DIGEST);
    assert_false(store_has(farm->here, &wanted));
    bulk_client_free(client);
    atomic_store(&liar.stop, true);
    pthread_join(liar.thread, NULL);
    link_server_free(liar.server);
    buf_done(&liar.stored);
}

/* N8: frames that are no requests are counted, and the next request is served. */
static void n8_junk_is_counted_and_survived(void **state)
{
    struct farm *farm = *state;
    struct link_client *raw = raw_client(farm);
    struct diag diag = DIAG_INIT;
    int64_t end = moment_steady_ms() + PATIENCE_MS;
    for (int i = 0; i < 50; i++) {
        char junk[64];
        memset(junk, i * 5, sizeof(junk));
        must(link_client_send(raw, view_of(junk, (size_t)i), &diag), &diag);
    }
    while (bulk_server_stats(farm->server).bad_frames < 50 && moment_steady_ms() < end)
        usleep(1000);
    assert_int_equal(bulk_server_stats(farm->server).bad_frames, 50);
    struct digest digest = put_noise(farm->there, 1000, 7);
    must(bulk_get(farm->client, farm->here, &digest, BIG, &diag), &diag);
    link_client_free(raw);
}

/* ---- cut connections (N9): a proxy that ends its first connections after so many bytes ---- */

struct proxy {
    int listener, stop[2];
    int target_port;
    size_t cut_after; /* bytes, both directions together */
    atomic_int cuts_left;
    atomic_int connections;
    pthread_t thread;
};

static int port_of(const char *endpoint)
{
    return atoi(strrchr(endpoint, ':') + 1);
}

static int dial(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    address.sin_port = htons((uint16_t)port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static bool pass_on(int from, int to, size_t *passed)
{
    char data[65536];
    ssize_t n = read(from, data, sizeof(data));
    if (n <= 0)
        return false;
    *passed += (size_t)n;
    return file_write_all(to, data, (size_t)n) >= 0;
}

/* False when the proxy is to stop. */
static bool carry(struct proxy *proxy, int a, int b)
{
    size_t passed = 0;
    for (;;) {
        struct pollfd fds[] = {{a, POLLIN, 0}, {b, POLLIN, 0}, {proxy->stop[0], POLLIN, 0}};
        if (poll(fds, 3, -1) < 0 || fds[2].revents != 0)
            return false;
        if (fds[0].revents != 0 && !pass_on(a, b, &passed))
            return true;
        if (fds[1].revents != 0 && !pass_on(b, a, &passed))
            return true;
        if (passed > proxy->cut_after && atomic_load(&proxy->cuts_left) > 0) {
            atomic_fetch_sub(&proxy->cuts_left, 1);
            return true;
        }
    }
}

static void *proxy_run(void *argument)
{
    struct proxy *proxy = argument;
    bool go = true;
    while (go) {
        struct pollfd fds[] = {{proxy->listener, POLLIN, 0}, {proxy->stop[0], POLLIN, 0}};
        if (poll(fds, 2, -1) < 0 || fds[1].revents != 0)
            break;
        int a = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC), b = dial(proxy->target_port);
        atomic_fetch_add(&proxy->connections, 1);
        go = carry(proxy, a, b);
        close(a);
        close(b);
    }
    return NULL;
}

static void proxy_start(struct proxy *proxy, struct farm *farm, size_t cut_after, int cuts, char endpoint[64])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    *proxy =
        (struct proxy){.target_port = port_of(bulk_server_endpoint(farm->server)), .cut_after = cut_after};
    atomic_store(&proxy->cuts_left, cuts);
    proxy->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(proxy->listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(proxy->listener, 16), 0);
    assert_int_equal(getsockname(proxy->listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pipe(proxy->stop), 0);
    snprintf(endpoint, 64, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&proxy->thread, NULL, proxy_run, proxy), 0);
}

static void proxy_stop(struct proxy *proxy)
{
    assert_int_equal(write(proxy->stop[1], "x", 1), 1);
    pthread_join(proxy->thread, NULL);
    close(proxy->listener);
    close(proxy->stop[0]);
    close(proxy->stop[1]);
}

static void n9_a_download_resumes_over_cut_connections(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->there, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 2, endpoint);
    struct bulk_client *client = client_to(farm, endpoint, PATIENCE_MS);
    must(bulk_get(client, farm->here, &digest, BIG, &diag), &diag);
    assert_whole(farm->here, &digest);
    assert_int_equal(proxy.connections, 3);
    /* Continued, not begun again: three times from the start would be twice this. */
    assert_true(bulk_server_stats(farm->server).sent_bytes < 2 * (uint64_t)BIG + 2 * WIRE_CREDIT_MAX * MEBI);
    bulk_client_free(client);
    proxy_stop(&proxy);
}

static void n9_an_upload_resumes_and_is_never_half_visible(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->here, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 1000, endpoint); /* for ever cut ... */
    struct bulk_client *client = client_to(farm, endpoint, PATIENCE_MS);
    must(bulk_put(client, farm->here, &digest, &diag), &diag); /* ... and still it arrives, piece by piece */
    assert_whole(farm->there, &digest);
    assert_true(proxy.connections >= 3);
    assert_true(bulk_server_stats(farm->server).received_bytes <= BIG + BIG / 100 + MEBI);
    bulk_client_free(client);
    proxy_stop(&proxy);
}

/* The worker gives up half-way; another process of it continues where it stopped. */
static void n9_a_later_client_continues(void **state)
{
    struct farm *farm = *state;
    struct proxy proxy;
    struct diag diag = DIAG_INIT;
    char endpoint[64];
    struct digest digest = put_noise(farm->here, BIG, 1);
    proxy_start(&proxy, farm, 5 * MEBI, 1, endpoint);
    struct bulk_client *first = client_to(farm, endpoint, 100);
    int r = bulk_put(first, farm->here, &digest, &diag);
    bulk_client_free(first);
    proxy_stop(&proxy);
    if (r < 0)
        assert_int_equal(r, FARM_E_TIMEOUT);
    assert_true(r == 0 || !store_has(farm->there, &digest));
    must(bulk_put(farm->client, farm->here, &digest, &diag), &diag);
    assert_whole(farm->there, &digest);
    assert_true(bulk_server_stats(farm->server).received_bytes <= BIG + BIG / 100 + MEBI);
}

/* The client learns of the lost connection only in its next call, which must not fail for that. */
static void a_call_after_a_restart_of_the_server_succeeds(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest digest = put_noise(farm->there, 1000, 1);
    bool missing = true;
    CLEANUP_FREE char *endpoint = mem_string(bulk_server_endpoint(farm->server));
    must(bulk_missing(farm->client, &digest, 1, &missing, &diag), &diag);
    bulk_server_free(farm->server);
    usleep(300 * 1000); /* the end of the connection has reached libzmq's thread, and nobody asked it yet */
    start_server(farm, endpoint, 0, 0);
    must(bulk_missing(farm->client, &digest, 1, &missing, &diag), &diag);
    assert_false(missing);
}

/* Two slots of one worker upload the same log: the first is still waiting when the second asks. */
static void all_who_wait_for_an_upload_hear_its_end(void **state)
{
    struct farm *farm = *state;
    struct link_client *first = raw_client(farm), *second = raw_client(farm);
    struct digest digest = put_noise(farm->here, WIRE_CHUNK_MAX - 4096, 1);
    struct buf content = BUF_INIT;
    Wire__Put put = WIRE__PUT__INIT;
    struct digest_hex hex = digest_hex(&digest);
    CLEANUP_FREE char *path = mem_format("%s/here/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    assert_int_equal(file_read(AT_FDCWD, path, 2 * MEBI, &content, NULL), 0);
    put.digest = wire_digest(&digest);
    put.stored_size = content.size;
    raw_put(first, &digest, buf_view(&content));
    /* Its last sign of the bytes: what follows is the commit, which takes a sync of the disk. */
    for (int i = 0; i < 2; i++)
        wire_free(raw_expect(first, WIRE_PUT_READY));
    raw_send(second, WIRE_PUT, &put.base);
    wire_free(raw_expect(second, WIRE_STORED));
    wire_free(raw_expect(first, WIRE_STORED));
    buf_done(&content);
    link_client_free(first);
    link_client_free(second);
}

/* D8 without a stall: after a restart a large object is read through first, and meanwhile others are answered. */
static void checking_a_large_object_does_not_stall_others(void **state)
{
    struct farm *farm = *state;
    struct diag diag = DIAG_INIT;
    struct digest big = put_noise(farm->there, 96 * MEBI, 1), small = put_noise(farm->there, 1000, 2);
    struct digest_hex hex = digest_hex(&big);
    CLEANUP_FREE char *path = mem_format("%s/there/objects/%.2s/%s", farm->directory, hex.text, hex.text + 2);
    Wire__Get get = WIRE__GET__INIT;
    get.digest = wire_digest(&big);
    get.credit = 1;
    struct link_client *raw = raw_client(farm);
    must(bulk_get(farm->client, farm->here, &small, BIG, &diag), &diag); /* connected */
    assert_int_equal(chmod(path, 0444), 0); /* changed: it has to be read again */
    assert_false(store_is_verified(farm->there, &big));
    bool missing;
    int64_t asked = moment_steady_ms();
    raw_send(raw, WIRE_GET, &get.base);
    usleep(5000); /* so that it is served first */
    must(bulk_missing(farm->client, &small, 1, &missing, &diag), &diag);
    int64_t answered = moment_steady_ms();
    wire_free(raw_expect(raw, WIRE_CHUNK));
    int64_t checked = moment_steady_ms();
    assert_true(store_is_verified(farm->there, &big));
    assert_true(checked - asked > 2 * (answered - asked));
    link_client_free(raw);
}

/* Several slots of one worker at a time, each with a client of its own. */
struct slot {
    struct farm *farm;
    struct digest digest;
    char owner[16];
    pthread_t thread;
    int result;
};

static void *slot_run(void *argument)
{
    struct slot *slot = argument;
    struct bulk_client *client = NULL;
    const struct bulk_client_options options = {.endpoint = bulk_server_endpoint(slot->farm->server),
                                                .server_key = slot->farm->server_open,
                                                .owner = slot->owner,
                                                .secret_key = slot->farm->secret,
                                                .timeout_ms = PATIENCE_MS};
    slot->result = bulk_client_new(&options, &client, NULL);
    if (slot->result >= 0)
        slot->result = bulk_get(client, slot->farm->here, &slot->digest, BIG, NULL);
    bulk_client_free(client);
    return NULL;
}

static void slots_of_one_worker_share_the_server(void **state)
{
    enum { SLOTS = 4 };
    struct farm *farm = *state;
    struct slot slots[SLOTS];
    for (int i = 0; i < SLOTS; i++) { /* two of them want the same object */
        slots[i] =
            (struct slot){.farm = farm, .digest = put_noise(farm->there, 5 * MEBI, (uint64_t)(i / 2 + 1))};
        snprintf(slots[i].owner, sizeof(slots[i].owner), "slot-%d", i);
        assert_int_equal(pthread_create(&slots[i].thread, NULL, slot_run, &slots[i]), 0);
    }
    for (int i = 0; i < SLOTS; i++) {
        pthread_join(slots[i].thread, NULL);
        assert_int_equal(slots[i].result, 0);
        assert_whole(farm->here, &slots[i].digest);
    }
}

#define TEST(f)       cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_SMALL(f) cmocka_unit_test_setup_teardown(f, setup_small, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(objects_go_down_and_up),
        TEST(small_objects_and_rests_between),
        TEST(several_objects_go_together),
        TEST(missing_objects_are_listed),
        TEST(an_absent_object_is_missing),
        TEST(callbacks_decide_and_hide),
        TEST(d7_uploads_wait_for_room),
        TEST(a_revoked_worker_gets_nothing),
        TEST_SMALL(quotas_and_sizes_are_enforced),
        TEST_SMALL(w14_beginnings_stay_within_the_quota),
        TEST_SMALL(w14_finished_uploads_stay_within_the_quota),
        TEST_SMALL(w14_beginnings_are_counted),
        TEST_SMALL(a_bomb_stops_at_the_limit),
        TEST(waiting_can_be_cancelled),
        TEST(damaged_objects_are_not_served),
        TEST(w14_other_bytes_than_named_are_refused),
        TEST(uploads_out_of_order_are_refused),
        TEST(a_lying_server_is_found_out),
        TEST(n8_junk_is_counted_and_survived),
        TEST(n9_a_download_resumes_over_cut_connections),
        TEST(n9_an_upload_resumes_and_is_never_half_visible),
        TEST(n9_a_later_client_continues),
        TEST(a_call_after_a_restart_of_the_server_succeeds),
        TEST(all_who_wait_for_an_upload_hear_its_end),
        TEST(checking_a_large_object_does_not_stall_others),
        TEST(slots_of_one_worker_share_the_server),
    };
    signal(SIGPIPE, SIG_IGN); /* the proxy writes to connections that the other side has cut */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
