/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * D6, transfers: objects go from a worker's store into a coordinator's and the other way round, over CURVE and real sockets, while a call
 * of either side fails or is the last. What was acknowledged is there with its bytes, nothing half-written bears an object's name, and the
 * next try completes.
 *
 * Both sides are one process, so that one count goes through both; they share nothing but the sockets.
 */
#include "fault_run.h"

#include "bulk.h"
#include "file.h"
#include "store.h"

#include <stdlib.h>
#include <string.h>

enum {
    SMALL = 20 * 1000,      /* goes with its Put */
    LARGE = 2500 * 1000,    /* three chunks */
    PATIENCE_MS = 10 * 1000 /* an answer that was lost is asked for by the next try, and not by this one */
};
static const size_t sizes[] = {SMALL, LARGE};

struct rig {
    struct store *from, *to;
    struct link_gate *gate;
    struct bulk_server *server;
    struct bulk_client *client;
};

/* Bytes that do not compress, the same each time. */
static void object_bytes(size_t number, struct buf *ret)
{
    uint32_t state = (uint32_t)number * 77 + 1;
    buf_room(ret, sizes[number]);
    for (size_t i = 0; i < sizes[number]; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        ret->data[i] = (char)state;
    }
    ret->size = sizes[number];
}

static void object_names(struct digest names[static ARRAY_SIZE(sizes)])
{
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT;
        object_bytes(i, &bytes);
        names[i] = digest_of(buf_view(&bytes));
    }
}

static struct store *open_store(const char *name)
{
    struct diag diag = DIAG_INIT;
    struct store *store = NULL;
    FAULT_MUST(store_open(fault_dirfd, name, 1, &store, &diag), &diag);
    return store;
}

static void prepare(void)
{
    struct diag diag = DIAG_INIT;
    struct store *from = open_store("from");
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        CLEANUP_BUF struct buf bytes = BUF_INIT;
        object_bytes(i, &bytes);
        FAULT_MUST(store_put(from, buf_view(&bytes), NULL, &diag), &diag);
    }
    store_close(from);
    store_close(open_store("to"));
}

/* 'up': the server is at the store that receives. */
static void open_rig(struct rig *rig, bool up)
{
    unsigned char server_open[LINK_KEY_SIZE], server_secret[LINK_KEY_SIZE], open[LINK_KEY_SIZE],
        secret[LINK_KEY_SIZE];
    struct diag diag = DIAG_INIT;
    rig->from = open_store("from");
    rig->to = open_store("to");
    rig->gate = link_gate_new();
    FAULT_MUST(link_keypair(server_open, server_secret, &diag), &diag);
    FAULT_MUST(link_keypair(open, secret, &diag), &diag);
    FAULT_MUST(link_gate_admit(rig->gate, open, "alder-1", &diag), &diag);
    const struct bulk_server_options options = {
        .link = {.endpoint = "tcp://127.0.0.1:*", .secret_key = server_secret, .gate = rig->gate},
        .store = up ? rig->to : rig->from};
    FAULT_MUST(bulk_server_new(&options, &rig->server, &diag), &diag);
    const struct bulk_client_options client = {.endpoint = bulk_server_endpoint(rig->server),
                                               .server_key = server_open,
                                               .secret_key = secret,
                                               .timeout_ms = PATIENCE_MS};
    FAULT_MUST(bulk_client_new(&client, &rig->client, &diag), &diag);
}

static void close_rig(struct rig *rig)
{
    bulk_client_free(rig->client);
    bulk_server_free(rig->server);
    link_gate_free(rig->gate);
    store_close(rig->from);
    store_close(rig->to);
}

static int move_all(struct rig *rig, bool up, struct diag *diag)
{
    struct digest names[ARRAY_SIZE(sizes)];
    int result = 0;
    object_names(names);
    if (up)
        return bulk_put_all(rig->client, rig->from, names, ARRAY_SIZE(sizes), diag);
    for (size_t i = 0; result >= 0 && i < ARRAY_SIZE(sizes); i++)
        result = bulk_get(rig->client, rig->to, &names[i], LARGE, diag);
    return result;
}

/* The process ends with both sides still running, as it would. */
static int run(struct fault_trial *trial, bool up, struct diag *diag)
{
    struct rig rig = {0};
    open_rig(&rig, up);
    fault_arm(trial);
    int result = move_all(&rig, up, diag);
    if (result >= 0)
        atomic_store(&trial->acknowledged, 1);
    return result;
}

static int run_up(struct fault_trial *trial, struct diag *diag)
{
    return run(trial, true, diag);
}

static int run_down(struct fault_trial *trial, struct diag *diag)
{
    return run(trial, false, diag);
}

static int verify_one(void *context, const struct digest *name, uint64_t size)
{
    (void)size;
    struct diag diag = DIAG_INIT;
    FAULT_MUST(store_verify(context, name, &diag), &diag);
    return 0;
}

static void expect_objects(struct store *store)
{
    struct digest names[ARRAY_SIZE(sizes)];
    struct diag diag = DIAG_INIT;
    object_names(names);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        FAULT_EXPECT(store_has(store, &names[i]), "object %zu was acknowledged and is gone", i);
        FAULT_MUST(store_verify(store, &names[i], &diag), &diag);
    }
}

static void check(const struct fault_trial *trial, bool up)
{
    struct diag diag = DIAG_INIT;
    struct rig rig = {0};
    open_rig(&rig, up);
    FAULT_MUST(store_each(rig.to, verify_one, rig.to, &diag), &diag);
    expect_objects(rig.from);
    if (atomic_load(&trial->acknowledged) > 0)
        expect_objects(rig.to);
    int result = move_all(&rig, up, &diag);
    if (result == FARM_E_DIGEST) /* a tail that the power cut spoiled: dropped, and sent anew */
        result = move_all(&rig, up, &diag);
    FAULT_MUST(result, &diag);
    expect_objects(rig.to);
    close_rig(&rig);
}

static void check_up(const struct fault_trial *trial)
{
    check(trial, true);
}

static void check_down(const struct fault_trial *trial)
{
    check(trial, false);
}

int main(int argc, char **argv)
{
    enum {
        CLASSES = FAULT_DISK | 1 << FAULT_ALLOC | 1 << FAULT_SEND,
        VARYING = 1 << FAULT_ALLOC | 1 << FAULT_SEND
    };
    static const struct fault_operation operations[] = {
        {"transfer-up", CLASSES, prepare, run_up, check_up, VARYING},
        {"transfer-down", CLASSES, prepare, run_down, check_down, VARYING},
    };
    return fault_main(argc, argv, operations, ARRAY_SIZE(operations));
}
