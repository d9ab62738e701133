/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The crowd's connections and messages. What a worker says about a lease is bench_answer.c. */
#include "bench_crowd.h"

#include "bench.h"
#include "bench_answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <zmq.h>

enum {
    SLOTS_MAX = 16,
    JOIN_BATCH = 250,     /* handshakes at a time: the coordinator gives each five seconds */
    QUEUE = 64,           /* messages, as link_client has it */
    HEARTBEAT_MS = 10000, /* between the sockets, as link_client has it */
    BEATS = 50, /* heartbeats, and a pause: 5,000 a second, five times as many as 10,000 workers send */
    BEATS_MS = 10,
    PAUSE_US = 200, /* when nobody had anything to say */
    PATIENCE_S = 60,
    FRAME_MAX = WIRE_BULK_MAX + 1024
};

/* A lease that is being answered. */
struct slot {
    bool taken, sent;
    struct digest nonce;
    size_t job;
    int stored; /* objects that are there */
    double sent_s;
};

struct member {
    const struct bench_worker *worker;
    void *control, *bulk;
    bool welcomed;
    struct slot slots[SLOTS_MAX];
};

struct bench_crowd {
    struct bench_farm *farm;
    struct bench_crowd_options options;
    void *context;
    struct member *members;
    size_t first; /* of the farm's workers */
    size_t count;
    struct bench_answer *answer;
    struct buf frame;
    bool working;
    struct bench_crowd_counts counts;
    double *latencies;
    size_t capacity;
    char bulk_endpoint[64];
    char *data; /* of one message */
};

static void zmq_must(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, zmq_strerror(zmq_errno()));
    exit(FARM_EXIT_CANNOT_RUN);
}

struct bench_crowd *bench_crowd_new_part(struct bench_farm *farm, const struct bench_crowd_options *options,
                                         size_t first, size_t count)
{
    struct bench_crowd *crowd = mem_zero(1, sizeof *crowd);
    crowd->farm = farm;
    crowd->options = *options;
    crowd->context = zmq_ctx_new();
    crowd->first = first;
    crowd->members = mem_zero(count, sizeof *crowd->members);
    crowd->answer = bench_answer_new(farm, options->statement_bytes);
    crowd->data = mem_alloc(FRAME_MAX);
    zmq_must(zmq_ctx_set(crowd->context, ZMQ_MAX_SOCKETS, (int)(2 * count + 16)), "sockets");
    return crowd;
}

struct bench_crowd *bench_crowd_new(struct bench_farm *farm, const struct bench_crowd_options *options)
{
    return bench_crowd_new_part(farm, options, 0, farm->options.workers);
}

struct bench_crowd *bench_crowd_free(struct bench_crowd *crowd)
{
    for (size_t i = 0; i < crowd->count; i++) {
        zmq_close(crowd->members[i].control);
        if (crowd->members[i].bulk != NULL)
            zmq_close(crowd->members[i].bulk);
    }
    zmq_ctx_term(crowd->context);
    bench_answer_free(crowd->answer);
    buf_done(&crowd->frame);
    free(crowd->members);
    free(crowd->latencies);
    free(crowd->data);
    free(crowd);
    return NULL;
}

struct bench_crowd_counts bench_crowd_counts(const struct bench_crowd *crowd)
{
    return crowd->counts;
}

void bench_crowd_forget_latencies(struct bench_crowd *crowd)
{
    crowd->counts.nlatencies = 0;
}

/* ---- saying ---- */

static void *open_socket(struct bench_crowd *crowd, const struct bench_worker *worker, const char *endpoint)
{
    const struct {
        int option, value;
    } numbers[] = {{ZMQ_LINGER, 0},
                   {ZMQ_SNDHWM, QUEUE},
                   {ZMQ_RCVHWM, QUEUE},
                   {ZMQ_HEARTBEAT_IVL, HEARTBEAT_MS},
                   {ZMQ_HEARTBEAT_TIMEOUT, 3 * HEARTBEAT_MS},
                   {ZMQ_HEARTBEAT_TTL, 0}};
    void *socket = zmq_socket(crowd->context, ZMQ_DEALER);
    zmq_must(socket != NULL ? 0 : -1, "socket");
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
        zmq_must(zmq_setsockopt(socket, numbers[i].option, &numbers[i].value, sizeof(int)), "socket option");
    zmq_must(zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, crowd->farm->join.curve, LINK_KEY_SIZE),
             "server key");
    zmq_must(zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, worker->curve_public, LINK_KEY_SIZE), "public key");
    zmq_must(zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, worker->curve_secret, LINK_KEY_SIZE), "secret key");
    zmq_must(zmq_connect(socket, endpoint), endpoint);
    return socket;
}

/* May wait: libzmq's thread empties the queue. */
static void say(struct bench_crowd *crowd, void *socket, int type, const ProtobufCMessage *body)
{
    struct diag diag = DIAG_INIT;
    buf_clear(&crowd->frame);
    bench_must(wire_encode(type, body, &crowd->frame, &diag), &diag);
    zmq_must(zmq_send(socket, crowd->frame.data, crowd->frame.size, 0), wire_type_name(type));
}

static void say_hello(struct bench_crowd *crowd, const struct member *member)
{
    Wire__Hello hello = WIRE__HELLO__INIT;
    Wire__Facts facts = WIRE__FACTS__INIT;
    facts.cores = 64;
    facts.memory_bytes = facts.disk_bytes = (uint64_t)1 << 40;
    hello.protocol_version = WIRE_PROTOCOL_VERSION;
    hello.software = wire_text("bench");
    hello.operator_name = wire_text(member->worker->operator_name);
    hello.worker = wire_text(member->worker->name);
    hello.facts = &facts;
    hello.slots = crowd->options.slots;
    hello.clock_ms = (uint64_t)moment_wall_ms();
    say(crowd, member->control, WIRE_HELLO, &hello.base);
}

static void say_result(struct bench_crowd *crowd, struct member *member, struct slot *slot)
{
    const struct bench_job *job = &crowd->farm->jobs[slot->job];
    struct view envelope = bench_answer_sign(crowd->answer, member->worker, slot->job, &slot->nonce);
    Wire__Result result = WIRE__RESULT__INIT;
    result.nonce = wire_digest(&slot->nonce);
    result.job_key = wire_digest(&job->key);
    result.envelope = wire_bytes(envelope);
    result.manifest = wire_digest(&job->output[BENCH_MANIFEST]);
    result.tar = wire_digest(&job->output[BENCH_TAR]);
    result.log = wire_digest(&job->output[BENCH_LOG]);
    crowd->counts.statement_bytes = bench_answer_statement_bytes(crowd->answer);
    slot->sent = true;
    slot->sent_s = bench_wall();
    say(crowd, member->control, WIRE_RESULT, &result.base);
}

/* ---- sending objects: three at once, as workers do: small ones with their Put, the bytes of others when they are asked for ---- */

static void offer_objects(struct bench_crowd *crowd, struct member *member,
                          const struct bench_object *objects)
{
    if (member->bulk == NULL)
        member->bulk = open_socket(crowd, member->worker, crowd->bulk_endpoint);
    for (size_t i = 0; i < BENCH_OBJECTS; i++) {
        Wire__Put put = WIRE__PUT__INIT;
        put.digest = wire_digest(&objects[i].digest);
        put.stored_size = objects[i].stored.size;
        if (objects[i].stored.size <= WIRE_WHOLE_MAX)
            put.data = wire_bytes(buf_view(&objects[i].stored));
        say(crowd, member->bulk, WIRE_PUT, &put.base);
    }
}

static const struct bench_object *find_object(const struct bench_crowd *crowd, struct member *member,
                                              const ProtobufCBinaryData *name, struct slot **ret_slot)
{
    struct digest digest = wire_get_digest(name);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        const struct bench_object *objects =
            member->slots[i].taken ? crowd->farm->jobs[member->slots[i].job].objects : NULL;
        for (size_t k = 0; objects != NULL && k < BENCH_OBJECTS; k++)
            if (digest_equal(&objects[k].digest, &digest)) {
                *ret_slot = &member->slots[i];
                return &objects[k];
            }
    }
    return NULL;
}

static void send_object(struct bench_crowd *crowd, struct member *member, const struct bench_object *object)
{
    Wire__PutData data = WIRE__PUT_DATA__INIT;
    Wire__PutDone done = WIRE__PUT_DONE__INIT;
    data.digest = done.digest = wire_digest(&object->digest);
    data.data = wire_bytes(buf_view(&object->stored));
    say(crowd, member->bulk, WIRE_PUT_DATA, &data.base);
    say(crowd, member->bulk, WIRE_PUT_DONE, &done.base);
}

/* PutReady also answers PutData: then its offset is the end, and Stored follows. */
static void on_bulk(struct bench_crowd *crowd, struct member *member, const struct wire_message *message)
{
    struct slot *slot = NULL;
    const struct bench_object *object = NULL;
    if (message->type == WIRE_PUT_READY)
        object = find_object(crowd, member, &message->put_ready->digest, &slot);
    if (object != NULL && message->put_ready->offset == 0)
        send_object(crowd, member, object);
    if (message->type == WIRE_STORED && find_object(crowd, member, &message->stored->digest, &slot) != NULL &&
        ++slot->stored == BENCH_OBJECTS)
        say_result(crowd, member, slot);
    crowd->counts.others += message->type != WIRE_PUT_READY && message->type != WIRE_STORED;
}

/* ---- hearing ---- */

static void work(struct bench_crowd *crowd, struct member *member, struct slot *slot)
{
    const struct bench_object *objects = crowd->farm->jobs[slot->job].objects;
    if (objects != NULL)
        offer_objects(crowd, member, objects);
    else
        say_result(crowd, member, slot);
}

static void on_lease(struct bench_crowd *crowd, struct member *member, const Wire__Lease *lease)
{
    struct slot *slot = member->slots;
    while (slot < member->slots + SLOTS_MAX && slot->taken)
        slot++;
    if (slot == member->slots + SLOTS_MAX)
        bench_must(FARM_E_LIMIT, NULL);
    *slot = (struct slot){.taken = true,
                          .nonce = wire_get_digest(&lease->nonce),
                          .job = bench_farm_job(crowd->farm, lease->node)};
    crowd->counts.leases++;
    if (crowd->working)
        work(crowd, member, slot);
}

static void note_latency(struct bench_crowd *crowd, double seconds)
{
    crowd->latencies = mem_reserve(crowd->latencies, &crowd->capacity, crowd->counts.nlatencies + 1,
                                   sizeof *crowd->latencies);
    crowd->latencies[crowd->counts.nlatencies++] = seconds;
    crowd->counts.latencies = crowd->latencies;
}

static void on_ack(struct bench_crowd *crowd, struct member *member, const Wire__ResultAck *ack)
{
    struct digest nonce = wire_get_digest(&ack->nonce);
    for (size_t i = 0; i < SLOTS_MAX; i++) {
        struct slot *slot = &member->slots[i];
        if (!slot->taken || !digest_equal(&slot->nonce, &nonce))
            continue;
        slot->taken = false;
        note_latency(crowd, bench_wall() - slot->sent_s);
    }
    if (ack->code == WIRE__ACK_CODE__ACK_ACCEPTED) {
        crowd->counts.accepted++;
        return;
    }
    if (crowd->counts.others++ == 0)
        fprintf(stderr, "bench: a result was not accepted: %s\n", ack->text);
}

static void on_welcome(struct bench_crowd *crowd, struct member *member, const Wire__Welcome *welcome)
{
    crowd->counts.welcomed += !member->welcomed;
    member->welcomed = true;
    snprintf(crowd->bulk_endpoint, sizeof crowd->bulk_endpoint, "tcp://127.0.0.1%s", welcome->bulk_endpoint);
}

static void on_control(struct bench_crowd *crowd, struct member *member, const struct wire_message *message)
{
    switch ((enum wire_to_worker)message->type) {
    case WIRE_WELCOME:
        on_welcome(crowd, member, message->welcome);
        break;
    case WIRE_LEASE:
        on_lease(crowd, member, message->lease);
        break;
    case WIRE_RESULT_ACK:
        on_ack(crowd, member, message->result_ack);
        break;
    case WIRE_REFUSED:
        if (crowd->counts.others++ == 0)
            fprintf(stderr, "bench: refused: %s\n", message->refused->text);
        break;
    case WIRE_LEASE_CANCEL:
    case WIRE_ORDER:
        crowd->counts.others++;
        break;
    case WIRE_LOG_ANSWER: /* "there is a checkpoint": nobody here is a witness */
    case WIRE_TRUST_ANSWER:
        break;
    }
}

/* Whether there was a message. */
static bool hear(struct bench_crowd *crowd, struct member *member, void *socket,
                 enum wire_direction direction)
{
    struct wire_message *message = NULL;
    struct diag diag = DIAG_INIT;
    int size = zmq_recv(socket, crowd->data, FRAME_MAX, ZMQ_DONTWAIT);
    if (size < 0)
        return false;
    bench_must(wire_decode(direction, view_of(crowd->data, (size_t)size), &message, &diag), &diag);
    if (direction == WIRE_TO_WORKER)
        on_control(crowd, member, message);
    else
        on_bulk(crowd, member, message);
    wire_free(message);
    return true;
}

/* Asking each socket is cheaper than zmq_poll() of all of them. */
size_t bench_crowd_hear(struct bench_crowd *crowd)
{
    size_t heard = 0;
    for (size_t i = 0; i < crowd->count; i++) {
        struct member *member = &crowd->members[i];
        while (hear(crowd, member, member->control, WIRE_TO_WORKER))
            heard++;
        while (member->bulk != NULL && hear(crowd, member, member->bulk, WIRE_BULK_REPLY))
            heard++;
    }
    return heard;
}

static void run_until(struct bench_crowd *crowd, const size_t *counter, size_t goal, const char *what)
{
    const struct timespec pause = {.tv_nsec = PAUSE_US * 1000L};
    struct diag diag = DIAG_INIT;
    double last_s = bench_wall();
    while (*counter < goal) {
        if (bench_crowd_hear(crowd) > 0)
            last_s = bench_wall();
        else if (bench_wall() - last_s < PATIENCE_S)
            nanosleep(&pause, NULL);
        else
            bench_must(diag_set(&diag, FARM_E_TIMEOUT, "%zu of %zu %s, and then nothing came for %d s",
                                *counter, goal, what, (int)PATIENCE_S),
                       &diag);
    }
}

/* ---- what the crowd does ---- */

void bench_crowd_join(struct bench_crowd *crowd, size_t count)
{
    CLEANUP_FREE char *endpoint = mem_format("tcp://%s", crowd->farm->join.endpoint);
    size_t goal = crowd->count + count;
    while (crowd->count < goal) {
        for (size_t i = 0; i < JOIN_BATCH && crowd->count < goal; i++) {
            struct member *member = &crowd->members[crowd->count];
            member->worker = &crowd->farm->workers[crowd->first + crowd->count++];
            member->control = open_socket(crowd, member->worker, endpoint);
            say_hello(crowd, member);
        }
        run_until(crowd, &crowd->counts.welcomed, crowd->count, "workers are welcome");
    }
}

void bench_crowd_heartbeats(struct bench_crowd *crowd, size_t count)
{
    const struct timespec pause = {.tv_nsec = BEATS_MS * 1000000L};
    Wire__Heartbeat beat = WIRE__HEARTBEAT__INIT;
    beat.free_slots = crowd->options.slots;
    for (size_t k = 0; k < count; k++) {
        for (size_t i = 0; i < crowd->count; i++) {
            say(crowd, crowd->members[i].control, WIRE_HEARTBEAT, &beat.base);
            if (i % BEATS == BEATS - 1)
                nanosleep(&pause, NULL);
        }
        (void)bench_crowd_hear(crowd);
    }
}

void bench_crowd_set_working(struct bench_crowd *crowd, bool working)
{
    bool resumed = working && !crowd->working;
    crowd->working = working;
    for (size_t i = 0; resumed && i < crowd->count; i++)
        for (size_t k = 0; k < SLOTS_MAX; k++)
            if (crowd->members[i].slots[k].taken && !crowd->members[i].slots[k].sent)
                work(crowd, &crowd->members[i], &crowd->members[i].slots[k]);
}

void bench_crowd_until_accepted(struct bench_crowd *crowd, size_t accepted)
{
    run_until(crowd, &crowd->counts.accepted, accepted, "results accepted");
}

void bench_crowd_until_leased(struct bench_crowd *crowd, size_t leases)
{
    run_until(crowd, &crowd->counts.leases, leases, "leases taken");
}
