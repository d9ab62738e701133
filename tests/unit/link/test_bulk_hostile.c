/* SPDX-License-Identifier: GPL-3.0-or-later */
/* bulk: wrong bytes (W14), damaged files, peers that break the catalogue or lie (N8). */
#include "bulk_rig.h"

#include "file.h"
#include "moment.h"

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(damaged_objects_are_not_served),   TEST(w14_other_bytes_than_named_are_refused),
        TEST(uploads_out_of_order_are_refused), TEST(a_lying_server_is_found_out),
        TEST(n8_junk_is_counted_and_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
